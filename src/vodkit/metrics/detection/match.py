"""Who is matched to whom, the greedy ways: best score first, over all pictures at once.

Legend: T thresholds, R found boxes, P pairs of a found box and a truth box that overlap enough.
"""

from dataclasses import dataclass

import numpy as np

from vodkit.ground.arrays import BoolArray, FloatArray, IntArray
from vodkit.metrics.detection.coco_engine import IOU_THRESHOLDS
from vodkit.metrics.detection.columns import BoxColumns, exact_xywh, rank_in_group, spread_ignore
from vodkit.metrics.detection.overlap import overlapping

UNMATCHED = -1
MAX_FOUND = 100


@dataclass(frozen=True, eq=False, kw_only=True)
class Verdicts:
    """What became of every found box at every threshold, under COCO's rules (area: all)."""

    truth: BoxColumns
    """the truth, for-all-classes regions spread over the classes"""
    found: BoxColumns
    kept: BoolArray
    """(R,): among the 100 best of its picture and class; the others do not count"""
    matches: IntArray
    """(T, R): row of ``truth``; -1 for a false alarm"""
    ignored: BoolArray
    """(T, R): matched to a region that is to be ignored: neither right nor wrong"""
    thresholds: FloatArray

    def right(self, threshold_index: int = 0) -> BoolArray:
        """(R,): true positives."""
        k = threshold_index
        return self.kept & (self.matches[k] != UNMATCHED) & ~self.ignored[k]

    def wrong(self, threshold_index: int = 0) -> BoolArray:
        """(R,): false alarms."""
        k = threshold_index
        return self.kept & (self.matches[k] == UNMATCHED)

    def found_truth(self, threshold_index: int = 0) -> BoolArray:
        """(rows of truth,): which truth boxes were found."""
        hit = np.zeros(len(self.truth), bool)
        hit[self.matches[threshold_index][self.right(threshold_index)]] = True
        return hit


def coco_verdicts(
    truth: BoxColumns,
    found: BoxColumns,
    *,
    num_classes: int,
    thresholds: FloatArray = IOU_THRESHOLDS,
    max_found: int = MAX_FOUND,
) -> Verdicts:
    """COCO's greedy match of found boxes to truth boxes of their picture and class.

    Best score first, each takes the free truth box that it overlaps most (the later of two equal
    ones); a free one goes before an ignore region, which takes any number.

    All pictures advance together: the n-th best box of every picture and class is matched in one
    step, which is why a million boxes take seconds.
    """
    truth = spread_ignore(truth, num_classes)
    truth_order, pairs, rank = _candidates(truth, found, num_classes, float(thresholds.min()))
    kept = rank < max_found
    matches = np.full((len(thresholds), len(found)), UNMATCHED)
    ignored = np.zeros((len(thresholds), len(found)), bool)
    crowd = truth.ignore[truth_order]
    taken = np.zeros((len(thresholds), len(truth)), bool)
    limits = np.minimum(thresholds, 1 - 1e-10)[:, None]
    for rows, columns, overlap in rounds(pairs, rank, max_found):
        starts = np.flatnonzero(np.diff(rows, prepend=-1))
        who = rows[starts]
        good = overlap[None, :] >= limits
        regular = good & ~crowd[columns] & ~taken[:, columns]
        chosen = _last_best(regular, overlap, starts)
        t_index, d_index = np.nonzero(chosen != UNMATCHED)
        place = columns[chosen[t_index, d_index]]
        taken[t_index, place] = True
        matches[t_index, who[d_index]] = truth_order[place]
        absorbed = _last_best(good & crowd[columns], overlap, starts)
        absorbed[chosen != UNMATCHED] = UNMATCHED
        t_index, d_index = np.nonzero(absorbed != UNMATCHED)
        matches[t_index, who[d_index]] = truth_order[columns[absorbed[t_index, d_index]]]
        ignored[t_index, who[d_index]] = True
    return Verdicts(
        truth=truth, found=found, kept=kept, matches=matches, ignored=ignored, thresholds=thresholds
    )


def _last_best(usable: BoolArray, overlap: FloatArray, starts: IntArray) -> IntArray:
    """(T, found boxes): the last of the usable pairs with the largest overlap in each segment."""
    value = np.where(usable, overlap[None, :], -1.0)
    best = np.maximum.reduceat(value, starts, axis=1)
    lengths = np.diff(np.append(starts, len(overlap)))
    is_best = usable & (value == np.repeat(best, lengths, axis=1))
    number = np.where(is_best, np.arange(len(overlap))[None, :], UNMATCHED)
    return np.maximum.reduceat(number, starts, axis=1)


def _candidates(
    truth: BoxColumns, found: BoxColumns, num_classes: int, least: float
) -> tuple[IntArray, tuple[IntArray, IntArray, FloatArray], IntArray]:
    """Truth rows in order, pairs that could match, and each found row's rank in its group.

    The order is by picture, class and ignore; a pair is (found row, place in that order, IoU) of
    the same picture and class with IoU >= ``least``.
    """
    truth_key = truth.images * num_classes + truth.labels
    found_key = found.images * num_classes + found.labels
    truth_order = np.lexsort((truth.ignore, truth_key))
    there = truth.boxes_xyxy[truth_order]
    rows, columns = overlapping(found_key, found.boxes_xyxy, truth_key[truth_order], there)
    crowd = truth.ignore[truth_order[columns]]
    found_xywh, truth_xywh = exact_xywh(found.boxes_xyxy), exact_xywh(there)
    overlap = _coco_iou(found_xywh[rows], truth_xywh[columns], crowd)
    near = overlap >= least
    rank = rank_in_group(found_key, found.scores)
    return truth_order, (rows[near], columns[near], overlap[near]), rank


