"""ImageNet VID XML: ``Annotations/VID/<split>/<snippet>/<frame>.xml``, frames from 0.

The 30 WordNet numbers of the challenge become their names and back; other names pass through.
``occluded`` becomes visibility 0.5, because the file does not say how much is hidden.
"""

import math
from pathlib import Path

import numpy as np

from vodkit.formats.base import Reading, Writing, info_for, require_bearable, stems
from vodkit.formats.jsonfile import head_of
from vodkit.formats.pictures import (
    NO_PICTURE,
    class_number,
    class_table,
    picture_files,
    places_of,
)
from vodkit.formats.rows import Row, Rows, rows_by_frame
from vodkit.formats.voc import bndbox
from vodkit.formats.xmlfile import Element, read_xml, tag
from vodkit.ground.errors import FormatError
from vodkit.ground.paths import files_in, is_bystander
from vodkit.ground.records import NO_ID, Dataset, LabelledVideo
from vodkit.ground.runs import make_folder, write_atomic

KEEPS = frozenset({"ids", "split", "labelled", "video", "empty"})
PICTURES: str | None = "Data/VID/{split}/{stem}/{frame:06d}.JPEG"
SPLITS = ("train", "val", "test")
PARTLY_HIDDEN = 0.5
WORDNET = {
    "n02691156": "airplane", "n02419796": "antelope", "n02131653": "bear",
    "n02834778": "bicycle", "n01503061": "bird", "n02924116": "bus", "n02958343": "car",
    "n02402425": "cattle", "n02084071": "dog", "n02121808": "domestic_cat",
    "n02503517": "elephant", "n02118333": "fox", "n02510455": "giant_panda",
    "n02342885": "hamster", "n02374451": "horse", "n02129165": "lion", "n01674464": "lizard",
    "n02484322": "monkey", "n03790512": "motorcycle", "n02324045": "rabbit",
    "n02509815": "red_panda", "n02411705": "sheep", "n01726692": "snake",
    "n02355227": "squirrel", "n02129604": "tiger", "n04468005": "train", "n01662784": "turtle",
    "n04530566": "watercraft", "n02062744": "whale", "n02391049": "zebra",
}  # fmt: skip
NUMBERS = {name: number for number, name in WORDNET.items()}


def sniff(path: Path) -> bool:
    """A folder with ``Annotations/VID``, or with such XML files below it."""
    if not path.is_dir():
        return False
    if (path / "Annotations" / "VID").is_dir():
        return True
    files = (file for file in path.glob("*/*.xml") if not is_bystander(file))
    first = next(files, None)
    return first is not None and "<trackid>" in head_of(first)


def read(path: Path, reading: Reading) -> Dataset:
    """Every snippet as a video; every frame that has a file is labelled."""
    top = path / "Annotations" / "VID"
    top = top if top.is_dir() else path
    folders = sorted({file.parent for file in files_in(top, ".xml", deep=True)})
    if not folders:
        raise FormatError("no XML files below", path=path)
    snippets = [(folder, _read_trees(folder, reading)) for folder in folders]
    names = [
        _class_name(thing)
        for _, trees in snippets
        for tree in trees.values()
        for thing in tree.all("object")
    ]
    classes = class_table(names, reading)
    videos = [
        _read_video(f, trees, top=top, root=path, classes=classes, reading=reading)
        for f, trees in snippets
        if trees
    ]
    return Dataset(classes=classes, videos=tuple(videos))


def contained(path: Path) -> int:
    """Number of ``<object>`` of all files; a file that cannot be read counts as one."""
    top = path / "Annotations" / "VID"
    files = files_in(top if top.is_dir() else path, ".xml", deep=True)
    return sum(map(_num_objects, files))


def _num_objects(file: Path) -> int:
    try:
        if not (file.stem.isascii() and file.stem.isdigit()):
            return 1
        return sum(child.name == "object" for child in read_xml(file).children)
    except FormatError:
        return 1


def _class_name(thing: Element) -> str:
    name = thing.need("name").text
    return WORDNET.get(name, name)


