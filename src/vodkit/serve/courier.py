"""Courier: brings the events of a run folder to a receiver, in order, whatever happens to it.

The queue is ``events.jsonl`` itself: a thread reads on from the last event that the receiver has,
whose number is kept in the folder (``delivered-*.json``). So a receiver that is away blocks no
frame and loses no event, also over a restart of vodkit. Of very many waiting events, or where
files were deleted meanwhile, the oldest are dropped and counted; receivers see the gap in ``n``.
An event may come twice, if vodkit was killed between its delivery and the note of it.
"""

import json
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol
from zlib import crc32

from vodkit.ground import runs
from vodkit.ground.errors import VodkitError
from vodkit.ground.settings import bounded, check_ranges
from vodkit.infer.event_log import EventTail, read_events


class DeliveryError(VodkitError):
    """A receiver did not take an event; the message says why, without credentials."""


class Receiver(Protocol):
    """What takes events."""

    name: str
    """its address without credentials, for messages"""
    key: str
    """what tells it from other receivers of the same events"""

    def begin(self, ongoing: Sequence[dict[str, Any]]) -> None:
        """Take the last event of every object that it knows of and that has not ended."""

    def deliver(self, lines: Sequence[bytes]) -> int:
        """Take events, in order; how many of the first ones it has. DeliveryError: none of them.

        After an error, or for the rest, it is given the same events again.
        """

    def close(self) -> None:
        """No more come."""


@dataclass(frozen=True, kw_only=True)
class CourierSettings:
    """Patience with a receiver."""

    max_waiting: int = bounded(100_000, above=0)
    """events that may wait; older ones are dropped and counted"""
    at_once: int = bounded(50, above=0)
    """events that are given to the receiver together"""
    first_pause_s: float = bounded(0.5, above=0)
    """before trying again; doubled after each failure"""
    longest_pause_s: float = bounded(30.0, above=0)
    parting_s: float = 5.0
    """at the end, for what still waits"""

    def __post_init__(self) -> None:
        """Check ranges."""
        check_ranges(self)


class Courier:
    """One receiver of the events of one run folder, served by a thread of its own."""

    def __init__(
        self,
        folder: Path,
        receiver: Receiver,
        settings: CourierSettings | None = None,
        *,
        notify: Callable[[str], None] = lambda _: None,
    ) -> None:
        """Begin after the last event that the receiver has."""
        self._settings = settings or CourierSettings()
        self._receiver, self._notify = receiver, notify
        self.name = receiver.name
        key = crc32(receiver.key.encode())
        self._note = (folder / runs.DELIVERED).with_stem(f"delivered-{key:010d}")
        known = json.loads(self._note.read_text("utf-8")) if self._note.exists() else {}
        self.delivered: int = known.get("n", 0)
        """number of the last event that the receiver has"""
        self.dropped: int = known.get("dropped", 0)
        """events that it never gets"""
        self.trouble = ""
        """why it takes no events; empty while it does"""
        self._newest = 0
        self._folder = folder
        self._changed = threading.Condition()
        self._end_s: float | None = None
        self._thread = threading.Thread(target=self._work, daemon=True)
        self._thread.start()

    def wake(self, newest: int) -> None:
        """There are events up to this number."""
        with self._changed:
            self._newest = max(self._newest, newest)
            self._changed.notify_all()

    @property
    def waiting(self) -> int:
        """Events that the receiver has not yet."""
        return max(self._newest - self.delivered, 0)

    def close(self) -> int:
        """Deliver what waits, for ``parting_s`` at most; how many events wait on."""
        with self._changed:
            self._end_s = time.monotonic() + self._settings.parting_s
            self._changed.notify_all()
        self._thread.join()
        self._receiver.close()
        rest = EventTail(self._folder, after=self.delivered)  # also those that no one woke for
        return sum(len(part) for part in iter(lambda: rest.take(1000), []))

    def _work(self) -> None:
        try:
            self._receiver.begin(self._ongoing())
            tail = EventTail(self._folder, after=self.delivered)
            while not self._is_over():
                found = tail.take(self._settings.at_once)
                if found:
                    self._bring(found)
                elif self._end_s is not None:
                    return
                else:
                    self._wait_for_more(tail.after)
        except (VodkitError, OSError) as error:  # as of a disk that is full
            self._notify(f"{self._receiver.name}: gets no more events: {error}")

    def _ongoing(self) -> list[dict[str, Any]]:
        """The last events of objects that the receiver knows of."""
        found: dict[str, dict[str, Any]] = {}
        if self.delivered:
            for entry in read_events(runs.parts_in(self._folder, runs.EVENTS)):
                if entry["n"] <= self.delivered:
                    found[str(entry.get("id"))] = entry
                    if entry.get("type") == "ended":
                        del found[str(entry.get("id"))]
        return list(found.values())

    def _is_over(self) -> bool:
        return self._end_s is not None and time.monotonic() > self._end_s

    def _wait_for_more(self, known: int) -> None:
        """Until there are more events, or none come any more."""
        with self._changed:
            self._changed.wait_for(
                lambda: self._newest > known or self._end_s is not None, timeout=1.0
            )

    def _bring(self, found: list[tuple[int, bytes]]) -> None:
        """Deliver these events, trying again as long as it takes."""
        pause_s = self._settings.first_pause_s
        while found:
            oldest = self._newest - self._settings.max_waiting
            found = [pair for pair in found if pair[0] > oldest]
            if not found:
                return
            try:
                count = self._receiver.deliver([line for _, line in found])
            except DeliveryError as error:
                count = 0
                self._report(str(error))
            if count:
                self._take_note([number for number, _ in found[:count]])
                found, pause_s = found[count:], self._settings.first_pause_s
                continue
            with self._changed:
                self._changed.wait_for(lambda: self._end_s is not None, timeout=pause_s)
            if self._is_over():
                return
            if self._end_s is not None:  # the end wakes the wait, so it must not run in circles
                time.sleep(min(pause_s, 0.1))
            pause_s = min(2 * pause_s, self._settings.longest_pause_s)

    def _take_note(self, numbers: Sequence[int]) -> None:
        lost = numbers[-1] - self.delivered - len(numbers)
        if lost > 0:
            self._notify(f"{self._receiver.name}: {lost} events waited too long and were dropped")
        self.dropped += lost
        self.delivered = numbers[-1]
        content = {"to": self._receiver.name, "n": self.delivered, "dropped": self.dropped}
        runs.write_json(self._note, content)
        self._report("")

    def _report(self, trouble: str) -> None:
        """Report once that events are not taken, and once that they are again."""
        if bool(trouble) != bool(self.trouble):
            words = f"{trouble}; events wait on disk" if trouble else "takes events again"
            self._notify(f"{self._receiver.name}: {words}")
        self.trouble = trouble
