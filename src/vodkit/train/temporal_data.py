"""Settings of a temporal head, and what it learns from: stored candidates of labelled videos.

The frozen detector runs once over the labelled frames and those around them that memory asks for,
on each frame as it is and on a degraded copy (motion blur, defocus, noise, patches), so that a head
can learn when to trust memory. Only candidates are kept: boxes, scores, labels, pooled features.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from vodkit.data.degrade import degraded
from vodkit.data.frame_reader import open_labelled
from vodkit.data.sampling import labelled_keys
from vodkit.detect.base import Detector, ModelCard
from vodkit.detect.defaults import CANDIDATE_SCORE
from vodkit.detect.embed import PoolSettings
from vodkit.detect.models import find_card, load_detector
from vodkit.detect.temporal_head import Keys
from vodkit.formats.table import read_dataset
from vodkit.ground.arrays import BoolArray, FloatArray, IntArray
from vodkit.ground.boxes import iou
from vodkit.ground.errors import InputError, SettingsError
from vodkit.ground.records import Dataset, Detections, Frame, LabelledVideo
from vodkit.temporal.links import LinkSettings, with_velocities
from vodkit.temporal.memory import BASELINE_S, Remembered, geometry
from vodkit.temporal.recall import RecallSettings
from vodkit.train.resume import described, digest
from vodkit.train.settings import LAST_SEED

MODES = ("causal", "both")
MATCH_IOU = 0.5
Watch = Callable[[str, int, int], None]
"""takes what is being done, how much of it is done, and how much there is"""
_BATCH = 16


@dataclass(frozen=True, kw_only=True)
class TemporalSettings:
    """One training of a temporal head; unknown names are refused."""

    data: str
    """dataset file or folder, in any known format"""
    out: str = "runs/temporal"
    """run folder: temporal.safetensors, its card, settings, manifest"""
    model: str = "vodkit-street"
    """the detector, which stays as it is: a name in ``vodkit models``, a checkpoint or a graph"""
    root: str = ""
    """folder that the videos' paths are relative to; empty: the dataset file's"""
    train_split: str = "train"
    """empty: all videos"""
    val_split: str = ""
    """what the head is measured on; empty: on the last quarter of each video, not learnt from"""
    mode: str = "causal"
    """causal: frames before; both: also frames after, for files"""
    stages: tuple[str, ...] = ()
    """of the network, where features are taken from; empty: neck, or stage3 without a neck"""
    bins: tuple[int, ...] = (3, 3)
    """rows and columns that a box is cut into"""
    size: int = 32
    """numbers of a key"""
    lags_s: tuple[float, ...] = RecallSettings().lags_s
    """lags, in seconds, of the frames that are compared"""
    most: int = RecallSettings().most
    """candidates of a frame that memory may change, best first"""
    remembered: int = RecallSettings().remembered
    """candidates of a remembered frame, best first"""
    most_frames: int = 300
    """labelled frames of each video, evenly spread"""
    degraded: float = 0.3
    """share of frames that are degraded"""
    forget: float = 0.15
    """share of remembered frames that are withheld"""
    steps: int = 1000
    batch_size: int = 16
    lr: float = 2e-3
    stay: float = 0.05
    """how strongly the weights of links are held near where they began"""
    same_labels: bool = False
    """also learn from labels that the detector was trained on, of which it is too sure"""
    seed: int = 0

    def __post_init__(self) -> None:
        """Check ranges."""
        self.shape  # noqa: B018 - checks lags and counts
        PoolSettings(stages=self.stages or ("neck",), bins=self.bins)
        if self.mode not in MODES:
            raise SettingsError(f"mode is {self.mode!r}; allowed: {', '.join(MODES)}")
        for name, least in (("size", 2), ("most_frames", 4), ("steps", 0), ("batch_size", 1)):
            if getattr(self, name) < least:
                raise SettingsError(f"{name} is {getattr(self, name)}; allowed: {least} or more")
        if not 0 < self.lr < math.inf:
            raise SettingsError(f"lr is {self.lr}; allowed: above 0, finite")
        if not 0 <= self.seed <= LAST_SEED:
            raise SettingsError(f"seed is {self.seed}; allowed: 0 to {LAST_SEED}")
        for name in ("degraded", "forget", "stay"):
            if not 0 <= getattr(self, name) <= 1:
                raise SettingsError(f"{name} is {getattr(self, name)}; allowed: 0 to 1")

    @property
    def shape(self) -> RecallSettings:
        """The shape of the memory."""
        return RecallSettings(
            lags_s=self.lags_s,
            most=self.most,
            remembered=self.remembered,
            both=self.mode == "both",
        )


@dataclass(frozen=True, eq=False)
class Key:
    """A labelled frame, and the frames that memory may ask for."""

    versions: tuple[Remembered, Remembered]
    """the frame's candidates as it is, and degraded; ``keys`` are pooled features (N, F)"""
    overlaps: tuple[FloatArray, FloatArray]
    """of each version: (N, T) IoU of candidates with the truth of their class, else 0"""
    counts: tuple[BoolArray, BoolArray]
    """of each version: (N,) whether a candidate counts, and is not in an ignored region"""
    truth_xyxy: FloatArray
    """(T, 4) in pixels of the video"""
    truth_labels: IntArray
    """(T,)"""
    around: tuple[tuple[Remembered, Remembered], ...]
    """of each frame around: as it is, and degraded"""


