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

from vodkit.data.audit.audit import AuditSettings, audit_file
from vodkit.formats.base import Reading
from vodkit.ground.records import Dataset, LabelledVideo, TrackTable, VideoInfo
from vodkit.metrics.evaluation import evaluate

CURVES = {
    "boxes a frame": [(boxes, 20, 1, 0) for boxes in (250, 500, 1000, 2000)],
    "frames": [(10, frames, 1, 0) for frames in (250, 1000, 4000)],
    "classes": [(20, 200, classes, 0) for classes in (1, 16, 256)],
    "faulty rows, MOT": [(0, 0, 1, faults) for faults in (1000, 4000, 16000)],
    "faulty rows, COCO": [(0, 0, 1, faults) for faults in (1000, 4000, 8000, 16000)],
    "faulty rows, CVAT": [(0, 0, 1, faults) for faults in (1000, 4000, 16000)],
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


def faulty(folder: Path, faults: int, form: str) -> Path:
    """Labels of which every row but the last has a box that is inverted."""
    if form == "COCO":
        rows = [
            {"id": k, "image_id": k % 50, "category_id": 1, "bbox": [10, 10, -5, 20]}
            for k in range(faults)
        ]
        rows.append({"id": faults, "image_id": 0, "category_id": 1, "bbox": [10, 10, 5, 20]})
        images = [
            {"id": k, "file_name": f"{k}.jpg", "width": 640, "height": 480} for k in range(50)
        ]
        names = [{"id": 1, "name": "a"}]
        content = {"images": images, "categories": names, "annotations": rows}
        (folder / "a.json").write_text(json.dumps(content, indent=1))
        return folder / "a.json"
    if form == "CVAT":
        box = '<box label="a" occluded="0" xtl="10" ytl="10" xbr="{}" ybr="30"/>'
        images = [
            f'<image id="{k}" name="{k}.jpg" width="640" height="480">\n'
            + (box.format(5) + "\n") * (faults // 50) + box.format(20) + "</image>\n"
            for k in range(50)
        ]  # fmt: skip
        (folder / "a.xml").write_text(f"<annotations>{''.join(images)}</annotations>")
        return folder / "a.xml"
    lines = [f"{k % 50 + 1},{k + 1},10,10,-5,20,1,1,1" for k in range(faults)]
    lines.append(f"1,{faults + 1},10,10,5,20,1,1,1")
    (folder / "gt").mkdir()
    (folder / "gt" / "gt.txt").write_text("\n".join(lines) + "\n")
    (folder / "seqinfo.ini").write_text(
        "[Sequence]\nframeRate=25\nseqLength=50\nimWidth=640\nimHeight=480\n"
    )
    return folder


def measure(boxes: int, frames: int, classes: int, faults: int, form: str) -> dict[str, float]:
    """Processor time (s) and growth of peak memory (MB) of one piece of work."""
    with tempfile.TemporaryDirectory() as name:
        place = faulty(Path(name), faults, form) if faults else Path(name)
        work = scene(boxes, frames, classes) if not faults else None
        before, began = resource.getrusage(resource.RUSAGE_SELF), time.process_time()
        if work is not None:
            evaluate(*work)
        else:
            done = audit_file(
                place, reading=Reading(labelled="all"), settings=AuditSettings(pixels=False)
            )
            assert sum(one.code == "file-fault" for one in done.findings) == faults
        spent = time.process_time() - began
    after = resource.getrusage(resource.RUSAGE_SELF)
    return {"seconds": spent, "megabytes": (after.ru_maxrss - before.ru_maxrss) / 1024}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--most", type=int, default=10**9, help="leave out what is larger")
    parser.add_argument("--one", type=int, nargs=4, help="boxes, frames, classes, faults")
    parser.add_argument("--form", default="", help="format of the faulty rows")
    given = parser.parse_args()
    if given.one:
        print(json.dumps(measure(*given.one, given.form)))
        return
    for name, points in CURVES.items():
        for point in points:
            amount = max(point[0] * point[1], point[3])
            if max(point) > given.most:
                continue
            words = [
                sys.executable,
                __file__,
                "--one",
                *map(str, point),
                "--form",
                name.rpartition(" ")[2],
            ]
            done = subprocess.run(words, capture_output=True, text=True, check=True)
            got = json.loads(done.stdout)
            per_row = 1e6 * got["seconds"] / amount
            print(f"{name:17} {point} {got['seconds']:7.2f} s {got['megabytes']:6.0f} MB "
                  f"{per_row:8.0f} us a row")  # fmt: skip


if __name__ == "__main__":
    main()
