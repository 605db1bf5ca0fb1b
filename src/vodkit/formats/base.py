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
from typing import IO, Any, NamedTuple, Protocol, TypeAlias

import numpy as np

from vodkit.formats.jsonfile import LARGEST
from vodkit.formats.shapes import BoxSize, NoAreaError, ShapeError
from vodkit.ground.account import Tally
from vodkit.ground.arrays import FloatArray, IntArray
from vodkit.ground.errors import FormatError, OutputError, SettingsError
from vodkit.ground.paths import shortened, unreserved
from vodkit.ground.records import NO_ID, Dataset, LabelledVideo, State, TrackTable, VideoInfo

TIMES = "times"
"""tag of a video whose times are frame index / rate, because the label file has no others"""
NOMINAL = "nominal"
SPLIT_WARNING = "split_warning"
"""tag in which ``data split`` leaves what every later report must say"""
MOST_FRAMES = 10_000_000
"""frames of a video: four days at 25 frames/s; a larger number in a label file is a fault"""
MOST_SIDE_PX = 100_000
MOST_CLASSES = 65_536
MOST_DRAWN = 5_000_000
"""boxes that the key frames of one file may be drawn out to"""
BROKEN = "breaks the format"
"""reason of objects whose fault was reported"""
LABELLED = ("ask", "listed", "all")

Place: TypeAlias = int | Callable[[], int | None] | None
"""a line of a file, or the function that finds it"""


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
            number = line() if callable(line) else line
            place = str(path) if number is None else f"{path}:{number}"
            self.tally.skip(str(reason), place, count)
        except ShapeError as error:
            number = line() if callable(line) else line
            self.refuse(FormatError(str(error), path=path, line=number), count)


@dataclass(frozen=True, kw_only=True)
class Writing:
    """What a writer may choose."""

    tolerance_px: float = 0.0
    """largest error of a corner that interpolation between key frames may make (cvat,
    label_studio); 0 makes every frame a key frame"""
    default_split: str = "train"
    """where videos without a split go in layouts that need one"""

    def __post_init__(self) -> None:
        """Check ranges."""
        if not (self.tolerance_px >= 0 and math.isfinite(self.tolerance_px)):
            raise SettingsError(f"tolerance_px is {self.tolerance_px}; allowed: 0 or more")
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


class Format(Protocol):
    """A label format: a module with these names (see ``docs/add-a-format.md``)."""

    KEEPS: frozenset[str]
    """what comes back from a file besides boxes and classes: of ids, visibility, ignore, scores,
    states, times, split, labelled, tags, areas (of masks), empty (frames without boxes), video (one
    source for all its frames)"""
    PICTURES: str | None
    """where the layout wants the picture of a frame, relative to the written path's folder, with
    ``{split} {stem} {name} {frame} {frame1}``; None where the video itself is enough"""

    def read(self, path: Path, reading: Reading) -> Dataset:
        """The labels in ``path``; FormatError names the place of a fault."""
        ...

    def write(self, dataset: Dataset, path: Path, writing: Writing) -> None:
        """Put ``dataset`` at ``path``; OutputError when that cannot be written."""
        ...

    def sniff(self, path: Path) -> bool:
        """Whether ``path`` is of this format, as far as its beginning shows; never raises."""
        ...


ALL_KEPT = frozenset(
    {"ids", "visibility", "ignore", "scores", "states", "times", "split", "labelled", "tags"}
    | {"empty", "video", "areas"}
)


