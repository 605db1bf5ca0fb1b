"""Checks that need only the labels: boxes, tracks, classes."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from vodkit.data.audit.findings import Finding, Grade
from vodkit.ground.arrays import BoolArray, FloatArray, IntArray
from vodkit.ground.boxes import area, intersection, iou, iou_pairs
from vodkit.ground.records import NO_ID, Dataset, LabelledVideo, TrackTable
from vodkit.ground.settings import bounded, check_ranges

BACKGROUND = {"background", "__background__", "bg", "_background_", "none"}


@dataclass(frozen=True, kw_only=True)
class LabelChecks:
    """From where on a label is suspicious."""

    jump: float = bounded(2.0, above=0)
    """a track teleports when its centre moves more than this many box diagonals a frame"""
    double_iou: float = bounded(0.9, above=0, high=1)
    """two boxes of one class that overlap more are probably one object"""
    evidence: int = bounded(5, low=0)
    """places shown for each finding"""

    def __post_init__(self) -> None:
        """Check ranges."""
        check_ranges(self)


def check_labels(
    video: LabelledVideo, classes: Sequence[str], checks: LabelChecks
) -> list[Finding]:
    """All findings about the boxes and tracks of one video."""
    table = video.tracks
    if table is None or len(table) == 0:
        grade = Grade.NOTE if table is None else Grade.WARNING
        what = "is not labelled" if table is None else "has no box"
        return [Finding(code="no-labels", grade=grade, message=what, video=video.source)]
    report = _Report(video, table, checks.evidence)
    return [
        *_boxes(report),
        *_doubles(report, checks),
        *_tracks(report, classes, checks),
    ]


class _Report:
    """Makes findings about rows of one table."""

    def __init__(self, video: LabelledVideo, table: TrackTable, evidence: int) -> None:
        self.video, self.table, self.evidence = video, table, evidence

    def rows(self, code: str, grade: Grade, message: str, rows: IntArray) -> Iterator[Finding]:
        """One finding about ``rows``, if there are any."""
        if len(rows) == 0:
            return
        table = self.table
        places = tuple(
            f"frame {table.frames[row]}, id {table.ids[row]}" for row in rows[: self.evidence]
        )
        yield Finding(
            code=code,
            grade=grade,
            message=message,
            video=self.video.source,
            frame=int(table.frames[rows[0]]),
            time_s=float(table.times_s[rows[0]]),
            count=len(rows),
            evidence=places,
        )


def inside_share(table: TrackTable, video: LabelledVideo) -> FloatArray:
    """Share (R,) of each box that lies inside the picture; 0 for a box without an area."""
    whole = np.array([[0.0, 0.0, video.info.width_px, video.info.height_px]])
    shared, own = intersection(table.boxes_xyxy, whole)[:, 0], area(table.boxes_xyxy)
    return np.divide(shared, own, out=np.zeros(len(table)), where=own > 0)


def _boxes(report: _Report) -> Iterator[Finding]:
    table = report.table
    empty = area(table.boxes_xyxy) == 0
    share = inside_share(table, report.video)
    yield from report.rows("empty-box", Grade.ERROR, "boxes without an area", np.flatnonzero(empty))
    size = f"{report.video.info.width_px}x{report.video.info.height_px}"
    gone = (share == 0) & ~empty
    message = f"boxes wholly outside the {size} picture"
    yield from report.rows("outside", Grade.ERROR, message, np.flatnonzero(gone))
    mostly = (share > 0) & (share < 0.5)
    message = f"boxes with more than half outside the {size} picture"
    yield from report.rows("outside", Grade.WARNING, message, np.flatnonzero(mostly))
    partly = (share >= 0.5) & (share < 1)
    message = f"boxes that stick out of the {size} picture"
    yield from report.rows("outside", Grade.NOTE, message, np.flatnonzero(partly))


def _doubles(report: _Report, checks: LabelChecks) -> Iterator[Finding]:
    table = report.table
    found = []
    starts = np.flatnonzero(np.diff(table.frames, prepend=-1))
    for start, end in zip(starts, [*starts[1:], len(table)], strict=True):
        if end - start < 2:
            continue
        rows = slice(start, end)
        same = table.labels[rows, None] == table.labels[None, rows]
        same &= ~(table.ignore[rows, None] | table.ignore[None, rows])
        overlap = iou(table.boxes_xyxy[rows], table.boxes_xyxy[rows])
        twice = np.triu(same & (overlap > checks.double_iou), k=1)
        found += (start + np.flatnonzero(twice.any(axis=0))).tolist()
    message = f"boxes of one class with IoU above {checks.double_iou:g}"
    yield from report.rows("double-box", Grade.WARNING, message, np.array(found, np.int64))


def _tracks(report: _Report, classes: Sequence[str], checks: LabelChecks) -> Iterator[Finding]:
    """Jumps, class changes and pauses, found between neighbouring rows of each track."""
    table = report.table
    tracked = np.flatnonzero(table.ids != NO_ID)
    order = tracked[np.lexsort((table.frames[tracked], table.ids[tracked]))]
    one, two = order[:-1], order[1:]
    same = table.ids[one] == table.ids[two]
    one, two = one[same], two[same]
    jumped = _jumps(table, one, two, checks.jump)
    message = f"tracks that move more than {checks.jump:g} box diagonals in a frame"
    yield from report.rows("teleport", Grade.WARNING, message, two[jumped])
    changed = two[table.labels[one] != table.labels[two]]
    if len(changed):
        row = int(changed[0])
        before = int(table.labels[one[table.labels[one] != table.labels[two]][0]])
        names = f"{_name(before, classes)} becomes {_name(int(table.labels[row]), classes)}"
        yield from report.rows("class-change", Grade.WARNING, f"tracks: {names}", changed)
    # Frames between two labelled frames, where only some were labelled
    frames = report.video.labelled_frames
    frames = np.unique(table.frames) if frames is None else frames
    step = int(np.median(np.diff(frames))) if len(frames) > 1 else 1
    pauses = two[table.frames[two] - table.frames[one] > step]
    yield from report.rows("gap", Grade.NOTE, "pauses in tracks", pauses)


def _jumps(table: TrackTable, one: IntArray, two: IntArray, jump: float) -> BoolArray:
    first, second = table.boxes_xyxy[one], table.boxes_xyxy[two]
    gap = np.maximum(table.frames[two] - table.frames[one], 1)
    moved = np.linalg.norm(_centres(second) - _centres(first), axis=1)
    size = np.maximum(_diagonals(first), _diagonals(second))
    apart = iou_pairs(first, second) == 0
    return np.asarray(apart & (moved > jump * np.maximum(size, 1.0) * gap))


def _centres(boxes_xyxy: FloatArray) -> FloatArray:
    return (boxes_xyxy[:, :2] + boxes_xyxy[:, 2:]) / 2


def _diagonals(boxes_xyxy: FloatArray) -> FloatArray:
    return np.linalg.norm(boxes_xyxy[:, 2:] - boxes_xyxy[:, :2], axis=1)


def _name(label: int, classes: Sequence[str]) -> str:
    return repr(classes[label]) if 0 <= label < len(classes) else f"class {label}"


def check_classes(dataset: Dataset) -> list[Finding]:
    """Findings about the classes of the whole dataset and of its splits."""
    used = {video.split: set[int]() for video in dataset.videos}
    for video in dataset.videos:
        if video.tracks is not None:
            used[video.split] |= set(video.tracks.labels[video.tracks.labels >= 0].tolist())
    everywhere = set[int]().union(*used.values())
    if not everywhere:
        return []
    return [
        *_base(dataset.classes, everywhere),
        *_unused(dataset.classes, everywhere),
        *_sides(dataset.classes, used),
    ]


def _base(classes: Sequence[str], used: set[int]) -> Iterator[Finding]:
    if 0 in used:
        return
    first = classes[0]
    if first.lower() in BACKGROUND:
        message = f"class 0 is {first!r}; vodkit has no background class, remove it from the names"
        yield Finding(code="class-base", grade=Grade.WARNING, message=message)
    elif len(classes) > 1 and len(classes) - 1 in used:
        message = f"class 0 ({first!r}) has no box, the last has: are the numbers from 1?"
        yield Finding(code="class-base", grade=Grade.WARNING, message=message)


def _unused(classes: Sequence[str], used: set[int]) -> Iterator[Finding]:
    missing = [name for label, name in enumerate(classes) if label not in used]
    if missing:
        message = f"{len(missing)} of {len(classes)} classes have no box"
        yield Finding(
            code="unused-class",
            grade=Grade.NOTE,
            message=message,
            count=len(missing),
            evidence=tuple(missing[:5]),
        )


def _sides(classes: Sequence[str], used: dict[str, set[int]]) -> Iterator[Finding]:
    """Classes that stand on one side only; and a side whose numbers look shifted by one."""
    sides = sorted(split for split in used if split)
    for split in sides:
        for other in sides:
            shifted = {label + 1 for label in used[other]} == used[split] != used[other]
            if split != other and shifted and used[other]:
                message = f"classes of {split!r} are those of {other!r}, shifted by one"
                yield Finding(code="class-base", grade=Grade.WARNING, message=message)
        if split == "train":
            continue
        alone = sorted(used[split] - used.get("train", used[split]))
        if alone:
            names = tuple(classes[label] for label in alone)
            message = f"{len(alone)} classes of {split!r} are not in 'train'"
            yield Finding(code="class-split", grade=Grade.WARNING, message=message, evidence=names)
