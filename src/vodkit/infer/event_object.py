"""Watched: what is known of one object, or of a track that may become one, and the same as JSON.

JSON holds every number exactly, so that events continue as if nothing had been written and read.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from vodkit.ground.records import State
from vodkit.track.count import Line, LineWatch, Settling, Zone

_PLAIN = (
    "track", "first_track", "number", "score", "state", "hidden", "again", "is_confirmed",
    "stopped",
)  # fmt: skip
_BOXES = ("box", "smooth", "place")
_TIMES = ("first_s", "place_s", "seen_s", "row_s", "moving_s")


@dataclass
class Told:
    """What receivers know of an object."""

    label: int
    zones: tuple[str, ...]
    stopped: bool
    hidden: bool
    at_s: float


@dataclass
class Watched:
    """An object, or a track that may become one."""

    track: int
    first_s: float
    box: tuple[float, ...]
    smooth: tuple[float, ...]
    place: tuple[float, ...]
    """where it was when it last began to stay in place"""
    place_s: float
    lines: list[LineWatch]
    zones: list[Settling]
    number: int = 0
    """of the objects that this track was: it may come back after its end"""
    first_track: int = 0
    score: float = 0.0
    state: int = int(State.OBSERVED)
    seen_s: float = 0.0
    row_s: float = 0.0
    """last row of any state"""
    hidden: bool = False
    again: int = 0
    """sightings since it was last not observed for ``hidden_s``"""
    is_confirmed: bool = False
    stopped: bool = False
    moving_s: float | None = None
    """since when a stopped object is not in its place"""
    inside: list[bool] = field(default_factory=list)
    votes: dict[int, float] = field(default_factory=dict)
    crossed: list[tuple[str, float, bool]] = field(default_factory=list)
    """crossings that were not reported yet: line, time, inwards"""
    told: Told | None = None

    @property
    def evidence_s(self) -> float:
        """Sum of score times seconds."""
        return sum(self.votes.values())


def packed(one: Watched, lines: Sequence[Line], zones: Sequence[Zone]) -> dict[str, Any]:
    """An object as JSON; what belongs to lines and zones, by these."""
    content = {spec.name: getattr(one, spec.name) for spec in fields(one)}
    content["votes"] = [*one.votes.items()]  # in their order: of equal ones the first one leads
    content["told"] = None if one.told is None else asdict(one.told)
    watches = zip(map(_key, lines), one.lines, strict=True)
    content["lines"] = [[key, watch.settling.sightings] for key, watch in watches]
    rows = zip(map(_key, zones), one.zones, one.inside, strict=True)
    content["zones"] = [[key, inside, settling.sightings] for key, settling, inside in rows]
    del content["inside"]
    return content


def unpacked(
    content: Mapping[str, Any],
    new: Callable[[], Watched],
    lines: Sequence[Line],
    zones: Sequence[Zone],
    *,
    earlier_s: float,
) -> Watched:
    """The object of ``packed``; lines and zones that it does not know begin now.

    Args:
        content: of ``packed``.
        new: makes an object of which nothing is known.
        lines: of the run, as those of ``new``.
        zones: of the run, as those of ``new``.
        earlier_s: what is taken from all times: the video may continue on another clock.

    Raises:
        KeyError, TypeError, ValueError: this is no such content.
    """
    one = new()
    for name in _BOXES:
        x1, y1, x2, y2 = map(float, content[name])
        setattr(one, name, (x1, y1, x2, y2))
    for name in _PLAIN:
        if type(content[name]) is not type(getattr(one, name)):
            raise TypeError(name)
        setattr(one, name, content[name])
    for name in _TIMES:
        value = content[name]
        setattr(one, name, None if value is None else float(value) - earlier_s)
    one.votes = {int(label): float(seconds) for label, seconds in content["votes"]}
    one.crossed = [(str(n), float(t) - earlier_s, bool(i)) for n, t, i in content["crossed"]]
    if content["told"] is not None:
        told = dict(content["told"])
        zones_told = tuple(map(str, told["zones"]))
        one.told = Told(**told | {"zones": zones_told, "at_s": float(told["at_s"]) - earlier_s})
    watches = dict(map(tuple, content["lines"]))
    for line, watch in zip(map(_key, lines), one.lines, strict=True):
        watch.settling.load(_moved(watches.get(line, []), earlier_s))
    known = {key: (inside, sightings) for key, inside, sightings in content["zones"]}
    for place, zone in enumerate(map(_key, zones)):
        one.inside[place], sightings = known.get(zone, (False, []))
        one.zones[place].load(_moved(sightings, earlier_s))
    return one


def _key(place: Line | Zone) -> str:
    """Names a line or a zone with its coordinates."""
    return repr(place)


def _moved(sightings: Sequence[Any], earlier_s: float) -> list[Any]:
    return [(float(time_s) - earlier_s, *others) for time_s, *others in sightings]
