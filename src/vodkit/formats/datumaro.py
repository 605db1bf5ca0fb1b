"""Datumaro JSON (also what CVAT exports under that name): items, categories by position.

Items of one video are called ``<video>/<frame>`` here; items of others become still pictures,
unless their ids end in a frame number below a common folder. Tracks are in the attribute
``track_id``; ``occluded`` becomes visibility 0.5, because the file does not record how much is
hidden. A folder holds one file a subset; ``train``, ``val`` and ``test`` become splits. A rotated
box has its turn, in degrees about the centre, in the attribute ``rotation``.
"""

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from vodkit.formats import shapes
from vodkit.formats.base import (
    Reading,
    Writing,
    class_names,
    info_for,
    is_still,
    relative_source,
    require_bearable,
    stems,
)
from vodkit.formats.coco_shapes import turned
from vodkit.formats.cocovid import json_lines
from vodkit.formats.jsonfile import Node, object_in, read_json
from vodkit.formats.pictures import still
from vodkit.formats.rows import Row, Rows, rows_by_frame
from vodkit.formats.shapes import Corners, NoAreaError, PointBoxes
from vodkit.ground.arrays import FloatArray
from vodkit.ground.errors import FormatError
from vodkit.ground.paths import files_in, relative, there
from vodkit.ground.records import NO_ID, Dataset, LabelledVideo
from vodkit.ground.runs import write_atomic

KEEPS = frozenset({"ids", "scores", "labelled", "video", "empty"})
PICTURES: str | None = "images/default/{stem}/{frame:06d}.jpg"
PARTLY_HIDDEN = 0.5
NAMELESS = ""
"""the video of items that name none"""
SPLITS = {"train": "train", "val": "val", "test": "test"}


def sniff(path: Path) -> bool:
    """A JSON file with ``items`` and ``categories``; or a folder with ``annotations``."""
    files = _files(path)[:1]
    content = object_in(files[0]) if files else None
    if content is None or "annotations" in content:
        return False
    return "items" in content and "categories" in content


def _files(path: Path) -> list[Path]:
    """The file itself, or one file a subset."""
    if path.is_file():
        return [path] if path.suffix.lower() == ".json" else []
    return files_in(path / "annotations", ".json")


def contained(path: Path) -> int:
    """Number of annotations of all types in all items."""
    items = (item for file in _files(path) for item in read_json(file).value["items"])
    return sum(map(_num_annotations, items))


def _num_annotations(item: Any) -> int:
    """Number of annotations of an item; one that breaks the format counts as one."""
    found = item.get("annotations") if isinstance(item, dict) else None
    return len(found) if isinstance(found, list) else 1


def read(path: Path, reading: Reading) -> Dataset:
    """Items ``<video>/<number>`` are frames of a video, all others still pictures."""
    files = _files(path)
    if not files:
        raise FormatError("no annotations/*.json in this folder", path=path)
    contents = [read_json(file) for file in files]
    tables = [
        [n.words("name") for n in content.at("categories").at("label").items("labels")]
        for content in contents
    ]
    classes = class_names(dict.fromkeys(name for names in tables for name in names), path)
    videos: list[LabelledVideo] = []
    for content, names in zip(contents, tables, strict=True):
        one = _Subset(
            content=content,
            labels=[classes.index(name) for name in names],
            num_classes=len(classes),
            split=SPLITS.get(content.path.stem, "") if path.is_dir() else "",
            reading=reading,
            root=path if path.is_dir() else path.parent,
        )
        videos += one.videos()
    return Dataset(classes=classes, videos=tuple(videos))


