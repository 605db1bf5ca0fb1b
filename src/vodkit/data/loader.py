"""Labelled frames and clips straight from video files, for training.

Nothing is extracted to disk beforehand. A decoder opens when a process first needs it, decodes
runs of frames, and what it decoded stays in a bounded cache. What comes out depends only on seed,
epoch and position, not on the number of workers or processes.

Legend: H W of a picture, N boxes, T frames of a clip.
"""

import multiprocessing
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from multiprocessing.context import BaseContext
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader
from torchvision import tv_tensors

from vodkit.data.frame_reader import FrameReader, Size, SizeFor, as_it_is
from vodkit.data.sampling import (
    RUN,
    Chunk,
    Key,
    epoch_order,
    fitting_length,
    labelled_keys,
    runs_of,
)
from vodkit.data.transforms import FILL, Augment, Picture, View, apply_view, draw_clip, draw_view
from vodkit.ground.arrays import FloatArray, IntArray
from vodkit.ground.errors import InputError, VodkitError
from vodkit.ground.records import Dataset, LabelledVideo
from vodkit.video.motion import NO_MOTION


@dataclass(frozen=True, eq=False)
class Example:
    """One picture, ready to be batched."""

    image: Tensor
    """(3, H, W) uint8 RGB; with motion (3 + L, H, W)"""
    boxes_xyxy: Tensor
    """(N, 4) float32, pixels of the image"""
    labels: Tensor
    """(N,) int64"""
    ignore: Tensor
    """(N,) bool"""
    index: int
    """number of the sample in its dataset"""


class FrameDataset(torch.utils.data.Dataset[Any]):
    """The labelled frames of a dataset, one sample a frame.

    ``dataset[i]`` is what torchvision's detection reference takes: an image and a target. Labels
    count from ``first_label``: 0 as everywhere in vodkit, 1 for torchvision's own models. A sample
    is decoded with its run: take them by ``RunSampler``, any other random order decodes far more.
    """

    def __init__(
        self,
        dataset: Dataset,
        root: str | Path,
        *,
        size_for: SizeFor = as_it_is,
        every: int = 1,
        still_iou: float = 2.0,
        first_label: int = 0,
        floats: bool = False,
        run_length: int = RUN,
        cache_mib: float | None = None,
        motion_lags_s: Sequence[float] = (),
    ) -> None:
        """See ``sampling.labelled_keys`` for ``every`` and ``still_iou``.

        ``motion_lags_s``: pictures come with their differences to earlier frames.

        ``floats``: images are float32 in 0 to 1, as torchvision's models take them; else uint8.

        Decoded pictures stay in a cache of at most ``cache_mib``; None: as many as are mixed, in
        256 to 1024 MiB. Where they do not fit, fewer are mixed, and decoded, with each other.
        """
        self.keys = labelled_keys(dataset, every=every, still_iou=still_iou)
        self.dataset = dataset
        videos = {key.video for key in self.keys}
        self.reader = FrameReader(
            dataset,
            Path(root),
            size_for=size_for,
            videos=videos,
            cache_mib=cache_mib,
            motion_lags_s=motion_lags_s,
        )
        self.runs = runs_of(self.keys, length=fitting_length(self.reader.room, most=run_length))
        self.first_label, self.floats = first_label, floats
        self._run_of = {i: run for run in self.runs for i in run}

    def __len__(self) -> int:
        """Number of samples."""
        return len(self.keys)

    def __getitem__(self, index: int) -> tuple[tv_tensors.Image, dict[str, Any]]:
        """Image (3, H, W), uint8 or float32 (see ``floats``), and target, as tv_tensors."""
        return self.__getitems__([index])[0]

    def __getitems__(self, indices: Sequence[int]) -> list[tuple[tv_tensors.Image, dict[str, Any]]]:
        """Several samples, decoded run by run (DataLoader calls this where it is there)."""
        pictures = self.pictures(indices)
        return [self._target(i, picture) for i, picture in zip(indices, pictures, strict=True)]

    def pictures(self, indices: Sequence[int]) -> list[Picture]:
        """Samples as pictures with boxes in their pixels."""
        wanted = [self.keys[i] for i in indices]
        ahead = [self.keys[j] for i in indices for j in self._run_of[i]]
        pixels = self.reader.read_moving(wanted, ahead)
        return [
            replace(
                labelled_picture(self.dataset.videos[key.video], key.frame, image), motion=motion
            )
            for key, (image, motion) in zip(wanted, pixels, strict=True)
        ]

    def order(self, *, seed: int, epoch: int, repeats: FloatArray | None = None) -> IntArray:
        """Sample numbers of an epoch, in which no picture is decoded twice; see ``epoch_order``."""
        room = self.reader.room
        return epoch_order(self.runs, seed=seed, epoch=epoch, repeats=repeats, room=room)

    def shard(self, index: int, count: int) -> "FrameDataset":
        """Every ``count``-th run from ``index`` on, for one of several machines (Ray, Slurm)."""
        if not 0 <= index < count:
            raise InputError(f"shard {index} of {count}; allowed: 0 to {count - 1}")
        part = FrameDataset.__new__(FrameDataset)
        part.__dict__.update(self.__dict__)
        part.keys = [self.keys[i] for run in self.runs[index::count] for i in run]
        lengths = np.cumsum([0, *(len(run) for run in self.runs[index::count])])
        part.runs = [range(a, b) for a, b in pairwise(lengths)]
        part._run_of = {i: run for run in part.runs for i in run}  # noqa: SLF001
        return part

    def name(self, index: int) -> str:
        """A sample as people look for it: source and frame."""
        key = self.keys[index]
        return f"{self.dataset.videos[key.video].source}, frame {key.frame}"

    def labels(self, index: int) -> IntArray:
        """Class labels (N,) of a sample, without decoding; ignored boxes left out."""
        key = self.keys[index]
        tracks = self.dataset.videos[key.video].tracks
        assert tracks is not None
        rows = slice(*np.searchsorted(tracks.frames, [key.frame, key.frame + 1]))
        return np.asarray(tracks.labels[rows][~tracks.ignore[rows]])

    def _target(self, index: int, picture: Picture) -> tuple[tv_tensors.Image, dict[str, Any]]:
        image, target = as_tv_tensors(picture, image_id=index, first_label=self.first_label)
        return (tv_tensors.Image(image.float() / 255) if self.floats else image), target


