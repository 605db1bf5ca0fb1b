"""One video into one run folder, so that nothing is lost: the work behind `detect` and `track`.

``run_source`` is a generator: it does the work of a frame and gives it out, so that whoever
iterates can show progress, or stop. What is on disk is right at every moment:

    settings.toml       the effective settings; --resume refuses to go on under others
    manifest.json       source, sha256, versions, weights and licences, how the run ended
    detections.jsonl    the detector's raw boxes (only when tracking)
    embeddings.bin      what they look like (only with appearance)
    predictions.jsonl   the result
    tracker.npz         what the tracker knew at the end (infer/handover.py)

A run that was killed goes on by replay (docs/decisions/0006): recorded detections are fed to a
fresh tracker, and only frames that are not in ``predictions.jsonl`` yet are appended.
"""

from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import ExitStack, closing
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

from vodkit.detect.base import Detector, in_stream
from vodkit.detect.embed import WithLooks, is_pooled, load_crops, threshold_of
from vodkit.detect.models import load_detector
from vodkit.detect.runtimes.choice import AUTO
from vodkit.detect.tiles import TiledDetector, TileSettings
from vodkit.formats.embeddings import EmbeddingFile
from vodkit.formats.predictions import Header, PredictionWriter, read_frames
from vodkit.ground import runs, settings
from vodkit.ground.errors import OutputError, PartialError, SettingsError, VideoError
from vodkit.ground.records import Detections, Frame, Tracks
from vodkit.infer.exports import discard, made_in
from vodkit.infer.flow import FlowSettings, decodes_alone, follow, look, sparse_flow
from vodkit.infer.handover import Continuing, keep_tracker, tracker_in
from vodkit.infer.recording import Recording
from vodkit.track.appearance import colour_embeddings
from vodkit.track.base import Tracker
from vodkit.track.table import has_setting, make_tracker
from vodkit.video.fingerprint import digest
from vodkit.video.reader import Video, open_video

NO_TRACKER = "none"
COLOUR = "colour"
_ANEW = "--overwrite starts anew, as does deleting the folder"
COMPLETE = "complete"  # how a run ended; of others the first word
_BROKEN, _PARTIAL = "broken", "partial"
_MADE_FROM = ("source_sha256", "model", "appearance", "after_sha256")


@dataclass(frozen=True, kw_only=True)
class JobSettings:
    """Everything that can change a result; saved as settings.toml."""

    model: str = "vodkit-street"
    """name of a model (``vodkit models``), or path of a checkpoint or graph"""
    tracker: str = "vodkit"
    """name of a tracker, or ``none`` for detections only"""
    tracker_settings: tuple[str, ...] = ()
    """``name=value`` words for the tracker"""
    score_threshold: float = 0.05
    """detections below are not kept; trackers have thresholds of their own above this"""
    runtime: str = "auto"
    """what runs the network: auto, or a name in ``detect.runtimes.table.RUNTIMES``"""
    device: str = "auto"
    """auto, cpu, cuda"""
    tiles: str = ""
    """look at tiles for small objects: ``auto``, or columns x rows as ``3x2``; empty: do not"""
    appearance: str | None = None
    """what detections look like, for the tracker, and kept for ``refine``: ``colour``, ``roi`` (the
    detector's own features), a head trained for the detector, or a network for crops; none: what
    the tracker itself looks at"""
    after: str | None = None
    """run folder of the file of the recording that came before: its tracks go on in this one"""
    flow: FlowSettings = field(default_factory=lambda: FlowSettings(full_size=False))

    def __post_init__(self) -> None:
        """Check the threshold, and that tracker settings have a tracker."""
        if not 0 <= self.score_threshold < 1:
            raise SettingsError(f"score_threshold is {self.score_threshold}; allowed: 0 up to 1")
        if self.tiles:
            TileSettings(grid=self.tiles)
        if self.tracker == NO_TRACKER and self.flow.sparse:
            raise SettingsError("sparse needs a tracker: it fills the frames between key frames")
        if self.tracker == NO_TRACKER and self.after:
            raise SettingsError(f"tracker is none, but tracks of {self.after} are to go on")
        if self.tracker == NO_TRACKER and self.tracker_settings:
            raise SettingsError(f"tracker is none, but has settings {self.tracker_settings}")


def looks_at_crops(appearance: str | None) -> bool:
    """Whether embeddings come from a network for crops, which wants frames in full size."""
    return bool(appearance) and appearance != COLOUR and not is_pooled(str(appearance))


