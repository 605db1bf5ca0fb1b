"""One round of matching between some tracks and some detections; trackers are made of these."""

import numpy as np

from vodkit.arrays import BoolArray, FloatArray, IntArray
from vodkit.boxes import iou_pairs
from vodkit.track.assign import Pairs, direction_agreement, likeness, match, near
from vodkit.track.base import Found
from vodkit.track.book import Book
from vodkit.track.kalman import boxes_of


def without(rows: IntArray, taken: IntArray) -> IntArray:
    """``rows`` that are not in ``taken``, in their order (both hold each number once)."""
    if len(taken) == 0 or len(rows) == 0:
        return rows
    mask = np.ones(max(rows.max(), taken.max()) + 1, bool)
    mask[taken] = False
    return rows[mask[rows]]


def by_overlap(
    book: Book,
    found: Found,
    rows: IntArray,
    cols: IntArray,
    *,
    least: float,
    class_aware: bool,
    times_score: bool = False,
    boxes_xyxy: FloatArray | None = None,
) -> Pairs:
    """Match the tracks ``rows`` with the detections ``cols`` by IoU, at least ``least``.

    ``times_score``: the IoU is multiplied with the detection's score. ``boxes_xyxy`` (len(rows),
    4): where the tracks are believed to be; by default where their filters say.
    """
    if len(rows) == 0 or len(cols) == 0:
        return Pairs(rows[:0], cols[:0])
    boxes = boxes_of(book.mean[rows]) if boxes_xyxy is None else boxes_xyxy
    seen = found.boxes_xyxy[cols]
    near_rows, near_cols = near(boxes, seen)
    gain = iou_pairs(boxes[near_rows], seen[near_cols])
    pairs = Pairs(rows[near_rows], cols[near_cols])
    if times_score:
        gain = gain * found.scores[pairs.cols]
    return settle(book, found, pairs, gain, gain >= least, class_aware=class_aware)


def settle(
    book: Book, found: Found, pairs: Pairs, gain: FloatArray, good: BoolArray, *, class_aware: bool
) -> Pairs:
    """The best matching of the ``good`` pairs, of one class only if ``class_aware``."""
    if class_aware:
        good = good & (book.labels[pairs.rows] == found.labels[pairs.cols])
    return match(pairs.where(good), gain[good])


def look_alike(book: Book, found: Found, pairs: Pairs) -> FloatArray:
    """Cosine (P,) of each pair's looks; 0 where one of them is not known."""
    if not found.looks.shape[1] or found.looks.shape[1] != book.looks.shape[1]:
        return np.zeros(len(pairs.rows))
    return likeness(book.looks[pairs.rows], found.looks[pairs.cols])


def straight_on(book: Book, found: Found, pairs: Pairs, *, span_s: float) -> FloatArray:
    """How well each pair's detection goes on in the track's direction, (P,) in [-0.5, 0.5].

    The direction so far is that of the last ``span_s`` seconds before the track was last seen.
    """
    was, seen = book.observed_before(span_s)[pairs.rows], book.seen_xyxy[pairs.rows]
    new = found.boxes_xyxy[pairs.cols]
    return direction_agreement(_centres(was), _centres(seen), _centres(new))


def _centres(boxes_xyxy: FloatArray) -> FloatArray:
    return (boxes_xyxy[:, :2] + boxes_xyxy[:, 2:]) / 2
