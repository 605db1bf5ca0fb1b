"""Search a tracker's settings on the user's own clips: detections are made once and replayed.

With true ids, any score of (truth, result) is maximised. Without, the score measures whether the
tracker joins the same detections when the video runs backwards, into complete tracks. It cannot
distinguish a false alarm from an object, so without labels only settings are searched that decide
how detections are joined, not which detections count.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from vodkit.formats.camera_motion import motion_beside
from vodkit.formats.predictions import PredictedFrame, final_frames
from vodkit.ground.arrays import BoolArray, FloatArray, IntArray
from vodkit.ground.errors import InputError, SettingsError, VodkitError, needs
from vodkit.ground.records import NO_ID, Detections, Frame, LabelledVideo, State, TrackTable
from vodkit.infer.folder import RunFolder
from vodkit.infer.follow import Follower
from vodkit.track.table import has_setting, make_tracker

Steps = Sequence[tuple[Frame, Detections]]
Motions = Mapping[int, FloatArray]
Score = Callable[[LabelledVideo, TrackTable], float]

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


NEED_LABELS = frozenset({"high", "new", "score", "life.confirm_s"})
"""settings that are searched only where all clips have labels"""
_BORDER = 0.5
"""a track may begin and end this many widths or heights from the picture's border"""
_LAST_SEED = 2**32 - 1
_ENDS_S = 0.5
"""and this close to the beginning and end of the film"""


@dataclass(frozen=True, kw_only=True)
class Clip:
    """Detections of one video, and its true tracks where they are known."""

    steps: Steps
    truth: LabelledVideo | None = None
    motion: Motions | None = None
    """frame index: the camera's motion (2, 3) since the frame before; None: not recorded"""


@dataclass(frozen=True, kw_only=True)
class Tuned:
    """What came out of a search."""

    words: tuple[str, ...]
    """the best settings, as ``make_tracker`` takes them"""
    score: float
    before: float
    """score of the defaults, which are the first trial: ``score`` is never below it"""
    num_trials: int


def replay(
    steps: Steps, name: str, words: Sequence[str] = (), *, motion: Motions | None = None
) -> TrackTable:
    """The tracks of recorded detections: their final rows, as a run with them has.

    Args:
        steps: frames and detections, with embeddings where they were recorded.
        name: the tracker, as ``make_tracker`` takes it.
        words: its settings.
        motion: the camera's motion by frame index, where it was recorded.
    """
    followed = Follower(make_tracker(name, words), motion=motion).steps(steps)
    frames = (PredictedFrame(one.frame.index, one.frame.time_s, one.found) for one in followed)
    return TrackTable.from_frames([(f.index, f.time_s, f.found) for f in final_frames(frames)])


def recorded_motion(path: Path) -> Motions | None:
    """The camera's motion that a run recorded; None: its tracker did not measure it.

    Args:
        path: the run's detections. Of a camera at rest there is no file of motion beside them.
    """
    if motion := motion_beside(path):
        return motion
    try:
        ran = RunFolder(path.parent).settings
    except VodkitError:  # a file of detections alone
        return None
    return {} if ran.tracks and has_setting(ran.tracker, "camera_motion") else None


def not_recorded(clip: Clip, name: str) -> list[str]:
    """What a tracker takes from pictures and a clip did not record: its replay differs without.

    Args:
        clip: see ``Clip``.
        name: the tracker, as ``make_tracker`` takes it.
    """
    has_looks = any(found.embeddings is not None for _, found in clip.steps)
    return [
        *(["camera motion"] if has_setting(name, "camera_motion") and clip.motion is None else []),
        *(["colours"] if has_setting(name, "colours") and not has_looks else []),
    ]


def consistency(
    steps: Steps, name: str, words: Sequence[str] = (), *, motion: Motions | None = None
) -> float:
    """A score in [0, 1] without labels: agreement of forward and backward tracking, times tidiness.

    *Agreement*: does the film tracked backwards give the same tracks? It is the AssA of HOTA
    (Luiten et al. 2021, arXiv 2009.07736) with one direction as the truth of the other, over the
    detections that both track. A tracker that swaps ids differs from its mirror image. *Tidiness*:
    the share of the ends of tracks that are explained by the picture's border or by the beginning
    and end of the film: objects do not appear and vanish in mid-picture, broken tracks do.
    """
    if not steps:
        return 0.0
    mirrored = _mirrored(steps)
    forward = _seen(replay(steps, name, words, motion=motion))
    backward = _seen(replay(mirrored, name, words, motion=_mirrored_motion(steps, motion or {})))
    if not len(forward) or not len(backward):
        return 0.0
    places = np.array([frame.index for frame, _ in reversed(steps)])
    agreement = _agreement(
        _by_box(forward, forward.frames), _by_box(backward, places[backward.frames])
    )
    ends = np.concatenate([_explained(forward, steps), _explained(backward, mirrored)])
    return agreement * float(ends.mean())


def _seen(table: TrackTable) -> TrackTable:
    return table[table.states == State.OBSERVED]


