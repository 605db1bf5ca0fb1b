"""COCO JSON: still pictures, no tracks; every image becomes a video of one frame.

Reads any COCO file, with category ids of any base: the order of the ids is the order of the labels.
Images come in the order of their ids, because pycocotools breaks ties of score in that order.
``iscrowd`` and ``ignore`` become ignore rows; ``area`` is kept where it is not that of the box.
Annotations without ``bbox`` get the hull of their polygons, mask or key points. A folder is read in
its usual layouts: ``annotations/instances_<split>.json`` with ``<split>/`` or ``images/`` beside
it, ``<split>/_annotations.coco.json``, ``labels.json`` with ``data/``.

Writes each labelled frame as ``<video>_<frame>.jpg`` (``data export`` makes the pictures).
"""

import re
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

from vodkit.formats.base import Reading, Writing, class_names, picture_name, relative_source, stems
from vodkit.formats.coco_columns import plain_columns
from vodkit.formats.coco_shapes import box_of, point_boxes
from vodkit.formats.cocovid import area_of, json_lines, label_of, read_area, read_categories
from vodkit.formats.jsonfile import Node, head_of, object_in, read_json
from vodkit.formats.pictures import picture_size, still, still_info
from vodkit.formats.rows import Rows, rows_by_frame
from vodkit.formats.shapes import NoAreaError, PointBoxes, ShapeError
from vodkit.ground.errors import FormatError
from vodkit.ground.paths import files_in, is_bystander, relative, there
from vodkit.ground.records import Dataset, LabelledVideo
from vodkit.ground.runs import write_atomic

KEEPS = frozenset({"ignore", "scores", "empty", "areas"})
PICTURES: str | None = "{name}"


USUAL = (
    "annotations/instances_*.json", "Annotations/instances_*.json", "annotations/*.json",
    "Annotations/*.json", "*/_annotations.coco.json", "_annotations.coco.json", "labels.json",
    "*.json",
)  # fmt: skip
"""where the files of a COCO folder are, the more particular first"""
_TRIED = 50
"""images that are looked for before the folder of the file itself is taken"""
SPLITS = {"train": "train", "val": "val", "valid": "val", "validation": "val", "test": "test"}


def sniff(path: Path) -> bool:
    """A JSON file with ``images`` and ``annotations`` and without ``videos``, or a folder of it."""
    if path.is_dir():
        return bool(_files(path)[0])
    return _is_coco(path)


def _is_coco(path: Path) -> bool:
    # LabelMe has one file a picture, which need not be read.
    content = None if '"shapes"' in head_of(path) else object_in(path)
    if content is None or "videos" in content:
        return False
    return "images" in content and "annotations" in content


def _files(path: Path) -> tuple[list[Path], list[Path]]:
    """The COCO files of a folder in its first usual place that has some, and those beside them."""
    if path.is_file():
        return [path], []
    for pattern in USUAL:
        matching = (file for file in sorted(path.glob(pattern)) if not is_bystander(file))
        found = [file for file in matching if _is_coco(file)]
        if found:
            beside = {file for one in found for file in files_in(one.parent, ".json")}
            return found, sorted(beside - set(found))
    return [], []


def contained(path: Path) -> int:
    """Number of annotations."""
    return sum(len(read_json(file).value["annotations"]) for file in _files(path)[0])


def read(path: Path, reading: Reading) -> Dataset:
    """Every image as a video of one frame, in the order of image ids."""
    files, beside = _files(path)
    if not files:
        raise FormatError(f"no COCO file in this folder; looked for: {', '.join(USUAL)}", path=path)
    for file in beside:
        reading.tally.note(f"not read: {file.relative_to(path)}")
    contents = [read_json(file) for file in files]
    tables = [read_categories(content) for content in contents]
    classes = class_names(dict.fromkeys(name for _, names in tables for name in names), path)
    videos: list[LabelledVideo] = []
    for content, (labels, names) in zip(contents, tables, strict=True):
        ours = {number: classes.index(names[label]) for number, label in labels.items()}
        split = _split_of(content.path) if path.is_dir() else ""
        videos += _read_file(content, ours, len(classes), reading, root=path, split=split)
    return Dataset(classes=classes, videos=tuple(videos))


def _note_doubled_ids(annotations: list[Any], path: Path, reading: Reading) -> None:
    """A note where annotations share an id: pycocotools would take the last one for all of them."""
    ids = [one["id"] for one in annotations if isinstance(one, dict) and "id" in one]
    ids = [number for number in ids if isinstance(number, int)]
    doubled = len(ids) - len(set(ids))
    if doubled:
        text = f"{path.name}: {doubled} annotations have the id of another one; all are kept"
        reading.tally.note(f"{text} (pycocotools takes the last one for both)")


