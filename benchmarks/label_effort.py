"""Count what a simulated person must do until the labels of a video are right.

    python benchmarks/label_effort.py [--data ../shared/data] [--sets plaza_b,pets] [--cache DIR]

An action is one drawn or dragged box, or one key press that changes labels: draw, bend, split,
give, join, swap, span, trim, delete. The simulated person knows the truth, first repairs
identities, then always corrects the box with the lowest IoU until every box of the truth reaches
the threshold, and last removes what is shown where the truth has nothing. Choosing how far a
correction extends costs nothing: a modifier key is held while dragging.
All ways of working are held against each other with this same person.

A set with a slash is a sequence of a tracking benchmark, as ``sequences/mot15/TUD-Campus`` or
``tracking/dance/dancetrack0018``: the detections that come with it, tracked by the default tracker.

``--learn 20`` first accepts so many frames of plaza_a, lets the page's own job learn from them, and
begins with what the page then makes of the video (``learnt``).

Ways of working:

    linear     nothing at first; boxes are interpolated between the drawn ones (CVAT and others)
    per-frame  a model's boxes; a correction changes one frame
    bend       a model's boxes as a smoothed curve; a correction bends it
    page       the same with all of ``vodkit review``: near and wide corrections, pieces given to
               another track, weakest tracks deleted together, ends trimmed together

``oracle`` is the fewest key boxes with which linear interpolation reaches the threshold: no person
can do with less that way.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
import zlib
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import pairwise, takewhile
from pathlib import Path
from typing import Any

import numpy as np

from track_domains import SHARED, Steps, mot_scene
from vodkit.data.audit.video_scan import frame_times_s, probe
from vodkit.formats.base import Reading
from vodkit.formats.table import read_dataset, write_dataset
from vodkit.ground import process
from vodkit.ground.errors import InputError
from vodkit.ground.records import TrackTable
from vodkit.infer.flow import track_video
from vodkit.review.continuations import continuations
from vodkit.review.curve import REACH_S, SMOOTH_S, Shown, Track, evaluate, to_json
from vodkit.review.document import SPREADS, Document, Timing, changes
from vodkit.review.exchange import CurveSettings, model_tracks
from vodkit.review.jobs import split_accepted
from vodkit.review.journal import Journal
from vodkit.review.relabel import Prediction, relabelled
from vodkit.review.worker import sharp
from vodkit.samples import samples
from vodkit.track.refine import RefineSettings, refine
from vodkit.track.table import make_tracker

_SAME = 0.3  # IoU from which on a person takes a box for a poor one of this object
_SWITCH = 3.0  # frames that must speak for another object before the person sees a switch
TRIM_MARGINS = (0.0, 0.005, 0.01, 0.015, 0.02, 0.03, 0.04, 0.05, 0.06)
"""where a person draws a side of the area that is labelled, in shares of the picture"""
_EDGE, _EDGE_S = 0.06, 0.5
"""an end this near the edge of the picture, moved by at most so long: a matter of taste"""
_DRAWN_PX = 1.0  # smallest side a person can draw


@dataclass(frozen=True)
class Scene:
    """A video with its truth."""

    name: str
    video: Path
    truth: TrackTable
    times_s: np.ndarray
    size_px: tuple[int, int]
    steps: Steps | None = None
    """detections of others, where there are no pictures"""


class Person:
    """Works on a document until it equals the truth; counts actions by name."""

    def __init__(
        self, scene: Scene, tracks: list[Track], reach_s: float, *, group: bool = True
    ) -> None:
        """Begins with the tracks of a model; ``group``: uses actions on many frames or tracks."""
        self.group = group
        self.scene, self.times_s, self.reach_s = scene, scene.times_s, reach_s
        self.every = np.arange(len(scene.times_s))
        timing = Timing(scene.times_s, reach_s)
        self.journal = Journal(Document.new(("object",), (timing,)))
        given = {str(i): to_json(replace(t, label=0)) for i, t in enumerate(tracks, 1)}
        self.journal.commit({"do": "put", "video": 0, "tracks": given}, id="put")
        self.actions: dict[str, int] = {}
        self.at_edges = 0
        """actions that only move where a track begins or ends near the edge of the picture"""
        self._known: dict[int, tuple[Track, list[tuple[int, int, int]]]] = {}
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
        """(first, last, object or 0) of a track: the most likely stretches."""
        known = self._known.get(id(track))
        if known is None:
            known = self._known[id(track)] = (track, self._stretches(track))
        return known[1]

    def _stretches(self, track: Track) -> list[tuple[int, int, int]]:
        """By Viterbi's algorithm."""
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
        """Swaps, pieces that belong to another track, deletions and joins, in this order."""
        self._swaps()
        while any(self._sort_pieces(number, last=False) for number in list(self.tracks())):
            pass
        for number in list(self.tracks()):
            self._sort_pieces(number, last=True)
        self._delete_false()
        self._join_proposed()
        self.owner: dict[int, int] = {}
        for number in self.truth:
            pieces = [n for n, t in self.tracks().items() if self._owner(t) == number]
            pieces.sort(key=lambda n: self.tracks()[n].extent)
            for other in pieces[1:]:
                self.do("join", track=pieces[0], other=other)
            if pieces:
                self.owner[number] = pieces[0]
        self._trim()

    def _sort_pieces(self, number: int, *, last: bool) -> bool:
        """What follows a switch goes to the track that has the object; ``last``: or is new."""
        objects = [one for one in self.stretches(self.tracks()[number]) if one[2]]
        owners = {n: self._owner(t) for n, t in self.tracks().items() if n != number}
        for before, after in reversed(list(pairwise(objects))):
            if before[2] == after[2]:
                continue
            frame = after[0]
            has = [n for n, owner in owners.items() if owner == after[2]]
            goes_on = [
                n
                for n, owner in owners.items()
                if owner == before[2] and self.tracks()[n].extent[0] >= frame
            ]
            if has and self.group:
                self.do("give", track=number, other=has[0], frame=frame)
                return True
            if goes_on and last and self.group:
                self.do("swap", track=number, other=goes_on[0], frame=frame)
            elif last:
                self.do("split", track=number, frame=frame, new=self.journal.next_id(0))
        return False

    def _delete_false(self) -> None:
        """The tracks with the lowest scores at once, as far as all are false; others one by one."""
        false = [n for n, t in self.tracks().items() if not self._owner(t)]
        if self.group:
            ranked = sorted(self.tracks(), key=lambda n: self.shown(self.tracks()[n]).scores.mean())
            weakest = list(takewhile(false.__contains__, ranked))
            if weakest:
                self.do("delete", tracks=weakest)
                false = [one for one in false if one not in weakest]
        for number in false:
            self.do("delete", tracks=[number])

    def _join_proposed(self) -> None:
        """The pairs that the page proposes, where they save actions: wrong ones are unticked."""
        found = continuations(self.journal.document, 0, self.scene.size_px) if self.group else []
        owner = {n: self._owner(t) for n, t in self.tracks().items()}
        right = [[p.track, p.other] for p in found if owner[p.track] == owner[p.other]]
        wrong = len(found) - len(right)
        if wrong + 1 < len(right):
            self.do("joins", pairs=right)
            self.actions |= {"untick": wrong} if wrong else {}

    def _trim(self) -> None:
        """Ends outside an area that the person draws, if any: each side where it leaves least."""
        if not self.group:
            return
        width, height = self.scene.size_px
        document, tracks = self.journal.document, list(self.owner.values())
        before = best = self._ends_to_do(document)
        within = [1.0, 1.0, width - 1.0, height - 1.0]
        for side, length in enumerate((width, height) * 2):
            for margin in TRIM_MARGINS:
                tried, inner = list(within), max(margin * length, 1.0)
                tried[side] = inner if side < 2 else length - inner
                action = {"do": "trim", "video": 0, "tracks": tracks, "within": tried}
                with suppress(InputError):
                    left = self._ends_to_do(document.with_changes(changes(document, action)))
                    if left < best:
                        best, within = left, tried
        if best + 1 < before:
            self.do("trim", tracks=tracks, within=within)

    def _ends_to_do(self, document: Document) -> int:
        """At how many ends the tracks begin or end in another frame than their objects."""
        count = 0
        for number, track in self.owner.items():
            shown, rows = self.shown(document.tracks(0)[track]).frames, self.truth[number].frames
            count += int(shown[0] != rows[0]) + int(shown[-1] != rows[-1])
        return count

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
                shown = self.shown(self.tracks()[self.owner[number]]).frames
                if not shown[0] <= rows.frames[row] <= shown[-1]:
                    nearer = shown[0] if rows.frames[row] < shown[0] else shown[-1]
                    self._count_edge(rows.frames[row], nearer, rows.boxes_xyxy[row])
                self._bend(number, rows, row)

    def _bend(self, number: int, rows: TrackTable, row: int) -> None:
        """One drawn box, spread as it looks best a third and 0.8 s away and in all of the track."""
        track, frame = self.owner[number], int(rows.frames[row])
        bend = {"do": "bend", "video": 0, "track": track, "frame": frame, "box": drawn(rows, row)}
        if self.group and not self._is_in_all_of_gap(track, rows, frame):
            bend["gap"] = "keep"
        spread = "reach"
        if self.group and len(self.tracks()[track].base):
            near = np.abs(self.times_s[rows.frames] - self.times_s[frame])
            looked = [row + side * np.count_nonzero((near <= away) & (sign > 0))
                      for away in (0.3, 0.8) for side, sign in
                      ((1, rows.frames - frame), (-1, frame - rows.frames))]  # fmt: skip
            looked += np.linspace(0, len(rows) - 1, 5).round().astype(int)[1:4].tolist()
            document, part = self.journal.document, ("track", 0, track)
            found = {
                name: self._overlap(changes(document, {**bend, "spread": name})[part], rows)[looked]
                for name in SPREADS
            }
            spread = max(found, key=lambda name: float(found[name].mean()))
        self.do(
            "bend", **{k: v for k, v in bend.items() if k not in ("do", "video")}, spread=spread
        )

    def _is_in_all_of_gap(self, track: int, rows: TrackTable, frame: int) -> bool:
        """Whether the object has a box all through the gap of its track that a frame is in."""
        shown = self.shown(self.tracks()[track]).frames
        after = int(np.searchsorted(shown, frame))
        if after in (0, len(shown)) or shown[after] == frame:
            return False
        return bool(np.isin(np.arange(shown[after - 1], shown[after]), rows.frames).all())

    def _worst(self, number: int, rows: TrackTable) -> tuple[int, float]:
        track = self.tracks()[self.owner[number]]
        shown, values = self.shown(track), self._overlap(track, rows)
        absent = np.flatnonzero(~np.isin(rows.frames, shown.frames))
        if len(absent):  # the farther end first: one key extends the track over all between
            return _far_end(absent, rows.frames), 0.0
        return int(values.argmin()), float(values.min())

    def _overlap(self, track: Track, rows: TrackTable) -> np.ndarray:
        """IoU (N,) of a track with every row of its object; 0 where it has no box."""
        shown, values = self.shown(track), np.zeros(len(rows))
        _, theirs, mine = np.intersect1d(rows.frames, shown.frames, return_indices=True)
        values[theirs] = paired_iou(rows.boxes_xyxy[theirs], shown.boxes_xyxy[mine])
        return values

    def remove_surplus(self) -> None:
        """What is shown where the truth has nothing: one span a stretch."""
        for number, rows in self.truth.items():
            track = self.owner[number]
            shown = self.shown(self.tracks()[track])
            frames = shown.frames
            surplus = frames[~np.isin(frames, rows.frames)]
            for part in np.split(surplus, np.flatnonzero(np.diff(surplus) > 1) + 1):
                if len(part):
                    end = frames[0] if part[0] == frames[0] else frames[-1]
                    if end in part:
                        box = shown.boxes_xyxy[np.searchsorted(frames, end)]
                        self._count_edge(part[0], part[-1], box)
                    span = {"first": int(part[0]), "last": int(part[-1]), "kind": "outside"}
                    self.do("span", track=track, **span)

    def _count_edge(self, one: int, two: int, box: np.ndarray) -> None:
        """Count an action that moves an end by little, near the edge of the picture."""
        shares = box / np.array(self.scene.size_px * 2)
        near = shares[:2].min() < _EDGE or shares[2:].max() > 1 - _EDGE
        self.at_edges += bool(near and abs(self.times_s[one] - self.times_s[two]) <= _EDGE_S)

    def work(self, threshold: float) -> dict[str, int]:
        """All of it; number of actions by name."""
        self.repair_identities()
        self.repair_boxes(threshold)
        self.remove_surplus()
        for number, rows in self.truth.items():  # removing must not have undone anything
            assert self._worst(number, rows)[1] >= threshold
        return self.actions


