"""``open_video``: whatever has frames, as one thing.

=====================================  ==============================================
source                                 what it becomes
=====================================  ==============================================
path of a video file, or a binary file ContainerVideo
``scheme://`` that fsspec knows        ContainerVideo (``memory://``, ``s3://``, ...)
folder, glob, or path of a picture     PictureVideo
camera number, ``rtsp://``, ``http://`` LiveVideo (http with a video file's name: a file)
=====================================  ==============================================
"""

import io
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO, Protocol, Self, TypeAlias

from vodkit.ground.errors import VideoError
from vodkit.ground.lookup import named_like
from vodkit.ground.records import Frame, VideoInfo
from vodkit.video.container import ContainerVideo
from vodkit.video.limits import LIMITS, Limits
from vodkit.video.pictures import SUFFIXES, PictureVideo, pictures_in, pictures_like
from vodkit.video.rgb import OnDecoded, words
from vodkit.video.stream import LiveSettings, LiveVideo

Source: TypeAlias = str | Path | BinaryIO

LIVE_SCHEMES = ("rtsp", "rtsps", "rtmp", "rtmps", "udp", "rtp", "srt", "http", "https", "tcp")
# Not .ts, as which live streams come over HTTP, too.
_FILE_URL = re.compile(
    r"\.(mp4|m4v|mov|mkv|webm|avi|gif|mpg|mpeg|wmv|flv|3gp|ogv|mts|m2ts)$", re.IGNORECASE
)


class Video(Protocol):
    """An open source of frames; use it in a ``with`` statement."""

    info: VideoInfo
    num_lost: int
    is_live: bool
    """frames come when they come, and waiting makes them old"""

    @property
    def notes(self) -> tuple[str, ...]:
        """What was changed of the source's times, sizes or values so far, one sentence each."""
        ...

    def frames(
        self,
        *,
        start: int = 0,
        every: int = 1,
        size_px: tuple[int, int] | None = None,
        wanted: Callable[[int, float], bool] | None = None,
    ) -> Iterator[Frame]:
        """Frames in order; ``size_px`` (width, height) decodes straight to that size.

        ``wanted(index, time_s)`` is asked about each frame in order; where it says no, the frame
        may come without pixels (``Frame.unseen``), which saves making them.
        """
        ...

    def frame_at(self, index: int, *, size_px: tuple[int, int] | None = None) -> Frame:
        """The frame with this index, equal to the one ``frames`` gives."""
        ...

    def frame_at_time(self, time_s: float, *, size_px: tuple[int, int] | None = None) -> Frame:
        """The frame a player shows at this time."""
        ...

    def frames_at(
        self, indices: Sequence[int], *, size_px: tuple[int, int] | None = None
    ) -> list[Frame]:
        """The frames with these indices, in this order."""
        ...

    def close(self) -> None:
        """Close the source."""
        ...

    def __enter__(self) -> Self:
        """Itself."""
        ...

    def __exit__(self, *_: object) -> None:
        """Close."""
        ...


def open_video(
    source: Source,
    *,
    strict: bool = True,
    picture_rate: Fraction | None = None,
    live: LiveSettings | None = None,
    limits: Limits = LIMITS,
    one_thread: bool = False,
    on_decoded: OnDecoded | None = None,
) -> Video:
    """Open a source of frames.

    Args:
        source: see the table above.
        strict: a frame that cannot be decoded raises VideoError (after everything before it was
            given out); False leaves it out and counts it in ``num_lost``.
        picture_rate: frames a second of pictures, which have no clock of their own. None: that
            of a ``seqinfo.ini`` beside them, else 25, which ``notes`` then report.
        live: patience with a camera or stream.
        limits: sizes and times above which a source is refused.
        one_thread: decode a file in one thread, which costs the least processor time, where other
            work fills the cores; large pictures still take as many as FFmpeg likes.
        on_decoded: called by ``frames`` with each frame that it decodes, wanted or not, so that one
            pass gives two sizes: the index, and what makes the frame in full size, now or later.
            Frames of live sources are not reported.

    Raises:
        VideoError: not there, no video in it, or not decodable; the message names the place.
    """
    sys.audit("vodkit.open_video", str(source))
    of_file = partial(
        ContainerVideo, strict=strict, limits=limits, one_thread=one_thread, on_decoded=on_decoded
    )
    if not isinstance(source, str | Path):
        return of_file(partial(_Cursor, source), str(getattr(source, "name", "file object")))
    text = str(source)
    scheme = _scheme(text)
    if is_live(text):
        return LiveVideo(text, live, limits=limits)
    if scheme in LIVE_SCHEMES or (scheme == "file"):
        return of_file(partial(str, text), text)
    if scheme:
        return of_file(_remote(text), text)
    path = Path(text)
    if path.is_file() and path.suffix.lower() not in SUFFIXES:
        # FFmpeg takes what is before a colon for a protocol, but not in an absolute path.
        return of_file(partial(str, path.absolute()), text)
    return PictureVideo(
        _pictures_at(path),
        text,
        rate=picture_rate,
        strict=strict,
        limits=limits,
        on_decoded=on_decoded,
    )


def is_live(source: str) -> bool:
    """Whether a source is a camera or a stream, whose frames come when they come.

    >>> is_live("0"), is_live("rtsp://door/cam"), is_live("http://a/film.MP4"), is_live("a.mp4")
    (True, True, False, False)
    """
    is_file = bool(_FILE_URL.search(source.partition("?")[0]))
    return source.isdigit() or (_scheme(source) in LIVE_SCHEMES and not is_file)


def _scheme(source: str) -> str:
    return source.partition("://")[0].lower() if "://" in source else ""


def _pictures_at(path: Path) -> list[Path]:
    """The picture, or those in a folder, or that fit a pattern."""
    if path.is_dir():
        return pictures_in(path)
    if path.is_file():
        return [path]
    if set("*?[") & set(str(path)):
        return pictures_like(path)
    raise VideoError(f"no such file or folder{named_like(path)}", path=path)


class _Cursor:
    """A place of its own in a file that several passes read; closing it leaves the file open."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._place = 0

    def read(self, num_bytes: int) -> bytes:
        """The next bytes."""
        self._file.seek(self._place)
        found = self._file.read(num_bytes)
        self._place += len(found)
        return found

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Go there, as ``io.IOBase.seek`` does."""
        if whence == io.SEEK_END:
            self._place = self._file.seek(offset, whence)
        else:
            self._place = offset + (self._place if whence == io.SEEK_CUR else 0)
        return self._place

    def tell(self) -> int:
        """Where this reader is."""
        return self._place


def _remote(url: str) -> "partial[BinaryIO]":
    """What opens ``url``; it keeps the file system, for an archive closes with its own."""
    import fsspec

    try:
        system, path = fsspec.url_to_fs(url)
    except (OSError, ValueError, ImportError) as error:
        raise VideoError(f"cannot be opened: {words(error)}", path=url) from error
    return partial(_open_remote, system, path)


def _open_remote(system: Any, path: str) -> BinaryIO:
    try:
        opened: BinaryIO = system.open(path, "rb")
    except KeyError as error:  # an archive's word for a file that is not in it
        raise FileNotFoundError(error.args[0]) from error
    return opened
