"""A tracker's settings from the user's own clips: detections are made once and replayed.

With true ids, any score of (truth, result) is maximised; without, a label-free score: does the
tracker join the same detections when the film runs backwards, and in few pieces?
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from vodkit.errors import InputError, SettingsError
from vodkit.records import Detections, Frame, State, TrackTable
from vodkit.track.life import backfill
from vodkit.track.table import make_tracker

Steps = Sequence[tuple[Frame, Detections]]

# What is searched, and where: setting -> (lowest, highest).
SPACES: dict[str, dict[str, tuple[float, float]]] = {
    "vodkit": {
        "high": (0.3, 0.8), "new": (0.3, 0.9), "reach": (0.0, 2.0), "min_gain": (0.05, 0.4),
        "weak_iou": (0.2, 0.7), "life.lost_s": (0.5, 4.0), "life.confirm_s": (0.0, 0.4),
        "motion.acceleration": (0.3, 3.0), "motion.centre_noise": (0.02, 0.15),
    },
    "bytetrack": {
        "high": (0.3, 0.8), "new": (0.3, 0.9), "match_iou": (0.05, 0.4), "weak_iou": (0.2, 0.7),
        "life.lost_s": (0.5, 4.0), "motion.acceleration": (0.3, 3.0),
    },
    "botsort": {
        "high": (0.3, 0.8), "new": (0.3, 0.9), "match_iou": (0.05, 0.4), "weak_iou": (0.2, 0.7),
        "life.lost_s": (0.5, 4.0), "motion.acceleration": (0.3, 3.0),
    },
    "ocsort": {
        "score": (0.2, 0.7), "match_iou": (0.1, 0.5), "momentum": (0.0, 0.5),
        "life.lost_s": (0.5, 4.0), "motion.acceleration": (0.3, 3.0),
    },
    "sort": {"score": (0.2, 0.7), "match_iou": (0.1, 0.5), "motion.acceleration": (0.3, 3.0)},
}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Clip:
    """Detections of one video, and its true tracks where they are known."""

    steps: Steps
    truth: TrackTable | None = None


@dataclass(frozen=True, kw_only=True)
class Tuned:
    """What came out of a search."""

    words: tuple[str, ...]
    """the best settings, as ``make_tracker`` takes them"""
    score: float
    before: float
    """score of the defaults, which are the first trial: ``score`` is never below it"""
    num_trials: int


def replay(steps: Steps, name: str, words: Sequence[str] = ()) -> TrackTable:
    """The tracks of cached detections, with first detections filled back in."""
    tracker = make_tracker(name, words)
    followed = ((frame, found, tracker.step(frame, found)) for frame, found in steps)
    return TrackTable.from_frames([(f.index, f.time_s, t) for f, _, t in backfill(followed)])


def consistency(steps: Steps, name: str, words: Sequence[str] = ()) -> float:
    """A score in [0, 1] without labels: agreement of forward and backward tracking.

    The F1 of the links (this detection and that one are one object, one after the other) found
    forwards and backwards, times the share of tracked detections that are linked at all. A tracker
    that swaps ids or loses people differs from its mirror image; one that joins nothing scores 0.
    """
    forward = _links(replay(steps, name, words))
    end_s = steps[-1][0].time_s if steps else 0.0
    mirrored = [
        (
            Frame.unseen(
                len(steps) - 1 - place, end_s - frame.time_s, width_px=frame.width_px,
                height_px=frame.height_px,
            ),
            found,
        )
        for place, (frame, found) in reversed(list(enumerate(steps)))
    ]  # fmt: skip
    names = {len(steps) - 1 - place: frame.index for place, (frame, _) in enumerate(steps)}
    backward = {
        ((names[b[0]], *b[1:]), (names[a[0]], *a[1:]))
        for a, b in _links(replay(mirrored, name, words))
    }
    strong = sum(int((found.scores >= 0.5).sum()) for _, found in steps)
    if not forward or not backward or strong == 0:
        return 0.0
    agreement = 2 * len(forward & backward) / (len(forward) + len(backward))
    return float(agreement * min(1.0, len(forward) / strong))


def _links(table: TrackTable) -> set[tuple[tuple[Any, ...], tuple[Any, ...]]]:
    """Consecutive observed boxes of one id, each as (frame, x1, y1, x2, y2)."""
    assert table.states is not None
    seen = table[table.states == State.OBSERVED]
    order = np.lexsort((seen.frames, seen.ids))
    keys = [
        (frame, *box)
        for frame, box in zip(
            seen.frames[order].tolist(), seen.boxes_xyxy[order].tolist(), strict=True
        )
    ]
    same = np.diff(seen.ids[order]) == 0
    return {(keys[i], keys[i + 1]) for i in np.flatnonzero(same).tolist()}


def tune(
    name: str,
    clips: Sequence[Clip],
    *,
    score: Callable[[TrackTable, TrackTable], float] | None = None,
    num_trials: int = 50,
    seed: int = 0,
    space: Mapping[str, tuple[float, float]] | None = None,
) -> Tuned:
    """The best settings of tracker ``name`` on ``clips``, found with Optuna (extra ``tune``).

    ``score`` takes (truth, result) and is averaged over the clips; without it, or for clips
    without truth, ``consistency`` is used. The defaults are the first trial.
    """
    if not clips:
        raise InputError("no clips to tune on")
    ranges = dict(space or SPACES.get(name, {}))
    if not ranges:
        raise SettingsError(f"no search space for tracker {name!r}; known: {', '.join(SPACES)}")
    try:
        import optuna
    except ImportError as error:
        raise InputError("tuning needs the extra: pip install 'vodkit[tune]'") from error
    optuna.logging.set_verbosity(optuna.logging.WARNING)

    def objective(trial: Any) -> float:
        words = [] if trial.number == 0 else _words(trial, ranges)
        return float(np.mean([_score(clip, name, words, score) for clip in clips]))

    study = optuna.create_study(direction="maximize", sampler=optuna.samplers.TPESampler(seed=seed))
    study.optimize(objective, n_trials=max(1, num_trials), catch=(SettingsError,))
    best = study.best_trial
    score_now, before = study.best_value, study.trials[0].value
    assert before is not None
    words = tuple(f"{setting}={value!r}" for setting, value in best.params.items())
    return Tuned(words=words, score=score_now, before=before, num_trials=len(study.trials))


def _words(trial: Any, ranges: Mapping[str, tuple[float, float]]) -> list[str]:
    return [
        f"{setting}={trial.suggest_float(setting, low, high)!r}"
        for setting, (low, high) in ranges.items()
    ]


def _score(
    clip: Clip,
    name: str,
    words: Sequence[str],
    score: Callable[[TrackTable, TrackTable], float] | None,
) -> float:
    if clip.truth is None or score is None:
        return consistency(clip.steps, name, words)
    return score(clip.truth, replay(clip.steps, name, words))
