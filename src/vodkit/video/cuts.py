"""Shot changes: where a video jumps to another picture.

Two neighbouring frames are compared by what does not change when objects or the camera move a
little: a colour histogram of each part of a small picture. A cut is a jump that stands out from
the recent ones: absolute and against their median, so that neither flashes of compression noise
nor fast motion count.
"""

from collections import deque
from collections.abc import Iterable, Iterator
from statistics import median

import cv2
import numpy as np

from vodkit.arrays import FloatArray, IntArray
from vodkit.records import Frame

_SMALL_PX = (64, 48)
_GRID = 3  # parts a side
_BINS = 8  # levels a colour
_MEMORY = 12  # recent differences that a jump must stand out from


def _shares() -> FloatArray:
    """(256, levels): how each value is spread over the two nearest levels.

    All are multiples of 1/32, so that sums of them are exact in any order.
    """
    place = np.arange(256) / 256 * _BINS - 0.5  # among the levels' centres
    low = np.floor(place).astype(int)
    shares = np.zeros((256, _BINS))
    np.add.at(shares, (np.arange(256), np.clip(low, 0, _BINS - 1)), 1 - (place - low))
    np.add.at(shares, (np.arange(256), np.clip(low + 1, 0, _BINS - 1)), place - low)
    return shares


_SHARES = _shares()


class CutDetector:
    """Finds cuts frame by frame; one instance is one video."""

    def __init__(self, *, threshold: float = 0.27, contrast: float = 3.0) -> None:
        """``threshold`` in 0..1: how different; ``contrast``: how much more than is usual."""
        self._threshold = threshold
        self._contrast = contrast
        self._last: FloatArray | None = None
        self._recent: deque[float] = deque(maxlen=_MEMORY)

    def step(self, frame: Frame) -> bool:
        """Whether a new shot begins with this frame; never with the first one."""
        looks = _looks(frame)
        if self._last is None:
            self._last = looks
            return False
        difference = float(np.abs(looks - self._last).sum() / 2 / _GRID**2 / 3)
        self._last = looks
        usual = median(self._recent) if self._recent else 0.0
        is_cut = difference > max(self._threshold, self._contrast * usual)
        if not is_cut:
            self._recent.append(difference)
        else:
            self._recent.clear()
        return is_cut


def find_cuts(frames: Iterable[Frame]) -> Iterator[int]:
    """The indices of the frames with which a new shot begins."""
    detector = CutDetector()
    for frame in frames:
        if detector.step(frame):
            yield frame.index


def _first_bins() -> IntArray:
    """(H, W, 3): where the 256 values of each pixel's part and colour begin."""
    width_px, height_px = _SMALL_PX
    row, column = (np.arange(size) * _GRID // size for size in (height_px, width_px))
    part = row[:, None] * _GRID + column
    return (part[..., None] * 3 + np.arange(3)) * 256


_FIRST_BIN = _first_bins()


def _looks(frame: Frame) -> FloatArray:
    """Histograms (parts * colours, levels), each with sum 1."""
    # So many single pixels tell as much of the colours as means of all, at a tenth of the cost.
    small = cv2.resize(frame.image, _SMALL_PX, interpolation=cv2.INTER_NEAREST)
    values = np.bincount((_FIRST_BIN + small).ravel(), minlength=_GRID**2 * 3 * 256)
    # Each pixel is spread over the two nearest levels, so that none jumps at a border.
    counts = values.reshape(-1, 256) @ _SHARES
    return np.asarray(counts / counts.sum(axis=1, keepdims=True))
