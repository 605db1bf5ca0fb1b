"""The domains of ``all_trackers.py``: scenes with detections, camera motion, truth, and scores.

Boxes of our own detectors are made once, with colours and camera motion, and kept in ``CACHE``;
the detector of flies is trained first, on another video. Scores follow TrackEval's rules of each
benchmark (MOT15, MOT17, Kitti2DBox) with vodkit's own metrics, which count as TrackEval does;
``python benchmarks/all_trackers.py --check`` compares the two.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from itertools import pairwise
from pathlib import Path

import numpy as np
from scipy.optimize import linear_sum_assignment

from track_looks import detections
from vodkit.data.ingest import ingest
from vodkit.formats.base import Reading
from vodkit.formats.table import read_dataset
from vodkit.ground.boxes import covered, iou
from vodkit.ground.records import Detections, Frame, LabelledVideo, TrackTable
from vodkit.metrics.tracking.clear import ClearCounts, clear_counts, clear_scores
from vodkit.metrics.tracking.hota import HotaCounts, hota_counts, hota_scores
from vodkit.metrics.tracking.identity import IdentityCounts, identity_counts, identity_scores
from vodkit.metrics.tracking.preprocess import mot_challenge
from vodkit.metrics.tracking.sequence import EPS, FramePairs, Sequence2D, pair_up
from vodkit.samples import samples
from vodkit.track.appearance import colours
from vodkit.track.camera_motion import CameraMotion
from walkers import World, walk

SHARED = Path(__file__).parent.parent.parent / "shared" / "data"
CACHE = Path(__file__).parent.parent / "build" / "trackers"
"""detections of our own detectors, and results; safe to delete"""
KITTI_CLASSES = ("car", "pedestrian", "cyclist", "van", "truck")
_KITTI_DISTRACTOR = {"car": "van", "pedestrian": "person"}
_KITTI_LEAST_HEIGHT_PX = 25
Steps = list[tuple[Frame, Detections]]


@dataclass(frozen=True, kw_only=True)
class Scene:
    """One video: what was detected, how the camera moved, and the truth in TrackEval's form."""

    domain: str
    name: str
    rate: float
    size_px: tuple[int, int]
    steps: Steps
    motion: Mapping[int, np.ndarray] = field(default_factory=dict)
    """frame index: affine (2, 3) from the frame before; empty: not recorded"""
    truth: TrackTable
    folder: Path = Path()
    """where the truth's files are"""
    rules: str = "plain"
    """plain, MOT15, MOT17 or kitti"""
    kitti_rows: np.ndarray | None = None
    """rows of the label file: frame, id, class, truncated, occluded, x1, y1, x2, y2"""

    def sequences(self, table: TrackTable) -> dict[str, Sequence2D]:
        """Truth and tracks side by side, by the name of the domain that they are counted in."""
        frames = np.array([frame.index for frame, _ in self.steps])
        if self.rules == "kitti":
            return {
                f"kitti-{one}": _kitti_sequence(self.kitti_rows, table, frames, one)
                for one in ("car", "pedestrian")
            }
        truth = self.truth
        if self.rules != "plain":
            truth, table = mot_challenge(truth, table, frames, benchmark=self.rules)
        return {self.domain: pair_up(truth, table, frames)}


@dataclass(frozen=True)
class Counts:
    """What adds up over the scenes of a domain."""

    hota: HotaCounts
    clear: ClearCounts
    identity: IdentityCounts

    def __add__(self, other: "Counts") -> "Counts":
        """Both together."""
        return Counts(
            self.hota + other.hota, self.clear + other.clear, self.identity + other.identity
        )

    def scores(self) -> dict[str, float]:
        """In percent, as TrackEval's COMBINED_SEQ has them."""
        hota, clear = hota_scores(self.hota), clear_scores(self.clear)
        identity = identity_scores(self.identity)
        shares = {
            "HOTA": hota.hota, "DetA": hota.det_a, "AssA": hota.ass_a,
            "MOTA": clear.mota, "IDF1": identity.idf1,
        }  # fmt: skip
        counts = {"IDSW": self.clear.idsw, "FP": self.clear.fp, "FN": self.clear.fn}
        return {name: round(100 * (v or 0.0), 2) for name, v in shares.items()} | counts


def count(scene: Scene, table: TrackTable) -> dict[str, Counts]:
    """Counts of one scene by domain."""
    return {
        domain: Counts(hota_counts(pair), clear_counts(pair), identity_counts(pair))
        for domain, pair in scene.sequences(table).items()
    }


