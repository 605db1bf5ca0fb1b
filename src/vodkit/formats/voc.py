"""Pascal VOC XML: one file a picture, in ``Annotations`` or a folder of another name.

Pixel coordinates are passed through unchanged: the benchmark counts from 1, labelling tools that
write this form count from 0, and the file does not say which. ``difficult`` objects become ignore
rows, as the VOC protocol treats them. Objects without ``bndbox`` get the hull of their ``robndbox``
(roLabelImg) or ``polygon``.
"""

import math
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from vodkit.formats import shapes
from vodkit.formats.base import (
    PICTURE_ENDINGS,
    Reading,
    Writing,
    picture_name,
    relative_source,
    stems,
)
from vodkit.formats.jsonfile import head_of, read_text
from vodkit.formats.pictures import class_number, class_table, picture_size, still, still_info
from vodkit.formats.rows import Row, Rows, rows_by_frame
from vodkit.formats.shapes import Corners
from vodkit.formats.textfile import plain
from vodkit.formats.xmlfile import Element, read_xml, tag
from vodkit.ground.errors import FormatError
from vodkit.ground.paths import files_in, relative, there
from vodkit.ground.records import Dataset, LabelledVideo
from vodkit.ground.runs import make_folder, write_atomic

KEEPS = frozenset({"ignore", "split", "empty"})
PICTURES: str | None = "JPEGImages/{name}"
LABEL_FOLDERS = ("Annotations", "annotations", "annots", "Annots", "labels", "xml", "xmls", ".")
PICTURE_FOLDERS = ("JPEGImages", "images", "Images", "imgs", "img", "pictures")
SPLITS = ("train", "val", "test")
PARTLY_HIDDEN = 0.5
"""visibility of an ``occluded`` object; the file does not say how much of it is hidden"""
FLAGS = {
    **dict.fromkeys(("", "0", "false", "no", "n", "unspecified"), False),
    **dict.fromkeys(("1", "true", "yes", "y"), True),
}
SIDES = {"train": "train", "val": "val", "valid": "val", "test": "test"}


@dataclass(frozen=True)
class _Group:
    """The XML files of one folder."""

    home: Path
    """the folder that holds the folders of labels and pictures"""
    files: list[Path]
    split: str


def sniff(path: Path) -> bool:
    """A folder of such XML files (or with ``Annotations``), or one of them."""
    if not path.is_dir():
        return path.suffix.lower() == ".xml" and _looks_right(path)
    files = [file for group in _groups(path)[:1] for file in group.files[:1]]
    return bool(files) and _looks_right(files[0])


def _looks_right(path: Path) -> bool:
    head = head_of(path)
    return "<annotation" in head and "<annotations" not in head and "<trackid>" not in head


def _groups(path: Path) -> list[_Group]:
    """The XML files of a data set: its own, those of its splits, or those of its years."""
    if path.is_file():
        home = path.parent
        return [_Group(home.parent if home.name in LABEL_FOLDERS else home, [path], "")]
    own = _group(path, "")
    if own is not None:
        return [own]
    sides = [_group(path / name, split) for name, split in SIDES.items()]
    found = [group for group in sides if group is not None]
    if not found:
        years = sorted(child for child in path.glob("*") if child.is_dir())
        inner = [_group(year, "") for year in years if (year / "Annotations").is_dir()]
        found = [group for group in inner if group is not None]
    return found


def _group(home: Path, split: str) -> _Group | None:
    for name in LABEL_FOLDERS:
        files = files_in(home / name, ".xml")
        if files:
            is_inner = name == "." and home.name in LABEL_FOLDERS
            return _Group(home.parent if is_inner else home, files, split)
    return None


def contained(path: Path) -> int:
    """Number of ``<object>`` and ``<part>`` of all files; one that cannot be read counts as one."""
    return sum(_num_objects(file) for group in _groups(path) for file in group.files)


def _num_objects(file: Path) -> int:
    try:
        return _num_in(read_xml(file))
    except FormatError:
        return 1


def _num_in(tree: Element) -> int:
    things = [child for child in tree.children if child.name == "object"]
    return len(things) + sum(part.name == "part" for thing in things for part in thing.children)


