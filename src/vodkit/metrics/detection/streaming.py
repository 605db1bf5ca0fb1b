"""Streaming accuracy (Li et al. 2020, arXiv 2005.10420): late answers are wrong answers.

Frame i, shown at t = (i - eta) / rate, is scored against the newest output that was ready at t
(equality counts); before the first output nothing is found. Then COCO AP as always. Rates and
times are exact or floats, never whole frames a second.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction

import numpy as np

from vodkit.ground.arrays import FloatArray, IntArray
from vodkit.ground.errors import InputError
from vodkit.ground.records import TrackTable
from vodkit.metrics.clips import Clip
from vodkit.metrics.detection.ap import CocoResult, average_precision
from vodkit.metrics.detection.columns import from_tables
from vodkit.metrics.ratio import ratio

NOTHING = -1


@dataclass(frozen=True, kw_only=True)
class StreamingResult:
    """COCO numbers of what was known in time, and how late it was."""

    coco: CocoResult
    num_frames: int
    num_without_output: int
    """frames before the first output"""
    num_in_time: int
    """frames whose own output was ready"""
    mean_staleness_frames: float | None
    """how many frames old the newest output is, on average"""
    latency_s: Mapping[str, float] | None = None
    """by video, where one figure for all its frames was given"""


def newest_output(
    num_frames: int, ready_s: FloatArray, *, rate: Fraction, eta: float = 0.0
) -> IntArray:
    """Place (F,) of the newest of the outputs that are ready at each frame's time; -1: none.

    ``ready_s`` (outputs,) ascends; time 0 is frame 0.

    >>> newest_output(4, np.array([0.15, 0.2]), rate=Fraction(10)).tolist()
    [-1, -1, 1, 1]
    """
    if len(ready_s) and (np.diff(ready_s) < 0).any():
        place = int(np.argmax(np.diff(ready_s) < 0)) + 1
        raise InputError(f"output {place} is ready before the one in front of it")
    times = np.array([(k - eta) / float(rate) for k in range(num_frames)])
    return np.searchsorted(np.asarray(ready_s, float), times, side="right") - 1


def worker_outputs(
    num_frames: int, latency_s: FloatArray, *, rate: Fraction
) -> tuple[IntArray, FloatArray]:
    """Frames that one worker looks at, and when each is ready, if it always takes the newest.

    ``latency_s`` (F,) is the time that each frame would take.

    >>> frames, ready = worker_outputs(5, np.full(5, 0.25), rate=Fraction(10))
    >>> frames.tolist(), ready.round(2).tolist()
    ([0, 2, 4], [0.25, 0.5, 0.75])
    """
    frames, ready = [], []
    now, last = 0.0, -1
    while last < num_frames - 1:
        newest = min(int(np.floor(now * float(rate) + 1e-9)), num_frames - 1)
        frame = newest if newest > last else last + 1
        start = max(now, frame / float(rate))
        now = start + float(latency_s[frame])
        frames.append(frame)
        ready.append(now)
        last = frame
    return np.array(frames, np.int64), np.array(ready)


def evaluate_streaming(
    clips: Sequence[Clip],
    classes: tuple[str, ...],
    outputs: Mapping[str, tuple[IntArray, FloatArray]],
    *,
    eta: float = 0.0,
) -> StreamingResult:
    """AP of what was known in time.

    ``outputs``: for each video the frames that were looked at and when each was ready, in
    seconds from frame 0 (measured, or from :func:`worker_outputs`).
    """
    shown, staleness, without, in_time = [], [], 0, 0
    for clip in clips:
        frames, ready_s = outputs[clip.name]
        last = int(clip.frames[-1]) + 1 if len(clip.frames) else 0
        newest = newest_output(last, ready_s, rate=clip.rate, eta=eta)[clip.frames]
        known = newest != NOTHING
        source = np.append(frames, NOTHING)[newest]
        without += int((~known).sum())
        in_time += int((source == clip.frames).sum())
        staleness.append((clip.frames - source)[known])
        shown.append(_shifted(clip.found, clip.frames, source))
    every = np.concatenate([*staleness, np.empty(0)])
    frames_of = [clip.frames for clip in clips]
    truth = [TrackTable.concat([clip.truth, clip.regions]) for clip in clips]
    num_frames = sum(map(len, frames_of))
    return StreamingResult(
        coco=average_precision(
            from_tables(truth, frames_of),
            from_tables(shown, frames_of),
            num_images=num_frames,
            classes=classes,
        ),
        num_frames=num_frames,
        num_without_output=without,
        num_in_time=in_time,
        mean_staleness_frames=ratio(float(every.sum()), len(every)),
    )


def evaluate_latency(
    clips: Sequence[Clip], classes: tuple[str, ...], latency_s: Mapping[str, float]
) -> StreamingResult:
    """AP of what one worker knows in time that takes ``latency_s`` (by video) for each frame.

    The worker always takes the newest frame. Raises InputError for a latency that is not above 0.
    """
    outputs = {}
    for clip in clips:
        seconds = latency_s[clip.name]
        if not 0 < seconds < np.inf:
            raise InputError(f"{clip.name}: latency_s is {seconds}; allowed: above 0")
        num_frames = int(clip.frames[-1]) + 1 if len(clip.frames) else 0
        each = np.full(num_frames, seconds)
        outputs[clip.name] = worker_outputs(num_frames, each, rate=clip.rate)
    return replace(evaluate_streaming(clips, classes, outputs), latency_s=dict(latency_s))


def _shifted(found: TrackTable, frames: IntArray, source: IntArray) -> TrackTable:
    """The boxes of frame ``source[k]`` shown in frame ``frames[k]``."""
    first = np.searchsorted(found.frames, source, side="left")
    count = np.searchsorted(found.frames, source, side="right") - first
    rows = np.arange(count.sum()) - np.repeat(np.cumsum(count) - count - first, count)
    return TrackTable(
        frames=np.repeat(frames, count),
        times_s=found.times_s[rows],
        ids=found.ids[rows],
        boxes_xyxy=found.boxes_xyxy[rows],
        labels=found.labels[rows],
        scores=found.scores[rows],
    )