def mot_scene(folder: Path, domain: str, rules: str) -> Scene:
    """A MOTChallenge sequence: its detections, camera motion and truth."""
    info = dict(
        line.split("=", 1)
        for line in (folder / "seqinfo.ini").read_text().splitlines()
        if "=" in line
    )
    rate, num = float(info["frameRate"]), int(info["seqLength"])
    size = int(info["imWidth"]), int(info["imHeight"])
    rows = np.loadtxt(folder / "det" / "det.txt", delimiter=",", ndmin=2)
    boxes = np.hstack([rows[:, 2:4], rows[:, 2:4] + rows[:, 4:6]])
    found = _by_frame(rows[:, 0].astype(int) - 1, boxes, np.clip(rows[:, 6], 0, 1), num)
    truth = np.loadtxt(folder / "gt" / "gt.txt", delimiter=",", ndmin=2)
    return Scene(
        domain=domain, name=folder.name, folder=folder, rate=rate, size_px=size, rules=rules,
        steps=_steps(found, rate, size), truth=_mot_truth(truth, rate),
        motion=_motion(folder / "camera_motion.txt", first=1),
    )  # fmt: skip


def _mot_truth(rows: np.ndarray, rate: float) -> TrackTable:
    classes = rows[:, 7] - 1 if rows.shape[1] > 7 else np.zeros(len(rows))
    return TrackTable(
        frames=rows[:, 0] - 1, times_s=(rows[:, 0] - 1) / rate, ids=rows[:, 1],
        boxes_xyxy=np.hstack([rows[:, 2:4], rows[:, 2:4] + rows[:, 4:6]]),
        labels=np.maximum(classes, 0), ignore=rows[:, 6] == 0,
    )  # fmt: skip


def _motion(path: Path, *, first: int) -> dict[int, np.ndarray]:
    if not path.exists():
        return {}
    rows = np.loadtxt(path, ndmin=2)
    return {int(row[0]) - first: row[1:].reshape(2, 3) for row in rows if row[0] > first}


def _by_frame(
    frames: np.ndarray, boxes: np.ndarray, scores: np.ndarray, num: int, labels=None
) -> list[Detections]:
    labels = np.zeros(len(frames), int) if labels is None else labels
    order = np.argsort(frames, kind="stable")
    cuts = np.searchsorted(frames[order], np.arange(num + 1))
    parts = (order[a:b] for a, b in pairwise(cuts))
    return [Detections(boxes[own], scores[own], labels[own]) for own in parts]


def _steps(found: list[Detections], rate: float, size: tuple[int, int]) -> Steps:
    return [
        (Frame.unseen(i, i / rate, width_px=size[0], height_px=size[1]), one)
        for i, one in enumerate(found)
    ]


def _kitti_scene(folder: Path, name: str) -> Scene:
    def numbers(path: Path) -> np.ndarray:
        known = {one: n for n, one in enumerate((*KITTI_CLASSES, "person", "dontcare"))}
        names = {"person_sitting": "person"}
        rows = []
        for line in path.read_text().splitlines():
            word = line.split()
            kind = known.get(names.get(word[2].lower(), word[2].lower()), -1)
            score = [float(word[17])] if len(word) > 17 else []
            rows.append(
                [float(w) for w in (word[0], word[1], kind, *word[3:5], *word[6:10])] + score
            )
        return np.array(rows)

    truth, rows = numbers(folder / "label_02" / name), numbers(folder / "det_02" / name)
    motion = _motion(folder / "camera_motion" / name, first=0)
    num = int(max(truth[:, 0].max(), rows[:, 0].max(), *motion)) + 1
    found = _by_frame(rows[:, 0].astype(int), rows[:, 5:9], rows[:, 9], num, rows[:, 2].astype(int))
    size = 1242, 375
    return Scene(
        domain="kitti", name=Path(name).stem, folder=folder, rate=10.0, size_px=size, rules="kitti",
        steps=_steps(found, 10.0, size), truth=TrackTable.empty(), kitti_rows=truth, motion=motion,
    )  # fmt: skip


