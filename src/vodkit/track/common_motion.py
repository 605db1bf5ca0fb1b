"""The shift that all objects of a frame share: a camera that moved, seen in the boxes alone.

A filter predicts where each object is detected next. Where a camera pans, shakes or turns, all
predictions are off by about the same shift. That shift is estimated from the matched tracks of one
frame, robustly, and is used only where chance does not explain it: offsets of independent objects
have a mean near 0, compared with their scatter. With squared offsets summed
about their mean (E) and about 0 (T), chance gives a ratio E / T as small with probability
(E / T) ** (n - 1), for n offsets in two axes of equal normal noise (Fisher's F test with 2 and
2n - 2 degrees of freedom). There is no noise level to set: a video's own scatter is the measure.
"""

import numpy as np

from vodkit.ground.arrays import FloatArray

LEAST = 4
"""fewest matched tracks for an estimate"""
CHANCE = 1e-5
"""largest probability of as common a shift by chance"""
_OUTLIER = 3.0
"""times the median distance from the median shift: objects that move by themselves"""
_MOST_OUTLIERS = 1 / 3


def common_shift(offsets_px: FloatArray, areas_px: FloatArray) -> FloatArray | None:
    """The affine (2, 3) of the shift that offsets (N, 2) share; None: chance explains them.

    Args:
        offsets_px: detected minus expected centre of each matched track.
        areas_px: (N,) areas of the tracks; the noise of an offset grows with their square roots.

    >>> common_shift(np.array([[9., 1], [10, 0], [10, 1], [9, 0], [10, 0]]), np.full(5, 100.))
    array([[1. , 0. , 9.6],
           [0. , 1. , 0.4]])
    >>> common_shift(np.array([[9., 1], [-10, 0], [10, 1], [-9, 0]]), np.full(4, 100.)) is None
    True
    """
    count = len(offsets_px)
    if count < LEAST:
        return None
    # Two thirds of the offsets share a direction where there is one; most frames end here.
    if np.abs(np.sign(offsets_px).sum(axis=0)).max() < (1 - 2 * _MOST_OUTLIERS) * count:
        return None
    weight = 1 / areas_px
    ordered = np.sort(offsets_px, axis=0)  # np.median takes five times as long
    middle = (ordered[(count - 1) // 2] + ordered[count // 2]) / 2
    far = np.hypot(*(offsets_px - middle).T) * np.sqrt(weight)
    kept = far <= _OUTLIER * np.sort(far)[count // 2] + 1e-9
    count_kept = int(np.count_nonzero(kept))
    if count_kept < max(LEAST, (1 - _MOST_OUTLIERS) * count):
        return None
    offsets, weight = offsets_px[kept], weight[kept]
    mean = weight @ offsets / weight.sum()
    about_mean = float(weight @ ((offsets - mean) ** 2).sum(axis=1))
    about_zero = float(weight @ (offsets**2).sum(axis=1))
    if about_zero == 0 or (about_mean / about_zero) ** (count_kept - 1) > CHANCE:
        return None
    return np.array([[1, 0, mean[0]], [0, 1, mean[1]]])