class Rows:
    """The boxes of one video, each checked when it comes in, then made into a TrackTable."""

    def __init__(
        self, path: Path, reading: Reading, *, num_classes: int, num_frames: int | None = None
    ) -> None:
        """Collect boxes read from ``path``; frames at or beyond ``num_frames`` are faults."""
        self.path = path
        self.reading = reading
        self.num_classes = num_classes
        self.num_frames = num_frames
        self.taken: dict[str, int] = {}
        """objects counted as boxes so far, by the way they were made"""
        self._rows: list[tuple[Any, ...]] = []
        self._seen: set[tuple[int, int]] = set()

    def add(
        self,
        frame: int,
        box_xyxy: tuple[float, float, float, float],
        *,
        line: Place = None,
        track_id: int = NO_ID,
        label: int = 0,
        score: float = 1.0,
        state: int = State.OBSERVED,
        visibility: float = math.nan,
        ignore: bool = False,
        time_s: float | None = None,
        area: float = math.nan,
        how: str = "",
        drawn: bool = False,
    ) -> None:
        """Take one box, or report why it cannot be one, and count it.

        Args:
            frame: Frame index, 0-based.
            box_xyxy: Corners in pixels.
            line: The line of the file, or a function that finds it.
            track_id: The track; NO_ID for none.
            label: Class, 0-based; -1 only in ignore regions.
            score: 0 to 1.
            state: A ``State``.
            visibility: 0 to 1, or NaN.
            ignore: Whether it is an ignore region.
            time_s: Time of the frame; None: frame index / rate.
            area: Area of the object's mask in square pixels; NaN: that of the box.
            how: The way it was converted, as the account names it; empty: it is the file's box.
            drawn: Whether it was drawn between key frames, which the reader counts itself.
        """
        row = Row(frame, time_s, track_id, box_xyxy, label, score, state, visibility, ignore, area)
        problem = self._problem(row)
        if problem is not None:
            place = line() if callable(line) else line
            fault = FormatError(problem, path=self.path, line=place)
            self.reading.refuse(fault, count=int(not drawn))
            return
        x1, y1, x2, y2 = box_xyxy
        if self.reading.skip_empty and not ignore and (x2 <= x1 or y2 <= y1):
            place = line() if callable(line) else line
            where = str(self.path) if place is None else f"{self.path}:{place}"
            self.reading.tally.skip("box without an area", where, int(not drawn))
            return
        if track_id != NO_ID:
            self._seen.add((frame, track_id))
        self._rows.append(row)
        if not drawn:
            self.take(how)

    def draw(
        self,
        frames: IntArray,
        boxes_xyxy: FloatArray,
        *,
        line: Place = None,
        track_id: int = NO_ID,
        label: int = 0,
        visibility: FloatArray | None = None,
    ) -> None:
        """Take boxes (M, 4) in frames (M,) of one track, drawn between its key frames.

        They are not counted: the reader counts the key frames.
        """
        self.require_room(len(frames), line)
        seen = np.full(len(frames), np.nan) if visibility is None else visibility
        for frame, box, share in zip(
            frames.tolist(), map(tuple, boxes_xyxy.tolist()), seen.tolist(), strict=True
        ):
            self.add(
                frame, box, line=line, track_id=track_id, label=label, visibility=share, drawn=True
            )

    def require_room(self, count: int, line: Place = None) -> None:
        """FormatError where ``count`` more boxes, drawn between key frames, are too many."""
        if len(self) + count > MOST_DRAWN:
            number = line() if callable(line) else line
            message = f"key frames are drawn to more than {MOST_DRAWN} boxes"
            raise FormatError(message, path=self.path, line=number)

    def take(self, how: str = "", count: int = 1) -> None:
        """Count objects as boxes of this video."""
        self.taken[how] = self.taken.get(how, 0) + count
        self.reading.tally.take(how, count)

    def lose(self, fault: FormatError) -> None:
        """Report a fault that costs all boxes so far, and count them as skipped."""
        self.reading.fault(fault)
        place = fault.path if fault.line is None else f"{fault.path}:{fault.line}"
        self.reading.tally.untake(self.taken, BROKEN, place)

    def _problem(self, row: "Row") -> str | None:
        frames = MOST_FRAMES if self.num_frames is None else self.num_frames
        if not 0 <= row.frame < frames:
            span = f"0 to {frames - 1}" if self.num_frames is None else _span(frames, "frame")
            return f"frame index {row.frame} (0-based); allowed: {span}"
        x1, y1, x2, y2 = row.box_xyxy
        if not (-LARGEST < x1 <= x2 < LARGEST and -LARGEST < y1 <= y2 < LARGEST):
            return _bad_corners(row)
        if not NO_ID <= row.track_id < LARGEST:
            return f"track id {row.track_id} in frame {row.frame}; allowed: 0 or more"
        if row.track_id != NO_ID and (row.frame, row.track_id) in self._seen:
            return f"track id {row.track_id} occurs twice in frame {row.frame}"
        if not (0 if not row.ignore else -1) <= row.label < self.num_classes:
            span = _span(self.num_classes, "class", "classes")
            return f"class index {row.label} (0-based) in frame {row.frame}; allowed: {span}"
        return _bad_share(row)

    def __len__(self) -> int:
        """Number of boxes taken."""
        return len(self._rows)

    @property
    def last_frame(self) -> int:
        """The largest frame index seen; -1 without boxes."""
        return max((row[0] for row in self._rows), default=-1)

    @property
    def frames(self) -> IntArray:
        """The frames that have a box, sorted."""
        return np.array(sorted({row[0] for row in self._rows}), np.int64)

    def table(self, rate: Fraction) -> TrackTable:
        """All boxes; a time that no row gave is frame index / ``rate``."""
        if not self._rows:
            return TrackTable.empty()
        frames, times, ids, boxes, labels, scores, states, visible, ignore, areas = zip(
            *self._rows, strict=True
        )
        return TrackTable(
            frames=np.array(frames, np.int64),
            times_s=np.array(
                [
                    float(frame / rate) if time is None else time
                    for frame, time in zip(frames, times, strict=True)
                ]
            ),
            ids=np.array(ids, np.int64),
            boxes_xyxy=np.array(boxes, np.float64),
            labels=np.array(labels, np.int64),
            scores=np.array(scores),
            states=np.array(states, np.uint8),
            visibility=np.array(visible),
            ignore=np.array(ignore, np.bool_),
            areas=np.array(areas),
        )


