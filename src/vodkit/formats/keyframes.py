"""Key frames of box tracks: as few as a tolerance allows, and interpolation between them.

Labelling tools draw the boxes between two key frames by linear interpolation of the corners.
Few key frames are what makes a predicted track correctable by hand: Douglas and Peucker,
"Algorithms for the reduction of the number of points required to represent a digitized line"
(1973), with the largest error of a corner coordinate as the distance.
"""

from itertools import pairwise

import numpy as np

from vodkit.ground.arrays import FloatArray, IntArray


def key_rows(frames: IntArray, boxes_xyxy: FloatArray, *, tolerance_px: float) -> IntArray:
    """The rows (K,) of a gapless track (N,), (N, 4) to keep as key frames.

    Linear interpolation between them misses no corner coordinate by more than ``tolerance_px``;
    a tolerance of 0 keeps every row.

    >>> boxes = np.array([[0.0, 0, 1, 1], [1, 0, 2, 1], [2, 0, 3, 1]])
    >>> key_rows(np.arange(3), boxes, tolerance_px=0.1).tolist()
    [0, 2]
    """
    count = len(frames)
    if tolerance_px <= 0 or count <= 2:
        return np.arange(count)
    keep = np.zeros(count, np.bool_)
    keep[[0, count - 1]] = True
    spans = [(0, count - 1)]
    while spans:
        first, last = spans.pop()
        if last - first < 2:
            continue
        inner = np.arange(first + 1, last)
        drawn = interpolate(frames[[first, last]], boxes_xyxy[[first, last]], frames[inner])
        errors = np.abs(drawn - boxes_xyxy[inner]).max(axis=1)
        worst = int(errors.argmax())
        if errors[worst] > tolerance_px:
            keep[inner[worst]] = True
            spans += [(first, int(inner[worst])), (int(inner[worst]), last)]
    return np.flatnonzero(keep)


def interpolate(key_frames: IntArray, key_boxes_xyxy: FloatArray, frames: IntArray) -> FloatArray:
    """Boxes (M, 4) at ``frames`` (M,) between key frames (K,), (K, 4); the ends are held.

    >>> interpolate(np.array([0, 2]), np.array([[0.0, 0, 1, 1], [2, 0, 3, 1]]), np.array([1]))
    array([[1., 0., 2., 1.]])
    """
    columns = [np.interp(frames, key_frames, column) for column in key_boxes_xyxy.T]
    return np.stack(columns, axis=1)


def runs(frames: IntArray, *, step: int = 1) -> list[slice]:
    """Slices of rows without a gap: neighbours no more than ``step`` frames apart.

    >>> runs(np.array([3, 4, 7, 8, 9]))
    [slice(0, 2, None), slice(2, 5, None)]
    """
    if len(frames) == 0:
        return []
    breaks = np.flatnonzero(np.diff(frames) > step) + 1
    edges = [0, *breaks.tolist(), len(frames)]
    return [slice(start, end) for start, end in pairwise(edges)]
