"""What a CVAT export holds: its tasks with their tracks and pictures, and the boxes of shapes."""

import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

import numpy as np

from vodkit.formats import shapes
from vodkit.formats.base import MOST_FRAMES, PICTURE_ENDINGS, Reading, relative_source
from vodkit.formats.keyframes import interpolate
from vodkit.formats.shapes import Corners, NoAreaError, PointBoxes
from vodkit.formats.textfile import number_of
from vodkit.formats.xmlfile import Element
from vodkit.ground.arrays import BoolArray, FloatArray, IntArray
from vodkit.ground.errors import FormatError

HULLS = {"polygon": shapes.POLYGON, "polyline": shapes.POLYLINE}
_CUBOID = re.compile(r"([xy])((?:tl|bl|tr|br)[12])")


@dataclass(frozen=True)
class Task:
    """A task or job: what its ``<meta>`` contains, its tracks and its pictures."""

    tree: Element
    source: str
    size_px: tuple[int, int] | None
    start: int
    stop: int | None
    step: int
    mode: str
    number: str
    """CVAT's id of the task; empty outside of project exports"""
    subset: str
    class_names: list[str]
    tracks: list[Element] = field(default_factory=list)
    images: list[Element] = field(default_factory=list)
    strays: list[Element] = field(default_factory=list)
    """elements that are neither"""

    def frames(self, last: int) -> IntArray:
        """The frames of the task, in the video's own numbers."""
        stop = last if self.stop is None else self.stop
        if stop > MOST_FRAMES:
            raise self.tree.fault(f"stop frame {stop}; allowed: up to {MOST_FRAMES}")
        return np.arange(self.start, stop + 1, self.step)

    @property
    def is_video(self) -> bool:
        """Whether the images are frames of a video: CVAT names those ``frame_000012``."""
        names = [image.words("name", "") for image in self.images]
        endings = {PurePosixPath(name).suffix.lower() for name in names}
        return self.mode == "interpolation" and not endings & set(PICTURE_ENDINGS)

    def frame_of(self, image: Element) -> int:
        """The frame of the video that an image is."""
        match = re.search(r"(\d{1,9})$", image.words("name", ""), flags=re.ASCII)
        return int(match.group(1)) if match else image.whole("id")


def tasks_of(tree: Element, reading: Reading) -> list[Task]:
    """The tasks of an export, each with what belongs to it."""
    if tree.name != "annotations":
        raise tree.fault("not a CVAT file: allowed is <annotations>")
    meta = tree.find("meta")
    listed = tree.find("meta", "project", "tasks")
    entries: Sequence[Element | None]
    if listed is not None and any(listed.all("task")):
        entries = list(listed.all("task"))
    else:
        one = (meta.find("task") or meta.find("job")) if meta is not None else None
        entries = [one]
    tasks = [_task(tree, meta, entry, several=len(entries) > 1) for entry in entries]
    for top in tree.children:
        if top.name in ("version", "meta"):
            continue
        try:
            task = _owner(top, tasks)
        except FormatError as fault:
            count = len(shapes_of(top)) if top.name in ("track", "image") else 1
            reading.refuse(fault, count)
            continue
        room = {"track": task.tracks, "image": task.images}.get(top.name, task.strays)
        room.append(top)
        if top.name == "track":
            task.class_names.append(top.words("label", ""))
        elif top.name == "image":
            named = (x.words("label", "") for x in shapes_of(top) if x.name != "tag")
            task.class_names.extend(named)
    for task in tasks:
        task.class_names[:] = filter(None, dict.fromkeys(task.class_names))
        if task.tracks and task.images and not task.is_video:
            raise task.tree.fault("holds tracks of a video and pictures of none: which is it of?")
    return tasks


def _owner(top: Element, tasks: list[Task]) -> Task:
    """The task that a track or image belongs to."""
    number = top.words("task_id", "")
    if len(tasks) == 1:
        return tasks[0]
    found = [task for task in tasks if task.number == number]
    if len(found) != 1:
        known = ", ".join(task.number for task in tasks)
        raise top.fault(f"task_id is {number!r}; the export holds the tasks {known}")
    return found[0]


