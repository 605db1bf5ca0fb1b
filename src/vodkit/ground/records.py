"""The nouns: what flows between the parts of vodkit, validated where it is born.

All records are frozen; arrays inside are not to be written to. Boxes are x1, y1, x2, y2 in
pixels of the *source* picture, upright (after rotation metadata). Frame indices are 0-based.
Times are seconds of the container's clock, with the first shown frame where the container puts
it. Labels are 0-based positions in a tuple of class names.

Legend: N boxes in a frame, R rows in a table.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from enum import IntEnum
from fractions import Fraction
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np

from vodkit.ground.account import Account
from vodkit.ground.arrays import BoolArray, ByteArray, FloatArray, IntArray
from vodkit.ground.checks import (
    FILLED,
    check_detections,
    first_bad_box,
    require,
    same_fields,
    set_array,
)
from vodkit.ground.dataframe import to_dataframe, to_polars
from vodkit.ground.errors import InputError


class State(IntEnum):
    """How a box is known; every box that vodkit gives out carries one."""

    OBSERVED = 0
    """a detector (or a person) saw it in this frame"""
    PREDICTED = 1
    """the object is hidden or missed here; the box comes from its motion so far (causal)"""
    FILLED = 2
    """put in afterwards, from what was seen before and after (offline)"""


_LAST_STATE = int(max(State))
STATE_NAMES = tuple(state.name.lower() for state in State)


@dataclass(frozen=True, kw_only=True)
class VideoInfo:
    """What a container says of its video, before any frame is decoded."""

    path: str
    width_px: int
    """upright, as a player shows it"""
    height_px: int
    rate: Fraction
    """nominal frames per second, exact: 30000/1001, never 29.97"""
    num_frames: int | None = None
    """None where the container does not say (streams, some mkv)"""
    duration_s: float | None = None

    def __post_init__(self) -> None:
        """Refuse a float rate and an empty picture."""
        require(isinstance(self.rate, Fraction), self, f"rate {self.rate!r} is not a Fraction")
        require(self.rate > 0, self, f"rate {self.rate} is not above 0")
        size = (self.width_px, self.height_px)
        require(min(size) > 0, self, f"picture size {size} px is not above 0")


@dataclass(frozen=True, eq=False)
class Frame:
    """One picture of a video, with its place in time."""

    index: int
    """0-based, counted over all frames of the source"""
    time_s: float
    image: ByteArray
    """(H, W, 3) uint8 RGB; may be decoded smaller than the source, see ``width_px``"""
    width_px: int = 0
    """width of the source picture, in which boxes are given; default: the image's own"""
    height_px: int = 0
    motion: ByteArray | None = None
    """(h, w, L) uint8 at the size of a network's input: differences to earlier frames, 128 where
    there are none (``video.motion``); None: not known"""

    def __post_init__(self) -> None:
        """Check shape and type, and fill in the source size."""
        shape, dtype = self.image.shape, self.image.dtype
        right = len(shape) == 3 and shape[2] == 3 and dtype == np.uint8
        require(right, self, f"image is {shape} {dtype}; allowed: (H, W, 3) uint8")
        require(self.index >= 0, self, f"index {self.index} is below 0")
        require(bool(np.isfinite(self.time_s)), self, f"time_s is {self.time_s}")
        object.__setattr__(self, "width_px", self.width_px or shape[1])
        object.__setattr__(self, "height_px", self.height_px or shape[0])

    @classmethod
    def unseen(cls, index: int, time_s: float, *, width_px: int, height_px: int) -> "Frame":
        """A frame whose pixels nobody will look at: a moment and a picture size."""
        return cls(index, time_s, np.zeros((1, 1, 3), np.uint8), width_px, height_px)

    @property
    def has_pixels(self) -> bool:
        """Whether there is anything to look at: not in ``unseen`` frames."""
        return min(self.image.shape[:2]) > 1


