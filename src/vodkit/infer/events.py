"""What happens to tracks: an object began, changed, crossed a line, ended.

Frames make boxes; people and machines that wait for something want events. An event is reported
once, when it is certain, and then there is silence: a parked car with flickering detections makes
two events in an hour, *began* and *stopped*.

    began     the track is confirmed, and there was enough evidence (score times seconds)
    changed   zone, class, stopped, moves, hidden, back; at most one a second for each object
    crossed   a line, as ``vodkit count --online`` counts it
    ended     not observed for ``gone_s``; a hidden object has not ended

Events are a function of the tracks alone, so a run, its resumption and ``vodkit events RUN`` give
the same bytes. Their numbers ``n`` have no gaps: a receiver that misses one notices it.
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from math import exp
from typing import Any

import numpy as np

from vodkit.formats.predictions import Header, is_counted
from vodkit.ground.errors import InputError
from vodkit.ground.records import STATE_NAMES, State, Tracks
from vodkit.ground.settings import load
from vodkit.infer.event import CHANGES, Event
from vodkit.infer.event_object import Told, Watched, packed, unpacked
from vodkit.infer.event_settings import EventSettings
from vodkit.infer.settings import InferSettings
from vodkit.track.count import (
    LineWatch,
    Settling,
    anchor_of,
    inside,
    lines_of,
    zones_of,
)

_SAME_PLACE = 0.5
"""IoU with a stopped object from which a new track in its place is that object"""
_STILL_S = 2.0
"""an object that stays in place for so long may be about to stop"""
_MOST_WEIGHT = 0.3
"""of one sighting in the smoothed box, however long ago the one before was"""
_RETURNS_S = 86_400.0
"""an id that ended so long ago does not come back: no tracker remembers an object for a day"""
_NO_LONGER_S = 10.0
"""a track that never became an object is forgotten when absent for longer"""


class EventMaker:
    """The events of one session of one source, frame by frame."""

    def __init__(
        self,
        header: Header,
        wanted: InferSettings,
        *,
        first_n: int = 1,
        session: int = 1,
    ) -> None:
        """Begin before the first frame.

        Args:
            header: source, classes and picture size.
            wanted: lines, zones and settings of events.
            first_n: number of the first event.
            session: of a live source; 1 for files.

        Raises:
            SettingsError: a line or zone is not in the picture.
        """
        self.settings = load(EventSettings, words=wanted.events)
        self._header, self._session = header, session
        self._lines = lines_of(wanted.lines, header.info)
        self._zones = zones_of(wanted.zones, header.info)
        self._corners = [np.array(zone.corners_px) for zone in self._zones]
        self.next_n = first_n
        self._objects: dict[int, Watched] = {}
        self._words = [[*wanted.lines], [*wanted.zones], [*wanted.events]]
        self._numbers: dict[int, tuple[int, float | None]] = {}
        """by first track: how many objects it was, and when the last one ended"""
        self._last = (0, 0.0, "")

    def step(
        self, index: int, time_s: float, tracks: Tracks, *, utc: datetime | None = None
    ) -> list[Event]:
        """The events that are certain with this frame."""
        self._last = (index, time_s, _written(utc))
        present = self._take(time_s, tracks)
        events: list[Event] = []
        for key, one in list(self._objects.items()):
            if one.told is None:
                events += self._begin(key, one, present)
            else:
                events += self._follow(one, one.told)
        return events

    def state_dict(self) -> dict[str, Any]:
        """All that later events depend on, as JSON; see ``load_state``."""
        objects = [packed(one, self._lines, self._zones) for one in self._objects.values()]
        return {
            "classes": [*self._header.classes],
            "words": self._words,
            "next_n": self.next_n,
            "last": [*self._last],
            "numbers": [[track, *number] for track, number in self._numbers.items()],
            "objects": objects,
        }

    def load_state(self, state: Mapping[str, Any], *, earlier_s: float = 0.0) -> None:
        """Continue where another maker was; numbers of events are not continued.

        Args:
            state: of its ``state_dict``.
            earlier_s: what is taken from all times: the video may continue on another clock.

        Raises:
            InputError: it is damaged, or of other classes.
        """
        try:
            classes = tuple(state["classes"])
            if classes == self._header.classes:
                self._load(state, earlier_s)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise InputError(f"not the objects of a run: {error!r}") from error
        if classes != self._header.classes:
            seen = f"objects of the classes {', '.join(map(str, classes))}"
            raise InputError(f"{seen}; expected: {', '.join(self._header.classes)}")

    def _load(self, state: Mapping[str, Any], earlier_s: float) -> None:
        index, time_s, utc = state["last"]
        self._last = int(index), float(time_s) - earlier_s, str(utc)
        self._numbers = {
            int(track): (int(count), None if end_s is None else float(end_s) - earlier_s)
            for track, count, end_s in state["numbers"]
        }
        nowhere = (0.0, 0.0, 0.0, 0.0)
        for content in state["objects"]:
            one = unpacked(
                content, lambda: self._new(0, 0.0, nowhere), self._lines, self._zones,
                earlier_s=earlier_s,
            )  # fmt: skip
            self._objects[one.track] = one

    def is_of(self, state: Mapping[str, Any]) -> bool:
        """Whether a state was made with the same lines, zones and settings."""
        return bool(state.get("words") == self._words)

    def end(self, reason: str) -> list[Event]:
        """The events that the end of the source makes certain: every object has ended."""
        events: list[Event] = []
        for one in self._objects.values():
            if one.told is None and self._is_object(one):
                self._number(one)
                events += [self._event("began", one), *self._crossings(one)]
            if one.told is not None:
                events += self._ended(one, reason)
        self._objects.clear()
        return events

    def _take(self, now_s: float, tracks: Tracks) -> set[int]:
        """Take the rows of a frame; the ids that are observed in it."""
        counts = is_counted(tracks.states, tracks.p_present).tolist()
        tentative = tracks.tentative.tolist()
        ids, states, labels = tracks.ids.tolist(), tracks.states.tolist(), tracks.labels.tolist()
        scores, boxes = tracks.scores.tolist(), tracks.boxes_xyxy.tolist()
        present = set()
        for row, track in enumerate(ids):
            box, seen = tuple(boxes[row]), states[row] != State.PREDICTED
            one = self._objects.get(track)
            if one is None:
                if not seen:
                    continue
                one = self._objects[track] = self._new(track, now_s, box)
            one.is_confirmed |= not tentative[row]
            one.box, one.state, one.row_s = box, states[row], now_s
            if seen:
                present.add(track)
                self._see(one, now_s, labels[row], scores[row])
            if counts[row]:
                self._place(one, now_s)
        return present

    def _new(self, track: int, now_s: float, box: tuple[float, ...]) -> Watched:
        s = self.settings
        return Watched(
            track=track,
            first_track=track,
            first_s=now_s,
            seen_s=now_s,
            box=box,
            smooth=box,
            place=box,
            place_s=now_s,
            lines=[LineWatch(line, s.counting) for line in self._lines],
            zones=[Settling(s.settle_s) for _ in self._zones],
            inside=[False] * len(self._zones),
        )

    def _see(self, one: Watched, now_s: float, label: int, score: float) -> None:
        """Take a sighting: its evidence, its class, and whether it stays in place."""
        s, since_s = self.settings, now_s - one.seen_s
        one.again += 1
        one.votes[label] = one.votes.get(label, 0.0) + score * min(since_s, s.hidden_s)
        one.score, one.seen_s = score, now_s
        weight = min(1 - exp(-since_s / s.smooth_s), _MOST_WEIGHT)
        one.smooth = tuple(a + weight * (b - a) for a, b in zip(one.smooth, one.box, strict=True))
        overlap = _iou(one.smooth, one.place)
        if not one.stopped:
            if overlap < 1 - s.drift:
                one.place, one.place_s = one.smooth, now_s
            one.stopped = now_s - one.place_s >= s.still_s
        elif overlap >= s.move_iou:
            one.moving_s = None
        elif one.moving_s is None:
            one.moving_s = now_s
        elif now_s - one.moving_s >= 1.0:
            one.stopped, one.moving_s = False, None
            one.place, one.place_s = one.smooth, now_s

    def _place(self, one: Watched, now_s: float) -> None:
        """Take a position that counts, for lines and zones."""
        if not self._lines and not self._zones:
            return
        box = one.box
        point = anchor_of(box, self.settings.anchor)
        size_px = max((box[2] - box[0]) * (box[3] - box[1]), 0.0) ** 0.5
        for watch in one.lines:
            for change in watch.add(now_s, point, size_px):
                one.crossed.append((watch.line.name, change.time_s, change.inside))
        for place, (settling, corners) in enumerate(zip(one.zones, self._corners, strict=True)):
            within = bool(inside(np.array([point]), corners)[0])
            is_first = not settling.times
            changes = settling.add(now_s, point, within=within)
            if is_first:
                one.inside[place] = within
            elif changes:
                one.inside[place] = changes[-1].inside

    def _is_object(self, one: Watched) -> bool:
        return one.is_confirmed and one.evidence_s >= self.settings.evidence_s

    def _begin(self, key: int, one: Watched, present: set[int]) -> list[Event]:
        """Report a new object, unless it is a stopped one under a new id."""
        now_s = self._last[1]
        if now_s - one.row_s > _NO_LONGER_S:
            del self._objects[key]
            return []
        if not self._is_object(one):
            return []
        before = self._in_its_place(one, present)
        if before is not None:
            del self._objects[before.track], self._objects[key]
            before.track, before.box, before.state = one.track, one.box, one.state
            before.score, before.seen_s, before.row_s = one.score, one.seen_s, one.row_s
            self._objects[key] = before
            return []
        self._number(one)
        return [self._event("began", one), *self._crossings(one)]

    def _number(self, one: Watched) -> None:
        """Number the objects that a track is, one after the other."""
        now_s = self._last[1]
        self._numbers = {
            track: (count, end_s)
            for track, (count, end_s) in self._numbers.items()
            if end_s is None or now_s - end_s < _RETURNS_S
        }
        one.number = self._numbers.get(one.first_track, (0, None))[0] + 1
        self._numbers[one.first_track] = one.number, None

    def _in_its_place(self, one: Watched, present: set[int]) -> Watched | None:
        """The still object, not observed now, in whose place ``one`` is."""
        label = _leading(one.votes)
        for other in self._objects.values():
            if other.told is None or not self._is_still(other) or other.track in present:
                continue
            same = _iou(one.smooth, other.place) >= _SAME_PLACE
            if same and label in other.votes:
                return other
        return None

    def _follow(self, one: Watched, told: Told) -> Iterator[Event]:
        now_s, s = self._last[1], self.settings
        if now_s - one.seen_s > s.hidden_s:
            one.hidden, one.again = True, 0
        one.hidden &= one.again < 2
        yield from self._crossings(one)
        changes = self._changes(one, told)
        if changes and now_s - told.at_s >= s.every_s:
            yield self._event("changed", one, changes=changes)
        if now_s - one.seen_s > (s.gone_still_s if one.stopped else s.gone_s):
            yield from self._ended(one, "unseen")
            del self._objects[one.track]

    def _changes(self, one: Watched, told: Told) -> tuple[str, ...]:
        """In what an object differs from what was reported; while it stays stopped, in nothing."""
        if one.stopped and told.stopped:
            return ()
        waits = not one.stopped and self._is_still(one)  # then one event is enough
        found = {
            "zone": self._zones_of(one) != told.zones,
            "class": self._class_of(one, told.label) != told.label and not waits,
            "stopped": one.stopped,
            "moves": told.stopped and not one.stopped,
            "hidden": one.hidden and not told.hidden and not waits,
            "back": told.hidden and not one.hidden,
        }
        return tuple(name for name in CHANGES if found[name])

    def _is_still(self, one: Watched) -> bool:
        """Whether an object has stopped, or may be about to: its detections may come and go."""
        never_moved = one.place_s == one.first_s
        return one.stopped or never_moved or one.seen_s - one.place_s >= _STILL_S

    def _class_of(self, one: Watched, label: int) -> int:
        """The class with most evidence; another than ``label`` only with a clear majority."""
        leader = _leading(one.votes)
        clear = one.votes[leader] >= self.settings.class_share * max(one.evidence_s, 2.0)
        return leader if clear else label

    def _zones_of(self, one: Watched) -> tuple[str, ...]:
        pairs = zip(self._zones, one.inside, strict=True)
        return tuple(zone.name for zone, within in pairs if within)

    def _crossings(self, one: Watched) -> list[Event]:
        crossed, one.crossed = one.crossed, []
        return [
            self._event(
                "crossed", one, line=line, direction="in" if inwards else "out", crossed_s=time_s
            )
            for line, time_s, inwards in crossed
        ]

    def _ended(self, one: Watched, reason: str) -> list[Event]:
        self._numbers[one.first_track] = one.number, self._last[1]
        for watch in one.lines:
            one.crossed += [(watch.line.name, c.time_s, c.inside) for c in watch.end()]
        return [*self._crossings(one), self._event("ended", one, reason=reason)]

    def _event(self, type: str, one: Watched, **more: Any) -> Event:  # noqa: A002
        """The event, which receivers know of from now on."""
        frame, time_s, utc = self._last
        before = one.told
        label = _leading(one.votes) if before is None else self._class_of(one, before.label)
        at_s = time_s if before is None or type == "changed" else before.at_s
        if before is None or type == "changed":
            one.told = Told(label, self._zones_of(one), one.stopped, one.hidden, at_s)
        info = self._header.info
        sides = (info.width_px, info.height_px) * 2
        number = f"-{one.number}" if one.number > 1 else ""
        self.next_n += 1
        x1, y1, x2, y2 = (round(value, 2) for value in one.box)
        r1, r2, r3, r4 = (round(v / side, 5) for v, side in zip(one.box, sides, strict=True))
        return Event(
            n=self.next_n - 1,
            type=type,
            source=self._header.source,
            id=f"{self._session}-{one.first_track}{number}",
            track=one.track,
            name=self._header.classes[label],
            score=round(one.score, 4),
            box_px=(x1, y1, x2, y2),
            box=(r1, r2, r3, r4),
            state=STATE_NAMES[one.state],
            stopped=one.stopped,
            hidden=one.hidden,
            zones=self._zones_of(one),
            frame=frame,
            time_s=time_s,
            first_s=one.first_s,
            seen_s=one.seen_s,
            utc=utc,
            **more,
        )


def _leading(votes: Mapping[int, float]) -> int:
    """The label with the most evidence; of equal ones the first that was seen."""
    return max(votes, key=lambda label: votes[label])


def _iou(a: Sequence[float], b: Sequence[float]) -> float:
    """IoU of two boxes, in plain numbers: arrays of four are slower."""
    across = min(a[2], b[2]) - max(a[0], b[0])
    down = min(a[3], b[3]) - max(a[1], b[1])
    shared = max(across, 0.0) * max(down, 0.0)
    total = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - shared
    return shared / total if total > 0 else 0.0


def _written(moment: datetime | None) -> str:
    return "" if moment is None else moment.isoformat(timespec="milliseconds")
