"""One line of a predictions file: the header, or a frame, as a record and as JSON.

``formats/predictions.py`` has the form of the file, and everything that opens it.
"""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from vodkit.formats.base import rate_from
from vodkit.formats.jsonfile import Node
from vodkit.ground.arrays import FloatArray
from vodkit.ground.errors import FormatError, InputError, SettingsError
from vodkit.ground.records import STATE_NAMES, Detections, State, Tracks, VideoInfo

VERSION = 1
MODES = {
    "online": "from the past only",
    "near-online": "frames between are filled when the next key frames are known",
    "refined": "with the future known",
}
"""what tracks know of the frames after them, least first"""


@dataclass(frozen=True, kw_only=True)
class Header:
    """The first line: whose predictions these are."""

    source: str
    """the video, as the user named it"""
    classes: tuple[str, ...]
    info: VideoInfo
    detector: str = ""
    tracker: str = ""
    """empty: detections only"""
    mode: str = "online"
    """what was known of the frames after each, see ``MODES``"""
    notes: Mapping[str, str] = field(default_factory=dict)
    """anything else worth keeping: settings, sha256 of the weights, ..."""

    def __post_init__(self) -> None:
        """Check ``mode``."""
        if self.mode not in MODES:
            raise SettingsError(f"mode is {self.mode!r}; allowed: {', '.join(MODES)}")


@dataclass(frozen=True, eq=False)
class PredictedFrame:
    """One line: what was found in one frame."""

    index: int
    time_s: float
    found: Detections | Tracks
    num_unconfirmed: int = 0
    """rows left out, since their track was never confirmed; 0 in files"""


_ENCODER = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":"))


def line_of(entry: Mapping[str, Any]) -> bytes:
    """An entry as a line of the file."""
    return _ENCODER.encode(entry).encode() + b"\n"


def header_entry(header: Header) -> dict[str, Any]:
    """The header as JSON."""
    info = header.info
    return {
        "vodkit": "predictions",
        "version": VERSION,
        "source": header.source,
        "classes": list(header.classes),
        "detector": header.detector,
        "tracker": header.tracker,
        "mode": header.mode,
        "video": {
            "path": info.path,
            "width_px": info.width_px,
            "height_px": info.height_px,
            "rate": str(info.rate),
            "num_frames": info.num_frames,
            "duration_s": info.duration_s,
        },
        "notes": dict(header.notes),
    }


def frame_entry(
    index: int, time_s: float, found: Detections | Tracks, classes: tuple[str, ...]
) -> dict[str, Any]:
    """One frame as JSON."""
    boxes = [_short(box) for box in found.boxes_xyxy]
    labels = found.labels.tolist()
    entries: list[dict[str, Any]] = [
        {"box": box, "label": label, "class": _name(label, classes), "score": score}
        for box, label, score in zip(boxes, labels, _short(found.scores), strict=True)
    ]
    entry: dict[str, Any] = {"frame": int(index), "time_s": float(time_s)}
    if isinstance(found, Detections):
        more = {"truncated": True} if found.truncated else {}
        return {**entry, **more, "detections": entries}
    return {**entry, "tracks": _with_identity(entries, found)}


def _name(label: int, classes: tuple[str, ...]) -> str:
    return classes[label] if label < len(classes) else str(label)


def _with_identity(entries: list[dict[str, Any]], found: Tracks) -> list[dict[str, Any]]:
    tracks = []
    behind, present = found.hidden_behind.tolist(), _short(found.p_present)
    ids, states = found.ids.tolist(), found.states.tolist()
    hidden, sigma = _short(found.hidden_s), _short(found.sigma_px)
    for row, entry in enumerate(entries):
        track = {"id": ids[row], **entry, "state": STATE_NAMES[states[row]]}
        track["hidden_s"] = hidden[row]
        if sigma[row]:
            track["sigma_px"] = sigma[row]
        if behind[row]:
            track["hidden_behind"] = behind[row]
        if present[row] < 1:
            track["p_present"] = present[row]
        if found.tentative[row]:
            track["tentative"] = True
        tracks.append(track)
    return tracks


