"""What one pass over a video shows: times, changes, black frames, cuts, fingerprints.

Frames are decoded small and grey; nothing but numbers is kept, besides the pictures of the few
frames that a caller asks to keep. A video that breaks off gives what was read and says where.
"""

from collections.abc import Collection
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np

from vodkit.ground.arrays import ByteArray, FloatArray, IntArray
from vodkit.ground.errors import VideoError
from vodkit.ground.records import Frame, VideoInfo
from vodkit.video.container import ContainerVideo
from vodkit.video.cuts import CutDetector
from vodkit.video.reader import open_video

WIDTH_PX = 160
"""frames are looked at this wide; a person 40 px high at 720p still covers some pixels"""
HASH_EVERY_S = 0.5
"""distance of fingerprints"""
BLACK = 12.0
"""mean grey level up to which a frame without structure is black (video black is 16 of 255)"""
FLAT = 4.0
"""standard deviation of grey levels below which a frame has no structure"""


@dataclass(frozen=True, eq=False, kw_only=True)
class Footage:
    """One pass over a video; T frames."""

    info: VideoInfo
    times_s: FloatArray
    """(T,) seconds of the container's clock"""
    levels: FloatArray
    """(T,) mean grey level, 0 to 255; NaN for a frame that could not be decoded"""
    spreads: FloatArray
    """(T,) standard deviation of grey levels"""
    changes: FloatArray
    """(T,) largest grey difference to the frame before; infinite for the first"""
    cuts: IntArray
    """frames that begin a new shot"""
    hash_frames: IntArray
    """(F,) frames with a fingerprint"""
    hashes: IntArray
    """(F,) uint64 difference hashes"""
    kept: dict[int, ByteArray]
    """grey small pictures of the frames that were asked for"""
    broken: str = ""
    """why the video ended before its end; empty when it did not"""
    num_lost: int = 0
    """frames that could not be decoded"""

    def __len__(self) -> int:
        """Number of frames that could be decoded."""
        return len(self.times_s)


def probe(path: Path) -> VideoInfo | None:
    """What a video file, folder or picture says of itself; None where it cannot be opened."""
    if not path.exists():
        return None
    try:
        with open_video(path) as video:
            return video.info
    except VideoError:
        return None


