"""The tables of a ``.slp`` file, read by a process of its own.

The HDF5 library crashes on some damaged files, and reads others without end (found by fuzzing). In
another process that is an error like any other. One process serves all files that are read; it
ends with this one.
"""

import atexit
import json
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from threading import Lock, Timer
from typing import Any

import numpy as np

from vodkit.formats.hdf5_heaps import require_sound_heaps
from vodkit.ground.errors import FormatError, InputError, needs

MOST_BYTES = 2**30
"""of one table in memory; a larger one is refused before it is read"""
MOST_MEMORY = 6 * 2**30
"""address space of the process that reads"""
LONGEST_S = 20
"""a file may take so long, and a second more for every ``BYTES_A_S``"""
BYTES_A_S = 20 * 2**20
TABLES = ("frames", "instances", "points", "pred_points")
EMBEDDED = re.compile(r"video(\d{1,9})/video", flags=re.ASCII)
"""the dataset of a video whose pictures are in the file"""
_START = "import sys; sys.path[:] = {!r}; from vodkit.formats.sleap_tables import serve; serve()"
_lock = Lock()
_readers: dict[int, "subprocess.Popen[bytes]"] = {}
"""by the process that asks: a forked one needs a reader of its own"""


def tables_of(path: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """The tables by name, and ``videos``, ``meta`` and ``version`` of a ``.slp`` file.

    Raises:
        FormatError: it is damaged, too large, or leads out of itself.
        InputError: h5py is not installed.
    """
    if not path.is_file():
        raise FormatError("not a regular file", path=path)
    if path.stat().st_size:
        require_sound_heaps(path)
    with _lock, tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / "tables.npz"
        told = _ask(path, target)
        if "input" in told:
            raise InputError(told["input"])
        if "error" in told:
            raise FormatError(told["error"], path=path)
        with np.load(target, allow_pickle=False) as arrays:
            return {name: arrays[name] for name in TABLES}, told


def _ask(path: Path, target: Path) -> dict[str, Any]:
    reader = _readers.get(os.getpid())
    if reader is None:
        reader = _readers[os.getpid()] = _started()
    assert reader.stdin is not None
    assert reader.stdout is not None
    limit_s = LONGEST_S + path.stat().st_size / BYTES_A_S
    ending = Timer(limit_s, reader.kill)
    ending.start()
    try:
        reader.stdin.write(json.dumps([str(path.absolute()), str(target)]).encode() + b"\n")
        reader.stdin.flush()
        line = reader.stdout.readline()
    except OSError:  # it has ended
        line = b""
    finally:
        was_slow = not ending.is_alive()
        ending.cancel()
    if line:
        return dict(json.loads(line))
    _stop(_readers.pop(os.getpid()))
    what = f"took over {limit_s:.0f} s" if was_slow else "ended in a crash"
    return {"error": f"corrupt SLEAP file: reading it with the HDF5 library {what}"}


def _started() -> "subprocess.Popen[bytes]":
    words = [sys.executable, "-c", _START.format(sys.path)]
    return subprocess.Popen(  # noqa: S603 - Python itself
        words,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        start_new_session=True,  # Ctrl-C is for the one that asks
    )


def _stop(reader: "subprocess.Popen[bytes]") -> None:
    reader.kill()
    reader.communicate()


@atexit.register
def _stop_own() -> None:
    if reader := _readers.pop(os.getpid(), None):
        _stop(reader)


def serve() -> None:
    """Read the files that standard input names, a line each, until it ends."""
    try:
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (MOST_MEMORY, MOST_MEMORY))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    except (ImportError, ValueError):  # Windows; a lower limit is set
        pass
    for line in sys.stdin:
        path, target = map(Path, json.loads(line))
        try:
            tables, told = _read(path)
            np.savez(target, allow_pickle=False, **tables)
        except InputError as error:
            told = {"input": str(error)}
        except FormatError as error:
            told = {"error": str(error).removeprefix(f"{path}: ")}
        except MemoryError:
            told = {"error": "corrupt SLEAP file: reading it takes too much memory"}
        sys.stdout.write(json.dumps(told) + "\n")
        sys.stdout.flush()


def _read(path: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    with needs("reading .slp files needs h5py: pip install h5py"):
        import h5py
    try:
        with h5py.File(path, "r") as file:
            tables = {name: _table(file, name, path) for name in TABLES}
            videos = [json.loads(text) for text in _table(file, "videos_json", path)]
            attributes = _own(file, "metadata", path).attrs
            meta = json.loads(attributes["json"])
            version = float(attributes.get("format_id", 1.0))
            for video in videos:
                _add_source(video, file, path)
    except (OSError, KeyError, ValueError, TypeError, RuntimeError, AttributeError) as error:
        raise FormatError(f"not a SLEAP file: {error}", path=path) from error
    return tables, {"videos": videos, "meta": meta, "version": version}


def _own(file: Any, name: str, path: Path) -> Any:
    """A member of the file itself; links to other files and places are refused."""
    import h5py

    if not isinstance(file.get(name, getlink=True), h5py.HardLink):
        raise FormatError(f"{name!r} is a link; allowed: data of the file itself", path=path)
    return file[name]


def _table(file: Any, name: str, path: Path) -> Any:
    """A table in memory; one that lies outside the file, or is too large, is refused."""
    data = _own(file, name, path)
    if data.external or data.is_virtual:
        message = f"{name!r} lies in other files; allowed: data of the file itself"
        raise FormatError(message, path=path)
    if data.size * max(data.dtype.itemsize, 1) > MOST_BYTES:
        raise FormatError(f"{name!r} has {data.size} rows, over {MOST_BYTES} bytes", path=path)
    return data[:]


def _add_source(video: dict[str, Any], file: Any, path: Path) -> None:
    """Put the source of an embedded video beside it, from the group of its pictures."""
    dataset = str(video["backend"].get("dataset") or "")
    match = EMBEDDED.fullmatch(dataset)
    if not match or video.get("source_video"):
        return
    name = f"video{match.group(1)}"
    if name in file:
        group = _own(file, name, path)
        if "source_video" in group:
            text = _own(group, "source_video", path).attrs.get("json")
            video["source_video"] = json.loads(text) if text else None
