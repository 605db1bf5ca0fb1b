"""Frames in, boxes out, ids on: the one generator that every command runs.

The loop is here and nowhere else. Whoever wants to write, draw or count iterates over it::

    for frame, detections, tracks in track_video("plaza.mp4", detector, tracker):
        ...

Everything streams: a few batches of frames are in memory at a time, so peak memory does not depend
on the length of the video. With cores to spare, the next frames are decoded while the network runs
and the ones before are tracked and written; the results are those of one step after the other, bit
for bit.
"""

from collections.abc import Generator, Iterable, Iterator
from dataclasses import dataclass

from vodkit.detect.base import Detector, in_stream
from vodkit.detect.preprocess import resized_px
from vodkit.ground.errors import SettingsError, VideoError
from vodkit.ground.records import Detections, Frame, Tracks
from vodkit.ground.runs import num_cores
from vodkit.infer.keyframes import Pace, SparseFlow, SparseSettings
from vodkit.track.base import Tracker
from vodkit.video.cuts import CutDetector
from vodkit.video.prefetch import ahead, depth_here
from vodkit.video.reader import Source, Video, open_video

_FEW_CORES = 2


@dataclass(frozen=True, kw_only=True)
class FlowSettings:
    """How frames flow from a video to the detector and the tracker."""

    every: int = 1
    """detect and track in every n-th frame; times and indices stay those of the video"""
    sparse: bool = False
    """detect in key frames only, chosen by how things move, and fill the frames between"""
    batch_size: int = 8
    """frames given to the detector at once"""
    strict: bool = True
    """a frame that cannot be decoded ends the flow with VideoError; False: go on, and count"""
    full_size: bool = True
    """False: decode straight to the size the detector wants; boxes stay in source pixels"""
    cuts: bool = True
    """look for shot changes and tell the tracker, so that no track lives across one"""
    ahead: int | None = None
    """frames decoded, and frames detected, before they are asked for; 0: one after the other;
    by default 8, but 0 on a single core, or where a network keeps both of two cores busy"""

    def __post_init__(self) -> None:
        """Check ranges."""
        for name in ("every", "batch_size"):
            if getattr(self, name) < 1:
                raise SettingsError(f"{name} is {getattr(self, name)}; allowed: 1 or more")
        if self.ahead is not None and self.ahead < 0:
            raise SettingsError(f"ahead is {self.ahead}; allowed: 0 or more")
        if self.sparse and self.every > 1:
            raise SettingsError(f"sparse looks at every frame, every is {self.every}; allowed: 1")


def detect_video(
    source: Source, detector: Detector, *, flow: FlowSettings | None = None
) -> Iterator[tuple[Frame, Detections]]:
    """Every frame of ``source`` with what ``detector`` finds in it.

    A video that breaks off raises VideoError (path, time) after everything that could be decoded
    was given out.
    """
    flow = flow or FlowSettings()
    with open_video(source, strict=flow.strict, one_thread=decodes_alone(detector, flow)) as video:
        yield from look(video, detector, flow)


def track_video(
    source: Source, detector: Detector, tracker: Tracker, *, flow: FlowSettings | None = None
) -> Iterator[tuple[Frame, Detections, Tracks]]:
    """Every frame of ``source``, what ``detector`` finds in it, and who that is.

    ``tracker`` must be new: one instance is one video. Errors are those of ``detect_video``.
    """
    flow = flow or FlowSettings()
    if not flow.sparse:
        yield from follow(detect_video(source, detector, flow=flow), tracker, cuts=flow.cuts)
        return
    found: dict[int, Detections] = {}

    def find(frames: Iterator[Frame | None]) -> Generator[tuple[Frame, Detections]]:
        for frame, detections in in_stream(detector, frames, flow.batch_size):
            found[frame.index] = detections
            yield frame, detections

    with open_video(source, strict=flow.strict) as video:
        for frame, tracks in sparse_flow(video, detector, tracker, flow).run(find):
            yield frame, found.pop(frame.index, Detections.empty()), tracks


def look(
    video: Video, detector: Detector, flow: FlowSettings
) -> Generator[tuple[Frame, Detections]]:
    """The frames of an open video, with what is in them.

    Frames of a live source are looked at one by one as they come: none waits for a batch.
    """
    frames = frames_for(video, detector, flow)
    if video.is_live:
        return detect_frames(frames, detector, 1)
    depth = flow.ahead
    if depth is None:
        depth = 0 if fills_the_cores(detector) else depth_here()
    return ahead(detect_frames(ahead(frames, depth), detector, flow.batch_size), depth)


def fills_the_cores(detector: Detector) -> bool:
    """Whether the network keeps all of these few cores busy by itself.

    Then decoding in several threads, or ahead of it, only takes turns with it, which costs: up to a
    third of the speed in torch, whose threads wait for each other.
    """
    return num_cores() <= _FEW_CORES and str(getattr(detector, "runtime", "")).endswith("cpu")


def decodes_alone(detector: Detector, flow: FlowSettings) -> bool:
    """Whether to decode in one thread; where few frames are looked at, cores are free."""
    return fills_the_cores(detector) and not flow.sparse


def frames_for(video: Video, detector: Detector, flow: FlowSettings) -> Iterator[Frame]:
    """The frames of an open video, decoded to the detector's size unless pixels are wanted."""
    return video.frames(every=flow.every, size_px=_size_px(video, detector, flow))


def sparse_flow(
    video: Video, detector: Detector, tracker: Tracker, flow: FlowSettings
) -> SparseFlow:
    """The frames of an open video, of which only key frames will be looked at."""
    settings = SparseSettings()
    pace = Pace(settings, num_frames=video.info.num_frames)

    def wanted(index: int, time_s: float) -> bool:
        return pace.is_key(index, time_s) or flow.full_size

    frames = video.frames(size_px=_size_px(video, detector, flow), wanted=wanted)
    return SparseFlow(frames, tracker, pace, settings, cuts=flow.cuts)


def _size_px(video: Video, detector: Detector, flow: FlowSettings) -> tuple[int, int] | None:
    """What to decode to: None (as it is) where somebody wants the pixels."""
    if flow.full_size:
        return None
    wanted = detector.card.preprocessing
    return resized_px(video.info.width_px, video.info.height_px, wanted)


def detect_frames(
    frames: Iterable[Frame], detector: Detector, batch_size: int
) -> Generator[tuple[Frame, Detections]]:
    """Frames through the detector, several at a time.

    If the frames break off with VideoError, those before are still detected and given out before
    the error goes on: nothing that was decoded is lost.
    """
    broken: list[VideoError] = []
    yield from in_stream(detector, _until_broken(frames, broken), batch_size)
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
        yield frame, detections, tracker.step(frame, detections, embeddings=detections.embeddings)
