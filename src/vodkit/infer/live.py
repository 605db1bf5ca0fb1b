"""Live sources, for days: many at once, outputs rolled over, latency known, memory flat.

One loop serves all sources: each turn takes at most one new frame of each source, detects in these
frames together, and passes the detections to each source's own follower. So no source starves
another, and the network works in batches. Frames are the newest ones; dropped ones are counted.

A source that fails for good ends alone; the others continue. What is on disk is always right::

    predictions.jsonl             or, rolled over, predictions-0001.jsonl, -0002, ...; a resumed run
                                  begins a new file, since nothing was detected in between
    events.jsonl                  one beside each file of predictions
    manifest.json                 versions and licences; frames, drops, latency so far
    settings.toml                 what runs

The notes in the header of each file contain its session, its part, and when (UTC) its first frame
came: frames, times and ids of a session begin anew.
"""

import threading
from collections import deque
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import cached_property
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np

from vodkit.detect.base import Detector
from vodkit.formats.predictions import Header, PredictionWriter, last_complete_frame
from vodkit.ground import runs
from vodkit.ground.errors import OutputError, PartialError, SettingsError, VideoError
from vodkit.ground.records import Detections, Frame, Tracks
from vodkit.ground.text import redacted
from vodkit.ground.waiting import wait_until
from vodkit.infer.event import Event
from vodkit.infer.event_log import SESSION_ENDED, SessionEvents, anchor_of, last_n
from vodkit.infer.exports import export
from vodkit.infer.flow import motion_for
from vodkit.infer.folder import RunFolder
from vodkit.infer.follow import make_follower
from vodkit.infer.manifest import Ended, Manifest, describe
from vodkit.infer.replay import complete
from vodkit.infer.settings import FULL, InferSettings, RollSettings
from vodkit.video.reader import is_live
from vodkit.video.stream import Arrived, LiveSettings, LiveVideo

_SESSION = ("began", "num_frames", "live", "ended", "reason")  # what belongs to one session
_LATENCIES = 5000
"""of the last so many frames"""


@dataclass(frozen=True, eq=False)
class LiveStep:
    """One frame of one source, done and on disk."""

    source: str
    index: int
    time_s: float
    frame: Frame
    found: Detections | Tracks
    events: tuple[Event, ...]
    """what is certain with this frame"""
    latency_s: float
    """from decoded pixels to boxes on disk; of a playlist, from when the frame came"""
    num_dropped: int
    """of this source, so far"""
    num_reconnects: int


def run_live(
    sources: Sequence[str],
    folders: Sequence[Path],
    detector: Detector,
    wanted: InferSettings,
    *,
    roll: RollSettings | None = None,
    patience: LiveSettings | None = None,
    resume: bool = False,
    overwrite: bool = False,
    notify: Callable[[str], None] = lambda _: None,
) -> Generator[LiveStep, None, None]:
    """Detect (and track) in live sources until all have ended or the iteration is left.

    Args:
        sources: cameras and streams. An absent one is waited for while the others run.
        folders: a run folder for each, prepared (``RunFolder.prepare``), or with ``overwrite``
            checked (``RunFolder.check``).
        detector: one for all.
        wanted: settings of all runs; lines and zones that name another folder are left out.
        roll: when files of predictions are closed and deleted.
        patience: with sources that give no frames.
        resume: keep the files of earlier sessions. Frames, times and ids begin anew.
        overwrite: delete an earlier run when the first frame has come.
        notify: called when a source is absent, is back, and has ended.

    Yields:
        Every frame of every source, detected, tracked and on disk.

    Raises:
        SettingsError: something that needs the future, or a second pass.
        VideoError: no source could be reached.
        OutputError: another process works in a folder.
        PartialError: the last source has ended, and one had failed; all frames are on disk.
    """
    _refuse(sources, wanted)
    changed = threading.Condition()
    patience = patience or LiveSettings()
    failures: list[VideoError] = []
    with ExitStack() as opened:
        channels = []
        for source, folder in zip(sources, folders, strict=True):
            opened.enter_context(RunFolder(folder).claim())
            video = LiveVideo(source, patience, changed=changed, may_be_absent=True)
            opened.enter_context(video)
            own = wanted.for_source(folder.name)
            files = _Files(RunFolder(folder), roll or RollSettings(), own, resume=resume)
            channels.append(_Channel(source, files, video, detector, own, notify=notify))
        opened.callback(_stop, channels)
        _wait_for_one(channels, changed, patience)
        active = deque(channels)
        for channel in channels:
            opened.push(channel.leave)
            channel.begin(overwrite=overwrite)
        while active:
            _wait(active, changed, patience)
            for channel in active:
                channel.report_trouble()
            ready = _newest(active, failures, at_most=wanted.batch_size or detector.batch_size)
            found = detector.detect([arrived.frame for _, arrived in ready]) if ready else []
            for (channel, arrived), one in zip(ready, found, strict=True):
                yield channel.step(arrived, one)
    if failures:
        reasons = "; ".join(str(error) for error in failures)
        raise PartialError(f"{len(failures)} of {len(sources)} live sources broke off: {reasons}")


