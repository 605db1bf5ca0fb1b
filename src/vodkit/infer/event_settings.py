"""EventSettings: when something that happens to a track counts as an event."""

from collections.abc import Sequence
from dataclasses import dataclass

from vodkit.ground.errors import SettingsError
from vodkit.ground.settings import check_ranges, load, setting
from vodkit.track.count import ANCHORS, CountSettings, lines_of, zones_of


@dataclass(frozen=True, kw_only=True)
class EventSettings:
    """When something counts as an event."""

    anchor: str = setting("bottom", "Point of the box that counts for lines and zones.")
    margin: float = setting(
        0.1, "Distance from a line at which an object is on a side, in sizes sqrt(w * h).", low=0
    )
    settle_s: float = setting(
        0.3, "Time on a side of a line, or in or out of a zone, that is jitter (s).", low=0
    )
    evidence_s: float = setting(
        0.3, "Evidence from which a track is an object: sum of score times seconds.", low=0
    )
    every_s: float = setting(1.0, "Least time between two changes of an object (s).", low=0)
    still_s: float = setting(
        10.0, "An object that stays in place for so long has stopped.", above=0
    )
    drift: float = setting(
        0.2, "Staying in place: 1 - IoU of the smoothed box with itself, up to.", above=0, below=1
    )
    move_iou: float = setting(
        0.5, "A stopped object moves when IoU with its place is below this for 1 s.",
        above=0, below=1,
    )  # fmt: skip
    smooth_s: float = setting(2.0, "Time over which boxes are averaged for that (s).", above=0)
    hidden_s: float = setting(1.0, "An object not observed for so long is hidden.", above=0)
    gone_s: float = setting(10.0, "A moving object not observed for so long has ended.", above=0)
    gone_still_s: float = setting(
        60.0, "A stopped object not observed for so long has ended.", above=0
    )
    class_share: float = setting(
        0.7, "Share of the evidence from which another class replaces the first one.",
        above=0.5, high=1,
    )  # fmt: skip

    def __post_init__(self) -> None:
        """Check ranges and names."""
        if self.anchor not in ANCHORS:
            raise SettingsError(f"anchor is {self.anchor!r}; allowed: {', '.join(ANCHORS)}")
        check_ranges(self)

    @property
    def counting(self) -> CountSettings:
        """The part that ``count`` has, too."""
        return CountSettings(anchor=self.anchor, margin=self.margin, settle_s=self.settle_s)


def check_words(lines: Sequence[str], zones: Sequence[str], events: Sequence[str]) -> None:
    """Refuse lines, zones and settings that no video could have, before one is opened.

    Raises:
        SettingsError: unknown names, values out of range, or no coordinates.
    """
    load(EventSettings, words=events)
    lines_of(lines)
    zones_of(zones)
