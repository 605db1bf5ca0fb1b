"""Which detection is which track: candidate pairs, what speaks for each, the best matching.

Everything works on lists of pairs (``rows`` of tracks, ``cols`` of detections), not on full
matrices: in a picture with 300 objects there are some hundred plausible pairs, not 90,000.

Legend: N tracks, M detections, P pairs.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from scipy.optimize import linear_sum_assignment

from vodkit.ground.arrays import BoolArray, FloatArray, IntArray
from vodkit.ground.boxes import area, iou_pairs

NONE = np.empty(0, np.int64)
BUFFER = 0.3
"""of the buffered overlap, as C-BIoU's first round has it"""
LEAST = 1e-6
"""gain of a pair that is possible, with nothing that speaks for it"""
# Boxes, times this: how far each edge lies outwards, in units of width or height.
_OUTWARDS = np.array([[1.0, 0, -1, 0], [0, 1, 0, -1], [-1, 0, 1, 0], [0, -1, 0, 1]])


class Pairs(NamedTuple):
    """Candidate pairs: positions in the arrays of tracks and of detections."""

    rows: IntArray
    """(P,)"""
    cols: IntArray
    """(P,)"""

    @classmethod
    def joined(cls, several: Sequence["Pairs"]) -> "Pairs":
        """All of them, in this order."""
        if len(several) == 1:
            return several[0]
        return cls(*map(np.concatenate, zip(cls(NONE, NONE), *several, strict=True)))

    def where(self, mask: BoolArray) -> "Pairs":
        """The pairs for which ``mask`` (P,) is true."""
        return Pairs(self.rows[mask], self.cols[mask])


def rows_where(mask: BoolArray) -> IntArray:
    """The rows at which ``mask`` (N,) is true: np.flatnonzero without its detours.

    It is asked for a dozen times a step, in arrays of a few numbers.
    """
    return mask.nonzero()[0]


def near(a_xyxy: FloatArray, b_xyxy: FloatArray, *, buffer: float = 0.0) -> Pairs:
    """Pairs of boxes that overlap once both are larger by ``buffer`` of their size on each side.

    >>> near(np.array([[0., 0, 2, 2]]), np.array([[3., 0, 5, 2]]), buffer=0.5).rows
    array([0])
    """
    if buffer:
        a_xyxy, b_xyxy = buffered(a_xyxy, buffer), buffered(b_xyxy, buffer)
    a, b = a_xyxy.T[:, :, None], b_xyxy.T[:, None, :]
    meet = a[0] < b[2]
    meet &= b[0] < a[2]
    meet &= a[1] < b[3]
    meet &= b[1] < a[3]
    return Pairs(*np.nonzero(meet))


def buffered(boxes_xyxy: FloatArray, buffer: float | FloatArray) -> FloatArray:
    """Boxes larger by ``buffer`` of width and height on each side (C-BIoU, arXiv 2211.14317).

    ``buffer`` is one number, or one for each box (N, 1).
    """
    return np.asarray(boxes_xyxy + (boxes_xyxy @ _OUTWARDS) * buffer)


def giou_pairs(a_xyxy: FloatArray, b_xyxy: FloatArray) -> FloatArray:
    """Generalised IoU (P,) in [-1, 1] of aligned boxes (Rezatofighi et al. 2019).

    >>> giou_pairs(np.array([[0., 0, 1, 1]]), np.array([[0., 0, 1, 1]]))
    array([1.])
    """
    hull = np.concatenate(
        [np.minimum(a_xyxy[:, :2], b_xyxy[:, :2]), np.maximum(a_xyxy[:, 2:], b_xyxy[:, 2:])], axis=1
    )
    overlap = iou_pairs(a_xyxy, b_xyxy)
    total = area(a_xyxy) + area(b_xyxy)
    union = total / (1 + overlap)  # overlap = shared / union and total = union + shared
    hull_area = area(hull)
    return overlap - np.divide(
        hull_area - union, hull_area, out=np.zeros_like(overlap), where=hull_area > 0
    )


def _half_giou(a_xyxy: FloatArray, b_xyxy: FloatArray) -> FloatArray:
    return (1 + giou_pairs(a_xyxy, b_xyxy)) / 2


def _buffered_iou(a_xyxy: FloatArray, b_xyxy: FloatArray) -> FloatArray:
    return iou_pairs(buffered(a_xyxy, BUFFER), buffered(b_xyxy, BUFFER))


class Overlap(NamedTuple):
    """A way to say how well two boxes fit, from 0 to 1."""

    reach: float
    """pairs that do not meet with boxes larger by this share on each side are not asked about"""
    measure: Callable[[FloatArray, FloatArray], FloatArray]
    """of aligned boxes (P, 4) and (P, 4), gives (P,)"""