def split_warnings(dataset: Dataset) -> tuple[str, ...]:
    """What the split of a dataset had to warn of; every number made with it must say so."""
    tags = (video.tags.get(SPLIT_WARNING, "") for video in dataset.videos)
    return tuple(sorted({warning for warning in tags if warning}))


def _span(count: int, one: str, many: str = "") -> str:
    """The indices of ``count`` things.

    >>> _span(3, "frame"), _span(1, "frame"), _span(0, "class", "classes")
    ('0 to 2', 'only 0: there is 1 frame', 'none: there are 0 classes')
    """
    if count > 1:
        return f"0 to {count - 1}"
    return f"only 0: there is 1 {one}" if count else f"none: there are 0 {many or one + 's'}"


class Row(NamedTuple):
    """One box with all that a TrackTable holds of it."""

    frame: int
    time_s: float | None
    track_id: int
    box_xyxy: tuple[float, float, float, float]
    label: int
    score: float
    state: int
    visibility: float
    ignore: bool
    area: float = math.nan
    """of the object's mask; NaN: width x height of the box"""


def _bad_corners(row: Row) -> str:
    """Corners that are inverted, not finite, or too far away to be pixels."""
    x1, y1, x2, y2 = row.box_xyxy
    seen = f"box ({x1:g}, {y1:g}, {x2:g}, {y2:g}) in frame {row.frame}"
    if not all(map(math.isfinite, row.box_xyxy)):
        return f"{seen} is not finite"
    if x2 < x1 or y2 < y1:
        return f"{seen} is inverted; allowed: x1 <= x2, y1 <= y2"
    return f"{seen} is not in pixels; allowed: below {LARGEST}"


def _bad_share(row: Row) -> str | None:
    """A score, visibility, state or time out of range."""
    if not 0 <= row.score <= 1:
        return f"score {row.score:g} in frame {row.frame}; allowed: 0 to 1"
    if not (math.isnan(row.visibility) or 0 <= row.visibility <= 1):
        return f"visibility {row.visibility:g} in frame {row.frame}; allowed: 0 to 1, or none"
    if not 0 <= row.state <= max(State):
        return f"state {row.state} in frame {row.frame}; allowed: 0 to {max(State):d}"
    if row.area < 0 or math.isinf(row.area):
        return f"area {row.area:g} in frame {row.frame}; allowed: 0 or more"
    if row.time_s is not None and not math.isfinite(row.time_s):
        return f"time {row.time_s} in frame {row.frame} is not finite"
    return None