@dataclass(frozen=True, eq=False, kw_only=True)
class Material:
    """What there is to learn from."""

    videos: tuple[tuple[Key, ...], ...]
    """the keys of each video, in order of time"""
    card: ModelCard
    """of the detector"""
    stages: tuple[str, ...]
    """where features were taken from; empty: from nowhere"""
    classes: tuple[str, ...]


def read_material(wanted: TemporalSettings, split: str, watch: Watch) -> Material:
    """Candidates of all labelled frames of a split (empty: of all videos).

    Raises:
        InputError: the split has no labelled frames, or no class of the detector's.
        SettingsError: the detector was trained on these labels.
    """
    dataset = read_dataset(wanted.data)
    part = dataset.only(split) if split else dataset
    refuse_same_labels(wanted, dataset, split)
    place_of = Path(wanted.data)
    folder = place_of if place_of.is_dir() else place_of.parent
    root = Path(wanted.root) if wanted.root else folder
    detector, stages = _detector(wanted, dataset.classes)
    number_of = {name: detector.classes.index(name) for name in detector.classes}
    labels = np.array([number_of.get(name, -1) for name in dataset.classes])
    rng = np.random.default_rng(wanted.seed)
    videos = []
    for number, video in enumerate(part.videos):
        watch("videos", number, len(part.videos))
        videos.append(tuple(_keys(video, root, labels, detector=detector, rng=rng, wanted=wanted)))
    if not any(videos):
        raise InputError(f"{wanted.data}: no labelled frames in split {split!r}")
    return Material(
        videos=tuple(videos), card=detector.card, stages=stages, classes=detector.classes
    )


def refuse_same_labels(wanted: TemporalSettings, dataset: Dataset, split: str) -> None:
    """SettingsError where the detector's card names these labels as what it was trained on.

    Of frames that it learnt from a detector is too sure: a head would learn to ignore memory.
    """
    if wanted.same_labels:
        return
    sides = {video.split for video in dataset.videos if not split or video.split == split}
    parts = [dataset, *(dataset.only(side) for side in sides if side)]
    seen = {digest(described(one)) for one in parts}
    for training in find_card(wanted.model)[0].trained:
        if training.data.rpartition(" ")[2] in seen:
            raise SettingsError(
                f"{wanted.model} was trained on these labels ({training.data}); allowed:"
                " --set train_split=... of labels that it was not, or --set same_labels=true"
            )


def _detector(wanted: TemporalSettings, classes: Sequence[str]) -> tuple[Detector, tuple[str, ...]]:
    """The detector with features of its maps, for the labelled classes; and the stages of these."""
    card = find_card(wanted.model)[0]
    shared = [name for name in card.classes if name in classes]
    if not shared:
        seen = f"classes {', '.join(classes)}; {card.name} has {', '.join(card.classes)}"
        raise InputError(f"{wanted.data}: no class of the detector's: {seen}")
    if card.preprocessing.motion_lags_s:
        seen = f"{wanted.model} takes motion as input"
        raise SettingsError(f"{seen}; allowed: --temporal links with it, or a model without motion")
    ways = [wanted.stages] if wanted.stages else [("neck",), ("stage3",)]
    if card.family == "graph":
        ways = [wanted.stages]
    refused: SettingsError | None = None
    for stages in ways:
        pool = PoolSettings(stages=stages, bins=wanted.bins) if stages else None
        try:
            detector = load_detector(
                wanted.model,
                score_threshold=CANDIDATE_SCORE,
                classes=shared,
                temporal="" if pool is None else Keys(pool, wanted.most),
            )
        except SettingsError as error:
            refused = error
        else:
            return detector, stages
    assert refused is not None
    raise refused


