"""Augmentation of labelled pictures and clips: pixels and boxes move together, or not at all.

What is random is drawn first, as a ``View``; applying a view is arithmetic without chance. All
frames of a clip get the same view, so that motion stays motion. Geometry is one affine warp.

A picture lies at the top left of the canvas (the network's input) and the rest is filled, as at
inference; ``View()`` changes nothing else.

Legend: H W of a picture, N boxes, T frames of a clip.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import cv2
import numpy as np

from vodkit.ground import boxes as box_arithmetic
from vodkit.ground.arrays import BoolArray, ByteArray, FloatArray, IntArray
from vodkit.ground.errors import InputError, SettingsError
from vodkit.ground.settings import bounded, check_ranges
from vodkit.video.motion import NO_MOTION

FILL = (114, 114, 114)


@dataclass(frozen=True, eq=False)
class Picture:
    """A picture and what is in it, in pixels of this picture."""

    image: ByteArray
    """(H, W, 3) uint8 RGB"""
    boxes_xyxy: FloatArray
    """(N, 4)"""
    labels: IntArray
    """(N,)"""
    ignore: BoolArray
    """(N,): neither right nor wrong to find"""
    motion: ByteArray | None = None
    """(H, W, L) uint8: differences to earlier frames, 128 where there are none; None: not wanted"""

    def __post_init__(self) -> None:
        """Check that the columns are equally long."""
        n = len(self.labels)
        seen = (self.boxes_xyxy.shape, self.ignore.shape)
        if seen != ((n, 4), (n,)):
            raise InputError(f"Picture: boxes, ignore are {seen}; allowed: {((n, 4), (n,))}")


@dataclass(frozen=True, kw_only=True)
class Augment:
    """How much pictures are changed while training; chances are 0 to 1."""

    flip: float = bounded(0.5, low=0, high=1)
    """chance of left-right mirroring"""
    zoom: tuple[float, ...] = (0.75, 1.25)
    """smallest and largest scale"""
    stretch: float = bounded(0.1, low=0, high=1)
    """largest relative change of width to height"""
    shift: float = bounded(0.1, low=0, high=1)
    """largest move, as a share of the canvas"""
    colour: float = bounded(0.25, low=0, high=1)
    """largest relative change of brightness, contrast and saturation"""
    mosaic: float = bounded(0.0, low=0, high=1)
    """chance that four pictures share the canvas"""
    mixup: float = bounded(0.0, low=0, high=1)
    """chance that a second picture shines through"""
    copy_paste: float = bounded(0.0, low=0, high=1)
    """chance that objects of a second picture are put into this one"""

    def __post_init__(self) -> None:
        """Check ranges."""
        check_ranges(self, prefix="augment.")
        if len(self.zoom) != 2 or not 0 < self.zoom[0] <= self.zoom[1] < math.inf:
            allowed = "two numbers above 0, finite, smaller first"
            raise SettingsError(f"augment.zoom is {self.zoom}; allowed: {allowed}")

    @classmethod
    def none(cls) -> "Augment":
        """Nothing is changed."""
        return cls(flip=0, zoom=(1.0, 1.0), stretch=0, shift=0, colour=0)

    @property
    def mixes(self) -> bool:
        """Whether a picture may need others to be made."""
        return max(self.mosaic, self.mixup, self.copy_paste) > 0


@dataclass(frozen=True, kw_only=True)
class View:
    """One way to look at a picture: drawn once, the same for all frames of a clip."""

    flip: bool = False
    scale_x: float = 1.0
    scale_y: float = 1.0
    shift_x: float = 0.0
    """of the picture's centre, as a share of the canvas"""
    shift_y: float = 0.0
    brightness: float = 1.0
    contrast: float = 1.0
    saturation: float = 1.0

    @property
    def moves(self) -> bool:
        """Whether any pixel changes its place."""
        return (self.flip, self.scale_x, self.scale_y, self.shift_x, self.shift_y) != (
            False,
            1.0,
            1.0,
            0.0,
            0.0,
        )