def _refuse(sources: Sequence[str], wanted: InferSettings) -> None:
    for source in sources:
        if not is_live(source):
            raise SettingsError(f"{source} is not a live source; run files and streams separately")
    if wanted.is_delayed:
        seen = f"temporal is {wanted.temporal}, which uses later frames"
        raise SettingsError(f"{seen}; allowed for live sources: links, a causal head, off")
    if wanted.is_sparse:
        raise SettingsError("every is auto; allowed for live sources: 1 or more")


def _stop(channels: Sequence["_Channel"]) -> None:
    """Ask all readers to end before waiting for the first of them."""
    for channel in channels:
        channel.video.stop()


def _wait_for_one(
    channels: Sequence["_Channel"], changed: threading.Condition, patience: LiveSettings
) -> None:
    """Wait until all have been tried; VideoError where none can be reached."""
    videos = [channel.video for channel in channels]
    with changed:
        wait_until(
            changed,
            lambda: all(video.is_here or video.trouble or video.has_news for video in videos),
            patience.open_timeout_s + patience.read_timeout_s,
        )
    if not any(video.is_here for video in videos):
        raise VideoError(videos[0].trouble or "does not answer", path=channels[0].source)


def _wait(
    active: Sequence["_Channel"], changed: threading.Condition, patience: LiveSettings
) -> None:
    """Wait until any source has news; a reader gives up in time, so this ends."""
    with changed:
        wait_until(
            changed,
            lambda: any(channel.video.has_news or channel.has_trouble for channel in active),
            patience.give_up_s + patience.open_timeout_s,
        )


def _newest(
    active: deque["_Channel"], failures: list[VideoError], *, at_most: int
) -> list[tuple["_Channel", Arrived]]:
    """At most one frame of each source; a source that was served moves to the end of the queue."""
    ready: list[tuple[_Channel, Arrived]] = []
    for channel in list(active):
        if len(ready) == at_most:
            break
        is_over = bool(channel.video.ended)  # asked first: no frame can come after it
        try:
            arrived = channel.video.take_now()
        except VideoError as error:
            active.remove(channel)
            channel.close(Ended.BROKEN, str(error))
            failures.append(error)
            continue
        if arrived is None and is_over:
            active.remove(channel)
            channel.close(Ended.COMPLETE)
        if arrived is not None:
            active.remove(channel)
            active.append(channel)
            arrived = channel.compared(arrived)
            if arrived.frame.index % channel.every == 0:
                ready.append((channel, arrived))
    return ready