class ClipDataset(torch.utils.data.Dataset[Any]):
    """Clips around labelled frames: (T, 3, H, W) and one target a frame.

    ``clips_around`` key frames, by ``sampling.clip_frames`` or ``sampling.reference_frames``, or
    ``clips_by_sampler`` for PyTorchVideo's samplers. As frames, best taken by ``RunSampler``.
    """

    def __init__(
        self,
        dataset: Dataset,
        root: str | Path,
        *,
        clips: Sequence[tuple[int, Sequence[int]]],
        size_for: SizeFor = as_it_is,
        augment: Augment | None = None,
        seed: int = 0,
        cache_mib: float | None = None,
    ) -> None:
        """``clips`` are (number of the video, frames in order); see ``clips_around``."""
        self.dataset = dataset
        self.clips = [(video, tuple(frames)) for video, frames in clips]
        if not self.clips:
            raise InputError("no clips; allowed: one or more")
        videos = {video for video, _ in self.clips}
        self.reader = FrameReader(
            dataset, Path(root), size_for=size_for, videos=videos, cache_mib=cache_mib
        )
        longest = max(frames[-1] - frames[0] for _, frames in self.clips)
        self.runs = _runs_of_clips(self.clips, fitting_length(self.reader.room - longest))
        self.augment = augment or Augment.none()
        self.seed = seed
        self.epoch = 0
        self._run_of = {i: run for run in self.runs for i in run}

    def __len__(self) -> int:
        """Number of clips."""
        return len(self.clips)

    def __getitem__(self, index: int) -> tuple[tv_tensors.Video, list[dict[str, Any]]]:
        """All frames of a clip in one view."""
        pictures = self.pictures(index)
        rng = np.random.default_rng((self.seed, self.epoch, index))
        height, width = pictures[0].image.shape[:2]
        view = draw_view(self.augment, rng)
        seen = [apply_view(picture, view, (width, height)) for picture in pictures]
        parts = [as_tv_tensors(picture, image_id=index, first_label=0) for picture in seen]
        return tv_tensors.Video(torch.stack([image for image, _ in parts])), [t for _, t in parts]

    def order(self, *, seed: int, epoch: int) -> IntArray:
        """Clip numbers of an epoch, in which no picture is decoded twice; see ``epoch_order``."""
        counts = [len(self._frames_of(run)) for run in self.runs]
        room = self.reader.room
        return epoch_order(self.runs, seed=seed, epoch=epoch, pictures=counts, room=room)

    def _frames_of(self, run: Sequence[int]) -> set[int]:
        return {frame for i in run for frame in self.clips[i][1]}

    def pictures(self, index: int) -> list[Picture]:
        """The frames of a clip as they are; a frame that nobody labelled has no boxes."""
        number, frames = self.clips[index]
        near = self._frames_of(self._run_of[index])
        wanted, ahead = ([Key(number, frame) for frame in some] for some in (frames, near))
        images = self.reader.read(wanted, ahead)
        video = self.dataset.videos[number]
        pairs = zip(frames, images, strict=True)
        return [labelled_picture(video, frame, image) for frame, image in pairs]


