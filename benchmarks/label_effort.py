"""Count what a simulated person must do until the labels of a video are right.

    python benchmarks/label_effort.py [--data ../shared/data] [--sets plaza_b,pets] [--cache DIR]

An action is one drawn or dragged box, or one key press that changes labels: draw, bend, split,
join, swap, span, delete. The simulated person knows the truth, first repairs identities (swaps,
splits, deletes false tracks, joins), then always corrects the box with the lowest IoU until every
box of the truth reaches the threshold, and last removes what is shown where the truth has nothing.
All ways of working are held against each other with this same person.

Ways of working:

    linear     nothing at first; boxes are interpolated between the drawn ones (CVAT and others)
    per-frame  a model's boxes; a correction changes one frame
    bend       a model's boxes as a smoothed curve; a correction bends it (vodkit review)

``oracle`` is the fewest key boxes with which linear interpolation reaches the threshold: no person
can do with less that way.
"""

import argparse
import json
import zlib
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

import numpy as np

from vodkit.data.audit.video_scan import frame_times_s, probe
from vodkit.formats.base import Reading
from vodkit.formats.table import read_dataset
from vodkit.ground import process
from vodkit.ground.records import TrackTable
from vodkit.infer.flow import track_video
from vodkit.infer.settings import InferSettings
from vodkit.review.curve import Shown, Track, evaluate, to_json
from vodkit.review.document import Document, Timing
from vodkit.review.exchange import CurveSettings, model_tracks
from vodkit.review.journal import Journal
from vodkit.samples import samples
from vodkit.track.refine import RefineSettings, refine

_SAME = 0.3  # IoU from which on a person takes a box for a poor one of this object
_SWITCH = 3.0  # frames that must speak for another object before the person sees a switch
_DRAWN_PX = 1.0  # smallest side a person can draw


@dataclass(frozen=True)
class Scene:
    """A video with its truth."""

    name: str
    video: Path
    truth: TrackTable
    times_s: np.ndarray


