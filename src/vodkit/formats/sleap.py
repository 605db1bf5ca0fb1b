"""SLEAP ``.slp`` pose labels, read as boxes around the visible points of each animal.

The classes are the skeletons' names unless told. A SLEAP track is a track; an animal without one
has no id. Frames that SLEAP lists are labelled. Where a person corrected a prediction, the
correction counts and the prediction is dropped, as SLEAP draws it. Needs ``h5py``.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np

from vodkit.formats.base import Reading, Rows, info_for
from vodkit.ground.arrays import FloatArray
from vodkit.ground.errors import FormatError, InputError
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


def read(path: Path, reading: Reading) -> Dataset:
    """All videos of a ``.slp`` file."""
    try:
        import h5py
    except ImportError as error:
        raise InputError("reading .slp files needs h5py: pip install h5py") from error
    try:
        with h5py.File(path, "r") as file:
            names = ("frames", "instances", "points", "pred_points")
            tables = {name: file[name][:] for name in names}
            videos = [json.loads(text) for text in file["videos_json"][:]]
            meta = json.loads(file["metadata"].attrs["json"])
            version = float(file["metadata"].attrs.get("format_id", 1.0))
    except (OSError, KeyError, ValueError, TypeError, RuntimeError) as error:
        raise FormatError(f"not a SLEAP file: {error}", path=path) from error
    try:
        corner = OLD_CORNER if version < 1.1 else 0.0
        return _dataset(path, reading, tables, videos=videos, meta=meta, corner=corner)
    except (KeyError, IndexError, ValueError, TypeError) as error:
        raise FormatError(f"broken SLEAP file: {error!r}", path=path) from error


def _dataset(
    path: Path,
    reading: Reading,
    tables: dict[str, Any],
    *,
    videos: list[dict[str, Any]],
    meta: dict[str, Any],
    corner: float,
) -> Dataset:
    skeletons = [str(one["graph"]["name"]) for one in meta["skeletons"]]
    same = len(set(skeletons)) < len(skeletons)
    names = [f"{name} {n}" for n, name in enumerate(skeletons)] if same else skeletons
    classes = reading.classes or tuple(names)
    made = [
        _video(
            number,
            video,
            path=path,
            reading=reading,
            tables=tables,
            num_classes=len(classes),
            corner=corner,
        )
        for number, video in enumerate(videos)
    ]
    return Dataset(classes=classes, videos=tuple(made))


def _video(
    number: int,
    video: dict[str, Any],
    *,
    path: Path,
    reading: Reading,
    tables: dict[str, Any],
    num_classes: int,
    corner: float,
) -> LabelledVideo:
    name = str(video["backend"].get("filename", f"video_{number}")).replace("\\", "/")
    source = reading.source or name.rsplit("/", 1)[-1]
    shape = video["backend"].get("shape")
    size = (int(shape[2]), int(shape[1])) if shape else None
    info, tags = info_for(source, path, reading, size_px=size)
    rows = Rows(path, reading, num_classes=num_classes, num_frames=info.num_frames)
    frames = tables["frames"][tables["frames"]["video"] == number]
    for frame in frames:
        start, end = int(frame["instance_id_start"]), int(frame["instance_id_end"])
        found = tables["instances"][start:end]
        replaced = {int(one["from_predicted"]) for one in found if one["instance_type"] == PERSON}
        for one in found:
            if one["instance_type"] == MODEL and int(one["instance_id"]) in replaced:
                continue
            _add(rows, one, int(frame["frame_idx"]), tables, corner)
    return LabelledVideo(
        source=source,
        info=info,
        tracks=rows.table(info.rate),
        labelled_frames=np.unique(frames["frame_idx"]).astype(np.int64),
        tags=tags,
    )


def _add(rows: Rows, one: Any, frame: int, tables: dict[str, Any], corner: float) -> None:
    predicted = one["instance_type"] == MODEL
    points = tables["pred_points" if predicted else "points"]
    points = points[int(one["point_id_start"]) : int(one["point_id_end"])]
    box = _around(points, corner)
    if box is None:
        return
    track = int(one["track"])
    scores = points["score"][np.isfinite(points["score"])] if predicted else np.ones(1)
    rows.add(
        frame,
        (box[0], box[1], box[2], box[3]),
        track_id=NO_ID if track < 0 else track + 1,
        label=int(one["skeleton"]),
        score=float(np.clip(scores.mean(), 0, 1)) if len(scores) else 0.0,
    )


def _around(points: FloatArray, corner: float) -> list[float] | None:
    """The box around the visible points; None where there is none."""
    seen = points["visible"] & np.isfinite(points["x"]) & np.isfinite(points["y"])
    if not seen.any():
        return None
    x, y = points["x"][seen] - corner, points["y"][seen] - corner
    return [float(x.min()), float(y.min()), float(x.max()), float(y.max())]
