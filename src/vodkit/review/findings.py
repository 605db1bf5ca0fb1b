"""Findings of ``vodkit data audit --json`` as the first items of the queue."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from vodkit.formats.jsonfile import read_json
from vodkit.ground.errors import InputError

_GRADES = {"error": 0, "warning": 1}


@dataclass(frozen=True)
class Place:
    """Where a finding can be seen, and what was found."""

    video: int
    frame: int
    words: str


def read_findings(
    path: Path, names: Sequence[str], num_frames: Sequence[int]
) -> tuple[list[Place], str]:
    """The findings of an audit that name a frame of a video under review, the worst grade first.

    Args:
        path: what ``vodkit data audit --json`` printed.
        names: sources of the videos under review.
        num_frames: number of frames of each.

    Returns:
        The places, and how many findings name no frame of these videos, in words; empty: none.

    Raises:
        FormatError: the file is not such a list.
        InputError: the file cannot be read, or no finding names a frame of these videos.
    """
    places: list[tuple[int, Place]] = []
    count = 0
    for one in read_json(path).items():
        count += 1
        video, code, message = one.words("video"), one.words("code"), one.words("message")
        grade = _GRADES.get(one.words("grade"), len(_GRADES))
        same = [k for k, name in enumerate(names) if video in {name, Path(name).name}]
        same = same or [k for k, name in enumerate(names) if Path(video).name == Path(name).name]
        if same and "frame" in one and 0 <= one.integer("frame") < num_frames[same[0]]:
            place = Place(same[0], one.integer("frame"), f"audit: {code}: {message}")
            places.append((grade, place))
    if count and not places:
        raise InputError(f"{path}: no finding names a frame of {', '.join(names)}")
    left = count - len(places)
    note = f"{path.name}: {left} of {count} findings name no frame of these videos" if left else ""
    return [place for _, place in sorted(places, key=lambda one: one[0])], note