def table_rows(table: TrackTable) -> Iterator[Row]:
    """The rows of a table as plain Python values, in its order, for writers."""
    assert table.scores is not None
    assert table.states is not None
    assert table.visibility is not None
    assert table.ignore is not None
    assert table.areas is not None
    columns = (
        table.frames.tolist(),
        table.times_s.tolist(),
        table.ids.tolist(),
        map(tuple, table.boxes_xyxy.tolist()),
        table.labels.tolist(),
        table.scores.tolist(),
        table.states.tolist(),
        table.visibility.tolist(),
        table.ignore.tolist(),
        table.areas.tolist(),
    )
    return map(Row._make, zip(*columns, strict=True))


def class_names(names: Iterable[str], path: Path) -> tuple[str, ...]:
    """Class names as a tuple; FormatError where there are too many to be true."""
    found = tuple(itertools.islice(names, MOST_CLASSES + 1))
    if len(found) > MOST_CLASSES:
        raise FormatError(f"more than {MOST_CLASSES} classes", path=path)
    return found


def frames_labelled(rows: Rows, num_frames: int | None) -> IntArray | None:
    """The labelled frames of a video whose format does not record them; None: all.

    ``Reading.labelled`` decides. With ``ask``, labels that look sparse are a FormatError: boxes in
    fewer than half of the frames, or in none of the last third.
    """
    reading, boxed = rows.reading, rows.frames
    if reading.labelled == "listed":
        return boxed
    total = num_frames if num_frames is not None else rows.last_frame + 1
    if reading.labelled == "all" or len(boxed) == total:
        return None
    seen = f"{len(boxed)} of {total} frames have a box"
    if 2 * len(boxed) < total or (len(boxed) and 3 * (boxed[-1] + 1) < 2 * total):
        last = f", the last one is {boxed[-1]} (0-based)" if len(boxed) else ""
        message = (
            f"{seen}{last}, and the format does not record which frames were labelled; "
            "vodkit data import --labelled listed (only frames with a box were) or --labelled all "
            "(nothing is in the others) decides"
        )
        raise FormatError(message, path=rows.path)
    reading.tally.note(
        f"{rows.path.name}: {seen}; the others count as labelled and empty (--labelled listed "
        "leaves them out)"
    )
    return None


def labelled_frames(video: LabelledVideo) -> list[int]:
    """The frames that become pictures in formats that list pictures.

    Those that were labelled; every frame where all were; up to the last box where the number of
    frames is unknown; none where nothing was labelled.
    """
    if video.tracks is None:
        return []
    # A set is 50 times as fast as np.unique and np.union1d on long sorted columns.
    boxed = sorted(set(video.tracks.frames.tolist()))
    if video.labelled_frames is not None:
        return sorted({*video.labelled_frames.tolist(), *boxed})
    count = video.info.num_frames
    if count is None:
        count = int(boxed[-1]) + 1 if boxed else 0
    return list(range(count))


def rows_by_frame(video: LabelledVideo) -> dict[int, list[Row]]:
    """For every frame of ``labelled_frames``: its rows, maybe none."""
    found: dict[int, list[Row]] = {frame: [] for frame in labelled_frames(video)}
    for row in table_rows(video.tracks or TrackTable.empty()):
        found[row.frame].append(row)
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
        seen = "no video of that name was found" if size_px is None else f"{size_px} is none"
        hint = "give the video (--video, --videos) or the size (--size)"
        raise FormatError(f"picture size of {source!r} is not known: {seen}; {hint}", path=path)
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

    ``up`` allows leading ``..``, for files of our own that stand beside their videos. ``line`` may
    be a function, because finding the line takes a walk through the file.
    """
    name = text.replace("\\", "/")
    parts = PurePosixPath(name).parts
    climbs = [index for index, part in enumerate(parts) if part == ".."]
    leading = climbs == list(range(len(climbs)))
    unsafe = name.startswith("/") or re.match(r"^[A-Za-z]:", name) or "\0" in name
    if not parts or unsafe or (climbs and not (up and leading)):
        told = f"path {text!r} leads outside; allowed: relative, without '..'"
        raise FormatError(told, path=path, line=line() if callable(line) else line)
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
