"""From sorted verdicts to a precision-recall curve, and from the curve to average precision."""

import numpy as np

from vodkit.ground.arrays import FloatArray
from vodkit.metrics.detection.coco_engine import RECALLS

EPS = float(np.finfo(float).eps)


def curve(right: FloatArray, wrong: FloatArray, num_truth: int) -> tuple[FloatArray, FloatArray]:
    """Recall and precision (N,) behind each detection, best score first.

    ``right`` and ``wrong`` are weights: 0 or 1, or a share where a protocol counts shares.
    """
    tp, fp = np.cumsum(right), np.cumsum(wrong)
    return tp / num_truth, tp / np.maximum(tp + fp, EPS)


def envelope(precision: FloatArray) -> FloatArray:
    """The largest precision at this or any higher recall (along the last axis)."""
    return np.maximum.accumulate(precision[..., ::-1], axis=-1)[..., ::-1]


def area_ap(recall: FloatArray, precision: FloatArray) -> float:
    """Area under the envelope, summed over steps of recall (VOC 2010+, ILSVRC)."""
    steps = np.diff(recall, prepend=0.0)
    return float((steps * envelope(precision)).sum())


def eleven_point_ap(recall: FloatArray, precision: FloatArray) -> float:
    """Mean of the largest precision at recall >= 0, 0.1, ..., 1 (VOC 2007).

    The recalls are k / 10, correctly rounded: ``linspace`` has 0.6000000000000001, which 30 of 50
    would miss.
    """
    best = np.append(envelope(precision), 0.0)
    places = np.searchsorted(recall, np.arange(11) / 10, side="left")
    return float(best[places].mean())


def coco_ap(recall: FloatArray, precision: FloatArray, *, recalls: FloatArray = RECALLS) -> float:
    """Mean of the largest precision at recall >= 0, 0.01, ..., 1 (COCO)."""
    best = np.append(envelope(precision), 0.0)
    return float(best[np.searchsorted(recall, recalls, side="left")].mean())
