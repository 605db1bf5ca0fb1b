"""Detect in key frames only, and fill the frames between: several times the speed.

The gap between key frames follows from the motion: it shrinks while objects move far for their
size, or differ from the prediction of their tracks, and grows while they move as predicted. A track
in two neighbouring key frames is filled between them on a straight line (``state`` is filled, or
predicted where the object was hidden at one end). An object that the detector missed in one key
frame, with nothing in front of it, is filled, too, so a frame is yielded once the two key frames
after it are known. Nothing is filled across a cut, or outside a track's life.

The error is measured while it runs: every key frame's boxes are compared with the straight line
between its neighbours, that is, at about twice the gap; see ``SparseReport``.
"""

from collections import deque
from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np

from vodkit.ground.arrays import FloatArray
from vodkit.ground.boxes import iou, iou_pairs
from vodkit.ground.errors import VideoError
from vodkit.ground.records import Detections, Frame, State, Tracks
from vodkit.ground.settings import bounded, check_ranges
from vodkit.infer.follow import Followed, Follower

Find = Callable[[Iterator[Frame | None]], Generator[tuple[Frame, Detections]]]
"""yields each frame with its detections, as ``in_stream`` of a detector does"""

_NUM_REMEMBERED = 4  # key frames whose wanted gaps count: the smallest is taken


@dataclass(frozen=True, kw_only=True)
class SparseSettings:
    """How far apart key frames may be."""

    max_gap_s: float = bounded(0.4, above=0)
    """between key frames, where nothing moves: what comes into the picture is seen this late"""
    tolerance: float = bounded(0.08, above=0)
    """wanted error of filled boxes, as a share of the object's size (root of its area)"""
    reach: float = bounded(0.5, above=0)
    """the fastest objects may move by so much of their size from one key frame to the next: then
    they still overlap where they were by a third, and are not taken for a neighbour"""
    crossing_iou: float = bounded(0.6, above=0)
    """while two objects overlap by more, every frame is a key frame: there they could be swapped"""
    lag: int = bounded(3, above=0)
    """key frames in the detector's work at a time: the gap behind each is chosen by what was known
    so many key frames before, whatever the runtime may have ready, so that all choose alike"""

    def __post_init__(self) -> None:
        """Check ranges."""
        check_ranges(self)


@dataclass(frozen=True, kw_only=True)
class SparseReport:
    """What was detected and what was filled."""

    num_frames: int
    num_key_frames: int
    iou_at_twice_the_gap: float | None
    """mean IoU of observed boxes of key frames with the line between the key frames around them:
    filled boxes are better than this, since they are nearer to what was observed; None without"""


class Key(NamedTuple):
    """A frame that was detected in."""

    frame: Frame
    tracks: Tracks
    shot: int
    """how many cuts came before"""


