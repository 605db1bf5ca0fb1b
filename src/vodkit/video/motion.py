"""Frame differences as further input planes: what moves, for detectors of small or hidden movers.

For each lag (in seconds) a plane is ``128 + (now - then) / 2`` of the grey pictures at the size of
the network's input, 128 where nothing is known: at the start, after a cut, where no frame is within
half of the lag. ``then`` is the earlier frame nearest to the lag by its time, so the rate of the
frames does not matter. The motion of the camera is removed as a shift, found by phase correlation
(Kuglin and Hines 1975), and only where it explains the difference. Two lags, after dual-interval
differences for small movers (Bjerge et al. 2023; van Leeuwen et al. 2024): the short one shows fast
objects, the long one slow ones.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import cv2
import numpy as np

from vodkit.ground.arrays import ByteArray, FloatArray
from vodkit.ground.records import Frame
from vodkit.video.cuts import CutDetector

NO_MOTION = 128
"""value of a plane where nothing changed, or nothing is known"""
LAGS_S = (0.1, 0.4)
"""the lags, in seconds, of a detector that is trained with motion"""
_EDGE_S = 1e-6  # clocks of containers are exact to less than this
_COARSE_PX, _FINE = 64, 2  # width, and how much smaller: pictures in which camera motion is found
_LEAST_SHIFT_PX = 0.5  # of the camera; less is noise
_EXPLAINED = 0.8  # a shift is the camera's where it leaves less than this of the difference
_STILL = 0.75  # grey levels by which half of the coarse picture changes, before a resting camera
_CLIP = 16.0  # grey levels
_ROUNDS = 3  # of least squares
_LEAST_TEXTURE = 1e-4  # of the pictures' slopes, squared, in grey levels
_FEWEST_PX = 16  # of a side of the coarse picture; in smaller ones no shift is searched


class Seen(NamedTuple):
    """What is remembered of a frame."""

    time_s: float
    grey: ByteArray
    """(H, W) at the size of the network's input"""
    coarse: FloatArray
    """about 64 wide, without slow changes of brightness: for the camera's motion"""

    @property
    def coarseness(self) -> int:
        """How much smaller ``coarse`` is."""
        return _coarseness(self.grey)


def seen(image: ByteArray, time_s: float, size_px: tuple[int, int]) -> Seen:
    """A picture (H, W, 3) RGB of a moment, at this width and height."""
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    if grey.shape[::-1] != size_px:
        grey = cv2.resize(grey, size_px)
    coarse = _smaller(np.asarray(grey), _coarseness(grey))
    # A bright object must not outweigh what is around it.
    detail = np.clip(coarse - cv2.blur(coarse, (9, 9)), -_CLIP, _CLIP)
    return Seen(time_s, np.asarray(grey), detail)


def planes_of(
    now: Seen, earlier: Sequence[Seen] | deque[Seen], lags_s: Sequence[float]
) -> ByteArray:
    """(H, W, L) uint8: the difference to the frame nearest to each lag."""
    times_s = np.array([one.time_s for one in earlier])
    planes = [_plane(now, _nearest(now, earlier, times_s, lag_s)) for lag_s in lags_s]
    return np.asarray(cv2.merge(planes)).reshape(*now.grey.shape, len(planes))


def _nearest(
    now: Seen, earlier: Sequence[Seen] | deque[Seen], times_s: FloatArray, lag_s: float
) -> Seen | None:
    if not len(times_s):
        return None
    off_s = np.abs(times_s - (now.time_s - lag_s))
    nearest = int(off_s.argmin())
    return earlier[nearest] if off_s[nearest] <= lag_s / 2 + _EDGE_S else None


def _plane(now: Seen, then: Seen | None) -> ByteArray:
    if then is None or then.grey.shape != now.grey.shape:
        return np.full(now.grey.shape, NO_MOTION, np.uint8)
    shift = _camera_shift(now, then)
    known = None if shift is None else _explained(now.grey, then.grey, shift)
    earlier = then.grey if known is None else known
    return np.asarray(cv2.addWeighted(now.grey, 0.5, earlier, -0.5, NO_MOTION))


def _explained(now: ByteArray, then: ByteArray, shift: tuple[float, float]) -> ByteArray | None:
    """The earlier picture, moved; None: that explains too little of the difference."""
    inside = _inside(now.shape, shift)
    if inside is None:
        return None
    moved = np.asarray(_moved(then, shift, now))
    still = cv2.norm(now[inside], then[inside], cv2.NORM_L1)
    left = cv2.norm(now[inside], moved[inside], cv2.NORM_L1)
    return moved if left < _EXPLAINED * still else None


def _camera_shift(now: Seen, then: Seen) -> tuple[float, float] | None:
    """By how many pixels the picture has moved since then, (x, y); None: it stands still."""
    factor = now.coarseness
    if min(now.coarse.shape) < _FEWEST_PX:
        return None
    unchanged = np.count_nonzero(cv2.absdiff(now.coarse, then.coarse) < _STILL)
    if 2 * unchanged > now.coarse.size:  # the camera rests, as most do: done
        return None
    coarse = _shift(then.coarse, now.coarse)
    if max(map(abs, coarse)) * factor < _LEAST_SHIFT_PX:
        return None
    ratio = factor / _FINE
    first = (coarse[0] * ratio, coarse[1] * ratio)
    fine = _refined(first, _smaller(then.grey, _FINE), _smaller(now.grey, _FINE)) or first
    return fine[0] * _FINE, fine[1] * _FINE


