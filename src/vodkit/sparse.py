"""Detect in key frames only, and fill the frames between: several times the speed.

How far apart key frames may be follows from the motion: the gap shrinks while objects move far for
their size, or move otherwise than their tracks foretold, and grows while they do as expected. A
track that is known in two neighbouring key frames is filled between them on a straight line, so a
frame is given out once the key frame after it is known (``state`` says filled, or predicted where
the object was hidden at one end). Nothing is filled across a cut, or outside a track's life.

The cost is measured while it runs: every key frame's boxes are compared with the straight line
between its neighbours, that is, at about twice the gap; see ``SparseReport``.
"""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np

from vodkit.arrays import FloatArray
from vodkit.boxes import iou, iou_pairs
from vodkit.errors import SettingsError, VideoError
from vodkit.records import Detections, Frame, State, Tracks
from vodkit.track.base import Tracker
from vodkit.video.cuts import CutDetector

Find = Callable[[Sequence[Frame]], list[Detections]]


@dataclass(frozen=True, kw_only=True)
class SparseSettings:
    """How far apart key frames may be."""

    max_gap_s: float = 0.4
    """between key frames, where nothing moves: what comes into the picture is seen this late"""
    tolerance: float = 0.05
    """wanted error of filled boxes, as a share of the object's size (root of its area)"""
    reach: float = 0.5
    """the fastest objects may move by so much of their size from one key frame to the next: then
    they still overlap where they were by a third, and are not taken for a neighbour"""
    crossing_iou: float = 0.6
    """while two objects overlap by more, every frame is a key frame: there they could be swapped"""
    batch: int = 4
    """key frames given to the detector at once; the gap is reconsidered after each batch"""

    def __post_init__(self) -> None:
        """Check ranges."""
        for name in ("max_gap_s", "tolerance", "reach", "crossing_iou", "batch"):
            if not getattr(self, name) > 0:
                raise SettingsError(f"{name} is {getattr(self, name)}; allowed: above 0")


@dataclass(frozen=True, kw_only=True)
class SparseReport:
    """What was detected and what was filled."""

    num_frames: int
    num_key_frames: int
    iou_at_twice_the_gap: float | None
    """mean IoU of observed boxes of key frames with the line between the key frames around them:
    filled boxes are better than this, since they are nearer to what was observed; None without"""


class Pace:
    """Decides which frames are key frames, from what the tracks did in those before."""

    def __init__(self, settings: SparseSettings, *, num_frames: int | None) -> None:
        """``num_frames`` makes the last frame a key frame; None where it is not known."""
        self._settings = settings
        self._last_index = None if num_frames is None else num_frames - 1
        self._next_s = -np.inf
        self._keys: set[int] = set()
        self.gap_s = settings.max_gap_s / 4  # careful until something is known
        self._before: list[tuple[float, Tracks]] = []
        self._wanted: deque[float] = deque(maxlen=settings.batch)

    def is_key(self, index: int, time_s: float) -> bool:
        """Whether to detect in this frame; to be asked once for each frame, in order."""
        if time_s + 1e-6 < self._next_s and index != self._last_index:
            return False
        self._next_s = time_s + self.gap_s
        self._keys.add(index)
        return True

    def was_key(self, index: int) -> bool:
        """What ``is_key`` said of this frame."""
        return index in self._keys

    def learn(self, time_s: float, tracks: Tracks) -> None:
        """Take note of a key frame's tracks."""
        self._before = [*self._before[-2:], (time_s, tracks)]
        seen_s = time_s - self._before[-2][0] if len(self._before) > 1 else self.gap_s
        error, speed = _surprise(self._before), _speed(self._before)
        longer = 1.5
        if error is not None:
            # What a straight line misses in the middle is an eighth of what foretelling misses,
            # and grows with the square of the gap.
            longer = min((self._settings.tolerance / max(error / 8, 1e-9)) ** 0.5, longer)
        wanted = seen_s * max(longer, 0.5)
        if speed > 0:
            wanted = min(wanted, self._settings.reach / speed)
        if _closest(tracks) > self._settings.crossing_iou:
            wanted = 0.0
        self._wanted.append(min(wanted, self._settings.max_gap_s))
        self.gap_s = min(self._wanted)


