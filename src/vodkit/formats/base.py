"""What a label format is, what a reader needs to know, and the checked collector of boxes.

A format is a module with ``KEEPS``, ``read``, ``write``, ``sniff`` and ``contained``. Readers check
every value at its place in the file; a fault goes to ``Reading.refuse``, which raises by default.
``data audit`` passes a function that records the fault; the reader then skips that object. Every
object is counted in ``Reading.tally``: kept, converted or skipped.
"""

import itertools
import math
import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path, PurePosixPath
from typing import IO, Any, Protocol, TypeAlias

from vodkit.formats.shapes import BoxSize, NoAreaError, ShapeError
from vodkit.ground.account import Tally
from vodkit.ground.errors import FormatError, OutputError, SettingsError, UnknownSizeError
from vodkit.ground.paths import shortened, unreserved
from vodkit.ground.records import Dataset, LabelledVideo, VideoInfo
from vodkit.ground.settings import bounded, check_ranges

TIMES = "times"
"""tag of a video whose times are frame index / rate, because the label file has no others"""
NOMINAL = "nominal"
SPLIT_WARNING = "split_warning"
"""tag in which ``data split`` leaves what every later report must say"""
MOST_FRAMES = 10_000_000
"""frames of a video: four days at 25 frames/s; a larger number in a label file is a fault"""
MOST_SIDE_PX = 100_000
MOST_CLASSES = 65_536
BROKEN = "breaks the format"
"""reason of objects whose fault was reported"""
LABELLED = ("ask", "listed", "all")

Place: TypeAlias = int | Callable[[], int | None] | None
"""a line of a file, or the function that finds it"""


def line_of(place: Place) -> int | None:
    """The line, found where that takes a walk through the file."""
    return place() if callable(place) else place


def raise_fault(fault: FormatError) -> None:
    """The strict way: the first fault of a file ends the reading."""
    raise fault


def know_nothing(path: Path) -> VideoInfo | None:
    """The probe where there is no video reader."""
    del path
    return None


@dataclass(frozen=True, kw_only=True)
class Reading:
    """What a label file does not contain, and what to do about its faults."""

    classes: tuple[str, ...] = ()
    """class names, where the file has only numbers"""
    rate: Fraction | None = None
    """frames per second, where neither file nor video has a rate"""
    size_px: tuple[int, int] | None = None
    """width and height of the picture, where neither file nor video has them"""
    source: str = ""
    """the video that the labels belong to, relative to the label file, where it names none"""
    probe: Callable[[Path], VideoInfo | None] = know_nothing
    """size, rate and length of a video file; None where it cannot be opened"""
    fault: Callable[[FormatError], None] = raise_fault
    """takes every fault; when it returns, the reader skips the faulty object"""
    labelled: str = "ask"
    """which frames were labelled, in formats that do not record it: ``listed`` (those with a box),
    ``all``, or ``ask``: all, but a FormatError where the labels look sparse"""
    box_size: BoxSize | None = None
    """the square that a point stands for; None: points need a hull with an area"""
    skip_empty: bool = False
    """whether boxes without an area are skipped, and counted so; else they are kept"""
    tally: Tally = field(default_factory=Tally)
    """counts what becomes of every object"""

    def __post_init__(self) -> None:
        """Check ranges."""
        if self.labelled not in LABELLED:
            raise SettingsError(f"labelled is {self.labelled!r}; allowed: listed, all, ask")

    def refuse(self, fault: FormatError, count: int = 1) -> None:
        """Report a fault; where that does not raise, count the objects lost by it as skipped."""
        self.fault(fault)
        place = fault.path if fault.line is None else f"{fault.path}:{fault.line}"
        self.tally.skip(BROKEN, place, count)

    @contextmanager
    def taking(self, path: Path, line: "Place" = None, *, count: int = 1) -> Iterator[None]:
        """Within, ``count`` objects are read: a fault or a shape without a box costs them all."""
        try:
            yield
        except FormatError as fault:
            self.refuse(fault, count)
        except NoAreaError as reason:
            number = line_of(line)
            place = str(path) if number is None else f"{path}:{number}"
            self.tally.skip(str(reason), place, count)
        except ShapeError as error:
            self.refuse(FormatError(str(error), path=path, line=line_of(line)), count)


