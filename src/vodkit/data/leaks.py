"""The same footage on two sides of a split, found by fingerprints of frames.

Neighbouring frames of a video are nearly the same picture; one in training and the other in
validation makes every number too good. Fingerprints (64-bit difference hashes, twice a second) of
each side are compared with those of every other side.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from vodkit.arrays import FloatArray, IntArray
from vodkit.data.findings import Finding, Grade
from vodkit.data.footage import FLAT, Footage, hamming
from vodkit.errors import SettingsError


@dataclass(frozen=True, kw_only=True)
class LeakSearch:
    """When two frames are the same."""

    most_bits: int = 4
    """fingerprints that differ in at most so many of 64 bits are the same footage"""
    share: float = 0.1
    """from this share of a video's frames found on another side on, it is an error"""

    def __post_init__(self) -> None:
        """Check ranges."""
        if not 0 <= self.most_bits <= 32 or not 0 < self.share <= 1:
            raise SettingsError(f"{self}: most_bits in 0..32, share in 0..1 are allowed")


@dataclass(frozen=True, eq=False)
class Side:
    """The fingerprints of one video, or the part of it, on one side of the split."""

    split: str
    source: str
    hashes: IntArray
    """(F,) uint64"""
    times_s: FloatArray
    """(F,)"""

    @classmethod
    def of(cls, split: str, source: str, footage: Footage, frames: IntArray | None) -> "Side":
        """The part of a video in ``frames`` (None: all), without frames that show nothing."""
        usable = footage.spreads[footage.hash_frames] >= FLAT
        if frames is not None and len(frames):
            inside = footage.hash_frames >= frames.min()
            usable &= inside & (footage.hash_frames <= frames.max())
        chosen = footage.hash_frames[usable]
        return cls(split, source, footage.hashes[usable], footage.times_s[chosen])


def find_leaks(sides: Sequence[Side], search: LeakSearch) -> list[Finding]:
    """A finding for every two videos of different sides that show the same footage."""
    found = []
    for number, one in enumerate(sides):
        for two in sides[number + 1 :]:
            if one.split != two.split and len(one.hashes) and len(two.hashes):
                found += _compare(one, two, search)
    return sorted(found, key=lambda finding: (-finding.grade, -finding.count))


def _compare(one: Side, two: Side, search: LeakSearch) -> list[Finding]:
    bits = _nearest(one.hashes, two.hashes)
    same = np.flatnonzero(bits[0] <= search.most_bits)
    if len(same) == 0:
        return []
    fewest = min(len(one.hashes), len(two.hashes))
    count = min(len(same), len(np.unique(bits[1][same])))
    share = count / fewest
    grade = Grade.ERROR if share >= search.share else Grade.NOTE
    if one.source == two.source:  # known, and said by whoever cut one recording in two
        grade = min(grade, Grade.WARNING)
    first = int(same[0])
    places = tuple(
        f"{one.source} at {one.times_s[row]:.2f} s ({one.split}) = {two.source} at "
        f"{two.times_s[bits[1][row]]:.2f} s ({two.split}), {bits[0][row]} of 64 bits differ"
        for row in same[np.argsort(bits[0][same], kind="stable")][:5]
    )
    message = (
        f"{share:.0%} of the looked-at frames look like frames of {two.source} "
        f"({one.split!r} against {two.split!r})"
    )
    return [
        Finding(
            code="leak",
            grade=grade,
            message=message,
            video=one.source,
            time_s=float(one.times_s[first]),
            count=count,
            evidence=places,
        )
    ]


def _nearest(one: IntArray, two: IntArray) -> tuple[IntArray, IntArray]:
    """For every hash of ``one``: the fewest different bits to one of ``two``, and which."""
    bits, places = [], []
    for start in range(0, len(one), 512):
        distances = hamming(one[start : start + 512], two)
        places.append(distances.argmin(axis=1))
        bits.append(distances.min(axis=1))
    return np.concatenate(bits), np.concatenate(places)
