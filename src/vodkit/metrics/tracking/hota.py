"""HOTA (Luiten et al. 2021), counted as TrackEval's ``hota.py`` does.

A first pass over the video finds how well each truth track and each predicted track go together
as a whole; a second one matches every frame once, by that alignment times IoU, for all 19
localisation thresholds alpha = 0.05, 0.10, ..., 0.95.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np

from vodkit.ground.arrays import FloatArray, IntArray
from vodkit.metrics.assignment import best_pairs
from vodkit.metrics.counts import Counts
from vodkit.metrics.tracking.sequence import EPS, Sequence2D

ALPHAS = np.arange(0.05, 0.99, 0.05)


def _zeros() -> FloatArray:
    return np.zeros(len(ALPHAS))


@dataclass(frozen=True, eq=False, kw_only=True)
class HotaCounts(Counts):
    """What adds up over videos, and over classes; arrays (19,), one value an alpha."""

    tp: FloatArray
    fn: FloatArray
    fp: FloatArray
    ass_sum: FloatArray
    """sum over matches of their tracks' association accuracy"""
    ass_recall_sum: FloatArray
    ass_precision_sum: FloatArray
    iou_sum: FloatArray

    @classmethod
    def zero(cls) -> "HotaCounts":
        """Nothing counted yet."""
        return cls(**{spec.name: _zeros() for spec in fields(cls)})


@dataclass(frozen=True, kw_only=True)
class HotaScores:
    """Means over alpha; None without truth (``loc_a``: without a match)."""

    hota: float | None
    det_a: float | None
    ass_a: float | None
    loc_a: float | None
    det_recall: float | None
    det_precision: float | None
    ass_recall: float | None
    ass_precision: float | None
    owta: float | None
    hota_by_alpha: tuple[float, ...] = ()
    det_a_by_alpha: tuple[float, ...] = ()
    ass_a_by_alpha: tuple[float, ...] = ()


_UNDEFINED = HotaScores(
    hota=None,
    det_a=None,
    ass_a=None,
    loc_a=None,
    det_recall=None,
    det_precision=None,
    ass_recall=None,
    ass_precision=None,
    owta=None,
)


def hota_counts(sequence: Sequence2D) -> HotaCounts:
    """HOTA's counts of one video (of one class)."""
    shape = (sequence.num_truth_ids, sequence.num_found_ids)
    num_truth = np.bincount(_join(sequence.truth_ids), minlength=shape[0])
    num_found = np.bincount(_join(sequence.found_ids), minlength=shape[1])
    codes, levels, values = _match(sequence, *_alignment(sequence, num_truth, num_found))
    tp, ass, ass_recall, ass_precision, iou_sum = (_zeros() for _ in range(5))
    for k in range(len(ALPHAS)):
        here = levels > k
        pairs, m = np.unique(codes[here], return_counts=True)
        n_truth = num_truth[pairs // max(shape[1], 1)]
        n_found = num_found[pairs % max(shape[1], 1)]
        tp[k] = here.sum()
        iou_sum[k] = values[here].sum()
        ass[k] = (m * (m / (n_truth + n_found - m))).sum()
        ass_recall[k] = (m * (m / n_truth)).sum()
        ass_precision[k] = (m * (m / n_found)).sum()
    return HotaCounts(
        tp=tp,
        fn=sequence.num_truth - tp,
        fp=sequence.num_found - tp,
        ass_sum=ass,
        ass_recall_sum=ass_recall,
        ass_precision_sum=ass_precision,
        iou_sum=iou_sum,
    )


def _join(parts: Sequence[FloatArray]) -> FloatArray:
    return np.concatenate(parts) if parts else np.empty(0, np.int64)


def _alignment(
    sequence: Sequence2D, num_truth: IntArray, num_found: IntArray
) -> tuple[IntArray, FloatArray]:
    """Codes of the pairs of tracks that ever overlap, and how well each pair aligns, 0 to 1."""
    codes, shares = [], []
    for truth, found, pairs in zip(
        sequence.truth_ids, sequence.found_ids, sequence.pairs, strict=True
    ):
        of_row = np.bincount(pairs.rows, weights=pairs.ious, minlength=len(truth))
        of_column = np.bincount(pairs.columns, weights=pairs.ious, minlength=len(found))
        whole = of_column[pairs.columns] + of_row[pairs.rows] - pairs.ious
        codes.append(truth[pairs.rows] * sequence.num_found_ids + found[pairs.columns])
        shares.append(
            np.divide(pairs.ious, whole, out=np.zeros_like(pairs.ious), where=whole > EPS)
        )
    known, place = np.unique(_join(codes), return_inverse=True)
    potential = np.bincount(place, weights=_join(shares), minlength=len(known))
    of_truth, of_found = np.divmod(known, max(sequence.num_found_ids, 1))
    return known, potential / (num_truth[of_truth] + num_found[of_found] - potential)


def _match(
    sequence: Sequence2D, known: IntArray, alignment: FloatArray
) -> tuple[IntArray, IntArray, FloatArray]:
    """All frames' matches: code of the pair of tracks, number of alphas it counts at, IoU."""
    codes, values = [], []
    for truth, found, pairs in zip(
        sequence.truth_ids, sequence.found_ids, sequence.pairs, strict=True
    ):
        code = truth[pairs.rows] * sequence.num_found_ids + found[pairs.columns]
        scores = alignment[np.searchsorted(known, code)] * pairs.ious
        chosen = best_pairs(pairs.rows, pairs.columns, scores, (len(truth), len(found)))
        codes.append(code[chosen])
        values.append(pairs.ious[chosen])
    overlap = np.concatenate(values) if values else np.empty(0)
    return _join(codes), np.searchsorted(ALPHAS - EPS, overlap, side="right"), overlap


def hota_scores(counts: HotaCounts) -> HotaScores:
    """The one place where HOTA's ratios are made."""
    c = counts
    if not (c.tp + c.fn)[0]:
        return _UNDEFINED
    det_a = c.tp / (c.tp + c.fn + c.fp)
    ass_a = c.ass_sum / np.maximum(1, c.tp)
    det_recall = c.tp / (c.tp + c.fn)
    hota = np.sqrt(det_a * ass_a)
    loc_a = np.maximum(1e-10, c.iou_sum) / np.maximum(1e-10, c.tp)
    return HotaScores(
        hota=float(hota.mean()),
        det_a=float(det_a.mean()),
        ass_a=float(ass_a.mean()),
        loc_a=float(loc_a.mean()) if c.tp[0] else None,
        det_recall=float(det_recall.mean()),
        det_precision=float((c.tp / np.maximum(1, c.tp + c.fp)).mean()),
        ass_recall=float((c.ass_recall_sum / np.maximum(1, c.tp)).mean()),
        ass_precision=float((c.ass_precision_sum / np.maximum(1, c.tp)).mean()),
        owta=float(np.sqrt(det_recall * ass_a).mean()),
        hota_by_alpha=tuple(hota.tolist()),
        det_a_by_alpha=tuple(det_a.tolist()),
        ass_a_by_alpha=tuple(ass_a.tolist()),
    )
