"""CocoVID JSON, the native form: COCO with videos, and pictures that are frames of video files.

pycocotools finds ``images``, ``annotations`` and ``categories`` in their places, with ids from 1.
Beyond that::

    videos[]       id, name (the source), width, height, rate "30000/1001", num_frames, duration_s,
                   labelled "all" | "none" | "listed", split, tags, frame_files
    images[]       file_name "clip.mp4#000012" or the picture file, video_id, frame_id (0-based),
                   time_s, labelled
    annotations[]  video_id, instance_id (none: no track), visibility, ignore, score, state, and
                   box_xyxy where x + width does not give back x2 exactly

Files of others (mmtracking's CocoVID, ImageNet VID in this form) are read as well: their videos
have no rate, and their pictures may be files.
"""

import json
import math
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from vodkit.formats.base import (
    ALL_KEPT,
    Reading,
    Writing,
    info_for,
    is_still,
    rate_from,
    relative_source,
    require_bearable,
)
from vodkit.formats.coco_shapes import box_of, has_box, point_boxes
from vodkit.formats.jsonfile import Node, head_of, object_in, read_json
from vodkit.formats.rows import Row, Rows, labelled_frames, table_rows
from vodkit.formats.shapes import NoAreaError, PointBoxes, ShapeError
from vodkit.ground.account import Account
from vodkit.ground.errors import FormatError, InputError
from vodkit.ground.records import NO_ID, STATE_NAMES, Dataset, LabelledVideo, VideoInfo
from vodkit.ground.runs import write_atomic

KEEPS = ALL_KEPT
PICTURES: str | None = None
VERSION = 1
ANY_CLASS = 0
"""category of an ignore region that holds for every class"""


def sniff(path: Path) -> bool:
    """A JSON file with ``videos``, ``images`` and ``annotations``."""
    if path.suffix.lower() == ".json" and '"vodkit_cocovid"' in head_of(path):
        return True
    content = object_in(path)
    if content is None or not all(key in content for key in ("videos", "images", "annotations")):
        return False
    return any("frame_id" in image for image in content.items("images"))


def read(path: Path, reading: Reading) -> Dataset:
    """The dataset in a CocoVID file."""
    content = read_json(path)
    labels, classes = read_categories(content)
    points = point_boxes(content.items("annotations"), reading)
    videos = [_OpenVideo(node, reading, len(classes)) for node in content.items("videos")]
    by_id = {video.number: video for video in videos}
    if len(by_id) < len(videos):
        raise content.at("videos").fault("a video id occurs twice")
    frames: dict[int, tuple[_OpenVideo, int]] = {}
    for node in content.items("images"):
        try:
            _read_image(node, by_id, frames)
        except FormatError as fault:
            reading.fault(fault)
    for node in content.items("annotations"):
        try:
            _read_annotation(node, frames, labels, points)
        except FormatError as fault:
            reading.refuse(fault)
        except NoAreaError as reason:
            reading.tally.skip(str(reason), f"{path}:{node.line()}")
        except ShapeError as error:
            reading.refuse(node.fault(str(error)))
    accounts = _accounts(content)
    closed = tuple(_closed(videos))
    return Dataset(classes=classes, videos=closed, accounts=accounts)


def pictures_by_id(content: Node) -> dict[int, tuple[str, int]]:
    """Image id -> (source, frame), for lists of results, which know pictures by id alone."""
    videos = [_OpenVideo(node, Reading(), 0) for node in content.items("videos")]
    by_id = {video.number: video for video in videos}
    frames: dict[int, tuple[_OpenVideo, int]] = {}
    for node in content.items("images"):
        _read_image(node, by_id, frames)
    sources = {video.number: video.source() for video in videos}
    return {number: (sources[video.number], frame) for number, (video, frame) in frames.items()}


def _accounts(content: Node) -> tuple[Account, ...]:
    """The accounts of the label files that the dataset was imported from."""
    if "info" not in content or "accounts" not in content.at("info"):
        return ()
    found = []
    for node in content.at("info").items("accounts"):
        try:
            found.append(Account.from_json(node.value))
        except ValueError as error:
            raise node.fault(str(error)) from error
    return tuple(found)


