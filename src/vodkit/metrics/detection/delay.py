"""How long until a new object is found: average delay (Mao et al. 2019, arXiv 1908.06368).

For allowed numbers of false alarms per truth box (0.1 to 3.2) the score threshold is set where
they are first exceeded; the delay of a truth track is the time from its first frame to the first
detection of its class that overlaps it most, IoU > 0.5; never found: to its last frame. Delays
are clipped at 30 frames, averaged over tracks, and the harmonic mean over the six is taken.

One fault of the authors' programme is mended: it leaves out the last frame.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from vodkit.ground.arrays import BoolArray, FloatArray, IntArray
from vodkit.ground.records import NO_ID, TrackTable
from vodkit.metrics.clips import Clip
from vodkit.metrics.detection.columns import from_tables
from vodkit.metrics.detection.match import best_partner, inclusive_iou
from vodkit.metrics.detection.overlap import overlapping
from vodkit.metrics.detection.voc import voc_verdicts

BETAS = (0.1, 0.2, 0.4, 0.8, 1.6, 3.2)
CLIP_FRAMES = 30


@dataclass(frozen=True, kw_only=True)
class DelayResult:
    """Average delay in frames; None without truth tracks."""

    average_delay: float | None
    """frames; harmonic mean over the six operating points, 0 is best"""
    by_beta: Mapping[str, float | None]
    """mean clipped delay in frames, by allowed false alarms per truth box"""
    thresholds: Mapping[str, float]
    """the score threshold of each operating point"""
    seconds_at_min_score: float | None
    """mean time in seconds until a track is first found, at ``min_score``, not clipped"""
    never_found: int
    """tracks that are never found at ``min_score``"""
    num_tracks: int
    min_score: float


@dataclass(frozen=True, eq=False, kw_only=True)
class _Hits:
    """The truth tracks of one video, and the detections that overlap them most."""

    first: IntArray
    """(tracks,) first frame"""
    last: IntArray
    track: IntArray
    """(hits,) place of the track"""
    frame: IntArray
    score: FloatArray


def evaluate_delay(
    clips: Sequence[Clip], num_classes: int, *, min_score: float = 0.5
) -> DelayResult:
    """Average delay over all videos; boxes without a track id in the truth have no delay."""
    hits = [_hits(clip) for clip in clips]
    thresholds = operating_points(clips, num_classes)
    by_beta = {beta: _mean_clipped(hits, score) for beta, score in thresholds.items()}
    known = [value for value in by_beta.values() if value is not None]
    delays = [_delays(one, min_score) for one in hits]
    seconds = [
        clip.times_s(one.first + frames) - clip.times_s(one.first)
        for clip, one, (frames, _) in zip(clips, hits, delays, strict=True)
    ]
    every = np.concatenate([*seconds, np.empty(0)])
    return DelayResult(
        average_delay=1 / float(np.mean(1 / (np.array(known) + 1))) - 1 if known else None,
        by_beta=by_beta,
        thresholds=thresholds,
        seconds_at_min_score=float(every.mean()) if len(every) else None,
        never_found=sum(int(never.sum()) for _, never in delays),
        num_tracks=len(every),
        min_score=min_score,
    )


def operating_points(clips: Sequence[Clip], num_classes: int) -> dict[str, float]:
    """Score thresholds where false alarms per truth box first exceed 0.1, 0.2, ..., 3.2.

    False alarms are counted as Pascal VOC does, classes pooled; 0 where they never exceed it.
    """
    frames = [clip.frames for clip in clips]
    truth = from_tables([TrackTable.concat([clip.truth, clip.regions]) for clip in clips], frames)
    found = from_tables([clip.found for clip in clips], frames)
    wrong = voc_verdicts(truth, found, num_classes=num_classes)[1]
    order = np.argsort(-found.scores, kind="stable")
    rate = np.cumsum(wrong[order]) / max(1, int((~truth.ignore).sum()))
    scores = np.append(found.scores[order], 0.0)
    return {f"{beta:g}": float(scores[np.searchsorted(rate, beta, side="right")]) for beta in BETAS}


def _hits(clip: Clip) -> _Hits:
    tracked = clip.truth[clip.truth.ids != NO_ID]
    place = np.unique(tracked.ids, return_inverse=True)[1]
    first = np.full(place.max(initial=-1) + 1, np.iinfo(np.int64).max)
    last = np.zeros(len(first), np.int64)
    np.minimum.at(first, place, tracked.frames)
    np.maximum.at(last, place, tracked.frames)
    num_labels = 1 + max((int(t.labels.max()) for t in (tracked, clip.found) if len(t)), default=0)
    keys = tracked.frames * num_labels + tracked.labels
    found_keys = clip.found.frames * num_labels + clip.found.labels
    rows, columns = overlapping(found_keys, clip.found.boxes_xyxy, keys, tracked.boxes_xyxy)
    overlap = inclusive_iou(clip.found.boxes_xyxy[rows], tracked.boxes_xyxy[columns], extra_px=0.0)
    partner, value = best_partner(rows, columns, overlap, len(clip.found))
    near = value > 0.5
    return _Hits(
        first=first,
        last=last,
        track=place[partner[near]],
        frame=clip.found.frames[near],
        score=clip.found.scores[near],
    )


def _delays(hits: _Hits, min_score: float) -> tuple[FloatArray, BoolArray]:
    """Frames until each track is first found, and which tracks never are."""
    never_yet = np.iinfo(np.int64).max
    found = np.full(len(hits.first), never_yet)
    strong = hits.score >= min_score
    np.minimum.at(found, hits.track[strong], hits.frame[strong])
    never = found == never_yet
    return np.where(never, hits.last, found) - hits.first, never


def _mean_clipped(hits: Sequence[_Hits], min_score: float) -> float | None:
    delays = np.concatenate([*(_delays(one, min_score)[0] for one in hits), np.empty(0)])
    return float(np.minimum(delays, CLIP_FRAMES).mean()) if len(delays) else None
