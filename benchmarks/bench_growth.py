"""How the cost of ``eval`` and ``data audit`` grows: boxes a frame, frames, classes, faults.

    python benchmarks/bench_growth.py [--most 2000]

Each curve doubles or quadruples one thing and keeps the others; a line has the processor time of
the work alone and the growth of peak memory, each in a process of its own. Linear growth is a time
per box that stays the same.
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from fractions import Fraction
from pathlib import Path

import numpy as np

from vodkit.data.audit.audit import AuditSettings, audit
from vodkit.formats.base import Reading
from vodkit.formats.table import read_dataset
from vodkit.ground.records import Dataset, LabelledVideo, TrackTable, VideoInfo
from vodkit.metrics.evaluation import evaluate

CURVES = {
    "boxes a frame": [(boxes, 20, 1, 0) for boxes in (125, 500, 2000)],
    "frames": [(10, frames, 1, 0) for frames in (250, 1000, 4000)],
    "classes": [(20, 200, classes, 0) for classes in (1, 16, 256)],
    "faulty rows": [(0, 0, 1, faults) for faults in (500, 2000, 8000)],
}


def scene(boxes: int, frames: int, classes: int) -> tuple[Dataset, dict[str, TrackTable]]:
    """Objects that wander at equal density, and noisy predictions of nine in ten."""
    rng = np.random.default_rng(0)
    side = 30 * np.sqrt(boxes)
    frame, ids = np.repeat(np.arange(frames), boxes), np.tile(np.arange(1, boxes + 1), frames)
    start, speed = rng.uniform(0, side, (boxes, 2)), rng.normal(0, 2, (boxes, 2))
    corner = (start + speed * np.arange(frames)[:, None, None]).reshape(-1, 2)
    size = np.tile(rng.uniform(10, 30, (boxes, 2)), (frames, 1))
    columns = {
        "frames": frame,
        "times_s": frame / 25,
        "ids": ids,
        "boxes_xyxy": np.concatenate([corner, corner + size], axis=1),
        "labels": np.tile(rng.integers(0, classes, boxes), frames),
    }
    kept = rng.random(len(frame)) < 0.9
    moved = columns["boxes_xyxy"] + rng.normal(0, 2, (len(frame), 4))
    moved[:, 2:] = np.maximum(moved[:, 2:], moved[:, :2] + 1)
    found = {name: values[kept] for name, values in {**columns, "boxes_xyxy": moved}.items()}
    info = VideoInfo(
        path="a.mp4", width_px=4000, height_px=4000, rate=Fraction(25), num_frames=frames
    )
    video = LabelledVideo(source="a.mp4", info=info, tracks=TrackTable(**columns))
    dataset = Dataset(classes=tuple(map(str, range(classes))), videos=(video,))
    return dataset, {"a.mp4": TrackTable(**found, scores=rng.random(int(kept.sum())))}


def faulty(folder: Path, faults: int) -> Path:
    """MOT labels of which every line has a box that is inverted."""
    lines = [f"{k % 50 + 1},{k + 1},10,10,-5,20,1,1,1" for k in range(faults)]
    (folder / "gt").mkdir()
    (folder / "gt" / "gt.txt").write_text("\n".join(lines) + "\n")
    (folder / "seqinfo.ini").write_text(
        "[Sequence]\nframeRate=25\nseqLength=50\nimWidth=640\nimHeight=480\n"
    )
    return folder


def measure(boxes: int, frames: int, classes: int, faults: int) -> dict[str, float]:
    """Processor time (s) and growth of peak memory (MB) of one piece of work."""
    with tempfile.TemporaryDirectory() as name:
        place = faulty(Path(name), faults) if faults else Path(name)
        work = scene(boxes, frames, classes) if not faults else None
        before, began = resource.getrusage(resource.RUSAGE_SELF), time.process_time()
        if work is not None:
            evaluate(*work)
        else:
            found: list[Exception] = []
            labels = read_dataset(place, reading=Reading(fault=found.append, labelled="all"))
            audit(labels, place, settings=AuditSettings())
        spent = time.process_time() - began
    after = resource.getrusage(resource.RUSAGE_SELF)
    return {"seconds": spent, "megabytes": (after.ru_maxrss - before.ru_maxrss) / 1024}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--most", type=int, default=10**9, help="leave out what is larger")
    parser.add_argument("--one", type=int, nargs=4, help="boxes, frames, classes, faults")
    given = parser.parse_args()
    if given.one:
        print(json.dumps(measure(*given.one)))
        return
    for name, points in CURVES.items():
        for point in points:
            amount = max(point[0] * point[1], point[3])
            if max(point) > given.most:
                continue
            words = [sys.executable, __file__, "--one", *map(str, point)]
            done = subprocess.run(words, capture_output=True, text=True, check=True)
            got = json.loads(done.stdout)
            per_row = 1e6 * got["seconds"] / amount
            print(f"{name:14} {point} {got['seconds']:7.2f} s {got['megabytes']:6.0f} MB "
                  f"{per_row:8.0f} us a row")  # fmt: skip


if __name__ == "__main__":
    main()
