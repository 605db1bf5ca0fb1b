"""The trackers there are, and how to make one by name."""

from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass
from typing import Any

from vodkit.ground.errors import SettingsError
from vodkit.ground.lookup import pick
from vodkit.ground.plugins import Table
from vodkit.ground.settings import load, words_of
from vodkit.track.base import Tracker
from vodkit.track.botsort import BotSort, BotSortSettings
from vodkit.track.bytetrack import ByteTrack, ByteTrackSettings
from vodkit.track.ocsort import OcSort, OcSortSettings
from vodkit.track.roboflow import RoboflowSettings, RoboflowTracker
from vodkit.track.sort import Sort, SortSettings
from vodkit.track.vodkit import VodkitSettings, VodkitTracker


def _fault(entry: Any) -> str:
    pair = isinstance(entry, tuple) and len(entry) == 2
    if pair and callable(entry[0]) and isinstance(entry[1], type) and is_dataclass(entry[1]):
        return ""
    return f"is {entry!r:.80}; allowed: a pair (tracker class, its settings dataclass)"


# name: (tracker, its settings). One line a tracker; see docs/add-a-tracker.md.
TRACKERS: Mapping[str, tuple[Any, Any]] = Table(
    "vodkit.trackers",
    {
        "vodkit": (VodkitTracker, VodkitSettings),
        "bytetrack": (ByteTrack, ByteTrackSettings),
        "sort": (Sort, SortSettings),
        "ocsort": (OcSort, OcSortSettings),
        "botsort": (BotSort, BotSortSettings),
        "roboflow": (RoboflowTracker, RoboflowSettings),
    },
    fault=_fault,
)


TrackerSettings = (
    VodkitSettings
    | ByteTrackSettings
    | SortSettings
    | OcSortSettings
    | BotSortSettings
    | RoboflowSettings
)
"""typed settings of any tracker, with completion in an editor"""


def make_tracker(name: str | TrackerSettings = "vodkit", words: Sequence[str] = ()) -> Tracker:
    """A new tracker for one video.

    Args:
        name: a name in TRACKERS, or typed settings of a tracker, which say whose they are:
            ``make_tracker(ByteTrackSettings(high=0.5))``.
        words: ``name=value`` words such as ``life.lost_s=2``, which change its settings.

    Raises:
        SettingsError: an unknown name or setting (with the nearest valid ones), or a tracker of
            another package that is incomplete.
    """
    if isinstance(name, str):
        tracker, settings = pick(TRACKERS, name, "tracker")
        made = tracker(load(settings, words=words))
        if not isinstance(made, Tracker):
            seen = f"gives {type(made).__name__}, which is no vodkit.track.base.Tracker"
            raise SettingsError(f"tracker {name}: {seen}; inherit from it (docs/add-a-tracker.md)")
        return made
    tracker = next(one for one, settings in TRACKERS.values() if settings is type(name))
    return tracker(load(type(name), words=(*words_of(name), *words)) if words else name)


def full_settings(name: str, words: Sequence[str] = ()) -> object:
    """All settings of a tracker: its defaults with ``words`` applied."""
    _, settings = pick(TRACKERS, name, "tracker")
    return load(settings, words=words)


def has_setting(name: str, setting: str) -> bool:
    """Whether this tracker knows a setting of this name.

    >>> has_setting("vodkit", "min_likeness"), has_setting("sort", "min_likeness")
    (True, False)
    """
    _, settings = pick(TRACKERS, name, "tracker")
    return setting in {spec.name for spec in fields(settings)}
