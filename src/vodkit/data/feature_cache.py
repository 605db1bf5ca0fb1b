"""Features of a frozen backbone on disk: computed once, read every epoch.

One file of half-precision numbers, one slot a view of a sample, memory-mapped so that only what is
read is in memory. Its size is reserved when it is made, so a full disk is noticed before training.
A small JSON file beside it says what it was made from, and exists only once all slots are filled.
"""

import json
import math
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from vodkit.ground import ledger
from vodkit.ground.errors import InputError, OutputError
from vodkit.ground.runs import write_json

Shape = tuple[int, ...]
_BYTES = 2


@dataclass(frozen=True)
class Layout:
    """What a slot holds."""

    shapes: tuple[Shape, ...]
    """of the feature maps of one picture, without the batch axis"""
    num_slots: int

    @property
    def numbers(self) -> int:
        """Values in a slot."""
        return sum(math.prod(shape) for shape in self.shapes)

    @property
    def num_bytes(self) -> int:
        """Size of the file."""
        return self.numbers * self.num_slots * _BYTES


class FeatureCache:
    """Slots of feature maps in a file.

    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     cache = FeatureCache(Path(folder) / "f16", Layout(((2, 3),), num_slots=4))
    ...     cache.write([1], [torch.ones(1, 2, 3)])
    ...     cache.read([1])[0].sum()
    tensor(6.)
    """

    def __init__(self, path: Path, layout: Layout) -> None:
        """Make the file (or take the one that is there) in its whole size.

        Raises OutputError when it cannot be made or the disk has no room for it.
        """
        self.path = path
        self.layout = layout
        self._is_noted = True
        _reserve(path, layout.num_bytes)
        shape = (layout.num_slots, layout.numbers)
        self._slots = np.memmap(path, np.float16, mode="r+", shape=shape)

    def write(self, slots: Sequence[int], maps: Sequence[Tensor]) -> None:
        """Put feature maps (B, ...) into B slots; InputError where half precision is too small."""
        flat = torch.cat([_channels_last(part.detach()).cpu() for part in maps], dim=1).half()
        if not bool(torch.isfinite(flat).all()):
            raise InputError("features do not fit half precision; use cache = off")
        if self._is_noted:  # what a note says of earlier features is no longer so
            _note(self.path).unlink(missing_ok=True)
            self._is_noted = False
        self._slots[list(slots)] = flat.numpy()

    def read(self, slots: Sequence[int]) -> list[Tensor]:
        """Feature maps (B, ...) of B slots, float32; images among them with channels last.

        That is the layout that convolutions are fast in; to change it each time would cost more
        than to read.
        """
        rows = torch.from_numpy(self._slots[list(slots)])
        sizes = [math.prod(shape) for shape in self.layout.shapes]
        parts = torch.split(rows, sizes, dim=1)
        return [_as_map(part, s) for part, s in zip(parts, self.layout.shapes, strict=True)]

    def close(self) -> None:
        """Let go of the file; nothing can be read or written afterwards."""
        mapped: Any = self._slots.base
        del self._slots
        mapped.close()

    def finish(self, made_from: dict[str, Any]) -> None:
        """Say that all slots are filled, and from what."""
        self._slots.flush()
        write_json(_note(self.path), {"made_from": made_from})


def _channels_last(maps: Tensor) -> Tensor:
    """Flat rows (B, N) of maps (B, ...)."""
    return (maps.permute(0, 2, 3, 1) if maps.ndim == 4 else maps).flatten(1)


def _as_map(rows: Tensor, shape: Shape) -> Tensor:
    """What ``_channels_last`` was given, of one shape without the batch axis, as float32."""
    if len(shape) != 3:
        return rows.reshape(len(rows), *shape).float()
    channels, height, width = shape
    return rows.reshape(len(rows), height, width, channels).float().permute(0, 3, 1, 2)


def is_finished(path: Path, made_from: dict[str, Any]) -> bool:
    """Whether a complete cache of just this lies at ``path``."""
    try:
        note = json.loads(_note(path).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return bool(note.get("made_from") == json.loads(json.dumps(made_from)))


def _note(path: Path) -> Path:
    return path.with_name(path.name + ".json")


def _reserve(path: Path, num_bytes: int) -> None:
    """The file in its whole size: writing to a map on a full disk would kill the process."""
    try:
        if path.is_file() and path.stat().st_size == num_bytes:
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        ledger.claim(path)
        _note(path).unlink(missing_ok=True)  # of a file that is gone
        with path.open("wb") as file:
            if hasattr(os, "posix_fallocate"):
                os.posix_fallocate(file.fileno(), 0, num_bytes)
            else:
                file.truncate(num_bytes)
    except OSError as error:
        path.unlink(missing_ok=True)
        wanted = f"{num_bytes / 2**20:.0f} MiB for features"
        raise OutputError(f"{wanted}: {error.strerror}; lower cache_gib", path=path) from error
