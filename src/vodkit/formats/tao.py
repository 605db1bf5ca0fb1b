"""TAO JSON (LVIS style): videos, images with ``frame_index``, tracks, boxes with ``track_id``.

Sparse by nature: only the listed images are labelled. Track ids are unique in the whole file, so
writing numbers them anew where two videos use the same one; ``instance_id``, which TAO's own code
passes over, then keeps ours. The rate is not in the file.
"""

from pathlib import Path
from typing import Any

import numpy as np

from vodkit.formats.base import Reading, Writing, info_for, relative_source, stems
from vodkit.formats.coco_shapes import box_of, point_boxes
from vodkit.formats.cocovid import json_lines, label_of, read_categories
from vodkit.formats.jsonfile import Node, object_in, read_json
from vodkit.formats.rows import Rows, rows_by_frame
from vodkit.formats.shapes import PointBoxes
from vodkit.ground.records import NO_ID, Dataset, LabelledVideo
from vodkit.ground.runs import write_atomic

KEEPS = frozenset({"ids", "scores", "labelled", "video", "empty"})
PICTURES: str | None = "{stem}/frame{frame1:04d}.jpg"


def sniff(path: Path) -> bool:
    """A JSON file with ``tracks`` beside ``videos``, ``images`` and ``annotations``."""
    content = object_in(path)
    keys = ("tracks", "videos", "images", "annotations")
    return content is not None and all(key in content for key in keys)


def read(path: Path, reading: Reading) -> Dataset:
    """Every video with its listed frames."""
    content = read_json(path)
    labels, classes = read_categories(content)
    found = {
        node.integer("id"): (node, Rows(path, reading, num_classes=len(classes)), set[int]())
        for node in content.items("videos")
    }
    frames: dict[int, tuple[int, int]] = {}
    for node in content.items("images"):
        video, frame = node.integer("video_id"), node.integer("frame_index")
        if video not in found or frame < 0 or frame in found[video][2]:
            raise node.fault(f"video {video} is unknown, or frame {frame} below 0 or twice")
        frames[node.integer("id")] = (video, frame)
        found[video][2].add(frame)
    points = point_boxes(content.items("annotations"), reading)
    for node in content.items("annotations"):
        with reading.taking(path, node.line):
            image = node.integer("image_id")
            if image not in frames:
                raise node.at("image_id").fault(f"unknown image {image}")
            video, frame = frames[image]
            _add(found[video][1], node, frame, labels, points)
    videos = tuple(_video(node, rows, listed, reading) for node, rows, listed in found.values())
    return Dataset(classes=classes, videos=videos)


def contained(path: Path) -> int:
    """Number of annotations."""
    return len(read_json(path).value["annotations"])


def _add(rows: Rows, node: Node, frame: int, labels: dict[int, int], points: PointBoxes) -> None:
    ignore = node.truth("iscrowd")
    box, how = box_of(node, points)
    rows.add(
        frame,
        box,
        line=node.line,
        track_id=node.integer("instance_id", node.integer("track_id", NO_ID)),
        label=label_of(node, labels, ignore=ignore),
        score=node.number("score", 1.0),
        ignore=ignore,
        how=how,
    )


def _video(node: Node, rows: Rows, listed: set[int], reading: Reading) -> LabelledVideo:
    source = relative_source(node.words("name"), node.path, line=node.line)
    size = (node.integer("width"), node.integer("height"))
    info, tags = info_for(source, node.path, reading, size_px=size)
    return rows.video(info, tags, labelled_frames=np.array(sorted(listed), np.int64))


def write(dataset: Dataset, path: Path, writing: Writing) -> None:
    """One JSON file; ignore rows are left out."""
    del writing
    videos: list[dict[str, Any]] = []
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    tracks: dict[tuple[int, int], dict[str, Any]] = {}
    for number, (video, name) in enumerate(zip(dataset.videos, stems(dataset), strict=True), 1):
        size = {"width": video.info.width_px, "height": video.info.height_px}
        videos.append({"id": number, "name": name, **size})
        for frame, rows in rows_by_frame(video).items():
            image = len(images) + 1
            file = f"{name}/frame{frame + 1:04d}.jpg"
            place = {"id": image, "video_id": number, "frame_index": frame}
            images.append({**place, "file_name": file, **size})
            for row in rows:
                if row.ignore:
                    continue
                x1, y1, x2, y2 = row.box_xyxy
                key = (number, row.track_id)
                entry = {
                    "id": len(annotations) + 1,
                    "image_id": image,
                    "video_id": number,
                    "category_id": row.label + 1,
                    "bbox": [x1, y1, x2 - x1, y2 - y1],
                    "area": (x2 - x1) * (y2 - y1),
                }
                if row.track_id != NO_ID:
                    track = tracks.setdefault(key, _track(tracks, key, row.label + 1))
                    entry["track_id"] = track["id"]
                    if track["id"] != row.track_id:
                        entry["instance_id"] = row.track_id
                if row.score != 1:
                    entry["score"] = row.score
                annotations.append(entry)
    content = {
        "categories": [{"id": n, "name": name} for n, name in enumerate(dataset.classes, 1)],
        "videos": videos,
        "images": images,
        "tracks": list(tracks.values()),
        "annotations": annotations,
    }
    write_atomic(path, json_lines(content))


def _track(
    tracks: dict[tuple[int, int], dict[str, Any]], key: tuple[int, int], category: int
) -> dict[str, Any]:
    """A new track, with its own id where that is still free in the file."""
    taken = {track["id"] for track in tracks.values()}
    number = key[1] if key[1] not in taken else max(taken) + 1
    return {"id": number, "category_id": category, "video_id": key[0]}
