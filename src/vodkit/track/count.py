"""Counting with tracks: crossings of lines, visits to zones and how long they lasted.

Boxes jitter, vanish and change their ids, so there is hysteresis in distance and in time. Each
track is cut into *spells*: runs of sightings on one side of a line (at least ``margin`` away from
it), or inside or outside a zone. A spell between two others that may have lasted ``settle_s`` at
most is jitter and is joined with its neighbours. How long a spell may have lasted runs from the
last sighting before it to the first one after it, so a single sighting in video of one frame a
second is a spell, and in video of 25 frames a second it is not.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from math import isfinite

import numpy as np

from vodkit.ground.arrays import BoolArray, FloatArray, IntArray
from vodkit.ground.errors import SettingsError
from vodkit.ground.records import NO_ID, TrackTable, VideoInfo

ANCHORS = {"bottom": (0.5, 1.0), "centre": (0.5, 0.5), "top": (0.5, 0.0)}
"""the point of a box that counts, in shares of its width and height"""
_MOST_UNDECIDED = 100
"""sightings of a track that wait for later ones to decide on which side it is"""
_ROUNDING_S = 1e-6
"""two times that are closer differ by rounding only"""


@dataclass(frozen=True, kw_only=True)
class Line:
    """A line from ``start_px`` to ``end_px``.

    An object goes *in* when it crosses to the right-hand side of the direction from start to end,
    as seen in the picture.
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
    """What counts as a crossing or a visit."""

    anchor: str = "bottom"
    """point of the box: bottom, centre or top"""
    margin: float = 0.1
    """an object is on a side of a line only this far from it, in sizes sqrt(w * h)"""
    settle_s: float = 0.3
    """being on the other side of a line, or in or out of a zone, for this long or less is jitter;
    seconds"""

    def __post_init__(self) -> None:
        """Check the name and ranges."""
        if self.anchor not in ANCHORS:
            raise SettingsError(f"anchor is {self.anchor!r}; allowed: {', '.join(ANCHORS)}")
        for name in ("margin", "settle_s"):
            if not getattr(self, name) >= 0:
                raise SettingsError(f"{name} is {getattr(self, name)}; allowed: 0 or more")


@dataclass(frozen=True, kw_only=True)
class Crossing:
    """One object crossed one line, once."""

    line: str
    track_id: int
    label: int
    time_s: float
    """the first sighting clearly on the other side"""
    inwards: bool


@dataclass(frozen=True, kw_only=True)
class Visit:
    """One object was in one zone."""

    zone: str
    track_id: int
    label: int
    enter_s: float
    """the first sighting inside"""
    leave_s: float
    """the last sighting inside"""
    num_seen: int = 2
    """sightings inside"""
    longest_s: float | None = None
    """from the last sighting outside before to the first one after; None: the track begins or ends
    inside"""

    @property
    def dwell_s(self) -> float | None:
        """Seconds from the first sighting inside to the last; None, not known, for only one."""
        return self.leave_s - self.enter_s if self.num_seen > 1 else None


def count_crossings(
    table: TrackTable, lines: Sequence[Line], settings: CountSettings | None = None
) -> list[Crossing]:
    """All crossings, by time. An object that goes back and forth is counted each time."""
    s = settings or CountSettings()
    found = []
    for times, points, size, track_id, label in _ways(table, s.anchor):
        for line in lines:
            watch = LineWatch(line, s)
            changes = [
                change
                for time_s, point, size_px in zip(times.tolist(), points, size, strict=True)
                for change in watch.add(time_s, (point[0], point[1]), float(size_px))
            ]
            found += [
                Crossing(
                    line=line.name,
                    track_id=track_id,
                    label=label,
                    time_s=change.time_s,
                    inwards=change.inside,
                )
                for change in (*changes, *watch.end())
            ]
    return sorted(found, key=lambda crossing: (crossing.time_s, crossing.track_id))


def _sides_px(points: FloatArray, line: Line) -> FloatArray:
    """How far (n,) points (n, 2) are to the right of a line, as seen in the picture."""
    start, end = np.array(line.start_px), np.array(line.end_px)
    along = end - start
    length = float(np.hypot(*along))
    # y grows downwards, so the right-hand side of the direction has a positive distance
    return np.asarray(
        (along[0] * (points[:, 1] - start[1]) - along[1] * (points[:, 0] - start[0])) / length
    )


def _is_on(where: FloatArray, line: Line) -> bool:
    """Whether a point of the infinite line lies between its ends."""
    start, along = np.array(line.start_px), np.subtract(line.end_px, line.start_px)
    return bool(0 <= (where - start) @ along <= float(np.hypot(*along)) ** 2)


@dataclass
class _Spell:
    """A run of sightings that are all inside, or all outside (of a side, of a zone)."""

    first: int
    """place of its first sighting"""
    last: int
    inside: bool
    num: int
    """sightings, without jitter that was joined in"""