def contained(path: Path) -> int:
    """Number of annotations."""
    return len(read_json(path).value["annotations"])


def _closed(videos: list["_OpenVideo"]) -> Iterator[LabelledVideo]:
    for video in videos:
        try:
            yield video.close()
        except FormatError as fault:
            video.rows.lose(fault)


def read_categories(content: Node) -> tuple[dict[int, int], tuple[str, ...]]:
    """Category id -> label, and class names, in the order of the ids."""
    found = {node.integer("id"): node.words("name") for node in content.items("categories")}
    if len(found) < len(content.value["categories"]):
        raise content.at("categories").fault("a category id occurs twice")
    ordered = sorted(found)
    names = tuple(found[number] for number in ordered)
    if len(set(names)) < len(names):
        raise content.at("categories").fault("a class name occurs twice")
    return {number: label for label, number in enumerate(ordered)}, names


def label_of(node: Node, labels: dict[int, int], *, ignore: bool) -> int:
    """The label of an annotation's category; an unknown one is a fault that shows those known."""
    number = node.integer("category_id")
    if number in labels:
        return labels[number]
    if ignore and number == ANY_CLASS:
        return -1
    known = sorted(labels)
    span = f"{known[0]} to {known[-1]}" if known else "none"
    raise node.at("category_id").fault(f"unknown category {number}; there are: {span}")


def read_area(node: Node) -> float:
    """The area of an annotation's mask; NaN where none is given, or it is that of the box."""
    if "area" not in node:
        return math.nan
    area = node.number("area")
    if has_box(node):
        _, _, width, height = node.numbers("bbox", 4)
        if area == width * height:
            return math.nan
    if not 0 <= area < math.inf:
        raise node.at("area").fault(f"is {area:g}; allowed: 0 or more")
    return area


def area_of(row: Row) -> float:
    """What ``area`` of an annotation is to be: that of the mask, or of the box."""
    x1, y1, x2, y2 = row.box_xyxy
    return (x2 - x1) * (y2 - y1) if math.isnan(row.area) else row.area


class _OpenVideo:
    """A video while its pictures and boxes come in."""

    def __init__(self, node: Node, reading: Reading, num_classes: int) -> None:
        """Read the entry in ``videos``."""
        self.node = node
        self.reading = reading
        self.number = node.integer("id")
        self.num_classes = num_classes
        self.labelled = node.words("labelled", "listed")
        if self.labelled not in ("all", "none", "listed"):
            raise node.at("labelled").fault(f"is {self.labelled!r}; allowed: all, none, listed")
        self.frames: set[int] = set()
        self.pictures: dict[int, str] = {}
        self.times: dict[int, float] = {}
        self.size_px: tuple[int, int] | None = None
        num_frames = node.integer("num_frames") if "num_frames" in node else None
        require_bearable(node.path, num_frames=num_frames)
        self.rows = Rows(node.path, reading, num_classes=num_classes, num_frames=num_frames)

    def close(self) -> LabelledVideo:
        """The finished record; what the file does not say comes from the reader or the video."""
        source = self.source()
        info, tags = self._info(source)
        node = self.node
        written = {key: node.at("tags").words(key) for key in _keys(node, "tags")}
        table = None if self.labelled == "none" else self.rows.table(info.rate)
        frame_files = (
            tuple(n.value for n in node.items("frame_files"))
            if ("frame_files" in node)
            else self._frame_files(source)
        )
        return LabelledVideo(
            source=source,
            info=info,
            tracks=table,
            labelled_frames=np.array(sorted(self.frames), np.int64)
            if self.labelled == "listed"
            else None,
            split=node.words("split", ""),
            frame_files=frame_files,
            tags={**tags, **written},
        )

    def source(self) -> str:
        """The video file, or the folder in which its pictures are."""
        own = "labelled" in self.node
        key = "name" if "name" in self.node else "file_name"
        text = self.node.words(key, f"video_{self.number}")
        files = list(self.pictures.values())
        if not own and files and "#" not in files[0]:
            folder = str(PurePosixPath(files[0]).parent)
            text = folder if folder != "." else text  # flat names: the video has its own
        line = self.node.line
        try:
            return relative_source(text, self.node.path, up=True)
        except FormatError as error:
            raise FormatError(
                f"video {text!r} leads outside", path=error.path, line=line()
            ) from error

    def _frame_files(self, source: str) -> tuple[str, ...]:
        """The pictures of a folder, where every frame has one."""
        files = [self.pictures[index] for index in sorted(self.pictures)]
        whole = sorted(self.pictures) == list(range(len(files)))
        if not whole or not files or "#" in files[0]:
            return ()
        return tuple(
            str(PurePosixPath(name).relative_to(source))
            if PurePosixPath(name).is_relative_to(source)
            else name
            for name in files
        )

    def _info(self, source: str) -> tuple[VideoInfo, dict[str, str]]:
        node = self.node
        size_px = self.size_px
        if "width" in node and "height" in node:
            size_px = (node.integer("width"), node.integer("height"))
        if "rate" not in node:
            return info_for(
                source, node.path, self.reading, size_px=size_px, num_frames=self.rows.num_frames
            )
        if size_px is None:
            raise node.fault("width and height are missing")
        try:
            info = VideoInfo(
                path=node.words("path", source),
                width_px=size_px[0],
                height_px=size_px[1],
                rate=rate_from(str(node.at("rate").value)),
                num_frames=self.rows.num_frames,
                duration_s=node.number("duration_s") if "duration_s" in node else None,
            )
        except (ValueError, InputError) as error:
            raise node.fault(f"not a video: {error}") from error
        return info, {}