def make_detector(
    wanted: JobSettings, *, begun_in: Sequence[Path] = (), classes: Sequence[str] | None = None
) -> Detector:
    """The detector that a job asks for: in tiles or not, with embeddings or not.

    ``begun_in``: run folders to go on with; what the runtime ``auto`` was there it is now, so that
    the rest cannot differ by rounding. ``classes``: keep only these.
    """
    looks, network = wanted.appearance, _as_begun(wanted, begun_in)
    crops, pooled = looks_at_crops(looks), bool(looks) and looks != COLOUR
    pooled = pooled and not crops
    if pooled and wanted.tiles:
        allowed = f"{COLOUR}, or a network for crops"
        raise SettingsError(f"tiles with appearance {looks}: views differ; allowed: {allowed}")
    detector: Detector = load_detector(
        wanted.model,
        runtime=network.runtime,
        score_threshold=wanted.score_threshold,
        device=network.device,
        classes=classes,
        appearance=str(looks) if pooled else "",
    )
    if wanted.tiles:
        detector = TiledDetector(detector, TileSettings(grid=wanted.tiles))
    if looks == COLOUR:
        return WithLooks(detector, colour_embeddings)
    if crops:
        look = load_crops(Path(str(looks)), runtime=wanted.runtime, device=wanted.device)
        return WithLooks(detector, look)
    return detector


def _as_begun(wanted: JobSettings, begun_in: Sequence[Path]) -> JobSettings:
    """With the runtime and device that the manifests of runs to go on with tell, if it is auto.

    SettingsError where unfinished runs of one call have begun with different ones.
    """
    if wanted.runtime != AUTO:
        return wanted
    there = [folder for folder in begun_in if not is_complete(folder)]
    told = {ran_on for folder in there if (ran_on := _ran_on(folder))}
    if len(told) > 1:
        seen = f"runtime is auto, but the runs to go on with began with {sorted(told)}"
        raise SettingsError(f"{seen}; go on with one at a time")
    if not told:
        return wanted
    runtime, _, device = told.pop().partition(" on ")
    return replace(wanted, runtime=runtime, device=device)


def _ran_on(folder: Path) -> str:
    """What the manifest of a run tells, as ``openvino on cpu``; empty: nothing."""
    told = str(runs.manifest_in(folder).get("runtime", ""))
    return told if told.count(" on ") == 1 else ""


@dataclass(frozen=True)
class Step:
    """One frame of a run, done and on disk."""

    frame: Frame
    found: Detections | Tracks
    num_done: int
    num_total: int | None
    """None where the container does not say"""


def folder_names(sources: list[str]) -> list[str]:
    """A folder name for each source: its stem, numbered where two are alike.

    >>> folder_names(["a/x.mp4", "b/x.mp4", "rtsp://10.0.0.1/cam?user=1"])
    ['x', 'x-2', 'cam']
    >>> folder_names(["clip-2.mp4", "clip.mp4", "old/clip.mp4"])
    ['clip-2', 'clip', 'clip-3']
    >>> folder_names([".", "..", ".hidden.mp4"])
    ['source', 'source-2', 'hidden']
    """
    names: list[str] = []
    for source in sources:
        last = source.split("?")[0].rstrip("/").replace("\\", "/").split("/")[-1]
        stem = last.rsplit(".", 1)[0] if "." in last[1:] else last
        safe = "".join(c if c.isalnum() or c in "-_." else "_" for c in stem).strip(".") or "source"
        number = next(n for n in count(1) if _numbered(safe, n) not in names)
        names.append(_numbered(safe, number))
    return names


def _numbered(name: str, number: int) -> str:
    return name if number == 1 else f"{name}-{number}"


def check_sources(sources: list[str]) -> None:
    """Refuse a path that is not there before any work begins (streams and patterns are tried)."""
    for source in sources:
        path = Path(source)
        is_path = "://" not in source and not source.isdigit() and not set("*?[") & set(source)
        if is_path and not path.exists():
            raise VideoError("no such file or folder", path=source)
        if source != source.encode(errors="replace").decode():
            raise VideoError("its name is not UTF-8, as results are; rename it", path=source)
        if path.exists() and not (path.is_file() or path.is_dir()):
            allowed = "allowed: a file, which is read twice, a folder, a camera's number, a URL"
            raise VideoError(f"is a pipe, a socket or a device; {allowed}", path=source)


def check_after(wanted: JobSettings, folders: list[Path]) -> None:
    """Refuse to go on after a run that kept no fitting tracker, or one in ``folders`` itself."""
    if wanted.after is None:
        return
    before = Path(wanted.after)
    if before.resolve() in {folder.resolve() for folder in folders}:
        raise SettingsError(f"after is {before}, where results are to go; give the run before")
    Continuing(make_tracker(wanted.tracker, wanted.tracker_settings), before)