@dataclass(frozen=True)
class _Subset:
    """One file, with what its numbers mean."""

    content: Node
    labels: list[int]
    """the class of each ``label_id``"""
    num_classes: int
    split: str
    reading: Reading
    root: Path
    """the folder that sources are relative to"""

    def videos(self) -> Iterator[LabelledVideo]:
        """Items grouped by video."""
        groups: dict[str, dict[int, Node]] = {}
        for node in self.content.items("items"):
            try:
                _sort_in(node, groups)
            except FormatError as fault:
                self.reading.refuse(fault, _num_annotations(node.value))
        if NAMELESS in groups:
            self._name(groups)
        points = PointBoxes(self.reading.box_size, _lengths(self.content, self.reading))
        for source, items in groups.items():
            yield self._video(source, items, points)

    def _name(self, groups: dict[str, dict[int, Node]]) -> None:
        """Items called ``frame_000012`` are pictures that exist, or frames of the video given.

        So CVAT exports the task of a video, without its name.
        """
        frames = groups.pop(NAMELESS)
        first = next(iter(frames.values()))
        if self.reading.source:
            groups[self.reading.source] = frames
        elif _picture(first).is_file():
            for node in frames.values():
                groups[node.words("id")] = {-1: node}
        else:
            raise first.fault(
                f"{len(frames)} items like {first.words('id')!r} are frames of a video that the "
                "file does not name; give it with --video, or put the pictures beside"
            )

    def _video(self, source: str, items: dict[int, Node], points: PointBoxes) -> LabelledVideo:
        first = next(iter(items.values()))
        size = _size(first)
        if set(items) == {-1}:
            source = relative(_picture(first), self.root)
            rows = self._rows(1)
            self._add_all(rows, first, 0, points)
            size = size or self.reading.size_px
            if size is None:
                raise first.fault("the picture's size is not in the file; give --size")
            return still(source, size, rows, split=self.split)
        info, tags = info_for(source, first.path, self.reading, size_px=size)
        rows = self._rows(info.num_frames)
        for frame, node in sorted(items.items()):
            self._add_all(rows, node, max(frame, 0), points)
        return rows.video(
            info, tags, labelled_frames=np.array(sorted(items), np.int64), split=self.split
        )

    def _rows(self, num_frames: int | None) -> Rows:
        path = self.content.path
        return Rows(path, self.reading, num_classes=self.num_classes, num_frames=num_frames)

    def _add_all(self, rows: Rows, node: Node, frame: int, points: PointBoxes) -> None:
        for entry in node.items("annotations"):
            with self.reading.taking(entry.path, entry.line):
                self._add(rows, entry, frame, points)

    def _add(self, rows: Rows, node: Node, frame: int, points: PointBoxes) -> None:
        box, how = _box(node, points)
        extra = node.at("attributes") if "attributes" in node else node
        number = node.integer("label_id")
        if not 0 <= number < len(self.labels):
            raise node.fault(f"label_id {number}; allowed: 0 to {len(self.labels) - 1}")
        rows.add(
            frame,
            box,
            line=node.line,
            track_id=extra.integer("track_id", NO_ID),
            label=self.labels[number],
            score=extra.number("score", 1.0),
            visibility=PARTLY_HIDDEN if extra.truth("occluded") else math.nan,
            how=how,
        )


def _sort_in(node: Node, groups: dict[str, dict[int, Node]]) -> None:
    name = relative_source(node.words("id"), node.path, line=node.line)
    list(node.items("annotations"))
    match = re.fullmatch(r"(?:(.+)/)?(frame_)?(\d{1,9})", name, flags=re.ASCII)
    source, frame = name, -1
    if match and (match[1] or match[2]):
        source, frame = match[1] or NAMELESS, int(match[3])
    items = groups.setdefault(source, {})
    if frame in items:
        raise node.at("id").fault(f"item {name!r} occurs twice")
    items[frame] = node


def _picture(node: Node) -> Path:
    """Where the picture of an item would be: beside the file, or in ``images`` of the folder."""
    name = node.at("image").words("path", "") if "image" in node else ""
    name = relative_source(name or node.words("id"), node.path, line=node.line)
    home = node.path.parent
    subset = f"images/{node.path.stem}"
    tries = [there(top / inner / name) for top in (home, home.parent) for inner in ("", subset)]
    return next((one for one in tries if one.is_file()), tries[0])


def _size(node: Node) -> tuple[int, int] | None:
    """Width and height; the file has height first."""
    for key in ("image", "media"):
        if key in node and "size" in node.at(key):
            height, width = node.at(key).numbers("size", 2)
            require_bearable(node.path, size_px=(int(width), int(height)))
            return int(width), int(height)
    return None


