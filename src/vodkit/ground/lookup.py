"""Choosing from a table by name, with help when the name is not there."""

from collections.abc import Iterable, Mapping
from difflib import get_close_matches
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


def unknown(name: str, names: Iterable[str], what: str) -> SettingsError:
    """The error for a name that is in no table: nearest names first, else all of them."""
    known = sorted(names)
    close = nearest(name, known)
    hint = f"did you mean {' or '.join(close)}?" if close else f"choose from: {', '.join(known)}"
    return SettingsError(f"unknown {what} {name!r}; {hint}")


def pick(table: Mapping[str, T], name: str, what: str) -> T:
    """``table[name]``; an unknown name raises SettingsError with the nearest names.

    >>> pick({"sort": 1}, "sort", "tracker")
    1
    """
    if name not in table:
        raise unknown(name, table, what)
    return table[name]