@dataclass(frozen=True, kw_only=True)
class Writing:
    """What a writer may choose."""

    tolerance_px: float = bounded(0.0, low=0, below=math.inf)
    """largest error of a corner that interpolation between key frames may make (cvat,
    label_studio); 0 makes every frame a key frame"""
    default_split: str = "train"
    """where videos without a split go in layouts that need one"""

    def __post_init__(self) -> None:
        """Check ranges."""
        check_ranges(self)
        if not re.fullmatch(r"[\w-]+", self.default_split):
            raise SettingsError(f"default_split is {self.default_split!r}; allowed: a plain word")


def rate_from(text: str) -> Fraction:
    """A rate as files give it: ``25``, ``29.97`` or ``30000/1001``; else ValueError.

    >>> rate_from("30000/1001")
    Fraction(30000, 1001)
    """
    if not re.fullmatch(r"\d{1,9}(/0*[1-9]\d{0,8}|\.\d{1,12})?", text.strip(), flags=re.ASCII):
        raise ValueError(f"rate {text[:40]!r}; allowed: like 25, 29.97 or 30000/1001")
    rate = Fraction(text.strip())
    if rate <= 0:
        raise ValueError(f"rate {text!r}; allowed: above 0")
    return rate


class Source(Protocol):
    """Something that boxes can be read from: a module with these functions."""

    def read(self, path: Path, reading: Reading) -> Dataset:
        """The labels in ``path``; FormatError names the place of a fault."""
        ...

    def sniff(self, path: Path) -> bool:
        """Whether ``path`` is of this format, as far as its beginning shows; never raises."""
        ...

    def contained(self, path: Path) -> int:
        """How many objects the file has, each of which is kept, converted or skipped."""
        ...


class Format(Protocol):
    """A label format: a module with these names (see ``docs/add-a-format.md``)."""

    KEEPS: frozenset[str]
    """what comes back from a file besides boxes and classes: of ids, visibility, ignore, scores,
    states, times, split, labelled, tags, areas (of masks), empty (frames without boxes), video (one
    source for all its frames)"""
    PICTURES: str | None
    """where the layout wants the picture of a frame, relative to the written path's folder, with
    ``{split} {stem} {name} {frame} {frame1}``, or, with ``{suffix}``, a copy of the video itself;
    None where the video is enough"""

    def read(self, path: Path, reading: Reading) -> Dataset:
        """The labels in ``path``; FormatError names the place of a fault."""
        ...

    def write(self, dataset: Dataset, path: Path, writing: Writing) -> None:
        """Put ``dataset`` at ``path``; OutputError when that cannot be written."""
        ...

    def sniff(self, path: Path) -> bool:
        """Whether ``path`` is of this format, as far as its beginning shows; never raises."""
        ...

    def contained(self, path: Path) -> int:
        """How many objects the file has, each of which is kept, converted or skipped."""
        ...


ALL_KEPT = frozenset(
    {"ids", "visibility", "ignore", "scores", "states", "times", "split", "labelled", "tags"}
    | {"empty", "video", "areas"}
)


def split_warnings(dataset: Dataset) -> tuple[str, ...]:
    """What the split of a dataset had to warn of; every number made with it must say so."""
    tags = (video.tags.get(SPLIT_WARNING, "") for video in dataset.videos)
    return tuple(sorted({warning for warning in tags if warning}))


def class_names(names: Iterable[str], path: Path) -> tuple[str, ...]:
    """Class names as a tuple; FormatError where there are too many to be true."""
    found = tuple(itertools.islice(names, MOST_CLASSES + 1))
    if len(found) > MOST_CLASSES:
        raise FormatError(f"more than {MOST_CLASSES} classes", path=path)
    return found


def info_for(
    source: str,
    path: Path,
    reading: Reading,
    *,
    size_px: tuple[int, int] | None = None,
    rate: Fraction | None = None,
    num_frames: int | None = None,
) -> tuple[VideoInfo, dict[str, str]]:
    """What is known of a video, and the tags that mark what is only assumed.

    The label file's own values (the keywords) come first, then the video's, then those of
    ``reading``. Without any rate it is 1 and tagged so; without any size that is an error.
    """
    root = path if path.is_dir() else path.parent
    probed = reading.probe(root / source)
    if size_px is None and probed is not None:
        size_px = (probed.width_px, probed.height_px)
    size_px = size_px or reading.size_px
    if size_px is None or min(size_px) <= 0:
        seen = f"no video is at {root / source}" if size_px is None else f"{size_px} is none"
        hint = "vodkit data import finds videos by name (--videos) or takes --size 640x480"
        message = f"picture size of {source!r} is not known: {seen}; {hint}"
        raise UnknownSizeError(message, path=path)
    require_bearable(path, size_px=size_px, num_frames=num_frames)
    tags = {TIMES: NOMINAL}
    rate = rate or (probed.rate if probed is not None else None) or reading.rate
    if rate is None:
        tags["rate"] = "unknown"
        rate = Fraction(1)
    if num_frames is None and probed is not None:
        num_frames = probed.num_frames
    duration_s = probed.duration_s if probed is not None else None
    info = VideoInfo(
        path=source,
        width_px=size_px[0],
        height_px=size_px[1],
        rate=rate,
        num_frames=num_frames,
        duration_s=duration_s,
    )
    return info, tags


