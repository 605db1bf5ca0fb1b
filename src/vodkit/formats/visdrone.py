"""VisDrone: ``annotations/<sequence>.txt`` of videos, ``annotations/<picture>.txt`` of pictures.

VID and MOT have frames from 1 and ten columns; DET has the last eight of them, and ``images/``.

``frame, id, left, top, width, height, score, category, truncation, occlusion``. Category 0 is an
ignored region for every class; score 0 marks boxes that are not to be counted; occlusion 0, 1, 2
(none, up to half, more) become visibility 1, 0.75, 0.25, and -1 unknown. ``classes.txt`` with one
name a line names the classes of own data.
"""

import math
from pathlib import Path

from vodkit.formats.base import PICTURE_ENDINGS, Reading, Writing, info_for, stems
from vodkit.formats.jsonfile import head_of
from vodkit.formats.pictures import (
    IN_ORDER,
    NO_PICTURE,
    Places,
    picture_files,
    picture_size,
    places_of,
    still,
)
from vodkit.formats.rows import Row, Rows, frames_labelled, table_rows
from vodkit.formats.textfile import (
    Line,
    count_lines,
    frames_of,
    plain,
    read_lines,
    read_names,
)
from vodkit.ground.errors import FormatError
from vodkit.ground.paths import files_in
from vodkit.ground.records import NO_ID, Dataset, LabelledVideo, TrackTable
from vodkit.ground.runs import make_folder, write_atomic

KEEPS = frozenset({"ids", "ignore", "video"})
PICTURES: str | None = "sequences/{stem}/{frame1:07d}.jpg"
CLASSES = (
    "pedestrian", "people", "bicycle", "car", "van", "truck", "tricycle", "awning-tricycle",
    "bus", "motor", "others",
)  # fmt: skip
_OF_PICTURES = 8  # columns
VISIBILITY = (1.0, 0.75, 0.25)


def sniff(path: Path) -> bool:
    """A folder with ``annotations/*.txt`` of such columns, or one of those files."""
    if not (path.is_dir() or path.parent.name == "annotations"):
        return False
    fields = _first_line(_files(path)).split(",")
    return len(fields) in (_OF_PICTURES, 10) and fields[-1] in ("-1", "0", "1", "2")


def _files(path: Path) -> list[Path]:
    if path.is_file():
        return [path] if path.suffix.lower() == ".txt" else []
    return files_in(path / "annotations", ".txt")


def contained(path: Path) -> int:
    """Number of lines of all label files."""
    return sum(map(count_lines, _files(path)))


def read(path: Path, reading: Reading) -> Dataset:
    """One text file a video; the size of the picture comes from ``sequences`` or the reader."""
    files = _files(path)
    if not files:
        raise FormatError("no text files in annotations", path=path)
    root = path if path.is_dir() else path.parent.parent
    sheet = root / "classes.txt"
    told = read_names(sheet) if sheet.is_file() else CLASSES
    classes = reading.classes or told
    read_one = _picture if (len(_first_line(files).split(",")) == _OF_PICTURES) else _video
    videos = [read_one(file, root, path, classes, reading) for file in files]
    return Dataset(classes=classes, videos=tuple(videos))


def _first_line(files: list[Path]) -> str:
    """The first line of the first file that has one: a picture may have no object."""
    heads = (head_of(file, 4096).strip().split("\n")[0].rstrip(",\r ") for file in files)
    return next(filter(None, heads), "")


def _picture(
    file: Path, root: Path, path: Path, classes: tuple[str, ...], reading: Reading
) -> LabelledVideo:
    """One picture of DET."""
    del path
    names = [f"images/{file.stem}{ending}" for ending in PICTURE_ENDINGS]
    source = next((name for name in names if (root / name).is_file()), names[0])
    size = picture_size(root / source) or reading.size_px
    if size is None:
        raise FormatError(
            f"the picture {source} is missing; put it there, or give --size", path=file
        )
    rows = Rows(file, reading, num_classes=len(classes), num_frames=1)
    for line in read_lines(file, separator=",", least=_OF_PICTURES, most=_OF_PICTURES + 1):
        with reading.taking(file, line.number):
            _add(rows, line, first=0)
    return still(source, size, rows)


def _video(
    file: Path, root: Path, path: Path, classes: tuple[str, ...], reading: Reading
) -> LabelledVideo:
    source = f"sequences/{file.stem}"
    files = picture_files(root / source)
    size = picture_size(root / source / files[0]) if files else None
    info, tags = info_for(source, path, reading, size_px=size, num_frames=len(files) or None)
    rows = Rows(file, reading, num_classes=len(classes), num_frames=info.num_frames)
    lines = list(read_lines(file, separator=",", least=10, most=11))
    places = places_of(files, frames_of(lines, first=1), reading, file, first=1)
    for line in lines:
        with reading.taking(file, line.number):
            _add(rows, line, places=places)
    return rows.video(
        info, tags, labelled_frames=frames_labelled(rows, info.num_frames), frame_files=files
    )


def _add(rows: Rows, line: Line, *, first: int = 2, places: Places = IN_ORDER) -> None:
    """One box; ``first`` is the column of its left side: 0 where no frame and id precede it."""
    left, top, width, height = (line.real(first + column) for column in range(4))
    number, occlusion = line.whole(first + 5), line.whole(first + 7)
    track_id = line.whole(1) if first else NO_ID
    region = number == 0
    place = places.of(line.whole(0) - 1) if first else 0
    if place is None:
        rows.reading.tally.skip(NO_PICTURE, f"{line.path}:{line.number}")
        return
    rows.add(
        place,
        (left, top, left + width, top + height),
        line=line.number,
        track_id=NO_ID if region or track_id < 0 else track_id,
        label=number - 1,
        visibility=VISIBILITY[occlusion] if 0 <= occlusion < 3 else math.nan,
        ignore=region or line.real(first + 4) == 0,
    )


def write(dataset: Dataset, path: Path, writing: Writing) -> None:
    """``annotations/<video>.txt`` and ``classes.txt``."""
    del writing
    folder = make_folder(path / "annotations")
    write_atomic(path / "classes.txt", "".join(f"{name}\n" for name in dataset.classes))
    for video, name in zip(dataset.videos, stems(dataset), strict=True):
        rows = table_rows(video.tracks or TrackTable.empty())
        write_atomic(folder / f"{name}.txt", "".join(map(_line, rows)))


def _line(row: Row) -> str:
    x1, y1, x2, y2 = row.box_xyxy
    occlusion = -1
    if not math.isnan(row.visibility):
        distances = [abs(row.visibility - level) for level in VISIBILITY]
        occlusion = distances.index(min(distances))
    numbers = [row.frame + 1, row.track_id, x1, y1, x2 - x1, y2 - y1, int(not row.ignore)]
    return ",".join(map(plain, [*numbers, row.label + 1, 0, occlusion])) + "\n"
