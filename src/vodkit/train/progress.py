"""Progress reports of a running training."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from vodkit.metrics.detection.ap import CocoScores
from vodkit.train.freeze import StageRow
from vodkit.train.validate import Shown


@dataclass(frozen=True, kw_only=True)
class Progress:
    """What happens in a training, for whoever watches."""

    what: str
    """material, features, parameters (before the first step, and when a stage thaws), step or
    epoch"""
    done: int
    total: int
    epoch: int = 0
    num_epochs: int = 0
    losses: dict[str, float] = field(default_factory=dict)
    lr: float = 0.0
    wait_share: float = 0.0
    """of the time so far in this epoch, spent waiting for data"""
    ap: float | None = None
    ap50: float | None = None
    measured_on: str = ""
    """what the scores are of, as ``41 frames, 120 boxes``"""
    shown: tuple[Shown, ...] = ()
    """frames of the validation that ended this epoch"""
    per_class: Mapping[str, CocoScores] = field(default_factory=dict)
    """numbers of that validation"""
    parameters: tuple[StageRow, ...] = ()
    """at the beginning: what is trained, and what is frozen"""
    told: tuple[str, ...] = ()
    """material: sentences for people"""


def watch_nothing(_progress: Progress) -> None:
    """For callers who only want the result."""
