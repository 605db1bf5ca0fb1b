"""Claims: which worker has which video, by files that only one worker can create.

``claims/NAME.json`` is created where none exists, so one worker gets it; a claim that a silent
worker left is taken over by creating the next number, ``claims/NAME.2.json``, which again one gets.
No file of another worker is ever deleted before the video is finished.
"""

import json
import os
import secrets
import socket
import threading
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from vodkit.fleet.place import Place
from vodkit.ground.errors import SettingsError, StorageError, VodkitError

EXPIRY_S = 600.0
_FOLDER = "claims"
_BEATS = 10  # in the time after which a claim is void


class Claim:
    """A video that this worker has."""

    def __init__(self, name: str, files: list[str]) -> None:
        """``files``: of all claims of the video, this worker's last."""
        self.name, self.files = name, files
        self.is_taken_over = len(files) > 1
        """whether a worker before this one ended without giving it back"""
        self.is_lost = False
        """whether another worker took it over, since this one was silent for too long"""


class Claims:
    """The claims of a tree."""

    def __init__(self, place: Place, expiry_s: float = EXPIRY_S) -> None:
        """Name them.

        Args:
            place: the root of the tree.
            expiry_s: seconds without a sign of life after which a claim is void. The clocks of
                the machines may differ by less than that.
        """
        self._place, self._expiry_s = place, expiry_s
        self._nonce = secrets.token_hex(8)

    def require(self) -> None:
        """SettingsError where no store can say who was first."""
        if not self._place.creates:
            message = f"{self._place}: its file system cannot create a file only once"
            raise SettingsError(f"{message}; use --shard i/n instead of --claim")

    def held(self) -> frozenset[str]:
        """Names of videos that workers have, by claims that are not void."""
        newest = {name: files[-1] for name, files in self._files().items()}
        read = self._place.read_all(list(newest.values()))
        return frozenset(
            name for name, file in newest.items() if file in read and self._is_valid(read[file])
        )

    def sweep(self, finished: Callable[[], Collection[str]]) -> None:
        """Delete claims that workers which were killed left of finished videos.

        ``finished``: gives the names of these; it is asked only where there are such claims.
        """
        files = self._files()
        void = files.keys() - self.held() if files else set()
        for name in void & {*finished()} if void else ():
            self._place.delete(*files[name])

    def beat(self, name: str) -> bytes | None:
        """The newest sign of life of a claim; None: the video is free."""
        files = self._files().get(name)
        return self._place.read(files[-1]) if files else None

    @contextmanager
    def take(self, name: str, *, is_new: bool = False) -> Iterator[Claim | None]:
        """Within, the video is this worker's; None: another worker has it.

        The claim shows a sign of life every so often, from a thread.

        Args:
            name: of the video's run folder.
            is_new: take nothing over from a worker that ended.
        """
        claim = self._try(name, is_new=is_new)
        if claim is None:
            yield None
            return
        end = threading.Event()
        beat = threading.Thread(target=self._beat, args=(claim, end), daemon=True)
        beat.start()
        try:
            yield claim
        finally:
            end.set()
            beat.join()
            if not claim.is_lost:
                self._place.delete(*claim.files)

    def _try(self, name: str, *, is_new: bool) -> Claim | None:
        files = self._files().get(name, [])
        if files:
            content = self._place.read(files[-1])
            if is_new or content is None or self._is_valid(content):
                return None
        new = _file(name, _number(files[-1]) + 1 if files else 1)
        return Claim(name, [*files, new]) if self._place.create(new, self._content()) else None

    def _files(self) -> dict[str, list[str]]:
        """The files of claims by video, in the order of their numbers."""
        found: dict[str, list[str]] = {}
        for file in self._place.names(f"{_FOLDER}/*.json"):
            found.setdefault(_name(file), []).append(file)
        return {name: sorted(files, key=_number) for name, files in found.items()}

    def _beat(self, claim: Claim, end: threading.Event) -> None:
        while not end.wait(self._expiry_s / _BEATS):
            with suppress(VodkitError):  # a store that does not answer now may answer in time
                if self._files().get(claim.name, [""])[-1] != claim.files[-1]:
                    claim.is_lost = True
                    return
                self._place.write(claim.files[-1], self._content())

    def _content(self) -> bytes:
        me = {"host": socket.gethostname(), "pid": os.getpid(), "machine": _machine()}
        return json.dumps({**me, "beat": time.time(), "worker": self._nonce}).encode()

    def _is_valid(self, content: bytes) -> bool:
        """Whether a claim's worker lives: a sign of life is new, and the process exists."""
        try:
            claim: dict[str, Any] = json.loads(content)
            is_fresh = time.time() - float(claim["beat"]) < self._expiry_s
            here = claim["machine"] == _machine() != ""
            return is_fresh and not (here and not _is_alive(int(claim["pid"])))
        except (ValueError, KeyError, TypeError) as error:
            message = f"not a claim ({error}); delete it if no worker is at work"
            raise StorageError(message, url=f"{self._place}/{_FOLDER}") from error


def _file(name: str, number: int) -> str:
    return f"{_FOLDER}/{name}.json" if number == 1 else f"{_FOLDER}/{name}.{number}.json"


def _split(file: str) -> tuple[str, int]:
    """The video and the number of a claim.

    >>> _split("claims/cam.1-0a.json"), _split("claims/cam.1-0a.12.json")
    (('cam.1-0a', 1), ('cam.1-0a', 12))
    """
    stem = file.rpartition("/")[2].removesuffix(".json")
    name, dot, number = stem.rpartition(".")
    return (name, int(number)) if dot and number.isdecimal() else (stem, 1)


def _name(file: str) -> str:
    return _split(file)[0]


def _number(file: str) -> int:
    return _split(file)[1]


def _machine() -> str:
    """Names this boot and its table of processes, within which numbers of processes hold."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        return f"{boot}:{Path('/proc/self/ns/pid').stat().st_ino}"
    except OSError:
        return ""


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    # A killed process that its parent has not waited for yet still has a number.
    with suppress(OSError):
        state = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
        return state[0] != "Z"
    return True