class RunSampler(torch.utils.data.Sampler[int]):
    """A random order for PyTorch's DataLoader in which neighbours are decoded together.

    Every sample once an epoch, in an order that seed and ``set_epoch`` decide.
    """

    def __init__(self, dataset: FrameDataset | ClipDataset, *, seed: int = 0) -> None:
        """``dataset`` may be a shard."""
        self.dataset = dataset
        self.seed = seed
        self.epoch = 0

    def __len__(self) -> int:
        """Number of samples."""
        return len(self.dataset)

    def __iter__(self) -> Iterator[int]:
        """Sample numbers."""
        return iter(self.dataset.order(seed=self.seed, epoch=self.epoch).tolist())

    def set_epoch(self, epoch: int) -> None:
        """Another order, as for torch's DistributedSampler."""
        self.epoch = epoch


def labelled_picture(video: LabelledVideo, frame: int, image: np.ndarray[Any, Any]) -> Picture:
    """A frame with the boxes that the video's table has for it, in pixels of ``image``."""
    tracks = video.tracks
    if tracks is None:
        none = np.empty(0, np.int64)
        return Picture(image, np.empty((0, 4)), none, none.astype(bool))
    rows = slice(*np.searchsorted(tracks.frames, [frame, frame + 1]))
    scale = np.array([image.shape[1] / video.info.width_px, image.shape[0] / video.info.height_px])
    boxes = tracks.boxes_xyxy[rows] * np.tile(scale, 2)
    return Picture(image, boxes, tracks.labels[rows], tracks.ignore[rows])


def as_tv_tensors(
    picture: Picture, *, image_id: int, first_label: int
) -> tuple[tv_tensors.Image, dict[str, Any]]:
    """Image and target in the words of torchvision's detection reference; boxes cut at the edge."""
    height, width = picture.image.shape[:2]
    boxes = torch.from_numpy(np.clip(picture.boxes_xyxy, 0, (width, height) * 2)).float()
    size = boxes[:, 2:] - boxes[:, :2]
    target = {
        "boxes": tv_tensors.BoundingBoxes(boxes, format="XYXY", canvas_size=(height, width)),
        "labels": torch.from_numpy(picture.labels + first_label),
        "image_id": image_id,
        "area": size.prod(dim=1),
        "iscrowd": torch.from_numpy(picture.ignore.astype(np.int64)),
    }
    return tv_tensors.Image(_channels_first(picture.image)), target


def _runs_of_clips(
    clips: Sequence[tuple[int, Sequence[int]]], length: int
) -> list[tuple[int, ...]]:
    """Numbers of clips that begin within ``length`` frames of each other, in order of time."""
    runs: list[list[int]] = []
    start: tuple[int, int] | None = None
    for i in sorted(range(len(clips)), key=lambda i: (clips[i][0], clips[i][1][0])):
        video, first = clips[i][0], clips[i][1][0]
        if start is None or video != start[0] or first >= start[1] + length:
            start = video, first
            runs.append([])
        runs[-1].append(i)
    return [tuple(run) for run in runs]


def clips_around(
    keys: Sequence[Key], frames_for: Callable[[Key], Sequence[int]]
) -> list[tuple[int, Sequence[int]]]:
    """A clip for each key frame."""
    return [(key.video, frames_for(key)) for key in keys]


