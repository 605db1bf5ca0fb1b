"""What a Label Studio export holds: its tasks, their regions, and the boxes of still regions."""

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

import numpy as np

from vodkit.formats import shapes
from vodkit.formats.base import Reading
from vodkit.formats.jsonfile import Node
from vodkit.formats.shapes import Corners, NoAreaError, PointBoxes, ShapeError
from vodkit.ground.arrays import ByteArray

VIDEO = "videorectangle"
STILL = {
    "rectangle": "", "polygon": shapes.POLYGON, "ellipse": shapes.ELLIPSE,
    "keypoint": "", "brush": shapes.MASK,
}  # fmt: skip
"""regions of pictures; their type may end in ``labels``"""
NOMINAL = tuple(
    map(Fraction, ("24", "25", "30", "30000/1001", "24000/1001", "50", "60", "60000/1001"))
) + tuple(map(Fraction, (10, 12, 15, 20, 48, 100, 120)))
"""rates that videos have, preferred where a count of frames leaves room for several"""


@dataclass
class Region:
    """One region: the box of a picture, or a track as key frames (K)."""

    node: Node
    kind: str
    name: str
    label: str
    places: list[int] = field(default_factory=list)
    boxes_percent: list[Corners] = field(default_factory=list)
    degrees: list[float] = field(default_factory=list)
    enabled: list[bool] = field(default_factory=list)
    times_s: list[float] = field(default_factory=list)
    frames_count: int = 0
    duration_s: float = 0.0


@dataclass(frozen=True)
class Task:
    """One task with the regions that count."""

    node: Node
    regions: list[Region]
    labelled: bool
    """whether there is an annotation that counts, maybe without a region"""

    @property
    def is_video(self) -> bool:
        """Whether it is of a video: it has a track, or names one."""
        if any(region.kind == VIDEO for region in self.regions):
            return True
        data = self.node.value.get("data")
        return not self.regions and isinstance(data, dict) and "video" in data


def kind_of(result: Any) -> str:
    """The type of a region in lower case, without ``labels``; empty where it is none."""
    kind = result.get("type") if isinstance(result, dict) else None
    if not isinstance(kind, str):
        return ""
    short = kind.lower().removesuffix("labels")
    return short if short in STILL or short == VIDEO else ""


def num_objects(task: Any) -> int:
    """Number of objects in a task, of every annotation and prediction.

    Every region is one; other results (choices, relations, ...) too, unless part of a region.
    """
    count = 0
    for key in ("annotations", "predictions"):
        for one in task.get(key) or ():
            results = one.get("result") or ()
            regions = {str(r.get("id")) for r in results if kind_of(r)} - {"None"}
            count += sum(
                bool(kind_of(result))
                or not (isinstance(result, dict) and str(result.get("id")) in regions)
                for result in results
            )
    return count


def task_of(node: Node, reading: Reading) -> Task:
    """The regions of the first annotation that is not cancelled, else of the first prediction."""
    annotations = list(node.items("annotations")) if "annotations" in node else []
    predictions = list(node.items("predictions")) if "predictions" in node else []
    kept = [one for one in annotations if not one.truth("was_cancelled")]
    if not annotations and predictions:
        reading.tally.note(
            f"task {node.value.get('id', '')}: no annotations; its predictions count"
        )
        kept = predictions
    chosen = kept[0] if kept else None
    for one in (*annotations, *predictions):
        if chosen is None or one.keys != chosen.keys:
            _pass_over(one, reading, is_prediction=one.keys[-2] == "predictions")
    regions = [] if chosen is None else list(_regions(chosen, reading))
    return Task(node, regions, labelled=chosen is not None)


def _pass_over(one: Node, reading: Reading, *, is_prediction: bool) -> None:
    """Count the objects of an annotation that does not count."""
    key = "predictions" if is_prediction else "annotations"
    if one.truth("was_cancelled"):
        reason = "region of a cancelled annotation"
    elif is_prediction:
        reason = "region of a prediction beside annotations"
    else:
        reason = "region of a second annotation of the task"
    count = num_objects({key: [one.value]})
    reading.tally.skip(reason, f"{one.path}:{one.line()}" if count else "", count)


