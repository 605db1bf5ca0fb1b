"""The life of a track, in seconds: tentative, confirmed, occluded or lost, and the end.

    first seen -> TENTATIVE --seen for confirm_s--> CONFIRMED <--> OCCLUDED, LOST -> forgotten

A track is OCCLUDED while something explains why it is not seen (another object stands in front),
LOST while nothing does. What is given out for a track that is not seen is its predicted box.
A track is AWAY when it has left the picture, or when a new shot began: it comes back only if
something looks like it, and only if ``away_s`` lets it; else it is forgotten.
"""

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, fields
from typing import Final

import numpy as np

from vodkit.formats.predictions import PredictedFrame, final_frames
from vodkit.ground.arrays import BoolArray, FloatArray
from vodkit.ground.errors import SettingsError
from vodkit.ground.records import Detections, Frame, State, Tracks
from vodkit.track import presence
from vodkit.track.assign import rows_where
from vodkit.track.kalman import boxes_of, sigma_px
from vodkit.track.track_table import Book


class Status:
    """Where in its life a track is: plain numbers, since arrays of them are compared each frame."""

    TENTATIVE: Final = 0
    CONFIRMED: Final = 1
    OCCLUDED: Final = 2
    LOST: Final = 3
    AWAY: Final = 4


# By status: whether such a track is looked for in the picture; what it is when seen, and when not.
_IS_HERE = np.array([False, True, True, True, False])
_SEEN = np.array([Status.TENTATIVE] + 4 * [Status.CONFIRMED], np.uint8)
_UNSEEN = np.array([Status.TENTATIVE] + 3 * [Status.LOST] + [Status.AWAY], np.uint8)


@dataclass(frozen=True, kw_only=True)
class Life:
    """How long things last. A track seen in the frame before is never forgotten unasked."""

    confirm_s: float = 0.06
    """a track is confirmed by two observations, this far apart or more ..."""
    confirm_score_s: float = 0.0
    """... and this much evidence: seconds times the level of the scores (``Book.evidence``)"""
    tentative_s: float = 0.1
    """a track that is not confirmed is forgotten when unseen for longer"""
    lost_s: float = 1.0
    """a confirmed track is forgotten when unseen for longer, with nothing to explain it"""
    occluded_s: float = 3.0
    """the same while something stands in front of it"""
    left_s: float = 0.2
    """the same when it has left the picture"""
    away_s: float = 0.0
    """what has left the picture, or was there before a cut, can come back for this long if it
    looks the same (needs pixels or embeddings); 0: who comes in is new"""
    coast_s: float = 0.5
    """predicted boxes of lost tracks are given out for this long after they were last seen, or
    last known to be hidden; 0: never"""
    coast_occluded_s: float = 2.0
    """the same of occluded tracks"""

    def __post_init__(self) -> None:
        """Check ranges, and that nobody is given out after being forgotten."""
        for spec in fields(self):
            if not getattr(self, spec.name) >= 0:
                seen = getattr(self, spec.name)
                raise SettingsError(f"life.{spec.name} is {seen}; allowed: 0 or more")
        for shorter, longer in (("coast_s", "lost_s"), ("coast_occluded_s", "occluded_s")):
            a, b = getattr(self, shorter), getattr(self, longer)
            if a > b:
                raise SettingsError(f"life.{shorter} is {a}; allowed: up to life.{longer} ({b})")


def inside(boxes_xyxy: FloatArray, frame: Frame) -> FloatArray:
    """The share (N,) of each box that lies inside the picture."""
    limit = np.array([frame.width_px, frame.height_px])
    shown = np.minimum(boxes_xyxy[:, 2:], limit) - np.maximum(boxes_xyxy[:, :2], 0)
    full = np.maximum(boxes_xyxy[:, 2:] - boxes_xyxy[:, :2], 1e-9)
    return np.asarray((np.maximum(shown, 0) / full).prod(axis=1))


