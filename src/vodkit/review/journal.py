"""The journal: every action in the order it was taken, one JSON object a line, append-only.

The first line is the header; every other line is an entry::

    {"n": 17, "id": "c0ffee", "at": "2026-11-30T09:00:00Z", "who": "ada", "action": {...}}

``action`` is one of ``document.ACTIONS``, or ``{"do": "undo", "n": 12}`` / ``{"do": "redo", ...}``.
Replaying the entries gives the document, so undo works across restarts. An entry is on the disk
(fsync) before ``commit`` returns; a last line that a crash cut off is dropped when the journal is
opened. Entries with an id that is known are returned as they were, so sending twice is harmless.
"""

import json
import os
import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO

from vodkit.ground.errors import FormatError, InputError, OutputError
from vodkit.ground.runs import only_one
from vodkit.review.document import Action, Changes, Document, Part, changes

VERSION = 1
_HISTORY = ("undo", "redo")


class ConflictError(InputError):
    """Parts of the document have changed since the version that the action was based on."""

    def __init__(self, message: str, parts: list[Part]) -> None:
        """``parts``: those that have changed."""
        super().__init__(message)
        self.parts = parts


@dataclass(frozen=True)
class Entry:
    """One line of the journal, with the values before and after of the parts it changed."""

    n: int
    id: str
    at: str
    who: str
    action: Action
    before: Changes = field(repr=False)
    after: Changes = field(repr=False)

    def line(self) -> bytes:
        """The entry as it is stored."""
        told = {"n": self.n, "id": self.id, "at": self.at, "who": self.who, "action": self.action}
        return _line(told)


def _line(content: Mapping[str, Any]) -> bytes:
    text = json.dumps(content, allow_nan=False, ensure_ascii=False, separators=(",", ":"))
    return text.encode() + b"\n"


class Journal:
    """An open journal and the document it leads to. Its methods may be called from any thread."""

    def __init__(
        self, document: Document, file: BinaryIO | None = None, path: Path | None = None
    ) -> None:
        """Use ``open_journal``; without a file nothing is stored (simulations)."""
        self.document = document
        self.versions: dict[Part, int] = {}
        """number of the entry that last changed a part"""
        self.entries: list[Entry] = []
        self.undone: set[int] = set()
        """numbers of entries that are undone at present"""
        self._by_id: dict[str, Entry] = {}
        self._highest: dict[int, int] = {}
        self._file = file
        self._path = path or Path()
        self._lock = threading.Lock()

    @property
    def n(self) -> int:
        """Number of the last entry; 0: none."""
        return len(self.entries)

    def commit(
        self,
        action: Action,
        *,
        id: str,  # noqa: A002
        who: str = "",
        known: Mapping[Part, int] | None = None,
    ) -> Entry:
        """Carry out an action, and store it before returning.

        Args:
            action: see ``document``; or undo, redo of an entry number.
            id: of the request; one that is known already is answered with its entry.
            who: name of the person.
            known: versions of parts that the person has seen; None: the newest.

        Raises:
            InputError: the action is not allowed.
            ConflictError: a part has changed since ``known``; nothing is changed.
            OutputError: the entry cannot be written; nothing is changed.
        """
        with self._lock:
            if id in self._by_id:
                return self._by_id[id]
            self._require_known(known or {}, known)
            after = self._effect(action)
            self._require_known([part for part in after if part[0] == "track"], known)
            at = datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
            before = {part: self.document.parts.get(part) for part in after}
            entry = Entry(self.n + 1, id, at, who, action, before, after)
            self._store(entry)
            self.document = self.document.with_changes(after)
            self._note(entry)
            return entry

    def next_id(self, video: int) -> int:
        """A track id that no entry has used in this video."""
        return self._highest.get(video, 0) + 1

    def last_of(self, who: str, *, undone: bool) -> int | None:
        """The number of the entry that undo (or, ``undone``, redo) of this person concerns."""
        mine = [x for x in self.entries if x.who == who]
        if not undone:
            done = [x.n for x in mine if x.action["do"] not in _HISTORY and x.n not in self.undone]
            return done[-1] if done else None
        for entry in reversed(mine):
            if entry.action["do"] not in _HISTORY:
                return None  # something was done since: nothing to redo
            if entry.action["do"] == "undo" and entry.action["n"] in self.undone:
                return int(entry.action["n"])
        return None

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()

    def _effect(self, action: Action) -> Changes:
        if action.get("do") not in _HISTORY:
            return changes(self.document, action)
        number, redo = action.get("n"), action["do"] == "redo"
        if type(number) is not int or not 1 <= number <= self.n:
            raise InputError(f"{action['do']} of entry {number!r}; allowed: 1 to {self.n}")
        entry = self.entries[number - 1]
        if entry.action["do"] in _HISTORY or (number in self.undone) != redo:
            state = "is not undone" if redo else "is undone already"
            raise InputError(f"entry {number} ({entry.action['do']}) {state}")
        now, then = (entry.after, entry.before) if not redo else (entry.before, entry.after)
        moved = [p for p, value in now.items() if self.document.parts.get(p) is not value]
        if moved:
            what = ", ".join(" ".join(map(str, part)) for part in moved)
            raise ConflictError(f"{action['do']}: changed since by another action: {what}", moved)
        return dict(then)

    def _require_known(self, parts: Iterable[Part], known: Mapping[Part, int] | None) -> None:
        if known is None:
            return
        newer = [part for part in parts if self.versions.get(part, 0) > known.get(part, 0)]
        if newer:
            what = ", ".join(" ".join(map(str, part)) for part in newer)
            raise ConflictError(f"changed in the meantime: {what}", newer)

    def _note(self, entry: Entry) -> None:
        self.versions |= dict.fromkeys(entry.after, entry.n)
        self.entries.append(entry)
        self._by_id[entry.id] = entry
        for part in entry.after:
            if part[0] == "track":
                self._highest[part[1]] = max(self._highest.get(part[1], 0), part[2])
        if entry.action["do"] == "undo":
            self.undone.add(entry.action["n"])
        elif entry.action["do"] == "redo":
            self.undone.discard(entry.action["n"])

    def replay(self, lines: Iterable[Mapping[str, Any]]) -> None:
        """Carry out stored entries, in order."""
        parts = dict(self.document.parts)  # changed in place: a copy an entry would be slow
        self.document = replace(self.document, parts=parts)
        for told in lines:
            n, id_, at, who, action = (told[name] for name in ("n", "id", "at", "who", "action"))
            if n != self.n + 1:
                raise InputError(f"entry {n} follows entry {self.n}")
            after = self._effect(action)
            before = {part: parts.get(part) for part in after}
            parts.update(after)
            for part in [part for part, value in after.items() if value is None]:
                del parts[part]
            self._note(Entry(n, id_, at, who, action, before, after))

    def _store(self, entry: Entry) -> None:
        if self._file is None:
            return
        place = self._file.seek(0, os.SEEK_END)
        try:
            _write(self._file, entry.line())
        except OSError as error:
            with suppress(OSError):  # a torn line is dropped when the journal is opened again
                self._file.truncate(place)
            raise OutputError(f"not saved: {error.strerror}", path=self._path) from error


