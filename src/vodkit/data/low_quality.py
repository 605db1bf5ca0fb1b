"""The labelled frames of low quality of a dataset: measured on its videos, or from a file.

The file is JSON: by video source the indices of its frames. ``vodkit eval`` writes it, so that
other runs are measured on the same frames.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from vodkit.data.frame_reader import open_labelled
from vodkit.data.sampling import labelled_frames
from vodkit.formats.jsonfile import read_json
from vodkit.ground.arrays import IntArray
from vodkit.ground.errors import FormatError, InputError
from vodkit.ground.lookup import unknown
from vodkit.ground.records import Dataset, LabelledVideo
from vodkit.ground.runs import write_json
from vodkit.video.sharpness import detail, is_low_quality

LowQuality = Mapping[str, IntArray]
"""by video source: frames (0-based) of low quality"""


def measure_low_quality(dataset: Dataset, root: Path) -> tuple[LowQuality, tuple[str, ...]]:
    """The labelled frames of low quality, see ``video.sharpness``; and notes on missing videos.

    Args:
        dataset: labelled videos.
        root: folder that their paths are relative to.

    Raises:
        VideoError: a video breaks off.
    """
    found, missing = {}, []
    for video in dataset.videos:
        if video.tracks is None:
            continue
        if not (root / video.source).exists():
            missing.append(video.source)
            continue
        found[video.source] = _measured(video, root)
    return found, notes_of(found, missing)


def notes_of(found: LowQuality, missing: Sequence[str]) -> tuple[str, ...]:
    """What is to be said beside the numbers, of what was measured and of missing videos.

    >>> notes_of({"a.mp4": np.zeros(0, np.int64)}, ["b.mp4"])[0]
    'low-quality frames: a video is missing, and not measured (b.mp4)'
    >>> notes_of({"a.mp4": np.zeros(0, np.int64)}, [])[0]
    'low-quality frames: none is blurred beside those around it, so AP50 on them is undefined'
    >>> notes_of({"a.mp4": np.array([7])}, [])
    ()
    """
    notes = []
    if missing:
        shown = ", ".join(missing[:3]) + ", ..." * (len(missing) > 3)
        many = f"{len(missing)} videos are missing" if len(missing) > 1 else "a video is missing"
        notes.append(f"{many}, and not measured ({shown})")
    if found and not any(map(len, found.values())):
        notes.append("none is blurred beside those around it, so AP50 on them is undefined")
    return tuple(f"low-quality frames: {note}" for note in notes)


def _measured(video: LabelledVideo, root: Path) -> IntArray:
    frames, times_s, details = [], [], []
    with open_labelled(video, root) as opened:
        for frame in opened.frames_at(labelled_frames(video)):
            frames.append(frame.index)
            times_s.append(frame.time_s)
            details.append(detail(frame.image))
    if not frames:
        return np.zeros(0, np.int64)
    return np.array(frames)[is_low_quality(np.array(times_s), np.array(details))]


def read_low_quality(path: Path, dataset: Dataset) -> LowQuality:
    """The frames in a file.

    Raises:
        FormatError: it is no such file, or names a video twice.
        InputError: it names a video that the dataset lacks, or a frame that the video lacks.
    """
    content = read_json(path).value
    by_source = {video.source: video for video in dataset.videos}
    if not isinstance(content, dict):
        raise FormatError('allowed: {"video": [frame, ...]}', path=path)
    for source, frames in content.items():
        if source not in by_source:
            raise InputError(f"{path}: {unknown(source, by_source, 'video')}")
        whole = isinstance(frames, list) and all(type(one) is int for one in frames)
        last = by_source[source].info.num_frames
        if not whole or any(one < 0 or (last is not None and one >= last) for one in frames):
            allowed = "whole numbers from 0" + ("" if last is None else f", below {last}")
            raise InputError(f"{path}: frames of {source}; allowed: a list of {allowed}")
    return {source: np.unique(np.array(frames, np.int64)) for source, frames in content.items()}


def write_low_quality(found: LowQuality, path: Path) -> None:
    """Write the file that ``read_low_quality`` reads."""
    write_json(path, {source: frames.tolist() for source, frames in found.items()})
