"""Deals the labelled clips out: ``python examples/street/sides.py pseudo.json sides.json``.

Whole scenes to a side. What the labelling network does not know must not be taught as background:
cars seen from straight above and hands that reach for bottles are left out.
"""

import sys
from dataclasses import replace
from pathlib import Path, PurePosixPath

import numpy as np

from vodkit.data.ingest import moved
from vodkit.formats.table import read_dataset, write_dataset
from vodkit.records import Dataset, LabelledVideo

# clip: (side, first frame, frame after the last); bikes.mp4 is cut between its shots
SIDES: dict[str, list[tuple[str, int, int]]] = {
    "one-by-one-person-detection.mp4": [("train", 0, 1394)],
    "people-detection.gif": [("train", 0, 23)],
    "again.mkv": [("train", 0, 78)],
    "01_dog.mp4": [("train", 0, 289)],
    "bedroom.mp4": [("train", 0, 200)],
    "dance.mp4": [("train", 0, 450)],
    "bikes.mp4": [("train", 30, 137), ("val", 137, 242)],
    "05_default_juggle.mp4": [("val", 0, 247)],
}


def part(video: LabelledVideo, side: str, first: int, stop: int) -> LabelledVideo:
    """A stretch of a video, on one side."""
    assert video.tracks is not None
    assert video.labelled_frames is not None
    frames = np.asarray(video.labelled_frames)
    tracks = video.tracks
    return replace(
        video,
        split=side,
        labelled_frames=frames[(frames >= first) & (frames < stop)],
        tracks=tracks[(tracks.frames >= first) & (tracks.frames < stop)],
    )


def main() -> None:
    """Read, deal out, write."""
    given, wanted = map(Path, sys.argv[1:3])
    whole = moved(read_dataset(given), given.parent, wanted.parent)
    parts = [
        part(video, *stretch)
        for video in whole.videos
        for stretch in SIDES.get(PurePosixPath(video.source).name, [])
    ]
    write_dataset(Dataset(classes=whole.classes, videos=tuple(parts)), wanted)


if __name__ == "__main__":
    main()