def require_different(tasks: list[Task], path: Path) -> None:
    """FormatError where two tasks are of videos with one name: parts of one, or two videos."""
    named: dict[str, Task] = {}
    for task in tasks:
        if task.images and not task.is_video:
            continue
        other = named.setdefault(task.source, task)
        if other is not task:
            two = " and ".join(
                f"task {one.number}" if one.number else str(one.tree.path) for one in (other, task)
            )
            message = f"{two} are both of {task.source!r}: parts of one video, or two videos of one"
            raise FormatError(f"{message} name? export and import them one by one", path=path)


def _task(tree: Element, meta: Element | None, entry: Element | None, *, several: bool) -> Task:
    size = next(
        (x for x in (_child(entry, "original_size"), _child(meta, "original_size")) if x), None
    )
    size_px = None
    if size is not None:
        size_px = (size.need("width").text_whole(), size.need("height").text_whole())
    names = _label_names(entry) + _label_names(tree.find("meta", "project"))
    return Task(
        tree=tree,
        source=_source(tree, None if several else meta, entry),
        size_px=size_px,
        start=_number(entry, "start_frame") or 0,
        stop=_number(entry, "stop_frame"),
        step=_step(entry),
        mode=_text(entry, "mode") or "interpolation",
        number=_text(entry, "id"),
        subset=_text(entry, "subset"),
        class_names=names,
    )


def _child(parent: Element | None, name: str) -> Element | None:
    return parent.find(name) if parent is not None else None


def _text(parent: Element | None, name: str) -> str:
    found = _child(parent, name)
    return found.text if found is not None else ""


def _label_names(parent: Element | None) -> list[str]:
    """Names of labels; those of a skeleton's points have a ``<parent>`` and are no classes."""
    found = _child(parent, "labels")
    if found is None:
        return []
    return [x.need("name").text for x in found.all("label") if not _text(x, "parent")]


def _number(task: Element | None, name: str) -> int | None:
    found = _child(task, name)
    if found is None or not found.text:
        return None
    number = found.text_whole()
    if number < 0:
        raise found.fault(f"is {number}; allowed: 0 or more")
    return number


def _step(task: Element | None) -> int:
    match = re.search(r"step\s*=\s*(\d{1,6})", _text(task, "frame_filter"), flags=re.ASCII)
    return max(1, int(match.group(1))) if match else 1


def _source(tree: Element, meta: Element | None, task: Element | None) -> str:
    """The video that CVAT was given: its file name, without the folders it had there."""
    for place, name in ((meta, "source"), (task, "source"), (task, "name")):
        found = _child(place, name)
        if found is not None and found.text:
            text = found.text.replace("\\", "/").rsplit("/", 1)[-1]
            return relative_source(text, tree.path, line=found.line)
    return tree.path.stem


def shapes_of(parent: Element) -> list[Element]:
    """The shapes and tags of a track or image."""
    return [child for child in parent.children if child.name != "attribute"]


def body_lengths(task: Task, reading: Reading) -> Iterator[float]:
    """The body lengths of all objects of several points."""
    if reading.box_size is not None and reading.box_size.px:
        return
    for parent in (*task.tracks, *task.images):
        for shape in shapes_of(parent):
            with reading.taking(shape.path, shape.line, count=0):
                found = _points(shape) if shape.name in ("points", "skeleton") else ()
                if len(found) > 1:
                    yield shapes.length_px(np.asarray(found))


def box_of(shape: Element, points: PointBoxes) -> tuple[Corners, str]:
    """The upright box of a shape, and how it was made; NoAreaError where it has none."""
    box, degrees, how = _turned_box(shape, points)
    return (shapes.turned_box(box, degrees), how) if degrees else (box, how)


def _turned_box(shape: Element, points: PointBoxes) -> tuple[Corners, float, str]:
    """A box, its turn about the centre in degrees, and how it is converted."""
    if shape.name == "box":
        x1, y1, x2, y2 = (shape.real(key) for key in ("xtl", "ytl", "xbr", "ybr"))
        _require_finite(shape, x1, y1, x2, y2)
        degrees = _degrees(shape)
        return (x1, y1, x2, y2), degrees, shapes.ROTATED if degrees % 360 else ""
    if shape.name == "ellipse":
        x, y, across, down = (shape.real(key) for key in ("cx", "cy", "rx", "ry"))
        _require_finite(shape, x, y, across, down)
        return shapes.ellipse(x, y, across, down, _degrees(shape)), 0.0, shapes.ELLIPSE
    if shape.name == "mask":
        left, top, width, height = (shape.real(k) for k in ("left", "top", "width", "height"))
        _require_finite(shape, left, top, width, height)
        return (left, top, left + width, top + height), 0.0, shapes.MASK
    if shape.name == "cuboid":
        keys = {key[1:] for key in shape.attributes if _CUBOID.fullmatch(key)}
        corners = [[shape.real(f"x{key}"), shape.real(f"y{key}")] for key in sorted(keys)]
        return shapes.hull(corners), 0.0, shapes.CUBOID
    if shape.name in HULLS:
        return shapes.hull(_pairs(shape)), 0.0, HULLS[shape.name]
    if shape.name in ("points", "skeleton"):
        box, how = points.around(_points(shape), pose=shape.name == "skeleton")
        return box, 0.0, how
    if shape.name == "tag":
        raise NoAreaError("tag of a whole picture")
    raise NoAreaError(f"shape of unknown type <{shape.name[:40]}>")


