"""Counting with tracks: who crossed a line, who was in a zone and for how long.

Made to be right where boxes tremble, vanish and change their ids: a line is crossed only when the
object was clearly on one side and later clearly on the other; a visit ends only after a while.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from vodkit.ground.arrays import BoolArray, FloatArray
from vodkit.ground.errors import SettingsError
from vodkit.ground.records import NO_ID, TrackTable

ANCHORS = {"bottom": (0.5, 1.0), "centre": (0.5, 0.5), "top": (0.5, 0.0)}
"""the point of a box that counts, in shares of its width and height"""


@dataclass(frozen=True, kw_only=True)
class Line:
    """A line from ``start_px`` to ``end_px``.

    An object goes *in* when it crosses from left to right, as seen by somebody who walks from
    start to end in the picture.
    """

    name: str
    start_px: tuple[float, float]
    end_px: tuple[float, float]

    def __post_init__(self) -> None:
        """A line has two ends."""
        if self.start_px == self.end_px:
            raise SettingsError(f"line {self.name}: both ends are {self.start_px}")


@dataclass(frozen=True, kw_only=True)
class Zone:
    """An area with straight sides."""

    name: str
    corners_px: tuple[tuple[float, float], ...]

    def __post_init__(self) -> None:
        """An area has three corners or more."""
        if len(self.corners_px) < 3:
            raise SettingsError(f"zone {self.name} has {len(self.corners_px)} corners; at least 3")


@dataclass(frozen=True, kw_only=True)
class CountSettings:
    """What counts, and how sure one has to be."""

    anchor: str = "bottom"
    """point of the box: bottom, centre or top"""
    margin: float = 0.1
    """an object is on a side of a line only this far from it, in sizes sqrt(w * h)"""
    settle_s: float = 0.3
    """a visit to a zone lasts this long at least, and survives being outside for as long"""

    def __post_init__(self) -> None:
        """Check the name and ranges."""
        if self.anchor not in ANCHORS:
            raise SettingsError(f"anchor is {self.anchor!r}; allowed: {', '.join(ANCHORS)}")
        for name in ("margin", "settle_s"):
            if not getattr(self, name) >= 0:
                raise SettingsError(f"{name} is {getattr(self, name)}; allowed: 0 or more")


@dataclass(frozen=True, kw_only=True)
class Crossing:
    """One object went over one line, once."""

    line: str
    track_id: int
    label: int
    time_s: float
    """when it was first clearly on the other side"""
    inwards: bool


@dataclass(frozen=True, kw_only=True)
class Visit:
    """One object was in one zone."""

    zone: str
    track_id: int
    label: int
    enter_s: float
    leave_s: float

    @property
    def dwell_s(self) -> float:
        """How long it stayed."""
        return self.leave_s - self.enter_s


def count_crossings(
    table: TrackTable, lines: Sequence[Line], settings: CountSettings | None = None
) -> list[Crossing]:
    """All crossings, by time. An object that goes to and fro is counted each time."""
    s = settings or CountSettings()
    found = []
    for times, points, size, track_id, label in _ways(table, s.anchor):
        for line in lines:
            for time_s, inwards in _crossings(times, points, size * s.margin, line):
                found.append(
                    Crossing(
                        line=line.name,
                        track_id=track_id,
                        label=label,
                        time_s=time_s,
                        inwards=inwards,
                    )
                )
    return sorted(found, key=lambda crossing: (crossing.time_s, crossing.track_id))


def _crossings(
    times: FloatArray, points: FloatArray, margin: FloatArray, line: Line
) -> list[tuple[float, bool]]:
    start, end = np.array(line.start_px), np.array(line.end_px)
    along = end - start
    length = float(np.hypot(*along))
    # y grows downwards, so the right-hand side of somebody walking along has a positive distance
    side_px = (along[0] * (points[:, 1] - start[1]) - along[1] * (points[:, 0] - start[0])) / length
    sure = np.flatnonzero(np.abs(side_px) > margin)
    found = []
    for a, b in pairwise(sure.tolist()):
        if side_px[a] * side_px[b] < 0:
            share = side_px[a] / (side_px[a] - side_px[b])
            where = points[a] + share * (points[b] - points[a])
            if 0 <= (where - start) @ along <= length**2:
                found.append((float(times[b]), bool(side_px[b] > 0)))
    return found


def count_visits(
    table: TrackTable, zones: Sequence[Zone], settings: CountSettings | None = None
) -> list[Visit]:
    """All visits to zones, by the time of entering; the dwell time is in each."""
    s = settings or CountSettings()
    found = []
    for times, points, _, track_id, label in _ways(table, s.anchor):
        for zone in zones:
            within = inside(points, np.array(zone.corners_px))
            for enter_s, leave_s in _stays(times, within, s.settle_s):
                found.append(
                    Visit(
                        zone=zone.name,
                        track_id=track_id,
                        label=label,
                        enter_s=enter_s,
                        leave_s=leave_s,
                    )
                )
    return sorted(found, key=lambda visit: (visit.enter_s, visit.track_id))


def _stays(times: FloatArray, within: BoolArray, settle_s: float) -> list[tuple[float, float]]:
    """Times of entering and leaving; being outside for ``settle_s`` or less does not count."""
    stays: list[tuple[float, float]] = []
    for time_s in times[within].tolist():
        if stays and not _left(times, within, stays[-1][1], time_s, settle_s):
            stays[-1] = (stays[-1][0], time_s)
        else:
            stays.append((time_s, time_s))
    return [stay for stay in stays if stay[1] - stay[0] >= settle_s]


def _left(
    times: FloatArray, within: BoolArray, last_s: float, time_s: float, settle_s: float
) -> bool:
    """Whether the object was seen outside between, and long enough for it to have left."""
    seen_outside = ~within & (times > last_s) & (times < time_s)
    return bool(seen_outside.any()) and time_s - last_s > settle_s


def inside(points: FloatArray, corners: FloatArray) -> BoolArray:
    """Which points (N, 2) lie in the polygon with these corners (M, 2): the even-odd rule.

    >>> inside(np.array([[1., 1], [3, 1]]), np.array([[0., 0], [2, 0], [2, 2], [0, 2]]))
    array([ True, False])
    """
    x, y = points[:, :1], points[:, 1:]
    x1, y1 = corners.T
    x2, y2 = np.roll(corners, -1, axis=0).T
    spans = (y1 > y) != (y2 > y)
    rise = np.where(y2 == y1, 1.0, y2 - y1)
    left_of = x < x1 + (y - y1) / rise * (x2 - x1)
    return np.asarray((spans & left_of).sum(axis=1) % 2 == 1)


def _ways(
    table: TrackTable, anchor: str
) -> list[tuple[FloatArray, FloatArray, FloatArray, int, int]]:
    """Of each track: times (n,), anchor points (n, 2), sizes (n,), id, and most frequent label."""
    across, down = ANCHORS[anchor]
    size = table.boxes_xyxy[:, 2:] - table.boxes_xyxy[:, :2]
    points = table.boxes_xyxy[:, :2] + size * [across, down]
    extent = np.sqrt(size.prod(axis=1))
    ways = []
    for track_id in np.unique(table.ids[table.ids != NO_ID]).tolist():
        own = np.flatnonzero(table.ids == track_id)
        label = int(np.bincount(np.maximum(table.labels[own], 0)).argmax())
        ways.append((table.times_s[own], points[own], extent[own], track_id, label))
    return ways
