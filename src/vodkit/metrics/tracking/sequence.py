"""Truth and tracks of one video side by side: what every tracking metric counts over.

Legend: F frames, G truth boxes and D tracked boxes of a frame, P pairs that overlap.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from vodkit.ground.arrays import FloatArray, IntArray
from vodkit.ground.boxes import iou_pairs
from vodkit.ground.errors import InputError
from vodkit.ground.records import NO_ID, TrackTable
from vodkit.metrics.detection.overlap import overlapping

EPS = float(np.finfo(float).eps)


@dataclass(frozen=True, eq=False)
class FramePairs:
    """The pairs of one frame whose IoU is above 0; of all others it is 0."""

    rows: IntArray
    """(P,) place among the frame's truth boxes, ascending"""
    columns: IntArray
    """(P,) place among the frame's tracked boxes"""
    ious: FloatArray
    """(P,)"""


@dataclass(frozen=True, eq=False, kw_only=True)
class Sequence2D:
    """One video for the tracking metrics; ids are renumbered from 0 without gaps."""

    truth_ids: Sequence[IntArray]
    """F arrays (G,)"""
    found_ids: Sequence[IntArray]
    """F arrays (D,)"""
    pairs: Sequence[FramePairs]
    """of each frame"""
    num_truth_ids: int
    num_found_ids: int

    @property
    def ious(self) -> list[FloatArray]:
        """F arrays (G, D), made anew: memory grows with the square of the boxes in a frame."""
        every = []
        for truth, found, pairs in zip(self.truth_ids, self.found_ids, self.pairs, strict=True):
            matrix = np.zeros((len(truth), len(found)))
            matrix[pairs.rows, pairs.columns] = pairs.ious
            every.append(matrix)
        return every

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
        return len(self.pairs)


def pair_up(truth: TrackTable, found: TrackTable, frames: IntArray) -> Sequence2D:
    """The sequence of ``frames`` (F,) from two tables; rows in other frames are left out.

    Raises InputError for boxes without an id: tracking cannot be measured on detections.
    """
    truth, found = (table[np.isin(table.frames, frames)] for table in (truth, found))
    truth_ids, num_truth_ids = _by_frame(truth, frames, "truth")
    found_ids, num_found_ids = _by_frame(found, frames, "predictions")
    rows, columns = overlapping(truth.frames, truth.boxes_xyxy, found.frames, found.boxes_xyxy)
    ious = iou_pairs(truth.boxes_xyxy[rows], found.boxes_xyxy[columns])
    starts = [np.searchsorted(table.frames, frames, side="left") for table in (truth, found)]
    cuts = np.searchsorted(truth.frames[rows], frames, side="left")
    ends = np.append(cuts[1:], len(rows))
    pairs = [
        FramePairs(rows[a:b] - first, columns[a:b] - other, ious[a:b])
        for a, b, first, other in zip(cuts, ends, *starts, strict=True)
    ]
    return Sequence2D(
        truth_ids=truth_ids,
        found_ids=found_ids,
        pairs=pairs,
        num_truth_ids=num_truth_ids,
        num_found_ids=num_found_ids,
    )


def _by_frame(table: TrackTable, frames: IntArray, what: str) -> tuple[list[IntArray], int]:
    ids = table.ids
    if len(ids) and ids.min() == NO_ID:
        frame = table.frames[int(np.argmin(ids))]
        raise InputError(f"{what}: a box without id in frame {frame}; tracking metrics need ids")
    known, dense = np.unique(ids, return_inverse=True)
    cuts = np.searchsorted(table.frames, frames, side="left")
    return np.split(dense, cuts)[1:], len(known)
