"""SORT: a Kalman filter, IoU and the Hungarian method (Bewley et al. 2016, arXiv 1602.00763).

The simplest tracker there is, as a baseline: an object that is not seen is forgotten at once.
"""

from dataclasses import dataclass, field

from vodkit.ground.arrays import FloatArray
from vodkit.ground.errors import SettingsError
from vodkit.ground.lookup import pick
from vodkit.ground.records import Detections, Frame, Tracks
from vodkit.track.assign import OVERLAPS
from vodkit.track.base import arrange
from vodkit.track.kalman import Motion
from vodkit.track.lifecycle import Life, expire, give_out, promote
from vodkit.track.matching import Rounds, overlapping
from vodkit.track.track_table import Book, Booked


@dataclass(frozen=True, kw_only=True)
class SortSettings:
    """Settings of SORT."""

    score: float = 0.5
    """detections below this score are not looked at"""
    match_iou: float = 0.3
    """least IoU of a track with its detection"""
    overlap: str = "iou"
    """how overlap is measured: iou, giou, biou (of boxes enlarged by 0.3 of their size)"""
    class_aware: bool = True
    """an object of one class is never taken for one of another"""
    motion: Motion = field(default_factory=Motion)
    life: Life = field(
        default_factory=lambda: Life(lost_s=0.1, occluded_s=0.1, coast_s=0, coast_occluded_s=0)
    )

    def __post_init__(self) -> None:
        """Check ranges."""
        pick(OVERLAPS, self.overlap, "overlap")
        for name in ("score", "match_iou"):
            if not 0 <= getattr(self, name) <= 1:
                raise SettingsError(f"{name} is {getattr(self, name)}; allowed: 0 to 1")


class Sort(Booked):
    """See the module; satisfies base.Tracker."""

    def __init__(self, settings: SortSettings | None = None) -> None:
        """A tracker for one video."""
        self.settings = settings or SortSettings()
        self.book = Book()

    def step(
        self,
        frame: Frame,
        detections: Detections,
        *,
        embeddings: FloatArray | None = None,
        camera_motion: FloatArray | None = None,
    ) -> Tracks:
        """The tracks of ``frame``; embeddings are not used."""
        del embeddings
        book, s = self.book, self.settings
        found = arrange(detections, None, min_score=s.score)
        book.advance(frame, s.motion)
        book.warp(camera_motion)
        expire(book, s.life, frame)
        pairs, overlap, may = overlapping(book, found, class_aware=s.class_aware, by=s.overlap)
        rounds = Rounds(book, found)
        rounds.settle(pairs, overlap, may & (overlap >= s.match_iou))
        book.observe(rounds.told, found, s.motion)
        book.open(rounds.free_cols, found, s.motion)
        promote(book, s.life)
        return give_out(book, s.life)
