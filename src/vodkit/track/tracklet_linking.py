"""Stitching: which pieces of tracks are one object's way, seen from the whole video.

A piece goes on in another one that begins later, lies on its way (and it on that one's way back),
is of the same class and about as tall, and, where embeddings are known, looks like it. What their
cosines say is learnt from the pieces themselves (``evidence``): one piece at two times is one
object, pieces seen together are two.

Legend: R rows of the table, T tracks (pieces), W windows of a track, D numbers of an embedding.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from vodkit.ground.arrays import FloatArray, IntArray
from vodkit.ground.boxes import to_cxcywh
from vodkit.ground.errors import SettingsError
from vodkit.ground.records import TrackTable
from vodkit.track.appearance_model import MOST, log_ratio, sums_of
from vodkit.track.assign import Pairs, likeness, match

LONGEST_REACH_S = 2.0
"""velocities are not believed for longer"""
LEAST_ALIKE = 0.6
"""heights of one object, the smaller by the larger one"""
MOST_WINDOWS = 1500
"""to learn likenesses from: pairs grow with the square"""
APART_S, MOST_APART_S = 1.0, 8.0
"""two looks at one piece are compared if they are at least and at most so far apart"""


@dataclass(frozen=True, kw_only=True)
class StitchSettings:
    """When two pieces can be one object; ``gap_s`` = 0 turns stitching off."""

    gap_s: float = 3.0
    """pieces up to this far apart in time can be one object"""
    error: float = 0.3
    """how far off, in sizes, the two pieces may pass each other's ends ..."""
    drift: float = 0.3
    """... and how much more for every second between them"""
    window_s: float = 0.7
    """velocity and looks at a piece's end are taken over this time"""
    looks: float = 1.0
    """how much looks widen (or narrow) what may be off, where they are known"""

    def __post_init__(self) -> None:
        """Check ranges."""
        for name in self.__dataclass_fields__:
            if not getattr(self, name) >= 0:
                raise SettingsError(f"stitch.{name} is {getattr(self, name)}; allowed: 0 or more")
        if not self.window_s > 0:
            raise SettingsError(f"stitch.window_s is {self.window_s}; allowed: above 0")
        if not self.looks <= 1:
            raise SettingsError(f"stitch.looks is {self.looks}; allowed: 0 to 1")


@dataclass(frozen=True, eq=False)
class _End:
    """One end of each piece."""

    time_s: FloatArray
    """(T,)"""
    centre: FloatArray
    """(T, 2)"""
    velocity: FloatArray
    """(T, 2) px/s"""
    size: FloatArray
    """(T, 2) width and height"""
    looks: FloatArray
    """(T, D) mean embedding"""


def stitch(table: TrackTable, settings: StitchSettings, looks: FloatArray | None) -> TrackTable:
    """One id for pieces that can be one object: one after the other, on each other's way.

    Each piece has at most one successor; the matching is the best over all pieces together.
    ``looks`` (R, D): embeddings of the rows, zeros where unknown.
    """
    looks = np.zeros((len(table), 0)) if looks is None else looks
    for _ in range(2):  # a second look with longer, better known pieces
        ids, rows = _pieces(table)
        heads, tails = _ends(table, rows, looks, settings.window_s)
        sums = _likenesses(table, looks, settings)
        pairs, gain = _candidates(heads, tails, table.labels[[own[-1] for own in rows]],
                                  settings, sums)  # fmt: skip
        chosen = match(pairs, gain)
        if len(chosen.rows) == 0:
            break
        root = np.arange(len(ids))
        order = np.argsort(heads.time_s[chosen.cols], kind="stable")
        for earlier, later in zip(chosen.rows[order], chosen.cols[order], strict=True):
            root[later] = root[earlier]
        table = replace(table, ids=ids[root][np.searchsorted(ids, table.ids)])
    return table


def _pieces(table: TrackTable) -> tuple[IntArray, list[IntArray]]:
    """The ids (T,) and the rows of each, in the order of time."""
    order = np.lexsort((table.frames, table.ids))
    ids, first = np.unique(table.ids[order], return_index=True)
    return ids, np.split(order, first[1:]) if len(ids) else []


