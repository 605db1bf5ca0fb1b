"""What a label format is, what a reader must be told, and the checked collector of boxes.

A format is a module with ``KEEPS``, ``read``, ``write`` and ``sniff``. Readers check every value
where it stands in the file; a fault goes to ``Reading.fault``, which raises by default. ``data
audit`` passes a function that notes the fault and goes on without that row.
"""

import math
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path, PurePosixPath
from typing import IO, Any, NamedTuple, Protocol, TypeAlias

import numpy as np

from vodkit.formats.jsonfile import LARGEST
from vodkit.ground.errors import FormatError, OutputError, SettingsError
from vodkit.ground.records import NO_ID, Dataset, LabelledVideo, State, TrackTable, VideoInfo

TIMES = "times"
"""tag of a video whose times are frame index / rate, because the label file has no others"""
NOMINAL = "nominal"
SPLIT_WARNING = "split_warning"
"""tag in which ``data split`` leaves what every later report must say"""


Place: TypeAlias = int | Callable[[], int | None] | None
"""a line of a file, or the function that finds it"""


def raise_fault(fault: FormatError) -> None:
    """The strict way: the first fault of a file ends the reading."""
    raise fault


def know_nothing(path: Path) -> VideoInfo | None:
    """The probe of who has no video reader."""
    del path
    return None


@dataclass(frozen=True, kw_only=True)
class Reading:
    """What a label file does not say itself, and what to do about its faults."""

    classes: tuple[str, ...] = ()
    """class names, where the file has only numbers"""
    rate: Fraction | None = None
    """frames per second, where neither file nor video says"""
    size_px: tuple[int, int] | None = None
    """width and height of the picture, where neither file nor video says"""
    source: str = ""
    """the video that the labels belong to, relative to the label file, where it does not say"""
    probe: Callable[[Path], VideoInfo | None] = know_nothing
    """what a video file says of itself; None where it cannot be opened"""
    fault: Callable[[FormatError], None] = raise_fault
    """takes every fault; when it returns, the reader goes on without the faulty row"""


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
        """Whether ``path`` looks like this format; never raises."""
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
        """Whether ``path`` looks like this format; never raises."""
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
    ) -> None:
        """Take one box, or report why it cannot be one."""
        row = Row(frame, time_s, track_id, box_xyxy, label, score, state, visibility, ignore, area)
        problem = self._problem(row)
        if problem is not None:
            place = line() if callable(line) else line
            self.reading.fault(FormatError(problem, path=self.path, line=place))
            return
        if track_id != NO_ID:
            self._seen.add((frame, track_id))
        self._rows.append(row)

    def _problem(self, row: "Row") -> str | None:
        if not 0 <= row.frame < (self.num_frames or LARGEST):
            span = "0 or more" if self.num_frames is None else _span(self.num_frames, "frame")
            return f"frame index {row.frame} (0-based); allowed: {span}"
        x1, y1, x2, y2 = row.box_xyxy
        seen = f"box ({x1:g}, {y1:g}, {x2:g}, {y2:g}) in frame {row.frame}"
        if not all(map(math.isfinite, row.box_xyxy)):
            return f"{seen} is not finite"
        if x2 < x1 or y2 < y1:
            return f"{seen} is inverted; allowed: x1 <= x2, y1 <= y2"
        if not NO_ID <= row.track_id < LARGEST:
            return f"track id {row.track_id} in frame {row.frame}; allowed: 0 or more"
        if (row.frame, row.track_id) in self._seen:
            return f"track id {row.track_id} stands twice in frame {row.frame}"
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


def labelled_frames(video: LabelledVideo) -> list[int]:
    """The frames that become pictures in formats that list pictures.

    Those that were labelled; every frame where all were; up to the last box where nobody knows
    how many frames there are; none where nothing was labelled.
    """
    if video.tracks is None:
        return []
    boxed = np.unique(video.tracks.frames)
    if video.labelled_frames is not None:
        return [int(frame) for frame in np.union1d(video.labelled_frames, boxed)]
    count = video.info.num_frames
    if count is None:
        count = int(boxed[-1]) + 1 if len(boxed) else 0
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
    """What is known of a video, and the tags that say what is only assumed.

    The label file's own words (the keywords) come first, then the video's, then what the reader
    was told. Without any rate it is 1 and tagged so; without any size that is an error.
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
    return re.sub(r"[^\w.-]", "_", name).lstrip(".") or "video"


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


PICTURE_ENDINGS = (".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp")


def picture_name(video: LabelledVideo, name: str, frame: int) -> str:
    """The file name of one frame's picture, in layouts of one picture a frame."""
    if is_still(video):
        return f"{name}{PurePosixPath(video.source).suffix}"
    return f"{name}_{frame:06d}.jpg"
