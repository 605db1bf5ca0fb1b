"""One video into one run folder, so that nothing is lost: the work behind `detect` and `track`.

``run_source`` is a generator: it finishes a frame and yields it, so that the caller can show
progress, or stop. What is on disk is right at every moment:

    settings.toml       what ran; --resume refuses other settings
    manifest.json       source, sha256, versions, weights and licences, how the run ended
    detections.jsonl    the detector's raw boxes (only when tracking)
    embeddings.bin      their embeddings (only with appearance)
    features.bin        their features (only with a temporal head that uses some)
    predictions.jsonl   the result
    events.jsonl        what happened to the tracks (infer/events.py)
    tracker.npz         the tracker's state at the end (infer/handover.py)

A run that was killed is resumed by replay (docs/decisions/0006): recorded detections are fed to a
fresh tracker, and only frames that are not in ``predictions.jsonl`` yet are appended.
"""

from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import ExitStack, closing
from dataclasses import asdict, dataclass, replace
from glob import glob
from pathlib import Path

from vodkit.detect.base import Detector
from vodkit.formats.embeddings import EmbeddingFile
from vodkit.formats.predictions import Header, PredictedFrame, PredictionWriter, read_frames
from vodkit.ground import runs
from vodkit.ground.errors import FormatError, OutputError, PartialError, SettingsError, VideoError
from vodkit.ground.lookup import named_like
from vodkit.ground.records import Detections, Frame, Tracks
from vodkit.infer.event import Event
from vodkit.infer.event_log import SOURCE_ENDED, SessionEvents, continued_objects
from vodkit.infer.filming import OnePass
from vodkit.infer.flow import follow_video, open_source
from vodkit.infer.folder import ANEW, RunFolder
from vodkit.infer.follow import Followed, Follower, make_follower
from vodkit.infer.handover import keep_state
from vodkit.infer.manifest import Ended, Manifest, describe
from vodkit.infer.recording import Recording, row_files
from vodkit.infer.settings import OFF, InferSettings
from vodkit.infer.summary import Tally
from vodkit.video.decoding import require_container
from vodkit.video.pictures import SUFFIXES, pictures_in
from vodkit.video.reader import Video, open_video

Record = Callable[[str, RunFolder, Detector, InferSettings], int]
"""writes detections of a source into its folder, as ``fleet.pieces``; the last frame before"""


@dataclass(frozen=True)
class Step:
    """One frame of a run, done and on disk."""

    frame: Frame
    found: Detections | Tracks
    num_done: int
    num_total: int | None
    """None where the container does not say"""
    events: tuple[Event, ...] = ()
    """what is certain with this frame"""


def check_sources(sources: Sequence[str]) -> None:
    """Refuse a path that does not exist before any work (streams are tried later)."""
    for source in sources:
        path = Path(source)
        is_path = "://" not in source and not source.isdigit()
        is_pattern = bool(set("*?[") & set(source))
        if is_path and not path.exists() and not (is_pattern and glob(source)):  # noqa: PTH207
            also = ", and as a pattern it matches none" if is_pattern else named_like(path)
            raise VideoError(f"no such file or folder{also}", path=source)
        if source != source.encode(errors="replace").decode():
            raise VideoError("its name is not UTF-8, as results are; rename it", path=source)
        if path.exists() and not (path.is_file() or path.is_dir()):
            allowed = "allowed: a file, which is read twice, a folder, a camera's number, a URL"
            raise VideoError(f"is a pipe, a socket or a device; {allowed}", path=source)


def check_after(settings: InferSettings, folders: Sequence[Path]) -> None:
    """Refuse to continue a run that kept no fitting tracker, or one in ``folders`` itself."""
    if not settings.after:
        return
    before = Path(settings.after)
    if before.resolve() in {folder.resolve() for folder in folders}:
        raise SettingsError(f"after is {before}, where results are to go; give the run before")
    make_follower(settings)
    continued_objects(settings)


