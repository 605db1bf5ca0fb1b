"""Doubtful tracks leave their frames in a ring that the review page opens."""

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import pytest

from vodkit.formats.predictions import read_predictions
from vodkit.ground.records import Frame, Tracks
from vodkit.review.doubtful import Doubtful
from vodkit.review.project import ProjectSettings, open_project

CLASSES = ("fly", "wasp")
Row = tuple[int, tuple[int, int, int, int], int, float]


def frame_at(index: int) -> Frame:
    image = np.full((60, 80, 3), 40 + index % 200, np.uint8)
    return Frame(index, index / 10, image, 160, 120)  # decoded to half the size


def tracks_of(rows: Sequence[Row]) -> Tracks:
    return Tracks(
        boxes_xyxy=np.array([row[1] for row in rows], np.float32).reshape(-1, 4),
        scores=np.array([row[3] for row in rows], np.float32),
        labels=np.array([row[2] for row in rows], np.int64),
        ids=np.array([row[0] for row in rows], np.int64),
        states=np.zeros(len(rows), np.uint8),
    )


def way(track: int, *, first: int, count: int, score: float = 0.9, labels: int = 1,
        jump: int = 1000) -> dict[int, Row]:  # fmt: skip
    """A track that moves by a pixel a frame; its classes take turns."""
    return {
        i: (track, (i + 40 * (i >= jump), 10, i + 20 + 40 * (i >= jump), 50), i % labels, score)
        for i in range(first, first + count)
    }


def run(ring: Doubtful, *ways: dict[int, Row], num_frames: int = 100) -> None:
    for index in range(num_frames):
        ring.add(frame_at(index), tracks_of([one[index] for one in ways if index in one]))
    ring.end()


@pytest.mark.parametrize(
    ("doubted", "number"),
    [
        (way(2, first=5, count=60, score=0.4), 5),
        (way(2, first=5, count=6), 5),
        (way(2, first=5, count=60, labels=2), 5),
        (way(2, first=5, count=60, jump=30), 5),
    ],
    ids=["near the threshold", "short", "class", "jump"],
)
def test_only_frames_of_doubtful_tracks_are_kept(
    tmp_path: Path, doubted: dict[int, Row], number: int
) -> None:
    sure = way(1, first=0, count=100)
    run(Doubtful(tmp_path, 9, CLASSES, threshold=0.3), sure)
    assert not (tmp_path / "doubtful" / "predictions.jsonl").exists()
    run(Doubtful(tmp_path, 9, CLASSES, threshold=0.3), sure, doubted)
    (picture,) = sorted((tmp_path / "doubtful" / "pictures").glob("*.jpg"))
    assert abs(int(cv2.imread(str(picture)).mean()) - (40 + number)) <= 1
    table = read_predictions(tmp_path / "doubtful" / "predictions.jsonl").table
    assert table.boxes_xyxy.tolist() == [
        [number / 2, 5, number / 2 + 10, 25], [number / 2, 5, number / 2 + 10, 25]
    ], "both objects of the frame, in pixels of the picture"  # fmt: skip


def test_the_ring_keeps_the_newest_over_sessions_and_review_opens_it(tmp_path: Path) -> None:
    short = [way(k, first=10 * k, count=3) for k in range(1, 6)]
    run(Doubtful(tmp_path, 4, CLASSES, threshold=0.3), *short)
    run(Doubtful(tmp_path, 4, CLASSES, threshold=0.3), way(1, first=20, count=4))
    folder = tmp_path / "doubtful"
    names = sorted(path.name for path in (folder / "pictures").glob("*.jpg"))
    assert names == [f"{n:08d}.jpg" for n in (2, 3, 4, 5)]
    out = tmp_path / "review.json"
    with open_project(ProjectSettings(run=folder, out=out)) as project:
        (times,) = [timing.times_s for timing in project.journal.document.timings]
        assert list(times) == [0.0, 1.0, 2.0, 3.0]
        labels = project.labels(0)
    assert len(labels["tracks"]) == 4
