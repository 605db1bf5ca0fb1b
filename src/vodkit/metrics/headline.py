"""The numbers that stand in the first table, each with its interval and its definition."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, replace

import numpy as np

from vodkit.ground.arrays import FloatArray, IntArray
from vodkit.metrics.bootstrap import (
    BootstrapSettings,
    Units,
    affordable,
    draw,
    interval,
    replicate_ap,
    replicate_sums,
)
from vodkit.metrics.detection.frame_accuracy import accuracy_by_frame, count_frames
from vodkit.metrics.detection.frames import FrameMatches
from vodkit.metrics.detection.match import Verdicts
from vodkit.metrics.detection.stability import stability_counts
from vodkit.metrics.tracking.hota import ALPHAS
from vodkit.metrics.tracking.occlusion import find_spells
from vodkit.metrics.tracking.summary import TrackCounts

REPLICATE_DIGITS = 6
OF_VIDEO = frozenset({"stability", "ap50_low_quality"})
"""numbers that still pictures do not have, besides those of tracks"""


@dataclass(frozen=True, kw_only=True)
class Headline:
    """One number of the first table."""

    name: str
    value: float | None
    low: float | None
    """lower end of the interval; None where it cannot be known"""
    high: float | None
    higher_is_better: bool
    protocol: str
    """what the number is, in one line"""


@dataclass(frozen=True)
class Definition:
    """A headline number's name for people, its direction, and what it is."""

    title: str
    protocol: str
    higher_is_better: bool = True
    percent: bool = True
    """shown in percent; otherwise as it is"""
    limits: tuple[float, float] = (0.0, 1.0)
    """what the number cannot leave"""


DEFINITIONS: dict[str, Definition] = {
    "ap": Definition("AP", "COCO AP, IoU 0.50:0.95, 101 recalls, 100 detections a frame and class"),
    "ap50": Definition("AP50", 'COCO AP at IoU 0.50 (VID protocol "coco")'),
    "ap50_low_quality": Definition(
        "AP50, low-quality frames",
        "COCO AP at IoU 0.50 on frames that are blurred beside those around them",
    ),
    "frame_accuracy": Definition(
        "frame accuracy", "mean over frames of TP/(TP+FP+FN), IoU 0.5, at the score threshold"
    ),
    "exact_frame_accuracy": Definition(
        "frames without error",
        "share of frames with no false alarm and no miss, at the score threshold",
    ),
    "hota": Definition(
        "HOTA", "HOTA, mean over alpha 0.05:0.95, counts summed over videos and classes"
    ),
    "det_a": Definition("DetA", "detection part of HOTA"),
    "ass_a": Definition("AssA", "association part of HOTA"),
    "mota": Definition(
        "MOTA", "CLEAR-MOT at IoU 0.5, counts summed over videos and classes", limits=(-np.inf, 1.0)
    ),
    "idf1": Definition("IDF1", "IDF1 at IoU 0.5, counts summed over videos and classes"),
    "identities_kept": Definition(
        "identities kept", "share of occlusions after which the object has the same id"
    ),
    "stability": Definition(
        "instability",
        "fragment + centre + scale-ratio error (Zhang & Wang 2016), at the threshold",
        higher_is_better=False,
        percent=False,
        limits=(0.0, np.inf),
    ),
}


@dataclass(frozen=True, kw_only=True)
class Replicates:
    """The bootstrap behind the intervals; ``compare`` pairs those of two runs."""

    unit: str
    """``video`` or ``block``"""
    num_units: int
    seed: int
    confidence: float
    values: Mapping[str, tuple[float | None, ...]]
    """number -> its value in each resample"""


@dataclass(frozen=True, eq=False, kw_only=True)
class Counted:
    """What was counted in each unit, from which replicates are made."""

    units: Units
    verdicts: Verdicts
    num_classes: int
    matched: Sequence[FrameMatches]
    hidden: Sequence[FrameMatches]
    """the same with boxes of every state, for the occlusion measures"""
    tracks: Sequence[TrackCounts] | None
    """summed over classes; None where there are no ids"""
    low_quality: Verdicts | None = None
    """of frames of low quality alone; None where they are unknown"""


def make_replicates(counted: Counted, settings: BootstrapSettings) -> Replicates:
    """Every headline number in every resample."""
    num_units = len(counted.units.clips)
    values: dict[str, FloatArray] = {}
    if settings.resamples and num_units >= 2:
        draws = draw(num_units, settings)
        cheaper = affordable(settings, len(counted.verdicts.found))
        by_iou = replicate_ap(
            counted.verdicts, counted.units, draws[:cheaper], num_classes=counted.num_classes
        )
        values = {"ap": by_iou.mean(axis=0), "ap50": by_iou[0]}
        if counted.low_quality is not None:
            few = replicate_ap(
                counted.low_quality, counted.units, draws[:cheaper], num_classes=counted.num_classes
            )
            values["ap50_low_quality"] = few[0]
        values |= _from_frames(counted.matched, draws)
        values |= _from_tracks(counted.tracks, draws)
        values |= _from_spells(counted, draws)
    return Replicates(
        unit=counted.units.kind,
        num_units=num_units,
        seed=settings.seed,
        confidence=settings.confidence,
        values={name: _rounded(one) for name, one in values.items()},
    )


def make_headline(
    values: Mapping[str, float | None], replicates: Replicates, *, stills: bool = False
) -> tuple[Headline, ...]:
    """The first table: numbers with what is known of their uncertainty."""
    rows = (_headline(name, value, replicates) for name, value in values.items())
    return tuple(replace(row, protocol=as_images(row.protocol)) if stills else row for row in rows)


