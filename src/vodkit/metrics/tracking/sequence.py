"""Truth and tracks of one video side by side: what every tracking metric counts over.

Legend: F frames, G truth boxes and D tracked boxes of a frame.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from vodkit.ground.arrays import FloatArray, IntArray
from vodkit.ground.boxes import iou
from vodkit.ground.errors import InputError
from vodkit.ground.records import NO_ID, TrackTable

EPS = float(np.finfo(float).eps)


@dataclass(frozen=True, eq=False, kw_only=True)
class Sequence2D:
    """One video for the tracking metrics; ids are renumbered from 0 without gaps."""

    truth_ids: Sequence[IntArray]
    """F arrays (G,)"""
    found_ids: Sequence[IntArray]
    """F arrays (D,)"""
    ious: Sequence[FloatArray]
    """F arrays (G, D)"""
    num_truth_ids: int
    num_found_ids: int

    @property
    def num_truth(self) -> int:
        """Truth boxes in all frames."""
        return sum(map(len, self.truth_ids))

    @property
    def num_found(self) -> int:
        """Tracked boxes in all frames."""
        return sum(map(len, self.found_ids))

    @property
    def num_frames(self) -> int:
        """Evaluated frames."""
        return len(self.ious)


def pair_up(truth: TrackTable, found: TrackTable, frames: IntArray) -> Sequence2D:
    """The sequence of ``frames`` (F,) from two tables; rows in other frames are left out.

    Raises InputError for boxes without an id: tracking cannot be measured on detections.
    """
    truth_ids, truth_boxes, num_truth_ids = _by_frame(truth, frames, "truth")
    found_ids, found_boxes, num_found_ids = _by_frame(found, frames, "predictions")
    return Sequence2D(
        truth_ids=truth_ids,
        found_ids=found_ids,
        ious=[iou(a, b) for a, b in zip(truth_boxes, found_boxes, strict=True)],
        num_truth_ids=num_truth_ids,
        num_found_ids=num_found_ids,
    )


def _by_frame(
    table: TrackTable, frames: IntArray, what: str
) -> tuple[list[IntArray], list[FloatArray], int]:
    rows = np.isin(table.frames, frames)
    ids = table.ids[rows]
    if len(ids) and ids.min() == NO_ID:
        frame = table.frames[rows][int(np.argmin(ids))]
        raise InputError(f"{what}: a box without id in frame {frame}; tracking metrics need ids")
    known, dense = np.unique(ids, return_inverse=True)
    cuts = np.searchsorted(table.frames[rows], frames, side="left")
    split_ids = np.split(dense, cuts)[1:]
    split_boxes = np.split(table.boxes_xyxy[rows], cuts)[1:]
    return split_ids, split_boxes, len(known)
