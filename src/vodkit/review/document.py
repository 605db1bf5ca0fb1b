"""The labels under review: parts that actions change, each change reversible.

A document is a mapping of *parts*: one for every track, one for the accepted frames of every video,
one for the classes. ``changes`` computes what an action does, as new values of the parts it
touches (None: removed), and never alters the document. Undo puts the former values back, so it is
the exact inverse of every action by construction.

Actions, as JSON objects with ``do``, and ``seen``, the frame on the screen:

==========  =============================================================================
draw        video, track (a new id), label, frame, box
bend        video, track, frame, box: a key; the curve around it follows, except in accepted
            frames; if the frame itself is accepted, it stays so and those that follow do not.
            spread "all": the model's curve is corrected up to the next keys; "near": for
            0.3 s only; default: within the reach. gap "keep": a gap with the frame in it is closed
            towards sides at most 3 s away only; default: it is closed
unkey       video, track, frame: remove the key
span        video, track, first, last, kind: hidden, outside or visible
split       video, track, frame, new: frames from ``frame`` on become track ``new``
join        video, track, other: one track; ``other`` is removed
joins       video, pairs: [[track, other], ...]: several joins at once
give        video, track, other, frame: what follows from ``frame`` on becomes part of ``other``
swap        video, track, other, frame: exchange what follows from ``frame`` on
delete      video, tracks: remove them
trim        video, tracks, within: cut the ends at which a box is not inside ``within``
classify    video, tracks, label
follow      video, track, value: a model's curve continues the track after its last frame
accept      video, first, last, accepted: frames whose labels are right (or not yet)
add_class   name
put         video, tracks: {id: track}: of a model or a label file; in frames that are not
            accepted they replace all tracks that no person changed
==========  =============================================================================
"""

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import numpy as np

from vodkit.ground.arrays import FloatArray
from vodkit.ground.errors import InputError
from vodkit.ground.lookup import pick
from vodkit.review.curve import (
    REACH_S,
    Box,
    Track,
    alive,
    box_of,
    evaluate,
    frame_of,
    from_json,
    span_of,
)
from vodkit.review.edits import (
    Ranges,
    chained,
    frames_of,
    glued,
    outside,
    piece,
    shifted,
    trimmed,
    with_key,
    with_range,
    with_span,
)

Part: TypeAlias = tuple[Any, ...]
"""("track", video, id), ("accepted", video) or ("classes",)"""
Action: TypeAlias = Mapping[str, Any]
Value: TypeAlias = Track | Ranges | tuple[str, ...]
Changes: TypeAlias = dict[Part, Any]

CLASSES: Part = ("classes",)
LONGEST_NAME = 100
SPREADS: dict[str, float | None] = {"reach": None, "near": 0.3, "all": math.inf}
"""how far a correction of a model's curve extends, in seconds; None: the reach of the keys"""


@dataclass(frozen=True)
class Timing:
    """What the curves of one video need to know about it."""

    times_s: FloatArray
    """(T,) time of every frame"""
    reach_s: float = REACH_S

    @property
    def num_frames(self) -> int:
        """Number of frames."""
        return len(self.times_s)


@dataclass(frozen=True)
class Document:
    """All labels at one moment."""

    parts: Mapping[Part, Any]
    timings: tuple[Timing, ...]
    """one a video"""

    @classmethod
    def new(cls, classes: tuple[str, ...], timings: tuple[Timing, ...]) -> "Document":
        """Nothing is labelled yet."""
        return cls({CLASSES: classes}, timings)

    @property
    def classes(self) -> tuple[str, ...]:
        """Class names; a track's label is a position in them."""
        return tuple(self.parts[CLASSES])

    def tracks(self, video: int) -> dict[int, Track]:
        """Tracks of a video by id."""
        return {
            part[2]: value
            for part, value in self.parts.items()
            if part[0] == "track" and part[1] == video
        }

    def accepted(self, video: int) -> Ranges:
        """Frames that a person accepted."""
        return tuple(self.parts.get(("accepted", video), ()))

    def with_changes(self, changed: Changes) -> "Document":
        """The document after ``changed``."""
        parts = {**self.parts, **changed}
        for part, value in changed.items():
            if value is None:
                del parts[part]
        return replace(self, parts=parts)


