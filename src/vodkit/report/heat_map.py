"""Where objects were, and for how long: a heat map in seconds over a picture of the scene."""

from collections.abc import Sequence

import numpy as np

from vodkit.ground.arrays import ByteArray, FloatArray
from vodkit.infer.finished import FinishedRun
from vodkit.report.contact_sheet import evenly
from vodkit.track.count import ANCHORS
from vodkit.video.reader import Video

_BACKGROUND = 9  # frames, of whose pixels the median is the scene without moving objects
_GAMMA = 0.5  # short stays are visible, too
_RADIUS = 0.03  # around a pixel in which objects count for it, in shares of the shorter side
_INK, _PLATE = (255, 255, 255), (20, 20, 20)


def seconds_nearby(
    points: FloatArray, seconds: FloatArray, size_px: tuple[int, int], radius_px: int
) -> FloatArray:
    """For each pixel (H, W), the seconds of all points within ``radius_px`` of it.

    Args:
        points: (N, 2) x and y; those outside of the picture count for its edge.
        seconds: (N,) how long an object was at each.
        size_px: width and height of the picture.
        radius_px: of the circle.
    """
    import cv2

    width, height = size_px
    x, y = np.clip(points.round().astype(np.int64), 0, [width - 1, height - 1]).T
    heat = np.zeros((height, width))
    np.add.at(heat, (y, x), seconds)
    side = np.arange(-radius_px, radius_px + 1)
    disc = (side[:, None] ** 2 + side**2 <= radius_px**2).astype(float)
    near = cv2.filter2D(heat, cv2.CV_64F, disc, borderType=cv2.BORDER_CONSTANT)
    return np.asarray(np.maximum(near, 0))


def heat_map(
    run: FinishedRun, *, classes: Sequence[int] | None = None
) -> tuple[ByteArray, FloatArray]:
    """A picture with a heat map and its scale.

    Args:
        run: what was found, and the video.
        classes: labels that count; None: all.

    Returns:
        The picture (H, W, 3) with its scale below, and for each pixel (H, W) the seconds that
        the middle of an object's lower edge was near it. Observed and filled boxes count.
    """
    info, table = run.header.info, run.predictions.table
    table = table if classes is None else table[np.isin(table.labels, classes)]
    across, down = ANCHORS["bottom"]
    size = table.boxes_xyxy[:, 2:] - table.boxes_xyxy[:, :2]
    points = table.boxes_xyxy[:, :2] + size * [across, down]
    radius_px = max(1, round(_RADIUS * min(info.width_px, info.height_px)))
    seconds = run.seconds_of(table.frames)
    heat = seconds_nearby(points, seconds, (info.width_px, info.height_px), radius_px)
    with run.open_video() as video:
        scene = background(video, max(run.predictions.clock, default=0) + 1)
    return drawn(scene, heat, radius_px), heat


def background(video: Video, num_frames: int) -> ByteArray:
    """The median (H, W, 3) of some frames, in which what moves is not seen."""
    total = video.info.num_frames or num_frames
    some = video.frames_at(evenly(max(total, 1), _BACKGROUND))
    return np.median([frame.image for frame in some], axis=0).astype(np.uint8)


def drawn(scene: ByteArray, heat: FloatArray, radius_px: int) -> ByteArray:
    """``heat`` (H, W) in colours over a grey picture of the scene, with its scale."""
    import cv2

    most = float(heat.max())
    share = (heat / most if most > 0 else heat) ** _GAMMA
    colours = cv2.applyColorMap((share * 255).astype(np.uint8), cv2.COLORMAP_INFERNO)[..., ::-1]
    grey = np.repeat(scene.mean(axis=2, keepdims=True) * 0.7, 3, axis=2)
    weight = np.minimum(share * 2, 0.85)[..., None]
    canvas = (grey * (1 - weight) + colours * weight).astype(np.uint8)
    return np.vstack([canvas, _scale(canvas.shape[:2], most, radius_px)])


def _scale(size: tuple[int, int], most_s: float, radius_px: int) -> ByteArray:
    """The colours from 0 to the largest value, and what they are: a strip as wide as a picture."""
    import cv2

    height, width = size
    scale = max(0.35, min(height, width) / 1000)
    thick = max(1, round(scale * 1.6))
    words = f"seconds within {radius_px} px: 0"
    last = f"{most_s:.3g} s"
    (first_px, text_px), below = cv2.getTextSize(words, cv2.FONT_HERSHEY_SIMPLEX, scale, thick)
    last_px = cv2.getTextSize(last, cv2.FONT_HERSHEY_SIMPLEX, scale, thick)[0][0]
    pad = text_px
    bar_px = max(10, min(12 * text_px, width - first_px - last_px - 5 * pad))
    height = text_px + below + 2 * pad
    canvas = np.full((height + height % 2, width, 3), _PLATE, np.uint8)
    ramp = (np.linspace(0, 1, bar_px) ** _GAMMA * 255).astype(np.uint8)[None]
    bar = cv2.applyColorMap(ramp, cv2.COLORMAP_INFERNO)[..., ::-1]
    left, base = pad + first_px + pad, height - below - pad
    room = min(bar_px, max(width - left, 0))
    canvas[base - text_px : base, left : left + room] = bar[:, :room]
    for text, x in ((words, pad), (last, left + bar_px + pad)):
        cv2.putText(
            canvas, text, (x, base), cv2.FONT_HERSHEY_SIMPLEX, scale, _INK, thick, cv2.LINE_AA
        )
    return canvas
