"""Detectors of other packages, by name: what they find, under the settings of a run.

A package names a function as an entry point of the group ``vodkit.detectors``. It is called with
the device (``cpu``, ``cuda:1``, ...) and gives a ``detect.base.Detector``.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from vodkit.detect.base import Around, Detector
from vodkit.ground.errors import SettingsError
from vodkit.ground.lookup import unknown
from vodkit.ground.plugins import Table
from vodkit.ground.records import Detections, Frame


def _fault(entry: Any) -> str:
    return "" if callable(entry) else f"is {entry!r:.80}; allowed: a function of the device"


DETECTORS: Mapping[str, Callable[[str], Detector]] = Table("vodkit.detectors", {}, fault=_fault)


class Chosen(Around):
    """Another detector, of which only some classes, scores and numbers of boxes are kept."""

    def __init__(
        self,
        detector: Detector,
        *,
        score_threshold: float,
        max_detections: int | None,
        classes: Sequence[str] | None,
    ) -> None:
        """``classes`` keeps only these, numbered in this order; None keeps all.

        Raises:
            SettingsError: it has no such class.
        """
        for name in classes or ():
            if name not in detector.classes:
                raise unknown(name, detector.classes, f"class of {detector.card.name}")
        super().__init__(detector)
        self.classes = tuple(classes or detector.classes)
        self._score_threshold, self._max_detections = score_threshold, max_detections

    def changed(self, frame: Frame, found: Detections) -> Detections:
        """Only the classes, scores and number of boxes that are kept."""
        del frame
        number = {name: i for i, name in enumerate(self.classes)}
        numbers = np.array([number.get(name, -1) for name in self.detector.classes])
        labels = numbers[found.labels]
        keep = np.flatnonzero((labels >= 0) & (found.scores >= self._score_threshold))
        keep = keep[np.argsort(-found.scores[keep], kind="stable")]
        most = self._max_detections
        cut = most is not None and len(keep) > most
        kept = replace(found, labels=labels.clip(0))[keep[:most]]
        return replace(kept, truncated=True) if cut else kept


def load_foreign(name: str, device: str) -> Detector:
    """A detector of another package, by its name in ``DETECTORS``.

    Raises:
        SettingsError: the package fails, or gives something else.
    """
    detector: object = DETECTORS[name](device)
    if not isinstance(detector, Detector):
        seen = f"gives {type(detector).__name__}, which is no vodkit.detect.base.Detector"
        raise SettingsError(f"detector {name}: {seen}; inherit from it (docs/add-a-detector.md)")
    return detector
