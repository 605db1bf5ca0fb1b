"""A track as a curve: what a model or a label file says, bent by the boxes that a person draws.

The shown box at a time is the base curve plus a residual. At each key (a box drawn by a person) the
residual is exactly what makes the shown box equal the key; between two keys that are at most
``reach_s`` apart it is interpolated, farther away it falls to zero within ``reach_s``. So one key
corrects the frames around it. A track without a base is interpolated between its keys.

Everything interpolates in seconds, centre and logarithm of the size, so a variable frame rate
changes nothing. ``static/curve.js`` computes the same; both are held to the same golden values.

Legend: K knots or keys, M frames asked for, T frames of the video.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from itertools import pairwise
from typing import Any, Literal, NamedTuple, TypeAlias

import numpy as np

from vodkit.formats.keyframes import key_rows
from vodkit.ground.arrays import BoolArray, FloatArray, IntArray
from vodkit.ground.errors import InputError

REACH_S = 1.5
"""how far a key bends the base curve where no other key is near (benchmarks/label_effort.py)"""
SMOOTH_S = 0.8
"""width of the window that a model's boxes are smoothed over"""
LOSSLESS_PX = 1e-6
_SMALLEST_PX = 1e-3

Box: TypeAlias = tuple[float, float, float, float]


class Known(IntEnum):
    """How a shown box is known. The first three equal ``State``."""

    OBSERVED = 0
    """a detector found it in this frame, or it comes from imported labels"""
    PREDICTED = 1
    """the tracker's motion model placed it while the object was hidden"""
    FILLED = 2
    """interpolated offline between detections"""
    BENT = 3
    """the base curve, moved by a key nearby"""
    INTERPOLATED = 4
    """between two boxes drawn by a person, without a base"""
    PERSON = 5
    """drawn by a person in this frame"""


class Span(NamedTuple):
    """Frames ``first`` to ``last`` (inclusive) in which the object is hidden or outside."""

    first: int
    last: int
    kind: Literal["hidden", "outside"]


@dataclass(frozen=True, eq=False)
class Base:
    """Knots of a curve, sorted by frame, linear in time between them."""

    frames: IntArray
    """(K,)"""
    boxes_xyxy: FloatArray
    """(K, 4)"""
    scores: FloatArray
    """(K,)"""
    known: IntArray
    """(K,) Known; holds up to the next knot"""
    visibility: FloatArray
    """(K,) 0 to 1, NaN where unknown; holds up to the next knot"""

    def __len__(self) -> int:
        """Number of knots."""
        return len(self.frames)

    def __eq__(self, other: object) -> bool:
        """Equal when all columns are."""
        return isinstance(other, Base) and all(
            np.array_equal(a, b, equal_nan=True)
            for a, b in zip(self.columns(), other.columns(), strict=True)
        )

    __hash__ = None  # type: ignore[assignment]

    def columns(self) -> tuple[FloatArray | IntArray, ...]:
        """All columns, in the order of the fields."""
        return (self.frames, self.boxes_xyxy, self.scores, self.known, self.visibility)

    def __getitem__(self, rows: IntArray | BoolArray | slice) -> "Base":
        """The knots chosen by an index array, a mask or a slice."""
        return Base(*(column[rows] for column in self.columns()))

    @classmethod
    def empty(cls) -> "Base":
        """No curve: the track is only what a person draws."""
        none, numbers = np.empty(0), np.empty(0, np.int64)
        return cls(numbers, np.empty((0, 4)), none, numbers, none)


@dataclass(frozen=True)
class Track:
    """One object of one video."""

    label: int
    base: Base = field(default_factory=Base.empty)
    keys: tuple[tuple[int, Box], ...] = ()
    """(frame, box) drawn by a person, sorted by frame"""
    spans: tuple[Span, ...] = ()
    """sorted, without overlap"""
    ignore: bool = False
    """a region that is neither right nor wrong to find"""
    touched: bool = False
    """a person changed it, or it comes from a label file"""

    @property
    def extent(self) -> tuple[int, int]:
        """First and last frame of base and keys, spans not considered."""
        ends = [frame for frame, _ in self.keys]
        ends += [int(self.base.frames[0]), int(self.base.frames[-1])] if len(self.base) else []
        return min(ends), max(ends)


