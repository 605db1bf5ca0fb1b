"""The worst moments of a run: where to look first to see what a detector or tracker gets wrong.

Found by matching every labelled frame at a score threshold and IoU 0.5 (best overlap, the
predicted and filled boxes of a tracker included), then following each truth track:

switch        the track is matched to another id than the last time it was matched
miss          a run of frames in which nobody found it; hidden frames weigh less
false alarm   a run of frames of one predicted id where nothing is
flicker       found, lost for half a second at most while in plain view, found again
loose box     found, but with the least overlap
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from vodkit.ground.arrays import BoolArray, FloatArray, IntArray
from vodkit.ground.boxes import iou_pairs
from vodkit.ground.records import NO_ID
from vodkit.ground.text import counted
from vodkit.metrics.clips import Clip
from vodkit.metrics.detection.frames import FrameMatches, match_frames
from vodkit.metrics.detection.match import UNMATCHED

FLICKER_S = 0.5
IN_VIEW = 0.5
"""visibility from which on an object counts as in plain view"""
LOOSE_IOU = 0.7

KINDS = ("switch", "miss", "false alarm", "flicker", "loose box")


@dataclass(frozen=True, kw_only=True)
class Failure:
    """One moment in one video."""

    kind: str
    video: str
    frame: int
    """the frame to look at"""
    time_s: float
    first_frame: int
    last_frame: int
    box_xyxy: tuple[float, float, float, float]
    """where to look, source pixels"""
    severity: float
    """larger is worse; comparable within a kind only"""
    words: str


def find_failures(clip: Clip, *, min_score: float, per_kind: int = 4) -> list[Failure]:
    """The worst failures of one video, at most ``per_kind`` of each kind, worst first."""
    matches = match_frames(clip, min_score=min_score)
    every = [
        *_by_truth_track(matches),
        *_false_alarms(matches),
    ]
    chosen: list[Failure] = []
    for kind in KINDS:
        of_kind = [failure for failure in every if failure.kind == kind]
        chosen += sorted(of_kind, key=lambda failure: -failure.severity)[:per_kind]
    return chosen


@dataclass(frozen=True, eq=False)
class _Followed:
    """One truth track through its frames, T of them in order."""

    video: str
    identity: int
    frames: IntArray
    times_s: FloatArray
    ends_s: FloatArray
    """(T,) when the next frame is shown"""
    boxes_xyxy: FloatArray
    in_view: FloatArray
    """(T,) visibility; 1 where not known"""
    found_row: IntArray
    """(T,) row of the predictions, -1 where missed"""

    def failure(
        self, kind: str, place: int, *, first: int, last: int, severity: float, words: str
    ) -> Failure:
        """A failure at the track's ``place``-th frame, in a run from ``first`` to ``last``."""
        x1, y1, x2, y2 = self.boxes_xyxy[place].tolist()
        return Failure(
            kind=kind,
            video=self.video,
            frame=int(self.frames[place]),
            time_s=float(self.times_s[place]),
            first_frame=int(self.frames[first]),
            last_frame=int(self.frames[last]),
            box_xyxy=(x1, y1, x2, y2),
            severity=severity,
            words=words,
        )


def _by_truth_track(matches: FrameMatches) -> Iterator[Failure]:
    truth, found = matches.clip.truth, matches.clip.found
    for identity in np.unique(truth.ids[truth.ids != NO_ID]).tolist():
        rows = np.flatnonzero(truth.ids == identity)
        followed = _Followed(
            matches.clip.name,
            identity,
            truth.frames[rows],
            truth.times_s[rows],
            matches.clip.times_s(truth.frames[rows] + 1),
            truth.boxes_xyxy[rows],
            np.nan_to_num(truth.visibility[rows], nan=1.0),
            matches.found_of_truth[rows],
        )
        yield from _switches(followed, found.ids)
        yield from _misses(followed)
        yield from _flickers(followed)
        yield from _loose(followed, found.boxes_xyxy)
    for row in np.flatnonzero(truth.ids == NO_ID).tolist():
        yield from _without_id(matches, row)


def _without_id(matches: FrameMatches, row: int) -> Iterator[Failure]:
    """A labelled box that belongs to no track: missed, or found with a loose box."""
    truth, partner = matches.clip.truth, int(matches.found_of_truth[row])
    overlap = 0.0
    if partner != UNMATCHED:
        found = matches.clip.found.boxes_xyxy[partner : partner + 1]
        overlap = float(iou_pairs(truth.boxes_xyxy[row : row + 1], found)[0])
        if overlap >= LOOSE_IOU:
            return
    x1, y1, x2, y2 = truth.boxes_xyxy[row].tolist()
    missed = partner == UNMATCHED
    frame = int(truth.frames[row])
    yield Failure(
        kind="miss" if missed else "loose box",
        video=matches.clip.name,
        frame=frame,
        time_s=float(truth.times_s[row]),
        first_frame=frame,
        last_frame=frame,
        box_xyxy=(x1, y1, x2, y2),
        severity=(x2 - x1) * (y2 - y1) if missed else 1 - overlap,
        words="a labelled object not found" if missed else f"overlap (IoU) only {overlap:.2f}",
    )