def look_at(source: str, wanted: JobSettings) -> None:
    """VideoError where not even one frame can be decoded: asked before results are thrown away."""
    with open_video(source, strict=wanted.flow.strict) as video:
        next(video.frames(), None)


def check_folder(
    folder: Path, wanted: JobSettings, *, resume: bool = False, overwrite: bool = False
) -> bool:
    """Whether there is a run to go on with in a folder, which is made; nothing in it is touched.

    Raises OutputError when another process works there, or results are there and neither is asked
    for, or they are no run's of this kind, and SettingsError when the tracker or its settings do
    not exist, or the settings of the run there differ.
    """
    if wanted.tracker != NO_TRACKER:
        make_tracker(wanted.tracker, wanted.tracker_settings)
    with runs.only_one(runs.make_folder(folder)):
        pass  # nobody else works here
    if all(path.name.startswith(".") for path in made_in(folder)):
        return False
    if overwrite:
        there = runs.manifest_in(folder)
        if there and "source" not in there:
            message = "holds what another command made (its manifest names no video)"
            raise OutputError(f"{message}; take another folder", path=folder)
        return False
    if not resume:
        message = "has results of a run; --resume goes on with it, --overwrite starts anew"
        raise OutputError(message, path=folder)
    if not (folder / runs.SETTINGS).exists():
        message = f"has results of a run, but no {runs.SETTINGS} that says how they were made"
        raise OutputError(f"{message}; {_ANEW}", path=folder)
    _refuse_other_settings(folder / runs.SETTINGS, settings.to_toml(wanted))
    return True


def prepare_folder(
    folder: Path, wanted: JobSettings, *, resume: bool = False, overwrite: bool = False
) -> None:
    """Make the run folder, or check that the run in it may go on; see ``check_folder``."""
    if check_folder(folder, wanted, resume=resume, overwrite=overwrite):
        return
    with runs.only_one(folder):
        start_anew(folder, wanted)


def start_anew(folder: Path, wanted: JobSettings) -> None:
    """Nothing but the settings is in the run folder then."""
    discard(folder)
    runs.write_atomic(folder / runs.SETTINGS, settings.to_toml(wanted))


def _refuse_other_settings(there: Path, text: str) -> None:
    old = set(there.read_text(encoding="utf-8", errors="replace").splitlines())
    new = set(text.splitlines())
    if old != new:
        seen, wanted = sorted(old - new), sorted(new - old)
        message = f"{there}: the run to go on with has {seen}, now asked for: {wanted}"
        raise SettingsError(f"{message}; give the same settings, or --overwrite")


def is_complete(folder: Path) -> bool:
    """Whether a run in this folder ended with everything done, and all of its lines are there."""
    there = runs.manifest_in(folder)
    path = folder / runs.PREDICTIONS
    if there.get("ended") != COMPLETE or not path.exists():
        return False
    with path.open("rb") as file:
        return sum(1 for _ in file) - 1 == there.get("num_frames")


def is_done(
    source: str,
    folder: Path,
    detector: Detector,
    wanted: JobSettings,
    *,
    tell: Callable[[str], None],
) -> bool:
    """Whether the run to go on with has nothing left to do; OutputError where it is another one.

    ``tell`` hears of tracks that are there and have to be done anew.
    """
    is_whole = is_complete(folder)
    manifest = describe(source, detector, wanted) if is_whole or wanted.after else {}
    if follows_another(folder, manifest):
        tell(f"the run that {folder} follows was done anew, and so are its tracks")
        return False
    if is_whole:
        refuse_other_source(folder, manifest)
    return is_whole


def run_source(
    source: str, folder: Path, detector: Detector, wanted: JobSettings
) -> Iterator[Step]:
    """Detect (and track) one source into a prepared folder, giving out each finished frame.

    Raises PartialError when the video broke off after some frames (they are on disk), and
    VideoError when not even one could be decoded.
    """
    with runs.only_one(folder):
        yield from _run(source, folder, detector, wanted)