@dataclass(frozen=True, eq=False)
class Shown:
    """What a track shows in some frames."""

    frames: IntArray
    """(M,) of the frames asked for, those in which the track has a box"""
    boxes_xyxy: FloatArray
    """(M, 4)"""
    known: IntArray
    """(M,) Known"""
    scores: FloatArray
    """(M,) of the base; 1 for what a person drew"""
    visibility: FloatArray
    """(M,) 0 in hidden spans"""


def alive(track: Track, frames: IntArray) -> BoolArray:
    """Whether the track has a box in each of ``frames`` (M,)."""
    first, last = track.extent
    inside = (frames >= first) & (frames <= last)
    for span in track.spans:
        if span.kind == "outside":
            inside &= (frames < span.first) | (frames > span.last)
    return inside


def evaluate(
    track: Track, frames: IntArray, times_s: FloatArray, *, reach_s: float = REACH_S
) -> Shown:
    """The boxes of ``track`` in those of ``frames`` (M,) in which it has one.

    Args:
        track: base curve and keys.
        frames: sorted frame indices.
        times_s: (T,) time of every frame of the video.
        reach_s: how far a key bends the base where no other key is near.
    """
    frames = frames[alive(track, frames)]
    boxes, known = _curve(track, frames, times_s, reach_s)
    scores, visibility = np.ones(len(frames)), np.full(len(frames), np.nan)
    if len(track.base):
        at = np.clip(np.searchsorted(track.base.frames, frames, "right") - 1, 0, None)
        inside = (frames >= track.base.frames[0]) & (frames <= track.base.frames[-1])
        visibility = np.where(inside, track.base.visibility[at], np.nan)
        drawn = np.interp(times_s[frames], times_s[track.base.frames], track.base.scores)
        scores = np.where(inside & (known != Known.PERSON), drawn, 1.0)
    for span in track.spans:
        if span.kind == "hidden":
            visibility = np.where((frames >= span.first) & (frames <= span.last), 0.0, visibility)
    return Shown(frames, boxes, known, scores, visibility)


def _curve(
    track: Track, frames: IntArray, times_s: FloatArray, reach_s: float
) -> tuple[FloatArray, IntArray]:
    """Boxes (M, 4) and Known (M,) at ``frames``, which lie within the track's extent."""
    key_frames = np.array([frame for frame, _ in track.keys], np.int64)
    key_boxes = np.array([box for _, box in track.keys], float).reshape(-1, 4)
    base = track.base
    known = np.full(len(frames), int(Known.INTERPOLATED), np.int64)
    if len(base):
        held = (key_frames >= base.frames[0]) & (key_frames <= base.frames[-1])
        held_keys = (key_frames[held], key_boxes[held])
        ends = np.array([base.frames[0], base.frames[-1]])
        bent_ends, _ = _bent(base, held_keys, ends, times_s, reach_s)
        anchor_frames = np.concatenate([key_frames[~held], ends])
        anchors = np.concatenate([key_boxes[~held], bent_ends])
        anchor_frames, order = np.unique(anchor_frames, return_index=True)
        boxes = between(anchor_frames, anchors[order], frames, times_s)
        inside = (frames >= base.frames[0]) & (frames <= base.frames[-1])
        boxes[inside], known[inside] = _bent(base, held_keys, frames[inside], times_s, reach_s)
    else:
        boxes = between(key_frames, key_boxes, frames, times_s)
    if len(key_frames) and len(frames):
        at = np.clip(np.searchsorted(key_frames, frames), 0, len(key_frames) - 1)
        drawn = key_frames[at] == frames
        boxes[drawn], known[drawn] = key_boxes[at[drawn]], int(Known.PERSON)
    return boxes, known


def _bent(
    base: Base,
    keys: tuple[IntArray, FloatArray],
    frames: IntArray,
    times_s: FloatArray,
    reach_s: float,
) -> tuple[FloatArray, IntArray]:
    """The base at ``frames`` within its extent, moved by the residuals of keys within it."""
    key_frames, key_boxes = keys
    at = np.searchsorted(base.frames, frames, "right") - 1
    known = base.known[at]
    boxes = _linear(base, frames, times_s)
    if not len(key_frames) or not len(frames):
        return boxes, known
    residuals = log_boxes(key_boxes) - log_boxes(_linear(base, key_frames, times_s))
    moved = _residual(times_s[key_frames], residuals, times_s[frames], reach_s)
    touched = np.abs(moved).max(axis=1) > 0
    boxes[touched] = corners(log_boxes(boxes[touched]) + moved[touched])
    return boxes, np.where(touched, int(Known.BENT), known)


