"""Shot changes: where a video jumps to another picture.

Two neighbouring frames are compared by what does not change when objects or the camera move a
little: a colour histogram of each part of a small picture. A cut is a jump that stands out from
the recent ones: absolute and against their median, so that neither flashes of compression noise
nor fast motion count.
"""

from collections import deque
from collections.abc import Iterable, Iterator
from functools import cached_property
from itertools import pairwise
from statistics import median

import cv2
import numpy as np

from vodkit.ground.arrays import FloatArray, IntArray
from vodkit.ground.records import Frame

_SMALL_PX = (64, 48)
_GRID = 3  # parts a side
_BINS = 8  # levels a colour
_MEMORY = 12  # recent differences that a jump must stand out from
# A part has at least so many pixels.
_FEWEST = (_SMALL_PX[0] // _GRID) * (_SMALL_PX[1] // _GRID)


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
        self._shot: deque[_Small] = deque(maxlen=_MEMORY + 1)

    def step(self, frame: Frame) -> bool:
        """Whether a new shot begins with this frame; never with the first one."""
        small = _Small(frame)
        is_cut = bool(self._shot) and self._stands_out(small, self._shot[-1])
        if is_cut:
            self._shot.clear()
        self._shot.append(small)
        return is_cut

    def _stands_out(self, small: "_Small", last: "_Small") -> bool:
        if small.differs_at_most(last) <= self._threshold:
            return False
        recent = [other.difference(one) for one, other in pairwise(self._shot)]
        usual = median(recent) if recent else 0.0
        return small.difference(last) > max(self._threshold, self._contrast * usual)


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


class _Small:
    """A small picture of a frame, whose histograms are made where they are wanted."""

    def __init__(self, frame: Frame) -> None:
        # So many single pixels tell as much of the colours as means of all, at a tenth of the cost.
        self._pixels = cv2.resize(frame.image, _SMALL_PX, interpolation=cv2.INTER_NEAREST)
        self._difference: float | None = None

    @cached_property
    def looks(self) -> FloatArray:
        """Histograms (parts * colours, levels), each with sum 1."""
        values = np.bincount((_FIRST_BIN + self._pixels).ravel(), minlength=_GRID**2 * 3 * 256)
        # Each pixel is spread over the two nearest levels, so that none jumps at a border.
        counts = values.reshape(-1, 256) @ _SHARES
        return np.asarray(counts / counts.sum(axis=1, keepdims=True))

    def difference(self, last: "_Small") -> float:
        """In 0..1, from the frame before, which is always the same one: counted once."""
        if self._difference is None:
            apart = np.abs(self.looks - last.looks).sum()
            self._difference = float(apart / 2 / _GRID**2 / 3)
        return self._difference

    def differs_at_most(self, last: "_Small") -> float:
        """More than ``difference`` can be, at a tenth of its cost: mostly it is enough to know.

        A pixel that changes by d of 256 values moves d / 32 of itself to other levels.
        """
        apart = cv2.norm(self._pixels, last._pixels, cv2.NORM_L1)  # noqa: SLF001 - of its own class
        return apart / (256 // _BINS) / _FEWEST / _GRID**2 / 3 + 1e-9
