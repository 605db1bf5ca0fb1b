"""Milliseconds of one tracker step at 10 to 1,000 objects, motion only; or of camera motion.

    python benchmarks/bench_track.py [NAME ...]
    python benchmarks/bench_track.py --camera VIDEO

The second form times how the camera's motion is found: the video is shown by a camera that wanders
and turns, and how far the motion found is from that one is told, too.

Wall-clock and processor time are both printed: on a busy machine only the second is to be trusted.
"""

import argparse
import itertools
import json
import platform
import statistics
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np

from vodkit.ground.records import Detections, Frame
from vodkit.ground.runs import stack
from vodkit.track.camera_motion import CameraMotion
from vodkit.track.table import TRACKERS, make_tracker
from vodkit.video.reader import open_video

BUDGET_MS = {10: 0.3, 100: 1.0, 300: 3.0, 1000: 15.0}


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


def wandering(video: Path, num_frames: int = 150) -> Iterator[tuple[Frame, np.ndarray]]:
    """Frames as a camera sees them that wanders and turns, and its motion (2, 3) since the last."""
    rng = np.random.default_rng(0)
    place, last = np.zeros(3), np.eye(3)  # x and y in px, turn in radians
    with open_video(video) as source:
        for frame in itertools.islice(source.frames(), num_frames):
            height, width = frame.image.shape[:2]
            place = 0.98 * place + rng.normal(0, 1, 3) * [3, 2, 0.001]
            at = cv2.getRotationMatrix2D((width / 2, height / 2), float(np.degrees(place[2])), 1.05)
            at[:, 2] += place[:2]
            image = cv2.warpAffine(frame.image, at, (width, height), borderMode=cv2.BORDER_REFLECT)
            at = np.vstack([at, [0, 0, 1]])
            yield replace(frame, image=image), (at @ np.linalg.inv(last))[:2]
            last = at


def measure_camera(video: Path) -> dict[str, object]:
    camera, ms, off = CameraMotion(), [], []
    for number, (frame, truth) in enumerate(wandering(video)):
        start = time.perf_counter()
        found = camera.step(frame, np.empty((0, 4)))
        if number:
            ms.append(1000 * (time.perf_counter() - start))
            found = np.eye(3)[:2] if found is None else found
            corners = np.array([[0, 0, 1], [frame.width_px, frame.height_px, 1]])
            off.append(float(np.abs(corners @ (found - truth).T).max()))
    return {
        "picture_px": [frame.width_px, frame.height_px],
        "camera_ms": [round(f(ms), 2) for f in (min, statistics.median, max)],
        "corner_off_px": [round(f(off), 2) for f in (statistics.median, max)],
        "budget_ms": 4.0,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*")
    parser.add_argument("--camera", type=Path, metavar="VIDEO")
    given = parser.parse_args()
    names = given.names or [name for name in TRACKERS if name != "roboflow"]
    about = {"machine": platform.machine(), "processor": platform.processor(), **stack()}
    if given.camera:
        print(json.dumps({**about, **measure_camera(given.camera)}))
        return
    for name in names:
        print(json.dumps({**about, "results": [measure(name, num) for num in BUDGET_MS]}))


if __name__ == "__main__":
    main()
