"""Seconds of ``vodkit data audit`` on a video, with labels on every frame made up for it.

    python benchmarks/bench_audit.py hour_720p.mp4 [--objects 5]

Prints one JSON line: wall and CPU seconds (all threads), and what an hour of such video takes.
The whole audit is run, pixels and labels: the budget is 600 s of two cores for an hour of 720p.
"""

import argparse
import json
import os
import tempfile
import time
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np

from vodkit.data.audit.audit import audit_file
from vodkit.data.audit.video_scan import probe
from vodkit.formats.base import Reading
from vodkit.formats.table import write_dataset
from vodkit.ground.records import Dataset, LabelledVideo, TrackTable, VideoInfo
from vodkit.ground.runs import stack


def labels_for(source: Path, info: VideoInfo, num_objects: int) -> Dataset:
    """Objects that go round in the picture, each a track of ten seconds that the next follows."""
    count = info.num_frames or 0
    frames = np.repeat(np.arange(count), num_objects)
    number = np.tile(np.arange(num_objects), count)
    angle = frames / 40 + 2 * np.pi * number / num_objects
    x = (0.5 + 0.35 * np.cos(angle)) * info.width_px
    y = (0.5 + 0.35 * np.sin(angle)) * info.height_px
    life = int(10 * info.rate)
    table = TrackTable(
        frames=frames,
        times_s=frames / float(info.rate),
        ids=frames // life * num_objects + number + 1,
        boxes_xyxy=np.stack([x - 40, y - 60, x + 40, y + 60], axis=1),
        labels=number % 2,
    )
    video = LabelledVideo(source=source.name, info=replace(info, path=source.name), tracks=table)
    return Dataset(classes=("one", "two"), videos=(video,))


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("video", type=Path)
    arguments.add_argument("--objects", type=int, default=5)
    given = arguments.parse_args()
    info = probe(given.video)
    assert info is not None
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        (place / given.video.name).symlink_to(given.video.resolve())
        write_dataset(labels_for(given.video, info, given.objects), place / "labels.json")
        began, spent = time.perf_counter(), time.process_time()
        done = audit_file(place / "labels.json", reading=Reading(probe=probe))
        wall_s, cpu_s = time.perf_counter() - began, time.process_time() - spent
    video_s = float((info.num_frames or 0) / Fraction(info.rate))
    result = {
        "video": {"size": f"{info.width_px}x{info.height_px}", "seconds": video_s},
        "boxes": sum(len(one.tracks or ()) for one in done.dataset.videos),
        "wall_s": wall_s,
        "cpu_s": cpu_s,
        "cores": os.cpu_count(),
        "load": os.getloadavg(),
        "hour_wall_s": wall_s * 3600 / video_s,
        "hour_cpu_s": cpu_s * 3600 / video_s,
        "findings": sorted({finding.code for finding in done.findings}),
        "stack": stack(),
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
