"""JSON Schemas of the files that vodkit writes, from the records of the code.

A record becomes an object whose properties are its fields, with the docstring after each field as
description. ``tests/slow/test_schemas.py`` validates real files against them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import MISSING, fields, is_dataclass
from enum import Enum
from fractions import Fraction
from types import NoneType, UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints

from vodkit.cli.set_help import meanings
from vodkit.detect.base import ModelCard
from vodkit.formats.prediction_lines import MODES, VERSION
from vodkit.ground.records import STATE_NAMES
from vodkit.infer.manifest import Manifest
from vodkit.metrics.evaluation import Evaluation

DRAFT = "https://json-schema.org/draft/2020-12/schema"
BOX = {"type": "array", "items": {"type": "number"}, "minItems": 4, "maxItems": 4}
NUMBER, INTEGER, TEXT = {"type": "number"}, {"type": "integer"}, {"type": "string"}
PLAIN: dict[Any, dict[str, Any]] = {
    int: INTEGER, float: NUMBER, str: TEXT, bool: {"type": "boolean"},
    NoneType: {"type": "null"}, Fraction: TEXT, Any: {},
}  # fmt: skip


def schema_of(kind: Any) -> dict[str, Any]:
    """The schema of a type of Python, as its values are written in JSON."""
    if kind in PLAIN:
        return dict(PLAIN[kind])
    if is_dataclass(kind):
        return record(kind)
    if isinstance(kind, type) and issubclass(kind, Enum):
        return {"enum": [one.value for one in kind]}
    origin, inner = get_origin(kind), get_args(kind)
    if origin in (Union, UnionType):
        return {"anyOf": [schema_of(one) for one in inner]}
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return {"type": "object", "additionalProperties": schema_of(inner[1])}
    if isinstance(origin, type) and issubclass(origin, Sequence):
        return {"type": "array", "items": schema_of(inner[0])}
    return {}


def record(cls: Any) -> dict[str, Any]:
    """The schema of a dataclass; fields with a default may be absent."""
    kinds, said = get_type_hints(cls), meanings(cls)
    properties = {}
    for spec in fields(cls):
        properties[spec.name] = schema_of(kinds[spec.name])
        if spec.name in said:
            properties[spec.name]["description"] = said[spec.name]
    required = [
        spec.name
        for spec in fields(cls)
        if spec.default is MISSING and spec.default_factory is MISSING
    ]
    return _object(properties, required)


def all_schemas() -> dict[str, dict[str, Any]]:
    """Every schema by the name of what it describes."""
    found = {
        "card": record(ModelCard),
        "manifest": record(Manifest),
        "metrics": record(Evaluation),
        "predictions-header": _header(),
        "predictions-frame": _frame(),
        "dataset": _dataset(),
    }
    return {
        name: {"$schema": DRAFT, "title": f"vodkit {name}", **one} for name, one in found.items()
    }


def _object(properties: Mapping[str, Any], required: Sequence[str] = ()) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": dict(properties),
        "required": list(required),
        "additionalProperties": False,
    }


def _or_null(one: Mapping[str, Any]) -> dict[str, Any]:
    return {"anyOf": [one, {"type": "null"}]}


def _list(item: Mapping[str, Any]) -> dict[str, Any]:
    return {"type": "array", "items": item}


def _header() -> dict[str, Any]:
    video = {
        "path": TEXT, "width_px": INTEGER, "height_px": INTEGER,
        "rate": {"type": "string", "pattern": r"^\d+(/\d+)?$"},
        "num_frames": _or_null(INTEGER), "duration_s": _or_null(NUMBER),
    }  # fmt: skip
    content = {
        "vodkit": {"const": "predictions"}, "version": {"const": VERSION}, "source": TEXT,
        "classes": _list(TEXT), "detector": TEXT, "tracker": TEXT, "mode": {"enum": list(MODES)},
        "video": _object(video, list(video)),
        "notes": {"type": "object", "additionalProperties": TEXT},
    }  # fmt: skip
    return _object(content, list(content))


def _frame() -> dict[str, Any]:
    detection = {"box": BOX, "label": INTEGER, "class": TEXT, "score": NUMBER}
    track = {
        "id": INTEGER, **detection, "state": {"enum": list(STATE_NAMES)}, "hidden_s": NUMBER,
        "sigma_px": NUMBER, "hidden_behind": INTEGER, "p_present": NUMBER,
        "tentative": {"const": True},
    }  # fmt: skip
    content = {
        "frame": INTEGER, "time_s": NUMBER, "truncated": {"const": True},
        "detections": _list(_object(detection, list(detection))),
        "tracks": _list(_object(track, ["id", *detection, "state", "hidden_s"])),
    }  # fmt: skip
    either = [{"required": ["detections"]}, {"required": ["tracks"]}]
    return {**_object(content, ["frame", "time_s"]), "oneOf": either}


def _dataset() -> dict[str, Any]:
    """CocoVID: COCO's own keys may be present beside ours, so other properties are allowed."""
    video = {
        "id": INTEGER, "name": TEXT, "width": INTEGER, "height": INTEGER, "rate": TEXT,
        "labelled": {"enum": ["all", "none", "listed"]}, "num_frames": _or_null(INTEGER),
        "duration_s": _or_null(NUMBER), "split": TEXT,
        "tags": {"type": "object", "additionalProperties": TEXT},
    }  # fmt: skip
    image = {
        "id": INTEGER, "file_name": TEXT, "width": INTEGER, "height": INTEGER,
        "video_id": INTEGER, "frame_id": INTEGER, "time_s": NUMBER,
    }  # fmt: skip
    annotation = {
        "id": INTEGER, "image_id": INTEGER, "video_id": INTEGER, "category_id": INTEGER,
        "bbox": BOX, "area": NUMBER, "iscrowd": {"enum": [0, 1]}, "instance_id": INTEGER,
        "visibility": NUMBER, "ignore": {}, "score": NUMBER, "state": {"enum": list(STATE_NAMES)},
    }  # fmt: skip
    parts = {
        "info": {"type": "object"},
        "categories": _list(_open({"id": INTEGER, "name": TEXT}, ["id", "name"])),
        "videos": _list(_open(video, ["id", "name", "width", "height"])),
        "images": _list(_open(image, ["id", "file_name", "video_id", "frame_id"])),
        "annotations": _list(_open(annotation, ["id", "image_id", "category_id", "bbox"])),
    }
    return _open(parts, ["categories", "videos", "images", "annotations"])


def _open(properties: Mapping[str, Any], required: Sequence[str]) -> dict[str, Any]:
    return {**_object(properties, required), "additionalProperties": True}