def _regions(annotation: Node, reading: Reading) -> Iterator[Region]:
    results = list(annotation.items("result"))
    labels = {
        _id(node): names
        for node in results
        if "id" in node and not kind_of(node.value) and (names := _labels(node))
    }
    ids = {_id(node) for node in results if kind_of(node.value)} - {""}
    for node in results:
        kind = kind_of(node.value)
        if kind:
            with reading.taking(node.path, node.line):
                yield _region(node, kind, labels)
        elif not (isinstance(node.value, dict) and _id(node) in ids):
            what = str(node.value.get("type")) if isinstance(node.value, dict) else "none"
            reason = f"result of type {what[:40]!r}"
            reading.tally.skip(reason, f"{node.path}:{node.line()}")


def _id(node: Node) -> str:
    """The id that results of one region share, as text, whatever it is; empty: it has none."""
    value = node.value.get("id")
    return "" if value is None else str(value)


def _labels(node: Node) -> list[Any]:
    """The class names of a result, under the key of its kind."""
    if "value" not in node or not isinstance(node.value["value"], dict):
        return []
    value = node.value["value"]
    keys = ["labels", *(key for key in value if key.endswith("labels") and key != "labels")]
    return next((value[key] for key in keys if isinstance(value.get(key), list)), [])


def _region(node: Node, kind: str, labels: dict[str, list[Any]]) -> Region:
    value = node.at("value")
    names = _labels(node) or labels.get(_id(node), [])
    if len(names) != 1 or not isinstance(names[0], str):
        raise value.fault(f"labels are {names}; allowed: one")
    turn = node.number("image_rotation", 0.0)
    if turn % 360:
        raise node.fault(
            f"image_rotation is {turn:g}: drawn on a turned view of the picture; turn the view "
            "back in Label Studio and export again"
        )
    region = Region(node, kind, node.words("id", ""), names[0])
    if kind == VIDEO:
        _read_keys(region, value)
    return region


def _read_keys(region: Region, value: Node) -> None:
    region.frames_count = value.integer("framesCount", 0)
    region.duration_s = value.number("duration", 0.0)
    seen: set[int] = set()
    for key in sorted(value.items("sequence"), key=lambda key: key.integer("frame")):
        place = key.integer("frame")
        if place < 1 or place in seen:
            raise key.fault(f"frame {place}; allowed: from 1, each once")
        x, y, width, height = (key.number(name) for name in ("x", "y", "width", "height"))
        degrees = key.number("rotation", 0.0)
        if not all(map(math.isfinite, (x, y, width, height, degrees))):
            raise key.fault("x, y, width, height or rotation is not finite")
        seen.add(place)
        region.places.append(place)
        region.boxes_percent.append((x, y, x + width, y + height))
        region.degrees.append(degrees)
        region.enabled.append("enabled" not in key or key.truth("enabled"))
        region.times_s.append(key.number("time", math.nan))


def own_rate(regions: list[Region], rate: Fraction | None) -> Fraction | None:
    """The rate that Label Studio counted frames with: frames / duration.

    The count is rounded up to a whole number, so a rate fits that gives it to within one frame:
    the video's own (``rate``), else the nearest usual one. Times of key frames are rounded to
    milliseconds; the latest is used where there is no count.
    """
    counted = [(r.frames_count, r.duration_s) for r in regions]
    pairs = [(count, length) for count, length in counted if count > 0 and 0 < length < math.inf]
    room = 1.0
    if not pairs:
        keys = [
            (place, time)
            for region in regions
            for place, time in zip(region.places, region.times_s, strict=True)
            if 0 < time < math.inf
        ]
        pairs, room = [max(keys, key=lambda key: key[1])] if keys else [], 0.1
    if not pairs:
        return None
    count, length = max(pairs, key=lambda pair: pair[1])
    fitting = [one for one in (rate, *NOMINAL) if one and abs(float(one) * length - count) <= room]
    if rate in fitting:
        return rate
    if fitting:
        return min(fitting, key=lambda one: abs(float(one) - count / length))
    return Fraction(count / length).limit_denominator(1001)


