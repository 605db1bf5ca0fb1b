"""Options that the data commands share, and how label files are read with them."""

from pathlib import Path
from typing import TYPE_CHECKING

import typer

from vodkit.cli.options import names_of
from vodkit.ground.errors import OutputError, SettingsError

if TYPE_CHECKING:
    from vodkit.formats.base import Reading
    from vodkit.ground.records import Dataset

DATASET = typer.Argument(..., help="A dataset or label file, or a folder of labels.")
FORMAT = typer.Option("auto", "--format", "-f", help="Label format; auto finds out.")
OUT = typer.Option(..., "--out", "-o", help="Where to write.")
CLASSES = typer.Option("", "--classes", help="Names, comma separated, where labels have numbers.")
RATE = typer.Option("", "--rate", help="Frames/s where neither labels nor video say: 30000/1001.")
SIZE = typer.Option("", "--size", help="Picture size where neither labels nor video say: 640x480.")
VIDEO = typer.Option("", "--video", help="The video of these labels, where theirs is not there.")
JSON = typer.Option(False, "--json", help="Print results for machines.")


def reading(*, classes: str = "", rate: str = "", size: str = "", video: str = "") -> "Reading":
    """What the user told about label files."""
    from vodkit.formats.base import Reading, rate_from

    try:
        told_rate = rate_from(rate) if rate else None
        width, height = map(int, size.lower().split("x")) if size else (0, 0)
    except ValueError as error:
        raise SettingsError(f"--rate {rate!r} --size {size!r}: {error}") from error
    told_size = (width, height) if size else None
    return Reading(classes=names_of(classes), rate=told_rate, size_px=told_size, source=video)


def load(path: Path, format: str = "auto") -> "tuple[Dataset, Path]":  # noqa: A002
    """A dataset, with the folder that its sources are relative to."""
    from vodkit.data.audit.video_scan import probe
    from vodkit.formats.base import Reading
    from vodkit.formats.table import read_dataset

    dataset = read_dataset(path, format, reading=Reading(probe=probe))
    return dataset, path if path.is_dir() else path.parent


def require_other(out: Path, read: Path) -> None:
    """OutputError where a command would write over the very file that it reads."""
    if out.exists() and read.exists() and out.samefile(read):
        raise OutputError("is what is read here; write to another place", path=out)
