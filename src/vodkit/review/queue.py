"""What to review next, and why; and what the reviewed sample says about the rest.

Every item names a stretch of frames, mostly of one track, and the reason in words. Items are sorted
by how likely they are errors that matter: identities first, then missing and surplus objects, then
poor boxes, then a random sample, from which the share of errors in the rest is estimated.
"""

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from vodkit.formats.keyframes import runs
from vodkit.ground.arrays import BoolArray, FloatArray, IntArray
from vodkit.ground.boxes import iou, iou_pairs
from vodkit.ground.records import TrackTable
from vodkit.review.appearance import Appearance
from vodkit.review.continuations import MARGIN, Continuation, continuations, in_mid_picture
from vodkit.review.curve import Known, Shown, Track, evaluate
from vodkit.review.document import Document, Timing
from vodkit.review.journal import Entry
from vodkit.review.project import IMPORT, MODEL, Project

SAMPLED = 0.02
_Z95 = 1.959964
_SURE = 100.0  # what appearance shows comes before what motion suggests


@dataclass(frozen=True, kw_only=True)
class Doubt:
    """One item of the queue."""

    kind: str
    """a name in KINDS"""
    why: str
    frame: int
    """the frame to show"""
    first: int
    last: int
    track: int | None = None
    other: int | None = None
    """the second of two tracks"""
    score: float = 0.0
    """within a kind, higher first"""


KINDS = (
    "audit", "swap", "double", "unlikely", "teleport", "missing", "end", "surplus", "shape", "edge",
    "weak", "sample",
)  # fmt: skip
"""in the order of the queue"""
IDENTITIES = frozenset({"swap", "double", "unlikely", "teleport", "missing", "end", "surplus"})
"""kinds that ask which object a box is, or whether there is one; the others ask where it is"""


@dataclass(frozen=True, kw_only=True)
class QueueSettings:
    """When something is doubtful."""

    near_iou: float = 0.2
    """overlap from which two tracks can have been swapped"""
    look_s: float = 0.6
    """time before and after an encounter that speeds are taken from"""
    double_iou: float = 0.6
    """mean overlap from which two tracks are on one object, over ``double_s`` at least"""
    double_s: float = 1.0
    jump: float = 0.6
    """step from frame to frame, in box diagonals, that no object takes"""
    margin: float = MARGIN
    """a box this near the picture's edge (share of the side) may have left it"""
    sure: float = 0.6
    """score from which a detection without a label is an item"""
    weak: float = 0.35
    """mean score below which a stretch is weak"""
    least_s: float = 0.3
    """shorter stretches of missing, surplus or weak boxes are no items"""
    unlikely: float = 0.75
    """mean score, as a share of the median track's, below which a track may be no object"""
    shape: float = 0.3
    """change of the ratio of width to height, against the track's median, in logarithms"""
    same_iou: float = 0.3
    """overlap from which a detection and a label are the same object"""


def review_queue(project: Project, video: int) -> dict[str, Any]:
    """The items of a video, and the estimate, as JSON values."""
    document, subject = project.journal.document, project.subjects[video]
    size = (subject.info.width_px, subject.info.height_px)
    detections, appearance = project.detections.get(video), project.appearance.get(video)
    items = doubts(document, video, size, detections, appearance=appearance)
    accepted = document.accepted(video)
    found = [
        Doubt(kind="audit", why=one.words, frame=one.frame, first=one.frame, last=one.frame)
        for one in project.findings
        if one.video == video and not any(a <= one.frame <= b for a, b in accepted)
    ]
    return {
        "items": [asdict(item) for item in (*found, *items)],
        "estimate": estimate(document, video, project.journal.entries, project.journal.undone)
        if items or accepted
        else "",
    }


def doubts(
    document: Document,
    video: int,
    size_px: tuple[int, int],
    detections: TrackTable | None = None,
    settings: QueueSettings | None = None,
    *,
    appearance: Appearance | None = None,
) -> list[Doubt]:
    """Everything doubtful in a video, outside its accepted frames, the most urgent first.

    Args:
        document: the labels.
        video: number of the video.
        size_px: width and height of its picture.
        detections: what a detector finds by itself, where that is known.
        settings: thresholds.
        appearance: embeddings of detections, by which swaps are seen that motion cannot tell.
    """
    view = _View.of(document, video, size_px, settings or QueueSettings())
    found = [*view.swaps(appearance), *view.unlikely(), *view.teleports(),
             *view.ends(continuations(document, video, size_px)),
             *view.shapes(), *view.weak()]  # fmt: skip
    if detections is not None:
        found += [*view.missing(detections), *view.surplus(detections)]
    found += [
        Doubt(kind="sample", why="random sample", frame=f, first=f, last=f)
        for f in sampled(video, document.timings[video].num_frames)
        if view.tracks or detections is not None  # there is something to check
    ]
    open_items = [item for item in found if not view.accepted[item.first : item.last + 1].all()]
    return sorted(open_items, key=lambda one: (KINDS.index(one.kind), -one.score, one.first))


