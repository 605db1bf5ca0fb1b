"""ImageNet VID mAP at IoU 0.5, in the protocols that all carry this name, and by speed.

coco         continuous boxes, COCO's match, 101 recalls: AP50 of :mod:`vodkit.metrics.detection.ap`
vid-devkit   ILSVRC's kit (= FGFA): inclusive boxes (+1 pixel), a threshold below 0.5 for objects
             under about 24 pixels, area under the curve
mega         MEGA: +2 pixels in effect, threshold 0.5, area under the curve

The speed of an object in a frame is its motion IoU: the mean IoU with itself in the 10 frames
before and after. Slow > 0.9, medium 0.7 to 0.9, fast < 0.7, with both ends in both bins, as the
reference code has it. Objects of other speeds are ignored; what an unmatched detection counts
then differs between the rules of ``fgfa`` (any class) and ``mega`` (same class).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from vodkit.ground.arrays import BoolArray, FloatArray, IntArray
from vodkit.ground.boxes import to_xywh
from vodkit.ground.errors import SettingsError
from vodkit.ground.lookup import pick
from vodkit.ground.records import NO_ID, TrackTable
from vodkit.metrics.clips import Clip
from vodkit.metrics.detection.columns import BoxColumns, from_tables, rank_in_group
from vodkit.metrics.detection.match import (
    UNMATCHED,
    greedy,
    inclusive_iou,
)
from vodkit.metrics.detection.overlap import overlapping
from vodkit.metrics.detection.precision_recall import area_ap, curve
from vodkit.metrics.ratio import mean
from vodkit.metrics.tracking.preprocess import drop_ignored

SPEEDS: dict[str, tuple[float, float]] = {
    "all": (0.0, 1.0),
    "fast": (0.0, 0.7),
    "medium": (0.7, 0.9),
    "slow": (0.9, 1.0),
}
WINDOW = 10
"""frames before and after that motion IoU looks at"""
TOLERANCE_PX = 10.0


@dataclass(frozen=True, kw_only=True)
class Protocol:
    """What makes one protocol different from another."""

    extra_px: float
    """added to width and height"""
    lenient_small: bool
    """the IoU threshold is lower for small objects"""
    prefers_wanted: bool
    """of truth boxes with equal IoU one that is not ignored is taken"""
    same_class: bool
    """an unmatched detection is weighed against truth of its own class only"""


PROTOCOLS: dict[str, Protocol] = {
    "vid-devkit": Protocol(
        extra_px=1.0, lenient_small=True, prefers_wanted=False, same_class=False
    ),
    "mega": Protocol(extra_px=2.0, lenient_small=False, prefers_wanted=True, same_class=True),
}
SPEED_RULES = {"fgfa": "vid-devkit", "mega": "mega"}


@dataclass(frozen=True, kw_only=True)
class VidScores:
    """AP50 in one protocol (and one range of speed); None without truth."""

    ap50: float | None
    per_class: Mapping[str, float | None]
    num_truth: Mapping[str, int]


@dataclass(frozen=True, kw_only=True)
class VidResult:
    """AP50 by protocol, and by speed under both rules."""

    protocols: Mapping[str, VidScores]
    by_speed: Mapping[str, Mapping[str, VidScores]]
    """rule (fgfa, mega) -> all, fast, medium, slow"""
    speed_shares: Mapping[str, float | None]
    """share of truth boxes that are fast, medium, slow (each box in one bin)"""


@dataclass(frozen=True, eq=False, kw_only=True)
class _Pairs:
    """Found and truth boxes of the same picture that overlap, whatever their class."""

    rows: IntArray
    columns: IntArray
    overlap: FloatArray
    same: BoolArray


def motion_iou(truth: TrackTable) -> FloatArray:
    """Motion IoU (R,) of each truth box; NaN where its track has no other box near in time."""
    total, count = np.zeros(len(truth)), np.zeros(len(truth), np.int64)
    order = np.lexsort((truth.frames, truth.ids))
    ids, frames, boxes = truth.ids[order], truth.frames[order], truth.boxes_xyxy[order]
    for step in range(1, WINDOW + 1):  # neighbours in the table are at most WINDOW rows away
        same = (ids[step:] == ids[:-step]) & (ids[step:] != NO_ID)
        near = np.flatnonzero(same & (frames[step:] - frames[:-step] <= WINDOW))
        overlap = inclusive_iou(boxes[near], boxes[near + step], extra_px=1.0)
        for rows in (near, near + step):
            total[order[rows]] += overlap
            count[order[rows]] += 1
    return np.divide(total, count, out=np.full(len(truth), np.nan), where=count > 0)


def vid_average_precision(
    truth: BoxColumns, found: BoxColumns, *, classes: tuple[str, ...], protocol: str
) -> VidScores:
    """AP50 of boxes in numbered pictures, ``protocol`` a key of PROTOCOLS."""
    rules = pick(PROTOCOLS, protocol, "VID protocol")
    nothing = np.zeros(len(truth), bool)
    return _scores(truth, found, classes, rules, unwanted=nothing, empty_weight=1.0)


def vid_by_speed(
    truth: BoxColumns,
    found: BoxColumns,
    motion: FloatArray,
    *,
    num_images: int,
    classes: tuple[str, ...],
    rule: str = "fgfa",
) -> dict[str, VidScores]:
    """AP50 over all speeds and for fast, medium and slow objects.

    ``motion`` (rows of truth,) is the motion IoU; NaN counts as 0 (fast), as in the reference.
    """
    if len(motion) != len(truth):
        raise SettingsError(f"motion has {len(motion)} rows, truth has {len(truth)}")
    rules = PROTOCOLS[pick(SPEED_RULES, rule, "speed rule")]
    speed = np.nan_to_num(motion, nan=0.0)
    num_empty = num_images - len(np.unique(truth.images))
    entries = np.concatenate([speed, np.zeros(num_empty)])
    found_by_speed = {}
    for name, (low, high) in SPEEDS.items():
        inside = (entries >= low) & (entries <= high)
        weight = float(inside.mean()) if len(inside) else 1.0
        found_by_speed[name] = _scores(
            truth, found, classes, rules, unwanted=~inside[: len(truth)], empty_weight=weight
        )
    return found_by_speed


def _scores(
    truth: BoxColumns,
    found: BoxColumns,
    classes: tuple[str, ...],
    rules: Protocol,
    *,
    unwanted: BoolArray,
    empty_weight: float,
) -> VidScores:
    pairs = _pair(truth, found, rules)
    limit = np.full(len(truth), 0.5)
    if rules.lenient_small:
        size = to_xywh(truth.boxes_xyxy)[:, 2:] + 1.0
        limit = np.minimum(0.5, size.prod(axis=1) / (size + TOLERANCE_PX).prod(axis=1))
    good = pairs.same & (pairs.overlap >= limit[pairs.columns])
    matches = greedy(
        (pairs.rows[good], pairs.columns[good], pairs.overlap[good]),
        rank_in_group(found.images * len(classes) + found.labels, found.scores),
        len(truth),
        second_choice=unwanted if rules.prefers_wanted else None,
    )
    hit = matches != UNMATCHED
    right = hit.copy()
    right[hit] = ~unwanted[matches[hit]]
    weight = _false_alarm_weight(
        pairs,
        unwanted,
        _in_picture(truth, found, unwanted, same_class=rules.same_class),
        same_class=rules.same_class,
        empty_weight=empty_weight,
    )
    wrong = np.where(hit, 0.0, weight)
    by_score = np.argsort(-found.scores, kind="stable")
    per_class: dict[str, float | None] = {}
    num_truth: dict[str, int] = {}
    for k, name in enumerate(classes):
        num_truth[name] = int(((truth.labels == k) & ~unwanted).sum())
        rows = by_score[found.labels[by_score] == k]
        recall, precision = curve(right[rows], wrong[rows], max(num_truth[name], 1))
        per_class[name] = area_ap(recall, precision) if num_truth[name] else None
    return VidScores(ap50=mean(list(per_class.values())), per_class=per_class, num_truth=num_truth)


def _pair(truth: BoxColumns, found: BoxColumns, rules: Protocol) -> _Pairs:
    rows, columns = overlapping(
        found.images, found.boxes_xyxy, truth.images, truth.boxes_xyxy, extra_px=rules.extra_px
    )
    overlap = inclusive_iou(
        found.boxes_xyxy[rows], truth.boxes_xyxy[columns], extra_px=rules.extra_px
    )
    same = found.labels[rows] == truth.labels[columns]
    return _Pairs(rows=rows, columns=columns, overlap=overlap, same=same)


def _in_picture(
    truth: BoxColumns, found: BoxColumns, unwanted: BoolArray, *, same_class: bool
) -> IntArray:
    """(2, R) wanted and unwanted truth boxes in each detection's picture (of its class)."""
    num = 1 + max((int(one.labels.max()) for one in (truth, found) if len(one)), default=0)
    keys = truth.images * num + truth.labels if same_class else truth.images
    asked = found.images * num + found.labels if same_class else found.images
    counts = []
    for rows in (~unwanted, unwanted):
        ordered = np.sort(keys[rows])
        counts.append(
            np.searchsorted(ordered, asked, side="right")
            - np.searchsorted(ordered, asked, side="left")
        )
    return np.array(counts)


