"""Changes of one track: cut it into pieces, join them, add keys and spans, shift it, trim its ends.

All are pure functions; ``document`` makes actions of them.
"""

from dataclasses import replace
from typing import Literal, TypeAlias

import numpy as np

from vodkit.ground.arrays import FloatArray, IntArray
from vodkit.review.curve import (
    LOSSLESS_PX,
    REACH_S,
    Base,
    Box,
    Known,
    Span,
    Track,
    alive,
    between,
    corners,
    evaluate,
    log_boxes,
    thinned,
)

HIDDEN_S = 3.0
"""a longer gap between two joined pieces is outside: nobody knows where the object was"""
TRIM_S = 1.5
"""an object that touches the edge of the picture for longer stays there, and is not cut off"""
_SHIFT_PX = 0.05

Ranges: TypeAlias = tuple[tuple[int, int], ...]
"""sorted, separate (first, last) frame ranges, inclusive"""


def piece(
    track: Track, first: int, last: int, times_s: FloatArray, *, reach_s: float = REACH_S
) -> Track | None:
    """The part of a track within frames ``first`` to ``last``; it shows the same boxes there.

    What it shows becomes its base, so that keys outside the part have no effect on it any more.
    None where the track shows nothing there.
    """
    begin, end = max(first, track.extent[0]), min(last, track.extent[1])
    spans = tuple(
        Span(max(span.first, begin), min(span.last, end), span.kind)
        for span in track.spans
        if span.first <= end and span.last >= begin
    )
    if begin > end or not alive(track, np.arange(begin, end + 1)).any():
        return None
    whole = replace(track, spans=())
    shown = evaluate(whole, np.arange(begin, end + 1), times_s, reach_s=reach_s)
    keys = tuple((frame, box) for frame, box in track.keys if begin <= frame <= end)
    base = Base(shown.frames, shown.boxes_xyxy, shown.scores, shown.known, shown.visibility)
    return replace(track, base=thinned(base, times_s, LOSSLESS_PX), keys=keys, spans=spans)


def glued(earlier: Track, later: Track, times_s: FloatArray) -> Track:
    """Two pieces as one track with the class of ``earlier``.

    A gap between them becomes hidden; one over ``HIDDEN_S`` outside, as nothing is known of it.
    """
    end, begin = earlier.extent[1], later.extent[0]
    parts, spans = [earlier.base, later.base], (*earlier.spans, *later.spans)
    if begin > end + 1:
        edges = np.stack([earlier.base.boxes_xyxy[-1], later.base.boxes_xyxy[0]])
        box = between(np.array([end, begin]), edges, np.array([end + 1]), times_s)
        score = min(earlier.base.scores[-1], later.base.scores[0])
        inside = (np.array([end + 1]), box, np.array([score]), np.array([int(Known.FILLED)]))
        parts.insert(1, Base(*inside, np.array([np.nan])))
        is_long = times_s[begin] - times_s[end] > HIDDEN_S
        gap = Span(end + 1, begin - 1, "outside" if is_long else "hidden")
        spans = (*earlier.spans, gap, *later.spans)
    base = Base(*(np.concatenate(same) for same in zip(*(p.columns() for p in parts), strict=True)))
    return replace(earlier, base=base, keys=(*earlier.keys, *later.keys), spans=spans)


def with_key(track: Track, frame: int, box: Box, *, keep_gap_in: FloatArray | None = None) -> Track:
    """The track with one more key; it has a box in that frame afterwards.

    An outside span at an end of the track is cut back to the frame. One in the middle that contains
    the frame is removed; with ``keep_gap_in``, the time of every frame, only towards sides at most
    ``HIDDEN_S`` away: over a longer gap nothing is known.
    """
    spans: list[Span] = []
    for span in track.spans:
        if span.kind == "outside" and span.first <= frame <= span.last:
            spans += _rest(span, frame, track.extent, keep_gap_in)
        else:
            spans.append(span)
    keys = {**dict(track.keys), frame: box}
    return replace(track, keys=tuple(sorted(keys.items())), spans=tuple(spans))


def _rest(
    span: Span, frame: int, extent: tuple[int, int], times_s: FloatArray | None
) -> list[Span]:
    """What stays of an outside span in which a key is drawn."""
    before, after = Span(span.first, frame - 1, "outside"), Span(frame + 1, span.last, "outside")
    if span.first <= extent[0] or span.last >= extent[1]:
        kept = [before] if span.first <= extent[0] else []
        kept += [after] if span.last >= extent[1] else []
    elif times_s is None:
        kept = []
    else:
        kept = [before] if times_s[frame] - times_s[span.first - 1] > HIDDEN_S else []
        kept += [after] if times_s[span.last + 1] - times_s[frame] > HIDDEN_S else []
    return [one for one in kept if one.first <= one.last]


