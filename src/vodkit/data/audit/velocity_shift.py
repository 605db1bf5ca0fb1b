"""Shifts of labels told by how objects move, not where: this works on slow objects, too.

A box of a slow object covers it also in the pictures around, so where moving pixels are says
nothing about a shift. When it moves does: the steps of a label's centre from frame to frame and
the optical flow inside the box go up and down together only where the shift is right. Flow is
DIS (Kroeger et al., ECCV 2016, arXiv:1603.03590), weighted by how much each pixel changes, so that
the resting background in a box counts little.
"""

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np

from vodkit.data.audit.label_shift import Shift, ShiftSearch, middle_of_top, sureness_of
from vodkit.ground.arrays import ByteArray, FloatArray, IntArray
from vodkit.ground.errors import VideoError
from vodkit.ground.records import NO_ID, LabelledVideo, TrackTable
from vodkit.video.reader import open_video

WIDTH_PX = 480
"""pictures are looked at this wide, because slow steps are a fraction of a pixel"""
SHORTEST = 24
"""frames in a row that a track needs"""
LEAST = 0.2
"""correlation below which flow does not show how the labels move"""
LEAP = 2.0
"""standard deviations at which a step is cut"""
CORE = 0.8
"""share of a box's sides that is looked at; at its edges is background"""


def estimate_slow(
    video: LabelledVideo, path: Path, chosen: Sequence[range], search: ShiftSearch
) -> Shift | None:
    """The shift by which labels and pixels move alike; None where too little can be told."""
    scores = [
        found
        for window in chosen
        if (found := velocity_scores(video, path, window, search.most)) is not None
    ]
    if not scores:
        return None
    parts = np.concatenate(scores)
    curve = parts.mean(axis=0)
    best = middle_of_top(curve, search.plateau) - search.most
    if curve.max() < LEAST:
        return None
    sure = sureness_of(parts[:, best + search.most] - parts[:, search.most])
    proven = best if abs(best) > 1 and sure >= search.sureness else 0
    suspected = best if not proven and sure >= search.suspicion else 0
    return Shift(proven, sure, tuple(curve.tolist()), suspected, "steps")


def surer(one: Shift | None, two: Shift | None) -> Shift | None:
    """The estimate that proves a shift, and of two that do the one with better evidence."""
    known = [shift for shift in (one, two) if shift is not None]
    order = [(shift.frames != 0, shift.suspected != 0, shift.sureness) for shift in known]
    return known[order.index(max(order))] if known else None


def velocity_scores(
    video: LabelledVideo, path: Path, window: range, most: int
) -> FloatArray | None:
    """For labelled steps (S,) and shifts -most .. most: parts (S, K) of their correlation.

    The mean over S is the correlation of label steps and flow, averaged over tracks and weighted
    by their lengths. None where no track is long enough or the pictures cannot be read.
    """
    table = video.tracks
    assert table is not None
    tracks = [rows for rows in _runs(table, window, most) if len(rows) > SHORTEST]
    if not tracks:
        return None
    try:
        pictures = grey_pictures(path, window, video)
    except VideoError:
        return None
    scale = pictures.shape[2] / video.info.width_px
    flows = _flows(pictures)
    found = [
        _correlate(table, rows, flows, scale, start=window.start, most=most) for rows in tracks
    ]
    usable = [one for one in found if one is not None]
    return np.concatenate(usable) if usable else None


def grey_pictures(path: Path, window: range, video: LabelledVideo) -> ByteArray:
    """Grey pictures (T, H, W) of a stretch of a video, at most WIDTH_PX wide."""
    width = min(WIDTH_PX, video.info.width_px) // 2 * 2
    height = max(2, round(video.info.height_px * width / video.info.width_px) // 2 * 2)
    with open_video(path, picture_rate=video.info.rate) as opened:
        frames = opened.frames_at(window, size_px=(width, height))
    return np.stack([cv2.cvtColor(frame.image, cv2.COLOR_RGB2GRAY) for frame in frames])


def _runs(table: TrackTable, window: range, most: int) -> list[IntArray]:
    """Rows of each track without gaps, in frames whose shifted pictures are in the window."""
    first, last = window.start + most, window.stop - 2 - most
    inside = np.flatnonzero((table.frames >= first) & (table.frames <= last))
    found = []
    for track_id in np.unique(table.ids[inside]):
        rows = inside[table.ids[inside] == track_id]
        if track_id != NO_ID:
            found += np.split(rows, np.flatnonzero(np.diff(table.frames[rows]) != 1) + 1)
    return found


def _flows(pictures: ByteArray) -> FloatArray:
    """(T - 1, 3, H, W): x and y of the flow to the next picture times its weight; the weight."""
    flow = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_FAST)
    found = []
    for one, two in pairwise(pictures):
        moved = flow.calc(one, two, np.zeros((*one.shape, 2), np.float32))
        weight = cv2.absdiff(one, two).astype(np.float32) + 0.1
        found.append(np.stack([moved[..., 0] * weight, moved[..., 1] * weight, weight]))
    return np.stack(found)


def _correlate(
    table: TrackTable, rows: IntArray, flows: FloatArray, scale: float, *, start: int, most: int
) -> FloatArray | None:
    """Parts (S, K) of the correlation of one track; None where it or its pixels rest."""
    boxes = table.boxes_xyxy[rows] * scale
    centres = (boxes[:, :2] + boxes[:, 2:]) / 2
    steps = np.diff(centres, axis=0)
    sides = (boxes[:, 2:] - boxes[:, :2]) * CORE / 2
    low = np.maximum(np.floor(centres - sides), 0).astype(int)
    high = np.ceil(centres + sides).astype(int)
    seen = np.empty((len(steps), 2 * most + 1, 2))
    for number, frame in enumerate(table.frames[rows[:-1]].tolist()):
        (x1, y1), (x2, y2) = low[number], high[number]
        place = frame - start
        part = flows[place - most : place + most + 1, :, y1:y2, x1:x2].sum(axis=(2, 3))
        if part.shape[1:] == (3,) and (part[:, 2] > 0).all():
            seen[number] = part[:, :2] / part[:, 2:]
        else:
            return None
    wanted, moved = _without_leaps(steps), _without_leaps(seen)
    strength = np.sqrt((wanted**2).sum()) * np.sqrt((moved**2).sum(axis=(0, 2)))
    if strength.min() <= 1e-6:
        return None
    return np.asarray((wanted[:, None] * moved).sum(axis=2) / strength * len(steps))


def _without_leaps(steps: FloatArray) -> FloatArray:
    """Steps without their mean, cut at LEAP standard deviations: one leap decides nothing."""
    centred = steps - np.median(steps, axis=0)
    limit = LEAP * centred.std(axis=0)
    cut = np.clip(centred, -limit, limit)
    return np.asarray(cut - cut.mean(axis=0))
