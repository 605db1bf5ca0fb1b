"""How far two ways of running one network are apart: before suppression, and as detections."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from scipy.optimize import linear_sum_assignment

from vodkit.detect.decode import DECODINGS
from vodkit.detect.postprocess import Candidates
from vodkit.ground import boxes
from vodkit.ground.arrays import FloatArray, IntArray
from vodkit.ground.lookup import pick
from vodkit.ground.records import Detections, Frame

LEAST_SCORE = 0.01  # compare even very uncertain boxes
EMBEDDING = "embedding"  # in place of a decoding: the output is a vector
TOLERANCE_PX = 0.05
"""of a corner in the network's input, between runtimes that claim the same numbers"""
TOLERANCE_SCORE = 1e-3
_NEVER = 1e6
_LOST = 10  # so many tolerances away, a candidate is another one
_BEST = 200  # where order differs, so many of the best candidates are looked for in the other


@dataclass(frozen=True, kw_only=True)
class Differences:
    """What two detectors, or two runtimes, say differently of the same pictures."""

    num_boxes: int
    """that both give"""
    num_unpaired: int
    max_box_px: float
    max_score: float

    def within(self, *, px: float, score: float, unpaired: float = 0.0) -> bool:
        """Whether all boxes but a share of ``unpaired`` are in both, no further apart than this."""
        most = unpaired * (self.num_boxes + self.num_unpaired)
        return self.num_unpaired <= most and self.max_box_px <= px and self.max_score <= score


class Finds(Protocol):
    """All that a comparison needs of a detector."""

    def detect(self, frames: Sequence[Frame]) -> list[Detections]:
        """See Detector."""
        ...


def compare(one: Finds, two: Finds, frames: Sequence[Frame]) -> Differences:
    """Pair the boxes of both frame by frame and take the largest differences.

    Boxes pair one to one within a class, where they overlap by more than 0.5. A box at the score
    threshold that only one of the two gives counts as a score difference, not as unpaired.
    """
    box_px, score, num_boxes, unpaired = [0.0], [0.0], 0, 0
    for a, b in zip(one.detect(frames), two.detect(frames), strict=True):
        rows, columns = _pairs(a, b)
        num_boxes += len(rows)
        box_px += np.abs(a.boxes_xyxy[rows] - b.boxes_xyxy[columns]).ravel().tolist()
        score += np.abs(a.scores[rows] - b.scores[columns]).tolist()
        alone = [*np.delete(a.scores, rows), *np.delete(b.scores, columns)]
        score += [float(s - LEAST_SCORE) for s in alone if s < 2 * LEAST_SCORE]
        unpaired += sum(bool(s >= 2 * LEAST_SCORE) for s in alone)
    return Differences(
        num_boxes=num_boxes, num_unpaired=unpaired, max_box_px=max(box_px), max_score=max(score)
    )


def compare_outputs(
    one: Sequence[tuple[FloatArray, ...]],
    two: Sequence[tuple[FloatArray, ...]],
    *,
    decoding: str,
    size_px: tuple[int, int],
) -> Differences:
    """Differences of raw outputs, picture by picture, before any box is suppressed.

    Embeddings are compared at length 1, and their difference is reported as one of scores.

    ``size_px`` is width and height of the network's input. Where both give their candidates in
    the same order all are compared, else the best of each are looked for in the other.
    """
    if decoding == EMBEDDING:
        pairs = [
            [outputs[0] / np.linalg.norm(outputs[0]) for outputs in pair]
            for pair in zip(one, two, strict=True)
        ]
        apart = [float(np.abs(a - b).max()) for a, b in pairs]
        return Differences(
            num_boxes=len(pairs), num_unpaired=0, max_box_px=0.0, max_score=max(apart)
        )
    decode = pick(DECODINGS, decoding, "decoding")
    seen = []
    for a, b in zip(one, two, strict=True):
        pair = decode(a, 0.0, size_px), decode(b, 0.0, size_px)
        seen.append(_in_order(*pair) or _worse(_sought(*pair), _sought(*pair[::-1])))
    return together(seen)


def together(parts: Iterable[Differences]) -> Differences:
    """The differences of several lots of pictures as those of one."""
    found = list(parts)
    return Differences(
        num_boxes=sum(one.num_boxes for one in found),
        num_unpaired=sum(one.num_unpaired for one in found),
        max_box_px=max((one.max_box_px for one in found), default=0.0),
        max_score=max((one.max_score for one in found), default=0.0),
    )


def _pairs(a: Detections, b: Detections) -> tuple[IntArray, IntArray]:
    """Rows of ``a`` and ``b`` that are the same box: the cheapest one-to-one pairing."""
    overlap = boxes.iou(a.boxes_xyxy, b.boxes_xyxy)
    allowed = (overlap > 0.5) & (a.labels[:, None] == b.labels[None, :])
    apart = 1 - overlap + np.abs(a.scores[:, None] - b.scores[None, :])
    rows, columns = linear_sum_assignment(np.where(allowed, apart, _NEVER))
    paired = allowed[rows, columns]
    return rows[paired], columns[paired]


def _in_order(a: Candidates, b: Candidates) -> Differences | None:
    """Row against row; None where the rows are visibly not the same candidates."""
    if len(a.scores) != len(b.scores):
        return None
    # A label may only differ where its score says nothing.
    if ((a.labels != b.labels) & (np.maximum(a.scores, b.scores) > LEAST_SCORE)).any():
        return None
    box_px = float(np.abs(a.boxes_xyxy - b.boxes_xyxy).max(initial=0))
    score = float(np.abs(a.scores - b.scores).max(initial=0))
    seen = Differences(num_boxes=len(a.scores), num_unpaired=0, max_box_px=box_px, max_score=score)
    return seen if seen.within(px=TOLERANCE_PX, score=TOLERANCE_SCORE) else None


def _sought(a: Candidates, b: Candidates) -> Differences:
    """The best candidates of ``a``, each with the nearest of its class in ``b``."""
    best = np.argsort(-a.scores, kind="stable")[:_BEST]
    box_px, score, unpaired = [0.0], [0.0], 0
    lowest = a.scores[best].min(initial=1.0) - 10 * TOLERANCE_SCORE
    near = np.flatnonzero(b.scores >= lowest)
    for row in best:
        same = near[b.labels[near] == a.labels[row]]
        off_px = np.abs(b.boxes_xyxy[same] - a.boxes_xyxy[row]).max(axis=1)
        off_score = np.abs(b.scores[same] - a.scores[row])
        apart = np.maximum(off_px / TOLERANCE_PX, off_score / TOLERANCE_SCORE)
        apart[np.isnan(apart)] = np.inf  # argmin would take it for the nearest
        nearest = int(apart.argmin()) if len(apart) else -1
        if nearest < 0 or apart[nearest] > _LOST:
            unpaired += 1
            continue
        box_px.append(float(off_px[nearest]))
        score.append(float(off_score[nearest]))
    return Differences(
        num_boxes=len(best) - unpaired,
        num_unpaired=unpaired,
        max_box_px=max(box_px),
        max_score=max(score),
    )


def _worse(a: Differences, b: Differences) -> Differences:
    return Differences(
        num_boxes=min(a.num_boxes, b.num_boxes),
        num_unpaired=max(a.num_unpaired, b.num_unpaired),
        max_box_px=max(a.max_box_px, b.max_box_px),
        max_score=max(a.max_score, b.max_score),
    )
