"""Why a detector is wrong: the error types of TIDE (Bolya et al. 2020, arXiv 2008.08115).

Each false alarm is of the first type that fits, in the order of ``tidecv`` 1.0.1: localisation
(right class, IoU 0.1 to 0.5), class (IoU >= 0.5 with an object of another class), duplicate,
background (IoU <= 0.1), else both. A missed object is one that no localisation or class error
points to. The weight of a type is how much AP50 would rise if it, and it alone, were mended.

Different from ``tidecv`` on purpose: detections in ignore regions are no errors, and the mean
over classes is over those with truth.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from vodkit.ground.arrays import BoolArray, FloatArray, IntArray
from vodkit.metrics.detection.columns import BoxColumns, rank_in_group
from vodkit.metrics.detection.match import (
    UNMATCHED,
    best_partner,
    greedy,
    inclusive_iou,
)
from vodkit.metrics.detection.overlap import overlapping
from vodkit.metrics.detection.precision_recall import coco_ap, curve
from vodkit.metrics.ratio import mean

KINDS = ("class", "localisation", "both", "duplicate", "background")
"""of detections, numbered from 0 in ``DetectionErrors.kind``"""
MISSED = "missed"
CLASS, LOCALISATION, BOTH, DUPLICATE, BACKGROUND = range(5)
NO_ERROR, IGNORED = -1, -2
_RECALLS = np.arange(101) / 100
"""tidecv's; COCO's own differ in the last bit, which moves a recall that falls on a point"""


@dataclass(frozen=True, kw_only=True)
class ErrorResult:
    """How often each error occurs, and what it costs."""

    ap50: float | None
    counts: Mapping[str, int]
    ap_loss: Mapping[str, float | None]
    """rise of AP50 (0 to 1) if only this were mended"""
    false_alarm_ap_loss: float | None
    """rise of AP50 if every false alarm had score 0"""
    miss_ap_loss: float | None
    """rise of AP50 if every object that was not found were left out"""


@dataclass(frozen=True, eq=False, kw_only=True)
class DetectionErrors:
    """The verdict on every detection and every truth box."""

    kind: IntArray
    """(R,): place in KINDS; -1 right, -2 ignored or beyond the 100 best of its picture"""
    target: IntArray
    """(R,): row of truth that a right box, a class or a localisation error points to; else -1"""
    mends: BoolArray
    """(R,): the best of the class and localisation errors that point to its unfound truth box"""
    missed: BoolArray
    """(rows of truth,): not found, and no error points to it"""
    found_truth: BoolArray
    """(rows of truth,)"""
    truth: BoxColumns
    """the truth without ignore regions; rows of the two columns above"""


@dataclass(frozen=True, eq=False)
class _Overlaps:
    """Each detection's largest overlap with truth of one sort, and with which."""

    partner: IntArray
    value: FloatArray


def find_errors(
    truth: BoxColumns,
    found: BoxColumns,
    *,
    foreground: float = 0.5,
    background: float = 0.1,
    max_found: int = 100,
) -> DetectionErrors:
    """The error type of every detection; at most ``max_found`` a picture over all classes."""
    crowd = truth.ignore
    there = truth[~crowd]
    rows, columns, overlap = _pairs(there, found)
    same = found.labels[rows] == there.labels[columns]
    rank = rank_in_group(found.images, found.scores)
    hit = same & (overlap >= foreground) & (rank[rows] < max_found)
    match = greedy((rows[hit], columns[hit], overlap[hit]), rank, len(there))
    used = np.zeros(len(there), bool)
    used[match[match != UNMATCHED]] = True
    num = len(found)
    own = _Overlaps(*best_partner(rows[same], columns[same], overlap[same], num))
    other = _Overlaps(*best_partner(rows[~same], columns[~same], overlap[~same], num))
    taken = same & used[columns]
    own_used = best_partner(rows[taken], columns[taken], overlap[taken], num)[1]
    nearest = best_partner(rows, columns, overlap, num)[1]
    kind = np.select(
        [
            nearest < 0,  # nothing overlaps it
            (own.value >= background) & (own.value <= foreground),
            other.value >= foreground,
            own_used >= foreground,
            nearest <= background,
        ],
        [BACKGROUND, LOCALISATION, CLASS, DUPLICATE, BACKGROUND],
        BOTH,
    )
    kind[match != UNMATCHED] = NO_ERROR
    excused = _in_ignore_region(truth[crowd], found, foreground) & (match == UNMATCHED)
    kind[excused | (rank >= max_found)] = IGNORED
    target = np.where(kind == LOCALISATION, own.partner, UNMATCHED)
    target = np.where(kind == CLASS, other.partner, target)
    target = np.where(kind == NO_ERROR, match, target)
    mends, usable = _mends(kind, target, used, found)
    return DetectionErrors(
        kind=kind,
        target=target,
        mends=mends,
        missed=~used & ~usable,
        found_truth=used,
        truth=there,
    )


