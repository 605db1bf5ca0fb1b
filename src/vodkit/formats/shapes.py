"""Upright boxes around shapes: rotated boxes, polygons, ellipses, masks and points.

A detector's box is upright, so every other shape becomes the smallest upright box around it, its
hull. Points have no area of their own: each stands for a square of ``BoxSize``, and the box of an
object is the hull of the squares of all its points.

Legend: K boxes, P points.
"""

import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

from vodkit.ground.arrays import FloatArray

Corners: TypeAlias = tuple[float, float, float, float]

ROTATED = "rotated box -> upright hull"
POLYGON = "polygon -> upright hull"
POLYLINE = "polyline -> upright hull"
ELLIPSE = "ellipse -> upright hull"
CIRCLE = "circle -> upright hull"
CUBOID = "cuboid -> upright hull"
MASK = "mask -> upright hull"
SKELETON = "skeleton -> upright hull"
POINTS = "points -> upright hull"
KEYPOINTS_LEFT = "box with key points -> the box"
NO_AREA = "without an area"
MOST_MASK_PX = 2**28
"""pixels of a mask; a larger one is refused before memory is taken"""


class ShapeError(ValueError):
    """A shape breaks its own rules: odd coordinates, wrong run lengths."""


class NoAreaError(ShapeError):
    """A shape without an area has no box; the message is the reason that an account gives."""


@dataclass(frozen=True)
class BoxSize:
    """The side of the square that a point stands for."""

    px: float = 0.0
    share: float = 0.0
    """of the object's body length, the diagonal of the hull of its points; where ``px`` is 0"""

    @classmethod
    def parse(cls, text: str) -> "BoxSize":
        """A size as options give it: ``20`` (pixels) or ``15%`` (of the body length).

        >>> BoxSize.parse("15%")
        BoxSize(px=0.0, share=0.15)
        """
        if not re.fullmatch(r"\d{1,5}(\.\d{1,6})?%?", text, flags=re.ASCII):
            raise ValueError(f"{text[:40]!r}; allowed: pixels like 20, or a share like 15%")
        number = float(text.rstrip("%"))
        if number <= 0:
            raise ValueError(f"{text!r}; allowed: above 0")
        return cls(share=number / 100) if text.endswith("%") else cls(px=number)

    def side_px(self, length_px: float) -> float:
        """The side for an object of this body length."""
        return self.px or self.share * length_px


class PointBoxes:
    """Makes boxes of points, with one rule for a complete file."""

    def __init__(self, size: BoxSize | None, lengths_px: Iterable[float]) -> None:
        """``lengths_px`` are the body lengths of objects with several points.

        Their median is the body length of an object with a single point.
        """
        self.size = size
        known = [length for length in lengths_px if length > 0 and math.isfinite(length)]
        self.length_px = float(np.median(known)) if known else 0.0

    def around(self, points: FloatArray, *, pose: bool = False) -> tuple[Corners, str]:
        """The box of an object with these points (P, 2), and how it was made.

        Without a size, the only visible point of a ``pose`` stands for a square of the body length
        of the others, so that a partly visible animal does not become background.

        Raises:
            NoAreaError: The box has no area; the message says what helps.
        """
        if not len(points):
            raise NoAreaError("object without a visible point")
        left, top, right, bottom = hull(points)
        size = self.size
        if size is None and right > left and bottom > top:
            return (left, top, right, bottom), SKELETON if pose else POINTS
        if size is None and pose and len(points) == 1 and self.length_px:
            size = BoxSize(share=1.0)
        if size is None:
            what = "single point" if len(points) == 1 else "points on one line"
            raise NoAreaError(f"{what} {NO_AREA}; --box-size makes a box of it")
        side = size.side_px(math.hypot(right - left, bottom - top) or self.length_px)
        if side <= 0:
            message = f"single point {NO_AREA}, no object has a body length"
            raise NoAreaError(f"{message}; give --box-size in pixels")
        told = f"{size.px:g} px" if size.px else f"{100 * size.share:.4g}% of body length"
        how = f"single point -> box of {told}" if len(points) == 1 else f"{POINTS} + {told}"
        half = side / 2
        return (left - half, top - half, right + half, bottom + half), how


def length_px(points: FloatArray) -> float:
    """The body length of an object with these points (P, 2)."""
    left, top, right, bottom = hull(points)
    return math.hypot(right - left, bottom - top)


def hull(points: FloatArray | Sequence[Sequence[float]]) -> Corners:
    """The upright box around points (P, 2); ShapeError where there are none, or not numbers.

    >>> hull([[3, 1], [0, 5]])
    (0.0, 1.0, 3.0, 5.0)
    """
    array = np.asarray(points, np.float64)
    if array.ndim != 2 or array.shape[1] != 2 or not len(array):
        raise ShapeError(f"points of shape {array.shape}; allowed: pairs of x and y")
    if not np.isfinite(array).all():
        raise ShapeError("a point is not finite")
    left, top = array.min(axis=0).tolist()
    right, bottom = array.max(axis=0).tolist()
    return left, top, right, bottom


def flat_hull(numbers: Sequence[float]) -> Corners:
    """The upright box around ``x1, y1, x2, y2, ...``."""
    if len(numbers) % 2:
        raise ShapeError(f"{len(numbers)} numbers; allowed: pairs of x and y")
    return hull(np.asarray(numbers, np.float64).reshape(-1, 2))