def _speed(before: list[tuple[float, Tracks]]) -> float:
    """How many of its own sizes the fastest tenth of the objects moves in a second, at least."""
    if len(before) < 2:
        return 0.0
    (time_a, a), (time_b, b) = before[-2:]
    one, two = _common(a, b)
    if not len(one) or time_b <= time_a:
        return 0.0
    moved = np.linalg.norm(_centres(b)[two] - _centres(a)[one], axis=1) / _sizes(b)[two]
    return float(np.quantile(moved, 0.9)) / (time_b - time_a)


def _surprise(before: list[tuple[float, Tracks]]) -> float | None:
    """How far off, in sizes, steady motion foretold the objects; None when nothing is known."""
    if len(before) < 3:
        return None
    (time_a, a), (time_b, b), (time_c, c) = before
    one, two = _common(a, b)
    known, last = b[two], a[one]
    three, four = _common(known, c)
    if not len(three) or not time_a < time_b < time_c:
        return None
    share = (time_c - time_b) / (time_b - time_a)
    here, there = _centres(known)[three], _centres(last)[three]
    foretold = here + (here - there) * share
    off = np.linalg.norm(_centres(c)[four] - foretold, axis=1) / _sizes(c)[four]
    return float(np.quantile(off, 0.9))


def _closest(tracks: Tracks) -> float:
    """The largest IoU of two tracked objects."""
    overlap = iou(tracks.boxes_xyxy, tracks.boxes_xyxy)
    np.fill_diagonal(overlap, 0)
    return float(overlap.max(initial=0))


def _common(a: Tracks, b: Tracks) -> tuple[np.ndarray, np.ndarray]:
    """Rows of the tracks that are observed in both."""
    _, one, two = np.intersect1d(a.ids, b.ids, return_indices=True)
    seen = (a.states[one] == State.OBSERVED) & (b.states[two] == State.OBSERVED)
    return one[seen], two[seen]


def _centres(tracks: Tracks) -> FloatArray:
    return (tracks.boxes_xyxy[:, :2] + tracks.boxes_xyxy[:, 2:]) / 2


def _sizes(tracks: Tracks) -> FloatArray:
    sides = tracks.boxes_xyxy[:, 2:] - tracks.boxes_xyxy[:, :2]
    return np.maximum(np.sqrt(sides[:, 0] * sides[:, 1]), 1.0)