def shifted(
    track: Track,
    frame: int,
    box: Box,
    times_s: FloatArray,
    *,
    reach_s: float = REACH_S,
    fade_s: float = np.inf,
    fixed: IntArray | None = None,
) -> Track:
    """The track with one more key, whose correction holds for all of it, up to other keys.

    The shift is relative to the size of the shown box, so it fits an object that comes nearer. It
    fades to zero within ``fade_s``, and towards the next key, or the next of the ``fixed`` frames,
    on either side.
    """
    first, last = track.extent
    every = np.arange(first, last + 1)
    shown = evaluate(replace(track, spans=()), every, times_s, reach_s=reach_s)
    logs, row = log_boxes(shown.boxes_xyxy), frame - first
    size = np.exp(logs[:, 2:])
    residual = log_boxes(np.array([box])) - logs[row]
    residual[0, :2] /= size[row]
    stops = np.union1d([one for one, _ in track.keys], [] if fixed is None else fixed)
    left, right = stops[stops < frame].astype(int), stops[stops > frame].astype(int)
    weight = np.clip(1 - np.abs(times_s[every] - times_s[frame]) / fade_s, 0, None)
    for stop, outer in ((left[-1:], -1), (right[:1], 1)):
        if len(stop):
            beyond = (times_s[every] - times_s[frame]) / (times_s[stop[0]] - times_s[frame])
            faded = np.minimum(weight, np.clip(1 - beyond, 0, None))
            weight = np.where((every - frame) * outer > 0, faded, weight)
    moved = weight[:, None] * residual
    moved[:, :2] *= size
    boxes = np.where(weight[:, None] > 0, corners(logs + moved), shown.boxes_xyxy)
    known = np.where(weight > 0, int(Known.BENT), shown.known)
    base = Base(every, boxes, shown.scores, known, shown.visibility)
    return replace(with_key(track, frame, box), base=thinned(base, times_s, _SHIFT_PX))


def with_span(
    track: Track, first: int, last: int, kind: Literal["hidden", "outside", "visible"]
) -> Track:
    """The track with frames ``first`` to ``last`` hidden, outside or visible."""
    spans: list[Span] = []
    for span in track.spans:
        if span.first < first:
            spans.append(Span(span.first, min(span.last, first - 1), span.kind))
        if span.last > last:
            spans.append(Span(max(span.first, last + 1), span.last, span.kind))
    if kind != "visible":
        spans.append(Span(first, last, kind))
    merged: list[Span] = []
    for span in sorted(spans):
        joins = merged and merged[-1].kind == span.kind and merged[-1].last + 1 == span.first
        if joins:
            span = Span(merged.pop().first, span.last, span.kind)  # noqa: PLW2901
        merged.append(span)
    return replace(track, spans=tuple(merged))


def trimmed(track: Track, within: Box, times_s: FloatArray, *, reach_s: float = REACH_S) -> Track:
    """The track without the ends at which its box is not inside ``within``.

    That is how an object enters and leaves a picture. An end of over ``TRIM_S`` stays: the object
    stays there. So do ends with a key, and tracks of which nothing would be left.
    """
    every = np.arange(track.extent[0], track.extent[1] + 1)
    shown = evaluate(track, every, times_s, reach_s=reach_s)
    low, high = np.array(within[:2]), np.array(within[2:])
    inside = ((shown.boxes_xyxy[:, :2] >= low) & (shown.boxes_xyxy[:, 2:] <= high)).all(axis=1)
    rows = np.flatnonzero(inside | (shown.known == Known.PERSON))
    if not len(rows):
        return track
    first, last = (int(shown.frames[row]) for row in (rows[0], rows[-1]))
    begin, end = (int(shown.frames[row]) for row in (0, -1))
    if begin < first and times_s[first] - times_s[begin] <= TRIM_S:
        track = with_span(track, 0, first - 1, "outside")
    if last < end and times_s[end] - times_s[last] <= TRIM_S:
        track = with_span(track, last + 1, len(times_s) - 1, "outside")
    return track


def chained(pieces: list[Track], times_s: FloatArray) -> Track | None:
    """Pieces of one track as a track, which has no box between them; None without pieces."""
    if not pieces:
        return None
    whole, *others = sorted(pieces, key=lambda track: track.extent)
    for part in others:
        gap = (whole.extent[1] + 1, part.extent[0] - 1)
        whole = glued(whole, part, times_s)
        whole = with_span(whole, *gap, "outside") if gap[0] <= gap[1] else whole
    return whole


def frames_of(track: Track) -> list[int]:
    """The frames in which a track has a box."""
    every = np.arange(track.extent[0], track.extent[1] + 1)
    frames: list[int] = every[alive(track, every)].tolist()
    return frames


def outside(ranges: Ranges, num_frames: int) -> Ranges:
    """The frames that are in none of the ranges.

    >>> outside(((0, 2), (5, 6)), 10)
    ((3, 4), (7, 9))
    """
    whole: Ranges = ((0, num_frames - 1),)
    for begin, end in ranges:
        whole = with_range(whole, begin, end, inside=False)
    return whole


def with_range(ranges: Ranges, first: int, last: int, *, inside: bool) -> Ranges:
    """Ranges with frames ``first`` to ``last`` added or removed.

    >>> with_range(((0, 4), (8, 9)), 5, 7, inside=True)
    ((0, 9),)
    >>> with_range(((0, 9),), 3, 5, inside=False)
    ((0, 2), (6, 9))
    """
    out: list[tuple[int, int]] = []
    for begin, end in ranges:
        out += [part for part in ((begin, min(end, first - 1)), (max(begin, last + 1), end))
                if part[0] <= part[1]]  # fmt: skip
    merged: list[tuple[int, int]] = []
    for begin, end in sorted([*out, *([(first, last)] if inside else [])]):
        if merged and merged[-1][1] + 1 >= begin:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        else:
            merged.append((begin, end))
    return tuple(merged)
