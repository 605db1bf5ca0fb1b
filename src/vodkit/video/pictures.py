"""A folder or glob of pictures as a video: frame i is the i-th name in natural order."""

import glob
import hashlib
import io
import math
import re
import struct
import warnings
from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction
from functools import lru_cache
from pathlib import Path
from types import TracebackType
from typing import Self

import cv2
import numpy as np

from vodkit.ground.errors import InputError, VideoError
from vodkit.ground.records import Frame, VideoInfo
from vodkit.ground.runs import sha256
from vodkit.video.limits import LIMITS, Limits
from vodkit.video.rgb import lacks_memory, no_memory

_HEADER = 1 << 18  # bytes that are looked at for a picture's size: JPEG may have much before it
SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff", ".ppm", ".pgm"})


def natural_key(name: str) -> list[tuple[int, int | str]]:
    """Sorts numbers in names by value.

    >>> sorted(["f10.png", "f9.png"], key=natural_key)
    ['f9.png', 'f10.png']
    """
    parts = re.split(r"(\d+)", name)
    return [(0, int(part)) if part.isdigit() else (1, part) for part in parts if part]


def pictures_in(folder: Path, pattern: str = "*") -> list[Path]:
    """The picture files of a folder that match, in natural order."""
    found = [path for path in folder.glob(pattern) if path.suffix.lower() in SUFFIXES]
    return sorted(found, key=lambda path: natural_key(path.name))


def pictures_like(pattern: Path) -> list[Path]:
    """The picture files that a pattern with ``*``, ``?`` or ``[`` means, in natural order."""
    names = glob.glob(str(pattern))  # noqa: PTH207 - absolute patterns
    found = [Path(name) for name in names if Path(name).suffix.lower() in SUFFIXES]
    return sorted(found, key=lambda path: natural_key(str(path)))


def digest(source: Path) -> str | None:
    """Of a file its content's sha256, of a folder or pattern that of its pictures, names and all.

    None where there is neither. A file that stays as it is, is read once. To read 364 pictures of
    BCCD for it takes 0.02 s, to decode them 0.7 s.
    """
    try:
        return _digest(source)
    except OSError as error:
        message = f"cannot be read: {error.strerror}"
        raise VideoError(message, path=error.filename or source) from error


def _digest(source: Path) -> str | None:
    if source.is_file():
        return _content(source)
    pictures = pictures_in(source) if source.is_dir() else pictures_like(source)
    listing = "\n".join(f"{one.name} {_content(one)}" for one in pictures)
    known = source.is_dir() or pictures
    return hashlib.sha256(listing.encode()).hexdigest() if known else None


def _content(file: Path) -> str:
    about = file.stat()
    return _sha256(file, about.st_size, about.st_mtime_ns)


@lru_cache(maxsize=1024)
def _sha256(path: Path, _size: int, _mtime_ns: int) -> str:
    return sha256(path)


def first_other(folder: Path, names: Sequence[str]) -> str | None:
    """What is wrong where the first pictures of a folder are not these; None if they are.

    A folder's frames are all its pictures in natural order. Names without an ending fit any.
    """
    there = [path.name for path in pictures_in(folder)]
    for index, name in enumerate(names):
        seen = there[index] if index < len(there) else "missing"
        if name not in (seen, Path(seen).stem):
            rest = f"the folder holds {len(there)} pictures, the labels name {len(names)}"
            return f"frame {index} is {seen}, the labels are of {name} ({rest})"
    return None


