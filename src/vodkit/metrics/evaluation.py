"""One run gives everything: detection, frames, tracking, stability, delay, occlusion.

Only labelled frames are evaluated, ignore regions are neither right nor wrong, what is undefined
is None (JSON null), and beside every number stands its definition. ``Evaluation.to_json`` is what
``metrics.json`` holds; its schema is in ``docs/reference/metrics-json.md``.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from vodkit.formats.base import are_stills, split_warnings
from vodkit.formats.predictions import is_counted
from vodkit.ground.arrays import BoolArray, IntArray
from vodkit.ground.lookup import pick
from vodkit.ground.records import NO_ID, STATE_NAMES, Dataset, TrackTable
from vodkit.ground.settings import bounded, check_ranges
from vodkit.metrics.bootstrap import BootstrapSettings, make_units
from vodkit.metrics.clips import Clip, fingerprint, make_clips
from vodkit.metrics.detection.ap import CocoResult, by_image_ids, clip_columns, summarise
from vodkit.metrics.detection.coco_engine import evaluate_grid
from vodkit.metrics.detection.columns import BoxColumns
from vodkit.metrics.detection.curves import (
    Calibration,
    Confusion,
    Curve,
    calibration,
    confusion,
    curves,
)
from vodkit.metrics.detection.delay import DelayResult, evaluate_delay
from vodkit.metrics.detection.errors import ErrorResult, find_errors, summarise_errors
from vodkit.metrics.detection.flicker import FlickerScores, evaluate_flicker
from vodkit.metrics.detection.frame_accuracy import FrameResult, evaluate_frames
from vodkit.metrics.detection.frames import FrameMatches, match_frames
from vodkit.metrics.detection.low_quality import LowQuality, LowQualityScores
from vodkit.metrics.detection.match import coco_verdicts
from vodkit.metrics.detection.stability import StabilityScores, evaluate_stability
from vodkit.metrics.detection.streaming import StreamingResult, evaluate_latency
from vodkit.metrics.detection.vid import VidResult, VidScores, evaluate_vid
from vodkit.metrics.detection.voc import VocResult, voc_average_precision
from vodkit.metrics.extra import ExtraResult, evaluate_extra
from vodkit.metrics.headline import (
    OF_VIDEO,
    Counted,
    Headline,
    Replicates,
    make_headline,
    make_replicates,
)
from vodkit.metrics.plain import as_json
from vodkit.metrics.tracking.occlusion import OcclusionResult, evaluate_occlusion
from vodkit.metrics.tracking.preprocess import BENCHMARKS, mot_challenge
from vodkit.metrics.tracking.summary import TrackCounts, TrackResult, combine, count_clip

SCHEMA = 1


@dataclass(frozen=True, kw_only=True)
class EvalSettings:
    """What an evaluation may choose; two runs can only be compared where these are equal."""

    min_score: float = bounded(0.5, low=0, high=1)
    """score threshold of frame accuracy, confusion, stability and occlusion"""
    states: tuple[str, ...] = ()
    """boxes that count, by state: observed, filled (afterwards), predicted (while the object is
    hidden); empty: what is exported by default (``formats.predictions.is_counted``). The occlusion
    measures count all of them"""
    benchmark: str = ""
    """MOT15, MOT16, MOT17 or MOT20: that benchmark's preprocessing before tracks are counted"""
    engine: str = "auto"
    """COCO engine: hotcoco, faster-coco-eval, pycocotools, or the first that is installed"""
    bootstrap: BootstrapSettings = field(default_factory=BootstrapSettings)

    def __post_init__(self) -> None:
        """Check the threshold and the names."""
        check_ranges(self)
        if self.benchmark:
            pick(BENCHMARKS, self.benchmark, "benchmark")
        for name in self.states:
            pick({state: state for state in STATE_NAMES}, name, "state")