def changes(document: Document, action: Action) -> Changes:
    """What ``action`` does to ``document``: new values of the parts that it touches.

    Raises:
        InputError: the action or one of its values is not allowed; the message states which.
    """
    name = action.get("do")
    if not isinstance(name, str):
        raise InputError(f"action {name!r}; allowed: {', '.join(ACTIONS)}")
    changed = pick(ACTIONS, name, "action")(_Asked(document, action))
    if name == "put":
        return changed
    return {
        part: replace(value, touched=True) if isinstance(value, Track) else value
        for part, value in changed.items()
    }


@dataclass(frozen=True)
class _Asked:
    """An action's values, each checked when it is read."""

    document: Document
    action: Action

    @property
    def video(self) -> int:
        value, count = self.action.get("video"), len(self.document.timings)
        if type(value) is not int or not 0 <= value < count:
            raise InputError(f"video {value!r}; allowed: 0 to {count - 1}")
        return value

    @property
    def timing(self) -> Timing:
        return self.document.timings[self.video]

    def frame(self, name: str = "frame") -> int:
        return frame_of(self.action.get(name), self.timing.num_frames)

    @property
    def label(self) -> int:
        value, count = self.action.get("label"), len(self.document.classes)
        if type(value) is not int or not 0 <= value < count:
            raise InputError(f"label {value!r}; allowed: 0 to {count - 1}")
        return value

    def part(self, name: str = "track") -> Part:
        value = self.action.get(name)
        part = ("track", self.video, value)
        if type(value) is not int or part not in self.document.parts:
            raise InputError(f"video {self.video} has no track {value!r}")
        return part

    def track(self, name: str = "track") -> Track:
        found: Track = self.document.parts[self.part(name)]
        return found

    def new(self, name: str) -> Part:
        value = self.action.get(name)
        if type(value) is not int or not 0 < value < 2**53:
            raise InputError(f"track id {value!r}; allowed: an integer above 0")
        part = ("track", self.video, value)
        if part in self.document.parts:
            raise InputError(f"video {self.video} already has a track {value}")
        return part

    def several(self) -> list[Part]:
        values = self.action.get("tracks")
        if not isinstance(values, list) or not values:
            raise InputError(f"tracks {values!r}; allowed: a list of track ids")
        return [replace(self, action={**self.action, "track": one}).part() for one in values]

    def pairs(self) -> list[list[int]]:
        found = self.action.get("pairs")
        if isinstance(found, list) and found and all(
            isinstance(pair, list) and [type(one) for one in pair] == [int, int] for pair in found
        ):  # fmt: skip
            return found
        raise InputError(f"pairs {found!r:.120}; allowed: a list of pairs of track ids")

    def piece(self, track: Track, first: int, last: int) -> Track | None:
        return piece(track, first, last, self.timing.times_s, reach_s=self.timing.reach_s)


def _draw(asked: _Asked) -> Changes:
    key = (asked.frame(), box_of(asked.action.get("box")))
    return {asked.new("track"): Track(asked.label, keys=(key,))}


def _bend(asked: _Asked) -> Changes:
    frame, box = asked.frame(), box_of(asked.action.get("box"))
    accepted, track = asked.document.accepted(asked.video), asked.track()
    spread = pick(SPREADS, str(asked.action.get("spread", "reach")), "spread")
    gap = str(asked.action.get("gap", "close"))
    times_s = pick({"close": None, "keep": asked.timing.times_s}, gap, "gap")
    inside = len(track.base) and track.extent[0] <= frame <= track.extent[1]
    if spread is not None and inside and (times_s is None or alive(track, np.array([frame]))[0]):
        changed = _shifted(asked, track, frame, box, spread)
    else:
        whole = _guarded(asked, track, frame) if accepted else track
        changed = with_key(whole, frame, box, keep_gap_in=times_s)
    return {asked.part(): changed, **_no_longer_accepted(asked, track, changed, frame)}