def _keys(node: Node, key: str) -> list[str]:
    if key not in node:
        return []
    if not isinstance(node.value[key], dict):
        raise node.at(key).fault("allowed: an object of texts")
    return list(node.value[key])


def _read_image(
    node: Node, videos: dict[int, _OpenVideo], frames: dict[int, tuple[_OpenVideo, int]]
) -> None:
    video = videos.get(node.integer("video_id"))
    if video is None:
        raise node.at("video_id").fault(f"unknown video {node.value['video_id']}")
    number, frame = node.integer("id"), node.integer("frame_id")
    if number in frames:
        raise node.at("id").fault(f"image id {number} occurs twice")
    if frame < 0 or frame in video.pictures:
        raise node.at("frame_id").fault(f"frame {frame} is below 0 or occurs twice")
    if video.rows.num_frames is not None and frame >= video.rows.num_frames:
        message = f"frame {frame} of {video.rows.num_frames} frames (0-based)"
        raise node.at("frame_id").fault(message)
    frames[number] = (video, frame)
    video.pictures[frame] = node.words("file_name", "")
    if "width" in node and "height" in node:
        video.size_px = (node.integer("width"), node.integer("height"))
    if "time_s" in node:
        video.times[frame] = node.number("time_s")
    if "labelled" not in node or node.truth("labelled"):
        video.frames.add(frame)


def _read_annotation(
    node: Node,
    frames: dict[int, tuple["_OpenVideo", int]],
    labels: dict[int, int],
    points: PointBoxes,
) -> None:
    image = node.integer("image_id")
    if image not in frames:
        raise node.at("image_id").fault(f"unknown image {image}")
    video, frame = frames[image]
    ignore = node.truth("ignore") or node.truth("iscrowd")
    state = node.words("state", STATE_NAMES[0])
    if state not in STATE_NAMES:
        raise node.at("state").fault(f"is {state!r}; allowed: {', '.join(STATE_NAMES)}")
    box, how = box_of(node, points)
    video.rows.add(
        frame,
        box,
        line=node.line,
        track_id=node.integer("instance_id", NO_ID),
        label=label_of(node, labels, ignore=ignore),
        score=node.number("score", 1.0),
        state=STATE_NAMES.index(state),
        visibility=node.number("visibility", math.nan),
        ignore=ignore,
        time_s=node.number("time_s") if "time_s" in node else video.times.get(frame),
        area=read_area(node),
        how=how,
    )


