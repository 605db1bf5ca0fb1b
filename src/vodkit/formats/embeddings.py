r"""Embeddings of a run's detections: one row a detection, in the order of the detections file.

A first line of JSON says what the file is, then come the numbers::

    {"vodkit": "embeddings", "version": 1, "size": 128, "dtype": "<f4"}\n
    row, row, row ...                            (size x 4 bytes each, little endian)

The rows of a frame are written before the frame's line in the detections file, so a killed run has
them for every line there; rows too many are cut off when it goes on.
"""

import json
import os
from io import BufferedRandom
from pathlib import Path
from typing import Self

import numpy as np

from vodkit.formats.base import close_written
from vodkit.formats.predictions import read_frames
from vodkit.ground.arrays import FloatArray
from vodkit.ground.errors import FormatError, OutputError, writing
from vodkit.ground.ledger import claim
from vodkit.ground.records import TrackTable
from vodkit.ground.runs import DETECTIONS, EMBEDDINGS

VERSION = 1
_DTYPE = np.dtype("<f4")
_MOST_NUMBERS = 2**20  # of a row: networks give some hundreds


class EmbeddingFile:
    """Gives out the rows that are there, in order, and then takes more; a context manager."""

    def __init__(self, path: Path) -> None:
        """Open the file, or make an empty one."""
        self.path = path
        self._size = 0
        with writing(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            claim(path)
            path.touch()
            self._file: BufferedRandom = path.open("r+b")
        line = self._file.readline()
        if not line.endswith(b"\n"):
            self._file.seek(0)
            return
        try:
            self._size = _size_in(line, path)
        except FormatError:
            self._file.close()
            raise

    def take(self, count: int) -> FloatArray:
        """The next ``count`` rows (count, D) float32; OutputError when they are not there."""
        wanted = count * self._size * _DTYPE.itemsize
        # Looked up first: a damaged size must not ask for memory.
        if not self._size or wanted > os.fstat(self._file.fileno()).st_size - self._file.tell():
            message = "has fewer rows than there are detections; --overwrite starts over"
            raise OutputError(message, path=self.path)
        content = self._file.read(wanted)
        return np.frombuffer(content, _DTYPE).reshape(count, self._size).astype(np.float32)

    def append(self, rows: FloatArray) -> None:
        """Write rows (N, D) after those that were taken; whatever stood there is gone."""
        with writing(self.path):
            self._file.truncate(self._file.tell())
            if not self._size:
                self._size = rows.shape[1]
                about = {"vodkit": "embeddings", "version": VERSION}
                line = json.dumps({**about, "size": self._size, "dtype": _DTYPE.str})
                self._file.write(line.encode() + b"\n")
            if rows.shape[1] != self._size:
                message = (
                    f"has {self._size} numbers a row, not {rows.shape[1]}; it is of another run"
                )
                raise OutputError(message, path=self.path)
            self._file.write(np.ascontiguousarray(rows, _DTYPE).tobytes())
            self._file.flush()

    def __enter__(self) -> Self:
        """Itself."""
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        """Close the file; what was written stays, error or not."""
        close_written(self._file, self.path, failed=kind is not None)


def read_embeddings(path: Path) -> FloatArray:
    """All rows (R, D) float32 of a file; FormatError when it is no such file or torn."""
    try:
        line, _, content = path.read_bytes().partition(b"\n")
    except OSError as error:
        raise FormatError(f"cannot be read: {error.strerror}", path=path) from error
    size = _size_in(line, path)
    if len(content) % (size * _DTYPE.itemsize):
        raise FormatError(f"ends within a row of {size} numbers", path=path)
    return np.frombuffer(content, _DTYPE).reshape(-1, size).astype(np.float32)


def looks_beside(predictions: Path, table: TrackTable) -> FloatArray | None:
    """Embeddings (R, D) of the rows of a run's predictions, from the files that lie beside them.

    A track's observed box is the detection's own, to the last bit: so they are found. Rows that are
    nobody's detection get zeros. None where the run did not look at what objects look like.
    """
    path = predictions.with_name(EMBEDDINGS)
    if not path.exists():
        return None
    looks = read_embeddings(path)
    row_of: dict[tuple[int, bytes], int] = {}
    count = 0
    for frame in read_frames(predictions.with_name(DETECTIONS)):
        for box in frame.found.boxes_xyxy:
            # One box may be there twice, as two classes: it looks the same.
            row_of[frame.index, box.tobytes()] = count
            count += 1
    if count > len(looks):
        raise FormatError(f"has {len(looks)} rows for {count} detections", path=path)
    boxes = [box.tobytes() for box in table.boxes_xyxy.astype(np.float32)]
    rows = [row_of.get(key, -1) for key in zip(table.frames.tolist(), boxes, strict=True)]
    at = np.array(rows, np.int64)
    return np.where(at[:, None] >= 0, looks[at], 0.0).astype(np.float32)


def _size_in(line: bytes, path: Path) -> int:
    try:
        about = json.loads(line)
        right = about["vodkit"] == "embeddings" and about["dtype"] == _DTYPE.str
        size, version = int(about["size"]), int(about.get("version", 0))
    except (ValueError, LookupError, TypeError, OverflowError, AttributeError) as error:
        raise FormatError("not a file of embeddings", path=path, line=1) from error
    if not right or version > VERSION or not 1 <= size <= _MOST_NUMBERS:
        raise FormatError(f"not embeddings that this vodkit knows: {about}", path=path, line=1)
    return size
