"""Which files vodkit wrote: it replaces and deletes those, and no others.

Every folder that vodkit writes into has a hidden list, ``.vodkit-wrote``, with a JSON string a
line: the name of a file in it, or of one below it. A file takes its place in the list before it is
written. What the list does not name belongs to the user.
"""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from pathlib import Path

from vodkit.ground.errors import OutputError, writing

NAME = ".vodkit-wrote"
_MOST_NAMED = 3
_MOST_BYTES = 2**28
_recorded: ContextVar[bool] = ContextVar("recorded", default=True)


@contextmanager
def unrecorded() -> Iterator[None]:
    """Within, files are neither checked nor recorded: they go into a new folder of our own."""
    token = _recorded.set(False)
    try:
        yield
    finally:
        _recorded.reset(token)


def claim(path: Path) -> None:
    """Before writing ``path``: refuse to replace a file of the user, and record it as ours.

    Raises:
        OutputError: vodkit did not write what is there, or the folder cannot be written.
    """
    if not _recorded.get():
        return
    if os.path.lexists(path):
        require_ours(path)
    else:
        record(path)


def require_ours(path: Path) -> None:
    """OutputError where there is something at ``path`` that vodkit did not write."""
    if os.path.lexists(path) and not is_ours(path):
        message = "exists and was not written by vodkit, which replaces no other files"
        raise OutputError(f"{message}; move it away, or choose another name", path=path)


def is_ours(path: Path) -> bool:
    """Whether vodkit wrote the file at ``path``, by the list in its folder."""
    return path.name in _names_in(path.parent)


def record(path: Path, *names: str) -> None:
    """Add ``path``, or files ``names`` in the folder ``path``, to the list."""
    folder, found = (path, names) if names else (path.parent, (path.name,))
    lines = "".join(json.dumps(name) + "\n" for name in found)
    with writing(folder / NAME), (folder / NAME).open("a", encoding="ascii") as file:
        file.write(lines)


def record_all(folder: Path) -> None:
    """Record every file below ``folder``, which vodkit has just made."""
    record(folder, *(one.relative_to(folder).as_posix() for one in _files_below(folder)))


def foreign(folder: Path) -> list[Path]:
    """The files below ``folder`` that vodkit did not write, sorted."""
    known = set(_ours_below(folder))
    return sorted(path for path in _files_below(folder) if path not in known)


def require_all_ours(folder: Path) -> None:
    """OutputError where a file below ``folder`` was not written by vodkit; it names some."""
    others = foreign(folder)
    if others:
        named = ", ".join(str(path.relative_to(folder)) for path in others[:_MOST_NAMED])
        more = f" and {len(others) - _MOST_NAMED} more" if len(others) > _MOST_NAMED else ""
        message = f"holds files that vodkit did not write: {named}{more}"
        raise OutputError(f"{message}; choose another folder", path=folder)


def remove(path: Path) -> None:
    """Delete the file at ``path`` if vodkit wrote it; else it stays."""
    if is_ours(path):
        path.unlink(missing_ok=True)


def remove_tree(folder: Path) -> None:
    """Delete what vodkit wrote below ``folder``, and the folders that are empty then."""
    for path in _ours_below(folder):
        with suppress(FileNotFoundError):
            path.unlink()
    for place, _, _ in os.walk(folder, topdown=False):
        if os.listdir(place) == [NAME]:  # noqa: PTH208 - names are all that is needed
            (Path(place) / NAME).unlink()
        with suppress(OSError):  # it holds files of the user
            Path(place).rmdir()


def _files_below(folder: Path) -> Iterator[Path]:
    for place, folders, names in os.walk(folder):
        links = [name for name in folders if (Path(place) / name).is_symlink()]
        yield from (Path(place) / name for name in [*names, *links] if name != NAME)


def _ours_below(folder: Path) -> Iterator[Path]:
    """Files below ``folder`` that exist and are in the list of their folder, or one above it."""
    for place, _, names in os.walk(folder):
        if NAME in names:
            below = (Path(place) / name for name in _names_in(Path(place)))
            yield from (path for path in below if os.path.lexists(path) and not _is_folder(path))


def _is_folder(path: Path) -> bool:
    return path.is_dir() and not path.is_symlink()


def _names_in(folder: Path) -> set[str]:
    """What the list in ``folder`` names; nothing that lies outside of it."""
    names: set[str] = set()
    try:
        with (folder / NAME).open("rb") as file:
            lines = file.read(_MOST_BYTES).splitlines()
    except OSError:
        return names
    for line in lines:
        with suppress(ValueError):
            name = json.loads(line)
            if isinstance(name, str) and name and not _leads_out(name):
                names.add(name)
    return names


def _leads_out(name: str) -> bool:
    return name.startswith(("/", "\\")) or ":" in name or ".." in Path(name).parts
