"""``vodkit data import``: labels of any format become one dataset file with measured times."""

import json
from pathlib import Path

import typer

from vodkit.cli import data_options as options


def import_(
    labels: Path = options.DATASET,
    out: Path = options.OUT,
    format: str = options.FORMAT,  # noqa: A002
    videos: Path = typer.Option(None, "--videos", help="Folder of the videos; default: beside."),
    video: str = options.VIDEO,
    classes: str = options.CLASSES,
    rate: str = options.RATE,
    size: str = options.SIZE,
    as_json: bool = options.JSON,
) -> None:
    """Read labels of any known format, look at their videos, and write a CocoVID dataset.

    Example: vodkit data import labels.xml --videos clips/ -o dataset.json
    """
    from vodkit.data.ingest import ingest
    from vodkit.formats.table import write_dataset
    from vodkit.runs import make_folder

    told = options.reading(classes=classes, rate=rate, size=size, video=video)
    options.require_other(out, labels)
    make_folder(out.parent)
    done = ingest(labels, format, reading=told, videos=videos, relative_to=out.parent)
    write_dataset(done.dataset, out)
    num_boxes = sum(len(one.tracks) for one in done.dataset.videos if one.tracks is not None)
    if as_json:
        counts = {"videos": len(done.dataset.videos), "boxes": num_boxes}
        print(json.dumps({"file": str(out), **counts, "notes": list(done.notes)}))
        return
    print(f"{labels} -> {out}: {len(done.dataset.videos)} videos, {num_boxes} boxes")
    for note in done.notes:
        print(f"  {note}")
