"""The best picture of each track, cut out."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from vodkit.ground.arrays import ByteArray, FloatArray, IntArray
from vodkit.ground.csv_tables import write_csv
from vodkit.ground.paths import folder_name
from vodkit.ground.records import NO_ID, State, TrackTable
from vodkit.infer.finished import FinishedRun
from vodkit.report.contact_sheet import write_png

_MARGIN = 0.1  # added to each side of a box, in shares of its width and height
_CANDIDATES = 5  # sightings of a track whose sharpness is compared: those with the best boxes
_SHARP_PX = 96  # side that crops are brought to before their sharpness is compared


@dataclass(frozen=True, eq=False)
class Crop:
    """The best picture of a track."""

    track_id: int
    label: int
    frame: int
    time_s: float
    score: float
    box_xyxy: FloatArray
    """(4,) the box, without margin"""
    image: ByteArray
    """(h, w, 3)"""


def best_crops(run: FinishedRun, *, classes: Sequence[int] | None = None) -> Iterator[Crop]:
    """One picture of each track: a sure, large, free-standing and sharp sighting.

    Args:
        run: tracks and video.
        classes: labels of tracks that are wanted; None: all.

    Yields:
        Crops by track id.
    """
    run.require_tracks()
    table = run.predictions.table
    usable = (table.states == State.OBSERVED) & (table.ids != NO_ID)
    quality = box_quality(table, run.header.info.width_px, run.header.info.height_px)
    best = {}
    for track_id in np.unique(table.ids[usable]).tolist():
        own = np.flatnonzero(usable & (table.ids == track_id))
        label = int(np.bincount(table.labels[own]).argmax())
        if classes is None or label in classes:
            order = own[np.argsort(-quality[own], kind="stable")]
            best[track_id] = (label, order[:_CANDIDATES])
    for track_id, (row, image) in sorted(_sharpest(run, best, quality).items()):
        yield Crop(
            track_id=track_id,
            label=best[track_id][0],
            frame=int(table.frames[row]),
            time_s=float(table.times_s[row]),
            score=float(table.scores[row]),
            box_xyxy=table.boxes_xyxy[row],
            image=image,
        )


def box_quality(table: TrackTable, width_px: int, height_px: int) -> FloatArray:
    """How good (R,) a picture of its object each row promises to be.

    Score times side, times the part of the box in the picture, less what other boxes cover. A box
    at the edge of the picture is probably cut off.
    """
    boxes = table.boxes_xyxy
    size = boxes[:, 2:] - boxes[:, :2]
    at_edge = (boxes[:, :2] <= 1).any(axis=1) | (boxes[:, 2:] >= [width_px - 1, height_px - 1]).any(
        axis=1
    )
    inner = np.clip(boxes, 0, [width_px, height_px] * 2)
    inside = (inner[:, 2:] - inner[:, :2]).prod(axis=1) / np.maximum(size.prod(axis=1), 1e-9)
    free = 1 - _covered(table)
    sides = np.sqrt(np.maximum(size.prod(axis=1), 0))
    return np.asarray(table.scores * sides * inside * free * np.where(at_edge, 0.5, 1))


def _covered(table: TrackTable) -> FloatArray:
    """The largest share (R,) of each box that another box of its frame lies over."""
    worst = np.zeros(len(table))
    for frame in np.unique(table.frames):
        rows = np.flatnonzero(table.frames == frame)
        boxes = table.boxes_xyxy[rows]
        low = np.maximum(boxes[:, None, :2], boxes[None, :, :2])
        high = np.minimum(boxes[:, None, 2:], boxes[None, :, 2:])
        shared = np.maximum(high - low, 0).prod(axis=2)
        np.fill_diagonal(shared, 0)
        own = np.maximum((boxes[:, 2:] - boxes[:, :2]).prod(axis=1), 1e-9)
        worst[rows] = np.minimum(shared.max(axis=1, initial=0) / own, 1)
    return worst


def _sharpest(
    run: FinishedRun, best: dict[int, tuple[int, IntArray]], quality: FloatArray
) -> dict[int, tuple[int, ByteArray]]:
    """Of each track the row with the best product of quality and sharpness, and its picture."""
    table = run.predictions.table
    by_frame: dict[int, list[tuple[int, int]]] = {}
    for track_id, (_, rows) in best.items():
        for row in rows.tolist():
            by_frame.setdefault(int(table.frames[row]), []).append((track_id, row))
    found: dict[int, tuple[float, int, ByteArray]] = {}
    with run.open_video() as video:
        for frame in video.frames_at(sorted(by_frame)):
            for track_id, row in by_frame[frame.index]:
                image = cut_out(frame.image, table.boxes_xyxy[row])
                if not image.size:
                    continue
                value = float(quality[row]) * sharpness(image)
                if track_id not in found or value > found[track_id][0]:
                    found[track_id] = (value, row, image)
    return {track_id: (row, image) for track_id, (_, row, image) in found.items()}


def cut_out(image: ByteArray, box_xyxy: FloatArray) -> ByteArray:
    """A copy of the box with its margin, as far as the picture goes."""
    height, width = image.shape[:2]
    extra = (box_xyxy[2:] - box_xyxy[:2]) * _MARGIN
    low = np.floor(np.clip(box_xyxy[:2] - extra, 0, [width, height])).astype(int)
    high = np.ceil(np.clip(box_xyxy[2:] + extra, 0, [width, height])).astype(int)
    return image[low[1] : high[1], low[0] : high[0]].copy()


def sharpness(image: ByteArray) -> float:
    """Standard deviation of the Laplacian, at one size for all pictures."""
    import cv2

    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    zoom = _SHARP_PX / max(grey.shape)
    size = [max(1, round(side * zoom)) for side in grey.shape[::-1]]
    small = cv2.resize(grey, size, interpolation=cv2.INTER_AREA if zoom < 1 else cv2.INTER_LINEAR)
    return float(cv2.Laplacian(small, cv2.CV_64F).std()) + 1e-6


def write_crops(crops: Iterator[Crop], classes: Sequence[str], folder: Path) -> list[Crop]:
    """Write each crop as ``ID-CLASS.png``, and ``crops.csv`` with where each is from."""
    rows, done = [], []
    for crop in crops:
        name = f"{crop.track_id:04d}-{folder_name(classes[crop.label])}.png"
        write_png(crop.image, folder / name)
        corners = [f"{value:.2f}" for value in crop.box_xyxy]
        known = [name, crop.track_id, classes[crop.label]]
        about = [*known, crop.frame, f"{crop.time_s:.6f}"]
        rows.append([*about, f"{crop.score:.4f}", *corners])
        done.append(crop)
    titles = ["file", "id", "class", "frame", "time_s", "score", "x1", "y1", "x2", "y2"]
    write_csv(folder / "crops.csv", titles, rows)
    return done
