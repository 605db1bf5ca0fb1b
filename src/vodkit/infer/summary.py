"""What a run found, counted while it runs: for the end of a command, and for the manifest."""

import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from vodkit.formats.predictions import FinalRows, PredictedFrame
from vodkit.ground.records import STATE_NAMES, State, Tracks


@dataclass(frozen=True, kw_only=True)
class Summary:
    """Counts of the final rows of a run (``formats.predictions.final_frames``)."""

    num_frames: int
    """that the run processed"""
    num_fresh: int
    """of these, not on disk before: fewer than all of them in a run that was resumed"""
    seconds: float
    """that the fresh frames took"""
    runtime: str
    tracks_by_class: Mapping[str, int]
    """confirmed tracks; empty without a tracker"""
    boxes_by_class: Mapping[str, int]
    """observed and filled"""
    rows_by_state: Mapping[str, int]
    """observed, predicted, filled"""
    num_unconfirmed: int
    """rows left out, since their track was never confirmed"""
    num_truncated: int
    """frames in which the detector found more than it keeps (``max_detections``)"""

    @property
    def frames_per_s(self) -> float | None:
        """Fresh frames a second; None where there was nothing to do."""
        return self.num_fresh / self.seconds if self.num_fresh and self.seconds > 0 else None


class Tally:
    """Counts frames on their way; memory grows with the number of tracks only."""

    def __init__(self) -> None:
        """Begin a video, and start the clock."""
        self._rows = FinalRows()
        self._began_s = time.perf_counter()
        self._counts: Counter[str] = Counter()
        self._classes: dict[int, int] = {}  # of each track, as it was last
        self._boxes: Counter[int] = Counter()
        self._states: Counter[int] = Counter()

    def add(self, frame: PredictedFrame, *, fresh: bool = True, truncated: bool = False) -> None:
        """Take note of the next frame."""
        if not fresh:
            self._began_s = time.perf_counter()
        self._counts.update(frames=1, fresh=fresh, truncated=truncated)
        for decided in self._rows.add(frame):
            self._count(decided)

    def _count(self, frame: PredictedFrame) -> None:
        found = frame.found
        self._counts["left_out"] += frame.num_unconfirmed
        labels, states = found.labels.tolist(), [int(State.OBSERVED)] * len(found)
        if isinstance(found, Tracks):
            self._classes.update(zip(found.ids.tolist(), labels, strict=True))
            states = found.states.tolist()
        self._states.update(states)
        pairs = zip(labels, states, strict=True)
        self._boxes.update(label for label, state in pairs if state != State.PREDICTED)

    def summary(self, classes: tuple[str, ...], runtime: str) -> Summary:
        """The counts of all frames; no more come."""
        for frame in self._rows.end():
            self._count(frame)
        tracks = Counter(self._classes.values())
        return Summary(
            num_frames=self._counts["frames"],
            num_fresh=self._counts["fresh"],
            seconds=round(time.perf_counter() - self._began_s, 3),
            runtime=runtime,
            tracks_by_class={classes[label]: tracks[label] for label in sorted(tracks)},
            boxes_by_class={classes[label]: self._boxes[label] for label in sorted(self._boxes)},
            rows_by_state={name: self._states[i] for i, name in enumerate(STATE_NAMES)},
            num_unconfirmed=self._counts["left_out"],
            num_truncated=self._counts["truncated"],
        )
