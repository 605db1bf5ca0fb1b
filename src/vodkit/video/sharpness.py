"""Which frames of a video are blurred, compared with those around them.

A frame's detail is the root mean square difference of neighbouring pixels in four directions, on a
grey copy 160 px wide, in which noise averages out. (Mean differences would not do: a blurred edge
rises by as much as a sharp one.) A frame is of *low quality* where its detail in one of the
directions is below 0.8 of the median over the measured frames within 2 s: motion blur takes the
detail along the motion alone. It finds motion blur, defocus and strong compression; noise and
things in the way it does not.
"""

from collections.abc import Iterator

import cv2
import numpy as np

from vodkit.ground.arrays import BoolArray, ByteArray, FloatArray

WIDTH_PX = 160
LESS = 0.8
"""of the median detail around it, below which a frame is of low quality"""
AROUND_S = 2.0
"""seconds before and after a frame that it is compared with"""
_FEWEST = 5  # frames around, its own included; with fewer nothing is known
_LEAST = 1.0  # grey levels; a picture with less detail shows nothing that could be blurred


def detail(image: ByteArray) -> FloatArray:
    """(4,) root mean square differences of pixels, see above, of a picture (H, W, 3) RGB."""
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    height = max(round(WIDTH_PX * grey.shape[0] / grey.shape[1]), 2)
    small = cv2.resize(grey, (WIDTH_PX, height), interpolation=cv2.INTER_AREA).astype(np.float32)
    return np.array([np.sqrt(np.square(one).mean()) for one in _differences(small)])


def _differences(grey: FloatArray) -> Iterator[FloatArray]:
    yield grey[:, 1:] - grey[:, :-1]
    yield grey[1:] - grey[:-1]
    yield grey[1:, 1:] - grey[:-1, :-1]
    yield grey[1:, :-1] - grey[:-1, 1:]


def is_low_quality(times_s: FloatArray, details: FloatArray) -> BoolArray:
    """(F,) which frames are of low quality.

    Args:
        times_s: (F,) ascending.
        details: (F, 4), see ``detail``.
    """
    low = np.zeros(len(times_s), bool)
    first = np.searchsorted(times_s, times_s - AROUND_S - 1e-6, side="left")
    last = np.searchsorted(times_s, times_s + AROUND_S + 1e-6, side="right")
    for place, (begin, end) in enumerate(zip(first, last, strict=True)):
        usual = np.median(details[begin:end], axis=0)
        known = (usual >= _LEAST) & (end - begin >= _FEWEST)
        low[place] = bool((known & (details[place] < LESS * usual)).any())
    return low
