"""CVAT for video 1.1 and CVAT for images 1.1, read and written so that ids survive CVAT.

Frame numbers are those of the video file, also in tasks with a start frame and a frame step.
Between two key frames the corners (and the turn of a rotated box) move linearly; after the last one
the box stays until the end of the task; ``outside`` ends a track until its next key frame: as CVAT
draws it. Only the task's frames (start, stop, step) come out, and only they count as labelled.

Boxes are kept; rotated boxes, polygons, polylines, ellipses, cuboids, masks, skeletons and points
become their upright hulls. A project export holds several tasks, each a video of its own.

CVAT numbers tracks anew on every export but keeps ``group_id``, so ids travel there: when the
groups are all different, they are the ids, and tracks that a person added get fresh ones.
"""

import math
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

import numpy as np

from vodkit.formats.base import Reading, Writing, class_names, info_for, relative_source, stems
from vodkit.formats.cvat_tasks import (
    Keys,
    Task,
    body_lengths,
    box_of,
    require_different,
    shapes_of,
    tasks_of,
)
from vodkit.formats.jsonfile import head_of
from vodkit.formats.keyframes import key_rows, runs
from vodkit.formats.pictures import class_number, still
from vodkit.formats.rows import Rows, labelled_frames
from vodkit.formats.shapes import PointBoxes
from vodkit.formats.textfile import plain
from vodkit.formats.xmlfile import Element, read_xml, tag
from vodkit.ground.arrays import BoolArray, FloatArray, IntArray
from vodkit.ground.errors import FormatError
from vodkit.ground.paths import files_in, there
from vodkit.ground.records import NO_ID, Dataset, LabelledVideo, State, TrackTable
from vodkit.ground.runs import make_folder, write_atomic

KEEPS = frozenset({"ids", "video"})
PICTURES: str | None = None
PARTLY_HIDDEN = 0.5
"""visibility of an ``occluded`` box; the file does not say how much of it is hidden"""
SPLITS = {"train": "train", "val": "val", "validation": "val", "test": "test"}
"""subsets of CVAT that are sides of a split"""


def sniff(path: Path) -> bool:
    """An XML file with ``<annotations>`` and ``<track``, or a folder of only such files."""
    files = _files(path)[:1]
    return bool(files) and _looks_right(files[0])


def _files(path: Path) -> list[Path]:
    if path.is_dir():
        return files_in(path, ".xml")
    return [path] if path.suffix.lower() == ".xml" else []


def _looks_right(path: Path) -> bool:
    head = head_of(path)
    return "<annotations" in head and any(f"<{x}" in head for x in ("track", "meta", "image"))


def contained(path: Path) -> int:
    """Number of shapes and tags of all tracks and images; another element counts as one."""
    tops = [top for file in _files(path) for top in read_xml(file).children]
    return sum(
        sum(child.name != "attribute" for child in top.children)
        if top.name in ("track", "image")
        else top.name not in ("version", "meta")
        for top in tops
    )


def read(path: Path, reading: Reading) -> Dataset:
    """One XML file of one task, one job, or all tasks of a project; or a folder of them."""
    files = _files(path)
    if not files:
        raise FormatError("no XML files in this folder", path=path)
    tasks = [task for file in files for task in tasks_of(read_xml(file), reading)]
    if reading.source and len(tasks) > 1:
        known = ", ".join(task.source for task in tasks)
        message = f"holds {len(tasks)} tasks ({known}): --video is for one; use --videos FOLDER"
        raise FormatError(message, path=path)
    require_different(tasks, path)
    names = list(dict.fromkeys(name for task in tasks for name in task.class_names))
    classes = reading.classes or class_names(names, path)
    videos = [video for task in tasks for video in _videos(task, classes, reading)]
    return Dataset(classes=classes, videos=tuple(videos))


def _videos(task: Task, classes: tuple[str, ...], reading: Reading) -> Iterator[LabelledVideo]:
    """The video of a task, or its pictures."""
    points = PointBoxes(reading.box_size, body_lengths(task, reading))
    for stray in task.strays:
        reading.tally.skip(f"unknown element <{stray.name[:40]}>", f"{stray.path}:{stray.line}")
    if task.tracks or not task.images or task.is_video:
        yield _video(task, classes, reading, points)
        return
    for image in task.images:
        name = _picture(image)
        size = (image.whole("width"), image.whole("height"))
        rows = Rows(image.path, reading, num_classes=len(classes), num_frames=1)
        _add_image(rows, image, 0, classes, points)
        split = SPLITS.get(image.words("subset", "").lower(), "")
        yield still(name, size, rows, split=split)


