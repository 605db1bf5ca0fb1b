"""COCO JSON: still pictures, no tracks; every image becomes a video of one frame.

Writing puts each labelled frame down as ``<video>_<frame>.jpg`` (``data export`` makes the
pictures). Reading takes any COCO file, with category ids of any base: the order of the ids is the
order of the labels. Images are ordered by id, whatever their order in the file, because
pycocotools breaks ties of score in that order. ``iscrowd`` and ``ignore`` become ignore rows;
``area`` is kept where it is not that of the box.
"""

from pathlib import Path
from typing import Any

from vodkit.formats.base import (
    Reading,
    Rows,
    Writing,
    picture_name,
    relative_source,
    rows_by_frame,
    stems,
)
from vodkit.formats.cocovid import (
    area_of,
    json_lines,
    label_of,
    read_area,
    read_box,
    read_categories,
)
from vodkit.formats.jsonfile import Node, read_json
from vodkit.formats.pictures import still
from vodkit.ground.errors import FormatError
from vodkit.ground.records import Dataset
from vodkit.ground.runs import write_atomic

KEEPS = frozenset({"ignore", "scores", "empty", "areas"})
PICTURES: str | None = "{name}"


def sniff(path: Path) -> bool:
    """A JSON file with ``images`` and ``annotations`` and without ``videos``."""
    if path.suffix.lower() != ".json":
        return False
    try:
        content = read_json(path)
    except FormatError:
        return False
    return all(key in content for key in ("images", "annotations")) and "videos" not in content


def read(path: Path, reading: Reading) -> Dataset:
    """Every image as a video of one frame."""
    content = read_json(path)
    labels, classes = read_categories(content)
    found: dict[int, tuple[Node, Rows]] = {}
    for node in content.items("images"):
        number = node.integer("id")
        if number in found:
            raise node.at("id").fault(f"image id {number} stands twice")
        found[number] = (node, Rows(path, reading, num_classes=len(classes), num_frames=1))
    for node in content.items("annotations"):
        try:
            _add(node, found, labels)
        except FormatError as fault:
            reading.fault(fault)
    videos = []
    for _, (node, rows) in sorted(found.items()):
        source = relative_source(node.words("file_name"), path, line=node.line)
        videos.append(still(source, (node.integer("width"), node.integer("height")), rows))
    return Dataset(classes=classes, videos=tuple(videos))


def pictures_by_id(content: Node) -> dict[int, tuple[str, int]]:
    """Image id -> (source, frame 0), for lists of results, which know pictures by id alone."""
    return {
        node.integer("id"): (
            relative_source(node.words("file_name"), content.path, line=node.line),
            0,
        )
        for node in content.items("images")
    }


def _add(node: Node, found: dict[int, tuple[Node, Rows]], labels: dict[int, int]) -> None:
    image = node.integer("image_id")
    if image not in found:
        raise node.at("image_id").fault(f"unknown image {image}")
    ignore = node.truth("iscrowd") or node.truth("ignore")
    found[image][1].add(
        0,
        read_box(node),
        line=node.line,
        label=label_of(node, labels, ignore=ignore),
        score=node.number("score", 1.0),
        ignore=ignore,
        area=read_area(node),
    )


def write(dataset: Dataset, path: Path, writing: Writing) -> None:
    """Every labelled frame as an image."""
    del writing
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for video, name in zip(dataset.videos, stems(dataset), strict=True):
        size = {"width": video.info.width_px, "height": video.info.height_px}
        for frame, rows in rows_by_frame(video).items():
            number = len(images) + 1
            images.append({"id": number, "file_name": picture_name(video, name, frame), **size})
            for row in rows:
                x1, y1, x2, y2 = row.box_xyxy
                entry = {
                    "id": len(annotations) + 1,
                    "image_id": number,
                    "category_id": row.label + 1,
                    "bbox": [x1, y1, x2 - x1, y2 - y1],
                    "area": area_of(row),
                    "iscrowd": int(row.ignore),
                }
                if row.score != 1:
                    entry["score"] = row.score
                annotations.append(entry)
    categories = [{"id": number, "name": name} for number, name in enumerate(dataset.classes, 1)]
    content = {"images": images, "annotations": annotations, "categories": categories}
    write_atomic(path, json_lines(content))
