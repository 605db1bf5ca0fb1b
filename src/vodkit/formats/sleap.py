"""SLEAP ``.slp`` pose labels and packages, read as boxes around the visible points of each animal.

The classes are the skeletons' names unless given. A SLEAP track is a track; an animal without one
has no id. Frames that SLEAP lists are labelled. Where a person corrected a prediction, the
correction counts and the prediction is skipped, as SLEAP draws it. In a package (``.pkg.slp``) the
pictures are embedded; its labels belong to the videos that the pictures came from. Needs ``h5py``.
"""

from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from vodkit.formats import shapes
from vodkit.formats.base import Reading, class_names, info_for, require_bearable
from vodkit.formats.rows import Rows
from vodkit.formats.shapes import NoAreaError, PointBoxes
from vodkit.formats.sleap_tables import EMBEDDED, tables_of
from vodkit.ground.arrays import FloatArray, IntArray
from vodkit.ground.errors import FormatError
from vodkit.ground.records import NO_ID, Dataset, LabelledVideo

PERSON, MODEL = 0, 1
"""``instance_type``: labelled by a person, predicted by a model"""
OLD_CORNER = 0.5
"""files of format 1.0 count from pixel corners, half a pixel off the later ones"""


def sniff(path: Path) -> bool:
    """A file that ends in ``.slp`` and begins as HDF5 does."""
    if path.suffix.lower() != ".slp" or not path.is_file():
        return False
    with path.open("rb") as file:
        return file.read(8) == b"\x89HDF\r\n\x1a\n"


@dataclass(frozen=True)
class _Content:
    """The tables of a file, and its videos and skeletons."""

    path: Path
    tables: dict[str, Any]
    videos: list[dict[str, Any]]
    meta: dict[str, Any]
    corner: float


def contained(path: Path) -> int:
    """Number of rows of ``instances``."""
    return len(_content(path).tables["instances"])


def read(path: Path, reading: Reading) -> Dataset:
    """All videos of a ``.slp`` file."""
    content = _content(path)
    try:
        return _dataset(content, reading)
    except (KeyError, IndexError, ValueError, TypeError, AttributeError, OverflowError) as error:
        raise FormatError(f"corrupt SLEAP file: {error!r}", path=path) from error


def _content(path: Path) -> _Content:
    tables, told = tables_of(path)
    corner = OLD_CORNER if told["version"] < 1.1 else 0.0
    return _Content(path, tables, told["videos"], told["meta"], corner)


def _dataset(content: _Content, reading: Reading) -> Dataset:
    path, tables = content.path, content.tables
    skeletons = [str(one["graph"]["name"]) for one in content.meta["skeletons"]]
    same = len(set(skeletons)) < len(skeletons)
    names = [f"{name} {n}" for n, name in enumerate(skeletons)] if same else skeletons
    classes = reading.classes or class_names(names, path)
    _require_disjoint(content)
    numbers = _numbers(content)
    sources = _sources(content, reading)
    boxes = PointBoxes(reading.box_size, _lengths(content, reading))
    frames = tables["frames"]
    videos = []
    for video, number, source in zip(content.videos, numbers, sources, strict=True):
        mine = frames[frames["video"] == number]
        videos.append(
            _video(
                video,
                source,
                mine,
                content,
                reading=reading,
                boxes=boxes,
                num_classes=len(classes),
            )
        )
    _count_strays(content, numbers, reading)
    return Dataset(classes=classes, videos=tuple(videos))


def _require_disjoint(content: _Content) -> None:
    """FormatError where frames share instances, or instances points, or reach beyond the table."""
    tables = content.tables
    predicted = tables["instances"]["instance_type"] == MODEL
    users = [
        ("frames", "instance_id", tables["frames"], "instances"),
        ("instances", "point_id", tables["instances"][~predicted], "points"),
        ("instances", "point_id", tables["instances"][predicted], "pred_points"),
    ]
    for name, key, rows, target in users:
        starts = rows[f"{key}_start"].astype(np.int64)
        ends = rows[f"{key}_end"].astype(np.int64)
        order = np.lexsort((ends, starts))
        starts, ends = starts[order], ends[order]
        full = ends > starts
        overlaps = bool((starts[full][1:] < ends[full][:-1]).any())
        outside = bool((starts < 0).any() or (ends > len(tables[target])).any())
        if overlaps or outside or bool((ends < starts).any()):
            what = f"{name} point to overlapping or missing rows of {target}"
            raise FormatError(f"corrupt SLEAP file: {what}", path=content.path)


def _numbers(content: _Content) -> list[int]:
    """The number by which ``frames`` knows each video: that of its embedded pictures, or its place.

    Packages keep the numbers of the project that they were made of, so these may have gaps.
    """
    named = [
        EMBEDDED.fullmatch(str(video["backend"].get("dataset") or "")) for video in content.videos
    ]
    numbers = [int(m.group(1)) if m else place for place, m in enumerate(named)]
    used = set(np.unique(content.tables["frames"]["video"]).tolist())
    if len(set(numbers)) < len(numbers):
        message = f"corrupt SLEAP file: videos are numbered {numbers}, some twice"
        raise FormatError(message, path=content.path)
    if not used <= set(numbers) and used <= set(range(len(numbers))):
        return list(range(len(numbers)))
    return numbers