def _spells(times: FloatArray, within: BoolArray, settle_s: float) -> list[_Spell]:
    """The spells of one track, jitter between two spells joined with them, shortest first."""
    cuts = np.flatnonzero(np.diff(within)) + 1
    parts: list[IntArray] = np.split(np.arange(len(times)), cuts) if len(times) else []
    spells = [
        _Spell(first=int(p[0]), last=int(p[-1]), inside=bool(within[p[0]]), num=len(p))
        for p in parts
    ]
    while len(spells) > 2:
        may_last = [
            times[after.first] - times[before.last]
            for before, after in zip(spells[:-2], spells[2:], strict=True)
        ]
        k = int(np.argmin(may_last))
        if may_last[k] > settle_s + _ROUNDING_S:
            break
        before, after = spells[k], spells[k + 2]
        joined = _Spell(before.first, after.last, before.inside, before.num + after.num)
        spells[k : k + 3] = [joined]
    return spells


@dataclass
class Settling:
    """The spells of one track as they come, decided as ``_spells`` decides over the whole track.

    Sightings are kept since the last spell that is too long to be jitter. Of an object that changes
    sides all the time, the oldest ones are decided without the later ones: memory stays flat.
    """

    settle_s: float
    times: list[float] = field(default_factory=list)
    within: list[bool] = field(default_factory=list)
    points: list[tuple[float, float]] = field(default_factory=list)
    """anchor points of the sightings"""

    def add(self, time_s: float, point: tuple[float, float], *, within: bool) -> "Changes":
        """Take the next sighting; the changes of side that are certain by now."""
        if self.within and len(set(self.within)) == 1 and within == self.within[-1]:
            self._keep_from(len(self.times))
        self.times.append(time_s)
        self.within.append(within)
        self.points.append(point)
        if within == self.within[0] and len(self.times) <= 2:
            return []
        spells = self._spells()
        if len(spells) < 2 or not self._is_long(spells[-2].last):
            if len(self.times) > _MOST_UNDECIDED:
                self._keep_from(spells[0].last)
            return []
        changes = self._changes(spells)
        self._keep_from(len(self.times) - 1)
        return changes

    def end(self) -> "Changes":
        """The changes of side that the end of the track makes certain."""
        return self._changes(self._spells())

    @property
    def sightings(self) -> "list[Sighting]":
        """Those that later ones decide on."""
        rows = zip(self.times, self.within, self.points, strict=True)
        return [(time_s, within, *point) for time_s, within, point in rows]

    def load(self, sightings: "Sequence[Sighting]") -> None:
        """Continue with these sightings, of another one."""
        self.times = [float(one[0]) for one in sightings]
        self.within = [bool(one[1]) for one in sightings]
        self.points = [(float(one[2]), float(one[3])) for one in sightings]

    def _is_long(self, before: int) -> bool:
        return self.times[-1] - self.times[before] > self.settle_s + _ROUNDING_S

    def _spells(self) -> "list[_Spell]":
        return _spells(np.array(self.times), np.array(self.within, bool), self.settle_s)

    def _changes(self, spells: "list[_Spell]") -> "Changes":
        return [
            Change(
                time_s=self.times[b.first],
                inside=b.inside,
                before_px=self.points[a.last],
                after_px=self.points[b.first],
            )
            for a, b in pairwise(spells)
            if a.inside != b.inside
        ]

    def _keep_from(self, place: int) -> None:
        del self.times[:place], self.within[:place], self.points[:place]


@dataclass(frozen=True)
class Change:
    """A change from one side to the other."""

    time_s: float
    """the first sighting on the new side"""
    inside: bool
    """the new side"""
    before_px: tuple[float, float]
    """the last sighting on the old side"""
    after_px: tuple[float, float]


Changes = list[Change]
Sighting = tuple[float, bool, float, float]
"""time, whether inside, and the x and y of the point"""


class LineWatch:
    """One line and one track: gives its crossings as soon as they are sure."""

    def __init__(self, line: Line, settings: CountSettings) -> None:
        """Begin with the first sighting of a track."""
        self.line, self._margin = line, settings.margin
        self.settling = Settling(settings.settle_s)

    def add(self, time_s: float, point: tuple[float, float], size_px: float) -> Changes:
        """Take the anchor point and size sqrt(w * h) of the next sighting."""
        side_px = float(_sides_px(np.array([point]), self.line)[0])
        if abs(side_px) <= size_px * self._margin:
            return []
        return self._crossed(self.settling.add(time_s, point, within=side_px > 0))

    def end(self) -> Changes:
        """The crossings that the end of the track makes certain."""
        return self._crossed(self.settling.end())

    def _crossed(self, changes: Changes) -> Changes:
        return [change for change in changes if self._meets(change)]

    def _meets(self, change: Change) -> bool:
        before, after = np.array(change.before_px), np.array(change.after_px)
        a, b = _sides_px(np.array([before, after]), self.line)
        return _is_on(before + a / (a - b) * (after - before), self.line)


