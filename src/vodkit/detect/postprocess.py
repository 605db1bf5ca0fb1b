"""From candidate boxes to Detections: overlap suppression, source pixels, best first.

Nothing is dropped silently: suppression looks at every candidate however many there are (in
blocks, so that memory stays bounded), and the only limit is ``max_detections`` of the caller.
"""

from dataclasses import dataclass

import numpy as np

from vodkit.detect.preprocess import Placement
from vodkit.ground.arrays import FloatArray, IntArray
from vodkit.ground.boxes import iou
from vodkit.ground.records import Detections

_BLOCK = 512  # candidates looked at together: 512 x 512 overlaps are 2 MB


@dataclass(frozen=True, eq=False)
class Candidates:
    """Boxes above the score threshold, before suppression, in pixels of the network's input."""

    boxes_xyxy: FloatArray
    """(N, 4)"""
    scores: FloatArray
    """(N,) in [0, 1]"""
    labels: IntArray
    """(N,) int64, positions in the card's classes"""


def suppress(
    boxes_xyxy: FloatArray,
    scores: FloatArray,
    labels: IntArray,
    *,
    nms_iou: float,
    most: int | None = None,
) -> IntArray:
    """Rows (K,) that survive class-aware greedy suppression, best score first; ties by row.

    A box falls when a better box of its class that stands overlaps it by more than ``nms_iou``.
    With ``most`` the first so many survivors are given and the rest is not looked at, so that N
    candidates cost at most N x (most + 512) overlaps, however crowded they are.

    >>> boxes = np.array([[0, 0, 9, 9], [0, 0, 9, 8], [0, 0, 9, 9]])
    >>> suppress(boxes, np.array([0.5, 0.9, 0.7]), np.array([0, 0, 1]), nms_iou=0.5)
    array([1, 2])
    """
    order = np.argsort(-scores, kind="stable")
    if nms_iou >= 1 or len(order) < 2:
        return order[:most]
    boxes = boxes_xyxy.astype(np.float64)
    # Boxes of different classes are moved apart, so that one pass serves all classes.
    boxes = boxes + labels[:, None] * (boxes.max() - boxes.min() + 1)
    kept = np.empty(0, np.int64)
    for start in range(0, len(order), _BLOCK):
        block = order[start : start + _BLOCK]
        if len(kept):
            block = block[~(iou(boxes[block], boxes[kept]) > nms_iou).any(axis=1)]
        kept = np.concatenate([kept, block[_greedy(iou(boxes[block], boxes[block]) > nms_iou)]])
        if most is not None and len(kept) >= most:
            break
    return kept[:most]


def _greedy(overlaps: FloatArray) -> IntArray:
    """Rows that stand, going down the (N, N) table of who is too close to whom."""
    standing = np.ones(len(overlaps), bool)
    later = np.triu(overlaps, 1)
    for row in np.flatnonzero(later.any(axis=1)):
        if standing[row]:
            standing &= ~later[row]
    return np.flatnonzero(standing)


def finish(
    found: Candidates, placement: Placement, *, nms_iou: float, max_detections: int | None
) -> Detections:
    """Detections in source pixels, best first, of what the network found in one picture.

    Boxes that are not finite or lie wholly outside the picture are no boxes and do not count.
    ``max_detections`` keeps the best of them (None: all).
    """
    if not len(found.scores):
        return Detections.empty()
    boxes = np.where(np.isnan(found.boxes_xyxy), -1, found.boxes_xyxy)
    boxes = placement.to_source(boxes)
    real = (boxes[:, 2] > boxes[:, 0]) & (boxes[:, 3] > boxes[:, 1])
    boxes, scores, labels = boxes[real], found.scores[real], found.labels[real]
    kept = suppress(boxes, scores, labels, nms_iou=nms_iou, most=max_detections)
    return Detections(boxes[kept], np.clip(scores[kept], 0, 1), labels[kept])
