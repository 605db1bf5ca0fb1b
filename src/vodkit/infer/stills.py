"""Detections in still pictures: one pass over many files, without tracks and without a clock."""

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from fractions import Fraction
from pathlib import Path

from vodkit.detect.base import Detector, RunsOn
from vodkit.formats.prediction_lines import PredictedFrame
from vodkit.formats.predictions import Header, PredictionWriter, read_frames, read_header
from vodkit.formats.table import write_dataset
from vodkit.ground import ledger, runs
from vodkit.ground.errors import FormatError, PartialError, SettingsError, VideoError
from vodkit.ground.records import (
    Dataset,
    Detections,
    Frame,
    LabelledVideo,
    TrackTable,
    VideoInfo,
)
from vodkit.infer.flow import make_detector
from vodkit.infer.folder import RunFolder
from vodkit.infer.manifest import Ended, describe
from vodkit.infer.run import Step
from vodkit.infer.settings import FILM, NO_TRACKER, OFF, STILLS, InferSettings
from vodkit.infer.summary import Tally
from vodkit.video.fingerprint import version_of
from vodkit.video.picture_folders import judge
from vodkit.video.pictures import pictures_in
from vodkit.video.reader import open_video


@dataclass(frozen=True, eq=False, kw_only=True)
class FoundInStills:
    """What was detected, and which pictures could not be read."""

    predictions: Dataset
    """the detector's classes; the same pictures with what was found in them"""
    unreadable: tuple[str, ...]
    """one line for each picture that could not be decoded"""


def stills_among(
    sources: Sequence[str],
    settings: InferSettings,
    *,
    notify: Callable[[str], None] = lambda _note: None,
) -> list[str]:
    """The folders that hold still pictures.

    Args:
        sources: as the user names them.
        settings: ``pictures`` decides, or a ``picture_rate``, which only films have.
        notify: called with what each folder of pictures is taken for, if it was not stated.

    Raises:
        VideoError: a seqinfo.ini that is damaged.
    """
    if settings.pictures == FILM or settings.picture_rate:
        return []
    folders = [source for source in sources if "://" not in source and Path(source).is_dir()]
    folders = [one for one in folders if pictures_in(Path(one))]
    if settings.pictures == STILLS:
        return folders
    found = []
    for folder in folders:
        seen = judge(Path(folder))
        if seen.are_stills:
            found.append(folder)
            notify(f"{folder}: still pictures, no tracker ({seen.why}); a film: --pictures film")
        elif not seen.is_declared:
            notify(f"{folder}: a film ({seen.why}); each for itself: --pictures stills")
    return found


def require_stills_only(
    stills: Sequence[str], sources: Sequence[str], refused: Sequence[str]
) -> None:
    """SettingsError where still pictures come with films, or with options of films.

    Args:
        stills: the sources that hold still pictures, at least one.
        sources: all of them.
        refused: the options that only films have, as they were given.
    """
    hint = "if it is a film, give --pictures film"
    if refused:
        raise SettingsError(f"{stills[0]} holds still pictures: no {', '.join(refused)}; {hint}")
    if films := [one for one in sources if one not in stills]:
        apart = f"{films[0]} does not: give them to commands of their own"
        raise SettingsError(f"{stills[0]} holds still pictures, {apart}; {hint}")


def settings_of_stills(settings: InferSettings) -> InferSettings:
    """The same settings without what needs a clock: tracker, temporal memory, shot changes."""
    return replace(
        settings,
        tracker=NO_TRACKER,
        tracker_settings=(),
        temporal=OFF,
        cuts=False,
        every=1,
        pictures=STILLS,
    )


