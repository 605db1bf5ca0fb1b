"""``events.jsonl``: written while a run is at work, continued after a kill, read by many.

The events of a run are a function of its predictions. So a run that is resumed makes its events
anew, from the first frame on, and writes those that are not in the file yet. A live source has a
file of events beside each file of predictions.
"""

import json
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from vodkit.formats.base import close_written
from vodkit.formats.predictions import Header
from vodkit.ground import ledger, runs
from vodkit.ground.errors import FormatError, writing
from vodkit.ground.records import Tracks
from vodkit.infer.event import Event
from vodkit.infer.events import EventMaker
from vodkit.infer.objects import Moment, read_objects, write_objects
from vodkit.infer.settings import InferSettings

SESSION_ENDED = "the session ended"
SOURCE_ENDED = "the source ended"
KEPT_EVERY_S = 600.0
"""of a live source's clock: what is known of its objects is kept, for a resumed run"""


class EventLog:
    """A file of events that grows.

    A resumed run gives its events once more, from the first one on. Those that the file holds are
    skipped; from the first other one, or a torn line, on they are written.
    """

    def __init__(self, path: Path, *, first_n: int = 1) -> None:
        """Open the file; OutputError where that is not possible, or it is a file of the user.

        Args:
            path: of the file.
            first_n: events with lower numbers are in the file, and are not given once more.
        """
        self.path = path
        ledger.claim(path)
        with writing(path):
            self._file = path.open("r+b" if path.exists() else "w+b")
        self._is_known = True
        # Go to the first event from ``first_n`` on, or the end of the complete lines
        place = 0
        while first_n > 1 and (line := self._file.readline()).endswith(b"\n"):
            if int(_parsed(line, self.path)["n"]) >= first_n:
                break
            place = self._file.tell()
        self._file.seek(place)

    def write(self, events: Iterable[Event]) -> None:
        """Append events, and flush."""
        with writing(self.path):
            for event in events:
                self._put(event.to_line())
            if not self._is_known:
                self._file.flush()

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
        self,
        header: Header,
        wanted: InferSettings,
        *,
        first_n: int = 1,
        session: int = 1,
        before: Moment | None = None,
    ) -> None:
        """See ``EventMaker``; ``begin_file`` comes before the first frame.

        Args:
            header: of the predictions.
            wanted: settings of the run.
            first_n: number of the first event.
            session: of a live source; 1 for files.
            before: the end of the file that this one continues.
        """
        self._maker = EventMaker(header, wanted, first_n=first_n, session=session)
        self._log: EventLog | None = None
        self._anchor: Anchor | None = None
        self._predictions = Path()
        self._before, self._continued = before, before
        self._num_frames, self._kept_s = 0, 0.0

    def begin_file(self, predictions: Path, anchor: Anchor | None = None) -> None:
        """From now on events are written beside this file of predictions."""
        self.close()
        self._log, self._anchor = EventLog(runs.events_of(predictions)), anchor
        self._predictions, self._num_frames = predictions, 0
        if anchor is not None:
            self._before, self._kept_s = Moment(state=self._state), anchor.time_s
        if self._before is not None:
            write_objects(predictions, before=self._before)

    def step(self, index: int, time_s: float, tracks: Tracks) -> tuple[Event, ...]:
        """The events that are certain with this frame, on disk."""
        assert self._log is not None
        if self._continued is not None:
            continue_from(self._maker, self._continued, time_s)
            self._continued = None
        utc = None if self._anchor is None else self._anchor.utc(time_s)
        events = self._maker.step(index, time_s, tracks, utc=utc)
        self._log.write(events)
        self._num_frames += 1
        if self._anchor is not None and time_s >= self._kept_s + KEPT_EVERY_S:
            self._kept_s = time_s
            offset = self._predictions.stat().st_size  # the frame is in it
            where = {"offset": offset, "num_frames": self._num_frames}
            now = Moment(state=self._state, first_s=self._anchor.time_s, **where)
            write_objects(self._predictions, before=self._before, now=now)
        return tuple(events)

    @property
    def _state(self) -> dict[str, Any]:
        return self._maker.state_dict()

    def end(self, reason: str) -> None:
        """Write what the end of the session makes certain; no more frames come."""
        if self._log is not None:
            self._log.write(self._maker.end(reason))
            self._log.finish()

    def pause(self, end_s: float) -> None:
        """Keep what is known of each object: another file continues where this one ends."""
        if self._log is not None:
            self._log.finish()
            end = Moment(state=self._state, end_s=end_s)
            write_objects(self._predictions, before=self._before, end=end)

    def close(self) -> None:
        """Close the file."""
        log, self._log = self._log, None
        if log is not None:
            log.close()


def continue_from(maker: EventMaker, before: Moment, first_s: float) -> None:
    """Give a maker what another one knew before its first frame, which is at ``first_s``."""
    earlier_s = 0.0 if before.end_s is None else before.end_s - first_s
    maker.load_state(before.state, earlier_s=earlier_s)


def continued_objects(wanted: InferSettings) -> Moment | None:
    """What the run that this one continues knew of its objects at its end.

    None: it continues none, or one after which all objects have ended.
    """
    return read_objects(Path(wanted.after) / runs.PREDICTIONS).get("end") if wanted.after else None


def anchor_of(header: Header, first_s: float) -> Anchor | None:
    """The anchor of one file of predictions; None for files that are no live source's."""
    began = header.notes.get("began")
    return None if began is None else Anchor(first_s, datetime.fromisoformat(began))


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