def inclusive_iou(a_xyxy: FloatArray, b_xyxy: FloatArray, *, extra_px: float) -> FloatArray:
    """IoU (P,) of pairs of boxes that are ``extra_px`` wider and higher than x2 - x1, y2 - y1."""
    low = np.maximum(a_xyxy[:, :2], b_xyxy[:, :2])
    high = np.minimum(a_xyxy[:, 2:], b_xyxy[:, 2:])
    shared = np.clip(high - low + extra_px, 0, None).prod(axis=1)
    size_a = (a_xyxy[:, 2:] - a_xyxy[:, :2] + extra_px).prod(axis=1)
    size_b = (b_xyxy[:, 2:] - b_xyxy[:, :2] + extra_px).prod(axis=1)
    whole = size_a + size_b - shared
    return np.divide(shared, whole, out=np.zeros_like(shared), where=whole > 0)


def best_partner(
    rows: IntArray, columns: IntArray, overlap: FloatArray, num_found: int
) -> tuple[IntArray, FloatArray]:
    """(R,) column with the largest overlap (the first of equal ones), and that overlap.

    ``rows`` is sorted; a row without a pair has column -1 and overlap -1.
    """
    column, value = np.full(num_found, UNMATCHED), np.full(num_found, -1.0)
    if not len(rows):
        return column, value
    starts = np.flatnonzero(np.diff(rows, prepend=-1))
    best = np.maximum.reduceat(overlap, starts)
    is_best = overlap == np.repeat(best, np.diff(np.append(starts, len(rows))))
    number = np.where(is_best, np.arange(len(rows)), len(rows))
    column[rows[starts]] = columns[np.minimum.reduceat(number, starts)]
    value[rows[starts]] = best
    return column, value


def greedy(
    pairs: tuple[IntArray, IntArray, FloatArray],
    rank: IntArray,
    num_truth: int,
    *,
    second_choice: BoolArray | None = None,
) -> IntArray:
    """(R,) column of truth that each row takes, best ranks first; -1 for none.

    Each takes the free column with the largest overlap; of equal ones the first, or, where
    ``second_choice`` (num_truth,) is given, the first that is not a second choice, else the last.
    """
    matches, taken = np.full(len(rank), UNMATCHED), np.zeros(num_truth, bool)
    for rows, columns, overlap in rounds(pairs, rank, len(rank)):
        starts = np.flatnonzero(np.diff(rows, prepend=-1))
        free = ~taken[columns]
        value = np.where(free, overlap, -1.0)
        best = np.repeat(np.maximum.reduceat(value, starts), np.diff(np.append(starts, len(rows))))
        is_best = free & (value == best)
        chosen = _first(is_best, starts)
        if second_choice is not None:
            preferred = _first(is_best & ~second_choice[columns], starts)
            last = np.maximum.reduceat(np.where(is_best, np.arange(len(rows)), UNMATCHED), starts)
            chosen = np.where(preferred != UNMATCHED, preferred, last)
        hit = chosen != UNMATCHED
        matches[rows[starts[hit]]] = columns[chosen[hit]]
        taken[columns[chosen[hit]]] = True
    return matches


def _first(wanted: BoolArray, starts: IntArray) -> IntArray:
    """The first wanted place in each segment; -1 where there is none."""
    number = np.where(wanted, np.arange(len(wanted)), len(wanted))
    first = np.minimum.reduceat(number, starts)
    return np.where(first < len(wanted), first, UNMATCHED)


def _coco_iou(found: FloatArray, truth: FloatArray, crowd: BoolArray) -> FloatArray:
    """IoU (P,) as COCO's C code computes it from x, y, w, h; for a crowd the covered share."""
    low = np.maximum(found[:, :2], truth[:, :2])
    high = np.minimum(found[:, :2] + found[:, 2:], truth[:, :2] + truth[:, 2:])
    shared = np.clip(high - low, 0, None).prod(axis=1)
    own = found[:, 2:].prod(axis=1)
    whole = np.where(crowd, own, own + truth[:, 2:].prod(axis=1) - shared)
    return np.divide(shared, whole, out=np.zeros_like(shared), where=whole > 0)


def rounds(
    pairs: tuple[IntArray, IntArray, FloatArray], rank: IntArray, max_found: int
) -> list[tuple[IntArray, IntArray, FloatArray]]:
    """The pairs of the best box of each group, of the second best, and so on."""
    rows, columns, overlap = pairs
    pair_rank = rank[rows]
    order = np.argsort(pair_rank, kind="stable")
    order = order[: np.searchsorted(pair_rank[order], max_found)]
    if not len(order):
        return []
    cuts = np.flatnonzero(np.diff(pair_rank[order])) + 1
    return [(rows[part], columns[part], overlap[part]) for part in np.split(order, cuts)]