def draw_view(augment: Augment, rng: np.random.Generator) -> View:
    """A random view; equal generators give equal views."""
    chance, zoom, stretch, dx, dy, *colours = rng.random(8)
    low, high = augment.zoom
    scale = low * (high / low) ** zoom
    ratio = (1 + augment.stretch) ** (2 * stretch - 1)
    gains = [1 + augment.colour * (2 * value - 1) for value in colours]
    return View(
        flip=bool(chance < augment.flip),
        scale_x=scale * ratio**0.5,
        scale_y=scale / ratio**0.5,
        shift_x=augment.shift * (2 * dx - 1),
        shift_y=augment.shift * (2 * dy - 1),
        brightness=gains[0],
        contrast=gains[1],
        saturation=gains[2],
    )


def apply_view(
    picture: Picture,
    view: View,
    canvas_px: tuple[int, int],
    *,
    least_visible: float = 0.3,
    fill: Sequence[int] = FILL,
) -> Picture:
    """The picture as ``view`` shows it on a canvas of this width and height, ``fill`` (RGB) around.

    A box is cut at the picture and at the canvas; one of which less than ``least_visible`` is left
    becomes ignored, and one of which nothing is left is dropped.
    """
    height, width = picture.image.shape[:2]
    if width > canvas_px[0] or height > canvas_px[1]:
        raise InputError(f"picture is {width}x{height} px; allowed: up to the canvas {canvas_px}")
    if not view.moves:
        inside = _cut(picture, least_visible)
        padded = partial(_padded, canvas_px=canvas_px)
        image = _colours(padded(picture.image, fill=fill), view)
        return replace(inside, image=image, motion=_of_motion(picture, padded))
    matrix = _matrix(view, (width, height), canvas_px)
    image = _colours(_warp(picture.image, matrix, canvas_px, fill), view)
    motion = _of_motion(picture, partial(_warp, matrix=matrix, canvas_px=canvas_px))
    shown = box_arithmetic.clip(picture.boxes_xyxy, width_px=width, height_px=height)
    moved = Picture(image, _move(shown, matrix), picture.labels, picture.ignore, motion)
    return _cut(moved, least_visible, whole_xyxy=_move(picture.boxes_xyxy, matrix))


def apply_to_clip(
    clip: Sequence[Picture], view: View, canvas_px: tuple[int, int], *, fill: Sequence[int] = FILL
) -> list[Picture]:
    """All frames of a clip, seen in the same way."""
    return [apply_view(picture, view, canvas_px, fill=fill) for picture in clip]


def mosaic(clips: Sequence[Sequence[Picture]], centre: tuple[float, float]) -> list[Picture]:
    """Four clips of one length on one canvas, frame by frame, around ``centre`` (shares 0 to 1).

    Each clip is halved in size and shows its corner nearest to the centre's opposite (Bochkovskiy
    et al., 2020, arXiv:2004.10934); the point where the four meet stays the same in all frames.
    """
    if len(clips) != 4 or len({len(clip) for clip in clips}) != 1:
        seen = [len(clip) for clip in clips]
        raise InputError(f"mosaic: clips of {seen} frames; allowed: four of one length")
    return [_mosaic_of(pictures, centre) for pictures in zip(*clips, strict=True)]


def mixup(clip: Sequence[Picture], other: Sequence[Picture], share: float) -> list[Picture]:
    """``other`` shining through with weight ``share`` (Zhang et al., 2019, arXiv:1902.04103)."""
    mixed = []
    for one, two in zip(clip, other, strict=True):
        image = _blended(one.image, two.image, share)
        both = one.motion is not None and two.motion is not None
        motion = _blended(one.motion, two.motion, share) if both else None
        mixed.append(replace(_joined(image, [one, two]), motion=motion))
    return mixed


