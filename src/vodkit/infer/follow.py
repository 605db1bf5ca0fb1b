"""Follower: the one step from the detections of a frame to its tracks.

Files, live sources, key frames, latency, replay and tuning all take it, so that they agree. What a
video needs to be remembered from frame to frame is here, and never in the detector: a detector
serves many videos, a follower one.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from vodkit.detect.embed import threshold_of
from vodkit.detect.foreign import DETECTORS
from vodkit.detect.models import find_card
from vodkit.detect.temporal_head import learnt_labels, load_head, temporal_card
from vodkit.formats.camera_motion import line_of
from vodkit.ground import ledger
from vodkit.ground.arrays import FloatArray
from vodkit.ground.errors import VideoError
from vodkit.ground.records import Detections, Frame, Tracks
from vodkit.infer.handover import Continued
from vodkit.infer.settings import COLOUR, OFF, InferSettings
from vodkit.temporal.links import Links, LinkSettings
from vodkit.temporal.memory import Memory
from vodkit.temporal.recall import Recall, RecallSettings
from vodkit.track.base import Tracker
from vodkit.track.table import has_setting, make_tracker
from vodkit.video.cuts import CutDetector


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
    """Cut detection, then temporal memory, then the tracker. One instance is one video."""

    def __init__(
        self,
        tracker: Tracker | None = None,
        *,
        cuts: bool = True,
        memory: Memory["_Begun"] | None = None,
        motion: Mapping[int, FloatArray] | None = None,
        continued: Continued | None = None,
        motion_log: Path | None = None,
    ) -> None:
        """Start a video.

        Args:
            tracker: a new one; None: detections only.
            cuts: detect shot changes, so that nothing is followed across one.
            memory: a new one, for temporal detection; None: each frame by itself.
            motion: the camera's motion by frame index, where it was recorded.
            continued: where the file before this one ended.
            motion_log: file for the camera's motion, so that replays use the same (see
                ``formats.camera_motion``); begun anew, it appears with the first motion.

        Raises:
            OutputError: ``motion_log`` is a file that vodkit did not write.
        """
        self.tracker = tracker
        self.num_cuts = 0
        """shot changes so far"""
        self.memory, self._motion = memory, motion or {}
        self._continued, self._motion_log = continued, motion_log
        if motion_log is not None:
            ledger.claim(motion_log)
            motion_log.unlink(missing_ok=True)
        self._cuts = CutDetector() if cuts and (tracker or memory) else None

    def step(self, frame: Frame, detections: Detections) -> Followed:
        """Follow the objects into the next frame; not with a memory that needs later frames."""
        (followed,) = self._push(frame, detections)
        return followed

    def steps(self, found: Iterable[tuple[Frame, Detections]]) -> Iterator[Followed]:
        """Follow the objects through consecutive frames.

        If the frames break off with VideoError, all before it come out first.
        """
        broken: VideoError | None = None
        try:
            for frame, detections in found:
                yield from self._push(frame, detections)
        except VideoError as error:
            broken = error
        if self.memory is not None:
            yield from self._tracked(self.memory.rest())
        if broken is not None:
            raise broken

    def _push(self, frame: Frame, detections: Detections) -> Iterator[Followed]:
        """The frames that are final once this one is known; without memory it alone is."""
        is_cut = self._cuts is not None and frame.has_pixels and self._cuts.step(frame)
        self.num_cuts += is_cut
        begun = _Begun(frame, is_cut)
        if self._continued is not None:
            self._continued.begin(frame.time_s)
            self._continued = None
        if self.memory is None:
            yield from self._tracked([(begun, detections)])
            return
        if is_cut:
            yield from self._tracked(self.memory.cut())
        yield from self._tracked(self.memory.push(begun, frame.time_s, detections))

    def _tracked(self, final: Iterable[tuple["_Begun", Detections]]) -> Iterator[Followed]:
        for (frame, is_cut), detections in final:
            if self.tracker is None:
                yield Followed(frame, detections, None)
                continue
            if is_cut:
                self.tracker.notice_cut()
            tracks = self.tracker.step(
                frame,
                detections,
                embeddings=detections.embeddings,
                camera_motion=self._motion.get(frame.index),
            )
            affine = self.tracker.last_motion
            if self._motion_log is not None and affine is not None:
                with self._motion_log.open("a", encoding="utf-8") as file:
                    file.write(line_of(frame.index, affine))
            yield Followed(frame, detections, tracks)


class _Begun(NamedTuple):
    """A frame on its way through the memory."""

    frame: Frame
    is_cut: bool
    """a new shot begins with it"""


def make_follower(
    settings: InferSettings, classes: Sequence[str] = (), *, motion_log: Path | None = None
) -> Follower:
    """A new follower with the tracker and the memory that the settings ask for.

    Args:
        settings: of the run.
        classes: names of the detector's labels; empty: those of the settings' model.
        motion_log: see ``Follower``.

    Raises:
        SettingsError: an unknown tracker or tracker setting.
        InputError: ``settings.after`` is no run folder whose tracker fits.
    """
    memory = make_memory(settings, classes)
    if not settings.tracks:
        return Follower(cuts=settings.cuts, memory=memory)
    tracker = make_tracker(settings.tracker, tracker_words(settings))
    return Follower(
        tracker,
        cuts=settings.cuts,
        memory=memory,
        continued=Continued(Path(settings.after), tracker, memory) if settings.after else None,
        motion_log=motion_log,
    )


def make_memory(settings: InferSettings, classes: Sequence[str] = ()) -> Memory[_Begun] | None:
    """A new temporal memory, see ``make_follower``; None where the settings ask for none."""
    if settings.temporal == OFF:
        return None
    rule: Links | Recall = Links(LinkSettings())
    if settings.has_head:
        head = load_head(Path(settings.temporal))
        shape = RecallSettings(
            lags_s=head.lags_s, most=head.most, remembered=head.remembered, both=head.both
        )
        names = classes or settings.classes or find_card(settings.model)[0].classes
        labels = learnt_labels(names, head.card.classes)
        rule = Recall(shape, head.network, labels, uses_features=head.keys is not None)
    return Memory(rule, threshold=settings.score_threshold, both=settings.is_delayed)


def has_features(settings: InferSettings) -> bool:
    """Whether detections carry features for temporal memory."""
    return settings.has_head and bool(
        temporal_card(Path(settings.temporal)).architecture.get("stages")
    )


def tracker_words(settings: InferSettings) -> tuple[str, ...]:
    """The settings for the tracker: the user's own, after those that the weights know.

    A detector's card knows the scores that are typical of its classes, a trained appearance head
    the cosine above which two embeddings are of one object.
    """
    known: tuple[str, ...] = ()
    if has_setting(settings.tracker, "typical") and any(typical := _typical(settings)):
        known = (f"typical={typical}",)
    if settings.appearance and settings.appearance != COLOUR:
        likeness = threshold_of(settings.appearance)
        if likeness is not None and has_setting(settings.tracker, "min_likeness"):
            known = (*known, f"min_likeness={likeness}")
    return (*known, *settings.tracker_settings)


def _typical(settings: InferSettings) -> list[float]:
    """Scores that are typical of each class, as the model's card says; 0: not known."""
    if settings.prompts or settings.model in DETECTORS:
        return []
    card, _ = find_card(settings.model)
    return [card.typical_scores.get(name, 0.0) for name in settings.classes or card.classes]
