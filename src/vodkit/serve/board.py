"""Board: what the page and the metrics know of live sources, taken from the steps of their run.

The run only puts references here; pictures are drawn and encoded when a viewer asks for one.
"""

import threading
import time
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from vodkit.formats.prediction_lines import frame_entry
from vodkit.ground.text import redacted
from vodkit.infer.live import LiveStep
from vodkit.serve.courier import Courier

SILENT_S = 30.0
"""without a frame for so long, a source counts as down"""
BUCKETS_S = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)
"""upper limits of the histogram of latency"""


@dataclass
class Shown:
    """One source."""

    source: str
    """without credentials"""
    folder: Path
    step: LiveStep | None = None
    """the newest"""
    at_s: float = field(default_factory=time.monotonic)
    """of the newest frame; before it, of the begin"""
    came_s: float | None = None
    """the same as UNIX time; None: no frame came"""
    num_frames: int = 0
    num_events: Counter[str] = field(default_factory=Counter)
    latencies: list[int] = field(default_factory=lambda: [0] * (len(BUCKETS_S) + 1))
    """frames by bucket; the last one has no limit"""
    latency_sum_s: float = 0.0

    @property
    def num_dropped(self) -> int:
        """Frames that were dropped so far."""
        return 0 if self.step is None else self.step.num_dropped

    @property
    def num_reconnects(self) -> int:
        """Connections made again so far."""
        return 0 if self.step is None else self.step.num_reconnects

    @property
    def silent_s(self) -> float:
        """Since the newest frame."""
        return time.monotonic() - self.at_s

    @property
    def is_up(self) -> bool:
        """Whether frames come."""
        return self.came_s is not None and self.silent_s <= SILENT_S


class Board:
    """All sources of a run. One thread writes, others read."""

    def __init__(
        self,
        folders: Mapping[str, Path],
        classes: Sequence[str],
        couriers: Callable[[], Mapping[Path, Sequence[Courier]]] = dict,
    ) -> None:
        """Begin.

        Args:
            folders: run folder of each source.
            classes: names of the labels.
            couriers: gives the receivers of events, by run folder.
        """
        self.classes = classes
        self.couriers = couriers
        self.shown = [Shown(redacted(source), folder) for source, folder in folders.items()]
        self._by_source = dict(zip(folders, self.shown, strict=True))
        self._drawing = threading.Lock()
        self._drawn: dict[int, tuple[int, bytes]] = {}

    def passing(self, steps: Iterable[LiveStep]) -> Iterator[LiveStep]:
        """The steps, which the board takes note of."""
        for step in steps:
            one = self._by_source[step.source]
            one.at_s, one.came_s = time.monotonic(), time.time()
            one.num_frames += 1
            one.num_events.update(event.type for event in step.events)
            one.latencies[bisect_left(BUCKETS_S, step.latency_s)] += 1
            one.latency_sum_s += step.latency_s
            one.step = step
            yield step

    def jpeg(self, number: int) -> tuple[int, bytes] | None:
        """Index and picture, with boxes, of a source's newest frame; None: none came yet.

        A frame is drawn once, however many watch it.
        """
        with self._drawing:
            step = self.shown[number].step
            if step is None:
                return None
            known = self._drawn.get(number)
            if known is None or known[0] != step.index:
                from vodkit.report.draw import picture_of

                known = step.index, picture_of(step.frame, step.found, self.classes)
                self._drawn[number] = known
            return known

    def sources(self) -> list[dict[str, Any]]:
        """The counters of each source, for the page."""
        return [
            {
                "source": one.source,
                "up": one.is_up,
                "silent_s": round(one.silent_s, 1),
                "frames": one.num_frames,
                "dropped": one.num_dropped,
                "reconnects": one.num_reconnects,
                "latency_s": None if one.step is None else round(one.step.latency_s, 4),
                "objects": 0 if one.step is None else len(one.step.found),
                "events": sum(one.num_events.values()),
            }
            for one in self.shown
        ]

    def tracks(self) -> list[dict[str, Any]]:
        """The newest frame of each source as in ``predictions.jsonl``; without one: no frame."""
        return [
            {"source": one.source}
            | (
                {}
                if (step := one.step) is None
                else frame_entry(step.index, step.time_s, step.found, tuple(self.classes))
            )
            for one in self.shown
        ]
