"""Decoded pictures as RGB arrays: upright, in the size wanted, and only once converted."""

import math
import struct
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import av
import cv2
import numpy as np
from av.video.reformatter import Interpolation, VideoReformatter

from vodkit.ground.arrays import ByteArray
from vodkit.ground.errors import VideoError
from vodkit.ground.records import Frame
from vodkit.video.limits import Limits

OnDecoded = Callable[[int, Callable[[], Frame]], None]
"""takes the index of a frame, and what makes it in full size"""

_SLANT = 0.01  # quarter turns: whole numbers in the file make no more


def words(error: Exception) -> str:
    """What an error of FFmpeg or the system says, in words."""
    if isinstance(error, av.ExitError):  # FFmpeg's word for it: "Immediate exit requested"
        return "nothing came in time"
    return getattr(error, "strerror", None) or str(error) or type(error).__name__


def lacks_memory(error: Exception) -> bool:
    """Whether the machine is to blame, not the picture: FFmpeg, OpenCV or NumPy got no memory."""
    return isinstance(error, MemoryError) or getattr(error, "code", 0) == cv2.Error.StsNoMem


def no_memory(name: object, size_px: tuple[int, int]) -> MemoryError:
    """The error for a picture (width, height) that no memory is left for."""
    return MemoryError(f"{name}: no memory for a picture of {size_px[0]}x{size_px[1]} px")


def _turned(raw: Any) -> tuple[bool, int]:
    """How the picture becomes upright, by its display matrix.

    Whether left and right change places, and how often it is then turned by 90 degrees,
    counter-clockwise. ValueError for what lies between.
    """
    matrix = raw.side_data.get("DISPLAYMATRIX")
    if matrix is None:
        return False, 0
    right_x, right_y, _, down_x, down_y, *_ = struct.unpack("=9i", bytes(matrix))
    mirrored = right_x * down_y < right_y * down_x
    if mirrored:
        right_x, right_y = -right_x, -right_y
    turns = -math.degrees(math.atan2(right_y, right_x)) / 90
    if abs(turns - round(turns)) > _SLANT:
        raise ValueError(
            f"it is to be turned by {90 * turns:.0f} degrees; allowed: by 90, 180, 270"
        )
    return mirrored, round(turns) % 4


@dataclass(frozen=True)
class RgbMaker:
    """Makes the pictures of one pass; it keeps FFmpeg's scaler, whose tables are dear to make."""

    name: str
    """of the source, for errors"""
    limits: Limits
    _scaler: VideoReformatter = field(default_factory=VideoReformatter)
    _known: dict[int, tuple[bool, int]] = field(default_factory=dict)

    def turned(self, raw: Any) -> tuple[bool, int]:
        """How the picture becomes upright, see ``_turned``.

        Looked up once for each rotation: who asks a picture of PyAV for its side data keeps it in
        memory until Python collects its garbage.
        """
        if raw.rotation not in self._known:
            self._known[raw.rotation] = _turned(raw)
        return self._known[raw.rotation]

    def __call__(
        self, raw: Any, size_px: tuple[int, int] | None, when: Callable[[], float | None]
    ) -> ByteArray:
        """The picture as (H, W, 3) RGB, upright; ``size_px`` is (width, height), None: its own.

        ``when`` tells its time in seconds, for errors.
        """
        if not self.limits.allow((raw.width, raw.height)):
            self.limits.check_size((raw.width, raw.height), path=self.name, time_s=when())
        width_px, height_px = size_px if size_px is not None else (raw.width, raw.height)
        try:
            mirrored, turns = self.turned(raw)
            if turns % 2 and size_px is not None:
                width_px, height_px = height_px, width_px
            image = self._convert(raw, width_px, height_px)
        except (av.FFmpegError, ValueError, MemoryError, cv2.error) as error:
            if lacks_memory(error):
                place = self.name if when() is None else f"{self.name} at {when():.3f} s"
                sizes = ((raw.width, raw.height), (width_px, height_px))
                raise no_memory(place, max(sizes, key=math.prod)) from error
            message = f"the picture cannot be turned into RGB: {words(error)}"
            raise VideoError(message, path=self.name, time_s=when()) from error
        if mirrored:
            image = image[:, ::-1]
        return np.ascontiguousarray(np.rot90(image, turns)) if mirrored or turns else image

    def _convert(self, raw: Any, width_px: int, height_px: int) -> ByteArray:
        smaller = width_px < raw.width or height_px < raw.height
        how = Interpolation.BILINEAR if smaller else Interpolation.BICUBIC
        # FFmpeg scales to four bytes a pixel twice as fast as to three.
        form = "rgb24" if (width_px, height_px) == (raw.width, raw.height) else "rgba"
        scaled = self._scaler.reformat(raw, width_px, height_px, form, interpolation=how, threads=1)
        image: ByteArray = scaled.to_ndarray()
        if form == "rgba":
            image = np.asarray(cv2.cvtColor(image, cv2.COLOR_RGBA2RGB), np.uint8)
        return image
