"""CVAT for video 1.1 XML: tracks of key frames, read and written so that ids survive CVAT.

Frame numbers are those of the video file, also in tasks with a start frame and a frame step.
Between two key frames the corners move linearly; after the last one the box stays until the end
of the task; ``outside`` ends a track until its next key frame: as CVAT draws it. Only the task's
frames (start, stop, step) come out, and only they count as labelled.

CVAT numbers tracks anew on every export but keeps ``group_id``, so ids travel there: when the
groups are all different, they are the ids, and tracks that a person added get fresh ones.
"""

import math
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from vodkit.formats.base import (
    Reading,
    Rows,
    Writing,
    info_for,
    labelled_frames,
    relative_source,
    stems,
)
from vodkit.formats.jsonfile import head_of
from vodkit.formats.keyframes import interpolate, key_rows, runs
from vodkit.formats.textfile import plain
from vodkit.formats.xmlfile import Element, read_xml, tag
from vodkit.ground.arrays import BoolArray, FloatArray, IntArray
from vodkit.ground.errors import FormatError
from vodkit.ground.records import NO_ID, Dataset, LabelledVideo, State, TrackTable
from vodkit.ground.runs import make_folder, write_atomic

KEEPS = frozenset({"ids", "video"})
PICTURES: str | None = None
PARTLY_HIDDEN = 0.5
"""visibility of an ``occluded`` box; the file does not say how much of it is hidden"""
MOST_FRAMES = 1_000_000
"""a longer task is a broken file, not a video"""


def sniff(path: Path) -> bool:
    """An XML file with ``<annotations>`` and ``<track``, or a folder of only such files."""
    if path.is_dir():
        files = sorted(path.glob("*.xml"))
        return bool(files) and _looks_right(files[0])
    return path.suffix.lower() == ".xml" and _looks_right(path)


def _looks_right(path: Path) -> bool:
    head = head_of(path)
    return "<annotations" in head and ("<track" in head or "<meta" in head)


def read(path: Path, reading: Reading) -> Dataset:
    """One XML file a video, or a folder of them."""
    files = sorted(path.glob("*.xml")) if path.is_dir() else [path]
    trees = [_task(read_xml(file)) for file in files]
    if not trees:
        raise FormatError("no XML files in here", path=path)
    names = list(dict.fromkeys(name for task in trees for name in task.class_names))
    classes = reading.classes or tuple(names)
    return Dataset(classes=classes, videos=tuple(_video(t, classes, reading) for t in trees))


@dataclass(frozen=True)
class _Task:
    """What ``<meta>`` says, and the tracks."""

    tree: Element
    source: str
    size_px: tuple[int, int] | None
    start: int
    stop: int | None
    step: int
    class_names: list[str]

    def frames(self, last: int) -> IntArray:
        """The frames of the task, in the video's own numbers."""
        stop = last if self.stop is None else self.stop
        if stop > MOST_FRAMES:
            raise self.tree.fault(f"stop frame {stop}; allowed: up to {MOST_FRAMES}")
        return np.arange(self.start, stop + 1, self.step)


def _task(tree: Element) -> _Task:
    """The task or job that a file was exported from."""
    meta = tree.find("meta")
    if tree.name != "annotations":
        raise tree.fault("not a CVAT file: allowed is <annotations>")
    picture = tree.find("image")
    if picture is not None:
        raise picture.fault("CVAT for images, which has no tracks; export it as CVAT for video 1.1")
    task = (meta.find("task") or meta.find("job")) if meta is not None else None
    tracks = list(tree.all("track"))
    names = [] if task is None else _label_names(task)
    names += [track.words("label") for track in tracks]
    size = (meta.find("original_size") if meta is not None else None) or (
        task.find("original_size") if task is not None else None
    )
    size_px = None
    if size is not None:
        size_px = (size.need("width").text_whole(), size.need("height").text_whole())
    return _Task(
        tree=tree,
        source=_source(tree, meta, task),
        size_px=size_px,
        start=_number(task, "start_frame") or 0,
        stop=_number(task, "stop_frame"),
        step=_step(task),
        class_names=list(dict.fromkeys(names)),
    )


def _label_names(task: Element) -> list[str]:
    found = task.find("labels")
    return [label.need("name").text for label in found.all("label")] if found is not None else []


def _number(task: Element | None, name: str) -> int | None:
    found = task.find(name) if task is not None else None
    if found is None or not found.text:
        return None
    number = found.text_whole()
    if number < 0:
        raise found.fault(f"is {number}; allowed: 0 or more")
    return number


