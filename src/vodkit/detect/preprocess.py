"""A frame as the network's input, and the way back from its pixels to the source's.

Normalisation (channel order, mean, scale) is not here: it is part of the graph that runs.
"""

from dataclasses import dataclass

import cv2
import numpy as np

from vodkit.detect.base import Preprocessing
from vodkit.ground.arrays import ByteArray, FloatArray
from vodkit.ground.errors import SettingsError
from vodkit.ground.records import Frame
from vodkit.video.motion import NO_MOTION

_FIT_MULTIPLE = 32  # torchvision pads batches to this (GeneralizedRCNNTransform.size_divisible)


@dataclass(frozen=True)
class Placement:
    """Where the source picture lies in the network's input: at the top left, scaled."""

    width_px: int
    """of the source"""
    height_px: int
    scale_x: float
    """source pixels for each input pixel"""
    scale_y: float

    def to_source(self, boxes_xyxy: FloatArray) -> FloatArray:
        """Boxes (N, 4) of the input as fresh float32 boxes of the source, clipped to it."""
        scale = np.array([self.scale_x, self.scale_y, self.scale_x, self.scale_y], np.float32)
        limit = np.array([self.width_px, self.height_px] * 2, np.float32)
        return np.clip(boxes_xyxy * scale, 0, limit)


def input_px(width_px: int, height_px: int, wanted: Preprocessing) -> tuple[int, int]:
    """Width and height of the network's input for a picture of this size, filling included.

    >>> input_px(768, 576, Preprocessing(width_px=1333, height_px=800, resize="fit"))
    (1088, 800)
    """
    if not wanted.any_size:
        return wanted.width_px, wanted.height_px
    width, height = wanted.resized_px(width_px, height_px)
    return -(-width // _FIT_MULTIPLE) * _FIT_MULTIPLE, -(-height // _FIT_MULTIPLE) * _FIT_MULTIPLE


def traced_shape(wanted: Preprocessing) -> tuple[int, int, int]:
    """Height, width and planes of the input at which a graph is traced: the largest.

    >>> traced_shape(Preprocessing(width_px=1333, height_px=800, resize="fit"))
    (800, 1344, 3)
    """
    width, height = input_px(wanted.width_px, wanted.height_px, wanted)
    return height, width, wanted.num_planes


def place(
    frame: Frame, wanted: Preprocessing, canvas: ByteArray | None = None
) -> tuple[ByteArray, Placement]:
    """The network's input (H, W, 3) uint8 RGB, and where the source picture lies in it.

    Of a network that takes motion, (H, W, 3 + L): a frame without known motion has none.

    ``canvas`` is an input that ``place`` made of a picture of the same source size and that nobody
    needs any more: it is drawn over, which saves filling it.
    """
    height, width = frame.image.shape[:2]
    new_width, new_height = wanted.resized_px(frame.width_px, frame.height_px)
    full_width, full_height = input_px(frame.width_px, frame.height_px, wanted)
    placement = Placement(
        frame.width_px, frame.height_px, frame.width_px / new_width, frame.height_px / new_height
    )
    as_it_is = (width, height) == (new_width, new_height)
    if wanted.motion_lags_s:
        return _with_planes(frame, wanted, placement, canvas), placement
    if (new_width, new_height) == (full_width, full_height):
        if as_it_is:
            return frame.image, placement
        return cv2.resize(frame.image, (new_width, new_height)), placement
    if canvas is None:
        canvas = np.empty((full_height, full_width, 3), np.uint8)
        canvas[new_height:] = wanted.fill
        canvas[:new_height, new_width:] = wanted.fill
    if as_it_is:
        canvas[:new_height, :new_width] = frame.image
    else:
        size = (new_width, new_height)
        canvas[:new_height, :new_width] = cv2.resize(frame.image, size)
    return canvas, placement


def _with_planes(
    frame: Frame, wanted: Preprocessing, placement: Placement, canvas: ByteArray | None
) -> ByteArray:
    """The network's input (H, W, 3 + L), with the frame's differences after the colours."""
    width, height = wanted.resized_px(frame.width_px, frame.height_px)
    if canvas is None:
        full_width, full_height = input_px(placement.width_px, placement.height_px, wanted)
        canvas = np.full((full_height, full_width, wanted.num_planes), NO_MOTION, np.uint8)
        canvas[..., :3] = wanted.fill
    image = frame.image
    if image.shape[:2] != (height, width):
        image = np.asarray(cv2.resize(image, (width, height)))
    planes = frame.motion
    if planes is None or planes.shape != (height, width, len(wanted.motion_lags_s)):
        if planes is not None:
            seen = f"motion of frame {frame.index} is {planes.shape}"
            allowed = f"({height}, {width}, {len(wanted.motion_lags_s)})"
            raise SettingsError(f"{seen}; allowed for this network: {allowed}")
        canvas[:height, :width, :3] = image
        canvas[:height, :width, 3:] = NO_MOTION
        return canvas
    pairs = [number for plane in range(wanted.num_planes) for number in (plane, plane)]
    cv2.mixChannels([image, planes], [canvas[:height, :width]], pairs)  # 6 times as fast as slices
    return canvas
