"""Label Studio's video object tracking JSON: key frames in per cent, frames from 1.

A region is a track: ``sequence`` holds key frames (``frame`` from 1, ``time`` = frame / rate,
``x y width height`` in per cent of the picture, ``enabled``). Between key frames the box moves
linearly; a key frame with ``enabled`` false is still drawn itself and ends the track until the
next one; after the last enabled key frame the box stays until the end, as the player draws it.

Label Studio counts frames with the rate in its own configuration (24 unless told), not the
video's: ``framesCount / duration`` says which. Where that differs from the video's rate, frames
are found by their time. Without any rate known, the file's own is taken for the video's.
"""

import json
import math
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlparse

import numpy as np

from vodkit.formats.base import Reading, Rows, Writing, info_for, labelled_frames, relative_source
from vodkit.formats.cvat import MOST_FRAMES, track_rows
from vodkit.formats.jsonfile import Node, head_of, read_json
from vodkit.formats.keyframes import interpolate, key_rows, runs
from vodkit.ground.arrays import FloatArray
from vodkit.ground.errors import FormatError
from vodkit.ground.records import NO_ID, Dataset, LabelledVideo, TrackTable
from vodkit.ground.runs import write_atomic

KEEPS = frozenset({"ids", "video"})
PICTURES: str | None = None
KIND = "videorectangle"
SAME_RATE = 1e-3
"""relative difference below which two rates are the same one, rounded"""
ID_PREFIX = "track_"
"""regions of ours are called ``track_7``; Label Studio keeps the names of regions"""


def sniff(path: Path) -> bool:
    """A JSON file that speaks of video rectangles."""
    if path.suffix.lower() != ".json":
        return False
    head = head_of(path, 1 << 20)
    return f'"{KIND}"' in head and '"sequence"' in head


@dataclass
class _Region:
    """One track as key frames."""

    node: Node
    name: str
    label: str
    places: list[int] = field(default_factory=list)
    boxes_percent: list[list[float]] = field(default_factory=list)
    enabled: list[bool] = field(default_factory=list)
    times_s: list[float] = field(default_factory=list)
    frames_count: int = 0
    duration_s: float = 0.0


def read(path: Path, reading: Reading) -> Dataset:
    """Every task as a video; of several annotations of one task the first that is not cancelled."""
    content = read_json(path)
    tasks = list(content.items()) if isinstance(content.value, list) else [content]
    found = []
    for task in tasks:
        try:
            found.append((task, _regions(task)))
        except FormatError as fault:
            reading.fault(fault)
    names = list(dict.fromkeys(region.label for _, regions in found for region in regions))
    classes = reading.classes or tuple(names)
    return Dataset(
        classes=classes, videos=tuple(_video(t, regions, classes, reading) for t, regions in found)
    )


def _regions(task: Node) -> list[_Region]:
    key = "annotations" if "annotations" in task else "predictions"
    if key not in task:
        return []
    chosen = [one for one in task.items(key) if not one.truth("was_cancelled")][:1]
    return [
        _region(node)
        for one in chosen
        for node in one.items("result")
        if node.words("type", "").lower() == KIND
    ]


def _region(node: Node) -> _Region:
    value = node.at("value")
    labels = [label.value for label in value.items("labels")] if "labels" in value else []
    if len(labels) != 1 or not isinstance(labels[0], str):
        raise value.fault(f"labels are {labels}; allowed: one")
    region = _Region(node, node.words("id", ""), labels[0])
    region.frames_count = value.integer("framesCount", 0)
    region.duration_s = value.number("duration", 0.0)
    for key in sorted(value.items("sequence"), key=lambda key: key.integer("frame")):
        place = key.integer("frame")
        if place < 1 or place in region.places:
            raise key.fault(f"frame {place}; allowed: from 1, each once")
        x, y, width, height = (key.number(name) for name in ("x", "y", "width", "height"))
        if not all(map(math.isfinite, (x, y, width, height))):
            raise key.fault("x, y, width or height is not finite")
        region.places.append(place)
        region.boxes_percent.append([x, y, x + width, y + height])
        region.enabled.append("enabled" not in key or key.truth("enabled"))
        region.times_s.append(key.number("time", math.nan))
    return region


