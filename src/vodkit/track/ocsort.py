"""OC-SORT: trust observations more than the filter (Cao et al. 2023, arXiv 2203.14360).

Three parts: momentum of observations speaks in the matching (OCM), a track that comes back has
its filter walked again along a straight line (ORU), and what did not match where it was expected
is looked for where it was last seen (OCR).
"""

from dataclasses import dataclass, field

from vodkit.ground.arrays import FloatArray
from vodkit.ground.errors import SettingsError
from vodkit.ground.lookup import pick
from vodkit.ground.records import Detections, Frame, Tracks
from vodkit.track.assign import OVERLAPS, Pairs, near
from vodkit.track.base import Found, arrange
from vodkit.track.kalman import Motion
from vodkit.track.lifecycle import Life, expire, give_out, promote
from vodkit.track.matching import Rounds, overlapping, same_class, straight_on
from vodkit.track.track_table import Book, Booked


@dataclass(frozen=True, kw_only=True)
class OcSortSettings:
    """Settings of OC-SORT."""

    score: float = 0.5
    """detections below this score are not looked at"""
    match_iou: float = 0.3
    """least IoU of a track with its detection"""
    overlap: str = "iou"
    """how overlap is measured: iou, giou, biou (of boxes enlarged by 0.3 of their size)"""
    momentum: float = 0.2
    """weight of the direction of movement against the IoU"""
    momentum_s: float = 0.1
    """directions are taken over this time"""
    class_aware: bool = True
    """an object of one class is never taken for one of another"""
    motion: Motion = field(default_factory=Motion)
    life: Life = field(default_factory=Life)

    def __post_init__(self) -> None:
        """Check ranges."""
        pick(OVERLAPS, self.overlap, "overlap")
        for name in ("score", "match_iou", "momentum"):
            if not 0 <= getattr(self, name) <= 1:
                raise SettingsError(f"{name} is {getattr(self, name)}; allowed: 0 to 1")
        if not self.momentum_s > 0:
            raise SettingsError(f"momentum_s is {self.momentum_s}; allowed: above 0")


class OcSort(Booked):
    """See the module; satisfies base.Tracker."""

    def __init__(self, settings: OcSortSettings | None = None) -> None:
        """A tracker for one video."""
        self.settings = settings or OcSortSettings()
        self.book = Book(reupdate=True)

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
        rounds = Rounds(book, found)
        pairs, overlap, may = overlapping(book, found, class_aware=s.class_aware, by=s.overlap)
        may &= overlap >= s.match_iou
        rounds.settle(pairs, overlap, may, more=lambda rivals: self._momentum(found, rivals))
        late = near(book.seen_xyxy, found.boxes_xyxy)
        may = same_class(book, found, late) | (not s.class_aware)
        rounds.settle_by_overlap(late, may, least=s.match_iou, boxes_xyxy=book.seen_xyxy)
        book.observe(rounds.told, found, s.motion)
        book.open(rounds.free_cols, found, s.motion)
        promote(book, s.life)
        return give_out(book, s.life)

    def _momentum(self, found: Found, pairs: Pairs) -> FloatArray:
        """What it counts (P,) that the way to the detection goes on as it went so far."""
        s = self.settings
        straight = straight_on(self.book, found, pairs, span_s=s.momentum_s)
        return s.momentum * straight * found.scores[pairs.cols]
