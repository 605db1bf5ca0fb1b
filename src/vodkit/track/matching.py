"""Rounds of matching between tracks and detections; trackers are made of these."""

from collections.abc import Callable

import numpy as np

from vodkit.ground.arrays import BoolArray, FloatArray, IntArray
from vodkit.ground.boxes import iou_pairs
from vodkit.track.assign import (
    OVERLAPS,
    Pairs,
    direction_agreement,
    likeness,
    match,
    near,
    rows_where,
)
from vodkit.track.base import Found
from vodkit.track.kalman import areas_px
from vodkit.track.track_table import Book


class Rounds:
    """Who was told to be whom in this frame, and who is still free for the next round."""

    def __init__(self, book: Book, found: Found) -> None:
        """Nobody is told yet."""
        self._book, self._found = book, found
        self._free_rows = np.ones(len(book), bool)
        self._free_cols = np.ones(len(found.scores), bool)
        self._told: list[Pairs] = []

    def settle(
        self,
        pairs: Pairs,
        gain: FloatArray,
        good: BoolArray,
        *,
        more: Callable[[Pairs], FloatArray] | None = None,
    ) -> None:
        """One round: the best matching of the ``good`` pairs (P,) whose two ends are free.

        ``more``: see ``assign.match``.
        """
        good = good & self.free(pairs) if self._told else good
        told = match(pairs.where(good), gain[good], more)
        if len(told.rows):
            self._free_rows[told.rows] = self._free_cols[told.cols] = False
            self._told.append(told)

    def settle_by_overlap(
        self, pairs: Pairs, good: BoolArray, *, least: float, boxes_xyxy: FloatArray | None = None
    ) -> None:
        """The same by IoU of at least ``least``, which is worked out only where it is needed.

        ``boxes_xyxy`` (N, 4): where the tracks are believed to be; by default where they are
        expected.
        """
        pairs = pairs.where(good & self.free(pairs))
        if len(pairs.rows):
            boxes = self._book.expected_xyxy if boxes_xyxy is None else boxes_xyxy
            ours, theirs = boxes.take(pairs.rows, axis=0), self._found.boxes_xyxy
            overlap = iou_pairs(ours, theirs.take(pairs.cols, axis=0))
            self.settle(pairs, overlap, overlap >= least)

    def free(self, pairs: Pairs) -> BoolArray:
        """Whether both ends of each pair (P,) are still nobody's."""
        return np.asarray(self._free_rows[pairs.rows] & self._free_cols[pairs.cols])

    @property
    def told(self) -> Pairs:
        """Everybody who was told, of all rounds."""
        return Pairs.joined(self._told)

    @property
    def free_cols(self) -> IntArray:
        """The detections that are nobody's, in their order."""
        return rows_where(self._free_cols)


def same_class(book: Book, found: Found, pairs: Pairs) -> BoolArray:
    """Whether the two of each pair (P,) are of one class."""
    return np.asarray(book.labels[pairs.rows] == found.labels[pairs.cols])


def overlapping(
    book: Book, found: Found, *, class_aware: bool, by: str = "iou"
) -> tuple[Pairs, FloatArray, BoolArray]:
    """Pairs of expected and found boxes that meet, their overlap (P,), and which may be matched.

    ``by``: a name in ``assign.OVERLAPS``.
    """
    reach, measure = OVERLAPS[by]
    pairs = near(book.expected_xyxy, found.boxes_xyxy, buffer=reach)
    overlap = measure(book.expected_xyxy[pairs.rows], found.boxes_xyxy[pairs.cols])
    may = same_class(book, found, pairs) if class_aware else np.ones(len(overlap), bool)
    return pairs, overlap, may


def look_alike(book: Book, found: Found, pairs: Pairs) -> FloatArray:
    """Cosine (P,) of each pair's looks; 0 where one of them is not known."""
    if not found.looks.shape[1] or found.looks.shape[1] != book.looks.shape[1]:
        return np.zeros(len(pairs.rows))
    return likeness(book.looks[pairs.rows], found.looks[pairs.cols])


def straight_on(
    book: Book, found: Found, pairs: Pairs, *, span_s: float, noise: float = 0.0
) -> FloatArray:
    """How well each pair's detection goes on in the track's direction, (P,) in [-0.5, 0.5].

    The direction so far is that of the last ``span_s`` seconds before the track was last seen.
    ``noise``: standard deviation of a detection's centre, in sizes: the less two centres are apart
    in comparison, the less the direction between them says.
    """
    was, seen = book.observed_before(pairs.rows, span_s), book.seen_xyxy[pairs.rows]
    new = found.boxes_xyxy[pairs.cols]
    agreement = direction_agreement(_centres(was), _centres(seen), _centres(new))
    if not noise:
        return agreement
    blur = areas_px(book.mean)[pairs.rows, 0] * noise**2
    for a, b in ((was, seen), (seen, new)):
        way = ((_centres(b) - _centres(a)) ** 2).sum(axis=1)
        agreement = agreement * (way / (way + blur))
    return agreement


def _centres(boxes_xyxy: FloatArray) -> FloatArray:
    return (boxes_xyxy[:, :2] + boxes_xyxy[:, 2:]) / 2
