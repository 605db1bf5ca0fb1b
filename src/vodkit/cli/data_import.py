"""``vodkit data import``: labels of any format become one dataset file with measured times."""

from pathlib import Path

import typer

from vodkit.cli import data_options as options
from vodkit.cli.terminal import say, say_json, say_next
from vodkit.ground.errors import SettingsError


def import_(
    labels: list[Path] = typer.Argument(
        ..., help="Dataset or label files, or folders of labels; several become one dataset."
    ),
    out: Path = options.OUT,
    format: str = options.FORMAT,  # noqa: A002
    videos: Path = typer.Option(None, "--videos", help="Folder of the videos; default: beside."),
    video: str = options.VIDEO,
    classes: str = options.CLASSES,
    rate: str = options.RATE,
    size: str = options.SIZE,
    frames: Path = typer.Option(
        None, "--frames", help="frames.csv of `data sample`: labels go back to the videos."
    ),
    as_json: bool = options.JSON,
) -> None:
    """Bring labels of any format and their videos into one dataset. The file is CocoVID JSON.

    A label file that names no video is that of the video with its name: a.txt of clips/a.mp4.

    Example: vodkit data import labels.xml --videos clips/ -o dataset.json
    """
    from vodkit.data.ingest import ingest, joined
    from vodkit.data.sampled_frames import onto_videos
    from vodkit.formats.table import write_dataset
    from vodkit.ground.runs import make_folder

    told = options.reading(classes=classes, rate=rate, size=size, video=video)
    if video and len(labels) > 1:
        raise SettingsError(f"--video is of one label file; there are {len(labels)}")
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
    notes = [note for one in done for note in one.notes]
    num_boxes = sum(len(one.tracks) for one in dataset.videos if one.tracks is not None)
    if as_json:
        counts = {"videos": len(dataset.videos), "boxes": num_boxes}
        say_json({"file": str(out), **counts, "notes": notes})
        return
    read = str(labels[0]) if len(labels) == 1 else f"{len(labels)} label files"
    say(f"{read} -> {out}: videos: {len(dataset.videos)}, boxes: {num_boxes}")
    say(f"  classes: {', '.join(dataset.classes)}")
    for note in notes:
        say(f"  {note}")
    say_next("vodkit", "data", "audit", str(out))
