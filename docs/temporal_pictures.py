"""Frames of the sample clip that only memory finds objects in, and where memory fails.

Three of ten frames of ``plaza_b.mp4`` are degraded, with a fixed seed. The sample detector runs on
each frame alone and with ``links-both``; the labels tell which of the two is right. Shown are the
two clearest of each kind, above what the detector finds in the frame alone, below with memory.
"""

import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import cache
from typing import NamedTuple

import cv2
import numpy as np

from vodkit.data.degrade import degraded
from vodkit.detect.models import load_detector
from vodkit.formats.table import read_dataset
from vodkit.ground.arrays import ByteArray, FloatArray
from vodkit.ground.boxes import iou
from vodkit.ground.records import Detections, Frame, TrackTable
from vodkit.report.draw import draw_found
from vodkit.samples.samples import CLIP_B, LABELS
from vodkit.temporal.links import Links, LinkSettings
from vodkit.temporal.memory import Memory
from vodkit.video.reader import open_video

SHOWN = 0.3
"""least score of a box that is drawn"""
SHARE = 0.3
FAR, CLOSE = 0.1, 0.01
"""by how much the score of one side is beyond ``SHOWN``, and that of the other below it: finds, and
losses, of which there are few"""
TILE = (220, 260)  # px, width and height
KINDS = ("found by memory alone", "lost by memory", "false alarm of memory")


class Case(NamedTuple):
    """A box that one of the two shows."""

    kind: str
    frame: int
    box: FloatArray
    clear: float
    """by how much the scores are apart"""


def frames() -> list[Frame]:
    """The clip, with three of ten frames degraded."""
    rng = np.random.default_rng(0)
    with open_video(CLIP_B) as video:
        return [
            Frame(
                one.index,
                one.time_s,
                degraded(one.image, rng) if rng.random() < SHARE else one.image,
            )
            for one in video.frames()
        ]


def both(shown: Sequence[Frame]) -> tuple[list[Detections], list[Detections], tuple[str, ...]]:
    """What the detector finds in each frame alone, and with the frames around it."""
    detector = load_detector("vodkit-street", score_threshold=0.01, classes=["person"])
    alone = [found for _, found in detector.stream(iter(shown), 8)]
    memory = Memory[int](Links(LinkSettings()), threshold=0.01, both=True)
    after = []
    for frame, found in zip(shown, alone, strict=True):
        after += [one for _, one in memory.push(frame.index, frame.time_s, found)]
    return alone, [*after, *(one for _, one in memory.rest())], detector.classes


def cases(alone: Sequence[Detections], after: Sequence[Detections]) -> Iterator[Case]:
    """Where the two differ clearly, judged by the labels."""
    for number, (one, other) in enumerate(zip(alone, after, strict=True)):
        truth = labelled(number)
        for box in truth:
            before, now = (_score(box, found) for found in (one, other))
            if before < SHOWN - FAR and now > SHOWN + FAR:
                yield Case(KINDS[0], number, box, now - before)
            if now < SHOWN - CLOSE and before > SHOWN + CLOSE:
                yield Case(KINDS[1], number, box, before - now)
        for box, score in zip(other.boxes_xyxy, other.scores, strict=True):
            near = iou(box[None], truth).max(initial=0.0) if len(truth) else 0.0
            before = _score(box, one)
            if near < 0.2 and score > SHOWN and before < SHOWN:
                yield Case(KINDS[2], number, box, float(score) - before)


def counted(alone: Sequence[Detections], after: Sequence[Detections], least: float) -> str:
    """What the guide says: labelled objects that one of the two finds, and wrong boxes of both."""
    right, wrong = Counter[tuple[bool, ...]](), [0, 0]
    for number, pair in enumerate(zip(alone, after, strict=True)):
        truth = labelled(number)
        right.update(tuple(_score(box, one) >= least for one in pair) for box in truth)
        for side, one in enumerate(pair):
            shown = one.boxes_xyxy[one.scores >= least]
            wrong[side] += int((iou(shown, truth).max(axis=1, initial=0) < 0.5).sum())
    found, lost = right[False, True], right[True, False]
    return (
        f"score {least:g}: of {right.total()} labelled objects {found} by memory alone, {lost} by"
        f" the frame alone; wrong boxes {wrong[0]} in frames alone, {wrong[1]} with memory"
    )


@cache
def _tracks() -> TrackTable:
    tracks = next(one for one in read_dataset(LABELS).videos if one.source == CLIP_B.name).tracks
    assert tracks is not None
    return tracks


def labelled(number: int) -> FloatArray:
    """The labelled boxes of a frame."""
    return _tracks()[_tracks().frames == number].boxes_xyxy


def _score(box: FloatArray, found: Detections) -> float:
    """The best score of a box that overlaps this one by half."""
    if not len(found):
        return 0.0
    return float(np.where(iou(box[None], found.boxes_xyxy)[0] >= 0.5, found.scores, 0).max())


def chosen(found: Sequence[Case], most: int = 2) -> list[Case]:
    """The clearest of each kind, in frames half a second apart at least."""
    kept: list[Case] = []
    for kind in KINDS:
        mine: list[Case] = []
        for case in sorted((one for one in found if one.kind == kind), key=lambda one: -one.clear):
            if len(mine) < most and all(abs(case.frame - one.frame) >= 5 for one in mine):
                mine.append(case)
        kept += mine
    return kept


def _tile(
    image: ByteArray, box: FloatArray, found: Detections, classes: Sequence[str]
) -> ByteArray:
    """What lies around a box, as large as a tile, with what was found there."""
    centre, side = (box[:2] + box[2:]) / 2, max(float(box[3] - box[1]), 40.0) * 1.5
    scale = TILE[1] / side
    origin = centre - np.array(TILE) / scale / 2
    to_tile = np.array([[scale, 0, -scale * origin[0]], [0, scale, -scale * origin[1]]])
    tile = cv2.warpAffine(image, to_tile, TILE, flags=cv2.INTER_CUBIC)
    shown = found[found.scores >= SHOWN]
    boxes = (shown.boxes_xyxy - np.tile(origin, 2)) * scale
    inside = (boxes[:, 2:] > 0).all(axis=1) & (boxes[:, :2] < TILE).all(axis=1)
    return draw_found(np.asarray(tile), replace(shown, boxes_xyxy=boxes)[inside], classes)


def picture() -> ByteArray:
    """The tiles of all cases side by side, each frame alone above, with memory below."""
    shown = frames()
    alone, after, classes = both(shown)
    found = chosen([*cases(alone, after)])
    for least in (0.2, SHOWN):
        sys.stdout.write(counted(alone, after, least) + "\n")
    columns = []
    for case in found:
        image = shown[case.frame].image
        tiles = [_tile(image, case.box, one[case.frame], classes) for one in (alone, after)]
        line = np.full((34, TILE[0], 3), 255, np.uint8)
        cv2.putText(
            line, case.kind, (4, 23), cv2.FONT_HERSHEY_SIMPLEX, 0.5, (20, 20, 20), 1, cv2.LINE_AA
        )
        gap = np.full((6, TILE[0], 3), 255, np.uint8)
        columns.append(np.concatenate([line, tiles[0], gap, tiles[1]]))
    between = np.full((columns[0].shape[0], 8, 3), 255, np.uint8)
    parts = [part for column in columns for part in (column, between)]
    return np.concatenate(parts[:-1], axis=1)