def _picture(image: Element) -> str:
    """The picture's file, where exports "with images" put it, or under its own name."""
    name = relative_source(image.words("name"), image.path, line=image.line)
    subset = image.words("subset", "")
    tries = [name, f"images/{name}", *([f"images/{subset}/{name}"] if subset else [])]
    found = [one for one in tries if there(image.path.parent / one).is_file()]
    if not found or any(".." in one.split("/") for one in found):
        return name
    if len(found) > 1:
        raise image.fault(f"picture {name!r} could be {' or '.join(found)}; remove one")
    return PurePosixPath(found[0]).with_name(there(image.path.parent / found[0]).name).as_posix()


def _video(
    task: Task, classes: tuple[str, ...], reading: Reading, points: PointBoxes
) -> LabelledVideo:
    tree = task.tree
    source = reading.source or task.source
    info, tags = info_for(source, tree.path, reading, size_px=task.size_px)
    rows = Rows(tree.path, reading, num_classes=len(classes), num_frames=info.num_frames)
    ids = _track_ids(task.tracks)
    listed = [shape.whole("frame", -1) for track in task.tracks for shape in shapes_of(track)]
    frames = task.frames(max(listed, default=-1))
    for track, track_id in zip(task.tracks, ids, strict=True):
        keys = shapes_of(track)
        try:
            _add(rows, track, track_id, classes, frames=frames, points=points)
        except FormatError as fault:
            reading.refuse(fault, len(keys))
    labelled = None if task.step == 1 and task.start == 0 and not task.images else frames
    if labelled is None and info.num_frames is not None and len(frames) < info.num_frames:
        labelled = frames
    if task.images:
        pictured = [task.frame_of(image) for image in task.images]
        labelled = np.union1d(pictured, frames) if task.tracks else np.unique(pictured)
        for image, frame in zip(task.images, pictured, strict=True):
            _add_image(rows, image, frame, classes, points)
    return rows.video(
        info, tags, labelled_frames=labelled, split=SPLITS.get(task.subset.lower(), "")
    )


def _track_ids(tracks: list[Element]) -> list[int]:
    """Ids from the groups when those are all different, else CVAT's own numbers plus 1."""
    groups = [track.whole("group_id", 0) for track in tracks]
    used = [group for group in groups if group > 0]
    if not used or len(set(used)) < len(used):
        return [track.whole("id", number) + 1 for number, track in enumerate(tracks)]
    fresh = max(used)
    ids = []
    for group in groups:
        fresh += group <= 0
        ids.append(group if group > 0 else fresh)
    return ids


def _add_image(
    rows: Rows, image: Element, frame: int, classes: tuple[str, ...], points: PointBoxes
) -> None:
    """The shapes of one picture."""
    for shape in shapes_of(image):
        with rows.reading.taking(shape.path, shape.line):
            box, how = box_of(shape, points)
            label = class_number(shape.words("label"), classes)
            if label == len(classes):
                known = ", ".join(classes)
                raise shape.fault(f"class {shape.words('label')!r} is not among {known}")
            hidden = PARTLY_HIDDEN if shape.words("occluded", "0") == "1" else math.nan
            rows.add(frame, box, line=shape.line, label=label, visibility=hidden, how=how)


def _add(
    rows: Rows,
    track: Element,
    track_id: int,
    classes: tuple[str, ...],
    *,
    frames: IntArray,
    points: PointBoxes,
) -> None:
    """The boxes of one track in all frames in which CVAT draws it."""
    name = track.words("label")
    if name not in classes:
        raise track.fault(f"class {name!r} is not among {', '.join(classes)}")
    keys = sorted(shapes_of(track), key=lambda shape: shape.whole("frame"))
    if not keys:
        return
    places = np.array([key.whole("frame") for key in keys])
    if len(np.unique(places)) < len(places):
        raise track.fault("two boxes of one track in the same frame")
    if places[0] < 0:
        raise keys[0].fault(f"frame {places[0]}; allowed: 0 or more")
    path = Keys.of(keys, points)
    drawn = _drawn_frames(places, path.outside, frames)
    rows.require_room(len(drawn), track.line)
    which = np.searchsorted(places, drawn, side="right") - 1
    hidden = np.array([key.words("occluded", "0") == "1" for key in keys])[which]
    rows.draw(
        drawn,
        path.boxes_at(places, drawn),
        line=track.line,
        track_id=track_id,
        label=classes.index(name),
        visibility=np.where(hidden, PARTLY_HIDDEN, np.nan),
    )
    for how, reason, key in zip(path.hows, path.reasons, keys, strict=True):
        if reason:
            rows.reading.tally.skip(reason, f"{key.path}:{key.line}")
        else:
            rows.take(how)


def _drawn_frames(places: IntArray, outside: BoolArray, frames: IntArray) -> IntArray:
    """The task's frames in which the track is inside: the last key frame before is not outside.

    A box in a frame that the task does not have is kept at its place, to be found by an audit.
    """
    at = np.searchsorted(frames, places)
    inside = np.isin(places, frames[at[at < len(frames)]])
    wanted = np.insert(frames, at[~inside], places[~inside])  # np.union1d is slow on long tasks
    before = np.searchsorted(places, wanted, side="right") - 1
    return wanted[(before >= 0) & ~outside[before]]


