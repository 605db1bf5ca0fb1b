"""Objects of some classes made unrecognisable in a copy of the video, without its sound."""

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from vodkit.formats.predictions import read_frames
from vodkit.ground.arrays import ByteArray, FloatArray
from vodkit.ground.errors import SettingsError
from vodkit.infer.finished import FinishedRun
from vodkit.video.writer import VideoWriter

_ROUNDING_S = 1e-6
_MARGIN = 0.15  # added to each side of a box, in shares of its width and height
_HOLD_S = 0.2  # a box also hides its place so long before and after it was found
_CELLS = 5  # squares that a box's shorter side is cut into, each of one colour


@dataclass(frozen=True, kw_only=True)
class Blurred:
    """What was written, and what may still be seen in it."""

    num_frames: int
    num_without: int
    """frames in which nothing was blurred"""
    notes: tuple[str, ...]


def blur_video(run: FinishedRun, labels: Collection[int], path: Path) -> Blurred:
    """Write the video with every box of some classes as coarse squares.

    All rows hide something: of predicted and filled boxes and of tracks that were never confirmed,
    too. What the detector missed stays visible.

    Args:
        run: what was found, and the video.
        labels: classes to hide.
        path: the mp4 to write; it gets no sound, by which people are known as well.
    """
    boxes, times = _rows(run, labels)
    done = np.concatenate([[-np.inf], sorted(run.predictions.clock.values()), [np.inf]])
    counts = [0, 0]
    with run.open_video() as video:
        info = video.info
        size: dict[str, Any] = {"width_px": info.width_px, "height_px": info.height_px}
        with VideoWriter(path, **size, rate=info.rate) as out:
            for frame in video.frames():
                # Frames between two that were processed (--every) hide what both found.
                before = done[np.searchsorted(done, frame.time_s + _ROUNDING_S) - 1]
                after = done[np.searchsorted(done, frame.time_s - _ROUNDING_S)]
                begin_s = min(frame.time_s - _HOLD_S, before) - _ROUNDING_S
                end_s = max(frame.time_s + _HOLD_S, after) + _ROUNDING_S
                first, last = np.searchsorted(times, [begin_s, end_s])
                for box in boxes[first:last]:
                    hide(frame.image, box)
                counts[0] += 1
                counts[1] += first == last
                out.write(frame.image, frame.time_s)
    notes = () if out.resampled is None else (f"{path}: {out.resampled}",)
    return Blurred(num_frames=counts[0], num_without=counts[1], notes=notes)


def _rows(run: FinishedRun, labels: Collection[int]) -> tuple[FloatArray, FloatArray]:
    """Boxes (R, 4) with their margins, and their times (R,), in order of time."""
    boxes, times = [np.empty((0, 4))], [np.empty(0)]
    for frame in read_frames(run.path):
        kept = frame.found.boxes_xyxy[np.isin(frame.found.labels, list(labels))].astype(float)
        extra = (kept[:, 2:] - kept[:, :2]) * _MARGIN
        boxes.append(np.hstack([kept[:, :2] - extra, kept[:, 2:] + extra]))
        times.append(np.full(len(kept), frame.time_s))
    return np.vstack(boxes), np.concatenate(times)


def hide(image: ByteArray, box_xyxy: FloatArray) -> None:
    """Replace a box in ``image`` (H, W, 3) by squares of one colour each."""
    import cv2

    height, width = image.shape[:2]
    low = np.floor(np.clip(box_xyxy[:2], 0, [width, height])).astype(int)
    high = np.ceil(np.clip(box_xyxy[2:], 0, [width, height])).astype(int)
    part = image[low[1] : high[1], low[0] : high[0]]
    if not part.size:
        return
    square = max(1.0, min(part.shape[:2]) / _CELLS)
    coarse = [max(1, round(side / square)) for side in part.shape[1::-1]]
    few = cv2.resize(part, coarse, interpolation=cv2.INTER_AREA)
    part[:] = cv2.resize(few, part.shape[1::-1], interpolation=cv2.INTER_NEAREST)


def labels_of(names: Collection[str], classes: Collection[str]) -> Iterator[int]:
    """The labels of class names; SettingsError names those that the run has."""
    known = list(classes)
    for name in names:
        if name not in known:
            raise SettingsError(f"class {name!r} is not of this run; allowed: {', '.join(known)}")
        yield known.index(name)
