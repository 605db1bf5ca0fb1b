"""Which frames are learnt from, and in what order: index arithmetic without pixels.

A *run* is a stretch of one video that is decoded together. The order of an epoch shuffles runs,
then mixes the frames of a window of runs; so frames come in random order, but every frame is
decoded with its neighbours, and never by a random seek of its own.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from vodkit.ground import boxes
from vodkit.ground.arrays import FloatArray, IntArray
from vodkit.ground.errors import InputError
from vodkit.ground.records import Dataset, LabelledVideo, TrackTable


class Key(NamedTuple):
    """One frame of a dataset."""

    video: int
    """position in ``Dataset.videos``"""
    frame: int


@dataclass(frozen=True)
class Chunk:
    """Consecutive samples of an epoch that are made together (by one worker)."""

    epoch: int
    first: int
    """position in the epoch of the first of ``indices``"""
    indices: tuple[int, ...]
    """sample numbers; all may take part in mixing"""
    wanted: tuple[int, ...]
    """which of ``indices`` are to be made, by place"""


def labelled_keys(dataset: Dataset, *, every: int = 1, still_iou: float = 1.0) -> list[Key]:
    """The frames that a labeller looked at, without near-duplicates.

    Args:
        dataset: videos without any labels are left out.
        every: keep every n-th labelled frame of a video.
        still_iou: leave out a frame whose boxes all overlap those of the last kept frame at least
            that much, one by one; 1 keeps every frame in which anything moved, above 1 keeps all.
    """
    keys = []
    for number, video in enumerate(dataset.videos):
        if video.tracks is None:
            continue
        frames = labelled_frames(video)[::every]
        keys += [Key(number, frame) for frame in _moving(video.tracks, frames, still_iou)]
    if not keys:
        raise InputError(f"no labelled frames in {len(dataset.videos)} videos")
    return keys


def labelled_frames(video: LabelledVideo) -> list[int]:
    """Indices of the frames that a labeller inspected, ascending."""
    if video.labelled_frames is not None:
        return [int(frame) for frame in video.labelled_frames]
    if video.info.num_frames is not None:
        return list(range(video.info.num_frames))
    assert video.tracks is not None
    return [int(frame) for frame in np.unique(video.tracks.frames)]


def _moving(tracks: TrackTable, frames: Sequence[int], still_iou: float) -> list[int]:
    kept: list[int] = []
    last: tuple[IntArray, FloatArray] | None = None
    for frame in frames:
        ids, now_xyxy = rows_of(tracks, frame)
        if last is None or not _still(last, (ids, now_xyxy), still_iou):
            kept.append(frame)
            last = (ids, now_xyxy)
    return kept


def rows_of(tracks: TrackTable, frame: int) -> tuple[IntArray, FloatArray]:
    """Ids (N,) and boxes (N, 4) of one frame."""
    rows = slice(*np.searchsorted(tracks.frames, [frame, frame + 1]))
    return tracks.ids[rows], tracks.boxes_xyxy[rows]


def _still(
    last: tuple[IntArray, FloatArray], now: tuple[IntArray, FloatArray], still_iou: float
) -> bool:
    if still_iou > 1 or len(last[0]) == 0 or not np.array_equal(last[0], now[0]):
        return False
    return bool((boxes.iou_pairs(last[1], now[1]) >= still_iou).all())


RUN = 64
"""samples that are decoded together: several groups of pictures of a usual video, so that few
frames are decoded only to reach others"""
WINDOW = 256
"""samples that are mixed with each other, and so are in memory at a time"""
_LEAST_RUNS = 4  # that are mixed, where memory is short


def fitting_length(room: int, *, most: int = RUN) -> int:
    """Samples to decode together, where so many pictures can be kept.

    >>> fitting_length(1000), fitting_length(100), fitting_length(1)
    (64, 25, 1)
    """
    return max(min(most, room // _LEAST_RUNS), 1)


def runs_of(keys: Sequence[Key], *, length: int) -> list[range]:
    """Positions in ``keys`` (sorted) cut into runs of at most ``length`` of one video."""
    starts = [i for i, key in enumerate(keys) if i == 0 or keys[i - 1].video != key.video]
    runs = []
    for start, stop in pairwise([*starts, len(keys)]):
        runs += [range(at, min(at + length, stop)) for at in range(start, stop, length)]
    return runs


def epoch_order(
    runs: Sequence[Sequence[int]],
    *,
    seed: int,
    epoch: int,
    window: int = WINDOW,
    repeats: FloatArray | None = None,
    pictures: Sequence[int] | None = None,
    room: int | None = None,
) -> IntArray:
    """Sample numbers of one epoch; equal arguments give an equal order.

    Runs are shuffled, and the samples of as many as make ``window`` are mixed with each other.

    Args:
        runs: samples that are decoded together.
        seed: of the order, with ``epoch``.
        epoch: another one, another order.
        window: as many samples are mixed, give or take a run.
        repeats: how often each sample comes on average (a fraction is a chance); None: once.
        pictures: how many each run has; None: one a sample.
        room: pictures that can be kept; fewer runs are mixed where theirs would be more.
    """
    rng = np.random.default_rng((seed, epoch))
    order, mixed, kept = [], np.empty(0, np.int64), 0
    shuffled = rng.permutation(len(runs)).tolist()
    sizes = pictures or [len(run) for run in runs]
    for i, following in zip(shuffled, [*shuffled[1:], None], strict=True):
        mixed = np.concatenate([mixed, np.asarray(runs[i])])
        kept += sizes[i]
        fits = following is not None and (room is None or kept + sizes[following] <= room)
        if len(mixed) < window and fits:
            continue
        if repeats is not None:
            mixed = np.repeat(mixed, np.floor(repeats[mixed] + rng.random(len(mixed))).astype(int))
        order.append(rng.permutation(mixed))
        mixed, kept = np.empty(0, np.int64), 0
    return np.concatenate(order)


def repeat_factors(labels_of: Sequence[IntArray], num_classes: int, share: float) -> FloatArray:
    """How often each sample should come so that rare classes are learnt (Gupta et al., 2019).

    max(1, sqrt(share / f)) with f the share of samples that have the class, for the rarest class
    of the sample (arXiv:1908.03195, section 5.2).
    """
    has = np.zeros((len(labels_of), num_classes), bool)
    for row, labels in enumerate(labels_of):
        has[row, labels] = True
    frequency = np.maximum(has.mean(axis=0), 1 / max(len(has), 1))
    factors = np.maximum(1, np.sqrt(share / frequency))
    return np.asarray(np.where(has, factors, 1.0).max(axis=1))


def chunks(
    order: IntArray,
    *,
    epoch: int,
    batch_size: int,
    batches_per_chunk: int,
    skip_batches: int = 0,
    rank: int = 0,
    world: int = 1,
) -> Iterator[Chunk]:
    """An epoch's order in chunks, from batch ``skip_batches`` on, for one of ``world`` processes.

    ``batch_size`` counts the samples of all processes; each gets an equal part of every batch.
    The order must fill whole batches (``whole_batches``).
    """
    size = batch_size * batches_per_chunk
    part = batch_size // world
    for first in range(0, len(order), size):
        indices = order[first : first + size]
        places = np.arange(len(indices))
        mine = (places % batch_size) // part == rank
        todo = places + first >= skip_batches * batch_size
        if todo.any():
            wanted = tuple(int(place) for place in places[mine & todo])
            yield Chunk(epoch, first, tuple(int(i) for i in indices), wanted)


def whole_batches(order: IntArray, *, batch_size: int, count: int) -> IntArray:
    """Exactly ``count`` batches: the order cut off, or continued from its beginning."""
    return np.resize(order, count * batch_size)


def reference_frames(
    key: int, *, num_frames: int, count: int, reach: int, rng: np.random.Generator
) -> list[int]:
    """``count`` different frames at most ``reach`` before or after ``key``, sorted, without it.

    Drawn on both sides alike (bilateral uniform, as in FGFA and MEGA). At the ends of a video, and
    where there are fewer than ``count`` neighbours, frames come more than once.
    """
    low, high = max(key - reach, 0), min(key + reach, num_frames - 1)
    near = [frame for frame in range(low, high + 1) if frame != key] or [key]
    chosen = rng.choice(near, size=count, replace=len(near) < count)
    return sorted(int(frame) for frame in chosen)


def clip_frames(key: int, *, num_frames: int, length: int, step: int) -> list[int]:
    """``length`` frames, ``step`` apart, around ``key``; beyond the ends the last one repeats."""
    first = key - (length // 2) * step
    wanted = range(first, first + length * step, step)
    return [min(max(frame, 0), num_frames - 1) for frame in wanted]
