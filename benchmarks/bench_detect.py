"""What each runtime makes of one detector, side by side: the bare network and the whole detector.

python benchmarks/bench_detect.py --model vodkit-street [--weights FILE] [--frames 40]
Prints one JSON line: milliseconds a frame (min, median, max) of each runtime, interleaved so that
a busy machine is equally unfair to all, and ratios to eager torch.
"""

import argparse
import json
import statistics
import time
from collections.abc import Callable

import numpy as np

from vodkit.detect.detector import GraphDetector
from vodkit.detect.models import load_detector
from vodkit.detect.preprocess import place
from vodkit.ground.records import Frame
from vodkit.ground.runs import stack

WIDTH, HEIGHT, BATCH = 768, 576, 8


def clock(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return (time.perf_counter() - started) * 1e3


def summary(times_ms: list[float]) -> dict[str, float]:
    low, middle, high = min(times_ms), statistics.median(times_ms), max(times_ms)
    return {"min": round(low, 2), "median": round(middle, 2), "max": round(high, 2)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="vodkit-street")
    parser.add_argument("--weights", default="default")
    parser.add_argument("--runtimes", default="torch,openvino")
    parser.add_argument("--rounds", type=int, default=20)
    options = parser.parse_args()
    rng = np.random.default_rng(0)
    small = rng.integers(0, 255, (BATCH, HEIGHT // 8, WIDTH // 8, 3), dtype=np.uint8)
    pictures = small.repeat(8, axis=1).repeat(8, axis=2)
    frames = [Frame(i, i / 25, picture) for i, picture in enumerate(pictures)]
    detectors: dict[str, GraphDetector] = {
        name: load_detector(options.model, runtime=name, weights=options.weights, device="cpu")
        for name in options.runtimes.split(",")
    }
    placed = {
        name: [place(frame, detector.card.preprocessing)[0] for frame in frames]
        for name, detector in detectors.items()
    }
    kinds: dict[str, Callable[[str], Callable[[], object]]] = {
        "network, one frame": lambda n: lambda: detectors[n]._runtime.run(placed[n][:1]),  # noqa: SLF001
        "network, batch": lambda n: lambda: detectors[n]._runtime.run(placed[n]),  # noqa: SLF001
        "detector, one frame": lambda n: lambda: detectors[n].detect(frames[:1]),
        "detector, batch": lambda n: lambda: detectors[n].detect(frames),
    }
    times: dict[tuple[str, str], list[float]] = {(k, n): [] for k in kinds for n in detectors}
    for name in detectors:
        for kind in kinds.values():
            kind(name)()
    for _ in range(options.rounds):
        for (kind, name), seen in times.items():
            per_call = BATCH if "batch" in kind else 1
            seen.append(clock(kinds[kind](name)) / per_call)
    found = {kind: {n: summary(times[kind, n]) for n in detectors} for kind in kinds}
    line = {"model": options.model, "frame_px": [WIDTH, HEIGHT], "ms_per_frame": found}
    if "torch" in detectors:
        line["times_faster_than_torch"] = {
            kind: {
                n: round(found[kind]["torch"]["median"] / found[kind][n]["median"], 2)
                for n in detectors
            }
            for kind in kinds
        }
    print(json.dumps({**line, "versions": stack()}))


if __name__ == "__main__":
    main()