class Person:
    """Works on a document until it equals the truth; counts actions by name."""

    def __init__(self, scene: Scene, tracks: list[Track], reach_s: float) -> None:
        """Begins with the tracks of a model."""
        self.scene, self.times_s, self.reach_s = scene, scene.times_s, reach_s
        self.every = np.arange(len(scene.times_s))
        timing = Timing(scene.times_s, reach_s)
        self.journal = Journal(Document.new(("object",), (timing,)))
        given = {str(i): to_json(replace(t, label=0)) for i, t in enumerate(tracks, 1)}
        self.journal.commit({"do": "put", "video": 0, "tracks": given}, id="put")
        self.actions: dict[str, int] = {}
        ids = np.unique(scene.truth.ids)
        self.truth = {int(i): scene.truth[scene.truth.ids == i] for i in ids}

    def do(self, name: str, **values: object) -> None:
        """One action."""
        self.actions[name] = self.actions.get(name, 0) + 1
        action = {"do": name, "video": 0, **values}
        self.journal.commit(action, id=str(self.journal.n))

    def tracks(self) -> dict[int, Track]:
        """What the document has at present."""
        return self.journal.document.tracks(0)

    def shown(self, track: Track) -> Shown:
        """Where a track is at present."""
        return evaluate(track, self.every, self.times_s, reach_s=self.reach_s)

    def _overlaps(self, track: Track) -> tuple[np.ndarray, np.ndarray, list[int]]:
        """Frames (M,), IoU (M, truths) of a track with every object of the truth."""
        shown, ids = self.shown(track), list(self.truth)
        out = np.zeros((len(shown.frames), len(ids)))
        for column, number in enumerate(ids):
            rows = self.truth[number]
            _, mine, theirs = np.intersect1d(shown.frames, rows.frames, return_indices=True)
            out[mine, column] = paired_iou(shown.boxes_xyxy[mine], rows.boxes_xyxy[theirs])
        return shown.frames, out, ids

    def stretches(self, track: Track) -> list[tuple[int, int, int]]:
        """(first, last, object or 0) of a track: the most likely stretches (Viterbi)."""
        frames, overlap, ids = self._overlaps(track)
        gain = np.concatenate(
            [np.where(overlap >= _SAME, overlap, 0), np.full((len(frames), 1), 0.1)], 1
        )
        best, back = gain[0].copy(), []
        for row in gain[1:]:
            jump = int(best.argmax())
            leaves = best < best[jump] - _SWITCH * 0.3
            back.append(np.where(leaves, jump, np.arange(len(best))))
            best = np.where(leaves, best[jump] - _SWITCH * 0.3, best) + row
        state = int(best.argmax())
        states = [state]
        for pointers in reversed(back):
            state = int(pointers[state])
            states.append(state)
        states = np.array(states[::-1])
        edges = [0, *(np.flatnonzero(np.diff(states)) + 1).tolist(), len(states)]
        known = [*ids, 0]
        return [(int(frames[a]), int(frames[b - 1]), known[states[a]]) for a, b in pairwise(edges)]

    def repair_identities(self) -> None:
        """Swaps, splits, deletions and joins, in this order."""
        self._swaps()
        for number in list(self.tracks()):
            parts = self.stretches(self.tracks()[number])
            objects = [one for one in parts if one[2]]
            for before, after in reversed(list(pairwise(objects))):
                if before[2] != after[2]:
                    self.do("split", track=number, frame=after[0], new=self.journal.next_id(0))
        self.owner: dict[int, int] = {}
        false = [n for n, t in self.tracks().items() if not self._owner(t)]
        for number in false:
            self.do("delete", tracks=[number])
        for number in self.truth:
            pieces = [n for n, t in self.tracks().items() if self._owner(t) == number]
            pieces.sort(key=lambda n: self.tracks()[n].extent)
            for other in pieces[1:]:
                self.do("join", track=pieces[0], other=other)
            if pieces:
                self.owner[number] = pieces[0]

    def _owner(self, track: Track) -> int:
        lengths: dict[int, int] = {}
        for first, last, number in self.stretches(track):
            lengths[number] = lengths.get(number, 0) + last - first + 1
        real = {number: length for number, length in lengths.items() if number}
        return max(real, key=real.__getitem__) if real else 0

    def _swaps(self) -> None:
        """Two tracks that exchange their objects within half a second: one action."""
        window = int(0.5 / np.median(np.diff(self.times_s)))
        changed = True
        while changed:
            changed = False
            switches = []
            for number, track in self.tracks().items():
                objects = [one for one in self.stretches(track) if one[2]]
                switches += [
                    (b[0], number, a[2], b[2]) for a, b in pairwise(objects) if a[2] != b[2]
                ]
            switches.sort()
            for one in switches:
                partner = [
                    two
                    for two in switches
                    if two[1] != one[1] and two[2:] == one[:1:-1] and abs(two[0] - one[0]) <= window
                ]
                if partner:
                    self.do("swap", track=one[1], other=partner[0][1], frame=one[0])
                    changed = True
                    break

    def repair_boxes(self, threshold: float) -> None:
        """Always the worst box, until every box of the truth reaches ``threshold``."""
        for number, rows in self.truth.items():
            if number not in self.owner:
                new = self.journal.next_id(0)
                self.do("draw", track=new, label=0, frame=int(rows.frames[0]), box=drawn(rows, 0))
                self.owner[number] = new
            while True:
                row, worst = self._worst(number, rows)
                if worst >= threshold:
                    break
                frame = int(rows.frames[row])
                self.do("bend", track=self.owner[number], frame=frame, box=drawn(rows, row))

    def _worst(self, number: int, rows: TrackTable) -> tuple[int, float]:
        shown = self.shown(self.tracks()[self.owner[number]])
        values = np.zeros(len(rows))
        _, theirs, mine = np.intersect1d(rows.frames, shown.frames, return_indices=True)
        values[theirs] = paired_iou(rows.boxes_xyxy[theirs], shown.boxes_xyxy[mine])
        absent = np.flatnonzero(~np.isin(rows.frames, shown.frames))
        if len(absent):  # the farther end first: one key extends the track over all between
            return int(absent[0] if absent[0] == 0 else absent[-1]), 0.0
        return int(values.argmin()), float(values.min())

    def remove_surplus(self) -> None:
        """What is shown where the truth has nothing: one span a stretch."""
        for number, rows in self.truth.items():
            track = self.owner[number]
            frames = self.shown(self.tracks()[track]).frames
            surplus = frames[~np.isin(frames, rows.frames)]
            for part in np.split(surplus, np.flatnonzero(np.diff(surplus) > 1) + 1):
                if len(part):
                    span = {"first": int(part[0]), "last": int(part[-1]), "kind": "outside"}
                    self.do("span", track=track, **span)

    def work(self, threshold: float) -> dict[str, int]:
        """All of it; number of actions by name."""
        self.repair_identities()
        self.repair_boxes(threshold)
        self.remove_surplus()
        for number, rows in self.truth.items():  # removing must not have undone anything
            assert self._worst(number, rows)[1] >= threshold
        return self.actions


def drawn(rows: TrackTable, row: int) -> list[float]:
    """A box of the truth as a person draws it: at least a pixel wide and high."""
    x1, y1, x2, y2 = rows.boxes_xyxy[row].tolist()
    return [x1, y1, max(x2, x1 + _DRAWN_PX), max(y2, y1 + _DRAWN_PX)]


