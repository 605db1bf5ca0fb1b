"""Where a YOLO data set has its pictures and label files: the layouts that tools write.

``data.yaml`` names folders of pictures or lists of them for each side of a split, relative to its
``path``; nested folders count. The label of a picture has its name, with ``images`` in its path
replaced by ``labels``; without such a part it lies beside the picture. Data sets without a sheet
have ``images`` and ``labels`` (maybe with a folder a split, in either order), or all in one
folder; ``classes.txt`` has the names. Darknet's ``obj.data`` is a sheet as well.
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from vodkit.formats.base import MOST_CLASSES, PICTURE_ENDINGS, Reading, class_names
from vodkit.formats.jsonfile import head_of, read_text
from vodkit.formats.textfile import count_lines, number_of, read_names
from vodkit.formats.yamlfile import read_yaml
from vodkit.ground.errors import FormatError
from vodkit.ground.paths import files_in, is_bystander, relative, there

SPLITS = {"train": "train", "val": "val", "valid": "val", "validation": "val", "test": "test"}
SHEETS = ("data.yaml", "data.yml", "dataset.yaml", "dataset.yml", "obj.data")
NAME_FILES = (
    "classes.txt", "predefined_classes.txt", "obj.names", "_darknet.labels", "labels.txt",
)  # fmt: skip
ENDINGS = frozenset(PICTURE_ENDINGS)


@dataclass(frozen=True)
class Item:
    """One picture with its label file, which need not exist."""

    source: str
    """relative to the folder of the data set"""
    picture: Path
    label: Path
    split: str


@dataclass
class Layout:
    """All pictures of a data set, and what its numbers mean."""

    sheet: Path
    root: Path
    classes: tuple[str, ...]
    keypoints: tuple[int, int] | None
    """number of key points, and of values of each"""
    has_sheet: bool
    items: list[Item] = field(default_factory=list)
    strays: list[Path] = field(default_factory=list)
    """label files of no picture"""
    notes: list[str] = field(default_factory=list)


def sheet_in(path: Path) -> Path | None:
    """The sheet of a data set: the file itself, or the one in a folder."""
    if path.is_file():
        return path if path.suffix.lower() in (".yaml", ".yml", ".data") else None
    named = [path / name for name in SHEETS if (path / name).is_file()]
    others = files_in(path, ".yaml") if path.is_dir() and not named else []
    return next(iter(named or others), None)


def label_of(picture: Path) -> Path:
    """The label file of a picture, as Ultralytics finds it."""
    parts = list(picture.parts)
    places = [n for n, part in enumerate(parts[:-1]) if part == "images"]
    if places:
        parts[places[-1]] = "labels"
    return there(Path(*parts).with_suffix(".txt"))


def is_label(file: Path) -> bool:
    """Whether a text file begins with a line of numbers."""
    if file.name in NAME_FILES or is_bystander(file):
        return False
    fields = head_of(file, 4096).strip().split("\n")[0].split()
    try:
        return len(fields) >= 5 and all(number_of(word) == number_of(word) for word in fields[:5])
    except ValueError:
        return False


def layout_of(path: Path, reading: Reading) -> Layout:
    """The layout of a data set; FormatError where nothing is found, or two readings fit."""
    sheet = sheet_in(path)
    root = path if path.is_dir() else path.parent
    content = _content(sheet) if sheet is not None else {}
    base, notes = _base(content, sheet or root, root)
    layout = Layout(
        sheet=sheet or root,
        root=root,
        classes=_classes(content, sheet or root, root, base, reading),
        keypoints=_keypoints(content, sheet or root),
        has_sheet=sheet is not None,
        notes=notes,
    )
    entries = [
        (split, str(entry))
        for key, split in SPLITS.items()
        for entry in _as_list(content.get(key), sheet or root)
    ]
    if entries:
        _add_entries(layout, base, entries)
    else:
        for split, folder in _folders_there(root):
            _add_folder(layout, folder, split)
    _require_one_each(layout)
    # Compared as files: one of `path: ../ds` is reached by two ways.
    known = {os.path.realpath(item.label) for item in layout.items}
    below = {base, root} if base.is_relative_to(root) else {root, base}
    texts = {
        os.path.realpath(file): file
        for folder in below
        for file in files_in(folder, ".txt", deep=True)
    }
    layout.strays = sorted(file for at, file in texts.items() if at not in known and is_label(file))
    return layout


def num_lines(layout: Layout) -> int:
    """Number of lines of all label files, once for each use and each stray file."""
    files = [item.label for item in layout.items if item.label.is_file()]
    return sum(map(count_lines, [*files, *layout.strays]))


def _content(sheet: Path) -> dict[Any, Any]:
    if sheet.suffix != ".data":
        return read_yaml(sheet)
    pairs = (line.partition("=") for line in read_text(sheet).splitlines() if "=" in line)
    return {key.strip(): value.strip() for key, _, value in pairs}


def _base(content: dict[Any, Any], sheet: Path, root: Path) -> tuple[Path, list[str]]:
    """The folder that the sheet's entries are relative to: its ``path``, or its own."""
    told = content.get("path")
    if not told:
        return root, []
    if not isinstance(told, str) or "\0" in told:
        raise FormatError(f"path is {str(told)[:60]!r}; allowed: a folder", path=sheet)
    place = root / told
    if place.is_dir():
        _require_below(place, root, sheet)
        return place, []
    return root, [f"path {told!r} of {sheet.name} does not exist; its own folder was used"]


