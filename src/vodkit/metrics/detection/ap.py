"""COCO's average precision and recall, as pycocotools 2.0.11 computes them.

Definition: T = 0.50, 0.55, ..., 0.95; AP is the mean over T, classes and 101 recalls of the
interpolated precision; areas are closed ranges (1024 square pixels is small *and* medium); at
most 100 detections a picture and class. A class without truth is left out of the mean; without
any truth a number is undefined (None), never 0 or 1.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from vodkit.ground.arrays import FloatArray
from vodkit.ground.errors import InputError
from vodkit.ground.records import Dataset, TrackTable
from vodkit.metrics.clips import Clip, make_clips
from vodkit.metrics.detection.coco_engine import CocoGrid, evaluate_grid
from vodkit.metrics.detection.columns import BoxColumns, by_rank, from_tables

_ALL, _SMALL, _MEDIUM, _LARGE = range(4)


@dataclass(frozen=True, kw_only=True)
class CocoScores:
    """COCO's twelve numbers; None where there is no truth of that kind."""

    ap: float | None
    """mean over IoU thresholds 0.50 to 0.95"""
    ap50: float | None
    ap75: float | None
    ap_small: float | None
    """truth up to 32 x 32 pixels"""
    ap_medium: float | None
    """32 x 32 to 96 x 96"""
    ap_large: float | None
    """from 96 x 96"""
    ar1: float | None
    """mean of the largest recall, 1 detection a picture and class"""
    ar10: float | None
    ar100: float | None
    ar_small: float | None
    ar_medium: float | None
    ar_large: float | None


@dataclass(frozen=True, kw_only=True)
class CocoResult:
    """COCO's numbers over all classes and for each one."""

    overall: CocoScores
    per_class: Mapping[str, CocoScores]
    engine: str
    """which package counted"""


def average_precision(
    truth: BoxColumns,
    found: BoxColumns,
    *,
    num_images: int,
    classes: tuple[str, ...],
    engine: str = "auto",
) -> CocoResult:
    """COCO's numbers for boxes in pictures 0 .. ``num_images`` - 1.

    Raises InputError when a box lies in a picture or class that is not there.
    """
    for what, columns in (("truth", truth), ("predictions", found)):
        _check_range(columns, what, num_images=num_images, num_classes=len(classes))
    grid = evaluate_grid(
        truth, found, num_images=num_images, num_classes=len(classes), engine=engine
    )
    return summarise(grid, classes)


def table_average_precision(
    dataset: Dataset, predictions: Mapping[str, TrackTable], *, engine: str = "auto"
) -> CocoResult:
    """COCO's numbers over the labelled frames of a dataset; ``predictions`` by video source.

    A video without predictions counts as one in which nothing was found.
    """
    clips = make_clips(dataset, predictions)
    truth, found = clip_columns(clips)
    num_images = sum(len(clip.frames) for clip in clips)
    return average_precision(
        truth, found, num_images=num_images, classes=dataset.classes, engine=engine
    )


def clip_columns(clips: tuple[Clip, ...]) -> tuple[BoxColumns, BoxColumns]:
    """Truth (ignore regions among it) and what was found, pictures numbered over all clips."""
    frames = [clip.frames for clip in clips]
    truth = [TrackTable.concat([clip.truth, clip.regions]) for clip in clips]
    return from_tables(truth, frames), from_tables([clip.found for clip in clips], frames)


def by_image_ids(
    clips: tuple[Clip, ...],
    columns: tuple[BoxColumns, BoxColumns],
    ids: Mapping[int, tuple[str, int]],
) -> tuple[BoxColumns, BoxColumns]:
    """The same columns, pictures in the order of their ids: pycocotools breaks ties so.

    Args:
        clips: Videos, whose pictures are numbered over all.
        columns: Truth and what was found.
        ids: Image id -> (source, frame) of a COCO or CocoVID file; other pictures come last.
    """
    number = {place: number for number, place in ids.items()}
    last = max(ids, default=0) + 1
    found = [number.get((clip.name, k), last) for clip in clips for k in clip.frames.tolist()]
    rank = np.empty(len(found), np.int64)
    rank[np.argsort(found, kind="stable")] = np.arange(len(found))
    return by_rank(columns[0], rank), by_rank(columns[1], rank)


def summarise(grid: CocoGrid, classes: tuple[str, ...]) -> CocoResult:
    """The twelve numbers, over all classes and of each, from an engine's grid."""
    every = np.arange(len(classes))
    return CocoResult(
        overall=_scores(grid, every),
        per_class={name: _scores(grid, every[k : k + 1]) for k, name in enumerate(classes)},
        engine=grid.engine,
    )


def _scores(grid: CocoGrid, which: FloatArray) -> CocoScores:
    precision = grid.precision[:, :, which]
    recall = grid.recall[:, which]
    return CocoScores(
        ap=_mean(precision[..., _ALL, 2]),
        ap50=_mean(precision[0, ..., _ALL, 2]),
        ap75=_mean(precision[5, ..., _ALL, 2]),
        ap_small=_mean(precision[..., _SMALL, 2]),
        ap_medium=_mean(precision[..., _MEDIUM, 2]),
        ap_large=_mean(precision[..., _LARGE, 2]),
        ar1=_mean(recall[..., _ALL, 0]),
        ar10=_mean(recall[..., _ALL, 1]),
        ar100=_mean(recall[..., _ALL, 2]),
        ar_small=_mean(recall[..., _SMALL, 2]),
        ar_medium=_mean(recall[..., _MEDIUM, 2]),
        ar_large=_mean(recall[..., _LARGE, 2]),
    )


def _mean(values: FloatArray) -> float | None:
    known = values[values > -1]
    return float(known.mean()) if known.size else None


def _check_range(columns: BoxColumns, what: str, *, num_images: int, num_classes: int) -> None:
    if not len(columns):
        return
    if columns.images.max() >= num_images:
        raise InputError(f"{what}: picture {columns.images.max()}; there are {num_images}")
    if columns.labels.max() >= num_classes:
        raise InputError(f"{what}: label {columns.labels.max()}; there are {num_classes} classes")
