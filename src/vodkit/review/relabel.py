"""New predictions for labels that exist: objects keep their numbers, and identities their sense.

A model that has learnt from a few frames places boxes better, but its scores are new to the
tracker, which may break tracks that were right. So there are three candidates: the earlier tracks
with the boxes of the new detections, the same with objects that are new, and the new tracks. The
one with the fewest identities to question is taken.
"""

from dataclasses import dataclass, replace

import numpy as np
from scipy.optimize import linear_sum_assignment

from vodkit.ground.arrays import BoolArray
from vodkit.ground.boxes import iou
from vodkit.ground.records import NO_ID, TrackTable
from vodkit.review.curve import Shown, Track, evaluate, to_json
from vodkit.review.document import Document, changes
from vodkit.review.exchange import model_tracks
from vodkit.review.journal import Journal
from vodkit.review.queue import IDENTITIES, doubts

_SAME = 0.4  # mean IoU over common frames
_FITS = 0.5
"""IoU from which a new detection replaces a track's box"""
_SUPPORT = 0.2
"""share of its frames with such a detection, below which a track is dropped"""
_KNOWN = 0.5
"""share of its frames on another track, from which a new track is no new object"""


@dataclass(frozen=True)
class Prediction:
    """What a model gives for a video."""

    found: TrackTable
    """every detection"""
    tracks: TrackTable
    """what the tracker made of them, refined"""


def relabelled(
    journal: Journal, video: int, size_px: tuple[int, int], new: Prediction, old: TrackTable
) -> tuple[dict[int, Track], TrackTable]:
    """New predictions as tracks by number: of three ways, the one with least to question.

    Args:
        journal: the labels so far.
        video: number of the video.
        size_px: width and height of its picture.
        new: what the model gives, with the document's labels.
        old: what this function returned before; empty: it was not called yet.

    Returns:
        The tracks by number, and the boxes that they were made of.
    """
    document, first_new = journal.document, journal.next_id(video)
    times_s = document.timings[video].times_s
    tables = [new.tracks]
    if len(old):
        kept = _is_kept(document, video, old)
        moved = moved_to(old[kept], new.found)
        fresh = _elsewhere(new.tracks, old[~kept])  # what a person deleted does not return
        more = _elsewhere(fresh, moved)
        more = replace(more, ids=more.ids + int(old.ids.max()))
        tables = [moved, TrackTable.concat([moved, more]), fresh]
    made = [renumbered(document, video, model_tracks(one, times_s), first_new) for one in tables]
    if len(made) == 1:
        return made[0], tables[0]
    least = np.argmin([_questions(document, video, size_px, new.found, one) for one in made])
    return made[least], tables[least]


def _questions(
    document: Document,
    video: int,
    size_px: tuple[int, int],
    found: TrackTable,
    tracks: dict[int, Track],
) -> int:
    """How many items about identities the queue would have."""
    given = {str(number): to_json(track) for number, track in tracks.items()}
    after = changes(document, {"do": "put", "video": video, "tracks": given})
    items = doubts(document.with_changes(after), video, size_px, found)
    return sum(item.kind in IDENTITIES for item in items)


def moved_to(old: TrackTable, found: TrackTable) -> TrackTable:
    """Earlier tracks moved to new detections, without those that the new model does not see.

    Args:
        old: the tracks, with boxes as they were detected.
        found: the new detections.
    """
    boxes, scores, fits = old.boxes_xyxy.copy(), np.array(old.scores), np.zeros(len(old), bool)
    assert found.scores is not None
    for frame in np.unique(old.frames):
        rows, new = np.flatnonzero(old.frames == frame), np.flatnonzero(found.frames == frame)
        overlap = iou(old.boxes_xyxy[rows], found.boxes_xyxy[new])
        overlap[old.labels[rows][:, None] != found.labels[new]] = 0
        for row, one in zip(*linear_sum_assignment(-overlap), strict=True):
            if overlap[row, one] >= _FITS:
                at = rows[row]
                boxes[at], scores[at] = found.boxes_xyxy[new[one]], found.scores[new[one]]
                fits[at] = True
    moved = replace(old, boxes_xyxy=boxes, scores=scores)
    lost = [n for n in np.unique(old.ids) if fits[old.ids == n].mean() < _SUPPORT]
    return moved[~np.isin(moved.ids, lost)]


