"""Pictures made up from real ones, for a teacher that answers on any picture.

There are no labels here: where a student learns to answer as its teacher does, every picture is
worth asking about, so scenes are shrunk until people are as small as on surveillance cameras,
put together, and strewn with cut-outs. The same generator state always makes the same picture.

Legend: H W of the picture to make.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from vodkit.ground.arrays import ByteArray, FloatArray
from vodkit.ground.errors import SettingsError

_GREY = 114  # what lies beyond a letterboxed picture
_LEAST_SCALE, _MOST_SCALE = 0.1, 2.0
_STRETCH = 0.15  # most change of the aspect, as a logarithm


@dataclass(frozen=True, eq=False)
class Scene:
    """A real picture and where things are in it."""

    image: ByteArray
    """(H, W, 3) uint8 RGB"""
    boxes_xyxy: FloatArray
    """(N, 4); places worth looking at, empty is legal"""
    source: str
    """file it comes from"""


@dataclass(frozen=True, eq=False)
class Cutout:
    """A thing cut out of a scene with a little of what is around it."""

    image: ByteArray
    person: bool
    source: str


@dataclass(frozen=True, kw_only=True)
class CollageSettings:
    """How pictures are made up; probabilities from 0 to 1."""

    usual_heights_px: tuple[float, ...] = (22.0, 80.0)
    """least and most height of things in six of ten views"""
    all_heights_px: tuple[float, ...] = (16.0, 220.0)
    """the same for all others"""
    mosaic: float = 0.35
    """four views in one picture"""
    cutouts: float = 0.5
    """strew one to eight cut-outs"""
    blend: float = 0.1
    """another picture shines through"""
    colours: float = 0.8
    """change contrast, brightness, saturation and tint"""
    blur: float = 0.25
    noise: float = 0.25
    jpeg: float = 0.35

    def __post_init__(self) -> None:
        """Check probabilities and ranges."""
        for name in ("mosaic", "cutouts", "blend", "colours", "blur", "noise", "jpeg"):
            if not 0 <= getattr(self, name) <= 1:
                raise SettingsError(f"collage.{name} is {getattr(self, name)}; allowed: 0 to 1")
        for name in ("usual_heights_px", "all_heights_px"):
            heights = getattr(self, name)
            if len(heights) != 2 or not 0 < heights[0] <= heights[1]:
                raise SettingsError(f"collage.{name} is {heights}; allowed: least, most above 0")


class Collages:
    """Makes pictures from scenes and cut-outs.

    Each source counts with the square root of the number of its pictures: a long clip of one
    room does not drown a short one of a street, nor count the same as a folder of photographs.
    """

    def __init__(
        self, scenes: Sequence[Scene], cutouts: Sequence[Cutout], settings: CollageSettings
    ) -> None:
        """At least one scene; cut-outs may be none."""
        if not scenes:
            raise SettingsError("collages need at least one scene; there is none")
        self._scenes = scenes
        self._scene_odds = _odds([scene.source for scene in scenes])
        kinds = [[c for c in cutouts if c.person == person] for person in (True, False)]
        self._cutouts = [kind for kind in kinds if kind]
        self._cutout_odds = [_odds([c.source for c in kind]) for kind in self._cutouts]
        self.settings = settings

    def make(self, rng: np.random.Generator, *, height_px: int, width_px: int) -> ByteArray:
        """One picture (H, W, 3) uint8 RGB."""
        settings = self.settings
        picture = self._plain_or_mosaic(rng, height_px, width_px)
        if self._cutouts and rng.random() < settings.cutouts:
            self._strew(rng, picture)
        if rng.random() < settings.blend:
            share = rng.uniform(0.3, 0.7)
            other = self._view(rng, height_px, width_px)
            picture = cv2.addWeighted(picture, share, other, 1 - share, 0)
        if rng.random() < settings.colours:
            picture = _recoloured(rng, picture)
        return self._worn(rng, picture)

    def _plain_or_mosaic(self, rng: np.random.Generator, height: int, width: int) -> ByteArray:
        if rng.random() >= self.settings.mosaic:
            return self._view(rng, height, width)
        picture = np.empty((height, width, 3), np.uint8)
        row, column = (int(rng.uniform(0.3, 0.7) * side) for side in (height, width))
        for rows in (slice(0, row), slice(row, height)):
            for columns in (slice(0, column), slice(column, width)):
                size = (rows.stop - rows.start, columns.stop - columns.start)
                picture[rows, columns] = self._view(rng, *size)
        return picture

    def _view(self, rng: np.random.Generator, height: int, width: int) -> ByteArray:
        """A scene at a drawn scale, cut to size, mostly with one of its things in sight."""
        scene = self._scenes[rng.choice(len(self._scenes), p=self._scene_odds)]
        boxes = scene.boxes_xyxy
        scale = self._scale(rng, boxes)
        across = scale * math.exp(rng.uniform(-_STRETCH, _STRETCH))
        image = _resized(rng, scene.image, scale, across)
        flip = rng.random() < 0.5
        if flip:
            image = image[:, ::-1]
        centre = None
        if len(boxes) and rng.random() < 0.75:
            x1, y1, x2, y2 = boxes[rng.integers(len(boxes))]
            x = (x1 + x2) / 2 * across
            centre = (image.shape[1] - x if flip else x, (y1 + y2) / 2 * scale)
        small = image.shape[1] < 0.6 * width and image.shape[0] < 0.6 * height
        if small and rng.random() < 0.7:
            image, centre = _tiled(image, height, width), None
        return _cut(rng, image, (height, width), centre)

    def _scale(self, rng: np.random.Generator, boxes: FloatArray) -> float:
        """Mostly such that one of the things gets a height drawn from the settings."""
        if not len(boxes) or rng.random() >= 0.8:
            return _between(rng, (0.3, 1.5))
        box = boxes[rng.integers(len(boxes))]
        usual = rng.random() < 0.6
        wanted = self.settings.usual_heights_px if usual else self.settings.all_heights_px
        scale = _between(rng, wanted) / max(float(box[3] - box[1]), 8.0)
        return float(np.clip(scale, _LEAST_SCALE, _MOST_SCALE))

    def _strew(self, rng: np.random.Generator, picture: ByteArray) -> None:
        """Put cut-outs of about one height onto the (fresh) picture, their borders faded."""
        height, width = picture.shape[:2]
        usual = _between(rng, self.settings.usual_heights_px)
        for _ in range(int(rng.integers(1, 9))):
            kind = 0 if rng.random() < 0.8 else len(self._cutouts) - 1
            options = self._cutouts[kind]
            cutout = options[rng.choice(len(options), p=self._cutout_odds[kind])]
            tall = max(int(usual * math.exp(rng.uniform(-0.35, 0.35))), 8)
            ratio = cutout.image.shape[1] / cutout.image.shape[0]
            wide = max(int(tall * ratio * math.exp(rng.uniform(-_STRETCH, _STRETCH))), 4)
            if wide >= width or tall >= height:
                continue
            small = cv2.resize(cutout.image, (wide, tall), interpolation=cv2.INTER_AREA)
            y, x = int(rng.integers(height - tall)), int(rng.integers(width - wide))
            place = picture[y : y + tall, x : x + wide]
            place[:] = _faded_onto(rng, small[:, ::-1] if rng.random() < 0.5 else small, place)

    def _worn(self, rng: np.random.Generator, picture: ByteArray) -> ByteArray:
        """Blur, noise and compression, as cameras and recorders add them."""
        settings = self.settings
        if rng.random() < settings.blur:
            picture = cv2.GaussianBlur(picture, (0, 0), rng.uniform(0.4, 1.3))
        if rng.random() < settings.noise:
            noise = rng.standard_normal(picture.shape, np.float32) * rng.uniform(2, 10)
            picture = np.clip(picture + noise, 0, 255).astype(np.uint8)
        if rng.random() < settings.jpeg:
            quality = [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(25, 85))]
            coded = cv2.imencode(".jpg", picture, quality)[1]
            decoded = cv2.imdecode(coded, cv2.IMREAD_COLOR)
            assert decoded is not None  # it has just been encoded
            return decoded
        return picture


def cut_out(scene: Scene, box_xyxy: FloatArray, *, person: bool, margin: float = 0.12) -> Cutout:
    """The thing in a box, with ``margin`` of the box's sides around it."""
    height, width = scene.image.shape[:2]
    x1, y1, x2, y2 = box_xyxy
    dx, dy = margin * (x2 - x1), margin * (y2 - y1)
    rows = slice(int(max(y1 - dy, 0)), int(min(y2 + dy, height)))
    columns = slice(int(max(x1 - dx, 0)), int(min(x2 + dx, width)))
    return Cutout(scene.image[rows, columns].copy(), person, scene.source)