def copy_paste(clip: Sequence[Picture], other: Sequence[Picture]) -> list[Picture]:
    """The objects of ``other`` put on the clip at their own places, frame by frame.

    After Ghiasi et al. (2021, arXiv:2012.07177), with boxes for outlines. An object of the clip of
    which less than 30 % can still be seen becomes ignored.
    """
    return [_paste(one, two) for one, two in zip(clip, other, strict=True)]


def draw_clip(
    clips: Sequence[Sequence[Picture]],
    augment: Augment,
    canvas_px: tuple[int, int],
    rng: np.random.Generator,
    *,
    fill: Sequence[int] = FILL,
) -> list[Picture]:
    """The first of four clips, augmented; the others take part as ``augment`` wants it."""
    wants = rng.random(3) < (augment.mosaic, augment.mixup, augment.copy_paste)
    views = [draw_view(augment, rng) for _ in clips]
    centre = (float(rng.uniform(0.3, 0.7)), float(rng.uniform(0.3, 0.7)))
    needed = 4 if wants[0] else 2 if wants.any() else 1
    seen = [
        apply_to_clip(clip, view, canvas_px, fill=fill)
        for clip, view in zip(clips[:needed], views[:needed], strict=True)
    ]
    out = mosaic(seen, centre) if wants[0] else seen[0]
    if wants[2]:
        out = copy_paste(out, seen[1])
    return mixup(out, seen[1], 0.5) if wants[1] else out


def _of_motion(picture: Picture, change: Callable[..., ByteArray]) -> ByteArray | None:
    """The planes of a picture, changed as its pixels are; around them nothing moves."""
    if picture.motion is None:
        return None
    planes = cv2.split(picture.motion)  # OpenCV warps up to four at a time
    return np.dstack([change(plane, fill=(NO_MOTION,)) for plane in planes])


def _blended(one: Any, two: Any, share: float) -> ByteArray:
    return np.asarray(cv2.addWeighted(one, 1 - share, two, share, 0), np.uint8).reshape(one.shape)


def _padded(image: ByteArray, canvas_px: tuple[int, int], fill: Sequence[int]) -> ByteArray:
    height, width = image.shape[:2]
    if (width, height) == canvas_px:
        return image
    around = fill if image.ndim == 3 else fill[0]
    canvas = np.full((canvas_px[1], canvas_px[0], *image.shape[2:]), around, np.uint8)
    canvas[:height, :width] = image
    return canvas


def _matrix(view: View, size_px: tuple[int, int], canvas_px: tuple[int, int]) -> FloatArray:
    """(2, 3): continuous source pixels to canvas pixels; the centre stays but for the shift."""
    (width, height), (canvas_w, canvas_h) = size_px, canvas_px
    sx = -view.scale_x if view.flip else view.scale_x
    # A mirrored or zoomed picture keeps its centre, so a letterbox keeps its own place.
    x = width / 2 + view.shift_x * canvas_w - sx * width / 2
    y = height / 2 + view.shift_y * canvas_h - view.scale_y * height / 2
    return np.array([[sx, 0, x], [0, view.scale_y, y]])


def _warp(
    image: ByteArray, matrix: FloatArray, canvas_px: tuple[int, int], fill: Sequence[int]
) -> ByteArray:
    # cv2 counts from pixel centres, boxes from pixel corners: half a pixel on both sides.
    shifted = matrix.copy()
    shifted[:, 2] += matrix[:, :2] @ (0.5, 0.5) - 0.5
    around = tuple(fill)
    warped = cv2.warpAffine(image, shifted, canvas_px, flags=cv2.INTER_LINEAR, borderValue=around)
    return np.asarray(warped)


def _move(boxes_xyxy: FloatArray, matrix: FloatArray) -> FloatArray:
    scale, shift = np.diag(matrix[:, :2]), matrix[:, 2]
    corners = boxes_xyxy.reshape(-1, 2, 2) * scale + shift
    return np.concatenate([corners.min(axis=1), corners.max(axis=1)], axis=1)


