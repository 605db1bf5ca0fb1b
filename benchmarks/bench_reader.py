"""Decoding straight to a network's input size: vodkit beside OpenCV and plain PyAV.

    python benchmarks/bench_reader.py VIDEO [--size 416x312] [--rounds 5]

The readers take turns, so that other load on the machine hits all of them. One JSON line comes
out: seconds a pass (min, median, max) and vodkit's speed as a share of the fastest one's.
"""

import argparse
import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import av
import cv2

from vodkit.ground import process
from vodkit.ground.runs import stack
from vodkit.video.reader import open_video

Size = tuple[int, int]


def by_vodkit(path: Path, size_px: Size) -> int:
    with open_video(path) as video:
        return sum(frame.image.shape[0] > 0 for frame in video.frames(size_px=size_px))


def by_opencv(path: Path, size_px: Size) -> int:
    capture, count = cv2.VideoCapture(str(path)), 0
    while True:
        there, image = capture.read()
        if not there:
            return count
        small = cv2.resize(image, size_px, interpolation=cv2.INTER_LINEAR)
        cv2.cvtColor(small, cv2.COLOR_BGR2RGB)
        count += 1


def by_pyav(path: Path, size_px: Size) -> int:
    count = 0
    with av.open(str(path)) as container:
        container.streams.video[0].thread_type = "AUTO"
        for frame in container.decode(video=0):
            frame.to_ndarray(format="rgb24", width=size_px[0], height=size_px[1])
            count += 1
    return count


READERS: dict[str, Callable[[Path, Size], int]] = {
    "vodkit": by_vodkit,
    "opencv": by_opencv,
    "pyav": by_pyav,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("video", type=Path)
    parser.add_argument("--size", default="416x312")
    parser.add_argument("--rounds", type=int, default=5)
    words = parser.parse_args()
    process.settle()  # for all alike, as the command does
    width_px, height_px = (int(word) for word in words.size.split("x"))
    seconds: dict[str, list[float]] = {name: [] for name in READERS}
    counts: dict[str, int] = {}
    for _ in range(words.rounds):
        for name, read in READERS.items():
            start = time.perf_counter()
            counts[name] = read(words.video, (width_px, height_px))
            seconds[name].append(time.perf_counter() - start)
    fastest = min(median(times) for times in seconds.values())
    result = {
        "video": words.video.name,
        "size_px": [width_px, height_px],
        "frames": counts,
        "seconds": {
            name: [round(f(times), 3) for f in (min, median, max)]
            for name, times in seconds.items()
        },
        "share_of_fastest": round(fastest / median(seconds["vodkit"]), 3),
        "num_cpus": os.cpu_count(),
        "opencv": cv2.__version__,
        **stack(),
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