def _own_rate(regions: list[_Region], task: Node) -> Fraction | None:
    """The rate that Label Studio counted frames with."""
    for region in regions:
        for place, time_s in zip(region.places, region.times_s, strict=True):
            if math.isfinite(time_s) and time_s > 0:
                return Fraction(place / time_s).limit_denominator(1001)
        if region.frames_count > 0 and 0 < region.duration_s < math.inf:
            return Fraction(region.frames_count / region.duration_s).limit_denominator(1001)
    del task
    return None


def _video(
    task: Node, regions: list[_Region], classes: tuple[str, ...], reading: Reading
) -> LabelledVideo:
    source = reading.source or _source(task)
    own = _own_rate(regions, task)
    info, tags = info_for(source, task.path, reading)
    if "rate" in tags and own is not None:
        info, tags = info_for(source, task.path, reading, rate=own)
    per_frame = 1.0
    if own is not None and abs(own / info.rate - 1) > SAME_RATE:
        per_frame = float(own / info.rate)
        tags["label_studio_rate"] = str(own)
    rows = Rows(task.path, reading, num_classes=len(classes), num_frames=info.num_frames)
    counts = [region.frames_count for region in regions]
    longest = max((math.floor((count - 1) / per_frame) for count in counts), default=-1)
    last = longest if info.num_frames is None else info.num_frames - 1
    if last > MOST_FRAMES:
        raise task.fault(f"{last} frames; allowed: up to {MOST_FRAMES}")
    for region, track_id in zip(regions, _track_ids(regions), strict=True):
        if region.label not in classes:
            known = ", ".join(classes)
            reading.fault(region.node.fault(f"class {region.label!r} is not among {known}"))
            continue
        size_px = (info.width_px, info.height_px)
        _add(rows, region, track_id, classes, size_px, per_frame=per_frame, last=last)
    return LabelledVideo(source=source, info=info, tracks=rows.table(info.rate), tags=tags)


def _source(task: Node) -> str:
    """The file name in ``data.video``, without the upload's folders, host or query."""
    if "data" not in task:
        return "video"
    data = task.at("data")
    text = data.words("video", "") or next(
        (value for value in data.value.values() if isinstance(value, str)), "video"
    )
    local = urlparse(text)
    name = local.query.rpartition("d=")[2] if local.query.startswith("d=") else local.path
    return relative_source(
        unquote(name).replace("\\", "/").rsplit("/", 1)[-1] or "video", task.path
    )


def _track_ids(regions: list[_Region]) -> list[int]:
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
    fresh = max(told, default=0)
    fresh = max(fresh, 0)
    ids: list[int] = []
    for number in told:
        new = number == NO_ID or number in ids
        fresh += new
        ids.append(fresh if new else number)
    return ids


def _add(
    rows: Rows,
    region: _Region,
    track_id: int,
    classes: tuple[str, ...],
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
    frames = np.arange(max(first, 0), end + 1)
    there = frames * per_frame
    before = np.searchsorted(places, there + 1e-6, side="right") - 1
    enabled = np.array(region.enabled)
    on_key = np.abs(places[before] - there) < 0.5
    drawn = (before >= 0) & (enabled[before] | on_key)
    scale = np.array([*size_px, *size_px]) / 100
    boxes = interpolate(places, np.array(region.boxes_percent) * scale, there[drawn])
    for frame, box in zip(frames[drawn].tolist(), boxes.tolist(), strict=True):
        rows.add(
            frame,
            tuple(box),
            line=region.node.line,
            track_id=track_id,
            label=classes.index(region.label),
        )


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
            "type": KIND,
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
