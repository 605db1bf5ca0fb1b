"""Options that the data commands share, and how label files are read with them."""

import re
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from vodkit.cli import options
from vodkit.cli.options import names_of
from vodkit.cli.terminal import aside
from vodkit.ground.errors import OutputError, SettingsError

if TYPE_CHECKING:
    from vodkit.formats.base import Reading
    from vodkit.ground.records import Dataset

DATASET = typer.Argument(..., help="A dataset or label file, or a folder of labels.")
FORMAT = typer.Option("auto", "--format", "-f", help="Label format; auto finds out.")
OUT = typer.Option(..., "--out", "-o", help="Where to write.")
CLASSES = typer.Option("", "--classes", help="Names, comma separated, where labels have numbers.")
RATE = typer.Option("", "--rate", help="Frames/s where labels and video lack it: 30000/1001.")
SIZE = typer.Option("", "--size", help="Picture size where labels and video lack it: 640x480.")
VIDEO = typer.Option(
    "", "--video", help="The video of these labels, where the one they name is missing."
)
LABELLED = typer.Option(
    "",
    "--labelled",
    help="Which frames were labelled, where the format does not record it: listed (those with a "
    "box) or all. Default: all, but sparse labels are refused.",
)
BOX_SIZE = typer.Option(
    "",
    "--box-size",
    help="Square that a point stands for: pixels like 20, or 15% of the body length (the diagonal "
    "around all points). Several points: the hull of their squares.",
)
STRICT = options.STRICT
JSON = options.JSON


def reading(
    *,
    classes: str = "",
    rate: str = "",
    size: str = "",
    video: str = "",
    labelled: str = "",
    box_size: str = "",
) -> "Reading":
    """What the options add to label files."""
    from vodkit.formats.base import Reading, rate_from
    from vodkit.formats.shapes import BoxSize

    if labelled not in ("", "listed", "all"):
        raise SettingsError(f"--labelled {labelled!r}; allowed: listed, all")
    try:
        points = BoxSize.parse(box_size) if box_size else None
    except ValueError as error:
        raise SettingsError(f"--box-size {error}") from error
    try:
        rate_told = rate_from(rate) if rate else None
    except ValueError as error:
        raise SettingsError(f"--rate: {error}") from error
    return Reading(
        classes=names_of(classes),
        rate=rate_told,
        size_px=_size_of(size),
        source=video,
        labelled=labelled or "ask",
        box_size=points,
    )


def _size_of(size: str) -> tuple[int, int] | None:
    """The width and height of ``--size``; None where it was not given."""
    if not size:
        return None
    found = re.fullmatch(r"([1-9]\d{0,4})[xX]([1-9]\d{0,4})", size, flags=re.ASCII)
    if not found:
        raise SettingsError(f"--size {size!r}; allowed: width x height, like 640x480")
    return int(found[1]), int(found[2])


def load(
    path: Path,
    format: str = "auto",  # noqa: A002
    *,
    losses: bool = True,
) -> "tuple[Dataset, Path]":
    """A dataset, with the folder that its sources are relative to; ``losses`` are printed."""
    from vodkit.data.audit.video_scan import probe
    from vodkit.formats.base import Reading
    from vodkit.formats.table import read_dataset
    from vodkit.ground.account import losses_in

    dataset = read_dataset(path, format, reading=Reading(probe=probe))
    for line in losses_in(dataset.accounts) if losses else ():
        aside(line)
    return dataset, dataset.root


def require_other(out: Path, read: Path) -> None:
    """OutputError where a command would write over the very file that it reads."""
    if out.exists() and read.exists() and out.samefile(read):
        raise OutputError("is what is read here; write to another place", path=out)