@dataclass(frozen=True, eq=False)
class Detections:
    """Boxes found in one frame, in source pixels; empty is legal."""

    boxes_xyxy: FloatArray
    """(N, 4) float32"""
    scores: FloatArray
    """(N,) float32 in [0, 1]"""
    labels: IntArray
    """(N,) int64, 0-based positions in the detector's classes"""
    embeddings: FloatArray | None = None
    """(N, D) float32: what each looks like, for trackers; cosine is their measure; None: unknown"""
    truncated: bool = False
    """whether the detector found more than the most that it keeps of a frame, and left these out"""
    features: FloatArray | None = None
    """(N, D) float32: what each looks like, for temporal memory; cosine is its measure; rows of
    zeros and None: unknown"""
    still_scores: FloatArray | None = None
    """(N,) float32 in [0, 1]: scores of the frame by itself, where temporal memory changed them"""

    def __post_init__(self) -> None:
        """Check counts, finiteness and order of corners."""
        set_array(self, "boxes_xyxy", np.asarray(self.boxes_xyxy).reshape(-1, 4), np.float32)
        set_array(self, "scores", self.scores, np.float32)
        set_array(self, "labels", self.labels, np.int64)
        check_detections(self, self.boxes_xyxy, self.scores, self.labels)
        if self.still_scores is not None:
            set_array(self, "still_scores", self.still_scores, np.float32)
            check_detections(self, self.boxes_xyxy, self.still_scores, self.labels)
        for name in ("embeddings", "features"):
            rows = getattr(self, name)
            if rows is None:
                continue
            set_array(self, name, rows, np.float32)
            shape = rows.shape
            right = len(shape) == 2 and shape[0] == len(self.labels)
            require(right, self, f"{name} are {shape}; allowed: ({len(self.labels)}, D)")
            finite = bool(np.isfinite(rows).all())
            require(finite, self, f"{name} are not finite")

    to_dataframe = to_dataframe
    to_polars = to_polars

    def __len__(self) -> int:
        """Number of boxes."""
        return len(self.boxes_xyxy)

    def __eq__(self, other: object) -> bool:
        """Equal when all arrays are."""
        return same_fields(self, other)

    __hash__ = None  # type: ignore[assignment]

    def __getitem__(self, which: IntArray | BoolArray | slice) -> "Detections":
        """The detections chosen by an index array, a mask or a slice."""
        features, still = (
            None if rows is None else rows[which] for rows in (self.features, self.still_scores)
        )
        looks = None if self.embeddings is None else self.embeddings[which]
        columns = (self.boxes_xyxy[which], self.scores[which], self.labels[which], looks)
        return Detections(*columns, self.truncated, features=features, still_scores=still)

    @classmethod
    def empty(cls) -> "Detections":
        """No detections."""
        return cls(np.empty((0, 4), np.float32), np.empty(0, np.float32), np.empty(0, np.int64))


