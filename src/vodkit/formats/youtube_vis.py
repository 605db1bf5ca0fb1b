"""YouTube-VIS JSON: one annotation a track, with a box or null for each frame of the video.

An object is one box of one frame. Where ``bboxes`` is missing the hulls of the masks
(``segmentations``) are read; masks are not written. ``iscrowd`` becomes ignore rows.
Frames are positions in ``file_names``; the rate is not in the file. Annotation ids are
unique in the whole file; where writing must number a track anew, ``instance_id`` keeps its own id.
"""

from collections import defaultdict
from pathlib import Path, PurePosixPath
from typing import Any

from vodkit.formats.base import Reading, Writing, info_for, relative_source, stems
from vodkit.formats.coco_shapes import mask_hull
from vodkit.formats.cocovid import json_lines, label_of, read_categories
from vodkit.formats.jsonfile import Node, object_in, read_json
from vodkit.formats.rows import Row, Rows, table_rows
from vodkit.formats.shapes import Corners
from vodkit.ground.errors import FormatError
from vodkit.ground.records import NO_ID, Dataset, LabelledVideo, TrackTable
from vodkit.ground.runs import write_atomic

KEEPS = frozenset({"ids", "ignore", "video"})
PICTURES: str | None = "{stem}/{frame:05d}.jpg"


def sniff(path: Path) -> bool:
    """A JSON file whose videos list ``file_names``."""
    content = object_in(path)
    if content is None or "videos" not in content:
        return False
    try:
        return any("file_names" in video for video in content.items("videos"))
    except FormatError:
        return False


def read(path: Path, reading: Reading) -> Dataset:
    """Every video with the boxes of its tracks."""
    content = read_json(path)
    labels, classes = read_categories(content)
    found: dict[int, tuple[Node, Rows]] = {}
    for node in content.items("videos"):
        number = node.integer("id")
        if number in found:
            raise node.at("id").fault(f"video id {number} occurs twice")
        count = len(list(node.items("file_names")))
        rows = Rows(path, reading, num_classes=len(classes), num_frames=count or None)
        found[number] = (node, rows)
    if "annotations" in content:
        for node in content.items("annotations"):
            with reading.taking(path, node.line, count=_num_shapes(node.value)):
                _add(node, found, labels)
    videos = tuple(_video(node, rows, reading) for node, rows in found.values())
    return Dataset(classes=classes, videos=videos)


def contained(path: Path) -> int:
    """Number of boxes (masks, where there are no boxes) that are not null."""
    return sum(map(_num_shapes, read_json(path).value.get("annotations") or ()))


def _num_shapes(annotation: Any) -> int:
    """Number of frames for which an annotation has a shape; one that has none counts as one."""
    if not isinstance(annotation, dict):
        return 1
    shapes = annotation.get("bboxes") or annotation.get("segmentations")
    if not isinstance(shapes, list):
        return 1
    return sum(shape is not None for shape in shapes)


def _add(node: Node, found: dict[int, tuple[Node, Rows]], labels: dict[int, int]) -> None:
    video = node.integer("video_id")
    if video not in found:
        raise node.at("video_id").fault(f"unknown video {video}")
    rows = found[video][1]
    ignore = node.truth("iscrowd")
    label = label_of(node, labels, ignore=ignore)
    key = "bboxes" if node.value.get("bboxes") else "segmentations"
    shapes = list(node.items(key))
    if len(shapes) != (rows.num_frames or 0):
        raise node.at(key).fault(f"{len(shapes)} {key}; the video has {rows.num_frames} frames")
    track_id = node.integer("instance_id", node.integer("id"))
    for frame, shape in enumerate(shapes):
        if shape.value is None:
            continue
        with rows.reading.taking(node.path, shape.line):
            box, how = _box(node.at(key), frame)
            rows.add(
                frame, box, line=shape.line, track_id=track_id, label=label, ignore=ignore, how=how
            )


def _box(shapes: Node, frame: int) -> tuple[Corners, str]:
    """The box of one frame, and how it was made."""
    if shapes.keys[-1] == "segmentations":
        return mask_hull(shapes.at(frame))
    x, y, width, height = shapes.numbers(frame, 4)
    return (x, y, x + width, y + height), ""


def _video(node: Node, rows: Rows, reading: Reading) -> LabelledVideo:
    names = [
        relative_source(node.at("file_names").words(n), node.path, line=node.line)
        for n in range(rows.num_frames or 0)
    ]
    folder = str(PurePosixPath(names[0]).parent) if names else f"video_{node.integer('id')}"
    same = all(str(PurePosixPath(name).parent) == folder for name in names)
    size = (node.integer("width"), node.integer("height"))
    info, tags = info_for(folder, node.path, reading, size_px=size, num_frames=rows.num_frames)
    return rows.video(
        info, tags, frame_files=tuple(PurePosixPath(name).name for name in names) if same else ()
    )


def write(dataset: Dataset, path: Path, writing: Writing) -> None:
    """One JSON file; boxes without an id become tracks of one frame."""
    del writing
    videos: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    used = {
        int(i) for video in dataset.videos if video.tracks is not None for i in video.tracks.ids
    }
    fresh = max(used, default=0)
    taken: set[int] = set()
    for number, (video, name) in enumerate(zip(dataset.videos, stems(dataset), strict=True), 1):
        table = video.tracks or TrackTable.empty()
        count = video.info.num_frames or (int(table.frames[-1]) + 1 if len(table) else 0)
        files = [f"{name}/{file}" for file in video.frame_files]
        files = files or [f"{name}/{frame:05d}.jpg" for frame in range(count)]
        videos.append(
            {
                "id": number,
                "width": video.info.width_px,
                "height": video.info.height_px,
                "length": len(files),
                "file_names": files,
            }
        )
        for key, rows in _tracks(table).items():
            own = key[0]
            kept = {}
            if own == NO_ID or own in taken or own == 0:
                kept = {} if own == NO_ID else {"instance_id": own}
                fresh += 1
                own = fresh
            taken.add(own)
            entry = {"id": own, "video_id": number, **kept, **_entry(rows, len(files))}
            annotations.append(entry)
    categories = [{"id": number, "name": name} for number, name in enumerate(dataset.classes, 1)]
    content = {"videos": videos, "annotations": annotations, "categories": categories}
    write_atomic(path, json_lines(content))


def _tracks(table: TrackTable) -> dict[tuple[int, ...], list[Row]]:
    """Rows by track, class and ignore flag; rows without an id each alone; no classless regions."""
    found: dict[tuple[int, ...], list[Row]] = defaultdict(list)
    for number, row in enumerate(table_rows(table)):
        if row.label >= 0:
            alone = number if row.track_id == NO_ID else -1
            found[(row.track_id, row.label, int(row.ignore), alone)].append(row)
    return found


def _entry(rows: list[Row], count: int) -> dict[str, Any]:
    boxes: list[list[float] | None] = [None] * count
    for row in rows:
        x1, y1, x2, y2 = row.box_xyxy
        boxes[row.frame] = [x1, y1, x2 - x1, y2 - y1]
    return {
        "category_id": rows[0].label + 1,
        "iscrowd": int(rows[0].ignore),
        "bboxes": boxes,
        "areas": [None if box is None else box[2] * box[3] for box in boxes],
        "segmentations": [None] * count,
    }
