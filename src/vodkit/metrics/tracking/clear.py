"""CLEAR-MOT (Bernardin & Stiefelhagen 2008), counted as TrackEval's ``clear.py`` does.

Per frame a Hungarian match on 1000 x [same track as in the frame before] + IoU, pairs under
IoU 0.5 barred: continuity beats overlap. TrackEval's quirk is kept: a frame without any truth or
without any tracked box leaves the memory of the frame before alone.
"""

from dataclasses import dataclass

import numpy as np

from vodkit.metrics.assignment import best_pairs
from vodkit.metrics.counts import Counts
from vodkit.metrics.ratio import ratio
from vodkit.metrics.tracking.sequence import EPS, Sequence2D

THRESHOLD = 0.5


@dataclass(frozen=True, kw_only=True)
class ClearCounts(Counts):
    """What adds up over videos, and over classes."""

    tp: int = 0
    fn: int = 0
    fp: int = 0
    idsw: int = 0
    """a truth track is matched to another id than the last time it was matched"""
    mt: int = 0
    """mostly tracked: in more than 80 % of its frames"""
    pt: int = 0
    """partly tracked"""
    ml: int = 0
    """mostly lost: in less than 20 %"""
    frag: int = 0
    """times that tracking of a truth track takes up again"""
    iou_sum: float = 0.0
    """sum of IoU over matches"""
    num_frames: int = 0


@dataclass(frozen=True, kw_only=True)
class ClearScores:
    """The ratios; None where there is nothing to divide by."""

    mota: float | None
    motp: float | None
    """mean IoU of matches"""
    moda: float | None
    smota: float | None
    motal: float | None
    recall: float | None
    precision: float | None
    f1: float | None
    mt_ratio: float | None
    pt_ratio: float | None
    ml_ratio: float | None
    fp_per_frame: float | None


def clear_counts(sequence: Sequence2D) -> ClearCounts:
    """CLEAR's counts of one video (of one class)."""
    num_ids = sequence.num_truth_ids
    present, tracked, starts = (np.zeros(num_ids, np.int64) for _ in range(3))
    last_match = np.full(num_ids, -1)  # any number of frames ago
    before = np.full(num_ids, -1)  # in the frame before
    tp = idsw = 0
    iou_sum = 0.0
    for truth, found, pairs in zip(
        sequence.truth_ids, sequence.found_ids, sequence.pairs, strict=True
    ):
        present[truth] += 1
        if not len(truth) or not len(found):
            continue
        near = pairs.ious >= THRESHOLD - EPS
        rows, columns, ious = pairs.rows[near], pairs.columns[near], pairs.ious[near]
        scores = 1000 * (found[columns] == before[truth[rows]]) + ious
        chosen = best_pairs(rows, columns, scores, (len(truth), len(found)))
        who, by = truth[rows[chosen]], found[columns[chosen]]
        idsw += int(((last_match[who] != -1) & (last_match[who] != by)).sum())
        tracked[who] += 1
        was_tracked = before != -1
        last_match[who] = by
        before[:] = -1
        before[who] = by
        starts += ~was_tracked & (before != -1)
        tp += len(chosen)
        iou_sum += float(ious[chosen].sum())
    mt, pt, ml = _coverage(present, tracked)
    return ClearCounts(
        tp=tp,
        fn=sequence.num_truth - tp,
        fp=sequence.num_found - tp,
        idsw=idsw,
        mt=mt,
        pt=pt,
        ml=ml,
        frag=int((starts[starts > 0] - 1).sum()),
        iou_sum=iou_sum,
        num_frames=sequence.num_frames,
    )


def _coverage(present: np.ndarray, tracked: np.ndarray) -> tuple[int, int, int]:
    share = tracked[present > 0] / present[present > 0]
    mostly = int((share > 0.8).sum())
    partly = int((share >= 0.2).sum()) - mostly
    return mostly, partly, len(present) - mostly - partly


def clear_scores(counts: ClearCounts) -> ClearScores:
    """The one place where CLEAR's ratios are made."""
    c = counts
    truth, num_ids = c.tp + c.fn, c.mt + c.pt + c.ml
    log_idsw = float(np.log10(c.idsw)) if c.idsw > 0 else 0.0
    return ClearScores(
        mota=ratio(c.tp - c.fp - c.idsw, truth),
        motp=ratio(c.iou_sum, c.tp),
        moda=ratio(c.tp - c.fp, truth),
        smota=ratio(c.iou_sum - c.fp - c.idsw, truth),
        motal=ratio(c.tp - c.fp - log_idsw, truth),
        recall=ratio(c.tp, truth),
        precision=ratio(c.tp, c.tp + c.fp),
        f1=ratio(c.tp, c.tp + 0.5 * c.fn + 0.5 * c.fp) if truth else None,
        mt_ratio=ratio(c.mt, num_ids),
        pt_ratio=ratio(c.pt, num_ids),
        ml_ratio=ratio(c.ml, num_ids),
        fp_per_frame=ratio(c.fp, c.num_frames),
    )
