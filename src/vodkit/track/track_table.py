"""What a tracker knows of its tracks: one numpy column for each fact, one row for each track.

There is no object per track: predicting, ageing and giving out work on whole columns.
"""

from collections.abc import Mapping

import numpy as np

from vodkit.ground.arrays import BoolArray, ByteArray, FloatArray, IntArray
from vodkit.ground.errors import InputError
from vodkit.ground.records import Frame
from vodkit.track import kalman
from vodkit.track.assign import Pairs
from vodkit.track.base import Found
from vodkit.track.kalman import Motion

PAST = 5
"""observations remembered for directions of movement"""

EVIDENCE_S = 0.1
"""an observation is evidence of this much time before it, at most"""
RETURN_S = 1.0
"""who vanishes and is observed again within this time came back at once"""
_LONG_S = 0.3
"""only tracks that were observed for longer count there"""
_STILL = np.eye(3)[:2]
"""the affine of a camera at rest"""

_COLUMNS: dict[str, tuple[tuple[int, ...], type]] = {
    "ids": ((), np.int64),
    "status": ((), np.uint8),
    "labels": ((), np.int64),
    "scores": ((), np.float64),
    "levels": ((), np.float64),
    "mean": ((8,), np.float64),
    "cov": ((3, 4), np.float64),
    "born_s": ((), np.float64),
    "excused_s": ((), np.float64),
    "hits": ((), np.int64),
    "missed": ((), np.int64),
    "hider": ((), np.int64),
    "evidence": ((), np.float64),
    "expected_xyxy": ((4,), np.float64),
    "seen_mean": ((8,), np.float64),
    "seen_cov": ((3, 4), np.float64),
    "past_xyxy": ((PAST, 4), np.float64),
    "past_s": ((PAST,), np.float64),
    "votes": ((0,), np.float64),
    "looks": ((0,), np.float64),
    "quick_mean": ((8,), np.float64),
    "quick_cov": ((3, 4), np.float64),
}


