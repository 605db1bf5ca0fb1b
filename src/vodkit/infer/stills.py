"""Detections in still pictures: one pass over many files, without tracks and without a clock."""

import hashlib
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from fractions import Fraction
from pathlib import Path

from vodkit.detect.base import Detector, RunsOn
from vodkit.formats.predictions import Header, PredictionWriter, read_frames, read_header
from vodkit.ground import ledger
from vodkit.ground.errors import FormatError, VideoError
from vodkit.ground.records import Dataset, Detections, LabelledVideo, TrackTable, VideoInfo
from vodkit.infer.flow import make_detector
from vodkit.infer.settings import NO_TRACKER, OFF, InferSettings
from vodkit.video.fingerprint import version_of
from vodkit.video.pictures import pictures_in
from vodkit.video.reader import open_video

RECORD = "pictures.jsonl"
"""a line for each picture that is done; frame k is the k-th picture"""


@dataclass(frozen=True, eq=False, kw_only=True)
class FoundInStills:
    """What was detected, and which pictures could not be read."""

    predictions: Dataset
    """the detector's classes; the same pictures with what was found in them"""
    unreadable: tuple[str, ...]
    """one line for each picture that could not be decoded"""


def settings_of_stills(settings: InferSettings) -> InferSettings:
    """The same settings without what needs a clock: tracker, temporal memory, shot changes."""
    return replace(settings, tracker=NO_TRACKER, temporal=OFF, cuts=False)


def stills_in(folder: Path) -> FoundInStills:
    """The pictures of a folder as a dataset of still pictures, with no boxes yet.

    Args:
        folder: see ``video.pictures.are_no_film``.
    """
    videos: list[LabelledVideo] = []
    unreadable: list[str] = []
    for path in pictures_in(folder):
        try:
            with open_video(path) as video:
                info = replace(video.info, path=path.name, rate=Fraction(1), duration_s=None)
        except VideoError as error:
            unreadable.append(str(error))
        else:
            videos.append(LabelledVideo(source=path.name, info=info, tracks=TrackTable.empty()))
    dataset = Dataset(classes=(), videos=tuple(videos), root=folder)
    return FoundInStills(predictions=dataset, unreadable=tuple(unreadable))


def detector_of_stills(
    folder: Path, dataset: Dataset, root: Path, settings: InferSettings
) -> Detector:
    """The detector of a run, on what it began on: ``auto`` is measured and may change its mind.

    Args:
        folder: see ``record_of``; dataset, root and settings also.
        dataset: see there.
        root: see there.
        settings: see there.
    """
    detector, path = make_detector(settings), folder / RECORD
    header = _header(dataset, root, detector, settings)
    if not _is_begun(path, header):
        return detector
    there = RunsOn(**read_header(path).notes)
    return detector if there == detector.runs_on else make_detector(settings, runs_on=there)


def record_of(
    folder: Path,
    dataset: Dataset,
    root: Path,
    detector: Detector,
    settings: InferSettings,
    *,
    anew: bool,
) -> PredictionWriter:
    """The record of a run on these pictures, which a run that was killed continues.

    Args:
        folder: holds the record.
        dataset: see ``detect_stills``; root and detector also.
        root: see there.
        detector: see there.
        settings: of the run.
        anew: replace the record of another model, of other settings or pictures.

    Raises:
        OutputError: the record is another run's and not to be replaced, or not vodkit's.
    """
    path = folder / RECORD
    header = _header(dataset, root, detector, settings)
    ledger.require_ours(path)
    if anew and path.exists() and not _is_begun(path, header):
        path.unlink()
    return PredictionWriter(path, header, resume=True)


def _header(dataset: Dataset, root: Path, detector: Detector, settings: InferSettings) -> Header:
    return Header(
        source=f"pictures {_digest(dataset, root, detector, settings)}",
        classes=detector.classes,
        info=VideoInfo(path="pictures", width_px=1, height_px=1, rate=Fraction(1)),
        detector=detector.card.name,
        notes=detector.runs_on._asdict(),
    )


def _is_begun(path: Path, header: Header) -> bool:
    """Whether the record is of this run; a damaged one is of none."""
    try:
        there = read_header(path)
    except FormatError:  # also: there is none
        return False
    return (there.source, there.classes) == (header.source, header.classes)


def _digest(dataset: Dataset, root: Path, detector: Detector, settings: InferSettings) -> str:
    """Of all that the boxes depend on: weights, settings, the pictures and their order."""
    pictures = [(one.source, version_of(str(root / one.source))) for one in _labelled(dataset)]
    made_of = [detector.card.sha256, asdict(settings), pictures]
    return hashlib.sha256(json.dumps(made_of, default=str).encode()).hexdigest()[:16]


def _labelled(dataset: Dataset) -> list[LabelledVideo]:
    return [video for video in dataset.videos if video.tracks is not None]


def detect_stills(
    dataset: Dataset,
    root: Path,
    detector: Detector,
    *,
    record: PredictionWriter | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,  # noqa: ARG005
) -> FoundInStills:
    """Detect in every labelled picture of a dataset.

    Args:
        dataset: its sources are pictures, see ``formats.base.are_stills``.
        root: folder that they are relative to.
        detector: gives boxes in source pixels.
        record: grows by each picture; pictures that it holds are not detected again.
        progress: called with the pictures done and their number.

    Returns:
        Predictions with the sources of ``dataset``.
    """
    labelled = _labelled(dataset)
    known = {one.index: one.found for one in read_frames(record.path)} if record else {}
    found: list[LabelledVideo] = []
    unreadable: list[str] = []
    for index, picture in enumerate(labelled):
        try:
            if (boxes := known.get(index)) is None:
                boxes = _detected(root / picture.source, detector)
        except VideoError as error:
            unreadable.append(str(error))
        else:
            if record is not None and index > record.last_frame:
                record.write(index, 0.0, boxes)
            table = TrackTable.from_frames([(0, 0.0, boxes)]) if len(boxes) else TrackTable.empty()
            found.append(replace(picture, tracks=table, labelled_frames=None))
        progress(index + 1, len(labelled))
    predictions = Dataset(classes=detector.classes, videos=tuple(found))
    return FoundInStills(predictions=predictions, unreadable=tuple(unreadable))


def _detected(path: Path, detector: Detector) -> Detections:
    with open_video(path) as video:
        (boxes,) = detector.detect([next(iter(video.frames()))])
    return boxes