def _lengths(content: Node, reading: Reading) -> Iterator[float]:
    """The body lengths of all objects of several points."""
    if reading.box_size is not None and reading.box_size.px:
        return
    for item in content.items("items"):
        for entry in item.items("annotations"):
            with reading.taking(entry.path, count=0):
                found = _points(entry) if entry.words("type", "") in ("points", "skeleton") else ()
                if len(found) > 1:
                    yield shapes.length_px(np.asarray(found))


def _box(node: Node, points: PointBoxes) -> tuple[Corners, str]:
    """The box of an annotation of any type, and how it was made; NoAreaError where it has none."""
    kind = node.words("type", "")
    if kind == "bbox":
        x, y, width, height = node.numbers("bbox", 4)
        return turned((x, y, x + width, y + height), node)
    if kind in ("polygon", "polyline"):
        numbers = node.numbers("points", _length(node, "points"))
        return shapes.flat_hull(numbers), shapes.POLYGON if kind == "polygon" else shapes.POLYLINE
    if kind == "ellipse":
        x1, y1, x2, y2 = node.numbers("points", 4)
        return turned((x1, y1, x2, y2), node)[0], shapes.ELLIPSE
    if kind == "rotated_bbox":
        x, y, width, height = (node.number(key) for key in ("cx", "cy", "w", "h"))
        box = (x - width / 2, y - height / 2, x + width / 2, y + height / 2)
        return shapes.turned_box(box, node.number("r")), shapes.ROTATED
    if kind == "mask":
        rle = node.at("rle")
        height_px, width_px = (int(side) for side in rle.numbers("size", 2))
        return shapes.rle_hull(rle.at("counts").value, height_px, width_px), shapes.MASK
    if kind in ("points", "skeleton"):
        return points.around(_points(node), pose=kind == "skeleton")
    raise NoAreaError(f"annotation of type {kind[:40]!r}")


def _length(node: Node, key: str) -> int:
    value = node.at(key).value
    return len(value) if isinstance(value, list) else 0


def _points(node: Node) -> FloatArray:
    """The points (P, 2) of an annotation that are not marked absent; a skeleton's in ``elements``.

    Datumaro marks points with 0 (absent), 1 (hidden) or 2 (visible).
    """
    if node.words("type", "") == "skeleton":
        parts = [_points(element) for element in node.items("elements")]
        return np.concatenate([np.empty((0, 2)), *parts])
    count = _length(node, "points")
    if count % 2:
        raise node.at("points").fault(f"{count} numbers; allowed: pairs of x and y")
    found = np.array(node.numbers("points", count), np.float64).reshape(-1, 2)
    if "visibility" not in node:
        return found
    marks = np.array(node.numbers("visibility", len(found)))
    return found[marks > 0]


def write(dataset: Dataset, path: Path, writing: Writing) -> None:
    """One JSON file; ignore rows are left out."""
    del writing
    items: list[dict[str, Any]] = []
    for video, name in zip(dataset.videos, stems(dataset), strict=True):
        size = [video.info.height_px, video.info.width_px]
        for frame, rows in rows_by_frame(video).items():
            item = video.source if is_still(video) else f"{name}/{frame:06d}"
            picture = item if is_still(video) else f"{item}.jpg"
            items.append(
                {
                    "id": item,
                    "annotations": [
                        _entry(number, row) for number, row in enumerate(rows) if not row.ignore
                    ],
                    "attr": {"frame": frame},
                    "image": {"path": picture, "size": size},
                }
            )
    labels = [{"name": name, "parent": "", "attributes": []} for name in dataset.classes]
    content = {
        "info": {},
        "categories": {"label": {"labels": labels, "attributes": []}},
        "items": items,
    }
    write_atomic(path, json_lines(content))


def _entry(number: int, row: Row) -> dict[str, Any]:
    x1, y1, x2, y2 = row.box_xyxy
    attributes: dict[str, Any] = {"occluded": row.visibility <= PARTLY_HIDDEN}
    if row.track_id != NO_ID:
        attributes["track_id"] = row.track_id
    if row.score != 1:
        attributes["score"] = row.score
    return {
        "id": number,
        "type": "bbox",
        "attributes": attributes,
        "group": 0,
        "label_id": row.label,
        "z_order": 0,
        "bbox": [x1, y1, x2 - x1, y2 - y1],
    }
