"""The same footage on two sides of a split, found by fingerprints of frames.

Neighbouring frames of a video are nearly the same picture; one in training and the other in
validation makes every number too good. Fingerprints (64-bit difference hashes, twice a second) of
each side are compared with those of every other side. Where some are alike, what moves decides
whether it is the same footage (``moments``) or one place at two times.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np

from vodkit.data.audit.findings import Finding, Grade
from vodkit.data.audit.same_footage import OTHER, Question, Stretch, Verdict, answer, most_moving
from vodkit.data.audit.video_scan import FLAT, Footage, hamming, mirrored
from vodkit.ground.arrays import IntArray
from vodkit.ground.settings import bounded, check_ranges

NEAR_BITS = 8
"""up to so many bits it is worth while to look for moments: copies that were trimmed or cropped by
a little have no nearer frames"""
MOMENTS = 24
"""of a video, in which something moves, are looked for in another that looks alike"""
FEWEST = 3
"""with fewer in which enough moves, nothing is decided"""
REACH_S = 3.0
"""how far from a frame with a double they are chosen"""


@dataclass(frozen=True, kw_only=True)
class LeakSearch:
    """When two frames are the same."""

    most_bits: int = bounded(4, low=0, high=32)
    """fingerprints that differ in at most so many of 64 bits are the same footage"""
    share: float = bounded(0.1, above=0, high=1)
    """from this share of a video's frames found on another side on, it is an error"""

    def __post_init__(self) -> None:
        """Check ranges."""
        check_ranges(self)


@dataclass(frozen=True, eq=False)
class Side:
    """What is known of one video, or the part of it, on one side of the split."""

    split: str
    source: str
    stretch: Stretch
    footage: Footage
    frames: IntArray
    """(F,) that have a fingerprint and show something"""
    hashes: IntArray
    """(F,) uint64"""

    @classmethod
    def of(
        cls, split: str, source: str, footage: Footage, labelled: IntArray | None,
        *, path: Path, picture_rate: Fraction,
    ) -> "Side":  # fmt: skip
        """The part of a video around the ``labelled`` frames (None: all)."""
        first, last = 0, len(footage) - 1
        if labelled is not None and len(labelled):
            first, last = int(labelled.min()), int(labelled.max())
        usable = footage.spreads[footage.hash_frames] >= FLAT
        usable &= (footage.hash_frames >= first) & (footage.hash_frames <= last)
        stretch = Stretch(path.resolve(), picture_rate, first, last)
        frames = footage.hash_frames[usable]
        return cls(split, source, stretch, footage, frames, footage.hashes[usable])

    def at(self, frame: int) -> str:
        """A place in words."""
        return f"{self.source} at {self.footage.times_s[frame]:.2f} s ({self.split})"


@dataclass(frozen=True, eq=False)
class _Alike:
    """Two sides with frames that look alike; ``one`` is the shorter."""

    one: Side
    two: Side
    bits: IntArray
    """(F,) fewest bits by which each frame of ``one`` differs from one of ``two``"""
    nearest: IntArray
    """(F,) which"""
    same: IntArray
    """rows of ``one`` that look alike"""
    near: IntArray
    """rows that may have been alike before somebody trimmed or cropped a copy"""

    @property
    def count(self) -> int:
        """Frames that look alike, each of ``two`` counted once."""
        return min(len(self.same), len(np.unique(self.nearest[self.same])))

    @property
    def share(self) -> float:
        """Of all looked-at frames of ``one``."""
        return self.count / len(self.one.frames)

    @property
    def one_file(self) -> bool:
        """Whether both are stretches of one file."""
        return self.one.stretch.path == self.two.stretch.path

    @property
    def best(self) -> IntArray:
        """The nearest rows, most alike first."""
        return self.near[np.argsort(self.bits[self.near], kind="stable")]

    def question(self) -> Question | None:
        """What has to be asked to decide; None where that is known, or nothing can move."""
        if self.one_file or min(len(self.one.footage), len(self.two.footage)) < FEWEST:
            return None
        changes, row = self.one.footage.changes, int(self.best[0])
        frames = np.arange(self.one.stretch.first, self.one.stretch.last + 1)
        times_s, alike_s = (
            self.one.footage.times_s[x] for x in (frames, self.one.frames[self.near])
        )
        place = np.searchsorted(alike_s, times_s)
        before, after = (alike_s[np.clip(place - k, 0, len(alike_s) - 1)] for k in (1, 0))
        near = np.minimum(np.abs(times_s - before), np.abs(times_s - after)) <= REACH_S
        moving = most_moving(np.where(np.isfinite(changes), changes, 0), frames[near], MOMENTS)
        alike = (int(self.one.frames[row]), int(self.two.frames[self.nearest[row]]))
        return Question(self.one.stretch, moving, self.two.stretch, alike)