class Pace:
    """Decides which frames are key frames, from what the tracks did in those before."""

    def __init__(self, settings: SparseSettings, *, num_frames: int | None) -> None:
        """``num_frames`` makes the last frame a key frame; None where it is not known."""
        self._settings = settings
        self._last_index = None if num_frames is None else num_frames - 1
        self._next_s = -np.inf
        self._key: int | None = None
        self._before: list[tuple[float, Tracks]] = []
        self._wanted: deque[float] = deque(maxlen=_NUM_REMEMBERED)
        # Of the next key frames; careful until something is known.
        self._gaps_s: deque[float] = deque([settings.max_gap_s / 4] * settings.lag)

    def is_key(self, index: int, time_s: float) -> bool:
        """Whether to detect in this frame; to be asked once for each frame, in order.

        Of the key frames that came, fewer than ``lag`` may not have been learnt from yet.
        """
        if time_s + 1e-6 < self._next_s and index != self._last_index:
            return False
        self._next_s = time_s + self._gaps_s[0]
        self._key = index
        return True

    def came(self, index: int) -> bool:
        """Whether the frame that came is the last key frame; one that is lost changes no gap."""
        if index != self._key:
            return False
        self._gaps_s.popleft()
        return True

    def learn(self, time_s: float, tracks: Tracks) -> None:
        """Take note of a key frame's tracks; to be called for each, in order."""
        self._before = [*self._before[-2:], (time_s, tracks)]
        careful_s = self._settings.max_gap_s / 4
        seen_s = time_s - self._before[-2][0] if len(self._before) > 1 else careful_s
        error, speed = _surprise(self._before), _speed(self._before)
        longer = 1.5
        if error is not None:
            # The error of a straight line in the middle is an eighth of the prediction error,
            # and grows with the square of the gap.
            longer = min((self._settings.tolerance / max(error / 8, 1e-9)) ** 0.5, longer)
        wanted = seen_s * max(longer, 0.5)
        if speed > 0:
            wanted = min(wanted, self._settings.reach / speed)
        # The largest IoU of two tracked objects
        overlap = iou(tracks.boxes_xyxy, tracks.boxes_xyxy)
        np.fill_diagonal(overlap, 0)
        if float(overlap.max(initial=0)) > self._settings.crossing_iou:
            wanted = 0.0
        self._wanted.append(min(wanted, self._settings.max_gap_s))
        self._gaps_s.append(min(self._wanted))


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
    """The error of predicting steady motion, in object sizes; None when nothing is known."""
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
    predicted = here + (here - there) * share
    off = np.linalg.norm(_centres(c)[four] - predicted, axis=1) / _sizes(c)[four]
    return float(np.quantile(off, 0.9))


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
    """All frames with their tracks, of which only key frames are detected in."""

    def __init__(
        self,
        frames: Iterator[Frame],
        follower: Follower,
        pace: Pace,
        settings: SparseSettings,
    ) -> None:
        """``follower`` must be new; ``pace`` is asked about each of ``frames`` before it comes."""
        self._frames = frames
        self._follower = follower
        self._pace = pace
        self._lag = settings.lag
        self._found: dict[int, Detections] = {}
        self._waiting: deque[Frame] = deque()
        self._num_begun = self._num_frames = self._num_keys = 0
        self._broken: VideoError | None = None
        self._agreement_sum = 0.0
        self._num_agreed = 0

    @property
    def report(self) -> SparseReport:
        """Of the frames so far."""
        known = self._num_agreed > 0
        return SparseReport(
            num_frames=self._num_frames,
            num_key_frames=self._num_keys,
            iou_at_twice_the_gap=self._agreement_sum / self._num_agreed if known else None,
        )

    def run(self, find: Find) -> Generator[Followed]:
        """Frames in order with their tracks; ``find`` detects in the key frames.

        A frame comes out when the two key frames after it are known; if the frames break off with
        VideoError, all before it do.
        """
        keys: list[Key] = []
        with closing(find(self._key_frames())) as found:
            for frame, detections in found:
                keys.append(self._stepped(frame, detections))
                self._pace.learn(frame.time_s, keys[-1].tracks)
                self._num_keys += 1
                yield from self._known(keys)
        if self._waiting and self._waiting[-1].index > keys[-1].frame.index:
            # The video ended before another key frame came: its last frame is predicted.
            keys.append(self._stepped(self._waiting[-1], Detections.empty()))
            yield from self._known(keys)
        if keys:
            yield from self._filled(keys[0], keys[-1])
        if self._broken is not None:
            raise self._broken

    def _key_frames(self) -> Iterator[Frame | None]:
        """As they are decoded; None while ``lag`` of them are in work."""
        try:
            for frame in self._frames:
                self._waiting.append(frame)
                if self._pace.came(frame.index):
                    self._num_begun += 1
                    yield frame
                while self._num_begun - self._num_keys >= self._lag:
                    yield None
        except VideoError as error:
            self._broken = error

    def _stepped(self, frame: Frame, found: Detections) -> Key:
        """The tracks of a key frame."""
        _, self._found[frame.index], tracks = self._follower.step(frame, found)
        assert tracks is not None
        return Key(frame, tracks, self._follower.num_cuts)

    def _known(self, keys: list[Key]) -> Iterator[Followed]:
        """With a third of ``keys``: the frames up to the second, and then the first one goes."""
        if len(keys) < 3:
            return
        a, b, c = keys
        line = Line(a, c).at(b.frame.time_s)
        line = line[line.states == State.FILLED]
        agreement = _agreement(line, b.tracks)
        self._agreement_sum += float(agreement.sum(dtype=np.float64))
        self._num_agreed += len(agreement)
        keys[1] = b._replace(tracks=filled_where_missed(b.tracks, line))
        yield from self._filled(a, keys[1])
        del keys[0]

    def _filled(self, a: Key, b: Key) -> Iterator[Followed]:
        """The waiting frames up to ``b``, of which none is before ``a``."""
        known = {key.frame.index: key.tracks for key in (a, b)}
        line = Line(a, b)
        while self._waiting and self._waiting[0].index <= b.frame.index:
            frame = self._waiting.popleft()
            self._num_frames += 1
            detections = self._found.pop(frame.index, Detections.empty())
            tracks = known.get(frame.index)
            yield Followed(frame, detections, line.at(frame.time_s) if tracks is None else tracks)


