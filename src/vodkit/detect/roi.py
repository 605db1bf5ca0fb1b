"""What lies in a box of a feature map: RoIAlign (He et al. 2017, arXiv:1703.06870), in numpy.

Each box is read for itself, always with the same operations on the same shapes, so its numbers do
not depend on the other boxes or their order, to the bit. Equal to ``torchvision.ops.roi_align``
with ``aligned=True`` up to rounding.

Legend: N boxes, C channels, h w of a map, R Q bins down and across, S samples a bin each way.
"""

import numpy as np

from vodkit.ground.arrays import FloatArray

SAMPLES = 2
"""points a bin is sampled at, each way"""


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
    for row in range(len(boxes_xyxy)):
        x_low, x_share = _between(x[row], width)
        y_low, y_share = _between(y[row], height)
        x_high, y_high = np.minimum(x_low + 1, width - 1), np.minimum(y_low + 1, height - 1)
        upper = _mixed(cells_hwC[y_low], x_low, x_high, x_share)
        lower = _mixed(cells_hwC[y_high], x_low, x_high, x_share)
        mixed = upper + (lower - upper) * y_share[:, None, None]
        binned = mixed.reshape(down, SAMPLES, across, SAMPLES, channels).mean(axis=(1, 3))
        found[row] = binned.transpose(2, 0, 1)
    return found


def _points(ends: FloatArray, bins: int) -> FloatArray:
    """Coordinates (N, bins * S) of the samples between two ends (N, 2)."""
    steps = (np.arange(bins * SAMPLES) + 0.5) / (bins * SAMPLES)
    return np.asarray(ends[:, :1] + (ends[:, 1:] - ends[:, :1]) * steps)


def _between(at: FloatArray, size: int) -> tuple[FloatArray, FloatArray]:
    """The cell before each point, and how far the point is on the way to the next."""
    inside = np.clip(at, 0, size - 1)
    low = np.minimum(inside.astype(np.int64), max(size - 2, 0))
    return low, (inside - low).astype(np.float32)


def _mixed(
    rows_RwC: FloatArray, low: FloatArray, high: FloatArray, share: FloatArray
) -> FloatArray:
    left = rows_RwC[:, low]
    return np.asarray(left + (rows_RwC[:, high] - left) * share[:, None])
