"""A folder or glob of pictures as a video: frame i is the i-th name in natural order.

All frames have the size of the first picture, and one scale of brightness. Whatever that changes
is in ``notes``.
"""

import configparser
import glob
import io
import math
import re
import struct
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from fractions import Fraction
from functools import partial
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np

from vodkit.formats.base import rate_from
from vodkit.ground.closing import Closing
from vodkit.ground.errors import InputError, VideoError
from vodkit.ground.paths import is_bystander, natural_key
from vodkit.ground.records import Frame, VideoInfo
from vodkit.video.limits import LIMITS, Limits, size_note
from vodkit.video.rgb import OnDecoded, lacks_memory, no_memory

_HEADER = 1 << 18  # bytes that are looked at for a picture's size: JPEG may have much before it
_ASSUMED = Fraction(25)  # pictures a second, where nothing says how many
_SAMPLED = 8  # pictures of 16 bits that are read for the highest value, before the first frame
_MOST_NAMED = 3
_LAST_8 = 255
SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff", ".ppm", ".pgm"})


def pictures_in(folder: Path, pattern: str = "*") -> list[Path]:
    """The picture files of a folder that match, in natural order."""
    found = [path for path in folder.glob(pattern) if path.suffix.lower() in SUFFIXES]
    kept = [path for path in found if not is_bystander(path)]
    return sorted(kept, key=lambda path: natural_key(path.name))


def pictures_like(pattern: Path) -> list[Path]:
    """The picture files that a pattern with ``*``, ``?`` or ``[`` means, in natural order."""
    names = glob.glob(str(pattern))  # noqa: PTH207 - absolute patterns
    found = [Path(name) for name in names if Path(name).suffix.lower() in SUFFIXES]
    kept = [path for path in found if not is_bystander(path)]
    return sorted(kept, key=lambda path: natural_key(str(path)))


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


def rate_beside(folder: Path) -> Fraction | None:
    """Pictures a second by the ``seqinfo.ini`` in a folder or its parent (MOTChallenge), or None.

    Raises:
        VideoError: its frameRate is not a rate.
    """
    for path in (folder / "seqinfo.ini", folder.absolute().parent / "seqinfo.ini"):
        if not path.is_file():
            continue
        told = configparser.ConfigParser(interpolation=None)
        try:
            told.read_string(path.read_text(encoding="utf-8-sig"))
            text = told.get("Sequence", "frameRate", fallback=None)
            return None if text is None else rate_from(text)
        except (OSError, ValueError, configparser.Error) as error:
            raise VideoError(f"no rate can be read: {error}", path=path) from error
    return None


def _gap_in(paths: Sequence[Path]) -> str:
    """Where the numbers in the names of pictures leave one out; empty where they do not.

    Pictures that are numbered in even steps (every tenth frame) leave none out.
    """
    found = [re.search(r"(\d{1,12})$", path.stem, flags=re.ASCII) for path in paths]
    numbers = [int(match[1]) for match in found if match]
    if len(numbers) < max(len(paths), 3):
        return ""
    steps = [later - former for former, later in pairwise(numbers)]
    usual = min(steps)
    if usual <= 0 or max(steps) == usual:
        return ""
    place = next(place for place, step in enumerate(steps) if step > usual)
    count = sum(step > usual for step in steps)
    where = f"after {paths[place].name}" + f" and in {count - 1} more places" * (count > 1)
    return f"the numbers of the pictures leave some out {where}; frames and times count pictures"


