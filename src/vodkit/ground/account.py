"""Accounts: what became of every object in a label file.

An object is one shape as the file holds it: a row, an annotation, a key frame of a track. A reader
keeps it (the box itself), converts it (a rotated box to its upright hull, ...) or skips it with a
reason. How many objects a file contains is counted by an independent walk through it; an account
that does not balance is an error, so that nothing is dropped without a word.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

from vodkit.ground.errors import InputError, VodkitError

_MOST_LINES = 5
STRICT: ContextVar[bool] = ContextVar("strict", default=False)
"""whether labels of which any object is skipped are refused, by every reader: ``--strict``"""


class AccountError(VodkitError):
    """A reader lost count of the objects in a file: a fault of vodkit."""


@dataclass(frozen=True)
class Skipped:
    """Objects skipped for one reason."""

    count: int
    first: str
    """the place of the first one: ``file:line``, or words"""


@dataclass(frozen=True, kw_only=True)
class Account:
    """What became of every object in one label file or folder."""

    file: str
    format: str
    contained: int
    kept: int
    converted: Mapping[str, int] = field(default_factory=dict)
    """how -> number of objects"""
    skipped: Mapping[str, Skipped] = field(default_factory=dict)
    """reason -> number of objects and the first place"""
    notes: tuple[str, ...] = ()
    """what else was decided while reading"""

    def __post_init__(self) -> None:
        """Raise AccountError where the numbers do not balance."""
        found = self.kept + sum(self.converted.values()) + self.num_skipped
        if found != self.contained:
            message = f"contains {self.contained} objects, but {found} are accounted for"
            raise AccountError(f"{self.file}: {message}; please report this file's format")

    @property
    def num_skipped(self) -> int:
        """Number of objects skipped for any reason."""
        return sum(one.count for one in self.skipped.values())

    def lines(self) -> Iterator[str]:
        """The account in lines of text; the notes follow."""
        converted = sum(self.converted.values())
        parts = [f"objects in the file: {self.contained}", f"kept: {self.kept}"]
        parts += [f"converted: {converted}"] if converted else []
        parts += [f"skipped: {self.num_skipped}"] if self.num_skipped else []
        yield ", ".join(parts)
        for how, count in self.converted.items():
            yield f"converted {how}: {count}"
        for reason, one in self.skipped.items():
            yield f"skipped {reason}: {one.count} (first: {one.first})"
        yield from self.notes

    @property
    def losses(self) -> str:
        """What was converted or skipped, in a line; empty where every object was kept as it is."""
        parts = [f"{count} converted ({how})" for how, count in self.converted.items()]
        parts += [
            f"{one.count} skipped ({reason}; first: {one.first})"
            for reason, one in self.skipped.items()
        ]
        return f"of {self.contained} objects: {', '.join(parts)}" if parts else ""

    def as_json(self) -> dict[str, Any]:
        """The account as JSON values."""
        return {
            "file": self.file,
            "format": self.format,
            "contained": self.contained,
            "kept": self.kept,
            "converted": dict(self.converted),
            "skipped": {
                reason: {"count": one.count, "first": one.first}
                for reason, one in self.skipped.items()
            },
            "notes": list(self.notes),
        }

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> "Account":
        """The account in JSON values of ``as_json``; ValueError where they are none."""
        try:
            return cls(
                file=str(content["file"]),
                format=str(content["format"]),
                contained=int(content["contained"]),
                kept=int(content["kept"]),
                converted={str(how): int(n) for how, n in content["converted"].items()},
                skipped={
                    str(reason): Skipped(int(one["count"]), str(one["first"]))
                    for reason, one in content["skipped"].items()
                },
                notes=tuple(map(str, content["notes"])),
            )
        except (KeyError, TypeError, AttributeError, AccountError, OverflowError) as error:
            raise ValueError(f"not an account: {error!r}") from error


def losses_in(accounts: Sequence[Account]) -> tuple[str, ...]:
    """What label files lost when they were read, one line a file; of many files the first ones."""
    lines = [f"{one.file}: {one.losses}" for one in accounts if one.losses]
    if len(lines) > _MOST_LINES:
        lines = [*lines[:_MOST_LINES], f"and {len(lines) - _MOST_LINES} more such label files"]
    return tuple(lines)


def require_whole(account: Account) -> None:
    """InputError that names every reason and its first place, where ``STRICT`` and any skipped."""
    reasons = [
        f"{one.count} x {reason} (first: {one.first})" for reason, one in account.skipped.items()
    ]
    if STRICT.get() and reasons:
        what = "; ".join(reasons)
        raise InputError(f"--strict, and objects were skipped: {account.file}: {what}")


class Tally:
    """Counts objects while a reader works."""

    def __init__(self) -> None:
        """Nothing counted yet."""
        self.kept = 0
        self.converted: dict[str, int] = {}
        self.skipped: dict[str, Skipped] = {}
        self.notes: list[str] = []

    def take(self, how: str = "", count: int = 1) -> None:
        """Count objects that became boxes: as they are, or converted in the way ``how``."""
        if how:
            self.converted[how] = self.converted.get(how, 0) + count
        else:
            self.kept += count

    def skip(self, reason: str, place: str, count: int = 1) -> None:
        """Count objects that did not become boxes; ``place`` is that of the first."""
        if count:
            before = self.skipped.get(reason, Skipped(0, place))
            self.skipped[reason] = Skipped(before.count + count, before.first)

    def untake(self, taken: Mapping[str, int], reason: str, place: str) -> None:
        """Turn objects counted in the ways ``taken`` into skipped ones: their video failed."""
        for how, count in taken.items():
            self.take(how, -count)
            self.skip(reason, place, count)
        self.converted = {how: count for how, count in self.converted.items() if count}

    def note(self, text: str) -> None:
        """Record a decision, once."""
        if text not in self.notes:
            self.notes.append(text)

    def account(self, *, file: str, format: str, contained: int) -> Account:  # noqa: A002
        """The finished account; AccountError where it does not balance."""
        return Account(
            file=file,
            format=format,
            contained=contained,
            kept=self.kept,
            converted=dict(self.converted),
            skipped=dict(self.skipped),
            notes=tuple(self.notes),
        )