def _require_below(place: Path, root: Path, sheet: Path) -> None:
    """Refuse a folder that the data set itself lies in: it would be searched as a whole."""
    if place.resolve() in root.resolve().parents:
        message = f"path {str(place)!r} leads outside, to a folder that holds the data set's own"
        raise FormatError(message, path=sheet)


def _as_list(value: Any, sheet: Path) -> list[Any]:
    found = list(value) if isinstance(value, list) else [value] if value else []
    if not all(isinstance(one, str) and "\0" not in one for one in found):
        raise FormatError("an entry of a split is not a path", path=sheet)
    return found


def _classes(
    content: dict[Any, Any], sheet: Path, root: Path, base: Path, reading: Reading
) -> tuple[str, ...]:
    """The class names: given, in the sheet, or in a file of names."""
    names = content.get("names")
    if isinstance(names, str) and sheet.suffix == ".data":
        file = _existing(root, names)
        names = [*read_names(file)] if file is not None else None
    if isinstance(names, dict):
        wanted = list(range(len(names)))
        if set(names) != set(wanted):
            seen = [str(key)[:20] for key in list(names)[:8]]
            raise FormatError(f"names are numbered {seen}; allowed: 0, 1, 2, ...", path=sheet)
        names = [names[number] for number in wanted]
    if not isinstance(names or [], list) or not all(
        isinstance(name, str | int | float) for name in names or ()
    ):
        raise FormatError("names are not texts; allowed: a list, or numbered", path=sheet)
    found = tuple(map(str, names or ())) or _names_beside(base) or _names_beside(root)
    number = content.get("nc")
    if names and isinstance(number, int) and number != len(found):
        raise FormatError(f"nc is {number}, but there are {len(found)} names", path=sheet)
    if not found and type(number) is int and 0 < number <= MOST_CLASSES:
        found = tuple(f"class_{label}" for label in range(number))  # as Ultralytics calls them
    classes = reading.classes or class_names(found, sheet)
    if not classes:
        looked = ", ".join(NAME_FILES[:4])
        raise FormatError(f"no class names: not in data.yaml, {looked}; give --classes", path=sheet)
    return classes


def _names_beside(root: Path) -> tuple[str, ...]:
    """The names in ``classes.txt`` of the folder or among its labels."""
    folders = [root, root / "labels", *(root / "labels" / split for split in SPLITS)]
    folders += [root / split / "labels" for split in SPLITS]
    folders += [root / split for split in SPLITS]
    files = [folder / name for folder in folders for name in NAME_FILES[:4]]
    found = {file: read_names(file) for file in files if file.is_file()}
    if len(set(found.values())) > 1:
        both = " and ".join(map(str, list(found)[:2]))
        raise FormatError(f"{both} have different class names; remove one", path=root)
    return next(iter(found.values()), ())


def _keypoints(content: dict[Any, Any], sheet: Path) -> tuple[int, int] | None:
    shape = content.get("kpt_shape")
    if shape is None:
        return None
    good = isinstance(shape, list) and len(shape) == 2 and all(type(n) is int for n in shape)
    if not good or shape[0] < 1 or shape[1] not in (2, 3):
        raise FormatError(f"kpt_shape is {str(shape)[:40]}; allowed: [number, 2 or 3]", path=sheet)
    return shape[0], shape[1]


def _add_entries(layout: Layout, base: Path, entries: list[tuple[str, str]]) -> None:
    """The folders and lists of a sheet; missing ones are noted, none at all is a fault."""
    missing = []
    for split, entry in entries:
        place = _place(base, entry, layout.sheet)
        if place is None:
            missing.append(f"{split}: {entry}")
        elif place.is_file():
            _add_list(layout, base, place, split)
        else:
            _require_below(place, layout.root, layout.sheet)
            _add_folder(layout, place, split)
    if len(missing) == len(entries):
        message = f"none of its folders exists; looked in {base} for {', '.join(missing)}"
        raise FormatError(message, path=layout.sheet)
    layout.notes += [f"not found: {one}" for one in missing]


