"""The trackers there are, and how to make one by name."""

from collections.abc import Sequence
from typing import Any

from vodkit.lookup import pick
from vodkit.settings import load
from vodkit.track.base import Tracker
from vodkit.track.bytetrack import ByteTrack, ByteTrackSettings

# name: (tracker, its settings). One line a tracker; see docs/add-a-tracker.md.
TRACKERS: dict[str, tuple[Any, Any]] = {
    "vodkit": (ByteTrack, ByteTrackSettings),
    "bytetrack": (ByteTrack, ByteTrackSettings),
}


def make_tracker(name: str = "vodkit", words: Sequence[str] = ()) -> Tracker:
    """A new tracker for one video; ``words`` such as ``life.lost_s=2`` change its settings.

    An unknown name or setting raises SettingsError with the nearest valid ones.
    """
    tracker, settings = pick(TRACKERS, name, "tracker")
    return tracker(load(settings, words=words))