def _kitti_sequence(
    rows: np.ndarray, table: TrackTable, frames: np.ndarray, name: str
) -> Sequence2D:
    """One class as TrackEval's ``kitti_2d_box.py`` counts it: the same steps in the same order."""
    known = (*KITTI_CLASSES, "person", "dontcare")
    own, other = known.index(name), known.index(_KITTI_DISTRACTOR[name])
    truth_ids, found_ids, pairs = [], [], []
    table = table[table.labels == own]
    for frame in frames.tolist():
        here = rows[rows[:, 0] == frame]
        regions = here[here[:, 2] == known.index("dontcare"), 5:9]
        here = here[np.isin(here[:, 2], (own, other))]
        start, end = np.searchsorted(table.frames, [frame, frame + 1])
        boxes, ids = table.boxes_xyxy[start:end], table.ids[start:end]
        overlap = iou(here[:, 5:9], boxes)
        counted = (here[:, 2] == own) & (here[:, 3] <= 0) & (here[:, 4] <= 2)
        matching = np.where(overlap < 0.5 - EPS, 0, overlap)
        r, c = linear_sum_assignment(-matching)
        real = matching[r, c] > EPS
        r, c = r[real], c[real]
        kept = np.ones(len(ids), bool)
        kept[c[~counted[r]]] = False
        alone = np.setdiff1d(np.arange(len(ids)), c)
        low = boxes[alone, 3] - boxes[alone, 1] <= _KITTI_LEAST_HEIGHT_PX + EPS
        inside = (covered(boxes[alone], regions) > 0.5 + EPS).any(axis=1)
        kept[alone[low | inside]] = False
        truth_ids.append(here[counted, 1].astype(int))
        found_ids.append(ids[kept])
        left = overlap[counted][:, kept]
        pairs.append(FramePairs(*np.nonzero(left), left[left > 0]))
    truth_ids, num_truth = _dense(truth_ids)
    found_ids, num_found = _dense(found_ids)
    return Sequence2D(
        truth_ids=truth_ids, found_ids=found_ids, pairs=pairs,
        num_truth_ids=num_truth, num_found_ids=num_found,
    )  # fmt: skip


def _dense(parts: list[np.ndarray]) -> tuple[list[np.ndarray], int]:
    known, at = np.unique(np.concatenate([*parts, np.empty(0, int)]), return_inverse=True)
    return np.split(at, np.cumsum([len(part) for part in parts])[:-1]), len(known)


def _mot_folder(domain: str, folder: str, rules: str) -> Iterator[Scene]:
    for path in sorted((SHARED / folder).iterdir()):
        if path.is_dir():
            yield mot_scene(path, domain, rules)


def _kitti() -> Iterator[Scene]:
    for path in sorted((SHARED / "tracking" / "kitti" / "label_02").iterdir()):
        yield _kitti_scene(path.parent.parent, path.name)


@dataclass(frozen=True)
class Recording:
    """What a detector made of a video, as a live run sees it."""

    steps: Steps
    motion: dict[int, np.ndarray]


def _record(video: Path, model: str, name: str) -> Recording:
    """Boxes, colours and camera motion of a video; made once, then read from ``CACHE``."""
    path = CACHE / f"{video.stem}.npz"
    if not path.exists():
        _detect(video, model, name, path)
    with np.load(path) as known:
        rows, looks, motion = known["rows"], known["looks"], known["motion"]
        times_s, (width, height) = known["times_s"], known["size_px"].tolist()
    order = np.argsort(rows[:, 0], kind="stable")
    cuts = np.searchsorted(rows[order, 0], np.arange(len(times_s) + 1))
    steps = []
    for i, time_s in enumerate(times_s.tolist()):
        own = order[cuts[i] : cuts[i + 1]]
        found = Detections(rows[own, 1:5], rows[own, 5], np.zeros(len(own), int), looks[own])
        steps.append((Frame.unseen(i, time_s, width_px=width, height_px=height), found))
    return Recording(steps, {i: one for i, one in enumerate(motion) if np.isfinite(one).all()})


def _detect(video: Path, model: str, name: str, path: Path) -> None:
    from vodkit.infer.flow import detect_video, make_detector
    from vodkit.infer.settings import InferSettings

    detector, camera = make_detector(InferSettings(model=model)), CameraMotion()
    own, rows, looks, motion, times_s = detector.classes.index(name), [], [], [], []
    for frame, found in detect_video(video, detector):
        mine = found[found.labels == own]
        index = np.full((len(mine), 1), frame.index)
        rows.append(np.hstack([index, mine.boxes_xyxy, mine.scores[:, None]]))
        looks.append(colours(frame, mine.boxes_xyxy.astype(float)).astype(np.float32))
        affine = camera.step(frame, mine.boxes_xyxy[mine.scores >= 0.1])
        motion.append(np.full((2, 3), np.nan) if affine is None else affine)
        times_s.append(frame.time_s)
    CACHE.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(
        path, rows=np.vstack(rows), looks=np.vstack(looks), motion=motion, times_s=times_s,
        size_px=(frame.width_px, frame.height_px),
    )  # fmt: skip


def _fly_model() -> str:
    """A detector of flies, trained on ``clip.mp4`` alone (some minutes, once)."""
    from vodkit.formats.table import write_dataset
    from vodkit.ground.records import Dataset
    from vodkit.train.loop import train
    from vodkit.train.settings import TrainSettings

    best = CACHE / "flies" / "best.safetensors"
    if not best.exists():
        CACHE.mkdir(parents=True, exist_ok=True)
        folder = SHARED / "sequences" / "flies"
        videos = tuple(
            replace(labelled(folder / f"{name}.mp4", folder / f"{name}_gt.txt", "fly"), split=split)
            for name, split in (("clip", "train"), ("single_fly", "val"))
        )
        sides = CACHE / "flies.json"
        write_dataset(Dataset(classes=("fly",), videos=videos), sides, "cocovid")
        size = {"width_px": 320, "height_px": 320, "every": 20}
        train(TrainSettings(data=str(sides), out=str(best.parent), **size))
    return str(best)


