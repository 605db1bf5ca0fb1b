"""Decoded frames of a dataset's videos, in a cache that never outgrows its bound."""

import math
import os
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np

from vodkit.data.sampling import (
    RUN,
    WINDOW,
    Key,
)
from vodkit.ground.arrays import ByteArray
from vodkit.ground.errors import InputError
from vodkit.ground.label_size import Sized, scaling_of
from vodkit.ground.records import Dataset, Frame, LabelledVideo
from vodkit.video.motion import Motion
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

        ``motion_lags_s``: their differences to earlier frames are kept, too; see ``read_moving``.

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
