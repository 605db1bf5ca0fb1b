"""Labelled frames and clips straight from video files, for training.

Nothing is extracted to disk beforehand. A decoder opens when a process first needs it, decodes
runs of frames, and what it decoded stays in a bounded cache. What comes out depends only on seed,
epoch and position, not on the number of workers or processes.

Legend: H W of a picture, N boxes, T frames of a clip.
"""

import math
import os
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader
from torchvision import tv_tensors

from vodkit.data.sampling import (
    RUN,
    WINDOW,
    Chunk,
    Key,
    epoch_order,
    fitting_length,
    labelled_keys,
    runs_of,
)
from vodkit.data.transforms import FILL, Augment, Picture, View, apply_view, draw_clip, draw_view
from vodkit.ground.arrays import ByteArray, FloatArray, IntArray
from vodkit.ground.errors import InputError, VodkitError
from vodkit.ground.label_size import Sized, scaling_of
from vodkit.ground.records import Dataset, Frame, LabelledVideo
from vodkit.video.motion import NO_MOTION, Motion
from vodkit.video.pictures import first_other
from vodkit.video.reader import Video, open_video

Size = tuple[int, int]
SizeFor = Callable[[int, int], Size]
"""from a source picture's width and height to those it is wanted in"""
Pixels = tuple[ByteArray, ByteArray | None]
"""a picture (H, W, 3), and its planes of motion (H, W, L), if these are wanted"""
_MOST_OPEN = 4
_AT_ONCE = 64  # frames that are decoded together
_CACHE_MIB = (256, 1024)


def as_it_is(width_px: int, height_px: int) -> Size:
    """The source's own size."""
    return width_px, height_px


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


class FrameReader:
    """Decoded frames of a dataset's videos by key, in a cache that never outgrows its bound.

    Copies that reach other processes (workers) start without decoders and open their own.
    """

    def __init__(
        self,
        dataset: Dataset,
        root: Path,
        *,
        size_for: SizeFor,
        videos: Iterable[int],
        cache_mib: float | None,
        motion_lags_s: Sequence[float] = (),
    ) -> None:
        """Sources are relative to ``root``; pictures are kept in the size ``size_for`` says.

        With ``motion_lags_s`` their differences to earlier frames are kept, too, see ``motion``.

        ``videos`` are those that will be read; ``cache_mib`` None: room for all pictures that are
        mixed, but 256 MiB at least and 1024 at most.
        """
        self.dataset = dataset
        self.root = root
        self.size_for = size_for
        infos = [dataset.videos[number].info for number in set(videos)]
        sizes = [size_for(info.width_px, info.height_px) for info in infos]
        self._lags_s = tuple(motion_lags_s)
        largest = max(width * height * (3 + len(self._lags_s)) for width, height in sizes)
        if cache_mib is None:
            low, high = _CACHE_MIB
            cache_mib = min(max((WINDOW + RUN) * largest / 2**20, low), high)
        self._most_bytes = int(cache_mib * 2**20)
        self.room = self._most_bytes // largest  # pictures that fit into the cache
        self._sizes: dict[int, Size] = {}
        self._forget()

    def __getstate__(self) -> dict[str, Any]:
        """Without decoders and cache: they belong to one process."""
        own = ("_open", "_frames", "_bytes", "_process")
        return {name: value for name, value in self.__dict__.items() if name not in own}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """A fresh reader in a new process."""
        self.__dict__.update(state)
        self._forget()

    def read(self, keys: Sequence[Key], ahead: Sequence[Key] = ()) -> list[np.ndarray[Any, Any]]:
        """Pictures (H, W, 3) uint8 RGB of ``keys``.

        ``ahead`` are frames that will be wanted soon: they are decoded on the way.
        """
        return [image for image, _ in self.read_moving(keys, ahead)]

    def read_moving(self, keys: Sequence[Key], ahead: Sequence[Key] = ()) -> list["Pixels"]:
        """The same pictures, each with its planes of motion (H, W, L); None where unwanted."""
        if self._process != os.getpid():  # forked: the decoders' threads stayed behind
            self._forget()
        ready = {key: self._frames[key] for key in keys if key in self._frames}
        missing = sorted({*keys} - ready.keys())
        lost = sorted({*missing, *(key for key in ahead if key not in self._frames)})
        if missing:
            for number in dict.fromkeys(key.video for key in lost):
                ready |= self._decode(number, [key.frame for key in lost if key.video == number])
        return [ready[key] for key in keys]

    def size_of(self, number: int) -> Size:
        """Width and height of a video's pictures; its labels may be of a copy in another shape."""
        if number not in self._sizes:
            info = self._video(number).info
            self._sizes[number] = self.size_for(info.width_px, info.height_px)
        return self._sizes[number]

    def close(self) -> None:
        """Close all decoders and empty the cache."""
        for opened, _ in self._open.values():
            opened.close()
        self._forget()

    def _forget(self) -> None:
        self._process = os.getpid()
        self._open: OrderedDict[int, tuple[ExitStack, Video]] = OrderedDict()
        self._frames: OrderedDict[Key, Pixels] = OrderedDict()
        self._bytes = 0

    def _decode(self, number: int, frames: Sequence[int]) -> dict[Key, "Pixels"]:
        found = {}
        for frame in self._frames_of(number, frames):
            key = Key(number, frame.index)
            found[key] = frame.image, frame.motion
            self._keep(key, found[key])
        lost = [frame for frame in frames if Key(number, frame) not in found]
        if lost:
            source = self.dataset.videos[number].source
            raise InputError(f"{source}: labelled frames {lost[:3]} are not in the video")
        return found

    def _frames_of(self, number: int, frames: Sequence[int]) -> Iterator[Frame]:
        """These frames of a video, in order; with their motion, if it is wanted."""
        video, size = self._video(number), self.size_of(number)
        if not self._lags_s:
            yield from video.frames_at(frames, size_px=size)
            return
        wanted = set(frames)
        back = math.ceil(1.5 * self._lags_s[-1] * float(video.info.rate))
        for part in _stretches(sorted(wanted), back):
            motion = Motion(self._lags_s, self.size_for)
            for start in range(part.start, part.stop, _AT_ONCE):
                indices = range(start, min(start + _AT_ONCE, part.stop))
                for frame in motion.of(video.frames_at(indices, size_px=size)):
                    if frame.index in wanted:
                        yield frame

    def _keep(self, key: Key, pixels: "Pixels") -> None:
        # What was decoded first goes first, used or not: in an epoch the others are still wanted.
        self._frames[key] = pixels
        self._bytes += _num_bytes(pixels)
        while self._bytes > self._most_bytes:
            _, old = self._frames.popitem(last=False)
            self._bytes -= _num_bytes(old)

    def _video(self, number: int) -> Video:
        if number in self._open:
            self._open.move_to_end(number)
            return self._open[number][1]
        while len(self._open) >= _MOST_OPEN:
            self._open.popitem(last=False)[1][0].close()
        opened = ExitStack()
        labelled = self.dataset.videos[number]
        video = opened.enter_context(open_labelled(labelled, self.root))
        scaling_of([Sized(labelled, (video.info.width_px, video.info.height_px))])
        self._open[number] = (opened, video)
        return video


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
        assert tracks.ignore is not None
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


