"""CSV files with their columns described, after the W3C's *CSV on the Web*.

Beside ``name.csv`` lies ``name.csv-metadata.json``, the first place where the recommendation
(Metadata Vocabulary for Tabular Data, 2015) has readers look: types, units and meanings.
"""

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from vodkit.ground.runs import TABLE_METADATA, write_atomic
from vodkit.ground.text import csv_text

_FLAG = {"base": "boolean", "format": "1|0"}
COLUMNS: dict[str, tuple[object, str]] = {
    "frame": ("nonNegativeInteger", "index of the frame, from 0"),
    "time_s": ("double", "time of the frame in the container, in seconds"),
    "id": ("integer", "track; empty for plain detections"),
    "class": ("string", "name of the class"),
    "score": ("double", "confidence, 0 to 1"),
    "x1": ("double", "left side of the box in pixels of the source"),
    "y1": ("double", "upper side of the box in pixels of the source"),
    "x2": ("double", "right side of the box in pixels of the source"),
    "y2": ("double", "lower side of the box in pixels of the source"),
    "state": ("string", "how the box is known: observed, predicted or filled"),
    "hidden_s": ("double", "seconds since the object was last observed"),
    "hidden_behind": ("integer", "track that hides the object; empty where unknown"),
    "event": ("string", "crossing or visit"),
    "place": ("string", "name of the line or zone"),
    "direction": ("string", "in or out, for crossings"),
    "leave_s": ("double", "end of a visit in seconds"),
    "dwell_s": ("double", "length of a visit in seconds; empty where unknown"),
    "sightings": ("integer", "observed boxes that the speed was fitted to"),
    "extrapolated": (_FLAG, "1 where the place is not between the known points of the ground"),
    "file": ("string", "name of the file in this folder"),
    "begin_s": ("double", "time of the first frame in seconds"),
    "end_s": ("double", "time of the last frame in seconds"),
    "what": ("string", "events in the clip, separated by '; '"),
    "picture": ("string", "name of the picture in this folder"),
    "video": ("string", "the video, relative to this folder"),
    **{
        f"{name}_{unit}": ("double", f"{meaning}, in {unit.replace('_per_', '/')}")
        for unit in ("px_per_s", "m_per_s")
        for name, meaning in (
            ("speed", "speed"),
            ("low", "lower end of the speed's 95 % interval"),
            ("high", "upper end of the speed's 95 % interval"),
        )
    },
}
"""by name: the datatype of XML Schema, and the meaning"""


def write_csv(path: Path, columns: Sequence[str], rows: Iterable[Iterable[object]]) -> None:
    """A table with its metadata; OutputError where it cannot be written."""
    write_atomic(path, csv_text([columns, *rows]))
    write_metadata(path, columns)


def write_metadata(path: Path, columns: Sequence[str]) -> None:
    """The description of a table that ``path`` holds, beside it."""
    text = json.dumps(metadata(path.name, columns), indent=2) + "\n"
    write_atomic(path.with_name(path.name + TABLE_METADATA), text)


def metadata(name: str, columns: Sequence[str]) -> dict[str, Any]:
    """The metadata of one table; every column is one of ``COLUMNS``.

    >>> metadata("a.csv", ["frame"])["tableSchema"]["columns"][0]["datatype"]
    'nonNegativeInteger'
    """
    described = [
        {"name": one, "titles": one, "datatype": COLUMNS[one][0], "dc:description": COLUMNS[one][1]}
        for one in columns
    ]
    dialect = {"encoding": "utf-8", "delimiter": ",", "header": True, "lineTerminators": ["\n"]}
    return {
        "@context": "http://www.w3.org/ns/csvw",
        "url": name,
        "dialect": dialect,
        "tableSchema": {"columns": described},
    }
