"""Links of low-score detections over a few seconds: scores averaged in logit space, no training.

A detection that recurs at the same place in other frames is more likely to be an object than one
that does not. For each candidate (a detection above a low threshold) the candidates of remembered
frames at fixed lags are weighted by how well they fit: centre, moved along with the remembered
candidate's own velocity, and size, in units that grow with the lag. The candidate's score moves
towards the weighted mean of theirs, in logits. It is the kernel-regression form of box linking:
Seq-NMS (Han et al. 2016, arXiv 1602.08465), Seq-Bbox Matching (Belhassen et al. 2019).

A candidate that no remembered one fits keeps its score bit for bit.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from vodkit.ground.arrays import FloatArray
from vodkit.ground.errors import SettingsError
from vodkit.ground.records import Detections
from vodkit.temporal.memory import WINDOW, Asked, Remembered, geometry, probability

_UNSEEN = 1e-32  # in a sum of weights above the next, with the digits of a float64 to spare
_NEGLIGIBLE = 1e-9  # weight of links below which a score is not touched


@dataclass(frozen=True, kw_only=True)
class LinkSettings:
    """How candidates of several frames are linked; chosen by ``benchmarks/temporal_links.py``."""

    lags_s: tuple[float, ...] = (0.05, 0.1, 0.2, 0.4, 0.8, 1.6)
    """lags, in seconds, of the frames that are compared; for each the nearest frame within half
    the lag is used"""
    strength: float = 0.6
    """weight of a perfectly linked candidate at lag 0, where the candidate itself has 1"""
    fade_s: float = 1.0
    """time constant, in seconds, by which the weight of a link falls with its lag"""
    place: float = 0.1
    """standard deviation of a linked centre, as a share of the object's size (root of the area)"""
    place_per_s: float = 0.25
    """growth of ``place`` with each second of lag"""
    size: float = 0.1
    """standard deviation of the logarithms of width and height"""
    size_per_s: float = 0.1
    """growth of ``size`` with each second of lag"""
    no_link: float = 0.1
    """weight of "no candidate fits", where a perfect fit has 1"""
    rivalry: float = 4.0
    """exponent that takes a remembered candidate from those that fit it worse than another one
    does: without it partial boxes beside an object inherit the object's score"""

    steadiness: float = 0.1
    """the same weight for the corners of boxes; 0: boxes are not moved"""

    def __post_init__(self) -> None:
        """Check ranges."""
        for name in ("fade_s", "place", "size", "no_link"):
            if not getattr(self, name) > 0:
                raise SettingsError(f"{name} is {getattr(self, name)}; allowed: above 0")
        for name in ("strength", "steadiness", "place_per_s", "size_per_s", "rivalry"):
            if not getattr(self, name) >= 0:
                raise SettingsError(f"{name} is {getattr(self, name)}; allowed: 0 or more")
        if not self.lags_s or not min(self.lags_s) > 0 or sorted(self.lags_s) != [*self.lags_s]:
            raise SettingsError(f"lags_s is {self.lags_s}; allowed: above 0, ascending")

    @property
    def window_s(self) -> float:
        """How long a frame is remembered."""
        return self.lags_s[-1] * WINDOW


