"""The second, offline pass: what is known of a whole video, put to use.

A TrackTable comes in, another goes out. Predicted boxes give way to *filled* ones, drawn between
observations; pieces of one object's way are stitched over gaps; what flickered is taken out.
Observed boxes lose most of the jitter of their detections (``smooth``; 0 leaves them alone).

Legend: R rows of the table.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from vodkit.ground.arrays import FloatArray, IntArray
from vodkit.ground.boxes import iou
from vodkit.ground.errors import SettingsError
from vodkit.ground.records import NO_ID, State, TrackTable
from vodkit.track import presence
from vodkit.track.smoothing import local_lines, smoothed
from vodkit.track.tracklet_linking import StitchSettings, stitch


@dataclass(frozen=True, kw_only=True)
class RefineSettings:
    """Settings of the offline pass; 0 turns a step off."""

    stitch: StitchSettings = field(default_factory=StitchSettings)
    fill_s: float = 1.5
    """gaps up to this long are filled along a straight line ..."""
    fill_smooth_s: float = 0.4
    """... between places of the object that are averaged over about this time"""
    min_track_s: float = 0.15
    """tracks that were seen over a shorter time are dropped as false alarms, except where frames
    are this far apart or more; the default tracker confirms none that is shorter"""
    min_score: float = 0.0
    """tracks with a lower mean score are taken for false alarms"""
    vote: bool = True
    """one class for a whole track: the one with the largest sum of scores"""
    rescore: bool = True
    """every box of a track gets the track's mean score, so that all stand or fall together"""
    smooth: float = 0.6
    """observed boxes are moved this share of the way to smoothed ones, see ``smoothing``; 0: they
    stay where the detector saw them. Not all of the way: labels share some of the jitter"""

    def __post_init__(self) -> None:
        """Check ranges."""
        for name in sorted({*self.__dataclass_fields__} - {"stitch"}):
            if not getattr(self, name) >= 0:
                raise SettingsError(f"{name} is {getattr(self, name)}; allowed: 0 or more")
        for name in ("min_score", "smooth"):
            if not getattr(self, name) <= 1:
                raise SettingsError(f"{name} is {getattr(self, name)}; allowed: 0 to 1")


def refine(
    table: TrackTable,
    settings: RefineSettings | None = None,
    *,
    looks: FloatArray | None = None,
    clock: Mapping[int, float] | None = None,
) -> TrackTable:
    """``table`` with stitched ids, filled gaps and no flicker; rows without an id are dropped.

    Ignore rows stay as they are. ``looks`` (R, D) are embeddings of the rows (zeros: not known),
    with which pieces are stitched more surely. ``clock``: when the frames were, that is, seconds by
    frame index; without it, frames that no row is in were evenly between those that rows are in.
    """
    s = settings or RefineSettings()
    assert table.ignore is not None
    assert table.states is not None
    ignored = table[table.ignore]
    observed = (table.states == State.OBSERVED) & (table.ids != NO_ID) & ~table.ignore
    seen = table[observed]
    steps = _stride(table.frames)
    if s.stitch.gap_s > 0:
        seen = stitch(seen, s.stitch, None if looks is None else looks[observed])
    clock = clock or _clock(table, steps)
    seen = drop_flicker(seen, s, clock)
    if s.vote:
        seen = replace(seen, labels=_voted(seen))
    if s.rescore:
        seen = replace(seen, scores=_mean_by_id(seen, seen.scores))
    if s.smooth > 0:
        still = seen.boxes_xyxy
        moved = still + s.smooth * (smoothed(seen, stride=steps) - still)
        seen = replace(seen, boxes_xyxy=moved)
    if s.fill_s > 0:
        ends = _averaged(seen, s.fill_smooth_s) if s.fill_smooth_s else seen.boxes_xyxy
        seen = fill(seen, ends, max_gap_s=s.fill_s, stride=steps, clock=clock)
    return TrackTable.concat([seen, ignored])


def drop_flicker(
    table: TrackTable, settings: RefineSettings, clock: Mapping[int, float]
) -> TrackTable:
    """Without tracks that were seen for too short a time or with too low a mean score.

    ``clock``: seconds by frame index of all frames that were processed.
    """
    if len(table) == 0:
        return table
    first, last = _span(table)
    real = last - first >= settings.min_track_s
    real |= _unseen_s(first, last, clock) >= settings.min_track_s
    return table[real & (_mean_by_id(table, table.scores) >= settings.min_score)]


def _span(table: TrackTable) -> tuple[FloatArray, FloatArray]:
    """For each row (R,) the first and the last time of its track."""
    ids, at = np.unique(table.ids, return_inverse=True)
    first, last = np.full(len(ids), np.inf), np.full(len(ids), -np.inf)
    np.minimum.at(first, at, table.times_s)
    np.maximum.at(last, at, table.times_s)
    return first[at], last[at]


def _unseen_s(first: FloatArray, last: FloatArray, clock: Mapping[int, float]) -> FloatArray:
    """For each row (R,) the shorter one of the times from its track to the frames beside it.

    Infinite where there is no frame before and none after.
    """
    times = np.concatenate([[-np.inf], np.unique([*clock.values()]), [np.inf]])
    before = times[np.searchsorted(times, first, side="left") - 1]
    after = times[np.searchsorted(times, last, side="right")]
    return np.minimum(first - before, after - last)


