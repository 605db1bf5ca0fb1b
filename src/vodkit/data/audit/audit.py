"""The doctor of labelled video: everything that makes numbers lie, found before training.

``audit`` changes nothing. It reads every video once (small and grey) and every label, and gives
findings; ``mend`` makes a repaired copy from the same evidence.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from vodkit.data.audit.findings import Finding, Grade, worst
from vodkit.data.audit.label_shift import Shift, ShiftSearch, estimate, windows
from vodkit.data.audit.labels import LabelChecks, check_classes, check_labels
from vodkit.data.audit.leaks import LeakSearch, Side, find_leaks
from vodkit.data.audit.missing_labels import LookalikeSearch, lookalikes, unlabelled_predictions
from vodkit.data.audit.velocity_shift import estimate_slow, surer
from vodkit.data.audit.video_scan import Footage, look
from vodkit.data.audit.videos import check_video
from vodkit.formats.base import BROKEN, Reading, is_still, split_warnings
from vodkit.formats.table import read_dataset
from vodkit.ground.errors import FormatError, VideoError
from vodkit.ground.records import Dataset, LabelledVideo, TrackTable


@dataclass(frozen=True, kw_only=True)
class AuditSettings:
    """What an audit looks at, and how closely."""

    pixels: bool = True
    """False: look at the labels only, open no video"""
    labels: LabelChecks = field(default_factory=LabelChecks)
    shift: ShiftSearch = field(default_factory=ShiftSearch)
    leaks: LeakSearch = field(default_factory=LeakSearch)
    lookalikes: LookalikeSearch = field(default_factory=LookalikeSearch)


@dataclass(frozen=True, eq=False)
class Audit:
    """All that was found, with what was seen of each video."""

    dataset: Dataset
    findings: tuple[Finding, ...]
    footage: dict[str, Footage]
    """by source, for videos that could be opened"""
    shifts: dict[str, Shift]
    """by source, where enough moves to tell"""

    @property
    def worst(self) -> Grade:
        """The worst grade."""
        return worst(self.findings)


def audit_file(
    path: Path,
    format: str = "auto",  # noqa: A002
    *,
    reading: Reading | None = None,
    settings: AuditSettings | None = None,
) -> Audit:
    """Audit a label file: faulty rows become findings, the rest is audited without them."""
    told = reading or Reading()
    faults: list[FormatError] = []
    lenient = replace(told, fault=faults.append)
    dataset = read_dataset(path, format, reading=lenient)
    done = audit(dataset, root_of(path), settings=settings)
    broken = [Finding(code="file-fault", grade=Grade.ERROR, message=str(one)) for one in faults]
    return Audit(dataset, (*broken, *done.findings), done.footage, done.shifts)


def audit(dataset: Dataset, root: Path, *, settings: AuditSettings | None = None) -> Audit:
    """All findings about a dataset whose sources are relative to ``root``."""
    chosen = settings or AuditSettings()
    findings = [*_empty(dataset), *_accounted(dataset), *check_classes(dataset), *_warned(dataset)]
    footage: dict[str, Footage] = {}
    shifts: dict[str, Shift] = {}
    for video in dataset.videos:
        findings += check_labels(video, dataset.classes, chosen.labels)
        if chosen.pixels:
            findings += _watch(video, root, chosen, footage, shifts)
    findings += find_leaks(sides_of(dataset, root, footage), chosen.leaks)
    return Audit(dataset, tuple(findings), footage, shifts)


def against_predictions(
    done: Audit, predictions: Mapping[str, TrackTable], search: LookalikeSearch
) -> Audit:
    """The audit with what a detector is sure of where no label is; ``predictions`` by source."""
    found = [
        finding
        for video in done.dataset.videos
        if video.source in predictions
        for finding in unlabelled_predictions(video, predictions[video.source], search)
    ]
    return replace(done, findings=(*done.findings, *found))


def audit_files(
    paths: Sequence[Path],
    format: str = "auto",  # noqa: A002
    *,
    reading: Reading | None = None,
    settings: AuditSettings | None = None,
) -> list[Audit]:
    """Audits of several label files that are the sides of one split, called by their names.

    Leaks between the files are among the findings of the first.
    """
    chosen = settings or AuditSettings()
    done = [audit_file(path, format, reading=reading, settings=chosen) for path in paths]
    sides = [
        replace(side, split=f"{path.name}: {side.split}" if side.split else path.name)
        for path, one in zip(paths, done, strict=True)
        for side in sides_of(one.dataset, root_of(path), one.footage, unnamed=True)
    ]
    if len(done) > 1:
        kept = tuple(one for one in done[0].findings if one.code not in ("leak", "same-place"))
        first = replace(done[0], findings=(*kept, *find_leaks(sides, chosen.leaks)))
        done = [first, *done[1:]]
    return done


def root_of(path: Path) -> Path:
    """The folder that the sources of a label file, or folder, are relative to."""
    return path if path.is_dir() else path.parent


def sides_of(
    dataset: Dataset, root: Path, footage: dict[str, Footage], *, unnamed: bool = False
) -> list[Side]:
    """What is compared for leaks: every video, or part of one, that belongs to a split.

    ``unnamed`` takes videos without a split as well.
    """
    return [
        Side.of(
            video.split, video.source, footage[video.source], video.labelled_frames,
            path=root / video.source, picture_rate=video.info.rate,
        )
        for video in dataset.videos
        if (video.split or unnamed) and video.source in footage
    ]  # fmt: skip


def _empty(dataset: Dataset) -> Iterator[Finding]:
    """An error where there is nothing to learn from or to measure with."""
    boxes = sum(len(video.tracks) for video in dataset.videos if video.tracks is not None)
    if not boxes:
        what = "no video has a box" if dataset.videos else "the dataset has no video"
        yield Finding(code="no-labels", grade=Grade.ERROR, message=what)


def _accounted(dataset: Dataset) -> Iterator[Finding]:
    """What the import of the labels skipped or converted."""
    for account in dataset.accounts:
        for reason, one in account.skipped.items():
            if reason != BROKEN:  # a finding of its own
                message = f"{account.file}: {one.count} {reason} (first: {one.first})"
                yield Finding(
                    code="skipped-objects", grade=Grade.WARNING, message=message, count=one.count
                )
        for how, count in account.converted.items():
            message = f"{account.file}: {count} {how}"
            yield Finding(code="converted-shapes", grade=Grade.NOTE, message=message, count=count)


def _warned(dataset: Dataset) -> Iterator[Finding]:
    for message in split_warnings(dataset):
        yield Finding(code="split-warning", grade=Grade.WARNING, message=message)


def _watch(
    video: LabelledVideo,
    root: Path,
    settings: AuditSettings,
    footage: dict[str, Footage],
    shifts: dict[str, Shift],
) -> list[Finding]:
    """One pass over one video, and what it says about the labels."""
    path = root / video.source
    if not path.exists():
        message = f"{video.source} is not in {root}"
        grade = Grade.ERROR
        return [Finding(code="video-missing", grade=grade, message=message, video=video.source)]
    places = [] if is_still(video) else _places(video, settings)
    try:
        wanted = {frame for window in places for frame in window}
        seen = look(path, keep=wanted, picture_rate=video.info.rate)
    except VideoError as error:
        code = "picture-broken" if is_still(video) else "video-missing"
        return [Finding(code=code, grade=Grade.ERROR, message=str(error), video=video.source)]
    footage[video.source] = seen
    found = check_video(video, seen)
    shift = estimate(video, seen.kept, places, settings.shift)
    shift = surer(shift, estimate_slow(video, path, places, settings.shift))
    if shift is not None:
        shifts[video.source] = shift
        found += _shifted(video, shift, settings.shift)
    if not is_still(video) and not seen.broken:
        found += lookalikes(video, path, settings.lookalikes)
    return found


def _places(video: LabelledVideo, settings: AuditSettings) -> list[range]:
    table = video.tracks
    last = 0 if table is None or len(table) == 0 else int(table.frames[-1]) + 1
    count = video.info.num_frames or last
    return windows(video, count, settings.shift)


def _shifted(video: LabelledVideo, shift: Shift, search: ShiftSearch) -> list[Finding]:
    frames = shift.frames or shift.suspected
    if frames == 0:
        return []
    way = "later" if frames > 0 else "earlier"
    count = abs(frames)
    at_least = "at least " * (count == search.most)
    seen_by = "" if shift.seen_by == "place" else ", recognised by their motion"
    message = (
        f"labels fit the picture {at_least}{count} frame{'s' * (count > 1)} {way} better "
        f"({shift.sureness:.1f} standard errors{seen_by})"
    )
    return [
        Finding(
            code="label-shift",
            grade=Grade.ERROR if shift.frames else Grade.WARNING,
            message=message,
            video=video.source,
            count=count,
            evidence=(f"shift {frames:+d}", *_strengths(shift, frames, search.most)),
        )
    ]


def _strengths(shift: Shift, frames: int, most: int) -> Iterator[str]:
    what = "motion in the boxes" if shift.seen_by == "place" else "correlation of steps"
    yield f"{what}: {shift.scores[frames + most]:.2f}, as labelled {shift.scores[most]:.2f}"