@dataclass(frozen=True, eq=False)
class Tracks:
    """The tracked objects of one frame: where they are, who they are, how that is known."""

    boxes_xyxy: FloatArray
    """(N, 4) float32; the matched detection's own box where ``states`` is observed"""
    scores: FloatArray
    """(N,) float32; for a predicted box the last observed score, decayed"""
    labels: IntArray
    """(N,) int64"""
    ids: IntArray
    """(N,) int64, unique in the frame, from 1, per tracker instance"""
    states: ByteArray
    """(N,) uint8, see State"""
    hidden_s: FloatArray = FILLED
    """(N,) float32: seconds since the object was last observed; 0 where observed"""
    sigma_px: FloatArray = FILLED
    """(N,) float32: standard deviation of the centre, which grows while hidden"""
    tentative: BoolArray = FILLED
    """(N,) bool: not confirmed yet, may turn out to be a false alarm"""
    hidden_behind: IntArray = FILLED
    """(N,) int64: id of the object that stands in front of a hidden one; 0: none is known"""
    p_present: FloatArray = FILLED
    """(N,) float32: probability that the object is in a box in which it was not observed, with IoU
    of at least 0.5; 1 where observed, NaN where not known"""

    def __post_init__(self) -> None:
        """Check counts, corners, and that no id stands twice."""
        n = len(self.ids)
        zeros = np.zeros(n)
        set_array(self, "boxes_xyxy", np.asarray(self.boxes_xyxy).reshape(-1, 4), np.float32)
        set_array(self, "scores", self.scores, np.float32)
        set_array(self, "labels", self.labels, np.int64)
        set_array(self, "ids", self.ids, np.int64)
        set_array(self, "states", self.states, np.uint8)
        known = np.where(self.states == State.OBSERVED, 1.0, np.nan)
        for name, dtype, usual in (
            ("hidden_s", np.float32, zeros),
            ("sigma_px", np.float32, zeros),
            ("tentative", np.bool_, zeros),
            ("hidden_behind", np.int64, zeros),
            ("p_present", np.float32, known),
        ):
            values = getattr(self, name)
            set_array(self, name, usual if values is None else values, dtype)
        check_detections(self, self.boxes_xyxy, self.scores, self.labels)
        names = "ids states hidden_s sigma_px tentative hidden_behind p_present"
        for name in names.split():
            shape = getattr(self, name).shape
            if shape != (n,):
                require(False, self, f"{name} is {shape}; allowed: ({n},)")  # noqa: FBT003
        if len(set(self.ids.tolist())) < n:  # text of arrays is slow: only where it is needed
            require(False, self, f"an id occurs twice in {self.ids}")  # noqa: FBT003
        if n and int(self.states.max()) > _LAST_STATE:
            require(False, self, f"states {self.states}; allowed: 0 to {_LAST_STATE}")  # noqa: FBT003

    to_dataframe = to_dataframe
    to_polars = to_polars

    def __len__(self) -> int:
        """Number of tracked objects."""
        return len(self.ids)

    def __eq__(self, other: object) -> bool:
        """Equal when all arrays are."""
        return same_fields(self, other)

    __hash__ = None  # type: ignore[assignment]

    def __getitem__(self, which: IntArray | BoolArray | slice) -> "Tracks":
        """The tracks chosen by an index array, a mask or a slice."""
        return Tracks(*(getattr(self, spec.name)[which] for spec in fields(self)))

    @classmethod
    def empty(cls) -> "Tracks":
        """No tracked objects."""
        none = np.empty(0)
        return cls(np.empty((0, 4)), none, none, none, none)


NO_ID = -1
"""The id of a box that belongs to no track (plain detections, crowd regions)."""
# Columns of a TrackTable: type, and what stands where none is given.
_COLUMNS: tuple[tuple[str, type, float | None], ...] = (
    ("frames", np.int64, None),
    ("times_s", np.float64, None),
    ("ids", np.int64, None),
    ("boxes_xyxy", np.float64, None),
    ("labels", np.int64, None),
    ("scores", np.float64, 1),
    ("states", np.uint8, State.OBSERVED),
    ("visibility", np.float64, np.nan),
    ("ignore", np.bool_, 0),
    ("p_present", np.float64, np.nan),
    ("areas", np.float64, np.nan),
)