def _shifted(asked: _Asked, track: Track, frame: int, box: Box, fade_s: float) -> Track:
    """The track with a correction that fades within ``fade_s``; frames that are accepted stay."""
    ranges = asked.document.accepted(asked.video)
    fixed = np.concatenate(
        [np.empty(0, np.int64), *(np.arange(a, b + 1) for a, b in ranges if not a <= frame <= b)]
    )
    timing = asked.timing
    return shifted(
        track, frame, box, timing.times_s, reach_s=timing.reach_s, fade_s=fade_s, fixed=fixed
    )


def _guarded(asked: _Asked, track: Track, frame: int) -> Track:
    """The track with keys that keep a new one at ``frame`` from moving boxes in accepted frames."""
    every = np.arange(asked.timing.num_frames)
    shown = evaluate(track, every, asked.timing.times_s, reach_s=asked.timing.reach_s)
    safe = np.zeros(len(every), np.bool_)
    for first, last in asked.document.accepted(asked.video):
        if not first <= frame <= last:
            safe[first : last + 1] = True
    held = shown.frames[safe[shown.frames]]
    guards = [*held[held < frame][-1:].tolist(), *held[held > frame][:1].tolist()]
    whole = asked.piece(track, 0, asked.timing.num_frames) if guards else None
    if whole is None:
        return track
    # What is shown becomes the base, so that the guards are keys without any effect of their own.
    at = np.searchsorted(shown.frames, guards)
    boxes = [tuple(shown.boxes_xyxy[row].tolist()) for row in at]
    return replace(whole, keys=tuple(sorted({**dict(zip(guards, boxes, strict=True)),
                                             **dict(whole.keys)}.items())))  # fmt: skip


def _no_longer_accepted(asked: _Asked, old: Track, new: Track, frame: int) -> Changes:
    """Accepted frames around ``frame`` in which the track's box has changed unseen."""
    before = asked.document.accepted(asked.video)
    around = [span for span in before if span[0] <= frame <= span[1]]
    if not around:
        return {}
    ranges, frames = before, np.arange(around[0][0], around[0][1] + 1)
    timing = asked.timing
    old_shown, new_shown = (
        evaluate(track, frames, timing.times_s, reach_s=timing.reach_s) for track in (old, new)
    )
    _, ours, theirs = np.intersect1d(old_shown.frames, new_shown.frames, return_indices=True)
    moved = np.abs(old_shown.boxes_xyxy[ours] - new_shown.boxes_xyxy[theirs]).max(axis=1) > 1e-6
    differs = np.setxor1d(old_shown.frames, new_shown.frames)
    for one in {*old_shown.frames[ours][moved].tolist(), *differs.tolist()} - {frame}:
        ranges = with_range(ranges, one, one, inside=False)
    return {("accepted", asked.video): ranges} if ranges != before else {}


def _unkey(asked: _Asked) -> Changes:
    track, frame = asked.track(), asked.frame()
    keys = tuple(key for key in track.keys if key[0] != frame)
    if len(keys) == len(track.keys):
        raise InputError(f"track {asked.action.get('track')} has no key in frame {frame}")
    if not keys and not len(track.base):
        raise InputError("the only key of a track cannot be removed; delete the track")
    return {asked.part(): replace(track, keys=keys)}


def _span(asked: _Asked) -> Changes:
    track, kind = asked.track(), asked.action.get("kind")
    first, last = asked.frame("first"), asked.frame("last")
    if kind == "visible":
        span_of(first, last, "hidden", asked.timing.num_frames)
        return {asked.part(): with_span(track, first, last, "visible")}
    chosen = span_of(first, last, kind, asked.timing.num_frames)
    if chosen.kind == "outside":
        # To the end of the video: a key that is drawn later extends the track up to it.
        first = 0 if first <= track.extent[0] else first
        last = asked.timing.num_frames - 1 if last >= track.extent[1] else last
    changed = with_span(track, first, last, chosen.kind)
    if asked.piece(changed, *changed.extent) is None:
        raise InputError("the track would be empty; delete it instead")
    return {asked.part(): changed}