def write(dataset: Dataset, path: Path, writing: Writing) -> None:
    """The dataset as CocoVID JSON, one entry a line, so that faults and diffs name lines."""
    del writing
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    videos = []
    for number, video in enumerate(dataset.videos, 1):
        videos.append(_video_entry(number, video))
        _add_entries(number, video, images, annotations)
    info: dict[str, Any] = {"vodkit_cocovid": VERSION}
    if dataset.accounts:
        info["accounts"] = [account.as_json() for account in dataset.accounts]
    content = {
        "info": info,
        "categories": [
            {"id": number, "name": name} for number, name in enumerate(dataset.classes, 1)
        ],
        "videos": videos,
        "images": images,
        "annotations": annotations,
    }
    write_atomic(path, json_lines(content))


def json_lines(content: dict[str, Any]) -> str:
    """JSON text with every entry of the top lists on a line of its own."""
    parts = []
    for key, value in content.items():
        if isinstance(value, list) and value:
            inner = ",\n".join(json.dumps(entry, ensure_ascii=False) for entry in value)
            parts.append(f"{json.dumps(key)}: [\n{inner}\n]")
        else:
            parts.append(f"{json.dumps(key)}: {json.dumps(value, ensure_ascii=False)}")
    return "{\n" + ",\n".join(parts) + "\n}\n"


def _video_entry(number: int, video: LabelledVideo) -> dict[str, Any]:
    info = video.info
    labelled = "none" if video.tracks is None else "all"
    if video.labelled_frames is not None:
        labelled = "listed"
    optional = {
        "path": info.path if info.path != video.source else None,
        "num_frames": info.num_frames,
        "duration_s": info.duration_s,
        "split": video.split or None,
        "frame_files": list(video.frame_files) or None,
        "tags": dict(video.tags) or None,
    }
    return {
        "id": number,
        "name": video.source,
        "width": info.width_px,
        "height": info.height_px,
        "rate": str(info.rate),
        "labelled": labelled,
        **{key: value for key, value in optional.items() if value is not None},
    }


def _add_entries(
    number: int,
    video: LabelledVideo,
    images: list[dict[str, Any]],
    annotations: list[dict[str, Any]],
) -> None:
    """The pictures and boxes of one video."""
    rows = list(table_rows(video.tracks)) if video.tracks is not None else []
    times = {row.frame: row.time_s for row in rows}
    listed = set(labelled_frames(video))
    if video.labelled_frames is not None:
        listed = set(video.labelled_frames.tolist())
    first = len(images) + 1
    frames = sorted(listed | set(times))
    for frame in frames:
        entry = {
            "id": len(images) + 1,
            "file_name": picture_of(video, frame),
            "width": video.info.width_px,
            "height": video.info.height_px,
            "video_id": number,
            "frame_id": frame,
        }
        if frame in times:
            entry["time_s"] = times[frame]
        if frame not in listed:
            entry["labelled"] = False
        images.append(entry)
    image_of = {frame: first + index for index, frame in enumerate(frames)}
    for row in rows:
        entry = _annotation_entry(row, times[row.frame])
        ids = {"id": len(annotations) + 1, "image_id": image_of[row.frame], "video_id": number}
        annotations.append({**ids, **entry})


def picture_of(video: LabelledVideo, frame: int) -> str:
    """Where the picture of a frame is: its file, or ``clip.mp4#000012``."""
    if frame < len(video.frame_files):
        return f"{video.source}/{video.frame_files[frame]}"
    return video.source if is_still(video) else f"{video.source}#{frame:06d}"


def _annotation_entry(row: Row, time_s: float | None) -> dict[str, Any]:
    x1, y1, x2, y2 = row.box_xyxy
    width, height = x2 - x1, y2 - y1
    entry: dict[str, Any] = {
        "category_id": row.label + 1,
        "bbox": [x1, y1, width, height],
        "area": area_of(row),
        "iscrowd": int(row.ignore),
    }
    if (x1 + width, y1 + height) != (x2, y2):
        entry["box_xyxy"] = [x1, y1, x2, y2]
    if row.track_id != NO_ID:
        entry["instance_id"] = row.track_id
    if row.ignore:
        entry["ignore"] = 1
    if row.score != 1:
        entry["score"] = row.score
    if row.state:
        entry["state"] = STATE_NAMES[row.state]
    if not math.isnan(row.visibility):
        entry["visibility"] = row.visibility
    if row.time_s != time_s:
        entry["time_s"] = row.time_s
    return entry
