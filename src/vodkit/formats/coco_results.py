"""COCO result lists, as detectors and ``vodkit track --coco`` write them.

``[{"image_id": 7, "category_id": 1, "bbox": [x, y, width, height], "score": 0.9}, ...]``. Such a
list has no names: what its ids mean is in the truth's own COCO file. Lists that vodkit writes
also hold ``frame_id`` (0-based) and ``category_name``, and so need no such file.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from vodkit.formats import coco, cocovid
from vodkit.formats.jsonfile import LARGEST, Node, head_of, read_json
from vodkit.ground.arrays import FloatArray, IntArray
from vodkit.ground.errors import FormatError
from vodkit.ground.records import NO_ID

_BEGIN = re.compile(r"\s*\[\s*(\]\s*$|\{)")


@dataclass(frozen=True, eq=False, kw_only=True)
class Results:
    """A result list as columns, R rows in the order of the file."""

    path: Path
    images: IntArray
    """(R,) ``image_id``"""
    categories: IntArray
    """(R,) ``category_id``"""
    boxes_xyxy: FloatArray
    """(R, 4) float64"""
    scores: FloatArray
    """(R,) 0 to 1"""
    ids: IntArray
    """(R,) ``track_id``; NO_ID where an entry has none"""
    frames: IntArray | None
    """(R,) ``frame_id`` where every entry has one"""
    names: Mapping[int, str]
    """category id -> ``category_name``, as far as entries have one"""


@dataclass(frozen=True, kw_only=True)
class CocoIds:
    """What the ids of a result list mean, from the truth's COCO or CocoVID file."""

    path: Path
    pictures: Mapping[int, tuple[str, int]]
    """image id -> (source, 0-based frame)"""
    categories: Mapping[int, str]
    """category id -> class name"""


def sniff(path: Path) -> bool:
    """A JSON list that is empty, or whose first entry has ``image_id`` and ``category_id``."""
    if path.suffix.lower() != ".json":
        return False
    head = head_of(path)
    begin = _BEGIN.match(head)
    if begin is None:
        return False
    if begin.group(1) != "{":
        return True
    try:
        first, _ = json.JSONDecoder().raw_decode(head, begin.start(1))
    except (ValueError, RecursionError):
        return '"image_id"' in head and '"category_id"' in head
    return "image_id" in first and "category_id" in first


def ids_of(path: Path) -> CocoIds | None:
    """What image and category ids mean in a truth file; None where it is no COCO or CocoVID."""
    if not path.is_file() or path.suffix.lower() != ".json":
        return None
    for module in (cocovid, coco):
        if module.sniff(path):
            content = read_json(path)
            names = {node.integer("id"): node.words("name") for node in content.items("categories")}
            return CocoIds(path=path, pictures=module.pictures_by_id(content), categories=names)
    return None


def read_results(path: Path) -> Results:
    """The entries of a result list; FormatError names the first that is not one, and its line."""
    content = read_json(path)
    if not isinstance(content.value, list):
        raise content.fault("not a list of results")
    try:
        found = _columns(content.value, path)
    except (KeyError, TypeError, ValueError, IndexError, OverflowError, AttributeError) as error:
        raise _first_fault(content) from error
    boxes, scores = found.boxes_xyxy, found.scores
    upright = (boxes[:, 2:] >= boxes[:, :2]).all() and np.isfinite(boxes).all()
    if not upright or not ((scores >= 0) & (scores <= 1)).all():
        raise _first_fault(content)
    return found


def _columns(entries: list[dict[str, Any]], path: Path) -> Results:
    """All entries at once; a KeyError, TypeError or ValueError where one is not as it should be."""
    boxes = np.array([entry["bbox"] for entry in entries], np.float64).reshape(len(entries), 4)
    framed = bool(entries) and all("frame_id" in entry for entry in entries)
    return Results(
        path=path,
        images=_whole([entry["image_id"] for entry in entries]),
        categories=_whole([entry["category_id"] for entry in entries]),
        boxes_xyxy=np.concatenate([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]], axis=1),
        scores=np.array([entry["score"] for entry in entries], np.float64),
        ids=_whole([entry.get("track_id", NO_ID) for entry in entries]),
        frames=_whole([entry["frame_id"] for entry in entries]) if framed else None,
        names={e["category_id"]: e["category_name"] for e in entries if "category_name" in e},
    )


def _whole(values: list[Any]) -> IntArray:
    array = np.array(values, np.float64)
    if array.shape != (len(values),) or not (np.abs(array) < LARGEST).all():
        raise ValueError("not numbers")
    if (array != np.floor(array)).any():
        raise ValueError("not whole numbers")
    return array.astype(np.int64)


def _first_fault(content: Node) -> FormatError:
    """The first entry that is no result, in words."""
    for node in content.items():
        try:
            node.integer("image_id")
            node.integer("category_id")
            node.integer("track_id", NO_ID)
            node.integer("frame_id", 0)
            _, _, width, height = node.numbers("bbox", 4)
            score = node.number("score")
        except FormatError as fault:
            return fault
        if not (width >= 0 and height >= 0 and np.isfinite(node.value["bbox"]).all()):
            message = f"is {node.value['bbox']}; allowed: finite x, y, width, height"
            return node.at("bbox").fault(message)
        if not 0 <= score <= 1:
            return node.at("score").fault(f"is {score:g}; allowed: 0 to 1")
    return content.fault("not a list of results")