def _switches(track: _Followed, found_ids: IntArray) -> Iterator[Failure]:
    hits = np.flatnonzero(track.found_row != UNMATCHED)
    ids = found_ids[track.found_row[hits]]
    for k in np.flatnonzero(np.diff(ids)):
        before, after = int(hits[k]), int(hits[k + 1])
        words = f"object {track.identity} was #{ids[k]}, becomes #{ids[k + 1]}"
        weight = float(track.in_view[before : after + 1].mean())
        yield track.failure(
            "switch", after, first=before, last=after, severity=1 + weight, words=words
        )


def _misses(track: _Followed) -> Iterator[Failure]:
    for first, last in runs_of(track.found_row == UNMATCHED):
        seen = track.in_view[first : last + 1]
        place = first + int(np.argmax(seen))
        span_s = float(track.ends_s[last] - track.times_s[first])
        frames = counted(last - first + 1, "frame")
        words = f"object {track.identity} not found in {frames} ({span_s:.1f} s)"
        if seen.max() < IN_VIEW:
            words += ", hidden all the while"
        yield track.failure(
            "miss", place, first=first, last=last, severity=float(seen.sum()), words=words
        )


def _flickers(track: _Followed) -> Iterator[Failure]:
    inner = [
        (first, last)
        for first, last in runs_of(track.found_row == UNMATCHED)
        if first > 0
        and last < len(track.frames) - 1
        and track.times_s[last + 1] - track.times_s[first] <= FLICKER_S
        and track.in_view[first : last + 1].min() >= IN_VIEW
    ]
    if inner:
        first, last = inner[0]
        many = f"{len(inner)} gaps" if len(inner) > 1 else "a gap"
        words = f"object {track.identity} flickers: {many} of at most {FLICKER_S} s in plain view"
        yield track.failure(
            "flicker", first, first=first, last=last, severity=len(inner), words=words
        )


def _loose(track: _Followed, found_xyxy: FloatArray) -> Iterator[Failure]:
    hits = np.flatnonzero(track.found_row != UNMATCHED)
    if not len(hits):
        return
    overlap = iou_pairs(track.boxes_xyxy[hits], found_xyxy[track.found_row[hits]])
    worst = int(np.argmin(overlap))
    if overlap[worst] < LOOSE_IOU:
        place = int(hits[worst])
        words = f"object {track.identity}: overlap (IoU) only {overlap[worst]:.2f}"
        severity = float(1 - overlap[worst])
        yield track.failure(
            "loose box", place, first=place, last=place, severity=severity, words=words
        )


def _false_alarms(matches: FrameMatches) -> Iterator[Failure]:
    found = matches.clip.found
    wrong = matches.truth_of_found == UNMATCHED
    for identity in np.unique(found.ids[wrong]).tolist():
        rows = np.flatnonzero((found.ids == identity) & wrong)
        groups = [rows[k : k + 1] for k in range(len(rows))]
        if identity != NO_ID:
            breaks = np.flatnonzero(np.diff(matches.found_frame[rows]) > 1) + 1
            groups = np.split(rows, breaks)
        for group in groups:
            yield _false_alarm(matches, group)


def _false_alarm(matches: FrameMatches, rows: IntArray) -> Failure:
    """The failure of consecutive wrong boxes ``rows`` of one id."""
    found = matches.clip.found
    scores = found.scores[rows]
    row = int(rows[np.argmax(scores)])
    identity = int(found.ids[row])
    who = "a box" if identity == NO_ID else f"#{identity}"
    x1, y1, x2, y2 = found.boxes_xyxy[row].tolist()
    return Failure(
        kind="false alarm",
        video=matches.clip.name,
        frame=int(found.frames[row]),
        time_s=float(found.times_s[row]),
        first_frame=int(found.frames[rows[0]]),
        last_frame=int(found.frames[rows[-1]]),
        box_xyxy=(x1, y1, x2, y2),
        severity=float(scores.sum()),
        words=f"{who} where nothing is labelled, "
        f"{'' if identity == NO_ID else counted(len(rows), 'frame') + ', '}"
        f"score {scores.max():.2f}",
    )


def runs_of(mask: BoolArray) -> list[tuple[int, int]]:
    """First and last place of each run of true values.

    >>> runs_of(np.array([True, True, False, True]))
    [(0, 1), (3, 3)]
    """
    edges = np.flatnonzero(np.diff(np.concatenate([[0], mask.astype(np.int8), [0]])))
    return [(int(a), int(b) - 1) for a, b in zip(edges[::2], edges[1::2], strict=True)]
