"""YOLO text files: boxes, segments, oriented boxes and poses, in the layouts that tools write.

A line is ``class cx cy width height`` as shares of the picture, ``class`` from 0; a sixth number
is a score. With ``kpt_shape`` in ``data.yaml`` key points follow, and the box itself is read.
Without it more numbers are the corners of a segment or oriented box (and a score, where the count
of columns is even), whose upright hull is read. A picture without a text file is labelled and
empty, as Ultralytics trains on it, unless ``Reading.labelled`` is ``listed``. ``yolo_layout`` finds
the files.

Ultralytics drops a complete picture when one number is outside 0..1, so boxes are clipped to the
picture on writing.
"""

import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from vodkit.formats import shapes
from vodkit.formats.base import Reading, Writing, picture_name, stems
from vodkit.formats.jsonfile import head_of
from vodkit.formats.pictures import picture_size, still, still_info
from vodkit.formats.rows import Row, Rows, rows_by_frame
from vodkit.formats.textfile import Line, count_lines, plain, read_lines
from vodkit.formats.yolo_layout import SPLITS as LAYOUT_SPLITS
from vodkit.formats.yolo_layout import Item, Layout, is_label, layout_of, num_lines, sheet_in
from vodkit.ground.arrays import FloatArray
from vodkit.ground.boxes import clip
from vodkit.ground.errors import FormatError
from vodkit.ground.paths import files_in
from vodkit.ground.records import Dataset, LabelledVideo
from vodkit.ground.runs import make_folder, write_atomic

KEEPS = frozenset({"scores", "split", "empty"})
PICTURES: str | None = "images/{split}/{name}"
SPLITS = ("train", "val", "test")
NOT_A_SHARE = 2.0
"""a larger number is pixels, not a share of the picture"""


def sniff(path: Path) -> bool:
    """A sheet with class names, or a folder with one or with label files and class names."""
    sheet = sheet_in(path)
    if sheet is not None and sheet.suffix == ".data":
        return True
    if sheet is not None:
        head = head_of(sheet)
        keys = {line.partition(":")[0].strip() for line in head.splitlines() if ":" in line}
        return bool(keys & {"names", "nc"}) and bool(keys & {"train", "val", "test", "path", "nc"})
    if not path.is_dir():
        return False
    named = any(
        (path / folder / name).is_file()
        for folder in ("", "labels", *LAYOUT_SPLITS)
        for name in ("classes.txt", "_darknet.labels")
    )
    below = path / "labels" if (path / "labels").is_dir() else path
    return named and any(is_label(file) for file in files_in(below, ".txt", deep=True))


def contained(path: Path) -> int:
    """Number of lines of all label files below the data set, once for each side that uses them."""
    return num_lines(layout_of(path, Reading(classes=("any",))))


def read(path: Path, reading: Reading) -> Dataset:
    """Every picture as a video of one frame."""
    layout = layout_of(path, reading)
    for note in layout.notes:
        reading.tally.note(note)
    for file in layout.strays:
        reading.tally.skip(
            "line of a label file of no listed picture", str(file), count_lines(file)
        )
    _require_clear(layout, reading)
    _require_no_ids(layout)
    videos = tuple(_picture(item, layout, reading) for item in layout.items)
    return Dataset(classes=layout.classes, videos=videos)


def _require_clear(layout: Layout, reading: Reading) -> None:
    """Refuse labels that are sparse, and long lines that could be poses or segments."""
    missing = [item for item in layout.items if not item.label.is_file()]
    if missing and reading.labelled == "ask":
        seen = f"{len(missing)} of {len(layout.items)} pictures have no label file"
        present = [item.label for item in layout.items if item.label.is_file()]
        sparse = 2 * len(missing) > len(layout.items) and all(f.stat().st_size for f in present)
        if sparse:
            message = (
                f"{seen}; vodkit data import --labelled listed (those were not labelled) or "
                "--labelled all (nothing is in them) decides"
            )
            raise FormatError(message, path=layout.sheet)
        first = f"{missing[0].source}: {seen}; they count as labelled and empty"
        reading.tally.note(f"{first} (--labelled listed leaves them out)")
    if layout.has_sheet:
        return
    seen_poses = [
        (item.label, line.number, len(line.fields))
        for item in layout.items[:200]
        if item.label.is_file()
        for line in read_lines(item.label, separator=None, least=1)
        if len(line.fields) > 6
    ]
    clear = [
        item
        for item in layout.items[:200]
        if item.label.is_file()
        for line in read_lines(item.label, separator=None, least=1)
        if len(line.fields) > 6 and not _could_be_pose(line)
    ]
    if seen_poses and not clear:
        file, number, count = seen_poses[0]
        message = (
            f"{count} columns could be a box with key points or a polygon; a data.yaml with "
            "kpt_shape, or without it, decides"
        )
        raise FormatError(message, path=file, line=number)


