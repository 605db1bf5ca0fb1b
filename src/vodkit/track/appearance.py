"""What objects look like: colour histograms, and how well any embedding tells objects apart.

Embeddings of networks come from ``vodkit.detect.embed``. Colour histograms of body parts cost next
to nothing, so the default tracker looks at them where nobody gives it anything better: they tell a
red coat from a blue one, and no more. That helps where clothes differ, and does nothing where all
look alike.
"""

from dataclasses import dataclass
from functools import cache

import numpy as np

from vodkit.ground.arrays import BoolArray, ByteArray, FloatArray, IntArray
from vodkit.ground.records import Detections, Frame
from vodkit.track.base import unit_rows

BANDS = 3
"""horizontal bands of a box: roughly head, body, legs"""
HUES, GREYS = 12, 4
"""bins of hue for what has colour, and of brightness for what has none"""
DOWN, ACROSS = 24, 12
"""points at which a box is looked at"""
NUM_COLOURS = BANDS * (HUES + GREYS)
"""numbers of a colour embedding"""
_INNER = np.array([0.6, 0.95])  # shares of width and height that are looked at
_ACROSS, _DOWN = (np.arange(ACROSS) + 0.5) / ACROSS, (np.arange(DOWN) + 0.5) / DOWN
_FIRST_BIN = np.repeat(np.arange(BANDS), DOWN // BANDS) * (HUES + GREYS)  # of each row of points


def colour_embeddings(frame: Frame, detections: Detections) -> FloatArray:
    """``colours`` of detections, for ``Tracker.step``."""
    return colours(frame, detections.boxes_xyxy)


def colours(frame: Frame, boxes_xyxy: FloatArray) -> FloatArray:
    """Embeddings (N, 48) of boxes (N, 4): square roots of colour shares in three bands.

    Their cosine is the Bhattacharyya coefficient of the histograms. A box without pixels (outside
    the picture, or a frame nobody sees) gets zeros, which say nothing.
    """
    image = frame.image
    height, width = image.shape[:2]
    looks = np.zeros((len(boxes_xyxy), NUM_COLOURS))
    if not frame.has_pixels or len(boxes_xyxy) == 0:
        return looks
    scale = np.array([width / frame.width_px, height / frame.height_px] * 2)
    boxes = boxes_xyxy.astype(np.float64) * scale
    centre, half = (boxes[:, :2] + boxes[:, 2:]) / 2, (boxes[:, 2:] - boxes[:, :2]) / 2
    half *= _INNER
    inner = np.concatenate([centre - half, centre + half], axis=1)
    corners = np.clip(inner, 0, [width, height] * 2)
    there = np.flatnonzero(
        (corners[:, 2] - corners[:, 0] >= 1) & (corners[:, 3] - corners[:, 1] >= BANDS)
    )
    bins = _bins_of(_points(image, corners[there]))
    flat = np.arange(len(there))[:, None, None] * NUM_COLOURS + _FIRST_BIN[:, None] + bins
    counts = np.bincount(flat.ravel(), minlength=len(there) * NUM_COLOURS)
    looks[there] = np.sqrt(counts.reshape(-1, NUM_COLOURS) / (DOWN * ACROSS))
    return looks


def _points(image: ByteArray, corners_xyxy: FloatArray) -> ByteArray:
    """The pixels (N, DOWN, ACROSS, 3) on a grid in each box, given in pixels of the image."""
    x1, y1, x2, y2 = corners_xyxy.T[:, :, None]
    x, y = (x1 + (x2 - x1) * _ACROSS).astype(int), (y1 + (y2 - y1) * _DOWN).astype(int)
    at = y[:, :, None] * image.shape[1] + x[:, None, :]
    return np.asarray(image.reshape(-1, 3).take(at, axis=0))


def _bins_of(pixels_rgb: ByteArray) -> ByteArray:
    """The bin of each pixel (..., 3), to 6 bits of each colour."""
    red, green, blue = np.moveaxis((pixels_rgb >> 2).astype(np.int32), -1, 0)
    return np.asarray(_table().take((red << 12) | (green << 6) | blue))


@cache
def _table() -> ByteArray:
    """Bins (64 * 64 * 64,) by red, green and blue."""
    levels = np.indices((64, 64, 64)).reshape(3, -1).T * 4 + 2
    return _colours(levels.astype(np.uint8)).astype(np.uint8)


def _colours(pixels_rgb: ByteArray) -> IntArray:
    """The bin of each pixel (..., 3): a hue if it has colour, else a brightness."""
    red, green, blue = np.moveaxis(pixels_rgb.astype(np.float32), -1, 0)
    high = np.maximum(np.maximum(red, green), blue)
    spread = high - np.minimum(np.minimum(red, green), blue)
    # hue as an angle in the plane across the grey axis
    turn = np.arctan2(np.sqrt(np.float32(3)) * (green - blue), 2 * red - green - blue)
    hue = np.minimum((turn / (2 * np.pi) % 1 * HUES).astype(int), HUES - 1)
    grey = HUES + np.minimum((high * GREYS / 256).astype(int), GREYS - 1)
    return np.where(spread > 0.15 * high + 12, hue, grey)


@dataclass(frozen=True, kw_only=True)
class Distinction:
    """How well embeddings tell objects apart."""

    auc: float
    """chance that a pair of one track is more alike than a pair of two; NaN without such pairs"""
    rank1: float
    """share of boxes whose most alike other box, of another time, is of the same track"""
    likeness_at_1pct: float
    """the cosine that one in a hundred pairs of two tracks exceeds"""
    num_same: int
    """pairs of one track, far enough apart in time"""
    num_other: int
    """pairs of two tracks that are known to be two"""


def distinguish(
    embeddings: FloatArray,
    tracks: IntArray,
    times_s: FloatArray,
    *,
    rivals: BoolArray,
    apart_s: float = 2.0,
) -> Distinction:
    """How well embeddings (N, D) tell their tracks apart.

    Args:
        embeddings: of boxes; any length, cosine counts.
        tracks: (N,) numbers from 0.
        times_s: (N,); pairs nearer in time are left out: they are too easy.
        rivals: (T, T) which tracks are certainly two objects.
        apart_s: least time between the boxes of a pair.
    """
    looks = unit_rows(embeddings, len(tracks))
    cosine = looks @ looks.T
    far = np.abs(times_s[:, None] - times_s) >= apart_s
    same = (tracks[:, None] == tracks) & far
    other = rivals[tracks[:, None], tracks]
    once = np.triu(np.ones_like(same), 1)
    alike, unlike = cosine[same & once], cosine[other & once]
    known = far & (same | other)
    asked = same.any(axis=1) & (other & far).any(axis=1)
    best = np.where(known, cosine, -np.inf).argmax(axis=1)
    return Distinction(
        auc=_chance_above(alike, unlike),
        rank1=float((tracks[best] == tracks)[asked].mean()) if asked.any() else np.nan,
        likeness_at_1pct=float(np.quantile(unlike, 0.99)) if len(unlike) else np.nan,
        num_same=len(alike),
        num_other=len(unlike),
    )


def seen_together(tracks: IntArray, frames: IntArray, videos: IntArray) -> BoolArray:
    """Which tracks (T, T) are two objects: in one frame at once, or in different videos.

    Two tracks of one video that never meet may be one object that came back: nobody knows.
    """
    count = int(tracks.max(initial=-1)) + 1
    video = np.zeros(count, np.int64)
    video[tracks] = videos
    together = video[:, None] != video
    _, moment = np.unique(np.stack([videos, frames]), axis=1, return_inverse=True)
    there = np.zeros((int(moment.max(initial=-1)) + 1, count), np.float32)
    there[moment, tracks] = 1
    together |= there.T @ there > 0
    np.fill_diagonal(together, val=False)
    return together


def _chance_above(ups: FloatArray, downs: FloatArray) -> float:
    """The area under the ROC curve: how often one of ``ups`` is above one of ``downs``."""
    if not len(ups) or not len(downs):
        return np.nan
    below = np.searchsorted(np.sort(downs), ups, side="left")
    up_to = np.searchsorted(np.sort(downs), ups, side="right")
    return float((below + up_to).sum() / (2 * len(ups) * len(downs)))