def _split(asked: _Asked) -> Changes:
    before, after = _halves(asked, asked.track(), asked.frame())
    return {asked.part(): before, asked.new("new"): after}


def _halves(asked: _Asked, track: Track, frame: int) -> tuple[Track, Track]:
    """What lies before ``frame``, and what follows from it on."""
    before = asked.piece(track, 0, frame - 1)
    after = asked.piece(track, frame, asked.timing.num_frames)
    if before is None or after is None:
        raise InputError(f"the track has no box on one side of frame {frame}")
    return before, after


def _two(asked: _Asked) -> tuple[Track, Track]:
    if asked.part() == asked.part("other"):
        raise InputError(f"track {asked.action.get('track')} and itself; allowed: two tracks")
    return asked.track(), asked.track("other")


def _join(asked: _Asked) -> Changes:
    one, other = _two(asked)
    return {asked.part(): replace(_joined(asked, one, other), label=one.label),
            asked.part("other"): None}  # fmt: skip


def _joins(asked: _Asked) -> Changes:
    """Joins in their order; a track that has been joined stands for the one it is part of."""
    document, changed = asked.document, Changes()
    part_of: dict[int, int] = {}
    for pair in asked.pairs():
        one, other = (part_of.get(number, number) for number in pair)
        action = {**asked.action, "track": one, "other": other}
        step = _join(replace(asked, document=document, action=action))
        document, changed = document.with_changes(step), changed | step
        part_of = {k: one if v == other else v for k, v in part_of.items()} | {other: one}
    return changed


def _joined(asked: _Asked, one: Track, other: Track) -> Track:
    """Both as one track; where both have boxes, those of the one that begins first."""
    times_s, end = asked.timing.times_s, asked.timing.num_frames
    earlier, later = sorted([one, other], key=lambda track: track.extent)
    head = asked.piece(earlier, 0, end)
    assert head is not None
    tail = asked.piece(later, head.extent[1] + 1, end)
    return head if tail is None else glued(head, tail, times_s)


def _give(asked: _Asked) -> Changes:
    (track, other), frame = _two(asked), asked.frame()
    head, tail = _halves(asked, track, frame)
    joined = replace(_joined(asked, other, tail), label=other.label)
    return {asked.part(): head, asked.part("other"): joined}


def _swap(asked: _Asked) -> Changes:
    tracks, frame, end = _two(asked), asked.frame(), asked.timing.num_frames
    heads = [asked.piece(track, 0, frame - 1) for track in tracks]
    tails = [asked.piece(track, frame, end) for track in tracks]
    if not any(tails):
        raise InputError(f"neither track has a box from frame {frame} on")
    changed: Changes = {}
    for name, head, tail, own in zip(("track", "other"), heads, tails[::-1], tracks, strict=True):
        both = [part for part in (head, tail) if part is not None]
        if len(both) == 2:
            both = [glued(both[0], both[1], asked.timing.times_s)]
        changed[asked.part(name)] = replace(both[0], label=own.label) if both else None
    return changed


def _follow(asked: _Asked) -> Changes:
    track, value = asked.track(), asked.action.get("value")
    if not isinstance(value, dict):
        raise InputError("value: allowed: a track")
    found, end = from_json(value, asked.timing.num_frames), asked.timing.num_frames
    head = asked.piece(track, 0, end)
    assert head is not None
    if asked.piece(found, head.extent[1] + 1, end) is None:
        raise InputError("the curve does not go beyond the track's last frame")
    if not len(track.base) and len(track.keys) == 1:  # the drawn box bends the curve
        return {asked.part(): replace(track, base=found.base)}
    tail = asked.piece(found, head.extent[1] + 1, end)
    assert tail is not None
    return {asked.part(): glued(head, tail, asked.timing.times_s)}


