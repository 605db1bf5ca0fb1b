"""The memory of a video: what the still detector saw in the frames around, within a window.

The rule that keeps everything exact: **memory holds only what the still detector saw, within a
window in seconds, never what was concluded from it.** It is a finite filter without feedback: a
false alarm cannot confirm itself, a resumed run replays its recorded candidates, and without memory
a frame's detections are those of the still detector, bit for bit. How a frame's candidates are
changed by the remembered ones is a ``Rule``: ``links.Links`` (no training) or ``recall.Recall``.
"""

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Generic, NamedTuple, Protocol, TypeVar

import numpy as np

from vodkit.ground.arrays import FloatArray, IntArray
from vodkit.ground.errors import InputError
from vodkit.ground.records import Detections

T = TypeVar("T")

BASELINE_S = 0.1
"""velocities are measured over at least this, where frames are that close"""
EDGE_S = 1e-6
"""clocks of containers are exact to less than this"""
WINDOW = 1.5
"""how long a frame is remembered, in longest lags: the nearest frame within half a lag counts"""
_LEAST = 1e-6  # scores are kept this far from 0 and 1, where logits are infinite


@dataclass(frozen=True, eq=False)
class Remembered:
    """The candidates of one frame."""

    time_s: float
    centres: FloatArray
    """(N, 2) px"""
    log_sides: FloatArray
    """(N, 2) logarithms of width and height in px"""
    sizes: FloatArray
    """(N,) px, root of the area"""
    logits: FloatArray
    """(N,)"""
    labels: IntArray
    """(N,)"""
    velocities: FloatArray
    """(N, 2) px/s; 0 where no candidate of an earlier frame fits"""
    keys: FloatArray
    """(N, D) what each looks like; D is 0 where that is not known"""

    def centres_at(self, time_s: float) -> FloatArray:
        """(N, 2) px: where the candidates would be at another time, by their velocities."""
        return self.centres + self.velocities * (time_s - self.time_s)

    def corners_at(self, time_s: float) -> FloatArray:
        """(N, 4) x1, y1, x2, y2 in px at another time, in the size they have."""
        half, centres = np.exp(self.log_sides) / 2, self.centres_at(time_s)
        return np.concatenate([centres - half, centres + half], axis=1)


class Asked(NamedTuple):
    """A remembered frame that a frame is compared with."""

    slot: int
    """position of its lag in the rule's ``lags_s``; those of later frames follow after them"""
    frame: Remembered


class Rule(Protocol):
    """How remembered candidates change those of a frame."""

    lags_s: tuple[float, ...]
    """lags, in seconds and ascending, of the frames that are compared"""

    def remember(
        self, time_s: float, candidates: Detections, before: Remembered | None
    ) -> Remembered:
        """The frame as memory holds it; ``before``: an earlier frame, for velocities."""
        ...

    def conclude(
        self, candidates: Detections, here: Remembered, asked: Sequence[Asked]
    ) -> Detections:
        """A frame's candidates with new scores and boxes; unchanged where nothing is asked.

        Args:
            candidates: of the still detector.
            here: the frame as memory holds it.
            asked: the frames that it is compared with.
        """
        ...