def _false_alarm_weight(
    pairs: _Pairs, unwanted: BoolArray, there: IntArray, *, same_class: bool, empty_weight: float
) -> FloatArray:
    """How much of a false alarm each unmatched detection is (R,), 0 to 1."""
    compared = pairs.same if same_class else np.ones(len(pairs.rows), bool)
    rows, ignored = pairs.rows[compared], unwanted[pairs.columns[compared]]
    best = np.where(there > 0, 0.0, -1.0)
    np.maximum.at(best, (ignored.astype(np.int64), rows), pairs.overlap[compared])
    num = there.sum(axis=0)
    share = there[1] / np.maximum(num, 1)
    weight = np.where(best[0] > best[1], 1.0, np.where(best[1] > best[0], 0.0, share))
    if same_class:  # MEGA: a weight of 0 or 1 from a share counts as 1
        weight = np.where((best[0] == best[1]) & ((share == 0) & (num > 0)), 1.0, weight)
        empty_weight = 1.0 if empty_weight in (0.0, 1.0) else empty_weight
    return np.where(num == 0, empty_weight, weight)


def evaluate_vid(
    clips: Sequence[Clip], classes: tuple[str, ...], *, coco_ap50: VidScores
) -> VidResult:
    """All protocols and speeds over labelled videos; detections in ignore regions do not count."""
    clean = [drop_ignored(clip) for clip in clips]
    frames = [clip.frames for clip in clean]
    truth = from_tables([clip.truth for clip in clean], frames)
    found = from_tables([clip.found for clip in clean], frames)
    motion = np.concatenate([motion_iou(clip.truth) for clip in clean] or [np.empty(0)])
    num_images = sum(map(len, frames))
    named = {
        name: vid_average_precision(truth, found, classes=classes, protocol=name)
        for name in PROTOCOLS
    }
    return VidResult(
        protocols={"coco": coco_ap50, **named},
        by_speed={
            rule: vid_by_speed(
                truth, found, motion, num_images=num_images, classes=classes, rule=rule
            )
            for rule in SPEED_RULES
        },
        speed_shares=speed_shares(motion),
    )


def speed_shares(motion: FloatArray) -> dict[str, float | None]:
    """Share of boxes that are fast, medium and slow; those of unknown speed are fast.

    >>> speed_shares(np.array([0.5, 0.8, 0.95, np.nan]))
    {'fast': 0.5, 'medium': 0.25, 'slow': 0.25}
    """
    speed = np.nan_to_num(motion, nan=0.0)
    slow, fast = speed > 0.9, speed < 0.7
    bins = {"fast": fast, "medium": ~slow & ~fast, "slow": slow}
    return {name: float(inside.mean()) if len(speed) else None for name, inside in bins.items()}
