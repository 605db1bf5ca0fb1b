"""MOTChallenge 15, 16, 17 and 20: ``gt.txt`` or ``det.txt`` beside ``seqinfo.ini``.

A line is ``frame, id, left, top, width, height, conf, ...`` with frames from 1. Ten columns are
2D MOT 2015 (world coordinates, pedestrians only); seven to nine are MOT16 and later (class,
visibility). ``conf`` 0 in ground truth means "not to be considered": an ignore row. Pixel
coordinates are passed through unchanged, as TrackEval does (the files count pixels from 1).

``gt/labels.txt`` with one class name a line, as CVAT writes it, names the classes of own data.
"""

import configparser
import math
import re
from pathlib import Path

from vodkit.formats.base import Reading, Writing, class_names, info_for, rate_from, stems
from vodkit.formats.jsonfile import head_of, read_text
from vodkit.formats.pictures import NO_PICTURE, Places, picture_files, places_of
from vodkit.formats.rows import Row, Rows, frames_labelled, table_rows
from vodkit.formats.strangers import is_known_as
from vodkit.formats.textfile import (
    Line,
    count_lines,
    frames_of,
    plain,
    read_lines,
    read_names,
)
from vodkit.ground.errors import FormatError
from vodkit.ground.records import NO_ID, Dataset, LabelledVideo, TrackTable
from vodkit.ground.runs import make_folder, write_atomic

KEEPS = frozenset({"ids", "visibility", "ignore", "scores", "video", "split"})
NOT_TOLD = -1
"""conf of tracks, or class where there is only one, that a tracker did not give"""
PICTURES: str | None = "{split}/{stem}/img1/{frame1:06d}.jpg"
SPLITS = ("train", "val", "test")
MOT16_CLASSES = (
    "pedestrian", "person on vehicle", "car", "bicycle", "motorbike", "non-motorised vehicle",
    "static person", "distractor", "occluder", "occluder on the ground", "occluder full",
    "reflection", "crowd",
)  # fmt: skip
"""the class column of MOT16, MOT17 and MOT20, from 1"""
TINY = 1e-9
"""conf of a box with score 0, because conf 0 means "not to be considered" """


def sniff(path: Path) -> bool:
    """A sequence folder, a folder of them, or a text file of such lines."""
    if path.is_dir():
        return bool(_sequences(path))
    if path.suffix.lower() != ".txt":
        return False
    first = head_of(path, 4096).strip().split("\n")[0].split(",")
    if not 6 <= len(first) <= 10:
        return False
    try:
        numbers = [float(field) for field in first]
    except ValueError:
        return False
    return len(numbers) >= 6  # `read` names the line of a wrong number


def read(path: Path, reading: Reading) -> Dataset:
    """A sequence, a folder of sequences (also below train, val, test), or a single text file."""
    if path.is_file():
        found = [_Sequence(path, path, reading)]
    else:
        found = [_Sequence(_label_file(folder), path, reading) for folder in _sequences(path)]
    if not found:
        raise FormatError("no gt/gt.txt or det/det.txt in here", path=path)
    if reading.source and len(found) > 1:
        raise FormatError(
            f"holds {len(found)} sequences; --video names the video of one", path=path
        )
    classes = _class_names(found, reading)
    return Dataset(classes=classes, videos=tuple(one.video(len(classes)) for one in found))


def contained(path: Path) -> int:
    """Number of lines of all label files."""
    files = [path] if path.is_file() else [_label_file(folder) for folder in _sequences(path)]
    return sum(map(count_lines, files))


def _sequences(folder: Path) -> list[Path]:
    """Sequence folders in or below ``folder``, at most two levels down."""
    if _has_labels(folder):
        return [folder]
    below = sorted(child for child in folder.glob("*") if child.is_dir())
    further = [grandchild for child in below for grandchild in sorted(child.glob("*"))]
    return [child for child in (*below, *further) if _has_labels(child)]


def _has_labels(folder: Path) -> bool:
    return (folder / "gt" / "gt.txt").is_file() or (
        (folder / "det" / "det.txt").is_file() and not (folder / "gt" / "gt.txt").exists()
    )


