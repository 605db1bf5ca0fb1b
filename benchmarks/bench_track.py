"""Milliseconds of one tracker step at 10, 100 and 300 objects, motion only.

    python benchmarks/bench_track.py [NAME ...]

Wall-clock and processor time are both printed: on a busy machine only the second is to be trusted.
"""

import argparse
import json
import platform
import statistics
import time

import numpy as np

from vodkit.records import Detections, Frame
from vodkit.runs import stack
from vodkit.track.table import TRACKERS, make_tracker

BUDGET_MS = {10: 0.3, 100: 1.0, 300: 3.0}


def crowd(num: int, num_frames: int = 150) -> list[tuple[Frame, Detections]]:
    """``num`` objects of 40 x 90 px that walk over a 1080p picture; 5 % are missed."""
    rng = np.random.default_rng(0)
    centre, speed = rng.uniform(50, 1800, (num, 2)), rng.normal(0, 60, (num, 2))
    steps = []
    for index in range(num_frames):
        centre = centre + speed / 30
        boxes = np.hstack([centre - [20, 45], centre + np.array([20, 45])])
        boxes = boxes + rng.normal(0, 2, boxes.shape)
        seen = rng.random(num) > 0.05
        found = Detections(boxes[seen], rng.uniform(0.3, 1, num)[seen], np.zeros(int(seen.sum())))
        steps.append((Frame.unseen(index, index / 30, width_px=1920, height_px=1080), found))
    return steps


def measure(name: str, num: int) -> dict[str, object]:
    tracker, wall_ms, own_ms = make_tracker(name), [], []
    for frame, found in crowd(num):
        wall, own = time.perf_counter(), time.process_time()
        tracker.step(frame, found)
        wall_ms.append(1000 * (time.perf_counter() - wall))
        own_ms.append(1000 * (time.process_time() - own))
    wall_ms, own_ms = wall_ms[30:], own_ms[30:]
    return {
        "tracker": name,
        "objects": num,
        "wall_ms": [round(f(wall_ms), 3) for f in (min, statistics.median, max)],
        "process_ms": [round(f(own_ms), 3) for f in (min, statistics.median, max)],
        "budget_ms": BUDGET_MS[num],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*")
    names = parser.parse_args().names or [name for name in TRACKERS if name != "roboflow"]
    about = {"machine": platform.machine(), "processor": platform.processor(), **stack()}
    for name in names:
        print(json.dumps({**about, "results": [measure(name, num) for num in BUDGET_MS]}))


if __name__ == "__main__":
    main()