def _read_trees(folder: Path, reading: Reading) -> dict[int, Element]:
    """Frame index -> its file."""
    trees = {}
    for file in files_in(folder, ".xml"):
        try:
            if not (file.stem.isascii() and file.stem.isdigit()):
                raise FormatError("the file name is not a frame number", path=file)  # noqa: TRY301
            frame = int(file.stem[:20])
            require_bearable(file, num_frames=frame)
            if frame in trees:
                raise FormatError(f"frame {frame} has two files", path=file)  # noqa: TRY301
            trees[frame] = read_xml(file)
        except FormatError as fault:
            reading.refuse(fault, _num_objects(file))
    return trees


def _read_video(
    folder: Path,
    trees: dict[int, Element],
    *,
    top: Path,
    root: Path,
    classes: tuple[str, ...],
    reading: Reading,
) -> LabelledVideo:
    inner = folder.relative_to(top)
    source = f"Data/VID/{inner.as_posix()}" if top != root else inner.as_posix()
    files = picture_files(root / source)
    size = next(iter(trees.values())).need("size")
    trees = _at_pictures(trees, files, reading, folder)
    length = len(files) or max(trees) + 1
    info, tags = info_for(
        source,
        root,
        reading,
        size_px=(size.need("width").text_whole(), size.need("height").text_whole()),
        num_frames=max(length, max(trees, default=-1) + 1),
    )
    rows = Rows(folder, reading, num_classes=len(classes), num_frames=info.num_frames)
    for frame, tree in trees.items():
        rows.path = tree.path
        for thing in tree.all("object"):
            with reading.taking(tree.path, thing.line):
                _add(rows, thing, classes, frame)
    every = len(trees) == info.num_frames
    return rows.video(
        info,
        tags,
        labelled_frames=None if every else np.array(sorted(trees), np.int64),
        split=inner.parts[0] if inner.parts and inner.parts[0] in SPLITS else "",
        frame_files=files,
    )


def _at_pictures(
    trees: dict[int, Element], files: list[str], reading: Reading, folder: Path
) -> dict[int, Element]:
    """The files of frames by the places of their pictures."""
    places = places_of(files, trees, reading, folder, first=0)
    found = {}
    for frame, tree in trees.items():
        place = places.of(frame)
        if place is None:
            reading.tally.skip(NO_PICTURE, str(tree.path), _num_objects(tree.path))
        else:
            found[place] = tree
    return found


def _add(rows: Rows, thing: Element, classes: tuple[str, ...], frame: int) -> None:
    corner = thing.need("bndbox")
    x1, y1, x2, y2 = (corner.need(key).text_real() for key in ("xmin", "ymin", "xmax", "ymax"))
    track, occluded = thing.find("trackid"), thing.find("occluded")
    hidden = occluded is not None and occluded.text == "1"
    rows.add(
        frame,
        (x1, y1, x2, y2),
        line=thing.line,
        track_id=NO_ID if track is None else track.text_whole(),
        label=class_number(_class_name(thing), classes),
        visibility=PARTLY_HIDDEN if hidden else math.nan,
    )


def write(dataset: Dataset, path: Path, writing: Writing) -> None:
    """One XML file a labelled frame; ignore rows are left out."""
    for video, name in zip(dataset.videos, stems(dataset), strict=True):
        split = video.split or writing.default_split
        folder = make_folder(path / "Annotations" / "VID" / split / name)
        for frame, rows in rows_by_frame(video).items():
            text = _xml(f"{frame:06d}", f"{split}/{name}", video, rows, dataset.classes)
            write_atomic(folder / f"{frame:06d}.xml", text)


def _xml(
    name: str, folder: str, video: LabelledVideo, rows: list[Row], classes: tuple[str, ...]
) -> str:
    lines = ["<annotation>", tag("folder", folder), tag("filename", name), "<size>"]
    lines += [tag("width", video.info.width_px), tag("height", video.info.height_px), "</size>"]
    for row in rows:
        if row.ignore:
            continue
        track = [] if row.track_id == NO_ID else [tag("trackid", row.track_id)]
        number = NUMBERS.get(classes[row.label], classes[row.label])
        hidden = int(row.visibility <= PARTLY_HIDDEN)
        lines += ["<object>", *track, tag("name", number), *bndbox(row)]
        lines += [tag("occluded", hidden), tag("generated", 0), "</object>"]
    return "\n".join([*lines, "</annotation>\n"])