def _refined(
    shift: tuple[float, float], then: FloatArray, now: FloatArray
) -> tuple[float, float] | None:
    """A better shift by least squares (Lucas and Kanade 1981), without what moves by itself.

    None: it leads nowhere, as where there is no texture.
    """
    x, y = shift
    for _ in range(_ROUNDS):
        moved = _moved(then, (x, y), now)
        inside = _inside(now.shape, (x, y))
        if inside is None:
            return None
        off = (now - moved)[inside]
        steep_x = cv2.Sobel(moved, cv2.CV_32F, 1, 0, scale=1 / 8)[inside]
        steep_y = cv2.Sobel(moved, cv2.CV_32F, 0, 1, scale=1 / 8)[inside]
        size = np.abs(off)
        counts = (size <= 1.5 * size.mean() + _EDGE_S).astype(np.float32)
        steep_x, steep_y = steep_x * counts, steep_y * counts
        xx, xy, yy = (
            float((a * b).sum())
            for a, b in ((steep_x, steep_x), (steep_x, steep_y), (steep_y, steep_y))
        )
        bx, by = float((steep_x * off).sum()), float((steep_y * off).sum())
        area = xx * yy - xy * xy
        if area < _LEAST_TEXTURE * off.size**2:
            return None
        x -= (yy * bx - xy * by) / area
        y -= (xx * by - xy * bx) / area
    return x, y


def _moved(then: Any, shift: tuple[float, float], now: Any) -> Any:
    """The earlier picture, moved; where it shows nothing, the later one."""
    forth = np.array([[1, 0, shift[0]], [0, 1, shift[1]]], np.float64)
    size = (int(now.shape[1]), int(now.shape[0]))
    return cv2.warpAffine(then, forth, size, dst=now.copy(), borderMode=cv2.BORDER_TRANSPARENT)


def _inside(shape: tuple[int, ...], shift: tuple[float, float]) -> tuple[slice, slice] | None:
    """What both pictures show; None: less than half."""
    height, width = shape
    x, y = (int(abs(size)) + 2 for size in shift)
    if 4 * x >= width or 4 * y >= height:
        return None
    return slice(y, height - y), slice(x, width - x)


_WINDOWS: dict[tuple[int, int], FloatArray] = {}


def _shift(then: FloatArray, now: FloatArray) -> tuple[float, float]:
    size = (now.shape[1], now.shape[0])
    if size not in _WINDOWS:
        if len(_WINDOWS) > 8:
            _WINDOWS.clear()
        _WINDOWS[size] = np.asarray(cv2.createHanningWindow(size, cv2.CV_32F))
    (x, y), _response = cv2.phaseCorrelate(then, now, _WINDOWS[size])
    return float(x), float(y)


def _coarseness(grey: Any) -> int:
    return max(int(grey.shape[1]) // _COARSE_PX, 1)


def _smaller(grey: ByteArray, factor: int) -> FloatArray:
    width, height = max(grey.shape[1] // factor, 1), max(grey.shape[0] // factor, 1)
    whole = grey[: height * factor, : width * factor]  # OpenCV is quicker where it comes out even
    return np.asarray(cv2.resize(whole, (width, height), interpolation=cv2.INTER_AREA), np.float32)


class Motion:
    """Adds difference planes to the frames of one video; one instance is one video."""

    def __init__(
        self,
        lags_s: Sequence[float],
        size_for: Callable[[int, int], tuple[int, int]],
        *,
        cuts: bool = True,
    ) -> None:
        """A new video.

        Args:
            lags_s: lags in seconds, ascending (``Preprocessing.motion_lags_s``).
            size_for: width and height of a source picture in the network's input, without
                filling (``Preprocessing.resized_px``).
            cuts: detect shot changes, after which nothing earlier is known.
        """
        self._lags_s, self._size_for = tuple(lags_s), size_for
        self._cuts = CutDetector() if cuts else None
        self._earlier: deque[Seen] = deque()

    def step(self, frame: Frame) -> Frame:
        """The frame with its planes; a time that is not after the last one clears the memory."""
        if not frame.has_pixels:
            return frame
        now = seen(frame.image, frame.time_s, self._size_for(frame.width_px, frame.height_px))
        is_cut = self._cuts is not None and self._cuts.step(frame)
        if is_cut or (self._earlier and frame.time_s <= self._earlier[-1].time_s):
            self._earlier.clear()
        planes = planes_of(now, self._earlier, self._lags_s)
        self._earlier.append(now)
        oldest_s = frame.time_s - 1.5 * self._lags_s[-1] - _EDGE_S
        while self._earlier[0].time_s < oldest_s:
            self._earlier.popleft()
        return replace(frame, motion=planes)

    def of(self, frames: Iterable[Frame], *, every: int = 1) -> Iterator[Frame]:
        """Every n-th of these frames, counted by index, with planes; all are compared."""
        for frame in frames:
            known = self.step(frame)
            if frame.index % every == 0:
                yield known
