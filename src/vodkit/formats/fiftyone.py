"""FiftyOne's video datasets on disk: ``FiftyOneVideoLabelsDataset``, with tracks.

A folder with ``manifest.json`` (pairs of a video and its labels), ``data/`` and ``labels/``; each
label file is one ``VideoLabels`` of Voxel51's ETA. Frames count from 1, coordinates are shares of
the picture. ``index`` tells the objects of one label apart, so a track is a pair of label and
index. ``state``, ``visibility`` and ``ignore`` travel as attributes of the objects, ``split`` and
``labelled`` as attributes of the video. Objects of samples in memory: ``fiftyone_samples``.
"""

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from vodkit.formats import shapes
from vodkit.formats.base import (
    Reading,
    Writing,
    info_for,
    is_still,
    relative_source,
    require_bearable,
    stems,
)
from vodkit.formats.jsonfile import Node, read_json
from vodkit.formats.pictures import class_number, class_table
from vodkit.formats.rows import Row, Rows, frames_labelled, rows_by_frame
from vodkit.formats.shapes import Corners, NoAreaError, PointBoxes
from vodkit.ground.arrays import FloatArray
from vodkit.ground.errors import FormatError
from vodkit.ground.records import NO_ID, STATE_NAMES, Dataset, LabelledVideo
from vodkit.ground.runs import write_atomic

KEEPS = frozenset(
    {"ids", "scores", "states", "visibility", "ignore", "split", "labelled", "video", "empty"}
)
PICTURES: str | None = "data/{stem}{suffix}"
FIELD = "detections"
IGNORE = "ignore"
PARTLY_HIDDEN = 0.5
_MOST_RATE = 10**6
_MANIFEST = "manifest.json"
_TYPE = "eta.core.datasets.labeled_datasets.LabeledVideoDataset"
_KINDS = ("objects", "polylines", "keypoints", "attrs")
"""what a frame contains, each in a list of its own name below"""


def sniff(path: Path) -> bool:
    """A folder whose ``manifest.json`` says so, or that file."""
    file = _manifest(path)
    if file.name != _MANIFEST or not file.is_file():
        return False
    try:
        kind = read_json(file).words("type", "")
    except FormatError:
        return False
    return kind.startswith("eta.core.datasets") and kind.endswith("LabeledVideoDataset")


def _manifest(path: Path) -> Path:
    return path / _MANIFEST if path.is_dir() else path


def contained(path: Path) -> int:
    """Number of objects, polylines, key points, attributes of frames and events of all files."""
    manifest = _manifest(path)
    entries = read_json(manifest).value["index"]
    return sum(_num_objects(manifest.parent / entry["labels"]) for entry in entries)


def _num_objects(file: Path) -> int:
    """Objects of one label file; one that cannot be read counts as one."""
    try:
        content = read_json(file).value
        frames = content.get("frames") or {}
        lists = [(frame.get(kind) or {}).get(kind) for frame in frames.values() for kind in _KINDS]
        lists += [(content.get(kind) or {}).get(kind) for kind in ("objects", "events")]
    except (FormatError, AttributeError):
        return 1
    return sum(1 if not isinstance(one, list) else len(one) for one in lists if one is not None)


def read(path: Path, reading: Reading) -> Dataset:
    """Every video of the manifest; classes are the labels found, sorted."""
    manifest = _manifest(path)
    places = []
    for entry in read_json(manifest).items("index"):
        source, labels = (
            relative_source(entry.words(key), manifest, line=entry.line, up=key == "data")
            for key in ("data", "labels")
        )
        file = manifest.parent / labels
        with reading.taking(file, count=_num_objects(file)):
            places.append((source, _File(read_json(file))))
    names = [name for _, file in places for name in file.names()]
    classes = class_table(names, reading)
    videos = tuple(_video(source, file, path, classes, reading) for source, file in places)
    return Dataset(classes=classes, videos=videos)