def turned(boxes_xyxy: FloatArray, degrees: FloatArray) -> FloatArray:
    """Upright hulls (K, 4) of boxes (K, 4) turned about their centres by (K,) degrees.

    >>> turned(np.array([[100.0, 100, 200, 120]]), np.array([90.0])).tolist()
    [[140.0, 60.0, 160.0, 160.0]]
    """
    centre = (boxes_xyxy[:, :2] + boxes_xyxy[:, 2:]) / 2
    width, height = (boxes_xyxy[:, 2:] - boxes_xyxy[:, :2]).T
    cos, sin = _cos_sin(degrees)
    half = np.stack([width * cos + height * sin, width * sin + height * cos], axis=1) / 2
    upright = np.asarray(degrees) % 360 == 0
    made = np.concatenate([centre - half, centre + half], axis=1)
    return np.where(upright[:, None], boxes_xyxy, made)


def turned_about_corner(boxes_xyxy: FloatArray, degrees: FloatArray) -> FloatArray:
    """Upright hulls (K, 4) of boxes turned clockwise about their top left corner.

    As Label Studio turns them; y points down.
    """
    angle = np.radians(np.asarray(degrees, np.float64))
    cos, sin = np.cos(angle), np.sin(angle)
    width, height = (boxes_xyxy[:, 2:] - boxes_xyxy[:, :2]).T
    zero = np.zeros_like(width)
    xs = np.stack([zero, width * cos, width * cos - height * sin, -height * sin])
    ys = np.stack([zero, width * sin, width * sin + height * cos, height * cos])
    left, top = boxes_xyxy[:, 0], boxes_xyxy[:, 1]
    sides = [left + xs.min(0), top + ys.min(0), left + xs.max(0), top + ys.max(0)]
    upright = np.asarray(degrees) % 360 == 0
    return np.where(upright[:, None], boxes_xyxy, np.stack(sides, axis=1))


def _cos_sin(degrees: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Their absolute values, exact at the right angles."""
    angle = np.radians(np.asarray(degrees, np.float64))
    cos, sin = np.abs(np.cos(angle)), np.abs(np.sin(angle))
    right = np.asarray(degrees) % 90 == 0
    return np.where(right, np.round(cos), cos), np.where(right, np.round(sin), sin)


def turned_box(box: Corners, degrees: float) -> Corners:
    """The upright hull of one box turned about its centre."""
    left, top, right, bottom = turned(np.array([box], np.float64), np.array([degrees]))[0].tolist()
    return left, top, right, bottom


def ellipse(x: float, y: float, radius_x: float, radius_y: float, degrees: float) -> Corners:
    """The upright hull of an ellipse turned about its centre.

    >>> ellipse(10, 10, 4, 2, 90)
    (8.0, 6.0, 12.0, 14.0)
    """
    cos, sin = _cos_sin(np.array([degrees]))
    half_x = math.hypot(radius_x * float(cos[0]), radius_y * float(sin[0]))
    half_y = math.hypot(radius_x * float(sin[0]), radius_y * float(cos[0]))
    return x - half_x, y - half_y, x + half_x, y + half_y


def rle_hull(counts: Any, height_px: int, width_px: int) -> Corners:
    """The upright box around a COCO run length mask.

    Args:
        counts: Run lengths of 0 and 1 in turn, column by column; a list of numbers or COCO's
            compressed text.
        height_px: Height of the mask.
        width_px: Width of the mask.

    Raises:
        ShapeError: The runs do not fill the mask, or it is too large.
        NoAreaError: No pixel is set.
    """
    runs = _uncompressed(counts) if isinstance(counts, str) else counts
    if not isinstance(runs, list) or not all(type(run) is int and run >= 0 for run in runs):
        raise ShapeError("counts are not run lengths")
    if not 0 < height_px * width_px <= MOST_MASK_PX:
        raise ShapeError(f"mask of {width_px}x{height_px}; allowed: up to {MOST_MASK_PX} pixels")
    if sum(runs) != height_px * width_px:
        raise ShapeError(f"runs of {sum(runs)} pixels in a mask of {height_px * width_px}")
    edges = np.cumsum([0, *runs])
    starts, ends = edges[1:-1:2], edges[2::2]
    full = ends > starts
    starts, ends = starts[full], ends[full] - 1
    if not len(starts):
        raise NoAreaError("empty mask")
    first, last = starts // height_px, ends // height_px
    wraps = bool((first != last).any())
    top = 0 if wraps else int((starts % height_px).min())
    bottom = height_px if wraps else int((ends % height_px).max()) + 1
    return float(first.min()), float(top), float(last.max() + 1), float(bottom)


def _uncompressed(text: str) -> list[int]:
    """Run lengths from COCO's text: base 32, least digit first, differences to the last but one."""
    runs: list[int] = []
    value = shift = 0
    for letter in text:
        code = ord(letter) - 48
        if not 0 <= code < 64 or shift > 60:
            raise ShapeError(f"counts contain {letter!r}")
        value |= (code & 31) << shift
        shift += 5
        if not code & 32:
            if code & 16:
                value |= -1 << shift
            runs.append(value + (runs[-2] if len(runs) > 2 else 0))
            value = shift = 0
    if shift:
        raise ShapeError("counts end within a number")
    return runs
