"""``--runtime auto``: try the runtimes once on this machine, remember which one was fastest.

The result is kept for one machine (CPU model, number of cores, GPU), one set of library versions,
one set of weights and one input size; a change of any of them is measured anew, and so is a result
that was measured on a busy machine, once it is idle. Where a GPU works, its runtimes compete with
those of the CPU. Only a runtime whose outputs match the reference (see ``vodkit.detect.parity``)
can be chosen.
"""

import hashlib
import json
import os
import platform
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from vodkit.detect import devices
from vodkit.detect.base import BUSY, Choice, ModelCard, Trial
from vodkit.detect.devices import on_gpu, usable_gpu
from vodkit.detect.parity import TOLERANCE_PX, TOLERANCE_SCORE, compare_outputs
from vodkit.detect.preprocess import place
from vodkit.detect.runtimes.base import Runtime, versions
from vodkit.detect.runtimes.table import RUNTIMES, Runnable, candidates, way
from vodkit.detect.weights import cache_folder
from vodkit.ground import settings
from vodkit.ground.arrays import ByteArray, FloatArray
from vodkit.ground.errors import InputError, SettingsError, ShortageError, shortage_of
from vodkit.ground.records import Frame
from vodkit.ground.runs import num_cores, write_atomic
from vodkit.samples import samples

AUTO = devices.AUTO
_SCHEMA = 3
_BATCH = 4
_UNPAIRED = 0.01
"""share of candidates that may be in one only: rounding can turn the order of two equal ones"""
_ROUNDS = 10
_PATIENCE_S = 5.0  # no further round after this
_MUST_GAIN = 1.25
"""a runtime later in the list must be this much faster than the best before it, so that the
choice does not hang on noise"""


def choose(wanted: Runnable, *, load: float | None = None) -> Choice:
    """What ``auto`` means for this network or graph here: remembered, or measured now.

    ``load``: running processes for each core; by default what the system says.
    """
    found = _choose(wanted, _load() if load is None else load)
    return replace(found, gpu_fault=usable_gpu().fault if wanted.device == AUTO else "")


def _choose(wanted: Runnable, load: float) -> Choice:
    names = candidates(wanted)
    if len(names) == 1:
        return Choice(runtime=names[0], why="the only one that runs it here")
    if not wanted.kept:
        return Choice(runtime=names[0], why="not measured: random weights")
    # Everything on which the fastest runtime depends
    card, size = wanted.card, wanted.card.preprocessing
    facts = {
        "schema": _SCHEMA,
        "model": card.name,
        "card": hashlib.sha256(json.dumps(asdict(card), sort_keys=True).encode()).hexdigest(),
        "input_px": [size.width_px, size.height_px],
        "machine": machine(wanted.device),
        "candidates": list(names),
        "versions": versions(),
    }
    digest = hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()
    path = cache_folder() / "runtimes" / f"{facts['model']}-{digest[:16]}.json"
    known = recall(path)
    if (
        known is not None
        and known.runtime in names
        and not (known.on_busy_machine and load <= BUSY)
    ):
        return known
    makers = {name: _maker(name, wanted) for name in names}
    made = replace(measure(makers, trial_pictures(wanted.card), wanted.card), load=round(load, 2))
    if not any(trial.is_short for trial in made.trials):
        remember(path, made, facts)
    return made


def _maker(label: str, wanted: Runnable) -> Callable[[], Runtime]:
    name, what = way(label, wanted)
    return lambda: RUNTIMES[name](what)


def measure(
    makers: Mapping[str, Callable[[], Runtime]], pictures: Sequence[ByteArray], card: ModelCard
) -> Choice:
    """Try each runtime on the pictures; the last of ``makers`` is the reference.

    A runtime that cannot be made, breaks, or differs from the reference is told and passed over.
    SettingsError when not even the reference runs.
    """
    reference_name = list(makers)[-1]
    try:
        reference = makers[reference_name]()
        expected = reference.run(pictures)
    except (InputError, RuntimeError, MemoryError) as error:
        if (shortage := shortage_of(error)) is not None:
            raise shortage from error
        raise SettingsError(f"no runtime to choose: {reference_name}: {error}") from error
    agree: dict[str, Runtime] = {}
    trials: dict[str, Trial] = {}
    for name, make in makers.items():
        try:
            runtime = reference if name == reference_name else make()
            trials[name] = _compared(name, runtime.run(pictures), expected, pictures[0], card)
        except (InputError, ShortageError, RuntimeError, MemoryError, ImportError) as error:
            reason = (str(error).strip() or type(error).__name__).splitlines()[0]
            trials[name] = Trial(
                runtime=name,
                refused=f"does not run: {reason[:200]}",
                is_short=shortage_of(error) is not None,
            )
            continue
        if not trials[name].refused:
            agree[name] = runtime
    for name, (one_s, batch_s) in _race(agree, pictures).items():
        one_ms, batch_ms = round(one_s * 1e3, 3), round(batch_s * 1e3, 3)
        trials[name] = replace(trials[name], one_ms=one_ms, batch_ms=batch_ms)
    return Choice(runtime=_best(list(trials.values())), trials=tuple(trials.values()))