def stills_in(folder: Path) -> FoundInStills:
    """The pictures of a folder as a dataset of still pictures, with no boxes yet.

    Args:
        folder: see ``video.picture_folders.judge``.
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
    if not videos:
        found = unreadable[0] if unreadable else "there are none"
        raise VideoError(f"none of its pictures can be decoded: {found}", path=folder)
    dataset = Dataset(classes=(), videos=tuple(videos), root=folder)
    return FoundInStills(predictions=dataset, unreadable=tuple(unreadable))


def pictures_of(sources: Sequence[str]) -> list[Path]:
    """The pictures of all folders, which the input size is chosen on."""
    return [path for source in sources for path in pictures_in(Path(source))]


def run_stills(
    source: str, folder: RunFolder, detector: Detector, settings: InferSettings
) -> Iterator[Step]:
    """Detect in a folder of still pictures, into ``predictions.json`` of its run folder.

    A run that was killed continues: the run folder was made ready by ``RunFolder.prepare``.

    Args:
        source: the folder of pictures.
        folder: of the run.
        detector: gives boxes in source pixels.
        settings: see ``settings_of_stills``.

    Yields:
        A step for each picture, when it is recorded.

    Raises:
        PartialError: at the end, where pictures cannot be decoded; the others are written.
    """
    given, root = stills_in(Path(source)), Path(source)
    manifest = describe(source, detector, settings)
    with folder.claim():
        folder.refuse_other_run(manifest)
        folder.write_settings(settings, detector)
        runs.write_json(folder / runs.MANIFEST, manifest.to_json())
        tally = Tally()
        found, unreadable = list[LabelledVideo](), [*given.unreadable]
        with record_of(folder.path, given.predictions, root, detector, settings, anew=False) as log:
            before = log.last_frame
            for step in _steps(given.predictions, root, detector, log, (found, unreadable)):
                fresh = step.frame.index > before
                tally.add(PredictedFrame(step.frame.index, 0.0, step.found), fresh=fresh)
                yield step
        summary = tally.summary(detector.classes, str(detector.runs_on))
        write_dataset(Dataset(classes=detector.classes, videos=tuple(found)), folder / runs.STILLS)
        ended = replace(
            manifest,
            summary=asdict(summary),
            num_frames=len(found),
            notes=tuple(unreadable),
            ended=Ended.PARTIAL if unreadable else Ended.COMPLETE,
        )
        runs.write_json(folder / runs.MANIFEST, ended.to_json())
    if unreadable:
        count = f"{len(unreadable)} of {len(unreadable) + len(found)} pictures"
        raise PartialError(f"{source}: {count} cannot be decoded (first: {unreadable[0]})")


def detector_of_stills(
    folder: Path, dataset: Dataset, root: Path, settings: InferSettings
) -> Detector:
    """The detector of an evaluation, on the runtime that it began on.

    Args:
        folder: see ``record_of``; dataset, root and settings also.
        dataset: see there.
        root: see there.
        settings: see there.
    """
    detector, path = make_detector(settings), folder / runs.PICTURES
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
    path = folder / runs.PICTURES
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
    found: list[LabelledVideo] = []
    unreadable: list[str] = []
    for step in _steps(dataset, root, detector, record, (found, unreadable)):
        progress(step.num_done, step.num_total or 0)
    predictions = Dataset(classes=detector.classes, videos=tuple(found))
    return FoundInStills(predictions=predictions, unreadable=tuple(unreadable))


def _steps(
    dataset: Dataset,
    root: Path,
    detector: Detector,
    record: PredictionWriter | None,
    sorted_into: tuple[list[LabelledVideo], list[str]],
) -> Iterator[Step]:
    """A step for each labelled picture that can be read; ``sorted_into``: found, unreadable."""
    found, unreadable = sorted_into
    labelled = _labelled(dataset)
    known = {one.index: one.found for one in read_frames(record.path)} if record else {}
    for index, picture in enumerate(labelled):
        size_px = {"width_px": picture.info.width_px, "height_px": picture.info.height_px}
        frame, boxes = Frame.unseen(index, 0.0, **size_px), known.get(index)
        if boxes is None:
            try:
                frame, boxes = _detected(root / picture.source, detector)
            except VideoError as error:
                unreadable.append(str(error))
                continue
            if record is not None:
                record.write(index, 0.0, boxes)
        table = TrackTable.from_frames([(0, 0.0, boxes)]) if len(boxes) else TrackTable.empty()
        found.append(replace(picture, tracks=table, labelled_frames=None))
        yield Step(replace(frame, index=index), boxes, index + 1, len(labelled))


def _detected(path: Path, detector: Detector) -> tuple[Frame, Detections]:
    with open_video(path) as video:
        frame = next(iter(video.frames()))
        (boxes,) = detector.detect([frame])
    return frame, boxes
