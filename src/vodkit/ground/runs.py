"""The run folder: what a command leaves behind, under the same names every time.

settings.toml      the effective settings (what ran, not what was asked for)
manifest.json      versions, seed, sha256 of inputs and weights, licences
predictions.jsonl  one frame a line, append-only, resumable
detections.jsonl   the same before tracking
predictions.json   of still pictures: the boxes in each, as a dataset
pictures.jsonl     of still pictures: one picture a line, append-only, resumable
objects.json       what was known of each object, for events that continue from there
events.jsonl       what happened to the tracks: began, changed, crossed, ended; one event a line
tracker.npz        what the tracker knew at the end, for the next piece of the recording
embeddings.bin     what the detections look like, with appearance
features.bin       the same for temporal memory, with a temporal head
camera_motion.txt  how the camera moved between frames, as the tracker used it
refined.jsonl      the predictions once more, with the future known
annotated.mp4      the video with the boxes drawn in
shown/             heat map, speeds, counts, crops, clips: what is made of finished tracks
metrics.json       every number, with its definition's name
report.html        the page for people
"""

import hashlib
import json
import os
import platform
import secrets
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from vodkit.ground import ledger
from vodkit.ground.errors import BusyError, InputError, OutputError, writing
from vodkit.ground.paths import put_in_place

SETTINGS = "settings.toml"
MANIFEST = "manifest.json"
PREDICTIONS = "predictions.jsonl"
DETECTIONS = "detections.jsonl"
STILLS = "predictions.json"
PICTURES = "pictures.jsonl"
EVENTS = "events.jsonl"
OBJECTS = "objects.json"
"""what was known of each object, for events that continue from there"""
DELIVERED = "delivered.json"
"""which events a receiver has; with a number made of its address before the suffix"""
EMBEDDINGS = "embeddings.bin"
FEATURES = "features.bin"
RECORDED = (DETECTIONS, EMBEDDINGS, FEATURES)
"""what the detector gave, frame by frame"""
CAMERA_MOTION = "camera_motion.txt"
TRACKER = "tracker.npz"
MEMORY = "memory.npz"
"""temporal memory at the end of a file, for the run of the next one"""
REFINED = "refined.jsonl"
ANNOTATED = "annotated.mp4"
EXPORTS = {
    "csv": "predictions.csv",
    "mot": "predictions.mot.txt",
    "coco": "predictions.coco.json",
    "video": ANNOTATED,
}
TABLE_METADATA = "-metadata.json"
"""added to the name of a CSV file: the description of its columns"""
SHOWN = "shown"
METRICS = "metrics.json"
REPORT = "report.html"

_LOCK = ".lock"
_MOST_NAME_BYTES = 240  # of 255 that a file's name may have
_ROOM = 4096  # bytes by which what is written last may be longer, as the words of an error
_STACK = ("vodkit", "numpy", "scipy", "av", "torch", "torchvision", "timm", "openvino", "hotcoco")


def make_folder(path: Path) -> Path:
    """``path`` as an existing, writable folder; OutputError says why it cannot be."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"cannot make the folder: {error.strerror}", path=path) from error
    if not os.access(path, os.W_OK):
        raise OutputError("the folder is not writable", path=path)
    return path


def predictions_of(path: Path) -> Path:
    """The predictions file that ``path`` means: itself, or the one in that run folder.

    Raises:
        InputError: a folder without one, or with several, as live runs leave; they are named.
    """
    parts = parts_in(path) if path.is_dir() else []
    if parts and [part.name for part in parts] != [PREDICTIONS]:
        names = ", ".join(part.name for part in parts[:5])
        message = f"{len(parts)} files of predictions, of a live run; give one of them"
        raise InputError(f"{path}: has {message}: {names}{', ...' if len(parts) > 5 else ''}")
    is_record = path.name == STILLS and path.with_name(PICTURES).exists()
    if is_record or (not parts and (path / STILLS).exists()):
        has = "holds detections in still pictures, which have no tracks and no clock"
        raise InputError(f"{path}: {has}; they can be measured: vodkit eval LABELS {path}")
    if not path.is_dir() or (path / PREDICTIONS).exists():
        return path / PREDICTIONS if path.is_dir() else path
    inside = sorted(found.parent.name for found in path.glob(f"*/{PREDICTIONS}"))
    there = f"runs in it: {', '.join(inside[:5])}" if inside else "no run is in it either"
    raise InputError(f"{path}: a folder without {PREDICTIONS}; {there}")


def part_of(path: Path) -> int:
    """Which part of a live run a file of predictions or events is; 0: one with all in it.

    >>> part_of(Path("a/predictions-0012.jsonl")), part_of(Path("a/predictions.jsonl"))
    (12, 0)
    """
    part = path.stem.rpartition("-")[2]
    return int(part) if part.isdecimal() else 0


def parts_in(folder: Path, name: str = PREDICTIONS) -> list[Path]:
    """The files of predictions in a run folder, first to last; a live run may have many.

    Args:
        folder: of the run.
        name: of the file with all in it: ``PREDICTIONS`` or ``EVENTS``.
    """
    stem, suffix = Path(name).stem, Path(name).suffix
    parts = [path for path in folder.glob(f"{stem}-*{suffix}") if _is_part(path, stem)]
    return sorted([*folder.glob(name), *parts], key=part_of)


def _is_part(path: Path, stem: str) -> bool:
    return path.stem.removeprefix(f"{stem}-").isdecimal() and part_of(path) > 0


def events_of(predictions: Path) -> Path:
    """The file of events beside a file of predictions.

    >>> events_of(Path("a/predictions-0012.jsonl")).name
    'events-0012.jsonl'
    """
    return predictions.with_name(predictions.name.replace("predictions", "events"))


def objects_of(predictions: Path) -> Path:
    """The file of what was known of objects beside a file of predictions.

    >>> objects_of(Path("a/predictions-0012.jsonl")).name
    'objects-0012.json'
    """
    name = predictions.name.replace("predictions", "objects")
    return predictions.with_name(name).with_suffix(".json")


def is_at_work(folder: Path) -> bool:
    """Whether a process works in a run folder (``only_one``); False where that is not known."""
    try:
        with only_one(folder):
            return False
    except BusyError:
        return True
    except OSError:
        return False


def write_atomic(path: str | Path, content: bytes | str, *, ours: bool = False) -> None:
    """Write so that ``path`` holds the old content or the new, never a part (even after kill -9).

    The text goes to a neighbour file, is flushed to disk, and then takes the name in one step. A
    file that vodkit did not write is not replaced (see ``ledger``), but with ``ours``: caches, and
    files that the user asked to have edited.

    Raises:
        OutputError: the file cannot be written, or belongs to the user.
    """
    path = Path(path)
    data = content.encode() if isinstance(content, str) else content
    if not ours:
        ledger.claim(path)
    part = part_beside(path)
    try:
        with part.open("xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        put_in_place(part, path)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise OutputError(f"cannot write: {error.strerror}", path=path) from error
    except BaseException:  # Ctrl-C leaves no half file, either
        part.unlink(missing_ok=True)
        raise


def part_beside(path: Path) -> Path:
    """A hidden name beside ``path`` for what is not complete; created with the user's umask."""
    name = path.name.encode()[:_MOST_NAME_BYTES].decode(errors="ignore")
    return path.with_name(f".{name}.{secrets.token_hex(4)}")


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """``content`` as JSON, atomically; a NaN is a bug of ours and raises ValueError."""
    write_atomic(path, _as_json(content))


