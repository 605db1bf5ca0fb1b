"""``vodkit data sample``: frames worth labelling, as pictures for any labelling tool."""

from pathlib import Path
from typing import TYPE_CHECKING

import typer

from vodkit.cli import data_options as options
from vodkit.cli.options import names_of, with_settings
from vodkit.cli.terminal import say, say_json, say_next, say_table
from vodkit.data.settings import SampleSettings

if TYPE_CHECKING:
    from vodkit.data.worth_labelling import Chosen


@with_settings()
def sample(
    videos: list[Path] = typer.Argument(..., help="Video files without labels."),
    out: Path = options.OUT,
    *,
    wanted: SampleSettings,
    classes: str = typer.Option(
        "object", "--classes", help="Names for the labelling tool, as cup,plate."
    ),
    as_json: bool = options.JSON,
) -> None:
    """Choose frames worth labelling: sharp, spread over the videos, and unlike each other.

    Writes pictures, frames.csv, and set-up files for CVAT and Label Studio.

    Example: vodkit data sample clips/a.mp4 clips/b.mp4 -o to_label --frames 60 --classes cup
    """
    import os

    from vodkit.data.export import holds_something
    from vodkit.data.sampled_frames import FRAMES, write_pictures, write_templates
    from vodkit.data.worth_labelling import choose_frames
    from vodkit.ground.errors import OutputError
    from vodkit.ground.runs import make_folder

    names = names_of(classes)
    if holds_something(out):
        raise OutputError("exists and is not empty; give a new folder", path=out)
    chosen = choose_frames(videos, wanted)
    make_folder(out)
    rows = write_pictures(chosen, out)
    templates = write_templates(rows, names, out)
    if as_json:
        say_json(
            {
                "folder": str(out),
                "pictures": len(rows),
                "videos": {one.source: one.frames.tolist() for one in chosen},
            }
        )
        return
    _say(chosen, wanted.frames)
    say(f"{len(rows)} pictures and {FRAMES}: {out}")
    say(f"  set-up of CVAT and Label Studio: {', '.join(templates)}")
    say("label the pictures, export them as COCO, YOLO, VOC or CVAT, then")
    back = ["--frames", os.path.join(out, FRAMES)]  # noqa: PTH118 - as it is typed
    say_next("vodkit", "data", "import", "LABELS", *back, "-o", "dataset.json")


def _say(chosen: "list[Chosen]", wanted: int) -> None:
    rows = [
        [one.source, str(one.num_candidates), str(one.num_blurred), str(len(one.frames))]
        for one in chosen
    ]
    say_table(["video", "candidates", "black or blurred", "chosen"], rows)
    found = sum(len(one.frames) for one in chosen)
    if found < wanted:
        say(f"{found} of {wanted} frames: the videos have no more candidates; lower --every-s")
