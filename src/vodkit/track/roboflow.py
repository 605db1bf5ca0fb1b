"""Trackers of the library ``trackers`` (Roboflow, Apache-2.0) with our contract.

They see detections of one class at a time, so that ids never change class; their ids start at 1
for each of our instances. What they hide during an occlusion stays hidden: only observed boxes
are given out. Their state cannot be saved. Install the extra ``vodkit[trackers]``.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from vodkit.ground.arrays import FloatArray
from vodkit.ground.errors import InputError, SettingsError
from vodkit.ground.lookup import pick
from vodkit.ground.records import Detections, Frame, State, Tracks
from vodkit.track.base import Tracker

_CLASSES = {
    "sort": "SORTTracker",
    "bytetrack": "ByteTrackTracker",
    "ocsort": "OCSORTTracker",
    "botsort": "BoTSORTTracker",
    "cbiou": "CBIoUTracker",
}


@dataclass(frozen=True, kw_only=True)
class RoboflowSettings:
    """Which of their trackers, with their own defaults."""

    kind: str = "bytetrack"
    """sort, bytetrack, ocsort, botsort or cbiou"""
    lost_s: float = 1.0
    """a track is forgotten when unseen for longer"""

    def __post_init__(self) -> None:
        """Check the name and the range."""
        pick(_CLASSES, self.kind, "kind of roboflow tracker")
        if not self.lost_s > 0:
            raise SettingsError(f"lost_s is {self.lost_s}; allowed: above 0")


class RoboflowTracker(Tracker):
    """See the module; satisfies base.Tracker, except that its state cannot be saved."""

    def __init__(self, settings: RoboflowSettings | None = None) -> None:
        """A tracker for one video; InputError where the library is not installed."""
        self.settings = settings or RoboflowSettings()
        self._make = _maker(self.settings)
        self._by_class: dict[int, Any] = {}
        self._ids: dict[tuple[int, int], int] = {}
        self._now_s = -np.inf
        self._start_s = 0.0

    def step(
        self,
        frame: Frame,
        detections: Detections,
        *,
        embeddings: FloatArray | None = None,
        camera_motion: FloatArray | None = None,
    ) -> Tracks:
        """The tracks of ``frame``; embeddings and camera motion are not used."""
        del embeddings, camera_motion
        if frame.time_s < self._now_s:
            raise InputError(
                f"frame {frame.index} is at {frame.time_s:.6f} s, but the one before it was at "
                f"{self._now_s:.6f} s; allowed: time that does not go backwards"
            )
        if self._now_s == -np.inf:
            self._start_s = frame.time_s
        self._now_s = frame.time_s
        for label in np.unique(detections.labels).tolist():
            if label not in self._by_class:
                self._by_class[label] = self._make()
        parts = [self._one_class(frame, detections, label) for label in sorted(self._by_class)]
        rows = np.concatenate([*parts, np.empty((0, 7))])
        rows = rows[np.argsort(rows[:, 6])]
        observed = np.full(len(rows), State.OBSERVED)
        return Tracks(rows[:, :4], rows[:, 4], rows[:, 5], rows[:, 6], observed)

    def _one_class(self, frame: Frame, detections: Detections, label: int) -> FloatArray:
        """Rows (box, score, label, id) of the tracked detections of one class."""
        import supervision

        own = detections[detections.labels == label]
        order = np.lexsort((*own.boxes_xyxy.T, -own.scores))
        given = supervision.Detections(
            xyxy=own.boxes_xyxy[order].copy(), confidence=own.scores[order].copy(),
            class_id=own.labels[order].copy(),
        )  # fmt: skip
        tracked = self._by_class[label].update(given, timestamp=frame.time_s - self._start_s)
        if tracked.tracker_id is None or len(tracked) == 0:
            return np.empty((0, 7))
        real = np.asarray(tracked.tracker_id) >= 0
        ids = [self._id(label, int(i)) for i in tracked.tracker_id[real]]
        labels = np.full(len(ids), label)
        return np.column_stack([tracked.xyxy[real], tracked.confidence[real], labels, ids])

    def _id(self, label: int, theirs: int) -> int:
        return self._ids.setdefault((label, theirs), len(self._ids) + 1)

    def notice_cut(self) -> None:
        """A new shot begins: all tracks end."""
        self._ids = {(-number, -number): number for number in self._ids.values()}
        self._by_class = {label: self._make() for label in self._by_class}

    def state_dict(self) -> dict[str, np.ndarray]:
        """Not possible: the library keeps its state in objects of its own."""
        raise InputError("a roboflow tracker's state cannot be saved; choose another tracker")

    def load_state(self, state: Mapping[str, np.ndarray]) -> None:
        """Not possible, see ``state_dict``."""
        del state
        raise InputError("a roboflow tracker's state cannot be restored; choose another tracker")


def _maker(settings: RoboflowSettings) -> Callable[[], Any]:
    try:
        import trackers
    except ImportError as error:
        raise InputError(
            f"tracker 'roboflow' needs the extra: pip install 'vodkit[trackers]' ({error})"
        ) from error
    kind = getattr(trackers, _CLASSES[settings.kind])
    options: dict[str, Any] = {"lost_track_buffer": max(1, round(settings.lost_s * 30))}
    if settings.kind == "botsort":
        options["enable_cmc"] = False
    return lambda: kind(frame_rate=30.0, **options)
