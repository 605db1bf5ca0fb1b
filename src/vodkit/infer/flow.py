"""Frames in, detections and tracks out: the one generator that every command runs.

::

    for frame, detections, tracks in track_video("plaza.mp4"):
        ...

Everything streams: a few batches of frames are in memory at a time, so peak memory does not depend
on the length of the video. With cores to spare, the next frames are decoded while the network runs
and the ones before are tracked and written; the results are those of one step after the other, bit
for bit.
"""

from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from functools import partial
from pathlib import Path

from vodkit.detect.base import Detector, RunsOn, in_stream
from vodkit.detect.defaults import NETWORK
from vodkit.detect.devices import CPU, device_of
from vodkit.detect.embed import WithLooks, is_pooled, load_crops
from vodkit.detect.foreign import DETECTORS, Chosen, load_foreign
from vodkit.detect.models import load_detector
from vodkit.detect.tiles import TiledDetector, TileSettings
from vodkit.ground.errors import SettingsError, VideoError
from vodkit.ground.records import Detections, Frame, Tracks
from vodkit.ground.runs import num_cores
from vodkit.infer.follow import Followed, Follower, make_follower, make_memory
from vodkit.infer.input_size import choose_size
from vodkit.infer.keyframes import Pace, SparseFlow, SparseReport, SparseSettings
from vodkit.infer.settings import AUTO, COLOUR, FULL, InferSettings
from vodkit.track.appearance import colour_embeddings
from vodkit.track.base import Tracker
from vodkit.video.motion import Motion
from vodkit.video.prefetch import ahead, depth_here
from vodkit.video.reader import Source, Video, open_video
from vodkit.video.rgb import OnDecoded

_FEW_CORES = 2


def make_detector(settings: InferSettings, *, runs_on: RunsOn | None = None) -> Detector:
    """The detector that the settings ask for: in tiles or not, with embeddings or not.

    Args:
        settings: model, thresholds, runtime, tiles, appearance, ...
        runs_on: what a run that is resumed had chosen, so that the rest cannot differ by rounding;
            default: what ``settings`` say.

    Raises:
        WeightsError: missing, corrupt, or not fitting weights.
        SettingsError: an unknown name, or options that exclude each other.
    """
    looks = settings.appearance
    pooled = bool(looks) and looks != COLOUR and is_pooled(looks)
    if pooled and settings.tiles:
        allowed = f"{COLOUR}, or a network for crops"
        raise SettingsError(f"tiles with appearance {looks}: views differ; allowed: {allowed}")
    if runs_on is not None:
        _require_device(runs_on)
    detector: Detector
    device = settings.device if runs_on is None else runs_on.device
    if settings.prompts:
        detector = _prompted(settings, device)
    elif settings.model in DETECTORS:
        if pooled or settings.runtime != AUTO or settings.has_head:
            refused = f"no --runtime, no --appearance {looks or 'HEAD'}, and no temporal head"
            raise SettingsError(f"{settings.model} takes {refused}")
        if settings.size != NETWORK:
            raise SettingsError(f"{settings.model} is of an installed package: it takes no --size")
        detector = Chosen(
            load_foreign(settings.model, device),
            score_threshold=settings.candidate_score,
            max_detections=settings.max_detections,
            classes=settings.classes or None,
        )
    else:
        detector = load_detector(
            settings.model,
            runtime=settings.runtime if runs_on is None else runs_on.runtime,
            score_threshold=settings.candidate_score,
            max_detections=settings.max_detections,
            device=device,
            classes=settings.classes or None,
            appearance=looks if pooled else "",
            temporal=settings.temporal if settings.has_head else "",
            size=settings.size,
        )
    if settings.tiles and detector.card.preprocessing.motion_lags_s:
        seen = f"tiles with {settings.model}, which takes motion of complete frames"
        raise SettingsError(f"{seen}; allowed: one of the two")
    if settings.tiles:
        detector = TiledDetector(detector, TileSettings(grid=settings.tiles))
    if looks == COLOUR:
        return WithLooks(detector, colour_embeddings)
    if looks and not pooled:
        crops = load_crops(Path(looks), runtime=settings.runtime, device=settings.device)
        return WithLooks(detector, crops)
    return detector