def _run(source: str, folder: Path, detector: Detector, wanted: JobSettings) -> Iterator[Step]:
    manifest = describe(source, detector, wanted)
    if is_mended(folder, manifest):
        look_at(source, wanted)
        discard(folder)
    if follows_another(folder, manifest):
        # What was detected does not depend on the tracks before, but where they choose the frames.
        discard(folder, but=() if wanted.flow.sparse else (runs.DETECTIONS, runs.EMBEDDINGS))
    refuse_other_source(folder, manifest)
    last: Step | None = None
    num_lost = 0
    runs.write_json(folder / runs.MANIFEST, {**manifest, "ended": "running or killed"})
    alone = decodes_alone(detector, wanted.flow)
    try:
        with open_video(source, strict=wanted.flow.strict, one_thread=alone) as video:
            for last in _steps(video, folder, detector, wanted, manifest):
                yield last
            num_lost = video.num_lost
    except VideoError as error:
        _finish(folder, manifest, last, ended=f"{_BROKEN} off: {error}")
        if last is None:
            raise
        raise PartialError(f"{error} (kept {last.num_done} frames before it)") from error
    if num_lost:
        ended = f"{_PARTIAL}: {num_lost} frames could not be decoded"
        _finish(folder, manifest, last, ended=ended)
        raise PartialError(f"{source}: {num_lost} frames could not be decoded; the rest is done")
    _finish(folder, manifest, last, ended=COMPLETE)


