"""Counts that add up over videos."""

from dataclasses import dataclass, fields
from typing import Self


@dataclass(frozen=True, kw_only=True)
class Counts:
    """What the counts of all metrics are made of: their sum is the sum of each field."""

    def __add__(self, other: Self) -> Self:
        """The counts of both together."""
        return type(self)(
            **{s.name: getattr(self, s.name) + getattr(other, s.name) for s in fields(self)}
        )
