"""Label Studio JSON: video tracks as key frames in per cent, and regions of pictures.

A region of type ``videorectangle`` is a track: ``sequence`` holds key frames (``frame`` from 1,
``x y width height`` in per cent of the picture, ``rotation`` in degrees about the top left corner,
``enabled``). Between key frames the box moves linearly; a key frame with ``enabled`` false is still
drawn itself and ends the track until the next one; after the last enabled key frame the box stays
until the end, as the player draws it.

Label Studio counts frames with the rate of its own configuration (default 24), not with the
video's: ``framesCount / duration`` is that rate. Where it differs from the video's, frames are
found by their time. Where no rate is known, it is taken for the video's.

Rectangles of pictures are boxes; polygons, ellipses, brush masks and rotated rectangles become
their upright hulls, key points boxes of ``--box-size``. Of several annotations of one task the
first that is not cancelled counts.
"""

import json
import math
import re
from fractions import Fraction
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlparse

import numpy as np

from vodkit.formats.base import (
    MOST_FRAMES,
    Reading,
    Writing,
    class_names,
    info_for,
    relative_source,
)
from vodkit.formats.cvat import track_rows
from vodkit.formats.jsonfile import Node, head_of, read_json
from vodkit.formats.keyframes import interpolate, key_rows, runs
from vodkit.formats.label_studio_tasks import (
    VIDEO,
    Region,
    Task,
    bearable_count,
    num_objects,
    own_rate,
    require_known,
    still_box,
    task_of,
)
from vodkit.formats.pictures import picture_size, still
from vodkit.formats.rows import Rows, labelled_frames
from vodkit.formats.shapes import ROTATED, PointBoxes, turned_about_corner
from vodkit.ground.arrays import FloatArray
from vodkit.ground.records import NO_ID, Dataset, LabelledVideo, TrackTable
from vodkit.ground.runs import write_atomic

KEEPS = frozenset({"ids", "video"})
PICTURES: str | None = None
SAME_RATE = 1e-3
"""relative difference below which two rates are the same one, rounded"""
ID_PREFIX = "track_"
"""regions of ours are called ``track_7``; Label Studio keeps the names of regions"""


def sniff(path: Path) -> bool:
    """A JSON file of tasks with annotations or predictions that have results."""
    if path.suffix.lower() != ".json":
        return False
    head = head_of(path, 1 << 20)
    tasks = '"annotations"' in head or '"predictions"' in head
    return tasks and '"result"' in head and '"data"' in head


def contained(path: Path) -> int:
    """Number of regions and other results of all annotations and predictions of all tasks."""
    content = read_json(path).value
    return sum(map(num_objects, content if isinstance(content, list) else [content]))


def read(path: Path, reading: Reading) -> Dataset:
    """Every task as a video, or as a picture."""
    content = read_json(path)
    nodes = list(content.items()) if isinstance(content.value, list) else [content]
    tasks: list[Task] = []
    for node in nodes:
        if not isinstance(node.value, dict):
            raise node.fault("allowed: a task, which is an object")
        with reading.taking(path, node.line, count=_count_if_sound(node)):
            tasks.append(task_of(node, reading))
    names = dict.fromkeys(region.label for task in tasks for region in task.regions)
    classes = reading.classes or class_names(names, path)
    points = PointBoxes(reading.box_size, ())
    videos = []
    for task in tasks:
        if task.is_video:
            videos.append(_video(task, classes, reading))
        elif task.regions or task.labelled:
            videos.append(_picture(task, classes, reading, points))
    return Dataset(classes=classes, videos=tuple(videos))


def _count_if_sound(node: Node) -> int:
    try:
        return num_objects(node.value)
    except (AttributeError, TypeError):
        return 1


