"""The table of label formats: one line a format, and reading and writing by name."""

from collections import ChainMap
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np

from vodkit.formats import (
    coco,
    cocovid,
    cvat,
    datumaro,
    fiftyone,
    imagenet_vid,
    kitti,
    label_studio,
    labelme,
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
from vodkit.formats.jsonfile import parsed_once, read_json
from vodkit.formats.strangers import is_known_as
from vodkit.formats.xmlfile import read_xml
from vodkit.ground.account import Account, Tally, require_whole
from vodkit.ground.errors import FormatError, InputError
from vodkit.ground.lookup import named_like, pick
from vodkit.ground.plugins import Table
from vodkit.ground.records import NO_ID, Dataset


def _fault(module: object) -> str:
    """What a module of another package lacks to be a format."""
    names = ("KEEPS", "PICTURES", "sniff", "contained", "read", "write")
    lacks = [name for name in names if not hasattr(module, name)]
    return f"lacks {', '.join(lacks)} (docs/add-a-format.md)" if lacks else ""


# The order is that of the asking when the format is to be found out: the more particular first.
FORMATS: Mapping[str, Format] = Table(
    "vodkit.formats",
    {
        "fiftyone": fiftyone,
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
    },
    fault=_fault,
)
# Formats of poses and other things that boxes can be taken from, but not put into.
SOURCES: dict[str, Source] = {"sleap": sleap, "labelme": labelme}
READERS: Mapping[str, Source] = ChainMap(SOURCES, FORMATS)  # type: ignore[arg-type]


def detect_format(path: Path) -> str:
    """The name of the first format that fits ``path``; FormatError if there is none."""
    if not path.exists():
        raise FormatError(f"no such file or folder{named_like(path)}", path=path)
    with parsed_once():
        for name, module in READERS.items():
            if module.sniff(path):
                return name
    if path.suffix.lower() == ".json":
        read_json(path)  # raises what is wrong with it, and where
    elif path.suffix.lower() == ".xml":
        read_xml(path)
    if stranger := is_known_as(path):
        raise FormatError(f"not in a known label format: {stranger}", path=path)
    raise FormatError(f"not in a known label format; {_looked_for(path)}", path=path)


def _looked_for(path: Path) -> str:
    """What was looked for, and what to do."""
    known = f"name one with --format: {', '.join(READERS)}"
    if not path.is_dir():
        return known
    return (
        "looked for: data.yaml or labels/*.txt (yolo), annotations/instances_*.json or *.json "
        "(coco), manifest.json (fiftyone), Annotations/, annotations/ or annots/ with *.xml (voc), "
        "gt/gt.txt (mot), annotations/*.txt (visdrone), label_02/*.txt (kitti), *.xml (cvat, "
        f"ua_detrac); {known}"
    )


def read_dataset(
    path: str | Path,
    format: str = "auto",  # noqa: A002
    *,
    reading: Reading | None = None,
) -> Dataset:
    """Read labels of any format.

    Args:
        path: A label file, or the folder of a format of many files.
        format: A key of ``READERS``, or ``auto``: found out.
        reading: What the file does not contain, and what to do about faults; default: raise.

    Returns:
        The dataset, with the folder of its sources (``root``) and the account of every object.

    Raises:
        FormatError: The first fault with its place, unless ``reading.fault`` takes faults.
        AccountError: An object of the file is neither in the dataset nor counted as skipped.
    """
    return read_labels(path, format, reading=reading)[0]


def read_labels(
    path: str | Path,
    format: str = "auto",  # noqa: A002
    *,
    reading: Reading | None = None,
) -> tuple[Dataset, Account]:
    """As ``read_dataset``, with the account of this file.

    It differs from ``Dataset.accounts`` only for files of vodkit itself, which keep the accounts of
    the labels that they were imported from.
    """
    place = Path(path)
    with parsed_once():
        name = detect_format(place) if format == "auto" else format
        module = pick(READERS, name, "label format")
        if not place.exists():
            raise FormatError(f"no such file or folder{named_like(place)}", path=place)
        if not (place.is_file() or place.is_dir()):
            raise FormatError("not a regular file or folder", path=place)
        told = replace(reading or Reading(), tally=Tally())
        try:
            dataset = module.read(place, told)
        except FormatError:
            raise
        except InputError as error:  # a record refused what the reader let through
            raise FormatError(str(error), path=place) from error
        counted = module.contained(place)
        account = told.tally.account(file=place.name, format=name, contained=counted)
        require_whole(account)
    root = place if place.is_dir() else place.parent
    return replace(dataset, root=root, accounts=dataset.accounts or (account,)), account


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
        "visibility": ("visibility", any(np.isfinite(t.visibility).any() for t in tables)),
        "ignore regions": ("ignore", any(table.ignore.any() for table in tables)),
        "scores": ("scores", any((table.scores != 1).any() for table in tables)),
        "states": ("states", any(table.states.any() for table in tables)),
        "container times": ("times", any(TIMES not in video.tags for video in dataset.videos)),
        "areas of masks": ("areas", any(np.isfinite(t.areas).any() for t in tables)),
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