def read(path: Path, reading: Reading) -> Dataset:
    """Every picture as a video of one frame; classes are the names found, sorted."""
    groups = _groups(path)
    if not groups:
        looked = ", ".join(name for name in LABEL_FOLDERS if name != ".")
        message = f"no XML files in this folder, in {looked}, or in those of train, valid, test"
        raise FormatError(message, path=path)
    trees: list[list[Element]] = []
    for group in groups:
        trees.append([])
        for file in group.files:
            with reading.taking(file):
                trees[-1].append(read_xml(file))
    names = [
        name.text
        for found in trees
        for tree in found
        for thing in tree.all("object")
        if (name := thing.find("name")) is not None
    ]
    classes = class_table(names, reading)
    videos: list[LabelledVideo] = []
    owners: dict[str, Path] = {}
    root = path if path.is_dir() else path.parent
    for group, found in zip(groups, trees, strict=True):
        place = _Pictures(group, root, found)
        splits = _read_splits(group.home)
        for tree in found:
            count = _num_in(tree)
            with reading.taking(tree.path, tree.line, count=count):
                source = place.of(tree)
                other = owners.setdefault(source, tree.path)
                if other != tree.path:
                    raise tree.fault(f"is of {source}, and so is {other.name}; rename one")
                split = group.split or splits.get(Path(source).stem, "")
                videos.append(_read_one(tree, source, root, classes, reading, split=split))
    return Dataset(classes=classes, videos=tuple(videos))


def _read_splits(home: Path) -> dict[str, str]:
    """Picture name -> split, from ``ImageSets/Main``."""
    found = {}
    for split in SPLITS:
        sheet = home / "ImageSets" / "Main" / f"{split}.txt"
        if sheet.is_file():
            found.update(dict.fromkeys(read_text(sheet).split(), split))
    return found


class _Pictures:
    """Finds the pictures of a group of files."""

    def __init__(self, group: _Group, root: Path, trees: list[Element]) -> None:
        """Choose the folder that holds the first picture; FormatError where two do."""
        self.root = root
        folders = [group.home / name for name in PICTURE_FOLDERS]
        folders += [group.files[0].parent, group.home] if group.files else []
        self.folders = folders
        self.chosen: Path | None = None
        for tree in trees[:1]:
            name = self._name(tree)
            found = {(at / name).resolve(): at for at in folders if there(at / name).is_file()}
            if len(found) > 1:
                both = " or ".join(str(folder) for folder in found.values())
                raise tree.fault(f"picture {name!r} could be the one in {both}; remove one")
            self.chosen = next(iter(found.values()), None)

    def _name(self, tree: Element) -> str:
        found = tree.find("filename")
        text = found.text if found is not None and found.text else f"{tree.path.stem}.jpg"
        if re.match(r"[A-Za-z]:|/|\\\\", text):  # of another machine
            text = text.replace("\\", "/").rsplit("/", 1)[-1]
        return relative_source(text, tree.path, line=found.line if found else tree.line)

    def of(self, tree: Element) -> str:
        """The picture of a file, relative to the data set: by the name in it, or its own name."""
        name = self._name(tree)
        folders = ([self.chosen] if self.chosen else []) + self.folders
        names = [name, *(f"{tree.path.stem}{ending}" for ending in PICTURE_ENDINGS)]
        for one in names:
            for folder in folders:
                place = there(folder / one)
                if place.is_file():
                    return self._relative(place)
        home = self.chosen or next((f for f in self.folders[:-2] if f.is_dir()), self.folders[0])
        return self._relative(home / name)

    def _relative(self, place: Path) -> str:
        return relative(place, self.root)


def _read_one(
    tree: Element,
    source: str,
    root: Path,
    classes: tuple[str, ...],
    reading: Reading,
    *,
    split: str,
) -> LabelledVideo:
    told, web = tree.find("size"), tree.find("imagesize")
    size = None
    if told is not None:
        size = (told.need("width").text_whole(), told.need("height").text_whole())
    elif web is not None:  # as LabelMe's web tool names it
        size = (web.need("ncols").text_whole(), web.need("nrows").text_whole())
    if size is None or min(size) <= 0:
        size = picture_size(root / source) or reading.size_px
    if size is None:
        raise tree.fault(f"the size of {source} is not known; put the picture there")
    rows = Rows(tree.path, reading, num_classes=len(classes), num_frames=1)
    still_info(source, size, tree.path)  # refuses a bad size before objects count
    for thing in tree.all("object"):
        for part in thing.all("part"):
            reading.tally.skip("part of an object", f"{tree.path}:{part.line}")
        if _is_set(thing, "deleted"):  # LabelMe's web tool keeps them
            reading.tally.skip("object marked as deleted", f"{tree.path}:{thing.line}")
            continue
        with reading.taking(tree.path, thing.line):
            add_object(rows, thing, classes, frame=0)
    return still(source, size, rows, split=split)


