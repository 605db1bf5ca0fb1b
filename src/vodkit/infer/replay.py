"""The events of a run, made anew from its predictions: for ``vodkit events``, and after a kill."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path

from vodkit.formats.predictions import Header, PredictedFrame, open_predictions, read_header
from vodkit.ground import runs
from vodkit.ground.errors import InputError
from vodkit.ground.records import Tracks
from vodkit.infer.event import Event
from vodkit.infer.event_log import (
    SESSION_ENDED,
    SOURCE_ENDED,
    EventLog,
    anchor_of,
    continue_from,
    read_events,
)
from vodkit.infer.events import EventMaker
from vodkit.infer.folder import RunFolder
from vodkit.infer.manifest import Ended
from vodkit.infer.objects import Moment, read_objects
from vodkit.infer.settings import InferSettings


def replayed(
    parts: Sequence[Path],
    wanted: InferSettings,
    *,
    first_n: int = 1,
    begin: Moment | None = None,
    ends: bool = False,
) -> Iterator[tuple[Path, list[Event]]]:
    """The events of a run, made from its predictions.

    Where files before the first one are missing, what was known then is taken from
    ``objects.json``. With other lines, zones or settings than the run had, numbers begin with 1.

    Args:
        parts: files of predictions, in order; of one session or several.
        wanted: lines, zones and settings of events.
        first_n: number of the first event, where nothing on disk has it.
        begin: where to begin in the first file; default: with its first frame.
        ends: the last session has ended; default: as the run folder says.

    Yields:
        For each frame the file of predictions and the events, which may be none; for each end of a
        session its last file and what ended there.

    Raises:
        InputError: detections without tracks, or files before the first one are missing and what
            was known then, too.
    """
    replay: _Replay | None = None
    for path in parts:
        moment, begin = begin, None
        where = (0, 0) if moment is None else (moment.offset, moment.num_frames)
        with open_predictions(path, offset=where[0], num_before=where[1]) as (header, frames):
            follows = replay is not None and _part(header) in (0, replay.part + 1)
            if replay is not None and header.notes.get("session", "1") != replay.session:
                yield replay.last, replay.maker.end(SESSION_ENDED)
                first_n, replay = replay.maker.next_n, None
            if replay is None or not follows:
                replay = _Replay(path, header, wanted, first_n, moment, follows=follows)
            replay.begin_file(path, header, moment.first_s if moment and moment.offset else None)
            for frame in frames:
                yield path, replay.step(frame)
    if replay is not None and (ends or not replay.goes_on):
        yield replay.last, replay.maker.end(replay.reason)


class _Replay:
    """The events of one session, made anew."""

    def __init__(
        self,
        path: Path,
        header: Header,
        wanted: InferSettings,
        first_n: int,
        moment: Moment | None,
        *,
        follows: bool,
    ) -> None:
        """Begin with a file; ``follows``: the one before it was replayed."""
        self.session = header.notes.get("session", "1")
        self.maker = EventMaker(header, wanted, first_n=first_n, session=int(self.session))
        self._continued: Moment | None = None
        before = moment or read_objects(path).get("before")
        if before is None:
            if _part(header) > 1 and not follows:
                missing = f"the file before it is missing, and {runs.objects_of(path).name}, too"
                raise InputError(f"{path}: {missing}; its events cannot be made again")
        elif before.end_s is not None:
            self._continued = before
        else:
            continue_from(self.maker, before, 0.0)
            if self.maker.is_of(before.state):
                self.maker.next_n = before.next_n

    def begin_file(self, path: Path, header: Header, first_s: float | None) -> None:
        """The next frames are of this file; ``first_s``: time of its first one, if not given."""
        self.last, self.part, self._header = path, _part(header), header
        self._anchor = None if first_s is None else anchor_of(header, first_s)
        self._is_first = first_s is None

    def step(self, frame: PredictedFrame) -> list[Event]:
        """The events that are certain with this frame."""
        if not isinstance(frame.found, Tracks):
            raise InputError(f"{self.last}: detections without tracks; run `vodkit track` first")
        if self._is_first:
            self._anchor, self._is_first = anchor_of(self._header, frame.time_s), False
        if self._continued is not None:
            continue_from(self.maker, self._continued, frame.time_s)
            self._continued = None
        utc = None if self._anchor is None else self._anchor.utc(frame.time_s)
        return self.maker.step(frame.index, frame.time_s, frame.found, utc=utc)

    @property
    def reason(self) -> str:
        """What the end of the last file is."""
        return SESSION_ENDED if "session" in self._header.notes else SOURCE_ENDED

    @property
    def goes_on(self) -> bool:
        """Whether frames come after those of the last file, or may come."""
        folder = self.last.parent
        after = folder / f"{Path(runs.PREDICTIONS).stem}-{self.part + 1:04d}.jsonl"
        if self.part and after.exists():
            return read_header(after).notes.get("session") == self.session
        if "end" in read_objects(self.last):
            return True
        is_open = runs.manifest_in(folder).get("ended") == Ended.RUNNING
        return is_open and runs.is_at_work(folder)


def _part(header: Header) -> int:
    """Which file of a live run it is, from 1; 0: of no live run."""
    return int(header.notes.get("part", "0"))


def wanted_in(folder: Path) -> InferSettings:
    """The settings of the run in a folder; the defaults where it has none."""
    there = (folder / runs.SETTINGS).exists()
    return RunFolder(folder).settings if there else InferSettings()


def complete(parts: Sequence[Path], wanted: InferSettings) -> int:
    """Write the events of the last session that a kill kept from being written.

    Args:
        parts: files of predictions of all sessions, in order, without a torn line.
        wanted: lines, zones and settings of events.

    Returns:
        The number of the next event.
    """
    own, begin = _killed_in(parts)
    next_n = first = begin.next_n if begin else _first_n(own, parts[: len(parts) - len(own)])
    with ExitStack() as opened:
        log: EventLog | None = None
        for path, events in replayed(own, wanted, first_n=first, begin=begin, ends=True):
            if log is None or log.path != runs.events_of(path):
                opened.close()
                log = EventLog(runs.events_of(path), first_n=first)
                opened.callback(log.close)
                opened.callback(log.finish)
            log.write(events)
            next_n += len(events)
    return next_n


def _killed_in(parts: Sequence[Path]) -> tuple[list[Path], Moment | None]:
    """The files of the last session from the newest moment on that is kept, and that moment.

    None: no moment is kept, and these are all of its files.
    """
    session = read_header(parts[-1]).notes.get("session")
    own: list[Path] = []
    for path in reversed(parts):
        if read_header(path).notes.get("session") != session:
            break
        own.insert(0, path)
        moments = read_objects(path)
        for when in ("now", "before"):
            if when in moments and _is_on_disk(path, moments[when], moments.get("before")):
                return own, moments[when]
    return own, None


def _is_on_disk(path: Path, moment: Moment, before: Moment | None) -> bool:
    """Whether all frames and events before a moment are on disk; a power cut may have lost some."""
    if moment is before:
        return True
    if before is None or path.stat().st_size < moment.offset:
        return False
    earlier = (int(one["n"]) for one in read_events([runs.events_of(path)]))
    return sum(n < moment.next_n for n in earlier) == moment.next_n - before.next_n


def _first_n(own: Sequence[Path], earlier: Sequence[Path]) -> int:
    """The number of the first event of a session, of which older files may have been deleted."""
    for path in own:
        for entry in read_events([runs.events_of(path)]):
            return int(entry["n"])
    last = 0
    for path in reversed(earlier):
        for entry in read_events([runs.events_of(path)]):
            last = int(entry["n"])
        if last:
            break
    return last + 1
