"""LabelMe JSON: one file a picture, with rectangles, polygons, circles, lines, points and masks.

``{"shapes": [{"label", "shape_type", "points": [[x, y], ...]}], "imagePath", "imageWidth",
"imageHeight"}``; one file or a folder of them, the pictures beside. A rectangle is a box, every
other shape its upright hull. Points that share ``group_id`` and label are one object, as LabelMe
groups them; a single point needs ``--box-size``. Read only.
"""

from pathlib import Path

import numpy as np

from vodkit.formats import shapes
from vodkit.formats.base import Reading, Rows, relative_source
from vodkit.formats.jsonfile import Node, head_of, read_json
from vodkit.formats.pictures import class_number, class_table, picture_size, still
from vodkit.formats.shapes import Corners, NoAreaError, PointBoxes
from vodkit.ground.arrays import FloatArray
from vodkit.ground.errors import FormatError
from vodkit.ground.records import Dataset, LabelledVideo


def sniff(path: Path) -> bool:
    """A JSON file with ``shapes`` and ``imagePath``, or a folder whose first one is."""
    files = _files(path)[:1]
    if not files or not head_of(files[0]).lstrip().startswith("{"):
        return False
    try:
        content = read_json(files[0])
    except FormatError:
        return False
    return "shapes" in content and "imagePath" in content


def _files(path: Path) -> list[Path]:
    if path.is_file():
        return [path] if path.suffix.lower() == ".json" else []
    return sorted(path.glob("*.json"))


def contained(path: Path) -> int:
    """Number of shapes of all files; a file that cannot be read counts as one."""
    return sum(map(_num_shapes, _files(path)))


def _num_shapes(file: Path) -> int:
    try:
        found = read_json(file).value["shapes"]
    except (FormatError, KeyError, TypeError):
        return 1
    return len(found) if isinstance(found, list) else 1


def read(path: Path, reading: Reading) -> Dataset:
    """Every picture as a video of one frame; classes are the names found, sorted."""
    files = _files(path)
    if not files:
        raise FormatError("no JSON files in this folder", path=path)
    contents: list[Node] = []
    for file in files:
        with reading.taking(file):
            content = read_json(file)
            list(content.items("shapes"))
            contents.append(content)
    names = [s.words("label", "") for content in contents for s in content.items("shapes")]
    classes = class_table(filter(None, names), reading)
    points = PointBoxes(reading.box_size, _lengths(contents, reading))
    root = path if path.is_dir() else path.parent
    videos = [_video(content, root, classes, reading, points) for content in contents]
    return Dataset(classes=classes, videos=tuple(videos))


def _lengths(contents: list[Node], reading: Reading) -> list[float]:
    """The body lengths of all groups of points."""
    lengths = []
    for content in contents:
        for group in _groups(content, reading).values():
            with reading.taking(content.path, count=0):
                found = _all_points(group)
                lengths += [shapes.length_px(found)] if len(found) > 1 else []
    return lengths


def _kind(shape: Node) -> str:
    """The type of a shape; files before version 3 have polygons only."""
    return shape.words("shape_type", "polygon")


def _groups(content: Node, reading: Reading) -> dict[tuple[str, int], list[Node]]:
    """The points of each object: those of one label and ``group_id``; others each alone."""
    found: dict[tuple[str, int], list[Node]] = {}
    for number, shape in enumerate(content.items("shapes")):
        with reading.taking(shape.path, shape.line, count=0):
            if _kind(shape) in ("point", "points"):
                group = shape.integer("group_id") if "group_id" in shape else -1 - number
                found.setdefault((shape.words("label", ""), group), []).append(shape)
    return found


def _points(shape: Node) -> FloatArray:
    nodes = list(shape.items("points"))
    pairs = [shape.at("points").numbers(index, 2) for index in range(len(nodes))]
    return np.array(pairs, np.float64).reshape(-1, 2)


def _all_points(group: list[Node]) -> FloatArray:
    return np.concatenate([_points(shape) for shape in group])


def _video(
    content: Node, root: Path, classes: tuple[str, ...], reading: Reading, points: PointBoxes
) -> LabelledVideo:
    source = _source(content, root)
    size = picture_size(root / source)
    if "imageWidth" in content and "imageHeight" in content:
        size = (content.integer("imageWidth"), content.integer("imageHeight"))
    size = size or reading.size_px
    if size is None:
        raise content.fault(f"the size of {source} is not in the file, and the picture is missing")
    rows = Rows(content.path, reading, num_classes=len(classes), num_frames=1)
    grouped = _groups(content, reading)
    inside = {shape.keys for group in grouped.values() for shape in group}
    for shape in content.items("shapes"):
        if shape.keys not in inside:
            with reading.taking(shape.path, shape.line):
                _add(rows, shape, classes, *_box(shape))
    for group in grouped.values():
        with reading.taking(group[0].path, group[0].line, count=len(group)):
            box, how = points.around(_all_points(group))
            before = len(rows)
            _add(rows, group[0], classes, box, how)
            if len(rows) > before:
                rows.take(how, len(group) - 1)
            else:
                reading.tally.skip(
                    "point of an object without a box", str(content.path), len(group) - 1
                )
    return still(source, size, rows)


def _source(content: Node, root: Path) -> str:
    """The picture: ``imagePath`` from the file's folder, else a picture beside it of that name."""
    folder = content.path.parent
    name = content.words("imagePath").replace("\\", "/")
    short = relative_source(name.rsplit("/", 1)[-1] or content.path.stem, content.path)
    inner = folder.relative_to(root)
    climbs = name.startswith("/") or ".." in name.split("/") or ":" in name
    if not climbs and (folder / name).is_file():
        short = relative_source(name, content.path)
    return (inner / short).as_posix()


def _box(shape: Node) -> tuple[Corners, str]:
    """The box of a shape that is not a point, and how it was made."""
    kind, found = _kind(shape), _points(shape)
    if kind == "rectangle" and len(found) in (2, 4):
        return shapes.hull(found), "" if len(found) == 2 else shapes.ROTATED
    if kind == "circle" and len(found) == 2:
        radius = float(np.hypot(*(found[1] - found[0])))
        x, y = found[0].tolist()
        return (x - radius, y - radius, x + radius, y + radius), shapes.CIRCLE
    if kind == "mask" and len(found) == 2:
        return shapes.hull(found), shapes.MASK
    if kind in ("polygon", "rotation", "oriented_rectangle") and len(found):
        return shapes.hull(found), shapes.POLYGON if kind == "polygon" else shapes.ROTATED
    if kind in ("linestrip", "line") and len(found):
        return shapes.hull(found), shapes.POLYLINE
    if kind in ("rectangle", "circle", "mask", "polygon", "linestrip", "line"):
        raise shape.fault(f"a {kind} of {len(found)} points")
    raise NoAreaError(f"shape of type {kind[:40]!r}")


def _add(rows: Rows, shape: Node, classes: tuple[str, ...], box: Corners, how: str) -> None:
    name = shape.words("label")
    if name not in classes:
        raise shape.at("label").fault(f"class {name!r} is not among {', '.join(classes)}")
    rows.add(0, box, line=shape.line, label=class_number(name, classes), how=how)
