"""Whether an object is really inside a box in which nothing was detected (``p_present``).

A predicted box (online) or a filled one (offline) is a guess. ``p_present`` is the probability that
an object is there, with IoU of at least 0.5, that no observed box covers. Two logistic models give
it, of eight numbers each; ``benchmarks/track_presence.py`` fits them and measures how well they are
calibrated on domains that they were not fitted on.

Legend: N boxes.
"""

from typing import NamedTuple

import numpy as np

from vodkit.ground.arrays import FloatArray, IntArray
from vodkit.track.kalman import SMALLEST_PX, areas_px, sigma_px
from vodkit.track.track_table import Book

PREDICTED = (0.143, -2.118, -1.37, 0.629, 0.052, -0.252, -0.6, -0.113)
"""weights of ``predicted_features``"""
FILLED = (0.648, -0.627, -0.785, 0.474, 0.063, 0.705, -2.379, 0.377)
"""weights of ``filled_features``"""
SAME_IOU = 0.5
_KNOWN_S = 0.1
_MOST = 2.0


class Gap(NamedTuple):
    """One box in a gap of each of N tracks: what is known of both ends."""

    before_xyxy: FloatArray
    after_xyxy: FloatArray
    gap_s: FloatArray
    near_s: FloatArray
    """time to the nearer end"""
    known_s: FloatArray
    """how long the track was seen, before the gap or after it: the shorter one"""
    overlap: FloatArray
    """largest IoU of the box with an observed one in its frame"""


def predicted(book: Book, rows: IntArray) -> FloatArray:
    """``p_present`` (N,) of the predicted boxes of some tracks."""
    return _logistic(predicted_features(book, rows), PREDICTED)


def filled(gap: Gap) -> FloatArray:
    """``p_present`` (N,) of filled boxes."""
    return _logistic(filled_features(gap), FILLED)


def predicted_features(book: Book, rows: IntArray) -> FloatArray:
    """What speaks for and against (N, 8) the predicted boxes of some tracks.

    One, root of the time hidden, uncertainty of the place, whether something is in front, logarithm
    of the time observed, level of the last detection, speed, and how often objects of this video
    that vanished came back at once.
    """
    size = np.sqrt(areas_px(book.mean[rows])[:, 0])
    back, gone = book.returns
    return np.stack(
        [
            np.ones(len(rows)),
            np.sqrt(book.now_s - book.seen_s[rows]),
            np.minimum(sigma_px(book.cov[rows]) / size, _MOST),
            (book.hider[rows] > 0).astype(np.float64),
            np.log(book.seen_s[rows] - book.born_s[rows] + _KNOWN_S),
            book.levels[rows],
            np.minimum(np.hypot(book.mean[rows, 4], book.mean[rows, 5]) / size, _MOST),
            np.full(len(rows), np.log((back + 2) / (gone + 2))),
        ],
        axis=1,
    )


def filled_features(gap: Gap) -> FloatArray:
    """What speaks for and against (N, 8) filled boxes.

    One, roots of the gap's length and of the time to its nearer end, logarithm of the time
    observed, way across the gap in sizes, change of size, overlap with an observed box, and whether
    that is above one half: the object may be observed there, under another id.
    """
    ends = gap.before_xyxy, gap.after_xyxy
    sides = [np.maximum(box[:, 2:] - box[:, :2], SMALLEST_PX) for box in ends]
    sizes = [np.sqrt(side.prod(axis=1)) for side in sides]
    centres = [(box[:, :2] + box[:, 2:]) / 2 for box in ends]
    way = np.linalg.norm(centres[1] - centres[0], axis=1) / np.sqrt(sizes[0] * sizes[1])
    return np.stack(
        [
            np.ones(len(way)),
            np.sqrt(gap.gap_s),
            np.sqrt(gap.near_s),
            np.log(gap.known_s + _KNOWN_S),
            np.minimum(way, _MOST),
            np.abs(np.log(sizes[1] / sizes[0])),
            gap.overlap,
            (gap.overlap > SAME_IOU).astype(np.float64),
        ],
        axis=1,
    )


def _logistic(features: FloatArray, weights: tuple[float, ...]) -> FloatArray:
    return np.asarray(1 / (1 + np.exp(-features @ np.array(weights))))