def _far_end(absent: np.ndarray, frames: np.ndarray) -> int:
    """The row to draw of rows without a box: the end of a stretch that is away from the others."""
    if absent[0] == 0:
        return 0
    stretch = np.split(absent, np.flatnonzero(np.diff(absent) > 1) + 1)[-1]
    begins_alone = frames[stretch[0]] > frames[stretch[0] - 1] + 1
    return int(stretch[0] if begins_alone and stretch[-1] + 1 < len(frames) else stretch[-1])


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


def predicted(scene: Scene, model: str, cache: Path | None) -> tuple[TrackTable, TrackTable]:
    """The tracks of a model, refined offline, and its detections."""
    tag = f"{scene.name}-{zlib.crc32(model.encode()):08x}.npz"
    names = TrackTable.__dataclass_fields__
    if cache is not None and (cache / tag).exists():
        with np.load(cache / tag) as stored:
            tracks, found = (
                TrackTable(**{name: stored[f"{kind}_{name}"] for name in names})
                for kind in ("tracks", "detections")
            )
        return tracks, found
    tracked, detected = [], []
    if scene.steps is not None:
        tracker = make_tracker("vodkit", [])
        tracked = [(f.index, f.time_s, tracker.step(f, found)) for f, found in scene.steps]
        return refine(TrackTable.from_frames(tracked)), TrackTable.empty()
    settings = sharp(model, [scene.video])
    for frame, detections, tracks in track_video(scene.video, settings=settings):
        tracked.append((frame.index, frame.time_s, tracks))
        detected.append((frame.index, frame.time_s, detections))
    tracks = refine(TrackTable.from_frames(tracked), RefineSettings())
    found = TrackTable.from_frames(detected)
    if cache is not None:
        cache.mkdir(exist_ok=True)
        both = (("tracks", tracks), ("detections", found))
        np.savez(
            cache / tag, **{f"{kind}_{n}": getattr(table, n) for kind, table in both for n in names}
        )
    return tracks, found


