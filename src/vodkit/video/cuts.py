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

from vodkit.arrays import ByteArray, FloatArray, IntArray
from vodkit.records import Frame

_SMALL_PX = (64, 48)
_GRID = 3  # parts a side
_BINS = 8  # levels a colour
_MEMORY = 12  # recent differences that a jump must stand out from
_NUM_BINS = _GRID**2 * 3 * _BINS

_PLACE = np.arange(256) / 256 * _BINS - 0.5  # of a value among the levels' centres
_LOW = np.clip(np.floor(_PLACE).astype(int), 0, _BINS - 1)
_HIGH = np.clip(np.floor(_PLACE).astype(int) + 1, 0, _BINS - 1)
_SHARE = _PLACE - np.floor(_PLACE)  # that goes to the higher level


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
    """(H, W, 3): where the histogram of each pixel's part and colour begins."""
    width_px, height_px = _SMALL_PX
    row, column = (np.arange(size) * _GRID // size for size in (height_px, width_px))
    part = row[:, None] * _GRID + column
    return (part[..., None] * 3 + np.arange(3)) * _BINS


_FIRST_BIN = _first_bins()


def _halved(image: ByteArray) -> ByteArray:
    """The picture halved while it stays twice as large as wanted: far faster, the same means."""
    height_px, width_px = image.shape[:2]
    while not (width_px % 2 or height_px % 2) and (
        width_px >= 4 * _SMALL_PX[0] and height_px >= 4 * _SMALL_PX[1]
    ):
        width_px, height_px = width_px // 2, height_px // 2
        image = cv2.resize(image, (width_px, height_px), interpolation=cv2.INTER_AREA)
    return image


def _looks(frame: Frame) -> FloatArray:
    """Histograms (parts * colours, levels), each with sum 1."""
    small = cv2.resize(_halved(frame.image), _SMALL_PX, interpolation=cv2.INTER_AREA)
    # Each pixel is spread over the two nearest levels, so that none jumps at a border.
    counts = np.bincount((_FIRST_BIN + _LOW[small]).ravel(), 1 - _SHARE[small].ravel(), _NUM_BINS)
    counts += np.bincount((_FIRST_BIN + _HIGH[small]).ravel(), _SHARE[small].ravel(), _NUM_BINS)
    counts = counts.reshape(-1, _BINS)
    return counts / counts.sum(axis=1, keepdims=True)
