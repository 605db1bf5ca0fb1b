"""Evaluation and report of many videos: `vodkit eval` on made-up clips, as a user runs it.

    python benchmarks/bench_report.py [--videos 20] [--frames 200] [--keep FOLDER]

Makes the clips, labels, and two runs of predictions (one worse than the other, with misses, swapped
ids, false alarms and loose boxes), then times `vodkit eval` without and with its report, and
`vodkit compare --report`. One JSON line.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np

from vodkit.formats.table import write_dataset
from vodkit.ground.records import Dataset, LabelledVideo, TrackTable
from vodkit.ground.runs import stack
from vodkit.video.synth import CLASSES, Scene, SceneSettings, write_scene

BUDGET_S = 60


def guess(truth: TrackTable, rng: np.random.Generator, *, sloppy: float) -> TrackTable:
    """What a tracker of so much sloppiness says of the truth."""
    kept = truth[rng.random(len(truth)) > 0.1 * sloppy]
    boxes = kept.boxes_xyxy + rng.normal(0, 2 * sloppy, (len(kept), 4))
    boxes[:, 2:] = np.maximum(boxes[:, 2:], boxes[:, :2] + 1)
    ids = kept.ids.copy()
    for _ in range(int(2 * sloppy)):  # from some moment on, two are taken for each other
        a, b = rng.choice(np.unique(ids), 2, replace=False)
        late = kept.frames > rng.integers(kept.frames.max())
        one, other = late & (ids == a), late & (ids == b)
        ids[one], ids[other] = b, a
    return replace(kept, boxes_xyxy=boxes, ids=ids, scores=rng.uniform(0.3, 1, len(kept)))


def make(folder: Path, *, num_videos: int, num_frames: int) -> int:
    """Clips, labels.json, good.json and poor.json; how many boxes there are."""
    rng = np.random.default_rng(0)
    truth: list[LabelledVideo] = []
    for seed in range(num_videos):
        scene = Scene(
            SceneSettings(
                seed=seed,
                width_px=640,
                height_px=360,
                num_frames=num_frames,
                rate=Fraction(25),
                num_objects=8,
            )
        )
        write_scene(scene, folder / f"{seed:02d}.mp4")
        truth.append(LabelledVideo(source=f"{seed:02d}.mp4", info=scene.info, tracks=scene.truth))
    write_dataset(Dataset(classes=CLASSES, videos=tuple(truth)), folder / "labels.json")
    for name, sloppy in {"good": 1.0, "poor": 2.0}.items():
        told = [
            replace(one, tracks=guess(one.tracks, rng, sloppy=sloppy))
            for one in truth
            if one.tracks is not None
        ]
        write_dataset(Dataset(classes=CLASSES, videos=tuple(told)), folder / f"{name}.json")
    return sum(len(one.tracks or ()) for one in truth)


def seconds(*words: str | Path) -> float:
    begin = time.perf_counter()
    run = [sys.executable, "-m", "vodkit", *map(str, words)]
    subprocess.run(run, check=True, stdout=subprocess.DEVNULL)
    return round(time.perf_counter() - begin, 1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--videos", type=int, default=20)
    parser.add_argument("--frames", type=int, default=200)
    parser.add_argument("--keep", type=Path, help="leave everything here")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = given.keep or Path(name)
        folder.mkdir(parents=True, exist_ok=True)
        num_boxes = make(folder, num_videos=given.videos, num_frames=given.frames)
        labels = folder / "labels.json"
        took = {
            "numbers": seconds(
                "eval", labels, folder / "poor.json", "-o", folder / "poor", "--no-report"
            ),
            "with report": seconds("eval", labels, folder / "good.json", "-o", folder / "good"),
            "compare": seconds(
                "compare", folder / "poor", folder / "good", "--report", folder / "compare.html"
            ),
        }
        size_mib = (folder / "good" / "report.html").stat().st_size / 2**20
        line = {
            "videos": given.videos,
            "frames": given.videos * given.frames,
            "boxes": num_boxes,
            "seconds": took,
            "budget_s": BUDGET_S,
            "report_mib": round(size_mib, 1),
            "stack": stack(),
        }
        print(json.dumps(line))


if __name__ == "__main__":
    main()
