"""FiftyOne samples in memory, with tracks, to and from datasets.

``from_fiftyone`` needs no FiftyOne: any objects with the same attributes serve. ``to_fiftyone``
imports it, which needs neither its database nor its app; adding the samples to a
``fiftyone.Dataset`` does. On disk: ``formats.fiftyone``.
"""

import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from vodkit.formats.base import NOMINAL, TIMES, Reading
from vodkit.formats.fiftyone import (
    FIELD,
    IGNORE,
    TrackIds,
    extras,
    rate_of,
    state_of,
    visibility_of,
)
from vodkit.formats.pictures import class_number, class_table
from vodkit.formats.rows import Row, Rows, rows_by_frame
from vodkit.ground.errors import FormatError, InputError, needs
from vodkit.ground.records import NO_ID, Dataset, LabelledVideo, VideoInfo

if TYPE_CHECKING:
    import fiftyone


def to_fiftyone(
    dataset: Dataset, *, root: str | Path | None = None, field: str = FIELD
) -> list["fiftyone.Sample"]:
    """A sample for each video, with the boxes of each labelled frame in a frame field.

    Args:
        dataset: labels, or predictions read by ``read_dataset``.
        root: folder that the sources are relative to; default: ``dataset.root``.
        field: name of the frame field.

    Returns:
        Samples with metadata; ``Detection.index`` is the track id, ``state``, ``visibility`` and
        ``ignore`` are attributes, the split is a tag. ``fiftyone.Dataset().add_samples(...)``
        takes them.

    Raises:
        InputError: FiftyOne is not installed.
    """
    with needs("this needs FiftyOne: pip install fiftyone"):
        import fiftyone as fo
    folder = Path(dataset.root if root is None else root).absolute()
    samples = []
    for video in dataset.videos:
        info = video.info
        sample = fo.Sample(
            filepath=str(folder / video.source), tags=[video.split] if video.split else []
        )
        sample.metadata = fo.VideoMetadata(
            frame_width=info.width_px,
            frame_height=info.height_px,
            frame_rate=float(info.rate),
            total_frame_count=info.num_frames,
            duration=info.duration_s,
        )
        size = info.width_px, info.height_px
        for frame, rows in rows_by_frame(video).items():
            found = [fo.Detection(**_detection(row, dataset.classes, size)) for row in rows]
            sample.frames[frame + 1] = fo.Frame(**{field: fo.Detections(detections=found)})
        samples.append(sample)
    return samples


def _detection(row: Row, classes: Sequence[str], size_px: tuple[int, int]) -> dict[str, Any]:
    """The arguments of a ``fiftyone.Detection``."""
    width, height = size_px
    x1, y1, x2, y2 = row.box_xyxy
    return {
        "label": classes[row.label] if row.label >= 0 else IGNORE,
        "bounding_box": [x1 / width, y1 / height, (x2 - x1) / width, (y2 - y1) / height],
        "confidence": None if row.score == 1 else row.score,
        "index": None if row.track_id == NO_ID else row.track_id,
        **{name: value for name, value in extras(row).items() if value is not None},
    }


def from_fiftyone(
    samples: Iterable["fiftyone.Sample"],
    *,
    field: str = FIELD,
    classes: Sequence[str] = (),
    root: str | Path | None = None,
    splits: Sequence[str] = ("train", "val", "test"),
) -> Dataset:
    """Video samples with boxes in a frame field, as a dataset.

    Args:
        samples: a list, ``fiftyone.Dataset`` or view of videos, with metadata
            (``dataset.compute_metadata()``).
        field: name of the frame field with detections.
        classes: their order; default: the labels found, sorted.
        root: folder that the sources become relative to; default: the deepest common one.
        splits: tags of samples that are splits.

    Returns:
        Boxes in pixels. Every frame that has the field counts as labelled, the others do not;
        track ids are told apart by label and ``index``.

    Raises:
        InputError: no samples, a sample without metadata, a file outside of ``root``, or no frame
            has the field.
        FormatError: a box, a score or an index is out of range.
    """
    listed = list(samples)
    if not listed:
        raise InputError("from_fiftyone: no samples; allowed: one video or more")
    files = [Path(sample.filepath) for sample in listed]
    folder = Path(root) if root is not None else Path(os.path.commonpath([f.parent for f in files]))
    frames = [_frames_with(sample, field) for sample in listed]
    if not any(frames):
        raise InputError(f"from_fiftyone: no frame has the field {field!r}")
    every = (one for found in frames for objects in found.values() for one in objects)
    labels = (str(one.label) for one in every if not getattr(one, IGNORE, None))
    names = class_table(labels, Reading(classes=tuple(classes)))
    videos = tuple(
        _video(sample, folder, found, names, splits)
        for sample, found in zip(listed, frames, strict=True)
    )
    return Dataset(classes=names, videos=videos, root=folder)


def _frames_with(sample: Any, field: str) -> dict[int, list[Any]]:
    """Detections of every frame (from 0) that has the field."""
    found = {}
    for number, frame in sample.frames.items():
        try:
            value = frame[field]
        except (KeyError, AttributeError):
            continue
        if value is not None:
            found[int(number) - 1] = list(value.detections)
    return found


def _video(
    sample: Any,
    folder: Path,
    frames: Mapping[int, list[Any]],
    classes: tuple[str, ...],
    splits: Sequence[str],
) -> LabelledVideo:
    path, known = Path(sample.filepath), sample.metadata
    if known is None or not known.frame_width or not known.frame_rate:
        raise InputError(f"{path}: the sample has no metadata; dataset.compute_metadata() adds it")
    if not path.is_relative_to(folder):
        raise InputError(f"{path}: outside of {folder}; choose another root")
    source = path.relative_to(folder).as_posix()
    info = VideoInfo(
        path=source,
        width_px=int(known.frame_width),
        height_px=int(known.frame_height),
        rate=rate_of(float(known.frame_rate)),
        num_frames=known.total_frame_count,
        duration_s=known.duration,
    )
    rows = Rows(path, Reading(), num_classes=len(classes), num_frames=info.num_frames)
    size, ids = np.array([info.width_px, info.height_px] * 2), TrackIds()
    for frame, objects in frames.items():
        for one in objects:
            _add(rows, frame, one, classes, size=size, ids=ids)
    tags = [tag for tag in sample.tags or () if tag in splits]
    if len(tags) > 1:
        raise FormatError(f"tags {', '.join(tags)}; allowed: one split", path=path)
    return rows.video(
        info,
        {TIMES: NOMINAL},
        labelled_frames=None if len(frames) == info.num_frames else np.array(sorted(frames)),
        split=tags[0] if tags else "",
    )


def _add(
    rows: Rows, frame: int, one: Any, classes: tuple[str, ...], *, size: Any, ids: TrackIds
) -> None:
    x, y, width, height = one.bounding_box
    x1, y1, x2, y2 = (np.array([x, y, x + width, y + height]) * size).tolist()
    known = {name: getattr(one, name, None) for name in ("state", "visibility", "occluded", IGNORE)}
    ignore = bool(known[IGNORE])
    rows.add(
        frame,
        (x1, y1, x2, y2),
        track_id=ids.of(str(one.label), NO_ID if one.index is None else int(one.index)),
        label=-1 if ignore and one.label == IGNORE else class_number(str(one.label), classes),
        score=1.0 if one.confidence is None else float(one.confidence),
        state=state_of(known),
        visibility=visibility_of(known),
        ignore=ignore,
    )
