"""YOLO text files in Ultralytics' layout: ``data.yaml``, ``images/<split>``, ``labels/<split>``.

A line is ``class cx cy width height`` as shares of the picture, ``class`` from 0; a sixth number
is a score; more are the corners of a polygon, whose bounding box is taken. A picture without a
text file is labelled and empty, as Ultralytics trains on it. Ultralytics throws a whole picture
away when one number is outside 0..1, so boxes are clipped to the picture on writing.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

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
from vodkit.formats.jsonfile import read_text
from vodkit.formats.pictures import picture_files, picture_size, still
from vodkit.formats.textfile import Line, plain, read_lines, read_names
from vodkit.ground.boxes import clip
from vodkit.ground.errors import FormatError
from vodkit.ground.records import Dataset, LabelledVideo
from vodkit.ground.runs import make_folder, write_atomic

KEEPS = frozenset({"scores", "split", "empty"})
PICTURES: str | None = "images/{split}/{name}"
SPLITS = ("train", "val", "test")
NOT_A_SHARE = 2.0
"""a larger number is pixels, not a share of the picture"""


def sniff(path: Path) -> bool:
    """``data.yaml`` (or a folder with it), or a folder with ``labels``."""
    if path.is_dir():
        named = (path / "data.yaml").is_file() or (path / "classes.txt").is_file()
        return named and next((path / "labels").rglob("*.txt"), None) is not None
    if path.suffix.lower() not in (".yaml", ".yml"):
        return False
    return (path.parent / "labels").is_dir()


def read(path: Path, reading: Reading) -> Dataset:
    """Every picture as a video of one frame."""
    root = path if path.is_dir() else path.parent
    sheet = root / "data.yaml" if path.is_dir() else path
    classes, folders = _read_sheet(sheet, root, reading)
    videos = [
        video
        for split, folder in folders
        for video in _read_folder(root, folder, split, classes, reading)
    ]
    return Dataset(classes=classes, videos=tuple(videos))


def _read_sheet(
    sheet: Path, root: Path, reading: Reading
) -> tuple[tuple[str, ...], list[tuple[str, str]]]:
    """Class names, and (split, folder of pictures) pairs."""
    content = _read_yaml(sheet) if sheet.is_file() else {}
    names = content.get("names")
    if isinstance(names, dict):
        wanted = list(range(len(names)))
        if set(names) != set(wanted):
            raise FormatError(f"names are numbered {list(names)}; allowed: {wanted}", path=sheet)
        names = [names[number] for number in wanted]
    if not isinstance(names or [], list):
        raise FormatError(f"names is {names!r}; allowed: a list, or numbered", path=sheet)
    if not names and (root / "classes.txt").is_file():
        names = [*read_names(root / "classes.txt")]
    classes = reading.classes or tuple(map(str, names or ()))
    if not classes:
        raise FormatError("no class names: neither in data.yaml nor told", path=sheet)
    folders = [
        (split, relative_source(str(folder), sheet))
        for split in SPLITS
        for folder in _as_list(content.get(split))
        if not str(folder).endswith(".txt")
    ]
    return classes, folders or _folders_there(root)


def _as_list(value: Any) -> list[Any]:
    return list(value) if isinstance(value, list) else [value] if value else []


def _folders_there(root: Path) -> list[tuple[str, str]]:
    """The layout without a sheet: ``labels/<split>`` or just ``labels``."""
    splits = [split for split in SPLITS if (root / "labels" / split).is_dir()]
    return [(split, f"images/{split}") for split in splits] or [("", "images")]


def _read_yaml(path: Path) -> dict[str, Any]:
    import yaml  # type: ignore[import-untyped]

    try:
        content = yaml.safe_load(read_text(path))
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        mark = getattr(error, "problem_mark", None)
        line = None if mark is None else mark.line + 1
        what = getattr(error, "problem", error)
        raise FormatError(f"not YAML: {what}", path=path, line=line) from error
    if not isinstance(content, dict):
        raise FormatError("not a mapping of names to values", path=path)
    return content


def _read_folder(
    root: Path, folder: str, split: str, classes: tuple[str, ...], reading: Reading
) -> Iterator[LabelledVideo]:
    labels = root / "labels".join(folder.rsplit("images", 1))
    pictures = {Path(name).stem: name for name in picture_files(root / folder)}
    files = {file.stem: file for file in sorted(labels.glob("*.txt"))}
    for name in sorted({*pictures, *files}):
        source = f"{folder}/{pictures.get(name, name + '.jpg')}"
        size = picture_size(root / source) or reading.size_px
        file = files.get(name, labels / f"{name}.txt")
        if size is None:
            message = f"picture {source} is missing, so its size is not known; put it there"
            raise FormatError(message, path=file)
        rows = Rows(file, reading, num_classes=len(classes), num_frames=1)
        if name in files:
            for line in read_lines(file, separator=None, least=5):
                try:
                    _add(rows, line, size)
                except FormatError as fault:
                    reading.fault(fault)
        yield still(source, size, rows, split=split)


def _add(rows: Rows, line: Line, size_px: tuple[int, int]) -> None:
    count = len(line.fields)
    shares = np.array([line.real(column) for column in range(1, count)])
    if np.abs(shares).max() > NOT_A_SHARE:
        raise line.fault(f"{shares.tolist()} are no shares of the picture; allowed: 0 to 1")
    score = 1.0
    if count in (5, 6):
        score = shares[4] if count == 6 else 1.0
        half = shares[2:4] / 2
        corners = np.concatenate([shares[:2] - half, shares[:2] + half])
    elif count % 2 == 1:
        points = shares.reshape(-1, 2)
        corners = np.concatenate([points.min(axis=0), points.max(axis=0)])
    else:
        raise line.fault(f"{count} columns; allowed: 5, 6, or an odd number (polygon)")
    x1, y1, x2, y2 = (corners * np.array([*size_px, *size_px])).tolist()
    label = line.whole(0)
    rows.add(0, (x1, y1, x2, y2), line=line.number, label=label, score=float(score))


def write(dataset: Dataset, path: Path, writing: Writing) -> None:
    """``data.yaml`` and one text file a labelled frame; ignore rows are left out."""
    make_folder(path)
    splits = []
    for video, name in zip(dataset.videos, stems(dataset), strict=True):
        split = video.split or writing.default_split
        folder = make_folder(path / "labels" / split)
        make_folder(path / "images" / split)
        splits.append(split)
        for frame, rows in rows_by_frame(video).items():
            picture = Path(picture_name(video, name, frame))
            text = "".join(_lines(rows, video))
            write_atomic(folder / f"{picture.stem}.txt", text)
    used = [split for split in SPLITS if split in splits]
    used += sorted(set(splits) - set(used))
    lines = [f"{split}: images/{split}\n" for split in used]
    lines += ["names:\n", *(f"  {n}: {_quoted(name)}\n" for n, name in enumerate(dataset.classes))]
    write_atomic(path / "data.yaml", "".join(lines))


def _quoted(name: str) -> str:
    import json

    return json.dumps(name, ensure_ascii=False)


def _lines(rows: list[Row], video: LabelledVideo) -> Iterator[str]:
    width, height = video.info.width_px, video.info.height_px
    for row in rows:
        box = clip(np.array([row.box_xyxy]), width_px=width, height_px=height)[0]
        if row.ignore or box[2] <= box[0] or box[3] <= box[1]:
            continue
        x1, y1, x2, y2 = box.tolist()
        shares = [
            (x1 + x2) / 2 / width,
            (y1 + y2) / 2 / height,
            (x2 - x1) / width,
            (y2 - y1) / height,
        ]
        if row.score != 1:
            shares.append(row.score)
        yield f"{row.label} {' '.join(map(plain, shares))}\n"
