"""Tables that installed packages add entries to, through entry points.

A package names its own tracker in its ``pyproject.toml``::

    [project.entry-points."vodkit.trackers"]
    mine = "my_package.tracker:ENTRY"

Entry points are looked up when a name is none of vodkit's own, or when all names are wanted; a
package is imported when its entry is used.
"""

from collections.abc import Callable, Iterator, Mapping
from functools import cached_property
from importlib.metadata import EntryPoint, entry_points
from typing import Any, TypeVar

from vodkit.ground.errors import SettingsError

T = TypeVar("T")


def any_entry(_entry: Any) -> str:
    """The check of a table that takes everything."""
    return ""


class Table(Mapping[str, T]):
    """vodkit's own entries, and those of installed packages."""

    def __init__(
        self, group: str, own: Mapping[str, T], *, fault: Callable[[Any], str] = any_entry
    ) -> None:
        """Nothing is looked up yet.

        Args:
            group: The group of entry points, such as ``vodkit.trackers``.
            own: vodkit's entries, by name.
            fault: What an entry lacks, in words; empty where it can be used.
        """
        self.group = group
        self.own = own
        self._fault = fault

    @cached_property
    def added(self) -> dict[str, EntryPoint]:
        """Entry points by name, sorted; SettingsError where a name is taken."""
        found: dict[str, EntryPoint] = {}
        for point in sorted(entry_points(group=self.group), key=lambda one: one.name):
            if point.name in self.own:
                raise SettingsError(f"{_of(point)} names {point.name!r}, as vodkit itself does")
            other = found.setdefault(point.name, point)
            if other.value != point.value:
                raise SettingsError(f"{_of(other)} and {_of(point)} both name {point.name!r}")
        return found

    def __getitem__(self, name: str) -> T:
        """The entry; KeyError for an unknown name, SettingsError for a package that fails."""
        if name in self.own:
            return self.own[name]
        point = self.added[name]
        try:
            entry: T = point.load()
        except Exception as error:
            seen = f"{type(error).__name__}: {error}"
            raise SettingsError(f"{_of(point)} cannot load {point.name!r}: {seen}") from error
        if fault := self._fault(entry):
            raise SettingsError(f"{_of(point)}: {point.name!r} ({point.value}) {fault}")
        return entry

    def __contains__(self, name: object) -> bool:
        """Whether there is an entry of this name; nothing is loaded."""
        return name in self.own or name in self.added

    def __iter__(self) -> Iterator[str]:
        """All names, vodkit's own first."""
        yield from self.own
        yield from self.added

    def __len__(self) -> int:
        """Number of names."""
        return len(self.own) + len(self.added)


def _of(point: EntryPoint) -> str:
    """The package that an entry point belongs to.

    >>> _of(EntryPoint("mine", "my_package:ENTRY", "vodkit.trackers"))
    'an unknown package (vodkit.trackers)'
    """
    package = "an unknown package" if point.dist is None else f"package {point.dist.name}"
    return f"{package} ({point.group})"
