"""``vodkit data export``: a dataset in another label format, with pictures where it needs them."""

from pathlib import Path

import typer

from vodkit.cli import data_options as options
from vodkit.cli.terminal import say, say_json


def export(
    dataset: Path = options.DATASET,
    out: Path = options.OUT,
    format: str = typer.Option(..., "--format", "-f", help="Label format to write."),  # noqa: A002
    split: str = typer.Option("", "--split", help="Only this side."),
    tolerance_px: float = typer.Option(
        0.5, "--tolerance-px", help="Largest error of key frames (cvat, label_studio)."
    ),
    pictures: bool = typer.Option(True, "--pictures/--no-pictures", help="Write pictures too."),
    overwrite: bool = typer.Option(False, "--overwrite", help="Replace existing files."),
    strict: bool = options.STRICT,  # noqa: ARG001 - its callback sets it
    as_json: bool = options.JSON,
) -> None:
    """Write labels for other programs. Says what that format cannot hold.

    Example: vodkit data export dataset.json -f yolo -o yolo/
    """
    from vodkit.data.export import export_dataset
    from vodkit.formats.base import Writing
    from vodkit.ground.runs import make_folder

    whole, root = options.load(dataset)
    chosen = whole.only(split) if split else whole
    make_folder(out.parent)
    writing = Writing(tolerance_px=tolerance_px)
    lost = export_dataset(
        chosen, out, format, root=root, writing=writing, pictures=pictures, overwrite=overwrite
    )
    if as_json:
        say_json({"out": str(out), "format": format, "lost": lost})
        return
    say(f"{dataset} -> {out} ({format})")
    for what in lost:
        say(f"  not kept by {format}: {what}")
