"""A run's predictions: JSON Lines, append-only, one frame a line, streamable both ways.

The first line says what the file is, each further line is one frame::

    {"vodkit": "predictions", "version": 1, "source": "a.mp4", "classes": ["fly"],
     "detector": "yolox-nano", "tracker": "vodkit", "mode": "online", "video": {...}}
    {"frame": 0, "time_s": 0.0, "tracks": [{"id": 1, "box": [x1, y1, x2, y2], "label": 0,
     "class": "fly", "score": 0.91, "state": "observed", "hidden_s": 0.0}]}

A frame in which nothing was found has an empty list; a frame that was not looked at has no line.
Files of detections have ``detections`` without ids in place of ``tracks``. Numbers are written
with the fewest digits that give back the same float32, so a run that goes on from a file equals
one that was never stopped. A killed writer leaves at most one torn last line.
"""

import json
import math
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from io import BufferedRandom, BufferedWriter
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np

from vodkit.formats.base import Reading, Writing, close_written, labelled_frames, rate_from
from vodkit.formats.jsonfile import Node
from vodkit.ground.arrays import FloatArray
from vodkit.ground.errors import FormatError, InputError, OutputError, SettingsError
from vodkit.ground.records import (
    NO_ID,
    STATE_NAMES,
    Dataset,
    Detections,
    LabelledVideo,
    State,
    Tracks,
    TrackTable,
    VideoInfo,
)
from vodkit.ground.runs import write_atomic

VERSION = 1
MODES = {
    "online": "from the past only",
    "near-online": "frames between are filled when the next key frames are known",
    "refined": "with the future known",
}
"""what tracks know of the frames after them, least first"""


@dataclass(frozen=True, kw_only=True)
class Header:
    """The first line: whose predictions these are."""

    source: str
    """the video, as the user named it"""
    classes: tuple[str, ...]
    info: VideoInfo
    detector: str = ""
    tracker: str = ""
    """empty: detections only"""
    mode: str = "online"
    """what was known of the frames after each, see ``MODES``"""
    notes: Mapping[str, str] = field(default_factory=dict)
    """anything else worth keeping: settings, sha256 of the weights, ..."""

    def __post_init__(self) -> None:
        """Check ``mode``."""
        if self.mode not in MODES:
            raise SettingsError(f"mode is {self.mode!r}; allowed: {', '.join(MODES)}")


@dataclass(frozen=True, eq=False)
class PredictedFrame:
    """One line: what was found in one frame."""

    index: int
    time_s: float
    found: Detections | Tracks


class PredictionWriter:
    """Appends frames to a predictions file; a context manager, flushed after every frame.

    ``resume`` goes on in a file that is there (a torn last line is cut off first; frames that
    are in it may not be given again) and otherwise begins one.
    """

    def __init__(self, path: Path, header: Header, *, resume: bool = False) -> None:
        """Open the file and write the header, or find where it ends."""
        self.path = path
        self.header = header
        self.last_frame = -1
        """the last frame in the file; -1 when it has none"""
        going_on = resume and path.exists() and path.stat().st_size > 0
        if going_on:
            last = last_complete_frame(path)
            going_on = path.stat().st_size > 0
            self.last_frame = -1 if last is None else last
        if going_on:
            _check_same(read_header(path), header, path)
        if not going_on:  # the file appears with its header: whoever finds it can read it
            _begin(path, _line_of(header_entry(header)))
        self._file = _open(path)

    def write(self, index: int, time_s: float, found: Detections | Tracks) -> None:
        """Append one frame; frames must come in order."""
        if index <= self.last_frame:
            message = f"frame {index} after frame {self.last_frame}; frames must come in order"
            raise InputError(f"{self.path}: {message}")
        self._put(frame_entry(index, time_s, found, self.header.classes))
        self.last_frame = index

    def _put(self, entry: Mapping[str, Any]) -> None:
        try:
            self._file.write(_line_of(entry))
            self._file.flush()
        except OSError as error:
            raise OutputError(f"cannot write: {error.strerror}", path=self.path) from error

    def __enter__(self) -> Self:
        """Itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close the file; what was written stays, error or not."""
        del error, trace
        close_written(self._file, self.path, failed=kind is not None)


_ENCODER = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":"))


def _line_of(entry: Mapping[str, Any]) -> bytes:
    return _ENCODER.encode(entry).encode() + b"\n"


