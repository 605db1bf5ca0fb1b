"""Which share of all errors the first 20 % of the review queue names.

    python benchmarks/queue_share.py [--data ../shared/data] [--sets plaza_b,pets] [--cache DIR]

An *error* is what a person would put right at once: a false track, a switch to another object, a
piece that has to be joined, a stretch of boxes below an IoU of 0.5, of boxes where the object has
no label, or of an object that no box is on. A *glance* is a track for a second, or a question about
a track as a whole. The queue is followed in its order until a fifth of all glances (of all tracks
and all seconds) has been spent; an error is found if an item is about its track and time. In random
order a fifth of the glances finds a fifth.
"""

import argparse
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np

from label_effort import Person, Scene, paired_iou, predicted, scenes
from vodkit.formats.keyframes import runs
from vodkit.ground import process
from vodkit.ground.records import TrackTable
from vodkit.review.curve import REACH_S
from vodkit.review.document import Document, Timing
from vodkit.review.exchange import model_tracks
from vodkit.review.queue import Doubt, doubts

_RIGHT = 0.5
_SHARE = 0.2
_SLACK_S = 0.5
_WHOLE = ("double", "unlikely")  # kinds of items that ask about a track as a whole


@dataclass(frozen=True)
class Error:
    """Something to put right."""

    kind: str
    tracks: tuple[int, ...]
    """those at which it is seen; none: an object without any"""
    first: int
    last: int


def errors(person: Person) -> Iterator[Error]:
    """Everything that is wrong with the tracks of a model."""
    covered = {number: np.zeros(len(rows), bool) for number, rows in person.truth.items()}
    pieces: dict[int, list[tuple[int, int, int]]] = {}
    for track, curve in person.tracks().items():
        shown = person.shown(curve)
        objects = [one for one in person.stretches(curve) if one[2]]
        if not objects:
            yield Error("false track", (track,), *curve.extent)
            continue
        for before, after in pairwise(objects):
            if before[2] != after[2]:
                yield Error("switch", (track,), before[1], after[0])
        for first, last, number in objects:
            pieces.setdefault(number, []).append((first, last, track))
            rows = person.truth[number]
            inside = (shown.frames >= first) & (shown.frames <= last)
            frames, boxes = shown.frames[inside], shown.boxes_xyxy[inside]
            _, mine, theirs = np.intersect1d(frames, rows.frames, return_indices=True)
            covered[number][theirs] = True
            poor = paired_iou(boxes[mine], rows.boxes_xyxy[theirs]) < _RIGHT
            yield from spans("poor", (track,), frames[mine][poor])
            yield from spans("surplus", (track,), np.setdiff1d(frames, rows.frames))
    for number, rows in person.truth.items():
        of_it = sorted(pieces.get(number, ()))
        for before, after in pairwise(of_it):
            yield Error("join", (before[2], after[2]), before[1], after[0])
        tracks = tuple({track for _, _, track in of_it})
        yield from spans("missing", tracks, rows.frames[~covered[number]])


def spans(kind: str, tracks: tuple[int, ...], frames: np.ndarray) -> Iterator[Error]:
    """One error for frames that are close to each other."""
    for stretch in runs(np.sort(frames), step=6):
        rows = np.sort(frames)[stretch]
        yield Error(kind, tracks, int(rows[0]), int(rows[-1]))


def is_about(item: Doubt, error: Error, times_s: np.ndarray) -> bool:
    """Whether a person who sees the item sees the error."""
    if item.kind in _WHOLE and item.track in error.tracks and error.kind == "false track":
        return True
    near = (times_s[item.first] <= times_s[error.last] + _SLACK_S
            and times_s[error.first] <= times_s[item.last] + _SLACK_S)  # fmt: skip
    return near and (item.track is None or not error.tracks or item.track in error.tracks)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--sets", default="plaza_b,pets")
    parser.add_argument("--model", default="vodkit-street")
    parser.add_argument("--cache", type=Path)
    asked = parser.parse_args()
    process.settle()
    for scene in scenes(asked.data, asked.sets.split(",")):
        table, detections = predicted(scene, asked.model, asked.cache)
        report(scene, table, detections)


def report(scene: Scene, table: TrackTable, detections: TrackTable) -> None:
    """Some lines a scene."""
    person = Person(scene, model_tracks(table, scene.times_s), REACH_S)
    wrong, times = list(errors(person)), scene.times_s
    document = Document.new(("object",), (Timing(times),)).with_changes(
        {("track", 0, n): t for n, t in person.tracks().items()}
    )
    total = sum(len(np.unique(times[person.shown(t).frames].astype(int)))
                for t in person.tracks().values())  # fmt: skip
    items = doubts(document, 0, scene.size_px, detections)
    spent, used, found = 0.0, 0, set()
    for item in items:
        cost = 1 if item.kind in _WHOLE else 1 + int(times[item.last] - times[item.first])
        if spent + cost > _SHARE * total:
            break
        spent, used = spent + cost, used + 1
        found |= {k for k, error in enumerate(wrong) if is_about(item, error, times)}
    print(f"{scene.name:10} {len(wrong)} errors, {total} glances, {len(items)} items: "
          f"{used} items ({spent:.0f} glances) name {len(found)} errors, "
          f"{len(found) / len(wrong):.0%}", flush=True)  # fmt: skip
    for kind in dict.fromkeys(error.kind for error in wrong):
        of_kind = {k for k, error in enumerate(wrong) if error.kind == kind}
        print(f"    {kind:12} {len(of_kind & found)} of {len(of_kind)}")
    for kind in dict.fromkeys(item.kind for item in items):
        hits = [any(is_about(i, e, times) for e in wrong) for i in items if i.kind == kind]
        print(f"    {kind:12} items that name an error: {sum(hits)} of {len(hits)}")


if __name__ == "__main__":
    main()
