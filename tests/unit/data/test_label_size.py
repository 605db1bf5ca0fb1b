"""Labels for pictures of another size: scaled with a note, or refused."""

from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import pytest

from vodkit.data.ingest import attach
from vodkit.data.loader import FrameDataset
from vodkit.formats.predictions import Header, write_table
from vodkit.formats.table import read_dataset, write_dataset
from vodkit.ground.errors import InputError
from vodkit.ground.label_size import Sized, scaling_of
from vodkit.ground.records import Dataset, LabelledVideo, TrackTable, VideoInfo
from vodkit.metrics.prediction_files import read_predictions
from vodkit.train.loop import train
from vodkit.train.settings import TrainSettings
from vodkit.video.writer import VideoWriter

SEEN = (96, 64)
BOXES = np.array([[50.0, 34, 90, 60], [10, 8, 30, 24]])


def labelled(
    name: str, declared: tuple[int, int], boxes: np.ndarray, num_frames: int = 1
) -> LabelledVideo:
    """A video with all of these boxes in its first frame."""
    rate, width_px, height_px = Fraction(10), *declared
    info = VideoInfo(
        path=name, width_px=width_px, height_px=height_px, rate=rate, num_frames=num_frames
    )
    table = TrackTable(
        frames=np.zeros(len(boxes), np.int64),
        times_s=np.zeros(len(boxes)),
        ids=np.arange(len(boxes)),
        boxes_xyxy=boxes,
        labels=np.zeros(len(boxes), np.int64),
    )
    return LabelledVideo(source=name, info=info, tracks=table, split="train")


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    path = tmp_path / "a.mp4"
    with VideoWriter(path, width_px=SEEN[0], height_px=SEEN[1], rate=Fraction(10)) as out:
        for index in range(3):
            out.write(np.full((SEEN[1], SEEN[0], 3), 40 * index, np.uint8), index / 10)
    return path


def test_labels_of_a_smaller_copy_are_scaled_at_import(clip: Path) -> None:
    dataset = Dataset(classes=("a",), videos=(labelled("a.mp4", (48, 32), BOXES / 2, 3),))
    done = attach(dataset, clip.parent)
    (video,) = done.dataset.videos
    assert video.tracks is not None
    assert np.allclose(video.tracks.boxes_xyxy, BOXES)
    assert (video.info.width_px, video.info.height_px) == SEEN
    assert done.notes == ("labels of a.mp4 are for 48x32 px; scaled to the pictures' 96x64",)


@pytest.mark.parametrize(
    ("declared", "boxes", "why"),
    [
        ((48, 32), BOXES, "1 of 2 boxes lie outside of 48x32"),
        ((64, 96), BOXES / 2, "turned by 90 degrees"),
        ((192, 128), np.repeat(BOXES, 10, axis=0), "either size may be theirs"),
    ],
)
def test_labels_that_are_not_of_their_declared_size_are_refused(
    clip: Path, declared: tuple[int, int], boxes: np.ndarray, why: str
) -> None:
    """At import, by the loader, and before a training takes its first step."""
    video = labelled("a.mp4", declared, boxes, 3)
    dataset = Dataset(classes=("a",), videos=(video,))
    message = rf"a\.mp4 are for pictures of {declared[0]}x{declared[1]} px.*96x64.*{why}"
    with pytest.raises(InputError, match=message):
        attach(dataset, clip.parent)
    with pytest.raises(InputError, match=message):
        FrameDataset(dataset, clip.parent)[0]
    write_dataset(dataset, clip.parent / "labels.json")
    settings = TrainSettings(
        data=str(clip.parent / "labels.json"), out=str(clip.parent / "out"), val_split=""
    )
    with pytest.raises(InputError, match=message):
        train(settings)


def test_pictures_are_judged_together(tmp_path: Path) -> None:
    """One of them shows that the declared size is wrong: the others are not scaled either."""
    one = labelled("0.png", (48, 32), BOXES[1:])
    other = labelled("1.png", (48, 32), BOXES)
    assert scaling_of([Sized(one, SEEN)]) != ()
    with pytest.raises(InputError, match=r"0\.png, 1\.png.*outside of 48x32"):
        scaling_of([Sized(one, SEEN), Sized(other, SEEN)])
    for video in (one, other):
        cv2.imwrite(str(tmp_path / video.source), np.zeros((*SEEN[::-1], 3), np.uint8))
    write_dataset(Dataset(classes=("a",), videos=(one, other)), tmp_path / "labels.json")
    settings = TrainSettings(
        data=str(tmp_path / "labels.json"), out=str(tmp_path / "out"), val_split=""
    )
    with pytest.raises(InputError, match=r"outside of 48x32"):
        train(settings)


def test_predictions_on_pictures_of_another_size_are_scaled_to_the_labels(tmp_path: Path) -> None:
    video = labelled("a.mp4", (48, 32), BOXES / 2, 3)
    assert video.tracks is not None
    dataset = Dataset(classes=("a",), videos=(replace(video, split=""),))
    write_dataset(dataset, tmp_path / "labels.json")
    info = replace(video.info, width_px=SEEN[0], height_px=SEEN[1])
    header = Header(source="a.mp4", classes=("a",), info=info, detector="d", tracker="")
    table = replace(video.tracks, boxes_xyxy=BOXES, scores=np.ones(2))
    clock = {0: 0.0, 1: 0.1, 2: 0.2}
    write_table(tmp_path / "predictions.jsonl", header, table, clock, times_s=clock)
    given = read_predictions(
        [tmp_path / "predictions.jsonl"], read_dataset(tmp_path / "labels.json")
    )
    assert np.allclose(given.tables["a.mp4"].boxes_xyxy, BOXES / 2)
    assert any("scaled to 48x32, the size of the labels" in note for note in given.notes)