def _steps(
    video: Video, folder: Path, detector: Detector, wanted: JobSettings, about: dict[str, Any]
) -> Iterator[Step]:
    """Each frame, done; ``about`` is the manifest, which learns how it was done."""
    tracker_name = "" if wanted.tracker == NO_TRACKER else wanted.tracker
    header = Header(
        source=about["source"],
        classes=detector.classes,
        info=video.info,
        detector=detector.card.name,
        tracker=tracker_name,
        mode="near-online" if wanted.flow.sparse else "online",
    )
    total = video.info.num_frames
    total = None if total is None else -(-total // wanted.flow.every)
    with ExitStack() as files:
        out = files.enter_context(PredictionWriter(folder / runs.PREDICTIONS, header, resume=True))
        raw = out
        if tracker_name:
            raw_header = replace(header, tracker="", mode="online")
            raw = PredictionWriter(folder / runs.DETECTIONS, raw_header, resume=True)
            files.enter_context(raw)
        looks = None
        if wanted.appearance:
            looks = files.enter_context(EmbeddingFile(folder / runs.EMBEDDINGS))
        recording = Recording(raw, looks, detector)
        if tracker_name:
            flow = _written(_tracked(video, recording, folder, wanted, about), out)
        else:
            flow = _detected(video, recording, wanted.flow)
        files.enter_context(closing(flow))  # its threads end before the files are closed
        for num_done, (frame, found) in enumerate(flow, 1):
            yield Step(frame, found, num_done, total)


def _written(
    flow: Generator[tuple[Frame, Tracks]], out: PredictionWriter
) -> Generator[tuple[Frame, Detections | Tracks]]:
    """The frames of ``flow``, on disk; those that were there already are not written again."""
    there = read_frames(out.path) if out.last_frame >= 0 else iter(())
    with closing(flow):
        for frame, tracks in flow:
            if frame.index > out.last_frame:
                out.write(frame.index, frame.time_s, tracks)
            elif (index := next(there).index) != frame.index:
                message = f"has frame {index} where frame {frame.index} should be; {_ANEW}"
                raise OutputError(message, path=out.path)
            yield frame, tracks


def _detected(
    video: Video, recording: Recording, flow: FlowSettings
) -> Generator[tuple[Frame, Detections | Tracks]]:
    """The frames of ``video`` with what is in them, on disk by ``recording``."""
    frame: Frame | None = None
    with closing(look(video, recording, flow)) as found:
        for frame, detections in found:
            yield frame, detections
    recording.require_all_used(frame)


def _tracked(
    video: Video, recording: Recording, folder: Path, wanted: JobSettings, about: dict[str, Any]
) -> Generator[tuple[Frame, Tracks]]:
    """Frames with their tracks, then what the tracker knows is put into ``folder``.

    It is also put there when the video breaks off: the recording may go on in the next file.
    ``about`` takes what the manifest will tell of how.
    """
    tracker = make_tracker(wanted.tracker, tracker_words(wanted))
    if wanted.after is not None:
        tracker = Continuing(tracker, Path(wanted.after))
    frame: Frame | None = None
    try:
        with closing(_flow(video, recording, tracker, wanted.flow, about)) as steps:
            for frame, tracks in steps:
                yield frame, tracks
    except VideoError:
        _keep_tracker(folder, tracker, video, frame)
        raise
    recording.require_all_used(frame)
    _keep_tracker(folder, tracker, video, frame)


def _keep_tracker(folder: Path, tracker: Tracker, video: Video, last: Frame | None) -> None:
    if last is None:
        return
    unseen = 0 if video.info.num_frames is None else video.info.num_frames - 1 - last.index
    end_s = last.time_s + float((1 + max(unseen, 0)) / video.info.rate)
    keep_tracker(folder, tracker, end_s=end_s)


def _flow(
    video: Video, recording: Recording, tracker: Tracker, flow: FlowSettings, about: dict[str, Any]
) -> Generator[tuple[Frame, Tracks]]:
    if flow.sparse:
        sparse = sparse_flow(video, recording, tracker, flow)
        yield from sparse.run(partial(in_stream, recording, batch_size=flow.batch_size))
        about["sparse"] = asdict(sparse.report)
    else:
        found = look(video, recording, flow)
        for frame, _, tracks in follow(found, tracker, cuts=flow.cuts):
            yield frame, tracks


def tracker_words(wanted: JobSettings) -> tuple[str, ...]:
    """The settings for the tracker; before the user's own, how alike embeddings of one object are.

    A trained head knows that of itself (its card's ``threshold``).
    """
    if not wanted.appearance or wanted.appearance == COLOUR:
        return wanted.tracker_settings
    likeness = threshold_of(wanted.appearance)
    if likeness is None or not has_setting(wanted.tracker, "min_likeness"):
        return wanted.tracker_settings
    return (f"min_likeness={likeness}", *wanted.tracker_settings)


def describe(source: str, detector: Detector, wanted: JobSettings) -> dict[str, Any]:
    """What a manifest says of a run before it begins: source, weights, licences, versions."""
    path, card = Path(source), detector.card
    looks = None if wanted.appearance is None else Path(wanted.appearance)
    weights = None if looks is None or not looks.is_file() else runs.sha256(looks)
    appearance = {} if looks is None else {"name": wanted.appearance, "sha256": weights}
    before = None if wanted.after is None else digest(tracker_in(Path(wanted.after)))
    return {
        "source": source,
        "source_sha256": digest(path),
        "model": {
            "name": card.name,
            "licence": card.licence,
            "sha256": card.sha256 or None,
            "classes": list(detector.classes),
        },
        **({"appearance": appearance} if appearance else {}),
        **({"after_sha256": before} if before else {}),
        "runtime": str(getattr(detector, "runtime", "")),
        "versions": runs.stack(),
    }


def other_run_in(folder: Path, manifest: dict[str, Any]) -> str:
    """How the run in a folder differs in video or weights; empty where it does not, or is none."""
    if not (folder / runs.MANIFEST).exists():
        return ""
    there = runs.manifest_in(folder)
    if not there:
        return "its manifest is damaged"
    for name in _MADE_FROM:
        if there.get(name) != manifest.get(name):
            return f"{name} is {there.get(name)} there and {manifest.get(name)} now"
    return ""


def is_mended(folder: Path, manifest: dict[str, Any]) -> bool:
    """Whether the run in a folder failed for its video, which alone is another file since."""
    there = runs.manifest_in(folder)
    old = there.get("source_sha256")
    failed = str(there.get("ended")).startswith((_BROKEN, _PARTIAL))
    if not there or old == manifest["source_sha256"]:
        return False
    return failed and not other_run_in(folder, {**manifest, "source_sha256": old})


def follows_another(folder: Path, manifest: dict[str, Any]) -> bool:
    """Whether the run in a folder took over other tracks than there are now, and else is the same.

    The file of the recording before it was done anew then, as one that was damaged and is mended.
    """
    old, new = (one.get("after_sha256") for one in (runs.manifest_in(folder), manifest))
    same_but_for_it = {**manifest, "after_sha256": old}
    return bool(old and new) and old != new and not other_run_in(folder, same_but_for_it)


def holds_other_runs(place: Path, sources: list[str], wanted: JobSettings) -> bool:
    """Whether any run folder of these sources is of another video or other weights."""
    if not place.exists():
        return False
    detector = make_detector(wanted)
    pairs = zip(folder_names(sources), sources, strict=True)
    return any(other_run_in(place / name, describe(one, detector, wanted)) for name, one in pairs)


def refuse_other_source(folder: Path, manifest: dict[str, Any]) -> None:
    """Going on with another video or other weights would mix two results silently."""
    seen = other_run_in(folder, manifest)
    if seen:
        message = f"is of another run: {seen}; {_ANEW}"
        raise OutputError(message, path=folder / runs.MANIFEST)


def _finish(folder: Path, manifest: dict[str, Any], last: Step | None, *, ended: str) -> None:
    num_done = 0 if last is None else last.num_done
    runs.write_json(folder / runs.MANIFEST, {**manifest, "num_frames": num_done, "ended": ended})
