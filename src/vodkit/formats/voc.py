"""Pascal VOC XML: one file a picture (``Annotations``, ``JPEGImages``, ``ImageSets/Main``).

Pixel coordinates are passed through unchanged: the benchmark counts from 1, labelling tools that
write this form count from 0, and the file does not say which. ``difficult`` objects become ignore
rows, as the VOC protocol treats them.
"""

from pathlib import Path

from vodkit.formats.base import (
    Reading,
    Row,
    Rows,
    Writing,
    picture_name,
    relative_source,
    rows_by_frame,
    stems,
)
from vodkit.formats.jsonfile import head_of, read_text
from vodkit.formats.pictures import class_number, class_table, picture_size, still
from vodkit.formats.textfile import plain
from vodkit.formats.xmlfile import Element, read_xml, tag
from vodkit.ground.errors import FormatError
from vodkit.ground.records import Dataset, LabelledVideo
from vodkit.ground.runs import make_folder, write_atomic

KEEPS = frozenset({"ignore", "split", "empty"})
PICTURES: str | None = "JPEGImages/{name}"
PICTURE_FOLDERS = ("JPEGImages", "images", "Images", "")
SPLITS = ("train", "val", "test")


def sniff(path: Path) -> bool:
    """A folder of such XML files (or with ``Annotations``), or one of them."""
    files = _files(path)[:1]
    return bool(files) and _looks_right(files[0])


def _looks_right(path: Path) -> bool:
    head = head_of(path)
    return "<annotation" in head and "<annotations" not in head and "<trackid>" not in head


def _files(path: Path) -> list[Path]:
    if path.is_file():
        return [path] if path.suffix.lower() == ".xml" else []
    for name in ("Annotations", "annotations", "."):
        found = sorted((path / name).glob("*.xml"))
        if found:
            return found
    return []


def read(path: Path, reading: Reading) -> Dataset:
    """Every picture as a video of one frame; classes are the names found, sorted."""
    files = _files(path)
    if not files:
        raise FormatError("no XML files in here or in Annotations", path=path)
    root = path if path.is_dir() else path.parent
    if path.is_dir() and not (path / files[0].parent.name).is_dir():
        root = path.parent
    trees = []
    for file in files:
        try:
            trees.append(read_xml(file))
        except FormatError as fault:
            reading.fault(fault)
    names = [thing.need("name").text for tree in trees for thing in tree.all("object")]
    classes = class_table(names, reading)
    splits = _read_splits(root)
    videos = []
    for tree in trees:
        try:
            videos.append(_read_one(tree, root, classes, splits, reading))
        except FormatError as fault:
            reading.fault(fault)
    return Dataset(classes=classes, videos=tuple(videos))


def _read_splits(root: Path) -> dict[str, str]:
    """Picture name -> split, from ``ImageSets/Main``."""
    found = {}
    for split in SPLITS:
        sheet = root / "ImageSets" / "Main" / f"{split}.txt"
        if sheet.is_file():
            found.update(dict.fromkeys(read_text(sheet).split(), split))
    return found


def _read_one(
    tree: Element, root: Path, classes: tuple[str, ...], splits: dict[str, str], reading: Reading
) -> LabelledVideo:
    name = relative_source(tree.need("filename").text, tree.path, line=tree.line)
    folder = next((f for f in PICTURE_FOLDERS if (root / f / name).is_file()), PICTURE_FOLDERS[0])
    source = f"{folder}/{name}" if folder else name
    told = tree.find("size")
    size = None
    if told is not None:
        size = (told.need("width").text_whole(), told.need("height").text_whole())
    if size is None or min(size) <= 0:
        size = picture_size(root / source) or reading.size_px
    if size is None:
        raise tree.fault(f"the size of {source} is not known; put the picture there")
    rows = Rows(tree.path, reading, num_classes=len(classes), num_frames=1)
    for thing in tree.all("object"):
        try:
            add_object(rows, thing, classes, frame=0)
        except FormatError as fault:
            reading.fault(fault)
    return still(source, size, rows, split=splits.get(Path(name).stem, ""))


def add_object(
    rows: Rows, thing: Element, classes: tuple[str, ...], *, frame: int, track_id: int = -1
) -> None:
    """One ``<object>`` into the rows."""
    corner = thing.need("bndbox")
    x1, y1, x2, y2 = (corner.need(key).text_real() for key in ("xmin", "ymin", "xmax", "ymax"))
    difficult = thing.find("difficult")
    name = thing.need("name").text
    if name not in classes:
        raise thing.fault(f"class {name!r} is not among {', '.join(classes)}")
    rows.add(
        frame,
        (x1, y1, x2, y2),
        line=thing.line,
        track_id=track_id,
        label=class_number(name, classes),
        ignore=difficult is not None and difficult.text == "1",
    )


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
