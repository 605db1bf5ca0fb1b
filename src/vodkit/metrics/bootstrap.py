"""How far off a number may be: 95 % intervals from a bootstrap over videos.

Frames of one video are alike, so videos are what is drawn. Where there are few, each is cut into
blocks of consecutive frames, which are drawn instead; the interval then says what the same videos
at other times would give, not what other videos would. Intervals are percentiles, widened for
small numbers of units (Hesterberg 2015, "expanded percentile"): plain ones are too narrow.

The draws depend only on the seed and the number of units. Two runs on the same data therefore
draw the same units, and the difference of their replicates is a paired bootstrap.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import ndtr
from scipy.stats import t as student

from vodkit.ground.arrays import FloatArray, IntArray
from vodkit.ground.settings import bounded, check_ranges
from vodkit.metrics.clips import Clip
from vodkit.metrics.detection.coco_engine import RECALLS
from vodkit.metrics.detection.match import Verdicts

WORK = 3e7
"""boxes times resamples of AP; with more boxes there are fewer resamples, but 200 at least"""
CHUNK = 3e5
"""numbers handled at once, few enough to stay in the processor's cache"""


@dataclass(frozen=True, kw_only=True)
class BootstrapSettings:
    """How intervals are made."""

    resamples: int = bounded(1000, low=0)
    """0: no intervals"""
    confidence: float = bounded(0.95, above=0, below=1)
    seed: int = 0
    min_videos: int = bounded(10, low=1)
    """with fewer videos blocks of frames are drawn"""
    min_blocks: int = bounded(20, low=1)
    """blocks to cut few videos into, all together"""
    min_block_frames: int = bounded(10, low=1)

    def __post_init__(self) -> None:
        """Check ranges."""
        check_ranges(self)


@dataclass(frozen=True, eq=False, kw_only=True)
class Units:
    """What is drawn: whole videos, or blocks of frames."""

    kind: str
    """``video`` or ``block``"""
    clips: tuple[Clip, ...]
    """one a unit"""
    of_image: IntArray
    """(pictures,): the unit of each evaluated frame, frames numbered over all videos"""


@dataclass(frozen=True, kw_only=True)
class Interval:
    """Where a number would lie, with the confidence asked for."""

    low: float
    high: float