def _short(values: FloatArray) -> list[float]:
    """float32 numbers as the shortest decimals that give them back.

    >>> _short(np.array([0.9, 12.0], np.float32))
    [0.9, 12.0]
    """
    return [float(str(value)) for value in np.asarray(values, np.float32)]


def parse_header(node: Node) -> Header:
    """The header in the first line."""
    if node.value.get("vodkit") != "predictions":
        raise node.fault('not a predictions file: the first line has no "vodkit": "predictions"')
    if node.integer("version") > VERSION:
        raise node.fault(f"version {node.integer('version')}; this vodkit knows {VERSION}")
    video = node.at("video")
    try:
        info = VideoInfo(
            path=video.words("path"),
            width_px=video.integer("width_px"),
            height_px=video.integer("height_px"),
            rate=rate_from(video.words("rate")),
            num_frames=video.integer("num_frames") if "num_frames" in video else None,
            duration_s=video.number("duration_s") if "duration_s" in video else None,
        )
        return Header(
            source=node.words("source"),
            classes=tuple(node.words_in("classes")),
            info=info,
            detector=node.words("detector", ""),
            tracker=node.words("tracker", ""),
            mode=node.words("mode", "online"),
            notes=dict(node.value.get("notes") or {}),
        )
    except FormatError:
        raise
    except (InputError, ValueError, TypeError) as error:
        raise node.fault(f"not a header: {error}") from error


def node_of(line: bytes, number: int, path: Path) -> Node:
    """A line as JSON, whose faults name file and line."""
    try:
        value = json.loads(line)
    except (ValueError, RecursionError) as error:
        torn = "" if line.endswith(b"\n") else "; the end is missing, --resume continues its run"
        raise FormatError(f"not JSON: {error}{torn}", path=path, line=number) from error
    if not isinstance(value, dict):
        raise FormatError("not a JSON object", path=path, line=number)
    return Node(value, path, "", known_line=number)


def parse_frame(node: Node, num_classes: int) -> PredictedFrame:
    """The frame in a further line."""
    index, time_s = node.integer("frame"), node.number("time_s")
    if index < 0 or not math.isfinite(time_s):
        raise node.fault(f"frame {index} at {time_s} s")
    entries = node.value.get("tracks", node.value.get("detections"))
    if not isinstance(entries, list):
        raise node.fault('has neither "tracks" nor "detections"')
    boxes = np.array([entry["box"] for entry in entries] or np.empty((0, 4)), np.float32)
    if boxes.shape != (len(entries), 4):
        raise node.fault(f"boxes are {boxes.shape}; allowed: 4 numbers each")
    scores = np.array([entry["score"] for entry in entries], np.float32)
    labels = np.array([entry["label"] for entry in entries], np.int64)
    if len(labels) and labels.max() >= num_classes:
        raise node.fault(f"label {labels.max()}; there are {num_classes} classes")
    if "tracks" not in node.value:
        truncated = node.truth("truncated")
        found = Detections(boxes, scores, labels, truncated=truncated)
        return PredictedFrame(index, time_s, found)
    present = [entry.get("p_present") for entry in entries]
    states = np.array([_state(entry, node) for entry in entries], np.uint8)
    unknown = np.where(states == State.OBSERVED, 1.0, np.nan)
    tracks = Tracks(
        boxes_xyxy=boxes,
        scores=scores,
        labels=labels,
        ids=np.array([entry["id"] for entry in entries], np.int64),
        states=states,
        hidden_s=np.array([entry.get("hidden_s", 0) for entry in entries], np.float32),
        sigma_px=np.array([entry.get("sigma_px", 0) for entry in entries], np.float32),
        tentative=np.array([entry.get("tentative", False) for entry in entries], np.bool_),
        hidden_behind=np.array([entry.get("hidden_behind", 0) for entry in entries], np.int64),
        p_present=np.array(
            [one if p is None else p for one, p in zip(unknown, present, strict=True)], np.float32
        ),
    )
    return PredictedFrame(index, time_s, tracks)


def _state(entry: dict[str, Any], node: Node) -> int:
    name = entry.get("state", State.OBSERVED.name.lower())
    if name not in STATE_NAMES:
        raise node.fault(f"state {name!r}; allowed: {', '.join(STATE_NAMES)}")
    return STATE_NAMES.index(name)