def with_size(
    settings: InferSettings,
    sources: Sequence[Source],
    *,
    notify: Callable[[str], None] = lambda _note: None,
) -> InferSettings:
    """The settings with ``size`` chosen where it is auto, on sample frames of these videos.

    Args:
        settings: of a run on these sources.
        sources: files, or folders of pictures.
        notify: called with the size that is chosen, and why.

    Raises:
        SettingsError: a source is live; VideoError: no source has frames.
    """
    if settings.size != AUTO:
        return settings
    if settings.model in DETECTORS or settings.prompts:
        return replace(settings, size=NETWORK)
    choice = choose_size(settings, sources, make_detector)
    notify(choice.line())
    return replace(settings, size=choice.size)


def _prompted(settings: InferSettings, device: str) -> Detector:
    """The detector of the settings' prompts."""
    from vodkit.detect.open_vocabulary import load_prompted  # imports torch

    pooled = settings.appearance and settings.appearance != COLOUR
    if settings.runtime not in (AUTO, "torch") or pooled:
        raise SettingsError("prompts run in torch, with --appearance colour or none")
    if settings.size != NETWORK:
        raise SettingsError(f"{settings.model} with prompts has its own input size: no --size")
    return Chosen(
        load_prompted(settings.model, settings.prompts, device=device),
        score_threshold=settings.candidate_score,
        max_detections=settings.max_detections,
        classes=settings.classes or None,
    )


def _require_device(runs_on: RunsOn) -> None:
    """SettingsError if a run that is resumed began on a GPU that does not work here."""
    if runs_on.device == CPU:
        return
    try:
        device_of(runs_on.device)
    except SettingsError as error:
        hint = "resume it where that device works, or start it again with --overwrite"
        raise SettingsError(f"the run began with {runs_on}: {error}; {hint}") from error


def detect_video(
    source: Source, detector: Detector | None = None, *, settings: InferSettings | None = None
) -> Iterator[tuple[Frame, Detections]]:
    """Detect objects in every frame of a video.

    Args:
        source: a file, a folder of pictures, a camera number, a URL.
        detector: what detects; default: the one that ``settings`` ask for. With ``temporal`` it
            should report boxes from a score of 0.01 on.
        settings: the same, with the same defaults, as of the command line. Pictures are decoded to
            the detector's size: ``InferSettings(decode="full")`` for frames to draw on.

    Yields:
        Each frame with its detections, whose boxes are in pixels of the source.

    Raises:
        VideoError: the video breaks off (path, time), after every frame before that.
    """
    settings = settings or InferSettings()
    detector = detector or make_detector(with_size(settings, [source]))
    follower = Follower(cuts=settings.cuts, memory=make_memory(settings, detector.classes))
    for frame, detections, _ in _follow_source(source, detector, follower, settings):
        yield frame, detections


def track_video(
    source: Source,
    detector: Detector | None = None,
    tracker: Tracker | None = None,
    *,
    settings: InferSettings | None = None,
) -> Iterator[tuple[Frame, Detections, Tracks]]:
    """Detect and track objects in every frame of a video.

    Args:
        source: a file, a folder of pictures, a camera number, a URL.
        detector: what detects; default: the one that ``settings`` ask for.
        tracker: a new one, for this video alone; default: the one that ``settings`` ask for.
        settings: see ``detect_video``.

    Yields:
        Each frame with its detections and tracks, whose boxes are in pixels of the source.

    Raises:
        VideoError: the video breaks off (path, time), after every frame before that.
        SettingsError: ``settings.tracker`` is none, and no tracker is given.
    """
    settings = settings or InferSettings()
    detector = detector or make_detector(with_size(settings, [source]))
    if tracker is None and not settings.tracks:
        raise SettingsError("tracker is none; allowed: a tracker, or detect_video")
    follower = make_follower(settings, detector.classes)
    if tracker is not None:
        follower = Follower(
            tracker, cuts=settings.cuts, memory=make_memory(settings, detector.classes)
        )
    for frame, detections, tracks in _follow_source(source, detector, follower, settings):
        assert tracks is not None
        yield frame, detections, tracks


def _follow_source(
    source: Source, detector: Detector, follower: Follower, settings: InferSettings
) -> Iterator[Followed]:
    with (
        open_source(source, detector, settings) as video,
        closing(follow_video(video, detector, follower, settings)) as steps,
    ):
        yield from steps