OVERLAPS: dict[str, Overlap] = {
    "iou": Overlap(0.0, iou_pairs),
    "giou": Overlap(1.0, _half_giou),
    "biou": Overlap(BUFFER, _buffered_iou),
}
"""IoU; generalised IoU as (1 + GIoU) / 2, as OC-SORT offers it; IoU of buffered boxes (C-BIoU)"""


def height_iou(a_xyxy: FloatArray, b_xyxy: FloatArray) -> FloatArray:
    """IoU (P,) of the vertical extents of aligned boxes: whether they stand on the same ground.

    Used as Hybrid-SORT's height modulation (Yang et al. 2024, arXiv 2308.00783).
    """
    shared = np.minimum(a_xyxy[:, 3], b_xyxy[:, 3]) - np.maximum(a_xyxy[:, 1], b_xyxy[:, 1])
    union = np.maximum(a_xyxy[:, 3], b_xyxy[:, 3]) - np.minimum(a_xyxy[:, 1], b_xyxy[:, 1])
    shared = np.maximum(shared, 0)
    return np.divide(shared, union, out=np.zeros_like(shared), where=union > 0)


def direction_agreement(was_xy: FloatArray, seen_xy: FloatArray, new_xy: FloatArray) -> FloatArray:
    """How well the way to a detection continues the way so far, (P,) in [-0.5, 0.5].

    Paths lead from ``was`` over ``seen`` (both observed) to ``new``; 0.5 is straight on, -0.5 is
    back. The observation-centric momentum of OC-SORT (arXiv 2203.14360, section 4.2); 0 where
    there is no direction.
    """
    before, after = seen_xy - was_xy, new_xy - seen_xy
    length = np.hypot(before[:, 0], before[:, 1]) * np.hypot(after[:, 0], after[:, 1])
    cosine = np.divide(
        (before * after).sum(axis=1), length, out=np.zeros(len(length)), where=length > 0
    )
    angle = np.arccos(np.clip(cosine, -1, 1))
    return np.where(length > 0, 0.5 - angle / np.pi, 0.0)


def likeness(looks: FloatArray, others: FloatArray) -> FloatArray:
    """Cosine (P,) of aligned embeddings (P, D); 0 where either is unknown (all 0)."""
    length = np.linalg.norm(looks, axis=1) * np.linalg.norm(others, axis=1)
    return np.divide(
        (looks * others).sum(axis=1), length, out=np.zeros(len(length)), where=length > 0
    )


def contested(pairs: Pairs) -> BoolArray:
    """Whether one of a pair's two ends has another candidate, (P,)."""
    rivals = np.bincount(pairs.rows)[pairs.rows] + np.bincount(pairs.cols)[pairs.cols]
    return np.asarray(rivals > 2)


def match(
    pairs: Pairs, gain: FloatArray, more: Callable[[Pairs], FloatArray] | None = None
) -> Pairs:
    """The one-to-one matching of largest total ``gain`` (P,); pairs of gain <= 0 never match.

    Pairs whose two ends have no other candidate are taken at once; only the rest goes through
    the Hungarian method. The result is exact, and sorted by row. ``more`` says what else speaks
    for or against the pairs it is asked about: only for those that have rivals does it matter,
    and it does not make them impossible.

    >>> match(Pairs(np.array([0, 0, 1]), np.array([0, 1, 1])), np.array([0.9, 0.8, 0.1])).cols
    array([0, 1])
    """
    worth = gain > 0
    if np.count_nonzero(worth) < len(worth):
        pairs, gain = pairs.where(worth), gain[worth]
    if len(pairs.rows) == 0:
        return Pairs(NONE, NONE)
    rivals = contested(pairs)
    if not np.count_nonzero(rivals):
        return pairs
    rows, cols = disputed = pairs.where(rivals)
    worth = gain[rivals] if more is None else np.maximum(gain[rivals] + more(disputed), LEAST)
    row_names, row_at = np.unique(rows, return_inverse=True)
    col_names, col_at = np.unique(cols, return_inverse=True)
    table = np.zeros((len(row_names), len(col_names)))
    table[row_at, col_at] = worth
    r, c = linear_sum_assignment(table, maximize=True)
    right = table[r, c] > 0
    all_rows = np.concatenate([pairs.rows[~rivals], row_names[r[right]]])
    all_cols = np.concatenate([pairs.cols[~rivals], col_names[c[right]]])
    order = np.argsort(all_rows)
    return Pairs(all_rows[order], all_cols[order])