def _begin(path: Path, header: bytes) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"cannot write: {error.strerror}", path=path) from error
    write_atomic(path, header)


def _open(path: Path) -> BufferedWriter:
    try:
        return path.open("ab")
    except OSError as error:
        raise OutputError(f"cannot write: {error.strerror}", path=path) from error


def _check_same(there: Header, wanted: Header, path: Path) -> None:
    """Going on with another model in the same file would mix two results silently."""
    for name in ("source", "classes", "detector", "tracker", "mode"):
        old, new = getattr(there, name), getattr(wanted, name)
        if old != new:
            message = f"is of another run: {name} is {old!r} there and {new!r} now; remove it"
            raise OutputError(message, path=path)


def header_entry(header: Header) -> dict[str, Any]:
    """The header as JSON."""
    info = header.info
    return {
        "vodkit": "predictions",
        "version": VERSION,
        "source": header.source,
        "classes": list(header.classes),
        "detector": header.detector,
        "tracker": header.tracker,
        "mode": header.mode,
        "video": {
            "path": info.path,
            "width_px": info.width_px,
            "height_px": info.height_px,
            "rate": str(info.rate),
            "num_frames": info.num_frames,
            "duration_s": info.duration_s,
        },
        "notes": dict(header.notes),
    }


def frame_entry(
    index: int, time_s: float, found: Detections | Tracks, classes: tuple[str, ...]
) -> dict[str, Any]:
    """One frame as JSON."""
    boxes = [_short(box) for box in found.boxes_xyxy]
    labels = found.labels.tolist()
    entries: list[dict[str, Any]] = [
        {"box": box, "label": label, "class": _name(label, classes), "score": score}
        for box, label, score in zip(boxes, labels, _short(found.scores), strict=True)
    ]
    entry: dict[str, Any] = {"frame": int(index), "time_s": float(time_s)}
    if isinstance(found, Detections):
        return {**entry, "detections": entries}
    return {**entry, "tracks": _with_identity(entries, found)}


def _name(label: int, classes: tuple[str, ...]) -> str:
    return classes[label] if label < len(classes) else str(label)


def _with_identity(entries: list[dict[str, Any]], found: Tracks) -> list[dict[str, Any]]:
    assert found.hidden_s is not None
    assert found.sigma_px is not None
    assert found.tentative is not None
    assert found.hidden_behind is not None
    tracks = []
    behind = found.hidden_behind.tolist()
    ids, states = found.ids.tolist(), found.states.tolist()
    hidden, sigma = _short(found.hidden_s), _short(found.sigma_px)
    for row, entry in enumerate(entries):
        track = {"id": ids[row], **entry, "state": STATE_NAMES[states[row]]}
        track["hidden_s"] = hidden[row]
        if sigma[row]:
            track["sigma_px"] = sigma[row]
        if behind[row]:
            track["hidden_behind"] = behind[row]
        if found.tentative[row]:
            track["tentative"] = True
        tracks.append(track)
    return tracks


def _short(values: FloatArray) -> list[float]:
    """float32 numbers as the shortest decimals that give them back.

    >>> _short(np.array([0.9, 12.0], np.float32))
    [0.9, 12.0]
    """
    return [float(str(value)) for value in np.asarray(values, np.float32)]


def last_complete_frame(path: Path) -> int | None:
    """The last frame in a predictions file, after cutting off a torn last line; None: no frame.

    A torn line has no line end, or (after a power cut) is not JSON; only the last line can be.
    """
    try:
        with path.open("r+b") as file:
            return _cut_torn_line(file, path)
    except OSError as error:
        raise OutputError(f"cannot be read and cut: {error.strerror}", path=path) from error


def _cut_torn_line(file: BufferedRandom, path: Path) -> int | None:
    while True:
        line, start = _last_line(file)
        if not line:
            return None
        if line.endswith(b"\n"):
            try:
                entry = json.loads(line)
            except ValueError:
                entry = None
            if isinstance(entry, dict) and "vodkit" in entry and start == 0:
                return None
            if isinstance(entry, dict) and isinstance(entry.get("frame"), int):
                return int(entry["frame"])
            if entry is not None:
                raise FormatError("last line is neither header nor frame", path=path)
        file.truncate(start)


