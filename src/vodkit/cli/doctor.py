"""``vodkit doctor``: likely causes of a bad result."""

from pathlib import Path

import typer

from vodkit.cli import options
from vodkit.cli.terminal import say, say_json


def doctor(
    path: Path = typer.Argument(
        ..., help="A dataset, or the folder of a training, an evaluation or a tracked video."
    ),
    model: str = typer.Option(
        "", "--model", "-m", help="Judge sizes for this detector; default: the one that was used."
    ),
    as_json: bool = options.JSON,
) -> None:
    """Print likely causes of a bad result, most likely first. Changes nothing.

    Reads labels, logs, metrics and predictions; decodes no video and runs no network.

    Example: vodkit doctor runs/mine
    """
    from vodkit.doctor.causes import CODES
    from vodkit.doctor.diagnose import diagnose

    found = diagnose(path, model=model)
    if as_json:
        say_json(found.to_json())
        return
    say(f"{path}: {found.kind}")
    for number, cause in enumerate(found.causes, 1):
        say(f"{number}. {cause.code}: {CODES[cause.code]}")
        say(f"   seen: {cause.seen}", f"   do: {cause.advice}")
    if not found.causes:
        say("no likely cause found; vodkit data audit checks labels against the video")
