"""Choosing from a table by name, with help when the name is not there."""

from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import TypeVar

from vodkit.ground.errors import SettingsError

T = TypeVar("T")


def nearest(name: str, names: Iterable[str]) -> list[str]:
    """Up to three valid names that look like ``name``, best first (case is ignored).

    >>> nearest("bytetrak", ["sort", "bytetrack", "ocsort"])[0]
    'bytetrack'
    """
    by_lower = {known.lower(): known for known in names}
    close = get_close_matches(name.lower(), by_lower, n=3, cutoff=0.5)
    return [by_lower[lower] for lower in close]


def named_like(path: Path) -> str:
    """What a path that does not exist may be meant for, as an end of an error; else empty.

    Args:
        path: does not exist; its folder may.
    """
    try:
        close = nearest(path.name, [one.name for one in path.parent.iterdir()])
    except OSError:
        return ""
    return f"; did you mean {' or '.join(str(path.with_name(one)) for one in close)}?" * bool(close)


def unknown(name: str, names: Iterable[str], what: str) -> SettingsError:
    """The error for a name that is in no table: nearest names first, else all of them."""
    known = sorted(names)
    close = nearest(name, known)
    hint = f"did you mean {' or '.join(close)}?" if close else f"choose from: {', '.join(known)}"
    return SettingsError(f"unknown {what} {name!r}; {hint}")


def full_name(name: str, names: Iterable[str], what: str) -> str:
    """The one of ``names`` that ``name`` is, or is a short form of.

    Case, ``-``, ``_`` and spaces are ignored. A short form is the begin of a name, or else a part
    of it; it has to fit one name only.

    Raises:
        SettingsError: no name fits (the nearest ones are given), or several do (all are).

    >>> full_name("SSDLite", ["ssdlite320_mobilenet", "ssd300_vgg16"], "model")
    'ssdlite320_mobilenet'
    """
    known = {_plain(one): one for one in names}
    wanted = _plain(name)
    if wanted in known:
        return known[wanted]
    begin = [one for plain, one in known.items() if wanted and plain.startswith(wanted)]
    inside = [one for plain, one in known.items() if len(wanted) > 2 and wanted in plain]
    fitting = begin or inside
    if len(fitting) > 1:
        raise SettingsError(f"{what} {name!r} is short for several: {', '.join(fitting)}")
    if not fitting:
        raise unknown(name, known.values(), what)
    return fitting[0]


def _plain(name: str) -> str:
    return "".join(c for c in name.lower() if c not in "-_ ")


def pick(table: Mapping[str, T], name: str, what: str) -> T:
    """``table[name]``; an unknown name raises SettingsError with the nearest names.

    >>> pick({"sort": 1}, "sort", "tracker")
    1
    """
    if name not in table:
        raise unknown(name, table, what)
    return table[name]
