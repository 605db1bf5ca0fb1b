"""From one file of a recording to the next: the tracks of one run continue in another.

Cameras write files of some minutes each. The state of the tracker at the end of a file is kept in
the run folder (``tracker.npz``). The run of the next file loads it, with all times moved onto the
new file's clock: ids, hidden objects and appearance models continue as in a single file. So does
temporal memory (``memory.npz``).
"""

import zlib
from collections.abc import Mapping
from contextlib import suppress
from io import BytesIO
from pathlib import Path
from typing import Any
from zipfile import BadZipFile, ZipFile

import numpy as np

from vodkit.ground.errors import InputError
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


def keep_state(
    folder: Path, tracker: Tracker, memory: Memory[Any] | None = None, *, end_s: float
) -> None:
    """Write what a tracker and temporal memory know into a run folder.

    Trackers of other libraries do not expose their state: then it is not written.

    Args:
        folder: of the run.
        tracker: after its last frame.
        memory: the same; None: the run had none.
        end_s: when the file ends, on its own clock.
    """
    states: dict[str, dict[str, np.ndarray]] = {}
    with suppress(InputError):
        states[TRACKER] = tracker.state_dict()
    if memory is not None:
        states[MEMORY] = memory.state_dict()
    for name, state in states.items():
        content = BytesIO()
        whole: dict[str, Any] = {**state, _END: np.array(end_s)}
        np.savez(content, **whole)
        write_atomic(folder / name, content.getvalue())


class Continued:
    """Where the run in a folder ended: its state, taken over at a new run's first frame.

    That is the frame after the run's last, whatever its clock.
    """

    def __init__(self, folder: Path, tracker: Tracker, memory: Memory[Any] | None = None) -> None:
        """Check the state before anything is decoded.

        Args:
            folder: of the run before; without temporal memory it remembered nothing.
            tracker: a new one, which will continue.
            memory: a new one; None: there is none.

        Raises:
            InputError: the folder has no state of a tracker, or another's, or it is damaged.
        """
        self._tracker, self._memory = tracker, memory
        self._state, self._end_s = _read(tracker_in(folder), tracker.state_dict())
        tracker.load_state(self._state)
        path = folder / MEMORY
        self._remembered: dict[str, np.ndarray] = {}
        if memory is not None and path.exists():
            self._remembered = _arrays(path, "temporal memory")
            self._memory_end_s = float(self._remembered.pop(_END, np.array(np.nan)))
            try:
                Memory[Any](Links(LinkSettings()), threshold=0.0).load_state(self._remembered)
            except InputError as error:
                raise InputError(f"{path}: {error}") from error

    def begin(self, time_s: float) -> None:
        """Continue with a frame at ``time_s`` on the new run's clock; once."""
        self._tracker.load_state(earlier(self._state, self._end_s - time_s))
        if self._memory is not None and self._remembered:
            self._memory.load_state(self._remembered, earlier_s=self._memory_end_s - time_s)


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
