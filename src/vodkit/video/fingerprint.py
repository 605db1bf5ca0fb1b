"""Fingerprints of sources: the sha256 of everything that a source's frames are made of."""

import hashlib
import re
from collections.abc import Iterator, Mapping
from datetime import datetime
from functools import lru_cache
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from vodkit.ground.errors import VideoError
from vodkit.ground.runs import sha256
from vodkit.video.pictures import pictures_in, pictures_like
from vodkit.video.reader import LIVE_SCHEMES

_PLAYLISTS = (b"#EXTM3U", b"ffconcat version")
_MOST_PLAYLIST_BYTES = 2**24
_IN_TAG = re.compile(r'URI="([^"]+)"')
_MARKS = (
    "ETag", "etag", "md5Hash", "content_md5", "checksum",
    "mtime", "LastModified", "last_modified", "updated", "modified", "created",
)  # fmt: skip
_CONCAT = re.compile(r"""file\s+(?:'([^']*)'|"([^"]*)"|(\S+))""")


def digest(source: Path) -> str | None:
    """Of a file its content's sha256, of a folder or pattern that of its pictures, names and all.

    A playlist's covers the local files that it names. None where the source does not exist. A
    file is read once while it does not change. To read 364 pictures of BCCD for it takes 0.02 s,
    to decode them 0.7 s.

    Raises:
        VideoError: a file cannot be read, or a playlist is too large.
    """
    try:
        return _digest(source)
    except OSError as error:
        message = f"cannot be read: {error.strerror}"
        raise VideoError(message, path=error.filename or source) from error


def version_of(source: str) -> str:
    """What changes when a file is replaced, known without reading it; empty where it is unknown.

    Of a local file its size and time, of a URL what its store says: ``version_in``.
    """
    if "://" not in source:
        path = Path(source)
        try:
            about = path.stat()
        except (OSError, ValueError):
            return ""
        return f"{about.st_size}-{about.st_mtime_ns}" if path.is_file() else ""
    if source.partition("://")[0].lower() in LIVE_SCHEMES:
        return ""
    import fsspec

    try:
        system, place = fsspec.url_to_fs(source)
        return version_in(system.info(place))
    except Exception:  # noqa: BLE001 - a store may raise anything; reading the video reports it
        return ""


def version_in(about: Mapping[str, Any]) -> str:
    """The version of a stored file: its size, and its checksum or time, whichever is known.

    Args:
        about: what ``info`` of an fsspec file system returns.

    >>> version_in({"size": 12, "ETag": '"ab-1"', "LastModified": "today"})
    '12-ab-1'
    """
    mark = next((about[name] for name in _MARKS if about.get(name)), "")
    time_s = mark.timestamp() if isinstance(mark, datetime) else mark
    known = f"{time_s:.6f}" if isinstance(time_s, float) else str(time_s)
    return f"{about.get('size') or 0}-{known}".replace('"', "")


def _digest(source: Path) -> str | None:
    if source.is_file():
        files = list(_files_of(source, set()))
        return _content(source) if files == [source] else _combined(files)
    pictures = pictures_in(source) if source.is_dir() else pictures_like(source)
    known = source.is_dir() or pictures
    return _combined(pictures) if known else None


def _combined(files: list[Path]) -> str:
    listing = "\n".join(f"{one.name} {_content(one)}" for one in files)
    return hashlib.sha256(listing.encode()).hexdigest()


def _files_of(source: Path, known: set[Path]) -> Iterator[Path]:
    """A file; of a playlist also the local files that it names, each once; ``known`` grows."""
    known.add(source.resolve())
    yield source
    with source.open("rb") as file:
        head = file.read(64).lstrip(b"\xef\xbb\xbf \r\n\t")
    if not head.startswith(_PLAYLISTS):
        return
    if source.stat().st_size > _MOST_PLAYLIST_BYTES:
        allowed = f"allowed: {_MOST_PLAYLIST_BYTES} bytes"
        raise VideoError(f"is a playlist of {source.stat().st_size} bytes; {allowed}", path=source)
    for name in _names_in(source.read_text("utf-8", errors="replace")):
        piece = source.parent / unquote(name)
        piece = piece if piece.is_file() else source.parent / name
        if piece.is_file() and piece.resolve() not in known:
            yield from _files_of(piece, known)


def _names_in(playlist: str) -> Iterator[str]:
    r"""The files that an HLS playlist or a list for FFmpeg's concat names; no URLs.

    >>> list(_names_in('#EXTM3U\n#EXT-X-MAP:URI="init.mp4"\n#EXTINF:4,\na.ts\nhttp://b/c.ts'))
    ['init.mp4', 'a.ts']
    >>> list(_names_in("ffconcat version 1.0\nfile 'b 1.mp4'\nduration 4"))
    ['b 1.mp4']
    """
    is_concat = playlist.lstrip().startswith("ffconcat")
    for line in filter(None, map(str.strip, playlist.splitlines())):
        if is_concat:
            match = _CONCAT.match(line)
            found = [next(filter(None, match.groups()), "")] if match else []
        else:
            found = _IN_TAG.findall(line) if line.startswith("#") else [line]
        for name in found:
            if name.startswith("file://") or "://" not in name:
                yield name.removeprefix("file://")


def _content(file: Path) -> str:
    about = file.stat()
    return _sha256(file, about.st_size, about.st_mtime_ns)


@lru_cache(maxsize=1024)
def _sha256(path: Path, _size: int, _mtime_ns: int) -> str:
    return sha256(path)
