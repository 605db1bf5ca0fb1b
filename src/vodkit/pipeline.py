"""Frames in, boxes out, ids on: the one generator that every command runs.

The loop is here and nowhere else. Whoever wants to write, draw or count iterates over it::

    for frame, detections, tracks in track_video("plaza.mp4", detector, tracker):
        ...

Everything streams: one batch of frames is in memory at a time, so peak memory does not depend on
the length of the video.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice

from vodkit.detect.base import Detector
from vodkit.detect.preprocess import resized_px
from vodkit.errors import SettingsError, VideoError
from vodkit.records import Detections, Frame, Tracks
from vodkit.track.base import Tracker
from vodkit.video.cuts import CutDetector
from vodkit.video.reader import Source, Video, open_video


@dataclass(frozen=True, kw_only=True)
class FlowSettings:
    """How frames flow from a video to the detector and the tracker."""

    every: int = 1
    """detect and track in every n-th frame; times and indices stay those of the video"""
    batch_size: int = 8
    """frames given to the detector at once"""
    strict: bool = True
    """a frame that cannot be decoded ends the flow with VideoError; False: go on, and count"""
    full_size: bool = True
    """False: decode straight to the size the detector wants; boxes stay in source pixels"""
    cuts: bool = True
    """look for shot changes and tell the tracker, so that no track lives across one"""

    def __post_init__(self) -> None:
        """Check ranges."""
        for name in ("every", "batch_size"):
            if getattr(self, name) < 1:
                raise SettingsError(f"{name} is {getattr(self, name)}; allowed: 1 or more")


def detect_video(
    source: Source, detector: Detector, *, flow: FlowSettings | None = None
) -> Iterator[tuple[Frame, Detections]]:
    """Every frame of ``source`` with what ``detector`` finds in it.

    A video that breaks off raises VideoError (path, time) after everything that could be decoded
    was given out.
    """
    flow = flow or FlowSettings()
    with open_video(source, strict=flow.strict) as video:
        yield from detect_frames(frames_for(video, detector, flow), detector, flow.batch_size)


def track_video(
    source: Source, detector: Detector, tracker: Tracker, *, flow: FlowSettings | None = None
) -> Iterator[tuple[Frame, Detections, Tracks]]:
    """Every frame of ``source``, what ``detector`` finds in it, and who that is.

    ``tracker`` must be new: one instance is one video. Errors are those of ``detect_video``.
    """
    flow = flow or FlowSettings()
    yield from follow(detect_video(source, detector, flow=flow), tracker, cuts=flow.cuts)


def frames_for(video: Video, detector: Detector, flow: FlowSettings) -> Iterator[Frame]:
    """The frames of an open video, decoded to the detector's size unless pixels are wanted."""
    size_px = None
    if not flow.full_size:
        wanted = detector.card.preprocessing
        size_px = resized_px(video.info.width_px, video.info.height_px, wanted)
    return video.frames(every=flow.every, size_px=size_px)


def detect_frames(
    frames: Iterable[Frame], detector: Detector, batch_size: int
) -> Iterator[tuple[Frame, Detections]]:
    """Frames in batches through the detector.

    If the frames break off with VideoError, the batch that was being filled is still detected
    and given out before the error goes on: nothing that was decoded is lost.
    """
    broken: list[VideoError] = []
    readable = _until_broken(frames, broken)
    while batch := list(islice(readable, batch_size)):
        yield from zip(batch, detector.detect(batch), strict=True)
    if broken:
        raise broken[0]


def _until_broken(frames: Iterable[Frame], broken: list[VideoError]) -> Iterator[Frame]:
    try:
        yield from frames
    except VideoError as error:
        broken.append(error)


def follow(
    found: Iterable[tuple[Frame, Detections]], tracker: Tracker, *, cuts: bool
) -> Iterator[tuple[Frame, Detections, Tracks]]:
    """Detections of consecutive frames through the tracker; shot changes are told to it."""
    cut_detector = CutDetector() if cuts else None
    for frame, detections in found:
        if cut_detector is not None and cut_detector.step(frame):
            tracker.notice_cut()
        yield frame, detections, tracker.step(frame, detections)
