"""Frame-level accuracy and its family: how good are the frames that a user sees.

The primary number is ``frame_accuracy`` (at IoU 0.5 and a score threshold, default 0.5): the mean
over frames of TP / (TP + FP + FN), 1 for a frame in which nothing is and nothing is found. Say
"share of frames without an error" only of ``exact_frame_accuracy``.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
from scipy.optimize import linear_sum_assignment

from vodkit.arrays import BoolArray, FloatArray, IntArray
from vodkit.boxes import iou
from vodkit.metrics.clips import Clip
from vodkit.metrics.frames import FrameMatches, cuts, match_frames
from vodkit.metrics.match import UNMATCHED
from vodkit.metrics.ratio import mean, ratio

SWEEP = tuple(round(0.05 * k, 2) for k in range(1, 20))
DENSITIES = {"0": (0, 0), "1-3": (1, 3), "4-9": (4, 9), "10+": (10, 2**31)}


@dataclass(frozen=True, eq=False, kw_only=True)
class FrameCounts:
    """One value a frame, (F,); videos are put end to end."""

    tp: IntArray
    fp: IntArray
    fn: IntArray
    same_classes: BoolArray
    """the set of classes in the frame is right"""
    overlap: FloatArray
    """sum of IoU of the best one-to-one match without a threshold (for SFDA)"""

    def __add__(self, other: "FrameCounts") -> "FrameCounts":
        """The frames of both."""
        pairs = {s.name: (getattr(self, s.name), getattr(other, s.name)) for s in fields(self)}
        return FrameCounts(**{name: np.concatenate(pair) for name, pair in pairs.items()})

    def __getitem__(self, which: BoolArray | IntArray | slice) -> "FrameCounts":
        """Some of the frames."""
        return FrameCounts(**{s.name: getattr(self, s.name)[which] for s in fields(self)})

    def __len__(self) -> int:
        """Number of frames."""
        return len(self.tp)

    @classmethod
    def zero(cls) -> "FrameCounts":
        """No frames."""
        none = np.empty(0, np.int64)
        return cls(tp=none, fp=none, fn=none, same_classes=none.astype(bool), overlap=none / 1.0)


@dataclass(frozen=True, kw_only=True)
class FrameScores:
    """The family of frame-level numbers; None where there are no such frames."""

    frame_accuracy: float | None
    frame_accuracy_micro: float | None
    """sum TP / sum (TP + FP + FN)"""
    exact_frame_accuracy: float | None
    """share of frames without any error"""
    frame_f1: float | None
    corloc_any: float | None
    """share of frames with truth in which at least one object is found"""
    class_set_accuracy: float | None
    """share of frames whose set of classes is right"""
    sfda: float | None
    """VACE: sum of IoU / mean number of boxes, over frames that are not empty"""
    moda: float | None
    empty_frame_accuracy: float | None
    """share of frames without truth in which nothing is found"""
    num_frames: int


@dataclass(frozen=True, kw_only=True)
class FrameResult:
    """Frame-level numbers at one score threshold, and how they depend on it."""

    min_score: float
    overall: FrameScores
    video_average: float | None
    """frame_accuracy as the mean over videos instead of over frames"""
    per_video: dict[str, FrameScores]
    per_class: dict[str, FrameScores]
    by_density: dict[str, FrameScores]
    """by the number of objects in the frame"""
    sweep: dict[str, float | None]
    """frame_accuracy by score threshold"""


def count_frames(matches: FrameMatches) -> FrameCounts:
    """The counts of every frame of one matched video."""
    clip, num = matches.clip, len(matches.clip.frames)
    hit = matches.found_of_truth != UNMATCHED
    tp = np.bincount(matches.truth_frame[hit], minlength=num)
    num_truth = np.bincount(matches.truth_frame, minlength=num)
    num_found = np.bincount(matches.found_frame, minlength=num)
    return FrameCounts(
        tp=tp,
        fp=num_found - tp,
        fn=num_truth - tp,
        same_classes=_same_classes(matches),
        overlap=_overlap(clip),
    )


def _same_classes(matches: FrameMatches) -> BoolArray:
    clip = matches.clip
    num = 1 + max((int(t.labels.max()) for t in (clip.truth, clip.found) if len(t)), default=0)
    present = np.zeros((2, len(clip.frames), num), bool)
    present[0, matches.truth_frame, clip.truth.labels] = True
    present[1, matches.found_frame, clip.found.labels] = True
    return np.asarray((present[0] == present[1]).all(axis=1))


def _overlap(clip: Clip) -> FloatArray:
    total = np.zeros(len(clip.frames))
    truth_cuts, found_cuts = cuts(clip.truth, clip.frames), cuts(clip.found, clip.frames)
    both = (np.diff(truth_cuts, axis=0) > 0) & (np.diff(found_cuts, axis=0) > 0)
    for k in np.flatnonzero(both[0]):
        there, seen = slice(*truth_cuts[:, k]), slice(*found_cuts[:, k])
        same = clip.truth.labels[there][:, None] == clip.found.labels[seen][None, :]
        ious = iou(clip.truth.boxes_xyxy[there], clip.found.boxes_xyxy[seen]) * same
        total[k] = ious[linear_sum_assignment(ious, maximize=True)].sum()
    return total


def frame_scores(counts: FrameCounts) -> FrameScores:
    """The one place where frame-level ratios are made."""
    tp, fp, fn = counts.tp, counts.fp, counts.fn
    truth, wrong = tp + fn, fp + fn
    accuracy = accuracy_by_frame(counts)
    filled = truth + tp + fp > 0
    f1 = np.divide(2 * tp, 2 * tp + wrong, out=np.ones(len(tp)), where=tp + wrong > 0)
    sfda = counts.overlap[filled] / (0.5 * (truth + tp + fp)[filled])
    return FrameScores(
        frame_accuracy=_mean(accuracy),
        frame_accuracy_micro=ratio(tp.sum(), (tp + wrong).sum()),
        exact_frame_accuracy=_mean(wrong == 0),
        frame_f1=_mean(f1),
        corloc_any=_mean(tp[truth > 0] > 0),
        class_set_accuracy=_mean(counts.same_classes),
        sfda=_mean(sfda),
        moda=ratio((tp - fp).sum(), truth.sum()),
        empty_frame_accuracy=_mean(fp[truth == 0] == 0),
        num_frames=len(counts),
    )


def accuracy_by_frame(counts: FrameCounts) -> FloatArray:
    """TP / (TP + FP + FN) of each frame (F,), 1 where nothing is on either side."""
    whole = counts.tp + counts.fp + counts.fn
    return np.divide(counts.tp, whole, out=np.ones(len(counts)), where=whole > 0)


def _mean(values: FloatArray | BoolArray) -> float | None:
    return float(values.mean()) if len(values) else None


def evaluate_frames(
    clips: Sequence[Clip], classes: tuple[str, ...], *, min_score: float = 0.5
) -> FrameResult:
    """Frame-level numbers of all videos at ``min_score``, and their sweep over thresholds."""
    counted = {clip.name: count_frames(match_frames(clip, min_score=min_score)) for clip in clips}
    total = sum(counted.values(), FrameCounts.zero())
    per_video = {name: frame_scores(counts) for name, counts in counted.items()}
    return FrameResult(
        min_score=min_score,
        overall=frame_scores(total),
        video_average=mean([scores.frame_accuracy for scores in per_video.values()]),
        per_video=per_video,
        per_class={
            name: frame_scores(_of_class(clips, k, min_score)) for k, name in enumerate(classes)
        },
        by_density=_by_density(total),
        sweep={
            f"{score:.2f}": _mean(
                np.concatenate([_quick_accuracy(clip, score) for clip in clips] or [np.empty(0)])
            )
            for score in SWEEP
        },
    )


def _of_class(clips: Sequence[Clip], label: int, min_score: float) -> FrameCounts:
    ones = (clip.of_class(label) for clip in clips)
    return sum(
        (count_frames(match_frames(one, min_score=min_score)) for one in ones), FrameCounts.zero()
    )


def _quick_accuracy(clip: Clip, min_score: float) -> FloatArray:
    """``accuracy_by_frame`` without the counts that a sweep does not need."""
    matches = match_frames(clip, min_score=min_score)
    num = len(clip.frames)
    hit = matches.found_of_truth != UNMATCHED
    tp = np.bincount(matches.truth_frame[hit], minlength=num)
    both = np.bincount(matches.truth_frame, minlength=num)
    both = both + np.bincount(matches.found_frame, minlength=num)
    return np.divide(tp, both - tp, out=np.ones(num), where=both > 0)


def _by_density(counts: FrameCounts) -> dict[str, FrameScores]:
    truth = counts.tp + counts.fn
    return {
        name: frame_scores(counts[(truth >= low) & (truth <= high)])
        for name, (low, high) in DENSITIES.items()
    }