def find_leaks(sides: Sequence[Side], search: LeakSearch) -> list[Finding]:
    """A finding for every two videos of different sides that look alike somewhere."""
    pairs = [
        alike
        for number, one in enumerate(sides)
        for two in sides[number + 1 :]
        if one.split != two.split and (alike := _alike(one, two, search))
    ]
    questions = {pair: asked for pair in pairs if (asked := pair.question())}
    verdicts = dict(zip(questions, answer(list(questions.values())), strict=True))
    judged = [(pair, verdicts.get(pair)) for pair in pairs]
    found = [
        _finding(pair, verdict, search)
        for pair, verdict in judged
        if len(pair.same) or (verdict is not None and verdict.found)
    ]
    return sorted(found, key=lambda finding: (-finding.grade, -finding.count))


def _alike(one: Side, two: Side, search: LeakSearch) -> _Alike | None:
    one, two = sorted((one, two), key=lambda side: len(side.frames))
    if len(one.frames) == 0:
        return None
    as_it_is, turned = (
        _nearest(hashes, two.hashes) for hashes in (one.hashes, mirrored(one.hashes))
    )
    bits, nearest = (
        np.where(turned[0] < as_it_is[0], after, before)
        for before, after in zip(as_it_is, turned, strict=True)
    )
    same = np.flatnonzero(bits <= search.most_bits)
    near = np.flatnonzero(bits <= max(NEAR_BITS, search.most_bits))
    return _Alike(one, two, bits, nearest, same, near) if len(near) else None


def _finding(pair: _Alike, verdict: Verdict | None, search: LeakSearch) -> Finding:
    code, more = _judged(pair, verdict)
    found = () if verdict is None else verdict.found
    looks_alike = len(pair.same) / len(pair.one.frames)
    alike = [
        (int(pair.one.frames[row]), int(pair.two.frames[pair.nearest[row]]),
         f", {pair.bits[row]} of 64 bits differ")
        for row in pair.best[: len(pair.same)]
    ]  # fmt: skip
    places = [(at, there, "") for at, there in found] or alike
    grade = Grade.WARNING if looks_alike >= search.share and verdict is not None else Grade.NOTE
    if code == "leak" and max(pair.share, _share_found(verdict)) >= search.share:
        grade = Grade.ERROR
    return Finding(
        code=code,
        grade=grade,
        message=f"{looks_alike:.0%} of the sampled frames resemble frames of {pair.two.source} "
        f"({pair.one.split!r} against {pair.two.split!r}){more}",
        video=pair.one.source,
        time_s=float(pair.one.footage.times_s[min(place[0] for place in places)]),
        count=pair.count,
        evidence=tuple(
            f"{pair.one.at(at)} = {pair.two.at(there)}{words}" for at, there, words in places[:5]
        ),
    )


def _share_found(verdict: Verdict | None) -> float:
    return len(verdict.found) / verdict.tested if verdict is not None and verdict.tested else 0.0


def _judged(pair: _Alike, verdict: Verdict | None) -> tuple[str, str]:
    """The code, and what is said behind how much looks alike."""
    one, two = pair.one.stretch, pair.two.stretch
    if pair.one_file and (one.last < two.first or two.last < one.first):
        return "same-place", ": stretches of one recording"
    if verdict is None:
        return "leak", ""
    if verdict.found:
        count = f"{len(verdict.found)} of {verdict.tested}"
        return "leak", f"; {count} moments in which something moves are in both"
    if verdict.tested >= FEWEST and verdict.typical > OTHER:
        return "same-place", f", but none of {verdict.tested} moments with motion is in it"
    why = "too little moves" if verdict.tested < FEWEST else "what moves is alike, but not the same"
    return "leak", f"; not decided whether it is one piece of footage or one place: {why}"


def _nearest(one: IntArray, two: IntArray) -> tuple[IntArray, IntArray]:
    """For every hash of ``one``: the fewest different bits to one of ``two``, and which."""
    bits, places = [], []
    for start in range(0, len(one), 512):
        distances = hamming(one[start : start + 512], two)
        places.append(distances.argmin(axis=1))
        bits.append(distances.min(axis=1))
    return np.concatenate(bits), np.concatenate(places)
