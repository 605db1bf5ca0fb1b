"""Which frames are worth labelling: sharp ones, spread over the videos, as different as possible.

Candidates are frames at equal distances in time. Those that are black or blurred, compared with
their neighbours, are left out; of the rest the farthest-first traversal (Gonzalez 1985) chooses:
each next frame is the one least like all chosen so far, so that a long scene in which nothing
happens takes few labels. Likeness is measured on small pictures, their colours and their structure.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from vodkit.data.settings import SampleSettings
from vodkit.ground.arrays import BoolArray, ByteArray, FloatArray, IntArray
from vodkit.ground.errors import InputError
from vodkit.ground.records import Frame, VideoInfo
from vodkit.video.reader import open_video

_SMALL_PX = 160
"""frames are compared this wide"""
_GRID = 8
_BLACK = 24.0  # of the brightest hundredth; dark scenes with bright objects are none
"""mean grey level up to which a frame is black"""
_NEIGHBOURS = 7
"""candidates around a frame that say how sharp frames are here"""


@dataclass(frozen=True, kw_only=True)
class Chosen:
    """The frames of one video that are worth labelling."""

    source: str
    info: VideoInfo
    frames: IntArray
    """(F,) ascending"""
    times_s: FloatArray
    """(F,)"""
    num_candidates: int
    num_blurred: int
    """candidates left out as black or blurred"""


@dataclass(frozen=True, eq=False)
class _Candidates:
    info: VideoInfo
    frames: IntArray
    times_s: FloatArray
    features: FloatArray
    """(N, D)"""
    sharp: BoolArray
    """(N,)"""


def choose_frames(
    sources: Sequence[str | Path], settings: SampleSettings | None = None
) -> list[Chosen]:
    """Frames worth labelling, of each video.

    Args:
        sources: video files, or folders of pictures.
        settings: how many frames, and from what.

    Returns:
        One record a video, in the order of ``sources``; a video may have no frame.

    Raises:
        InputError: all videos together have fewer usable candidates than one.
        VideoError: a video that cannot be read.
    """
    wanted = settings or SampleSettings()
    each = [_candidates(source, wanted) for source in sources]
    features = np.concatenate([one.features[one.sharp] for one in each])
    if not len(features):
        raise InputError("no frame of these videos is usable: all are black or blurred")
    video = np.concatenate([np.full(int(o.sharp.sum()), n) for n, o in enumerate(each)])
    taken = farthest_first(features, min(wanted.frames, len(features)), seed=wanted.seed)
    chosen = []
    for number, (source, one) in enumerate(zip(sources, each, strict=True)):
        of_video = np.flatnonzero(video == number)
        rows = np.flatnonzero(one.sharp)[np.isin(of_video, taken)]
        chosen.append(
            Chosen(
                source=str(source),
                info=one.info,
                frames=one.frames[rows],
                times_s=one.times_s[rows],
                num_candidates=len(one.frames),
                num_blurred=int((~one.sharp).sum()),
            )
        )
    return chosen


def farthest_first(features: FloatArray, count: int, *, seed: int = 0) -> IntArray:
    """Rows (count,) of ``features`` (N, D), each the farthest from all before it.

    The first is the one nearest to the mean; ``seed`` decides between equals.

    >>> farthest_first(np.array([[0.0], [1.0], [10.0], [4.0]]), 3).tolist()
    [3, 2, 0]
    """
    order = np.random.default_rng(seed).permutation(len(features))
    points = features[order].astype(np.float64)
    first = int(np.argmin(np.linalg.norm(points - points.mean(axis=0), axis=1)))
    taken = [first]
    distance = np.full(len(points), np.inf)
    while len(taken) < count:
        distance = np.minimum(distance, np.linalg.norm(points - points[taken[-1]], axis=1))
        distance[taken] = -1  # of frames that are all alike none is taken twice
        taken.append(int(np.argmax(distance)))
    return order[taken]


def _candidates(source: str | Path, settings: SampleSettings) -> _Candidates:
    frames, times_s, features, sharpness, levels = [], [], [], [], []
    with open_video(source) as video:
        info = video.info
        width = min(_SMALL_PX, info.width_px)
        size_px = (width, max(2, round(info.height_px * width / info.width_px)))
        for frame in _spaced(video.frames(size_px=size_px), settings.every_s):
            grey = cv2.cvtColor(frame.image, cv2.COLOR_RGB2GRAY)
            frames.append(frame.index)
            times_s.append(frame.time_s)
            features.append(_feature(frame.image))
            sharpness.append(float(cv2.Laplacian(grey, cv2.CV_64F).var()))
            levels.append(float(np.percentile(grey, 99)))
    sharp = _is_sharp(np.array(sharpness), settings.blurred) & (np.array(levels) > _BLACK)
    return _Candidates(info, np.array(frames), np.array(times_s), np.array(features), sharp)


def _spaced(frames: Iterator[Frame], every_s: float) -> Iterator[Frame]:
    next_s = -np.inf
    for frame in frames:
        if frame.time_s + 1e-6 >= next_s:
            next_s = frame.time_s + every_s
            yield frame


def _feature(image: ByteArray) -> FloatArray:
    """What a small picture looks like: (D,) colours and edges on a coarse grid."""
    small = cv2.resize(image, (_GRID, _GRID), interpolation=cv2.INTER_AREA).astype(np.float32)
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY).astype(np.float32)
    edges = np.hypot(cv2.Sobel(grey, cv2.CV_32F, 1, 0), cv2.Sobel(grey, cv2.CV_32F, 0, 1))
    edges = cv2.resize(edges, (2 * _GRID, 2 * _GRID), interpolation=cv2.INTER_AREA)
    return np.concatenate([small.ravel() / 255, edges.ravel() / 255])


def _is_sharp(sharpness: FloatArray, least: float) -> BoolArray:
    """(N,) whether candidates are as sharp as those around them."""
    half = _NEIGHBOURS // 2
    around = [sharpness[max(0, n - half) : n + half + 1] for n in range(len(sharpness))]
    usual = np.array([np.median(one) for one in around])
    return np.asarray(sharpness >= least * usual)
