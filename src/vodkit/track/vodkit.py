"""The default tracker: one matching by motion, shape and appearance, and occlusion as a state.

Scores are put in units of the detector first (``score_scale``), so thresholds fit any detector.
High-score detections are matched to all tracks at once. Each track claims a region as wide as its
position is uncertain, so an object that was hidden for a while is searched further away, but has to
be of the right height (after C-BIoU and Hybrid-SORT, whose parts are in ``assign``); appearance
counts, as given or by colours. Low-score detections then go to tracks that expect an object there
(ByteTrack). Unmatched high-score ones may be a lost object, as far away as chance and appearance
allow. Tracks that are still unmatched are explained: something in front, out of the picture, or
unknown.

Two filters follow each object. A steady one averages over a detector's jitter; it carries objects
through occlusions. A quick one follows turns, starts and a moving camera. An object observed one
step ago is expected halfway between the two.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial

import numpy as np

from vodkit.ground.arrays import BoolArray, FloatArray, IntArray
from vodkit.ground.boxes import iou, iou_pairs
from vodkit.ground.errors import SettingsError
from vodkit.ground.records import Detections, Frame, Tracks
from vodkit.track.appearance import NUM_COLOURS, colours
from vodkit.track.appearance_model import MOST, Evidence
from vodkit.track.assign import LEAST, Pairs, buffered, height_iou, match, near, rows_where
from vodkit.track.base import Found, arrange
from vodkit.track.camera_motion import CameraMotion
from vodkit.track.common_motion import LEAST as LEAST_SHARED
from vodkit.track.common_motion import common_shift
from vodkit.track.kalman import SMALLEST_PX, Motion, areas_px, sigma_px
from vodkit.track.lifecycle import Life, Status, expire, give_out, promote, send_away
from vodkit.track.matching import Rounds, look_alike, same_class, straight_on
from vodkit.track.occluders import Occluders
from vodkit.track.occlusion import Occlusion, excuse
from vodkit.track.score_scale import ScoreScale
from vodkit.track.track_table import Book

# Detected boxes jitter, above all in size; people keep their direction for a long while.
MOTION = Motion(
    acceleration=0.4,
    wander=0.07,
    size_acceleration=0.8,
    centre_noise=0.125,
    size_noise=0.25,
    centre_memory_s=16.0,
)
QUICK = Motion(
    acceleration=2.0, wander=0.1, size_acceleration=1.0, centre_noise=0.06, size_noise=0.1
)
LIFE = Life(confirm_s=0.15, confirm_score_s=0.08, tentative_s=0.15, lost_s=4.2, occluded_s=5.0)
LEAST_SIGMA = 0.15
"""nobody's place is known better than this, in sizes, when somebody else may be meant"""
STILL = np.eye(2, 3)
_IS_LOST = np.isin(np.arange(5), (Status.OCCLUDED, Status.LOST))


