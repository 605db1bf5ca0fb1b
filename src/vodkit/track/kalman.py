"""One constant-velocity Kalman filter for boxes, over all tracks at once, in seconds.

Each of centre x, centre y, width and height has its own filter of position and velocity, because
the noise of every published box tracker is diagonal: the big matrices fall apart into 2 x 2
blocks, which have closed forms and need no inversion. All noise is in units of the object's own
size, so that a picture twice as large gives the same tracks.

Legend: N tracks. ``mean`` (N, 8) is cx, cy, w, h in px and their velocities in px/s;
``cov`` (N, 3, 4) holds var(position), cov(position, velocity), var(velocity) of each of the four.
After Kalman 1960; the form for boxes follows SORT (Bewley et al. 2016, arXiv 1602.00763).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from vodkit.ground.arrays import BoolArray, FloatArray, IntArray
from vodkit.ground.errors import SettingsError

SMALLEST_PX = 1e-3
"""boxes of no extent still get noise of this size, so that nothing is divided by 0"""
# Boxes as rows, times one of these: x1, y1, x2, y2 to cx, cy, w, h, and back.
TO_CENTRE = np.array([[0.5, 0, -1, 0], [0, 0.5, 0, -1], [0.5, 0, 1, 0], [0, 0.5, 0, 1]])
TO_CORNERS = np.array([[1.0, 0, 1, 0], [0, 1, 0, 1], [-0.5, 0, 0.5, 0], [0, -0.5, 0, 0.5]])


@dataclass(frozen=True, kw_only=True)
class Motion:
    """How objects move and how exactly detectors see them; "sizes" are sqrt(width * height)."""

    acceleration: float = 1.0
    """unforeseen change of the centre's velocity, in sizes/s per sqrt(s)"""
    wander: float = 0.05
    """unforeseen change of the centre's position (gait, shaking camera), in sizes per sqrt(s)"""
    size_acceleration: float = 0.3
    """the same for width and height"""
    centre_noise: float = 0.06
    """standard deviation of a detection's centre, in sizes"""
    size_noise: float = 0.1
    """standard deviation of a detection's width and height, in sizes"""
    start_speed: float = 1.0
    """standard deviation of the unknown velocity of a new track, in sizes/s"""
    centre_memory_s: float = 4.0
    """an unseen object's velocity fades with this time constant"""
    size_memory_s: float = 0.5
    """the same for the growth of width and height, which is known less well"""

    def __post_init__(self) -> None:
        """All must be above 0."""
        for name in self.__dataclass_fields__:
            if not getattr(self, name) > 0:
                raise SettingsError(f"motion.{name} is {getattr(self, name)}; allowed: above 0")


def areas_px(mean: FloatArray) -> FloatArray:
    """The area (N, 1) of each track in square px, never 0."""
    size = np.maximum(mean[:, 2:4], SMALLEST_PX)
    return np.asarray(size[:, :1] * size[:, 1:])


def start(boxes_xyxy: FloatArray, motion: Motion) -> tuple[FloatArray, FloatArray]:
    """Filters (mean, cov) that know one box each (N, 4) and nothing of its velocity."""
    mean = np.zeros((len(boxes_xyxy), 8))
    mean[:, :4] = boxes_xyxy @ TO_CENTRE
    area = areas_px(mean)
    cov = np.zeros((len(boxes_xyxy), 3, 4))
    cov[:, 0] = area * _arrays(motion).seen
    growth = motion.start_speed * 0.3
    cov[:, 2] = area * np.array([motion.start_speed, motion.start_speed, growth, growth]) ** 2
    return mean, cov


def predict(
    mean: FloatArray, cov: FloatArray, dt_s: float, motion: Motion
) -> tuple[FloatArray, FloatArray]:
    """The filters ``dt_s`` seconds later, with nothing observed in between."""
    step = _stride(motion, dt_s)
    later = mean @ step.move
    np.maximum(later[:, 2:4], 0, out=later[:, 2:4])
    wider = cov.reshape(-1, 12) @ step.spread
    wider += areas_px(mean) * step.unrest
    return later, wider.reshape(-1, 3, 4)


