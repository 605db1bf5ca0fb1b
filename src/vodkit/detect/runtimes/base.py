"""The one thing a runtime does."""

from collections.abc import Sequence
from typing import Protocol

from vodkit.arrays import ByteArray, FloatArray


class Runtime(Protocol):
    """Runs one network on pictures that are resized and filled already."""

    name: str
    """as ``--runtime`` calls it, with what it runs on"""

    def run(self, pictures: Sequence[ByteArray]) -> list[tuple[FloatArray, ...]]:
        """The outputs of each picture (H, W, 3) uint8 RGB, without the batch axis.

        All pictures of a call have one size. Outputs are the caller's to keep.
        """
        ...
