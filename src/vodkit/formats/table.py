"""The table of label formats: one line a format, and reading and writing by name."""

from pathlib import Path

import numpy as np

from vodkit.formats import (
    coco,
    cocovid,
    cvat,
    datumaro,
    imagenet_vid,
    kitti,
    label_studio,
    mot,
    predictions,
    scalabel,
    sleap,
    tao,
    ua_detrac,
    visdrone,
    voc,
    yolo,
    youtube_vis,
)
from vodkit.formats.base import TIMES, Format, Reading, Source, Writing, is_still
from vodkit.ground.arrays import FloatArray
from vodkit.ground.errors import FormatError, InputError
from vodkit.ground.lookup import pick
from vodkit.ground.records import NO_ID, Dataset

# The order is that of the asking when the format is to be found out: the more particular first.
FORMATS: dict[str, Format] = {
    "tao": tao,
    "youtube_vis": youtube_vis,
    "cocovid": cocovid,
    "datumaro": datumaro,
    "label_studio": label_studio,
    "scalabel": scalabel,
    "coco": coco,
    "predictions": predictions,
    "cvat": cvat,
    "ua_detrac": ua_detrac,
    "imagenet_vid": imagenet_vid,
    "visdrone": visdrone,
    "kitti": kitti,
    "yolo": yolo,
    "voc": voc,
    "mot": mot,
}
# Formats of poses and other things that boxes can be taken from, but not put into.
SOURCES: dict[str, Source] = {"sleap": sleap}
READERS: dict[str, Source] = {**FORMATS, **SOURCES}


def detect_format(path: Path) -> str:
    """The name of the first format that ``path`` looks like; FormatError if there is none."""
    if not path.exists():
        raise FormatError("there is no such file or folder", path=path)
    for name, module in READERS.items():
        if module.sniff(path):
            return name
    known = ", ".join(READERS)
    raise FormatError(f"looks like no known label format; name one of: {known}", path=path)


def read_dataset(
    path: str | Path,
    format: str = "auto",  # noqa: A002
    *,
    reading: Reading | None = None,
) -> Dataset:
    """The labels in a file or folder, in the form ``format`` (a key of READERS, or found out).

    Raises FormatError with the place of the first fault, unless ``reading.fault`` takes faults.
    """
    place = Path(path)
    name = detect_format(place) if format == "auto" else format
    module = pick(READERS, name, "label format")
    if not place.exists():
        raise FormatError("there is no such file or folder", path=place)
    try:
        return module.read(place, reading or Reading())
    except FormatError:
        raise
    except InputError as error:  # a record refused what the reader let through
        raise FormatError(str(error), path=place) from error


def write_dataset(
    dataset: Dataset,
    path: str | Path,
    format: str = "cocovid",  # noqa: A002
    *,
    writing: Writing | None = None,
) -> None:
    """Put ``dataset`` at ``path`` in the form ``format`` (a key of FORMATS)."""
    pick(FORMATS, format, "label format").write(dataset, Path(path), writing or Writing())


def what_is_lost(dataset: Dataset, format: str) -> list[str]:  # noqa: A002
    """What of ``dataset`` does not come back from a file of ``format``, in words.

    Box coordinates and classes always come back.
    """
    keeps = pick(FORMATS, format, "label format").KEEPS
    tables = [video.tracks for video in dataset.videos if video.tracks is not None]
    there = {
        "track ids": ("ids", any((table.ids != NO_ID).any() for table in tables)),
        "visibility": ("visibility", any(np.isfinite(_column(t.visibility)).any() for t in tables)),
        "ignore regions": ("ignore", any(_column(table.ignore).any() for table in tables)),
        "scores": ("scores", any((_column(table.scores) != 1).any() for table in tables)),
        "states": ("states", any(_column(table.states).any() for table in tables)),
        "container times": ("times", any(TIMES not in video.tags for video in dataset.videos)),
        "areas of masks": ("areas", any(np.isfinite(_column(t.areas)).any() for t in tables)),
        "splits": ("split", any(video.split for video in dataset.videos)),
        "which frames were labelled": (
            "labelled",
            any(video.labelled_frames is not None for video in dataset.videos),
        ),
        "tags": ("tags", any(set(video.tags) - {TIMES, "rate"} for video in dataset.videos)),
        "the video (its frames become single pictures)": (
            "video",
            any(not is_still(video) for video in dataset.videos),
        ),
    }
    return [words for words, (key, used) in there.items() if used and key not in keeps]


def _column(values: FloatArray | None) -> FloatArray:
    """A column that a table filled in at its birth."""
    assert values is not None
    return values
