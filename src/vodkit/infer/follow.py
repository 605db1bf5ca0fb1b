"""Follower: the one step from the detections of a frame to its tracks.

Files, live sources, key frames, latency, replay and tuning all take it, so that they agree. What a
video needs to be remembered from frame to frame is here, and never in the detector: a detector
serves many videos, a follower one.
"""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple, Protocol

from vodkit.detect.embed import threshold_of
from vodkit.ground.records import Detections, Frame, Tracks
from vodkit.infer.handover import Continuing
from vodkit.infer.settings import COLOUR, InferSettings
from vodkit.track.base import Tracker
from vodkit.track.table import has_setting, make_tracker
from vodkit.video.cuts import CutDetector


class Memory(Protocol):
    """What earlier frames of a video change about the detections of the next one."""

    def step(self, frame: Frame, detections: Detections) -> Detections:
        """The detections of ``frame`` with what is remembered taken into account."""
        ...

    def notice_cut(self) -> None:
        """Forget: the next frame begins a new shot."""
        ...


class Followed(NamedTuple):
    """A frame, what was detected in it, and its tracks."""

    frame: Frame
    detections: Detections
    tracks: Tracks | None
    """None: there is no tracker"""

    @property
    def found(self) -> Detections | Tracks:
        """The result: tracks, or detections without a tracker."""
        return self.detections if self.tracks is None else self.tracks


class Follower:
    """Cut detection, then memory, then the tracker. One instance is one video."""

    def __init__(
        self, tracker: Tracker | None = None, *, cuts: bool = True, memory: Memory | None = None
    ) -> None:
        """Start a video.

        Args:
            tracker: a new one; None: detections only.
            cuts: detect shot changes, so that nothing is followed across one.
            memory: a new one, for temporal detection.
        """
        self.tracker = tracker
        self.num_cuts = 0
        """shot changes so far"""
        self._memory = memory
        self._cuts = CutDetector() if cuts and (tracker or memory) else None

    def step(self, frame: Frame, detections: Detections) -> Followed:
        """Follow the objects into the next frame."""
        if self._cuts is not None and frame.has_pixels and self._cuts.step(frame):
            self.num_cuts += 1
            for part in (self._memory, self.tracker):
                if part is not None:
                    part.notice_cut()
        if self._memory is not None:
            detections = self._memory.step(frame, detections)
        if self.tracker is None:
            return Followed(frame, detections, None)
        tracks = self.tracker.step(frame, detections, embeddings=detections.embeddings)
        return Followed(frame, detections, tracks)

    def steps(self, found: Iterable[tuple[Frame, Detections]]) -> Iterator[Followed]:
        """Follow the objects through consecutive frames."""
        for frame, detections in found:
            yield self.step(frame, detections)


def make_follower(settings: InferSettings) -> Follower:
    """A new follower with the tracker that the settings ask for.

    Raises:
        SettingsError: an unknown tracker or tracker setting.
        InputError: ``settings.after`` is no run folder whose tracker fits.
    """
    if not settings.tracks:
        return Follower(cuts=settings.cuts)
    tracker = make_tracker(settings.tracker, tracker_words(settings))
    if settings.after:
        tracker = Continuing(tracker, Path(settings.after))
    return Follower(tracker, cuts=settings.cuts)


def tracker_words(settings: InferSettings) -> tuple[str, ...]:
    """The settings for the tracker: the user's own, after those that follow from ``appearance``.

    A trained appearance head knows the cosine above which two embeddings are of one object.
    """
    if not settings.appearance or settings.appearance == COLOUR:
        return settings.tracker_settings
    likeness = threshold_of(settings.appearance)
    if likeness is None or not has_setting(settings.tracker, "min_likeness"):
        return settings.tracker_settings
    return (f"min_likeness={likeness}", *settings.tracker_settings)
