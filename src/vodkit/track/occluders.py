"""Things that stand still and hide objects, learnt from where tracks vanish and return.

A sign post or a pillar is never detected, but objects vanish behind it and return on the other
side. Each such gap leaves a mark halfway between the two boxes. A lost track whose object should be
where two or more earlier gaps were is occluded, not missed: it is waited for as long as one behind
another object.

Legend: M marks, N tracks.
"""

from collections.abc import Mapping

import numpy as np

from vodkit.ground.arrays import BoolArray, FloatArray, IntArray
from vodkit.ground.errors import InputError
from vodkit.track.assign import rows_where
from vodkit.track.lifecycle import Status
from vodkit.track.track_table import Book

LEAST_GAP_S = 0.3
"""shorter gaps are misses of the detector"""
LEAST_MARKS = 2
"""one gap may be chance"""
MOST_MARKS = 200
"""older marks are forgotten"""
_REACH = 0.25
"""a mark reaches at least this far, in sizes of the object"""


class Occluders:
    """The marks of one video."""

    def __init__(self) -> None:
        """No gap is known yet."""
        self.marks: FloatArray = np.zeros((0, 3))
        """(M, 3) centre x, y and radius, px"""

    def learn(self, book: Book, lost_ids: IntArray) -> None:
        """Mark the gaps of tracks that were lost, with nothing in front, and are back now."""
        if len(lost_ids) == 0:
            return
        gap_s = book.past_s[:, 0] - book.past_s[:, 1]  # inf for new tracks
        back = (book.missed == 0) & (gap_s >= LEAST_GAP_S) & (gap_s < np.inf)
        rows = rows_where(back)
        rows = rows[np.isin(book.ids[rows], lost_ids)] if len(rows) else rows
        if len(rows) == 0:
            return
        ends = book.past_xyxy[rows, 1], book.past_xyxy[rows, 0]
        centres = [(box[:, :2] + box[:, 2:]) / 2 for box in ends]
        sides = ends[1][:, 2:] - ends[1][:, :2]
        way = np.linalg.norm(centres[1] - centres[0], axis=1)
        radius = np.maximum(way / 2, _REACH * np.sqrt(sides.prod(axis=1)))
        new = np.column_stack([(centres[0] + centres[1]) / 2, radius])
        self.marks = np.vstack([self.marks, new])[-MOST_MARKS:]

    def explain(self, book: Book) -> None:
        """Set lost tracks that should be where gaps were to OCCLUDED."""
        rows = rows_where(book.status == Status.LOST)
        if len(rows) == 0 or len(self.marks) < LEAST_MARKS:
            return
        rows = rows[self.hide(book.expected_xyxy[rows])]
        book.status[rows] = Status.OCCLUDED
        book.excused_s[rows] = book.now_s

    def hide(self, boxes_xyxy: FloatArray) -> BoolArray:
        """Whether the centre of each box (N, 4) is where gaps were."""
        centres = (boxes_xyxy[:, :2] + boxes_xyxy[:, 2:]) / 2
        away = np.linalg.norm(centres[:, None] - self.marks[:, :2], axis=2)
        return np.asarray((away <= self.marks[:, 2]).sum(axis=1) >= LEAST_MARKS)

    def warp(self, affine: FloatArray | None) -> None:
        """Move the marks by the camera's motion (2, 3)."""
        if affine is not None and len(self.marks):
            zoom = np.sqrt(abs(np.linalg.det(affine[:, :2])))
            self.marks = np.column_stack(
                [self.marks[:, :2] @ affine[:, :2].T + affine[:, 2], self.marks[:, 2] * zoom]
            )

    def forget(self) -> None:
        """Another shot begins."""
        self.marks = np.zeros((0, 3))

    def state_dict(self) -> dict[str, np.ndarray]:
        """What was learnt."""
        return {"occluder_marks": self.marks.copy()}

    def load_state(self, state: Mapping[str, np.ndarray]) -> None:
        """Continue where ``state_dict`` was taken."""
        if "occluder_marks" not in state:
            raise InputError("tracker state lacks occluder_marks; saved by another version?")
        self.marks = np.array(state["occluder_marks"], np.float64)
