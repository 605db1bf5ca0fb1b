"""Detections in still pictures: one pass over many files, without tracks and without a clock."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from vodkit.detect.base import Detector
from vodkit.ground.errors import VideoError
from vodkit.ground.records import Dataset, LabelledVideo, TrackTable
from vodkit.video.reader import open_video


@dataclass(frozen=True, eq=False, kw_only=True)
class FoundInStills:
    """What was detected, and which pictures could not be read."""

    predictions: Dataset
    """the detector's classes; the same pictures with what was found in them"""
    unreadable: tuple[str, ...]
    """one line for each picture that could not be decoded"""


def detect_stills(
    dataset: Dataset,
    root: Path,
    detector: Detector,
    *,
    progress: Callable[[int, int], None] = lambda done, total: None,  # noqa: ARG005
) -> FoundInStills:
    """Detect in every labelled picture of a dataset.

    Args:
        dataset: its sources are pictures, see ``formats.base.are_stills``.
        root: folder that they are relative to.
        detector: gives boxes in source pixels.
        progress: called with the pictures done and their number.

    Returns:
        Predictions with the sources of ``dataset``.
    """
    labelled = [video for video in dataset.videos if video.tracks is not None]
    found: list[LabelledVideo] = []
    unreadable: list[str] = []
    for done, picture in enumerate(labelled, 1):
        try:
            table = _detected(root / picture.source, detector)
        except VideoError as error:
            unreadable.append(str(error))
        else:
            found.append(replace(picture, tracks=table, labelled_frames=None))
        progress(done, len(labelled))
    predictions = Dataset(classes=detector.classes, videos=tuple(found))
    return FoundInStills(predictions=predictions, unreadable=tuple(unreadable))


def _detected(path: Path, detector: Detector) -> TrackTable:
    with open_video(path) as video:
        frame = next(iter(video.frames()))
    (boxes,) = detector.detect([frame])
    return TrackTable.from_frames([(0, 0.0, boxes)]) if len(boxes) else TrackTable.empty()