def small_size(info: VideoInfo, width_px: int = WIDTH_PX) -> tuple[int, int]:
    """The size at which frames are looked at: even, at most ``width_px`` wide, not distorted."""
    width = min(width_px, info.width_px)
    height = max(2, round(info.height_px * width / info.width_px))
    return max(2, width // 2 * 2), max(2, height // 2 * 2)


def look(
    path: Path, *, keep: Collection[int] = (), picture_rate: Fraction = Fraction(25)
) -> Footage:
    """One pass over the video at ``path``; the small pictures of frames ``keep`` stay.

    ``picture_rate`` is that of a folder of pictures, which have no clock of their own. Raises
    VideoError only where nothing can be opened at all.
    """
    with open_video(path, strict=False, picture_rate=picture_rate) as video:
        eyes = _Eyes(frozenset(keep), video.info)
        broken = ""
        try:
            for frame in video.frames(size_px=small_size(video.info)):
                eyes.see(frame)
        except VideoError as error:
            broken = str(error)
        return eyes.footage(broken, video.num_lost)


class _Eyes:
    """The state of one pass."""

    def __init__(self, keep: frozenset[int], info: VideoInfo) -> None:
        self.keep, self.info = keep, info
        self.cut_detector = CutDetector()
        self.before: FloatArray | None = None
        self.next_hash_s = -np.inf
        self.indices: list[int] = []
        self.times_s: list[float] = []
        self.levels: list[float] = []
        self.spreads: list[float] = []
        self.changes: list[float] = []
        self.cuts: list[int] = []
        self.hashes: dict[int, int] = {}
        self.kept: dict[int, ByteArray] = {}

    def see(self, frame: Frame) -> None:
        """Take one frame."""
        grey = to_grey(frame.image)
        index = frame.index
        self.indices.append(index)
        self.times_s.append(frame.time_s)
        self.levels.append(float(grey.mean()))
        self.spreads.append(float(grey.std()))
        still = self.before is None or self.before.shape != grey.shape
        self.changes.append(np.inf if still else float(np.abs(grey - self.before).max()))
        if self.cut_detector.step(frame):
            self.cuts.append(index)
        if frame.time_s >= self.next_hash_s:
            self.next_hash_s = frame.time_s + HASH_EVERY_S
            self.hashes[index] = difference_hash(grey)
        if index in self.keep:
            self.kept[index] = grey.astype(np.uint8)
        self.before = grey

    def footage(self, broken: str, num_lost: int) -> Footage:
        """All that was seen, in the numbers of the video; a lost frame keeps its place."""
        count = max(self.indices, default=-1) + 1
        every = np.arange(count)
        return Footage(
            info=self.info,
            times_s=np.interp(every, self.indices, self.times_s) if count else np.empty(0),
            levels=self._placed(self.levels, count, np.nan),
            spreads=self._placed(self.spreads, count, np.nan),
            changes=self._placed(self.changes, count, np.inf),
            cuts=np.array(self.cuts, np.int64),
            hash_frames=np.array(list(self.hashes), np.int64),
            hashes=np.array(list(self.hashes.values()), np.uint64),
            kept=self.kept,
            broken=broken,
            num_lost=num_lost,
        )

    def _placed(self, values: list[float], count: int, missing: float) -> FloatArray:
        placed = np.full(count, missing)
        placed[self.indices] = values
        return placed


def frame_times_s(path: Path) -> FloatArray:
    """When each frame of a video is shown (T,), read without decoding where that can be done."""
    with open_video(path) as video:
        if isinstance(video, ContainerVideo):
            return np.array(video.times_s)
        return np.array([frame.time_s for frame in video.frames()])


def to_grey(image: ByteArray) -> FloatArray:
    """Grey levels (H, W) float32 of an RGB picture (H, W, 3), by BT.601."""
    weights = np.array([0.299, 0.587, 0.114], np.float32)
    return np.asarray(image.astype(np.float32) @ weights)


def difference_hash(grey: FloatArray) -> int:
    """A 64-bit fingerprint: which of 8x9 cells is brighter than its left neighbour.

    Small when compared (Hamming distance) for the same picture after scaling, coding, or a change
    of brightness. Krawetz, "Kind of like that" (2013).
    """
    rows = np.linspace(0, grey.shape[0], 9).astype(int)
    columns = np.linspace(0, grey.shape[1], 10).astype(int)
    sums = np.add.reduceat(np.add.reduceat(grey, rows[:-1], axis=0), columns[:-1], axis=1)
    cells = sums / np.outer(np.maximum(np.diff(rows), 1), np.maximum(np.diff(columns), 1))
    bits = (cells[:, 1:] > cells[:, :-1]).ravel()
    return int(np.packbits(bits).view(">u8")[0])


def mirrored(hashes: IntArray) -> IntArray:
    """The fingerprints of the same pictures, mirrored.

    >>> ramp = np.tile(np.arange(90.0), (80, 1))
    >>> hashes = np.array([difference_hash(ramp)], np.uint64)
    >>> int(mirrored(hashes)[0]) == difference_hash(ramp[:, ::-1])
    True
    """
    bits = np.unpackbits(hashes.astype(">u8").view(np.uint8)).reshape(-1, 8, 8)
    turned = np.packbits(1 - bits[:, :, ::-1]).view(">u8")
    return np.asarray(turned.astype(np.uint64))


def hamming(a: IntArray, b: IntArray) -> IntArray:
    """Number of different bits (N, M) between hashes ``a`` (N,) and ``b`` (M,).

    >>> hamming(np.array([0, 3], np.uint64), np.array([1], np.uint64)).tolist()
    [[1], [1]]
    """
    different = np.ascontiguousarray(a[:, None] ^ b[None, :])
    as_bytes = different.view(np.uint8).reshape(*different.shape, 8)
    return np.unpackbits(as_bytes, axis=-1).sum(axis=-1)


def usual_step_s(times_s: FloatArray, rate: Fraction) -> float:
    """The median distance of frames, or that of the nominal rate where there is one frame."""
    if len(times_s) < 2:
        return float(1 / rate)
    return float(np.median(np.diff(times_s)))