def write(dataset: Dataset, path: Path, writing: Writing) -> None:
    """One XML file; for several videos a folder with one each. Ignore rows are left out."""
    if path.suffix.lower() == ".xml":
        if len(dataset.videos) != 1:
            message = f"holds one video, there are {len(dataset.videos)}; give a folder"
            raise FormatError(message, path=path)
        write_atomic(path, _xml(dataset.videos[0], dataset.classes, writing))
        return
    make_folder(path)
    for video, name in zip(dataset.videos, stems(dataset), strict=True):
        write_atomic(path / f"{name}.xml", _xml(video, dataset.classes, writing))


def _xml(video: LabelledVideo, classes: tuple[str, ...], writing: Writing) -> str:
    frames = np.array(labelled_frames(video), np.int64)
    steps = np.unique(np.diff(frames))
    step = int(steps[0]) if len(steps) == 1 else 1
    start, stop = (int(frames[0]), int(frames[-1])) if len(frames) else (0, 0)
    if len(steps) > 1:
        start = 0
    lines = ['<?xml version="1.0" encoding="utf-8"?>', "<annotations>", tag("version", "1.1")]
    name = Path(video.source).name
    lines += ["<meta>", "<task>", tag("name", name), tag("size", (stop - start) // step + 1)]
    lines += [tag("mode", "interpolation"), tag("start_frame", start), tag("stop_frame", stop)]
    lines += [tag("frame_filter", f"step={step}" if step > 1 else ""), "<labels>"]
    lines += [f"<label>{tag('name', label)}<attributes></attributes></label>" for label in classes]
    lines += ["</labels>", "<original_size>", tag("width", video.info.width_px)]
    lines += [tag("height", video.info.height_px), "</original_size>", "</task>"]
    lines += [tag("source", name), "</meta>"]
    table = video.tracks or TrackTable.empty()
    for number, (track_id, rows) in enumerate(track_rows(table)):
        lines += _track(table[rows], number, track_id, classes, writing, step=step, stop=stop)
    return "\n".join([*lines, "</annotations>\n"])


def track_rows(table: TrackTable) -> list[tuple[int, IntArray]]:
    """(id, rows) of each track, one class each; a box without an id is a track of its own.

    A track that changes its class is cut there: labelling tools give a track one class. The
    first part keeps the id, the others come without one.
    """
    found: list[tuple[int, IntArray]] = []
    kept = np.flatnonzero(~table.ignore)
    for track_id in np.unique(table.ids[kept]).tolist():
        rows = kept[table.ids[kept] == track_id]
        if track_id == NO_ID:
            found += [(NO_ID, rows[index : index + 1]) for index in range(len(rows))]
            continue
        cuts = np.flatnonzero(np.diff(table.labels[rows])) + 1
        parts = np.split(rows, cuts)
        found += [(track_id if not n else NO_ID, part) for n, part in enumerate(parts)]
    return found


def _track(
    table: TrackTable,
    number: int,
    track_id: int,
    classes: tuple[str, ...],
    writing: Writing,
    *,
    step: int,
    stop: int,
) -> list[str]:
    """One ``<track>`` with key frames, and an outside box wherever it pauses or ends."""
    label, group = classes[int(table.labels[0])], max(track_id, 0)
    start = f'<track id="{number}" label={_quoted(label)} source="auto" group_id="{group}">'
    lines = [start]
    half = np.nan_to_num(table.visibility, nan=1.0) <= PARTLY_HIDDEN
    hidden = np.asarray(half | (table.states == State.PREDICTED))
    for run in runs(table.frames, step=step):
        frames, boxes = table.frames[run], table.boxes_xyxy[run]
        keys = key_rows(frames, boxes, tolerance_px=writing.tolerance_px)
        changes = np.flatnonzero(np.diff(hidden[run].astype(np.int8))) + 1
        lines += [
            _box(int(frames[row]), boxes[row], occluded=bool(hidden[run][row]))
            for row in np.union1d(keys, changes).tolist()
        ]
        end = int(frames[-1]) + step
        if end <= stop:
            lines.append(_box(end, boxes[-1], outside=True))
    return [*lines, "</track>"]


def _quoted(text: str) -> str:
    from xml.sax.saxutils import quoteattr

    return quoteattr(text)


def _box(frame: int, box: FloatArray, *, outside: bool = False, occluded: bool = False) -> str:
    x1, y1, x2, y2 = (plain(value) for value in box.tolist())
    flags = f'outside="{outside:d}" occluded="{occluded:d}" keyframe="1"'
    corners = f'xtl="{x1}" ytl="{y1}" xbr="{x2}" ybr="{y2}"'
    return f'<box frame="{frame}" {flags} {corners} z_order="0"></box>'
