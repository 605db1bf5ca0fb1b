"""A finished run and its video: what everyday jobs on tracks begin with."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from vodkit.formats.camera_motion import motion_beside
from vodkit.formats.predictions import (
    Header,
    PredictedFrame,
    Predictions,
    final_frames,
    open_predictions,
    read_header,
    read_predictions,
)
from vodkit.ground import runs
from vodkit.ground.errors import FormatError, InputError
from vodkit.infer.manifest import Manifest, read_manifest
from vodkit.video.fingerprint import digest
from vodkit.video.reader import Video, is_live, open_video

_MOVING = 0.2
"""share of frames with camera motion, from which on the camera counts as moving"""


@dataclass(frozen=True)
class FinishedRun:
    """The predictions of a run, and the video that they are of."""

    path: Path
    """of the predictions"""
    source: Path | None = None
    """where the video is now; None: where it was"""

    @classmethod
    def open(cls, path: str | Path, source: str | Path | None = None) -> "FinishedRun":
        """The run in a folder, or of a predictions file.

        Args:
            path: a run folder, or one of its predictions files (``refined.jsonl``).
            source: the video, where it was moved or renamed since.
        """
        return cls(runs.predictions_of(Path(path)), None if source is None else Path(source))

    @cached_property
    def header(self) -> Header:
        """Of the predictions."""
        return read_header(self.path)

    @cached_property
    def predictions(self) -> Predictions:
        """The rows that count (``formats.predictions.counted``)."""
        return read_predictions(self.path, include_predicted=False)

    @cached_property
    def manifest(self) -> Manifest | None:
        """Of the run; None where the folder has none."""
        try:
            return read_manifest(self.path.parent)
        except FormatError:
            return None

    @property
    def folder(self) -> Path:
        """Where what is made of the run belongs; not made yet."""
        return self.path.parent / runs.SHOWN

    def require_tracks(self) -> None:
        """InputError where there are detections without ids."""
        if not self.header.tracker and self.header.detector:
            raise InputError(f"{self.path}: detections without tracks; run `vodkit track` first")

    def frames(self) -> Iterator[PredictedFrame]:
        """The final frames, one by one, with predicted boxes."""
        with open_predictions(self.path) as (_, frames):
            yield from final_frames(frames)

    def open_video(self) -> Video:
        """The video of the run, on the times that the run had.

        Raises:
            InputError: the run is of a live source; the video is not where it was, or is another.
        """
        named = self.header.source
        if is_live(named) or (self.manifest is not None and self.manifest.live):
            raise InputError(
                f"{self.path}: is of the live source {named}, of which no video exists"
            )
        source = str(self.source or named)
        if "://" not in source:
            self._require_same(Path(source))
        video = open_video(source, strict=False, picture_rate=self.header.info.rate)
        there, now = self.header.info, video.info
        if (now.width_px, now.height_px) != (there.width_px, there.height_px):
            video.close()
            sizes = f"{now.width_px}x{now.height_px}, the run {there.width_px}x{there.height_px}"
            raise InputError(f"{source}: is not the video of {self.path}: it has {sizes} pixels")
        return video

    def _require_same(self, source: Path) -> None:
        seen = digest(source)
        if seen is None:
            hint = "give its place by --source" if self.source is None else "see --source"
            raise InputError(f"{source}: the video of {self.path} is missing; {hint}")
        known = None if self.manifest is None else self.manifest.source_sha256
        if known not in (None, seen):
            message = f"{source}: is not the video of {self.path}: its content differs"
            raise InputError(f"{message} (sha256 {seen[:12]}, of the run {str(known)[:12]})")

    @property
    def moving(self) -> float:
        """Share of frames in which the camera moved, where the run recorded it."""
        return len(motion_beside(self.path)) / max(len(self.predictions.clock), 1)

    def place_notes(self) -> Iterator[str]:
        """Why a place in the picture may not be one place of the scene, in words."""
        if self.moving > _MOVING:
            yield f"the camera moved in {self.moving:.0%} of the frames: places are of the picture"
        cuts = 0 if self.manifest is None else self.manifest.num_cuts or 0
        if cuts:
            yield f"the video has {cuts} shot changes: places of several scenes are mixed"

    def require_fixed_camera(self, what: str) -> None:
        """InputError where places on the ground change their pixels."""
        for note in self.place_notes():
            raise InputError(f"{self.path}: {what} needs a fixed camera; {note}")

    def seconds_of(self, frames: "np.ndarray") -> "np.ndarray":
        """How long (N,) each of these processed frames stands for: half way to its neighbours."""
        clock = sorted(self.predictions.clock.items())
        times = np.array([time_s for _, time_s in clock])
        if len(times) < 2:
            return np.full(len(frames), 1 / float(self.header.info.rate))
        edges = np.concatenate([times[:1], (times[1:] + times[:-1]) / 2, times[-1:]])
        long_s = np.diff(edges)
        long_s[[0, -1]] *= 2  # the first and the last frame last as long as their one neighbour
        return np.asarray(long_s[np.searchsorted([index for index, _ in clock], frames)])