def _ends(
    table: TrackTable, rows: Sequence[IntArray], looks: FloatArray, window_s: float
) -> tuple[_End, _End]:
    """First and last end of each piece."""
    boxes = to_cxcywh(table.boxes_xyxy)
    lines = np.zeros((2, len(rows), 6))
    times_s = np.zeros((2, len(rows)))
    means = np.zeros((2, len(rows), looks.shape[1]))
    for piece, own in enumerate(rows):
        t = table.times_s[own]
        for end, near in enumerate((t <= t[0] + window_s, t >= t[-1] - window_s)):
            times_s[end, piece] = t[-end]
            lines[end, piece] = _line(t[near], boxes[own[near]], at_s=t[-end])
            means[end, piece] = looks[own[near]].mean(axis=0)
    head, tail = (
        _End(times_s[end], line[:, :2], line[:, 2:4], line[:, 4:], means[end])
        for end, line in enumerate(lines)
    )
    return head, tail


def _line(times_s: FloatArray, boxes: FloatArray, *, at_s: float) -> FloatArray:
    """Centre, velocity and median size (6,) of some boxes (N, 4) by least squares, at a time."""
    t = times_s - times_s.mean()
    spread = float((t**2).sum())
    centre, size = boxes[:, :2].mean(axis=0), np.median(boxes[:, 2:], axis=0)
    if len(t) < 3 or spread == 0:  # two trembling boxes are no direction
        return np.concatenate([boxes[np.argmin(np.abs(times_s - at_s)), :2], [0, 0], size])
    velocity = (t[:, None] * boxes[:, :2]).sum(axis=0) / spread
    return np.concatenate([centre + velocity * (at_s - times_s.mean()), velocity, size])


def _candidates(
    heads: _End, tails: _End, labels: IntArray, s: StitchSettings, sums: FloatArray
) -> tuple[Pairs, FloatArray]:
    """Pairs (earlier, later) that can be one object, and how well they fit (above 0)."""
    gap_s = heads.time_s - tails.time_s[:, None]
    near = (gap_s > 0) & (gap_s <= s.gap_s) & (labels[:, None] == labels)
    a, b = np.nonzero(near)
    gap = gap_s[a, b]
    says = s.looks * _says(tails.looks[a], heads.looks[b], sums)
    height = tails.size[a, 1], heads.size[b, 1]
    alike = np.minimum(*height) / np.maximum(np.maximum(*height), 1e-9)
    allowed = (s.error + s.drift * gap) * (1 + says / MOST)
    gain = (1 - _off(heads, tails, a, b, gap) / np.maximum(allowed, 1e-9)) * alike
    return Pairs(a, b), np.where(alike > LEAST_ALIKE, gain, 0)


def _off(heads: _End, tails: _End, a: IntArray, b: IntArray, gap_s: FloatArray) -> FloatArray:
    """How far (P,) pieces a and b pass each other's ends, in sizes: the mean of both ways."""
    reach = np.minimum(gap_s, LONGEST_REACH_S)[:, None]
    forward = tails.centre[a] + tails.velocity[a] * reach - heads.centre[b]
    backward = heads.centre[b] - heads.velocity[b] * reach - tails.centre[a]
    size = np.maximum(tails.size[a].prod(axis=1) * heads.size[b].prod(axis=1), 1e-12) ** 0.25
    return np.asarray((np.hypot(*forward.T) + np.hypot(*backward.T)) / 2 / size)


def _says(looks: FloatArray, others: FloatArray, sums: FloatArray) -> FloatArray:
    """What looks say for (above 0) or against each pair (P,) being one object."""
    known = np.asarray(looks.any(axis=1) & others.any(axis=1))
    return np.where(known, log_ratio(likeness(looks, others), sums), 0.0)


def _likenesses(table: TrackTable, looks: FloatArray, s: StitchSettings) -> FloatArray:
    """Sums (2, 3), see ``evidence.log_ratio``: of one piece at two times, and of two together."""
    if not looks.any():
        return np.zeros((2, 3))
    bins = np.stack([table.ids, np.floor(table.times_s / s.window_s).astype(np.int64)])
    windows, at = np.unique(bins, axis=1, return_inverse=True)
    means = np.zeros((windows.shape[1], looks.shape[1]))
    np.add.at(means, at.ravel(), looks)
    kept = np.flatnonzero(means.any(axis=1))
    kept = kept[:: -(-len(kept) // MOST_WINDOWS)]
    (ids, moments), means = windows[:, kept], means[kept]
    means /= np.linalg.norm(means, axis=1, keepdims=True)
    cosines = means @ means.T
    apart_s = np.abs(moments[:, None] - moments) * s.window_s
    once = np.triu(np.ones_like(cosines, dtype=bool), 1) & (apart_s <= MOST_APART_S)
    same = once & (ids[:, None] == ids) & (apart_s >= APART_S)
    other = once & (moments[:, None] == moments) & (ids[:, None] != ids)
    return np.stack([sums_of(cosines[same]), sums_of(cosines[other])])