def expire(book: Book, life: Life, frame: Frame) -> None:
    """Forget the tracks whose time is over; call it after the clock moved, before matching."""
    late = rows_where(book.missed > 1)
    if len(late) == 0:
        return
    unexplained_s = book.now_s - book.excused_s[late]
    leaving = rows_where(unexplained_s > life.left_s)
    leaving = leaving[_IS_HERE[book.status[late[leaving]]]]
    if len(leaving):
        leaving = leaving[inside(book.expected_xyxy[late[leaving]], frame) < 0.5]
        book.status[late[leaving]] = Status.AWAY
    limits_s = (life.tentative_s, life.lost_s, life.occluded_s, life.lost_s, life.away_s)
    over = unexplained_s > np.array(limits_s)[book.status[late]]
    over |= book.now_s - book.seen_s[late] > max(life.occluded_s, life.lost_s, life.away_s)
    over[leaving] |= life.away_s == 0
    if np.count_nonzero(over):
        kept = np.ones(len(book), bool)
        kept[late[over]] = False
        book.keep(kept)


def send_away(book: Book, life: Life) -> None:
    """All tracks go AWAY, as at a cut; those that nothing could be recognised by are forgotten."""
    book.keep((book.status != Status.TENTATIVE) & (life.away_s > 0) & book.looks.any(axis=1))
    book.status[:] = Status.AWAY


def promote(book: Book, life: Life) -> None:
    """Give every track the status that follows from this frame's observations."""
    young = rows_where(book.status == Status.TENTATIVE)
    if len(young):
        sure = (book.hits[young] >= 2) & (book.seen_s[young] - book.born_s[young] >= life.confirm_s)
        sure &= book.evidence[young] >= life.confirm_score_s
        book.status[young[sure]] = Status.CONFIRMED
    book.status = np.where(book.missed == 0, _SEEN[book.status], _UNSEEN[book.status])


def give_out(
    book: Book, life: Life, *, shown: BoolArray | None = None, filtered: bool = False
) -> Tracks:
    """What is known now: seen tracks with their detection's box, hidden ones with the predicted.

    ``shown`` (N,): those of the unseen that may be given out at all. ``filtered``: seen tracks
    give out the filter's box, which trembles less but is nobody's detection.
    """
    seen = book.missed == 0
    if np.count_nonzero(seen) < len(seen):
        rows = rows_where(seen | _coasting(book, life, seen, shown))
    else:
        rows = np.arange(len(book))
    boxes = (boxes_of(book.mean) if filtered else book.seen_xyxy).take(rows, axis=0)
    scores, unseen_s = book.scores[rows], np.zeros(len(rows))
    states = np.zeros(len(rows), np.uint8)  # observed, all of them
    present = np.ones(len(rows))
    hidden = rows_where(book.missed[rows] > 0)
    if len(hidden):
        states[hidden] = State.PREDICTED
        unseen_s[hidden] = book.now_s - book.seen_s[rows[hidden]]
        boxes[hidden] = book.expected_xyxy[rows[hidden]]
        scores[hidden] *= 0.5 ** unseen_s[hidden]
        present[hidden] = presence.predicted(book, rows[hidden])
    return Tracks(
        boxes,
        scores,
        book.labels[rows],
        book.ids[rows],
        states,
        unseen_s,
        sigma_px(book.cov)[rows],
        book.status[rows] == Status.TENTATIVE,
        np.where(book.status == Status.OCCLUDED, book.hider, 0)[rows],
        present,
    )


def _coasting(book: Book, life: Life, seen: BoolArray, shown: BoolArray | None) -> BoolArray:
    """The unseen tracks whose predicted boxes are given out."""
    unseen_s = book.now_s - book.seen_s
    limit_s = np.array([-1, 0, life.coast_occluded_s, life.coast_s, -1])[book.status]
    since_s = np.where(book.status == Status.LOST, book.now_s - book.excused_s, unseen_s)
    longest_s = max(life.coast_s, life.coast_occluded_s)
    coasting = ~seen & (since_s <= limit_s) & (unseen_s <= longest_s)
    return coasting if shown is None else coasting & shown


def backfill(
    steps: Iterable[tuple[Frame, Detections, Tracks]],
) -> Iterator[tuple[Frame, Detections, Tracks]]:
    """The same steps, a little later, with their final rows (``formats.predictions.final_frames``).

    Rows of a track that is confirmed later are kept from its first detection on; rows of one that
    never is are left out. Frames wait only while that is open.
    """
    waiting: deque[tuple[Frame, Detections, Tracks]] = deque()

    def arriving() -> Iterator[PredictedFrame]:
        for step in steps:
            waiting.append(step)
            yield PredictedFrame(step[0].index, step[0].time_s, step[2])

    for decided in final_frames(arriving()):
        assert isinstance(decided.found, Tracks)
        yield *waiting.popleft()[:2], decided.found
