"""All tracking metrics of many videos and classes, with both ways of averaging over classes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import TypeVar

import numpy as np

from vodkit.metrics.clips import Clip
from vodkit.metrics.counts import Counts
from vodkit.metrics.ratio import mean
from vodkit.metrics.tracking.clear import ClearCounts, ClearScores, clear_counts, clear_scores
from vodkit.metrics.tracking.hota import HotaCounts, HotaScores, hota_counts, hota_scores
from vodkit.metrics.tracking.identity import (
    IdentityCounts,
    IdentityScores,
    identity_counts,
    identity_scores,
)
from vodkit.metrics.tracking.preprocess import drop_ignored
from vodkit.metrics.tracking.sequence import Sequence2D, pair_up

S = TypeVar("S")


@dataclass(frozen=True, kw_only=True)
class TrackCounts(Counts):
    """Everything about tracking that adds up over videos, and over classes."""

    clear: ClearCounts
    identity: IdentityCounts
    hota: HotaCounts

    @classmethod
    def zero(cls) -> "TrackCounts":
        """Nothing counted yet."""
        return cls(clear=ClearCounts(), identity=IdentityCounts(), hota=HotaCounts.zero())


@dataclass(frozen=True, kw_only=True)
class TrackScores:
    """The ratios of one video, of all, of one class, or averaged over classes."""

    hota: HotaScores
    clear: ClearScores
    identity: IdentityScores
    counts: TrackCounts | None = None


@dataclass(frozen=True, kw_only=True)
class TrackResult:
    """Tracking metrics over videos and classes."""

    overall: TrackScores
    """detection-averaged: counts summed over classes, then the ratios"""
    class_averaged: TrackScores
    """the mean of the classes' ratios (classes without truth are left out)"""
    per_class: Mapping[str, TrackScores]
    per_video: Mapping[str, TrackScores]


def count(sequence: Sequence2D) -> TrackCounts:
    """All tracking counts of one video (of one class)."""
    return TrackCounts(
        clear=clear_counts(sequence),
        identity=identity_counts(sequence),
        hota=hota_counts(sequence),
    )


def score(counts: TrackCounts) -> TrackScores:
    """All ratios of some counts."""
    return TrackScores(
        hota=hota_scores(counts.hota),
        clear=clear_scores(counts.clear),
        identity=identity_scores(counts.identity),
        counts=counts,
    )


def count_clip(clip: Clip, num_classes: int) -> tuple[TrackCounts, ...]:
    """The counts of one video for each class; predictions in ignore regions do not count."""
    clean = drop_ignored(clip)
    there = {*clean.truth.labels.tolist(), *clean.found.labels.tolist()}
    return tuple(
        _of_class(clean, label) if label in there else _nothing(clean)
        for label in range(num_classes)
    )


def _of_class(clip: Clip, label: int) -> TrackCounts:
    """Counts over the frames with a box of the class: in the others nothing can be counted."""
    one = clip.of_class(label)
    counts = count(pair_up(one.truth, one.found, np.union1d(one.truth.frames, one.found.frames)))
    return replace(counts, clear=replace(counts.clear, num_frames=len(clip.frames)))


def _nothing(clip: Clip) -> TrackCounts:
    return replace(TrackCounts.zero(), clear=ClearCounts(num_frames=len(clip.frames)))


def combine(counted: Mapping[str, Sequence[TrackCounts]], classes: tuple[str, ...]) -> TrackResult:
    """The result of videos (by name) that were counted with :func:`count_clip`."""
    per_class = {
        name: score(_total([counts[k] for counts in counted.values()]))
        for k, name in enumerate(classes)
    }
    return TrackResult(
        overall=score(_total([_of_video(counts) for counts in counted.values()])),
        class_averaged=_class_average(list(per_class.values())),
        per_class=per_class,
        per_video={name: score(_of_video(counts)) for name, counts in counted.items()},
    )


def _of_video(counts: Sequence[TrackCounts]) -> TrackCounts:
    """The counts of all classes in one video, whose frames count once, not once a class."""
    total = _total(counts)
    num_frames = max((one.clear.num_frames for one in counts), default=0)
    return replace(total, clear=replace(total.clear, num_frames=num_frames))


def _total(counts: Sequence[TrackCounts]) -> TrackCounts:
    return sum(counts, TrackCounts.zero())


def _class_average(scores: Sequence[TrackScores]) -> TrackScores:
    return TrackScores(
        hota=_average(HotaScores, [one.hota for one in scores]),
        clear=_average(ClearScores, [one.clear for one in scores]),
        identity=_average(IdentityScores, [one.identity for one in scores]),
    )


def _average(kind: type[S], scores: Sequence[S]) -> S:
    """Field by field the mean over the classes where it is defined."""
    means: dict[str, object] = {}
    for spec in fields(kind):  # type: ignore[arg-type]
        values = [getattr(one, spec.name) for one in scores]
        if isinstance(values[0] if values else None, tuple):
            known = [value for value in values if value]
            means[spec.name] = tuple(np.mean(known, axis=0).tolist()) if known else ()
        else:
            means[spec.name] = mean(values)
    return kind(**means)