class SparseFlow:
    """All frames with their tracks, of which only key frames are looked at."""

    def __init__(
        self,
        frames: Iterator[Frame],
        tracker: Tracker,
        pace: Pace,
        settings: SparseSettings,
        *,
        cuts: bool = True,
    ) -> None:
        """``tracker`` must be new; ``pace`` is asked about each of ``frames`` before it comes."""
        self._frames = frames
        self._tracker = tracker
        self._pace = pace
        self._batch = settings.batch
        self._cuts = CutDetector() if cuts else None
        self._num_frames = self._num_keys = 0
        self._agreement: list[float] = []

    @property
    def report(self) -> SparseReport:
        """Of the frames so far."""
        return SparseReport(
            num_frames=self._num_frames,
            num_key_frames=self._num_keys,
            iou_at_twice_the_gap=float(np.mean(self._agreement)) if self._agreement else None,
        )

    def run(self, find: Find) -> Iterator[tuple[Frame, Tracks]]:
        """Frames in order with their tracks; ``find`` detects in a few key frames at once.

        A frame comes out when the key frame after it is known; if the frames break off with
        VideoError, all before it do.
        """
        waiting: list[Frame] = []
        keys: list[tuple[Frame, Tracks]] = []
        broken: VideoError | None = None
        ended = False
        while not ended:
            try:
                frame = next(self._frames, None)
            except VideoError as error:
                frame, broken = None, error
            ended = frame is None
            if frame is not None:
                waiting.append(frame)
            due = [one for one in waiting if self._pace.was_key(one.index)]
            if len(due) < self._batch and not ended:
                continue
            fresh = self._step(due, find)
            if ended and waiting and (not due or waiting[-1].index > due[-1].index):
                # The video ended before another key frame came: its last frame is foretold.
                fresh.append((waiting[-1], self._tracker.step(waiting[-1], Detections.empty())))
            yield from self._filled(keys + fresh, waiting)
            keys = [*keys, *fresh][-2:]
            waiting = [one for one in waiting if one.index > keys[-1][0].index] if keys else []
        if broken is not None:
            raise broken

    def _step(self, due: list[Frame], find: Find) -> list[tuple[Frame, Tracks]]:
        """Detect in key frames and track through them."""
        fresh = []
        for frame, found in zip(due, find(due) if due else [], strict=True):
            if self._cuts is not None and self._cuts.step(frame):
                self._tracker.notice_cut()
            tracks = self._tracker.step(frame, found)
            self._pace.learn(frame.time_s, tracks)
            fresh.append((frame, tracks))
        self._num_keys += len(fresh)
        return fresh

    def _filled(
        self, keys: list[tuple[Frame, Tracks]], waiting: list[Frame]
    ) -> Iterator[tuple[Frame, Tracks]]:
        """The waiting frames up to the last of ``keys``, which begins with two given out before."""
        known = {frame.index: tracks for frame, tracks in keys}
        for (a, one), (b, two), (c, three) in zip(keys, keys[1:], keys[2:], strict=False):
            self._agreement += _agreement((a.time_s, one), (b.time_s, two), (c.time_s, three))
        pairs = list(pairwise(keys))
        for frame in waiting:
            around = [pair for pair in pairs if pair[0][0].index < frame.index < pair[1][0].index]
            if frame.index in known:
                self._num_frames += 1
                yield frame, known[frame.index]
            elif around:
                (a, one), (b, two) = around[0]
                self._num_frames += 1
                yield frame, between(a.time_s, one, b.time_s, two, frame.time_s)


def between(time_a: float, a: Tracks, time_b: float, b: Tracks, time_s: float) -> Tracks:
    """The tracks known in both frames, on the straight line between them at ``time_s``."""
    _, one, two = np.intersect1d(a.ids, b.ids, return_indices=True)
    before, after = a[one], b[two]
    share = np.float32((time_s - time_a) / (time_b - time_a))
    both = (before.states != State.PREDICTED) & (after.states != State.PREDICTED)
    assert before.hidden_s is not None
    assert before.tentative is not None
    assert before.hidden_behind is not None
    assert after.tentative is not None
    return replace(
        before,
        boxes_xyxy=before.boxes_xyxy + (after.boxes_xyxy - before.boxes_xyxy) * share,
        scores=np.minimum(before.scores, after.scores),
        labels=after.labels,
        states=np.where(both, State.FILLED, State.PREDICTED),
        hidden_s=np.where(both, 0, before.hidden_s + (time_s - time_a)),
        tentative=before.tentative & after.tentative,
        hidden_behind=np.where(both, 0, before.hidden_behind),
    )


def _agreement(
    a: tuple[float, Tracks], b: tuple[float, Tracks], c: tuple[float, Tracks]
) -> list[float]:
    """IoU of the boxes observed at ``b`` with the line from ``a`` to ``c``."""
    line = between(a[0], a[1], c[0], c[1], b[0])
    line = line[line.states == State.FILLED]
    seen = b[1][b[1].states == State.OBSERVED]
    _, one, two = np.intersect1d(line.ids, seen.ids, return_indices=True)
    return [float(x) for x in iou_pairs(line.boxes_xyxy[one], seen.boxes_xyxy[two])]
