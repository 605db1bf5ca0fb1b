"""Boxes of many pictures as columns: what the detection metrics count over.

A picture is a number from 0; ties of score are broken by picture, then by row, as COCO does.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace

import numpy as np

from vodkit.ground.arrays import BoolArray, FloatArray, IntArray
from vodkit.ground.boxes import to_xywh
from vodkit.ground.checks import FILLED, first_bad_box
from vodkit.ground.errors import InputError
from vodkit.ground.records import TrackTable


@dataclass(frozen=True, eq=False, kw_only=True)
class BoxColumns:
    """R boxes in numbered pictures, truth or found; validated at birth, sorted by picture."""

    images: IntArray
    """(R,) int64, 0-based number of the picture"""
    boxes_xyxy: FloatArray
    """(R, 4) float64, source pixels"""
    labels: IntArray
    """(R,) int64; -1 only in ignore rows: a region to be ignored for every class"""
    scores: FloatArray = FILLED
    """(R,) float64; default 1"""
    ignore: BoolArray = FILLED
    """(R,) bool: truth that is neither right nor wrong to find (a crowd in COCO's words)"""
    areas: FloatArray = FILLED
    """(R,) float64: the size that COCO's small/medium/large go by; default width x height"""

    def __post_init__(self) -> None:
        """Fill defaults, sort by picture (stable), and refuse what engines count silently."""
        boxes = np.asarray(self.boxes_xyxy, np.float64).reshape(-1, 4)
        n = len(boxes)
        problem = first_bad_box(boxes)
        if problem is not None:
            raise InputError(f"BoxColumns: {problem}")
        columns = {
            "images": whole_numbers(self.images, "images"),
            "boxes_xyxy": boxes,
            "labels": whole_numbers(self.labels, "labels"),
            "scores": np.ones(n) if self.scores is None else np.asarray(self.scores, np.float64),
            "ignore": np.zeros(n, bool) if self.ignore is None else np.asarray(self.ignore, bool),
            "areas": _areas(self.areas, boxes),
        }
        for name, values in columns.items():
            if len(values) != n:
                raise InputError(f"BoxColumns: {name} has {len(values)} rows, there are {n} boxes")
        _check(columns)
        order = np.argsort(columns["images"], kind="stable")
        for name, values in columns.items():
            ordered = values[order]
            ordered.flags.writeable = False
            object.__setattr__(self, name, ordered)

    def __len__(self) -> int:
        """Number of boxes."""
        return len(self.images)

    def __getitem__(self, which: IntArray | BoolArray) -> "BoxColumns":
        """The rows chosen by a mask or an index array."""
        return BoxColumns(**{spec.name: getattr(self, spec.name)[which] for spec in fields(self)})


def _areas(given: FloatArray | None, boxes_xyxy: FloatArray) -> FloatArray:
    """The areas given, and width x height where none is (NaN)."""
    sizes = exact_xywh(boxes_xyxy)[:, 2:].prod(axis=1)
    if given is None:
        return sizes
    areas = np.asarray(given, np.float64)
    return areas if areas.shape != sizes.shape else np.where(np.isnan(areas), sizes, areas)


def exact_xywh(boxes_xyxy: FloatArray) -> FloatArray:
    """Left, top, width, height (R, 4), widths as the file had them before x + width was rounded.

    10.1 + 20 - 10.1 is 20.000000000000004 in floating point: that moves an IoU or an area off a
    threshold on which it lies. A width within rounding error of 9 decimals is taken for them.

    >>> exact_xywh(np.array([[10.1, 0.0, 10.1 + 20, 3.0]])).tolist()
    [[10.1, 0.0, 20.0, 3.0]]
    """
    boxes = to_xywh(np.asarray(boxes_xyxy, np.float64).reshape(-1, 4))
    short = np.round(boxes[:, 2:], 9)
    close = np.abs(short - boxes[:, 2:]) <= 2 * np.spacing(np.abs(boxes_xyxy)).reshape(
        -1, 2, 2
    ).max(axis=1)
    boxes[:, 2:] = np.where(close, short, boxes[:, 2:])
    return boxes


def _check(columns: dict[str, FloatArray]) -> None:
    for name in ("scores", "areas"):
        bad = np.flatnonzero(~np.isfinite(columns[name]))
        if len(bad):
            seen = columns[name][bad[0]]
            raise InputError(f"BoxColumns: {name} of box {bad[0]} is {seen}; allowed: finite")
    images, labels = columns["images"], columns["labels"]
    if len(images) and images.min() < 0:
        raise InputError(f"BoxColumns: picture number {images.min()}; allowed: 0 or more")
    wrong = (labels < 0) & ~(columns["ignore"] & (labels == -1))
    if wrong.any():
        raise InputError(f"BoxColumns: label {labels[wrong][0]}; allowed: 0 or more")


def rank_in_group(keys: IntArray, scores: FloatArray) -> IntArray:
    """(R,): place of each row among those of its key, best score first, ties by row.

    >>> rank_in_group(np.array([0, 0, 1]), np.array([0.1, 0.9, 0.5]))
    array([1, 0, 0])
    """
    by_score = np.lexsort((-scores, keys))
    rank = np.empty(len(keys), np.int64)
    rank[by_score] = np.arange(len(keys)) - np.searchsorted(keys[by_score], keys[by_score])
    return rank


def whole_numbers(values: IntArray, name: str) -> IntArray:
    """``values`` as int64; a fraction (frame 3.9) or NaN is an error, never cut off.

    >>> whole_numbers(np.array([1.0, 2.0]), "frames")
    array([1, 2])
    """
    array = np.asarray(values)
    if array.dtype.kind in "iub":
        return array.astype(np.int64)
    array = array.astype(np.float64)
    bad = np.flatnonzero(~(np.isfinite(array) & (array == np.floor(array))))
    if len(bad):
        raise InputError(f"{name}: row {bad[0]} is {array[bad[0]]}; allowed: whole numbers")
    return array.astype(np.int64)


def from_tables(tables: Sequence[TrackTable], frames: Sequence[IntArray]) -> BoxColumns:
    """The rows of several videos, pictures numbered over ``frames`` in the order given.

    ``frames`` holds the evaluated frames of each video, sorted; rows elsewhere are left out.
    """
    starts = np.cumsum([0, *(len(one) for one in frames)])
    picked, images = [], []
    for table, wanted, start in zip(tables, frames, starts, strict=False):
        place = np.searchsorted(wanted, table.frames)
        inside = place < len(wanted)
        inside[inside] = wanted[place[inside]] == table.frames[inside]
        picked.append((table, inside))
        images.append(place[inside] + start)
    return BoxColumns(
        images=_join(images),
        boxes_xyxy=_join([table.boxes_xyxy[inside] for table, inside in picked], (0, 4)),
        labels=_join([table.labels[inside] for table, inside in picked]),
        scores=_join([table.scores[inside] for table, inside in picked]),
        ignore=_join([table.ignore[inside] for table, inside in picked]),
        areas=_join([table.areas[inside] for table, inside in picked]),
    )


def by_rank(columns: BoxColumns, rank: IntArray) -> BoxColumns:
    """The rows with their pictures renumbered by ``rank`` (I,), in the order of these numbers."""
    renumbered = replace(columns, images=rank[columns.images])
    return renumbered[np.argsort(renumbered.images, kind="stable")]


def _join(parts: Sequence[FloatArray], shape: tuple[int, ...] = (0,)) -> FloatArray:
    return np.concatenate(parts) if parts else np.zeros(shape)


def spread_ignore(truth: BoxColumns, num_classes: int) -> BoxColumns:
    """``truth`` with each for-all-classes ignore region repeated for every class."""
    everywhere = np.flatnonzero(truth.labels == -1)
    if not len(everywhere):
        return truth
    rows = np.concatenate([np.flatnonzero(truth.labels >= 0), np.repeat(everywhere, num_classes)])
    labels = np.concatenate(
        [truth.labels[truth.labels >= 0], np.tile(np.arange(num_classes), len(everywhere))]
    )
    return BoxColumns(
        images=truth.images[rows],
        boxes_xyxy=truth.boxes_xyxy[rows],
        labels=labels,
        scores=truth.scores[rows],
        ignore=truth.ignore[rows],
        areas=truth.areas[rows],
    )
