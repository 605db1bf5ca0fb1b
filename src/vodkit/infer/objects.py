"""``objects.json``: what was known of each object at a moment, so that events continue from there.

It lies beside a file of predictions, and has up to three moments:

    before    the first frame: of the file of a recording before it, or of the part of a live run
    now       some minutes ago, in a live run: where a resumed one continues after a kill
    end       the last frame, where the recording continues in another file
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from vodkit.ground import runs
from vodkit.ground.errors import FormatError

_VERSION = 1
When = Literal["before", "now", "end"]


@dataclass(frozen=True, kw_only=True)
class Moment:
    """What was known, and where in the predictions."""

    state: Mapping[str, Any]
    """of an ``EventMaker``"""
    offset: int = 0
    """bytes of the file of predictions before it; 0: no frame"""
    num_frames: int = 0
    """frames of the file before it"""
    first_s: float = 0.0
    """of now: time of the first frame in the file"""
    end_s: float | None = None
    """of end, and of before where that was another file's end: when that file ended, its clock"""

    @property
    def next_n(self) -> int:
        """Number of the next event."""
        return int(self.state["next_n"])


def write_objects(predictions: Path, **moments: Moment | None) -> None:
    """Write ``objects.json`` beside a file of predictions; ``moments``: by ``When``."""
    content = {when: asdict(one) for when, one in moments.items() if one is not None}
    text = json.dumps(
        {"vodkit": "objects", "version": _VERSION, **content}, ensure_ascii=False, allow_nan=False
    )
    runs.write_atomic(runs.objects_of(predictions), text + "\n")


def read_objects(predictions: Path) -> dict[str, Moment]:
    """The moments in ``objects.json`` beside a file of predictions; none where it is missing.

    Raises:
        FormatError: it is damaged, or of another version.
    """
    path = runs.objects_of(predictions)
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        is_ours = (content.pop("vodkit"), content.pop("version")) == ("objects", _VERSION)
        found = {str(when): Moment(**one) for when, one in content.items()}
        numbers = [
            n for one in found.values() for n in (one.next_n - 1, one.offset, one.num_frames)
        ]
        is_sound = min(numbers, default=0) >= 0
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise FormatError(f"not the objects of a run: {error!r}", path=path) from error
    if not (is_ours and is_sound):
        raise FormatError(f"not the objects of a run, version {_VERSION}", path=path)
    return found