def _cut(
    picture: Picture, least_visible: float, *, whole_xyxy: FloatArray | None = None
) -> Picture:
    """Boxes cut at the picture; ``whole_xyxy`` are they as they were before an earlier cut."""
    height, width = picture.image.shape[:2]
    whole = box_arithmetic.area(picture.boxes_xyxy if whole_xyxy is None else whole_xyxy)
    boxes = box_arithmetic.clip(picture.boxes_xyxy, width_px=width, height_px=height)
    left = box_arithmetic.area(boxes)
    keep = left > 0
    faint = left < least_visible * whole
    ignore = (picture.ignore | faint)[keep]
    return Picture(picture.image, boxes[keep], picture.labels[keep], ignore, picture.motion)


def _colours(image: ByteArray, view: View) -> ByteArray:
    """Saturation, then contrast around mid grey and brightness; a fresh array if any changes."""
    out = image
    if view.saturation != 1:
        grey = cv2.cvtColor(cv2.cvtColor(out, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
        out = np.asarray(cv2.addWeighted(out, view.saturation, grey, 1 - view.saturation, 0))
    if (view.contrast, view.brightness) != (1, 1):
        gain = view.contrast * view.brightness
        shift = 128 * view.brightness * (1 - view.contrast)
        table = np.clip(np.arange(256) * gain + shift, 0, 255).round().astype(np.uint8)
        out = np.asarray(cv2.LUT(out, table))
    return out


def _joined(image: ByteArray, pictures: Sequence[Picture]) -> Picture:
    return Picture(
        image,
        np.concatenate([picture.boxes_xyxy for picture in pictures]),
        np.concatenate([picture.labels for picture in pictures]),
        np.concatenate([picture.ignore for picture in pictures]),
    )


def _mosaic_of(pictures: Sequence[Picture], centre: tuple[float, float]) -> Picture:
    height, width = pictures[0].image.shape[:2]
    x, y = round(centre[0] * width), round(centre[1] * height)
    canvas = np.full((height, width, 3), FILL, np.uint8)
    first = pictures[0].motion
    motion = None if first is None else np.full(first.shape, NO_MOTION, np.uint8)
    parts = []
    for i, picture in enumerate(pictures):
        left, top = (x if i % 2 else 0), (y if i >= 2 else 0)
        size = (width - x if i % 2 else x, height - y if i >= 2 else y)
        scale = max(size[0] / width, size[1] / height)
        matrix = np.array([[scale, 0, 0], [0, scale, 0]])
        tile = _warp(picture.image, matrix, size, FILL)  # which it covers
        canvas[top : top + size[1], left : left + size[0]] = tile
        moved = _of_motion(picture, partial(_warp, matrix=matrix, canvas_px=size))
        if motion is not None and moved is not None:
            motion[top : top + size[1], left : left + size[0]] = moved
        placed = Picture(tile, _move(picture.boxes_xyxy, matrix), picture.labels, picture.ignore)
        cut = _cut(placed, 0.3)
        parts.append(replace(cut, boxes_xyxy=np.add(cut.boxes_xyxy, (left, top, left, top))))
    return replace(_joined(canvas, parts), motion=motion)


def _paste(one: Picture, two: Picture) -> Picture:
    image = one.image.copy()
    motion = None if one.motion is None else one.motion.copy()
    sources = two.boxes_xyxy[~two.ignore]
    for x1, y1, x2, y2 in np.round(sources).astype(int).clip(0):
        image[y1:y2, x1:x2] = two.image[y1:y2, x1:x2]
        if motion is not None and two.motion is not None:
            motion[y1:y2, x1:x2] = two.motion[y1:y2, x1:x2]
    hidden = box_arithmetic.covered(one.boxes_xyxy, sources).sum(axis=1) > 0.7
    below = replace(one, ignore=one.ignore | hidden)
    keep = ~two.ignore
    above = Picture(two.image, sources, two.labels[keep], two.ignore[keep])
    return replace(_joined(image, [below, above]), motion=motion)
