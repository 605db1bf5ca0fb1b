"""A likely cause of a bad result: what was seen, and what to do."""

from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from typing import Any

CODES = {
    "leak": "training and test share footage",
    "nothing-found": "not one object was detected",
    "new-class": "a class is tested that was not trained on",
    "few-labels": "a class has few labels to learn from",
    "few-recordings": "the labels of a class come from one or two recordings",
    "tiny-objects": "objects have few pixels at the size of the network's input",
    "skipped-labels": "a share of the label file was not imported",
    "rare-class": "a class is much rarer than the most frequent one",
    "few-test-labels": "a side of the split is too small to measure on",
    "still-rising": "AP was still rising when the training ended",
    "overfit": "AP fell after an early best",
    "diverged": "the training loss rose or is not finite",
    "waiting": "training waited for data",
    "memory": "steps were halved because memory ran out",
    "loose-boxes": "objects are found, but boxes are not tight",
    "confused-classes": "objects are found and given the wrong class",
    "missed": "objects are not found",
    "false-alarms": "boxes without an object cost most",
    "uncalibrated": "scores do not match the share of right boxes",
    "threshold": "the score threshold is far from the best one",
    "id-switches": "tracks exchange identities",
    "broken-tracks": "tracks end and begin again near the same place",
    "low-frame-rate": "objects move by a large part of their size between frames",
    "blinking": "a large share of boxes is predicted, not observed",
    "low-scores": "the detector gives low scores to what it tracks",
    "truncated": "frames have more detections than are kept",
    "incomplete": "the run did not reach the end of its source",
}
"""what a cause is, by its code; in order of how directly it explains a bad result"""


@dataclass(frozen=True, kw_only=True)
class Cause:
    """One likely cause."""

    code: str
    """a key of ``CODES``"""
    weight: float
    """how much of the problem it probably explains, 0 to 1; the list is sorted by it"""
    seen: str
    """the evidence, with numbers"""
    advice: str
    """what to do, or the command that shows more"""


@dataclass(frozen=True, kw_only=True)
class Diagnosis:
    """What was read, and what probably limits the result."""

    path: str
    kind: str
    """dataset, training, evaluation or tracks"""
    causes: tuple[Cause, ...]
    """most likely first"""
    facts: dict[str, Any] = field(default_factory=dict)
    """the numbers that the checks used"""

    def to_json(self) -> dict[str, Any]:
        """As a JSON object."""
        causes = [{**asdict(one), "meaning": CODES[one.code]} for one in self.causes]
        return {"path": self.path, "kind": self.kind, "causes": causes, "facts": self.facts}


def ordered(causes: Iterable[Cause]) -> tuple[Cause, ...]:
    """The most likely first; equal ones in the order of ``CODES``."""
    rank = {code: place for place, code in enumerate(CODES)}
    return tuple(sorted(causes, key=lambda one: (-one.weight, rank[one.code])))


def share_of(value: float, none: float, full: float) -> float:
    """A weight of 0 at ``none`` and 1 at ``full``, linear between.

    >>> share_of(0.5, 0.25, 0.75), share_of(10, 100, 0), share_of(200, 100, 0)
    (0.5, 0.9, 0.0)
    """
    return round(min(max((value - none) / (full - none), 0.0), 1.0), 3)
