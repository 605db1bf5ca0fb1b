"""Numbers for new predictions: an object that the document knows keeps its number."""

import numpy as np
from scipy.optimize import linear_sum_assignment

from vodkit.review.curve import Shown, Track, evaluate
from vodkit.review.document import Document

_SAME = 0.4  # mean IoU over common frames


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


def _overlap(a: Shown, b: Shown) -> float:
    """Mean IoU over the frames that both are in; 0 where those are few."""
    _, ours, theirs = np.intersect1d(a.frames, b.frames, return_indices=True)
    if len(ours) < max(1, min(len(a.frames), len(b.frames)) // 4):
        return 0.0
    p, q = a.boxes_xyxy[ours], b.boxes_xyxy[theirs]
    low, high = np.maximum(p[:, :2], q[:, :2]), np.minimum(p[:, 2:], q[:, 2:])
    shared = np.clip(high - low, 0, None).prod(axis=1)
    both = (p[:, 2:] - p[:, :2]).prod(axis=1) + (q[:, 2:] - q[:, :2]).prod(axis=1) - shared
    return float((shared / np.maximum(both, 1e-9)).mean())
