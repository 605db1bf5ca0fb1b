"""How lines are printed: wrapped between words, with control characters made visible.

On a terminal, lines are wrapped at its width; in files and pipes they are left as they are. Text
comes from users (paths, class names, settings): it is never markup, and characters that a
terminal would obey are printed as escapes. Characters that the encoding lacks are replaced.
"""

import json
import os
import re
import shlex
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TextIO
from unicodedata import combining, east_asian_width

from vodkit.ground.text import redacted

UNDEFINED = "\N{EN DASH}"
"""how tables show a number that is undefined"""
_PLAIN = {
    "\N{EN DASH}": "-", "\N{EM DASH}": "-", "\N{HORIZONTAL ELLIPSIS}": "...",
    "\N{MULTIPLICATION SIGN}": "x", "\N{MIDDLE DOT}": ".", "\N{PLUS-MINUS SIGN}": "+-",
}  # fmt: skip
_JOINERS = "\N{ZERO WIDTH NON-JOINER}\N{ZERO WIDTH JOINER}"  # letters of some scripts need them
_NARROW = 12  # a terminal this narrow has no room for indents
_NUMBER = re.compile(r"[-+]?[\d.,]+(%|/s|x| s| ms| px)?|[?\N{EN DASH}]?")


def visible(text: str, encoding: str = "utf-8") -> str:
    r"""``text`` with control characters, and characters that ``encoding`` lacks, as escapes.

    >>> visible("a[b]\x1b[2J\n")
    'a[b]\\x1b[2J\\n'
    >>> visible("caf\xe9 \N{EN DASH}", "ascii")
    'caf\\xe9 -'
    """
    shown = "".join(
        one if one.isprintable() or one in _JOINERS else one.encode("unicode_escape").decode()
        for one in redacted(text)
    )
    try:
        shown.encode(encoding)
    except UnicodeEncodeError:
        for symbol, plain in _PLAIN.items():
            shown = shown.replace(symbol, plain)
        shown = shown.encode(encoding, "backslashreplace").decode(encoding)
    return shown


def width_of(stream: TextIO) -> int | None:
    """Columns of the terminal that ``stream`` writes to; None: it is no terminal."""
    if not stream.isatty():
        return None
    told = os.environ.get("COLUMNS", "")
    if told.isdecimal() and int(told) > 0:
        return int(told)
    try:
        return os.get_terminal_size(stream.fileno()).columns or 80
    except OSError:
        return 80


def cells(text: str) -> int:
    """Columns that ``text`` takes on a terminal.

    >>> cells("car"), cells("\u8eca")
    (3, 2)
    """
    return sum(0 if combining(one) else 1 + (east_asian_width(one) in "WF") for one in text)


def wrapped(text: str, width: int | None, *, hang: int = 2, end: str = "") -> list[str]:
    r"""``text`` in lines of at most ``width`` columns, broken between words only.

    Args:
        text: one line; its leading spaces indent all lines.
        width: columns; None: one line.
        hang: further spaces before all lines but the first.
        end: what a line that continues ends with.

    >>> wrapped("  kept in runs/a", 13)
    ['  kept in', '    runs/a']
    """
    if width is None or cells(text) <= width:
        return [text]
    indent = text[: len(text) - len(text.lstrip(" "))] if width > _NARROW else ""
    below = indent + " " * hang if width > _NARROW else ""
    lines: list[str] = []
    now = ""
    for word in re.split(r" +", text.strip(" ")):
        if now and cells(now) + 1 + cells(word) + cells(end) <= width:
            now = f"{now} {word}"
            continue
        if now:
            lines.append(now + end)
        now = fitting(below if lines else indent, word, width - cells(end))
    return [*lines, now]


def fitting(indent: str, text: str, width: int) -> str:
    """``text`` after as much of ``indent`` as leaves it in one line."""
    return indent[: max(0, width - cells(text))] + text


def say(*lines: str, error: bool = False, hang: int = 2) -> None:
    """Print lines on standard output (``error``: standard error).

    Args:
        lines: text; a line break in one of them is a control character like any other.
        error: print on standard error.
        hang: spaces before what does not fit into the first line, on terminals.
    """
    stream = sys.stderr if error else sys.stdout
    for text in lines:
        shown = visible(text, stream.encoding or "utf-8")
        for line in wrapped(shown, width_of(stream), hang=hang):
            print(line, file=stream, flush=True)


def say_next(*words: str, before: str = "next: ", error: bool = False) -> None:
    """Print a command to run next; where it does not fit, in lines that can be pasted."""
    stream = sys.stderr if error else sys.stdout
    line = visible(before + shlex.join(words), stream.encoding or "utf-8")
    print(*wrapped(line, width_of(stream), end=" \\"), sep="\n", file=stream, flush=True)


def aside(words: str) -> None:
    """Print a note that is no result, on standard error."""
    say(f"vodkit: {words}", error=True)


def say_json(
    content: Any, *, indent: int | None = None, default: Callable[[Any], Any] | None = None
) -> None:
    """Print ``content`` for programs: one line unless ``indent`` is given, never wrapped.

    ``default`` converts what JSON does not know, as in ``json.dumps``.
    """
    is_unicode = (sys.stdout.encoding or "").lower().replace("-", "").startswith("utf")
    words = json.dumps(content, ensure_ascii=not is_unicode, indent=indent, default=default)
    print(words, flush=True)


def say_table(titles: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a table; where the terminal is too narrow for it, one cell a line."""
    encoding = sys.stdout.encoding or "utf-8"
    shown = [[visible(cell, encoding) for cell in row] for row in [titles, *rows]]
    for line in _table(shown[0], shown[1:], width_of(sys.stdout)):
        print(line, flush=True)


def _table(
    titles: Sequence[str], rows: Sequence[Sequence[str]], width: int | None
) -> Iterator[str]:
    """Numbers stand at the right of their column, words at the left."""
    columns = list(zip(titles, *rows, strict=True))
    widths = [max(map(cells, column)) for column in columns]
    right = [all(_NUMBER.fullmatch(cell) for cell in column[1:]) for column in columns]
    fixed, room = sum(widths[:-1]) + 2 * (len(widths) - 1), None
    if width is not None and fixed + widths[-1] > width:
        room = width - fixed  # the last column is the one with sentences
        if room < min(widths[-1], 24):
            yield from _cards(titles, rows, width)
            return
    for row in [titles, *rows]:
        *first, last = row
        padded = [
            " " * (size - cells(cell)) + cell if flush else cell + " " * (size - cells(cell))
            for cell, size, flush in zip(first, widths, right, strict=False)
        ]
        if right[-1]:
            last = " " * (widths[-1] - cells(last)) + last
        head, *others = wrapped(last, room, hang=0)
        yield "  ".join([*padded, head]).rstrip()
        yield from (" " * fixed + line for line in others)


def _cards(titles: Sequence[str], rows: Sequence[Sequence[str]], width: int) -> Iterator[str]:
    for row in rows:
        yield from wrapped(row[0] or titles[0], width)
        for title, cell in zip(titles[1:], row[1:], strict=True):
            if cell:
                yield from wrapped(f"  {title}: {cell.strip()}" if title else f"  {cell}", width)