class PictureVideo(Closing):
    """Pictures as frames. They have no clock: the rate says how many make a second."""

    is_live = False

    def __init__(
        self,
        paths: Sequence[Path],
        name: str,
        *,
        rate: Fraction | None,
        strict: bool,
        limits: Limits = LIMITS,
        on_decoded: OnDecoded | None = None,
    ) -> None:
        """``paths`` in the order of the frames; the first must be readable, for its size.

        ``rate`` None: that of ``seqinfo.ini``, else 25 a second, with a note. ``on_decoded``: see
        ``open_video``; a picture that is not wanted is read when it is made in full size.
        """
        if not paths:
            allowed = ", ".join(sorted(SUFFIXES))
            hint = "videos are given one by one, as folder/*.mp4 in a shell"
            raise VideoError(f"no pictures here; allowed: {allowed}; {hint}", path=name)
        self._paths = tuple(paths)
        self._strict = strict
        self._limits = limits
        self._on_decoded = on_decoded
        self.num_lost = 0
        self._lost: list[str] = []
        self._assumed = rate is None and (rate := rate_beside(self._paths[0].parent)) is None
        rate = rate or _ASSUMED
        first = self._first_readable()
        height_px, width_px = first.shape[:2]
        self._bits = self._bits_of_all(first)
        self._resized: dict[tuple[int, int], Path] = {}  # other sizes, and the first picture of it
        self.info = VideoInfo(
            path=name,
            width_px=width_px,
            height_px=height_px,
            rate=rate,
            num_frames=len(paths),
            duration_s=float(len(paths) / rate),
        )

    @property
    def notes(self) -> tuple[str, ...]:
        """What was assumed and changed so far, one sentence each; see ``Video``."""
        notes = []
        if self._assumed and len(self._paths) > 1:
            notes.append(f"no rate is known for these pictures: {_ASSUMED} a second assumed")
        if gap := _gap_in(self._paths):
            notes.append(gap)
        first_px = (self.info.width_px, self.info.height_px)
        notes += [size_note(size, first_px, path.name) for size, path in self._resized.items()]
        if self._bits is not None and self._bits < 16:
            notes.append(f"16-bit pictures hold {self._bits}-bit values; scaled by those")
        if self._lost:
            named, more = ", ".join(self._lost[:_MOST_NAMED]), len(self._lost) - _MOST_NAMED
            notes.append(f"skipped {named}{f' and {more} more' * (more > 0)}: cannot be decoded")
        return tuple(notes)

    def _first_readable(self) -> np.ndarray:
        """The first picture; in lenient reading the first that can be decoded."""
        failure: VideoError | None = None
        for path in self._paths:
            try:
                return _read(path, self._limits)
            except VideoError as error:
                if self._strict:
                    raise
                failure = failure or error
        assert failure is not None
        raise failure

    def _bits_of_all(self, first: np.ndarray) -> int | None:
        """How many bits the values of 16-bit pictures have; None for pictures of 8 bits."""
        if first.dtype != np.uint16:
            return None
        bits = _bits_of(first)
        step = max(len(self._paths) // _SAMPLED, 1)
        for path in {*self._paths[::step], self._paths[-1]}:
            with suppress(VideoError):
                bits = max(bits, _bits_of(_read(path, self._limits)))
        return bits

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
        for index in range(start, len(self._paths)):
            time_s = float(index / self.info.rate)
            is_skipped = (index - start) % every != 0
            if is_skipped or (wanted is not None and not wanted(index, time_s)):
                if self._on_decoded is not None:
                    self._on_decoded(index, partial(self.frame_at, index))
                if not is_skipped:
                    yield Frame.unseen(index, time_s, width_px=width_px, height_px=height_px)
                continue
            try:
                image = self._picture(index)
            except VideoError:
                if self._strict:
                    raise
                self.num_lost += 1
                if (name := self._paths[index].name) not in self._lost:
                    self._lost.append(name)
                continue
            if self._on_decoded is not None:
                self._on_decoded(index, partial(self._frame, index, image.copy(), None))
            yield self._frame(index, image, size_px)

    def frame_at(self, index: int, *, size_px: tuple[int, int] | None = None) -> Frame:
        """The frame with this index."""
        if not 0 <= index < len(self._paths):
            message = f"asked for frame {index}; allowed: 0 to {len(self._paths) - 1}"
            raise VideoError(message, path=self.info.path)
        return self._frame(index, self._picture(index), size_px)

    def _picture(self, index: int) -> np.ndarray:
        """In its own size."""
        image = _read(self._paths[index], self._limits)
        return self._of_8_bits(image, self._paths[index]) if image.dtype == np.uint16 else image

    def _frame(self, index: int, image: np.ndarray, size_px: tuple[int, int] | None) -> Frame:
        first_px = (self.info.width_px, self.info.height_px)
        if (seen_px := (image.shape[1], image.shape[0])) != first_px:
            self._resized.setdefault(seen_px, self._paths[index])
        if (wanted_px := size_px or first_px) != seen_px:
            image = cv2.resize(image, wanted_px, interpolation=cv2.INTER_AREA)
        return Frame(index, float(index / self.info.rate), np.asarray(image, np.uint8), *first_px)

    def _of_8_bits(self, image: np.ndarray, path: Path) -> np.ndarray:
        """A 16-bit picture in 8 bits; VideoError where it holds more bits than the others."""
        bits = _bits_of(image) if self._bits is None else self._bits
        highest = 2**bits - 1
        if (seen := int(image.max())) > highest:
            message = f"holds values up to {seen}, the pictures before it {bits}-bit values"
            allowed = "allowed: one scale for all; convert them to 8 bits, or give them one by one"
            raise VideoError(f"{message}; {allowed}", path=path)
        return cv2.convertScaleAbs(image, alpha=255 / highest)

    def frame_at_time(self, time_s: float, *, size_px: tuple[int, int] | None = None) -> Frame:
        """The frame that is shown at ``time_s``."""
        return self.frame_at(math.floor(time_s * self.info.rate + 1e-9), size_px=size_px)

    def frames_at(
        self, indices: Sequence[int], *, size_px: tuple[int, int] | None = None
    ) -> list[Frame]:
        """The frames with these indices, in this order."""
        return [self.frame_at(index, size_px=size_px) for index in indices]


def _read(path: Path, limits: Limits) -> np.ndarray:
    """(H, W, 3) RGB, uint8 or uint16; grey and alpha are converted, EXIF rotation is applied."""
    try:
        data = np.fromfile(path, np.uint8)
    except OSError as error:
        raise VideoError(f"cannot be read: {error.strerror}", path=path) from error
    return _decoded(data, path, limits)


def frame_of(
    content: bytes,
    size_px_of: Callable[[int, int], tuple[int, int] | None],
    *,
    index: int = 0,
    time_s: float = 0.0,
    name: str = "picture",
    limits: Limits = LIMITS,
) -> Frame:
    """The frame that the file of one picture gives, from its bytes.

    Args:
        content: of a JPEG, PNG, ... file.
        size_px_of: the size to scale to, by the picture's width and height; None: its own.
        index: of the frame.
        time_s: of the frame.
        name: of the picture, for errors.
        limits: most pixels.

    Raises:
        VideoError: no picture that can be decoded, too large, or several pictures.
    """
    image = _decoded(np.frombuffer(content, np.uint8), Path(name), limits)
    if image.dtype == np.uint16:
        image = cv2.convertScaleAbs(image, alpha=255 / (2 ** _bits_of(image) - 1))
    height_px, width_px = image.shape[:2]
    wanted_px = size_px_of(width_px, height_px)
    if wanted_px not in (None, (width_px, height_px)):
        image = cv2.resize(image, wanted_px, interpolation=cv2.INTER_AREA)
    return Frame(index, time_s, np.asarray(image, np.uint8), width_px, height_px)


def _decoded(data: np.ndarray, path: Path, limits: Limits) -> np.ndarray:
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
        how = cv2.IMREAD_COLOR | cv2.IMREAD_ANYDEPTH
        image = cv2.imdecode(data, how) if len(data) else None
        if image is None:
            raise VideoError("is no picture that can be decoded; is it cut off?", path=path)
        if image.dtype not in (np.uint8, np.uint16):
            message = f"holds {image.dtype} values; allowed: integers of 8 or 16 bits"
            raise VideoError(message, path=path)
        limits.check_size((image.shape[1], image.shape[0]), path=path)
        return np.ascontiguousarray(image[:, :, ::-1])
    except (cv2.error, MemoryError) as error:
        if declared_px is not None and lacks_memory(error):
            raise no_memory(path, declared_px) from error
        # A header that asks for more pixels than OpenCV allows, or than there is memory.
        raise VideoError(f"cannot be decoded: {getattr(error, 'err', error)}", path=path) from error


def _bits_of(picture: np.ndarray) -> int:
    """How many bits a picture's values have: 8, 10, 12, 14 or 16.

    Values of fewer bits lie at the lower end of 16 (as cameras write them), or were made to fill
    all 16: shifted up, or 8 bits repeated.

    >>> [_bits_of(np.array([[0, value]], np.uint16)) for value in (200, 1021, 4097, 65535)]
    [8, 10, 14, 16]
    >>> [_bits_of(np.array([[0, value]], np.uint16)) for value in (20 * 257, 100 << 6)]
    [16, 16]
    """
    if picture.dtype != np.uint16:
        return 8
    highest = int(picture.max())
    if highest > _LAST_8 and not ((picture % (_LAST_8 + 2)).any() and (picture & 15).any()):
        return 16
    return next(bits for bits in (8, 10, 12, 14, 16) if highest < 2**bits)


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