@dataclass(frozen=True, kw_only=True)
class DataFacts:
    """What the numbers are about."""

    fingerprint: str
    """sha256 of classes, evaluated frames, truth and ignore regions"""
    split: str
    """empty: not told, or all videos"""
    classes: tuple[str, ...]
    num_videos: int
    num_frames: int
    """evaluated (labelled) frames"""
    num_truth: int
    """truth boxes, without ignore regions"""
    num_tracks: int
    """truth tracks"""
    num_ignored: int
    """ignore regions"""
    num_found: int
    """predicted boxes in evaluated frames"""
    num_found_outside: int
    """predicted boxes left out because their frame is not labelled"""
    tracked: bool
    """whether truth and predictions carry ids"""
    stills: bool = False
    """whether the truth is single pictures: nothing about time is measured"""
    split_warnings: tuple[str, ...] = ()
    """what the split itself had to warn of, as where all sides are one recording"""


@dataclass(frozen=True, kw_only=True)
class DetectionResult:
    """Everything about boxes, whoever they belong to."""

    coco: CocoResult
    vid: VidResult
    voc: VocResult
    errors: ErrorResult
    curves: Mapping[str, Curve]
    """by class, at IoU 0.5; best thresholds are chosen on these data"""
    confusion: Confusion
    calibration: Calibration


@dataclass(frozen=True, kw_only=True)
class VideoScores:
    """The main numbers of one video."""

    num_frames: int
    num_truth: int
    num_found: int
    ap: float | None
    ap50: float | None
    frame_accuracy: float | None
    hota: float | None
    mota: float | None
    idf1: float | None
    num_id_switches: int | None


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """All numbers of one set of predictions on one dataset."""

    data: DataFacts
    settings: EvalSettings
    about: Mapping[str, str]
    """what the caller knows: model, tracker, online or refined, split audit, ..."""
    notes: tuple[str, ...]
    """what a reader must know to judge the numbers"""
    headline: tuple[Headline, ...]
    detection: DetectionResult
    frames: FrameResult
    tracking: TrackResult | None
    """None where truth or predictions carry no ids"""
    stability: StabilityScores
    flicker: FlickerScores
    delay: DelayResult
    occlusion: OcclusionResult
    per_video: Mapping[str, VideoScores]
    replicates: Replicates
    streaming: StreamingResult | None = None
    """None where the time a frame takes is unknown"""
    low_quality: LowQualityScores | None = None
    """None where it is unknown which frames are of low quality"""
    extra: Mapping[str, ExtraResult] = field(default_factory=dict)
    """metrics of other packages, by name (``metrics.extra``)"""
    schema: int = SCHEMA

    def to_json(self) -> dict[str, Any]:
        """Plain dicts, lists and numbers; undefined is None."""
        plain = as_json(self)
        assert isinstance(plain, dict)
        return plain