@dataclass(frozen=True)
class _File:
    """One label file, its structure checked; FormatError at a fault of it."""

    content: Node
    objects: list[tuple[int, str, Node]] = field(default_factory=list)
    """frame from 0, kind and entry"""
    listed: set[int] = field(default_factory=set)
    of_video: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        frames = self.content.at("frames") if "frames" in self.content else None
        for key in frames.value if frames is not None else ():
            assert frames is not None
            node = frames.at(key)
            frame = node.integer("frame_number", int(key) if key.isascii() and key.isdigit() else 0)
            if frame < 1 or frame - 1 in self.listed:
                raise node.fault(f"frame {key!r}; allowed: numbers from 1, each once")
            self.listed.add(frame - 1)
            self.objects.extend(
                (frame - 1, kind, one) for kind in _KINDS for one in _listed(node, kind)
            )
        self.objects.extend(
            (0, f"{kind} of the video", one)
            for kind in ("objects", "events")
            for one in _listed(self.content, kind)
        )
        self.of_video.update(attributes_of(self.content))
        fields = {one.words("name", FIELD) for _, kind, one in self.objects if kind in _KINDS[:3]}
        if len(fields) > 1:
            message = f"objects of {len(fields)} fields: {', '.join(sorted(fields))}"
            raise self.content.fault(
                f"{message}; allowed: one, as dataset.export(frame_labels_field=...) writes it"
            )

    def names(self) -> Iterator[str]:
        """The label of every object that may become a box."""
        for _, kind, one in self.objects:
            ignored = bool(attributes_of(one).get(IGNORE))
            if kind in _KINDS[:3] and not ignored:
                yield one.words("label", "")


def _listed(node: Node, kind: str) -> Iterator[Node]:
    """The entries of ``{kind: {kind: [...]}}``; none where it is missing."""
    if kind in node and kind in node.at(kind):
        yield from node.at(kind).items(kind)


def attributes_of(node: Node) -> dict[str, Any]:
    """Names and values of the attributes of an object, a frame or a video."""
    return {one.words("name"): one.at("value").value for one in _listed(node, "attrs")}


def _video(
    source: str, file: _File, path: Path, classes: tuple[str, ...], reading: Reading
) -> LabelledVideo:
    size, rate, num_frames = _metadata(file.content)
    info, tags = info_for(source, path, reading, size_px=size, rate=rate, num_frames=num_frames)
    rows = Rows(file.content.path, reading, num_classes=len(classes), num_frames=info.num_frames)
    reader = _Boxes(rows, classes, np.array([info.width_px, info.height_px]), TrackIds(), reading)
    reader.add_all(file)
    labelled = str(file.of_video.get("labelled", ""))
    boxed = set(rows.frames.tolist())
    listed = np.array(sorted(file.listed), np.int64)
    if labelled == "all" or (info.num_frames is not None and len(listed) == info.num_frames):
        frames = None
    elif labelled == "listed" or file.listed - boxed:  # frames without objects are listed, too
        frames = listed
    else:
        frames = frames_labelled(rows, info.num_frames)
    return LabelledVideo(
        source=source,
        info=info,
        tracks=None if labelled == "none" else rows.table(info.rate),
        labelled_frames=frames,
        split=str(file.of_video.get("split", "")),
        tags=tags,
    )


def _metadata(content: Node) -> tuple[tuple[int, int] | None, Fraction | None, int | None]:
    """Size, rate and length, where the file has them; FiftyOne's own exports do not."""
    if "metadata" not in content:
        return None, None, None
    node = content.at("metadata")
    size = None
    if "frame_size" in node:
        width, height = (int(side) for side in node.numbers("frame_size", 2))
        size = (width, height)
    count = node.integer("total_frame_count") if "total_frame_count" in node else None
    require_bearable(content.path, size_px=size or (1, 1), num_frames=count)
    rate = node.number("frame_rate", 0.0)
    if not 0 <= rate < _MOST_RATE:
        raise node.fault(f"frame_rate is {rate}; allowed: above 0, below {_MOST_RATE}")
    return size, rate_of(rate) if rate else None, count


