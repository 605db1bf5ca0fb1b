"""What an ONNX file points at outside itself, found without any ONNX library.

Large ONNX models keep tensors in files beside them ("external data"), by a path that stands in
the model. A hostile model can point at any file of the user. This reads just enough of the
protobuf (https://protobuf.dev/programming-guides/encoding, onnx.proto3) to see all such paths,
and refuses those that lead out of the model's folder, before any library opens the model.
"""

import mmap
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from vodkit.detect.finite import bfloat16, is_broken
from vodkit.ground.arrays import FloatArray
from vodkit.ground.errors import WeightsError

# Fields of TensorProto, and types of its elements.
_DATA_TYPE, _NAME, _EXTERNAL, _DATA = 2, 8, 13, (4, 9, 10)
_BFLOAT16 = 16
_DTYPES = {1: "<f4", 10: "<f2", 11: "<f8", _BFLOAT16: "<u2"}
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_MAX_DEPTH = 64  # graphs within graphs; ONNX files have two or three

# message: field number: the message in it. Only the ways that lead to tensors.
_FIELDS = {
    "model": {7: "graph", 25: "function", 20: "training"},
    "training": {1: "graph", 2: "graph"},
    "graph": {1: "node", 5: "tensor", 15: "sparse"},
    "function": {7: "node", 11: "attribute"},
    "node": {5: "attribute"},
    "attribute": {
        5: "tensor", 6: "graph", 10: "tensor", 11: "graph", 22: "sparse", 23: "sparse",
    },
    "sparse": {1: "tensor", 2: "tensor"},
    "tensor": {13: "entry"},
}  # fmt: skip


def external_files(path: Path) -> list[Path]:
    """The files beside an ONNX model that it takes tensors from, each once, in order of name.

    Raises WeightsError when the file is no protobuf, or a path in it is absolute, leads out of
    the model's folder (also by a link), or does not exist.
    """
    if path.stat().st_size == 0:
        raise WeightsError(f"{path}: empty; allowed: an ONNX model")
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        try:
            locations = set(_locations(data))
        except (IndexError, UnicodeDecodeError, RecursionError) as error:
            raise WeightsError(f"{path}: not an ONNX model, or cut short") from error
    return [_inside(path, location) for location in sorted(locations)]


def broken_tensors(path: Path) -> Iterator[str]:
    """Names of the tensors in an ONNX model, and beside it, that are not finite.

    The model must have passed ``external_files``.
    """
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        for start, stop in _messages(data, 0, len(data), "model", "tensor"):
            name, values = _values(data, start, stop, path.parent)
            if values.dtype.kind == "f" and is_broken(values):
                yield name


def _values(data: mmap.mmap, start: int, stop: int, folder: Path) -> tuple[str, FloatArray]:
    """A tensor's name, and its numbers where they are floating point."""
    kind, name, content = 0, "", b""
    places: dict[str, str] = {}
    for number, begin, end in _parts(data, start, stop, wires=(_VARINT, _BYTES)):
        if number == _DATA_TYPE:
            kind, _ = _varint(data, begin, end)
        elif number == _NAME:
            name = data[begin:end].decode(errors="replace")
        elif number in _DATA:
            content = data[begin:end]
        elif number == _EXTERNAL:
            key, value = _entry(data, begin, end)
            places[key] = value
    if "location" in places:
        content = _beside(folder, places)
    dtype = np.dtype(_DTYPES.get(kind, "<u1"))
    found = np.frombuffer(content, dtype, count=len(content) // dtype.itemsize)
    return name, bfloat16(found) if kind == _BFLOAT16 else found


def _beside(folder: Path, places: Mapping[str, str]) -> bytes:
    """The bytes of a tensor in a file of its own."""
    try:
        offset, length = int(places.get("offset", "0")), int(places.get("length", "-1"))
        with (folder / places["location"]).open("rb") as file:
            file.seek(offset)
            return file.read(length)
    except (ValueError, OSError):
        return b""  # the libraries say what is wrong with it


def _inside(path: Path, location: str) -> Path:
    folder = path.parent.resolve()
    if "\0" in location:
        raise WeightsError(f"{path}: external data at {location!r}; allowed: file names")
    beside = (folder / location.replace("\\", "/")).resolve()
    if not location or Path(location).is_absolute() or not beside.is_relative_to(folder):
        raise WeightsError(
            f"{path}: its external data is at {location!r}, outside the model's folder;"
            " allowed: files in the model's folder"
        )
    if not beside.is_file():
        raise WeightsError(f"{path}: its external data {location!r} is missing from its folder")
    return beside


def _locations(data: mmap.mmap) -> Iterator[str]:
    """Paths of external data in the model."""
    for begin, end in _messages(data, 0, len(data), "model", "entry"):
        key, value = _entry(data, begin, end)
        if key == "location":
            yield value


def _messages(
    data: mmap.mmap, start: int, stop: int, message: str, wanted: str, *, depth: int = 0
) -> Iterator[tuple[int, int]]:
    """Begin and end of every ``wanted`` message in the one that fills ``data[start:stop]``."""
    if depth > _MAX_DEPTH:
        raise RecursionError
    inner = _FIELDS[message]
    for number, begin, end in _parts(data, start, stop):
        kind = inner.get(number)
        if kind == wanted:
            yield begin, end
        elif kind is not None and kind in _FIELDS:
            yield from _messages(data, begin, end, kind, wanted, depth=depth + 1)


def _entry(data: mmap.mmap, start: int, stop: int) -> tuple[str, str]:
    words = {1: "", 2: ""}
    for number, begin, end in _parts(data, start, stop):
        words[number] = data[begin:end].decode()
    return words[1], words[2]


def _parts(
    data: mmap.mmap, start: int, stop: int, wires: Sequence[int] = (_BYTES,)
) -> Iterator[tuple[int, int, int]]:
    """Number, begin and end of every field of these wire types; IndexError where bytes are missing.

    Of length-delimited fields, the content.
    """
    at = start
    while at < stop:
        tag, at = _varint(data, at, stop)
        wire = tag & 7
        begin = at
        if wire == _VARINT:
            _, at = _varint(data, at, stop)
        elif wire == _BYTES:
            length, begin = _varint(data, at, stop)
            at = begin + length
            if at > stop:
                raise IndexError
        elif wire in {_FIXED64, _FIXED32}:
            at += 8 if wire == _FIXED64 else 4
        else:
            raise IndexError
        if wire in wires:
            yield tag >> 3, begin, at
    if at != stop:
        raise IndexError


def _varint(data: mmap.mmap, at: int, stop: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        if at >= stop:
            raise IndexError
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
    raise IndexError