def _delete(asked: _Asked) -> Changes:
    return dict.fromkeys(asked.several())


def _trim(asked: _Asked) -> Changes:
    within, timing = box_of(asked.action.get("within")), asked.timing
    changed: Changes = {}
    for part in asked.several():
        track = asked.document.parts[part]
        shorter = trimmed(track, within, timing.times_s, reach_s=timing.reach_s)
        lost = set(frames_of(track)) - set(frames_of(shorter))
        if lost and not any(a <= f <= b for a, b in asked.document.accepted(asked.video)
                            for f in lost):  # fmt: skip
            changed[part] = shorter
    if not changed:
        raise InputError("no track has an end to cut there, outside the accepted frames")
    return changed


def _classify(asked: _Asked) -> Changes:
    parts = asked.several()
    return {part: replace(asked.document.parts[part], label=asked.label) for part in parts}


def _accept(asked: _Asked) -> Changes:
    span = span_of(asked.frame("first"), asked.frame("last"), "hidden", asked.timing.num_frames)
    accepted = asked.action.get("accepted", True)
    if type(accepted) is not bool:
        raise InputError(f"accepted {accepted!r}; allowed: true, false")
    before = asked.document.accepted(asked.video)
    ranges = with_range(before, span.first, span.last, inside=accepted)
    return {("accepted", asked.video): ranges}


def _add_class(asked: _Asked) -> Changes:
    name, known = asked.action.get("name"), asked.document.classes
    if not isinstance(name, str) or not name.strip() or len(name) > LONGEST_NAME:
        raise InputError(f"class name {name!r:.120}; allowed: 1 to {LONGEST_NAME} characters")
    if name.strip() in known:
        raise InputError(f"class {name.strip()!r} exists already")
    return {CLASSES: (*known, name.strip())}


def _put(asked: _Asked) -> Changes:
    given = asked.action.get("tracks")
    if not isinstance(given, dict):
        raise InputError("tracks: allowed: an object of tracks by id")
    pieces = {part: list(kept) for part, kept in _cleared(asked)}
    for number, value in given.items():
        if not number.isdecimal() or not isinstance(value, dict):
            raise InputError(f"track {number!r}; allowed: an integer above 0, and an object")
        track = from_json(value, asked.timing.num_frames)
        if not 0 <= track.label < len(asked.document.classes):
            raise InputError(f"track {number}: label {track.label} has no class")
        part = ("track", asked.video, int(number))
        if part in asked.document.parts and part not in pieces:
            raise InputError(f"video {asked.video}: a person changed track {number}")
        accepted = asked.document.accepted(asked.video)
        free = (asked.piece(track, *x) for x in outside(accepted, asked.timing.num_frames))
        pieces.setdefault(part, []).extend(one for one in free if one is not None)
    return {
        part: chained(found, asked.timing.times_s)
        for part, found in pieces.items()
        if found or part in asked.document.parts
    }


def _cleared(asked: _Asked) -> Iterator[tuple[Part, list[Track]]]:
    """Tracks that no person changed, reduced to the accepted frames."""
    for number, track in asked.document.tracks(asked.video).items():
        if not track.touched:
            kept = (asked.piece(track, *span) for span in asked.document.accepted(asked.video))
            yield ("track", asked.video, number), [one for one in kept if one is not None]


ACTIONS: dict[str, Callable[[_Asked], Changes]] = {
    "draw": _draw,
    "bend": _bend,
    "unkey": _unkey,
    "span": _span,
    "split": _split,
    "join": _join,
    "joins": _joins,
    "give": _give,
    "swap": _swap,
    "trim": _trim,
    "follow": _follow,
    "delete": _delete,
    "classify": _classify,
    "accept": _accept,
    "add_class": _add_class,
    "put": _put,
}
"""what each action does"""
