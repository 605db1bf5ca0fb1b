"""Arithmetic on boxes: plain numpy arrays, (N, 4) as x1, y1, x2, y2 in pixels.

Coordinates are continuous (a box from 0 to 10 is 10 wide, no +1) and may lie outside the
picture. Every function returns a fresh array and leaves its inputs alone.
"""

import numpy as np

from vodkit.ground.arrays import FloatArray

# An area in square pixels that is as good as none, in half the digits too: 0 / _NOTHING is 0.
_NOTHING = 1e-37
_FEW = 150  # pairs of boxes, up to which the shorter code is the faster


def area(boxes_xyxy: FloatArray) -> FloatArray:
    """Areas (N,) in square pixels; an inverted box has area 0.

    >>> area(np.array([[0.0, 0.0, 2.0, 3.0]]))
    array([6.])
    """
    size = np.maximum(boxes_xyxy[:, 2:] - boxes_xyxy[:, :2], 0)
    return np.asarray(size[:, 0] * size[:, 1])


def intersection(a_xyxy: FloatArray, b_xyxy: FloatArray) -> FloatArray:
    """Areas of overlap (N, M) of every box of ``a`` (N, 4) with every box of ``b`` (M, 4)."""
    if len(a_xyxy) * len(b_xyxy) < _FEW:
        top_left = np.maximum(a_xyxy[:, None, :2], b_xyxy[None, :, :2])
        bottom_right = np.minimum(a_xyxy[:, None, 2:], b_xyxy[None, :, 2:])
        size = np.maximum(bottom_right - top_left, 0)
        return np.asarray(size[..., 0] * size[..., 1])
    # The same numbers in rows as long as M, not of two: ten times as fast for hundreds of boxes.
    a, b = np.ascontiguousarray(a_xyxy.T)[:, :, None], np.ascontiguousarray(b_xyxy.T)
    width = np.minimum(a[2], b[2]) - np.maximum(a[0], b[0])
    height = np.minimum(a[3], b[3]) - np.maximum(a[1], b[1])
    return np.asarray(np.maximum(width, 0) * np.maximum(height, 0))


def iou(a_xyxy: FloatArray, b_xyxy: FloatArray) -> FloatArray:
    """Intersection over union (N, M) in [0, 1]; two empty boxes have IoU 0.

    >>> iou(np.array([[0.0, 0.0, 2.0, 2.0]]), np.array([[1.0, 0.0, 3.0, 2.0]])).round(4)
    array([[0.3333]])
    """
    shared = intersection(a_xyxy, b_xyxy)
    union = area(a_xyxy)[:, None] + area(b_xyxy)[None, :] - shared
    return np.asarray(shared / np.maximum(union, _NOTHING))


def iou_pairs(a_xyxy: FloatArray, b_xyxy: FloatArray) -> FloatArray:
    """IoU (N,) of the i-th box of ``a`` with the i-th box of ``b``, both (N, 4)."""
    top_left = np.maximum(a_xyxy[:, :2], b_xyxy[:, :2])
    bottom_right = np.minimum(a_xyxy[:, 2:], b_xyxy[:, 2:])
    size = np.maximum(bottom_right - top_left, 0)
    shared = size[:, 0] * size[:, 1]
    union = area(a_xyxy) + area(b_xyxy) - shared
    return np.asarray(shared / np.maximum(union, _NOTHING))


def covered(a_xyxy: FloatArray, b_xyxy: FloatArray) -> FloatArray:
    """Share (N, M) of the area of each box of ``a`` that lies inside each box of ``b``."""
    shared = intersection(a_xyxy, b_xyxy)
    return np.asarray(shared / np.maximum(area(a_xyxy), _NOTHING)[:, None])


def to_cxcywh(boxes_xyxy: FloatArray) -> FloatArray:
    """Centre x, centre y, width, height (N, 4).

    >>> to_cxcywh(np.array([[0.0, 0.0, 2.0, 4.0]]))
    array([[1., 2., 2., 4.]])
    """
    size = boxes_xyxy[:, 2:] - boxes_xyxy[:, :2]
    return np.concatenate([boxes_xyxy[:, :2] + size / 2, size], axis=1)


def to_xywh(boxes_xyxy: FloatArray) -> FloatArray:
    """Left, top, width, height (N, 4), as COCO and MOTChallenge files hold them."""
    return np.concatenate([boxes_xyxy[:, :2], boxes_xyxy[:, 2:] - boxes_xyxy[:, :2]], axis=1)


def clip(boxes_xyxy: FloatArray, *, width_px: float, height_px: float) -> FloatArray:
    """The part of each box inside the picture (may be empty)."""
    limit = np.array([width_px, height_px, width_px, height_px], dtype=boxes_xyxy.dtype)
    return np.clip(boxes_xyxy, 0, limit)
