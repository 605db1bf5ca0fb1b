"""What a source may cost: a few bytes of a hostile file can ask for terabytes, or never end."""

import ctypes
import re
from dataclasses import dataclass
from pathlib import Path

import av

from vodkit.ground.errors import VideoError
from vodkit.ground.settings import bounded, check_ranges

UNENDED = (
    "is a playlist without an end (#EXT-X-ENDLIST): it is still growing; allowed: a complete one"
)

_END = re.compile(rb"^#EXT-X-ENDLIST", re.MULTILINE)  # FFmpeg sees it at the begin of a line alone


@dataclass(frozen=True, kw_only=True)
class Limits:
    """Sizes and times above which a source is refused, with VideoError."""

    max_pixels: int = bounded(8192 * 8192, above=0)
    """of a picture; a larger one is refused before it is decoded"""
    max_side_px: int = bounded(32768, above=0)
    """of a picture's width and height: no decoder's tables for a line of a million pixels"""
    max_frames: int = bounded(20_000_000, above=0)
    """of a file; nine days at 25 a second. Live sources are endless by nature"""
    open_s: float = bounded(600.0, above=0)
    """a file whose times are not all read by then is refused: an endless stream, or a dead disk"""
    read_s: float = bounded(30.0, above=0)
    """a file on the network that gives no data for so long is broken"""
    max_piece_bytes: int = bounded(9 * 2**26, above=0)
    """of a part of a multipart stream, a packet, or the plane of a picture: FFmpeg holds each in
    memory. The smallest limit in use holds for the process"""
    max_playlist_bytes: int = bounded(2**25, above=0)
    """of a playlist's text"""

    def __post_init__(self) -> None:
        """Check ranges."""
        check_ranges(self)

    def allow(self, size_px: tuple[int, int]) -> bool:
        """Whether ``check_size`` lets a picture (width, height) pass."""
        area_px = size_px[0] * size_px[1]
        return min(size_px) >= 1 and area_px <= self.max_pixels and max(size_px) <= self.max_side_px

    def check_size(
        self, size_px: tuple[int, int], *, path: str | Path, time_s: float | None = None
    ) -> None:
        """Raise VideoError for a picture (width, height) that is empty or too large."""
        if min(size_px) < 1 or size_px[0] * size_px[1] > self.max_pixels:
            message = f"picture size {size_px} px; allowed: up to {self.max_pixels} pixels"
            raise VideoError(message, path=path, time_s=time_s)
        if max(size_px) > self.max_side_px:
            message = f"picture size {size_px} px; allowed: up to {self.max_side_px} a side"
            raise VideoError(message, path=path, time_s=time_s)

    def bound_pieces(self) -> None:
        """Have FFmpeg refuse pieces over ``max_piece_bytes``: it knows no such limit by stream."""
        if self.max_piece_bytes < _bound.get("bytes", 2**63):
            library = _avutil()
            if library is not None:
                library.av_max_alloc(ctypes.c_size_t(self.max_piece_bytes))
            _bound["bytes"] = self.max_piece_bytes

    def check_playlist(self, path: Path) -> None:
        """Raise VideoError for a playlist whose text is too long, or has no end.

        FFmpeg would wait for more pieces of one without an end, though a file does not grow.
        """
        if path.stat().st_size > self.max_playlist_bytes:
            message = f"a playlist of {path.stat().st_size} bytes"
            raise VideoError(f"{message}; allowed: {self.max_playlist_bytes}", path=path)
        text = path.read_bytes()
        is_list_of_pieces = b"#EXTM3U" in text and b"#EXT-X-STREAM-INF" not in text
        if is_list_of_pieces and not _END.search(text):
            raise VideoError(UNENDED, path=path)


_bound: dict[str, int] = {}


def _avutil() -> ctypes.CDLL | None:
    """The libavutil that PyAV has loaded; None where it is the system's own."""
    inside = Path(av.__file__).parent
    for folder in (inside.parent / "av.libs", inside / ".dylibs"):
        for path in sorted(folder.glob("*avutil*")):
            return ctypes.CDLL(str(path))
    return None


def size_note(size_px: tuple[int, int], first_px: tuple[int, int], place: str) -> str:
    """The note on pictures of another size (width, height) than the first one's.

    >>> size_note((384, 288), (768, 576), "frame 7")
    'pictures of 384x288 px (the first is frame 7) are scaled to 768x576, as the first picture is'
    """
    seen, wanted = (f"{width}x{height}" for width, height in (size_px, first_px))
    first = f"(the first is {place})"
    return f"pictures of {seen} px {first} are scaled to {wanted}, as the first picture is"


LIMITS = Limits()
