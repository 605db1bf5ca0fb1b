"""Pascal VOC's average precision, 11-point (2007) and area (2010 on).

Each detection looks at the truth box of its class and picture that it overlaps most, taken or
not: there is no second best, unlike COCO. Boxes are inclusive (+1 pixel), IoU >= 0.5. Ignore rows
of the truth are VOC's difficult objects.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from vodkit.ground.arrays import BoolArray
from vodkit.metrics.detection.columns import BoxColumns, spread_ignore
from vodkit.metrics.detection.match import UNMATCHED, best_partner, inclusive_iou
from vodkit.metrics.detection.overlap import overlapping
from vodkit.metrics.detection.precision_recall import area_ap, curve, eleven_point_ap
from vodkit.metrics.ratio import mean


@dataclass(frozen=True, kw_only=True)
class VocResult:
    """Mean average precision; None without truth."""

    ap_area: float | None
    ap_11_point: float | None
    per_class_area: Mapping[str, float | None]
    per_class_11_point: Mapping[str, float | None]


def voc_verdicts(
    truth: BoxColumns, found: BoxColumns, *, num_classes: int, threshold: float = 0.5
) -> tuple[BoolArray, BoolArray]:
    """(R,) right and (R,) wrong; a detection of a difficult object is neither."""
    truth = spread_ignore(truth, num_classes)
    truth_key = truth.images * num_classes + truth.labels
    found_key = found.images * num_classes + found.labels
    rows, columns = overlapping(
        found_key, found.boxes_xyxy, truth_key, truth.boxes_xyxy, extra_px=1.0
    )
    overlap = inclusive_iou(found.boxes_xyxy[rows], truth.boxes_xyxy[columns], extra_px=1.0)
    partner, value = best_partner(rows, columns, overlap, len(found))
    near = (partner != UNMATCHED) & (value >= threshold)
    difficult = np.zeros(len(found), bool)
    difficult[near] = truth.ignore[partner[near]]
    by_score = np.argsort(-found.scores, kind="stable")
    candidates = by_score[(near & ~difficult)[by_score]]
    right = np.zeros(len(found), bool)
    right[candidates[np.unique(partner[candidates], return_index=True)[1]]] = True
    return right, ~right & ~difficult


def voc_average_precision(
    truth: BoxColumns, found: BoxColumns, *, classes: tuple[str, ...], threshold: float = 0.5
) -> VocResult:
    """Pascal VOC's AP of each class and their mean over classes with truth."""
    right, wrong = voc_verdicts(truth, found, num_classes=len(classes), threshold=threshold)
    by_score = np.argsort(-found.scores, kind="stable")
    areas: dict[str, float | None] = {}
    elevens: dict[str, float | None] = {}
    for k, name in enumerate(classes):
        num_truth = int(((truth.labels == k) & ~truth.ignore).sum())
        rows = by_score[found.labels[by_score] == k]
        recall, precision = curve(right[rows], wrong[rows], max(num_truth, 1))
        areas[name] = area_ap(recall, precision) if num_truth else None
        elevens[name] = eleven_point_ap(recall, precision) if num_truth else None
    return VocResult(
        ap_area=mean(list(areas.values())),
        ap_11_point=mean(list(elevens.values())),
        per_class_area=areas,
        per_class_11_point=elevens,
    )