def _keys(
    video: LabelledVideo,
    root: Path,
    labels: IntArray,
    *,
    detector: Detector,
    rng: np.random.Generator,
    wanted: TemporalSettings,
) -> Iterator[Key]:
    """The labelled frames of a video, of which at most so many are taken."""
    tracks = video.tracks
    if tracks is None:
        return
    one = Dataset(classes=tuple(map(str, range(len(labels)))), videos=(video,))
    frames = np.array([key.frame for key in labelled_keys(one)], np.int64)
    if len(frames) > wanted.most_frames:
        spread = np.linspace(0, len(frames) - 1, wanted.most_frames).round().astype(int)
        frames = frames[spread]
    rate = float(video.info.rate)
    steps = offsets(wanted.lags_s, rate, both=wanted.mode == "both")
    found = _stored(video, root, frames, steps, detector=detector, rng=rng, wanted=wanted)
    assert tracks.ignore is not None
    for frame in frames.tolist():
        if frame not in found.frames:
            continue
        rows = slice(*np.searchsorted(tracks.frames, [frame, frame + 1]))
        boxes = tracks.boxes_xyxy[rows] * found.scale
        mine = labels[tracks.labels[rows]]
        ignored = tracks.ignore[rows]
        real = (mine >= 0) & ~ignored
        versions = found.frames[frame]
        around = [found.frames[frame + s] for s in steps if frame + s in found.frames]
        yield Key(
            versions,
            (
                _overlaps(versions[0], boxes[real], mine[real]),
                _overlaps(versions[1], boxes[real], mine[real]),
            ),
            (_counts(versions[0], boxes[ignored]), _counts(versions[1], boxes[ignored])),
            boxes[real],
            mine[real],
            tuple(around),
        )


def offsets(lags_s: Sequence[float], rate: float, *, both: bool) -> list[int]:
    """Frames that memory asks for, relative to a frame, in a video of a constant rate.

    >>> offsets((0.05, 0.1, 0.2), 10.0, both=True)
    [-2, -1, 1, 2]
    """
    found = set()
    for lag_s in lags_s:
        steps = max(round(lag_s * rate), 1)
        if abs(steps / rate - lag_s) <= lag_s / 2:
            found |= {-steps, steps} if both else {-steps}
    return sorted(found)


@dataclass(frozen=True, eq=False)
class _Stored:
    frames: dict[int, tuple[Remembered, Remembered]]
    scale: FloatArray
    """(4,) from pixels of the labels to those of the video"""


def _stored(
    video: LabelledVideo,
    root: Path,
    frames: IntArray,
    steps: Sequence[int],
    *,
    detector: Detector,
    rng: np.random.Generator,
    wanted: TemporalSettings,
) -> _Stored:
    """Candidates of the frames and of those around, as they are and degraded."""
    back = max(round(BASELINE_S * float(video.info.rate)), 1)
    asked = {int(f) + s for f in frames for s in (0, *steps)}
    needed = sorted({f for f in asked | {f - back for f in asked} if f >= 0})
    found: dict[int, tuple[Remembered, Remembered]] = {}
    with open_labelled(video, root) as opened:
        there, told = opened.info, video.info  # labels may have been made on a copy
        scale = np.tile([there.width_px / told.width_px, there.height_px / told.height_px], 2)
        last = there.num_frames
        needed = [f for f in needed if last is None or f < last]
        size_px = detector.decode_px(there.width_px, there.height_px)
        for start in range(0, len(needed), _BATCH):
            group = list(opened.frames_at(needed[start : start + _BATCH], size_px=size_px))
            copies = [replace(frame, image=degraded(frame.image, rng)) for frame in group]
            clean, worse = detector.detect(group), detector.detect(copies)
            for frame, one, other in zip(group, clean, worse, strict=True):
                before = found.get(frame.index - back)
                found[frame.index] = (
                    _kept(frame, one[: wanted.most], before),
                    _kept(frame, other[: wanted.most], before),
                )
    return _Stored(found, scale)


def _kept(
    frame: Frame, found: Detections, before: tuple[Remembered, Remembered] | None
) -> Remembered:
    """As ``Recall`` remembers it; velocities are those towards the frame before as it is."""
    here = geometry(frame.time_s, found)
    kept = with_velocities(here, None if before is None else before[0], LinkSettings())
    return replace(kept, keys=kept.keys.astype(np.float16))


def _overlaps(found: Remembered, truth: FloatArray, labels: IntArray) -> FloatArray:
    overlaps = iou(found.corners_at(found.time_s), truth)
    return np.where(found.labels[:, None] == labels[None], overlaps, 0.0)


def _counts(found: Remembered, ignored: FloatArray) -> BoolArray:
    """Whether candidates count: at most half of them lies in one ignored region."""
    boxes = found.corners_at(found.time_s)
    if not len(ignored) or not len(boxes):
        return np.ones(len(boxes), bool)
    low = np.maximum(boxes[:, None, :2], ignored[None, :, :2])
    high = np.minimum(boxes[:, None, 2:], ignored[None, :, 2:])
    inside = np.maximum(high - low, 0).prod(axis=2).max(axis=1)
    return np.asarray(inside <= 0.5 * found.sizes**2)