def _require_finite(shape: Element, *numbers: float) -> None:
    if not all(map(math.isfinite, numbers)):  # it would spoil all boxes up to the next key frame
        raise shape.fault("a corner is not finite")


def _degrees(shape: Element) -> float:
    degrees = shape.real("rotation", 0.0)
    if not math.isfinite(degrees):
        raise shape.fault(f"rotation is {degrees}; allowed: degrees")
    return degrees


def _pairs(shape: Element) -> FloatArray:
    """The points (P, 2) of ``points="x,y;x,y"``."""
    try:
        pairs = [[*map(number_of, pair.split(","))] for pair in shape.words("points").split(";")]
    except ValueError as error:
        raise shape.fault(f"points: {error}; allowed: x,y;x,y") from error
    if any(len(pair) != 2 for pair in pairs):
        raise shape.fault("points: allowed: x,y;x,y")
    return np.array(pairs, np.float64)


def _points(shape: Element) -> FloatArray:
    """The points (P, 2) of points, or of a skeleton's elements that are not outside."""
    if shape.name == "points":
        return _pairs(shape)
    inside = [x for x in shape.children if x.name == "points" and x.words("outside", "0") != "1"]
    return np.concatenate([np.empty((0, 2)), *map(_pairs, inside)])


@dataclass(frozen=True)
class Keys:
    """The key frames of one track: K boxes with their turns."""

    boxes_xyxy: FloatArray
    """(K, 4), before the turn"""
    degrees: FloatArray
    """(K,), without leaps over half a turn, as CVAT turns between key frames"""
    outside: BoolArray
    """(K,): the track pauses from here on"""
    hows: list[str]
    reasons: list[str]
    """why a key frame has no box; empty where it has one"""

    @classmethod
    def of(cls, keys: list[Element], points: PointBoxes) -> "Keys":
        """The boxes of shapes in order of frames. One without a box pauses the track."""
        boxes: list[Corners] = []
        degrees, hows, reasons, outside = [], [], [], []
        for key in keys:
            out = _is_outside(key)
            try:
                box, angle, how = _turned_box(key, points)
                reason = ""
            except NoAreaError as error:
                box, angle, how = (0.0, 0.0, 0.0, 0.0), 0.0, ""
                reason = "" if out else str(error)
                out = True
            except shapes.ShapeError as error:
                raise key.fault(str(error)) from error
            boxes.append(box)
            degrees.append(angle)
            hows.append(how)
            reasons.append(reason)
            outside.append(out)
        turn = np.unwrap(np.array(degrees), period=360)
        return cls(np.array(boxes), turn, np.array(outside), hows, reasons)

    def boxes_at(self, places: IntArray, frames: IntArray) -> FloatArray:
        """Upright boxes (M, 4) in frames (M,), between key frames at ``places`` (K,).

        Towards a key frame without a box the last box before it stays.
        """
        boxes, turn = self.boxes_xyxy.copy(), self.degrees.copy()
        for row in range(1, len(boxes)):
            if not boxes[row].any():
                boxes[row], turn[row] = boxes[row - 1], turn[row - 1]
        drawn = interpolate(places, boxes, frames)
        if not turn.any():
            return drawn
        return shapes.turned(drawn, np.interp(frames, places, turn))


def _is_outside(key: Element) -> bool:
    """Whether a shape ends its track; a skeleton does where all its points do."""
    if key.name == "skeleton":
        parts = list(key.all("points"))
        return bool(parts) and all(x.words("outside", "0") == "1" for x in parts)
    return key.words("outside", "0") == "1"
