"""KITTI tracking labels: ``label_02/0000.txt``, frames from 0, one object a line.

``frame id type truncated occluded alpha left top right bottom h w l x y z ry [score]``. The box
ends at the last pixel's own coordinate and is passed through unchanged. ``DontCare`` becomes an
ignore row for every class; ``occluded`` 0, 1, 2 (in full view, partly, largely hidden) become
visibility 1, 0.6, 0.2, and 3 unknown. What KITTI has in 3D is written as unknown.
"""

import math
from fractions import Fraction
from pathlib import Path

from vodkit.formats.base import Reading, Writing, info_for, stems
from vodkit.formats.jsonfile import head_of
from vodkit.formats.pictures import (
    NO_PICTURE,
    Places,
    class_number,
    class_table,
    picture_files,
    picture_size,
    places_of,
)
from vodkit.formats.rows import Row, Rows, frames_labelled, table_rows
from vodkit.formats.textfile import Line, count_lines, frames_of, plain, read_lines
from vodkit.ground.errors import FormatError
from vodkit.ground.paths import files_in
from vodkit.ground.records import NO_ID, Dataset, LabelledVideo, TrackTable
from vodkit.ground.runs import make_folder, write_atomic

KEEPS = frozenset({"ids", "scores", "video"})
PICTURES: str | None = "image_02/{stem}/{frame:06d}.png"
RATE = Fraction(10)
"""KITTI was recorded at 10 frames per second"""
DONT_CARE = "DontCare"
VISIBILITY = (1.0, 0.6, 0.2)
UNKNOWN_3D = "-1 -1 -1 -1000 -1000 -1000 -10"


def sniff(path: Path) -> bool:
    """A folder with ``label_02``, or text files of 17 or 18 such columns."""
    heads = (head_of(file, 4096).strip() for file in _files(path))
    fields = next(filter(None, heads), "").split("\n")[0].split()
    return len(fields) in (17, 18) and not fields[2].replace(".", "").lstrip("-").isdigit()


def _files(path: Path) -> list[Path]:
    if path.is_file():
        return [path] if path.suffix.lower() == ".txt" else []
    for folder in (path / "label_02", path / "training" / "label_02", path):
        found = files_in(folder, ".txt")
        if found:
            return found
    return []


def contained(path: Path) -> int:
    """Number of lines of all label files."""
    return sum(map(count_lines, _files(path)))


def read(path: Path, reading: Reading) -> Dataset:
    """One text file a video; the size of the picture comes from ``image_02`` or the reader."""
    files = _files(path)
    if not files:
        raise FormatError("no text files in here or in label_02", path=path)
    lines = {file: list(read_lines(file, separator=None, least=17, most=18)) for file in files}
    names = [line.fields[2] for found in lines.values() for line in found]
    classes = class_table((name for name in names if name != DONT_CARE), reading)
    root = path if path.is_dir() else path.parent
    videos = [_video(file, found, root, classes, reading) for file, found in lines.items()]
    return Dataset(classes=classes, videos=tuple(videos))


def _video(
    file: Path, lines: list[Line], root: Path, classes: tuple[str, ...], reading: Reading
) -> LabelledVideo:
    folder = file.parent.parent / "image_02" / file.stem
    files = picture_files(folder)
    inside = folder.is_relative_to(root)
    source = folder.relative_to(root).as_posix() if inside else file.stem
    size = picture_size(folder / files[0]) if files else None
    info, tags = info_for(
        source,
        root,
        reading,
        size_px=size,
        rate=reading.rate or RATE,
        num_frames=len(files) or None,
    )
    rows = Rows(file, reading, num_classes=len(classes), num_frames=info.num_frames)
    places = places_of(files, frames_of(lines, first=0), reading, file, first=0)
    for line in lines:
        with reading.taking(file, line.number):
            _add(rows, line, classes, places)
    return rows.video(
        info,
        tags,
        labelled_frames=frames_labelled(rows, info.num_frames),
        frame_files=files if inside else (),
    )


def _add(rows: Rows, line: Line, classes: tuple[str, ...], places: Places) -> None:
    name, occluded = line.fields[2], line.whole(4)
    ignore = name == DONT_CARE
    track_id = line.whole(1)
    if not ignore and name not in classes:
        raise line.fault(f"class {name!r} is not among {', '.join(classes)}")
    place = places.of(line.whole(0))
    if place is None:
        rows.reading.tally.skip(NO_PICTURE, f"{line.path}:{line.number}")
        return
    rows.add(
        place,
        (line.real(6), line.real(7), line.real(8), line.real(9)),
        line=line.number,
        track_id=NO_ID if track_id < 0 else track_id,
        label=-1 if ignore else class_number(name, classes),
        score=line.real(17, 1.0),
        visibility=VISIBILITY[occluded] if 0 <= occluded < len(VISIBILITY) else math.nan,
        ignore=ignore,
    )


def write(dataset: Dataset, path: Path, writing: Writing) -> None:
    """``label_02/<video>.txt``; an ignore region of any class becomes ``DontCare``."""
    del writing
    spaced = [name for name in dataset.classes if len(name.split()) != 1]
    if spaced:
        raise FormatError(f"class names with spaces cannot be written: {spaced}", path=path)
    folder = make_folder(path / "label_02")
    for video, name in zip(dataset.videos, stems(dataset), strict=True):
        rows = table_rows(video.tracks or TrackTable.empty())
        write_atomic(folder / f"{name}.txt", "".join(_line(row, dataset.classes) for row in rows))


def _line(row: Row, classes: tuple[str, ...]) -> str:
    name = DONT_CARE if row.ignore else classes[row.label]
    score = "" if row.score == 1 else f" {plain(row.score)}"
    corners = " ".join(map(plain, row.box_xyxy))
    start = f"{row.frame} {row.track_id} {name} 0 {_occluded(row.visibility)} -10"
    return f"{start} {corners} {UNKNOWN_3D}{score}\n"


def _occluded(visibility: float) -> int:
    if math.isnan(visibility):
        return 3
    distances = [abs(visibility - level) for level in VISIBILITY]
    return distances.index(min(distances))