@contextmanager
def open_journal(path: Path, header: Mapping[str, Any], document: Document) -> Iterator[Journal]:
    """The journal at ``path``, begun with ``header`` where it does not exist.

    Within, no other process can open it.

    Args:
        path: the file.
        header: what the entries depend on: videos, frame counts, reach. It must equal the stored
            header, apart from the classes.
        document: the empty document that the entries start from.

    Raises:
        FormatError: a line (other than a torn last one) is not an entry, or the header differs.
        OutputError: the file cannot be written, or another process has it open.
    """
    full = {"vodkit_review": VERSION, **header}
    try:
        file = path.open("a+b", buffering=0)
    except OSError as error:
        raise OutputError(f"cannot be written: {error.strerror}", path=path) from error
    with file, only_one(path):
        journal = Journal(document, file, path)
        lines = _whole_lines(file)
        if not lines:
            try:
                _write(file, _line(full))
            except OSError as error:
                raise OutputError(f"not saved: {error.strerror}", path=path) from error
        else:
            _require_same(_read(path, 1, lines[0]), full, path)
        try:
            journal.replay(_read(path, number, line) for number, line in enumerate(lines[1:], 2))
        except FormatError:
            raise
        except (InputError, KeyError, TypeError, ValueError) as error:
            raise FormatError(f"not an entry: {error}", path=path, line=journal.n + 2) from error
        yield journal


def _write(file: BinaryIO, data: bytes) -> None:
    """All of ``data`` on the disk; OSError where it has no room."""
    left = memoryview(data)
    while left:
        left = left[file.write(left) :]
    os.fsync(file.fileno())


def header_of(path: Path) -> dict[str, Any] | None:
    """The header of a journal; None where there is no journal, or an empty file."""
    if not path.exists():
        return None
    with path.open("rb") as file:
        line = file.readline()
    return _read(path, 1, line) if line.endswith(b"\n") else None


def _whole_lines(file: BinaryIO) -> list[bytes]:
    """All complete lines; a last one without an end is cut off the file."""
    file.seek(0)
    content = file.read()
    end = content.rfind(b"\n") + 1
    if end < len(content):
        file.truncate(end)
    return content[:end].splitlines()


def _read(path: Path, number: int, line: bytes) -> dict[str, Any]:
    try:
        found = json.loads(line)
    except ValueError as error:
        raise FormatError(f"not JSON: {error}", path=path, line=number) from error
    if not isinstance(found, dict):
        raise FormatError("not a JSON object", path=path, line=number)
    return found


def _require_same(stored: Mapping[str, Any], wanted: Mapping[str, Any], path: Path) -> None:
    for name, value in wanted.items():
        if stored.get(name) != value:
            seen = f"{name} is {stored.get(name)!r:.200}, but {value!r:.200} is asked for"
            raise FormatError(f"{seen}; give another --out", path=path, line=1)