def as_images(text: str) -> str:
    """A text about frames of video, for still pictures.

    >>> as_images("frames without error"), as_images("100 detections a frame")
    ('images without error', '100 detections an image')
    """
    return (
        text.replace("a frame", "an image")
        .replace("frame", "image")
        .replace(' (VID protocol "coco")', "")
    )


def title_of(name: str, *, stills: bool = False) -> str:
    """A headline number's name for people."""
    title = DEFINITIONS[name].title
    return as_images(title) if stills else title


def _headline(name: str, value: float | None, replicates: Replicates) -> Headline:
    drawn = np.array([np.nan if x is None else x for x in replicates.values.get(name, ())])
    definition = DEFINITIONS[name]
    found = interval(
        value,
        drawn,
        num_units=replicates.num_units,
        confidence=replicates.confidence,
        recentre=replicates.unit == "block",
        limits=definition.limits,
    )
    if found is not None and found.low == found.high:  # all draws alike: too few cases to say
        found = None
    return Headline(
        name=name,
        value=value,
        low=None if found is None else found.low,
        high=None if found is None else found.high,
        higher_is_better=definition.higher_is_better,
        protocol=definition.protocol,
    )


def _rounded(values: FloatArray) -> tuple[float | None, ...]:
    return tuple(round(x, REPLICATE_DIGITS) if np.isfinite(x) else None for x in values.tolist())


def _from_frames(matched: Sequence[FrameMatches], draws: IntArray) -> dict[str, FloatArray]:
    frames = [count_frames(one) for one in matched]
    rows = [
        (accuracy_by_frame(one).sum(), (one.fp + one.fn == 0).sum(), len(one)) for one in frames
    ]
    counts = np.array(rows, float)
    errors = [stability_counts(one) for one in matched]
    sums = np.array([[float(getattr(e, s.name)) for s in fields(e)] for e in errors])
    return {
        "frame_accuracy": replicate_sums(draws, counts, lambda s: s[:, 0] / s[:, 2]),
        "exact_frame_accuracy": replicate_sums(draws, counts, lambda s: s[:, 1] / s[:, 2]),
        "stability": replicate_sums(draws, sums, _stability),
    }


def _stability(sums: FloatArray) -> FloatArray:
    num_tracks, fragment, followed, centre, scale = sums.T
    return fragment / num_tracks + centre / followed + scale / followed


def _from_tracks(tracks: Sequence[TrackCounts] | None, draws: IntArray) -> dict[str, FloatArray]:
    if tracks is None:
        return {}
    hota = np.array(
        [np.stack([t.hota.tp, t.hota.fn, t.hota.fp, t.hota.ass_sum]).ravel() for t in tracks]
    )
    clear = np.array([(t.clear.tp, t.clear.fn, t.clear.fp, t.clear.idsw) for t in tracks], float)
    identity = np.array(
        [(t.identity.idtp, t.identity.idfn, t.identity.idfp) for t in tracks], float
    )
    parts: dict[str, tuple[FloatArray, Callable[[FloatArray], FloatArray]]] = {
        "hota": (hota, lambda s: _hota(s)[0]),
        "det_a": (hota, lambda s: _hota(s)[1]),
        "ass_a": (hota, lambda s: _hota(s)[2]),
        "mota": (clear, lambda s: (s[:, 0] - s[:, 2] - s[:, 3]) / (s[:, 0] + s[:, 1])),
        "idf1": (identity, lambda s: s[:, 0] / (s[:, 0] + 0.5 * s[:, 1] + 0.5 * s[:, 2])),
    }
    return {name: replicate_sums(draws, sums, finish) for name, (sums, finish) in parts.items()}


def _hota(sums: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
    tp, fn, fp, ass_sum = np.moveaxis(sums.reshape(len(sums), 4, len(ALPHAS)), 1, 0)
    det_a = tp / (tp + fn + fp)
    ass_a = ass_sum / np.maximum(1, tp)
    return np.sqrt(det_a * ass_a).mean(axis=1), det_a.mean(axis=1), ass_a.mean(axis=1)


def _from_spells(counted: Counted, draws: IntArray) -> dict[str, FloatArray]:
    if counted.tracks is None:
        return {}
    judged = [[s.kept for s in find_spells(one) if s.kept is not None] for one in counted.hidden]
    counts = np.array([(sum(kept), len(kept)) for kept in judged], float)
    return {"identities_kept": replicate_sums(draws, counts, lambda s: s[:, 0] / s[:, 1])}


def shown(name: str, value: float | None, *, sign: str = "") -> str:
    """A headline number as people read it: in percent where it is a share.

    >>> shown("ap50", 0.8126), shown("stability", 0.1), shown("hota", 0.02, sign="+")
    ('81.3', '0.100', '+2.0')
    """
    if value is None:
        return "undefined"
    scale, digits = (100, 1) if DEFINITIONS[name].percent else (1, 3)
    return f"{value * scale:{sign}.{digits}f}"


def shown_span(name: str, low: float | None, high: float | None, *, sign: str = "") -> str:
    """An interval as people read it; empty where it is not known.

    >>> shown_span("hota", 0.008, 0.035, sign="+")
    '+0.8 to +3.5'
    """
    if low is None or high is None:
        return ""
    return f"{shown(name, low, sign=sign)} to {shown(name, high, sign=sign)}"
