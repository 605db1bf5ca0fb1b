"""Names and moves of files that work alike on Linux, macOS and Windows."""

import os
import re
import sys
import time
import unicodedata
from collections.abc import Sequence
from functools import lru_cache
from glob import glob
from itertools import count
from pathlib import Path

from vodkit.ground.errors import InputError

_PICTURES = (".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp")
_TRIES, _PAUSE_S = 10, 0.05
_MOST_BYTES = 200  # of 255 that file systems allow; a number and an ending still fit
_RESERVED = {
    "con", "prn", "aux", "nul",
    *(f"{port}{number}" for port in ("com", "lpt") for number in range(1, 10)),
}  # fmt: skip


def relative(path: Path, folder: Path) -> str:
    """``path`` as seen from ``folder``, with ``/`` between its parts.

    Raises:
        InputError: they are on two drives of a Windows machine, so there is no such path.

    >>> relative(Path("a/clips/x.mp4"), Path("a/labels"))
    '../clips/x.mp4'
    """
    try:
        return Path(os.path.relpath(path, folder)).as_posix()
    except ValueError as error:
        allowed = "allowed: files on one drive, since paths in datasets are relative"
        raise InputError(f"{path} and {folder} are on different drives; {allowed}") from error


def natural_key(name: str) -> list[tuple[int, int | str]]:
    """Sorts numbers in names by value.

    >>> sorted(["f10.png", "f9.png"], key=natural_key)
    ['f9.png', 'f10.png']
    """
    parts = re.split(r"(\d+)", name)
    return [(0, int(part)) if part.isdigit() else (1, part) for part in parts if part]


def is_bystander(path: Path) -> bool:
    """Whether macOS put a file there: ``._a.jpg`` beside ``a.jpg``, and all of ``__MACOSX``.

    >>> is_bystander(Path("images/._a.jpg")), is_bystander(Path("__MACOSX/a.xml"))
    (True, True)
    """
    return path.name.startswith("._") or "__MACOSX" in path.parts


def files_in(folder: Path, *endings: str, deep: bool = False) -> list[Path]:
    """The files in a folder with one of these endings, in letters of any case, sorted.

    Without bystanders. Empty where there is no such folder.

    Args:
        folder: A folder.
        endings: As ``.xml``, in small letters.
        deep: Whether folders below count.
    """
    found = folder.rglob("*") if deep else folder.glob("*")
    kept = (one for one in found if one.suffix.lower() in endings and one.is_file())
    return sorted(one for one in kept if not is_bystander(one.relative_to(folder)))


def there(path: Path) -> Path:
    """The file that a label file means by ``path``: itself, or the only one that differs in case.

    Names with accents are written in two ways (macOS takes them apart), and endings as ``.JPG``.
    ``path`` itself where no file, or several, would do.
    """
    if path.exists() or not path.parent.is_dir():
        return path
    stamp = path.parent.stat().st_mtime_ns
    same = _names_in(str(path.parent), stamp).get(_plain(path.name), ())
    return path.with_name(same[0]) if len(same) == 1 else path


@lru_cache(maxsize=64)
def _names_in(folder: str, stamp: int) -> dict[str, list[str]]:
    """The names in a folder by their plain form; ``stamp`` is when it was changed."""
    del stamp
    found: dict[str, list[str]] = {}
    for child in Path(folder).iterdir():
        found.setdefault(_plain(child.name), []).append(child.name)
    return found


def _plain(name: str) -> str:
    return unicodedata.normalize("NFC", name).casefold()


def put_in_place(part: Path, path: Path) -> None:
    """Rename ``part`` to ``path``, replacing it in one step.

    On Windows a virus scanner or an indexer may hold the old file for a moment; the rename is then
    tried again for half a second.
    """
    for attempt in count(1):
        try:
            part.replace(path)
        except PermissionError:
            if sys.platform != "win32" or attempt == _TRIES:
                raise
            time.sleep(_PAUSE_S)
        else:
            return


def expanded(words: Sequence[str]) -> list[str]:
    """Command-line words; on Windows, whose shells leave it to programs, with patterns expanded.

    Patterns of pictures stay: they name one source, a sequence of frames.
    """
    if sys.platform != "win32":
        return list(words)
    found: list[str] = []
    for word in words:
        is_pattern = bool(set("*?") & set(word)) and not word.startswith("-")
        files = sorted(glob(word)) if is_pattern else []  # noqa: PTH207 - of any folder
        pictures = any(file.lower().endswith(_PICTURES) for file in files)
        found += [word] if pictures or not files else files
    return found


def folder_name(stem: str) -> str:
    """A name for a folder made of ``stem`` that every system accepts.

    >>> folder_name("Plaza 1?"), folder_name("nul"), folder_name("a..")
    ('Plaza_1_', '_nul', 'a')
    >>> folder_name("..")
    'source'
    """
    safe = "".join(c if c.isalnum() or c in "-_." else "_" for c in stem).strip(".") or "source"
    return unreserved(shortened(safe))


def shortened(stem: str) -> str:
    """``stem`` in at most 200 bytes, so that names made of it are not too long for a disk.

    >>> len(shortened("n" * 251)), shortened("plaza")
    (200, 'plaza')
    """
    data = stem.encode(errors="surrogateescape")
    return stem if len(data) <= _MOST_BYTES else data[:_MOST_BYTES].decode(errors="ignore")


def unreserved(name: str) -> str:
    """``name``, with ``_`` before it where Windows keeps it for a device.

    >>> unreserved("com1.jpg"), unreserved("common")
    ('_com1.jpg', 'common')
    """
    return f"_{name}" if name.lower().partition(".")[0] in _RESERVED else name


def is_taken(name: str, names: list[str]) -> bool:
    """Whether ``name`` would be the same file as one of ``names`` on macOS or Windows.

    >>> is_taken("clip", ["Clip", "street"])
    True
    """
    return name.lower() in {other.lower() for other in names}
