"""Objects that are hidden: whether they keep their identity and their boxes are right.

A *spell* is a run of labelled frames, inside a truth track's life, in which the object is hidden:
its visibility is below 0.25, or it has no box although it has one before and after. The identity
is kept when the last predicted id matched before the spell is the first one matched after it.
``hidden_s`` is the time from the last frame seen before to the first seen after.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from vodkit.ground.arrays import BoolArray, IntArray
from vodkit.ground.records import NO_ID
from vodkit.metrics.detection.frames import FrameMatches
from vodkit.metrics.detection.match import UNMATCHED
from vodkit.metrics.ratio import ratio

HIDDEN_BELOW = 0.25
DURATIONS_S = {
    "under 0.5 s": (0.0, 0.5),
    "0.5-1 s": (0.5, 1.0),
    "1-2 s": (1.0, 2.0),
    "2-5 s": (2.0, 5.0),
    "5 s and more": (5.0, float("inf")),
}
VISIBILITIES = {
    "0-0.25": (0.0, 0.25),
    "0.25-0.5": (0.25, 0.5),
    "0.5-0.75": (0.5, 0.75),
    "0.75-1": (0.75, float("inf")),
}
UNKNOWN = "unknown"


@dataclass(frozen=True, kw_only=True)
class Spell:
    """One object hidden once."""

    video: str
    track_id: int
    first_frame: int
    """last frame seen before"""
    last_frame: int
    """first frame seen after"""
    hidden_s: float
    kept: bool | None
    """None: it was not tracked before or not after, so there is no identity to keep"""
    num_boxes: int
    """truth boxes while hidden"""
    num_boxes_right: int


@dataclass(frozen=True, kw_only=True)
class Share:
    """A part of a whole, with both counts."""

    share: float | None
    part: int
    whole: int


@dataclass(frozen=True, kw_only=True)
class OcclusionResult:
    """Shares over all videos; ``identities_*`` are None-shares where tracks have no ids."""

    identities_kept: Share
    identities_by_hidden_time: Mapping[str, Share]
    boxes_right_by_hidden_time: Mapping[str, Share]
    boxes_right_by_visibility: Mapping[str, Share]
    spells: tuple[Spell, ...]


def find_spells(matches: FrameMatches) -> list[Spell]:
    """Every time that a truth track of one video is hidden."""
    truth = matches.clip.truth
    tracked = np.flatnonzero(truth.ids != NO_ID)
    order = tracked[np.argsort(truth.ids[tracked], kind="stable")]
    starts = np.flatnonzero(np.diff(truth.ids[order], prepend=NO_ID))
    return [spell for rows in np.split(order, starts)[1:] for spell in _track_spells(matches, rows)]


def _track_spells(matches: FrameMatches, rows: IntArray) -> list[Spell]:
    """The spells of one truth track, whose ``rows`` of the table are in order of time."""
    clip, truth = matches.clip, matches.clip.truth
    seen = ~(truth.visibility[rows] < HIDDEN_BELOW)
    partner = matches.found_of_truth[rows]
    ids = np.append(matches.clip.found.ids, NO_ID)
    who = np.where(partner != UNMATCHED, ids[partner], NO_ID)
    visible = np.flatnonzero(seen)
    places = matches.truth_frame[rows]
    gaps = np.flatnonzero(np.diff(places[visible]) > 1)
    found = []
    for gap in gaps:
        before, after = visible[gap], visible[gap + 1]
        inside = rows[before + 1 : after]
        first, last = rows[before], rows[after]
        found.append(
            Spell(
                video=clip.name,
                track_id=int(truth.ids[first]),
                first_frame=int(truth.frames[first]),
                last_frame=int(truth.frames[last]),
                hidden_s=float(truth.times_s[last] - truth.times_s[first]),
                kept=_kept(who[visible[: gap + 1]], who[visible[gap + 1 :]]),
                num_boxes=len(inside),
                num_boxes_right=int((matches.found_of_truth[inside] != UNMATCHED).sum()),
            )
        )
    return found


def _kept(before: IntArray, after: IntArray) -> bool | None:
    """Whether the last id before equals the first one after."""
    old, new = before[before != NO_ID], after[after != NO_ID]
    return bool(old[-1] == new[0]) if len(old) and len(new) else None


def evaluate_occlusion(matched: Sequence[FrameMatches]) -> OcclusionResult:
    """Identities and boxes through occlusions, over all videos."""
    spells = [spell for one in matched for spell in find_spells(one)]
    judged = [spell for spell in spells if spell.kept is not None]
    none = np.empty(0)
    seen = np.concatenate([*(m.clip.truth.visibility for m in matched), none])
    hit = np.concatenate([*(m.found_of_truth != UNMATCHED for m in matched), none]).astype(bool)
    bins = {
        name: _masked(hit, (seen >= low) & (seen < high))
        for name, (low, high) in VISIBILITIES.items()
    }
    return OcclusionResult(
        identities_kept=_identities(judged),
        identities_by_hidden_time={
            name: _identities([s for s in judged if low <= s.hidden_s < high])
            for name, (low, high) in DURATIONS_S.items()
        },
        boxes_right_by_hidden_time={
            name: _boxes([s for s in spells if low <= s.hidden_s < high])
            for name, (low, high) in DURATIONS_S.items()
        },
        boxes_right_by_visibility={**bins, UNKNOWN: _masked(hit, np.isnan(seen))},
        spells=tuple(spells),
    )


def _identities(spells: Sequence[Spell]) -> Share:
    return _share(sum(bool(spell.kept) for spell in spells), len(spells))


def _boxes(spells: Sequence[Spell]) -> Share:
    return _share(sum(s.num_boxes_right for s in spells), sum(s.num_boxes for s in spells))


def _masked(hit: BoolArray, inside: BoolArray) -> Share:
    return _share(int((hit & inside).sum()), int(inside.sum()))


def _share(part: int, whole: int) -> Share:
    return Share(share=ratio(part, whole), part=part, whole=whole)
