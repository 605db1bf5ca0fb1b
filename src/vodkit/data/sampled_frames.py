"""Pictures of sampled frames, for any labelling tool, and the way back to their videos.

``frames.csv`` beside the pictures says which frame of which video each picture is. Labels of the
pictures become labels of the videos again, with the container's times; so frames of one video
stay on one side of a split.
"""

import csv
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from xml.sax.saxutils import quoteattr

import cv2
import numpy as np

from vodkit.data.audit.video_scan import probe
from vodkit.data.export import JPEG_QUALITY, frames_of
from vodkit.data.worth_labelling import Chosen
from vodkit.formats.base import is_still
from vodkit.ground.csv_tables import write_csv
from vodkit.ground.errors import FormatError, InputError, OutputError
from vodkit.ground.paths import relative, shortened
from vodkit.ground.records import NO_ID, Dataset, LabelledVideo, TrackTable
from vodkit.ground.runs import write_atomic
from vodkit.ground.text import csv_rows

FRAMES = "frames.csv"
COLUMNS = ("picture", "video", "frame", "time_s")


@dataclass(frozen=True)
class Sampled:
    """One picture of a frame."""

    picture: str
    video: str
    frame: int
    time_s: float


def write_pictures(chosen: Sequence[Chosen], folder: Path) -> list[Sampled]:
    """Decode the chosen frames to JPEG files in ``folder``, and list them in ``frames.csv``.

    Args:
        chosen: frames by video.
        folder: an existing, empty folder.

    Returns:
        One row a picture.

    Raises:
        OutputError: a picture cannot be written.
    """
    rows = []
    stems = _stems([one.source for one in chosen])
    for one, stem in zip(chosen, stems, strict=True):
        for frame in frames_of(Path(one.source), one.frames.tolist()):
            name = f"{stem}_{frame.index:06d}.jpg"
            quality = [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY]
            done, content = cv2.imencode(".jpg", frame.image[:, :, ::-1], quality)
            if not done:
                raise OutputError("the picture cannot be written", path=folder / name)
            (folder / name).write_bytes(content.tobytes())
            rows.append(Sampled(name, _seen_from(folder, one.source), frame.index, frame.time_s))
    lines = [(row.picture, row.video, row.frame, f"{row.time_s:.6f}") for row in rows]
    write_csv(folder / FRAMES, COLUMNS, lines)
    return rows


def _seen_from(folder: Path, source: str) -> str:
    """A path relative to ``folder``, so that both can be moved together; else absolute."""
    place = Path(source).resolve()
    try:
        return relative(place, folder.resolve())
    except InputError:  # on another drive of Windows
        return place.as_posix()


def _stems(sources: Sequence[str]) -> list[str]:
    """A different beginning of file names for each video.

    >>> _stems(["a/x.mp4", "b/x.mp4"])
    ['x', 'x-2']
    """
    names: list[str] = []
    for source in sources:
        stem = shortened(PurePosixPath(source.replace("\\", "/")).stem)
        taken = {name.lower() for name in names}
        numbers = (f"{stem}-{number}" for number in range(2, len(sources) + 2))
        names.append(next(name for name in (stem, *numbers) if name.lower() not in taken))
    return names


def write_templates(rows: Sequence[Sampled], classes: Sequence[str], folder: Path) -> list[str]:
    """What CVAT and Label Studio need to set up the task; names of the files, and what they are.

    ``cvat-labels.json`` goes into the "Raw" field of CVAT's constructor of labels; the pictures
    are the task's data. ``label-studio-config.xml`` is the labelling interface, and
    ``label-studio-tasks.json`` the tasks, for a local storage whose root is the folder's parent.
    """
    labels = [{"name": name, "attributes": []} for name in classes]
    write_atomic(folder / "cvat-labels.json", json.dumps(labels, indent=2, ensure_ascii=False))
    values = "".join(f"    <Label value={quoteattr(name)}/>\n" for name in classes)
    write_atomic(
        folder / "label-studio-config.xml",
        '<View>\n  <Image name="image" value="$image"/>\n'
        f'  <RectangleLabels name="label" toName="image">\n{values}  </RectangleLabels>\n</View>\n',
    )
    local = f"/data/local-files/?d={folder.resolve().name}/"
    tasks = [{"data": {"image": f"{local}{row.picture}"}} for row in rows]
    write_atomic(folder / "label-studio-tasks.json", json.dumps(tasks, indent=1))
    return ["cvat-labels.json", "label-studio-config.xml", "label-studio-tasks.json"]