def anchor_of(box_xyxy: Sequence[float], anchor: str) -> tuple[float, float]:
    """The point of a box that counts.

    >>> anchor_of((0, 0, 4, 2), "bottom")
    (2.0, 2.0)
    """
    across, down = ANCHORS[anchor]
    x1, y1, x2, y2 = box_xyxy
    return x1 + (x2 - x1) * across, y1 + (y2 - y1) * down


def frame_interval_s(table: TrackTable) -> float:
    """The usual time between two frames with boxes; infinite where there is only one.

    >>> frame_interval_s(TrackTable.empty())
    inf
    """
    steps = np.diff(np.unique(table.times_s))
    return float(np.median(steps)) if len(steps) else float("inf")


def count_visits(
    table: TrackTable, zones: Sequence[Zone], settings: CountSettings | None = None
) -> list[Visit]:
    """All visits to zones, by the time of entering, each with its dwell time."""
    s = settings or CountSettings()
    found = []
    step_s = frame_interval_s(table)
    for times, points, _, track_id, label in _ways(table, s.anchor):
        for zone in zones:
            within = inside(points, np.array(zone.corners_px))
            for spell, longest_s in _stays(times, within, settle_s=s.settle_s, step_s=step_s):
                found.append(
                    Visit(
                        zone=zone.name,
                        track_id=track_id,
                        label=label,
                        enter_s=float(times[spell.first]),
                        leave_s=float(times[spell.last]),
                        num_seen=spell.num,
                        longest_s=longest_s,
                    )
                )
    return sorted(found, key=lambda visit: (visit.enter_s, visit.track_id))


def _stays(
    times: FloatArray, within: BoolArray, *, settle_s: float, step_s: float
) -> list[tuple[_Spell, float | None]]:
    """The spells inside that may have lasted longer than ``settle_s``, and how long at most.

    A spell at the begin or end of a track is taken to reach one frame beyond it.
    """
    stays: list[tuple[_Spell, float | None]] = []
    for spell in _spells(times, within, settle_s):
        if not spell.inside:
            continue
        whole = spell.first > 0 and spell.last < len(times) - 1
        begin = times[spell.first - 1] if spell.first > 0 else times[spell.first] - step_s
        end = times[spell.last + 1] if spell.last < len(times) - 1 else times[spell.last] + step_s
        if end - begin > settle_s + _ROUNDING_S:
            stays.append((spell, float(end - begin) if whole else None))
    return stays


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


def lines_of(texts: Sequence[str], info: VideoInfo | None = None) -> tuple[Line, ...]:
    """The lines that options name, as ``[name=]x1,y1,x2,y2``.

    Args:
        texts: one a line.
        info: of the video; None: whether they are in the picture is not checked.

    Raises:
        SettingsError: not of that form, two of one name, or not in the picture.
    """
    found = []
    for name, points in _shapes("line", texts, info):
        if len(points) != 2:
            raise SettingsError(f"line {name} has {len(points)} points; a line has 2")
        found.append(Line(name=name, start_px=points[0], end_px=points[1]))
    return tuple(found)


def zones_of(texts: Sequence[str], info: VideoInfo | None = None) -> tuple[Zone, ...]:
    """The zones that options name, as ``[name=]x1,y1,x2,y2,x3,y3,...``; see ``lines_of``."""
    return tuple(Zone(name=n, corners_px=tuple(p)) for n, p in _shapes("zone", texts, info))


def _shapes(
    option: str, texts: Sequence[str], info: VideoInfo | None
) -> list[tuple[str, list[tuple[float, float]]]]:
    """Name and points, in pixels of the picture, of each line or zone."""
    found: dict[str, list[tuple[float, float]]] = {}
    for place, text in enumerate(texts):
        name, _, numbers = text.rpartition("=")
        name = name or f"{option}{place}"
        try:
            values = [float(word) for word in numbers.split(",")]
        except ValueError:
            values = []
        if len(values) < 4 or len(values) % 2 or not all(map(isfinite, values)):
            raise SettingsError(f"--{option} {text!r}: expected [name=]x1,y1,x2,y2,... in pixels")
        if name in found:
            raise SettingsError(f"--{option} {text!r}: name {name} exists already; one name each")
        if info is not None and not _is_in_picture(values, info):
            size = f"{info.width_px}x{info.height_px}"
            raise SettingsError(f"--{option} {text!r} is not in the picture of {size} pixels")
        found[name] = list(zip(values[::2], values[1::2], strict=True))
    return list(found.items())


def _is_in_picture(values: Sequence[float], info: VideoInfo) -> bool:
    across, down = values[::2], values[1::2]
    outside = min(across) > info.width_px or min(down) > info.height_px
    return not (outside or max(across) < 0 or max(down) < 0 or max(map(abs, values)) <= 1)