def _sources(content: _Content, reading: Reading) -> list[str]:
    """A different source for each video: its file name, with its folder where names are equal."""
    if reading.source:
        if len(content.videos) > 1:
            message = f"holds {len(content.videos)} videos: --video is for one; use --videos FOLDER"
            raise FormatError(message, path=content.path)
        return [reading.source]
    names = [_name(video, number) for number, video in enumerate(content.videos)]
    for parts in (1, 2, 3):
        short = ["/".join(PurePosixPath(name).parts[-parts:]).lstrip("/") for name in names]
        if len(set(short)) == len(short):
            return short
    doubled = next(name for name in names if names.count(name) > 1)
    raise FormatError(f"two videos are both {doubled!r}: save them as two files", path=content.path)


def _name(video: dict[str, Any], number: int) -> str:
    """The path of the video that the labels belong to, as SLEAP knew it."""
    origin = _origin(video)
    name = origin.get("filename") or origin.get("backend", {}).get("filename") or ""
    if isinstance(name, list):  # a list of pictures
        name = str(PurePosixPath(str(name[0]).replace("\\", "/")).parent) if name else ""
    if bool(EMBEDDED.fullmatch(str(video["backend"].get("dataset") or ""))) and origin is video:
        name = ""
    parts = [
        part for part in str(name).replace("\\", "/").split("/") if part not in ("..", ".", "")
    ]
    return "/".join(parts) or f"video_{number}"


def _origin(video: dict[str, Any]) -> dict[str, Any]:
    """The video that embedded pictures came from, maybe over several packages; else itself."""
    seen = 0
    while isinstance(video.get("source_video"), dict) and seen < 16:
        video, seen = video["source_video"], seen + 1
    return video


def _shape(video: dict[str, Any]) -> list[int] | None:
    """Frames, height, width, channels."""
    for one in (_origin(video), video):
        shape = one.get("backend", {}).get("shape")
        if shape and len(shape) == 4 and all(shape[1:3]):
            return [int(side) for side in shape]
    return None


def _lengths(content: _Content, reading: Reading) -> list[float]:
    """The body lengths of all animals with several points."""
    if reading.box_size is not None and reading.box_size.px:
        return []
    found = (_points(one, content) for one in content.tables["instances"])
    return [shapes.length_px(points) for points in found if len(points) > 1]


def _video(
    video: dict[str, Any],
    source: str,
    frames: Any,
    content: _Content,
    *,
    reading: Reading,
    boxes: PointBoxes,
    num_classes: int,
) -> LabelledVideo:
    path = content.path
    shape = _shape(video)
    size = (shape[2], shape[1]) if shape else None
    info, tags = info_for(source, path, reading, size_px=size)
    rows = Rows(path, reading, num_classes=num_classes, num_frames=info.num_frames)
    listed: IntArray = np.unique(frames["frame_idx"]).astype(np.int64)
    if len(listed):
        require_bearable(path, num_frames=int(listed[-1]))
    for frame in frames:
        start, end = int(frame["instance_id_start"]), int(frame["instance_id_end"])
        found = content.tables["instances"][start:end]
        replaced = {int(one["from_predicted"]) for one in found if one["instance_type"] == PERSON}
        for one in found:
            if one["instance_type"] == MODEL and int(one["instance_id"]) in replaced:
                reason = "prediction that a person corrected"
                reading.tally.skip(reason, f"{path}: frame {int(frame['frame_idx'])}")
                continue
            _add(rows, one, int(frame["frame_idx"]), content, boxes)
    return rows.video(info, tags, labelled_frames=listed)


def _count_strays(content: _Content, numbers: list[int], reading: Reading) -> None:
    """Count the instances that belong to no frame, or to a frame of no video, as skipped."""
    frames = content.tables["frames"]
    held = frames["instance_id_end"].astype(np.int64) - frames["instance_id_start"].astype(np.int64)
    known = np.isin(frames["video"], numbers)
    place = str(content.path)
    reading.tally.skip("animal in a frame of an unknown video", place, int(held[~known].sum()))
    lost = len(content.tables["instances"]) - int(held.sum())
    reading.tally.skip("animal in no frame", place, lost)


def _points(one: Any, content: _Content) -> FloatArray:
    """The visible points (P, 2) of an animal."""
    predicted = one["instance_type"] == MODEL
    points = content.tables["pred_points" if predicted else "points"]
    points = points[int(one["point_id_start"]) : int(one["point_id_end"])]
    seen = points["visible"] & np.isfinite(points["x"]) & np.isfinite(points["y"])
    return np.stack([points["x"][seen], points["y"][seen]], axis=1) - content.corner


def _add(rows: Rows, one: Any, frame: int, content: _Content, boxes: PointBoxes) -> None:
    try:
        box, how = boxes.around(_points(one, content), pose=True)
    except NoAreaError as reason:
        rows.reading.tally.skip(str(reason), f"{content.path}: frame {frame}")
        return
    scores = np.ones(1)
    if one["instance_type"] == MODEL:
        points = content.tables["pred_points"]
        found = points["score"][int(one["point_id_start"]) : int(one["point_id_end"])]
        scores = found[np.isfinite(found)]
    track = int(one["track"])
    rows.add(
        frame,
        box,
        track_id=NO_ID if track < 0 else track + 1,
        label=int(one["skeleton"]),
        score=float(np.clip(scores.mean(), 0, 1)) if len(scores) else 0.0,
        how=how,
    )
