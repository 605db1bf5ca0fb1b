"""Many frames on one picture, with their times: a video at a glance."""

import base64
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from vodkit.ground.arrays import ByteArray
from vodkit.ground.errors import InputError
from vodkit.ground.records import Detections, Frame, Tracks
from vodkit.ground.runs import write_atomic
from vodkit.report.draw import DEFAULTS, DrawSettings, draw_found

GAP_PX = 4
CAPTION_PX = 18
GROUND = (32, 32, 32)
INK = (235, 235, 235)


def sheet(pictures: Sequence[ByteArray], captions: Sequence[str], *, columns: int) -> ByteArray:
    """Pictures of one size (H, W, 3) in rows of ``columns``, each with a caption below it."""
    import cv2

    if not pictures or len(pictures) != len(captions):
        raise InputError(f"{len(pictures)} pictures, {len(captions)} captions; allowed: equal, > 0")
    height, width = pictures[0].shape[:2]
    rows = -(-len(pictures) // columns)
    tall, wide = height + CAPTION_PX + GAP_PX, width + GAP_PX
    canvas = np.full((rows * tall + GAP_PX, columns * wide + GAP_PX, 3), GROUND, np.uint8)
    for k, (picture, caption) in enumerate(zip(pictures, captions, strict=True)):
        top, left = (k // columns) * tall + GAP_PX, (k % columns) * wide + GAP_PX
        canvas[top : top + height, left : left + width] = picture
        place = (left + 2, top + height + CAPTION_PX - 5)
        cv2.putText(canvas, caption, place, cv2.FONT_HERSHEY_SIMPLEX, 0.42, INK, 1, cv2.LINE_AA)
    return canvas


def contact_sheet(
    shown: Sequence[tuple[Frame, Detections | Tracks]],
    classes: Sequence[str],
    *,
    columns: int = 4,
    width_px: int = 384,
    settings: DrawSettings = DEFAULTS,
) -> ByteArray:
    """A sheet of annotated frames, each ``width_px`` wide, captioned with its time and index."""
    import cv2

    pictures, captions = [], []
    for frame, found in shown:
        drawn = draw_found(frame.image, found, classes, settings=settings)
        height_px = round(width_px * drawn.shape[0] / drawn.shape[1])
        pictures.append(cv2.resize(drawn, (width_px, height_px), interpolation=cv2.INTER_AREA))
        captions.append(f"{frame.time_s:.2f} s   frame {frame.index}")
    return sheet(pictures, captions, columns=columns)


def write_png(image: ByteArray, path: str | Path) -> None:
    """Write an (H, W, 3) RGB picture as PNG, whole or not at all."""
    write_atomic(path, encoded(image, ".png"))


def encoded(image: ByteArray, kind: str, *, quality: int = 80) -> bytes:
    """An (H, W, 3) RGB picture as the bytes of a ``.png``, ``.jpg`` or ``.webp`` file."""
    import cv2

    options = {
        ".png": [cv2.IMWRITE_PNG_COMPRESSION, 9],
        ".jpg": [cv2.IMWRITE_JPEG_QUALITY, quality],
        ".webp": [cv2.IMWRITE_WEBP_QUALITY, quality],
    }
    ok, data = cv2.imencode(kind, image[..., ::-1], options[kind])
    assert ok, f"cannot encode {image.shape} as {kind}"
    return bytes(data)


def as_url(image: ByteArray, *, quality: int = 80) -> str:
    """An (H, W, 3) RGB picture as a ``data:`` URL, to stand in a page."""
    data = base64.b64encode(encoded(image, ".webp", quality=quality)).decode()
    return f"data:image/webp;base64,{data}"


def evenly(num_frames: int, num_shown: int) -> list[int]:
    """At most ``num_shown`` frame indices spread evenly over a video, first and last included.

    >>> evenly(101, 3)
    [0, 50, 100]
    """
    places = np.linspace(0, num_frames - 1, min(num_shown, num_frames)).round()
    return np.unique(places.astype(np.int64)).tolist()