def _place(base: Path, entry: str, sheet: Path) -> Path | None:
    """The folder or list that an entry names; None where there is none.

    Roboflow writes ``../train/images`` for what is ``train/images``. Where both exist, neither is
    taken. Paths of another machine are tried with their last parts. A folder of labels does for
    pictures that are missing.
    """
    name = entry.replace("\\", "/")
    tries = [base / name]
    if name.startswith("../"):
        tries.append(base / name.removeprefix("../"))
    if name.count("../") > 1:
        raise FormatError(f"{entry!r} leads outside; allowed: up to one '..'", path=sheet)
    there = {place.resolve(): place for place in tries if _exists(place)}
    if len(there) > 1:
        both = " or ".join(map(str, there))
        raise FormatError(f"{entry!r} could be {both}; move or rename one", path=sheet)
    if there or not (name.startswith("/") or ":" in name or sheet.suffix == ".data"):
        return next(iter(there.values()), None)
    return _existing(base, name)


def _exists(place: Path) -> bool:
    return place.exists() or (label_of(place / "x.jpg").parent.is_dir() and "images" in place.parts)


def _existing(base: Path, name: str) -> Path | None:
    """The file or folder at the end of a path of another machine: the longest part that exists."""
    parts = [part for part in PurePosixPath(name).parts if part not in ("/", "..", ".")]
    for start in range(len(parts)):
        place = base.joinpath(*parts[start:])
        if place.exists() or (start < len(parts) - 1 and _exists(place)):
            return place
    return None


def _folders_there(root: Path) -> Iterator[tuple[str, Path]]:
    """The folders of pictures of a layout without a sheet."""
    splits = [name for name in SPLITS if (root / "labels" / name).is_dir()]
    turned = [name for name in SPLITS if (root / name / "labels").is_dir()]
    if splits:
        yield from ((SPLITS[name], root / "images" / name) for name in splits)
        inside = {child.name for child in (root / "labels").iterdir() if child.is_dir()}
        for name in sorted(inside - set(splits)):
            yield "", root / "images" / name
    elif turned:
        yield from ((SPLITS[name], root / name / "images") for name in turned)
    elif (root / "labels").is_dir():
        yield "", root / "images"
    elif mixed := [name for name in SPLITS if _is_mixed(root / name)]:
        yield from ((SPLITS[name], root / name) for name in mixed)
    else:
        yield "", root


def _is_mixed(folder: Path) -> bool:
    """Whether pictures and their label files lie in one folder, as Roboflow's Darknet has them."""
    return any(is_label(file) for file in files_in(folder, ".txt")[:20])


def _add_folder(layout: Layout, folder: Path, split: str) -> None:
    """All pictures in or below a folder, and label files whose pictures are missing."""
    pictures = files_in(folder, *ENDINGS, deep=True)
    for picture in pictures:
        _add_picture(layout, picture, split)
    labels = label_of(folder / "x.jpg").parent
    known = {label_of(picture) for picture in pictures}
    for file in files_in(labels, ".txt", deep=True) if "images" in folder.parts else []:
        if file not in known and file.name not in NAME_FILES:
            inner = file.relative_to(labels).with_suffix(".jpg")
            layout.items.append(_item(layout, folder / inner, file, split))


def _add_list(layout: Layout, base: Path, file: Path, split: str) -> None:
    """All pictures of a list: one path a line, relative to the list or to the data set."""
    for number, line in enumerate(read_text(file).splitlines(), 1):
        name = line.strip().replace("\\", "/")
        if not name:
            continue
        tries = [place / name for place in (file.parent, base)] if "\0" not in name else []
        found = [one for one in tries if one.is_file() or label_of(one).is_file()]
        picture = found[0] if found else _listed_elsewhere(base, name)
        if picture is None:
            message = f"picture {name[:80]!r} does not exist; looked in {file.parent} and {base}"
            raise FormatError(message, path=file, line=number)
        _add_picture(layout, Path(os.path.normpath(picture)), split)


def _listed_elsewhere(base: Path, name: str) -> Path | None:
    """A picture that a list of another machine names, found by the last parts of its path."""
    parts = [part for part in PurePosixPath(name).parts if part not in ("/", "..", ".")]
    for start in range(1, len(parts)):
        place = base.joinpath(*parts[start:])
        if place.is_file() or label_of(place).is_file():
            return place
    return None


def _add_picture(layout: Layout, picture: Path, split: str) -> None:
    layout.items.append(_item(layout, picture, label_of(picture), split))


def _item(layout: Layout, picture: Path, label: Path, split: str) -> Item:
    return Item(relative(picture, layout.root), picture, label, split)


def _require_one_each(layout: Layout) -> None:
    """FormatError where one label file is that of two pictures, or a picture is twice on a side."""
    owners: dict[Path, Path] = {}
    seen: set[tuple[str, str]] = set()
    kept = []
    for item in layout.items:
        other = owners.setdefault(item.label, item.picture)
        if other != item.picture:
            message = f"is the label file of both {other.name} and {item.picture.name}; rename one"
            raise FormatError(message, path=item.label)
        if (item.source, item.split) not in seen:
            kept.append(item)
        seen.add((item.source, item.split))
    layout.items = kept
