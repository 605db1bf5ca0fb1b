"""``events.jsonl``: written while a run is at work, continued after a kill, read by many.

The events of a run are a function of its predictions. So a run that is resumed makes its events
anew, from the first frame on, and writes those that are not in the file yet; ``replayed`` makes
them from the predictions alone. A live source has a file of events beside each file of predictions.
"""

import json
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from vodkit.formats.base import close_written
from vodkit.formats.predictions import Header, open_predictions, read_header
from vodkit.ground import ledger, runs
from vodkit.ground.errors import FormatError, InputError, OutputError
from vodkit.ground.records import Tracks
from vodkit.infer.event import Event
from vodkit.infer.events import EventMaker
from vodkit.infer.folder import RunFolder
from vodkit.infer.settings import InferSettings

SESSION_ENDED = "the session ended"
SOURCE_ENDED = "the source ended"


class EventLog:
    """A file of events that grows.

    A resumed run gives its events once more, from the first one on. Those that the file holds are
    skipped; from the first other one, or a torn line, on they are written.
    """

    def __init__(self, path: Path) -> None:
        """Open the file; OutputError where that is not possible, or it is a file of the user."""
        self.path = path
        ledger.claim(path)
        try:
            self._file = path.open("r+b" if path.exists() else "w+b")
        except OSError as error:
            raise OutputError(f"cannot write: {error.strerror}", path=path) from error
        self._is_known = True

    def write(self, events: Iterable[Event]) -> None:
        """Append events, and flush."""
        try:
            for event in events:
                self._put(event.to_line())
            if not self._is_known:
                self._file.flush()
        except OSError as error:
            raise OutputError(f"cannot write: {error.strerror}", path=self.path) from error

    def _put(self, line: bytes) -> None:
        if self._is_known:
            place = self._file.tell()
            if self._file.readline() == line:
                return
            self._is_known = False
            self._file.seek(place)
            self._file.truncate()
        self._file.write(line)

    def finish(self) -> None:
        """No more events come: cut off what the file holds beyond them."""
        if self._is_known:
            self._file.truncate()

    def close(self) -> None:
        """Close the file; what was written stays."""
        close_written(self._file, self.path, failed=False)


@dataclass(frozen=True)
class Anchor:
    """A moment on both clocks: that of the source, and that of the world."""

    time_s: float
    began: datetime

    def utc(self, time_s: float) -> datetime:
        """When, in the world, a moment of the source was."""
        return self.began + timedelta(seconds=time_s - self.time_s)


class SessionEvents:
    """The events of one session of a source: made, and written beside its predictions."""

    def __init__(
        self, header: Header, wanted: InferSettings, *, first_n: int = 1, session: int = 1
    ) -> None:
        """See ``EventMaker``; ``begin_file`` comes before the first frame."""
        self._maker = EventMaker(header, wanted, first_n=first_n, session=session)
        self._log: EventLog | None = None
        self._anchor: Anchor | None = None

    def begin_file(self, predictions: Path, anchor: Anchor | None = None) -> None:
        """From now on events are written beside this file of predictions."""
        self.close()
        self._log, self._anchor = EventLog(runs.events_of(predictions)), anchor

    def step(self, index: int, time_s: float, tracks: Tracks) -> tuple[Event, ...]:
        """The events that are certain with this frame, on disk."""
        assert self._log is not None
        utc = None if self._anchor is None else self._anchor.utc(time_s)
        events = self._maker.step(index, time_s, tracks, utc=utc)
        self._log.write(events)
        return tuple(events)

    def end(self, reason: str) -> None:
        """Write what the end of the session makes certain; no more frames come."""
        if self._log is not None:
            self._log.write(self._maker.end(reason))
            self._log.finish()

    def close(self) -> None:
        """Close the file."""
        log, self._log = self._log, None
        if log is not None:
            log.close()


def anchor_of(header: Header, first_s: float) -> Anchor | None:
    """The anchor of one file of predictions; None for files that are no live source's."""
    began = header.notes.get("began")
    return None if began is None else Anchor(first_s, datetime.fromisoformat(began))


