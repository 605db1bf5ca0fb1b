"""What is refused in front of every engine, with video, frame and row.

Reference tools are silent here: pycocotools takes a detection with NaN or infinite coordinates
for a true positive, TrackEval cuts frame 3.9 to 3, both drop what they do not know.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from vodkit.ground.errors import InputError
from vodkit.ground.lookup import nearest
from vodkit.ground.records import Dataset, LabelledVideo, TrackTable


@dataclass(frozen=True, kw_only=True)
class Problem:
    """One thing that makes predictions unusable."""

    where: str
    """the file, or the video"""
    frame: int | None
    """0-based; None where the whole file is meant"""
    message: str

    def __str__(self) -> str:
        """``where, frame n: message``."""
        place = self.where if self.frame is None else f"{self.where}, frame {self.frame}"
        return f"{place}: {self.message}"


def require_one_split(dataset: Dataset) -> None:
    """InputError when a recording stands in several splits: numbers are of one of them."""
    splits: dict[str, list[str]] = {}
    for video in dataset.videos:
        splits.setdefault(video.source, []).append(video.split)
    for source, names in splits.items():
        if len(names) > 1:
            raise InputError(f"{source} stands in {', '.join(names)}; choose one with --split")


def find_problems(
    dataset: Dataset,
    predictions: Mapping[str, TrackTable],
    *,
    files: Mapping[str, str] | None = None,
) -> tuple[Problem, ...]:
    """Everything that does not fit between predictions (by video source) and truth.

    ``files`` says which file the predictions of a video come from, for the message.
    """
    videos = {video.source: video for video in dataset.videos}
    files = files or {}
    found: list[Problem] = []
    for name, table in predictions.items():
        where = files.get(name, name)
        if name in videos:
            found += _in_video(videos[name], table, where, dataset.classes)
        else:
            hint = " or ".join(nearest(name, videos) or sorted(videos)[:3])
            message = f"no video {name!r} in the truth; it has {hint}"
            found.append(Problem(where=where, frame=None, message=message))
    return tuple(found)


def require_valid(
    dataset: Dataset,
    predictions: Mapping[str, TrackTable],
    *,
    files: Mapping[str, str] | None = None,
) -> None:
    """InputError with the first problem and the number of the others, if there is one."""
    problems = find_problems(dataset, predictions, files=files)
    if problems:
        more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
        raise InputError(f"{problems[0]}{more}")


def _in_video(
    video: LabelledVideo, table: TrackTable, where: str, classes: tuple[str, ...]
) -> list[Problem]:
    found = []
    length = video.info.num_frames
    if length is not None and len(table) and table.frames[-1] >= length:
        message = f"beyond the end: the video has {length} frames, 0 to {length - 1}"
        found.append(Problem(where=where, frame=int(table.frames[-1]), message=message))
    wrong = np.flatnonzero((table.labels >= len(classes)) | (table.labels < 0))
    if len(wrong):
        message = f"label {table.labels[wrong[0]]}; the truth has {len(classes)} classes"
        found.append(Problem(where=where, frame=int(table.frames[wrong[0]]), message=message))
    return found
