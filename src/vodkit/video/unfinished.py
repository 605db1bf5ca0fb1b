"""Files that FFmpeg reads in part: an mp4 without its index, several recordings in one file."""

import os
import struct
from typing import Any

# How recordings begin in formats of which FFmpeg reads one recording, or two.
_BEGINS = {"matroska,webm": b"\x1a\x45\xdf\xa3", "flv": b"FLV\x01"}
_MUCH = 0.1  # of a file behind its last frame: no index, nor other tracks
_CHUNK = 1 << 20
_MOST_BOXES = 10_000
_MP4 = {b"ftyp", b"mdat", b"wide", b"free", b"skip", b"pnot"}


def why_unfinished(source: Any) -> str:
    """What a file lacks, and how to recover it: an index (mp4, mov), or all. Else empty.

    Args:
        source: a path, or an open binary file.

    Returns:
        A sentence for an error, or an empty string.
    """
    try:
        if isinstance(source, str):
            with open(source, "rb") as file:  # noqa: PTH123 - of any string that names a file
                names, size = _boxes(file)
        else:
            names, size = _boxes(source)
    except (OSError, ValueError, AttributeError):
        return ""
    if size == 0:
        return "the file is empty (0 bytes)"
    if not names or names[0] not in _MP4 or b"moov" in names or b"mdat" not in names:
        return ""
    return (
        "its index (the moov box) is missing, so the recording or the copy was not finished; copy"
        " it again, or recover it with untrunc and a sound recording of the same camera"
    )


def _boxes(file: Any) -> tuple[list[bytes], int]:
    """The names of the top-level boxes of an mp4 file, as far as they continue; its size."""
    names: list[bytes] = []
    end, place = file.seek(0, os.SEEK_END), 0
    while place + 8 <= end and len(names) < _MOST_BOXES:
        file.seek(place)
        head = file.read(16)
        size, name = struct.unpack_from(">I4s", head)
        if size == 1 and len(head) == 16:
            (size,) = struct.unpack_from(">Q", head, 8)
        names.append(name)
        if size < 8:  # 0: up to the end of the file
            break
        place += size
    return names, end


def next_recording(path: str, container: str, end: int) -> int | None:
    """Where another recording begins that FFmpeg does not read; None where there is none.

    Args:
        path: a local file.
        container: FFmpeg's name of the format.
        end: bytes up to the end of the last frame's packet.
    """
    begin = _BEGINS.get(container)
    try:
        size = os.stat(path).st_size  # noqa: PTH116 - of any string that names a file
        if begin is None or size - end < _MUCH * size:
            return None
        with open(path, "rb") as file:  # noqa: PTH123
            place, tail = end, b""
            file.seek(end)
            while chunk := file.read(_CHUNK):
                found = (tail + chunk).find(begin)
                if found >= 0:
                    return place - len(tail) + found
                place, tail = place + len(chunk), chunk[1 - len(begin) :]
    except OSError:
        pass
    return None
