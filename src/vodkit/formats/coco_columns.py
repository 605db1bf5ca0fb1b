"""Plain COCO annotations read as columns: a file of a million boxes in seconds.

An annotation is plain when it has a ``bbox`` of four numbers that is neither turned nor inverted, a
known image and category, and numbers in range where it has ``score`` and ``area``. All others are
read one by one, which is ten times as slow, converts shapes, and names what is wrong.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from vodkit.formats.jsonfile import LARGEST
from vodkit.ground.arrays import BoolArray, FloatArray, IntArray
from vodkit.ground.records import NO_ID, TrackTable

_NUMBERS = {int, float}
_FLAGS = (0, 1, None)


@dataclass(frozen=True, eq=False)
class Columns:
    """The annotations of all images whose annotations are all plain, R rows."""

    images: IntArray
    """(R,) image ids, ascending"""
    boxes_xyxy: FloatArray
    labels: IntArray
    scores: FloatArray
    ignore: BoolArray
    areas: FloatArray
    one_by_one: list[int]
    """the places in ``annotations`` of all others"""

    def __len__(self) -> int:
        """Number of rows."""
        return len(self.images)

    def tables(self) -> Iterator[tuple[int, TrackTable]]:
        """(image id, its boxes in the order of the file) of every image that has a row."""
        numbers, starts = np.unique(self.images, return_index=True)
        ends = [*starts.tolist(), len(self)][1:]
        for number, start, end in zip(numbers.tolist(), starts.tolist(), ends, strict=True):
            rows = slice(start, end)
            zeros = np.zeros(end - start)
            yield (
                number,
                TrackTable(
                    frames=zeros,
                    times_s=zeros,
                    ids=np.full(end - start, NO_ID),
                    boxes_xyxy=self.boxes_xyxy[rows],
                    labels=self.labels[rows],
                    scores=self.scores[rows],
                    ignore=self.ignore[rows],
                    areas=self.areas[rows],
                ),
            )


def plain_columns(
    annotations: list[Any],
    labels: Mapping[int, int],
    images: Mapping[int, Any],
    *,
    skip_empty: bool,
) -> Columns:
    """The plain annotations as columns, and the places of the others.

    Args:
        annotations: The entries of the file.
        labels: Category id -> class.
        images: The known image ids.
        skip_empty: Whether boxes without an area are not plain.
    """
    rows = [_plain(entry, labels, images) for entry in annotations]
    places = np.array([place for place, row in enumerate(rows) if row is not None], np.int64)
    found = [row for row in rows if row is not None]
    table = np.array(found, np.float64).reshape(-1, 9)
    corner, size = table[:, 1:3], table[:, 3:5]
    boxes = np.concatenate([corner, corner + size], axis=1)
    area, scores = table[:, 8], table[:, 6]
    good = (np.abs(boxes) < LARGEST).all(axis=1) & (size >= 0).all(axis=1)
    good &= (scores >= 0) & (scores <= 1) & ~(area < 0) & ~np.isinf(area)
    if skip_empty:
        good &= (size > 0).all(axis=1) | (table[:, 7] > 0)
    numbers = table[:, 0].astype(np.int64)
    others = np.ones(len(annotations), np.bool_)
    others[places[good]] = False
    spoilt = {_image(annotations[place]) for place in np.flatnonzero(others).tolist()}
    if spoilt:  # their other rows keep the order of the file among those read one by one
        good &= ~np.isin(numbers, [number for number in spoilt if number is not None])
        others[places] |= ~good
    order = np.flatnonzero(good)[np.argsort(numbers[good], kind="stable")]
    same = size[order, 0] * size[order, 1] == area[order]
    return Columns(
        images=numbers[order],
        boxes_xyxy=boxes[order],
        labels=table[order, 5].astype(np.int64),
        scores=scores[order],
        ignore=table[order, 7] > 0,
        areas=np.where(same, np.nan, area[order]),
        one_by_one=np.flatnonzero(others).tolist(),
    )


def _image(entry: Any) -> int | None:
    """The image id of an annotation, where it has one that is a number."""
    number = entry.get("image_id") if isinstance(entry, dict) else None
    if not isinstance(number, int | float) or not abs(number) < LARGEST:
        return None
    return int(number)


def _plain(
    entry: Any, labels: Mapping[int, int], images: Mapping[int, Any]
) -> tuple[float, ...] | None:
    """Image, x, y, width, height, class, score, ignore, area (NaN: none); None: not plain."""
    if type(entry) is not dict or "box_xyxy" in entry:
        return None
    get = entry.get
    box, image, label = get("bbox"), get("image_id"), get("category_id")
    score, area, extra = get("score", 1.0), get("area"), get("attributes")
    if not (
        type(box) is list
        and len(box) == 4
        and _NUMBERS.issuperset(map(type, box))
        and type(image) is int
        and image in images
        and type(label) is int
        and label in labels
        and type(score) in _NUMBERS
        and (area is None or type(area) in _NUMBERS)
        and (extra is None or (type(extra) is dict and not extra.get("rotation")))
        and get("iscrowd") in _FLAGS
        and get("ignore") in _FLAGS
    ):
        return None
    ignore = bool(get("iscrowd") or get("ignore"))
    try:
        return (
            image,
            *box,
            labels[label],
            score,
            ignore,
            math.nan if area is None else float(area),
        )
    except OverflowError:
        return None
