"""Event: one thing that happened to an object, as a record and as JSON."""

import json
from dataclasses import dataclass, fields
from typing import Any, Final

VERSION: Final = 1
"""of the form of an event; see docs/events.schema.json"""
TYPES = ("began", "changed", "crossed", "ended")
CHANGES = ("zone", "class", "stopped", "moves", "hidden", "back")


@dataclass(frozen=True, kw_only=True)
class Event:
    """One event; ``to_json`` is its one form on disk, in messages and on pages."""

    n: int
    """from 1, without gaps, over all sessions of a run folder"""
    type: str
    """see ``TYPES``"""
    source: str
    """without credentials"""
    id: str
    """of the object, unique in the run folder: session, track and, where it came back, a number"""
    track: int
    """id of the track in ``predictions.jsonl``"""
    name: str
    """class"""
    score: float
    """of the last sighting"""
    box_px: tuple[float, float, float, float]
    """x1, y1, x2, y2 in pixels of the source picture"""
    box: tuple[float, float, float, float]
    """the same in shares of width and height"""
    state: str
    """observed, predicted or filled"""
    stopped: bool
    hidden: bool
    zones: tuple[str, ...]
    frame: int
    time_s: float
    """of the frame with which the event became certain"""
    first_s: float
    """first sighting of the object"""
    seen_s: float
    """last sighting"""
    utc: str = ""
    """of ``time_s``; live sources only"""
    changes: tuple[str, ...] = ()
    """of changed: see ``CHANGES``"""
    line: str = ""
    direction: str = ""
    """of crossed: in or out"""
    crossed_s: float | None = None
    """of crossed: the first sighting on the other side"""
    reason: str = ""
    """of ended: unseen, or the end of the source"""

    def to_json(self) -> dict[str, Any]:
        """As JSON, without what does not apply."""
        content: dict[str, Any] = {"vodkit": "event", "version": VERSION}
        for spec in fields(self):
            value = getattr(self, spec.name)
            if spec.name not in _OPTIONAL or value not in ("", (), None):
                key = "class" if spec.name == "name" else spec.name
                content[key] = list(value) if isinstance(value, tuple) else value
        return content

    def to_line(self) -> bytes:
        """As a line of ``events.jsonl``."""
        return _ENCODER.encode(self.to_json()).encode() + b"\n"


_OPTIONAL = {"utc", "changes", "line", "direction", "crossed_s", "reason"}
_ENCODER = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":"))
