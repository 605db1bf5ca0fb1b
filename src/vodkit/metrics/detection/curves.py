"""Precision, recall and F1 over the score threshold; best thresholds; confusion; calibration.

All count at IoU 0.5 with COCO's match. The best thresholds are chosen *on these data*: on a test
split they say how the detector could be used, not what it would score on other video.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from vodkit.ground.arrays import FloatArray
from vodkit.metrics.clips import Clip
from vodkit.metrics.detection.frames import in_regions, most_pairs, pairs_in_frames
from vodkit.metrics.detection.match import Verdicts
from vodkit.metrics.detection.precision_recall import curve
from vodkit.metrics.ratio import ratio

MAX_POINTS = 200
NUM_BINS = 10


@dataclass(frozen=True, kw_only=True)
class Curve:
    """Precision, recall and F1 of one class behind its best detections; at most 200 points."""

    thresholds: tuple[float, ...]
    """score of the detection, descending"""
    precision: tuple[float, ...]
    recall: tuple[float, ...]
    f1: tuple[float, ...]
    best_threshold: float | None
    """score threshold (keep what has at least it) with the highest F1"""
    best_f1: float | None
    precision_at_best: float | None
    recall_at_best: float | None
    num_truth: int


@dataclass(frozen=True, kw_only=True)
class Confusion:
    """What is taken for what at a score threshold; classes matched without regard to class."""

    names: tuple[str, ...]
    """the classes, then ``nothing``"""
    counts: tuple[tuple[int, ...], ...]
    """row: what is there; column: what was said; last row: false alarms, last column: misses"""
    min_score: float


@dataclass(frozen=True, kw_only=True)
class Calibration:
    """Does a score of 0.8 mean right in 80 of 100 cases? Ten bins of equal width."""

    expected_error: float | None
    """ECE: mean over detections of |share right - mean score| in their bin"""
    largest_error: float | None
    """MCE: the worst bin"""
    mean_score: tuple[float | None, ...]
    share_right: tuple[float | None, ...]
    counts: tuple[int, ...]


def curves(verdicts: Verdicts, classes: tuple[str, ...]) -> dict[str, Curve]:
    """The curve of each class."""
    return {name: _curve(verdicts, k) for k, name in enumerate(classes)}


def _curve(verdicts: Verdicts, label: int) -> Curve:
    truth, found = verdicts.truth, verdicts.found
    right, wrong = verdicts.right(), verdicts.wrong()
    num_truth = int(((truth.labels == label) & ~truth.ignore).sum())
    rows = np.flatnonzero((found.labels == label) & (right | wrong))
    rows = rows[np.argsort(-found.scores[rows], kind="stable")]
    scores = found.scores[rows]
    recall, precision = curve(right[rows], wrong[rows], max(num_truth, 1))
    last = np.flatnonzero(np.diff(scores, append=-1.0))  # a threshold keeps all of equal score
    recall, precision, scores = recall[last], precision[last], scores[last]
    whole = precision + recall
    f1 = np.divide(2 * precision * recall, whole, out=np.zeros(len(whole)), where=whole > 0)
    best = int(np.argmax(f1)) if num_truth and len(f1) else None
    shown = _thin(len(scores))
    return Curve(
        thresholds=tuple(scores[shown].tolist()),
        precision=tuple(precision[shown].tolist()),
        recall=tuple(recall[shown].tolist()),
        f1=tuple(f1[shown].tolist()),
        best_threshold=None if best is None else float(scores[best]),
        best_f1=None if best is None else float(f1[best]),
        precision_at_best=None if best is None else float(precision[best]),
        recall_at_best=None if best is None else float(recall[best]),
        num_truth=num_truth,
    )


def _thin(num: int) -> FloatArray:
    """Places of at most 200 points, the first and the last among them."""
    return np.unique(np.linspace(0, num - 1, min(num, MAX_POINTS)).round().astype(np.int64))


def confusion(clips: Sequence[Clip], classes: tuple[str, ...], *, min_score: float) -> Confusion:
    """Pairs with IoU >= 0.5, one to one, as many as possible, then those of the same class."""
    num = len(classes)
    codes = [np.empty(0, np.int64)]
    for clip in clips:
        found = clip.found[clip.found.scores >= min_score]
        pairs = pairs_in_frames(clip.truth, found, same_class=False)
        pairs = pairs[pairs.overlap >= 0.5]
        same = clip.truth.labels[pairs.truth] == found.labels[pairs.found]
        chosen = most_pairs(replace(pairs, overlap=pairs.overlap + same))
        missed, free = np.ones(len(clip.truth), bool), ~in_regions(found, clip.regions)
        missed[chosen.truth] = free[chosen.found] = False
        codes.append(clip.truth.labels[chosen.truth] * (num + 1) + found.labels[chosen.found])
        codes.append(num * (num + 1) + found.labels[free])
        codes.append(clip.truth.labels[missed] * (num + 1) + num)
    counts = np.bincount(np.concatenate(codes), minlength=(num + 1) ** 2).reshape(num + 1, num + 1)
    return Confusion(
        names=(*classes, "nothing"),
        counts=tuple(tuple(row) for row in counts.tolist()),
        min_score=min_score,
    )


def calibration(verdicts: Verdicts) -> Calibration:
    """How far scores are from the share of detections that is right."""
    counted = verdicts.right() | verdicts.wrong()
    scores = verdicts.found.scores[counted]
    right = verdicts.right()[counted]
    place = np.minimum((scores * NUM_BINS).astype(np.int64), NUM_BINS - 1)
    num = np.bincount(place, minlength=NUM_BINS)
    score_sum = np.bincount(place, weights=scores, minlength=NUM_BINS)
    right_sum = np.bincount(place, weights=right, minlength=NUM_BINS)
    gap = np.abs(right_sum - score_sum)
    filled = num > 0
    return Calibration(
        expected_error=ratio(gap.sum(), num.sum()),
        largest_error=float((gap[filled] / num[filled]).max()) if filled.any() else None,
        mean_score=tuple(ratio(a, b) for a, b in zip(score_sum, num, strict=True)),
        share_right=tuple(ratio(a, b) for a, b in zip(right_sum, num, strict=True)),
        counts=tuple(num.tolist()),
    )
