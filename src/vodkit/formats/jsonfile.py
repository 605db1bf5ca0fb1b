"""JSON files read so that every fault names its line: a value knows its place in the file.

The line of a value is computed only when a fault needs it, by scanning the text again. A key that
occurs twice in one object is an error: readers disagree on which of the values counts.
"""

import codecs
import gc
import json
import math
import re
from bisect import bisect_left
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from functools import lru_cache
from json.decoder import scanstring  # type: ignore[attr-defined]
from pathlib import Path
from typing import Any, TypeVar

from vodkit.ground.errors import FormatError

Key = str | int
T = TypeVar("T")
LARGEST = 2**53
"""no index or id is larger: beyond it JSON readers of other languages lose digits"""
MOST_BYTES = 2**31
"""a larger label file is refused before it is read"""
_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"(\s*:)?|[{}]')
_PARSED: ContextVar[dict[Path, Any] | None] = ContextVar("parsed", default=None)


@dataclass(slots=True)
class Node:
    """One value of a JSON file, with the way to it from the top."""

    value: Any
    path: Path
    text: str
    keys: tuple[Key, ...] = ()
    known_line: int | None = None
    """the line of a value that stands on one line whose number is known (JSON Lines)"""

    def fault(self, message: str) -> FormatError:
        """The error that something is wrong with this value."""
        where = "".join(f"[{key}]" if isinstance(key, int) else f".{key}" for key in self.keys)
        told = f"{where.lstrip('.')}: {message}" if where else message
        return FormatError(told, path=self.path, line=self.line())

    def line(self) -> int | None:
        """The line (1-based) on which the value stands; None where it cannot be found."""
        if self.known_line is not None:
            return self.known_line
        try:
            position = _find(self.text, self.keys)
        except (ValueError, IndexError, KeyError, StopIteration, RecursionError):
            return None
        return bisect_left(_line_ends(self.text), position) + 1

    def __contains__(self, key: str) -> bool:
        """Whether an object has ``key`` with a value that is not null.

        Raises:
            FormatError: the value is no object, so that nothing can be said to be missing in it.
        """
        if not isinstance(self.value, dict):
            raise self.fault(f"is {_summary(self.value)}; allowed: an object")
        return self.value.get(key) is not None

    def at(self, key: Key) -> "Node":
        """The value under ``key``; a missing one is a fault."""
        if isinstance(key, str):
            if key not in self:
                raise self.fault(f"{key!r} is missing; there is: {_summary(self.value)}")
        elif not isinstance(self.value, list) or key >= len(self.value):
            raise self.fault(f"entry {key} is missing; there is: {_summary(self.value)}")
        return self._inner(self.value[key], (*self.keys, key))

    def _inner(self, value: object, keys: tuple[Key, ...]) -> "Node":
        return Node(value, self.path, self.text, keys, self.known_line)

    def items(self, key: str | None = None) -> Iterator["Node"]:
        """The entries of a list (the one under ``key``)."""
        node = self if key is None else self.at(key)
        if not isinstance(node.value, list):
            raise node.fault(f"is {_summary(node.value)}; allowed: a list")
        for index, value in enumerate(node.value):
            yield self._inner(value, (*node.keys, index))

    def number(self, key: Key, default: float | None = None) -> float:
        """The number under ``key``; it may be NaN or infinite."""
        if type(self.value) is dict and type(value := self.value.get(key)) is float:
            return value
        if default is not None and isinstance(key, str) and key not in self:
            return default
        node = self.at(key)
        if isinstance(node.value, bool) or not isinstance(node.value, int | float):
            raise node.fault(f"is {_summary(node.value)}; allowed: a number")
        try:
            return float(node.value)
        except OverflowError:
            return math.inf

    def integer(self, key: Key, default: int | None = None) -> int:
        """The whole number under ``key``; ``3.0`` is one."""
        if type(self.value) is dict:
            value = self.value.get(key)
            if type(value) is int and -LARGEST < value < LARGEST:
                return value
        number = self.number(key, default)
        if not abs(number) < LARGEST or number != int(number):
            raise self.at(key).fault(f"is {number}; allowed: a whole number")
        return int(number)

    def words(self, key: Key, default: str | None = None) -> str:
        """The text under ``key``."""
        if default is not None and isinstance(key, str) and key not in self:
            return default
        node = self.at(key)
        if not isinstance(node.value, str):
            raise node.fault(f"is {_summary(node.value)}; allowed: text")
        return node.value

    def words_in(self, key: str) -> list[str]:
        """The texts of the list under ``key``."""
        node = self.at(key)
        if not isinstance(node.value, list):
            raise node.fault(f"is {_summary(node.value)}; allowed: a list of texts")
        return [node.words(index) for index in range(len(node.value))]

    def truth(self, key: str) -> bool:
        """The yes or no under ``key``: true, false, 0 or 1; missing is no."""
        if key not in self:
            return False
        if self.value[key] not in (0, 1, 0.0, 1.0):
            raise self.at(key).fault(f"is {_summary(self.value[key])}; allowed: true or false")
        return bool(self.value[key])

    def numbers(self, key: Key, count: int) -> list[float]:
        """The list of ``count`` numbers under ``key``."""
        found = self.value.get(key) if type(self.value) is dict else None
        if (
            type(found) is list
            and len(found) == count
            and {float, int}.issuperset(map(type, found))
        ):
            try:
                return [float(number) for number in found]
            except OverflowError:
                return [self.at(key).number(index) for index in range(count)]
        node = self.at(key)
        if not isinstance(node.value, list) or len(node.value) != count:
            raise node.fault(f"is {_summary(node.value)}; allowed: {count} numbers")
        return [node.number(index) for index in range(count)]