def paired_iou(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """IoU (N,) of boxes (N, 4) with those of the same row."""
    low, high = np.maximum(a[:, :2], b[:, :2]), np.minimum(a[:, 2:], b[:, 2:])
    shared = np.clip(high - low, 0, None).prod(axis=1)
    both = (a[:, 2:] - a[:, :2]).prod(axis=1) + (b[:, 2:] - b[:, :2]).prod(axis=1) - shared
    return shared / np.maximum(both, 1e-9)


def oracle(scene: Scene, threshold: float, longest: int = 150) -> int:
    """The fewest key boxes for linear interpolation (shortest path over pairs of frames)."""
    total = 0
    for number in np.unique(scene.truth.ids):
        rows = scene.truth[scene.truth.ids == number]
        for stretch in np.split(np.arange(len(rows)), np.flatnonzero(np.diff(rows.frames) > 1) + 1):
            total += _fewest(
                rows.boxes_xyxy[stretch], scene.times_s[rows.frames[stretch]], threshold, longest
            )
    return total


def _fewest(boxes: np.ndarray, times: np.ndarray, threshold: float, longest: int) -> int:
    count = len(boxes)
    keys = np.full(count, count + 1)
    keys[0] = 1
    for a in range(count - 1):
        for b in range(min(count - 1, a + longest), a, -1):
            if keys[b] <= keys[a] + 1:
                continue
            share = ((times[a + 1 : b] - times[a]) / (times[b] - times[a]))[:, None]
            between = boxes[a] * (1 - share) + boxes[b] * share
            if (paired_iou(between, boxes[a + 1 : b]) >= threshold).all():
                keys[b] = keys[a] + 1
    return int(keys[-1])


def predicted(scene: Scene, model: str, cache: Path | None) -> TrackTable:
    """The tracks of a model, refined offline."""
    tag = f"{scene.name}-{zlib.crc32(model.encode()):08x}.npz"
    if cache is not None and (cache / tag).exists():
        with np.load(cache / tag) as stored:
            return TrackTable(**stored)
    rows = [
        (frame.index, frame.time_s, tracks)
        for frame, _, tracks in track_video(scene.video, settings=InferSettings(model=model))
    ]
    table = refine(TrackTable.from_frames(rows), RefineSettings())
    if cache is not None:
        cache.mkdir(exist_ok=True)
        np.savez(cache / tag, **{name: getattr(table, name) for name in table.__dataclass_fields__})
    return table


def scenes(data: Path, wanted: list[str]) -> list[Scene]:
    """Those of the wanted scenes whose files exist."""
    out = []
    sets = data / "sequences"
    for name, truth, video in (
        ("plaza_b", samples.LABELS, samples.CLIP_B),
        ("pets", sets / "pets09_s2l1/gt.txt", sets / "pets09_s2l1/vtest.avi"),
        ("two_flies", sets / "flies/two_flies_gt.txt", sets / "flies/two_flies.mp4"),
        ("flies", sets / "flies/clip_gt.txt", sets / "flies/clip.mp4"),
    ):
        if name not in wanted or not video.exists():
            continue
        reading = Reading(
            classes=("object",), source=str(video), probe=lambda _p, v=video: probe(v)
        )
        if truth.suffix == ".txt":
            dataset = read_dataset(truth, "mot", reading=replace(reading, source=video.name))
        else:
            dataset = read_dataset(truth)
        (table,) = [
            x.tracks
            for x in dataset.videos
            if Path(x.source).stem == video.stem or len(dataset.videos) == 1
        ]
        out.append(Scene(name, video, table[~table.ignore], frame_times_s(video)))
    return out


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--sets", default="plaza_b,pets,two_flies")
    parser.add_argument("--model", default="vodkit-street")
    parser.add_argument("--thresholds", default="0.8,0.7,0.5")
    parser.add_argument("--smooth-s", default="0.8")
    parser.add_argument("--reach-s", default="1.0")
    parser.add_argument("--ways", default="oracle,linear,per-frame,bend")
    parser.add_argument("--cache", type=Path)
    asked = parser.parse_args()
    process.settle()
    for scene in scenes(asked.data, asked.sets.split(",")):
        ways = asked.ways.split(",")
        table = TrackTable.empty()
        if {"bend", "per-frame"} & set(ways):
            table = predicted(scene, asked.model, asked.cache)
        for threshold in map(float, asked.thresholds.split(",")):
            for way in ways:
                if way == "oracle":
                    tell(scene, way, threshold, {"draw": oracle(scene, threshold)})
                elif way == "linear":
                    tell(scene, way, threshold, Person(scene, [], 0.8).work(threshold))
                elif way == "per-frame":
                    raw = model_tracks(
                        table, scene.times_s, CurveSettings(smooth_s=0, tolerance_px=1e-6)
                    )
                    tell(scene, way, threshold, Person(scene, raw, 1e-6).work(threshold))
                else:
                    for smooth_s in map(float, asked.smooth_s.split(",")):
                        curves = model_tracks(
                            table, scene.times_s, CurveSettings(smooth_s=smooth_s)
                        )
                        for reach_s in map(float, asked.reach_s.split(",")):
                            person = Person(scene, curves, reach_s)
                            words = f"{way} smooth {smooth_s:g} s reach {reach_s:g} s"
                            tell(scene, words, threshold, person.work(threshold))


def tell(scene: Scene, way: str, threshold: float, actions: dict[str, int]) -> None:
    total = sum(actions.values())
    print(f"{scene.name:10} {threshold:.1f} {way:36} {total:5}  {json.dumps(actions)}", flush=True)


if __name__ == "__main__":
    main()
