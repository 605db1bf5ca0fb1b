"""Links of low-score detections over a few seconds: scores averaged in logit space, no training.

A detection that recurs at the same place in other frames is more likely to be an object than one
that does not. For each candidate (a detection above a low threshold) the candidates of remembered
frames at fixed lags are weighted by how well they fit: centre, moved along with the remembered
candidate's own velocity, and size, in units that grow with the lag. The candidate's score moves
towards the weighted mean of theirs, in logits. It is the kernel-regression form of box linking:
Seq-NMS (Han et al. 2016, arXiv 1602.08465), Seq-Bbox Matching (Belhassen et al. 2019).

The rule that keeps this exact: **memory holds only what the still detector saw, within a window in
seconds, never what was concluded from it.** It is a finite filter without feedback: a false alarm
cannot confirm itself, a resumed run replays its recorded candidates, and a candidate that no
remembered one fits keeps its score bit for bit.
"""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Generic, TypeVar

import numpy as np

from vodkit.ground.arrays import FloatArray, IntArray
from vodkit.ground.errors import SettingsError
from vodkit.ground.records import Detections

T = TypeVar("T")

_BASELINE_S = 0.1  # velocities are measured over at least this, where frames are that close
_LEAST = 1e-6  # scores are kept this far from 0 and 1, where logits are infinite
_NEGLIGIBLE = 1e-9  # weight of links below which a score is not touched
_EDGE_S = 1e-6  # clocks of containers are exact to less than this


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
        return self.lags_s[-1] * 1.5


@dataclass(frozen=True, eq=False)
class _Remembered:
    """The candidates of one frame."""

    time_s: float
    centres: FloatArray
    """(N, 2) px"""
    log_sides: FloatArray
    """(N, 2) logarithms of width and height in px"""
    sizes: FloatArray
    """(N,) px, root of the area"""
    logits: FloatArray
    """(N,)"""
    labels: IntArray
    """(N,)"""
    velocities: FloatArray
    """(N, 2) px/s; 0 where no candidate of an earlier frame fits"""

    def centres_at(self, time_s: float) -> FloatArray:
        """(N, 2) px: where the candidates would be at another time, by their velocities."""
        return self.centres + self.velocities * (time_s - self.time_s)

    def corners_at(self, time_s: float) -> FloatArray:
        """(N, 4) x1, y1, x2, y2 in px at another time, in the size they have."""
        half, centres = np.exp(self.log_sides) / 2, self.centres_at(time_s)
        return np.concatenate([centres - half, centres + half], axis=1)