def clips_by_sampler(
    sampler: Callable[..., Any], dataset: Dataset
) -> list[tuple[int, Sequence[int]]]:
    """The clips that a PyTorchVideo ``ClipSampler`` cuts out of every video of a dataset.

    The sampler is asked as ``LabeledVideoDataset`` asks it: until it says that a clip is the last
    of its video (a random sampler says so at once). A clip holds the frames shown from
    ``clip_start_sec`` up to, but not at, ``clip_end_sec``, counted at the container's rate.
    """
    clips: list[tuple[int, Sequence[int]]] = []
    for number, video in enumerate(dataset.videos):
        last = video.info.num_frames
        if last is None:
            raise InputError(f"{video.source}: the number of frames is needed, but not known")
        duration = last / video.info.rate
        end: Any = 0.0
        while True:
            info = sampler(end, duration, {})
            first = -(-info.clip_start_sec * video.info.rate // 1)
            stop = -(-info.clip_end_sec * video.info.rate // 1)
            frames = [int(frame) for frame in range(int(first), min(int(stop), last))]
            if frames:
                clips.append((number, frames))
            end = info.clip_end_sec
            if info.is_last_clip:
                break
    return clips


class TrainingViews(torch.utils.data.Dataset[list[Example]]):
    """Augmented samples of a FrameDataset, by ``Chunk``: what the training loop takes."""

    def __init__(
        self,
        frames: FrameDataset,
        canvas_px: Size,
        *,
        augment: Augment,
        seed: int,
        fill: Sequence[int] = FILL,
        still: float = 0.0,
    ) -> None:
        """Pictures come on a canvas of this width and height, with ``fill`` (RGB) beside them.

        ``still``: share of pictures whose motion is withheld, as if they had no past.
        """
        self.frames = frames
        self.still = still
        self.canvas_px = canvas_px
        self.augment = augment
        self.seed = seed
        self.fill = fill

    def __getitem__(self, chunk: Chunk) -> list[Example]:
        """The wanted samples of a chunk, in order."""
        return [self._sample(chunk, place) for place in chunk.wanted]

    def _sample(self, chunk: Chunk, place: int) -> Example:
        position = chunk.first + place
        rng = np.random.default_rng((self.seed, chunk.epoch, position))
        members = [chunk.indices[place]]
        if self.augment.mixes:
            members += [chunk.indices[i] for i in rng.integers(len(chunk.indices), size=3)]
        clips = [[picture] for picture in self.frames.pictures(members)]
        made = draw_clip(clips, self.augment, self.canvas_px, rng, fill=self.fill)[0]
        return as_example(self._maybe_still(made, rng), members[0])

    def plain(self) -> "TrainingViews":
        """The same samples as they are."""
        return TrainingViews(
            self.frames,
            self.canvas_px,
            augment=Augment.none(),
            seed=self.seed,
            fill=self.fill,
            still=self.still,
        )

    def view(self, index: int, number: int) -> Example:
        """The ``number``-th fixed view of a sample; 0 is the picture as it is."""
        picture = self.frames.pictures([index])[0]
        rng = np.random.default_rng((self.seed, index, number))
        view = draw_view(self.augment, rng) if number else View()
        made = apply_view(picture, view, self.canvas_px, fill=self.fill)
        return as_example(self._maybe_still(made, rng) if number else made, index)

    def _maybe_still(self, picture: Picture, rng: np.random.Generator) -> Picture:
        """The picture, or in some cases without its past."""
        if picture.motion is None or rng.random() >= self.still:
            return picture
        return replace(picture, motion=np.full_like(picture.motion, NO_MOTION))


def as_example(picture: Picture, index: int) -> Example:
    """A picture as tensors; boxes cut at its edges."""
    height, width = picture.image.shape[:2]
    motion = picture.motion
    pixels = picture.image if motion is None else np.dstack([picture.image, motion])
    return Example(
        torch.from_numpy(_channels_first(pixels)),
        torch.from_numpy(np.clip(picture.boxes_xyxy, 0, (width, height) * 2)).float(),
        torch.from_numpy(picture.labels.copy()),
        torch.from_numpy(picture.ignore.copy()),
        index,
    )


class _OrError(torch.utils.data.Dataset[list[Example] | VodkitError]):
    """What ``views`` give, or the error they raise: of a worker's torch makes one of its own."""

    def __init__(self, views: TrainingViews) -> None:
        self.views = views

    def __getitem__(self, chunk: Chunk) -> list[Example] | VodkitError:
        try:
            return self.views[chunk]
        except VodkitError as error:
            return error


def batches(
    views: TrainingViews, parts: Sequence[Chunk], *, batch_size: int, workers: int
) -> Iterator[list[Example]]:
    """Batches of this process, in the order of the chunks, whatever the number of workers."""
    waiting: list[Example] = []
    # Of its own generator: a loader draws a number when it begins, and a training that goes on
    # in the middle of an epoch must see the same random numbers as one that never stopped.
    loader = DataLoader(
        _OrError(views),
        sampler=parts,
        batch_size=None,
        num_workers=workers,
        generator=torch.Generator(),
        multiprocessing_context=_context() if workers else None,
    )
    for made in loader:
        if isinstance(made, VodkitError):
            raise made
        waiting += made
        while len(waiting) >= batch_size:
            yield waiting[:batch_size]
            del waiting[:batch_size]


def _context() -> BaseContext:
    """How worker processes start: never by forking this one.

    It has threads (FFmpeg's, OpenVINO's, OpenMP's); a copy of it keeps the locks that they held,
    and may wait for them for ever.
    """
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__])
    return context


def _channels_first(image: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    return np.ascontiguousarray(image.transpose(2, 0, 1))
