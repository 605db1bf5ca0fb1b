"""From one file of a recording to the next: the tracks of one run continue in another.

Cameras write files of some minutes each. The state of the tracker at the end of a file is kept in
the run folder (``tracker.npz``). The run of the next file loads it, with all times moved onto the
new file's clock: ids, hidden objects and appearance models continue as in a single file. So does
temporal memory (``memory.npz``).
"""

import zlib
from collections.abc import Mapping
from io import BytesIO
from pathlib import Path
from typing import Any
from zipfile import BadZipFile, ZipFile

import numpy as np

from vodkit.ground.arrays import FloatArray
from vodkit.ground.errors import InputError
from vodkit.ground.records import Detections, Frame, Tracks
from vodkit.ground.runs import MEMORY, TRACKER, write_atomic
from vodkit.temporal.links import Links, LinkSettings
from vodkit.temporal.memory import Memory
from vodkit.track.base import Tracker, earlier

_END = "recording_end_s"
_MOST_BYTES = 2**28
# Of damaged archives and arrays.
_UNREADABLE = (
    OSError, ValueError, EOFError, KeyError, RuntimeError, MemoryError, BadZipFile, zlib.error
)  # fmt: skip


def keep_tracker(folder: Path, tracker: Tracker, *, end_s: float) -> None:
    """Write the state of ``tracker`` into a run folder; ``end_s``: when the file ends, its clock.

    Trackers of other libraries do not expose their state: then nothing is written.
    """
    try:
        state: dict[str, Any] = {**tracker.state_dict(), _END: np.array(end_s)}
    except InputError:
        return
    content = BytesIO()
    np.savez(content, **state)
    write_atomic(folder / TRACKER, content.getvalue())


def keep_memory(folder: Path, memory: Memory[Any], *, end_s: float) -> None:
    """Write what temporal memory holds into a run folder; ``end_s`` as of ``keep_tracker``."""
    state: dict[str, Any] = {**memory.state_dict(), _END: np.array(end_s)}
    content = BytesIO()
    np.savez(content, **state)
    write_atomic(folder / MEMORY, content.getvalue())


class ContinuedMemory:
    """What the run in a folder remembered at its end, for the first frame after it."""

    def __init__(self, folder: Path) -> None:
        """InputError where it cannot be read; a run without temporal memory remembered nothing."""
        path = folder / MEMORY
        self._state: dict[str, np.ndarray] = {}
        if path.exists():
            self._state = _arrays(path, "temporal memory")
            self._end_s = float(self._state.pop(_END, np.array(np.nan)))
            try:  # before anything is decoded
                Memory[Any](Links(LinkSettings()), threshold=0.0).load_state(self._state)
            except InputError as error:
                raise InputError(f"{path}: {error}") from error

    def load_into(self, memory: Memory[Any], time_s: float) -> None:
        """Fill a memory whose first frame is at ``time_s``; once."""
        if self._state:
            memory.load_state(self._state, earlier_s=self._end_s - time_s)
        self._state = {}


class Continuing:
    """A tracker that continues where the run in a folder ended; satisfies track.base.Tracker.

    Its first frame is the one after that run's last, whatever its clock.
    """

    def __init__(self, tracker: Tracker, folder: Path) -> None:
        """``tracker`` is new. InputError when the run has no state of a tracker, or another's."""
        self._tracker = tracker
        self._state, self._end_s = _read(tracker_in(folder), tracker.state_dict())
        self._waits = True
        tracker.load_state(self._state)  # raises before anything is decoded

    def step(
        self,
        frame: Frame,
        detections: Detections,
        *,
        embeddings: FloatArray | None = None,
        camera_motion: FloatArray | None = None,
    ) -> Tracks:
        """See Tracker."""
        if self._waits:
            self._tracker.load_state(earlier(self._state, self._end_s - frame.time_s))
            self._waits = False
        return self._tracker.step(
            frame, detections, embeddings=embeddings, camera_motion=camera_motion
        )

    @property
    def last_motion(self) -> FloatArray | None:
        """The camera's motion (2, 3) before the last step; None: at rest, or not known."""
        found: FloatArray | None = getattr(self._tracker, "last_motion", None)
        return found

    def notice_cut(self) -> None:
        """See Tracker."""
        self._tracker.notice_cut()

    def state_dict(self) -> dict[str, np.ndarray]:
        """See Tracker."""
        return self._tracker.state_dict()

    def load_state(self, state: Mapping[str, np.ndarray]) -> None:
        """See Tracker; what the folder held is forgotten."""
        self._tracker.load_state(state)
        self._waits = False


def tracker_in(folder: Path) -> Path:
    """The file in a run folder with the state of its tracker at the end; InputError without."""
    path = folder / TRACKER
    if not path.exists():
        message = f"{path} is missing: no run with a tracker of vodkit's own has ended there"
        raise InputError(f"{message}; finish that one first (--resume)")
    return path


def _read(path: Path, form: Mapping[str, np.ndarray]) -> tuple[dict[str, np.ndarray], float]:
    """The state of a tracker, and when its file ended; ``form`` is what a new one's looks like."""
    state = _arrays(path, "a tracker")
    for name, fresh in {**form, _END: np.array(0.0)}.items():
        given = state.get(name)
        if given is None:
            raise InputError(f"{path} lacks {name}: kept by another tracker, or another version")
        # Sides that a new tracker has nothing in may be of any length.
        fits = given.ndim == fresh.ndim and given.dtype == fresh.dtype
        if not fits or any(f not in (0, g) for g, f in zip(given.shape, fresh.shape, strict=True)):
            seen = f"{path}: {name} is {given.dtype} {given.shape}"
            raise InputError(f"{seen}; allowed: {fresh.dtype} {fresh.shape}, where 0 is any length")
    more = sorted({*state} - {*form, _END})
    if more:
        raise InputError(f"{path} has {', '.join(more)}, too: kept by another tracker")
    return state, float(state.pop(_END))


def _arrays(path: Path, what: str) -> dict[str, np.ndarray]:
    """The arrays in a file that another run kept."""
    try:
        with ZipFile(path) as archive:
            num_bytes = sum(entry.file_size for entry in archive.infolist())
        if num_bytes > _MOST_BYTES:
            seen = f"{path} holds {num_bytes} bytes"
            raise InputError(f"{seen}; allowed: {_MOST_BYTES}, far more than {what} keeps")
        with np.load(path, allow_pickle=False) as file:
            return {name: np.asarray(array) for name, array in file.items()}
    except _UNREADABLE as error:
        raise InputError(f"{path} is no state of {what}: {error}") from error
