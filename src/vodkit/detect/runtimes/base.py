"""The one thing a runtime does, and the folder where converted networks are kept."""

import hashlib
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Protocol, runtime_checkable

from vodkit.arrays import ByteArray, FloatArray
from vodkit.detect.base import ModelCard
from vodkit.runs import stack


class Runtime(Protocol):
    """Runs one network on pictures that are resized and filled already."""

    name: str
    """as ``--runtime`` calls it, with what it runs on"""

    def run(self, pictures: Sequence[ByteArray]) -> list[tuple[FloatArray, ...]]:
        """The outputs of each picture (H, W, 3) uint8 RGB, without the batch axis.

        All pictures of a call have one size. Outputs are the caller's to keep.
        """
        ...


@runtime_checkable
class StreamRuntime(Protocol):
    """A runtime that computes the next pictures while somebody looks at what is done."""

    def stream(self, pictures: Iterable[ByteArray | None]) -> Iterator[tuple[FloatArray, ...]]:
        """The outputs of each picture, in order; each is lent until the next one is asked for.

        Pictures are taken ahead, and are the caller's own again when the next one is asked for.
        None among them: outputs are wanted before the next one can be told.
        """
        ...


def versions() -> dict[str, str]:
    """Versions of everything that can change a number of a runtime."""
    found = stack()
    for name in ("onnx", "onnxruntime", "nncf"):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


@dataclass(frozen=True)
class KeptGraphs:
    """A folder of converted networks, since converting takes seconds."""

    folder: Path
    weights_sha256: str
    converter: str
    """the package that converts; a new version converts anew"""

    def path(self, card: ModelCard, height_px: int, width_px: int, suffix: str) -> Path:
        """A file name that changes with anything that could change a number."""
        made_of = {
            **asdict(card),
            "weights": self.weights_sha256,
            "versions": [version(self.converter), version("vodkit")],
            "input": [height_px, width_px],
        }
        digest = hashlib.sha256(json.dumps(made_of, sort_keys=True).encode()).hexdigest()
        return self.folder / f"{card.name}-{height_px}x{width_px}-{digest[:16]}{suffix}"