def rate_of(rate: float) -> Fraction:
    """The fraction that a rate in decimals stands for.

    >>> rate_of(30000 / 1001), rate_of(25.0)
    (Fraction(30000, 1001), Fraction(25, 1))
    """
    near = Fraction(rate).limit_denominator(1001)
    return (
        near if math.isclose(near, rate, rel_tol=1e-9) else Fraction(rate).limit_denominator(10**6)
    )


class TrackIds:
    """One id for each pair of label and index: the index itself, where no other label has it."""

    def __init__(self) -> None:
        """No pair is known."""
        self._known: dict[tuple[str, int], int] = {}
        self._taken: set[int] = set()

    def of(self, label: str, index: int) -> int:
        """The id of a pair.

        >>> ids = TrackIds()
        >>> ids.of("cat", 1), ids.of("dog", 1), ids.of("cat", 1)
        (1, 2, 1)
        """
        if index < 0:
            return index
        key = (label, index)
        if key not in self._known:
            found = index if index not in self._taken else max(self._taken) + 1
            self._known[key] = found
            self._taken.add(found)
        return self._known[key]


@dataclass(frozen=True)
class _Boxes:
    """Makes boxes of the objects of one file."""

    rows: Rows
    classes: tuple[str, ...]
    size_px: FloatArray
    ids: TrackIds
    reading: Reading

    def add_all(self, file: _File) -> None:
        """Count and take every object."""
        points = PointBoxes(self.reading.box_size, self._lengths(file))
        for frame, kind, node in file.objects:
            with self.reading.taking(node.path, node.line):
                self._add(frame, kind, node, points)

    def _add(self, frame: int, kind: str, node: Node, points: PointBoxes) -> None:
        box, how = self._box(kind, node, points)
        known = attributes_of(node)
        ignore = bool(known.get(IGNORE))
        label = node.words("label", "")
        self.rows.add(
            frame,
            box,
            line=node.line,
            track_id=self.ids.of(label, node.integer("index", NO_ID)),
            label=-1 if ignore and label == IGNORE else class_number(label, self.classes),
            score=node.number("confidence", 1.0) if kind != "keypoints" else 1.0,
            state=state_of(known),
            visibility=visibility_of(known),
            ignore=ignore,
            how=how,
        )

    def _box(self, kind: str, node: Node, points: PointBoxes) -> tuple[Corners, str]:
        if kind == "objects":
            ends = [node.at("bounding_box").at(end) for end in ("top_left", "bottom_right")]
            shares = np.array([[end.number("x"), end.number("y")] for end in ends])
            (left, top), (right, bottom) = (shares * self.size_px).tolist()
            return (left, top, right, bottom), ""
        if kind == "polylines":
            parts = [
                self._points(node.at("points"), n) for n in range(len(node.at("points").value))
            ]
            how = (
                shapes.POLYGON if node.truth("closed") or node.truth("filled") else shapes.POLYLINE
            )
            return shapes.hull(np.concatenate(parts or [np.empty((0, 2))])), how
        if kind == "keypoints":
            found = self._points(node, "points")
            return points.around(found[np.isfinite(found).all(axis=1)], pose=len(found) > 1)
        raise NoAreaError(kind if " " in kind else "attribute of a frame")

    def _points(self, node: Node, key: str | int) -> FloatArray:
        count = len(list(node.at(key).items()))
        pairs = [node.at(key).numbers(index, 2) for index in range(count)]
        return np.array(pairs, np.float64).reshape(-1, 2) * self.size_px

    def _lengths(self, file: _File) -> Iterator[float]:
        for _, kind, node in file.objects:
            if kind == "keypoints":
                with self.reading.taking(node.path, count=0):
                    found = self._points(node, "points")
                    found = found[np.isfinite(found).all(axis=1)]
                    if len(found) > 1:
                        yield shapes.length_px(found)


