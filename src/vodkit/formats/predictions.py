"""A run's predictions: JSON Lines, append-only, one frame a line, streamable both ways.

The first line says what the file is, each further line is one frame::

    {"vodkit": "predictions", "version": 1, "source": "a.mp4", "classes": ["fly"],
     "detector": "yolox-nano", "tracker": "vodkit", "mode": "online", "video": {...}}
    {"frame": 0, "time_s": 0.0, "tracks": [{"id": 1, "box": [x1, y1, x2, y2], "label": 0,
     "class": "fly", "score": 0.91, "state": "observed", "hidden_s": 0.0}]}

A frame in which nothing was found has an empty list; a frame that was not processed has no line.
Files of detections have ``detections`` without ids in place of ``tracks``, and ``truncated`` in a
frame with more than the detector keeps. Numbers have the fewest digits that give back the same
float32, so a run resumed from a file equals one that was never stopped. A killed writer leaves at
most one torn last line.
"""

import json
import os
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from io import BufferedRandom, BufferedReader
from pathlib import Path
from typing import Self

import numpy as np

from vodkit.formats.base import Reading, Writing, close_written
from vodkit.formats.jsonfile import shared
from vodkit.formats.prediction_lines import (
    MODES,
    VERSION,
    Header,
    PredictedFrame,
    frame_entry,
    header_entry,
    line_of,
    node_of,
    parse_frame,
    parse_header,
)
from vodkit.formats.rows import labelled_frames
from vodkit.ground.arrays import BoolArray, ByteArray, FloatArray
from vodkit.ground.errors import FormatError, InputError, OutputError, writing
from vodkit.ground.records import (
    NO_ID,
    Dataset,
    Detections,
    Frame,
    LabelledVideo,
    State,
    Tracks,
    TrackTable,
)
from vodkit.ground.runs import write_atomic

__all__ = [
    "KEEPS", "MODES", "PICTURES", "VERSION", "FinalRows", "Header", "PredictedFrame",
    "PredictionWriter", "Predictions", "contained", "counted", "final_frames", "frames_with",
    "last_complete_frame", "open_predictions", "read", "read_frames", "read_header",
    "read_predictions", "sniff", "write", "write_table",
]  # fmt: skip

COUNTED_ABOVE = 0.5
"""``p_present`` of a predicted or filled row that is counted"""
_HOLD_S, _HOLD_FRAMES = 30.0, 30
"""an undecided track that is absent for both is never confirmed"""


class PredictionWriter:
    """Appends frames to a predictions file; a context manager, flushed after every frame.

    ``resume`` goes on in a file that is there (a torn last line is cut off first; frames that
    are in it may not be given again) and otherwise begins one.
    """

    def __init__(self, path: str | Path, header: Header, *, resume: bool = False) -> None:
        """Open the file and write the header, or find where it ends."""
        self.path = path = Path(path)
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
        if not going_on:  # the file appears with its header, so it can be read from the start
            with writing(path):
                path.parent.mkdir(parents=True, exist_ok=True)
            write_atomic(path, line_of(header_entry(header)))
        with writing(path):
            self._file = path.open("ab")

    def write(self, index: int, time_s: float, found: Detections | Tracks) -> None:
        """Append one frame; frames must come in order."""
        if index <= self.last_frame:
            message = f"frame {index} after frame {self.last_frame}; frames must come in order"
            raise InputError(f"{self.path}: {message}")
        with writing(self.path):
            self._file.write(line_of(frame_entry(index, time_s, found, self.header.classes)))
            self._file.flush()
        self.last_frame = index

    def __enter__(self) -> Self:
        """Itself."""
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        """Close the file; what was written stays, error or not."""
        close_written(self._file, self.path, failed=kind is not None)


def _check_same(there: Header, wanted: Header, path: Path) -> None:
    """Going on with another model in the same file would mix two results silently."""
    for name in ("source", "classes", "detector", "tracker", "mode"):
        old, new = getattr(there, name), getattr(wanted, name)
        if old != new:
            message = f"is of another run: {name} is {old!r} there and {new!r} now; remove it"
            raise OutputError(message, path=path)


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