def add_object(
    rows: Rows, thing: Element, classes: tuple[str, ...], *, frame: int, track_id: int = -1
) -> None:
    """One ``<object>`` into the rows."""
    box, how = _box(thing)
    name = thing.need("name").text
    if name not in classes:
        raise thing.fault(f"class {name!r} is not among {', '.join(classes)}")
    rows.add(
        frame,
        box,
        line=thing.line,
        track_id=track_id,
        label=class_number(name, classes),
        visibility=PARTLY_HIDDEN if _is_set(thing, "occluded") else math.nan,
        ignore=_is_set(thing, "difficult"),
        how=how,
    )


def _is_set(thing: Element, name: str) -> bool:
    """Whether a flag of an object is set; any other word than yes and no is a fault."""
    flag = thing.find(name)
    text = "" if flag is None else flag.text.lower()
    if text not in FLAGS:
        raise thing.fault(f"{name} is {text[:40]!r}; allowed: 0 or 1")
    return FLAGS[text]


def _box(thing: Element) -> tuple[Corners, str]:
    """The box of an object, and how it was made."""
    turned, polygon = thing.find("robndbox"), thing.find("polygon")
    if thing.find("bndbox") is None and turned is not None:
        x, y, width, height, angle = (
            turned.need(key).text_real() for key in ("cx", "cy", "w", "h", "angle")
        )
        if not all(map(math.isfinite, (x, y, width, height, angle))):
            raise turned.fault("a number is not finite")
        box = (x - width / 2, y - height / 2, x + width / 2, y + height / 2)
        return shapes.turned_box(box, math.degrees(angle)), shapes.ROTATED
    if thing.find("bndbox") is None and polygon is not None:
        if polygon.find("pt") is not None:
            points = [
                [point.need("x").text_real(), point.need("y").text_real()]
                for point in polygon.all("pt")
            ]
        else:
            numbers = [child.text_real() for child in polygon.children]
            points = np.array(numbers[: len(numbers) // 2 * 2]).reshape(-1, 2).tolist()
        return shapes.hull(points), shapes.POLYGON
    corner = thing.need("bndbox")
    x1, y1, x2, y2 = (corner.need(key).text_real() for key in ("xmin", "ymin", "xmax", "ymax"))
    return (x1, y1, x2, y2), ""


def write(dataset: Dataset, path: Path, writing: Writing) -> None:
    """One XML file a labelled frame; ignore regions that hold for every class are left out."""
    folder = make_folder(path / "Annotations")
    make_folder(path / "JPEGImages")
    members: dict[str, list[str]] = {}
    for video, name in zip(dataset.videos, stems(dataset), strict=True):
        for frame, rows in rows_by_frame(video).items():
            picture = Path(picture_name(video, name, frame))
            text = _xml(picture.name, video, rows, dataset.classes)
            write_atomic(folder / f"{picture.stem}.xml", text)
            members.setdefault(video.split or writing.default_split, []).append(picture.stem)
    sets = make_folder(path / "ImageSets" / "Main")
    for split, stem_list in members.items():
        write_atomic(sets / f"{split}.txt", "".join(f"{stem}\n" for stem in stem_list))


def _xml(name: str, video: LabelledVideo, rows: list[Row], classes: tuple[str, ...]) -> str:
    lines = ["<annotation>", tag("folder", "JPEGImages"), tag("filename", name), "<size>"]
    lines += [tag("width", video.info.width_px), tag("height", video.info.height_px)]
    lines += [tag("depth", 3), "</size>", tag("segmented", 0)]
    for row in rows:
        if row.label >= 0:
            lines += ["<object>", tag("name", classes[row.label]), tag("pose", "Unspecified")]
            lines += [tag("truncated", 0), tag("difficult", int(row.ignore))]
            lines += [*bndbox(row), "</object>"]
    return "\n".join([*lines, "</annotation>\n"])


def bndbox(row: Row) -> list[str]:
    """The ``<bndbox>`` of a row, as lines."""
    keys = ("xmin", "ymin", "xmax", "ymax")
    corners = [tag(key, plain(value)) for key, value in zip(keys, row.box_xyxy, strict=True)]
    return ["<bndbox>", *corners, "</bndbox>"]