def _last_line(file: BufferedRandom) -> tuple[bytes, int]:
    """The last line and where it begins, reading backwards in blocks."""
    end = file.seek(0, os.SEEK_END)
    block, content, start = 65536, b"", end
    while start > 0:
        size = min(block, start)
        start -= size
        file.seek(start)
        content = file.read(size) + content
        cut = content.rfind(b"\n", 0, len(content) - 1)
        if cut >= 0:
            return content[cut + 1 :], start + cut + 1
    return content, 0


def read_header(path: Path) -> Header:
    """The header of a predictions file."""
    try:
        with path.open("rb") as file:
            line = file.readline()
    except OSError as error:
        raise FormatError(f"cannot be read: {error.strerror}", path=path) from error
    return _header(_node(line, 1, path))


def _header(node: Node) -> Header:
    if node.value.get("vodkit") != "predictions":
        raise node.fault('not a predictions file: the first line has no "vodkit": "predictions"')
    if node.integer("version") > VERSION:
        raise node.fault(f"version {node.integer('version')}; this vodkit knows {VERSION}")
    video = node.at("video")
    try:
        info = VideoInfo(
            path=video.words("path"),
            width_px=video.integer("width_px"),
            height_px=video.integer("height_px"),
            rate=rate_from(video.words("rate")),
            num_frames=video.integer("num_frames") if "num_frames" in video else None,
            duration_s=video.number("duration_s") if "duration_s" in video else None,
        )
        return Header(
            source=node.words("source"),
            classes=tuple(node.words_in("classes")),
            info=info,
            detector=node.words("detector", ""),
            tracker=node.words("tracker", ""),
            mode=node.words("mode", "online"),
            notes=dict(node.value.get("notes") or {}),
        )
    except FormatError:
        raise
    except (InputError, ValueError, TypeError) as error:
        raise node.fault(f"not a header: {error}") from error


def _node(line: bytes, number: int, path: Path) -> Node:
    try:
        value = json.loads(line)
    except (ValueError, RecursionError) as error:
        torn = "" if line.endswith(b"\n") else "; the end is missing, --resume of its run goes on"
        raise FormatError(f"not JSON: {error}{torn}", path=path, line=number) from error
    if not isinstance(value, dict):
        raise FormatError("not a JSON object", path=path, line=number)
    return Node(value, path, "", known_line=number)


def read_frames(path: Path) -> Iterator[PredictedFrame]:
    """The frames of a predictions file, one at a time, for files of any length."""
    classes = read_header(path).classes
    last = -1
    for number, line in _lines(path):
        node = _node(line, number, path)
        try:
            frame = _frame(node, len(classes))
        except FormatError:
            raise
        except (InputError, ValueError, OverflowError, TypeError, KeyError) as error:
            raise node.fault(f"not a frame: {error!r}") from error
        if frame.index <= last:
            raise node.fault(f"frame {frame.index} after frame {last}")
        last = frame.index
        yield frame


def _lines(path: Path) -> Iterator[tuple[int, bytes]]:
    """Lines after the header, numbered as editors do."""
    with path.open("rb") as file:
        next(file)
        for number, line in enumerate(file, 2):
            if line.strip():
                yield number, line


def _frame(node: Node, num_classes: int) -> PredictedFrame:
    index, time_s = node.integer("frame"), node.number("time_s")
    if index < 0 or not math.isfinite(time_s):
        raise node.fault(f"frame {index} at {time_s} s")
    entries = node.value.get("tracks", node.value.get("detections"))
    if not isinstance(entries, list):
        raise node.fault('has neither "tracks" nor "detections"')
    boxes = np.array([entry["box"] for entry in entries] or np.empty((0, 4)), np.float32)
    if boxes.shape != (len(entries), 4):
        raise node.fault(f"boxes are {boxes.shape}; allowed: 4 numbers each")
    scores = np.array([entry["score"] for entry in entries], np.float32)
    labels = np.array([entry["label"] for entry in entries], np.int64)
    if len(labels) and labels.max() >= num_classes:
        raise node.fault(f"label {labels.max()}; there are {num_classes} classes")
    if "tracks" not in node.value:
        return PredictedFrame(index, time_s, Detections(boxes, scores, labels))
    tracks = Tracks(
        boxes_xyxy=boxes,
        scores=scores,
        labels=labels,
        ids=np.array([entry["id"] for entry in entries], np.int64),
        states=np.array([_state(entry, node) for entry in entries], np.uint8),
        hidden_s=np.array([entry.get("hidden_s", 0) for entry in entries], np.float32),
        sigma_px=np.array([entry.get("sigma_px", 0) for entry in entries], np.float32),
        tentative=np.array([entry.get("tentative", False) for entry in entries], np.bool_),
        hidden_behind=np.array([entry.get("hidden_behind", 0) for entry in entries], np.int64),
    )
    return PredictedFrame(index, time_s, tracks)


