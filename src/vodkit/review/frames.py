"""Pictures for the page: decoded here, sent as JPEGs that carry the index of their frame.

The browser never decodes the user's file, so the picture it shows is the frame that the detector
sees. The index is inside the JPEG, in a comment segment before the picture; the page displays that
index and not the one it asked for.
"""

import threading
from collections import OrderedDict
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from vodkit.ground.arrays import FloatArray
from vodkit.ground.errors import InputError, VideoError
from vodkit.ground.records import Frame, VideoInfo
from vodkit.report.draw import to_jpeg
from vodkit.video.reader import open_video

WIDTHS_PX = (0, 160, 640, 960, 1280, 1920)
"""widths that the page can ask for; 0: as the source"""
_AHEAD = 12
_CACHE_BYTES = 192 * 2**20


class Frames:
    """The JPEGs of one video: a cache, and a thread that decodes in the direction of travel."""

    def __init__(self, path: Path, *, cache_bytes: int = _CACHE_BYTES) -> None:
        """Open the video; VideoError where that is not possible."""
        self._path = path
        self._video = open_video(path, strict=False)
        self._cache: OrderedDict[tuple[int, int], bytes] = OrderedDict()
        self._bytes, self._most_bytes = 0, cache_bytes
        self._decoding = threading.Lock()
        self._caching = threading.Lock()
        self._last = -1
        self._wanted: tuple[int, int, int] | None = None
        self._ahead = ThreadPoolExecutor(1, thread_name_prefix="vodkit-review-frames")

    @property
    def info(self) -> VideoInfo:
        """What the container says."""
        return self._video.info

    def times_s(self) -> FloatArray:
        """When each frame is shown (T,)."""
        times = getattr(self._video, "times_s", None)
        if times is not None:
            return np.array(times)
        count = self.info.num_frames
        if not count:
            raise VideoError("has no frames to review", path=self._path)
        return np.arange(count) / float(self.info.rate)

    def jpeg(self, index: int, width_px: int = 0) -> bytes:
        """A frame as a JPEG of this width, with ``frame=INDEX`` in its comment.

        Raises:
            InputError: no such width.
            VideoError: the frame does not exist or cannot be decoded.
        """
        if width_px not in WIDTHS_PX:
            raise InputError(f"width {width_px}; allowed: {', '.join(map(str, WIDTHS_PX))}")
        self._wanted = None  # what was decoded ahead for an earlier picture is not needed now
        found = self._cached(index, width_px)
        if found is None:
            with self._decoding:
                found = self._cached(index, width_px) or self._decoded([index], width_px)[0]
        self._prefetch(index, width_px)
        return found

    def close(self) -> None:
        """Stop decoding and close the video."""
        self._wanted = None
        self._ahead.shutdown(wait=True, cancel_futures=True)
        self._video.close()

    def _cached(self, index: int, width_px: int) -> bytes | None:
        with self._caching:
            found = self._cache.get((index, width_px))
            if found is not None:
                self._cache.move_to_end((index, width_px))
            return found

    def _decoded(self, indices: list[int], width_px: int) -> list[bytes]:
        frames = self._video.frames_at(indices, size_px=self._size(width_px))
        packets = [_packet(frame) for frame in frames]
        with self._caching:
            for index, packet in zip(indices, packets, strict=True):
                self._bytes += len(packet) - len(self._cache.pop((index, width_px), b""))
                self._cache[index, width_px] = packet
            while self._bytes > self._most_bytes and len(self._cache) > 1:
                self._bytes -= len(self._cache.popitem(last=False)[1])
        return packets

    def _size(self, width_px: int) -> tuple[int, int] | None:
        width, height = self.info.width_px, self.info.height_px
        if width_px == 0 or width_px >= width:
            return None
        return width_px, max(2, round(height * width_px / width))

    def _prefetch(self, index: int, width_px: int) -> None:
        step = -1 if index < self._last <= index + _AHEAD else 1
        self._last = index
        wanted = self._wanted = (index, step, width_px)
        self._ahead.submit(self._run_ahead, wanted)

    def _run_ahead(self, wanted: tuple[int, int, int]) -> None:
        index, step, width_px = wanted
        last = (self.info.num_frames or index + 1) - 1
        # Backwards a run is decoded in its order, from one key frame; forwards frame by frame.
        run = [*range(index + 1, min(index + _AHEAD, last) + 1)]
        runs = [[one] for one in run]
        if step < 0:
            runs = [[*range(max(index - _AHEAD, 0), index)]]
        for run in runs:
            missing = [one for one in run if self._cached(one, width_px) is None]
            if self._wanted != wanted:
                return
            try:
                with self._decoding:
                    if missing:
                        self._decoded(missing, width_px)
            except VideoError:  # reported when the frame itself is asked for
                return


def _packet(frame: Frame) -> bytes:
    """The frame as a JPEG, its index in a comment right after the start of the image."""
    comment = f"frame={frame.index}".encode()
    segment = b"\xff\xfe" + (len(comment) + 2).to_bytes(2, "big") + comment
    jpeg = to_jpeg(frame.image)
    return jpeg[:2] + segment + jpeg[2:]


def index_in(packet: bytes) -> int:
    """The frame index that a JPEG of ``Frames`` carries."""
    length = int.from_bytes(packet[4:6], "big") - 2
    return int(packet[6 : 6 + length].removeprefix(b"frame="))
