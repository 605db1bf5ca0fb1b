"""Small objects in large pictures: the detector looks at overlapping tiles, and at the whole.

A network sees a 4K frame at its own few hundred pixels, where a distant person is a speck. Tiles
of about the network's size are looked at one by one (slicing aided inference, Akyon et al. 2022);
what a border cuts is put together again, so that an object on a seam gives exactly one box.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import product

import numpy as np

from vodkit.detect.base import Detector
from vodkit.detect.defaults import check_grid
from vodkit.ground.arrays import BoolArray, FloatArray, IntArray
from vodkit.ground.boxes import area, covered, iou
from vodkit.ground.errors import InputError
from vodkit.ground.records import Detections, Frame
from vodkit.ground.settings import bounded, check_ranges

_EDGE = 0.02  # of a tile's side: a box that ends so near an inner border is cut by it
_SAME_IOU = 0.5  # two views of one object at different scales agree less than one view with itself


@dataclass(frozen=True, kw_only=True)
class TileSettings:
    """How a picture is cut into tiles."""

    grid: str = "auto"
    """columns x rows, as in ``3x2``; auto: so many that a tile is not larger than the network's
    input, so that no pixel is lost"""
    overlap: float = bounded(0.2, low=0, below=1)
    """share of a tile's side that it has in common with the next one; objects up to this size
    are whole in at least one tile"""
    whole: bool = True
    """look at the whole picture as well, for objects larger than a tile"""
    covered: float = bounded(0.7, above=0, high=1)
    """a box cut by a border is dropped when so much of it lies inside another of its class"""

    def __post_init__(self) -> None:
        """Check the form of the grid and the ranges."""
        check_grid(self.grid)
        check_ranges(self)


class TiledDetector(Detector):
    """A detector that looks at tiles; frames must come in full size."""

    def __init__(self, detector: Detector, settings: TileSettings | None = None) -> None:
        """``detector`` finds what is in each tile."""
        self.card = detector.card
        self.classes = detector.classes
        self.runs_on, self.choice = detector.runs_on, detector.choice
        self._detector = detector
        self._settings = settings or TileSettings()

    def decode_px(self, width_px: int, height_px: int) -> None:
        """See Detector: tiles are cut from full-size pictures."""

    def detect(self, frames: Sequence[Frame]) -> list[Detections]:
        """See Detector."""
        return [self._one(frame) for frame in frames]

    def _one(self, frame: Frame) -> Detections:
        height, width = frame.image.shape[:2]
        if (width, height) != (frame.width_px, frame.height_px):
            seen = f"frame {frame.index} is decoded to {width}x{height}"
            raise InputError(f"{seen}; tiles need it whole: {frame.width_px}x{frame.height_px}")
        boxes = self._tiles(width, height)
        views = [
            Frame(frame.index, frame.time_s, frame.image[y1:y2, x1:x2])
            for x1, y1, x2, y2 in boxes.tolist()
        ]
        found = self._detector.detect(views)
        whole = merged(found, boxes, (width, height), covered_share=self._settings.covered)
        return replace(whole, truncated=any(one.truncated for one in found))

    def _tiles(self, width: int, height: int) -> IntArray:
        """Corners (T, 4) of all views, the whole picture last."""
        columns, rows = self._grid(width, height)
        across = spans(width, columns, overlap=self._settings.overlap)
        down = spans(height, rows, overlap=self._settings.overlap)
        tiles = [(x1, y1, x2, y2) for (y1, y2), (x1, x2) in product(down, across)]
        if self._settings.whole and len(tiles) > 1:
            tiles.append((0, 0, width, height))
        return np.array(tiles, np.int64)

    def _grid(self, width: int, height: int) -> tuple[int, int]:
        if self._settings.grid != "auto":
            columns, rows = map(int, self._settings.grid.split("x"))
            return columns, rows
        wanted, overlap = self.card.preprocessing, self._settings.overlap
        return (
            _fewest(width, wanted.width_px, overlap=overlap),
            _fewest(height, wanted.height_px, overlap=overlap),
        )


def spans(length: int, count: int, *, overlap: float) -> list[tuple[int, int]]:
    """``count`` stretches of one size that cover 0 to ``length``, each overlapping the next.

    >>> spans(100, 2, overlap=0.25)
    [(0, 58), (42, 100)]
    """
    size = int(np.ceil(length / (count - (count - 1) * overlap) - 1e-9))
    size = min(size, length)
    starts = np.linspace(0, length - size, count).round().astype(int).tolist()
    return [(start, start + size) for start in starts]


def _fewest(length: int, largest: int, *, overlap: float) -> int:
    """The smallest number of stretches, none longer than ``largest``."""
    count = 1
    while length / (count - (count - 1) * overlap) > largest:
        count += 1
    return count


def merged(
    found: Sequence[Detections],
    views_xyxy: IntArray,
    size_px: tuple[int, int],
    *,
    covered_share: float,
) -> Detections:
    """What was found in each view (T, 4) of a picture as Detections of the picture, best first.

    Boxes that inner borders cut, and that go on in each other, become one. Then whole boxes are
    taken, by score, and after them cut ones, the largest first. A box falls when it is another view
    of one that was taken (IoU above 0.5), or, when it is cut, if enough of it lies inside one.
    """
    pool = _Pool(found, views_xyxy, size_px)
    rows = pool.one_each(pool.joined(), covered_share)
    kept = np.array(sorted(rows, key=lambda k: (-pool.scores[k], k)), np.int64)
    return Detections(pool.boxes[kept], pool.scores[kept], pool.labels[kept])


class _Pool:
    """The boxes of all views, in pixels of the picture; joined ones grow."""

    def __init__(
        self, found: Sequence[Detections], views: IntArray, size_px: tuple[int, int]
    ) -> None:
        self.scores = np.concatenate([one.scores for one in found])
        self.labels = np.concatenate([one.labels for one in found])
        self._view = np.repeat(np.arange(len(found)), [len(one) for one in found])
        own = views[self._view]
        offset = np.tile(own[:, :2], 2).astype(np.float32)
        self.boxes = np.concatenate([one.boxes_xyxy for one in found]) + offset
        self._cut = _cut(self.boxes, own, size_px)
        # How far a corner may be off: views of larger stretches are coarser.
        self._slack = _EDGE * (own[:, 2:] - own[:, :2]).max(axis=1, initial=0)

    def joined(self) -> list[int]:
        """The rows left when boxes that go on in each other have become one."""
        cut_rows = np.flatnonzero(self._cut.any(axis=1)).tolist()
        gone: set[int] = set()
        for row in cut_rows:
            grows = row not in gone
            while grows:
                others = self._rivals(row, [k for k in cut_rows if k != row and k not in gone])
                goes_on = _goes_on(
                    self.boxes[row], self._cut[row], self.boxes[others], self._cut[others]
                )
                grows = bool(goes_on.any())
                if grows:
                    self._join(row, int(others[goes_on][0]))
                    gone.add(int(others[goes_on][0]))
        return [row for row in range(len(self.boxes)) if row not in gone]

    def one_each(self, rows: list[int], covered_share: float) -> list[int]:
        """The rows that no other view of the same object makes superfluous."""
        boxes = self.boxes
        is_cut = np.asarray(self._cut.any(axis=1))
        size = np.where(is_cut, area(boxes), 0.0)
        taken: list[int] = []
        for row in sorted(rows, key=lambda k: (is_cut[k], -size[k], -self.scores[k], k)):
            rivals = self._rivals(row, taken)
            one = boxes[row : row + 1]
            around = boxes[rivals] + np.outer(self._slack[rivals], [-1, -1, 1, 1])
            same = (iou(one, boxes[rivals]) > _SAME_IOU).any()
            inside = is_cut[row] and (covered(one, around) > covered_share).any()
            if not (same or inside):
                taken.append(row)
        return taken

    def _rivals(self, row: int, taken: list[int]) -> IntArray:
        """Boxes of the same class that another view gave."""
        others = np.array(taken, np.int64)
        alike = self.labels[others] == self.labels[row]
        return others[alike & (self._view[others] != self._view[row])]

    def _join(self, one: int, other: int) -> None:
        """``one`` becomes the box around both; sides on which they met are cut no more."""
        boxes, cut = self.boxes, self._cut
        low, high = np.minimum(boxes[one], boxes[other]), np.maximum(boxes[one], boxes[other])
        outer = np.concatenate([low[:2], high[2:]])
        cut[one] = ((boxes[one] == outer) & cut[one]) | ((boxes[other] == outer) & cut[other])
        boxes[one] = outer
        self.scores[one] = max(self.scores[one], self.scores[other])
        self._view[one] = -1 - one  # it is of no single view any more


def _cut(boxes: FloatArray, views: IntArray, size_px: tuple[int, int]) -> BoolArray:
    """Which sides (N, 4: left, top, right, bottom) of boxes end at a border inside the picture."""
    edge = _EDGE * np.tile(views[:, 2:] - views[:, :2], 2)
    near = np.abs(boxes - views) <= edge
    inner = views != np.array([0, 0, *size_px])
    return near & inner


def _goes_on(box: FloatArray, cut: BoolArray, others: FloatArray, cuts: BoolArray) -> BoolArray:
    """Which cut boxes continue this one beyond the border that cuts it.

    They overlap it along the cut direction, are cut on the facing side, and are as high (or wide)
    as it: their extents across the direction have an IoU of half or more.
    """
    found = np.zeros(len(others), bool)
    for axis in (0, 1):
        across = 1 - axis
        facing = (cut[axis] & cuts[:, axis + 2]) | (cut[axis + 2] & cuts[:, axis])
        meet = np.minimum(box[axis + 2], others[:, axis + 2]) > np.maximum(
            box[axis], others[:, axis]
        )
        low = np.maximum(box[across], others[:, across])
        high = np.minimum(box[across + 2], others[:, across + 2])
        lowest = np.minimum(box[across], others[:, across])
        highest = np.maximum(box[across + 2], others[:, across + 2])
        found |= facing & meet & ((high - low) >= 0.5 * (highest - lowest))
    return found