def _label_file(folder: Path) -> Path:
    truth = folder / "gt" / "gt.txt"
    return truth if truth.is_file() else folder / "det" / "det.txt"


class _Sequence:
    """One label file with what stands beside it."""

    def __init__(self, file: Path, root: Path, reading: Reading) -> None:
        """Read the lines and ``seqinfo.ini``."""
        self.file, self.root, self.reading = file, root, reading
        if words := is_known_as(file):
            raise FormatError(f"not MOT: {words}", path=file)
        self.lines = list(read_lines(file, separator=",", least=6, most=10))
        in_layout = file.parent.name in ("gt", "det")
        self.folder = file.parent.parent if in_layout else file.parent
        self.seqinfo = _read_seqinfo(self.folder / "seqinfo.ini")
        self.world = any(len(line.fields) == 10 for line in self.lines)
        self.tracked = any(line.fields[1].partition(".")[0] != "-1" for line in self.lines)
        sheet = file.parent / "labels.txt"
        self.names = read_names(sheet) if sheet.is_file() else ()

    def top_class(self) -> int:
        """The largest class number (from 1)."""
        if self.world:
            return 1
        return max((line.whole(7, 1) for line in self.lines), default=1)

    def video(self, num_classes: int) -> LabelledVideo:
        """The finished record."""
        told = self.seqinfo
        length = _whole(told.get("seqlength", "0")) or None
        source, files = self._source()
        size = (
            (_whole(told["imwidth"]), _whole(told["imheight"]))
            if {"imwidth", "imheight"} <= {*told}
            else None
        )
        rate = rate_from(told["framerate"]) if "framerate" in told else None
        listed = frames_of(self.lines, first=1)
        places = places_of(files, listed, self.reading, self.file, first=1)
        length = len(files) if places.by_number is not None else length
        info, tags = info_for(
            source, self.root, self.reading, size_px=size, rate=rate, num_frames=length
        )
        rows = Rows(self.file, self.reading, num_classes=num_classes, num_frames=info.num_frames)
        for line in self.lines:
            with self.reading.taking(self.file, line.number):
                self._add(rows, line, places)
        split = self.folder.parent.name
        return rows.video(
            info,
            tags,
            split=split if split in SPLITS and self.folder != self.root else "",
            labelled_frames=frames_labelled(rows, info.num_frames),
            frame_files=files,
        )

    def _source(self) -> tuple[str, tuple[str, ...]]:
        """The folder of pictures relative to the dataset, or the video that the reader named."""
        base = self.root if self.root.is_dir() else self.root.parent
        if self.reading.source:
            return self.reading.source, ()
        pictures = self.folder / self.seqinfo.get("imdir", "img1")
        if pictures.is_dir() and pictures.is_relative_to(base):
            return pictures.relative_to(base).as_posix(), tuple(picture_files(pictures))
        if self.root.is_file():
            return self.file.stem, ()
        folder = self.folder.relative_to(base).as_posix()
        return (f"{folder}/{pictures.name}" if folder != "." else pictures.name), ()

    def _add(self, rows: Rows, line: Line, places: Places) -> None:
        left, top, width, height = (line.real(column) for column in range(2, 6))
        conf = line.real(6, 1.0)
        if not math.isfinite(conf):
            raise line.fault(f"column 7 (confidence) is {conf}; allowed: a finite number")
        frame = line.whole(0)
        if frame < 1:
            raise line.fault(f"column 1 (frame) is {frame}; allowed: 1 or more")
        number = 1 if self.world else line.whole(7, 1)
        if number == NOT_TOLD and len(self.reading.classes) == 1:
            number = 1
        visibility = math.nan if self.world else line.real(8, math.nan)
        ignore = self.tracked and conf == 0
        track_id = line.whole(1)
        if track_id < NO_ID or (track_id == NO_ID and self.tracked and not ignore):
            allowed = "0 or more, or -1 in every line (no tracks)"
            raise line.fault(f"column 2 (id) is {track_id}; allowed: {allowed}")
        place = places.of(frame - 1)
        if place is None:
            self.reading.tally.skip(NO_PICTURE, f"{self.file}:{line.number}")
            return
        rows.add(
            place,
            (left, top, left + width, top + height),
            line=line.number,
            track_id=track_id,
            label=-1 if ignore and number < 1 else number - 1,
            score=1.0 if self.tracked and (ignore or conf > 1 or conf == NOT_TOLD) else conf,
            visibility=math.nan if visibility < 0 else visibility,
            ignore=ignore,
        )