@dataclass(frozen=True, kw_only=True)
class VodkitSettings:
    """Settings of the default tracker."""

    high: float = 0.5
    """least level (score in the detector's own units, see ``score_scale``) of a detection that
    can be matched to any track"""
    low: float = 0.2
    """detections below this level are not used"""
    new: float = 0.6
    """least level of a detection that begins a track"""
    typical: tuple[float, ...] = ()
    """typical score of each class before any was seen, see ``score_scale``; 0: not known. A run
    takes them from the detector's card"""
    reach: float = 1.8
    """a track's box is enlarged by this many standard deviations of its position for matching"""
    max_buffer: float = 0.3
    """but by no more than this share of its size on each side"""
    min_gain: float = 0.15
    """least overlap of the enlarged boxes, times that of their heights"""
    min_height: float = 0.35
    """least IoU of the vertical extents of track and detection"""
    momentum: float = 0.25
    """weight of going on in the same direction (OC-SORT)"""
    momentum_s: float = 0.3
    """directions are taken over this time"""
    weak_iou: float = 0.3
    """least IoU of a track with a weak detection"""
    weak_velocity: float = 0.5
    """share that is believed of what weak boxes say of velocity: most are cut off by an occluder"""
    weak_side: float = 0.8
    """of a weak box with a side shorter than this share of what is expected the rest is covered:
    its object is where it is expected, or no farther off than that it holds what is seen"""
    weak_again: float = 0.7
    """least IoU of a weak detection with what was seen of a track in the frame before: who has
    stopped half covered looks the same, wherever the whole of it was expected"""
    colours: bool = True
    """look at colours where no embeddings are given, and frames have pixels"""
    looks: float = 0.5
    """weight of what looks say where objects are near each other, in units of overlap"""
    look_memory_s: float = 2.0
    """embeddings of a track are averaged over about this time"""
    surprise: float = 4.0
    """a lost object is looked for as far away as the filter's density of finding it there, in a
    square of its own size, is above exp(-surprise); what looks say counts, too. 0: not at all"""
    height_spread: float = 0.15
    """relative standard deviation of an object's height, between being lost and found"""
    min_likeness: float = 0.7
    """what was away (life.away_s) comes back only above this cosine"""
    duplicate_iou: float = 0.6
    """no track begins with a detection that overlaps a better one of its class, or an object
    observed in this frame, by more than this; real neighbours overlap less"""
    reupdate: bool = False
    """walk a returning track's filter again along a straight line (OC-SORT)"""
    camera_motion: bool = True
    """take the camera's own motion out, where frames have pixels"""
    common_motion: bool = True
    """take the shift that all matched tracks share for the camera's where that is not known, see
    ``common_motion``"""
    class_aware: bool = True
    """an object of one class is never taken for one of another, save by ``class_flip_iou``"""
    class_flip_iou: float = 0.8
    """detectors do change their mind: this much IoU with a track left over is the same object"""
    vote_memory_s: float = 2.0
    """how long an observed class counts in the vote of the track"""
    filtered: bool = False
    """give out the filter's boxes for seen objects too, instead of the detections' own"""
    motion: Motion = field(default_factory=lambda: MOTION)
    quick: Motion = field(default_factory=lambda: QUICK)
    """of a second filter, which follows closely: turns and starts, and a moving camera"""
    life: Life = field(default_factory=lambda: LIFE)
    occlusion: Occlusion = field(default_factory=Occlusion)

    def __post_init__(self) -> None:
        """Check ranges and order."""
        shares = (
            *("high", "low", "new", "min_gain", "min_height", "duplicate_iou"),
            *("weak_iou", "weak_velocity", "weak_side", "weak_again"),
            *("class_flip_iou", "min_likeness"),
        )
        for name in shares:
            if not 0 <= getattr(self, name) <= 1:
                raise SettingsError(f"{name} is {getattr(self, name)}; allowed: 0 to 1")
        for name in ("reach", "max_buffer", "momentum", "looks", "surprise"):
            if not getattr(self, name) >= 0:
                raise SettingsError(f"{name} is {getattr(self, name)}; allowed: 0 or more")
        if not all(0 <= score <= 1 for score in self.typical):
            raise SettingsError(f"typical is {self.typical}; allowed: 0 to 1 each")
        if not self.low <= self.high:
            raise SettingsError(f"low is {self.low}; allowed: up to high ({self.high})")
        for name in ("momentum_s", "vote_memory_s", "look_memory_s", "height_spread"):
            if not getattr(self, name) > 0:
                raise SettingsError(f"{name} is {getattr(self, name)}; allowed: above 0")


