"""What is in a dataset, in numbers: classes, sizes, speeds, occlusion, track lengths, density."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from vodkit.data.split import LARGE_PX, SMALL_PX
from vodkit.formats.rows import labelled_frames
from vodkit.ground.arrays import FloatArray
from vodkit.ground.boxes import area, iou_pairs
from vodkit.ground.records import NO_ID, Dataset, LabelledVideo, TrackTable

QUANTILES = (0.0, 0.25, 0.5, 0.75, 1.0)
SLOW_IOU, FAST_IOU = 0.9, 0.7
"""borders of slow and fast objects by motion IoU (Zhu et al., "Flow-guided feature aggregation",
2017)"""
NEAR_FRAMES = 10
"""motion IoU is the mean overlap with the object's own boxes up to this many frames away"""


def overview(dataset: Dataset) -> dict[str, Any]:
    """Videos, labelled frames, boxes and tracks of a dataset, together and by class.

    Ignore regions are no boxes. A box without a track counts in no track.
    """
    boxes = dict.fromkeys(dataset.classes, 0)
    tracks = dict.fromkeys(dataset.classes, 0)
    frames = 0
    for video in dataset.videos:
        if video.tracks is None:
            continue
        frames += len(labelled_frames(video))
        table = video.tracks[~video.tracks.ignore]
        for label, count in zip(*np.unique(table.labels, return_counts=True), strict=True):
            boxes[dataset.classes[label]] += int(count)
        owned = table.ids != NO_ID
        pairs = np.unique(np.stack([table.labels[owned], table.ids[owned]]), axis=1)
        for label, count in zip(*np.unique(pairs[0], return_counts=True), strict=True):
            tracks[dataset.classes[label]] += int(count)
    return {
        "videos": len(dataset.videos),
        "labelled_frames": frames,
        "boxes": sum(boxes.values()),
        "tracks": sum(tracks.values()),
        "classes": {name: {"boxes": boxes[name], "tracks": tracks[name]} for name in boxes},
    }


@dataclass(frozen=True, kw_only=True)
class ClassStats:
    """One class."""

    name: str
    num_boxes: int
    num_tracks: int
    num_small: int
    """boxes below 32x32 px of area"""
    num_medium: int
    num_large: int
    """boxes of 96x96 px and more"""
    num_slow: int
    """boxes with a motion IoU above 0.9"""
    num_medium_speed: int
    num_fast: int
    """boxes with a motion IoU below 0.7"""
    size_px: tuple[float, ...]
    """square root of the area: least, quarter, median, three quarters, most"""
    track_s: tuple[float, ...]
    """seconds from the first to the last box of a track, the same five"""
    visibility_known: float | None
    """share of boxes whose visibility is known; None without boxes"""
    half_hidden: float | None
    """share of those with visibility below one half; None where none is known"""


@dataclass(frozen=True, kw_only=True)
class VideoStats:
    """One video."""

    source: str
    split: str
    width_px: int
    height_px: int
    rate: str
    num_frames: int | None
    duration_s: float | None
    num_labelled: int
    """frames that were labelled"""
    num_empty: int
    """labelled frames in which nothing is"""
    num_boxes: int
    num_tracks: int
    num_ignore: int
    density: tuple[int, ...]
    """boxes in each tenth of the video's length"""


@dataclass(frozen=True, kw_only=True)
class DatasetStats:
    """A whole dataset, for a page of plots or a table."""

    classes: tuple[ClassStats, ...]
    videos: tuple[VideoStats, ...]
    splits: dict[str, int]
    """videos in each split"""

    def as_json(self) -> dict[str, Any]:
        """Everything as JSON values."""
        return asdict(self)


def measure(dataset: Dataset) -> DatasetStats:
    """All numbers of a dataset; opens no video."""
    tables = [_objects(video) for video in dataset.videos]
    motions = [motion_iou(table) for table in tables]
    names = [video.split for video in dataset.videos]
    return DatasetStats(
        classes=tuple(
            _class_stats(name, label, tables, motions) for label, name in enumerate(dataset.classes)
        ),
        videos=tuple(
            _video_stats(video, table) for video, table in zip(dataset.videos, tables, strict=True)
        ),
        splits={name: names.count(name) for name in sorted(set(names))},
    )


