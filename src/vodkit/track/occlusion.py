"""Who is hidden behind whom: the reason why a track is not seen.

On level ground, a camera above it sees of two people the nearer one lower in the picture, so the
box with the lower bottom edge is in front. A track that is not seen, and whose predicted box is
covered by a box that is seen and in front, is hidden: it is expected to come back.
"""

from dataclasses import dataclass

import numpy as np

from vodkit.ground.arrays import FloatArray, IntArray
from vodkit.ground.boxes import covered
from vodkit.ground.errors import SettingsError
from vodkit.track.assign import near, rows_where
from vodkit.track.lifecycle import Status
from vodkit.track.track_table import Book


@dataclass(frozen=True, kw_only=True)
class Occlusion:
    """When an object counts as hidden."""

    covered: float = 0.3
    """share of the predicted box that the boxes in front cover"""
    depth_slack: float = 0.15
    """a box may end this much of the hidden one's height higher and still be in front"""

    def __post_init__(self) -> None:
        """Check ranges."""
        if not 0 < self.covered <= 1:
            raise SettingsError(f"occlusion.covered is {self.covered}; allowed: above 0, up to 1")
        if not self.depth_slack >= 0:
            raise SettingsError(f"occlusion.depth_slack is {self.depth_slack}; allowed: 0 or more")


def in_front(
    boxes_xyxy: FloatArray, others_xyxy: FloatArray, *, depth_slack: float = 0.15
) -> FloatArray:
    """Share (N, M) of each of ``boxes`` (N, 4) hidden by each of ``others`` (M, 4) in front of it.

    >>> far, near = np.array([[0., 0, 10, 20]]), np.array([[0., 5, 10, 30]])
    >>> in_front(far, near), in_front(near, far)
    (array([[0.75]]), array([[0.]]))
    """
    height = boxes_xyxy[:, 3] - boxes_xyxy[:, 1]
    nearer = others_xyxy[None, :, 3] > (boxes_xyxy[:, 3] - depth_slack * height)[:, None]
    return np.where(nearer, covered(boxes_xyxy, others_xyxy), 0.0)


def hiders(
    boxes_xyxy: FloatArray, others_xyxy: FloatArray, settings: Occlusion
) -> tuple[IntArray, FloatArray]:
    """For each box (N, 4): which of the others (M, 4) hides most of it (-1: none), and how much.

    How much is the sum over all in front, at most 1.
    """
    if len(others_xyxy) == 0:
        return np.full(len(boxes_xyxy), -1), np.zeros(len(boxes_xyxy))
    shares = in_front(boxes_xyxy, others_xyxy, depth_slack=settings.depth_slack)
    total = np.minimum(shares.sum(axis=1), 1)
    return np.where(total >= settings.covered, shares.argmax(axis=1), -1), total


def excuse(book: Book, settings: Occlusion) -> None:
    """Mark the unseen tracks that something hides as OCCLUDED, with their hider's id."""
    unseen = rows_where(book.status == Status.LOST)
    if len(unseen) == 0:
        return
    seen = rows_where(book.missed == 0)
    boxes, others = book.expected_xyxy.take(unseen, axis=0), book.seen_xyxy.take(seen, axis=0)
    if len(near(boxes, others).rows) == 0:  # mostly nobody is in front
        return
    who, _ = hiders(boxes, others, settings)
    hidden = unseen[who >= 0]
    book.status[hidden] = Status.OCCLUDED
    book.hider[hidden] = book.ids[seen[who[who >= 0]]]
    book.excused_s[hidden] = book.now_s
