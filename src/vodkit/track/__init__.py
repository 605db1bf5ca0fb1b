"""Tracking: detections of consecutive frames in, objects with ids and states out.

base           what a tracker is                 table          the trackers by name: make_tracker
kalman         motion of boxes, in seconds       assign         which detection is which track
book           the columns of all tracks         rounds         one round of matching
life           from tentative to forgotten       occlusion      who is hidden behind whom
camera_motion  how the camera moved              appearance     what objects look like
sort, bytetrack, ocsort, botsort, vodkit         one tracker each; vodkit is the default
roboflow       the trackers of another library   refine         the second, offline pass
count          lines, zones, dwell times         tune           settings from a labelled clip
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vodkit.track.botsort import BotSortSettings as BotSortSettings
    from vodkit.track.bytetrack import ByteTrackSettings as ByteTrackSettings
    from vodkit.track.count import CountSettings as CountSettings
    from vodkit.track.ocsort import OcSortSettings as OcSortSettings
    from vodkit.track.refine import RefineSettings as RefineSettings
    from vodkit.track.roboflow import RoboflowSettings as RoboflowSettings
    from vodkit.track.sort import SortSettings as SortSettings
    from vodkit.track.table import TRACKERS as TRACKERS
    from vodkit.track.table import make_tracker as make_tracker
    from vodkit.track.vodkit import VodkitSettings as VodkitSettings

# One line a public name: where it lives.
_HOMES = {
    "make_tracker": "vodkit.track.table",
    "TRACKERS": "vodkit.track.table",
    "VodkitSettings": "vodkit.track.vodkit",
    "ByteTrackSettings": "vodkit.track.bytetrack",
    "SortSettings": "vodkit.track.sort",
    "OcSortSettings": "vodkit.track.ocsort",
    "BotSortSettings": "vodkit.track.botsort",
    "RoboflowSettings": "vodkit.track.roboflow",
    "RefineSettings": "vodkit.track.refine",
    "CountSettings": "vodkit.track.count",
}
__all__ = [*_HOMES]  # noqa: PLE0604 - the keys are strings


def __getattr__(name: str) -> object:
    """A public name, imported from its home at first use (PEP 562)."""
    if name not in _HOMES:
        raise AttributeError(f"module 'vodkit.track' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    """The public names, for completion in a shell."""
    return sorted(_HOMES)
