"""Frame-level accuracy and its family: how good are the frames that a user sees.

The primary number is ``frame_accuracy`` (at IoU 0.5 and a score threshold, default 0.5): the mean
over frames of TP / (TP + FP + FN), 1 for a frame in which nothing is and nothing is found. Say
"share of frames without an error" only of ``exact_frame_accuracy``.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np

from vodkit.ground.arrays import BoolArray, FloatArray, IntArray
from vodkit.metrics.clips import Clip
from vodkit.metrics.detection.frames import (
    Candidates,
    FrameMatches,
    best_choice,
    candidates,
    match_at,
    pairs_in_frames,
)
from vodkit.metrics.detection.match import UNMATCHED
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
    pairs = pairs_in_frames(clip.truth, clip.found, same_class=True)
    best = best_choice(pairs, pairs.overlap)
    overlap = np.bincount(matches.truth_frame[best.truth], weights=best.overlap, minlength=num)
    return FrameCounts(
        tp=tp,
        fp=num_found - tp,
        fn=num_truth - tp,
        same_classes=_same_classes(matches),
        overlap=overlap,
    )


def only_class(matches: FrameMatches, label: int) -> FrameMatches:
    """The part of a matched video that belongs to one class: matches do not cross classes."""
    truth, found = matches.clip.truth.labels == label, matches.clip.found.labels == label
    new_truth, new_found = np.cumsum(truth) - 1, np.cumsum(found) - 1
    found_of_truth = matches.found_of_truth[truth]
    truth_of_found = matches.truth_of_found[found]
    return FrameMatches(
        clip=matches.clip.of_class(label),
        found_of_truth=np.where(found_of_truth < 0, UNMATCHED, new_found[found_of_truth])
        if len(new_found)
        else found_of_truth,
        truth_of_found=np.where(truth_of_found < 0, UNMATCHED, new_truth[truth_of_found])
        if len(new_truth)
        else truth_of_found,
        truth_frame=matches.truth_frame[truth],
        found_frame=matches.found_frame[found],
    )


def _same_classes(matches: FrameMatches) -> BoolArray:
    clip = matches.clip
    num = 1 + max((int(t.labels.max()) for t in (clip.truth, clip.found) if len(t)), default=0)
    present = np.zeros((2, len(clip.frames), num), bool)
    present[0, matches.truth_frame, clip.truth.labels] = True
    present[1, matches.found_frame, clip.found.labels] = True
    return np.asarray((present[0] == present[1]).all(axis=1))


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
    ready = [candidates(clip) for clip in clips]
    matched = [match_at(one, min_score=min_score) for one in ready]
    counted = [count_frames(one) for one in matched]
    total = _end_to_end(counted)
    per_video = {
        clip.name: frame_scores(counts) for clip, counts in zip(clips, counted, strict=True)
    }
    return FrameResult(
        min_score=min_score,
        overall=frame_scores(total),
        video_average=mean([scores.frame_accuracy for scores in per_video.values()]),
        per_video=per_video,
        per_class={
            name: frame_scores(_end_to_end([count_frames(only_class(m, k)) for m in matched]))
            for k, name in enumerate(classes)
        },
        by_density=_by_density(total),
        sweep={f"{score:.2f}": _accuracy_at(ready, score) for score in SWEEP},
    )


def _end_to_end(counts: Sequence[FrameCounts]) -> FrameCounts:
    return sum(counts, FrameCounts.zero())


def _accuracy_at(ready: Sequence[Candidates], min_score: float) -> float | None:
    """``frame_accuracy`` at another score threshold, without the rest of the family."""
    values = [np.empty(0)]
    for one in ready:
        matches, num = match_at(one, min_score=min_score), len(one.clip.frames)
        hit = matches.found_of_truth != UNMATCHED
        tp = np.bincount(matches.truth_frame[hit], minlength=num)
        both = np.bincount(matches.truth_frame, minlength=num)
        both = both + np.bincount(matches.found_frame, minlength=num)
        values.append(np.divide(tp, both - tp, out=np.ones(num), where=both > 0))
    return _mean(np.concatenate(values))


def _by_density(counts: FrameCounts) -> dict[str, FrameScores]:
    truth = counts.tp + counts.fn
    return {
        name: frame_scores(counts[(truth >= low) & (truth <= high)])
        for name, (low, high) in DENSITIES.items()
    }