class Links:
    """Detections linked by place and size; see ``memory.Rule``."""

    def __init__(self, settings: LinkSettings) -> None:
        """``settings``: how to link."""
        self._settings, self.lags_s = settings, settings.lags_s

    def remember(
        self, time_s: float, candidates: Detections, before: Remembered | None
    ) -> Remembered:
        """See Rule."""
        return with_velocities(geometry(time_s, candidates), before, self._settings)

    def conclude(
        self, candidates: Detections, here: Remembered, asked: Sequence[Asked]
    ) -> Detections:
        """Each candidate as the weighted mean of itself and its links.

        Scores are averaged in logits; corners count by their scores, since a box that the detector
        is sure of is placed better. A candidate without links is returned as it is.
        """
        if not len(candidates) or not asked:
            return candidates
        time_s = here.time_s
        corners = candidates.boxes_xyxy.astype(np.float64)
        own = probability(here.logits) / max(self._settings.steadiness, _NEGLIGIBLE)
        mass, logits = np.zeros(len(own)), np.zeros(len(own))
        certainty, offsets = np.zeros(len(own)), np.zeros((len(own), 4))
        for _, there in asked:
            fade = np.exp(-abs(there.time_s - time_s) / self._settings.fade_s)
            weights = fit(here, there, self._settings) * (self._settings.strength * fade)
            mass += weights.sum(axis=1)
            logits += (weights * there.logits).sum(axis=1)
            weights = weights * probability(there.logits)
            certainty += weights.sum(axis=1)
            offsets += _summed(weights, there.corners_at(time_s), corners)
        linked = mass > _NEGLIGIBLE
        scores, boxes = np.array(candidates.scores), np.array(candidates.boxes_xyxy)
        scores[linked] = probability((here.logits + logits)[linked] / (1 + mass[linked]))
        if self._settings.steadiness:
            boxes[linked] = (corners + offsets / (own + certainty)[:, None])[linked]
        return replace(candidates, boxes_xyxy=boxes, scores=scores)


def with_velocities(
    here: Remembered, before: Remembered | None, settings: LinkSettings
) -> Remembered:
    """The frame with the velocities that an earlier one shows."""
    if before is None:
        return here
    weights = fit(here, before, settings)
    mass = weights.sum(axis=1, keepdims=True)
    there = _summed(weights, before.centres, np.zeros_like(here.centres))
    moved = mass * here.centres - there
    return replace(here, velocities=moved / (here.time_s - before.time_s))


def fit(here: Remembered, there: Remembered, settings: LinkSettings) -> FloatArray:
    """(N, M): how much each candidate there counts for each one here; rows add up to below 1."""
    lag_s = abs(here.time_s - there.time_s)
    spread = settings.place + settings.place_per_s * lag_s
    off = _squares(here.centres, there.centres_at(here.time_s), there.sizes, spread)
    grown = _squares(
        here.log_sides, there.log_sides, 1.0, settings.size + settings.size_per_s * lag_s
    )
    weights = np.exp(-0.5 * (off + grown))
    weights *= here.labels[:, None] == there.labels[None]
    best = weights.max(axis=0, keepdims=True, initial=0)
    share = weights / np.where(best > 0, best, 1)
    # What is below this share would add less than a sum can hold; powers of it are slow to compute.
    least = _UNSEEN ** (1 / settings.rivalry) if settings.rivalry else -1.0
    powers = np.zeros_like(share)
    np.power(share, settings.rivalry, out=powers, where=share > least)
    total = weights.sum(axis=1, keepdims=True) + settings.no_link
    return weights * powers / total


def _summed(weights: FloatArray, there: FloatArray, here: FloatArray) -> FloatArray:
    """(N, K): sums of ``there`` (M, K) less ``here`` (N, K), weighted by (N, M).

    Column by column, and over the first axis: twice as quick as over three axes.
    """
    if len(here) == 1:  # NumPy would sum one row in another order
        return _summed(weights.repeat(2, axis=0), there, here.repeat(2, axis=0))[:1]
    turned, found = np.ascontiguousarray(weights.T), np.empty(here.shape)
    for column in range(here.shape[1]):
        off = there[:, column, None] - here[None, :, column]
        off *= turned
        found[:, column] = off.sum(axis=0)
    return found


def _squares(
    here: FloatArray, there: FloatArray, sizes: FloatArray | float, spread: float
) -> FloatArray:
    """(N, M): squared distances of (N, 2) to (M, 2), in sizes and spreads.

    Column by column: sums over an axis of two took most of the time of a frame.
    """
    found: FloatArray | float = 0.0
    for axis in (0, 1):
        off = (here[:, axis, None] - there[None, :, axis]) / sizes
        off /= spread
        found = found + off * off
    return np.asarray(found)
