"""What a frame costs in temporal memory, beside the detector: links, a head, an exported head.

python benchmarks/bench_temporal.py [--video vtest.avi] [--profile]

One thread, made-up candidates: 32 a frame, 16 of each of the remembered frames at 30 frames a
second. Prints medians and tenth percentiles in ms. With a video also the difference planes of
``--motion`` for an input of 416 px, of its first frames.
"""

import argparse
import cProfile
import pstats
import tempfile
import time
from collections.abc import Callable, Iterator
from itertools import cycle, islice
from pathlib import Path

import cv2
import numpy as np

from vodkit.detect.embed import PoolSettings
from vodkit.detect.preprocess import Placement
from vodkit.detect.temporal_graph import read_graph, view_names, write_head_graph
from vodkit.detect.temporal_head import Keys, projection
from vodkit.ground.records import Detections
from vodkit.temporal.links import Links, LinkSettings
from vodkit.temporal.memory import Memory, Rule
from vodkit.temporal.recall import Network, Recall, RecallSettings, Views, first_weights, network_of
from vodkit.video.motion import LAGS_S, Motion
from vodkit.video.reader import open_video

NUM, SIZE, FEATURES = 32, 32, 576
FRAMES = 300
LAGS = (0.05, 0.1, 0.2, 0.4, 0.8, 1.6, 3.2)
"""seven, the longest memory of the design"""


def frames() -> list[Detections]:
    rng, made = np.random.default_rng(0), []
    for _ in range(40):
        corner, side = rng.uniform(0, 600, (NUM, 2)), rng.uniform(20, 90, (NUM, 2))
        features = rng.normal(size=(NUM, SIZE)).astype(np.float32)
        features /= np.linalg.norm(features, axis=1, keepdims=True)
        scores = np.sort(rng.uniform(0.01, 0.95, NUM))[::-1]
        boxes = np.hstack([corner, corner + side])
        made.append(Detections(boxes, scores, np.zeros(NUM, np.int64), features=features))
    return made


def timed(name: str, steps: Iterator[Callable[[], object]], skip: int = 100) -> None:
    """Median and tenth percentile of the steps after the first ones."""
    ms = []
    for step in steps:
        begun = time.perf_counter()
        step()
        ms.append((time.perf_counter() - begun) * 1e3)
    kept = np.array(ms[min(skip, len(ms) // 3) :])
    print(f"{name:32} {np.median(kept):.3f} ms ({np.quantile(kept, 0.1):.3f})", flush=True)


def pushes(rule: Rule, made: list[Detections], num: int = FRAMES) -> Iterator[Callable[[], object]]:
    memory = Memory[int](rule, threshold=0)
    for number, one in enumerate(islice(cycle(made), num)):
        yield lambda one=one, number=number: list(memory.push(number, number / 30, one))


def exported(path: Path) -> Network:
    run, names = read_graph(path), view_names(uses_features=True)

    def network(seen: Views) -> tuple[np.ndarray, np.ndarray]:
        logits, moved = run([getattr(seen, name) for name in names])
        return logits, moved

    return network


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--video", type=Path)
    parser.add_argument("--profile", action="store_true")
    parser.add_argument("--exported", action="store_true", help="also run exported heads")
    options = parser.parse_args()
    cv2.setNumThreads(1)
    made, rng = frames(), np.random.default_rng(1)
    weights = {
        "keys.shift": np.zeros(FEATURES, np.float32),
        "keys.scale": np.ones(FEATURES, np.float32),
        "keys.weight": rng.normal(size=(SIZE, FEATURES)).astype(np.float32),
    }
    keys = Keys(PoolSettings(stages=("neck",), bins=(3, 3)), NUM, projection(weights))
    maps = [rng.normal(size=(64, 39, 52)).astype(np.float32)]
    placement = Placement(768, 576, 768 / 416, 768 / 416)
    boxes = made[0].boxes_xyxy
    embed = lambda: keys.embed(maps, boxes, placement, (416, 312))  # noqa: E731
    timed("pooling and keys", iter([embed] * FRAMES))
    timed("links", pushes(Links(LinkSettings()), made))
    for lags in (RecallSettings().lags_s, LAGS):
        shape = RecallSettings(lags_s=lags)
        rule = Recall(shape, network_of(first_weights()))
        timed(f"head, {len(lags) * shape.remembered} memories", pushes(rule, made))
        for ending in (".onnx", ".xml") if options.exported else ():
            with tempfile.TemporaryDirectory() as folder:
                path = Path(folder) / f"head{ending}"
                write_head_graph(first_weights(), shape, SIZE, path)
                timed(f"  exported {ending}", pushes(Recall(shape, exported(path)), made))
    if options.profile:
        profile = cProfile.Profile()
        profile.enable()
        for step in pushes(rule, made):
            step()
        profile.disable()
        pstats.Stats(profile).sort_stats("tottime").print_stats(25)
    if options.video:
        with open_video(options.video) as video:
            size = (416, 416 * video.info.height_px // video.info.width_px)
            shown = list(islice(video.frames(size_px=size), 90))
        motion = Motion(LAGS_S, lambda _w, _h: size)
        timed("planes, cuts included", iter([lambda one=one: motion.step(one) for one in shown]))


if __name__ == "__main__":
    main()