def _compared(
    name: str,
    outputs: Sequence[tuple[FloatArray, ...]],
    expected: Sequence[tuple[FloatArray, ...]],
    picture: ByteArray,
    card: ModelCard,
) -> Trial:
    height, width = picture.shape[:2]
    num_maps = len(card.output.maps)
    pair = [[one[: len(one) - num_maps] for one in each] for each in (expected, outputs)]
    seen = compare_outputs(*pair, decoding=card.output.decoding, size_px=(width, height))
    agrees = seen.within(px=TOLERANCE_PX, score=TOLERANCE_SCORE, unpaired=_UNPAIRED)
    apart = f"{seen.max_box_px:.2g} px, {seen.max_score:.2g}, {seen.num_unpaired} boxes unpaired"
    return Trial(
        runtime=name,
        max_box_px=float(seen.max_box_px),
        max_score=float(seen.max_score),
        refused="" if agrees else f"differs by {apart}",
    )


def _race(
    runtimes: Mapping[str, Runtime], pictures: Sequence[ByteArray]
) -> dict[str, tuple[float, float]]:
    """Seconds of a picture alone and in a batch: the best of rounds that all take part in.

    Turn by turn, so that other work on the machine is equally unfair to all.
    """
    best = dict.fromkeys(runtimes, (float("inf"), float("inf")))
    started = time.perf_counter()
    for _ in range(_ROUNDS):
        for name, runtime in runtimes.items():
            one_s = _seconds(runtime, pictures[:1])
            batch_s = _seconds(runtime, pictures) / len(pictures)
            best[name] = (min(best[name][0], one_s), min(best[name][1], batch_s))
        if time.perf_counter() - started > _PATIENCE_S:
            break
    return best


def _seconds(runtime: Runtime, pictures: Sequence[ByteArray]) -> float:
    started = time.perf_counter()
    runtime.run(pictures)
    return time.perf_counter() - started


def _best(trials: Sequence[Trial]) -> str:
    """The first that is not clearly beaten by a later one."""
    allowed = [trial for trial in trials if not trial.refused]
    best = allowed[0]
    for trial in allowed[1:]:
        gain = (best.one_ms + best.batch_ms) / (trial.one_ms + trial.batch_ms)
        best = trial if gain > _MUST_GAIN else best
    return best.runtime


def trial_pictures(card: ModelCard) -> list[ByteArray]:
    """Four pictures of the network's nominal input size: of the sample clip, if it is here."""
    frames = _sample_frames() or _noise()
    return [place(frame, card.preprocessing)[0] for frame in frames]


def _sample_frames() -> list[Frame]:
    from vodkit.video.reader import open_video

    clip = samples.CLIP_A
    if not clip.is_file():
        return []
    with open_video(clip) as video:
        return list(islice(video.frames(every=20), _BATCH))


def _noise() -> list[Frame]:
    rng = np.random.default_rng(0)
    small = rng.integers(0, 255, (_BATCH, 36, 48, 3), dtype=np.uint8)
    pictures = small.repeat(16, axis=1).repeat(16, axis=2)
    return [Frame(i, i / 10, picture) for i, picture in enumerate(pictures)]


def recall(path: Path) -> Choice | None:
    """What was remembered there; None where that cannot be read, for whatever reason."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        return settings.build(Choice, content["choice"])
    except (OSError, ValueError, LookupError, TypeError, AttributeError, SettingsError):
        return None


def remember(path: Path, made: Choice, facts: Mapping[str, Any]) -> None:
    """Keep it for next time; a cache that cannot be written only means measuring again."""
    text = json.dumps({"choice": asdict(made), "measured_on": facts}, indent=2)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(path, text + "\n", ours=True)
    except (OSError, InputError):
        return


def machine(device: str = "cpu") -> dict[str, str | int]:
    """CPU model, cores that this process may use, and the GPU that ``device`` means."""
    threads = os.environ.get("OMP_NUM_THREADS", "")
    found: dict[str, str | int] = {"cpu": _cpu_model(), "cores": num_cores(), "threads": threads}
    if on_gpu(device):
        import torch

        used = torch.device(usable_gpu().device if device == AUTO else device)
        is_cuda = used.type == "cuda" and torch.cuda.is_available()
        found["gpu"] = torch.cuda.get_device_name(used) if is_cuda else str(used)
    return found


def _load() -> float:
    """The mean of the last minute; 0 where the system does not say (Windows)."""
    return os.getloadavg()[0] / num_cores() if hasattr(os, "getloadavg") else 0.0


def _cpu_model() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    named = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return named[0] if named else platform.processor() or platform.machine()
