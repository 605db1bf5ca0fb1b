"""IDF1 (Ristani et al. 2016), counted as TrackEval's ``identity.py`` does.

One assignment of truth tracks to predicted tracks for the whole video, so that as many boxes as
possible (IoU >= 0.5) carry the right id.
"""

from dataclasses import dataclass

import numpy as np

from vodkit.metrics.assignment import best_pairs
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
    matched = _most_together(sequence)
    return IdentityCounts(
        idtp=matched, idfn=sequence.num_truth - matched, idfp=sequence.num_found - matched
    )


def _most_together(sequence: Sequence2D) -> int:
    """Boxes with the right id under the best assignment of tracks.

    TrackEval pads the matrix with the cost of leaving a track alone; as no pair costs more than
    that, its optimum equals the plain assignment with the most shared frames.
    """
    codes = [np.empty(0, np.int64)]
    for truth, found, pairs in zip(
        sequence.truth_ids, sequence.found_ids, sequence.pairs, strict=True
    ):
        near = pairs.ious >= THRESHOLD
        rows, columns = pairs.rows[near], pairs.columns[near]
        codes.append(truth[rows] * sequence.num_found_ids + found[columns])
    known, frames = np.unique(np.concatenate(codes), return_counts=True)
    rows, columns = np.divmod(known, max(sequence.num_found_ids, 1))
    shape = (sequence.num_truth_ids, sequence.num_found_ids)
    return int(frames[best_pairs(rows, columns, frames.astype(float), shape)].sum())


def identity_scores(counts: IdentityCounts) -> IdentityScores:
    """The one place where identity ratios are made."""
    c = counts
    truth = c.idtp + c.idfn
    return IdentityScores(
        idf1=ratio(c.idtp, c.idtp + 0.5 * c.idfp + 0.5 * c.idfn) if truth else None,
        idr=ratio(c.idtp, truth),
        idp=ratio(c.idtp, c.idtp + c.idfp),
    )