class VodkitTracker:
    """See the module; satisfies base.Tracker."""

    def __init__(self, settings: VodkitSettings | None = None) -> None:
        """A tracker for one video."""
        self.settings = settings or VodkitSettings()
        self.book = Book(
            vote_memory_s=self.settings.vote_memory_s,
            look_memory_s=self.settings.look_memory_s,
            reupdate=self.settings.reupdate,
            quick=self.settings.quick,
        )
        self.scale = ScoreScale(self.settings.typical)
        self.occluders = Occluders()
        self.last_motion: FloatArray | None = None
        """the camera's motion before the last step, as given or found"""
        self.camera = CameraMotion()
        self.evidence = Evidence()

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
        found = self._looked_at(frame, detections, embeddings)
        book.advance(frame, s.motion)
        self.last_motion = affine = self._moved(frame, found, camera_motion)
        book.warp(affine)
        self.occluders.warp(affine)
        lost_ids = book.ids[book.status == Status.LOST]
        expire(book, s.life, frame)
        free = self._associate(found)
        book.open(self._fresh(found, free), found, s.motion)
        promote(book, s.life)
        excuse(book, s.occlusion)
        self.occluders.learn(book, lost_ids)
        self.occluders.explain(book)
        return give_out(book, s.life, shown=self._plausible(), filtered=s.filtered)

    def _moved(self, frame: Frame, found: Found, given: FloatArray | None) -> FloatArray | None:
        """The camera's motion (2, 3) since the last frame, as given or from pixels; None: none."""
        if given is not None:
            self.camera.forget()
            return given
        if not self.settings.camera_motion:
            return None
        if len(self.book):
            return self.camera.step(frame, found.boxes_xyxy)
        self.camera.look(frame)
        return None

    def _looked_at(
        self, frame: Frame, detections: Detections, embeddings: FloatArray | None
    ) -> Found:
        """Detections with what they look like: as given or, while nobody gives any, by colours."""
        levels = self.scale.step(detections, high=self.settings.high)
        found = arrange(detections, embeddings, min_score=self.settings.low, levels=levels)
        known = self.book.looks.shape[1]
        own = self.settings.colours and embeddings is None and known in {0, NUM_COLOURS}
        if own and frame.has_pixels:
            found = found._replace(looks=colours(frame, found.boxes_xyxy))
        size = found.looks.shape[1]
        if size and known and size != known:  # of another kind: they cannot be compared
            self.book.forget_looks()
            self.evidence = Evidence()
        return found

    def _associate(self, found: Found) -> IntArray:
        """Tell tracks what they are; gives the strong detections that are nobody's."""
        book, s = self.book, self.settings
        rounds = Rounds(book, found)
        num_strong = int(np.count_nonzero(found.levels >= s.high))  # they come first
        if len(book) and len(found.scores):
            more = partial(self._beyond_overlap, found)
            for tries_left in (2, 1, 0):
                pairs, gain, good = self._claims(found)
                status, strong = book.status[pairs.rows], pairs.cols < num_strong
                same = same_class(book, found, pairs) if s.class_aware else np.ones_like(good)
                young = status == Status.TENTATIVE
                claimed = good & same & strong
                rounds.settle(pairs, gain, claimed & ~young, more=more)
                if not (tries_left and self._follow_camera(found, rounds.told)):
                    break
                rounds = Rounds(book, found)
            weak = ~strong & (status == Status.CONFIRMED) & same
            rounds.settle_by_overlap(pairs, weak, least=s.weak_iou)
            weak &= book.missed[pairs.rows] == 1
            rounds.settle_by_overlap(pairs, weak, least=s.weak_again, boxes_xyxy=book.seen_xyxy)
            rounds.settle(pairs, gain, claimed & young, more=more)
            rounds.settle_by_overlap(pairs, strong, least=s.class_flip_iou)
            self.evidence.learn(book, found, rounds.told)
            self._observe(found, rounds.told)
        free = rounds.free_cols
        free = free[free < num_strong]
        if s.surprise:
            free = self._recover(found, free)
        return self._return(found, free) if s.life.away_s else free

    def _follow_camera(self, found: Found, told: Pairs) -> bool:
        """Move all tracks by the shift that the matched ones share; whether there was one.

        Where the camera's motion is known, what they share besides is their own.
        """
        book = self.book
        if not self.settings.common_motion or len(told.rows) < LEAST_SHARED:
            return False
        if self.last_motion is not None and not np.array_equal(self.last_motion, STILL):
            return False
        just = book.missed[told.rows] == 1
        just &= book.status[told.rows] == Status.CONFIRMED
        rows, cols = told.where(just)
        off = found.boxes_xyxy[cols] - book.expected_xyxy[rows]
        shift = common_shift((off[:, :2] + off[:, 2:]) / 2, areas_px(book.mean)[rows, 0])
        if shift is None:
            return False
        book.warp(shift)
        self.occluders.warp(shift)
        return True

    def _observe(self, found: Found, told: Pairs) -> None:
        """Tell the tracks what they are, and of weak boxes only what can be believed.

        A box that is cut off along an axis lies within its object, and that is all it says there:
        nothing where its object is expected around it; where it sticks out, that edge is true.
        """
        book, s = self.book, self.settings
        weak = found.levels[told.cols] < s.high
        if not np.count_nonzero(weak):
            book.observe(told, found, s.motion)
            return
        ours, theirs = book.expected_xyxy[told.rows], found.boxes_xyxy[told.cols]
        short = theirs[:, 2:] - theirs[:, :2] < s.weak_side * (ours[:, 2:] - ours[:, :2])
        cut_off = short & weak[:, None]
        if not np.count_nonzero(cut_off):
            book.observe(told, found, s.motion, steady=np.where(weak, s.weak_velocity, 1.0))
            return
        out = theirs - ours
        shift = np.minimum(out[:, :2], 0) + np.maximum(out[:, 2:], 0)
        true_edge = (cut_off & (shift != 0)).any(axis=1)
        book.observe(
            told,
            found,
            s.motion,
            steady=np.where(weak & ~true_edge, s.weak_velocity, 1.0),
            boxes_xyxy=np.where(np.tile(cut_off, 2), ours + np.tile(shift, 2), theirs),
            silent=cut_off & (shift == 0),
        )

    def _claims(self, found: Found) -> tuple[Pairs, FloatArray, BoolArray]:
        """Overlap of boxes that are as much enlarged as the position is uncertain.

        Gives the pairs that meet, what speaks for each (P,), and whether it is enough.
        """
        book, s = self.book, self.settings
        boxes, seen = book.expected_xyxy, found.boxes_xyxy
        unsure = sigma_px(book.cov)[:, None] / np.sqrt(areas_px(book.mean))
        buffer = np.minimum(s.reach * unsure, s.max_buffer)
        grown = buffered(boxes, buffer)
        pairs = near(grown, buffered(seen, float(buffer.max())))
        if np.count_nonzero(book.status == Status.AWAY):
            pairs = pairs.where(book.status[pairs.rows] != Status.AWAY)
        rows, cols = pairs
        ours, theirs = boxes.take(rows, axis=0), seen.take(cols, axis=0)
        height = height_iou(ours, theirs)
        theirs = buffered(theirs, buffer.take(rows, axis=0))
        gain = height * iou_pairs(grown.take(rows, axis=0), theirs)
        good = (gain >= s.min_gain) & (height >= s.min_height)
        return pairs, np.maximum(gain, LEAST), good

    def _beyond_overlap(self, found: Found, pairs: Pairs) -> FloatArray:
        """What speaks for each pair (P,) beside the place of its boxes: looks and direction."""
        book, s = self.book, self.settings
        more = s.looks / MOST * self.evidence.of(book, found, pairs)
        if s.momentum:
            more = more + s.momentum * straight_on(
                book, found, pairs, span_s=s.momentum_s, noise=s.quick.centre_noise
            )
        return more

    def _recover(self, found: Found, cols: IntArray) -> IntArray:
        """Match who was lost with detections farther off than anybody's claim reaches.

        Gives the detections that still are nobody's. A detection is a lost object where the filter
        would rather find that one there than be surprised by a stranger: its density over place
        and height, in units of the object's size, times what looks say, is above exp(-surprise).
        """
        book, s = self.book, self.settings
        rows = rows_where(_IS_LOST[book.status] & self._plausible())
        sure = cols[found.levels[cols] >= s.new]
        if len(rows) == 0 or len(sure) == 0:
            return cols
        pairs = Pairs(np.repeat(rows, len(sure)), np.tile(sure, len(rows)))
        if s.class_aware:
            pairs = pairs.where(same_class(book, found, pairs))
        gain = s.surprise - self._surprise(found, pairs)
        back = match(pairs, gain)
        book.observe(back, found, s.motion)
        return cols[~np.isin(cols, back.cols)]

    def _surprise(self, found: Found, pairs: Pairs) -> FloatArray:
        """Minus the logarithm of the density (P,) of finding each pair's track at its detection."""
        book = self.book
        ours, theirs = book.expected_xyxy[pairs.rows], found.boxes_xyxy[pairs.cols]
        size = np.sqrt(areas_px(book.mean))[pairs.rows, 0]
        unsure = np.hypot(sigma_px(book.cov)[pairs.rows] / size, LEAST_SIGMA)
        # Feet and the middle: they stay what they are where a box is cut off from above.
        across = (ours[:, 0] + ours[:, 2] - theirs[:, 0] - theirs[:, 2]) / 2
        off = np.hypot(across, ours[:, 3] - theirs[:, 3]) / size / unsure
        heights = [np.maximum(box[:, 3] - box[:, 1], SMALLEST_PX) for box in (ours, theirs)]
        taller = np.log(heights[1] / heights[0]) / self.settings.height_spread
        place = (off**2 + taller**2) / 2 + np.log(2 * np.pi * unsure**2)
        return np.asarray(place - self.evidence.of(book, found, pairs))

    def _return(self, found: Found, cols: IntArray) -> IntArray:
        """Match what was away, by looks alone; gives the detections that still are nobody's."""
        book, s = self.book, self.settings
        rows = rows_where(book.status == Status.AWAY)
        pairs = Pairs(np.repeat(rows, len(cols)), np.tile(cols, len(rows)))
        alike = look_alike(book, found, pairs)
        good = (alike >= s.min_likeness) & (self.evidence.of(book, found, pairs) >= 0)
        good &= same_class(book, found, pairs)
        back = match(pairs.where(good), alike[good])
        book.restart(back, found, s.motion)
        return cols[~np.isin(cols, back.cols)]

    def _fresh(self, found: Found, cols: IntArray) -> IntArray:
        """Detections that begin a track: of a high level, and not a second box of an object."""
        book, s = self.book, self.settings
        cols = cols[found.levels[cols] >= s.new]
        if len(cols) == 0:
            return cols
        observed = book.missed == 0
        boxes, labels = found.boxes_xyxy[cols], found.labels[cols]
        rivals = labels[:, None] == np.concatenate([book.labels[observed], labels])
        before = rivals.shape[1] - len(cols)  # observed objects; then new ones, the best first
        rivals &= np.tri(len(cols), rivals.shape[1], before - 1, dtype=bool)
        overlap = iou(boxes, np.concatenate([book.seen_xyxy[observed], boxes]))
        return cols[~np.any(rivals & (overlap > s.duplicate_iou), axis=1)]

    def _plausible(self) -> BoolArray:
        """Predictions reach no further into the future than observations into the past."""
        book = self.book
        return np.asarray(book.now_s - book.seen_s <= book.seen_s - book.born_s)

    def notice_cut(self) -> None:
        """A new shot begins: all tracks end, or wait for somebody who looks like them."""
        send_away(self.book, self.settings.life)
        self.camera.forget()
        self.occluders.forget()

    def state_dict(self) -> dict[str, np.ndarray]:
        """All that the tracker knows."""
        parts = (self.camera, self.evidence, self.scale, self.occluders)
        state = self.book.state_dict()
        return {k: v for one in parts for k, v in one.state_dict().items()} | state

    def load_state(self, state: Mapping[str, np.ndarray]) -> None:
        """Go on where ``state_dict`` was taken."""
        self.book.load_state(state)
        self.camera.load_state(state)
        self.evidence.load_state(state)
        self.scale.load_state(state)
        self.occluders.load_state(state)