def state_of(known: Mapping[str, Any]) -> int:
    """The state in the attributes of an object; observed where there is none of ours."""
    name = known.get("state")
    return STATE_NAMES.index(name) if isinstance(name, str) and name in STATE_NAMES else 0


def visibility_of(known: Mapping[str, Any]) -> float:
    """The visibility in the attributes of an object; ``occluded`` alone stands for a half."""
    share = known.get("visibility")
    if isinstance(share, int | float) and not isinstance(share, bool):
        return float(share)
    return PARTLY_HIDDEN if known.get("occluded") in (True, "true", "True", "yes", 1) else math.nan


def write(dataset: Dataset, path: Path, writing: Writing) -> None:
    """The manifest and one label file a video; ``data export`` puts the videos into ``data``."""
    del writing
    (path / "labels").mkdir(parents=True, exist_ok=True)
    index = []
    for video, name in zip(dataset.videos, stems(dataset), strict=True):
        if is_still(video) or video.frame_files:
            message = f"{video.source} is no video file; FiftyOne reads pictures from coco"
            raise FormatError(message, path=path)
        data = str(PICTURES).format(stem=name, suffix=PurePosixPath(video.source).suffix)
        index.append({"data": data, "labels": f"labels/{name}.json"})
        text = json.dumps(_video_labels(video, dataset.classes), ensure_ascii=False)
        write_atomic(path / "labels" / f"{name}.json", text)
    content = {"type": _TYPE, "description": "", "index": index}
    write_atomic(path / _MANIFEST, json.dumps(content, indent=4, ensure_ascii=False) + "\n")


def _video_labels(video: LabelledVideo, classes: tuple[str, ...]) -> dict[str, Any]:
    info = video.info
    size = info.width_px, info.height_px
    labelled = "none" if video.tracks is None else "all"
    if video.labelled_frames is not None:
        labelled = "listed"
    frames = {
        str(frame + 1): {
            "frame_number": frame + 1,
            "objects": {"objects": [_object(row, classes, size) for row in rows]},
        }
        for frame, rows in rows_by_frame(video).items()
    }
    metadata = {
        "frame_size": list(size),
        "frame_rate": float(info.rate),
        "total_frame_count": info.num_frames,
    }
    return {
        "metadata": {key: value for key, value in metadata.items() if value is not None},
        "attrs": _attrs({"split": video.split or None, "labelled": labelled}),
        "frames": frames,
    }


def _object(row: Row, classes: tuple[str, ...], size_px: tuple[int, int]) -> dict[str, Any]:
    width, height = size_px
    x1, y1, x2, y2 = row.box_xyxy
    found = {
        "type": "eta.core.objects.DetectedObject",
        "label": classes[row.label] if row.label >= 0 else IGNORE,
        "bounding_box": {
            "top_left": {"x": x1 / width, "y": y1 / height},
            "bottom_right": {"x": x2 / width, "y": y2 / height},
        },
        "confidence": None if row.score == 1 else row.score,
        "name": FIELD,
        "index": None if row.track_id == NO_ID else row.track_id,
        "attrs": _attrs(extras(row)),
    }
    return {key: value for key, value in found.items() if value is not None}


def extras(row: Row) -> dict[str, Any]:
    """What of a row goes into attributes; None where there is nothing to say."""
    return {
        "state": STATE_NAMES[row.state] if row.state else None,
        "visibility": None if math.isnan(row.visibility) else row.visibility,
        IGNORE: True if row.ignore else None,
    }


def _attrs(values: Mapping[str, Any]) -> dict[str, Any]:
    def kind(value: object) -> str:
        if isinstance(value, bool):
            return "Boolean"
        return "Categorical" if isinstance(value, str) else "Numeric"

    return {
        "attrs": [
            {"type": f"eta.core.data.{kind(value)}Attribute", "name": name, "value": value}
            for name, value in values.items()
            if value is not None
        ]
    }