def _residual(
    key_times: FloatArray, residuals: FloatArray, times: FloatArray, reach_s: float
) -> FloatArray:
    """Residuals (M, 4): linear between keys up to ``reach_s`` apart, else falling to zero."""
    right = np.searchsorted(key_times, times, "right")
    left = right - 1
    has_left, has_right = left >= 0, right < len(key_times)
    left, right = np.clip(left, 0, None), np.clip(right, None, len(key_times) - 1)
    gap = np.where(has_left & has_right, key_times[right] - key_times[left], np.inf)
    reach = np.maximum(np.minimum(gap, reach_s), 1e-9)
    near_left = np.where(has_left, np.clip(1 - (times - key_times[left]) / reach, 0, None), 0.0)
    near_right = np.where(has_right, np.clip(1 - (key_times[right] - times) / reach, 0, None), 0.0)
    moved: FloatArray = (
        near_left[:, None] * residuals[left] + near_right[:, None] * residuals[right]
    )
    return moved


def _linear(base: Base, frames: IntArray, times_s: FloatArray) -> FloatArray:
    """The base (M, 4) at ``frames`` within its extent, corners linear in time."""
    knots, wanted = times_s[base.frames], times_s[frames]
    columns = [np.interp(wanted, knots, base.boxes_xyxy[:, side]) for side in range(4)]
    return np.stack(columns, axis=1)


def between(
    anchor_frames: IntArray, anchors: FloatArray, frames: IntArray, times_s: FloatArray
) -> FloatArray:
    """Boxes (M, 4) between anchors (K, 4): centre linear in time, size geometric."""
    logs = log_boxes(anchors)
    knots, wanted = times_s[anchor_frames], times_s[frames]
    columns = [np.interp(wanted, knots, logs[:, part]) for part in range(4)]
    return corners(np.stack(columns, axis=1))


def log_boxes(boxes: FloatArray) -> FloatArray:
    """Centre x, centre y, log width, log height (K, 4) of corners."""
    centre = (boxes[:, :2] + boxes[:, 2:]) / 2
    size = np.log(np.maximum(boxes[:, 2:] - boxes[:, :2], _SMALLEST_PX))
    return np.concatenate([centre, size], axis=1)


def corners(logs: FloatArray) -> FloatArray:
    """The inverse of ``log_boxes``."""
    half = np.exp(logs[:, 2:]) / 2
    return np.concatenate([logs[:, :2] - half, logs[:, :2] + half], axis=1)


def smoothed(times: FloatArray, boxes: FloatArray, width_s: float) -> FloatArray:
    """Boxes (K, 4) of a gapless stretch, each by a line fitted over a window of ``width_s``.

    A line rather than a mean: ends and constant speeds stay where they are.
    """
    if width_s <= 0 or len(times) < 3:
        return boxes
    logs = log_boxes(boxes)
    out = np.empty_like(logs)
    low = np.searchsorted(times, times - width_s / 2 - 1e-9)
    high = np.searchsorted(times, times + width_s / 2 + 1e-9)
    for row, (a, b) in enumerate(zip(low.tolist(), high.tolist(), strict=True)):
        offset = times[a:b] - times[row]
        spread = offset - offset.mean()
        variance = float(spread @ spread)
        slope = spread @ logs[a:b] / variance if variance > 0 else np.zeros(4)
        out[row] = logs[a:b].mean(axis=0) - slope * offset.mean()
    return corners(out)


def thinned(base: Base, times_s: FloatArray, tolerance_px: float) -> Base:
    """The fewest knots that keep corners to ``tolerance_px``, scores to 0.05, and each kind."""
    if len(base) <= 2:
        return base
    weighted = np.concatenate(
        [base.boxes_xyxy, base.scores[:, None] * (tolerance_px / 0.05)], axis=1
    )
    same_kind = np.diff(base.known) == 0
    seen = np.nan_to_num(base.visibility, nan=-1.0)
    same_kind &= np.diff(seen) == 0
    edges = [0, *(np.flatnonzero(~same_kind) + 1).tolist(), len(base)]
    kept: list[int] = []
    for start, stop in pairwise(edges):
        rows = key_rows(
            times_s[base.frames[start:stop]], weighted[start:stop], tolerance_px=tolerance_px
        )
        kept += (rows + start).tolist()
    return base[np.array(kept, np.int64)]


