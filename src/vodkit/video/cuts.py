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

from vodkit.arrays import FloatArray
from vodkit.records import Frame

_SMALL_PX = (64, 48)
_GRID = 3  # parts a side
_BINS = 8  # levels a colour
_MEMORY = 12  # recent differences that a jump must stand out from


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


def _looks(frame: Frame) -> FloatArray:
    """Histograms (parts, colours, bins), each with sum 1."""
    small = cv2.resize(frame.image, _SMALL_PX, interpolation=cv2.INTER_AREA)
    rows = [np.array_split(row, _GRID, axis=1) for row in np.array_split(small, _GRID, axis=0)]
    parts = [part for row in rows for part in row]
    counts = [_histogram(part[:, :, colour]) for part in parts for colour in range(3)]
    return np.array(counts)


def _histogram(values: np.ndarray) -> FloatArray:
    """Shares of the levels, each pixel spread over the two nearest (no jumps at borders)."""
    place = values.ravel() / 256 * _BINS - 0.5
    low = np.floor(place).astype(int)
    share = place - low
    counts = np.bincount(np.clip(low, 0, _BINS - 1), 1 - share, _BINS)
    counts += np.bincount(np.clip(low + 1, 0, _BINS - 1), share, _BINS)
    return counts / len(place)