@contextmanager
def parsed_once() -> Iterator[None]:
    """Within, a file is parsed once: finding out its format, reading and counting share it."""
    if _PARSED.get() is not None:
        yield
        return
    token = _PARSED.set({})
    collects = gc.isenabled()
    gc.disable()  # it would walk through millions of values again and again: half of the time
    try:
        yield
    finally:
        _PARSED.reset(token)
        if collects:
            gc.enable()


def shared(path: Path, parse: Callable[[Path], T]) -> T:
    """What ``parse`` makes of a file; within ``parsed_once`` made at the first call only."""
    known = _PARSED.get()
    if known is None:
        return parse(path)
    if path not in known:
        try:
            known[path] = parse(path)
        except FormatError as error:
            known[path] = error
    found = known[path]
    if isinstance(found, FormatError):
        raise found
    return found


def read_json(path: Path) -> Node:
    """The complete content of a JSON file; FormatError names the line where it breaks."""
    return shared(path, _read_json)


def _read_json(path: Path) -> Node:
    text = read_text(path)
    try:
        return Node(json.loads(text, object_pairs_hook=_unique), path, text)
    except json.JSONDecodeError as error:
        message = f"not JSON: {error.msg} (column {error.colno})"
        raise FormatError(message, path=path, line=error.lineno) from error
    except _DoubledKeyError as error:
        key, line = _doubled(text)
        message = f"key {key[:40]!r} occurs twice in one object; allowed: once"
        raise FormatError(message, path=path, line=line) from error
    except (RecursionError, ValueError) as error:
        raise FormatError(f"not JSON that can be read: {error}", path=path) from error


class _DoubledKeyError(ValueError):
    """An object has a key twice."""


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise _DoubledKeyError
    return found


def _doubled(text: str) -> tuple[str, int]:
    """The first key that an object of ``text`` has twice, and its line."""
    inside: list[set[str]] = []
    for token in _TOKEN.finditer(text):
        if token.group() == "{":
            inside.append(set())
        elif token.group() == "}":
            inside.pop()
        elif token.group(1):
            key = scanstring(text, token.start() + 1)[0]
            if key in inside[-1]:
                return key, text.count("\n", 0, token.start()) + 1
            inside[-1].add(key)
    raise AssertionError("no key occurs twice")


def read_bytes(path: Path) -> bytes:
    """The bytes of a regular file of bearable size; FormatError for anything else."""
    try:
        if not path.is_file():
            what = "no such file" if not path.exists() else "not a regular file"
            raise FormatError(f"cannot be read: {what}", path=path)
        size = path.stat().st_size
        if size > MOST_BYTES:
            message = f"has {size} bytes; allowed for a label file: {MOST_BYTES}"
            raise FormatError(message, path=path)
        return path.read_bytes()
    except OSError as error:
        raise FormatError(f"cannot be read: {error.strerror}", path=path) from error


def read_text(path: Path) -> str:
    """The UTF-8 text of a file; FormatError where it is missing or of another encoding."""
    content = read_bytes(path)
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        seen = content[error.start]
        message = f"not UTF-8 text: byte 0x{seen:02x} at {error.start}"
        raise FormatError(message, path=path, line=line) from error


def head_of(path: Path, size: int = 65536) -> str:
    """The beginning of a file as text, empty where there is none: for sniffing."""
    try:
        if not path.is_file():
            return ""
        with path.open("rb") as file:
            head = file.read(size)
    except OSError:
        return ""
    wide = head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))  # XML may be; JSON may not
    return head.decode("utf-16" if wide else "utf-8-sig", errors="ignore")


def object_in(path: Path) -> Node | None:
    """The object that a JSON file holds; None for any other file: for sniffing."""
    if path.suffix.lower() != ".json" or not head_of(path).lstrip().startswith("{"):
        return None
    try:
        return read_json(path)
    except FormatError:
        return None


def _summary(value: object) -> str:
    if isinstance(value, dict):
        return f"an object with {', '.join(map(repr, list(value)[:6])) or 'nothing'}"
    if isinstance(value, list):
        return f"a list of {len(value)}"
    return repr(value)[:60]


def _find(text: str, keys: tuple[Key, ...]) -> int:
    """Position of the value that ``keys`` lead to in valid JSON ``text``."""
    position = _skip(text, 0)
    for key in keys:
        position = (
            _entries(text, position)[key] if isinstance(key, int) else _members(text, position)[key]
        )
    return position


def _skip(text: str, position: int, extra: str = "") -> int:
    while text[position] in " \t\r\n" + extra:
        position += 1
    return position


@lru_cache(maxsize=2)
def _line_ends(text: str) -> list[int]:
    """Where the line breaks are: counting them anew for each fault would cost square time."""
    return [found.start() for found in re.finditer("\n", text)]


# A file of many faults asks for a line of the same long list each time: walk it once.
@lru_cache(maxsize=16)
def _members(text: str, position: int) -> dict[str, int]:
    """Where the values of the object at ``position`` begin; of equal keys the first."""
    decoder, found = json.JSONDecoder(), dict[str, int]()
    position = _skip(text, position + 1)
    while text[position] != "}":
        name, position = scanstring(text, position + 1)
        position = _skip(text, position, ":")
        found.setdefault(name, position)
        _, position = decoder.raw_decode(text, position)
        position = _skip(text, position, ",")
    return found


@lru_cache(maxsize=16)
def _entries(text: str, position: int) -> list[int]:
    """Where the entries of the list at ``position`` begin."""
    decoder, found = json.JSONDecoder(), list[int]()
    position = _skip(text, position + 1)
    while text[position] != "]":
        found.append(position)
        _, position = decoder.raw_decode(text, position)
        position = _skip(text, position, ",")
    return found
