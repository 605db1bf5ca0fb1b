"""IDF1 (Ristani et al. 2016), counted as TrackEval's ``identity.py`` does.

One assignment of truth tracks to predicted tracks for the whole video, so that as many boxes as
possible (IoU >= 0.5) carry the right id.
"""

from dataclasses import dataclass

import numpy as np
from scipy.optimize import linear_sum_assignment

from vodkit.ground.arrays import IntArray
from vodkit.metrics.counts import Counts
from vodkit.metrics.ratio import ratio
from vodkit.metrics.tracking.sequence import Sequence2D

THRESHOLD = 0.5


@dataclass(frozen=True, kw_only=True)
class IdentityCounts(Counts):
    """What adds up over videos, and over classes."""

    idtp: int = 0
    idfn: int = 0
    idfp: int = 0


@dataclass(frozen=True, kw_only=True)
class IdentityScores:
    """The ratios; None without truth."""

    idf1: float | None
    idr: float | None
    idp: float | None


def identity_counts(sequence: Sequence2D) -> IdentityCounts:
    """Identity counts of one video (of one class)."""
    together = _frames_together(sequence)
    matched = _most_together(together)
    return IdentityCounts(
        idtp=matched, idfn=sequence.num_truth - matched, idfp=sequence.num_found - matched
    )


def _frames_together(sequence: Sequence2D) -> IntArray:
    """In how many frames each truth track (row) and each predicted one (column) overlap."""
    shape = (sequence.num_truth_ids, sequence.num_found_ids)
    codes = []
    for truth, found, ious in zip(
        sequence.truth_ids, sequence.found_ids, sequence.ious, strict=True
    ):
        rows, columns = np.nonzero(ious >= THRESHOLD)
        codes.append(truth[rows] * shape[1] + found[columns])
    flat = np.concatenate(codes) if codes else np.empty(0, np.int64)
    return np.bincount(flat, minlength=shape[0] * shape[1]).reshape(shape)


def _most_together(together: IntArray) -> int:
    """Boxes with the right id under the best assignment of tracks.

    TrackEval pads the matrix with the cost of leaving a track alone; as no pair costs more than
    that, its optimum equals the plain assignment with the most shared frames.
    """
    if not together.size:
        return 0
    rows, columns = linear_sum_assignment(-together)
    return int(together[rows, columns].sum())


def identity_scores(counts: IdentityCounts) -> IdentityScores:
    """The one place where identity ratios are made."""
    c = counts
    truth = c.idtp + c.idfn
    return IdentityScores(
        idf1=ratio(c.idtp, c.idtp + 0.5 * c.idfp + 0.5 * c.idfn) if truth else None,
        idr=ratio(c.idtp, truth),
        idp=ratio(c.idtp, c.idtp + c.idfp),
    )
