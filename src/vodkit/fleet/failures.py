"""Which videos failed: for good (``permanent``) or for now (``transient``), and why.

Each failed video has a file of its own, ``failures/NAME.json``, since no store can append to a
file from many machines. ``failed.jsonl`` at the root of the tree has all of them, one a line; every
worker writes it anew, and again until it holds what the files say.
"""

import json
import socket
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Literal

from vodkit.fleet.place import Place, is_passing
from vodkit.fleet.sources import Item
from vodkit.ground.errors import ShortageError, StorageError, VideoError, VodkitError
from vodkit.ground.text import redacted

Kind = Literal["permanent", "transient"]
FAILED = "failed.jsonl"
MOST_DEATHS = 3
"""of workers with one video, one after the other, after which it is listed as failed"""
_FOLDER = "failures"


@dataclass(frozen=True, kw_only=True)
class Failure:
    """Why a video has no complete result."""

    uri: str
    folder: str
    """name of its run folder"""
    kind: Kind
    """permanent: not tried again without --retry-failed, or another file at the same place"""
    error: str
    time_s: float | None = None
    """in the video, where it broke off"""
    host: str = ""
    tries: int = 1
    at: str = ""
    """UTC, ISO 8601"""
    version: str = ""
    """of the file that failed"""


def failure_of(item: Item, error: Exception, *, tries: int) -> Failure:
    """What is recorded of an error."""
    is_ours = isinstance(error, VodkitError)
    message = f"{error}" if is_ours else f"unforeseen {type(error).__name__}: {error}"
    return Failure(
        uri=redacted(item.uri),
        folder=item.name,
        kind=kind_of(error),
        error=redacted(" ".join(message.split())),
        time_s=_time_of(error),
        host=socket.gethostname(),
        tries=tries,
        at=datetime.now(UTC).isoformat(timespec="seconds"),
        version=item.version,
    )


def fatal_failure(item: Item, *, tries: int, why: str = "") -> Failure:
    """What is recorded of a video that ends its worker each time."""
    message = f"ended its worker {MOST_DEATHS} times{f': {why}' if why else ''}"
    return failure_of(item, VideoError(message, path=item.uri), tries=tries)


def kind_of(error: BaseException) -> Kind:
    """Whether an error may be over later: of the network, of a disk, or a lack of memory.

    >>> kind_of(ShortageError("no memory", of="memory")), kind_of(ValueError("no video"))
    ('transient', 'permanent')
    """
    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, StorageError):
            return "transient" if seen.is_transient else "permanent"
        if isinstance(seen, ShortageError) or is_passing(seen):
            return "transient"
        seen = seen.__cause__
    return "permanent"


def _time_of(error: BaseException | None) -> float | None:
    """The time in the video at which the first error of a chain that knows one happened."""
    while error is not None:
        if isinstance(error, VideoError) and error.time_s is not None:
            return error.time_s
        error = error.__cause__
    return None


class Failures:
    """The failed videos of a tree."""

    def __init__(self, place: Place) -> None:
        """``place``: the root of the tree."""
        self._place = place

    def all(self) -> dict[str, Failure]:
        """By the names of run folders."""
        found = self._place.read_all(self._place.names(f"{_FOLDER}/*.json"))
        read = [Failure(**json.loads(content)) for content in found.values()]
        return {one.folder: one for one in sorted(read, key=lambda one: one.folder)}

    def record(self, failure: Failure) -> None:
        """Keep it, and write ``failed.jsonl``."""
        self._place.write(f"{_FOLDER}/{failure.folder}.json", _line(failure).encode())
        self.write_list()

    def forget(self, name: str) -> None:
        """The video is done."""
        self._place.delete(f"{_FOLDER}/{name}.json")

    def write_list(self) -> None:
        """Write ``failed.jsonl``, until it holds what the single files say.

        Of two workers that write at the same time the last one sees what the other one added.
        """
        wanted = self._list()
        while wanted != self._place.read(FAILED):
            if not wanted and self._place.read(FAILED) is None:
                return
            self._place.write(FAILED, wanted)
            wanted = self._list()

    def _list(self) -> bytes:
        return "".join(map(_line, self.all().values())).encode()


def _line(failure: Failure) -> str:
    return json.dumps(asdict(failure), ensure_ascii=False) + "\n"
