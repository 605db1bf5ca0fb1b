"""The one thing a runtime does, and the folder where converted networks are kept."""

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Protocol, TypeVar, runtime_checkable

from vodkit.detect.base import ModelCard, RunsOn
from vodkit.detect.weights import digest
from vodkit.ground import ledger
from vodkit.ground.arrays import ByteArray, FloatArray
from vodkit.ground.errors import OutputError, WeightsError
from vodkit.ground.paths import put_in_place
from vodkit.ground.runs import make_folder, stack, write_atomic

Made = TypeVar("Made")


class Runtime(Protocol):
    """Runs one network on pictures that are resized and filled already."""

    runs_on: RunsOn
    """as ``--runtime`` calls it, and the device"""

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


def write_whole(path: Path, write: Callable[[Path], Made]) -> Made:
    """Let ``write`` make ``path``, and what belongs beside it, whole or not at all.

    It is given a name in a passing folder; all that it leaves there is then moved to its place, and
    what it returns is given back.
    OutputError where the disk is full, or nothing may be written.
    """
    make_folder(path.parent)
    try:
        with TemporaryDirectory(dir=path.parent, prefix=".") as folder:
            with ledger.unrecorded():
                made = write(Path(folder) / path.name)
            for part in sorted(Path(folder).iterdir()):
                ledger.claim(path.parent / part.name)
                put_in_place(part, path.parent / part.name)
    except OSError as error:
        raise OutputError(f"cannot write: {error.strerror or error}", path=path) from error
    return made


@dataclass(frozen=True)
class KeptGraphs:
    """A folder of converted networks, since converting takes seconds."""

    folder: Path
    weights_sha256: str
    converter: str
    """the package that converts; a new version converts anew"""

    def path(self, card: ModelCard, suffix: str) -> Path:
        """A file name that changes with anything that could change a number."""
        made_of = {
            **asdict(card),
            "weights": self.weights_sha256,
            "versions": [version(self.converter), version("vodkit")],
        }
        name = hashlib.sha256(json.dumps(made_of, sort_keys=True).encode()).hexdigest()
        return self.folder / f"{card.name}-{name[:16]}{suffix}"

    def keep(self, path: Path, write: Callable[[Path], object]) -> None:
        """Let ``write`` make the file (see ``write_whole``), and note its digest."""
        write_whole(path, write)
        write_atomic(_noted(path), digest(path) + "\n", ours=True)


def is_kept(path: Path) -> bool:
    """Whether a kept graph is there as it was written; a damaged one is to be made anew."""
    try:
        return _noted(path).read_text(encoding="utf-8").strip() == digest(path)
    except (OSError, UnicodeDecodeError, WeightsError):
        return False


def _noted(path: Path) -> Path:
    return path.with_name(path.name + ".sha256")