class PictureVideo:
    """Pictures as frames. They have no clock: ``rate`` says how many make a second."""

    is_live = False

    def __init__(
        self,
        paths: Sequence[Path],
        name: str,
        *,
        rate: Fraction,
        strict: bool,
        limits: Limits = LIMITS,
    ) -> None:
        """``paths`` in the order of the frames; the first must be readable, for its size."""
        if not paths:
            allowed = ", ".join(sorted(SUFFIXES))
            hint = "videos are given one by one, as folder/*.mp4 in a shell"
            raise VideoError(f"no pictures here; allowed: {allowed}; {hint}", path=name)
        self._paths = tuple(paths)
        self._strict = strict
        self._limits = limits
        self.num_lost = 0
        height_px, width_px = _read(self._paths[0], limits).shape[:2]
        self.info = VideoInfo(
            path=name,
            width_px=width_px,
            height_px=height_px,
            rate=rate,
            num_frames=len(paths),
            duration_s=float(len(paths) / rate),
        )

    @property
    def times_s(self) -> tuple[float, ...]:
        """Index / rate."""
        return tuple(float(i / self.info.rate) for i in range(len(self._paths)))

    def frames(
        self,
        *,
        start: int = 0,
        every: int = 1,
        size_px: tuple[int, int] | None = None,
        wanted: Callable[[int, float], bool] | None = None,
    ) -> Iterator[Frame]:
        """Frames ``start``, ``start + every``, ...; see ContainerVideo.frames."""
        if start < 0 or every < 1:
            raise InputError(f"start is {start}, every is {every}; allowed: from 0, from 1")
        self.num_lost = 0
        width_px, height_px = self.info.width_px, self.info.height_px
        for index in range(start, len(self._paths), every):
            time_s = float(index / self.info.rate)
            if wanted is not None and not wanted(index, time_s):
                yield Frame.unseen(index, time_s, width_px=width_px, height_px=height_px)
                continue
            try:
                frame = self.frame_at(index, size_px=size_px)
            except VideoError:
                if self._strict:
                    raise
                self.num_lost += 1
                continue
            yield frame

    def frame_at(self, index: int, *, size_px: tuple[int, int] | None = None) -> Frame:
        """The frame with this index."""
        if not 0 <= index < len(self._paths):
            message = f"asked for frame {index}; allowed: 0 to {len(self._paths) - 1}"
            raise VideoError(message, path=self.info.path)
        image = _read(self._paths[index], self._limits)
        height_px, width_px = image.shape[:2]
        if size_px is not None and size_px != (width_px, height_px):
            image = cv2.resize(image, size_px, interpolation=cv2.INTER_AREA)
        time_s = float(index / self.info.rate)
        return Frame(index, time_s, np.asarray(image, np.uint8), width_px, height_px)

    def frame_at_time(self, time_s: float, *, size_px: tuple[int, int] | None = None) -> Frame:
        """The frame that is shown at ``time_s``."""
        return self.frame_at(math.floor(time_s * self.info.rate + 1e-9), size_px=size_px)

    def frames_at(
        self, indices: Sequence[int], *, size_px: tuple[int, int] | None = None
    ) -> list[Frame]:
        """The frames with these indices, in this order."""
        return [self.frame_at(index, size_px=size_px) for index in indices]

    def close(self) -> None:
        """Nothing is open."""

    def __enter__(self) -> Self:
        """Itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Nothing to close."""
        del kind, error, trace


def _read(path: Path, limits: Limits) -> np.ndarray:
    """(H, W, 3) RGB; grey, alpha and 16-bit pictures are converted, EXIF rotation is applied."""
    try:
        data = np.fromfile(path, np.uint8)
    except OSError as error:
        raise VideoError(f"cannot be read: {error.strerror}", path=path) from error
    header = data[:_HEADER].tobytes()
    declared_px, count = declared_size(header), 1 + (b"acTL" in header.partition(b"IDAT")[0])
    if declared_px is None:
        declared_px, count = _told_by_pillow(data, path, limits)
    if declared_px is not None:
        limits.check_size(declared_px, path=path)
    if count > 1:
        allowed = "one a file: a stack or an animation needs a folder of pictures, or a video"
        raise VideoError(f"holds several pictures; allowed: {allowed}", path=path)
    try:
        image = cv2.imdecode(data, cv2.IMREAD_COLOR) if len(data) else None
        if image is None:
            raise VideoError("is no picture that can be decoded", path=path)
        limits.check_size((image.shape[1], image.shape[0]), path=path)
        return np.ascontiguousarray(image[:, :, ::-1])
    except (cv2.error, MemoryError) as error:
        if declared_px is not None and lacks_memory(error):
            raise no_memory(path, declared_px) from error
        # A header that asks for more pixels than OpenCV allows, or than there is memory.
        raise VideoError(f"cannot be decoded: {getattr(error, 'err', error)}", path=path) from error


def declared_size(header: bytes) -> tuple[int, int] | None:
    """Width and height that a PNG or JPEG file declares, before anything is decoded.

    None where its first bytes do not tell.
    """
    if header.startswith(b"\x89PNG") and len(header) >= 24:
        width, height = struct.unpack_from(">II", header, 16)
        return width, height
    place = 2 if header.startswith(b"\xff\xd8") else len(header)
    while place + 9 <= len(header) and header[place] == 0xFF:
        kind = header[place + 1]
        if 0xC0 <= kind <= 0xCF and kind not in (0xC4, 0xC8, 0xCC):  # a start of frame
            height, width = struct.unpack_from(">HH", header, place + 5)
            return width, height
        place += 2 + struct.unpack_from(">H", header, place + 2)[0]
    return None


def _told_by_pillow(
    data: np.ndarray, path: Path, limits: Limits
) -> tuple[tuple[int, int] | None, int]:
    """What other kinds of files (TIFF, WebP, ...) declare, and how many pictures of that size.

    Pillow reads no pixel to know it. A smaller one is a view of the first, not one of its own.
    """
    from PIL import Image  # slow to import

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of sizes, which the caller checks
            with Image.open(io.BytesIO(data.tobytes())) as opened:
                size_px, count = opened.size, int(getattr(opened, "n_frames", 1))
                opened.seek(min(count - 1, 1))
                return size_px, count if opened.size == size_px else 1
    except Image.DecompressionBombError as error:
        if limits.max_pixels > LIMITS.max_pixels:  # Pillow's limit is not what the user wants
            return None, 1
        allowed = f"allowed: up to {limits.max_pixels} pixels"
        raise VideoError(f"is too large ({error}); {allowed}", path=path) from error
    except Exception:  # noqa: BLE001 - damaged headers end in errors of many kinds
        return None, 1  # OpenCV may know better, and has a limit of its own (2 ** 30)