def _pairs(truth: BoxColumns, found: BoxColumns) -> tuple[IntArray, IntArray, FloatArray]:
    """Pairs of one picture that overlap: of others no error depends on the overlap, which is 0."""
    rows, columns = overlapping(found.images, found.boxes_xyxy, truth.images, truth.boxes_xyxy)
    overlap = inclusive_iou(found.boxes_xyxy[rows], truth.boxes_xyxy[columns], extra_px=0.0)
    return rows, columns, overlap


def _in_ignore_region(regions: BoxColumns, found: BoxColumns, foreground: float) -> BoolArray:
    """(R,): more than ``foreground`` of the box lies in a region of its class, or of all."""
    rows, columns = overlapping(found.images, found.boxes_xyxy, regions.images, regions.boxes_xyxy)
    box, region = found.boxes_xyxy[rows], regions.boxes_xyxy[columns]
    low, high = np.maximum(box[:, :2], region[:, :2]), np.minimum(box[:, 2:], region[:, 2:])
    shared = np.clip(high - low, 0, None).prod(axis=1)
    own = (box[:, 2:] - box[:, :2]).prod(axis=1)
    for_it = np.isin(regions.labels[columns] - found.labels[rows], 0) | (
        regions.labels[columns] == -1
    )
    inside = np.zeros(len(found), bool)
    inside[rows[for_it & (shared > foreground * own)]] = True
    return inside


def _mends(
    kind: IntArray, target: IntArray, used: BoolArray, found: BoxColumns
) -> tuple[BoolArray, BoolArray]:
    """Which errors (R,) would find their truth box if mended, and which truth boxes have one.

    Of several errors that point to one unfound truth box, the best score mends it.
    """
    pointing = np.isin(kind, (CLASS, LOCALISATION))
    pointing[pointing] = ~used[target[pointing]]
    rows = np.flatnonzero(pointing)
    rows = rows[np.lexsort((rows, -found.scores[rows]))]
    mends, usable = np.zeros(len(found), bool), np.zeros(len(used), bool)
    mends[rows[np.unique(target[rows], return_index=True)[1]]] = True
    usable[target[rows]] = True
    return mends, usable


def summarise_errors(
    errors: DetectionErrors, found: BoxColumns, *, num_classes: int
) -> ErrorResult:
    """Counts, and the rise of AP50 for each type mended alone (never below 0, as in TIDE)."""
    labels = errors.truth.labels
    num_truth = np.bincount(labels, minlength=num_classes)
    without = {
        name: num_truth - np.bincount(labels[rows], minlength=num_classes)
        for name, rows in (("missed", errors.missed), ("unfound", ~errors.found_truth))
    }
    scores = found.scores
    by_score = np.argsort(-scores, kind="stable")
    right = errors.kind == NO_ERROR
    # of equal scores errors stand before right boxes, as tidecv counts once something is mended
    mended_order = np.lexsort((right, -scores))
    base = _ap(errors, found, by_score, num_truth)
    after = {
        name: _ap(errors, found, mended_order, num_truth, mended=k) for k, name in enumerate(KINDS)
    }
    after[MISSED] = _ap(errors, found, mended_order, without["missed"])
    sure_order = np.argsort(~right, kind="stable")
    return ErrorResult(
        ap50=base,
        counts={name: int((errors.kind == k).sum()) for k, name in enumerate(KINDS)}
        | {MISSED: int(errors.missed.sum())},
        ap_loss={name: _rise(base, value) for name, value in after.items()},
        false_alarm_ap_loss=_rise(base, _ap(errors, found, sure_order, num_truth)),
        miss_ap_loss=_rise(base, _ap(errors, found, mended_order, without["unfound"])),
    )


def _rise(base: float | None, mended: float | None) -> float | None:
    return None if base is None or mended is None else max(mended - base, 0.0)


def _ap(
    errors: DetectionErrors,
    found: BoxColumns,
    order: IntArray,
    num_truth: IntArray,
    *,
    mended: int = NO_ERROR,
) -> float | None:
    """Mean AP50 of detections in ``order``, errors of type ``mended`` put right or dropped."""
    right = errors.kind == NO_ERROR
    kept = right | ((errors.kind >= 0) & (errors.kind != mended))
    labels = found.labels
    if mended in (CLASS, LOCALISATION):
        fixed = (errors.kind == mended) & errors.mends
        labels = labels.copy()
        labels[fixed] = errors.truth.labels[errors.target[fixed]]
        right, kept = right | fixed, kept | fixed
    values: list[float | None] = []
    for k in np.unique(errors.truth.labels):
        rows = order[(kept & (labels == k))[order]]
        if num_truth[k]:
            points = curve(right[rows], ~right[rows], int(num_truth[k]))
            values.append(coco_ap(*points, recalls=_RECALLS))
        elif len(rows):
            values.append(0.0)
    return mean(values)