def _as_json(content: Mapping[str, Any]) -> str:
    return json.dumps(content, indent=2, allow_nan=False, ensure_ascii=False) + "\n"


def keep_room(path: Path, content: Mapping[str, Any]) -> None:
    """Hold a part of the disk for what ``write_last`` will write there, even if it is full then.

    That may be some longer than ``content``. Raises OutputError where the disk is full already.
    """
    room = _room_of(path)
    missing = len(_as_json(content)) + _ROOM - (room.stat().st_size if room.exists() else 0)
    with writing(path):
        if missing > 0:
            with room.open("ab") as file:
                file.write(b" " * missing)
                file.flush()
                os.fsync(file.fileno())


def write_last(path: Path, content: Mapping[str, Any]) -> None:
    """``write_json`` into the room that ``keep_room`` holds, which is none any more after it."""
    room = _room_of(path)
    data = _as_json(content).encode()
    ledger.claim(path)
    with writing(path):
        with room.open("r+b" if room.exists() else "wb") as file:
            file.write(data)
            file.truncate()
            file.flush()
            os.fsync(file.fileno())
        put_in_place(room, path)


def _room_of(path: Path) -> Path:
    return path.with_name(f".{path.name}.part")


def manifest_in(folder: Path) -> dict[str, Any]:
    """What a run folder's manifest says; nothing where there is none, or a damaged one."""
    try:
        return dict(json.loads((folder / MANIFEST).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return {}


def sha256(path: Path) -> str:
    """The hexadecimal digest of a file's content."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextmanager
def only_one(folder: Path) -> Iterator[None]:
    """Within, no other process may work in a folder: two would write into each other's files.

    The lock ends with the process, however it ends. Disks without locks (some network disks) hold
    nothing. Raises BusyError where another process is working in the folder.
    """
    if sys.platform == "win32":
        with _locked_file(folder):
            yield
        return
    import fcntl

    place = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(place, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            message = "another process is at work here; wait for its end, or take another folder"
            raise BusyError(message, path=folder) from error
        except OSError:  # a disk that knows no locks
            pass
        yield
    finally:
        os.close(place)


@contextmanager
def _locked_file(folder: Path) -> Iterator[None]:
    """Windows locks no folders: a file in it is locked instead, and stays."""
    import msvcrt

    lock: Any = msvcrt  # other systems know none of its names
    with (folder / _LOCK).open("a+b") as file:
        file.seek(0)
        try:
            lock.locking(file.fileno(), lock.LK_NBLCK, 1)
        except OSError as error:
            message = "another process is at work here; wait for its end, or take another folder"
            raise BusyError(message, path=folder) from error
        try:
            yield
        finally:
            file.seek(0)
            lock.locking(file.fileno(), lock.LK_UNLCK, 1)


def num_cores() -> int:
    """How many cores this process may use."""
    if hasattr(os, "sched_getaffinity"):  # Linux only
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def stack() -> dict[str, str]:
    """Versions of Python, the machine, and every installed library that can change a number."""
    return dict(_stack())


@cache  # reading them takes as long as a few frames, and they stay what they are
def _stack() -> dict[str, str]:
    found = {"python": platform.python_version(), "machine": platform.machine()}
    for name in _STACK:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found
