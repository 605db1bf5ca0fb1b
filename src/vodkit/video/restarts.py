"""Clocks that restart within one file: joined recordings, playlists with discontinuities.

A *part* is a run of packets, in file order, under one clock. Within a part the container's times
hold. The next part continues one frame after the last frame of the part before, as FFmpeg does
when it transcodes (``ts_discontinuity_detect`` in fftools/ffmpeg_demux.c).
"""

from collections.abc import Iterator, Sequence
from fractions import Fraction
from itertools import groupby, pairwise
from statistics import median
from typing import NamedTuple, TypeAlias

Ticks: TypeAlias = int | Fraction

BACK_S = 0.1
"""a clock that goes back by more restarts"""
LEAP_S = 10.0
"""a clock that leaps ahead by more restarts, in formats that allow for it"""
ERROR_S = 30 * 3600.0
"""the same in all other formats: no recording pauses for so long"""
# In these a clock may restart anywhere (AVFMT_TS_DISCONT in libavformat).
_DISCONTINUOUS = frozenset({"mpegts", "mpeg", "hls", "ogg", "rtsp", "rtp"})
_WRAPPED = frozenset({"mpegts", "mpeg", "hls"})
_WRAP = 2**33  # ticks of 1/90000 s, after which an MPEG clock begins again
_REORDERED = 17  # packets: more than any decoder holds back, so all later ones are shown later


class Packet(NamedTuple):
    """What a container says of a packet, in ticks."""

    pts: int | None
    dts: int | None
    is_key: bool
    duration: int


class Continued(NamedTuple):
    """Frames under one clock, made of parts that each have their own."""

    pts: tuple[Ticks, ...]
    """one a frame, increasing"""
    place_of: tuple[int, ...]
    """of each frame, how many packets lie before its own"""
    restarts: tuple[int, ...]
    """the frames at which the clock restarts"""


def continued(packets: Sequence[Packet], tick_s: Fraction, container: str) -> Continued:
    """The packets' frames in order of their parts, under one clock."""
    if container in _WRAPPED and tick_s == Fraction(1, 90000):
        packets = _unwrapped(packets)
    starts = list(_starts(packets, tick_s, container))
    pts: list[Ticks] = []
    places: list[int] = []
    restarts = []
    for first, end in pairwise([0, *starts, len(packets)]):
        known = [packet.pts or 0 for packet in packets[first:end]]
        order = sorted(range(end - first), key=known.__getitem__)
        ticks = spread([known[place] for place in order])
        begin = pts[-1] + _step(pts, packets[first - 1]) if pts else ticks[0]
        if pts:
            restarts.append(len(pts))
        pts += [begin + tick - ticks[0] for tick in ticks]
        places += [first + place for place in order]
    return Continued(tuple(pts), tuple(places), tuple(restarts))


def _unwrapped(packets: Sequence[Packet]) -> list[Packet]:
    """The packets with times that go on where the 33 bits of MPEG's clock wrap."""
    unwrapped: list[Packet] = []
    last = packets[0].dts if packets[0].dts is not None else packets[0].pts or 0
    for packet in packets:
        dts = None if packet.dts is None else _nearest(packet.dts, last)
        last = _nearest(packet.pts or 0, last) if dts is None else dts
        unwrapped.append(packet._replace(pts=_nearest(packet.pts or 0, last), dts=dts))
    return unwrapped


def _nearest(ticks: int, last: int) -> int:
    """The same reading of the 33-bit clock, where it is nearest to the last one.

    >>> _nearest(100, 2**33 - 50) - 2**33
    100
    """
    return last + (ticks - last + _WRAP // 2) % _WRAP - _WRAP // 2


def _starts(packets: Sequence[Packet], tick_s: Fraction, container: str) -> Iterator[int]:
    """Positions of the packets at which the clock restarts; all packets have a pts."""
    back = round(BACK_S / tick_s)
    leap = round((LEAP_S if container in _DISCONTINUOUS else ERROR_S) / tick_s)
    start, newest = 0, packets[0].pts or 0
    for place, (before, packet) in enumerate(pairwise(packets), 1):
        pts, dts, was = packet.pts or 0, packet.dts, before.dts
        ahead = pts - newest if dts is None or was is None else min(pts - newest, dts - was)
        ago = 0 if dts is None or was is None else was - dts
        # Nothing that precedes a keyframe is shown after it.
        if max(ahead, ago) > leap or (packet.is_key and pts < newest):
            restarts = True
        else:
            restarts = ago > back and place - start >= _REORDERED
            restarts = restarts and pts + back < _earliest(packets[place - _REORDERED : place])
        if restarts:
            yield place
            start, newest = place, pts
        newest = max(newest, pts)


def _earliest(packets: Sequence[Packet]) -> int:
    return min(packet.pts or 0 for packet in packets)


def _step(pts: Sequence[Ticks], last: Packet) -> Ticks:
    """How long the last frame of a part lasts."""
    steps = [Fraction(b - a) for a, b in pairwise(pts[-64:])]
    return last.duration or (median(steps) if steps else 1)


def spread(ticks: Sequence[int]) -> list[Ticks]:
    """Sorted times, equal ones spread evenly up to the next: the clock was rounded, or stood still.

    >>> spread([3, 4, 4, 6])
    [3, 4, 5, 6]
    >>> spread([0, 10, 20, 20, 20, 21])
    [0, 10, 20, Fraction(61, 3), Fraction(62, 3), 21]
    """
    mean = Fraction(ticks[-1] - ticks[0], max(len(ticks) - 1, 1)) or Fraction(1)
    apart: list[Ticks] = []
    runs = [(tick, len(list(alike))) for tick, alike in groupby(ticks)]
    for number, (tick, count) in enumerate(runs):
        room = count * mean
        if number + 1 < len(runs):
            room = min(room, Fraction(runs[number + 1][0] - tick))
        steps = (tick + i * room / count for i in range(count))
        apart += [int(step) if step.denominator == 1 else step for step in map(Fraction, steps)]
    return apart
