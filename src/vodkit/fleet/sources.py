"""The videos that words of the command line mean, each with a name that is the same everywhere.

The run folder of a video is named after the file and ten digits of the sha256 of its URL, as
``cam1-9f86d08188``: no list of the other videos is needed to know it, and two videos called
``cam1.mp4`` in different folders get two folders.
"""

import hashlib
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from glob import glob
from pathlib import Path, PurePosixPath

from vodkit.data.ingest import VIDEO_ENDINGS
from vodkit.fleet.place import as_url, is_url, listing
from vodkit.ground.errors import InputError
from vodkit.ground.paths import folder_name
from vodkit.ground.text import redacted
from vodkit.video.fingerprint import version_in, version_of
from vodkit.video.pictures import SUFFIXES
from vodkit.video.reader import is_live

_DIGITS = 10
_LONGEST = 80


@dataclass(frozen=True)
class Item:
    """One video of a tree."""

    uri: str
    """path or URL, as the run is given it"""
    size: int = 0
    """bytes; 0 where unknown"""
    version: str = ""
    """what changes when the file is replaced; empty: it does not exist, or is a folder"""

    @cached_property
    def name(self) -> str:
        """Of its run folder.

        >>> Item("s3://films/day 1/cam.mp4").name, Item("./cam.mp4").name == Item("cam.mp4").name
        ('cam-ec9b4406a5', True)
        """
        known = redacted(self.uri) if is_url(self.uri) else Path(os.path.normpath(self.uri))
        text = known.as_posix() if isinstance(known, Path) else known
        last = text.partition("?")[0].rstrip("/").split("/")[-1]
        digest = hashlib.sha256(text.encode()).hexdigest()[:_DIGITS]
        return f"{folder_name(PurePosixPath(last).stem or last)[:_LONGEST]}-{digest}"


def means_many(word: str) -> bool:
    """Whether a word is a URL that means many videos: a pattern, or a folder.

    >>> means_many("s3://films/**/*.mp4"), means_many("s3://films/"), means_many("s3://a/b.mp4")
    (True, True, False)
    """
    return is_url(word) and not is_live(word) and (bool(set("*[") & set(word)) or word[-1] == "/")


def items_of(words: Sequence[str]) -> list[Item]:
    """The videos, longest first, so that the last ones to be worked on are short.

    Args:
        words: files, folders and patterns, local or URLs. A pattern of pictures, or a folder of
            them, is one video. A file that does not exist is kept: it will fail, and be listed.

    Raises:
        InputError: a pattern or a folder has no video, or a word is a live source.
        StorageError: a bucket cannot be listed.
    """
    found = {item.name: item for word in words for item in _of_word(word)}
    return sorted(found.values(), key=lambda item: (-item.size, item.name))


def _of_word(word: str) -> Iterator[Item]:
    if is_live(word):
        raise InputError(f"{redacted(word)}: a live source; allowed here: files, which end")
    yield from _remote(word) if is_url(word) else _local(word)


def _remote(url: str) -> Iterator[Item]:
    is_pattern = bool(set("*?[") & set(url))
    system, files = listing(url)
    alone = len(files) == 1 and not is_pattern and not url.endswith("/")
    count = 0
    for path, about in sorted(files.items()):
        if is_pattern or alone or path.lower().endswith(VIDEO_ENDINGS):
            uri = url if alone else as_url(system, path)
            yield Item(uri, int(about.get("size") or 0), version_in(about))
            count += 1
    if not count and (is_pattern or files or url.endswith("/")):
        raise InputError(f"{redacted(url)}: no videos found")
    if not count:
        yield Item(url)


def _local(word: str) -> Iterator[Item]:
    path = Path(word)
    if path.is_dir() and not any(one.suffix.lower() in SUFFIXES for one in path.iterdir()):
        found = [one for one in path.rglob("*") if one.suffix.lower() in VIDEO_ENDINGS]
    elif set("*?[") & set(word) and not path.exists():
        found = [Path(one) for one in glob(word, recursive=True)]  # noqa: PTH207 - of any folder
        found = [one for one in found if one.is_file()]
        if any(one.suffix.lower() in SUFFIXES for one in found):
            yield Item(word)
            return
    else:
        size = path.stat().st_size if path.is_file() else 0
        yield Item(word, size, version_of(word))
        return
    if not found:
        raise InputError(f"{word}: no videos found")
    for one in sorted(found):
        yield Item(one.as_posix(), one.stat().st_size, version_of(str(one)))