def require_bearable(
    path: Path, *, size_px: tuple[int, int] = (1, 1), num_frames: int | None = None
) -> None:
    """FormatError for a size or length that no video has, before memory is taken for it."""
    if max(size_px) > MOST_SIDE_PX:
        seen = f"picture size {size_px[0]}x{size_px[1]}"
        raise FormatError(f"{seen}; allowed: up to {MOST_SIDE_PX} a side", path=path)
    if num_frames is not None and not 0 <= num_frames <= MOST_FRAMES:
        raise FormatError(f"{num_frames} frames; allowed: up to {MOST_FRAMES}", path=path)


def relative_source(text: str, path: Path, *, line: Place = None, up: bool = False) -> str:
    """``text`` as a relative path with ``/``; absolute paths and ``..`` are refused.

    ``up`` allows leading ``..``, for files of our own that stand beside their videos.
    """
    name = text.replace("\\", "/")
    parts = PurePosixPath(name).parts
    climbs = [index for index, part in enumerate(parts) if part == ".."]
    leading = climbs == list(range(len(climbs)))
    unsafe = name.startswith("/") or re.match(r"^[A-Za-z]:", name) or "\0" in name
    if not parts or unsafe or (climbs and not (up and leading)):
        told = f"path {text!r} leads outside; allowed: relative, without '..'"
        raise FormatError(told, path=path, line=line_of(line))
    return str(PurePosixPath(name))


def stem(video: LabelledVideo) -> str:
    """A file name for a video, from its source."""
    return stem_of(video.source)


def stem_of(source: str) -> str:
    """A file name for a source: no folder, no ending, nothing unsafe.

    A folder of pictures called ``img1`` takes its parent's name, as MOTChallenge names them.

    >>> stem_of("train/MOT17-02/img1"), stem_of("clips/a.mp4")
    ('MOT17-02', 'a')
    """
    parts = [part for part in PurePosixPath(source).parts if part not in {"..", "."}]
    if len(parts) > 1 and parts[-1].lower() in {"img1", "images", "frames", "data"}:
        parts.pop()
    name = PurePosixPath(parts[-1] if parts else "video").stem
    return unreserved(shortened(re.sub(r"[^\w.-]", "_", name)).strip(".") or "video")


def close_written(file: IO[Any], path: Path, *, failed: bool) -> None:
    """Close a file of results; OutputError where that fails, unless all ``failed`` before."""
    try:
        file.close()
    except OSError as fault:
        if not failed:
            raise OutputError(f"cannot write: {fault.strerror}", path=path) from fault


def stems(dataset: Dataset) -> list[str]:
    """A different file name for each video; the second ``clip`` is ``clip-2``."""
    taken: set[str] = set()
    names = []
    for video in dataset.videos:
        name, count = stem(video), 1
        while name.lower() in taken:
            count += 1
            name = f"{stem(video)}-{count}"
        taken.add(name.lower())
        names.append(name)
    return names


def is_still(video: LabelledVideo) -> bool:
    """Whether the "video" is one still picture."""
    ending = PurePosixPath(video.source).suffix.lower()
    return video.info.num_frames == 1 and ending in PICTURE_ENDINGS


def are_stills(dataset: Dataset) -> bool:
    """Whether all labelled videos of a dataset are still pictures: nothing in it has a clock."""
    labelled = [video for video in dataset.videos if video.tracks is not None]
    return bool(labelled) and all(is_still(video) for video in labelled)


PICTURE_ENDINGS = (".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp")


def picture_name(video: LabelledVideo, name: str, frame: int) -> str:
    """The file name of one frame's picture, in layouts of one picture a frame."""
    if is_still(video):
        return f"{name}{PurePosixPath(video.source).suffix}"
    return f"{name}_{frame:06d}.jpg"
