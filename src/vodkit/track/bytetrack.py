"""ByteTrack: strong detections first, then weak ones for the tracks that are left.

Weak boxes are mostly people half hidden, not noise, when a track expects somebody there (Zhang et
al. 2022, arXiv 2110.06864). Here it is class-aware, in seconds, and gives out predicted boxes.
"""

from dataclasses import dataclass, field

from vodkit.ground.arrays import FloatArray
from vodkit.ground.errors import SettingsError
from vodkit.ground.lookup import pick
from vodkit.ground.records import Detections, Frame, Tracks
from vodkit.track.assign import OVERLAPS
from vodkit.track.base import arrange
from vodkit.track.kalman import Motion
from vodkit.track.lifecycle import Life, Status, expire, give_out, promote
from vodkit.track.matching import Rounds, overlapping
from vodkit.track.track_table import Book, Booked


@dataclass(frozen=True, kw_only=True)
class ByteTrackSettings:
    """Settings of ByteTrack; the defaults are the paper's, with frames at 30 per second."""

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
    tentative_iou: float = 0.3
    """least IoU times score for tracks that are not confirmed"""
    overlap: str = "iou"
    """how overlap is measured: iou, giou, biou (of boxes enlarged by 0.3 of their size)"""
    class_aware: bool = True
    """an object of one class is never taken for one of another"""
    motion: Motion = field(default_factory=Motion)
    life: Life = field(default_factory=Life)

    def __post_init__(self) -> None:
        """Check ranges and order."""
        pick(OVERLAPS, self.overlap, "overlap")
        for name in ("high", "low", "new", "match_iou", "weak_iou", "tentative_iou"):
            if not 0 <= getattr(self, name) <= 1:
                raise SettingsError(f"{name} is {getattr(self, name)}; allowed: 0 to 1")
        if self.low > self.high:
            raise SettingsError(f"low is {self.low}; allowed: up to high ({self.high})")


class ByteTrack(Booked):
    """See the module; satisfies base.Tracker."""

    def __init__(self, settings: ByteTrackSettings | None = None) -> None:
        """A tracker for one video."""
        self.settings = settings or ByteTrackSettings()
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
        found = arrange(detections, None, min_score=s.low)
        book.advance(frame, s.motion)
        book.warp(camera_motion)
        expire(book, s.life, frame)
        pairs, overlap, may = overlapping(book, found, class_aware=s.class_aware, by=s.overlap)
        status, score = book.status[pairs.rows], found.scores[pairs.cols]
        strong, young = may & (score >= s.high), status == Status.TENTATIVE
        gain = overlap * score
        rounds = Rounds(book, found)
        rounds.settle(pairs, gain, strong & ~young & (gain >= s.match_iou))
        weak = may & (score < s.high) & (status == Status.CONFIRMED)
        rounds.settle(pairs, overlap, weak & (overlap >= s.weak_iou))
        rounds.settle(pairs, gain, strong & young & (gain >= s.tentative_iou))
        book.observe(rounds.told, found, s.motion)
        free = rounds.free_cols
        book.open(free[found.scores[free] >= max(s.new, s.high)], found, s.motion)
        promote(book, s.life)
        return give_out(book, s.life)