def open_source(
    source: Source,
    detector: Detector,
    settings: InferSettings,
    on_decoded: OnDecoded | None = None,
) -> Video:
    """The video, decoding in one thread where a network keeps the few cores busy by itself.

    Where few frames are detected, cores are free. ``on_decoded``: see ``open_video``.
    """
    alone = fills_the_cores(detector) and not settings.is_sparse
    return open_video(
        source,
        strict=not settings.lenient,
        picture_rate=settings.rate,
        one_thread=alone,
        on_decoded=on_decoded,
    )


def follow_video(
    video: Video, detector: Detector, follower: Follower, settings: InferSettings
) -> Generator[Followed, None, SparseReport | None]:
    """The frames of an open video with detections and tracks; the report of key frames, if any.

    Frames of a live source are detected one by one as they come: none waits for a batch.
    """
    if not settings.is_sparse:
        with closing(_detected(video, detector, settings)) as found:
            yield from follower.steps(found)
        return None
    sparse = sparse_flow(video, detector, follower, settings)
    batch = settings.batch_size or detector.batch_size
    yield from sparse.run(partial(in_stream, detector, batch_size=batch))
    return sparse.report


def _detected(
    video: Video, detector: Detector, settings: InferSettings
) -> Generator[tuple[Frame, Detections]]:
    frames = frames_for(video, detector, settings)
    if video.is_live:
        return _until_broken(frames, detector, 1)
    depth = settings.ahead
    if depth is None:
        depth = 0 if fills_the_cores(detector) else depth_here()
    batch = settings.batch_size or detector.batch_size
    return ahead(_until_broken(ahead(frames, depth), detector, batch), depth)


def frames_for(video: Video, detector: Detector, settings: InferSettings) -> Iterator[Frame]:
    """The frames of an open video that are detected in, in the size that the detector wants.

    For a detector that takes motion, all frames of the video are compared, and the frames carry
    what that gives.
    """
    size = size_px(video, detector, settings)
    motion = motion_for(detector, settings)
    if motion is None:
        return video.frames(every=settings.stride, size_px=size)
    return motion.of(video.frames(size_px=size), every=settings.stride)


def motion_for(detector: Detector, settings: InferSettings) -> Motion | None:
    """What adds motion to the frames of one video; None: the detector takes none."""
    wanted = detector.card.preprocessing
    if not wanted.motion_lags_s:
        return None
    return Motion(wanted.motion_lags_s, wanted.resized_px, cuts=settings.cuts)


def fills_the_cores(detector: Detector) -> bool:
    """Whether the network keeps all of these few cores busy by itself.

    Then decoding in several threads, or ahead of it, only takes turns with it, which costs: up to a
    third of the speed in torch, whose threads wait for each other.
    """
    return num_cores() <= _FEW_CORES and detector.runs_on.device == "cpu"


def sparse_flow(
    video: Video, detector: Detector, follower: Follower, settings: InferSettings
) -> SparseFlow:
    """The frames of an open video, of which key frames only will be detected."""
    chosen = SparseSettings()
    pace = Pace(chosen, num_frames=video.info.num_frames)
    shown = size_px(video, detector, settings)
    motion = motion_for(detector, settings)

    def wanted(index: int, time_s: float) -> bool:
        return pace.is_key(index, time_s) or shown is None or motion is not None

    frames = video.frames(size_px=shown, wanted=wanted)
    return SparseFlow(frames if motion is None else motion.of(frames), follower, pace, chosen)


def size_px(video: Video, detector: Detector, settings: InferSettings) -> tuple[int, int] | None:
    """Width and height to decode to; None: full size."""
    if settings.decode == FULL:
        return None
    return detector.decode_px(video.info.width_px, video.info.height_px)


def _until_broken(
    frames: Iterable[Frame], detector: Detector, batch_size: int
) -> Generator[tuple[Frame, Detections]]:
    """Frames through the detector; VideoError comes after the detections of all frames before."""
    broken: list[VideoError] = []

    def whole() -> Iterator[Frame]:
        try:
            yield from frames
        except VideoError as error:
            broken.append(error)

    yield from in_stream(detector, whole(), batch_size)
    if broken:
        raise broken[0]