def update(
    mean: FloatArray,
    cov: FloatArray,
    boxes_xyxy: FloatArray,
    motion: Motion,
    *,
    steady: FloatArray | None = None,
    silent: BoolArray | None = None,
) -> tuple[FloatArray, FloatArray]:
    """The filters after seeing one box (N, 4) each.

    ``steady`` (N,): the share, 0 to 1, of what a box says of velocities that is believed. Edges of
    a box that something covers move with the cover. ``silent`` (N, 2): whether it says nothing
    along x and y, so that place and extent stay what was foretold.
    """
    surprise = boxes_xyxy @ TO_CENTRE - mean[:, :4]
    seen = cov[:, 0] + areas_px(mean) * _arrays(motion).seen
    gain = cov[:, :2] / seen[:, None]  # (N, 2, 4): of position and velocity
    if steady is not None:
        gain[:, 1] *= steady[:, None]
    if silent is not None:
        gain *= ~np.tile(silent, 2)[:, None]
    after = mean + (gain * surprise[:, None]).reshape(-1, 8)
    np.maximum(after[:, 2:4], 0, out=after[:, 2:4])
    narrower = np.empty_like(cov)
    np.multiply(cov[:, :2], 1 - gain[:, :1], out=narrower[:, :2])
    np.subtract(cov[:, 2], gain[:, 1] * cov[:, 1], out=narrower[:, 2])
    return after, narrower


def reupdate(
    mean: FloatArray,
    cov: FloatArray,
    boxes_xyxy: FloatArray,
    motion: Motion,
    *,
    gap_s: FloatArray,
    missed: IntArray,
) -> tuple[FloatArray, FloatArray]:
    """Filters as of their last observation, walked to a new one along a straight line.

    Errors that piled up while nothing was seen are thrown away: the filter is fed with virtual
    boxes, evenly between the last and the new one, one for each of the ``missed`` (N,) steps of
    the ``gap_s`` (N,) seconds, then the new one. This is the observation-centric re-update of
    OC-SORT (Cao et al. 2023, arXiv 2203.14360, section 4.1).
    """
    old, new = boxes_of(mean), boxes_xyxy
    mean, cov = mean.copy(), cov.copy()
    for step in range(1, int(missed.max(initial=0)) + 2):
        rows = np.flatnonzero(missed + 1 >= step)
        share = (step / (missed[rows] + 1))[:, None]
        virtual = old[rows] * (1 - share) + new[rows] * share
        for dt_s in np.unique(gap_s[rows] / (missed[rows] + 1)):
            same = gap_s[rows] / (missed[rows] + 1) == dt_s
            at = rows[same]
            moved = predict(mean[at], cov[at], float(dt_s), motion)
            mean[at], cov[at] = update(*moved, virtual[same], motion)
    return mean, cov


def boxes_of(mean: FloatArray) -> FloatArray:
    """The boxes (N, 4) as x1, y1, x2, y2 that the filters believe in."""
    return np.asarray(mean[:, :4] @ TO_CORNERS)


def sigma_px(cov: FloatArray) -> FloatArray:
    """Standard deviation (N,) of the centre: the root mean square over x and y."""
    return np.sqrt((cov[:, 0, 0] + cov[:, 0, 1]) / 2)


class _Arrays(NamedTuple):
    """A Motion as arrays (4,) over centre x, centre y, width and height."""

    memory_s: FloatArray
    acceleration: FloatArray
    """spectral density, in sizes^2/s^3"""
    wander: FloatArray
    """variance a second, in sizes^2"""
    seen: FloatArray
    """variance of a detection, in sizes^2"""


@lru_cache(maxsize=64)
def _arrays(motion: Motion) -> _Arrays:
    centre_and_size = (
        (motion.centre_memory_s, motion.size_memory_s),
        (motion.acceleration**2, motion.size_acceleration**2),
        (motion.wander**2, (motion.wander / 2) ** 2),
        (motion.centre_noise**2, motion.size_noise**2),
    )
    return _Arrays(*(np.repeat(pair, 2) for pair in centre_and_size))


class _Stride(NamedTuple):
    """What a step in time does to a filter, as matrices: one product moves all tracks at once."""

    move: FloatArray
    """(8, 8) of the mean"""
    spread: FloatArray
    """(12, 12) of the covariance"""
    unrest: FloatArray
    """(12,) what the unforeseen adds to the covariance, in sizes^2"""


@lru_cache(maxsize=256)  # times of frames are rounded: a few steps that are nearly alike come anew
def _stride(motion: Motion, dt_s: float) -> _Stride:
    known = _arrays(motion)
    fade = np.exp(-dt_s / known.memory_s)
    reach = known.memory_s * (1 - fade)  # the way at unit velocity; dt_s where nothing fades
    one, none = np.ones(4), np.zeros(4)
    q = known.acceleration
    unrest = (q * (dt_s**3 / 3) + known.wander * dt_s, q * (dt_s**2 / 2), q * dt_s)
    return _Stride(
        _blocks([[one, none], [reach, fade]]),
        _blocks([[one, none, none], [2 * reach, fade, none], [reach**2, fade * reach, fade**2]]),
        np.concatenate(unrest),
    )


def _blocks(diagonals: Sequence[Sequence[FloatArray]]) -> FloatArray:
    """A matrix of diagonal blocks, each given by its diagonal."""
    return np.block([[np.diag(one) for one in row] for row in diagonals])
