"""Shards: which videos are whose, from their names alone.

A video's shard does not depend on which others there are, so that a list that grows between two
starts moves none of them.
"""

import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

from vodkit.ground.errors import SettingsError

AUTO = "auto"
_SLURM = "SLURM_ARRAY_TASK_"


@dataclass(frozen=True)
class Shard:
    """One of ``count`` equal shares."""

    index: int
    """from 0"""
    count: int

    def __post_init__(self) -> None:
        """Check the range."""
        if self.count < 1 or not 0 <= self.index < self.count:
            allowed = (
                f"0/{self.count} to {self.count - 1}/{self.count}" if self.count > 0 else "0/1"
            )
            raise SettingsError(f"shard is {self}; allowed: {allowed}")

    def __str__(self) -> str:
        """As in ``--shard``."""
        return f"{self.index}/{self.count}"

    def holds(self, name: str) -> bool:
        """Whether the run of this name is in the shard.

        >>> [sum(Shard(i, 4).holds(f"clip-{n}") for i in range(4)) for n in range(3)]
        [1, 1, 1]
        """
        digest = hashlib.sha256(name.encode()).digest()
        return int.from_bytes(digest[:8], "big") % self.count == self.index

    @classmethod
    def parse(cls, text: str, environ: Mapping[str, str] = os.environ) -> Self:
        """The shard that ``--shard`` means: ``3/40``, or auto.

        Args:
            text: the value of the option; empty: everything.
            environ: where auto finds the number of an array job (Slurm, AWS Batch, Kubernetes).

        Raises:
            SettingsError: out of range, not of that form, or auto outside of an array job.

        >>> str(Shard.parse("3/40"))
        '3/40'
        >>> str(Shard.parse("auto", {"JOB_COMPLETION_INDEX": "1", "JOB_COMPLETION_COUNT": "4"}))
        '1/4'
        """
        if not text:
            return cls(0, 1)
        if text == AUTO:
            return cls(*_of_array(environ))
        index, slash, count = text.partition("/")
        if not slash or not (index.isdecimal() and count.isdecimal()):
            raise SettingsError(f"shard is {text!r}; allowed: index/count as 0/40, or auto")
        return cls(int(index), int(count))


def _of_array(environ: Mapping[str, str]) -> tuple[int, int]:
    """Index and count of the array job in which this process runs."""
    if f"{_SLURM}ID" in environ:
        return _of_slurm(environ)
    for index, count in (
        ("AWS_BATCH_JOB_ARRAY_INDEX", "AWS_BATCH_JOB_ARRAY_SIZE"),
        ("JOB_COMPLETION_INDEX", "JOB_COMPLETION_COUNT"),
    ):
        if index in environ:
            if count not in environ:
                hint = f"set {count} in the job, or give --shard {environ[index]}/COUNT"
                raise SettingsError(f"shard is auto and {index} is set, but not {count}; {hint}")
            return _number(environ, index), _number(environ, count)
    known = f"{_SLURM}ID, AWS_BATCH_JOB_ARRAY_INDEX, JOB_COMPLETION_INDEX"
    raise SettingsError(f"shard is auto outside of an array job (none of {known} is set)")


def _of_slurm(environ: Mapping[str, str]) -> tuple[int, int]:
    """Slurm arrays may begin anywhere, and have gaps of one width (``--array=1-40:2``)."""
    first = _number(environ, f"{_SLURM}MIN", 0)
    step = _number(environ, f"{_SLURM}STEP", 1) or 1
    index, rest = divmod(_number(environ, f"{_SLURM}ID") - first, step)
    count = _number(environ, f"{_SLURM}COUNT")
    last = _number(environ, f"{_SLURM}MAX", first + (count - 1) * step)
    if rest or last != first + (count - 1) * step:
        message = f"shard is auto in a Slurm array of {count} tasks from {first} to {last}"
        raise SettingsError(f"{message} with uneven gaps; allowed: --array=0-{count - 1}")
    return index, count


def _number(environ: Mapping[str, str], name: str, default: int | None = None) -> int:
    text = environ.get(name, "" if default is None else str(default))
    if not text.isdecimal():
        seen = f"is {text!r}" if name in environ else "is not set"
        raise SettingsError(f"shard is auto, but {name} {seen}; allowed: a whole number")
    return int(text)