def make_units(clips: Sequence[Clip], settings: BootstrapSettings) -> Units:
    """Videos if there are enough, else blocks of consecutive labelled frames."""
    if len(clips) >= settings.min_videos:
        blocks = [[clip.frames] for clip in clips]
    else:
        wanted = -(-settings.min_blocks // max(1, len(clips)))
        blocks = [_blocks(clip.frames, wanted, settings.min_block_frames) for clip in clips]
    pieces = [
        clip if len(parts) == 1 else clip.of_frames(part)
        for clip, parts in zip(clips, blocks, strict=True)
        for part in parts
    ]
    lengths = [len(piece.frames) for piece in pieces]
    return Units(
        kind="video" if len(pieces) == len(clips) else "block",
        clips=tuple(pieces),
        of_image=np.repeat(np.arange(len(pieces)), lengths),
    )


def _blocks(frames: IntArray, wanted: int, min_frames: int) -> list[IntArray]:
    return np.array_split(frames, max(1, min(wanted, len(frames) // min_frames)))


def draw(num_units: int, settings: BootstrapSettings) -> IntArray:
    """(B, U): how often each unit is in each resample."""
    generator = np.random.default_rng([settings.seed, num_units])
    shares = np.full(num_units, 1 / max(1, num_units))
    return generator.multinomial(num_units, shares, size=settings.resamples)


def interval(
    value: float | None,
    replicates: FloatArray,
    *,
    num_units: int,
    confidence: float = 0.95,
    recentre: bool = False,
    limits: tuple[float, float] = (-np.inf, np.inf),
) -> Interval | None:
    """The expanded percentile interval; None where it cannot be known.

    ``recentre`` moves it so that the replicates' mean falls on ``value``: counts made in blocks
    do not add up to the whole (tracks are cut), their spread is what is wanted. It is cut at
    ``limits``, which the number cannot leave.
    """
    known = replicates[np.isfinite(replicates)]
    if value is None or num_units < 2 or len(known) < max(2, len(replicates) // 2):
        return None
    shift = value - float(known.mean()) if recentre else 0.0
    tail = expanded_tail(num_units, confidence)
    low, high = np.clip(np.quantile(known, [tail, 1 - tail]) + shift, *limits)
    return Interval(low=min(float(low), value), high=max(float(high), value))


def expanded_tail(num_units: int, confidence: float) -> float:
    """The share cut off at each end, smaller for few units.

    >>> round(expanded_tail(10_000, 0.95), 3), round(expanded_tail(10, 0.95), 3)
    (0.025, 0.009)
    """
    widening = np.sqrt(num_units / (num_units - 1))
    return float(ndtr(widening * student.ppf((1 - confidence) / 2, num_units - 1)))


def replicate_sums(
    draws: IntArray, counts: FloatArray, finish: Callable[[FloatArray], FloatArray]
) -> FloatArray:
    """(B,) a number whose counts (U, m) add up; ``finish`` makes (B,) ratios from (B, m) sums."""
    with np.errstate(invalid="ignore", divide="ignore"):
        return finish(draws @ counts)


def replicate_ap(
    verdicts: Verdicts, units: Units, draws: IntArray, *, num_classes: int
) -> FloatArray:
    """(T, B): COCO AP at each IoU threshold in each resample, mean over classes with truth.

    Matching within a picture does not depend on which pictures are drawn, so only the weights of
    the detections change.
    """
    truth, found = verdicts.truth, verdicts.found
    shape = (num_classes, len(verdicts.thresholds), len(draws))
    per_class = np.full(shape, np.nan)
    wanted = ~truth.ignore
    for k in range(num_classes):
        there = truth.images[wanted & (truth.labels == k)]
        num = draws @ np.bincount(units.of_image[there], minlength=len(units.clips))
        rows = np.flatnonzero((found.labels == k) & verdicts.kept)
        rows = rows[np.argsort(-found.scores[rows], kind="stable")]
        step = max(1, int(CHUNK / max(1, len(rows))))
        for start in range(0, len(draws), step):
            part = slice(start, start + step)
            weights = draws[part][:, units.of_image[found.images[rows]]]
            per_class[k, :, part] = _weighted_ap(verdicts, rows, weights, num[part])
    defined = np.isfinite(per_class)
    total = np.where(defined, per_class, 0.0).sum(axis=0)
    with np.errstate(invalid="ignore"):
        return total / defined.sum(axis=0)


def _weighted_ap(
    verdicts: Verdicts, rows: IntArray, weights: IntArray, num_truth: IntArray
) -> FloatArray:
    """AP of one class (T, B); precision peaks at true positives, so only those are looked at."""
    found = np.empty((len(verdicts.thresholds), len(weights)))
    safe = np.maximum(num_truth, 1)[:, None]
    offsets = 2.0 * np.arange(len(weights))[:, None]
    for k in range(len(verdicts.thresholds)):
        ignored = verdicts.ignored[k][rows]
        right = np.flatnonzero((verdicts.matches[k][rows] >= 0) & ~ignored)
        if k == 0 or ignored.any():
            counted = np.cumsum(weights * ~ignored, axis=1)
        tp = np.cumsum(weights[:, right], axis=1)
        precision = tp / np.maximum(counted[:, right], 1)
        best = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]
        padded = np.concatenate([best, np.zeros((len(weights), 1))], axis=1)
        keys = (tp / safe + offsets).ravel()
        place = np.searchsorted(keys, (RECALLS[None, :] + offsets).ravel()).reshape(
            len(weights), -1
        )
        place = np.minimum(place - np.arange(len(weights))[:, None] * len(right), len(right))
        found[k] = np.take_along_axis(padded, place, axis=1).mean(axis=1)
    found[:, num_truth == 0] = np.nan
    return found


def affordable(settings: BootstrapSettings, num_found: int) -> int:
    """Resamples for AP that do not take too long for ``num_found`` boxes; at least 200."""
    return min(settings.resamples, max(200, int(WORK / max(1, num_found))))
