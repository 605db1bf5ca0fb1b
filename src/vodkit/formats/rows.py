"""The checked collector of a video's boxes, and the boxes of a table or a video for writers."""

import math
from collections.abc import Iterator, Mapping, Sequence
from fractions import Fraction
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np

from vodkit.formats.base import BROKEN, MOST_FRAMES, Place, Reading, line_of
from vodkit.formats.jsonfile import LARGEST
from vodkit.ground.arrays import FloatArray, IntArray
from vodkit.ground.errors import FormatError
from vodkit.ground.records import NO_ID, LabelledVideo, State, TrackTable, VideoInfo

MOST_DRAWN = 5_000_000
"""boxes that the key frames of one file may be drawn out to"""


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
            fault = FormatError(problem, path=self.path, line=line_of(line))
            self.reading.refuse(fault, count=int(not drawn))
            return
        x1, y1, x2, y2 = box_xyxy
        if self.reading.skip_empty and not ignore and (x2 <= x1 or y2 <= y1):
            place = line_of(line)
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
            message = f"key frames are drawn to more than {MOST_DRAWN} boxes"
            raise FormatError(message, path=self.path, line=line_of(line))

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
            x1, y1, x2, y2 = row.box_xyxy
            seen = f"box ({x1:g}, {y1:g}, {x2:g}, {y2:g}) in frame {row.frame}"
            if not all(map(math.isfinite, row.box_xyxy)):
                return f"{seen} is not finite"
            if x2 < x1 or y2 < y1:
                return f"{seen} is inverted; allowed: x1 <= x2, y1 <= y2"
            return f"{seen} is not in pixels; allowed: below {LARGEST}"
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

    def video(
        self,
        info: VideoInfo,
        tags: Mapping[str, str] = MappingProxyType({}),
        *,
        labelled_frames: IntArray | None = None,
        split: str = "",
        frame_files: Sequence[str] = (),
    ) -> LabelledVideo:
        """The video ``info.path`` with all boxes; the rest as in ``LabelledVideo``."""
        return LabelledVideo(
            source=info.path,
            info=info,
            tracks=self.table(info.rate),
            labelled_frames=labelled_frames,
            split=split,
            frame_files=tuple(frame_files),
            tags=tags,
        )


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


def frames_labelled(rows: Rows, num_frames: int | None) -> IntArray | None:
    """The labelled frames of a video whose format does not record them; None: all.

    ``Reading.labelled`` decides. With ``ask``, labels that look sparse are a FormatError: boxes in
    fewer than half of the frames, or in none of the last third.
    """
    if rows.reading.labelled == "listed":
        return rows.frames
    total = num_frames if num_frames is not None else rows.last_frame + 1
    refuse_sparse(rows.frames, total, rows.reading, rows.path)
    return None


def refuse_sparse(boxed: IntArray, num_frames: int, reading: Reading, path: Path) -> None:
    """FormatError where boxes in so few frames look sparse, and nothing says that all count."""
    if reading.labelled == "all" or len(boxed) == num_frames:
        return
    seen = f"{len(boxed)} of {num_frames} frames have a box"
    if 2 * len(boxed) < num_frames or (len(boxed) and 3 * (boxed[-1] + 1) < 2 * num_frames):
        last = f", the last one is {boxed[-1]} (0-based)" if len(boxed) else ""
        message = (
            f"{seen}{last}, and the format does not record which frames were labelled; "
            "vodkit data import --labelled listed (only frames with a box were) or --labelled all "
            "(nothing is in the others) decides"
        )
        raise FormatError(message, path=path)
    reading.tally.note(
        f"{path.name}: {seen}; the others count as labelled and empty (--labelled listed "
        "leaves them out)"
    )


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
