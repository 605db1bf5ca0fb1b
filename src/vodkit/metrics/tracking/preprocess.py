"""What is taken out before tracks are counted: benchmark rules, and what lies in ignore regions."""

from dataclasses import dataclass

import numpy as np
from scipy.optimize import linear_sum_assignment

from vodkit.ground.arrays import IntArray
from vodkit.ground.boxes import iou
from vodkit.ground.errors import InputError
from vodkit.ground.lookup import pick
from vodkit.ground.records import TrackTable
from vodkit.metrics.clips import Clip
from vodkit.metrics.detection.frames import match_frames
from vodkit.metrics.tracking.sequence import EPS

_VALID_CLASSES = range(1, 14)


@dataclass(frozen=True, kw_only=True)
class Benchmark:
    """The rules of one edition of MOTChallenge."""

    by_class: bool
    """whether the truth has classes"""
    distractors: tuple[int, ...] = ()
    """classes (from 1) on which a tracked box is neither right nor wrong"""


# 2 person on vehicle, 7 static person, 8 distractor, 12 reflection, 6 non-motorised vehicle
BENCHMARKS: dict[str, Benchmark] = {
    "MOT15": Benchmark(by_class=False),
    "MOT16": Benchmark(by_class=True, distractors=(2, 7, 8, 12)),
    "MOT17": Benchmark(by_class=True, distractors=(2, 7, 8, 12)),
    "MOT20": Benchmark(by_class=True, distractors=(2, 6, 7, 8, 12)),
}


def mot_challenge(
    truth: TrackTable, found: TrackTable, frames: IntArray, *, benchmark: str
) -> tuple[TrackTable, TrackTable]:
    """Truth and tracks as the benchmark counts them (TrackEval's ``mot_challenge_2d_box.py``).

    Labels are the files' class column less 1, ``ignore`` marks ``conf`` 0. From MOT16 on, tracked
    boxes that a Hungarian match on IoU >= 0.5 gives to distractors are taken out, then only
    pedestrians with ``conf`` not 0 stay in the truth. Raises InputError for other classes.
    """
    rules = pick(BENCHMARKS, benchmark, "benchmark")
    considered = ~truth.ignore
    if not rules.by_class:
        return truth[considered], found
    _check_classes(truth, found, benchmark)
    keep = np.ones(len(found), bool)
    for frame in frames:
        there = _rows(truth, frame)
        tracked = _rows(found, frame)
        ious = iou(truth.boxes_xyxy[there], found.boxes_xyxy[tracked])
        ious[ious < 0.5 - EPS] = 0
        rows, columns = linear_sum_assignment(-ious)
        real = ious[rows, columns] > EPS
        distracting = np.isin(truth.labels[there][rows] + 1, rules.distractors)
        keep[tracked.start + columns[real & distracting]] = False
    return truth[considered & (truth.labels == 0)], found[keep]


def _check_classes(truth: TrackTable, found: TrackTable, benchmark: str) -> None:
    other = found.labels > 0
    if other.any():
        frame, label = found.frames[other][0], found.labels[other][0] + 1
        message = f"{benchmark} evaluates pedestrians (class 1); frame {frame} has class {label}"
        raise InputError(message)
    wrong = ~np.isin(truth.labels + 1, _VALID_CLASSES)
    if wrong.any():
        frame, label = truth.frames[wrong][0], truth.labels[wrong][0] + 1
        raise InputError(f"truth of {benchmark}: class {label} in frame {frame}; allowed: 1 to 13")


def _rows(table: TrackTable, frame: int) -> slice:
    start, end = np.searchsorted(table.frames, [frame, frame + 1])
    return slice(int(start), int(end))


def drop_ignored(clip: Clip) -> Clip:
    """The clip without unmatched predictions that lie (half or more) in an ignore region.

    Predictions that match a truth box of their class (IoU >= 0.5, one to one) always stay.
    """
    if not len(clip.regions):
        return clip
    return match_frames(clip, min_score=0.0).clip