def _num_bytes(pixels: Pixels) -> int:
    return sum(part.nbytes for part in pixels if part is not None)


def _stretches(frames: Sequence[int], back: int) -> Iterator[range]:
    """Consecutive frames that hold these (ascending) and ``back`` before each.

    >>> list(_stretches([3, 5, 20], 4))
    [range(0, 6), range(16, 21)]
    """
    begin = end = -1
    for frame in frames:
        first = max(frame - back, 0)
        if begin >= 0 and first > end:
            yield range(begin, end)
            begin = -1
        begin, end = (first if begin < 0 else begin), frame + 1
    if begin >= 0:
        yield range(begin, end)


def open_labelled(video: LabelledVideo, root: Path) -> Video:
    """The pixels that the labels are of; InputError for a folder of other pictures."""
    path = root / video.source
    wrong = first_other(path, video.frame_files) if path.is_dir() else None
    if wrong is not None:
        allowed = "allowed: a folder that begins with the pictures of the labels"
        raise InputError(f"{video.source}: {wrong}; {allowed}")
    return open_video(path)


def labelled_picture(video: LabelledVideo, frame: int, image: np.ndarray[Any, Any]) -> Picture:
    """A frame with the boxes that the video's table has for it, in pixels of ``image``."""
    tracks = video.tracks
    if tracks is None:
        none = np.empty(0, np.int64)
        return Picture(image, np.empty((0, 4)), none, none.astype(bool))
    rows = slice(*np.searchsorted(tracks.frames, [frame, frame + 1]))
    scale = np.array([image.shape[1] / video.info.width_px, image.shape[0] / video.info.height_px])
    assert tracks.ignore is not None
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
    own = torch.Generator()
    given = _OrError(views)
    loader = DataLoader(given, sampler=parts, batch_size=None, num_workers=workers, generator=own)
    for made in loader:
        if isinstance(made, VodkitError):
            raise made
        waiting += made
        while len(waiting) >= batch_size:
            yield waiting[:batch_size]
            del waiting[:batch_size]


def _channels_first(image: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    return np.ascontiguousarray(image.transpose(2, 0, 1))
