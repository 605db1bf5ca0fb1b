"""Boxes of a track without the jitter of its detections, each track by its own noise.

Every box is replaced by the value at its time of a line that is fitted to the boxes around it, with
Gaussian weights in time (local linear regression, Cleveland 1979): a line, not a mean, since beside
a gap or at the end of a track a mean would lag. How far the line reaches is chosen for each track,
for centre and extent apart: the reach with the least estimated risk (Mallows 1973), where boxes as
they are belong to the choices. The noise that this needs comes from the track itself: how far a box
is from the line between its two neighbours (Gasser, Sroka, Jennen-Steinmetz 1986). What a detector
does not jitter is not moved; neither is what turns faster than it jitters.

Legend: R rows, T tracks. Boxes are split in cx, cy, w, h.
"""

import numpy as np

from vodkit.ground.arrays import FloatArray, IntArray
from vodkit.ground.records import TrackTable
from vodkit.track.kalman import TO_CENTRE, TO_CORNERS

SPANS_S = (0.1, 0.15, 0.25, 0.4, 0.6)
"""reaches of a line to choose from: boxes this far away weigh exp(-2), beyond twice this nothing"""
_LEAST_BOXES = 4
"""with neighbours on both sides; fewer say nothing about noise, and the track stays as it is"""
_LEAST_RATE = 6.9
"""frames a second: with fewer a turn cannot be told from jitter, and boxes stay as they are"""
_LEAST_AREA_PX = 1e-6
_PARTS = (slice(0, 2), slice(2, 4))


def smoothed(table: TrackTable, *, stride: int) -> FloatArray:
    """Boxes (R, 4) of ``table`` on lines that reach as far as is best for each track.

    Args:
        table: rows with ids; of each track at most one a frame.
        stride: frames from one processed frame to the next. Only boxes of successive ones say how
            much a detector jitters.

    Returns:
        x1, y1, x2, y2 in px, in the table's order.
    """
    boxes = table.boxes_xyxy.copy()
    if len(table) == 0:
        return boxes
    order = np.lexsort((table.frames, table.ids))
    _, at = np.unique(table.ids[order], return_inverse=True)
    times_s, places = table.times_s[order], boxes[order] @ TO_CENTRE
    scale = 1 / np.maximum(places[:, 2] * places[:, 3], _LEAST_AREA_PX)
    noise = _noise(at, times_s, places, scale, table.frames[order] // stride)
    risk = 2 * noise * np.bincount(at)[:, None]  # of boxes as they are
    best = places.copy()
    for span_s in SPANS_S:
        lines, own_share = local_lines(at, times_s, places, span_s)
        for part, columns in enumerate(_PARTS):
            off = ((places[:, columns] - lines[:, columns]) ** 2).sum(axis=1) * scale
            estimate = np.bincount(at, off + 2 * noise[at, part] * own_share)
            better = estimate < risk[:, part]
            risk[better, part] = estimate[better]
            best[:, columns] = np.where(better[at, None], lines[:, columns], best[:, columns])
    moved = (best != places).any(axis=1)  # the others keep their bits
    boxes[order[moved]] = best[moved] @ TO_CORNERS
    return boxes


def _noise(
    at: IntArray, times_s: FloatArray, places: FloatArray, scale: FloatArray, frames: IntArray
) -> FloatArray:
    """Variance (T, 2) of a box's centre and extent (both coordinates together), in square sizes.

    What bends a way over one frame and over two: jitter is the same in both, while what unforeseen
    acceleration does grows with the cube of time, eightfold, as in the filters (``kalman``).
    """
    near, count = _bends(at, times_s, places, scale, frames, apart=1)
    far, count_far = _bends(at, times_s, places, scale, frames, apart=2)
    known = (count >= _LEAST_BOXES) & (count_far > 0)
    return np.where(known[:, None], np.maximum((8 * near - far) / 7, 0), 0.0)


def _bends(
    at: IntArray,
    times_s: FloatArray,
    places: FloatArray,
    scale: FloatArray,
    frames: IntArray,
    *,
    apart: int,
) -> tuple[FloatArray, IntArray]:
    """Mean squares (T, 2) of how far places are from the line between two others; their number.

    The others are ``apart`` frames before and after, with a place in each frame between.
    """
    inner = np.arange(apart, max(len(at) - apart, apart))
    a, b = inner - apart, inner + apart
    good = (at[a] == at[b]) & (frames[b] - frames[a] == 2 * apart)
    good &= (times_s[inner] > times_s[a]) & (times_s[b] > times_s[inner])
    good &= times_s[b] - times_s[a] <= 2 * apart / _LEAST_RATE
    a, inner, b = a[good], inner[good], b[good]
    share = ((times_s[inner] - times_s[a]) / (times_s[b] - times_s[a]))[:, None]
    off = places[inner] - places[a] * (1 - share) - places[b] * share
    off = off**2 * scale[inner, None] / (1 + share**2 + (1 - share) ** 2)
    size = at[-1] + 1
    count = np.bincount(at[inner], minlength=size)
    sums = [np.bincount(at[inner], off[:, c].sum(axis=1), minlength=size) for c in _PARTS]
    return np.stack(sums, axis=1) / np.maximum(count, 1)[:, None], count


def local_lines(
    at: IntArray, times_s: FloatArray, values: FloatArray, span_s: float
) -> tuple[FloatArray, FloatArray]:
    """Values (R, D) of weighted lines at their own times, and the share (R,) of the own value.

    Args:
        at: (R,) track of each row; rows of a track are together, and in the order of time.
        times_s: (R,) seconds.
        values: (R, D).
        span_s: values this many seconds away weigh exp(-2).

    Returns:
        The lines' values, equal to ``values`` where fewer than three are near, and how much of each
        is the row's own value, 0 to 1 (the diagonal of the smoother's matrix).
    """
    # Sums of weights, weights x time, weights x time^2, and the first two x values.
    weight, first, second = np.ones(len(at)), np.zeros(len(at)), np.zeros(len(at))
    level, slope = values.copy(), np.zeros_like(values)
    for apart in range(1, len(at)):
        late_s = times_s[apart:] - times_s[:-apart]
        near = np.flatnonzero((at[apart:] == at[:-apart]) & (late_s <= 2 * span_s))
        if len(near) == 0:
            break
        far, late_s = near + apart, late_s[near]
        w = np.exp(-2 * (late_s / span_s) ** 2)
        for row, other, d in ((near, far, late_s), (far, near, -late_s)):
            weight[row] += w
            first[row] += w * d
            second[row] += w * d**2
            level[row] += w[:, None] * values[other]
            slope[row] += (w * d)[:, None] * values[other]
    spread = weight * second - first**2
    known = spread > 1e-9 * weight**2 * span_s**2
    safe = np.where(known, spread, 1.0)
    lines = (second[:, None] * level - first[:, None] * slope) / safe[:, None]
    return np.where(known[:, None], lines, values), np.where(known, second / safe, 1.0)