def replayed(
    parts: Sequence[Path], wanted: InferSettings, *, first_n: int = 1
) -> Iterator[tuple[Path, list[Event]]]:
    """The events of a run, made from its predictions.

    Args:
        parts: files of predictions, in order; of one session or several.
        wanted: lines, zones and settings of events.
        first_n: number of the first event.

    Yields:
        For each frame the file of predictions and the events, which may be none; for each end of a
        session its last file and what ended there.

    Raises:
        InputError: detections without tracks.
    """
    maker: EventMaker | None = None
    session = ""
    last = parts[-1] if parts else Path()
    for path in parts:
        with open_predictions(path) as (header, frames):
            now = header.notes.get("session", "1")
            if maker is not None and now != session:
                yield last, maker.end(SESSION_ENDED)
                first_n = maker.next_n
                maker = None
            if maker is None:
                maker = EventMaker(header, wanted, first_n=first_n, session=int(now))
            session, last = now, path
            anchor: Anchor | None = None
            for number, frame in enumerate(frames):
                if not isinstance(frame.found, Tracks):
                    raise InputError(f"{path}: detections without tracks; run `vodkit track` first")
                if number == 0:
                    anchor = anchor_of(header, frame.time_s)
                utc = None if anchor is None else anchor.utc(frame.time_s)
                yield path, maker.step(frame.index, frame.time_s, frame.found, utc=utc)
    if maker is not None:
        yield last, maker.end(SESSION_ENDED if "session" in header.notes else SOURCE_ENDED)


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
    session = read_header(parts[-1]).notes.get("session")
    own = [path for path in parts if read_header(path).notes.get("session") == session]
    next_n = first = _first_n(own, parts[: len(parts) - len(own)])
    with ExitStack() as opened:
        log: EventLog | None = None
        for path, events in replayed(own, wanted, first_n=first):
            if log is None or log.path != runs.events_of(path):
                opened.close()
                log = EventLog(runs.events_of(path))
                opened.callback(log.close)
                opened.callback(log.finish)
            log.write(events)
            next_n += len(events)
    return next_n


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


def read_events(paths: Iterable[Path]) -> Iterator[dict[str, Any]]:
    """The events in these files; a file that does not exist has none, a torn last line is skipped.

    Raises:
        FormatError: a line is no event.
    """
    for path in paths:
        if not path.exists():
            continue
        with path.open("rb") as file:
            for number, line in enumerate(file, 1):
                if line.endswith(b"\n"):
                    yield _parsed(line, path, number)


def _parsed(line: bytes, path: Path, number: int | None = None) -> dict[str, Any]:
    try:
        entry = json.loads(line)
    except ValueError as error:
        raise FormatError(f"not JSON: {error}", path=path, line=number) from error
    if not isinstance(entry, dict) or type(entry.get("n")) is not int:
        raise FormatError("not an event", path=path, line=number)
    return entry


class EventTail:
    """The events of a run folder after a number, also while more are being written.

    Memory is flat: of the files only the lines that are asked for are read.
    """

    def __init__(self, folder: Path, *, after: int = 0) -> None:
        """``after``: number of the last event that is not wanted."""
        self.after = after
        self._folder, self._path, self._offset = folder, Path(), 0

    def take(self, at_most: int) -> list[tuple[int, bytes]]:
        """Numbers and lines of the next events; none where there are no more by now."""
        found: list[tuple[int, bytes]] = []
        for path in self._files():
            with suppress(FileNotFoundError), path.open("rb") as file:  # deleted as too old
                file.seek(self._offset)
                for line in file:
                    if not line.endswith(b"\n"):
                        break
                    self._offset += len(line)
                    number = int(_parsed(line, path)["n"])
                    if number > self.after:
                        found.append((number, line))
                        self.after = number
                    if len(found) == at_most:
                        return found
        return found

    def _files(self) -> Iterator[Path]:
        """The file that was read last, and those after it."""
        parts = runs.parts_in(self._folder, runs.EVENTS)
        if self._path in parts:
            parts = parts[parts.index(self._path) :]
        for path in parts:
            if path != self._path:
                self._path, self._offset = path, 0
            yield path


def last_n(folder: Path) -> int:
    """The number of the last event in a run folder; 0: none."""
    for path in reversed(runs.parts_in(folder, runs.EVENTS)):
        last = 0
        for entry in read_events([path]):
            last = int(entry["n"])
        if last:
            return last
    return 0
