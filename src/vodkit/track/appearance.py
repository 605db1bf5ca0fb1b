"""What objects look like, without a network: colour histograms of body parts.

A cheap stand-in where no embedding network is at hand. It tells a red coat from a blue one, and
no more: it helps where clothes differ, and does nothing where all look alike.
"""

import numpy as np

from vodkit.arrays import FloatArray
from vodkit.records import Detections, Frame

BANDS = 3
"""horizontal bands of a box: roughly head, body, legs"""
HUES, GREYS = 12, 4
"""bins of hue for what has colour, and of brightness for what has none"""
STEP_PX = 24
"""a crop is looked at on a grid of about this many points each way"""


def colour_embeddings(frame: Frame, detections: Detections) -> FloatArray:
    """Embeddings (N, 48) for ``Tracker.step``: square roots of colour shares in three bands.

    Their cosine is the Bhattacharyya coefficient of the histograms. A box without pixels (outside
    the picture, or a frame nobody sees) gets zeros, which say nothing.
    """
    image = frame.image
    scale = np.array([image.shape[1] / frame.width_px, image.shape[0] / frame.height_px] * 2)
    width = BANDS * (HUES + GREYS)
    looks = np.zeros((len(detections), width))
    if min(image.shape[:2]) < 2:
        return looks
    boxes = detections.boxes_xyxy.astype(np.float64)
    centre, half = (boxes[:, :2] + boxes[:, 2:]) / 2, (boxes[:, 2:] - boxes[:, :2]) / 2
    inner = np.concatenate([centre - half * [0.6, 0.95], centre + half * [0.6, 0.95]], axis=1)
    limit = np.array([image.shape[1], image.shape[0]] * 2)
    corners = np.clip(inner * scale, 0, limit).astype(int)
    for row, (x1, y1, x2, y2) in enumerate(corners.tolist()):
        across, down = max(1, (x2 - x1) // STEP_PX), max(1, (y2 - y1) // STEP_PX)
        crop = image[y1:y2:down, x1:x2:across]
        if len(crop) >= BANDS and crop.shape[1] > 0:
            parts = np.array_split(crop, BANDS)
            looks[row] = np.sqrt(np.concatenate([_colours(part) for part in parts]) / BANDS)
    return looks


def _colours(pixels_rgb: FloatArray) -> FloatArray:
    """Shares (HUES + GREYS,) of hues among coloured pixels and brightnesses among grey ones."""
    rgb = pixels_rgb.reshape(-1, 3).astype(np.float64)
    high, low = rgb.max(axis=1), rgb.min(axis=1)
    spread = high - low
    coloured = spread > 0.15 * high + 12
    # hue as an angle in the plane across the grey axis
    across = np.sqrt(3) * (rgb[:, 1] - rgb[:, 2])
    along = 2 * rgb[:, 0] - rgb[:, 1] - rgb[:, 2]
    turn = np.arctan2(across, along) / (2 * np.pi) % 1
    hue = np.minimum((turn * HUES).astype(int), HUES - 1)
    grey = HUES + np.minimum((high * GREYS / 256).astype(int), GREYS - 1)
    counts = np.bincount(np.where(coloured, hue, grey), minlength=HUES + GREYS)
    return np.asarray(counts / len(rgb))
