"""Each frame of a video matched at a score threshold: what several metrics count over.

Kept are detections with at least the threshold's score; class by class, one to one, IoU >= 0.5,
as many pairs as possible and then as much IoU as possible. An unmatched detection of which half
lies in an ignore region of its class (or of every class) does not count.
"""

from dataclasses import dataclass

import numpy as np

from vodkit.ground.arrays import BoolArray, FloatArray, IntArray
from vodkit.ground.boxes import area, iou_pairs
from vodkit.ground.records import TrackTable
from vodkit.metrics.assignment import best_pairs
from vodkit.metrics.clips import Clip
from vodkit.metrics.detection.match import UNMATCHED
from vodkit.metrics.detection.overlap import overlapping

COVERED = 0.5
"""share of a box inside an ignore region from which on it is not a false alarm"""


@dataclass(frozen=True, eq=False, kw_only=True)
class Pairs:
    """Truth and found boxes of the same frame (and class) that overlap; P pairs."""

    truth: IntArray
    """(P,) row of the truth"""
    found: IntArray
    """(P,) row of what was found"""
    overlap: FloatArray
    """(P,) IoU"""
    group: IntArray
    """(P,) a number for the frame (and class); pairs of other groups do not touch"""

    def __getitem__(self, which: BoolArray | IntArray) -> "Pairs":
        """Some of the pairs."""
        return Pairs(
            truth=self.truth[which],
            found=self.found[which],
            overlap=self.overlap[which],
            group=self.group[which],
        )


@dataclass(frozen=True, eq=False, kw_only=True)
class Candidates:
    """A video made ready to be matched at any score threshold."""

    clip: Clip
    pairs: Pairs
    """of the same class, IoU at least the threshold"""
    excused: BoolArray
    """(rows of found,): in an ignore region, so no false alarm"""


@dataclass(frozen=True, eq=False, kw_only=True)
class FrameMatches:
    """Truth and detections of one video, matched frame by frame."""

    clip: Clip
    """the video, ``found`` cut down to what counts"""
    found_of_truth: IntArray
    """(rows of truth,): row of ``clip.found``, -1 where missed"""
    truth_of_found: IntArray
    """(rows of found,): row of ``clip.truth``, -1 for a false alarm"""
    truth_frame: IntArray
    """(rows of truth,): place in ``clip.frames``"""
    found_frame: IntArray
    """(rows of found,): place in ``clip.frames``"""


def candidates(clip: Clip, *, threshold: float = 0.5) -> Candidates:
    """All pairs of a video that could be matched, whatever the score threshold."""
    pairs = pairs_in_frames(clip.truth, clip.found, same_class=True)
    return Candidates(
        clip=clip,
        pairs=pairs[pairs.overlap >= threshold],
        excused=in_regions(clip.found, clip.regions),
    )


def match_frames(clip: Clip, *, min_score: float, threshold: float = 0.5) -> FrameMatches:
    """Match every frame of ``clip`` at a score threshold and an IoU threshold."""
    return match_at(candidates(clip, threshold=threshold), min_score=min_score)


def match_at(ready: Candidates, *, min_score: float) -> FrameMatches:
    """Match every frame of a prepared video at a score threshold."""
    clip, found = ready.clip, ready.clip.found
    strong = found.scores >= min_score
    chosen = most_pairs(ready.pairs[strong[ready.pairs.found]])
    matched = np.zeros(len(found), bool)
    matched[chosen.found] = True
    counts = strong & (matched | ~ready.excused)
    new_row = np.cumsum(counts) - 1
    left = found[counts]
    found_of_truth = np.full(len(clip.truth), UNMATCHED)
    truth_of_found = np.full(len(left), UNMATCHED)
    found_of_truth[chosen.truth] = new_row[chosen.found]
    truth_of_found[new_row[chosen.found]] = chosen.truth
    return FrameMatches(
        clip=clip.with_found(left),
        found_of_truth=found_of_truth,
        truth_of_found=truth_of_found,
        truth_frame=np.searchsorted(clip.frames, clip.truth.frames),
        found_frame=np.searchsorted(clip.frames, left.frames),
    )


def pairs_in_frames(truth: TrackTable, found: TrackTable, *, same_class: bool) -> Pairs:
    """All pairs of the same frame, and of the same class if wanted, with IoU above 0."""
    truth_key, found_key = truth.frames, found.frames
    if same_class:
        num = 1 + max((int(t.labels.max()) for t in (truth, found) if len(t)), default=0)
        truth_key, found_key = truth_key * num + truth.labels, found_key * num + found.labels
    rows, columns = overlapping(truth_key, truth.boxes_xyxy, found_key, found.boxes_xyxy)
    overlap = iou_pairs(truth.boxes_xyxy[rows], found.boxes_xyxy[columns])
    near = overlap > 0
    return Pairs(
        truth=rows[near],
        found=columns[near],
        overlap=overlap[near],
        group=truth_key[rows[near]],
    )


def most_pairs(pairs: Pairs) -> Pairs:
    """The one-to-one choice with the most pairs and, among those, the most IoU."""
    top = np.bincount(pairs.truth).max(initial=0) + np.bincount(pairs.found).max(initial=0)
    num = np.bincount(np.unique(pairs.group, return_inverse=True)[1]).max(initial=0)
    return best_choice(pairs, pairs.overlap + (max(top, num) + 1))


def best_choice(pairs: Pairs, weight: FloatArray) -> Pairs:
    """The one-to-one choice of pairs with the largest sum of ``weight`` (P,), all above 0.

    Pairs that nothing competes with are taken at once, the others by Hungarian assignment.
    """
    alone = (np.bincount(pairs.truth)[pairs.truth] == 1) if len(pairs.truth) else np.ones(0, bool)
    if len(pairs.found):
        alone &= np.bincount(pairs.found)[pairs.found] == 1
    chosen = [np.flatnonzero(alone)]
    contested = np.flatnonzero(~alone)
    contested = contested[np.argsort(pairs.group[contested], kind="stable")]
    cuts = np.flatnonzero(np.diff(pairs.group[contested])) + 1
    for part in np.split(contested, cuts) if len(contested) else []:
        rows, row = np.unique(pairs.truth[part], return_inverse=True)
        columns, column = np.unique(pairs.found[part], return_inverse=True)
        chosen.append(part[best_pairs(row, column, weight[part], (len(rows), len(columns)))])
    return pairs[np.sort(np.concatenate(chosen))]


def in_regions(found: TrackTable, regions: TrackTable) -> BoolArray:
    """(rows of found,): half or more of the box in one ignore region of its class, or of all."""
    inside = np.zeros(len(found), bool)
    rows, columns = overlapping(found.frames, found.boxes_xyxy, regions.frames, regions.boxes_xyxy)
    for_it = np.isin(regions.labels[columns], -1)
    for_it |= regions.labels[columns] == found.labels[rows]
    rows, columns = rows[for_it], columns[for_it]
    box, region = found.boxes_xyxy[rows], regions.boxes_xyxy[columns]
    low, high = np.maximum(box[:, :2], region[:, :2]), np.minimum(box[:, 2:], region[:, 2:])
    shared = np.clip(high - low, 0, None).prod(axis=1)
    own = area(box)
    inside[rows[(own > 0) & (shared >= COVERED * own)]] = True
    return inside
