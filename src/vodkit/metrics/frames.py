"""Each frame of a video matched at a score threshold: what several metrics count over.

Kept are detections with at least the threshold's score; class by class, one to one, IoU >= 0.5,
as many pairs as possible and then as much IoU as possible. An unmatched detection of which half
lies in an ignore region of its class (or of every class) does not count.
"""

from dataclasses import dataclass

import numpy as np

from vodkit.arrays import BoolArray, FloatArray, IntArray
from vodkit.boxes import covered, iou
from vodkit.metrics.clips import Clip
from vodkit.metrics.match import UNMATCHED, best_pairs
from vodkit.records import TrackTable

COVERED = 0.5
"""share of a box inside an ignore region from which on it is not a false alarm"""


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


def match_frames(clip: Clip, *, min_score: float, threshold: float = 0.5) -> FrameMatches:
    """Match every frame of ``clip`` at a score threshold and an IoU threshold."""
    strong = clip.found[np.asarray(clip.found.scores) >= min_score]
    found_of_truth = np.full(len(clip.truth), UNMATCHED)
    truth_of_found = np.full(len(strong), UNMATCHED)
    counts = np.ones(len(strong), bool)
    truth_cuts = cuts(clip.truth, clip.frames)
    found_cuts = cuts(strong, clip.frames)
    region_cuts = cuts(clip.regions, clip.frames)
    busy = np.flatnonzero(np.diff(found_cuts, axis=0)[0])
    for k in busy:
        there, seen = slice(*truth_cuts[:, k]), slice(*found_cuts[:, k])
        rows, columns = _match_one(clip.truth, there, strong, seen, threshold)
        found_of_truth[there.start + rows] = seen.start + columns
        truth_of_found[seen.start + columns] = there.start + rows
        if region_cuts[0, k] < region_cuts[1, k]:
            regions = clip.regions[slice(*region_cuts[:, k])]
            inside = in_regions(strong.boxes_xyxy[seen], strong.labels[seen], regions)
            counts[seen] = ~inside | (truth_of_found[seen] != UNMATCHED)
    new_row = np.cumsum(counts) - 1
    hit = found_of_truth != UNMATCHED
    found_of_truth[hit] = new_row[found_of_truth[hit]]
    found = strong[counts]
    return FrameMatches(
        clip=clip.with_found(found),
        found_of_truth=found_of_truth,
        truth_of_found=truth_of_found[counts],
        truth_frame=np.searchsorted(clip.frames, clip.truth.frames),
        found_frame=np.searchsorted(clip.frames, found.frames),
    )


def cuts(table: TrackTable, frames: IntArray) -> IntArray:
    """(2, F): first row, and row behind the last, of each frame."""
    return np.stack([np.searchsorted(table.frames, frames, side=s) for s in ("left", "right")])


def _match_one(
    truth: TrackTable, there: slice, found: TrackTable, seen: slice, threshold: float
) -> tuple[IntArray, IntArray]:
    if there.start == there.stop:
        nothing = np.empty(0, np.int64)
        return nothing, nothing
    ious = iou(truth.boxes_xyxy[there], found.boxes_xyxy[seen])
    same = truth.labels[there][:, None] == found.labels[seen][None, :]
    return best_pairs(ious, same, threshold=threshold)


def in_regions(boxes_xyxy: FloatArray, labels: IntArray, regions: TrackTable) -> BoolArray:
    """(N,): which boxes lie, half or more, in one ignore region of their class (or of all)."""
    for_it = (regions.labels[None, :] == labels[:, None]) | (regions.labels == -1)[None, :]
    inside = covered(boxes_xyxy, regions.boxes_xyxy) >= COVERED
    return np.asarray((inside & for_it).any(axis=1))
