"""Metrics frame by frame, for training loops: ``update``, then ``compute``.

No torch inside: give numpy arrays (``tensor.cpu().numpy()``). One object is one evaluation; make
a new one for the next epoch. Parts from several processes are joined with ``merge``.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction

import numpy as np

from vodkit.ground.errors import InputError
from vodkit.ground.records import Dataset, Detections, LabelledVideo, Tracks, TrackTable, VideoInfo
from vodkit.metrics.detection.ap import CocoResult, table_average_precision
from vodkit.metrics.evaluation import EvalSettings, Evaluation, evaluate


@dataclass(frozen=True, eq=False, kw_only=True)
class LabelledFrame:
    """One frame with its truth, its ignore regions and what was found."""

    found: Detections | Tracks
    truth: Detections | Tracks
    ignore: Detections


class MetricAccumulator:
    """Collects truth and predictions of frames and gives all metrics at any time."""

    def __init__(self, classes: Sequence[str], *, rate: Fraction = Fraction(25)) -> None:
        """Start with nothing; ``rate`` is used where metrics speak of seconds."""
        self.classes = tuple(classes)
        self.rate = rate
        self.frames: dict[tuple[str, int], LabelledFrame] = {}
        """by video and frame index"""

    def update(
        self,
        video: str,
        frame: int,
        *,
        found: Detections | Tracks,
        truth: Detections | Tracks,
        ignore: Detections | None = None,
    ) -> None:
        """Take one labelled frame; a frame of a video may come only once, in any order.

        ``ignore``: regions that are neither right nor wrong to find.
        """
        if (video, frame) in self.frames:
            raise InputError(f"{video}: frame {frame} was given already")
        regions = Detections.empty() if ignore is None else ignore
        self.frames[video, frame] = LabelledFrame(found=found, truth=truth, ignore=regions)

    def merge(self, other: "MetricAccumulator") -> "MetricAccumulator":
        """A new object with the frames of both, as after evaluating in several processes."""
        if other.classes != self.classes or other.rate != self.rate:
            raise InputError(f"classes or rates differ: {self.classes} and {other.classes}")
        both = MetricAccumulator(self.classes, rate=self.rate)
        for one in (self, other):
            for (video, frame), seen in one.frames.items():
                both.update(video, frame, found=seen.found, truth=seen.truth, ignore=seen.ignore)
        return both

    def compute_ap(self) -> CocoResult:
        """COCO's numbers over the frames so far."""
        return table_average_precision(self.dataset(), self.predictions())

    def compute(self, settings: EvalSettings | None = None) -> Evaluation:
        """Every number over the frames so far."""
        return evaluate(self.dataset(), self.predictions(), settings=settings)

    def dataset(self) -> Dataset:
        """The truth so far."""
        videos = sorted({video for video, _ in self.frames})
        return Dataset(classes=self.classes, videos=tuple(map(self._video, videos)))

    def predictions(self) -> dict[str, TrackTable]:
        """What was found so far, by video."""
        return {video: self._table(video, "found") for video in sorted({v for v, _ in self.frames})}

    def _video(self, video: str) -> LabelledVideo:
        regions = self._table(video, "ignore")
        regions = replace(regions, ignore=np.ones(len(regions), bool))
        return LabelledVideo(
            source=video,
            info=VideoInfo(path=video, width_px=1, height_px=1, rate=self.rate),
            tracks=TrackTable.concat([self._table(video, "truth"), regions]),
            labelled_frames=np.array([f for v, f in self.frames if v == video], np.int64),
        )

    def _table(self, video: str, column: str) -> TrackTable:
        rows = [
            (frame, float(frame / self.rate), getattr(seen, column))
            for (name, frame), seen in self.frames.items()
            if name == video
        ]
        return TrackTable.from_frames(rows)