def sampled(video: int, num_frames: int) -> list[int]:
    """2 % of the frames, 10 at least, the same ones every time."""
    count = min(num_frames, max(10, round(SAMPLED * num_frames)))
    rng = np.random.default_rng(video)
    return sorted(rng.choice(num_frames, count, replace=False).tolist())


def estimate(document: Document, video: int, entries: list[Entry], undone: set[int]) -> str:
    """What the accepted frames of the random sample say about the frames not accepted.

    The interval is Wilson's, at 95 %.
    """
    accepted = document.accepted(video)
    seen = [
        frame
        for frame in sampled(video, document.timings[video].num_frames)
        if any(first <= frame <= last for first, last in accepted)
    ]
    if not seen:
        return "Accept the random sample, corrected or not, for an estimate of the errors."
    touched = set(_touched(entries, video, undone))
    wrong = sum(frame in touched for frame in seen)
    low, high = wilson(wrong, len(seen))
    interval = f"{100 * low:.1f} to {100 * high:.0f} %"
    return (
        f"{len(seen)} of the sample seen, {wrong} changed: {interval} of the rest are wrong (95 %)"
    )


def wilson(hits: int, count: int) -> tuple[float, float]:
    """Wilson's 95 % interval of a share.

    >>> [round(100 * x, 1) for x in wilson(3, 40)]
    [2.6, 19.9]
    """
    share, z2 = hits / count, _Z95**2 / count
    middle = (share + z2 / 2) / (1 + z2)
    half = _Z95 * math.sqrt(share * (1 - share) / count + z2 / (4 * count)) / (1 + z2)
    return max(middle - half, 0.0), min(middle + half, 1.0)


def _touched(entries: list[Entry], video: int, undone: set[int]) -> Iterator[int]:
    """Frames in which a person changed a label because of what that frame showed.

    A track that is deleted in one frame was wrong in others, too, but is not any more.
    """
    for entry in entries:
        action = entry.action
        if entry.who in {IMPORT, MODEL} or entry.n in undone or action.get("video") != video:
            continue
        seen = action.get("seen", action.get("frame"))
        if action["do"] == "span" and action["kind"] != "outside":
            yield from range(action["first"], action["last"] + 1)
        elif type(seen) is int and any(part[0] == "track" for part in entry.after):
            yield seen
        elif type(seen) is not int:  # an action of an earlier version
            for value in entry.before.values():
                if isinstance(value, Track):
                    yield from range(value.extent[0], value.extent[1] + 1)