def _is_kept(document: Document, video: int, old: TrackTable) -> BoolArray:
    """The rows (N,) of earlier tracks that no person deleted."""
    timing = document.timings[video]
    every = np.arange(timing.num_frames)
    present = [evaluate(track, every, timing.times_s, reach_s=timing.reach_s)
               for track in document.tracks(video).values()]  # fmt: skip
    tracks = {n: old[old.ids == n] for n in np.unique(old.ids).tolist()}
    kept = [n for n, rows in tracks.items()
            if any(_overlap(rows, one) >= _SAME for one in present)]  # fmt: skip
    return np.isin(old.ids, kept)


def _elsewhere(tracked: TrackTable, known: TrackTable) -> TrackTable:
    """The tracks that are mostly on none of the known ones."""
    covered = np.zeros(len(tracked), np.bool_)
    for frame in np.unique(tracked.frames):
        rows = np.flatnonzero(tracked.frames == frame)
        there = known.boxes_xyxy[known.frames == frame]
        if len(there):
            covered[rows] = iou(tracked.boxes_xyxy[rows], there).max(axis=1) >= _FITS
    ids = np.unique(tracked.ids[tracked.ids != NO_ID])
    kept = [one for one in ids if covered[tracked.ids == one].mean() < _KNOWN]
    return tracked[np.isin(tracked.ids, kept)]


def renumbered(
    document: Document, video: int, found: list[Track], first_new: int
) -> dict[int, Track]:
    """New tracks by number: that of the same object in the document, else a new one.

    Those that equal a track which a person changed are left out: the person's stays.
    """
    timing = document.timings[video]
    every = np.arange(timing.num_frames)
    present = document.tracks(video)

    def show(track: Track) -> Shown:
        return evaluate(track, every, timing.times_s, reach_s=timing.reach_s)

    old = {number: show(track) for number, track in present.items()}
    new = [show(track) for track in found]
    numbers = list(old)
    overlap = np.zeros((len(new), len(numbers)))
    for row, one in enumerate(new):
        for column, number in enumerate(numbers):
            overlap[row, column] = _overlap(one, old[number])
    rows, columns = linear_sum_assignment(-overlap)
    same = {
        int(row): numbers[int(column)]
        for row, column in zip(rows, columns, strict=True)
        if overlap[row, column] >= _SAME
    }
    covered = {
        row
        for row in range(len(new))
        for column, number in enumerate(numbers)
        if present[number].touched and overlap[row, column] >= _SAME
    }
    out: dict[int, Track] = {}
    following = first_new
    for row, track in enumerate(found):
        if row in covered:
            continue
        if row in same:
            out[same[row]] = track
        else:
            out[following] = track
            following += 1
    return out


def _overlap(a: Shown | TrackTable, b: Shown) -> float:
    """Mean IoU over the frames that both are in; 0 where those are few."""
    _, ours, theirs = np.intersect1d(a.frames, b.frames, return_indices=True)
    if len(ours) < max(1, min(len(a.frames), len(b.frames)) // 4):
        return 0.0
    p, q = a.boxes_xyxy[ours], b.boxes_xyxy[theirs]
    low, high = np.maximum(p[:, :2], q[:, :2]), np.minimum(p[:, 2:], q[:, 2:])
    shared = np.clip(high - low, 0, None).prod(axis=1)
    both = (p[:, 2:] - p[:, :2]).prod(axis=1) + (q[:, 2:] - q[:, :2]).prod(axis=1) - shared
    return float((shared / np.maximum(both, 1e-9)).mean())
