"""BDD100K and Scalabel JSON: a list of frames with ``videoName``, ``frameIndex`` and labels.

Either a bare list or ``{"frames": [...], "config": {...}}``; one file or a folder of them. Ids may
be any text; numbers keep their value, other texts are numbered in the order they appear.
``crowd`` becomes an ignore row, ``occluded`` visibility 0.5. Frame indices count from 0. Labels
without ``box2d`` get the hull of their ``poly2d``, ``rle`` mask or ``graph`` of points. A frame
with ``labels: null`` is not labelled.
"""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np

from vodkit.formats import shapes
from vodkit.formats.base import Reading, Writing, class_names, info_for, relative_source, stems
from vodkit.formats.jsonfile import Node, head_of, read_json
from vodkit.formats.pictures import class_number, class_table
from vodkit.formats.rows import Row, Rows, rows_by_frame
from vodkit.formats.shapes import Corners, NoAreaError, PointBoxes
from vodkit.ground.arrays import FloatArray
from vodkit.ground.errors import FormatError
from vodkit.ground.paths import files_in
from vodkit.ground.records import NO_ID, Dataset, LabelledVideo
from vodkit.ground.runs import write_atomic

KEEPS = frozenset({"ids", "ignore", "scores", "labelled", "video", "empty"})
PICTURES: str | None = "{stem}/{stem}-{frame1:07d}.jpg"
PARTLY_HIDDEN = 0.5


def sniff(path: Path) -> bool:
    """A JSON file with ``labels`` and ``frameIndex``, ``videoName`` or ``box2d``; or a folder."""
    files = _files(path)[:1]
    head = head_of(files[0], 1 << 20) if files else ""
    if '"labels"' not in head or '"shapes"' in head:
        return False
    framed = '"frameIndex"' in head or '"videoName"' in head
    # Pictures of BDD100K have neither; what they have of labels is like no other format.
    return framed or ('"category"' in head and ('"box2d"' in head or '"poly2d"' in head))


def _files(path: Path) -> list[Path]:
    if path.is_file():
        return [path] if path.suffix.lower() == ".json" else []
    return files_in(path, ".json")


def read(path: Path, reading: Reading) -> Dataset:
    """Frames grouped by ``videoName``; classes from the config, or the names found, sorted."""
    files = _files(path)
    if not files:
        raise FormatError("no JSON files in here", path=path)
    contents = [read_json(file) for file in files]
    frames = [node for content in contents for node in _frames(content)]
    names = [name for content in contents for name in _configured(content)]
    if not names:
        found = [
            label.words("category")
            for frame in frames
            for label in _labels(frame)
            if "category" in label
        ]
        names = list(class_table(found, reading))
    classes = reading.classes or class_names(dict.fromkeys(names), path)
    lengths = _lengths(frames, reading)
    size = next((size for size in map(_size, contents) if size is not None), None)
    groups: dict[str, list[Node]] = {}
    for node in frames:
        groups.setdefault(node.words("videoName", "") or node.words("name"), []).append(node)
    videos = tuple(
        _video(name, group, size=size, path=path, classes=classes, reading=reading, lengths=lengths)
        for name, group in groups.items()
    )
    return Dataset(classes=classes, videos=videos)


def _frames(content: Node) -> list[Node]:
    return list(content.items() if isinstance(content.value, list) else content.items("frames"))


def _labels(frame: Node) -> list[Node]:
    if "labels" not in frame:
        return []
    return list(frame.items("labels"))


def contained(path: Path) -> int:
    """Number of labels of all frames."""
    contents = [read_json(file).value for file in _files(path)]
    frames = [f for c in contents for f in (c if isinstance(c, list) else c["frames"])]
    return sum(len(frame.get("labels") or ()) for frame in frames)


def _lengths(frames: list[Node], reading: Reading) -> list[float]:
    """The body lengths of all objects that are several points."""
    if reading.box_size is not None and reading.box_size.px:
        return []
    lengths = []
    for frame in frames:
        for label in _labels(frame):
            with reading.taking(label.path, count=0):
                found = _graph(label) if "graph" in label else ()
                lengths += [shapes.length_px(np.asarray(found))] if len(found) > 1 else []
    return lengths


def _graph(label: Node) -> FloatArray:
    """The points (P, 2) of a graph, which are those of a pose."""
    nodes = label.at("graph").items("nodes")
    return np.array([node.numbers("location", 2) for node in nodes], np.float64).reshape(-1, 2)


def _box(node: Node, points: PointBoxes) -> tuple[Corners, str]:
    """The box of a label, and how it was made; NoAreaError where it has none."""
    if "box2d" in node:
        box = node.at("box2d")
        return (box.number("x1"), box.number("y1"), box.number("x2"), box.number("y2")), ""
    if "poly2d" in node:
        parts = list(node.items("poly2d"))
        if parts and isinstance(parts[0].value, list):  # the bare form of early BDD files
            parts = [node]
        corners = [_vertices(part) for part in parts]
        corners = [one for one in corners if len(one)]
        if not corners:
            raise NoAreaError("empty poly2d")
        closed = all(part.value.get("closed", True) for part in parts)
        return shapes.hull(np.concatenate(corners)), shapes.POLYGON if closed else shapes.POLYLINE
    if "rle" in node:
        rle = node.at("rle")
        height, width = (int(side) for side in rle.numbers("size", 2))
        return shapes.rle_hull(rle.at("counts").value, height, width), shapes.MASK
    if "graph" in node:
        return points.around(_graph(node), pose=True)
    what = "box3d" if "box3d" in node else "no box"
    raise NoAreaError(f"label with {what} alone")


