"""Temporal stability of detection (Zhang & Wang 2016, arXiv 1611.06467).

At a score threshold every truth track is followed through its frames: how often does it switch
between found and missed (fragment error), and how much do centre, size and shape of its boxes
jitter (centre error, scale-and-ratio error)? 0 is perfect.

What the paper leaves open: population standard deviation; jitter over tracks with at least two
matched frames; undefined where no track has those: who finds nothing is not stable.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from vodkit.ground.arrays import FloatArray
from vodkit.ground.boxes import to_cxcywh
from vodkit.ground.records import NO_ID
from vodkit.metrics.counts import Counts
from vodkit.metrics.detection.frames import FrameMatches
from vodkit.metrics.detection.match import UNMATCHED
from vodkit.metrics.ratio import ratio


@dataclass(frozen=True, kw_only=True)
class StabilityCounts(Counts):
    """What adds up over videos."""

    num_tracks: int = 0
    fragment_sum: float = 0.0
    num_followed: int = 0
    """tracks with at least two matched frames"""
    centre_sum: float = 0.0
    scale_ratio_sum: float = 0.0


@dataclass(frozen=True, kw_only=True)
class StabilityScores:
    """Errors, 0 is best; None where no track allows to measure."""

    stability: float | None
    """sum of the three"""
    fragment_error: float | None
    centre_error: float | None
    scale_ratio_error: float | None
    num_tracks: int


def stability_counts(matches: FrameMatches) -> StabilityCounts:
    """The sums over the truth tracks of one matched video."""
    truth, found = matches.clip.truth, matches.clip.found
    tracked = np.flatnonzero(truth.ids != NO_ID)
    order = tracked[np.argsort(truth.ids[tracked], kind="stable")]
    starts = np.flatnonzero(np.diff(truth.ids[order], prepend=NO_ID))
    total = StabilityCounts()
    for rows in np.split(order, starts)[1:]:
        partners = matches.found_of_truth[rows]
        hit = partners != UNMATCHED
        centre, scale_ratio = _jitter(
            to_cxcywh(truth.boxes_xyxy[rows[hit]]), to_cxcywh(found.boxes_xyxy[partners[hit]])
        )
        total = total + StabilityCounts(
            num_tracks=1,
            fragment_sum=float(np.count_nonzero(np.diff(hit))) / max(1, len(rows) - 1),
            num_followed=int(hit.sum() >= 2),
            centre_sum=centre,
            scale_ratio_sum=scale_ratio,
        )
    return total


def _jitter(truth: FloatArray, found: FloatArray) -> tuple[float, float]:
    """Centre and scale-ratio error of one track from matched (M, 4) cx, cy, w, h; 0 if M < 2."""
    if len(truth) < 2:
        return 0.0, 0.0
    size = np.maximum(truth[:, 2:], np.finfo(float).tiny)
    shift = (found[:, :2] - truth[:, :2]) / size
    stretch = found[:, 2:] / size
    scale = np.sqrt(stretch[:, 0] * stretch[:, 1])
    shape = stretch[:, 0] / np.maximum(stretch[:, 1], np.finfo(float).tiny)
    return float(shift.std(axis=0).sum()), float(scale.std() + shape.std())


def stability_scores(counts: StabilityCounts) -> StabilityScores:
    """The one place where stability's means are made."""
    fragment = ratio(counts.fragment_sum, counts.num_tracks)
    centre = ratio(counts.centre_sum, counts.num_followed)
    scale_ratio = ratio(counts.scale_ratio_sum, counts.num_followed)
    total = None
    if fragment is not None and centre is not None and scale_ratio is not None:
        total = fragment + centre + scale_ratio
    return StabilityScores(
        stability=total,
        fragment_error=fragment,
        centre_error=centre,
        scale_ratio_error=scale_ratio,
        num_tracks=counts.num_tracks,
    )


def evaluate_stability(matched: Sequence[FrameMatches]) -> StabilityScores:
    """Stability over all videos."""
    return stability_scores(sum(map(stability_counts, matched), StabilityCounts()))