@dataclass(frozen=True)
class _View:
    """All shown boxes of a video."""

    timing: Timing
    size_px: tuple[int, int]
    accepted: BoolArray
    shown: dict[int, Shown]
    tracks: dict[int, Track]
    settings: QueueSettings
    rows: "_Rows"

    @classmethod
    def of(
        cls, document: Document, video: int, size_px: tuple[int, int], settings: QueueSettings
    ) -> "_View":
        timing = document.timings[video]
        every = np.arange(timing.num_frames)
        accepted = np.zeros(timing.num_frames, np.bool_)
        for first, last in document.accepted(video):
            accepted[first : last + 1] = True
        tracks = {n: t for n, t in document.tracks(video).items() if not t.ignore}
        shown = {
            number: evaluate(track, every, timing.times_s, reach_s=timing.reach_s)
            for number, track in tracks.items()
        }
        rows = _Rows.of(shown, timing.num_frames)
        return cls(timing, size_px, accepted, shown, tracks, settings, rows)

    def swaps(self, appearance: Appearance | None = None) -> Iterator[Doubt]:
        """Encounters after which the two tracks continue each other's way better than their own.

        Or have each other's appearance, where that is known.
        """
        for one, two in self.rows.pairs(self.settings.near_iou):
            yield from self._encounters(one, two, appearance)

    def _encounters(self, one: int, two: int, appearance: Appearance | None) -> Iterator[Doubt]:
        a, b = self.shown[one], self.shown[two]
        both, of_a, of_b = np.intersect1d(a.frames, b.frames, return_indices=True)
        overlap = iou_pairs(a.boxes_xyxy[of_a], b.boxes_xyxy[of_b])
        near = overlap >= self.settings.near_iou
        for stretch in runs(both[near], step=3):
            met = both[near][stretch]
            first, last = int(met[0]), int(met[-1])
            where = {"first": first, "last": last, "track": one, "other": two}
            mean = float(overlap[near][stretch].mean())
            long_s = self.timing.times_s[last] - self.timing.times_s[first]
            if mean >= self.settings.double_iou and long_s >= self.settings.double_s:
                words = f"tracks {one} and {two} are on the same object"
                yield Doubt(kind="double", why=words, frame=first, score=mean, **where)
                continue
            ratio, seen = self._exchange(a, b, first, last), 0.0
            if appearance is not None:
                seen = appearance.exchange(a, b, first, last, self.timing.times_s)
            words = f"tracks {one} and {two} meet; may have swapped"
            if seen > 0:
                words = f"tracks {one} and {two} meet; by their appearance they have swapped"
                ratio = _SURE + seen
            if ratio > 0:
                yield Doubt(kind="swap", why=words, frame=last, score=ratio, **where)

    def _exchange(self, a: Shown, b: Shown, first: int, last: int) -> float:
        """How much better the exchanged continuation fits; 0: the own one fits better."""
        before = [self._way(x, first, -1) for x in (a, b)]
        after = [self._way(x, last, 1) for x in (a, b)]
        if any(way is None for way in (*before, *after)):
            return 0.1  # one of them begins or ends in the encounter: always worth seeing
        dt = self.timing.times_s[last] - self.timing.times_s[first]

        def cost(i: int, j: int) -> float:
            (p, v, s), (q, w, r) = before[i], after[j]  # type: ignore[misc]
            travelled = (v + w) / 2 * dt
            where = float(np.linalg.norm(p + travelled - q)) / max(s[1], 1.0)
            return (
                where
                + float(np.abs(np.log(s / r)).sum())
                + 0.2 * float(np.linalg.norm(v - w) / max(s[1], 1.0))
            )

        own, swapped = cost(0, 0) + cost(1, 1), cost(0, 1) + cost(1, 0)
        return own / max(swapped, 1e-6) if swapped < 1.1 * own else 0.0

    def _way(
        self, shown: Shown, frame: int, way: int
    ) -> tuple[FloatArray, FloatArray, FloatArray] | None:
        """Centre, velocity and size near an encounter, from the side that leads away from it."""
        times = self.timing.times_s
        rows = np.flatnonzero(
            (way * (shown.frames - frame) >= 0)
            & (np.abs(times[shown.frames] - times[frame]) <= self.settings.look_s)
        )
        if len(rows) < 3:
            return None
        boxes, at = shown.boxes_xyxy[rows], times[shown.frames[rows]]
        centres = (boxes[:, :2] + boxes[:, 2:]) / 2
        speed = np.polyfit(at - at.mean(), centres, 1)[0]
        edge = 0 if way > 0 else -1
        size = np.maximum(boxes[edge, 2:] - boxes[edge, :2], 1.0)
        return centres[edge], speed, size

    def teleports(self) -> Iterator[Doubt]:
        """Steps that no object takes."""
        for number, shown in self.shown.items():
            boxes, next_to = shown.boxes_xyxy, np.diff(shown.frames) == 1
            if len(boxes) < 2:
                continue
            diagonal = np.linalg.norm(boxes[:-1, 2:] - boxes[:-1, :2], axis=1)
            centres = (boxes[:, :2] + boxes[:, 2:]) / 2
            steps = np.linalg.norm(np.diff(centres, axis=0), axis=1) / np.maximum(diagonal, 1.0)
            for row in np.flatnonzero(next_to & (steps > self.settings.jump)).tolist():
                frame = int(shown.frames[row + 1])
                words = f"track {number} jumps by {steps[row]:.1f} box sizes"
                yield Doubt(kind="teleport", why=words, frame=frame, first=frame - 1, last=frame,
                            track=number, score=float(steps[row]))  # fmt: skip

    def unlikely(self) -> Iterator[Doubt]:
        """Tracks of a model that are much less sure than the others."""
        scores = {
            number: float(shown.scores.mean())
            for number, shown in self.shown.items()
            if len(self.tracks[number].base) and not self.tracks[number].touched
        }
        median = float(np.median([*scores.values()])) if scores else 0.0
        for number, score in scores.items():
            if score < self.settings.unlikely * median:
                frames = self.shown[number].frames
                words = f"track {number} may be no object (score {score:.2f}, others {median:.2f})"
                yield Doubt(kind="unlikely", why=words, frame=int(frames[len(frames) // 2]),
                            first=int(frames[0]), last=int(frames[-1]), track=number,
                            score=1 - score)  # fmt: skip

    def ends(self, found: Iterable[Continuation]) -> Iterator[Doubt]:
        """Tracks that begin or end in the video: in mid-picture, or at its edge."""
        pieces = {}
        for one in found:
            pieces[one.track, one.end] = (
                f"; track {one.other} may continue it {one.gap_s:.1f} s later"
            )
            pieces[one.other, one.begin] = f"; it may continue track {one.track}"
        for number, shown in self.shown.items():
            for stretch in runs(shown.frames):
                for row, word in ((stretch.start, "begins"), (stretch.stop - 1, "ends")):
                    frame = int(shown.frames[row])
                    if frame in {0, self.timing.num_frames - 1}:
                        continue
                    box = shown.boxes_xyxy[row]
                    middle = in_mid_picture(box, self.size_px, self.settings.margin)
                    if middle or not self.tracks[number].touched:
                        where = "in mid-picture" if middle else "at the edge of the picture"
                        where += pieces.get((number, frame), "")
                        yield Doubt(kind="end" if middle else "edge",
                                    why=f"track {number} {word} {where}", frame=frame,
                                    first=frame, last=frame, track=number,
                                    score=float(shown.scores[row]))  # fmt: skip

    def shapes(self) -> Iterator[Doubt]:
        """Stretches in which a model's box is much wider or narrower than the track mostly is."""
        for number, shown in self.shown.items():
            size = np.log(np.maximum(shown.boxes_xyxy[:, 2:] - shown.boxes_xyxy[:, :2], 1.0))
            ratio = size[:, 0] - size[:, 1]
            off = np.abs(ratio - np.median(ratio)) if len(ratio) else ratio
            odd = (off > self.settings.shape) & (shown.known < Known.PERSON)
            odd &= not self.tracks[number].touched
            for first, last in self._long(shown.frames[odd]):
                rows = (shown.frames >= first) & (shown.frames <= last)
                worst = float(off[rows].max())
                frame = int(shown.frames[rows][off[rows].argmax()])
                words = f"track {number}: shape changes by a factor of {math.exp(worst):.1f}"
                yield Doubt(kind="shape", why=words, frame=frame, first=first, last=last,
                            track=number, score=worst)  # fmt: skip

    def weak(self) -> Iterator[Doubt]:
        """Stretches in which the detector found little, or nothing between two detections."""
        for number, shown in self.shown.items():
            unsure = (shown.scores < self.settings.weak) & (shown.known < Known.PERSON)
            unsure |= np.isin(shown.known, (Known.PREDICTED, Known.FILLED))
            for first, last in self._long(shown.frames[unsure]):
                rows = (shown.frames >= first) & (shown.frames <= last)
                score = float(shown.scores[rows].mean())
                words = f"track {number} is weak (mean score {score:.2f})"
                yield Doubt(kind="weak", why=words, frame=(first + last) // 2, first=first,
                            last=last, track=number, score=1 - score)  # fmt: skip

    def _long(self, frames: IntArray) -> Iterator[tuple[int, int]]:
        times = self.timing.times_s
        for stretch in runs(frames, step=2):
            first, last = int(frames[stretch.start]), int(frames[stretch.stop - 1])
            if times[last] - times[first] >= self.settings.least_s:
                yield first, last

    def missing(self, detections: TrackTable) -> Iterator[Doubt]:
        """Sure detections that no label covers, those of neighbouring frames together."""
        assert detections.scores is not None
        sure = detections[detections.scores >= self.settings.sure]
        open_: list[tuple[int, int, FloatArray, float]] = []
        done: list[tuple[int, int, FloatArray, float]] = []
        for frame in np.unique(sure.frames).tolist():
            rows = sure[sure.frames == frame]
            labels = self.rows.boxes(frame)
            free = np.ones(len(rows), np.bool_)
            if len(labels):
                free = iou(rows.boxes_xyxy, labels).max(axis=1) < self.settings.same_iou
            assert rows.scores is not None
            done += [one for one in open_ if frame - one[1] > 3]
            open_ = [one for one in open_ if frame - one[1] <= 3]
            for box, score in zip(rows.boxes_xyxy[free], rows.scores[free], strict=True):
                same = [
                    place for place, one in enumerate(open_)
                    if float(iou(box[None], one[2][None])[0, 0]) > self.settings.same_iou
                ]  # fmt: skip
                if same:
                    first, _, _, best = open_[same[0]]
                    open_[same[0]] = (first, frame, box, max(best, float(score)))
                else:
                    open_.append((frame, frame, box, float(score)))
        for first, last, _, score in [*done, *open_]:
            words = f"detection without a label (score {score:.2f})"
            yield Doubt(kind="missing", why=words, frame=(first + last) // 2, first=first,
                        last=last, score=score + last - first)  # fmt: skip

    def surplus(self, detections: TrackTable) -> Iterator[Doubt]:
        """Stretches of a visible label in which nothing was detected."""
        bounds = np.searchsorted(detections.frames, np.arange(self.timing.num_frames + 1))
        looked = np.unique(detections.frames)
        for number, shown in self.shown.items():
            alone = np.zeros(len(shown.frames), np.bool_)
            for row, (frame, box) in enumerate(
                zip(shown.frames.tolist(), shown.boxes_xyxy, strict=True)
            ):
                there = detections.boxes_xyxy[bounds[frame] : bounds[frame + 1]]
                best = float(iou(box[None], there).max(initial=0.0)) if len(there) else 0.0
                alone[row] = best < self.settings.same_iou and bool(len(looked))
            alone &= (shown.visibility != 0) & (shown.known != Known.PERSON)
            for first, last in self._long(shown.frames[alone]):
                words = f"track {number}: nothing detected here"
                yield Doubt(kind="surplus", why=words, frame=(first + last) // 2, first=first,
                            last=last, track=number, score=float(last - first))  # fmt: skip


@dataclass(frozen=True)
class _Rows:
    """All shown boxes by frame."""

    ids: IntArray
    boxes_xyxy: FloatArray
    bounds: IntArray
    """(T + 1,) the rows of frame ``f`` are ``bounds[f]`` to ``bounds[f + 1]``"""

    @classmethod
    def of(cls, shown: Mapping[int, Shown], num_frames: int) -> "_Rows":
        frames = np.concatenate([np.empty(0, np.int64), *(one.frames for one in shown.values())])
        ids = np.repeat([*shown], [len(one.frames) for one in shown.values()]).astype(np.int64)
        boxes = np.concatenate([np.empty((0, 4)), *(one.boxes_xyxy for one in shown.values())])
        order = np.argsort(frames, kind="stable")
        bounds = np.searchsorted(frames[order], np.arange(num_frames + 1))
        return cls(ids[order], boxes[order], bounds)

    def boxes(self, frame: int) -> FloatArray:
        """Those of a frame (N, 4)."""
        return self.boxes_xyxy[self.bounds[frame] : self.bounds[frame + 1]]

    def pairs(self, least_iou: float) -> list[tuple[int, int]]:
        """Tracks, the lower id first, whose boxes overlap this much in some frame.

        Only boxes that overlap along x and y are compared: a thousand in a frame take milliseconds.
        """
        found: set[tuple[int, int]] = set()
        for start, stop in pairwise(self.bounds.tolist()):
            order = start + np.argsort(self.boxes_xyxy[start:stop, 0])
            left, right = self.boxes_xyxy[order, 0], self.boxes_xyxy[order, 2]
            each = np.arange(len(order))
            after = np.searchsorted(left, right) - each - 1
            one = np.repeat(each, after)
            two = one + 1 + np.arange(len(one)) - np.repeat(np.cumsum(after) - after, after)
            boxes = self.boxes_xyxy[order]
            high = (boxes[one, 1] < boxes[two, 3]) & (boxes[two, 1] < boxes[one, 3])
            one, two = one[high], two[high]
            near = iou_pairs(boxes[one], boxes[two]) >= least_iou
            ids = np.sort(self.ids[order][np.stack([one[near], two[near]], axis=1)], axis=1)
            found.update(map(tuple, ids.tolist()))
        return sorted(found)