def _picture(
    task: Task, classes: tuple[str, ...], reading: Reading, points: PointBoxes
) -> LabelledVideo:
    """A picture with its regions."""
    node = task.node
    source = _source(node, "image")
    known = [r.node for r in task.regions if "original_width" in r.node]
    size = picture_size(node.path.parent / source) or reading.size_px
    if known:
        size = (known[0].integer("original_width"), known[0].integer("original_height"))
    if size is None:
        raise node.fault(
            f"the size of {source} is not known; put the picture beside, or give --size"
        )
    rows = Rows(node.path, reading, num_classes=len(classes), num_frames=1)
    for region in task.regions:
        with reading.taking(node.path, region.node.line):
            box, how = still_box(region, size, points)
            label = require_known(region, classes)
            rows.add(0, box, line=region.node.line, label=label, how=how)
    return still(source, size, rows)


def _video(task: Task, classes: tuple[str, ...], reading: Reading) -> LabelledVideo:
    node = task.node
    source = reading.source or _source(node, "video")
    regions = [region for region in task.regions if region.kind == VIDEO]
    for region in task.regions:
        if region.kind != VIDEO:
            place = f"{node.path}:{region.node.line()}"
            reading.tally.skip(f"region of type {region.kind!r} in a video", place)
    info, tags = info_for(source, node.path, reading)
    own = own_rate(regions, None if "rate" in tags else info.rate)
    if "rate" in tags and own is not None:
        info, tags = info_for(source, node.path, reading, rate=own)
    per_frame = 1.0
    if own is not None and abs(own / info.rate - 1) > SAME_RATE:
        per_frame = float(own / info.rate)
        tags["label_studio_rate"] = str(own)
    rows = Rows(node.path, reading, num_classes=len(classes), num_frames=info.num_frames)
    counts = [bearable_count(region, MOST_FRAMES) for region in regions]
    longest = max((math.floor((count - 1) / per_frame) for count in counts), default=-1)
    last = longest if info.num_frames is None else info.num_frames - 1
    for region, track_id in zip(regions, _track_ids(regions), strict=True):
        with reading.taking(node.path, region.node.line):
            label = require_known(region, classes)
            size_px = (info.width_px, info.height_px)
            _add(rows, region, track_id, label, size_px, per_frame=per_frame, last=last)
            rows.take(ROTATED if any(turn % 360 for turn in region.degrees) else "")
    return LabelledVideo(
        source=source,
        info=info,
        tracks=rows.table(info.rate) if task.labelled else None,
        tags=tags,
    )


def _source(task: Node, kind: str) -> str:
    """The file name in ``data``, without the upload's folders, host or query.

    Uploads get eight digits in front of their names; the file may be there without.
    """
    if "data" not in task:
        return kind
    data = task.at("data")
    if not isinstance(data.value, dict):
        raise data.fault("allowed: an object")
    text = data.words(kind, "") or next(
        (value for value in data.value.values() if isinstance(value, str)), kind
    )
    local = urlparse(text)
    name = local.query.rpartition("d=")[2] if local.query.startswith("d=") else local.path
    short = unquote(name).replace("\\", "/").rsplit("/", 1)[-1] or kind
    plain = re.sub(r"^[0-9a-f]{8}-", "", short)
    folder = task.path.parent
    if plain and not (folder / short).is_file() and (folder / plain).is_file():
        short = plain
    return relative_source(short, task.path)


def _track_ids(regions: list[Region]) -> list[int]:
    """Our own ids where the region's name holds one; fresh ones from 1 for the others."""
    told = [
        int(region.name.removeprefix(ID_PREFIX))
        if region.name.startswith(ID_PREFIX)
        and region.name.removeprefix(ID_PREFIX).isascii()
        and region.name.removeprefix(ID_PREFIX).isdigit()
        and len(region.name) < 20
        else NO_ID
        for region in regions
    ]
    fresh = max(max(told, default=0), 0)
    ids: list[int] = []
    used: set[int] = set()
    for number in told:
        new = number == NO_ID or number in used
        fresh += new
        ids.append(fresh if new else number)
        used.add(ids[-1])
    return ids