def evaluate(
    truth: Dataset,
    predictions: Mapping[str, TrackTable],
    *,
    settings: EvalSettings | None = None,
    split: str = "",
    about: Mapping[str, str] | None = None,
    notes: Sequence[str] = (),
    latency_s: Mapping[str, float] | None = None,
    image_ids: Mapping[int, tuple[str, int]] | None = None,
    low_quality: Mapping[str, IntArray] | None = None,
) -> Evaluation:
    """All metrics of ``predictions`` (by video source) on the labelled frames of ``truth``.

    ``split`` chooses a side, where ``truth`` has several; ``about`` and ``notes`` are only written
    down. A labelled video without predictions counts as one in which nothing was found. With
    ``latency_s`` (seconds a frame took) of all videos, streaming accuracy is measured, too.
    ``image_ids`` (image id -> source, frame) order equal scores as pycocotools does.
    ``low_quality`` (by video source, frames) are measured by themselves, too.
    Raises InputError for predictions that do not fit.
    """
    settings = settings or EvalSettings()
    truth = truth.only(split) if split else truth
    clips = make_clips(truth, _of_states(predictions, settings.states))
    classes = truth.classes
    columns = clip_columns(clips)
    ordered = by_image_ids(clips, columns, image_ids or {})
    num_images = sum(len(clip.frames) for clip in clips)
    matched = [match_frames(clip, min_score=settings.min_score) for clip in clips]
    tracked = is_tracked(clips)
    hidden = _with_predicted(truth, predictions, matched, settings)
    detection = _detection(clips, ordered, num_images, classes, settings)
    frames = evaluate_frames(clips, classes, min_score=settings.min_score)
    tracks = None
    if tracked:
        ready = (benchmark_clip(clip, settings.benchmark) for clip in clips)
        tracks = {clip.name: count_clip(clip, len(classes)) for clip in ready}
    tracking = None if tracks is None else combine(tracks, classes)
    stability, occlusion = evaluate_stability(matched), evaluate_occlusion(hidden)
    worse = None if low_quality is None else LowQuality(clips, columns, low_quality, len(classes))
    replicates = _replicates(
        clips, columns, (matched, hidden), worse, tracks=tracks, classes=classes, settings=settings
    )
    stills = are_stills(truth)
    values = _headline_values(detection.coco, frames, tracking, occlusion, stability)
    low = None if worse is None else worse.scores(settings.engine)
    values |= {} if low is None else {"ap50_low_quality": low.ap50}
    values = {name: value for name, value in values.items() if not stills or name not in OF_VIDEO}
    return Evaluation(
        data=_facts(clips, truth, split, tracked=tracked),
        settings=settings,
        about=dict(about or {}),
        notes=(
            *split_warnings(truth),
            *notes,
            *_left_out(predictions, settings.states),
            *_notes(clips, predictions, replicates, tracked=tracked, stills=stills),
        ),
        headline=make_headline(values, replicates, stills=stills),
        detection=detection,
        frames=frames,
        tracking=tracking,
        stability=stability,
        flicker=evaluate_flicker(matched, clips, len(classes)),
        delay=evaluate_delay(clips, len(classes), min_score=settings.min_score),
        occlusion=occlusion,
        per_video=_per_video(
            clips, classes, frames, tracking, every=detection.coco, engine=settings.engine
        ),
        replicates=replicates,
        streaming=_streaming(clips, classes, latency_s or {}),
        low_quality=low,
        extra=evaluate_extra(clips, settings.bootstrap),
    )


def _streaming(
    clips: Sequence[Clip], classes: tuple[str, ...], latency_s: Mapping[str, float]
) -> StreamingResult | None:
    told = {clip.name: latency_s[clip.name] for clip in clips if clip.name in latency_s}
    return evaluate_latency(clips, classes, told) if len(told) == len(clips) else None


def _of_states(
    predictions: Mapping[str, TrackTable], states: Sequence[str]
) -> dict[str, TrackTable]:
    return {name: table[_counts(table, states)] for name, table in predictions.items()}


def _counts(table: TrackTable, states: Sequence[str]) -> BoolArray:
    """(R,) the rows that count; see ``EvalSettings.states``."""
    if not states:
        return is_counted(table.states, table.p_present)
    return np.isin(table.states, [STATE_NAMES.index(name) for name in states])


def _with_predicted(
    truth: Dataset,
    predictions: Mapping[str, TrackTable],
    matched: list[FrameMatches],
    settings: EvalSettings,
) -> list[FrameMatches]:
    """What the occlusion measures are made of: boxes of every state."""
    if not _left_out(predictions, settings.states):
        return matched
    every = make_clips(truth, predictions)
    return [match_frames(clip, min_score=settings.min_score) for clip in every]


def _left_out(predictions: Mapping[str, TrackTable], states: Sequence[str]) -> tuple[str, ...]:
    """A note on boxes that count in the occlusion measures only."""
    num = sum(int((~_counts(one, states)).sum()) for one in predictions.values())
    if not num:
        return ()
    note = f"{num} boxes of hidden objects count only in the occlusion measures"
    return (f"{note} (see --include-predicted)",)


