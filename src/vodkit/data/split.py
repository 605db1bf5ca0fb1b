"""Dividing labelled video into training, validation and test sides without leaks.

The unit is the video, a group of videos (same recording, site, animal), or a shot of a video;
never the frame. Units are dealt out so that classes, box sizes and labelled frames come as close
to the wanted shares as they can. A single video can only be cut into stretches of time with a
guard gap between; that is allowed, and the warning travels in the tags into every report.
"""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np

from vodkit.data.settings import SplitSettings
from vodkit.formats.base import SPLIT_WARNING
from vodkit.formats.rows import labelled_frames
from vodkit.ground.arrays import FloatArray, IntArray
from vodkit.ground.boxes import area
from vodkit.ground.errors import InputError
from vodkit.ground.records import Dataset, LabelledVideo

SMALL_PX, LARGE_PX = 32, 96
"""COCO's borders of small and large boxes, square root of the area"""
_TENTH = 10


@dataclass(frozen=True, eq=False)
class Unit:
    """What may not be torn apart: stretches of videos that go to one side together."""

    key: str
    parts: tuple[tuple[int, int, int], ...]
    """(position of the video, first frame, end frame); end -1: the whole video"""
    weights: FloatArray
    """(C + 4,) boxes of each class, small, medium and large boxes, labelled frames"""


def split_dataset(
    dataset: Dataset,
    settings: SplitSettings,
    *,
    cuts: Mapping[str, IntArray] | None = None,
) -> dict[str, Dataset]:
    """The sides of the split, by name, empty ones left out.

    ``cuts`` gives the first frames of new shots for each source (``by="scene"``). A video that is
    on several sides is in each with its own labelled frames.
    """
    if not dataset.videos:
        raise InputError("nothing to split: the dataset has no video")
    source, count = Counter(video.source for video in dataset.videos).most_common(1)[0]
    if count > 1:
        told = f"{source} was cut over several sides before, and what lay between them is gone"
        raise InputError(f"{told}; split the dataset that this one was made of")
    units = _units(dataset, settings, cuts or {})
    warning = ""
    if len(units) == 1:
        units, warning = _stretches(dataset, units[0], settings)
    sides = _deal(units, settings)
    cut_up = settings.by == "scene" or bool(warning)
    guard_s = settings.guard_s if cut_up else 0.0
    made = {
        side: _side(dataset, side, chosen, guard_s=guard_s)
        for side, chosen in sides.items()
        if chosen
    }
    _require_enough(dataset, made, settings, cut_up=cut_up)
    return {side: _tagged(data, warning) for side, data in made.items()}