class _Files:
    """The files of predictions in one run folder, rolled over, and what earlier sessions left."""

    def __init__(
        self, folder: RunFolder, roll: RollSettings, wanted: InferSettings, *, resume: bool
    ) -> None:
        self.folder, self._wanted = folder, wanted
        self.paths: deque[Path] = deque()
        self._next_n = 1  # of events
        self._events: SessionEvents | None = None
        self.earlier: list[Mapping[str, Any]] = []
        """of the manifests of earlier sessions, first one first"""
        self._roll = roll
        self._writer: PredictionWriter | None = None
        self._begun_s = 0.0
        self._number = 0
        if resume:
            self._take_up()

    def _take_up(self) -> None:
        """Find the existing files; one that a kill left torn is cut to complete frames."""
        self.paths.extend(runs.parts_in(self.folder.path))
        if not self.paths:
            return
        self._number = max(runs.part_of(self.paths[-1]), 1)
        last_complete_frame(self.paths[-1])
        manifest = self.folder.manifest()
        if manifest is not None:
            last = {key: getattr(manifest, key) for key in _SESSION}
            was_killed = manifest.ended == Ended.RUNNING
            if was_killed:  # what came after its last file is unknown
                last["num_frames"] = None
            self.earlier = [*manifest.sessions, last]
            if self._wanted.tracks:
                at_end = complete if was_killed else _next_n
                self._next_n = at_end(list(self.paths), self._wanted)

    def file_for(self, arrived: Arrived, header: Header) -> tuple[PredictionWriter, bool]:
        """The writer for this frame, and whether its file was begun just now."""
        time_s = arrived.frame.time_s
        full = self._roll.roll_s and time_s >= self._begun_s + self._roll.roll_s
        if self._writer is not None and not full:
            return self._writer, False
        self.close()
        self._begun_s = time_s
        self._number += 1
        path = self.folder / runs.PREDICTIONS
        if self._roll.roll_s or self._number > 1:
            path = path.with_stem(f"{path.stem}-{self._number:04d}")
        session = len(self.earlier) + 1
        came = datetime.now(UTC) - timedelta(seconds=perf_counter() - arrived.at_s)
        notes = {"session": str(session), "part": str(self._number), "began": _written(came)}
        self._writer = PredictionWriter(path, replace(header, notes=notes))
        self.paths.append(path)
        if self._wanted.tracks:
            if self._events is None:
                self._events = SessionEvents(
                    self._writer.header, self._wanted, first_n=self._next_n, session=session
                )
            self._events.begin_file(self.paths[-1], anchor_of(self._writer.header, time_s))
        while self._roll.keep and len(self.paths) > self._roll.keep:
            oldest = self.paths.popleft()
            for file in (oldest, runs.events_of(oldest), runs.objects_of(oldest)):
                file.unlink(missing_ok=True)
        return self._writer, True

    def add_events(self, frame: Frame, found: Detections | Tracks) -> tuple[Event, ...]:
        """The events that are certain with a frame whose tracks are on disk."""
        if self._events is None or not isinstance(found, Tracks):
            return ()
        return self._events.step(frame.index, frame.time_s, found)

    def end(self) -> None:
        """Close the files; every object has ended."""
        self.close()
        if self._events is not None:
            self._events.end(SESSION_ENDED)
            self._events.close()

    def close(self) -> None:
        """Close the open file; one that the disk had no room for is cut to complete frames."""
        writer, self._writer = self._writer, None
        if writer is None:
            return
        try:
            writer.__exit__(None, None, None)
        except OutputError:
            last_complete_frame(writer.path)
            raise