@dataclass(frozen=True, eq=False, kw_only=True)
class TrackTable:
    """All boxes of one video, one row a box. Ground truth and predictions are the same noun.

    Rows are sorted by frame, then id; rows without an id keep the order they came in.
    """

    frames: IntArray
    """(R,) int64, 0-based frame index"""
    times_s: FloatArray
    """(R,) float64, the frame's container time"""
    ids: IntArray
    """(R,) int64; NO_ID (-1) where the box belongs to no track"""
    boxes_xyxy: FloatArray
    """(R, 4) float64, source pixels"""
    labels: IntArray
    """(R,) int64; -1 only in ignore rows: a region that is to be ignored for every class"""
    scores: FloatArray = FILLED
    """(R,) float64 in [0, 1]; 1 for ground truth"""
    states: ByteArray = FILLED
    """(R,) uint8, see State"""
    visibility: FloatArray = FILLED
    """(R,) float64 in [0, 1], NaN where not known"""
    ignore: BoolArray = FILLED
    """(R,) bool: crowd or don't-care region, neither right nor wrong to find"""
    p_present: FloatArray = FILLED
    """(R,) float64, see ``Tracks``; NaN where not known"""
    areas: FloatArray = FILLED
    """(R,) float64, square pixels: area of the object's mask, which COCO's small, medium and large
    go by; NaN where it is width x height of the box"""

    def __post_init__(self) -> None:
        """Fill defaults, sort, and check uniqueness of (frame, id)."""
        n = len(np.asarray(self.frames))
        columns: dict[str, tuple[Any, type]] = {}
        for name, dtype, usual in _COLUMNS:
            values = getattr(self, name)
            columns[name] = (np.full(n, usual) if values is None else np.asarray(values), dtype)
        columns["boxes_xyxy"] = (columns["boxes_xyxy"][0].reshape(-1, 4), np.float64)
        for name, (values, _) in columns.items():
            require(len(values) == n, self, f"{name} has {len(values)} rows, frames has {n}")
        order = np.lexsort((columns["ids"][0], columns["frames"][0]))
        for name, (values, dtype) in columns.items():
            set_array(self, name, values[order], dtype)
        self._check_rows()

    def _check_rows(self) -> None:
        problem = first_bad_box(self.boxes_xyxy)
        require(problem is None, self, str(problem))
        require(len(self) == 0 or self.frames[0] >= 0, self, "a frame index is below 0")
        require(bool(np.isfinite(self.times_s).all()), self, "a time_s is not finite")
        require(bool(((self.scores >= 0) & (self.scores <= 1)).all()), self, "a score not in 0..1")
        require(len(self) == 0 or self.ids.min() >= NO_ID, self, "an id is below -1")
        bad_area = (self.areas < 0) | np.isinf(self.areas)
        require(not bad_area.any(), self, "an area is negative or infinite")
        bad_label = (self.labels < 0) & ~(self.ignore & (self.labels == -1))
        require(not bad_label.any(), self, "a label is below 0")
        same = (np.diff(self.frames) == 0) & (np.diff(self.ids) == 0) & (self.ids[1:] != NO_ID)
        if same.any():
            row = int(np.flatnonzero(same)[0])
            require(False, self, f"id {self.ids[row]} occurs twice in frame {self.frames[row]}")  # noqa: FBT003

    to_dataframe = to_dataframe
    to_polars = to_polars

    def __len__(self) -> int:
        """Number of rows."""
        return len(self.frames)

    def __repr__(self) -> str:
        """What is in it; the columns of an hour of video would fill a screen for every minute."""
        if not len(self):
            return "TrackTable(no boxes)"
        many = {name: len(np.unique(getattr(self, name))) for name in ("frames", "labels")}
        num_ids = len(np.unique(self.ids[self.ids != NO_ID]))
        span = f"{many['frames']} frames of {self.frames[0]}..{self.frames[-1]}"
        return f"TrackTable({len(self)} boxes, {span}, {num_ids} ids, {many['labels']} classes)"

    def __eq__(self, other: object) -> bool:
        """Equal when all columns are."""
        return same_fields(self, other)

    __hash__ = None  # type: ignore[assignment]

    def __getitem__(self, which: IntArray | BoolArray | slice) -> "TrackTable":
        """The rows chosen by an index array, a mask or a slice."""
        return TrackTable(**{spec.name: getattr(self, spec.name)[which] for spec in fields(self)})

    @classmethod
    def empty(cls) -> "TrackTable":
        """A table without rows."""
        none = np.empty(0)
        return cls(frames=none, times_s=none, ids=none, boxes_xyxy=np.empty((0, 4)), labels=none)

    @classmethod
    def concat(cls, tables: Sequence["TrackTable"]) -> "TrackTable":
        """All rows of all tables (of one video)."""
        if not tables:
            return cls.empty()
        names = [spec.name for spec in fields(cls)]
        return cls(**{n: np.concatenate([getattr(t, n) for t in tables]) for n in names})

    @classmethod
    def from_frames(cls, rows: Sequence[tuple[int, float, Detections | Tracks]]) -> "TrackTable":
        """The table of (frame index, time_s, what was found there) triples."""
        if not rows:
            return cls.empty()
        found = [item for _, _, item in rows]
        counts = [len(item) for item in found]
        return cls(
            frames=np.repeat([index for index, _, _ in rows], counts),
            times_s=np.repeat([time_s for _, time_s, _ in rows], counts),
            ids=np.concatenate(
                [x.ids if isinstance(x, Tracks) else np.full(len(x), NO_ID) for x in found]
            ),
            boxes_xyxy=np.concatenate([x.boxes_xyxy for x in found]),
            labels=np.concatenate([x.labels for x in found]),
            scores=np.concatenate([x.scores for x in found]),
            states=np.concatenate(
                [x.states if isinstance(x, Tracks) else np.zeros(len(x)) for x in found]
            ),
            p_present=np.concatenate(
                [x.p_present if isinstance(x, Tracks) else np.full(len(x), np.nan) for x in found]
            ),
        )