def _odds(sources: Sequence[str]) -> FloatArray:
    """Probabilities of pictures (N,): each source counts with the root of its number."""
    counts = {source: sources.count(source) for source in set(sources)}
    weights = np.array([counts[source] ** -0.5 for source in sources])
    return weights / weights.sum()


def _between(rng: np.random.Generator, limits: tuple[float, ...]) -> float:
    """A number drawn evenly on a logarithmic scale."""
    return math.exp(rng.uniform(math.log(limits[0]), math.log(limits[1])))


def _resized(rng: np.random.Generator, image: ByteArray, down: float, across: float) -> ByteArray:
    size = (max(int(image.shape[1] * across), 16), max(int(image.shape[0] * down), 16))
    # Networks meet both kinds of shrinking: with and without averaging.
    averaged = down < 1 and rng.random() < 0.6
    return cv2.resize(image, size, interpolation=cv2.INTER_AREA if averaged else cv2.INTER_LINEAR)


def _tiled(image: ByteArray, height: int, width: int) -> ByteArray:
    """Enough mirrored copies side by side to fill the size."""
    image = np.concatenate([image, image[:, ::-1]], axis=1)
    repeats = (-(-height // image.shape[0]), -(-width // image.shape[1]), 1)
    return np.tile(image, repeats)


def _cut(
    rng: np.random.Generator,
    image: ByteArray,
    size: tuple[int, int],
    centre: tuple[float, float] | None,
) -> ByteArray:
    """The image cut or filled to (height, width); ``centre`` (x, y), if any, stays in sight."""
    plain = np.full(3, _GREY) if rng.random() < 0.6 else rng.integers(40, 200, 3)
    out = np.empty((*size, 3), np.uint8)
    out[:] = plain
    starts = []
    for axis, at in ((0, 1), (1, 0)):
        spare = image.shape[axis] - size[axis]
        low, high = min(spare, 0), max(spare, 0)
        if centre is None:
            starts.append(int(rng.integers(low, high + 1)))
        else:
            wanted = centre[at] - rng.uniform(0.1, 0.9) * size[axis]
            starts.append(int(np.clip(wanted, low, high)))
    y, x = starts
    part = image[max(y, 0) : y + size[0], max(x, 0) : x + size[1]]
    top, left = max(-y, 0), max(-x, 0)
    out[top : top + part.shape[0], left : left + part.shape[1]] = part
    return out


def _recoloured(rng: np.random.Generator, picture: ByteArray) -> ByteArray:
    values = picture.astype(np.float32)
    values = (values - 128) * rng.uniform(0.6, 1.4) + 128 + rng.uniform(-35, 35)
    grey = values.mean(axis=2, keepdims=True)
    values = grey + (values - grey) * rng.uniform(0.2, 1.5)
    return np.clip(values * rng.uniform(0.88, 1.12, 3), 0, 255).astype(np.uint8)


def _faded_onto(rng: np.random.Generator, small: ByteArray, place: ByteArray) -> ByteArray:
    """The cut-out in other light, dissolving into what is there at its borders."""
    height, width = small.shape[:2]
    values = small.astype(np.float32) * rng.uniform(0.6, 1.35)
    values = values + rng.uniform(-25, 25) + rng.uniform(-12, 12, 3)
    down = np.clip(_from_border(height) / max(1.0, 0.10 * height), 0, 1)
    across = np.clip(_from_border(width) / max(1.0, 0.22 * width), 0, 1)
    opacity = (down[:, None] * across[None, :])[..., None]
    return np.clip(values * opacity + place * (1 - opacity), 0, 255).astype(np.uint8)


def _from_border(length: int) -> FloatArray:
    """Steps from the nearer end, from 1."""
    forth = np.arange(1, length + 1)
    return np.minimum(forth, forth[::-1])
