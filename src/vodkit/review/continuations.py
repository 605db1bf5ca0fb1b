"""Pieces that may be one object: a track ends in mid-picture, and another begins there later.

A person accepts all right pairs in one action (``joins``). Each track has one continuation at most,
and each is the continuation of one: the pairs together are the most likely (Hungarian algorithm).
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from scipy.optimize import linear_sum_assignment

from vodkit.ground.arrays import FloatArray
from vodkit.review.curve import Shown, evaluate
from vodkit.review.document import Document

MARGIN = 0.02
"""a box this near the picture's edge (share of the side) may have left it"""
_MOST_S = 20.0
"""longest time without a box"""
_LOOK_S = 0.8
"""time that the speed at an end is taken from"""
_AHEAD_S = 1.0
"""an object keeps its speed for so long"""
_LEEWAY = 0.5
"""distance, in heights, that is no evidence against a pair"""
_SIZE = 0.5
"""largest change of width and height, in logarithms"""
_TIME = 0.2
"""weight of the logarithm of how far the object may have come: in time anything can be near"""
_DOUBT = 1.2
"""sum of distance, size and time up to which a pair counts"""


@dataclass(frozen=True)
class Continuation:
    """Two tracks that may be one object."""

    track: int
    other: int
    """the later one"""
    end: int
    """last frame of the first"""
    begin: int
    """first frame of the second"""
    gap_s: float
    doubt: float
    """0: certain"""


class _End(NamedTuple):
    """Where a track begins or ends."""

    track: int
    label: int
    frame: int
    centre: FloatArray
    speed: FloatArray
    """px/s"""
    size: FloatArray


def continuations(document: Document, video: int, size_px: tuple[int, int]) -> list[Continuation]:
    """The pairs of a video, the most likely first; none between two accepted frames.

    Args:
        document: the labels.
        video: number of the video.
        size_px: width and height of its picture.
    """
    timing, tracks = document.timings[video], document.tracks(video)
    every = np.arange(timing.num_frames)
    shown = {
        number: evaluate(track, every, timing.times_s, reach_s=timing.reach_s)
        for number, track in tracks.items()
        if not track.ignore
    }
    labels = {number: track.label for number, track in tracks.items()}
    ends, begins = (_ends(shown, labels, timing.times_s, size_px, side) for side in (-1, 0))
    pace = _pace(shown.values(), timing.times_s)
    accepted = document.accepted(video)
    done = {f for side in (ends, begins) for f in {one.frame for one in side}
            if any(a <= f <= b for a, b in accepted)}  # fmt: skip
    doubt = np.full((len(ends), len(begins)), np.inf)
    for row, end in enumerate(ends):
        for column, begin in enumerate(begins):
            gap_s = float(timing.times_s[begin.frame] - timing.times_s[end.frame])
            if 0 < gap_s <= _MOST_S and not {end.frame, begin.frame} <= done:
                doubt[row, column] = _doubt(end, begin, gap_s, pace)
    rows, columns = linear_sum_assignment(np.minimum(doubt, _DOUBT))
    found = [
        Continuation(ends[i].track, begins[j].track, ends[i].frame, begins[j].frame,
                     float(timing.times_s[begins[j].frame] - timing.times_s[ends[i].frame]),
                     float(doubt[i, j]))
        for i, j in zip(rows.tolist(), columns.tolist(), strict=True)
        if doubt[i, j] < _DOUBT
    ]  # fmt: skip
    return sorted(found, key=lambda one: one.doubt)


def _ends(
    shown: Mapping[int, Shown],
    labels: Mapping[int, int],
    times_s: FloatArray,
    size_px: tuple[int, int],
    side: int,
) -> list[_End]:
    """The tracks that begin (``side`` 0) or end (-1) within picture and video."""
    found = []
    for number, one in shown.items():
        frame, box = int(one.frames[side]), one.boxes_xyxy[side]
        if frame in (0, len(times_s) - 1) or not in_mid_picture(box, size_px):
            continue
        at = times_s[one.frames]
        rows = np.flatnonzero(np.abs(at - times_s[frame]) <= _LOOK_S)
        centres = (one.boxes_xyxy[:, :2] + one.boxes_xyxy[:, 2:]) / 2
        offset = at[rows] - at[rows].mean()
        speed = offset @ centres[rows] / max(float(offset @ offset), 1e-9)
        size = np.maximum(box[2:] - box[:2], 1.0)
        found.append(_End(number, labels[number], frame, centres[side], speed, size))
    return found


def in_mid_picture(box: FloatArray, size_px: tuple[int, int], margin: float = MARGIN) -> bool:
    """Whether a box is away from the edge of the picture, so that its object is still inside."""
    x1, y1, x2, y2 = box / (*size_px, *size_px)
    return bool(min(x1, y1) > margin and max(x2, y2) < 1 - margin)


def _pace(shown: Iterable[Shown], times_s: FloatArray) -> float:
    """How far objects of this video move in a second, in heights (median of the tracks)."""
    paces = []
    for one in shown:
        at, boxes = times_s[one.frames], one.boxes_xyxy
        later = np.searchsorted(at, at + 1.0)
        early = np.flatnonzero(later < len(at))
        if len(early):
            centres = (boxes[:, :2] + boxes[:, 2:]) / 2
            moved = np.linalg.norm(centres[later[early]] - centres[early], axis=1)
            height = np.maximum(boxes[early, 3] - boxes[early, 1], 1.0)
            paces.append(float(np.median(moved / height / (at[later[early]] - at[early]))))
    return float(np.median(paces)) if paces else 0.5


def _doubt(end: _End, begin: _End, gap_s: float, pace: float) -> float:
    """How unlikely it is that a track continues as another one; infinite: it cannot."""
    change = float(np.abs(np.log(end.size / begin.size)).max())
    if end.label != begin.label or change > _SIZE:
        return np.inf
    ahead_s = min(gap_s, 2 * _AHEAD_S) / 2
    apart = begin.centre - end.centre
    kept_on = (end.speed + begin.speed) * ahead_s
    moved = min(float(np.linalg.norm(one)) for one in (apart, apart - kept_on))
    height, reach = (end.size[1] + begin.size[1]) / 2, _LEEWAY + 2 * pace * gap_s
    return moved / height / reach + change + _TIME * math.log(reach / _LEEWAY)