def require_frames(source: str, settings: InferSettings) -> None:
    """VideoError where not even one frame can be decoded: before results are discarded."""
    with open_video(source, strict=not settings.lenient, picture_rate=settings.rate) as video:
        next(video.frames(), None)


def require_video(source: str) -> None:
    """VideoError where a source is no video or holds no picture: no frame is read.

    Args:
        source: a path that exists.
    """
    path = Path(source)
    if path.is_file() and path.suffix.lower() not in SUFFIXES:
        require_container(path)
    elif path.is_dir() and not pictures_in(path):
        with open_video(path):
            pass  # raises


def is_done(
    source: str,
    folder: RunFolder,
    detector: Detector,
    settings: InferSettings,
    *,
    notify: Callable[[str], None],
) -> bool:
    """Whether the run to resume has nothing left to do; OutputError where it is another one.

    ``notify`` is called with a note on tracks that exist and have to be made anew.
    """
    is_whole = folder.is_complete()
    if not is_whole and not settings.after:
        return False
    manifest = describe(source, detector, settings)
    if _follows_another(folder, manifest):
        notify(f"the run that {folder.path} follows was processed again, so its tracks are, too")
        return False
    if is_whole:
        folder.refuse_other_run(manifest)
    return is_whole


def run_source(
    source: str | Path,
    folder: RunFolder | str | Path,
    detector: Detector,
    settings: InferSettings,
    *,
    record: Record | None = None,
    film: OnePass | None = None,
    continues: bool = False,
) -> Iterator[Step]:
    """Detect (and track) one source into a prepared folder, yielding each finished frame.

    Args:
        source: a file, a folder of pictures, ...
        folder: see ``RunFolder.prepare``.
        detector: see ``flow.make_detector``.
        settings: what to do; resolved, they are kept in the folder.
        record: records detections before the video is read in order; default: nothing does.
        film: is drawn on the way; where it is not over at the end, draw it from the file.
        continues: the recording continues in another file, so no object ends with this one.

    Raises:
        PartialError: the video broke off after some frames (they are on disk), or some of its
            frames could not be decoded.
        VideoError: not even one frame could be decoded.
    """
    folder = folder if isinstance(folder, RunFolder) else RunFolder(folder)
    with folder.claim():
        how = {"record": record, "film": film, "continues": continues}
        yield from _run(str(source), folder, detector, settings, **how)  # type: ignore[arg-type]


def _run(
    source: str,
    folder: RunFolder,
    detector: Detector,
    settings: InferSettings,
    *,
    record: Record | None,
    film: OnePass | None,
    continues: bool,
) -> Iterator[Step]:
    manifest = describe(source, detector, settings)
    if _is_repaired(folder, manifest):
        require_frames(source, settings)
        folder.discard()
    if _follows_another(folder, manifest):
        # Detections do not depend on the tracks before, unless these choose the key frames.
        folder.discard(but=() if settings.is_sparse else runs.RECORDED)
    folder.refuse_other_run(manifest)
    folder.write_settings(settings, detector)
    _write(folder, manifest)
    run = _Run(folder, detector, settings, manifest, film=film, continues=continues)
    if record is not None:
        run.last_known = record(source, folder, detector, settings)
    num_lost = 0
    try:
        seen = None if film is None else film.decoded
        with open_source(source, detector, settings, seen) as video:
            yield from run.steps(video)
            num_lost, run.notes = video.num_lost, video.notes
    except VideoError as error:
        num_done = run.finish(Ended.BROKEN, str(error))
        if not num_done:
            raise
        raise PartialError(f"{error} (kept {num_done} frames before it)") from error
    lost = f"{num_lost} frames could not be decoded"
    run.finish(Ended.PARTIAL if num_lost else Ended.COMPLETE, lost if num_lost else "")
    if num_lost:
        raise PartialError(f"{source}: {lost}; the others are done")