def _require_no_ids(layout: Layout) -> None:
    """Refuse what Ultralytics' ``track`` writes: an id as the last of 6 or 7 columns."""
    tables = [
        (item.label, list(read_lines(item.label, separator=None, least=1)))
        for item in layout.items[:200]
        if item.label.is_file()
    ]
    lines = [(file, line) for file, found in tables for line in found]
    for count in (6, 7):
        last = [(file, line) for file, line in lines if len(line.fields) == count]
        if not last or not all(re.fullmatch(r"\d{1,9}", line.fields[-1]) for _, line in last):
            continue
        if all(line.fields[-1] in ("0", "1") for _, line in last) and len(last) < len(lines):
            continue  # a score, or the corner of a triangle in the picture's corner
        file, line = last[0]
        message = (
            f"the last of {count} columns is always a whole number like {line.fields[-1]}: track "
            "ids, which this format has no place for; write the labels without (save_txt of "
            "predict instead of track), or as MOT"
        )
        raise FormatError(message, path=file, line=line.number)


def _could_be_pose(line: Line) -> bool:
    """Whether all later points of a line lie within the box that its first numbers would be."""
    shares = np.array([line.real(column) for column in range(1, len(line.fields))])
    half = shares[2:4] / 2
    low, high = shares[:2] - half - 1e-6, shares[:2] + half + 1e-6
    rest = shares[4:]
    for size in (2, 3):
        if len(rest) % size == 0:
            points = rest.reshape(-1, size)[:, :2]
            if ((points >= low) & (points <= high)).all():
                return True
    return False


def _picture(item: Item, layout: Layout, reading: Reading) -> LabelledVideo:
    size = picture_size(item.picture) or reading.size_px
    if size is None:
        message = f"picture {item.source} is missing, so its size is not known; put it there"
        raise FormatError(message, path=item.label)
    if not item.label.is_file() and reading.labelled == "listed":
        info = still_info(item.source, size, item.label)
        return LabelledVideo(source=item.source, info=info, split=item.split)
    rows = Rows(item.label, reading, num_classes=len(layout.classes), num_frames=1)
    if item.label.is_file():
        for line in read_lines(item.label, separator=None, least=1):
            with reading.taking(item.label, line.number):
                _add(rows, line, size, layout.keypoints)
    return still(item.source, size, rows, split=item.split)


def _add(
    rows: Rows, line: Line, size_px: tuple[int, int], keypoints: tuple[int, int] | None
) -> None:
    count = len(line.fields)
    if count < 5:
        raise line.fault(f"{count} columns; allowed: 5 or more")
    shares = np.array([line.real(column) for column in range(1, count)])
    if keypoints is not None and count > 6:
        wanted = 5 + keypoints[0] * keypoints[1]
        if count not in (wanted, wanted + 1):
            shape = f"kpt_shape {list(keypoints)}"
            raise line.fault(f"{count} columns; {shape} allows 5, {wanted}, or {wanted + 1}")
        scored, how = count == wanted + 1, shapes.KEYPOINTS_LEFT
        corners = _corners(shares)
    elif count in (5, 6):
        scored, how = count == 6, ""
        corners = _corners(shares)
    else:
        scored, how = count % 2 == 0, shapes.POLYGON
        points = shares[: count - 1 - scored].reshape(-1, 2)
        corners = np.concatenate([points.min(axis=0), points.max(axis=0)])
    if not np.abs(corners).max() <= NOT_A_SHARE:
        raise line.fault(f"{corners.tolist()} are no shares of the picture; allowed: 0 to 1")
    x1, y1, x2, y2 = (corners * np.array([*size_px, *size_px])).tolist()
    score = float(shares[-1]) if scored else 1.0
    rows.add(0, (x1, y1, x2, y2), line=line.number, label=line.whole(0), score=score, how=how)


def _corners(shares: FloatArray) -> FloatArray:
    """Corners of a box of centre and size."""
    half = shares[2:4] / 2
    return np.concatenate([shares[:2] - half, shares[:2] + half])


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