class Book:
    """The columns, the clock and the counter of ids of one tracker."""

    ids: IntArray
    status: ByteArray
    """see life.Status"""
    labels: IntArray
    """the class that most recent observations voted for"""
    scores: FloatArray
    """of the last observation"""
    levels: FloatArray
    """the same in the detector's units, see ``score_scale``"""
    mean: FloatArray
    cov: FloatArray
    born_s: FloatArray
    excused_s: FloatArray
    """when it was last observed, or hidden behind something known"""
    hits: IntArray
    """number of observations"""
    missed: IntArray
    """steps since the last observation"""
    hider: IntArray
    """id of the track that it is hidden behind; 0: of none"""
    evidence: FloatArray
    """score-seconds: time between observations times their level, see ``score_scale``"""
    quick_mean: FloatArray
    """a second filter that follows observations closely; kept only where ``quick`` is given"""
    quick_cov: FloatArray
    expected_xyxy: FloatArray
    """where the filter put the box before this frame's detections were looked at"""
    seen_mean: FloatArray
    """the filter just after the last observation; kept only where ``reupdate`` needs it"""
    seen_cov: FloatArray
    past_xyxy: FloatArray
    """(N, PAST, 4) the last observations, newest first"""
    past_s: FloatArray
    """(N, PAST) and their times; -inf where there are fewer"""
    votes: FloatArray
    """(N, C) what each class has collected, faded"""
    looks: FloatArray
    """(N, D) running mean of the embeddings"""

    def __init__(
        self,
        *,
        vote_memory_s: float = 2.0,
        look_memory_s: float = 0.3,
        reupdate: bool = False,
        quick: Motion | None = None,
    ) -> None:
        """An empty book before the first frame.

        ``look_memory_s``: embeddings are averaged over about this time; BoT-SORT's 0.9 a frame is
        0.3 s at 30 frames a second. ``reupdate``: filters of tracks that were missed walk again to
        where they are seen next. ``quick``: the noise of a second filter.
        """
        for name, (shape, dtype) in _COLUMNS.items():
            setattr(self, name, np.zeros((0, *shape), dtype))
        self.vote_memory_s = vote_memory_s
        self.look_memory_s = look_memory_s
        self.reupdate = reupdate
        self.quick = quick
        self.now_s = -np.inf
        self.next_id = 1
        self.returns = np.zeros(2)
        """how often vanished objects came back within ``RETURN_S``, and how often they did not"""

    def __len__(self) -> int:
        """Number of tracks."""
        return len(self.ids)

    @property
    def seen_xyxy(self) -> FloatArray:
        """The boxes (N, 4) that were observed last."""
        return self.past_xyxy[:, 0]

    @property
    def seen_s(self) -> FloatArray:
        """The times (N,) of these observations."""
        return self.past_s[:, 0]

    def advance(self, frame: Frame, motion: Motion) -> float:
        """Move the clock and all filters to ``frame``; gives the seconds that have passed."""
        dt_s = frame.time_s - self.now_s
        if dt_s < 0:
            raise InputError(
                f"frame {frame.index} is at {frame.time_s:.6f} s, but the one before it was at "
                f"{self.now_s:.6f} s; allowed: time that does not go backwards"
            )
        self.now_s = frame.time_s
        if len(self):
            self.mean, self.cov = kalman.predict(self.mean, self.cov, dt_s, motion)
            self.expected_xyxy = kalman.boxes_of(self.mean)
            if self.quick is not None:
                self._advance_quick(dt_s, self.quick)
            self.missed += 1
            unseen_s = self.now_s - self.seen_s
            gone = (unseen_s > RETURN_S) & (unseen_s - dt_s <= RETURN_S)
            if np.count_nonzero(gone):
                self.returns[1] += np.count_nonzero(gone & self._long_known())
        return dt_s

    def _long_known(self) -> BoolArray:
        return np.asarray(self.seen_s - self.born_s > _LONG_S)

    def _advance_quick(self, dt_s: float, motion: Motion) -> None:
        """Objects observed one step ago are expected halfway between the two filters' boxes."""
        quick = kalman.predict(self.quick_mean, self.quick_cov, dt_s, motion)
        self.quick_mean, self.quick_cov = quick
        just = (self.missed == 0)[:, None]
        both = (self.expected_xyxy + kalman.boxes_of(self.quick_mean)) / 2
        self.expected_xyxy = np.where(just, both, self.expected_xyxy)

    def observe(
        self,
        pairs: Pairs,
        found: Found,
        motion: Motion,
        *,
        steady: FloatArray | None = None,
        boxes_xyxy: FloatArray | None = None,
        silent: BoolArray | None = None,
    ) -> None:
        """Tell the tracks ``pairs.rows`` that they are the detections ``pairs.cols``.

        ``boxes_xyxy`` (P, 4) is what the filters are told instead of the detections' own boxes;
        ``steady`` (P,) and ``silent`` (P, 2): see ``kalman.update``.
        """
        rows = pairs.rows
        if len(rows) == 0:
            return
        seen = found.at(pairs.cols)
        mean, cov = self.mean.take(rows, axis=0), self.cov.take(rows, axis=0)
        boxes = seen.boxes_xyxy if boxes_xyxy is None else boxes_xyxy
        mean, cov = kalman.update(mean, cov, boxes, motion, steady=steady, silent=silent)
        if self.quick is not None:
            self._observe_quick(rows, boxes, mean)
        if self.reupdate:
            self._walk_again(rows, seen, mean, cov, motion)
        self._vote(rows, seen.labels, seen.scores)
        if seen.looks.shape[1]:
            self._widen("looks", seen.looks.shape[1])
            fade = np.exp((self.seen_s[rows] - self.now_s) / self.look_memory_s)
            keep = np.where(self.looks[rows].any(axis=1), fade, 0.0)[:, None]
            self.looks[rows] = keep * self.looks[rows] + (1 - keep) * seen.looks
        spans_s = self.now_s - self.seen_s[rows]
        back = (self.missed[rows] > 1) & (spans_s <= RETURN_S)
        if np.count_nonzero(back):
            self.returns[0] += np.count_nonzero(back & self._long_known()[rows])
        spans_s = np.minimum(spans_s, EVIDENCE_S)
        self.evidence[rows] += spans_s * seen.levels
        self._note(rows, seen, mean, cov)
        self.hits[rows] += 1

    def _observe_quick(self, rows: IntArray, boxes_xyxy: FloatArray, mean: FloatArray) -> None:
        """Update the quick filters; those that missed a frame restart with the steady velocity."""
        assert self.quick is not None
        old = self.quick_mean.take(rows, axis=0), self.quick_cov.take(rows, axis=0)
        after, cov = kalman.update(*old, boxes_xyxy, self.quick)
        late = self.missed[rows] > 1
        if np.count_nonzero(late):
            start, start_cov = kalman.start(boxes_xyxy[late], self.quick)
            start[:, 4:] = mean[late, 4:]
            after[late], cov[late] = start, start_cov
        self.quick_mean[rows], self.quick_cov[rows] = after, cov

    def restart(self, pairs: Pairs, found: Found, motion: Motion) -> None:
        """Like ``observe`` for tracks of which nobody knows how they got there."""
        if len(pairs.rows) == 0:
            return
        self.observe(pairs, found, motion)
        self._believe(pairs.rows, *kalman.start(found.boxes_xyxy[pairs.cols], motion))
        self.past_s[pairs.rows, 1:] = -np.inf

    def _walk_again(
        self, rows: IntArray, seen: Found, mean: FloatArray, cov: FloatArray, motion: Motion
    ) -> None:
        """Overwrite the update of those that were missed with an observation-centric one."""
        late = np.flatnonzero(self.missed[rows] > 1)
        if len(late):
            at = rows[late]
            mean[late], cov[late] = kalman.reupdate(
                self.seen_mean[at],
                self.seen_cov[at],
                seen.boxes_xyxy[late],
                motion,
                gap_s=self.now_s - self.seen_s[at],
                missed=self.missed[at] - 1,
            )

    def _believe(self, rows: IntArray, mean: FloatArray, cov: FloatArray) -> None:
        self.mean[rows], self.cov[rows] = mean, cov
        if self.reupdate:
            self.seen_mean[rows], self.seen_cov[rows] = mean, cov

    def _note(self, rows: IntArray, seen: Found, mean: FloatArray, cov: FloatArray) -> None:
        self._believe(rows, mean, cov)
        self.scores[rows], self.levels[rows] = seen.scores, seen.levels
        past_xyxy, past_s = self.past_xyxy.take(rows, axis=0), self.past_s.take(rows, axis=0)
        past_xyxy[:, 1:], past_xyxy[:, 0] = past_xyxy[:, :-1], seen.boxes_xyxy
        past_s[:, 1:], past_s[:, 0] = past_s[:, :-1], self.now_s
        self.past_xyxy[rows], self.past_s[rows] = past_xyxy, past_s
        self.excused_s[rows] = self.now_s
        self.missed[rows] = 0
        self.hider[rows] = 0

    def _vote(self, rows: IntArray, labels: IntArray, scores: FloatArray) -> None:
        """Old votes fade with time, the new one counts its score."""
        top = int(labels.max(initial=0)) + 1
        self._widen("votes", top)
        age_s = self.now_s - self.seen_s[rows]
        self.votes[rows] *= np.exp(-age_s / self.vote_memory_s)[:, None]
        self.votes[rows, labels] += scores
        self.labels[rows] = self.votes[rows].argmax(axis=1)

    def open(self, cols: IntArray, found: Found, motion: Motion) -> IntArray:
        """New tracks from the detections ``cols``; gives their rows."""
        count = len(cols)
        if count == 0:
            return np.empty(0, np.int64)
        seen, old = found.at(cols), len(self)
        for name, (shape, dtype) in _COLUMNS.items():
            column = getattr(self, name)
            more = np.zeros((count, *(column.shape[1:] or shape)), dtype)
            setattr(self, name, np.concatenate([column, more]))
        rows = np.arange(old, old + count)
        self.ids[rows] = np.arange(self.next_id, self.next_id + count)
        self.next_id += count
        self.born_s[rows] = self.now_s
        self.expected_xyxy[rows] = seen.boxes_xyxy
        self.past_s[rows] = -np.inf
        if self.quick is not None:
            self.quick_mean[rows], self.quick_cov[rows] = kalman.start(seen.boxes_xyxy, self.quick)
        self.hits[rows] = 1
        self._widen("votes", int(seen.labels.max()) + 1)
        self.votes[rows, seen.labels] = seen.scores
        self.labels[rows] = seen.labels
        if seen.looks.shape[1]:
            self._widen("looks", seen.looks.shape[1])
            self.looks[rows] = seen.looks
        self._note(rows, seen, *kalman.start(seen.boxes_xyxy, motion))
        return rows

    def forget_looks(self) -> None:
        """What all tracks look like is not known."""
        self.looks = np.zeros((len(self), 0))

    def keep(self, mask: BoolArray) -> None:
        """Forget the tracks where ``mask`` (N,) is false."""
        if np.count_nonzero(mask) < len(mask):
            for name in _COLUMNS:
                setattr(self, name, getattr(self, name)[mask])

    def clear(self) -> None:
        """Forget all tracks; the clock and the counter of ids go on."""
        self.keep(np.zeros(len(self), bool))

    def warp(self, affine: FloatArray | None) -> None:
        """Move everything by the camera's motion (2, 3): a turn, a zoom and a shift.

        None and the identity leave every number as it is. Raises InputError for another shape.
        """
        if affine is None:
            return
        affine = np.asarray(affine, np.float64)
        if affine.shape != (2, 3) or not np.isfinite(affine).all():
            raise InputError(f"camera motion is {affine.tolist()}; allowed: a finite (2, 3) affine")
        if len(self) == 0 or np.array_equal(affine, _STILL):
            return
        turn, shift = affine[:, :2], affine[:, 2]
        zoom = float(np.sqrt(abs(np.linalg.det(turn))))
        for mean in (self.mean, self.seen_mean, self.quick_mean):
            mean[:, :2] = mean[:, :2] @ turn.T + shift
            mean[:, 4:6] = mean[:, 4:6] @ turn.T
            mean[:, [2, 3, 6, 7]] *= zoom
        self.cov *= zoom**2
        self.seen_cov *= zoom**2
        self.quick_cov *= zoom**2
        for boxes in (self.expected_xyxy, self.past_xyxy):
            centre = (boxes[..., :2] + boxes[..., 2:]) / 2
            half = (boxes[..., 2:] - boxes[..., :2]) / 2 * zoom
            centre = centre @ turn.T + shift
            boxes[..., :2], boxes[..., 2:] = centre - half, centre + half

    def observed_before(self, rows: IntArray, span_s: float) -> FloatArray:
        """The boxes (P, 4) of these tracks, as observed about ``span_s`` before the last time."""
        past_s = self.past_s[rows]
        late = np.abs(past_s - (past_s[:, :1] - span_s))
        return self.past_xyxy[rows, late.argmin(axis=1)]

    def _widen(self, name: str, width: int) -> None:
        column = getattr(self, name)
        if column.shape[1] < width:
            more = np.zeros((len(column), width - column.shape[1]))
            setattr(self, name, np.concatenate([column, more], axis=1))

    def state_dict(self) -> dict[str, np.ndarray]:
        """All columns, the clock and the counter."""
        state = {name: getattr(self, name).copy() for name in _COLUMNS}
        own = {"next_id": np.array(self.next_id), "returns": self.returns.copy()}
        return state | own | {"now_s": np.array(self.now_s)}

    def load_state(self, state: Mapping[str, np.ndarray]) -> None:
        """Take over what ``state_dict`` gave; InputError names what is missing."""
        missing = sorted({*_COLUMNS, "now_s", "next_id", "returns"} - {*state})
        if missing:
            raise InputError(f"tracker state lacks {', '.join(missing)}; saved by another version?")
        counts = {name: len(state[name]) for name in _COLUMNS}
        if len({*counts.values()}) > 1:
            raise InputError(f"tracker state has columns of different lengths: {counts}")
        for name, (_, dtype) in _COLUMNS.items():
            setattr(self, name, np.array(state[name], dtype))
        self.now_s = float(state["now_s"])
        self.next_id = int(state["next_id"])
        self.returns = np.array(state["returns"])


class Booked:
    """What trackers share that know no more than their book."""

    book: Book
    last_motion: FloatArray | None = None

    def notice_cut(self) -> None:
        """A new shot begins: all tracks end."""
        self.book.clear()

    def state_dict(self) -> dict[str, np.ndarray]:
        """All that the tracker knows."""
        return self.book.state_dict()

    def load_state(self, state: Mapping[str, np.ndarray]) -> None:
        """Go on where ``state_dict`` was taken."""
        self.book.load_state(state)