def _mirrored(steps: Steps) -> list[tuple[Frame, Detections]]:
    """The film run backwards: frames are numbered from its end, and time begins at 0."""
    end_s = steps[-1][0].time_s
    return [
        (
            Frame.unseen(
                place, end_s - frame.time_s, width_px=frame.width_px, height_px=frame.height_px
            ),
            found,
        )
        for place, (frame, found) in enumerate(reversed(steps))
    ]


def _mirrored_motion(steps: Steps, motion: Motions) -> dict[int, FloatArray]:
    """The camera's motion in the film run backwards: from a frame to the one that was before it."""
    found: dict[int, FloatArray] = {}
    for place, (frame, _) in enumerate(reversed(steps)):
        if frame.index in motion:
            affine = np.vstack([motion[frame.index], [0, 0, 1]])
            found[place + 1] = np.linalg.inv(affine)[:2]
    return found


def _by_box(table: TrackTable, frames: IntArray) -> dict[tuple[float, ...], int]:
    """The id of every detection, which is known by its frame and box."""
    boxes = table.boxes_xyxy.tolist()
    keys = zip(frames.tolist(), boxes, strict=True)
    return {(frame, *box): i for (frame, box), i in zip(keys, table.ids.tolist(), strict=True)}


def _agreement(one: Mapping[Any, int], other: Mapping[Any, int]) -> float:
    """AssA of the ids that two trackings give to the same detections."""
    sizes, others = Counter(one.values()), Counter(other.values())
    both = Counter((i, other[key]) for key, i in one.items() if key in other)
    shared = sum(both.values())
    return sum(n * n / (sizes[i] + others[j] - n) for (i, j), n in both.items()) / max(shared, 1)


def _explained(table: TrackTable, steps: Steps) -> BoolArray:
    """Whether each first and last box (2 T,) is near the picture's border or the film's ends."""
    order = np.lexsort((table.frames, table.ids))
    first = np.flatnonzero(np.diff(table.ids[order], prepend=NO_ID))
    last = np.append(first[1:], len(order)) - 1
    at = order[np.concatenate([first, last])]
    boxes, times = table.boxes_xyxy[at], table.times_s[at]
    begin, end = steps[0][0], steps[-1][0]
    reach = _BORDER * (boxes[:, 2:] - boxes[:, :2])
    size = np.array([begin.width_px, begin.height_px])
    border = ((boxes[:, :2] < reach) | (boxes[:, 2:] > size - reach)).any(axis=1)
    return np.asarray(border | (times < begin.time_s + _ENDS_S) | (times > end.time_s - _ENDS_S))


def tune(
    name: str,
    clips: Sequence[Clip],
    *,
    score: Score | None = None,
    num_trials: int = 50,
    seed: int = 0,
    space: Mapping[str, tuple[float, float]] | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,  # noqa: ARG005
) -> Tuned:
    """The best settings of tracker ``name`` on ``clips``, found with Optuna (extra ``tune``).

    ``score`` takes (truth, result) and is averaged over the clips; without it, or for clips
    without truth, ``consistency`` is used. The defaults are the first trial. ``progress`` is called
    with the trials done and their number.
    """
    if not clips:
        raise InputError("no clips to tune on")
    if num_trials < 1:
        raise SettingsError(f"trials is {num_trials}; allowed: 1 or more, the first with defaults")
    if not 0 <= seed <= _LAST_SEED:
        raise SettingsError(f"seed is {seed}; allowed: 0 to {_LAST_SEED}")
    ranges = dict(space or SPACES.get(name, {}))
    if not ranges:
        raise SettingsError(f"no search space for tracker {name!r}; known: {', '.join(SPACES)}")
    if not space and (score is None or any(clip.truth is None for clip in clips)):
        ranges = {key: value for key, value in ranges.items() if key not in NEED_LABELS}
    with needs("tuning needs the extra: pip install 'vodkit[tune]'"):
        import optuna
    optuna.logging.set_verbosity(optuna.logging.ERROR)  # Ctrl-C is a warning, with a traceback

    def objective(trial: Any) -> float:
        words = _words(trial, ranges) if trial.number else []
        return float(np.mean([_score(clip, name, words, score) for clip in clips]))

    study = optuna.create_study(direction="maximize", sampler=optuna.samplers.TPESampler(seed=seed))
    study.optimize(
        objective,
        n_trials=num_trials,
        catch=(SettingsError,),
        callbacks=[lambda _study, trial: progress(trial.number + 1, num_trials)],
    )
    best = study.best_trial
    score_now, before = study.best_value, study.trials[0].value
    assert before is not None
    words = tuple(_words(best, ranges)) if best.number else ()
    return Tuned(words=words, score=score_now, before=before, num_trials=len(study.trials))


def _words(trial: Any, ranges: Mapping[str, tuple[float, float]]) -> list[str]:
    """The settings of a trial, in three digits, which can be copied; the score is of these."""
    return [
        f"{setting}={trial.suggest_float(setting, low, high):.3g}"
        for setting, (low, high) in ranges.items()
    ]


def _score(
    clip: Clip,
    name: str,
    words: Sequence[str],
    score: Score | None,
) -> float:
    if clip.truth is None or score is None:
        return consistency(clip.steps, name, words, motion=clip.motion)
    return score(clip.truth, replay(clip.steps, name, words, motion=clip.motion))