def _vertices(part: Node) -> FloatArray:
    """The corners (P, 2) of one polygon; control points of its curves count as corners."""
    key = "vertices" if "vertices" in part else "poly2d"
    found = [[node.number(0), node.number(1)] for node in part.items(key)]
    return np.array(found, np.float64).reshape(-1, 2)


def _configured(content: Node) -> list[str]:
    if isinstance(content.value, list) or "config" not in content:
        return []
    if "categories" not in content.at("config"):
        return []
    return [node.words("name") for node in content.at("config").items("categories")]


def _size(content: Node) -> tuple[int, int] | None:
    if isinstance(content.value, list) or "config" not in content:
        return None
    if "imageSize" not in content.at("config"):
        return None
    size = content.at("config").at("imageSize")
    return size.integer("width"), size.integer("height")


def _video(
    name: str,
    group: list[Node],
    *,
    size: tuple[int, int] | None,
    path: Path,
    classes: tuple[str, ...],
    reading: Reading,
    lengths: list[float],
) -> LabelledVideo:
    first = group[0]
    source = relative_source(name, first.path, line=first.line)
    if "size" in first:
        size = (first.at("size").integer("width"), first.at("size").integer("height"))
    info, tags = info_for(source, path, reading, size_px=size)
    rows = Rows(first.path, reading, num_classes=len(classes), num_frames=info.num_frames)
    points = PointBoxes(reading.box_size, lengths)
    numbers: dict[str, int] = {}
    frames: set[int] = set()
    unlabelled: set[int] = set()
    for node in group:
        frame = node.integer("frameIndex", 0)
        if frame < 0 or frame in frames:
            raise node.fault(f"frame {frame} is below 0 or occurs twice")
        frames.add(frame)
        if "labels" not in node:
            unlabelled.add(frame)
        for label in _labels(node):
            with reading.taking(label.path, label.line):
                _add(rows, label, frame, numbers=numbers, classes=classes, points=points)
    return rows.video(info, tags, labelled_frames=np.array(sorted(frames - unlabelled), np.int64))


def _track_id(node: Node, numbers: dict[str, int]) -> int:
    if "id" not in node:
        return NO_ID
    text = str(node.at("id").value)
    if text not in numbers:
        short = text.isascii() and text.isdigit() and len(text) < 16
        number = int(text) if short else max(numbers.values(), default=0) + 1
        taken = number in numbers.values()
        numbers[text] = max(numbers.values()) + 1 if taken else number
    return numbers[text]


def _add(
    rows: Rows,
    node: Node,
    frame: int,
    *,
    numbers: dict[str, int],
    classes: tuple[str, ...],
    points: PointBoxes,
) -> None:
    box, how = _box(node, points)
    extra = node.at("attributes") if "attributes" in node else node
    name = node.words("category")
    if name not in classes:
        known = ", ".join(classes)
        raise node.at("category").fault(f"class {name!r} is not among {known}")
    rows.add(
        frame,
        box,
        line=node.line,
        track_id=_track_id(node, numbers),
        label=class_number(name, classes),
        score=node.number("score", 1.0),
        visibility=PARTLY_HIDDEN if extra.truth("occluded") else math.nan,
        ignore=extra.truth("crowd"),
        how=how,
    )


def write(dataset: Dataset, path: Path, writing: Writing) -> None:
    """One JSON file with frames and config; ignore regions of no class are left out."""
    del writing
    lines = []
    sizes = []
    for video, name in zip(dataset.videos, stems(dataset), strict=True):
        size = {"width": video.info.width_px, "height": video.info.height_px}
        sizes.append(size)
        for frame, rows in rows_by_frame(video).items():
            entry = {
                "name": f"{name}-{frame + 1:07d}.jpg",
                "videoName": name,
                "frameIndex": frame,
                "size": size,
                "labels": [_entry(row, dataset.classes) for row in rows if row.label >= 0],
            }
            lines.append(json.dumps(entry, ensure_ascii=False))
    config: dict[str, Any] = {"categories": [{"name": name} for name in dataset.classes]}
    if sizes and all(size == sizes[0] for size in sizes):
        config["imageSize"] = sizes[0]
    frames = ",\n".join(lines)
    text = f'{{"config": {json.dumps(config, ensure_ascii=False)},\n"frames": [\n{frames}\n]}}\n'
    write_atomic(path, text)


def _entry(row: Row, classes: tuple[str, ...]) -> dict[str, Any]:
    x1, y1, x2, y2 = row.box_xyxy
    entry: dict[str, Any] = {
        "category": classes[row.label],
        "attributes": {"occluded": row.visibility <= PARTLY_HIDDEN, "crowd": row.ignore},
        "box2d": {"x1": x1, "y1": y1, "x2": x2, "y2": y2},
    }
    if row.track_id != NO_ID:
        entry["id"] = str(row.track_id)
    if row.score != 1:
        entry["score"] = row.score
    return entry
