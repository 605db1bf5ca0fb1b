"""Numbers of a training under way, and the file they are kept in."""

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from vodkit.ground.settings import to_toml
from vodkit.ground.text import csv_text


class Meter:
    """Means of losses over an epoch, and the share of its time spent waiting for data."""

    def __init__(
        self,
        sums: Mapping[str, float] | None = None,
        count: int = 0,
        seconds: float = 0.0,
        waited: float = 0.0,
    ) -> None:
        """The epoch begins, or goes on: after ``count`` steps whose losses had these sums."""
        self._sums = dict(sums or {})
        self._count = count
        self._before = seconds
        self._began: float | None = None
        self._waited = waited

    def begin(self) -> None:
        """Steps are made from now on: what comes between epochs is not their time."""
        self._began = time.perf_counter()

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """Within, the step waits for its data."""
        asked = time.perf_counter()
        yield
        self._waited += time.perf_counter() - asked

    def add(self, losses: Mapping[str, float]) -> None:
        """The losses of one step."""
        self._count += 1
        for name, value in losses.items():
            self._sums[name] = self._sums.get(name, 0.0) + value

    @property
    def so_far(self) -> dict[str, Any]:
        """What another Meter needs to go on."""
        return {
            "sums": dict(self._sums),
            "count": self._count,
            "seconds": self._seconds,
            "waited": self._waited,
        }

    @property
    def _seconds(self) -> float:
        return self._before + (0.0 if self._began is None else time.perf_counter() - self._began)

    @property
    def wait_share(self) -> float:
        """0 to 1."""
        return self._waited / max(self._seconds, 1e-9)

    def means(self) -> dict[str, float]:
        """Mean losses, ``loss`` (their sum), ``seconds`` and ``wait``."""
        means = {name: value / self._count for name, value in self._sums.items()}
        total = sum(means.values())
        return {**means, "loss": total, "seconds": self._seconds, "wait": self.wait_share}


def as_csv(rows: Sequence[Mapping[str, float]]) -> str:
    r"""A table with all the columns that any row has.

    >>> as_csv([{"epoch": 1}, {"epoch": 2, "ap": 0.5}])
    'epoch,ap\n1,\n2,0.5\n'
    """
    columns = list(dict.fromkeys(name for row in rows for name in row))
    lines = ([f"{row[one]:.6g}" if one in row else "" for one in columns] for row in rows)
    return csv_text([columns, *lines])


_FREE = ("workers", "save_every_s", "out", "data", "root", "journals", "num_pictures")


def flat(settings: object) -> dict[str, str]:
    """The settings that change what comes out, by name, as text."""
    table, found = "", {}
    for line in to_toml(settings).splitlines():
        if line.startswith("["):
            table = line.strip("[]") + "."
        elif " = " in line:
            name, _, value = line.partition(" = ")
            found[table + name] = value
    return {name: value for name, value in found.items() if name not in _FREE}