def to_json(track: Track) -> dict[str, Any]:
    """The track as the journal and the page hold it."""
    base = [
        [int(frame), *(round(float(v), 6) for v in box), round(float(score), 4), int(known),
         None if np.isnan(seen) else float(seen)]
        for frame, box, score, known, seen in zip(*track.base.columns(), strict=True)
    ]  # fmt: skip
    return {
        "label": track.label,
        "base": base,
        "keys": [[frame, *box] for frame, box in track.keys],
        "spans": [list(span) for span in track.spans],
        "ignore": track.ignore,
        "touched": track.touched,
    }


def from_json(value: dict[str, Any], num_frames: int) -> Track:
    """The track of ``to_json``, every value checked.

    Raises:
        InputError: the first value that is not allowed, with its place.
    """
    rows = _rows(value, "base", 8, num_frames)
    keys = tuple((int(key[0]), box_of(key[1:])) for key in _rows(value, "keys", 5, num_frames))
    spans = tuple(
        span_of(span[0], span[1], span[2], num_frames) for span in _rows(value, "spans", 3, None)
    )
    base = Base(
        np.array([row[0] for row in rows], np.int64),
        np.array([[float(v) for v in row[1:5]] for row in rows], float).reshape(-1, 4),
        np.array([row[5] for row in rows], float),
        np.array([Known(row[6]) for row in rows], np.int64),
        np.array([np.nan if row[7] is None else row[7] for row in rows], float),
    )
    if not np.isfinite(base.boxes_xyxy).all():
        raise InputError("base: a coordinate is not finite")
    if not len(base) and not keys:
        raise InputError("a track has neither base nor keys")
    label = value.get("label")
    flags = {name: value.get(name, False) for name in ("ignore", "touched")}
    if type(label) is not int or not all(type(flag) is bool for flag in flags.values()):
        raise InputError(f"label {label!r}, {flags}; allowed: an integer, and true or false")
    return Track(label, base, keys, spans, **flags)


def _rows(
    value: dict[str, Any], name: str, width: int, num_frames: int | None
) -> Sequence[Sequence[Any]]:
    """A list of rows of ``width`` values; sorted by frame where ``num_frames`` is given."""
    rows = value.get(name, [])
    if not isinstance(rows, list) or not all(
        isinstance(row, list) and len(row) == width for row in rows
    ):
        raise InputError(f"{name}: allowed: a list of rows of {width} values")
    last = -1
    for row in rows if num_frames is not None else ():
        last, previous = frame_of(row[0], num_frames or 0), last
        if last <= previous:
            raise InputError(f"{name}: frame {last} follows frame {previous}; allowed: ascending")
    return rows


def frame_of(value: object, num_frames: int) -> int:
    """A frame index, checked; InputError states the allowed range."""
    if type(value) is not int or not 0 <= value < num_frames:
        raise InputError(f"frame {value!r}; allowed: an integer from 0 to {num_frames - 1}")
    return value


def box_of(value: object) -> Box:
    """A drawn box, checked: four finite numbers, at least 1 px wide and high."""
    numbers = value if isinstance(value, (list, tuple)) else ()
    right = len(numbers) == 4 and all(type(v) in (int, float) for v in numbers)
    if right:
        x1, y1, x2, y2 = (float(v) for v in numbers)
        if all(abs(v) < 1e6 for v in (x1, y1, x2, y2)) and min(x2 - x1, y2 - y1) >= 1:
            return x1, y1, x2, y2
    raise InputError(f"box {value!r}; allowed: x1, y1, x2, y2, at least 1 px wide and high")


def span_of(first: object, last: object, kind: object, num_frames: int) -> Span:
    """A span, checked."""
    begin, end = frame_of(first, num_frames), frame_of(last, num_frames)
    if begin > end:
        raise InputError(f"frames {begin} to {end}; allowed: the first not after the last")
    if kind == "hidden":
        return Span(begin, end, "hidden")
    if kind == "outside":
        return Span(begin, end, "outside")
    raise InputError(f"span {kind!r}; allowed: hidden, outside")