def learnt(model: str, count: int, folder: Path) -> dict[str, Any]:
    """What the page's job says that learns from frames of plaza_a, spread over the clip."""
    dataset = read_dataset(samples.LABELS)
    (clip,) = [one for one in dataset.videos if Path(one.source).stem == samples.CLIP_A.stem]
    assert clip.tracks is not None
    chosen = np.linspace(0, (clip.info.num_frames or 1) - 1, count).round().astype(int)
    table = clip.tracks[np.isin(clip.tracks.frames, chosen)]
    accepted = replace(clip, tracks=table, labelled_frames=chosen)
    parts = split_accepted(
        replace(dataset, videos=(accepted,)), samples.LABELS.parent, folder.absolute()
    )
    write_dataset(parts, folder / "accepted.json")
    task = {"do": "learn", "data": str((folder / "accepted.json").absolute()), "model": model,
            "out": str(folder / "run"), "epochs": 0}  # fmt: skip
    begun, used = time.monotonic(), os.times()
    command = [sys.executable, "-m", "vodkit.review.worker"]
    done = subprocess.run(
        command, input=json.dumps(task), capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise InputError(done.stderr)
    said: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    spent = os.times().children_user - used.children_user
    print(f"learnt in {time.monotonic() - begun:.0f} s, {spent:.0f} s of processor time: {said}")
    return said


def relabelled_curves(
    scene: Scene, before: Prediction, after: Prediction, smooth_s: float
) -> list[Track]:
    """What the page shows of a video after learning."""
    curves = model_tracks(before.tracks, scene.times_s, CurveSettings(smooth_s=smooth_s))
    journal = Person(scene, curves, REACH_S).journal
    one, two = (
        Prediction(*(replace(t, labels=np.zeros(len(t))) for t in (p.found, p.tracks)))
        for p in (before, after)
    )
    return list(relabelled(journal, 0, scene.size_px, two, one.tracks)[0].values())


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
        info = probe(video)
        size = (info.width_px, info.height_px)
        out.append(Scene(name, video, table[~table.ignore], frame_times_s(video), size))
    return [*out, *(of_detections(data / name) for name in wanted if "/" in name)]


def of_detections(folder: Path) -> Scene:
    """A sequence of a tracking benchmark: detections and truth, no pictures."""
    found = mot_scene(folder, folder.name, "")
    table = found.truth[~found.truth.ignore]
    times = np.array([frame.time_s for frame, _ in found.steps])
    return Scene(folder.name, folder, table[table.labels == 0], times, found.size_px, found.steps)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--data", type=Path, default=SHARED)
    parser.add_argument("--sets", default="plaza_b,pets,two_flies")
    parser.add_argument("--model", default="vodkit-street")
    parser.add_argument("--thresholds", default="0.8,0.7,0.5")
    parser.add_argument("--smooth-s", default=str(SMOOTH_S))
    parser.add_argument("--reach-s", default=str(REACH_S))
    parser.add_argument("--ways", default="oracle,linear,per-frame,bend,page")
    parser.add_argument("--cache", type=Path)
    parser.add_argument("--learn", type=int, default=0, help="accepted frames of plaza_a")
    asked = parser.parse_args()
    process.settle()
    if asked.learn:
        with tempfile.TemporaryDirectory() as folder:
            after_learning(asked, Path(folder))
        return
    for scene in scenes(asked.data, asked.sets.split(",")):
        ways = asked.ways.split(",")
        table = TrackTable.empty()
        if {"bend", "page", "per-frame"} & set(ways):
            table, _ = predicted(scene, asked.model, asked.cache)
        for threshold in map(float, asked.thresholds.split(",")):
            for way in ways:
                if way == "oracle":
                    tell(scene, way, threshold, {"draw": oracle(scene, threshold)})
                elif way == "linear":
                    person = Person(scene, [], 0.8, group=False)
                    tell(scene, way, threshold, person.work(threshold), person.at_edges)
                elif way == "per-frame":
                    raw = model_tracks(
                        table, scene.times_s, CurveSettings(smooth_s=0, tolerance_px=1e-6)
                    )
                    person = Person(scene, raw, 1e-6, group=False)
                    tell(scene, way, threshold, person.work(threshold), person.at_edges)
                else:
                    for smooth_s in map(float, asked.smooth_s.split(",")):
                        curves = model_tracks(
                            table, scene.times_s, CurveSettings(smooth_s=smooth_s)
                        )
                        for reach_s in map(float, asked.reach_s.split(",")):
                            person = Person(scene, curves, reach_s, group=way == "page")
                            words = f"{way} smooth {smooth_s:g} s reach {reach_s:g} s"
                            tell(scene, words, threshold, person.work(threshold), person.at_edges)


def after_learning(asked: argparse.Namespace, folder: Path) -> None:
    """The page before and after learning."""
    found = learnt(asked.model, asked.learn, folder)
    adopted = found["after"][0] < found["before"][0]
    print(f"adopted: {adopted}")
    for scene in scenes(asked.data, asked.sets.split(",")):
        tracks, seen = predicted(scene, asked.model, asked.cache)
        before = Prediction(seen, tracks)
        begin = {"page": model_tracks(tracks, scene.times_s)}
        if adopted:
            tracks, seen = predicted(scene, found["checkpoint"], None)
            after = Prediction(seen, tracks)
            begin["page, new tracks"] = model_tracks(tracks, scene.times_s)
            begin["page, learnt"] = relabelled_curves(scene, before, after, SMOOTH_S)
        for threshold in map(float, asked.thresholds.split(",")):
            for way, curves in begin.items():
                person = Person(scene, curves, REACH_S)
                tell(scene, way, threshold, person.work(threshold), person.at_edges)


def tell(
    scene: Scene, way: str, threshold: float, actions: dict[str, int], at_edges: int = 0
) -> None:
    """One line; ``at_edges``: those that only move an end near the edge of the picture."""
    total, words = sum(actions.values()), json.dumps({**actions, "(at edges)": at_edges})
    print(f"{scene.name:14} {threshold:.1f} {way:36} {total:5}  {words}", flush=True)


if __name__ == "__main__":
    main()
