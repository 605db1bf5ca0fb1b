"""BoT-SORT: ByteTrack with the camera's motion taken out, and looks (Aharon et al. 2022).

Paper: arXiv 2206.14651. The camera's motion is used where frames have pixels, looks where
embeddings are given; without both it is ByteTrack with its own thresholds.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from vodkit.ground.arrays import FloatArray
from vodkit.ground.errors import SettingsError
from vodkit.ground.lookup import pick
from vodkit.ground.records import Detections, Frame, Tracks
from vodkit.track.assign import OVERLAPS, Pairs
from vodkit.track.base import Found, arrange
from vodkit.track.camera_motion import CameraMotion
from vodkit.track.kalman import Motion
from vodkit.track.lifecycle import Life, Status, expire, give_out, promote
from vodkit.track.matching import Rounds, look_alike, overlapping
from vodkit.track.track_table import Book


@dataclass(frozen=True, kw_only=True)
class BotSortSettings:
    """Settings of BoT-SORT."""

    high: float = 0.6
    """detections of this score take part in the first round"""
    low: float = 0.1
    """detections below this score are not looked at"""
    new: float = 0.7
    """a new track begins with at least this score"""
    match_iou: float = 0.2
    """least IoU times score in the first round"""
    weak_iou: float = 0.5
    """least IoU in the second round"""
    overlap: str = "iou"
    """how overlap is measured: iou, giou, biou (of boxes enlarged by 0.3 of their size)"""
    min_likeness: float = 0.75
    """looks speak for a pair only above this cosine"""
    min_looks_iou: float = 0.05
    """and only where the boxes overlap at least this much"""
    camera_motion: bool = True
    """take the camera's own motion out, where frames have pixels"""
    class_aware: bool = True
    """an object of one class is never taken for one of another"""
    motion: Motion = field(default_factory=Motion)
    life: Life = field(default_factory=Life)

    def __post_init__(self) -> None:
        """Check ranges and order."""
        pick(OVERLAPS, self.overlap, "overlap")
        for name in ("high", "low", "new", "match_iou", "weak_iou", "min_likeness"):
            if not 0 <= getattr(self, name) <= 1:
                raise SettingsError(f"{name} is {getattr(self, name)}; allowed: 0 to 1")
        if self.low > self.high:
            raise SettingsError(f"low is {self.low}; allowed: up to high ({self.high})")


class BotSort:
    """See the module; satisfies base.Tracker."""

    def __init__(self, settings: BotSortSettings | None = None) -> None:
        """A tracker for one video."""
        self.settings = settings or BotSortSettings()
        self.book = Book()
        self.camera = CameraMotion()
        self.last_motion: FloatArray | None = None
        """the camera's motion before the last step, as given or found"""

    def step(
        self,
        frame: Frame,
        detections: Detections,
        *,
        embeddings: FloatArray | None = None,
        camera_motion: FloatArray | None = None,
    ) -> Tracks:
        """Who is in ``frame``."""
        book, s = self.book, self.settings
        found = arrange(detections, embeddings, min_score=s.low)
        book.advance(frame, s.motion)
        if camera_motion is not None:
            self.camera.forget()
        elif s.camera_motion:
            camera_motion = self.camera.step(frame, found.boxes_xyxy)
        self.last_motion = camera_motion
        book.warp(camera_motion)
        expire(book, s.life, frame)
        pairs, overlap, may = overlapping(book, found, class_aware=s.class_aware, by=s.overlap)
        status, score = book.status[pairs.rows], found.scores[pairs.cols]
        strong, young = may & (score >= s.high), status == Status.TENTATIVE
        gain = self._with_looks(found, pairs, overlap)
        strong &= gain >= s.match_iou
        rounds = Rounds(book, found)
        rounds.settle(pairs, gain, strong & ~young)
        weak = may & (score < s.high) & (status == Status.CONFIRMED)
        rounds.settle(pairs, overlap, weak & (overlap >= s.weak_iou))
        rounds.settle(pairs, gain, strong & young)
        book.observe(rounds.told, found, s.motion)
        free = rounds.free_cols
        book.open(free[found.scores[free] >= max(s.new, s.high)], found, s.motion)
        promote(book, s.life)
        return give_out(book, s.life)

    def _with_looks(self, found: Found, pairs: Pairs, overlap: FloatArray) -> FloatArray:
        """The better of overlap (times score) and looks, (P,)."""
        s = self.settings
        alike = look_alike(self.book, found, pairs)
        alike = np.where((alike >= s.min_likeness) & (overlap >= s.min_looks_iou), alike, 0)
        return np.maximum(overlap * found.scores[pairs.cols], alike)

    def notice_cut(self) -> None:
        """A new shot begins: all tracks end."""
        self.book.clear()
        self.camera.forget()

    def state_dict(self) -> dict[str, np.ndarray]:
        """All that the tracker knows."""
        return self.book.state_dict() | self.camera.state_dict()

    def load_state(self, state: Mapping[str, np.ndarray]) -> None:
        """Go on where ``state_dict`` was taken."""
        self.book.load_state(state)
        self.camera.load_state(state)