def labelled(video: Path, truth: Path, name: str) -> LabelledVideo:
    """A video and its boxes in a MOT file."""
    reading = Reading(source=str(video), classes=(name,))
    return ingest(truth, reading=reading).dataset.videos[0]


def _own_scene(domain: str, video: Path, truth: TrackTable, model: str, name: str) -> Scene:
    known = _record(video, model, name)
    frame = known.steps[0][0]
    rate = (len(known.steps) - 1) / known.steps[-1][0].time_s
    assert truth.ignore is not None
    return Scene(
        domain=domain, name=video.stem, rate=rate, truth=truth[~truth.ignore], steps=known.steps,
        size_px=(frame.width_px, frame.height_px), motion=known.motion,
    )  # fmt: skip


def _pets() -> Iterator[Scene]:
    folder = SHARED / "sequences" / "pets09_s2l1"
    truth = labelled(folder / "vtest.avi", folder / "gt.txt", "person").tracks
    yield _own_scene("pets", folder / "vtest.avi", truth, "vodkit-street", "person")


def _flies() -> Iterator[Scene]:
    folder = SHARED / "sequences" / "flies"
    truth = labelled(folder / "two_flies.mp4", folder / "two_flies_gt.txt", "fly").tracks
    yield _own_scene("flies", folder / "two_flies.mp4", truth, _fly_model(), "fly")


def _plaza() -> Iterator[Scene]:
    for video in read_dataset(samples.LABELS).videos:
        path = samples.LABELS.parent / video.source
        yield _own_scene("plaza", path, video.tracks, "vodkit-street", "person")


def _noised() -> Iterator[Scene]:
    """The truth of four videos, jittered, missed and hidden as in ``track_looks.py``."""
    for seed, scene in enumerate([*scenes("pets"), *scenes("plaza"), *scenes("flies")]):
        frames = [frame for frame, _ in scene.steps]
        found = detections(frames, scene.truth, seed)
        steps = list(zip(frames, found, strict=True))
        yield replace(scene, domain="noised", steps=steps, motion={})


STREETS: dict[str, World] = {
    "calm": World(seed=101),
    "crowd": World(seed=102, num_people=30, doubles=0.05, slips=0.05, suppress_iou=0.7),
    "slow camera": World(seed=103, rate=7.0, jitter=0.08, ghosts=2.0),
    "swaying": World(seed=104, shake=0.15, suppress_iou=0.7),
    "sparse": World(seed=105, num_people=5, ghosts=0.5, miss=0.25, rate=30.0, seconds=20),
}
"""made-up streets (``walkers.py``); the swaying one has camera motion"""


def _streets() -> Iterator[Scene]:
    for name, world in STREETS.items():
        truth, steps = walk(world)
        yield Scene(
            domain="streets", name=name, rate=world.rate, truth=truth, steps=steps,
            size_px=(world.width_px, world.height_px), motion=_sway(world, len(steps)),
        )  # fmt: skip


def _sway(world: World, num: int) -> dict[int, np.ndarray]:
    if not world.shake:
        return {}
    pan = world.shake * world.width_px * np.sin(np.arange(num) / world.rate * 1.7) / 1.7
    steps = np.diff(pan)
    return {i + 1: np.array([[1, 0, step], [0, 1, 0]]) for i, step in enumerate(steps.tolist())}


DOMAINS: dict[str, Callable[[], Iterator[Scene]]] = {
    "mot15": lambda: _mot_folder("mot15", "sequences/mot15", "MOT15"),
    "mot17": lambda: _mot_folder("mot17", "tracking/mot17", "MOT17"),
    "dance": lambda: _mot_folder("dance", "tracking/dance", "MOT17"),
    "kitti": _kitti,
    "pets": _pets,
    "flies": _flies,
    "plaza": _plaza,
    "streets": _streets,
    "noised": _noised,
}


@cache
def scenes(domain: str) -> list[Scene]:
    """All scenes of a domain."""
    return list(DOMAINS[domain]())


def shortened(scene: Scene, most: int) -> Scene:
    """The first ``most`` frames, for searches."""
    if len(scene.steps) <= most:
        return scene
    truth, rows = scene.truth, scene.kitti_rows
    return replace(
        scene, steps=scene.steps[:most], truth=truth[truth.frames < most],
        kitti_rows=None if rows is None else rows[rows[:, 0] < most],
    )  # fmt: skip
