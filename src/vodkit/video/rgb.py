"""Decoded pictures as RGB arrays: upright, in the size wanted, and only once converted."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import av
import cv2
import numpy as np
from av.video.reformatter import Interpolation, VideoReformatter

from vodkit.arrays import ByteArray
from vodkit.errors import VideoError
from vodkit.video.limits import Limits


def words(error: Exception) -> str:
    """What an error of FFmpeg or the system says, in words."""
    return getattr(error, "strerror", None) or str(error) or type(error).__name__


def quarter_turns(raw: Any) -> int:
    """How often the picture must be turned by 90 degrees, counter-clockwise, to be upright."""
    return round((raw.rotation or 0) / 90) % 4


@dataclass(frozen=True)
class RgbMaker:
    """Makes the pictures of one pass; it keeps FFmpeg's scaler, whose tables are dear to make."""

    name: str
    """of the source, for errors"""
    limits: Limits
    _scaler: VideoReformatter = field(default_factory=VideoReformatter)

    def __call__(
        self, raw: Any, size_px: tuple[int, int] | None, when: Callable[[], float | None]
    ) -> ByteArray:
        """The picture as (H, W, 3) RGB, upright; ``size_px`` is (width, height), None: its own.

        ``when`` tells its time in seconds, for errors.
        """
        turns = quarter_turns(raw)
        if not self.limits.allow((raw.width, raw.height)):
            self.limits.check_size((raw.width, raw.height), path=self.name, time_s=when())
        width_px, height_px = size_px if size_px is not None else (raw.width, raw.height)
        if turns % 2 and size_px is not None:
            width_px, height_px = height_px, width_px
        try:
            image = self._convert(raw, width_px, height_px)
        except (av.FFmpegError, ValueError) as error:
            message = f"the picture cannot be turned into RGB: {words(error)}"
            raise VideoError(message, path=self.name, time_s=when()) from error
        return np.ascontiguousarray(np.rot90(image, turns)) if turns else image

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