def _split_of(file: Path) -> str:
    """The side of a split that a file's name contains, or that its folder is called after."""
    words = [*re.split(r"\W|_|\d", file.stem), file.parent.name]
    return next((SPLITS[word] for word in words if word in SPLITS), "")


def _read_file(
    content: Node,
    labels: dict[int, int],
    num_classes: int,
    reading: Reading,
    *,
    root: Path,
    split: str,
) -> Iterator[LabelledVideo]:
    """The pictures of one file."""
    path = content.path
    images: dict[int, Node] = {}
    for node in content.items("images"):
        number = node.integer("id")
        if number in images:
            raise node.at("id").fault(f"image id {number} occurs twice")
        images[number] = node
    annotations = content.at("annotations")
    if not isinstance(annotations.value, list):
        raise annotations.fault("allowed: a list")
    if annotations.value and "segments_info" in next(annotations.items()):
        raise annotations.fault("is COCO's panoptic form; export the objects (instances) instead")
    _note_doubled_ids(annotations.value, path, reading)
    columns = plain_columns(annotations.value, labels, images, skip_empty=reading.skip_empty)
    others = [annotations.at(place) for place in columns.one_by_one]
    reading.tally.take(count=len(columns))
    tables = dict(columns.tables())
    found: dict[int, tuple[Node, Rows]] = {
        number: (node, Rows(path, reading, num_classes=num_classes, num_frames=1))
        for number, node in images.items()
        if number not in tables
    }
    points = point_boxes(others, reading)
    for node in others:
        try:
            _add(node, found, labels, points)
        except FormatError as fault:
            reading.refuse(fault)
        except NoAreaError as reason:
            reading.tally.skip(str(reason), f"{path}:{node.line()}")
        except ShapeError as error:
            reading.refuse(node.fault(str(error)))
    names = sources_of(content, root)
    for number, node in sorted(images.items()):
        size = _size(node, root, names[number], reading)
        if number in tables:
            info = still_info(names[number], size, path)
            yield LabelledVideo(source=names[number], info=info, tracks=tables[number], split=split)
        else:
            yield still(names[number], size, found[number][1], split=split)


def pictures_by_id(content: Node) -> dict[int, tuple[str, int]]:
    """Image id -> (source, frame 0), for lists of results, which know pictures by id alone."""
    return {number: (source, 0) for number, source in sources_of(content, content.path).items()}


def sources_of(content: Node, root: Path) -> dict[int, str]:
    """Image id -> its picture, relative to ``root`` (a folder, or a file in it).

    File names are relative to a folder that COCO does not name: the usual ones are tried with the
    first image that exists. FormatError where two of them have such a picture.
    """
    base = root if root.is_dir() else root.parent
    names = {
        node.integer("id"): relative_source(node.words("file_name"), content.path, line=node.line)
        for node in content.items("images")
    }
    if not names:
        return names
    home = content.path.parent
    stem = re.sub(r"^(instances|person_keypoints|annotations?)_", "", content.path.stem)
    places = [home, base]
    for top in dict.fromkeys((home, home.parent, base)):
        places += [top / name for name in ("images", "data", stem, f"images/{stem}")]
        places += [
            top / name for name in (_split_of(content.path), f"images/{_split_of(content.path)}")
        ]
    found: dict[Path, Path] = {}
    for first in list(names.values())[:_TRIED]:
        found = {(at / first).resolve(): at for at in places if there(at / first).is_file()}
        if len(found) > 1:
            both = " or ".join(str(place) for place in found)
            message = f"picture {first!r} could be {both}; remove or rename one of them"
            raise FormatError(message, path=content.path)
        if found:
            break
    place = next(iter(found.values()), home)
    prefix = PurePosixPath(relative(place, base))
    return {
        number: str(prefix / PurePosixPath(name).with_name(there(place / name).name))
        for number, name in names.items()
    }


def _size(node: Node, root: Path, source: str, reading: Reading) -> tuple[int, int]:
    """Width and height of an image: from the file, the picture, or the reader."""
    if "width" in node and "height" in node:
        return node.integer("width"), node.integer("height")
    base = root if root.is_dir() else root.parent
    size = picture_size(base / source) or reading.size_px
    if size is None:
        raise node.fault("has no width and height, and the picture is missing; give --size")
    return size


def _add(
    node: Node, found: dict[int, tuple[Node, Rows]], labels: dict[int, int], points: PointBoxes
) -> None:
    image = node.integer("image_id")
    if image not in found:
        raise node.at("image_id").fault(f"unknown image {image}")
    ignore = node.truth("iscrowd") or node.truth("ignore")
    box, how = box_of(node, points)
    found[image][1].add(
        0,
        box,
        line=node.line,
        label=label_of(node, labels, ignore=ignore),
        score=node.number("score", 1.0),
        ignore=ignore,
        area=read_area(node),
        how=how,
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