def _objects(video: LabelledVideo) -> TrackTable:
    table = video.tracks or TrackTable.empty()
    return table[~table.ignore]


def motion_iou(table: TrackTable) -> FloatArray:
    """For each row (R,): mean IoU with the same object up to 10 frames before and after.

    NaN for boxes without an id and for objects without another box that near.
    """
    order = np.lexsort((table.frames, table.ids))
    total, count = np.zeros(len(table)), np.zeros(len(table))
    for step in range(1, NEAR_FRAMES + 1):
        one, two = order[:-step], order[step:]
        near = (table.ids[one] == table.ids[two]) & (table.ids[one] != NO_ID)
        near &= table.frames[two] - table.frames[one] <= NEAR_FRAMES
        one, two = one[near], two[near]
        overlap = iou_pairs(table.boxes_xyxy[one], table.boxes_xyxy[two])
        for rows in (one, two):
            np.add.at(total, rows, overlap)
            np.add.at(count, rows, 1)
    return np.divide(total, count, out=np.full(len(table), np.nan), where=count > 0)


def quantiles(values: FloatArray | Sequence[float]) -> tuple[float, ...]:
    """Least, quarter, median, three quarters, most; nothing for no values.

    >>> quantiles([1.0, 2.0, 3.0])
    (1.0, 1.5, 2.0, 2.5, 3.0)
    """
    if len(values) == 0:
        return ()
    return tuple(float(value) for value in np.quantile(values, QUANTILES))


def _class_stats(
    name: str, label: int, tables: Sequence[TrackTable], motions: Sequence[FloatArray]
) -> ClassStats:
    mine = [table.labels == label for table in tables]
    chosen = [table[rows] for table, rows in zip(tables, mine, strict=True)]
    motion = np.concatenate(
        [m[rows] for m, rows in zip(motions, mine, strict=True)] or [np.empty(0)]
    )
    sizes = np.concatenate([np.sqrt(area(table.boxes_xyxy)) for table in chosen] or [np.empty(0)])
    lengths = [length for table in chosen for length in _track_lengths_s(table)]
    visible = np.concatenate([table.visibility for table in chosen] or [np.empty(0)])
    known = visible[np.isfinite(visible)]
    return ClassStats(
        name=name,
        num_boxes=len(sizes),
        num_tracks=len(lengths),
        num_small=int((sizes < SMALL_PX).sum()),
        num_medium=int(((sizes >= SMALL_PX) & (sizes < LARGE_PX)).sum()),
        num_large=int((sizes >= LARGE_PX).sum()),
        num_slow=int((motion > SLOW_IOU).sum()),
        num_medium_speed=int(((motion >= FAST_IOU) & (motion <= SLOW_IOU)).sum()),
        num_fast=int((motion < FAST_IOU).sum()),
        size_px=quantiles(sizes),
        track_s=quantiles(lengths),
        visibility_known=len(known) / len(visible) if len(visible) else None,
        half_hidden=float((known < 0.5).mean()) if len(known) else None,
    )


def _track_lengths_s(table: TrackTable) -> list[float]:
    found = []
    for track_id in np.unique(table.ids[table.ids != NO_ID]):
        times_s = table.times_s[table.ids == track_id]
        found.append(float(times_s.max() - times_s.min()))
    return found


def _video_stats(video: LabelledVideo, table: TrackTable) -> VideoStats:
    frames = labelled_frames(video)
    boxed = np.unique(table.frames)
    length = video.info.num_frames or (frames[-1] + 1 if frames else 1)
    total = 0 if video.tracks is None else len(video.tracks)
    density = np.histogram(table.frames, bins=10, range=(0, length))[0]
    duration = video.info.duration_s
    if duration is None and video.info.num_frames is not None:
        duration = float(video.info.num_frames / video.info.rate)
    return VideoStats(
        source=video.source,
        split=video.split,
        width_px=video.info.width_px,
        height_px=video.info.height_px,
        rate=str(video.info.rate),
        num_frames=video.info.num_frames,
        duration_s=duration,
        num_labelled=len(frames),
        num_empty=len(frames) - len(np.intersect1d(frames, boxed)),
        num_boxes=len(table),
        num_tracks=len(np.unique(table.ids[table.ids != NO_ID])),
        num_ignore=total - len(table),
        density=tuple(int(count) for count in density),
    )