def _whole(text: str) -> int:
    """A whole number in ASCII digits; ValueError for anything else."""
    if not re.fullmatch(r"-?\d{1,12}", text.strip(), flags=re.ASCII):
        raise ValueError(f"{text[:40]!r} is not a whole number")
    return int(text)


def _read_seqinfo(path: Path) -> dict[str, str]:
    """The ``[Sequence]`` section, keys in lower case; empty where there is no file."""
    if not path.is_file():
        return {}
    parser = configparser.ConfigParser(interpolation=None)
    try:
        parser.read_string(read_text(path))
        found = dict(parser["Sequence"])
        sizes = [_whole(found.get(key, "1")) for key in ("seqlength", "imwidth", "imheight")]
        right = min(sizes) > 0
        rate_from(found.get("framerate", "1"))
    except (configparser.Error, KeyError, ValueError) as error:
        line = getattr(error, "lineno", None)
        raise FormatError(f"not a seqinfo.ini: {error!r}", path=path, line=line) from error
    if not right:
        raise FormatError("a length or size is not above 0", path=path)
    return found


def _class_names(found: list[_Sequence], reading: Reading) -> tuple[str, ...]:
    """Names for the class numbers: told, beside the file, those of the benchmark, or numbers."""
    named = [one.names for one in found if one.names]
    names = reading.classes or (max(named, key=len) if named else ())
    if names:
        return names
    if all(one.world for one in found):
        return ("pedestrian",)
    if any(re.match(r"MOT(16|17|20)-", one.folder.name) for one in found):
        return MOT16_CLASSES
    top = max(found, key=_Sequence.top_class)
    return class_names((f"class {n}" for n in range(1, top.top_class() + 1)), top.file)


def write(dataset: Dataset, path: Path, writing: Writing) -> None:
    """One folder a video: ``<split>/<name>/gt/gt.txt``, ``gt/labels.txt`` and ``seqinfo.ini``.

    A path that ends in ``.txt`` takes the lines of a single video.
    """
    if path.suffix == ".txt":
        if len(dataset.videos) != 1:
            message = f"holds one video, there are {len(dataset.videos)}; give a folder"
            raise FormatError(message, path=path)
        write_atomic(path, _lines(dataset.videos[0].tracks or TrackTable.empty()))
        return
    for video, name in zip(dataset.videos, stems(dataset), strict=True):
        folder = make_folder(path / (video.split or writing.default_split) / name)
        truth = make_folder(folder / "gt")
        write_atomic(truth / "gt.txt", _lines(video.tracks or TrackTable.empty()))
        write_atomic(truth / "labels.txt", "".join(f"{label}\n" for label in dataset.classes))
        write_atomic(folder / "seqinfo.ini", _seqinfo(video, name))


def _lines(table: TrackTable) -> str:
    return "".join(_line(row) for row in table_rows(table))


def _line(row: Row) -> str:
    x1, y1, x2, y2 = row.box_xyxy
    visibility = -1 if math.isnan(row.visibility) else row.visibility
    conf = 0 if row.ignore else max(row.score, TINY)
    numbers = (row.frame + 1, row.track_id, x1, y1, x2 - x1, y2 - y1, conf)
    number = row.label + 1 if row.label >= 0 else -1
    return ",".join(map(plain, (*numbers, number, visibility))) + "\n"


def _seqinfo(video: LabelledVideo, name: str) -> str:
    info = video.info
    rate = str(info.rate) if info.rate.denominator > 1 else str(info.rate.numerator)
    length = info.num_frames
    if length is None and video.tracks is not None and len(video.tracks):
        length = int(video.tracks.frames[-1]) + 1
    return (
        f"[Sequence]\nname={name}\nimDir=img1\nframeRate={rate}\nseqLength={length or 1}\n"
        f"imWidth={info.width_px}\nimHeight={info.height_px}\nimExt=.jpg\n"
    )
