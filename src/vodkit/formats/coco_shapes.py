"""The boxes of COCO annotations: ``bbox``, else the hull of ``segmentation`` or ``keypoints``.

COCO, CocoVID, TAO and YouTube-VIS share these fields. CVAT and Datumaro put the turn of a rotated
box into ``attributes.rotation`` (degrees about the centre) and leave ``bbox`` unturned.
"""

import math
from collections.abc import Iterable

import numpy as np

from vodkit.formats import shapes
from vodkit.formats.base import Reading
from vodkit.formats.jsonfile import Node
from vodkit.formats.shapes import Corners, NoAreaError, PointBoxes
from vodkit.ground.arrays import FloatArray


def box_of(node: Node, points: PointBoxes) -> tuple[Corners, str]:
    """Corners of an annotation's box, and how it was converted (empty: not at all).

    ``box_xyxy`` beside ``bbox`` is vodkit's own, exact where x + width does not give back x2.
    """
    if "box_xyxy" in node:
        x1, y1, x2, y2 = node.numbers("box_xyxy", 4)
        return (x1, y1, x2, y2), ""
    if has_box(node):
        x, y, width, height = node.numbers("bbox", 4)
        box = (x, y, x + width, y + height)
        return turned(box, node)
    if "segmentation" in node and node.value["segmentation"] != []:
        return mask_hull(node.at("segmentation"))
    if "keypoints" in node:
        return points.around(visible(node), pose=True)
    raise node.fault("has no bbox, segmentation or keypoints")


def has_box(node: Node) -> bool:
    """Whether there is a ``bbox``; some tools write an empty list for none."""
    return "bbox" in node and node.value["bbox"] != []


def turned(box: Corners, node: Node) -> tuple[Corners, str]:
    """The box of an annotation, turned as its attributes say."""
    extra = node.value.get("attributes")
    if not isinstance(extra, dict) or not extra.get("rotation"):
        return box, ""
    degrees = node.at("attributes").number("rotation")
    if not math.isfinite(degrees):
        raise node.at("attributes").fault(f"rotation is {degrees}; allowed: degrees")
    if degrees % 360 == 0:
        return box, ""
    return shapes.turned_box(box, degrees), shapes.ROTATED


def mask_hull(node: Node) -> tuple[Corners, str]:
    """The hull of polygons (one list of numbers each) or of a run length mask."""
    if isinstance(node.value, dict):
        height, width = (int(side) for side in node.numbers("size", 2))
        return shapes.rle_hull(node.at("counts").value, height, width), shapes.MASK
    parts = list(node.items())
    if parts and not isinstance(parts[0].value, list):
        parts = [node]
    numbers = [[part.number(n) for n in range(len(part.value))] for part in map(_as_list, parts)]
    boxes = np.array([shapes.flat_hull(part) for part in numbers if part])
    if not len(boxes):
        raise NoAreaError("empty segmentation")
    left, top = boxes[:, :2].min(axis=0).tolist()
    right, bottom = boxes[:, 2:].max(axis=0).tolist()
    return (left, top, right, bottom), shapes.POLYGON


def _as_list(node: Node) -> Node:
    if not isinstance(node.value, list):
        raise node.fault("allowed: a list of coordinates")
    return node


def visible(node: Node) -> FloatArray:
    """The labelled key points (P, 2) of an annotation: those whose third number is not 0."""
    count = len(node.value["keypoints"]) if isinstance(node.value["keypoints"], list) else 0
    if count % 3:
        raise node.at("keypoints").fault(f"{count} numbers; allowed: x, y, visible of each point")
    table = np.array(node.numbers("keypoints", count), np.float64).reshape(-1, 3)
    return table[table[:, 2] > 0, :2]


def point_boxes(nodes: Iterable[Node], reading: Reading) -> PointBoxes:
    """The rule for objects that are only points, of all annotations of a file."""
    size = reading.box_size
    if size is not None and size.px:
        return PointBoxes(size, ())
    lengths = []
    for node in nodes:
        if "keypoints" in node and not has_box(node):
            with reading.taking(node.path, count=0):
                found = visible(node)
                lengths += [shapes.length_px(found)] if len(found) > 1 else []
    return PointBoxes(size, lengths)