def _state(entry: dict[str, Any], node: Node) -> int:
    name = entry.get("state", State.OBSERVED.name.lower())
    if name not in STATE_NAMES:
        raise node.fault(f"state {name!r}; allowed: {', '.join(STATE_NAMES)}")
    return STATE_NAMES.index(name)


def read_predictions(path: Path, *, include_tentative: bool = True) -> tuple[Header, TrackTable]:
    """Header and all boxes of a predictions file; without tentative tracks where told so."""
    header = read_header(path)
    rows = []
    for frame in read_frames(path):
        found = frame.found
        if isinstance(found, Tracks) and not include_tentative:
            assert found.tentative is not None
            found = found[~found.tentative]
        rows.append((frame.index, frame.time_s, found))
    return header, TrackTable.from_frames(rows)


def predicted_frames(path: Path) -> list[int]:
    """The frames that were looked at, found something or not."""
    return [json.loads(line)["frame"] for _, line in _lines(path)]


KEEPS = frozenset({"ids", "scores", "states", "times", "video", "labelled", "empty"})
PICTURES: str | None = None


def sniff(path: Path) -> bool:
    """A ``.jsonl`` file that begins with our header."""
    if path.suffix.lower() != ".jsonl":
        return False
    try:
        read_header(path)
    except FormatError:
        return False
    return True


def read(path: Path, reading: Reading) -> Dataset:
    """Predictions as a dataset of one video, for correction by hand in a labelling tool."""
    header, table = read_predictions(path)
    source = reading.source or Path(header.source.replace("\\", "/")).name
    video = LabelledVideo(
        source=source,
        info=header.info,
        tracks=table,
        labelled_frames=np.array([frame.index for frame in read_frames(path)], np.int64),
    )
    return Dataset(classes=header.classes, videos=(video,))


def write(dataset: Dataset, path: Path, writing: Writing) -> None:
    """A dataset of one video as predictions; a frame without boxes has the time index / rate."""
    del writing
    if len(dataset.videos) != 1:
        message = f"holds one video, there are {len(dataset.videos)}; give one"
        raise FormatError(message, path=path)
    video = dataset.videos[0]
    header = Header(source=video.source, classes=dataset.classes, info=video.info)
    table = video.tracks or TrackTable.empty()
    keep = table.labels >= 0
    write_table(path, header, table[keep], labelled_frames(video))


def write_table(
    path: Path,
    header: Header,
    table: TrackTable,
    frames: Iterable[int],
    *,
    times_s: Mapping[int, float] | None = None,
) -> None:
    """All of ``table`` as a predictions file with a line for each of ``frames``, atomically.

    Rows without an id make a file of detections. ``times_s``: when frames were; of others without
    boxes, the time is index / rate.
    """
    known_s = times_s or {}
    assert table.scores is not None
    assert table.states is not None
    wanted = sorted({*map(int, frames), *table.frames.tolist()})
    starts = np.searchsorted(table.frames, wanted, side="left")
    ends = np.searchsorted(table.frames, wanted, side="right")
    tracked = bool((table.ids != NO_ID).all())
    lines = [header_entry(header)]
    for frame, start, end in zip(wanted, starts, ends, strict=True):
        rows = slice(start, end)
        found: Detections | Tracks = Detections(
            table.boxes_xyxy[rows], table.scores[rows], table.labels[rows]
        )
        if tracked:
            columns = (found.boxes_xyxy, found.scores, found.labels)
            found = Tracks(*columns, table.ids[rows], table.states[rows])
        boxed_s = table.times_s[start] if end > start else float(frame / header.info.rate)
        time_s = known_s.get(frame, boxed_s)
        lines.append(frame_entry(frame, time_s, found, header.classes))
    text = (json.dumps(entry, ensure_ascii=False, separators=(",", ":")) for entry in lines)
    write_atomic(path, "".join(f"{line}\n" for line in text))
