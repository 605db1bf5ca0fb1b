"""Datumaro JSON (also what CVAT exports under that name): items, categories by position.

Items of one video are called ``<video>/<frame>`` here; items of others become still pictures,
unless their ids end in a frame number below a common folder. Tracks are in the attribute
``track_id``; ``occluded`` becomes visibility 0.5, because the file does not say how much is hidden.
"""

import math
import re
from pathlib import Path
from typing import Any

import numpy as np

from vodkit.formats.base import (
    Reading,
    Row,
    Rows,
    Writing,
    info_for,
    is_still,
    relative_source,
    rows_by_frame,
    stems,
)
from vodkit.formats.cocovid import json_lines
from vodkit.formats.jsonfile import Node, read_json
from vodkit.formats.pictures import still
from vodkit.ground.errors import FormatError
from vodkit.ground.records import NO_ID, Dataset, LabelledVideo
from vodkit.ground.runs import write_atomic

KEEPS = frozenset({"ids", "scores", "labelled", "video", "empty"})
PICTURES: str | None = "images/default/{stem}/{frame:06d}.jpg"
PARTLY_HIDDEN = 0.5


def sniff(path: Path) -> bool:
    """A JSON file with ``items`` and ``categories.label``; or a folder with ``annotations``."""
    file = _file(path)
    if file is None or file.suffix.lower() != ".json":
        return False
    try:
        content = read_json(file)
    except FormatError:
        return False
    return "items" in content and "categories" in content and "annotations" not in content


def _file(path: Path) -> Path | None:
    if path.is_file():
        return path
    return next(iter(sorted((path / "annotations").glob("*.json"))), None)


def read(path: Path, reading: Reading) -> Dataset:
    """Items ``<video>/<number>`` are frames of a video, all others still pictures."""
    file = _file(path)
    if file is None:
        raise FormatError("no annotations/*.json in here", path=path)
    content = read_json(file)
    nodes = content.at("categories").at("label").items("labels")
    classes = tuple(node.words("name") for node in nodes)
    groups: dict[str, dict[int, Node]] = {}
    for node in content.items("items"):
        try:
            _sort_in(node, groups)
        except FormatError as fault:
            reading.fault(fault)
    videos = [_video(source, items, classes, reading) for source, items in groups.items()]
    return Dataset(classes=classes, videos=tuple(videos))


def _sort_in(node: Node, groups: dict[str, dict[int, Node]]) -> None:
    name = relative_source(node.words("id"), node.path, line=node.line)
    match = re.fullmatch(r"(.+)/(?:frame_)?(\d{1,9})", name, flags=re.ASCII)
    source, frame = (match.group(1), int(match.group(2))) if match else (name, -1)
    items = groups.setdefault(source, {})
    if frame in items:
        raise node.at("id").fault(f"item {name!r} stands twice")
    items[frame] = node


def _size(node: Node) -> tuple[int, int] | None:
    """Width and height; the file has height first."""
    for key in ("image", "media"):
        if key in node and "size" in node.at(key):
            height, width = node.at(key).numbers("size", 2)
            return int(width), int(height)
    return None


def _video(
    source: str, items: dict[int, Node], classes: tuple[str, ...], reading: Reading
) -> LabelledVideo:
    first = next(iter(items.values()))
    size = _size(first)
    if set(items) == {-1}:
        source = first.at("image").words("path", source) if "image" in first else source
        source = relative_source(source, first.path, line=first.line)
        rows = Rows(first.path, reading, num_classes=len(classes), num_frames=1)
        _add_all(rows, first, 0, reading)
        size = size or reading.size_px
        if size is None:
            raise first.fault("the picture's size is not in the file; tell it")
        return still(source, size, rows)
    info, tags = info_for(source, first.path, reading, size_px=size)
    rows = Rows(first.path, reading, num_classes=len(classes), num_frames=info.num_frames)
    for frame, node in sorted(items.items()):
        _add_all(rows, node, max(frame, 0), reading)
    return LabelledVideo(
        source=source,
        info=info,
        tracks=rows.table(info.rate),
        labelled_frames=np.array(sorted(items), np.int64),
        tags=tags,
    )


def _add_all(rows: Rows, node: Node, frame: int, reading: Reading) -> None:
    for entry in node.items("annotations"):
        if entry.words("type", "") != "bbox":
            continue
        try:
            _add(rows, entry, frame)
        except FormatError as fault:
            reading.fault(fault)


def _add(rows: Rows, node: Node, frame: int) -> None:
    x, y, width, height = node.numbers("bbox", 4)
    extra = node.at("attributes") if "attributes" in node else node
    rows.add(
        frame,
        (x, y, x + width, y + height),
        line=node.line,
        track_id=extra.integer("track_id", NO_ID),
        label=node.integer("label_id"),
        score=extra.number("score", 1.0),
        visibility=PARTLY_HIDDEN if extra.truth("occluded") else math.nan,
    )


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
