"""What lies in a box of a feature map: RoIAlign (He et al. 2017, arXiv:1703.06870), in numpy.

Boxes are read in blocks, each with operations of its own, so its numbers do not depend on the other
boxes or their order, to the bit. Equal to ``torchvision.ops.roi_align``
with ``aligned=True`` up to rounding.

Legend: N boxes, C channels, h w of a map, R Q bins down and across, S samples a bin each way.
"""

import numpy as np

from vodkit.ground.arrays import FloatArray, IntArray

SAMPLES = 2
"""points a bin is sampled at, each way"""
_OTHER_SAMPLES = tuple((y, x) for x in range(SAMPLES) for y in range(SAMPLES))[1:]
_BLOCK = 16  # boxes worked on together: their samples stay in the cache


def roi_align(
    map_Chw: FloatArray,
    boxes_xyxy: FloatArray,
    *,
    scale: tuple[float, float],
    bins: tuple[int, int],
) -> FloatArray:
    """Means (N, C, R, Q) float32 over the bins of each box.

    Args:
        map_Chw: one picture's feature map.
        boxes_xyxy: (N, 4), in any pixels.
        scale: cells of the map for each of those pixels, across and down.
        bins: how many down and across.
    """
    channels, height, width = map_Chw.shape
    down, across = bins
    x = _points(boxes_xyxy[:, 0::2].astype(np.float64) * scale[0] - 0.5, across)
    y = _points(boxes_xyxy[:, 1::2].astype(np.float64) * scale[1] - 0.5, down)
    cells_hwC = np.ascontiguousarray(map_Chw.transpose(1, 2, 0), np.float32)
    found = np.empty((len(boxes_xyxy), channels, down, across), np.float32)
    for start in range(0, len(boxes_xyxy), _BLOCK):
        rows = slice(start, start + _BLOCK)
        x_low, x_share = _between(x[rows, None, :], width)
        y_low, y_share = _between(y[rows, :, None], height)
        x_high, y_high = np.minimum(x_low + 1, width - 1), np.minimum(y_low + 1, height - 1)
        upper = _mixed(cells_hwC, y_low, (x_low, x_high), x_share)
        lower = _mixed(cells_hwC, y_high, (x_low, x_high), x_share)
        lower -= upper
        lower *= y_share[..., None]
        upper += lower
        split = upper.reshape(-1, down, SAMPLES, across, SAMPLES, channels)
        total = split[:, :, 0, :, 0]
        for y_one, x_one in _OTHER_SAMPLES:
            total = total + split[:, :, y_one, :, x_one]
        found[rows] = (total / SAMPLES**2).transpose(0, 3, 1, 2)
    return found


def _points(ends: FloatArray, bins: int) -> FloatArray:
    """Coordinates (N, bins * S) of the samples between two ends (N, 2)."""
    steps = (np.arange(bins * SAMPLES) + 0.5) / (bins * SAMPLES)
    return np.asarray(ends[:, :1] + (ends[:, 1:] - ends[:, :1]) * steps)


def _between(at: FloatArray, size: int) -> tuple[IntArray, FloatArray]:
    """The cell before each point, and how far the point is on the way to the next."""
    inside = np.clip(at, 0, size - 1)
    low = np.minimum(inside.astype(np.int64), max(size - 2, 0))
    return low, (inside - low).astype(np.float32)


def _mixed(
    cells_hwC: FloatArray, row: IntArray, columns: tuple[IntArray, IntArray], share: FloatArray
) -> FloatArray:
    """(boxes, points down, points across, C): a row's cells, mixed across by ``share``."""
    left, right = (cells_hwC[row, column] for column in columns)
    right -= left
    right *= share[..., None]
    left += right
    return left
