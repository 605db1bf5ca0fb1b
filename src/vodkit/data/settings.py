"""Settings of ``data split``, ``sample`` and ``prelabel``: options are made of them."""

import math
import re
from dataclasses import dataclass

from vodkit.ground.errors import SettingsError
from vodkit.ground.settings import check_ranges, setting

SIDES = ("train", "val", "test")


@dataclass(frozen=True, kw_only=True)
class SplitSettings:
    """How to divide."""

    train: float | None = setting(None, "Share of the training side; default: the rest.")
    val: float = setting(0.2, "Share of the validation side.")
    test: float = setting(0.0, "Share of the test side.")
    by: str = setting(
        "video",
        "Unit that stays together: video; scene (a shot); pattern or tag (groups of videos).",
        choices=("video", "scene", "pattern", "tag"),
    )
    pattern: str = setting("", "Regular expression of sources; an equal group 1 stays together.")
    tag: str = setting("", "Videos with the same value of this tag stay together.")
    seed: int = setting(0, "Decides between equally good splits.")
    folds: int = setting(1, "k of k-fold: all but one are the training side.")
    fold: int = setting(0, "Which fold validates, from 0.")
    guard_s: float = setting(
        2.0,
        "Unused gap between sides of one recording (s); at most a tenth of it.",
        low=0,
        below=math.inf,
    )
    least_frames: int = setting(30, "Labelled frames a side must have, or a tenth of all.", low=0)
    least_boxes: int = setting(30, "Boxes a side must have, or a tenth of all.", low=0)

    def __post_init__(self) -> None:
        """Check ranges, and that the options fit each other."""
        check_ranges(self)
        shares = tuple(self.shares.values())
        if not (min(shares) >= 0 and abs(sum(shares) - 1) <= 1e-6):
            raise SettingsError(f"train, val, test are {shares}; allowed: shares that add up to 1")
        if (self.by == "pattern") != bool(self.pattern) or (self.by == "tag") != bool(self.tag):
            raise SettingsError(f"by={self.by} with pattern={self.pattern!r}, tag={self.tag!r}")
        if self.folds < 1 or not 0 <= self.fold < self.folds:
            raise SettingsError(f"fold {self.fold} of {self.folds}; allowed: 0 to folds - 1")
        told = [side for side in SIDES if getattr(self, side) != getattr(SplitSettings, side)]
        if self.folds > 1 and told:
            raise SettingsError(f"folds={self.folds} with {told[0]}; allowed: one, folds are equal")
        try:
            groups = re.compile(self.pattern).groups
        except re.error as error:
            raise SettingsError(f"pattern {self.pattern!r}: {error}") from error
        if self.pattern and groups < 1:
            raise SettingsError(f"pattern {self.pattern!r} has no group in parentheses")

    @property
    def shares(self) -> dict[str, float]:
        """The wanted share of each side."""
        train = round(1 - self.val - self.test, 9) if self.train is None else self.train
        return dict(zip(SIDES, (train, self.val, self.test), strict=True))


@dataclass(frozen=True, kw_only=True)
class SampleSettings:
    """How many frames to choose, and from what."""

    frames: int = setting(100, "How many frames to choose, over all videos.", low=1)
    every_s: float = setting(0.5, "Seconds between candidates.", above=0)
    blurred: float = setting(
        0.5, "Leave out frames less sharp than this share of their neighbours.", low=0, below=1
    )
    seed: int = setting(0, "The same seed, the same frames.")

    def __post_init__(self) -> None:
        """Check ranges."""
        check_ranges(self)


@dataclass(frozen=True, kw_only=True)
class PrelabelSettings:
    """What goes to the labelling tool."""

    shortest: int = setting(3, "Leave out tracks of fewer boxes.", low=1)
    hidden: bool = setting(
        True,
        "Keep boxes predicted while the object was hidden, as occluded ones.",
        hidden=True,
    )
    unsure: float = setting(
        0.0, "Tracks with a lower median score become ignore regions.", low=0, high=1
    )

    def __post_init__(self) -> None:
        """Check ranges."""
        check_ranges(self)