@contextmanager
def open_predictions(
    path: Path, *, offset: int = 0, num_before: int = 0
) -> Iterator[tuple[Header, Iterator[PredictedFrame]]]:
    """The header and the frames of a predictions file: one open, one pass, flat memory.

    Args:
        path: of the file.
        offset: byte at which the first wanted frame begins; 0: all are wanted.
        num_before: frames before that.

    Raises:
        FormatError: not a predictions file, or a line that is no frame.
    """
    try:
        file = path.open("rb")
    except OSError as error:
        raise FormatError(f"cannot be read: {error.strerror}", path=path) from error
    with file:
        header = parse_header(node_of(file.readline(), 1, path))
        if offset:
            file.seek(offset)
        yield header, _parsed(file, path, len(header.classes), num_before + 2)


def _parsed(
    file: BufferedReader, path: Path, num_classes: int, first_line: int
) -> Iterator[PredictedFrame]:
    last = -1
    for number, line in enumerate(file, first_line):  # as editors number them
        if not line.strip():
            continue
        node = node_of(line, number, path)
        try:
            frame = parse_frame(node, num_classes)
        except FormatError:
            raise
        except (InputError, ValueError, OverflowError, TypeError, KeyError) as error:
            raise node.fault(f"not a frame: {error!r}") from error
        if frame.index <= last:
            raise node.fault(f"frame {frame.index} after frame {last}")
        last = frame.index
        yield frame


def read_header(path: str | Path) -> Header:
    """The header of a predictions file."""
    path = Path(path)
    with open_predictions(path) as (header, _):
        return header


def read_frames(path: str | Path) -> Iterator[PredictedFrame]:
    """All frames of a predictions file as they were written, tentative tracks included."""
    path = Path(path)
    with open_predictions(path) as (_, frames):
        yield from frames


def final_frames(frames: Iterable[PredictedFrame]) -> Iterator[PredictedFrame]:
    """The frames with their final rows: the one rule for exports, scores, counts and reports.

    Rows of a track that is confirmed at some time are kept from its first one on; rows of a track
    that never is are left out and counted (``num_unconfirmed``). A frame waits until its tentative
    tracks are decided, so memory is flat.

    Raises:
        InputError: a track is confirmed long after it was last seen (30 s and 30 frames).
    """
    rows = FinalRows()
    for frame in frames:
        yield from rows.add(frame)
    yield from rows.end()


class FinalRows:
    """``final_frames`` for frames that come one by one."""

    def __init__(self, *, hold_s: float = _HOLD_S, hold_frames: int = _HOLD_FRAMES) -> None:
        """Begin a video; a track that is unseen for longer is taken to be never confirmed."""
        self._hold_s, self._hold_frames = hold_s, hold_frames
        self._waiting: deque[PredictedFrame] = deque()
        self._confirmed: set[int] = set()
        self._expired: set[int] = set()
        self._seen: dict[int, tuple[int, float]] = {}  # undecided tracks: when last
        self._number = -1

    def add(self, frame: PredictedFrame) -> Iterator[PredictedFrame]:
        """Take the next frame; the frames that are decided by it."""
        self._number += 1
        if isinstance(frame.found, Tracks):
            tentative = frame.found.tentative
            self._confirmed.update(frame.found.ids[~tentative].tolist())
            if self._expired and (late := self._expired & self._confirmed):
                when = f"{frame.time_s:.3f} s, more than {self._hold_s:g} s after it was last seen"
                raise InputError(f"track {min(late)} is confirmed at {when}")
            for track in frame.found.ids[tentative].tolist():
                self._seen[track] = (self._number, frame.time_s)
        self._waiting.append(frame)
        while self._waiting and self._is_decided(self._waiting[0], frame.time_s):
            yield _settled(self._waiting.popleft(), self._confirmed)
        if not self._waiting:
            self._seen.clear()

    def end(self) -> Iterator[PredictedFrame]:
        """The frames that wait: no more come."""
        while self._waiting:
            yield _settled(self._waiting.popleft(), self._confirmed)

    def _is_decided(self, frame: PredictedFrame, now_s: float) -> bool:
        for track in _tentative(frame) - self._confirmed:
            number, seen_s = self._seen[track]
            if self._number - number <= self._hold_frames or now_s - seen_s <= self._hold_s:
                return False
            self._expired.add(track)
        return True


def _tentative(frame: PredictedFrame) -> set[int]:
    found = frame.found
    return set(found.ids[found.tentative].tolist()) if isinstance(found, Tracks) else set()