def _clock(table: TrackTable, stride: int) -> dict[int, float]:
    """Seconds by frame: those of rows, those between them evenly, and one beyond each end."""
    known, at = np.unique(table.frames, return_index=True)
    if len(known) < 2:
        return dict(zip(known.tolist(), table.times_s[at].tolist(), strict=True))
    times_s = table.times_s[at]
    inner = np.arange(known[0], known[-1] + 1, stride)
    inner_s = np.interp(inner, known, times_s)
    step_s = float(inner_s[-1] - inner_s[0]) / (len(inner) - 1)
    frames = [known[0] - stride, *inner, known[-1] + stride]
    return dict(
        zip(map(int, frames), [inner_s[0] - step_s, *inner_s, inner_s[-1] + step_s], strict=True)
    )


def fill(
    table: TrackTable,
    ends_xyxy: FloatArray,
    *,
    clock: Mapping[int, float],
    max_gap_s: float,
    stride: int = 1,
) -> TrackTable:
    """With a filled row in every ``stride``-th frame of gaps up to ``max_gap_s``, on a line.

    The line goes from the last of ``ends_xyxy`` (R, 4) before the gap to the first after it. No
    more is made up than was seen, as with predictions: a gap longer than the track was known before
    it, and after it, stays open.
    """
    assert table.scores is not None
    born, last = _span(table)
    order = np.lexsort((table.frames, table.ids))
    a, b = order[:-1], order[1:]
    frames, times = table.frames, table.times_s
    gap = (table.ids[a] == table.ids[b]) & (frames[b] - frames[a] > stride)
    known_s = np.maximum(times[a] - born[a], last[b] - times[b])
    gap &= times[b] - times[a] <= np.minimum(max_gap_s, known_s)
    a, b = a[gap], b[gap]
    counts = (frames[b] - frames[a] - 1) // stride
    if counts.sum() == 0:
        return table
    first = np.repeat(np.cumsum(counts) - counts, counts)
    step = (np.arange(counts.sum()) - first + 1) * stride
    a, b = np.repeat(a, counts), np.repeat(b, counts)
    marks = sorted(clock.items())
    at_s = np.interp(frames[a] + step, [f for f, _ in marks], [time_s for _, time_s in marks])
    span_s = times[b] - times[a]
    even = step / (frames[b] - frames[a])
    share = np.divide(at_s - times[a], span_s, out=even, where=span_s > 0)
    boxes = ends_xyxy[a] * (1 - share)[:, None] + ends_xyxy[b] * share[:, None]
    gap = presence.Gap(
        before_xyxy=table.boxes_xyxy[a],
        after_xyxy=table.boxes_xyxy[b],
        gap_s=span_s,
        near_s=np.minimum(at_s - times[a], times[b] - at_s),
        known_s=np.minimum(times[a] - born[a], last[b] - times[b]),
        overlap=_overlap(table, frames[a] + step, boxes),
    )
    own = TrackTable(
        frames=frames[a] + step,
        times_s=at_s,
        ids=table.ids[a],
        boxes_xyxy=boxes,
        labels=table.labels[a],
        scores=np.minimum(table.scores[a], table.scores[b]),
        states=np.full(len(a), State.FILLED),
        p_present=presence.filled(gap),
    )
    return TrackTable.concat([table, own])


def _overlap(table: TrackTable, frames: IntArray, boxes_xyxy: FloatArray) -> FloatArray:
    """The largest IoU (P,) of each box with one of the table in its frame."""
    best = np.zeros(len(frames))
    order = np.argsort(frames, kind="stable")
    known, first = np.unique(frames[order], return_index=True)
    starts = np.searchsorted(table.frames, known)
    ends = np.searchsorted(table.frames, known, side="right")
    for own, start, end in zip(np.split(order, first[1:]), starts, ends, strict=True):
        best[own] = iou(boxes_xyxy[own], table.boxes_xyxy[start:end]).max(axis=1, initial=0)
    return best


def _stride(frames: IntArray) -> int:
    """The step between frames that were looked at (``--every``)."""
    steps = np.diff(np.unique(frames))
    return int(np.gcd.reduce(steps)) if len(steps) else 1


def _voted(table: TrackTable) -> IntArray:
    """For each row (R,) the class that collected the largest sum of scores in its track."""
    assert table.scores is not None
    if len(table) == 0:
        return table.labels
    ids, at = np.unique(table.ids, return_inverse=True)
    votes = np.zeros((len(ids), int(table.labels.max()) + 1))
    np.add.at(votes, (at, table.labels), table.scores)
    return votes.argmax(axis=1)[at]


def _mean_by_id(table: TrackTable, values: FloatArray | None) -> FloatArray:
    """For each row (R,) the mean of ``values`` over its track."""
    assert values is not None
    _, at = np.unique(table.ids, return_inverse=True)
    return (np.bincount(at, values) / np.bincount(at))[at] if len(at) else values


def _averaged(table: TrackTable, span_s: float) -> FloatArray:
    """Boxes (R, 4) on lines through those of their track within about ``span_s``."""
    boxes = table.boxes_xyxy.copy()
    order = np.lexsort((table.frames, table.ids))
    _, at = np.unique(table.ids[order], return_inverse=True)
    boxes[order] = local_lines(at, table.times_s[order], boxes[order], span_s)[0]
    return boxes
