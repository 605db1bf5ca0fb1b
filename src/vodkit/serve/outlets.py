"""Outlets: what a run that is at work sends out, for every source of it."""

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol, Self, TypeVar

from vodkit.detect.defaults import SCORE_THRESHOLD
from vodkit.ground.records import Detections, Frame, Tracks
from vodkit.infer.event import Event
from vodkit.review.doubtful import Doubtful
from vodkit.serve.courier import Courier, CourierSettings, Receiver
from vodkit.serve.mqtt import MqttReceiver
from vodkit.serve.settings import SECRET_VARIABLE, OutletSettings
from vodkit.serve.webhook import Webhook


class HasEvents(Protocol):
    """A step of a run."""

    @property
    def frame(self) -> Frame:
        """With pixels."""

    @property
    def found(self) -> Detections | Tracks:
        """In the frame."""

    @property
    def events(self) -> tuple[Event, ...]:
        """What is certain with it."""


StepT = TypeVar("StepT", bound=HasEvents)


@dataclass
class Outlets:
    """The couriers of a run; a context manager, which at its end reports what waits on."""

    settings: OutletSettings
    classes: Sequence[str]
    notify: Callable[[str], None]
    patience: CourierSettings = field(default_factory=CourierSettings)
    threshold: float = SCORE_THRESHOLD
    """score below which detections are dropped"""
    _doubtful: dict[Path, Doubtful] = field(default_factory=dict)
    _couriers: dict[Path, list[Courier]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Refuse addresses that cannot be used, before any frame is decoded."""
        for receiver in self._receivers("check", connect=False):
            receiver.close()

    def _receivers(self, source: str, *, connect: bool = True) -> Iterator[Receiver]:
        s = self.settings
        if s.mqtt:
            yield MqttReceiver(s.mqtt, source, self.classes, ha=s.ha, connect=connect)
        if s.webhook:
            yield Webhook(s.webhook, source, secret=os.environ.get(SECRET_VARIABLE, ""))

    def passing(
        self, steps: Iterable[StepT], folder_of: Callable[[StepT], Path]
    ) -> Iterator[StepT]:
        """The steps, of whose events the receivers learn."""
        for step in steps:
            couriers = self._begin(folder_of(step))
            self._keep_doubtful(folder_of(step), step)
            if step.events:
                for courier in couriers:
                    courier.wake(step.events[-1].n)
            yield step

    def serve(self, folder: Path) -> None:
        """Begin to deliver the events of a run that has ended."""
        self._begin(folder)

    def _begin(self, folder: Path) -> list[Courier]:
        if folder not in self._couriers:
            self._couriers[folder] = [
                Courier(folder, receiver, self.patience, notify=self.notify)
                for receiver in self._receivers(folder.name)
            ]
        return self._couriers[folder]

    def _keep_doubtful(self, folder: Path, step: HasEvents) -> None:
        most = self.settings.keep_doubtful
        if not most:
            return
        if folder not in self._doubtful:
            how = {"threshold": self.threshold}
            self._doubtful[folder] = Doubtful(folder, most, self.classes, **how)
        self._doubtful[folder].add(step.frame, step.found)

    @property
    def couriers(self) -> Mapping[Path, Sequence[Courier]]:
        """By the run folder."""
        return self._couriers

    def __enter__(self) -> Self:
        """Itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Deliver what waits, for a while."""
        for ring in self._doubtful.values():
            ring.end()
        for folder, couriers in self._couriers.items():
            for courier in couriers:
                waiting = courier.close()
                if waiting:
                    again = f"vodkit events {folder} with the same --mqtt or --webhook"
                    self.notify(f"{waiting} events were not delivered; {again} delivers them")