def header_of(
    source: str, video: Video, detector: Detector, settings: InferSettings, *, raw: bool = False
) -> Header:
    """The first line of a run's predictions.

    Args:
        source: as in the manifest.
        video: open.
        detector: of the run.
        settings: of the run.
        raw: of the detector's boxes, before tracking and averaging.
    """
    tracks = settings.tracks and not raw
    delayed = (settings.is_sparse or settings.is_delayed) and not raw
    return Header(
        source=source,
        classes=detector.classes,
        info=video.info,
        detector=detector.card.name,
        tracker=settings.tracker if tracks else "",
        mode="near-online" if delayed else "online",
    )


def recorded_in(settings: InferSettings) -> str:
    """The file of a run folder that the detector's boxes are recorded in."""
    return runs.DETECTIONS if _is_derived(settings) else runs.PREDICTIONS


class _Run:
    """One run at work: its files, its counts, its end."""

    def __init__(
        self,
        folder: RunFolder,
        detector: Detector,
        settings: InferSettings,
        manifest: Manifest,
        *,
        film: OnePass | None,
        continues: bool,
    ) -> None:
        self._film, self._continues = film, continues
        self._end_s = 0.0
        self._folder, self._detector, self._settings = folder, detector, settings
        self._manifest = manifest
        self._tally = Tally()
        self._last: Frame | None = None
        self.notes: tuple[str, ...] = ()
        """of the video; complete at its end"""
        self.last_known: int | None = None
        """last frame that was done before this run; None: the last one in its files"""

    def steps(self, video: Video) -> Iterator[Step]:
        """Each frame, done."""
        total = video.info.num_frames
        total = None if total is None else -(-total // self._settings.stride)
        with ExitStack() as files:
            out, recording = self._open(files, video)
            last_known = out.last_frame
            if self.last_known is not None:
                last_known = min(last_known, self.last_known)
            if self._film is not None:
                self._film.begin(out.header)
                files.callback(self._film.close)
            steps = _written(self._followed(video, recording), out, _is_derived(self._settings))
            files.enter_context(closing(steps))  # its threads end before the files are closed
            for num_done, step, events in self._with_events(files, steps, out):
                frame, detections, tracks = step
                self._last = frame
                found = detections if tracks is None else tracks
                done = PredictedFrame(frame.index, frame.time_s, found)
                self._tally.add(
                    done, fresh=frame.index > last_known, truncated=detections.truncated
                )
                if self._film is not None:
                    self._film.step(done)
                yield Step(frame, found, num_done, total, events)
            if self._film is not None:
                self._film.end()

    def _with_events(
        self, files: ExitStack, steps: Iterator[Followed], out: PredictionWriter
    ) -> Iterator[tuple[int, Followed, tuple[Event, ...]]]:
        """Steps with their number and their events, which are on disk by then."""
        before = continued_objects(self._settings)
        events = SessionEvents(out.header, self._settings, before=before)
        files.callback(events.close)
        if self._settings.tracks:
            events.begin_file(out.path)
        try:
            for num_done, step in enumerate(steps, 1):
                frame, _, tracks = step
                found = () if tracks is None else events.step(frame.index, frame.time_s, tracks)
                yield num_done, step, found
        except VideoError:
            self._end_events(events)
            raise
        self._end_events(events)

    def _end_events(self, events: SessionEvents) -> None:
        if self._continues and self._last is not None:
            events.pause(self._end_s)
        else:
            events.end(SOURCE_ENDED)

    def finish(self, ended: Ended, reason: str) -> int:
        """Record how the run ended; how many frames are done."""
        summary = self._tally.summary(self._detector.classes, str(self._detector.runs_on))
        done = replace(self._manifest, num_frames=summary.num_frames, summary=asdict(summary))
        done = replace(done, notes=self.notes)
        _write(self._folder, replace(done, ended=ended, reason=reason))
        return summary.num_frames

    def _open(self, files: ExitStack, video: Video) -> tuple[PredictionWriter, Recording]:
        """What is on disk already, ready to grow: the result, and the detections."""
        settings = self._settings
        header = header_of(self._manifest.source, video, self._detector, settings)
        path = self._folder / runs.PREDICTIONS
        out = raw = files.enter_context(PredictionWriter(path, header, resume=True))
        if _is_derived(settings):
            raw_header = header_of(self._manifest.source, video, self._detector, settings, raw=True)
            raw = PredictionWriter(self._folder / runs.DETECTIONS, raw_header, resume=True)
            files.enter_context(raw)
        rows = {
            name: files.enter_context(EmbeddingFile(self._folder / file))
            for name, file in row_files(settings).items()
        }
        return out, Recording(raw, rows, self._detector)

    def _followed(self, video: Video, recording: Recording) -> Generator[Followed]:
        """Frames with their tracks, then the tracker's state is put into the folder.

        It is also put there when the video breaks off: the recording may continue in another file.
        """
        motion_log = self._folder / runs.CAMERA_MOTION
        follower = make_follower(self._settings, self._detector.classes, motion_log=motion_log)
        try:
            with closing(follow_video(video, recording, follower, self._settings)) as steps:
                report = yield from steps
        except VideoError:
            self._keep_tracker(follower, video)
            raise
        recording.require_all_used(self._last)
        self._keep_tracker(follower, video)
        if self._settings.cuts and _is_derived(self._settings):
            self._manifest = replace(self._manifest, num_cuts=follower.num_cuts)
        if report is not None:
            self._manifest = replace(self._manifest, sparse=asdict(report))

    def _keep_tracker(self, follower: Follower, video: Video) -> None:
        last, info = self._last, video.info
        if last is None or follower.tracker is None:
            return
        unseen = 0 if info.num_frames is None else info.num_frames - 1 - last.index
        self._end_s = last.time_s + float((1 + max(unseen, 0)) / info.rate)
        keep_state(self._folder.path, follower.tracker, follower.memory, end_s=self._end_s)


def _is_derived(settings: InferSettings) -> bool:
    """Whether the result is made of the recorded detections, and not these themselves."""
    return settings.tracks or settings.temporal != OFF


def _written(
    steps: Generator[Followed], out: PredictionWriter, derived: bool
) -> Generator[Followed]:
    """The steps, on disk; what was there already is not written again."""
    there = read_frames(out.path) if out.last_frame >= 0 else iter(())
    with closing(steps):
        for step in steps:
            frame = step.frame
            if not derived:
                pass  # the recording has written the detections
            elif frame.index > out.last_frame:
                out.write(frame.index, frame.time_s, step.found)
            elif (index := next(there).index) != frame.index:
                message = f"has frame {index} where frame {frame.index} should be; {ANEW}"
                raise OutputError(message, path=out.path)
            yield step


def _write(folder: RunFolder, manifest: Manifest) -> None:
    runs.write_json(folder / runs.MANIFEST, manifest.to_json())


def _manifest_or_none(folder: RunFolder) -> Manifest | None:
    """The manifest; None where it is damaged, which ``refuse_other_run`` reports."""
    try:
        return folder.manifest()
    except FormatError:
        return None


def _is_repaired(folder: RunFolder, manifest: Manifest) -> bool:
    """Whether the run here failed for its video, which alone is another file since."""
    there = _manifest_or_none(folder)
    if there is None or there.source_sha256 == manifest.source_sha256:
        return False
    same_but_for_it = replace(manifest, source_sha256=there.source_sha256)
    failed = there.ended in (Ended.BROKEN, Ended.PARTIAL)
    return failed and not there.difference(same_but_for_it)


def _follows_another(folder: RunFolder, manifest: Manifest) -> bool:
    """Whether the run here continued other tracks than there are now, and else is the same.

    The run of the file before was made anew then, as of a file that was damaged and is repaired.
    """
    there = _manifest_or_none(folder)
    if there is None or not there.after_sha256 or not manifest.after_sha256:
        return False
    same_but_for_it = replace(manifest, after_sha256=there.after_sha256)
    other = there.after_sha256 != manifest.after_sha256
    return other and not there.difference(same_but_for_it)