class _Channel:
    """One source: its tracker, its files, and its numbers."""

    def __init__(
        self,
        source: str,
        files: _Files,
        video: LiveVideo,
        detector: Detector,
        wanted: InferSettings,
        *,
        notify: Callable[[str], None],
    ) -> None:
        self._files, self._wanted, self._notify = files, wanted, notify
        self.source, self.video = source, video
        self.every = wanted.stride
        self._follower = make_follower(wanted, detector.classes)
        self._motion = motion_for(detector, wanted)
        self._detector, self._tracker_name = detector, wanted.tracker if wanted.tracks else ""
        self._reported = ""
        self._latencies: deque[float] = deque(maxlen=_LATENCIES)
        self._num_frames = 0
        manifest = describe(source, detector, wanted)
        if files.earlier:
            files.folder.refuse_other_run(manifest)
        self._manifest = replace(manifest, began=_written(datetime.now(UTC)))
        self._is_closed = self._waits_to_overwrite = False
        full = wanted.decode == FULL
        video.begin(lambda i: None if full else detector.decode_px(i.width_px, i.height_px))

    def begin(self, *, overwrite: bool) -> None:
        """Record that it runs; where results are overwritten, once a frame has come."""
        if overwrite and self._files.folder.made():
            self._waits_to_overwrite = True
            return
        self._files.folder.write_settings(self._wanted, self._detector)
        self._write_running()

    @cached_property
    def _header(self) -> Header:
        return Header(
            source=redacted(self.source),
            classes=self._detector.classes,
            info=self.video.info,
            detector=self._detector.card.name,
            tracker=self._tracker_name,
        )

    @property
    def has_trouble(self) -> bool:
        """Whether there is trouble, or an end of it, that was not reported yet."""
        return self.video.trouble != self._reported

    def report_trouble(self) -> None:
        """Report once that no frames come and why, and once that they do again."""
        if self.has_trouble:
            self._reported = self.video.trouble
            what = f"{self._reported}; trying again" if self._reported else "is here"
            self._notify(f"{self.source}: {what}")

    def compared(self, arrived: Arrived) -> Arrived:
        """The frame with its motion, where the detector takes that."""
        if self._motion is None:
            return arrived
        return replace(arrived, frame=self._motion.step(arrived.frame))

    def step(self, arrived: Arrived, found: Detections) -> LiveStep:
        """Track and write one frame."""
        frame = arrived.frame
        outcome = self._follower.step(frame, found).found
        if self._waits_to_overwrite:
            self._files.folder.discard()
            self._files.folder.write_settings(self._wanted, self._detector)
            self._waits_to_overwrite = False
        out, is_new = self._files.file_for(arrived, self._header)
        if is_new:
            self._write_running()
        out.write(frame.index, frame.time_s, outcome)
        events = self._files.add_events(frame, outcome)
        latency_s = perf_counter() - arrived.at_s + arrived.held_s
        self._latencies.append(latency_s)
        self._num_frames += 1
        return LiveStep(
            source=self.source,
            index=frame.index,
            time_s=frame.time_s,
            frame=frame,
            found=outcome,
            events=events,
            latency_s=latency_s,
            num_dropped=self.video.num_dropped,
            num_reconnects=self.video.num_reconnects,
        )

    def close(self, ended: Ended, reason: str = "") -> None:
        """Close the file and record how the run ended; once."""
        if self._is_closed:
            return
        self._is_closed = True
        if self.video.ended:
            self._notify(f"{self.source}: {self.video.ended}")
        if self._waits_to_overwrite:
            self._notify(f"{self.source}: no frame came; {self._files.folder.path} is as it was")
            return
        try:
            self._files.end()
        finally:
            told = self._manifest_now(ended, reason).to_json()
            runs.write_last(self._files.folder / runs.MANIFEST, told)

    def leave(self, _kind: object, error: object, _trace: object) -> None:
        """Close, as ``__exit__``; an error, such as a full disk, is recorded."""
        if isinstance(error, Exception):
            self.close(Ended.BROKEN, str(error))
        else:
            self.close(Ended.STOPPED)

    def _write_running(self) -> None:
        """Reserve room on the disk to record how the run ends, and write the manifest."""
        told, path = self._manifest_now().to_json(), self._files.folder / runs.MANIFEST
        runs.keep_room(path, told)
        runs.write_json(path, told)

    def _manifest_now(self, ended: Ended = Ended.RUNNING, reason: str = "") -> Manifest:
        """The manifest, with the numbers so far."""
        seen = np.array(self._latencies)
        latency_s = (
            None
            if not len(seen)
            else {
                "median": float(np.median(seen)),
                "p95": float(np.quantile(seen, 0.95)),
                "max": float(seen.max()),
            }
        )
        live = {
            "num_received": self.video.num_received,
            "num_dropped": self.video.num_dropped,
            "num_reconnects": self.video.num_reconnects,
            "latency_s": latency_s,
            "files": [path.name for path in self._files.paths],
        }
        return replace(
            self._manifest,
            num_frames=self._num_frames,
            notes=self.video.notes,
            live=live,
            sessions=self._files.earlier,
            ended=ended,
            reason=reason,
        )


def _next_n(parts: Sequence[Path], _wanted: InferSettings) -> int:
    """The number of the next event of a source whose last session ended as it should."""
    return last_n(parts[-1].parent) + 1


def export_parts(
    folder: RunFolder, names: Sequence[str], *, include_predicted: bool = False
) -> list[Path]:
    """The files of predictions of a live run, and other forms (csv, mot, coco) made of each."""
    written: list[Path] = []
    for predictions in runs.parts_in(folder.path):
        part = predictions.stem.removeprefix(Path(runs.PREDICTIONS).stem)
        files = {name: Path(runs.EXPORTS[name]) for name in names}
        paths = {n: folder / f"{file.stem}{part}{file.suffix}" for n, file in files.items()}
        made, errors, _ = export(predictions, paths, include_predicted=include_predicted)
        if errors:
            raise errors[0]
        written += [predictions, *made]
    return written


def _written(moment: datetime) -> str:
    """UTC to the millisecond, as ISO 8601 has it.

    >>> _written(datetime(2026, 1, 2, 3, 4, 5, 678000, UTC))
    '2026-01-02T03:04:05.678+00:00'
    """
    return moment.isoformat(timespec="milliseconds")