def read_frames_table(path: Path) -> list[Sampled]:
    """The rows of a ``frames.csv``.

    Raises:
        FormatError: not such a file; the line is named.
    """
    try:
        lines = csv_rows(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise FormatError(f"cannot read it: {error}", path=path) from error
    if not lines or tuple(lines[0]) != COLUMNS:
        raise FormatError(f"line 1: expected the columns {', '.join(COLUMNS)}", path=path)
    rows, names = [], set[str]()
    for number, line in enumerate(lines[1:], 2):
        try:
            picture, video, frame, time_s = line
            row = Sampled(picture, video, int(frame), float(time_s))
        except ValueError as error:
            seen = f"line {number} is {','.join(line)!r}"
            raise FormatError(f"{seen}; expected {', '.join(COLUMNS)}", path=path) from error
        if row.frame < 0 or not np.isfinite(row.time_s) or picture in names:
            raise FormatError(
                f"line {number}: frame {row.frame}, time {row.time_s}, picture {picture!r};"
                " expected: frame from 0, a finite time, each picture once",
                path=path,
            )
        names.add(picture)
        rows.append(row)
    return rows


def onto_videos(dataset: Dataset, table: Path, *, relative_to: Path) -> Dataset:
    """Labels of sampled pictures as labels of their videos.

    Args:
        dataset: still pictures; their file names are those in ``table``.
        table: the ``frames.csv`` that ``data sample`` wrote; its videos are relative to it.
        relative_to: folder of the dataset file to be written.

    Returns:
        One video for each that pictures were taken of, only those frames labelled.

    Raises:
        InputError: a picture that is not in the table, or a video that does not exist.
    """
    rows = {row.picture: row for row in read_frames_table(table)}
    found: dict[str, list[tuple[Sampled, LabelledVideo]]] = {}
    for video in dataset.videos:
        name = PurePosixPath(video.source).name
        if name not in rows or not is_still(video):
            raise InputError(f"{video.source}: not a picture of {table}; import it on its own")
        found.setdefault(rows[name].video, []).append((rows[name], video))
    videos = tuple(
        _as_video(source, pairs, root=table.parent, relative_to=relative_to)
        for source, pairs in found.items()
    )
    return Dataset(classes=dataset.classes, videos=videos)


def _as_video(
    source: str, pairs: list[tuple[Sampled, LabelledVideo]], *, root: Path, relative_to: Path
) -> LabelledVideo:
    path = root / source
    info = probe(path)
    if info is None:
        raise InputError(f"{path}: the video of {pairs[0][0].picture} cannot be opened")
    tables = []
    for row, still in pairs:
        size, own = (info.width_px, info.height_px), (still.info.width_px, still.info.height_px)
        if size != own:
            raise InputError(
                f"{still.source} has {own[0]}x{own[1]} px, {source} {size[0]}x{size[1]}"
            )
        boxes = still.tracks or TrackTable.empty()
        tables.append(
            TrackTable(
                frames=np.full(len(boxes), row.frame),
                times_s=np.full(len(boxes), row.time_s),
                ids=np.full(len(boxes), NO_ID),
                boxes_xyxy=boxes.boxes_xyxy,
                labels=boxes.labels,
                scores=boxes.scores,
                visibility=boxes.visibility,
                ignore=boxes.ignore,
            )
        )
    labelled = [row.frame for row, still in pairs if still.tracks is not None]
    return LabelledVideo(
        source=_seen_from(relative_to, str(path)),
        info=info,
        tracks=TrackTable.concat(tables),
        labelled_frames=np.array(labelled, np.int64),
    )