def _require_enough(
    dataset: Dataset, sides: Mapping[str, Dataset], settings: SplitSettings, *, cut_up: bool
) -> None:
    """InputError where a side is too small for its numbers to mean anything."""
    all_frames, all_boxes = _size(dataset)
    least = (
        min(settings.least_frames, all_frames // _TENTH),
        min(settings.least_boxes, all_boxes // _TENTH),
    )
    # A dataset may be all empty frames; a side must not be.
    least = max(least[0], min(1, all_frames)), least[1]
    for side, data in sides.items():
        frames, boxes = _size(data)
        if frames >= least[0] and boxes >= least[1]:
            continue
        seen = f"side {side!r} would have {frames} labelled frames with {boxes} boxes"
        wanted = f"wanted: at least {least[0]} and {least[1]}"
        gap = f", a shorter guard_s ({settings.guard_s:g} s)" if cut_up else ""
        larger = "fewer folds" if settings.folds > 1 else f"a larger share for {side}"
        change = f"{larger}{gap}, more labelled video, or lower least_frames and least_boxes"
        raise InputError(f"{seen} ({wanted}); change: {change}")


def _size(dataset: Dataset) -> tuple[int, int]:
    """Labelled frames, and boxes, of all videos."""
    frames = sum(len(labelled_frames(video)) for video in dataset.videos)
    return frames, sum(len(video.tracks or ()) for video in dataset.videos)


def merge(sides: Mapping[str, Dataset]) -> Dataset:
    """All sides as one dataset; a video that is on several sides stands in it once for each."""
    videos = [video for data in sides.values() for video in data.videos]
    ordered = sorted(videos, key=lambda video: video.source)
    return replace(next(iter(sides.values())), videos=tuple(ordered))


def _units(dataset: Dataset, settings: SplitSettings, cuts: Mapping[str, IntArray]) -> list[Unit]:
    groups: dict[str, list[tuple[int, int, int]]] = {}
    for position, video in enumerate(dataset.videos):
        if settings.by == "scene":
            for start, end in _shots(video, cuts.get(video.source)):
                groups[f"{video.source}#{start}"] = [(position, start, end)]
        else:
            groups.setdefault(_group(video, settings), []).append((position, 0, -1))
    return [Unit(key, tuple(parts), _weights(dataset, parts)) for key, parts in groups.items()]


def _group(video: LabelledVideo, settings: SplitSettings) -> str:
    if settings.by == "tag":
        if settings.tag not in video.tags:
            known = ", ".join(sorted(video.tags)) or "none"
            raise InputError(f"{video.source} has no tag {settings.tag!r}; it has: {known}")
        return video.tags[settings.tag]
    if settings.by == "pattern":
        match = re.search(settings.pattern, video.source)
        if match is None:
            raise InputError(f"pattern {settings.pattern!r} does not fit {video.source!r}")
        return match.group(1) or ""
    return video.source


def _num_frames(video: LabelledVideo) -> int:
    if video.info.num_frames is not None:
        return video.info.num_frames
    frames = labelled_frames(video)
    return frames[-1] + 1 if frames else 0


def _shots(video: LabelledVideo, cuts: IntArray | None) -> list[tuple[int, int]]:
    edges = [0, *([] if cuts is None else cuts.tolist()), _num_frames(video)]
    return [(start, end) for start, end in pairwise(edges) if end > start]


def _weights(dataset: Dataset, parts: Sequence[tuple[int, int, int]]) -> FloatArray:
    total = np.zeros(len(dataset.classes) + 4)
    for position, start, end in parts:
        video = dataset.videos[position]
        frames = np.array(labelled_frames(video), np.int64)
        last = end if end >= 0 else np.inf
        total[-1] += ((frames >= start) & (frames < last)).sum()
        table = video.tracks
        if table is None or len(table) == 0:
            continue
        rows = (table.frames >= start) & (table.frames < last) & (table.labels >= 0)
        size = np.sqrt(area(table.boxes_xyxy[rows]))
        total[: len(dataset.classes)] += np.bincount(
            table.labels[rows], minlength=len(dataset.classes)
        )
        total[-4:-1] += np.histogram(size, [-np.inf, SMALL_PX, LARGE_PX, np.inf])[0]
    return total


def _deal(units: Sequence[Unit], settings: SplitSettings) -> dict[str, list[Unit]]:
    """Give each unit, the heaviest first, to the side that needs it most (Sechidis 2011)."""
    if settings.folds > 1:
        if len(units) < settings.folds:
            raise InputError(f"{settings.folds} folds of {len(units)} units; allowed: at most that")
        names = [f"fold {number}" for number in range(settings.folds)]
        dealt = _stratified(units, names, [1 / settings.folds] * settings.folds, settings.seed)
        others = [unit for name in names if name != names[settings.fold] for unit in dealt[name]]
        return {"train": others, "val": dealt[names[settings.fold]]}
    wanted = {side: share for side, share in settings.shares.items() if share > 0}
    if len(units) < len(wanted):
        raise InputError(f"{len(units)} units for {len(wanted)} sides; give more video")
    return _stratified(units, list(wanted), list(wanted.values()), settings.seed)


def _stratified(
    units: Sequence[Unit], sides: list[str], shares: list[float], seed: int
) -> dict[str, list[Unit]]:
    weights = np.stack([unit.weights for unit in units])
    relative = weights / np.maximum(weights.sum(axis=0), 1)
    shuffled = np.random.default_rng(seed).permutation(len(units))
    order = shuffled[np.argsort(-relative[shuffled].sum(axis=1), kind="stable")]
    have = np.zeros((len(sides), weights.shape[1]))
    dealt: dict[str, list[Unit]] = {side: [] for side in sides}
    target = np.array(shares)[:, None] * (weights.sum(axis=0) > 0)
    for done, number in enumerate(order):
        empty = [index for index, side in enumerate(sides) if not dealt[side]]
        must_fill = len(order) - done <= len(empty)
        choices = empty if must_fill else range(len(sides))
        best = min(choices, key=lambda index: _cost(have, target, index, relative[number]))
        have[best] += relative[number]
        dealt[sides[best]].append(units[number])
    return dealt


def _cost(have: FloatArray, target: FloatArray, side: int, more: FloatArray) -> float:
    """How far all sides are from their targets when ``more`` goes to ``side``."""
    with_it = have.copy()
    with_it[side] += more
    return float((((with_it - target) ** 2) / np.maximum(target, 1e-3)).sum())


def _stretches(dataset: Dataset, unit: Unit, settings: SplitSettings) -> tuple[list[Unit], str]:
    """The only unit cut into stretches of time, one for each side or fold, and the warning."""
    if len(unit.parts) > 1:
        raise InputError(f"all videos are of one group ({unit.key!r}); give more, or by=video")
    position = unit.parts[0][0]
    frames = np.array(labelled_frames(dataset.videos[position]), np.int64)
    shares = [share for share in settings.shares.values() if share > 0]
    if settings.folds > 1:
        shares = [1 / settings.folds] * settings.folds
    if len(frames) < 2 * len(shares):
        raise InputError(f"{len(frames)} labelled frames are too few to cut into {len(shares)}")
    places = np.round(np.cumsum([0.0, *shares]) * len(frames)).astype(int)
    edges = [int(frames[min(place, len(frames) - 1)]) for place in places]
    edges[-1] = int(frames[-1]) + 1
    units = []
    for start, end in pairwise(edges):
        part = ((position, start, end),)
        units.append(Unit(f"{unit.key}#{start}", part, _weights(dataset, part)))
    guard_s = _guard_s(dataset.videos[position], settings.guard_s)
    warning = (
        f"one recording only ({unit.key}): its sides are stretches of the same video, "
        f"{guard_s:g} s apart; numbers are too good"
    )
    return units, warning


def _guard_s(video: LabelledVideo, guard_s: float) -> float:
    """The gap between two sides of a recording: of a short one at most a tenth."""
    return min(guard_s, round(_num_frames(video) / float(video.info.rate) / _TENTH, 3))


def _side(dataset: Dataset, side: str, units: Sequence[Unit], *, guard_s: float) -> Dataset:
    parts: dict[int, list[tuple[int, int]]] = {}
    for unit in units:
        for position, start, end in unit.parts:
            parts.setdefault(position, []).append((start, end))
    videos = [
        _restricted(dataset.videos[position], sorted(parts[position]), guard_s)
        for position in sorted(parts)
    ]
    named = tuple(replace(video, split=side) for video in videos)
    return replace(dataset, videos=named)


def _restricted(
    video: LabelledVideo, stretches: list[tuple[int, int]], guard_s: float
) -> LabelledVideo:
    """The video with only the labels in the stretches, away from their inner ends.

    Half a guard gap goes at each end that another side begins at; a stretch that touches another
    of the same side loses nothing there.
    """
    if stretches == [(0, -1)]:
        return video
    guard = int(np.ceil(_guard_s(video, guard_s) / 2 * float(video.info.rate)))
    frames = np.array(labelled_frames(video), np.int64)
    starts = {start for start, _ in stretches}
    ends = {end for _, end in stretches}
    total = _num_frames(video)
    keep = np.zeros(len(frames), np.bool_)
    for start, end in stretches:
        first = start if start == 0 or start in ends else start + guard
        last = end if end >= total or end in starts else end - guard
        keep |= (frames >= first) & (frames < last)
    kept = frames[keep]
    table = video.tracks
    tracks = None if table is None else table[np.isin(table.frames, kept)]
    return replace(video, labelled_frames=kept, tracks=tracks)


def _tagged(dataset: Dataset, warning: str) -> Dataset:
    if not warning:
        return dataset
    videos = tuple(
        replace(video, tags={**video.tags, SPLIT_WARNING: warning}) for video in dataset.videos
    )
    return replace(dataset, videos=videos)
