"""Film strips of single moments: a few frames around it, cut out around the place."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from vodkit.ground.arrays import ByteArray, FloatArray
from vodkit.ground.records import NO_ID, Frame, State, TrackTable
from vodkit.report.contact_sheet import as_url
from vodkit.report.draw import TRUTH, Colour, colour_of, draw_box, put_words
from vodkit.report.failures import Failure
from vodkit.video.reader import open_video

FRAMES_AROUND = 2
_CELL_PX = 168  # side of one picture of a strip
_CONTEXT = 2.2  # how many times the box's longer side a picture shows
_STEP_S = 0.2  # between the pictures of a strip
_QUALITY = 62  # of the WebP, 1 to 100
_FINE = 2  # pictures are drawn so many times as large: half a pixel is the thinnest line
_SMALL_PX = 32.0  # a box with a shorter side in a strip gets the thinnest line


@dataclass(frozen=True, kw_only=True)
class Strip:
    """A film strip, ready for a page."""

    failure: Failure
    image_url: str
    """``data:`` URL of a WebP"""
    frames: tuple[int, ...]


def film_strips(
    source: Path, failures: Sequence[Failure], truth: TrackTable, found: TrackTable
) -> list[Strip]:
    """A strip for each failure of one video; white boxes are truth, coloured ones predictions."""
    if not failures:
        return []
    with open_video(source, strict=False) as video:
        alone = video.info.num_frames == 1
        step = max(round(_STEP_S * float(video.info.rate)), 1)
        total = video.info.num_frames or max(failure.frame for failure in failures) + 1
        chosen = [_around(failure.frame, step, total) for failure in failures]
        wanted = sorted({index for frames in chosen for index in frames})
        frames = {frame.index: frame for frame in video.frames_at(wanted)}
    strips = []
    for failure, indices in zip(failures, chosen, strict=True):
        cells = [
            _cell(frames[index], failure, truth, found, timed=not alone)
            for index in indices
            if index in frames
        ]
        url = as_url(np.hstack(cells), quality=_QUALITY)
        strips.append(Strip(failure=failure, image_url=url, frames=tuple(indices)))
    return strips


def _around(frame: int, step: int, total: int) -> list[int]:
    indices = [frame + k * step for k in range(-FRAMES_AROUND, FRAMES_AROUND + 1)]
    return sorted({min(max(index, 0), total - 1) for index in indices})


def _cell(
    frame: Frame, failure: Failure, truth: TrackTable, found: TrackTable, *, timed: bool
) -> ByteArray:
    """One square picture around the failure's box, the boxes of that frame drawn in."""
    import cv2

    view = _view(np.array(failure.box_xyxy), frame)
    left, top, right, bottom = view
    cut = np.ascontiguousarray(frame.image[top:bottom, left:right])
    size = (_CELL_PX, _CELL_PX)
    zoom = _CELL_PX / max(right - left, 1)
    fine = (size[0] * _FINE, size[1] * _FINE)
    smooth = cv2.INTER_CUBIC if zoom * _FINE > 1 else cv2.INTER_AREA
    large = cv2.resize(cut, fine, interpolation=smooth)
    offset = np.array([left, top, left, top], float)
    labels = []
    for row in np.flatnonzero(truth.frames == frame.index):
        _outline(large, (truth.boxes_xyxy[row] - offset) * zoom, TRUTH)
    for row in np.flatnonzero(found.frames == frame.index):
        box, identity = (found.boxes_xyxy[row] - offset) * zoom, int(found.ids[row])
        colour = colour_of(int(found.labels[row]) if identity == NO_ID else identity)
        _outline(large, box, colour, State(found.states[row]))
        labels += [] if identity == NO_ID else [(f"#{identity}", box, colour)]
    canvas = np.asarray(cv2.resize(large, size, interpolation=cv2.INTER_AREA), np.uint8)
    for label, box, colour in labels:
        put_words(canvas, label, box, colour, scale=0.38)
    words = f"{frame.time_s:.1f} s" if timed else ""
    plate = np.array([2, _CELL_PX - 2, 2, _CELL_PX], float)
    put_words(canvas, words, plate, (20, 20, 20), scale=0.36)
    canvas[:, -2:] = 128
    return np.asarray(canvas)


def _outline(
    large: ByteArray, box_xyxy: FloatArray, colour: Colour, state: State = State.OBSERVED
) -> None:
    """A box (in pixels of the strip) on the enlarged picture; thinner lines on small boxes."""
    side = float(min(box_xyxy[2:] - box_xyxy[:2]))
    draw_box(large, box_xyxy * _FINE, colour, state=state, line_px=1 + (side >= _SMALL_PX))


def _view(box_xyxy: FloatArray, frame: Frame) -> tuple[int, int, int, int]:
    """A square window around the box, inside the picture as far as that has room."""
    height, width = frame.image.shape[:2]
    side = max(box_xyxy[2] - box_xyxy[0], box_xyxy[3] - box_xyxy[1], 24.0) * _CONTEXT
    side = int(min(side, height, width))
    centre_x, centre_y = (box_xyxy[:2] + box_xyxy[2:]) / 2
    left = int(np.clip(centre_x - side / 2, 0, width - side))
    top = int(np.clip(centre_y - side / 2, 0, height - side))
    return left, top, left + side, top + side