class Links(Generic[T]):
    """Linked detections of one video; one instance is one video.

    Frames are pushed in order. With ``both`` a frame comes out once the frames after it, up to the
    longest lag, are known. ``T`` is whatever belongs to a frame (the frame itself, usually).
    """

    def __init__(self, settings: LinkSettings, *, threshold: float, both: bool = False) -> None:
        """Links without any memory.

        Args:
            settings: how to link.
            threshold: candidates whose final score is below are dropped.
            both: use frames after a frame as well as those before it.
        """
        self._settings, self._threshold, self._both = settings, threshold, both
        self._memory: deque[_Remembered] = deque()
        self._waiting: deque[tuple[T, float, Detections]] = deque()

    def cut(self) -> Iterator[tuple[T, Detections]]:
        """End the shot: what still waits comes out, and nothing is remembered across the cut."""
        while self._waiting:
            yield self._out()
        self._memory.clear()

    def push(
        self, item: T, time_s: float, candidates: Detections
    ) -> Iterator[tuple[T, Detections]]:
        """Take the candidates of the next frame; give the frames that are final now.

        Args:
            item: what is given back together with the frame's detections.
            time_s: time of the frame. A time that is not after the last one clears the memory.
            candidates: what the still detector found, above a low threshold.

        Returns:
            Pairs of ``item`` and its detections, above the threshold, best score first.
        """
        if self._memory and time_s <= self._memory[-1].time_s:
            yield from self.cut()
        self._memory.append(self._remember(time_s, candidates))
        self._waiting.append((item, time_s, candidates))
        reach_s = self._settings.window_s if self._both else 0.0
        while self._waiting and time_s >= self._waiting[0][1] + reach_s:
            yield self._out()
        while self._memory[0].time_s < time_s - reach_s - self._settings.window_s:
            self._memory.popleft()

    def _out(self) -> tuple[T, Detections]:
        item, time_s, candidates = self._waiting.popleft()
        return item, self._linked(time_s, candidates)

    def _linked(self, time_s: float, candidates: Detections) -> Detections:
        """The frame's detections, averaged with their links."""
        found = self._averaged(time_s, candidates)
        keep = np.flatnonzero(found.scores >= self._threshold)
        return found[keep[np.argsort(-found.scores[keep], kind="stable")]]

    def _averaged(self, time_s: float, candidates: Detections) -> Detections:
        """Each candidate as the weighted mean of itself and its links.

        Scores are averaged in logits; corners count by their scores, since a box that the detector
        is sure of is placed better. A candidate without links is returned as it is.
        """
        here, asked = _geometry(time_s, candidates), self._asked(time_s)
        if not len(candidates) or not asked:
            return candidates
        corners = candidates.boxes_xyxy.astype(np.float64)
        own = _probability(here.logits) / max(self._settings.steadiness, _NEGLIGIBLE)
        mass, logits = np.zeros(len(own)), np.zeros(len(own))
        certainty, offsets = np.zeros(len(own)), np.zeros((len(own), 4))
        for there in asked:
            fade = np.exp(-abs(there.time_s - time_s) / self._settings.fade_s)
            weights = _fit(here, there, self._settings) * (self._settings.strength * fade)
            mass += weights.sum(axis=1)
            logits += (weights * there.logits).sum(axis=1)
            weights = weights * _probability(there.logits)
            certainty += weights.sum(axis=1)
            off = there.corners_at(time_s)[None] - corners[:, None]
            offsets += (weights[:, :, None] * off).sum(axis=1)
        linked = mass > _NEGLIGIBLE
        scores, boxes = np.array(candidates.scores), np.array(candidates.boxes_xyxy)
        scores[linked] = _probability((here.logits + logits)[linked] / (1 + mass[linked]))
        if self._settings.steadiness:
            boxes[linked] = (corners + offsets / (own + certainty)[:, None])[linked]
        return replace(candidates, boxes_xyxy=boxes, scores=scores)

    def _asked(self, time_s: float) -> list[_Remembered]:
        """The remembered frames nearest to each lag, each once."""
        signs = (-1, 1) if self._both else (-1,)
        asked: dict[float, _Remembered] = {}
        for sign in signs:
            for lag_s in self._settings.lags_s:
                wanted_s = time_s + sign * lag_s
                nearest = min(self._memory, key=lambda one: abs(one.time_s - wanted_s))
                near = abs(nearest.time_s - wanted_s) <= lag_s / 2 + _EDGE_S
                if near and nearest.time_s != time_s:
                    asked[nearest.time_s] = nearest
        return [asked[key] for key in sorted(asked)]

    def _remember(self, time_s: float, candidates: Detections) -> _Remembered:
        """The frame as memory holds it, with the velocities that earlier frames show."""
        here = _geometry(time_s, candidates)
        before = [one for one in self._memory if time_s - one.time_s >= _BASELINE_S - _EDGE_S]
        before = before[-1:] or list(self._memory)[-1:]
        if not before or time_s - before[0].time_s > self._settings.window_s:
            return here
        weights = _fit(here, before[0], self._settings)
        mass = weights.sum(axis=1, keepdims=True)
        there = (weights[:, :, None] * before[0].centres[None]).sum(axis=1)
        return replace(here, velocities=(mass * here.centres - there) / (time_s - before[0].time_s))


def _probability(logits: FloatArray) -> FloatArray:
    return 1 / (1 + np.exp(-logits))


def _logit(scores: FloatArray) -> FloatArray:
    inside = np.clip(scores.astype(np.float64), _LEAST, 1 - _LEAST)
    return np.log(inside / (1 - inside))


def _geometry(time_s: float, found: Detections) -> _Remembered:
    boxes = found.boxes_xyxy.astype(np.float64)
    sides = np.maximum(boxes[:, 2:] - boxes[:, :2], 1.0)
    return _Remembered(
        time_s,
        (boxes[:, :2] + boxes[:, 2:]) / 2,
        np.log(sides),
        np.sqrt(sides[:, 0] * sides[:, 1]),
        _logit(found.scores),
        found.labels,
        np.zeros((len(boxes), 2)),
    )


def _fit(here: _Remembered, there: _Remembered, settings: LinkSettings) -> FloatArray:
    """(N, M): how much each candidate there counts for each one here; rows add up to below 1."""
    lag_s = abs(here.time_s - there.time_s)
    off = (here.centres[:, None] - there.centres_at(here.time_s)[None]) / there.sizes[None, :, None]
    grown = here.log_sides[:, None] - there.log_sides[None]
    off /= settings.place + settings.place_per_s * lag_s
    grown /= settings.size + settings.size_per_s * lag_s
    weights = np.exp(-0.5 * ((off**2).sum(axis=2) + (grown**2).sum(axis=2)))
    weights *= here.labels[:, None] == there.labels[None]
    best = weights.max(axis=0, keepdims=True, initial=0)
    share = np.divide(weights, best, out=np.zeros_like(weights), where=best > 0)
    total = weights.sum(axis=1, keepdims=True) + settings.no_link
    return weights * share**settings.rivalry / total
