"""Everything that only a real GPU can show, in one command of under eight minutes.

    python tests/gpu/check.py [DEVICE] [--out FOLDER] [--limit SECONDS] [STEP ...]

Nothing outside the repository is needed. Each check appends a JSON line to ``FOLDER/gpu.jsonl``;
a fault is recorded and the next check runs. ``DEVICE`` is ``cuda`` (default), ``cuda:1`` or
``cpu``, which proves the script itself. Steps, in order of worth:

    env        torch, driver, GPU, the probe
    train      first and last loss, AP, peak memory: cache, pixels, bf16, 16, SSDLite, Faster R-CNN
    runtimes   px, score and ms of torch, cuda, cuda-amp and compile against the CPU
    resume     a killed and resumed training against one that was not
    cli        track, export and the messages about missing devices
    graphs     recorded graphs of each family against torch
    memory     training and tracking with a few MiB of GPU memory
    several    torchrun with one process, and with more than there are GPUs
    budgets    1080p files >= 0.85 of the bare network; AMP >= 1.5 x fp32; 8 streams of 720p at 25/s
"""

import argparse
import json
import os
import subprocess
import sys
import time
import traceback
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch

STEPS: dict[str, Callable[[], None]] = {}
_STARTED = time.monotonic()
_CHECKED = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
_CHECKED.add_argument("device", nargs="?", default="cuda")
_CHECKED.add_argument("--out", type=Path, default=Path("runs/gpu"))
_CHECKED.add_argument("--limit", type=float, default=440.0, help="no new step after this, seconds")
_CHECKED.add_argument("steps", nargs="*", default=[])
ASKED = argparse.Namespace(device="cpu", out=Path("runs/gpu"), limit=440.0, steps=[])


def step(work: Callable[[], None]) -> Callable[[], None]:
    STEPS[work.__name__] = work
    return work


def report(check: str, **found: Any) -> None:
    """A line on the terminal and in the file."""
    seconds = round(time.monotonic() - _STARTED)
    line = json.dumps({"seconds": seconds, "check": check, **found}, default=str)
    print(line, flush=True)
    with (ASKED.out / "gpu.jsonl").open("a", encoding="utf-8") as file:
        file.write(line + "\n")


def attempt(check: str, work: Callable[[], dict[str, Any]]) -> None:
    """Report what ``work`` found, or the error that it raised."""
    started = time.monotonic()
    try:
        found = {"ok": True, **work()}
    except Exception as error:  # noqa: BLE001 - the next check is worth as much
        last = traceback.format_exc().strip().splitlines()[-8:]
        found = {"ok": False, "error": f"{type(error).__name__}: {error}"[:400], "trace": last}
    report(check, **found, took_s=round(time.monotonic() - started, 1))


def on_gpu() -> bool:
    return bool(ASKED.device.startswith("cuda"))


def wait_for_gpu() -> None:
    if on_gpu():
        torch.cuda.synchronize()


def peak_mib() -> int:
    if not on_gpu():
        return 0
    peak = torch.cuda.max_memory_allocated() >> 20
    torch.cuda.reset_peak_memory_stats()
    return peak


def frames(count: int = 16) -> list[Any]:
    from vodkit.samples.samples import CLIP_B
    from vodkit.video.reader import open_video

    with open_video(CLIP_B) as video:
        return list(islice(video.frames(), count))


