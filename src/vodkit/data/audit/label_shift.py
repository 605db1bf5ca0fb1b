"""By how many frames labels are shifted against the picture, estimated from what moves.

Tools that count frames differently (from 1, by rate, by key frames, dropping the first) hand over
labels that are right but k frames off. Where objects move, a box of frame f then covers moving
pixels best in picture f + k. "Moving" is the difference to the background (the median picture of
a window); where the camera moves as well, the difference to the neighbouring pictures.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from vodkit.ground.arrays import ByteArray, FloatArray, IntArray
from vodkit.ground.records import NO_ID, LabelledVideo, TrackTable
from vodkit.ground.settings import bounded, check_ranges


@dataclass(frozen=True, kw_only=True)
class ShiftSearch:
    """Where and how far to look."""

    most: int = bounded(10, low=1)
    """largest shift looked for, in frames, in both directions"""
    window: int = bounded(90, low=1)
    """frames looked at in one place"""
    num_windows: int = bounded(3, low=1)
    """places looked at, those where the labels move most"""
    plateau: float = bounded(0.1, above=0, below=1)
    """shifts whose score is within this share of the best one are as good as the best"""
    sureness: float = 4.0
    """how many standard errors better the best shift must be than none"""
    suspicion: float = 2.0
    """the same for a shift that is only suspected"""

    def __post_init__(self) -> None:
        """Check ranges."""
        check_ranges(self)


@dataclass(frozen=True)
class Shift:
    """The estimate: the labels of frame f fit the picture of frame ``f + frames``."""

    frames: int
    """0 where no shift is proven"""
    sureness: float
    """standard errors by which the best shift is better than none"""
    scores: tuple[float, ...]
    """for shifts -most .. most: mean motion inside the boxes (1 = as much as anywhere), or the
    correlation of how labels and pixels move"""
    suspected: int = 0
    """a shift that is likely, but not proven"""
    seen_by: str = "place"
    """``place``: moving pixels lie in the boxes; ``steps``: labels and pixels move alike"""


def windows(video: LabelledVideo, num_frames: int, search: ShiftSearch) -> list[range]:
    """The frames to keep pictures of: where labelled objects move most."""
    table = video.tracks
    if table is None or len(table) < 2 or num_frames < 2 * search.most + 4:
        return []
    length = min(search.window + 2 * search.most, num_frames)
    motion = np.zeros(num_frames + 1)
    frames, steps = _motion(table)
    inside = frames < num_frames
    np.add.at(motion, frames[inside], steps[inside])
    total = np.concatenate([[0.0], np.cumsum(motion[:num_frames])])
    starts = np.arange(0, num_frames - length + 1)
    sums = total[starts + length] - total[starts]
    chosen: list[range] = []
    while len(chosen) < search.num_windows and len(sums) and sums.max() > 0:
        start = int(sums.argmax())
        chosen.append(range(start, start + length))
        sums[max(0, start - length) : start + length] = 0
    return chosen


def _motion(table: TrackTable) -> tuple[IntArray, FloatArray]:
    """Frames, and how far a track moved to there from its row before, in box widths."""
    order = np.lexsort((table.frames, table.ids))
    one, two = order[:-1], order[1:]
    same = (table.ids[one] == table.ids[two]) & (table.ids[one] != NO_ID)
    one, two = one[same], two[same]
    boxes = table.boxes_xyxy
    moved = np.abs(boxes[two, :2] - boxes[one, :2]).sum(axis=1)
    size = np.maximum(boxes[two, 2] - boxes[two, 0], 1.0)
    return table.frames[two], np.minimum(moved / size, 1.0)


def estimate(
    video: LabelledVideo,
    kept: dict[int, ByteArray],
    chosen: Sequence[range],
    search: ShiftSearch,
) -> Shift | None:
    """The shift between labels and small pictures ``kept``; None where too little moves."""
    scores = [
        found
        for window in chosen
        if (found := _window_scores(video, kept, window, search)) is not None
    ]
    if not scores:
        return None
    per_frame = np.concatenate(scores)  # (frames, shifts)
    curve = per_frame.mean(axis=0)
    if curve.max() - curve.min() < 0.1 or curve.max() < 1.2:
        return None
    best = middle_of_top(curve, search.plateau) - search.most
    sure = sureness_of(per_frame[:, best + search.most] - per_frame[:, search.most])
    on_top = curve[search.most] >= curve.max() - search.plateau * (curve.max() - curve.min())
    proven = best != 0 and not on_top and sure >= search.sureness
    return Shift(best if proven else 0, sure, tuple(curve.tolist()))


def middle_of_top(curve: FloatArray, plateau: float) -> int:
    """The middle of the run of shifts around the best one that are as good as it."""
    level = curve.max() - plateau * (curve.max() - curve.min())
    first = last = int(curve.argmax())
    while first > 0 and curve[first - 1] >= level:
        first -= 1
    while last < len(curve) - 1 and curve[last + 1] >= level:
        last += 1
    middle = (first + last) / 2
    top = int(curve.argmax())
    return int(np.floor(middle)) if top <= middle else int(np.ceil(middle))


def sureness_of(gains: FloatArray) -> float:
    """Mean over standard error of gains, in blocks because neighbouring frames look alike."""
    size = max(1, len(gains) // 16)
    blocks = [block.mean() for block in np.array_split(gains, max(2, len(gains) // size))]
    error = float(np.std(blocks, ddof=1)) / np.sqrt(len(blocks))
    return float(np.mean(blocks) / error) if error > 0 else 0.0


def _window_scores(
    video: LabelledVideo, kept: dict[int, ByteArray], window: range, search: ShiftSearch
) -> FloatArray | None:
    """Motion inside the boxes (frames, shifts) relative to that of the whole picture."""
    pictures = [kept[frame] for frame in window if frame in kept]
    if len(pictures) < len(window):
        return None
    stack = np.stack(pictures).astype(np.float32)
    table = video.tracks
    assert table is not None
    inner = window[search.most : len(window) - search.most]
    frames = [frame for frame in np.unique(table.frames).tolist() if frame in inner]
    if len(frames) < 8:
        return None
    scale = np.array([stack.shape[2] / video.info.width_px, stack.shape[1] / video.info.height_px])
    found = []
    for energy in (_against_background(stack), _against_neighbours(stack)):
        sums = _integral(energy / np.maximum(energy.mean(axis=(1, 2), keepdims=True), 1e-3))
        rows = [
            _frame_scores(
                sums, _small_boxes(table, frame, scale), frame - window.start, search.most
            )
            for frame in frames
        ]
        found.append(np.array([row for row in rows if row is not None]))
    found = [scores for scores in found if len(scores) >= 8]
    return max(found, key=lambda scores: float(np.ptp(scores.mean(axis=0))), default=None)


def _against_background(stack: FloatArray) -> FloatArray:
    background = np.median(stack[:: max(1, len(stack) // 40)], axis=0)
    return np.asarray(np.abs(stack - background))


def _against_neighbours(stack: FloatArray) -> FloatArray:
    step = np.abs(np.diff(stack, axis=0))
    return np.asarray((np.concatenate([step[:1], step]) + np.concatenate([step, step[-1:]])) / 2)


def _integral(energy: FloatArray) -> FloatArray:
    """(T, H + 1, W + 1): the sum above and to the left of each corner."""
    return np.pad(energy.cumsum(axis=1, dtype=np.float64).cumsum(axis=2), ((0, 0), (1, 0), (1, 0)))


def _small_boxes(table: TrackTable, frame: int, scale: FloatArray) -> IntArray:
    """Corners (N, 4) in the small picture of the objects of a frame."""
    rows = (table.frames == frame) & ~table.ignore
    return np.asarray(np.round(table.boxes_xyxy[rows] * np.tile(scale, 2)).astype(int))


def _frame_scores(sums: FloatArray, boxes: IntArray, place: int, most: int) -> FloatArray | None:
    """Mean motion inside the boxes of one frame in the pictures -most .. most around it."""
    height, width = sums.shape[1] - 1, sums.shape[2] - 1
    x1, x2 = np.clip(boxes[:, 0], 0, width), np.clip(boxes[:, 2], 0, width)
    y1, y2 = np.clip(boxes[:, 1], 0, height), np.clip(boxes[:, 3], 0, height)
    areas = (x2 - x1) * (y2 - y1)
    usable = (areas >= 6) & (areas < 0.3 * height * width)
    if not usable.any():
        return None
    x1, x2, y1, y2, areas = (values[usable] for values in (x1, x2, y1, y2, areas))
    near = sums[place - most : place + most + 1]
    inside = near[:, y2, x2] - near[:, y1, x2] - near[:, y2, x1] + near[:, y1, x1]
    return np.asarray((inside / areas).mean(axis=1))
