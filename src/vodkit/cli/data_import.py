"""``vodkit data import``: labels of any format become one dataset file with measured times."""

from pathlib import Path
from typing import Any

import typer

from vodkit.cli import data_options as options
from vodkit.cli.terminal import say, say_json, say_next, say_table
from vodkit.ground.errors import SettingsError


def import_(
    labels: list[Path] = typer.Argument(
        ..., help="Dataset or label files, or folders of labels; several become one dataset."
    ),
    out: Path = options.OUT,
    format: str = options.FORMAT,  # noqa: A002
    videos: Path = typer.Option(
        None, "--videos", help="Folder of the videos; default: that of the labels."
    ),
    video: str = options.VIDEO,
    classes: str = options.CLASSES,
    rate: str = options.RATE,
    size: str = options.SIZE,
    frames: Path = typer.Option(
        None, "--frames", help="frames.csv of `data sample`: labels go back to the videos."
    ),
    labelled: str = options.LABELLED,
    box_size: str = options.BOX_SIZE,
    strict: bool = options.STRICT,  # noqa: ARG001 - its callback sets it
    as_json: bool = options.JSON,
) -> None:
    """Import labels of any format into one dataset file.

    The file is CocoVID JSON, with times from the videos. Every object of the labels is kept,
    converted to an upright box, or skipped with a reason; the account is printed and kept in the
    file. A label file that names no video belongs to the video with its own name: a.txt to
    clips/a.mp4.

    Example: vodkit data import labels.xml --videos clips/ -o dataset.json
    """
    from vodkit.data.ingest import ingest, joined
    from vodkit.data.sampled_frames import onto_videos
    from vodkit.data.stats import overview
    from vodkit.formats.base import are_stills
    from vodkit.formats.table import write_dataset
    from vodkit.ground.runs import make_folder

    told = options.reading(
        classes=classes, rate=rate, size=size, video=video, labelled=labelled, box_size=box_size
    )
    if video and len(labels) > 1:
        raise SettingsError(f"--video is for one label file; there are {len(labels)}")
    for place in labels:
        options.require_other(out, place)
    make_folder(out.parent)
    done = [
        ingest(place, format, reading=told, videos=videos, relative_to=out.parent)
        for place in labels
    ]
    dataset = joined([one.dataset for one in done])
    if frames is not None:
        dataset = onto_videos(dataset, frames, relative_to=out.parent)
    write_dataset(dataset, out)
    counts = overview(dataset)
    accounts = [one.account for one in done if one.account is not None]
    notes = [note for one in done for note in one.notes]
    if as_json:
        kept = [account.as_json() for account in accounts]
        say_json({"file": str(out), **counts, "accounts": kept, "notes": notes})
        return
    read = str(labels[0]) if len(labels) == 1 else f"{len(labels)} label files"
    say(f"{read} -> {out}")
    _show(counts, stills=are_stills(dataset))
    for account in accounts:
        where = f"{account.file}: " if len(accounts) > 1 else ""
        for line in account.lines():
            say(f"  {where}{line}")
    for note in notes:
        say(f"  {note}")
    say_next("vodkit", "data", "audit", str(out))


def _show(counts: dict[str, Any], *, stills: bool) -> None:
    """Videos, labelled frames, boxes and tracks, together and by class; images have no tracks."""
    keys = ["videos", "labelled_frames", "boxes", "tracks"]
    titles = ["videos", "labelled frames", "boxes", "tracks"]
    if stills:
        keys, titles = ["videos", "labelled_frames", "boxes"], ["images", "labelled", "boxes"]
    parts = [f"{title}: {counts[key]}" for title, key in zip(titles, keys, strict=True)]
    say(f"  {', '.join(parts)}")
    columns = keys[2:]
    rows = [[name, *(str(one[key]) for key in columns)] for name, one in counts["classes"].items()]
    say_table(["class", *columns], rows)