def _settled(frame: PredictedFrame, confirmed: set[int]) -> PredictedFrame:
    found = frame.found
    if not isinstance(found, Tracks) or not np.any(found.tentative):
        return frame
    kept = found[np.array([one in confirmed for one in found.ids.tolist()], bool)]
    kept = replace(kept, tentative=np.zeros(len(kept), bool))
    return replace(frame, found=kept, num_unconfirmed=len(found) - len(kept))


def frames_with(
    frames: Iterable[Frame], found: Iterator[PredictedFrame]
) -> Iterator[tuple[Frame, Detections | Tracks]]:
    """Every frame with what was found in it, which may be nothing; both in the order of frames."""
    waiting = next(found, None)
    for frame in frames:
        while waiting is not None and waiting.index < frame.index:
            waiting = next(found, None)
        here = waiting is not None and waiting.index == frame.index
        yield frame, waiting.found if here and waiting is not None else Detections.empty()


def is_counted(states: ByteArray, p_present: FloatArray) -> BoolArray:
    """Rows (N,) that are counted, scored and exported by default: the one rule.

    These are the observed rows, and predicted and filled ones whose object is probably there
    (``p_present`` above one half). Where ``p_present`` is not known (NaN), filled rows are counted
    and predicted ones are not.

    Args:
        states: (N,) see ``State``.
        p_present: (N,) probability that the object is there with IoU 0.5; NaN: not known.
    """
    unknown = np.isnan(p_present) & (states != State.PREDICTED)
    return np.asarray((states == State.OBSERVED) | unknown | (p_present > COUNTED_ABOVE))


def counted(frame: PredictedFrame) -> PredictedFrame:
    """A final frame with the rows of ``is_counted``.

    The others stay in ``predictions.jsonl`` and in the video.
    """
    found = frame.found
    if not isinstance(found, Tracks):
        return frame
    return replace(frame, found=found[is_counted(found.states, found.p_present)])


@dataclass(frozen=True, eq=False, kw_only=True)
class Predictions:
    """A predictions file with its final rows."""

    header: Header
    table: TrackTable
    clock: Mapping[int, float]
    """time (s) of every frame that was processed, whether something was found or not"""
    num_unconfirmed: int
    """rows left out, since their track was never confirmed"""


def read_predictions(path: str | Path, *, include_predicted: bool = True) -> Predictions:
    """The final rows of a predictions file as one table; one open, one parse.

    Args:
        path: a file of predictions or detections.
        include_predicted: keep boxes of hidden objects; False: see ``counted``.
    """
    path = Path(path)
    with open_predictions(path) as (header, frames):
        final = list(final_frames(frames))
    rows = [frame if include_predicted else counted(frame) for frame in final]
    return Predictions(
        header=header,
        table=TrackTable.from_frames([(one.index, one.time_s, one.found) for one in rows]),
        clock={one.index: one.time_s for one in final},
        num_unconfirmed=sum(one.num_unconfirmed for one in final),
    )


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
    given = shared(path, read_predictions)
    reading.tally.take(count=len(given.table))
    source = reading.source or Path(given.header.source.replace("\\", "/")).name
    video = LabelledVideo(
        source=source,
        info=given.header.info,
        tracks=given.table,
        labelled_frames=np.array([*given.clock], np.int64),
    )
    return Dataset(classes=given.header.classes, videos=(video,))


def contained(path: Path) -> int:
    """Number of final rows."""
    return len(shared(path, read_predictions).table)


def write(dataset: Dataset, path: Path, writing: Writing) -> None:
    """A dataset of one video as predictions; a frame without boxes has the time index / rate."""
    del writing
    if len(dataset.videos) != 1:
        raise FormatError(f"holds one video, there are {len(dataset.videos)}; give one", path=path)
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
            present = None if table.p_present is None else table.p_present[rows]
            found = Tracks(*columns, table.ids[rows], table.states[rows], p_present=present)
        boxed_s = table.times_s[start] if end > start else float(frame / header.info.rate)
        time_s = known_s.get(frame, boxed_s)
        lines.append(frame_entry(frame, time_s, found, header.classes))
    text = (json.dumps(entry, ensure_ascii=False, separators=(",", ":")) for entry in lines)
    write_atomic(path, "".join(f"{line}\n" for line in text))
