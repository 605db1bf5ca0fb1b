"""What single frames cannot show of a detector: flicker, false alarms a minute, lag.

``flicker``: of the (object, frame) pairs of the truth where the object was found before and after,
at most ``GAP_S`` seconds apart, the share in which it is missed.

``false_alarms_per_min``: wrong detections a minute of evaluated video at the score threshold where
a recall is first reached; matched as Pascal VOC does, classes pooled.

``lag_s``: by how many seconds boxes trail behind moving objects: the least-squares solution of
error = -lag x velocity over matched boxes, so that fast objects decide. Boxes ahead have a lag
below 0.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from vodkit.ground.arrays import BoolArray, FloatArray, IntArray
from vodkit.ground.boxes import to_cxcywh
from vodkit.ground.records import NO_ID, TrackTable
from vodkit.metrics.clips import Clip
from vodkit.metrics.counts import Counts
from vodkit.metrics.detection.columns import from_tables
from vodkit.metrics.detection.frames import FrameMatches
from vodkit.metrics.detection.match import UNMATCHED
from vodkit.metrics.detection.voc import voc_verdicts
from vodkit.metrics.ratio import ratio

GAP_S = 0.5
"""seconds between the frames around a missed one in which the object was found; what is missed for
longer is lost, and does not flicker"""
RECALLS = (0.5, 0.8, 0.9)


@dataclass(frozen=True, kw_only=True)
class FlickerCounts(Counts):
    """What adds up over videos."""

    num_enclosed: int = 0
    """(object, frame) pairs with the object found before and after"""
    num_missed: int = 0
    """those of them in which it is missed"""
    along_sum: float = 0.0
    """sum of error x velocity of matched boxes, px^2/s"""
    speed_sum: float = 0.0
    """sum of squared velocities, px^2/s^2"""


@dataclass(frozen=True, kw_only=True)
class FlickerScores:
    """Flicker, false alarms and lag; None where nothing allows to measure."""

    flicker: float | None
    """0 is best"""
    num_enclosed: int
    lag_s: float | None
    """seconds; 0 is best, above 0: boxes trail behind"""
    false_alarms_per_min: dict[str, float | None] = field(default_factory=dict)
    """by recall; None where the recall is never reached"""


def flicker_counts(matches: FrameMatches) -> FlickerCounts:
    """The sums over the truth tracks of one matched video."""
    truth = matches.clip.truth
    tracked = np.flatnonzero(truth.ids != NO_ID)
    order = tracked[np.argsort(truth.ids[tracked], kind="stable")]
    starts = np.flatnonzero(np.diff(truth.ids[order], prepend=NO_ID))
    total = FlickerCounts()
    for rows in np.split(order, starts)[1:]:
        hit = matches.found_of_truth[rows] != UNMATCHED
        enclosed = _enclosed(truth.times_s[rows], hit)
        along, speed = _along(truth, matches.clip.found, rows, matches.found_of_truth[rows])
        total = total + FlickerCounts(
            num_enclosed=int(enclosed.sum()),
            num_missed=int((enclosed & ~hit).sum()),
            along_sum=along,
            speed_sum=speed,
        )
    return total


def _enclosed(times_s: FloatArray, hit: BoolArray) -> BoolArray:
    """(N,) of a track's frames: found in an earlier and a later one, near to each other."""
    places = np.arange(len(times_s))
    before = np.maximum.accumulate(np.where(hit, places, -1))
    before = np.concatenate([[-1], before[:-1]])
    after = np.minimum.accumulate(np.where(hit, places, len(hit))[::-1])[::-1]
    after = np.concatenate([after[1:], [len(hit)]])
    known = (before >= 0) & (after < len(hit))
    apart_s = times_s[np.minimum(after, len(hit) - 1)] - times_s[np.maximum(before, 0)]
    return known & (apart_s <= GAP_S + 1e-6)


def _along(
    truth: TrackTable, found: TrackTable, rows: IntArray, partners: IntArray
) -> tuple[float, float]:
    """Sums of error x velocity and of velocity squared over a track's matched, moving frames."""
    if len(rows) < 3:
        return 0.0, 0.0
    centres, times_s = to_cxcywh(truth.boxes_xyxy[rows])[:, :2], truth.times_s[rows]
    span_s = times_s[2:] - times_s[:-2]
    velocity = (centres[2:] - centres[:-2]) / np.maximum(span_s, 1e-9)[:, None]
    middle = partners[1:-1]
    use = (middle != UNMATCHED) & (span_s > 0) & (span_s <= 2 * GAP_S)
    error = to_cxcywh(found.boxes_xyxy[middle[use]])[:, :2] - centres[1:-1][use]
    velocity = velocity[use]
    return float((error * velocity).sum()), float((velocity**2).sum())


def evaluate_flicker(
    matched: Sequence[FrameMatches], clips: Sequence[Clip], num_classes: int
) -> FlickerScores:
    """Flicker and lag of matched videos, false alarms of the same videos at every score.

    Args:
        matched: the videos, matched at the score threshold of interest.
        clips: the same videos with all predictions.
        num_classes: number of classes.

    Returns:
        The scores over all videos.
    """
    counts = sum(map(flicker_counts, matched), FlickerCounts())
    lag_s = ratio(counts.along_sum, counts.speed_sum)
    return FlickerScores(
        flicker=ratio(counts.num_missed, counts.num_enclosed),
        num_enclosed=counts.num_enclosed,
        lag_s=None if lag_s is None else -lag_s,
        false_alarms_per_min=false_alarms_per_min(clips, num_classes),
    )


def false_alarms_per_min(clips: Sequence[Clip], num_classes: int) -> dict[str, float | None]:
    """Wrong detections a minute where each of ``RECALLS`` is first reached, by recall."""
    frames = [clip.frames for clip in clips]
    truth = from_tables([TrackTable.concat([clip.truth, clip.regions]) for clip in clips], frames)
    found = from_tables([clip.found for clip in clips], frames)
    right, wrong = voc_verdicts(truth, found, num_classes=num_classes)
    minutes = float(sum(len(clip.frames) / clip.rate for clip in clips)) / 60
    num_truth = int((~truth.ignore).sum())
    order = np.argsort(-found.scores, kind="stable")
    recall = np.cumsum(right[order]) / max(num_truth, 1)
    alarms = np.cumsum(wrong[order])
    result: dict[str, float | None] = {}
    for wanted in RECALLS:
        place = int(np.searchsorted(recall, wanted))
        reached = num_truth > 0 and place < len(recall)
        result[f"{wanted:g}"] = ratio(float(alarms[place]), minutes) if reached else None
    return result
