"""A check of HDF5 files that the library itself lacks: it reads some damaged heaps for ever.

Texts of variable length lie in global heaps (``GCOL``): a list of objects, each with its size. An
entry of free space of size 0 never ends for the library (1.14), which cannot be interrupted.
"""

import mmap
import struct
from pathlib import Path

from vodkit.ground.errors import FormatError

_SIGNATURE = b"GCOL\x01\x00\x00\x00"
_HEAD, _OBJECT = 16, 16  # bytes before the first object, and before the data of each


def require_sound_heaps(path: Path) -> None:
    """FormatError for a file with a heap that the library would read for ever."""
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        start = content.find(_SIGNATURE)
        while start >= 0:
            if _is_endless(content, start):
                message = f"corrupt SLEAP file: a heap of HDF5 at byte {start} has no end"
                raise FormatError(message, path=path)
            start = content.find(_SIGNATURE, start + 1)


def _is_endless(content: mmap.mmap, start: int) -> bool:
    """Whether the heap at ``start`` has an object from which reading does not get on."""
    if start + _HEAD > len(content):
        return False
    end = start + struct.unpack_from("<Q", content, start + 8)[0]
    if end > len(content):
        return False  # the library refuses it, or it is a picture's bytes by chance
    place = start + _HEAD
    while place + _OBJECT <= end:
        number, size = struct.unpack_from("<HxxxxxxQ", content, place)
        step = size if number == 0 else _OBJECT + (size + 7) // 8 * 8
        if step == 0:
            return True
        place += step
    return False
