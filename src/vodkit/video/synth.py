"""Made-up scenes with exact ground truth: for tests, benchmarks and the docs.

Coloured, striped shapes of three classes move over a textured ground, in front of each other
and behind posts, leave the picture and come back. Boxes are exact to the pixel grid;
visibility is counted from the painted pixels. Everything follows from the seed.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from pathlib import Path

import numpy as np

from vodkit.ground.arrays import BoolArray, ByteArray, FloatArray
from vodkit.ground.records import Frame, TrackTable, VideoInfo
from vodkit.ground.settings import bounded, check_ranges
from vodkit.video.writer import VideoWriter

CLASSES = ("disc", "square", "diamond")


@dataclass(frozen=True, kw_only=True)
class SceneSettings:
    """What happens in a made-up scene."""

    seed: int = 0
    width_px: int = bounded(320, above=0)
    height_px: int = bounded(240, above=0)
    num_frames: int = bounded(100, above=0)
    rate: Fraction = bounded(Fraction(25), above=0)  # noqa: RUF009 - it is immutable
    num_objects: int = 4
    size_px: tuple[float, float] = (24.0, 44.0)
    """smallest and largest width of an object"""
    speed_px_s: tuple[float, float] = (30.0, 80.0)
    """slowest and fastest object"""
    num_posts: int = 1
    """upright posts that stand in front of everything"""
    post_px: float = 40.0
    """width of a post"""
    shake_px: float = 0.0
    """how far the camera trembles"""
    variable_rate: bool = False
    """every frame lasts 0.5 to 1.5 times as long as the rate says"""

    def __post_init__(self) -> None:
        """Check ranges."""
        check_ranges(self)


@dataclass(frozen=True)
class _Mover:
    """An object that goes to and fro: a triangle wave in x and in y, beyond the picture."""

    label: int
    size_px: FloatArray
    """(2,) width, height"""
    start_px: FloatArray
    speed_px_s: FloatArray
    range_px: FloatArray
    """(2, 2) from, to of the centre, for x and y"""
    colour: ByteArray
    stripe_px: int

    def centre(self, time_s: float) -> FloatArray:
        span = self.range_px[:, 1] - self.range_px[:, 0]
        way = (self.start_px - self.range_px[:, 0] + self.speed_px_s * time_s) % (2 * span)
        return self.range_px[:, 0] + np.where(way > span, 2 * span - way, way)


class Scene:
    """A made-up video: ``info``, ``frames()`` and the exact ``truth``."""

    classes = CLASSES

    def __init__(self, settings: SceneSettings | None = None) -> None:
        """Lay out the scene; nothing is painted yet."""
        self.settings = settings or SceneSettings()
        rng = np.random.default_rng(self.settings.seed)
        self._ground = _ground(self.settings, rng)
        self._movers = [_mover(self.settings, rng, i) for i in range(self.settings.num_objects)]
        posts = rng.permutation(max(self.settings.num_posts, 1))[: self.settings.num_posts]
        place = (posts + 0.5) / max(self.settings.num_posts, 1)
        self._posts_px = place * self.settings.width_px
        self._shake = rng.normal(0, 1, (self.settings.num_frames, 2)) * self.settings.shake_px
        lasts = np.ones(self.settings.num_frames)
        if self.settings.variable_rate:
            lasts = rng.uniform(0.5, 1.5, self.settings.num_frames)
        starts = np.concatenate([[0.0], np.cumsum(lasts[:-1])])
        self.times_s: FloatArray = starts / float(self.settings.rate)

    @property
    def info(self) -> VideoInfo:
        """As of a file."""
        s = self.settings
        return VideoInfo(
            path=f"synth-{s.seed}",
            width_px=s.width_px,
            height_px=s.height_px,
            rate=s.rate,
            num_frames=s.num_frames,
            duration_s=float(self.times_s[-1] + 1 / s.rate),
        )

    def frames(self) -> Iterator[Frame]:
        """The painted frames, one at a time."""
        for index in range(self.settings.num_frames):
            image, _, _, _ = self._paint(index)
            yield Frame(index, float(self.times_s[index]), image)

    @cached_property
    def truth(self) -> TrackTable:
        """Every object in every frame in which its box touches the picture, hidden or not."""
        rows: list[tuple[float, ...]] = []
        for index in range(self.settings.num_frames):
            _, boxes, visible, ids = self._paint(index)
            rows.extend((index, i, *boxes[i - 1].tolist(), visible[i - 1]) for i in ids)
        table = np.array(rows, np.float64).reshape(-1, 7)
        frames, ids_column = table[:, 0].astype(int), table[:, 1].astype(int)
        labels = np.array([mover.label for mover in self._movers], int)
        return TrackTable(
            frames=frames,
            times_s=self.times_s[frames],
            ids=ids_column,
            boxes_xyxy=table[:, 2:6],
            labels=labels[ids_column - 1],
            visibility=table[:, 6],
        )

    def _paint(self, index: int) -> tuple[ByteArray, FloatArray, FloatArray, list[int]]:
        """Picture, boxes (M, 4) clipped to it, visible shares (M,), ids of boxes in the picture."""
        s, shift = self.settings, self._shake[index]
        image = np.roll(self._ground, np.round(shift).astype(int)[::-1], axis=(0, 1)).copy()
        owner = np.zeros((s.height_px, s.width_px), np.int32)
        places = [m.centre(float(self.times_s[index])) + shift for m in self._movers]
        boxes = np.array(
            [
                np.concatenate([at - m.size_px / 2, at + m.size_px / 2])
                for m, at in zip(self._movers, places, strict=True)
            ]
        ).reshape(-1, 4)
        # Lower in the picture is nearer: painted later, over the others.
        for i in np.argsort(boxes[:, 3], kind="stable"):
            _paint_shape(image, owner, boxes[i], self._movers[i], int(i) + 1)
        for x_px in self._posts_px + shift[0]:
            left, right = np.clip([x_px - s.post_px / 2, x_px + s.post_px / 2], 0, s.width_px)
            image[:, round(left) : round(right)] = (70, 62, 55)
            owner[:, round(left) : round(right)] = -1
        full = np.array([_shape(m, b)[0].sum() for m, b in zip(self._movers, boxes, strict=True)])
        painted = np.bincount(np.clip(owner, 0, None).ravel(), minlength=len(boxes) + 1)[1:]
        clipped = np.clip(boxes, 0, [s.width_px, s.height_px] * 2)
        inside = (clipped[:, 2] - clipped[:, 0] > 1) & (clipped[:, 3] - clipped[:, 1] > 1)
        visible = painted / np.maximum(full, 1)
        return image, clipped, np.clip(visible, 0, 1), [int(i) + 1 for i in np.flatnonzero(inside)]


def write_scene(scene: Scene, path: Path) -> None:
    """Paint the scene into an H.264 mp4 with its times."""
    s = scene.settings
    with VideoWriter(path, width_px=s.width_px, height_px=s.height_px, rate=s.rate) as writer:
        for frame in scene.frames():
            writer.write(frame.image, frame.time_s)


def _ground(settings: SceneSettings, rng: np.random.Generator) -> ByteArray:
    coarse = rng.uniform(90, 170, (settings.height_px // 8 + 1, settings.width_px // 8 + 1, 3))
    whole = np.repeat(np.repeat(coarse, 8, axis=0), 8, axis=1)
    return whole[: settings.height_px, : settings.width_px].astype(np.uint8)


def _mover(settings: SceneSettings, rng: np.random.Generator, number: int) -> _Mover:
    width = rng.uniform(*settings.size_px)
    size = np.array([width, width * rng.uniform(1.0, 1.6)])
    picture = np.array([settings.width_px, settings.height_px], float)
    # In x the range reaches beyond the picture: objects leave it whole and come back.
    reach = np.stack([-size * [1.2, -0.6], picture + size * [1.2, -0.6]], axis=1)
    reach[:, 1] = np.maximum(reach[:, 1], reach[:, 0] + 1)  # an object as high as the picture
    speed = rng.uniform(*settings.speed_px_s) * np.array([1.0, rng.uniform(0.05, 0.25)])
    hue = rng.permutation([rng.uniform(0, 60), rng.uniform(0, 255), rng.uniform(190, 255)])
    return _Mover(
        label=number % len(CLASSES),
        size_px=size,
        start_px=rng.uniform(reach[:, 0], reach[:, 1]),
        speed_px_s=speed * rng.choice([-1, 1]),
        range_px=reach,
        colour=hue.astype(np.uint8),
        stripe_px=int(rng.integers(4, 9)),
    )


def _shape(mover: _Mover, box_xyxy: FloatArray) -> tuple[BoolArray, FloatArray, FloatArray]:
    """Which pixels of the box's own grid the shape covers, and their x and y in the picture."""
    x = np.arange(np.floor(box_xyxy[0]), np.ceil(box_xyxy[2])) + 0.5
    y = np.arange(np.floor(box_xyxy[1]), np.ceil(box_xyxy[3])) + 0.5
    centre, half = (box_xyxy[:2] + box_xyxy[2:]) / 2, mover.size_px / 2
    u = np.abs((x - centre[0]) / half[0])[None, :]
    v = np.abs((y - centre[1]) / half[1])[:, None]
    inside = {"disc": u**2 + v**2 <= 1, "square": np.maximum(u, v) <= 1, "diamond": u + v <= 1}
    return inside[CLASSES[mover.label]], x, y


def _paint_shape(
    image: ByteArray, owner: np.ndarray, box_xyxy: FloatArray, mover: _Mover, number: int
) -> None:
    mask, x, y = _shape(mover, box_xyxy)
    inside_y, inside_x = (y > 0) & (y < image.shape[0]), (x > 0) & (x < image.shape[1])
    if not inside_x.any() or not inside_y.any():
        return
    rows, columns = y[inside_y].astype(int), x[inside_x].astype(int)
    part = mask[np.ix_(inside_y, inside_x)]
    stripe = ((y[inside_y] - box_xyxy[1]) // mover.stripe_px % 2 == 0)[:, None]
    colour = np.where(stripe[..., None], mover.colour, mover.colour // 2 + 40)
    area = np.ix_(rows, columns)
    image[area] = np.where(part[..., None], colour, image[area])
    owner[area] = np.where(part, number, owner[area])