def is_tracked(clips: Sequence[Clip]) -> bool:
    """Whether every truth box and every prediction carries an id (and there is truth)."""
    truth = any(len(clip.truth) for clip in clips)
    tables = [table for clip in clips for table in (clip.truth, clip.found)]
    return truth and not any((table.ids == NO_ID).any() for table in tables)


def _detection(
    clips: Sequence[Clip],
    columns: tuple[BoxColumns, BoxColumns],
    num_images: int,
    classes: tuple[str, ...],
    settings: EvalSettings,
) -> DetectionResult:
    truth, found = columns
    grid = evaluate_grid(
        truth, found, num_images=num_images, num_classes=len(classes), engine=settings.engine
    )
    coco = summarise(grid, classes)
    verdicts = coco_verdicts(truth, found, num_classes=len(classes), thresholds=np.array([0.5]))
    labels = truth.labels[~truth.ignore]
    as_vid = VidScores(
        ap50=coco.overall.ap50,
        per_class={name: scores.ap50 for name, scores in coco.per_class.items()},
        num_truth={name: int((labels == k).sum()) for k, name in enumerate(classes)},
    )
    return DetectionResult(
        coco=coco,
        vid=evaluate_vid(clips, classes, coco_ap50=as_vid),
        voc=voc_average_precision(truth, found, classes=classes),
        errors=summarise_errors(find_errors(truth, found), found, num_classes=len(classes)),
        curves=curves(verdicts, classes),
        confusion=confusion(clips, classes, min_score=settings.min_score),
        calibration=calibration(verdicts),
    )


def benchmark_clip(clip: Clip, benchmark: str) -> Clip:
    """The clip as a MOTChallenge benchmark counts it; unchanged where ``benchmark`` is empty."""
    if not benchmark:
        return clip
    everything = TrackTable.concat([clip.truth, clip.regions])
    truth, found = mot_challenge(everything, clip.found, clip.frames, benchmark=benchmark)
    return replace(clip, truth=truth, found=found, regions=TrackTable.empty())


def _replicates(
    clips: Sequence[Clip],
    columns: tuple[BoxColumns, BoxColumns],
    matches: tuple[Sequence[FrameMatches], Sequence[FrameMatches]],
    worse: LowQuality | None,
    *,
    tracks: Mapping[str, Sequence[TrackCounts]] | None,
    classes: tuple[str, ...],
    settings: EvalSettings,
) -> Replicates:
    """Whole videos were counted already; blocks of them must be counted anew."""
    matched, hidden = matches
    units = make_units(clips, settings.bootstrap)
    by_unit = None if tracks is None else list(tracks.values())
    if units.kind != "video" and settings.bootstrap.resamples:
        same = hidden is matched
        matched = [match_frames(clip, min_score=settings.min_score) for clip in units.clips]
        hidden = matched if same else _in_units(clips, units.clips, hidden)
        if tracks is not None:
            ready = [benchmark_clip(clip, settings.benchmark) for clip in units.clips]
            by_unit = [count_clip(clip, len(classes)) for clip in ready]
    counted = Counted(
        units=units,
        verdicts=coco_verdicts(*columns, num_classes=len(classes)),
        num_classes=len(classes),
        matched=matched,
        hidden=hidden,
        tracks=None if by_unit is None else [sum(one, TrackCounts.zero()) for one in by_unit],
        low_quality=None if worse is None else worse.verdicts(),
    )
    return make_replicates(counted, settings.bootstrap)


def _in_units(
    clips: Sequence[Clip], units: Sequence[Clip], hidden: Sequence[FrameMatches]
) -> list[FrameMatches]:
    """The matches of whole videos, made again for the frames of each unit."""
    whole = {clip.name: one.clip for clip, one in zip(clips, hidden, strict=True)}
    return [match_frames(whole[unit.name].of_frames(unit.frames), min_score=0) for unit in units]