def run(*words: str, timeout_s: float = 150, **variables: str) -> dict[str, Any]:
    """A Python module in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-m", *words],
        capture_output=True,
        text=True,
        timeout=timeout_s,
        check=False,
        env={**os.environ, **variables},
    )
    return {"exit_code": done.returncode, "output": (done.stdout + done.stderr)[-400:]}


@step
def env() -> None:
    from vodkit.detect.devices import usable_gpu

    name = torch.cuda.get_device_name(0) if torch.cuda.is_available() else ""
    report("env", torch=torch.__version__, cuda=torch.version.cuda, gpu=name, probe=usable_gpu())


@step
def train() -> None:
    cases: dict[str, dict[str, Any]] = {
        "cached": {},
        "pixels": {"cache": "off", "freeze": "none"},
        "bf16": {"precision": "bf16", "freeze": "none"},
        "16": {"precision": "16", "freeze": "none"},
        "workers": {"cache": "off", "workers": 4},
        "ssdlite": {"model": "ssdlite320_mobilenet_v3_large", "weights": "random"},
        "faster": {
            "model": "fasterrcnn_mobilenet_v3_large_320_fpn",
            "weights": "random",
            "batch_size": 4,
        },
    }
    for name, words in cases.items():
        attempt(f"train {name}", lambda name=name, words=words: _trained(name, words))  # type: ignore[misc]


def _trained(name: str, words: dict[str, Any]) -> dict[str, Any]:
    from vodkit.detect.models import load_detector
    from vodkit.samples.samples import LABELS
    from vodkit.train.loop import train as fit
    from vodkit.train.settings import TrainSettings

    losses: list[float] = []

    def watch(progress: Any) -> None:
        if progress.what == "step":
            losses.append(sum(progress.losses.values()))

    frozen = {} if name in {"cached", "workers"} else {"freeze": "none"}
    wanted: dict[str, Any] = {
        "data": str(LABELS), "out": str(ASKED.out / f"train-{name}"), "device": ASKED.device,
        "epochs": 2, "every": 10, "val_split": "train", "still_iou": 2.0, **frozen, **words,
    }  # fmt: skip
    found = fit(TrainSettings(**wanted), overwrite=True, watch=watch)
    boxes = load_detector(found.checkpoint, runtime="torch", device="cpu").detect(frames(2))
    return {
        "steps": len(losses), "first_loss": losses[0], "last_loss": losses[-1], "ap": found.ap,
        "cached": found.cached, "peak_mib": peak_mib(), "boxes_on_cpu": [len(one) for one in boxes],
    }  # fmt: skip


@step
def runtimes() -> None:
    names = ("torch", "cuda", "cuda-amp", "compile") if on_gpu() else ("torch",)
    for name in names:
        attempt(f"runtime {name}", lambda name=name: _compared(name))  # type: ignore[misc]


def _compared(name: str) -> dict[str, Any]:
    from vodkit.detect.models import load_detector
    from vodkit.detect.parity import compare

    some = frames()
    words = {"max_detections": None}
    exact = load_detector("vodkit-street", runtime="torch", device="cpu", **words)
    started = time.monotonic()
    other = load_detector("vodkit-street", runtime=name, device=ASKED.device, **words)
    other.detect(some[:1])
    first_s = round(time.monotonic() - started, 1)
    apart = [compare(exact, other, part) for part in (some[:1], some[:3], some[:8], some)]
    return {
        "px": max(one.max_box_px for one in apart),
        "score": max(one.max_score for one in apart),
        "unpaired": sum(one.num_unpaired for one in apart),
        "first_s": first_s,
        "ms_a_picture": {count: _ms(other, some[:count]) for count in (1, 8)},
        "peak_mib": peak_mib(),
    }


def _ms(detector: Any, some: list[Any]) -> float:
    alone, rounds = detector.network_alone(some), 20 if on_gpu() else 2
    alone()
    wait_for_gpu()
    started = time.perf_counter()
    for _ in range(rounds):
        alone()
    wait_for_gpu()
    return round((time.perf_counter() - started) / rounds / len(some) * 1e3, 3)


@step
def resume() -> None:
    attempt("resume", _resumed)


class _KilledError(Exception):
    pass


def _resumed() -> dict[str, Any]:
    from vodkit.detect.checkpoint import load_checkpoint
    from vodkit.samples.samples import LABELS
    from vodkit.train.loop import train as fit
    from vodkit.train.settings import TrainSettings

    def wanted(name: str) -> Any:
        return TrainSettings(
            data=str(LABELS), out=str(ASKED.out / name), device=ASKED.device, epochs=3, every=20,
            val_split="", still_iou=2.0, save_every_s=0.0, freeze="none", cache="off",
        )  # fmt: skip

    def stop(progress: Any) -> None:
        if (progress.what, progress.epoch, progress.done) == ("step", 1, 1):
            raise _KilledError

    for name in ("complete", "again"):
        fit(wanted(name), overwrite=True)
    try:
        fit(wanted("halted"), overwrite=True, watch=stop)
    except _KilledError:
        fit(wanted("halted"), resume_run=True)
    last = {
        name: load_checkpoint(ASKED.out / name / "last.safetensors")[0]
        for name in ("complete", "again", "halted")
    }

    def apart(name: str) -> float:
        pairs = ((last["complete"][key], last[name][key]) for key in last["complete"])
        return max(float((a.float() - b.float()).abs().max()) for a, b in pairs)

    return {"resumed_vs_complete": apart("halted"), "repeated_vs_complete": apart("again")}


@step
def cli() -> None:
    from vodkit.samples.samples import CLIP_B

    clip, out = str(CLIP_B), ASKED.out
    named = ("--runtime", "torch", "--device", ASKED.device)
    calls: dict[str, tuple[str, ...]] = {
        "track auto": ("track", clip, "-o", str(out / "auto"), "--overwrite"),
        "track auto, remembered": ("track", clip, "-o", str(out / "auto"), "--overwrite"),
        "track roi": ("track", clip, "-o", str(out / "roi"), "--overwrite", "--appearance", "roi",
                      *named),
        "export pt2": ("export", "vodkit-street", str(out / "s.pt2"), "--frames", clip),
        "track pt2 auto": ("track", clip, "-m", str(out / "s.pt2"), "-o", str(out / "pt2"),
                           "--overwrite", "--every", "10"),
        "cuda:7": ("track", clip, "-o", str(out / "c7"), "--overwrite", "--device", "cuda:7"),
    }  # fmt: skip
    for name, words in calls.items():
        attempt(f"cli {name}", lambda words=words: run("vodkit", *words))  # type: ignore[misc]
    hidden = ("track", clip, "-o", str(out / "none"), "--overwrite", "--every", "20")
    attempt("cli no visible GPU", lambda: run("vodkit", *hidden, CUDA_VISIBLE_DEVICES=""))


@step
def graphs() -> None:
    names = ("ssdlite320_mobilenet_v3_large", "retinanet_resnet50_fpn", "fcos_resnet50_fpn",
             "rt-detr-v2-r18", "d-fine-n", "yolos-tiny", "detr-resnet-50")  # fmt: skip
    for name in names if on_gpu() else ():
        attempt(f"graph {name}", lambda name=name: _recorded(name))  # type: ignore[misc]
    ones = torch.ones(4, device=ASKED.device)
    report("after graphs", still_works=float(ones.sum()), peak_mib=peak_mib())


def _recorded(name: str, side: int = 320) -> dict[str, Any]:
    from vodkit.detect import networks
    from vodkit.detect.models import build_network
    from vodkit.detect.runtimes.cuda_graphs import CudaGraphRuntime
    from vodkit.detect.runtimes.torch_module import TorchRuntime

    torch.manual_seed(0)
    module, card = build_network(name, weights="random")
    module.eval()
    rng, device = np.random.default_rng(0), torch.device(ASKED.device)
    some = [rng.integers(0, 255, (side, side, 3), dtype=np.uint8) for _ in range(3)]
    plain = TorchRuntime(networks.deployed(module, card), device=device, batched=True).run(some)
    runtime = CudaGraphRuntime(
        networks.deployed(module, card), device=device, batched=True, amp=False
    )
    found, turned = runtime.run(some), runtime.run(some[::-1])[::-1]

    def apart(one: Any, two: Any) -> float:
        pairs = ((x, y) for p, q in zip(one, two, strict=True) for x, y in zip(p, q, strict=True))
        return max(float(np.abs(x - y).max()) for x, y in pairs)

    return {"graph_vs_torch": apart(plain, found), "replay_vs_first": apart(found, turned)}


@step
def memory() -> None:
    if not on_gpu():
        return
    from vodkit.samples.samples import CLIP_B, LABELS

    code = (
        "import sys, torch; torch.cuda.set_per_process_memory_fraction(float(sys.argv[1]));"
        "from vodkit.cli.main import main; main(sys.argv[2:])"
    )
    out = ASKED.out
    settings = ("freeze=none", "epochs=1", "every=20", "batch_size=64", "device=cuda", "val_split=")
    calls = {
        "train": ("0.004", "train", "-d", str(LABELS), "-o", str(out / "oom"), "--overwrite",
                  *(word for one in settings for word in ("--set", one))),
        "track": ("0.0005", "track", str(CLIP_B), "-o", str(out / "oom2"), "--overwrite",
                  "--runtime", "torch", "--device", "cuda"),
    }  # fmt: skip
    for name, words in calls.items():
        done = subprocess.run(
            [sys.executable, "-c", code, *words],
            capture_output=True, text=True, timeout=100, check=False,
        )  # fmt: skip
        output = (done.stdout + done.stderr)[-400:]
        report(f"memory {name}", exit_code=done.returncode, output=output)


@step
def several() -> None:
    from vodkit.samples.samples import LABELS

    too_many = torch.cuda.device_count() + 1 if on_gpu() else 2
    settings = ("epochs=1", "every=20", "val_split=", f"device={ASKED.device}")
    words = [word for one in settings for word in ("--set", one)]
    for count in (1, too_many):
        start = ("torch.distributed.run", "--nproc-per-node", str(count), "-m", "vodkit", "train")
        out = str(ASKED.out / f"processes-{count}")
        call = (*start, "-d", str(LABELS), "-o", out, "--overwrite", *words)
        attempt(f"torchrun {count}", lambda call=call: run(*call))  # type: ignore[misc]


@step
def budgets() -> None:
    attempt("budget 1080p", _full_hd)
    if on_gpu():
        attempt("budget amp", _amp)
    attempt("budget streams", _streams)


def _clip(width_px: int, height_px: int, count: int) -> Path:
    """A moving picture of this size, written once."""
    from fractions import Fraction

    import cv2

    from vodkit.video.writer import VideoWriter

    path = ASKED.out / f"{width_px}x{height_px}.mp4"
    if not path.is_file():
        small = [cv2.resize(one.image, (width_px, height_px)) for one in frames(16)]
        with VideoWriter(path, width_px=width_px, height_px=height_px, rate=Fraction(25)) as writer:
            for number in range(count):
                image = np.roll(small[number % 16], number % 64, axis=1)
                writer.write(image, number / 25)
    return path


def _full_hd() -> dict[str, Any]:
    from vodkit.benchmark.settings import BenchSettings
    from vodkit.benchmark.speed import run_bench

    clip = _clip(1920, 1080, 250 if on_gpu() else 30)
    found = run_bench(
        BenchSettings(
            sources=(str(clip),), models=("vodkit-street",), runtimes=("auto",),
            device=ASKED.device if on_gpu() else "cpu", seconds=3.0, turns=2,
        )
    ).lines[0]  # fmt: skip
    share = found.share or 0.0
    return {"track": found.track, "network": found.network, "share": share, "kept": share >= 0.85}


def _amp() -> dict[str, Any]:
    from vodkit.detect.models import load_detector

    some = frames(8)
    ms = {
        name: _ms(load_detector("vodkit-street", runtime=name, device=ASKED.device), some)
        for name in ("cuda", "cuda-amp")
    }
    gain = ms["cuda"] / ms["cuda-amp"]
    return {"ms_a_picture": ms, "gain": round(gain, 2), "kept": gain >= 1.5}


def _streams(count: int = 8) -> dict[str, Any]:
    """Processes that each decode and detect in a 720p file for a while, all at once."""
    clip = _clip(1280, 720, 250 if on_gpu() else 30)
    code = (
        "import sys, time; from vodkit.detect.models import load_detector\n"
        "from vodkit.video.reader import open_video\n"
        "d = load_detector('vodkit-street', runtime=sys.argv[2], device=sys.argv[3]); n = 0\n"
        "with open_video(sys.argv[1]) as v: d.detect(list(v.frames_at([0])))\n"
        "end = time.time() + 6\n"
        "while time.time() < end:\n"
        "    with open_video(sys.argv[1]) as v:\n"
        "        for f in v.frames():\n"
        "            d.detect([f]); n += 1\n"
        "            if time.time() > end: break\n"
        "print(n / 6)"
    )
    count = count if on_gpu() else 1
    words = [str(clip), "cuda" if on_gpu() else "torch", ASKED.device]
    started = [
        subprocess.Popen([sys.executable, "-c", code, *words], stdout=subprocess.PIPE, text=True)
        for _ in range(count)
    ]
    rates = [float(process.communicate(timeout=90)[0]) for process in started]
    return {"streams": count, "slowest_per_s": round(min(rates), 1), "kept": min(rates) >= 25}


def main() -> None:
    vars(ASKED).update(vars(_CHECKED.parse_intermixed_args()))
    ASKED.out.mkdir(parents=True, exist_ok=True)
    os.environ.setdefault("VODKIT_CACHE", str(ASKED.out / "cache"))
    unknown = set(ASKED.steps) - STEPS.keys()
    if unknown:
        _CHECKED.error(f"unknown steps: {', '.join(sorted(unknown))}; known: {', '.join(STEPS)}")
    for name, work in STEPS.items():
        if ASKED.steps and name not in ASKED.steps:
            continue
        if time.monotonic() - _STARTED > ASKED.limit:
            report(name, left_out="no time")
            continue
        attempt(f"step {name}", lambda work=work: work() or {})  # type: ignore[misc]
    report("end")


if __name__ == "__main__":
    main()