def _add(
    rows: Rows,
    region: Region,
    track_id: int,
    label: int,
    size_px: tuple[int, int],
    *,
    per_frame: float,
    last: int,
) -> None:
    """The boxes of one track in all frames of the video in which Label Studio draws it.

    ``per_frame`` is how many of Label Studio's frames one frame of the video takes.
    """
    if not region.places:
        return
    places = np.array(region.places) - 1.0  # from 0, in Label Studio's frames
    first = math.ceil(places[0] / per_frame - 1e-6)
    end = max(last, round(places[-1] / per_frame))
    rows.require_room(max(end + 1 - first, 0), region.node.line)
    frames = np.arange(max(first, 0), end + 1)
    there = frames * per_frame
    before = np.searchsorted(places, there + 1e-6, side="right") - 1
    enabled = np.array(region.enabled)
    on_key = np.abs(places[before] - there) < 0.5
    drawn = (before >= 0) & (enabled[before] | on_key)
    scale = np.array([*size_px, *size_px]) / 100
    boxes = interpolate(places, np.array(region.boxes_percent) * scale, there[drawn])
    if any(region.degrees):
        turn = np.interp(there[drawn], places, np.array(region.degrees))
        boxes = turned_about_corner(boxes, turn)
    rows.draw(frames[drawn], boxes, line=region.node.line, track_id=track_id, label=label)


def write(dataset: Dataset, path: Path, writing: Writing) -> None:
    """One task a video, as finished annotations; ignore rows are left out."""
    tasks = [
        _task(number, video, dataset.classes, writing)
        for number, video in enumerate(dataset.videos, 1)
    ]
    write_atomic(path, json.dumps(tasks, ensure_ascii=False, indent=1) + "\n")


def _task(
    number: int, video: LabelledVideo, classes: tuple[str, ...], writing: Writing
) -> dict[str, Any]:
    table = video.tracks or TrackTable.empty()
    frames = labelled_frames(video)
    count = video.info.num_frames or (frames[-1] + 1 if frames else 0)
    names = iter(f"box_{index}" for index in range(len(table) + 1))
    results = [
        {
            "id": next(names) if track_id == NO_ID else f"{ID_PREFIX}{track_id}",
            "type": VIDEO,
            "from_name": "box",
            "to_name": "video",
            "origin": "prediction",
            "value": {
                "framesCount": count,
                "duration": float(count / video.info.rate),
                "labels": [classes[int(table.labels[rows[0]])]],
                "sequence": _sequence(table[rows], video, count, writing),
            },
        }
        for track_id, rows in track_rows(table)
    ]
    return {
        "id": number,
        "data": {"video": Path(video.source).name},
        "annotations": [{"id": number, "result": results}],
    }


def _sequence(
    table: TrackTable, video: LabelledVideo, count: int, writing: Writing
) -> list[dict[str, Any]]:
    """Key frames; the last of every run is switched off, unless it is the video's last frame."""
    scale = 100 / np.array([video.info.width_px, video.info.height_px] * 2)
    entries = []
    frames = labelled_frames(video)
    step = int(np.median(np.diff(frames))) if len(frames) > 1 else 1
    for run in runs(table.frames, step=step):
        places, boxes = table.frames[run], table.boxes_xyxy[run]
        keys = key_rows(places, boxes, tolerance_px=writing.tolerance_px).tolist()
        for row in keys:
            ends = row == keys[-1] and places[row] < count - 1
            entries.append(
                _key_frame(int(places[row]), boxes[row] * scale, video.info.rate, enabled=not ends)
            )
    return entries


def _key_frame(
    frame: int, box_percent: FloatArray, rate: Fraction, *, enabled: bool
) -> dict[str, Any]:
    x1, y1, x2, y2 = box_percent.tolist()
    return {
        "frame": frame + 1,
        "time": float((frame + 1) / rate),
        "enabled": enabled,
        "rotation": 0,
        "x": x1,
        "y": y1,
        "width": x2 - x1,
        "height": y2 - y1,
    }
