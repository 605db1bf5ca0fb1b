"""AP on the frames of low quality, where a detector that remembers other frames can gain.

Which frames these are is known beforehand (``video.sharpness``, or a file), never from predictions.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from vodkit.ground.arrays import BoolArray, IntArray
from vodkit.metrics.clips import Clip
from vodkit.metrics.detection.ap import CocoScores, summarise
from vodkit.metrics.detection.coco_engine import evaluate_grid
from vodkit.metrics.detection.columns import BoxColumns
from vodkit.metrics.detection.match import Verdicts, coco_verdicts


@dataclass(frozen=True, kw_only=True)
class LowQualityScores:
    """AP on the evaluated frames of low quality, and on the others; None without truth there."""

    num_frames: int
    """evaluated frames of low quality"""
    num_truth: int
    """truth boxes in them"""
    ap50: float | None
    ap: float | None
    ap50_others: float | None
    """AP50 on the other evaluated frames"""
    frames_sha256: str
    """of the frames: numbers of two runs are compared where it is equal"""


class LowQuality:
    """The evaluated frames of low quality, and the boxes in them."""

    def __init__(
        self,
        clips: Sequence[Clip],
        columns: tuple[BoxColumns, BoxColumns],
        low: Mapping[str, IntArray],
        num_classes: int,
    ) -> None:
        """What is evaluated.

        Args:
            clips: the videos.
            columns: truth and predictions of all evaluated frames, numbered over all videos.
            low: frames of low quality, by video; not all of them need be evaluated.
            num_classes: number of classes.
        """
        none = np.zeros(0, np.int64)
        masks = [np.isin(clip.frames, low.get(clip.name, none)) for clip in clips]
        self._is_low = np.concatenate(masks) if masks else np.zeros(0, bool)
        self._columns, self._num_classes = columns, num_classes
        digest = hashlib.sha256()
        for clip, mask in zip(clips, masks, strict=True):
            digest.update(f"{clip.name}|{clip.frames[mask].tolist()}|".encode())
        self._sha256 = digest.hexdigest()

    def verdicts(self) -> Verdicts:
        """Matches at IoU 0.5, pictures numbered as all evaluated frames are."""
        truth, found = self._boxes_in(self._is_low)
        return coco_verdicts(
            truth, found, num_classes=self._num_classes, thresholds=np.array([0.5])
        )

    def scores(self, engine: str) -> LowQualityScores:
        """AP of these frames and of the others."""
        low, others = (self._summary(chosen, engine) for chosen in (self._is_low, ~self._is_low))
        truth, _ = self._boxes_in(self._is_low)
        return LowQualityScores(
            num_frames=int(self._is_low.sum()),
            num_truth=int((~truth.ignore).sum()),
            ap50=low.ap50,
            ap=low.ap,
            ap50_others=others.ap50,
            frames_sha256=self._sha256,
        )

    def _summary(self, chosen: BoolArray, engine: str) -> CocoScores:
        truth, found = self._boxes_in(chosen)
        grid = evaluate_grid(
            truth, found, num_images=len(chosen), num_classes=self._num_classes, engine=engine
        )
        return summarise(grid, tuple(map(str, range(self._num_classes)))).overall

    def _boxes_in(self, chosen: BoolArray) -> tuple[BoxColumns, BoxColumns]:
        truth, found = self._columns
        return truth[chosen[truth.images]], found[chosen[found.images]]
