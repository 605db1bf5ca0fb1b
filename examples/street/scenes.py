"""What collages are made of: frames of videos and pictures that somebody looks over."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from collage import Cutout, Scene, cut_out
from vodkit.ground.arrays import ByteArray
from vodkit.ground.errors import InputError
from vodkit.ground.records import Detections, Frame
from vodkit.video.reader import open_video

PICTURES = (".jpg", ".jpeg", ".png")
_THUMB_PX = 48
_CUTOUT_SCORE, _CUTOUT_HEIGHT_PX = 0.5, 40

Look = Callable[[Frame], Detections]
"""finds the things in a frame"""


@dataclass(frozen=True, kw_only=True)
class Reading:
    """Which frames of a source are taken."""

    every: int
    """look at every n-th frame of videos"""
    most_frames: int
    """of one source, evenly spread"""
    least_change: float
    """mean grey levels by which a frame must differ from the last one taken"""
    most_side_px: int
    """larger pictures are shrunk to this"""


def files_of(root: Path, source: str) -> list[Path]:
    """The file, or all files that the glob names, sorted; InputError where there are none."""
    files = sorted(path for path in root.glob(source) if path.is_file())
    if not files:
        raise InputError(f"{root / source}: no such file")
    return files


def read_material(
    root: Path, source: str, reading: Reading, look: Look, *, person: int
) -> tuple[list[Scene], list[Cutout]]:
    """Scenes of one source and what is cut out of them; ``person`` is the label of people.

    Cut out is what was found for sure and is tall enough to be shrunk.
    """
    images = list(_changing(_images(files_of(root, source), reading), reading.least_change))
    if len(images) > reading.most_frames:
        images = [
            images[i]
            for i in np.linspace(0, len(images) - 1, reading.most_frames).round().astype(int)
        ]
    scenes, cutouts = [], []
    for number, image in enumerate(images):
        found = look(Frame(number, 0.0, image))
        scene = Scene(image, found.boxes_xyxy, source)
        scenes.append(scene)
        heights = found.boxes_xyxy[:, 3] - found.boxes_xyxy[:, 1]
        sure = (found.scores >= _CUTOUT_SCORE) & (heights >= _CUTOUT_HEIGHT_PX)
        for row in np.flatnonzero(sure):
            is_person = int(found.labels[row]) == person
            cutouts.append(cut_out(scene, found.boxes_xyxy[row], person=is_person))
    return scenes, cutouts


def _images(files: Sequence[Path], reading: Reading) -> Iterator[ByteArray]:
    for path in files:
        if path.suffix.lower() in PICTURES:
            yield _shrunk(_read_picture(path), reading.most_side_px)
            continue
        with open_video(path) as video:
            for frame in video.frames(every=reading.every):
                yield _shrunk(frame.image, reading.most_side_px)


def _read_picture(path: Path) -> ByteArray:
    image = cv2.imdecode(np.frombuffer(path.read_bytes(), np.uint8), cv2.IMREAD_COLOR)
    if image is None:
        raise InputError(f"{path}: cannot read the picture")
    return np.ascontiguousarray(image[..., ::-1])


def _shrunk(image: ByteArray, most_side_px: int) -> ByteArray:
    ratio = most_side_px / max(image.shape[:2])
    if ratio >= 1:
        return image
    size = (max(int(image.shape[1] * ratio), 1), max(int(image.shape[0] * ratio), 1))
    return cv2.resize(image, size, interpolation=cv2.INTER_AREA)


def _changing(images: Iterator[ByteArray], least_change: float) -> Iterator[ByteArray]:
    """Those that differ enough from the last one taken."""
    last = None
    for image in images:
        thumb = cv2.resize(image, (_THUMB_PX, _THUMB_PX), interpolation=cv2.INTER_AREA)
        now = thumb.astype(np.float32)
        if last is None or float(np.abs(now - last).mean()) >= least_change:
            last = now
            yield image