def filled_where_missed(tracks: Tracks, line: Tracks) -> Tracks:
    """The tracks of a key frame, where what the detector alone missed is filled.

    That is what was seen in both neighbours, so that it is on the ``line`` between them, and not in
    this one, with nothing in front of it.
    """
    missed = np.flatnonzero((tracks.states == State.PREDICTED) & (tracks.hidden_behind == 0))
    _, one, two = np.intersect1d(tracks.ids[missed], line.ids, return_indices=True)
    rows = missed[one]
    return replace(
        tracks,
        boxes_xyxy=_put(tracks.boxes_xyxy, rows, line.boxes_xyxy[two]),
        states=_put(tracks.states, rows, State.FILLED),
        hidden_s=_put(tracks.hidden_s, rows, 0),
    )


def _put(old: Any, rows: np.ndarray, new: Any) -> Any:
    changed = np.array(old)
    changed[rows] = new
    return changed


class Line:
    """The tracks known in two frames, on the straight line between them."""

    def __init__(self, a: Key, b: Key) -> None:
        """``b`` is after ``a``; with a cut between, there are none."""
        _, one, two = np.intersect1d(a.tracks.ids, b.tracks.ids, return_indices=True)
        if a.shot != b.shot:
            one, two = one[:0], two[:0]
        before, after = a.tracks[one], b.tracks[two]
        self._begin_s, self._long_s = a.frame.time_s, b.frame.time_s - a.frame.time_s
        self._both = (before.states != State.PREDICTED) & (after.states != State.PREDICTED)
        self._way_px = after.boxes_xyxy - before.boxes_xyxy
        self._hidden_s = before.hidden_s
        self._tracks = replace(
            before,
            scores=np.minimum(before.scores, after.scores),
            labels=after.labels,
            states=np.where(self._both, State.FILLED, State.PREDICTED),
            tentative=before.tentative & after.tentative,
            hidden_behind=np.where(self._both, 0, before.hidden_behind),
        )

    def at(self, time_s: float) -> Tracks:
        """Filled where the object was seen at both ends, else predicted."""
        since_s = time_s - self._begin_s
        return replace(
            self._tracks,
            boxes_xyxy=self._tracks.boxes_xyxy + self._way_px * np.float32(since_s / self._long_s),
            hidden_s=np.where(self._both, 0, self._hidden_s + since_s),
        )


def _agreement(line: Tracks, tracks: Tracks) -> FloatArray:
    """IoU of a key frame's observed boxes with the line between its neighbours."""
    seen = tracks[tracks.states == State.OBSERVED]
    _, one, two = np.intersect1d(line.ids, seen.ids, return_indices=True)
    return iou_pairs(line.boxes_xyxy[one], seen.boxes_xyxy[two])