def still_box(region: Region, size_px: tuple[int, int], points: PointBoxes) -> tuple[Corners, str]:
    """The upright box of a region of a picture, and how it was made."""
    value = region.node.at("value")
    scale = np.array(size_px) / 100
    if region.kind == "rectangle":
        x, y, width, height = (value.number(key) for key in ("x", "y", "width", "height"))
        degrees = value.number("rotation", 0.0)
        box = np.array([[x, y, x + width, y + height]]) * np.tile(scale, 2)
        if not (np.isfinite(box).all() and math.isfinite(degrees)):
            raise value.fault("a number is not finite")
        left, top, right, bottom = shapes.turned_about_corner(box, np.array([degrees]))[0].tolist()
        return (left, top, right, bottom), shapes.ROTATED if degrees % 360 else ""
    if region.kind == "polygon":
        nodes = list(value.items("points"))
        pairs = [value.at("points").numbers(n, 2) for n in range(len(nodes))]
        return shapes.hull(np.array(pairs).reshape(-1, 2) * scale), shapes.POLYGON
    if region.kind == "ellipse":
        x, y = np.array([value.number("x"), value.number("y")]) * scale
        across, down = np.array([value.number("radiusX"), value.number("radiusY")]) * scale
        turn = value.number("rotation", 0.0)
        numbers = list(map(float, (x, y, across, down, turn)))
        if not all(map(math.isfinite, numbers)):
            raise value.fault("a number is not finite")
        return shapes.ellipse(*numbers), shapes.ELLIPSE
    if region.kind == "keypoint":
        return points.around(np.array([[value.number("x"), value.number("y")]]) * scale)
    if region.kind == "brush":
        return _brush_hull(region.node), shapes.MASK
    raise NoAreaError(f"region of type {region.kind!r} in a picture")


def _brush_hull(node: Node) -> Corners:
    """The upright box around a brush mask, which is packed as four bytes a pixel, alpha last."""
    codes = node.at("value").at("rle")
    good = isinstance(codes.value, list)
    if not good or not all(type(code) is int and 0 <= code < 256 for code in codes.value):
        raise codes.fault("allowed: a list of bytes")
    width = node.integer("original_width", 0)
    mask = unpacked(bytes(codes.value))[3::4]
    if width <= 0 or len(mask) % width:
        raise ShapeError(f"mask of {len(mask)} pixels in a picture {width} wide")
    rows, columns = np.nonzero(mask.reshape(-1, width))
    if not len(rows):
        raise NoAreaError("empty mask")
    left, top = float(columns.min()), float(rows.min())
    return left, top, float(columns.max() + 1), float(rows.max() + 1)


def unpacked(packed: bytes) -> ByteArray:
    """The bytes of a run length packed array, as Label Studio's editor writes brush masks.

    32 bits: number of values; 5 bits: bits of a value - 1; four times 4 bits: bits of a run's
    length - 1. Then runs: 1 bit (1: one value repeated), 2 bits (which of the four), the length
    - 1, and the value or values.
    """
    bits = np.unpackbits(np.frombuffer(packed, np.uint8))
    place = 0

    def take(size: int) -> int:
        nonlocal place
        if place + size > len(bits):
            raise ShapeError("mask ends within a run")
        number = 0
        for bit in bits[place : place + size].tolist():
            number = number << 1 | bit
        place += size
        return number

    count, word = take(32), take(5) + 1
    sizes = [take(4) + 1 for _ in range(4)]
    if count > 4 * shapes.MOST_MASK_PX or word > 8:
        raise ShapeError(f"mask of {count} values of {word} bits; allowed: 8 bits")
    out = np.zeros(count, np.uint8)
    filled = 0
    while filled < count:
        repeated = take(1)
        length = take(sizes[take(2)]) + 1
        end = min(filled + length, count)
        if repeated:
            out[filled:end] = take(word)
        else:
            out[filled:end] = [take(word) for _ in range(end - filled)]
        filled = end
    return out


def require_known(region: Region, classes: tuple[str, ...]) -> int:
    """The number of a region's class; FormatError where it is not among ``classes``."""
    if region.label not in classes:
        known = ", ".join(classes)
        raise region.node.fault(f"class {region.label!r} is not among {known}")
    return classes.index(region.label)


def bearable_count(region: Region, most: int) -> int:
    """The number of frames that a region gives; FormatError where no video has so many."""
    if not 0 <= region.frames_count <= most:
        raise region.node.fault(f"framesCount {region.frames_count}; allowed: up to {most}")
    if region.places and region.places[-1] > most:
        raise region.node.fault(f"frame {region.places[-1]}; allowed: up to {most}")
    return region.frames_count
