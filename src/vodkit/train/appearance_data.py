"""Settings of an appearance head, and what it learns from: pooled features of labelled tracks.

Legend: R boxes, V views of a box (the first is the box itself), F features.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from vodkit.data.frame_reader import open_labelled
from vodkit.detect import networks
from vodkit.detect.base import ModelCard
from vodkit.detect.embed import BINS, STAGES, Pooled, PoolSettings
from vodkit.detect.maps import WithMaps, with_maps
from vodkit.detect.models import build_network
from vodkit.detect.preprocess import place
from vodkit.formats.table import read_dataset
from vodkit.ground.arrays import BoolArray, FloatArray, IntArray
from vodkit.ground.errors import InputError
from vodkit.ground.records import NO_ID, Frame, LabelledVideo, State, TrackTable
from vodkit.ground.settings import bounded, check_ranges
from vodkit.train.settings import LAST_SEED

_LEAST_PX = 4.0  # boxes smaller than this say nothing
_BATCH = 16


@dataclass(frozen=True, kw_only=True)
class AppearanceSettings:
    """One training of an appearance head; unknown names are refused."""

    data: str
    """dataset file or folder with tracks (ids), in any known format"""
    out: str = "runs/appearance"
    """run folder: appearance.safetensors, its card, settings, manifest"""
    model: str = "vodkit-street"
    """the detector whose features are used: a name in ``vodkit models``, or a checkpoint"""
    root: str = ""
    """folder that the videos' paths are relative to; empty: the dataset file's"""
    train_split: str = "train"
    """empty: all videos"""
    val_split: str = ""
    """what the head is judged on; empty: on every fourth track, which it does not learn from"""
    stages: tuple[str, ...] = STAGES
    """of the network, where features are taken from"""
    bins: tuple[int, ...] = BINS
    """rows and columns that a box is cut into"""
    size: int = bounded(128, low=2)
    """numbers of an embedding"""
    hidden: int = bounded(0, low=0)
    """width of a layer between features and embedding; 0: none, a linear head"""
    most_frames: int = bounded(400, low=2)
    """of each video, evenly spread"""
    views: int = bounded(4, low=1)
    """copies of each box, moved and resized a little; the first is the box itself"""
    jitter: float = bounded(0.08, low=0, high=1)
    """by how much of its size a box is moved, as a standard deviation"""
    min_visibility: float = bounded(0.4, low=0, high=1)
    """boxes that are less visible are left out, where that is known"""
    steps: int = bounded(300, low=0)
    tracks_per_step: int = bounded(12, low=2)
    boxes_per_track: int = bounded(4, low=2)
    lr: float = bounded(5e-4, above=0, below=math.inf)
    stay: float = bounded(0.1, low=0, high=1)
    """how strongly the head is held near where it began"""
    temperature: float = bounded(0.1, above=0, below=math.inf)
    seed: int = bounded(0, low=0, high=LAST_SEED)

    def __post_init__(self) -> None:
        """Check ranges."""
        PoolSettings(stages=self.stages, bins=self.bins)
        check_ranges(self)


@dataclass(frozen=True, eq=False)
class Looks:
    """Features of the boxes of tracks."""

    features: FloatArray
    """(R, V, F) float32"""
    tracks: IntArray
    """(R,) from 0, in all videos together, without gaps"""
    videos: IntArray
    """(R,)"""
    frames: IntArray
    """(R,)"""
    times_s: FloatArray
    """(R,) of the video; boxes of different videos are far apart"""

    @property
    def num_tracks(self) -> int:
        """How many tracks there are."""
        return int(self.tracks.max(initial=-1)) + 1

    def where(self, mask: BoolArray) -> "Looks":
        """The boxes for which ``mask`` (R,) is true; tracks are numbered anew."""
        _, tracks = np.unique(self.tracks[mask], return_inverse=True)
        return Looks(
            self.features[mask], tracks, self.videos[mask], self.frames[mask], self.times_s[mask]
        )


def read_looks(
    wanted: AppearanceSettings, split: str, watch: Callable[[str, int, int], None]
) -> tuple[Looks, ModelCard]:
    """Features of all tracks of a split (empty: of all videos), and the detector's card.

    Raises InputError when the split has no tracks with ids.
    """
    dataset = read_dataset(wanted.data)
    part = dataset.only(split) if split else dataset
    place_of = Path(wanted.data)
    folder = place_of if place_of.is_dir() else place_of.parent
    root = Path(wanted.root) if wanted.root else folder
    module, card = build_network(wanted.model)
    graph = with_maps(networks.deployed(module.eval(), card), card, wanted.stages)
    pooled = Pooled("features", PoolSettings(stages=wanted.stages, bins=wanted.bins))
    rng = np.random.default_rng(wanted.seed)
    rows: list[FloatArray] = []
    kept: list[TrackTable] = []
    for number, video in enumerate(part.videos):
        watch("videos", number, len(part.videos))
        table = _usable(video, wanted)
        rows += [
            _features(group, boxes, graph, pooled, card)
            for group, boxes in _frames(video, root, table, card, rng=rng, wanted=wanted)
        ]
        kept.append(table)
    if not sum(map(len, kept)):
        raise InputError(f"{wanted.data}: no boxes with ids in split {split!r}")
    return _joined(rows, kept), card


def _usable(video: LabelledVideo, wanted: AppearanceSettings) -> TrackTable:
    """Visible boxes with ids, of at most so many frames."""
    if video.tracks is None:
        return TrackTable.empty()
    table = video.tracks
    size = table.boxes_xyxy[:, 2:] - table.boxes_xyxy[:, :2]
    seen = ~(table.visibility < wanted.min_visibility) & (table.states != State.PREDICTED)
    table = table[(table.ids != NO_ID) & ~table.ignore & seen & (size.min(axis=1) >= _LEAST_PX)]
    frames = np.unique(table.frames)
    if len(frames) > wanted.most_frames:
        spread = np.linspace(0, len(frames) - 1, wanted.most_frames).round().astype(int)
        table = table[np.isin(table.frames, frames[spread])]
    return table


def _frames(
    video: LabelledVideo,
    root: Path,
    table: TrackTable,
    card: ModelCard,
    *,
    rng: np.random.Generator,
    wanted: AppearanceSettings,
) -> Iterator[tuple[Frame, FloatArray]]:
    """Each frame with the views (R, V, 4) of its boxes, in pixels of the video as it is."""
    if not len(table):
        return
    indices = np.unique(table.frames).tolist()
    with open_labelled(video, root) as opened:
        there, told = opened.info, video.info  # labels may have been made on a copy
        scale = np.tile([there.width_px / told.width_px, there.height_px / told.height_px], 2)
        size_px = card.preprocessing.resized_px(there.width_px, there.height_px)
        for start in range(0, len(indices), _BATCH):
            some = indices[start : start + _BATCH]
            for frame in opened.frames_at(some, size_px=size_px):
                boxes = table.boxes_xyxy[table.frames == frame.index] * scale
                yield frame, _views(boxes, rng, wanted)


def _views(
    boxes_xyxy: FloatArray, rng: np.random.Generator, wanted: AppearanceSettings
) -> FloatArray:
    """(R, V, 4): each box, and copies of it moved and resized a little."""
    views = np.repeat(boxes_xyxy[:, None], wanted.views, axis=1)
    size = np.tile(boxes_xyxy[:, 2:] - boxes_xyxy[:, :2], 2)[:, None]
    noise = rng.normal(0, wanted.jitter, (len(boxes_xyxy), wanted.views - 1, 4)).clip(-0.25, 0.25)
    views[:, 1:] += noise * size
    return views


@torch.inference_mode()
def _features(
    frame: Frame, views_RV4: FloatArray, graph: WithMaps, pooled: Pooled, card: ModelCard
) -> FloatArray:
    """(R, V, F) of one frame."""
    picture, placement = place(frame, card.preprocessing)
    outputs = graph(torch.from_numpy(np.ascontiguousarray(picture))[None])
    maps = [one[0].numpy() for one in outputs[len(outputs) - len(pooled.settings.stages) :]]
    height, width = picture.shape[:2]
    rows, views = views_RV4.shape[:2]
    found = pooled.features(maps, views_RV4.reshape(-1, 4), placement, (width, height))
    return found.reshape(rows, views, -1)


def _joined(rows: list[FloatArray], tables: list[TrackTable]) -> Looks:
    videos = np.repeat(np.arange(len(tables)), [len(table) for table in tables])
    ids = np.concatenate([table.ids for table in tables])
    _, tracks = np.unique(np.stack([videos, ids]), axis=1, return_inverse=True)
    return Looks(
        np.concatenate(rows),
        tracks.reshape(-1),
        videos,
        np.concatenate([table.frames for table in tables]),
        np.concatenate([table.times_s for table in tables]) + 1e6 * videos,
    )
