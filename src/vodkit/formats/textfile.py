"""Text files of one box or one class name a line: fields with their line numbers, and numbers."""

import math
import re
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from vodkit.formats.jsonfile import LARGEST, read_text
from vodkit.ground.errors import FormatError

_NUMBER = re.compile(
    r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?|[+-]?(nan|inf|infinity)", re.ASCII | re.IGNORECASE
)


def number_of(text: str) -> float:
    """A number in ASCII digits; ValueError for other digits, underscores and what is none.

    Python's own ``float`` also takes ``1_000`` and digits of every script.

    >>> number_of("1e3")
    1000.0
    """
    if not _NUMBER.fullmatch(text.strip(" \t\r\n")):
        raise ValueError(f"{text[:40]!r} is not a number")
    return float(text)


@dataclass(frozen=True)
class Line:
    """The fields of one line, and its number."""

    fields: list[str]
    number: int
    path: Path

    def fault(self, message: str) -> FormatError:
        """The error that something is wrong in this line."""
        return FormatError(message, path=self.path, line=self.number)

    def real(self, column: int, default: float | None = None) -> float:
        """The number in ``column`` (0-based); ``default`` where the line ends before it."""
        if default is not None and column >= len(self.fields):
            return default
        text = self.fields[column]
        try:
            return number_of(text)
        except ValueError as error:
            raise self.fault(f"column {column + 1} is {text!r}; allowed: a number") from error

    def whole(self, column: int, default: int | None = None) -> int:
        """The whole number in ``column``; ``3.0`` is one."""
        number = self.real(column, default)
        if not abs(number) < LARGEST or number != int(number):
            raise self.fault(f"column {column + 1} is {number}; allowed: a whole number")
        return int(number)


def read_lines(
    path: Path, *, separator: str | None, least: int, most: int = 10**6
) -> Iterator[Line]:
    """The lines that are not empty, cut at ``separator`` (None: white space).

    A line of fewer than ``least`` or more than ``most`` fields is a FormatError.
    """
    for number, text in enumerate(read_text(path).splitlines(), 1):
        if not text.strip():
            continue
        fields = [field.strip() for field in text.strip().split(separator)]
        if not least <= len(fields) <= most:
            allowed = f"{least}" if least == most else f"{least} to {most}"
            message = f"{len(fields)} columns in {text[:60]!r}; allowed: {allowed}"
            raise FormatError(message, path=path, line=number)
        yield Line(fields, number, path)


def frames_of(lines: Iterable[Line], *, first: int) -> set[int]:
    """The frames (from 0) in the first column of lines, as far as they are numbers."""
    found = set()
    for line in lines:
        with suppress(FormatError):
            found.add(line.whole(0) - first)
    return found


def count_lines(path: Path) -> int:
    """Number of lines that are not empty."""
    return sum(bool(text.strip()) for text in read_text(path).splitlines())


def read_names(path: Path) -> tuple[str, ...]:
    """Class names, one a line; spaces belong to a name.

    An empty line before the last name is a FormatError: skipping it would move the numbers of
    all later classes, keeping it would be a class without a name.
    """
    names = tuple(line.strip() for line in read_text(path).rstrip().splitlines())
    if "" in names:
        message = "an empty line among the class names; allowed: one name a line"
        raise FormatError(message, path=path, line=names.index("") + 1)
    return names


def plain(number: float) -> str:
    """A number with the fewest digits that give it back; a whole one without a point.

    >>> plain(3.0), plain(0.1)
    ('3', '0.1')
    """
    if math.isfinite(number) and number == int(number):
        return str(int(number))
    return repr(float(number))
