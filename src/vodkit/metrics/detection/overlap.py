"""Pairs of boxes that overlap, without all pairs that do not.

Two thousand boxes a frame are four million pairs, of which a few thousand overlap. Boxes of one
side are put into strips as high as they are, and sorted along each strip; a box of the other side
asks the strips that it crosses for what lies beside it. That is done for each power of two of the
boxes' size, so that one large box does not make candidates of all small ones. Candidates are taken
in portions: memory is bounded whatever the boxes are.
"""

from collections.abc import Iterator

import numpy as np

from vodkit.ground.arrays import FloatArray, IntArray

FEW_PAIRS = 100_000
"""up to which all pairs are made: the shorter way is the faster one"""
PORTION = 200_000
"""candidates handled at once"""
LEAST_STRIP_PX = 8.0
"""boxes smaller than this are of one size class"""


def pairs_of_keys(keys: IntArray, others: IntArray) -> tuple[IntArray, IntArray]:
    """(P,), (P,): all pairs of a row of ``keys`` and a row of ``others`` (sorted) that are equal.

    >>> pairs_of_keys(np.array([3, 1]), np.array([1, 1, 2]))
    (array([1, 1]), array([0, 1]))
    """
    first = np.searchsorted(others, keys, side="left")
    count = np.searchsorted(others, keys, side="right") - first
    return _spread(np.arange(len(keys)), first, count)


def overlapping(
    keys: IntArray,
    boxes_xyxy: FloatArray,
    other_keys: IntArray,
    other_boxes_xyxy: FloatArray,
    *,
    extra_px: float = 0.0,
) -> tuple[IntArray, IntArray]:
    """Rows (P,) of both sides with equal keys whose boxes share some area, by row, then other row.

    Args:
        keys: (N,) for example the number of the picture.
        boxes_xyxy: (N, 4).
        other_keys: (M,) in any order.
        other_boxes_xyxy: (M, 4).
        extra_px: how much wider and higher than x2 - x1, y2 - y1 boxes are, on both sides.
    """
    order = np.argsort(other_keys, kind="stable")
    sorted_keys = other_keys[order]
    count = np.searchsorted(sorted_keys, keys, side="right")
    count -= np.searchsorted(sorted_keys, keys, side="left")
    if count.sum() <= FEW_PAIRS:
        rows, places = pairs_of_keys(keys, sorted_keys)
        columns = order[places]
        near = _touch(boxes_xyxy[rows], other_boxes_xyxy[columns], extra_px)
        return rows[near], columns[near]
    dense = np.unique(np.concatenate([keys, other_keys]), return_inverse=True)[1]
    mine, theirs = dense[: len(keys)], dense[len(keys) :]
    size = np.maximum(other_boxes_xyxy[:, 2:] - other_boxes_xyxy[:, :2], LEAST_STRIP_PX)
    level = np.ceil(np.log2(size.max(axis=1))).astype(np.int64)
    found = [np.empty((0, 2), np.int64)]
    for one in np.unique(level).tolist():
        there = np.flatnonzero(level == one)
        strips = _Strips(theirs[there], other_boxes_xyxy[there], float(2.0**one))
        for asking, first, count in strips.candidates(mine, boxes_xyxy, extra_px):
            rows, places = _spread(asking, first, count)
            columns = there[strips.order[places]]
            near = _touch(boxes_xyxy[rows], other_boxes_xyxy[columns], extra_px)
            found.append(np.column_stack([rows[near], columns[near]]))
    rows, columns = np.concatenate(found).T
    by_row = np.lexsort((columns, rows))
    return rows[by_row], columns[by_row]


class _Strips:
    """Boxes of one size class by key and horizontal strip, sorted along each strip.

    Key, strip and x are one number, (key * strips + strip) * span + x, which is rounded: ranges
    have some slack, and what they give are candidates.
    """

    def __init__(self, keys: IntArray, boxes_xyxy: FloatArray, side_px: float) -> None:
        """``side_px``: no box is wider or higher."""
        self.side_px = side_px
        self.low = boxes_xyxy[:, :2].min(axis=0)
        self.high_x = float(boxes_xyxy[:, 0].max())
        strip = ((boxes_xyxy[:, 1] - self.low[1]) // side_px).astype(np.int64)
        self.num = int(strip.max()) + 1
        self.span = 2 * (self.high_x - float(self.low[0]) + side_px) + 1
        place = (keys * self.num + strip) * self.span + (boxes_xyxy[:, 0] - self.low[0])
        self.order = np.argsort(place, kind="stable")
        self.place = place[self.order]
        self.slack = 8 * float(np.spacing(self.place[-1] + self.span))

    def candidates(
        self, keys: IntArray, boxes_xyxy: FloatArray, extra_px: float
    ) -> Iterator[tuple[IntArray, IntArray, IntArray]]:
        """Rows that ask, and for each the first place and the number of its candidates."""
        reach = extra_px + self.slack
        top = (boxes_xyxy[:, 1] - self.low[1] - reach) // self.side_px - 1
        bottom = (boxes_xyxy[:, 3] - self.low[1] + reach) // self.side_px
        strips = np.clip([top, bottom + 1], 0, self.num).astype(np.int64)
        left = np.clip(boxes_xyxy[:, 0] - self.low[0] - self.side_px - reach, 0, self.span)
        right = np.clip(boxes_xyxy[:, 2] - self.low[0] + reach, -1, self.span / 2)
        asked = np.where(right >= 0, strips[1] - strips[0], 0)
        for part in _portions(asked):
            rows, strip = _spread(part, strips[0][part], asked[part])
            base = (keys[rows] * self.num + strip) * self.span
            first = np.searchsorted(self.place, base + left[rows] - self.slack, side="left")
            last = np.searchsorted(self.place, base + right[rows] + self.slack, side="right")
            count = np.maximum(last - first, 0)
            for piece in _portions(count):
                yield rows[piece], first[piece], count[piece]


def _portions(counts: IntArray) -> list[IntArray]:
    """Places of ``counts``, cut where their sum would pass PORTION."""
    ends = np.cumsum(counts)
    total = int(ends[-1]) if len(ends) else 0
    cuts = np.searchsorted(ends, np.arange(PORTION, total, PORTION), side="right")
    return [part for part in np.split(np.arange(len(counts)), np.unique(cuts)) if len(part)]


def _spread(rows: IntArray, first: IntArray, count: IntArray) -> tuple[IntArray, IntArray]:
    """Each of ``rows`` beside the ``count`` places from ``first`` on."""
    every = np.repeat(rows, count)
    places = np.arange(len(every)) - np.repeat(np.cumsum(count) - count - first, count)
    return every, places


def _touch(a_xyxy: FloatArray, b_xyxy: FloatArray, extra_px: float) -> FloatArray:
    """(P,) whether boxes side by side share some area."""
    low = np.maximum(a_xyxy[:, :2], b_xyxy[:, :2])
    high = np.minimum(a_xyxy[:, 2:], b_xyxy[:, 2:])
    return np.asarray((high - low + extra_px > 0).all(axis=1))
