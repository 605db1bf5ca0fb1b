"""What an audit finds: one record a finding, in three grades."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from enum import IntEnum
from typing import Any

from vodkit.ground.errors import SettingsError


class Grade(IntEnum):
    """How bad a finding is."""

    NOTE = 0
    """worth knowing"""
    WARNING = 1
    """probably wrong: look at it"""
    ERROR = 2
    """wrong: numbers made with this dataset would mislead"""


CODES = {
    "file-fault": "a row of the label file breaks its format",
    "skipped-objects": "objects of the label file that have no box in the dataset",
    "converted-shapes": "shapes of the label file that became their upright hulls",
    "video-missing": "the video file does not exist or cannot be opened",
    "video-broken": "the video breaks off, or frames of it cannot be decoded",
    "frame-count": "the video has another number of frames than its labels",
    "picture-size": "the labels were made on another picture size or orientation",
    "picture-broken": "a picture that cannot be decoded; --fix leaves it out",
    "variable-rate": "frames are not evenly spaced in time",
    "wrong-times": "the labels' times are not those of the video",
    "start-offset": "the first frame is not at time 0",
    "black-frames": "frames without a picture",
    "duplicate-frames": "frames that show the picture before once more",
    "cut-in-track": "a track continues across a shot change",
    "label-shift": "labels fit the picture of another frame better",
    "unlabelled": "what looks like a labelled object carries no label",
    "no-labels": "a video or a split without a box",
    "outside": "a box outside the picture",
    "empty-box": "a box without an area",
    "double-box": "two boxes of a class on one another",
    "teleport": "a track jumps",
    "class-change": "a track changes its class",
    "gap": "a track pauses",
    "class-base": "class numbers look shifted by one",
    "unused-class": "a class without a box",
    "class-split": "a class on one side of the split only",
    "leak": "the same footage on two sides of the split",
    "same-place": "one place at two times on two sides of the split",
    "split-warning": "the split itself was made with a warning",
}  # fmt: skip
"""every code that an audit can give, and what it means"""

ADVICE = {
    "leak": "Compare these moments. The same footage on two sides: split again, by video. One "
    "place at two times, where it is not decided: as for same-place.",
    "same-place": "No footage is on two sides, but numbers speak of this place alone; split --by "
    "pattern or --by tag keeps places apart.",
}
"""what a finding may mean, and what to do, where its message does not say it"""


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One thing that an audit found."""

    code: str
    """a key of CODES"""
    grade: Grade
    message: str
    """what, with numbers"""
    video: str = ""
    """source of the video; empty where it concerns the whole dataset"""
    frame: int | None = None
    """where it is seen first"""
    time_s: float | None = None
    count: int = 1
    """how many times in this video"""
    evidence: tuple[str, ...] = field(default_factory=tuple)
    """the first few places"""

    def __post_init__(self) -> None:
        """Refuse a code that is in no table."""
        if self.code not in CODES:
            raise SettingsError(f"code {self.code!r} is not in CODES")

    def as_json(self) -> dict[str, Any]:
        """The finding as JSON values."""
        return {**asdict(self), "grade": self.grade.name.lower(), "evidence": list(self.evidence)}


def worst(findings: Sequence[Finding]) -> Grade:
    """The worst grade; NOTE without findings."""
    return max((finding.grade for finding in findings), default=Grade.NOTE)


def leak_lines(findings: Sequence[Finding]) -> tuple[str, ...]:
    """Every leak in words, for a reader who has not the moments before him."""
    more = "vodkit data audit names the moments"
    return tuple(f"leak: {x.video}: {x.message} ({more})" for x in findings if x.code == "leak")


def in_a_line(findings: Sequence[Finding]) -> str:
    """How many warnings and errors, and which.

    >>> in_a_line([Finding(code="leak", grade=Grade.ERROR, message="")])
    'warnings and errors: 1 (leak)'
    """
    serious = [one for one in findings if one.grade > Grade.NOTE]
    codes = ", ".join(sorted({one.code for one in serious}))
    return f"warnings and errors: {len(serious)}" + (f" ({codes})" if codes else "")