class Memory(Generic[T]):
    """The memory of one video; one instance is one video.

    Frames are pushed in order. With ``both`` a frame comes out once the frames after it, up to the
    longest lag, are known. ``T`` is whatever belongs to a frame (the frame itself, usually).
    """

    def __init__(self, rule: Rule, *, threshold: float, both: bool = False) -> None:
        """An empty memory.

        Args:
            rule: how remembered candidates change those of a frame.
            threshold: candidates whose final score is below are dropped.
            both: use frames after a frame as well as those before it.
        """
        self._rule, self._threshold, self._both = rule, threshold, both
        self._window_s = rule.lags_s[-1] * WINDOW
        self._memory: deque[Remembered] = deque()
        self._waiting: deque[tuple[T, Detections, Remembered]] = deque()

    def cut(self) -> Iterator[tuple[T, Detections]]:
        """End the shot: what still waits comes out, and nothing is remembered across the cut."""
        yield from self.rest()
        self._memory.clear()

    def rest(self) -> Iterator[tuple[T, Detections]]:
        """What still waits, at the end of a video; what is remembered stays, for the next file."""
        while self._waiting:
            yield self._out()

    def push(
        self, item: T, time_s: float, candidates: Detections
    ) -> Iterator[tuple[T, Detections]]:
        """Take the candidates of the next frame; give the frames that are final now.

        Args:
            item: what is given back together with the frame's detections.
            time_s: time of the frame. A time that is not after the last one clears the memory.
            candidates: what the still detector found, above a low threshold.

        Returns:
            Pairs of ``item`` and its detections, above the threshold, best score first.
        """
        if self._memory and time_s <= self._memory[-1].time_s:
            yield from self.cut()
        here = self._rule.remember(time_s, candidates, self._before(time_s))
        self._memory.append(here)
        self._waiting.append((item, candidates, here))
        reach_s = self._window_s if self._both else 0.0
        while self._waiting and time_s >= self._waiting[0][2].time_s + reach_s:
            yield self._out()
        while self._memory[0].time_s < time_s - reach_s - self._window_s:
            self._memory.popleft()

    def state_dict(self) -> dict[str, np.ndarray]:
        """What is remembered, as arrays: a row a candidate, and ``counts`` of them a frame."""
        frames = list(self._memory)
        names = [spec.name for spec in fields(Remembered) if spec.name != "time_s"]
        state = {
            name: np.concatenate([getattr(one, name) for one in frames] or [np.zeros(0)])
            for name in names
            if name != "keys"
        }
        # Frames without candidates have keys without columns, and so have those that a resumed
        # run took from its files: where looks are not known of all, they are known of none.
        keys = [one.keys for one in frames if len(one.labels)]
        known = len({one.shape[1] for one in keys}) == 1
        state["keys"] = np.concatenate(keys) if known else np.zeros((len(state["labels"]), 0))
        state["counts"] = np.array([len(one.labels) for one in frames], np.int64)
        return {**state, "times_s": np.array([one.time_s for one in frames], np.float64)}

    def load_state(self, state: Mapping[str, np.ndarray], *, earlier_s: float = 0.0) -> None:
        """Remember what another memory of the same rule did.

        Args:
            state: see ``state_dict``.
            earlier_s: by how much that is earlier on this video's clock than its times say.

        Raises:
            InputError: the arrays do not belong together.
        """
        try:
            ends = np.cumsum(state["counts"])
            rows = [slice(end - n, end) for end, n in zip(ends, state["counts"], strict=True)]
            names = [spec.name for spec in fields(Remembered) if spec.name != "time_s"]
            self._memory.clear()
            for time_s, part in zip(state["times_s"], rows, strict=True):
                columns = [state[name][part] for name in names]
                self._memory.append(Remembered(float(time_s) - earlier_s, *columns))
        except (KeyError, ValueError, IndexError, TypeError) as error:
            raise InputError(f"no state of a temporal memory: {error}") from error

    def _out(self) -> tuple[T, Detections]:
        """The frame that waits longest, and its detections."""
        item, candidates, here = self._waiting.popleft()
        asked = asked_of(self._memory, here.time_s, self._rule.lags_s, both=self._both)
        found = self._rule.conclude(candidates, here, asked)
        # The tracker has no use for features, but for the scores of the frame by itself.
        same = np.array_equal(found.scores, candidates.scores)
        still = None if same else candidates.scores
        found = replace(found, features=None, still_scores=still)
        keep = np.flatnonzero(found.scores >= self._threshold)
        return item, found[keep[np.argsort(-found.scores[keep], kind="stable")]]

    def _before(self, time_s: float) -> Remembered | None:
        """The frame that velocities are measured from."""
        if not self._memory:
            return None
        far = (x for x in reversed(self._memory) if time_s - x.time_s >= BASELINE_S - EDGE_S)
        before = next(far, self._memory[-1])
        return before if time_s - before.time_s <= self._window_s else None


def asked_of(
    remembered: Sequence[Remembered] | deque[Remembered],
    time_s: float,
    lags_s: Sequence[float],
    *,
    both: bool,
) -> list[Asked]:
    """The remembered frames nearest to each lag, within half of it, each once, in order of time."""
    asked: dict[int, Asked] = {}
    times_s = np.array([one.time_s for one in remembered])
    for side, sign in enumerate((-1, 1) if both else (-1,)):
        for slot, lag_s in enumerate(lags_s, side * len(lags_s)):
            off_s = np.abs(times_s - (time_s + sign * lag_s))
            nearest = int(off_s.argmin())
            if off_s[nearest] <= lag_s / 2 + EDGE_S and times_s[nearest] != time_s:
                asked.setdefault(nearest, Asked(slot, remembered[nearest]))
    return [asked[number] for number in sorted(asked)]


def probability(logits: FloatArray) -> FloatArray:
    """Scores in (0, 1) of logits."""
    return 1 / (1 + np.exp(-logits))


def logit(scores: FloatArray) -> FloatArray:
    """Logits of scores, float64, finite also at 0 and 1."""
    inside = np.clip(scores.astype(np.float64), _LEAST, 1 - _LEAST)
    return np.log(inside / (1 - inside))


def geometry(time_s: float, found: Detections, *, rows: IntArray | None = None) -> Remembered:
    """A frame's candidates, or ``rows`` of them, without velocities."""
    which = slice(None) if rows is None else rows
    boxes = found.boxes_xyxy[which].astype(np.float64)
    sides = np.maximum(boxes[:, 2:] - boxes[:, :2], 1.0)
    return Remembered(
        time_s,
        (boxes[:, :2] + boxes[:, 2:]) / 2,
        np.log(sides),
        np.sqrt(sides[:, 0] * sides[:, 1]),
        logit(found.scores[which]),
        found.labels[which],
        np.zeros((len(boxes), 2)),
        np.zeros((len(boxes), 0), np.float32) if found.features is None else found.features[which],
    )
