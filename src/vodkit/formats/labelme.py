"""LabelMe JSON: one file a picture, with rectangles, polygons, circles, lines, points and masks.

``{"shapes": [{"label", "shape_type", "points": [[x, y], ...]}], "imagePath", "imageWidth",
"imageHeight"}``; one file or a folder of them, the pictures beside. A rectangle is a box, every
other shape its upright hull. Shapes that share ``group_id`` and label are parts of one object, as
LabelMe's own converters take them; a single point needs ``--box-size``. Read only.
"""

from dataclasses import replace
from pathlib import Path

import numpy as np

from vodkit.formats import shapes
from vodkit.formats.base import PICTURE_ENDINGS, Reading, relative_source
from vodkit.formats.jsonfile import Node, object_in, read_json
from vodkit.formats.pictures import class_number, class_table, picture_size, still
from vodkit.formats.rows import Rows
from vodkit.formats.shapes import Corners, NoAreaError, PointBoxes
from vodkit.ground.account import Tally
from vodkit.ground.arrays import FloatArray
from vodkit.ground.errors import FormatError
from vodkit.ground.paths import files_in, relative, there
from vodkit.ground.records import Dataset, LabelledVideo

PARTS = "parts of one object -> their hull"


def sniff(path: Path) -> bool:
    """A JSON file with ``shapes`` and ``imagePath``, or a folder whose first one is."""
    files = _files(path)[:1]
    content = object_in(files[0]) if files else None
    return content is not None and "shapes" in content and "imagePath" in content


def _files(path: Path) -> list[Path]:
    if path.is_file():
        return [path] if path.suffix.lower() == ".json" else []
    found = files_in(path, ".json")
    inner = [child for child in sorted(path.glob("*")) if child.is_dir()] if not found else []
    return found or [file for folder in inner for file in files_in(folder, ".json")]


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
    """The body lengths of all groups of points; faults are reported later."""
    lengths = []
    for content in contents:
        quiet = replace(reading, tally=Tally(), fault=list[FormatError]().append)
        for (_, is_point, _), group in _groups(content, quiet).items():
            with quiet.taking(content.path):
                found = _all_points(group) if is_point else ()
                lengths += [shapes.length_px(np.asarray(found))] if len(found) > 1 else []
    return lengths


def _kind(shape: Node) -> str:
    """The type of a shape; files before version 3 have polygons only."""
    return shape.words("shape_type", "polygon")


def _groups(content: Node, reading: Reading) -> dict[tuple[str, bool, str], list[Node]]:
    """The shapes of each object: those of one label and ``group_id``; others each alone.

    Points are apart from areas: the key points of a person belong to no other box of it.
    """
    found: dict[tuple[str, bool, str], list[Node]] = {}
    for number, shape in enumerate(content.items("shapes")):
        with reading.taking(shape.path, shape.line):
            group = f"{shape.integer('group_id')}" if "group_id" in shape else f"alone {number}"
            key = (shape.words("label", ""), _is_point(shape), group)
            found.setdefault(key, []).append(shape)
    return found


def _is_point(shape: Node) -> bool:
    return _kind(shape) in ("point", "points")


def _points(shape: Node) -> FloatArray:
    nodes = list(shape.items("points"))
    pairs = [shape.at("points").numbers(index, 2) for index in range(len(nodes))]
    return np.array(pairs, np.float64).reshape(-1, 2)


def _all_points(group: list[Node]) -> FloatArray:
    return np.concatenate([_points(shape) for shape in group])


def _video(
    content: Node, root: Path, classes: tuple[str, ...], reading: Reading, points: PointBoxes
) -> LabelledVideo:
    source = _source(content, root, reading)
    size = picture_size(root / source)
    if "imageWidth" in content and "imageHeight" in content:
        size = (content.integer("imageWidth"), content.integer("imageHeight"))
    size = size or reading.size_px
    if size is None:
        raise content.fault(f"the size of {source} is not in the file, and the picture is missing")
    rows = Rows(content.path, reading, num_classes=len(classes), num_frames=1)
    for group in _groups(content, reading).values():
        with reading.taking(group[0].path, group[0].line, count=len(group)):
            is_point = _is_point(group[0])
            box, how = points.around(_all_points(group)) if is_point else _joined(group)
            before = len(rows)
            shape = group[0]
            name = shape.words("label")
            if name not in classes:
                raise shape.at("label").fault(f"class {name!r} is not among {', '.join(classes)}")
            rows.add(0, box, line=shape.line, label=class_number(name, classes), how=how)
            if len(rows) > before:
                rows.take(how, len(group) - 1)
            else:
                reason = "part of an object without a box"
                reading.tally.skip(reason, str(content.path), len(group) - 1)
    return still(source, size, rows)


def _joined(group: list[Node]) -> tuple[Corners, str]:
    """The box around the parts of one object, and how it was made."""
    found = [_box(shape) for shape in group]
    if len(found) == 1:
        return found[0]
    corners = np.array([box for box, _ in found])
    return shapes.hull(corners.reshape(-1, 2)), PARTS


def _source(content: Node, root: Path, reading: Reading) -> str:
    """The picture: ``imagePath`` from the file's folder, else a picture beside it of that name.

    One step up, to a folder beside that of the labels, is allowed where the picture is there.
    """
    folder = content.path.parent
    name = content.words("imagePath").replace("\\", "/")
    short = relative_source(name.rsplit("/", 1)[-1] or content.path.stem, content.path)
    inner = folder.relative_to(root)
    if there(folder / short).is_file():
        return (inner / there(folder / short).name).as_posix()
    away = name.startswith("/") or ":" in name or name.count("..") > 1 or "\0" in name
    if not away and there(folder / name).is_file():
        return relative(there(folder / name), root)
    own = [folder / f"{content.path.stem}{ending}" for ending in PICTURE_ENDINGS]
    beside = next((there(one) for one in own if there(one).is_file()), None)
    if beside is not None:
        reading.tally.note(f"{content.path.name}: {short} is missing; {beside.name} was taken")
        return (inner / beside.name).as_posix()
    if "imageData" in content:
        reading.tally.note(f"{content.path.name}: {short} is missing, but is inside as imageData")
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
