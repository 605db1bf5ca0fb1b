"""One video of the evaluation: its labelled frames, what is true in them and what was found.

Only frames that a labeller looked at are evaluated: elsewhere a detection is neither right nor
wrong. Ignore regions stand apart from the truth.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction

import numpy as np

from vodkit.ground.arrays import FloatArray, IntArray
from vodkit.ground.errors import InputError
from vodkit.ground.records import Dataset, LabelledVideo, TrackTable
from vodkit.metrics.validate import require_one_split, require_valid


@dataclass(frozen=True, eq=False, kw_only=True)
class Clip:
    """One video, cut down to its evaluated frames."""

    name: str
    """the video's source"""
    frames: IntArray
    """(F,) sorted 0-based frame indices that are evaluated"""
    rate: Fraction
    truth: TrackTable
    """rows in ``frames`` that are to be found"""
    regions: TrackTable
    """rows in ``frames`` that are to be ignored; label -1: for every class"""
    found: TrackTable
    """predictions in ``frames``"""
    num_outside: int = 0
    """predictions left out because nobody looked at their frame"""

    def times_s(self, frames: IntArray) -> FloatArray:
        """The container's times of ``frames`` (F,), as far as boxes tell them.

        Between frames with boxes it runs evenly, before and after them at the video's rate.
        """
        known = self.truth if len(self.truth) else self.found
        if not len(known):
            return np.asarray(frames / float(self.rate))
        inside = np.clip(frames, known.frames[0], known.frames[-1])
        times = np.interp(inside, known.frames, known.times_s)
        return np.asarray(times + (frames - inside) / float(self.rate))

    def of_class(self, label: int) -> "Clip":
        """The same video as if there were only one class."""
        regions = (self.regions.labels == label) | (self.regions.labels == -1)
        return Clip(
            name=self.name,
            frames=self.frames,
            rate=self.rate,
            truth=self.truth[self.truth.labels == label],
            regions=self.regions[regions],
            found=self.found[self.found.labels == label],
        )

    def with_found(self, found: TrackTable) -> "Clip":
        """The same video with other predictions."""
        return replace(self, found=found)

    def of_frames(self, frames: IntArray) -> "Clip":
        """The part of the video in ``frames``."""
        return Clip(
            name=self.name,
            frames=frames,
            rate=self.rate,
            truth=self.truth[np.isin(self.truth.frames, frames)],
            regions=self.regions[np.isin(self.regions.frames, frames)],
            found=self.found[np.isin(self.found.frames, frames)],
        )


def make_clips(dataset: Dataset, predictions: Mapping[str, TrackTable]) -> tuple[Clip, ...]:
    """The labelled videos of ``dataset`` beside their predictions (empty where there are none).

    Raises InputError for predictions of a video that the dataset has not, for labels that are
    no class of it, and for frames beyond the end of a video.
    """
    require_one_split(dataset)
    require_valid(dataset, predictions)
    labelled = [video for video in dataset.videos if video.tracks is not None]
    if not labelled:
        raise InputError("the truth has no labelled video: there is nothing to evaluate against")
    empty = TrackTable.empty()
    return tuple(_clip(video, predictions.get(video.source, empty)) for video in labelled)


def evaluated_frames(video: LabelledVideo, found: TrackTable) -> IntArray:
    """The frames (F,) to evaluate: the labelled ones, or all where every frame is labelled."""
    assert video.tracks is not None
    if video.labelled_frames is not None:
        return video.labelled_frames
    if video.info.num_frames is not None:
        return np.arange(video.info.num_frames)
    last = [int(table.frames[-1]) for table in (video.tracks, found) if len(table)]
    return np.arange(max(last, default=-1) + 1)


def _clip(video: LabelledVideo, found: TrackTable) -> Clip:
    assert video.tracks is not None
    frames = evaluated_frames(video, found)
    truth = video.tracks[np.isin(video.tracks.frames, frames)]
    inside = np.isin(found.frames, frames)
    return Clip(
        name=video.source,
        frames=frames,
        rate=video.info.rate,
        truth=truth[~truth.ignore],
        regions=truth[truth.ignore],
        found=found[inside],
        num_outside=int((~inside).sum()),
    )


def fingerprint(clips: Sequence[Clip], classes: tuple[str, ...]) -> str:
    """sha256 of what predictions are measured against, so that only equals are compared."""
    digest = hashlib.sha256(repr(classes).encode())
    for clip in clips:
        digest.update(f"{clip.name}|{clip.rate}|".encode())
        digest.update(np.ascontiguousarray(clip.frames).tobytes())
        for table in (clip.truth, clip.regions):
            for column in (table.frames, table.ids, table.labels, table.boxes_xyxy):
                digest.update(np.ascontiguousarray(column).tobytes())
            if np.isfinite(table.areas).any():
                digest.update(np.ascontiguousarray(table.areas).tobytes())
    return digest.hexdigest()