@dataclass(frozen=True, eq=False, kw_only=True)
class LabelledVideo:
    """A video (a file, or a folder of frame pictures) and what is known to be in it."""

    source: str
    """path of the video file, folder or image, relative to the dataset file, with ``/``"""
    info: VideoInfo
    tracks: TrackTable | None = None
    """None: not labelled at all"""
    labelled_frames: IntArray | None = None
    """sorted frame indices that a labeller looked at; None: every frame. A frame that is not
    in here says nothing; a frame in here without boxes says that nothing is there."""
    split: str = ""
    """train, val, test, or empty"""
    frame_files: tuple[str, ...] = ()
    """for a folder of pictures: the file name of each frame, in order"""
    tags: Mapping[str, str] = field(default_factory=dict)
    """what else is known: recording, site, camera, licence, ... (groups for ``data split``)"""

    def __post_init__(self) -> None:
        """Check the path, the frame range and the labelled frames."""
        absolute = self.source.startswith("/") or ":\\" in self.source
        require(bool(self.source) and not absolute, self, f"source {self.source!r} is not relative")
        object.__setattr__(self, "tags", MappingProxyType(dict(self.tags)))
        if self.labelled_frames is not None:
            set_array(self, "labelled_frames", np.unique(self.labelled_frames), np.int64)
        last = self.info.num_frames
        if self.tracks is not None and last is not None and len(self.tracks):
            beyond = int(self.tracks.frames[-1])
            require(beyond < last, self, f"{self.source}: box in frame {beyond} of {last} frames")

    def __getstate__(self) -> dict[str, Any]:
        """Tags as a plain mapping: a read-only one cannot be sent to a worker process."""
        return {**self.__dict__, "tags": dict(self.tags)}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """As it was, with read-only tags."""
        self.__dict__.update(state, tags=MappingProxyType(state["tags"]))

    def __eq__(self, other: object) -> bool:
        """Equal when all fields are."""
        return same_fields(self, other)

    __hash__ = None  # type: ignore[assignment]


@dataclass(frozen=True, eq=False, kw_only=True)
class Dataset:
    """Labelled videos that share one list of classes.

    One recording may stand in several splits, each with labelled frames of its own.
    """

    classes: tuple[str, ...]
    videos: tuple[LabelledVideo, ...]
    root: Path = field(default=Path(), compare=False)
    """the folder that sources are relative to: that of the label file"""
    accounts: tuple[Account, ...] = field(default=(), compare=False)
    """what became of the objects of each label file that it was read from"""

    def __post_init__(self) -> None:
        """Check that classes are unique, no source stands twice in a split, labels are in range."""
        object.__setattr__(self, "root", Path(self.root))
        doubled = sorted(name for name, count in Counter(self.classes).items() if count > 1)
        require(not doubled, self, f"duplicate class names: {doubled}")
        splits: dict[str, list[str]] = {}
        for video in self.videos:
            splits.setdefault(video.source, []).append(video.split)
        twice = [
            source
            for source, names in splits.items()
            if len(set(names)) < len(names) or (len(names) > 1 and "" in names)
        ]
        require(not twice, self, f"duplicate videos: {twice[:3]}")
        for video in self.videos:
            if video.tracks is not None and len(video.tracks):
                top = int(video.tracks.labels.max())
                message = f"{video.source}: label {top}, but there are {len(self.classes)} classes"
                require(top < len(self.classes), self, message)

    def __eq__(self, other: object) -> bool:
        """Equal when all fields are."""
        return same_fields(self, other)

    __hash__ = None  # type: ignore[assignment]

    def only(self, split: str) -> "Dataset":
        """The videos of one split; an unknown split is an error that names those there are."""
        chosen = tuple(video for video in self.videos if video.split == split)
        if not chosen:
            there = sorted({video.split for video in self.videos if video.split})
            none = "none is on a side of a split yet; 'vodkit data split' deals them out"
            seen = f"it has: {', '.join(there)}" if there else none
            raise InputError(f"dataset has no videos in split {split!r}; {seen}")
        return replace(self, videos=chosen)
