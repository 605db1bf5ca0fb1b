"""``--help``: pages as wide as the terminal, with the names that options may have."""

import ast
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup

from vodkit.cli.terminal import cells, fitting, width_of, wrapped

_WIDEST = 80
_STACKED = 50  # columns below which a meaning is put under its option
_INDENT = 2
_LONGEST = 500  # characters of a first sentence
# option: the table whose names it takes. Read from its source: importing it would take too long.
TABLES = {
    "--model": ("vodkit.detect.published", "MODELS"),
    "--tracker": ("vodkit.track.table", "TRACKERS"),
    "--runtime": ("vodkit.detect.runtimes.table", "RUNTIMES"),
    "--format": ("vodkit.formats.table", "FORMATS"),
    "--prediction-format": ("vodkit.formats.table", "FORMATS"),
}


def names_in(module: str, table: str) -> list[str]:
    """The keys of a table, in its order, without importing its module.

    >>> names_in("vodkit.track.table", "TRACKERS")[0]
    'vodkit'
    """
    for node in ast.parse(_source(module).read_text(encoding="utf-8")).body:
        if not isinstance(node, ast.AnnAssign) or ast.unparse(node.target) != table:
            continue
        assert node.value is not None
        literal = next(one for one in ast.walk(node.value) if isinstance(one, ast.Dict))
        return [str(key.value) for key in literal.keys if isinstance(key, ast.Constant)]
    raise AssertionError(f"{module} has no table {table}")


def _source(module: str) -> Path:
    """The file of a module; its packages are not imported either."""
    top, *inner = module.split(".")
    found = find_spec(top)
    assert found is not None
    assert found.origin is not None
    return Path(found.origin).parent.joinpath(*inner).with_suffix(".py")


class HelpPage:
    """Writes help as the parser asks for it; the words of a line are never broken."""

    def __init__(self) -> None:
        """As wide as the terminal, and at most as a page."""
        import sys

        self.width = min(width_of(sys.stdout) or _WIDEST, _WIDEST)
        self._indent = 0
        self._parts: list[str] = []

    def write(self, text: str) -> None:
        """Append as it is."""
        self._parts.append(text)

    def write_usage(self, prog: str, args: str = "", prefix: str | None = None) -> None:
        """The line that begins with ``Usage:``."""
        self._lines(f"{prefix or 'Usage: '}{prog} {args}", hang=4)

    def write_heading(self, heading: str) -> None:
        """The title of a section."""
        self._lines(f"{heading}:")

    def write_paragraph(self) -> None:
        """An empty line, but not at the top."""
        if self._parts:
            self.write("\n")

    def write_text(self, text: str) -> None:
        r"""Paragraphs; one that begins with a line of ``\b`` keeps its lines."""
        paragraphs = [part for part in text.expandtabs().split("\n\n") if part.strip()]
        for number, paragraph in enumerate(paragraphs):
            lines = paragraph.strip("\n").splitlines()
            if number:
                self.write("\n")
            if lines[0].strip() == "\b":
                for line in lines[1:]:
                    self._lines(line, hang=4)
            else:
                self._lines(" ".join(map(str.strip, lines)), hang=0)

    def write_dl(
        self, rows: Sequence[tuple[str, str]], col_max: int = 26, col_spacing: int = 2
    ) -> None:
        """Names and what they mean, in two columns or, on narrow terminals, in one."""
        first = min(max(cells(name) for name, _ in rows), col_max) + col_spacing
        stacked = self.width < _STACKED
        for name, meaning in rows:
            text = _with_names(name, " ".join(meaning.split()))
            start = 2 * _INDENT if stacked else first
            room = self.width - self._indent - start
            lines = wrapped(text, room, hang=0) if text else []
            below = stacked or cells(name) > first - col_spacing
            pad = " " * (self._indent + start)
            if below or not lines:
                self._lines(name, hang=_INDENT)
            else:
                gap = " " * (first - cells(name))
                self.write(f"{' ' * self._indent}{name}{gap}{lines.pop(0)}\n")
            self.write("".join(f"{fitting(pad, line, self.width)}\n" for line in lines))

    @contextmanager
    def section(self, name: str) -> Iterator[None]:
        """A heading, with what is written inside indented."""
        self.write_paragraph()
        self.write_heading(name)
        with self.indentation():
            yield

    @contextmanager
    def indentation(self) -> Iterator[None]:
        """What is written inside is indented."""
        self._indent += _INDENT
        try:
            yield
        finally:
            self._indent -= _INDENT

    def getvalue(self) -> str:
        """All that was written."""
        return "".join(self._parts)

    def _lines(self, text: str, *, hang: int = 2) -> None:
        lines = wrapped(" " * self._indent + text, self.width, hang=hang)
        self.write("".join(f"{line}\n" for line in lines))


def _with_names(option: str, meaning: str) -> str:
    """The meaning of an option, with the names that it takes, unless it lists them already."""
    words = option.replace(",", " ").split()
    for name in TABLES.keys() & set(words):
        known = names_in(*TABLES[name])
        if not all(one in meaning for one in known):
            return f"{meaning} Names: {', '.join(known)}."
    return meaning


class _Context(typer.Context):
    """Gives commands their help page."""

    def make_formatter(self) -> Any:
        """What help and usage are written with."""
        return HelpPage()


class Command(TyperCommand):
    """A command whose help is a HelpPage."""

    context_class = _Context


class Group(TyperGroup):
    """A group of commands whose help is a HelpPage, with a whole sentence for each command."""

    context_class = _Context

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """The list of commands."""
        found = [(name, self.get_command(ctx, name)) for name in self.list_commands(ctx)]
        rows = [(name, one.get_short_help_str(_LONGEST)) for name, one in found if one]
        with formatter.section("Commands"):
            formatter.write_dl(rows)


_AFTER = {"data": "demo", "runs": "track"}


class InOrder(Group):
    """Lists commands in the order of a project's life: typer would put groups at the end."""

    def list_commands(self, ctx: Any) -> list[str]:
        """The names, as ``--help`` shows them."""
        names = [name for name in super().list_commands(ctx) if name not in _AFTER]
        for group, before in _AFTER.items():
            names.insert(names.index(before) + 1, group)
        return names