def _headline_values(
    coco: CocoResult,
    frames: FrameResult,
    tracking: TrackResult | None,
    occlusion: OcclusionResult,
    stability: StabilityScores,
) -> dict[str, float | None]:
    values = {
        "ap": coco.overall.ap,
        "ap50": coco.overall.ap50,
        "frame_accuracy": frames.overall.frame_accuracy,
        "exact_frame_accuracy": frames.overall.exact_frame_accuracy,
    }
    if tracking is not None:
        values |= {
            "hota": tracking.overall.hota.hota,
            "det_a": tracking.overall.hota.det_a,
            "ass_a": tracking.overall.hota.ass_a,
            "mota": tracking.overall.clear.mota,
            "idf1": tracking.overall.identity.idf1,
            "identities_kept": occlusion.identities_kept.share,
        }
    return {**values, "stability": stability.stability}


def _per_video(
    clips: Sequence[Clip],
    classes: tuple[str, ...],
    frames: FrameResult,
    tracking: TrackResult | None,
    *,
    every: CocoResult,
    engine: str,
) -> dict[str, VideoScores]:
    found = {}
    for clip in clips:
        coco = every.overall
        if len(clips) > 1:
            truth, boxes = clip_columns((clip,))
            grid = evaluate_grid(
                truth, boxes, num_images=len(clip.frames), num_classes=len(classes), engine=engine
            )
            coco = summarise(grid, classes).overall
        tracks = None if tracking is None else tracking.per_video[clip.name]
        counts = None if tracks is None else tracks.counts
        found[clip.name] = VideoScores(
            num_frames=len(clip.frames),
            num_truth=len(clip.truth),
            num_found=len(clip.found),
            ap=coco.ap,
            ap50=coco.ap50,
            frame_accuracy=frames.per_video[clip.name].frame_accuracy,
            hota=None if tracks is None else tracks.hota.hota,
            mota=None if tracks is None else tracks.clear.mota,
            idf1=None if tracks is None else tracks.identity.idf1,
            num_id_switches=None if counts is None else counts.clear.idsw,
        )
    return found


def _facts(clips: Sequence[Clip], truth: Dataset, split: str, *, tracked: bool) -> DataFacts:
    return DataFacts(
        fingerprint=fingerprint(clips, truth.classes),
        split=split,
        classes=truth.classes,
        num_videos=len(clips),
        num_frames=sum(len(clip.frames) for clip in clips),
        num_truth=sum(len(clip.truth) for clip in clips),
        num_tracks=sum(len(np.setdiff1d(clip.truth.ids, NO_ID)) for clip in clips),
        num_ignored=sum(len(clip.regions) for clip in clips),
        num_found=sum(len(clip.found) for clip in clips),
        num_found_outside=sum(clip.num_outside for clip in clips),
        tracked=tracked,
        stills=are_stills(truth),
        split_warnings=split_warnings(truth),
    )


def _notes(
    clips: Sequence[Clip],
    predictions: Mapping[str, TrackTable],
    replicates: Replicates,
    *,
    tracked: bool,
    stills: bool,
) -> tuple[str, ...]:
    videos = f"{len(clips)} {'image' if stills else 'video'}{'s' * (len(clips) > 1)}"
    missing = [clip.name for clip in clips if clip.name not in predictions]
    outside = sum(clip.num_outside for clip in clips)
    notes = {
        f"no predictions for {len(missing)} of {videos}: counted as nothing found "
        f"({', '.join(missing[:3])})": bool(missing),
        f"{outside} predictions in frames without labels are left out": outside > 0,
        "truth or predictions carry no ids: tracking is not measured": not tracked and not stills,
        f"only {videos}: intervals are over {replicates.num_units} blocks of frames "
        "and do not say what other videos would give": replicates.unit == "block",
        "best thresholds are chosen on the data they are shown for": True,
    }
    return tuple(text for text, applies in notes.items() if applies)