def _step(task: Element | None) -> int:
    found = task.find("frame_filter") if task is not None else None
    match = re.search(r"step\s*=\s*(\d{1,6})", found.text if found is not None else "")
    return max(1, int(match.group(1))) if match else 1


def _source(tree: Element, meta: Element | None, task: Element | None) -> str:
    """The video that CVAT was given: its file name, without the folders it had there."""
    for place, name in ((meta, "source"), (task, "source"), (task, "name")):
        found = place.find(name) if place is not None else None
        if found is not None and found.text:
            text = found.text.replace("\\", "/").rsplit("/", 1)[-1]
            return relative_source(text, tree.path, line=found.line)
    return tree.path.stem


def _video(task: _Task, classes: tuple[str, ...], reading: Reading) -> LabelledVideo:
    tree = task.tree
    source = reading.source or task.source
    info, tags = info_for(source, tree.path, reading, size_px=task.size_px)
    rows = Rows(tree.path, reading, num_classes=len(classes), num_frames=info.num_frames)
    tracks = list(tree.all("track"))
    ids = _track_ids(tracks)
    listed = [box.whole("frame") for track in tracks for box in track.all("box")]
    frames = task.frames(max(listed, default=-1))
    for track, track_id in zip(tracks, ids, strict=True):
        try:
            _add(rows, track, track_id, classes, frames)
        except FormatError as fault:
            reading.fault(fault)
    whole = task.step == 1 and task.start == 0
    if info.num_frames is not None:
        whole = whole and len(frames) >= info.num_frames
    return LabelledVideo(
        source=source,
        info=info,
        tracks=rows.table(info.rate),
        labelled_frames=None if whole else frames,
        tags=tags,
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


def _add(
    rows: Rows, track: Element, track_id: int, classes: tuple[str, ...], frames: IntArray
) -> None:
    """The boxes of one track in all frames in which CVAT draws it."""
    name = track.words("label")
    if name not in classes:
        raise track.fault(f"class {name!r} is not among {', '.join(classes)}")
    boxes = sorted(track.all("box"), key=lambda box: box.whole("frame"))
    if not boxes:
        return
    places = np.array([box.whole("frame") for box in boxes])
    if len(np.unique(places)) < len(places):
        raise track.fault("two boxes of one track in the same frame")
    keys = ("xtl", "ytl", "xbr", "ybr")
    corners = np.array([[box.real(key) for key in keys] for box in boxes])
    odd = np.flatnonzero(~np.isfinite(corners).all(axis=1))
    if len(odd):  # it would spoil all boxes up to the key frames beside it
        raise boxes[int(odd[0])].fault("a corner is not finite")
    drawn = _drawn_frames(
        places, np.array([box.words("outside", "0") == "1" for box in boxes]), frames
    )
    which = np.searchsorted(places, drawn, side="right") - 1
    for frame, row, corner in zip(
        drawn.tolist(), which.tolist(), interpolate(places, corners, drawn).tolist(), strict=True
    ):
        hidden = boxes[row].words("occluded", "0") == "1"
        rows.add(
            frame,
            tuple(corner),
            line=boxes[row].line,
            track_id=track_id,
            label=classes.index(name),
            visibility=PARTLY_HIDDEN if hidden else math.nan,
        )


def _drawn_frames(places: IntArray, outside: BoolArray, frames: IntArray) -> IntArray:
    """The task's frames in which the track is inside: the last key frame before is not outside.

    A box in a frame that the task does not have is kept where it is, to be found by an audit.
    """
    wanted = np.union1d(frames, places)
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
    assert table.ignore is not None
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
    hidden = _hidden(table)
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


def _hidden(table: TrackTable) -> BoolArray:
    """Rows to be drawn as occluded: half hidden or more, or not seen by the detector."""
    assert table.visibility is not None
    assert table.states is not None
    half = np.nan_to_num(table.visibility, nan=1.0) <= PARTLY_HIDDEN
    return np.asarray(half | (table.states == State.PREDICTED))


def _quoted(text: str) -> str:
    from xml.sax.saxutils import quoteattr

    return quoteattr(text)


def _box(frame: int, box: FloatArray, *, outside: bool = False, occluded: bool = False) -> str:
    x1, y1, x2, y2 = (plain(value) for value in box.tolist())
    flags = f'outside="{outside:d}" occluded="{occluded:d}" keyframe="1"'
    corners = f'xtl="{x1}" ytl="{y1}" xbr="{x2}" ybr="{y2}"'
    return f'<box frame="{frame}" {flags} {corners} z_order="0"></box>'
