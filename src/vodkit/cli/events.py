"""``vodkit events``: what happened to the tracks of a run."""

import sys
from pathlib import Path

import typer

from vodkit.cli import options
from vodkit.cli.terminal import aside
from vodkit.serve.settings import OutletSettings

_DELIVERING_S = 600.0  # for what a receiver has not yet


@options.with_settings(without=("serve", "keep_doubtful"))
def events(
    run: Path = typer.Argument(..., help="A run folder or a predictions file."),
    lines: list[str] = typer.Option([], "--line", help="[name=]x1,y1,x2,y2 (repeatable)."),
    zones: list[str] = typer.Option(
        [], "--zone", help="[name=]x1,y1,x2,y2,x3,y3,... (repeatable)."
    ),
    settings: list[str] = typer.Option(
        [], "--set", help="A setting, e.g. still_s=30; 'help' lists all."
    ),
    *,
    outlets: OutletSettings,
) -> None:
    """Print the events of a run, one JSON object a line, made from its predictions.

    Without options they are those of `events.jsonl` in the run, byte for byte, also where older
    files of a live run were deleted. Lines, zones and settings replace those of the run. With
    --mqtt or --webhook nothing is printed: what the receiver has not yet of `events.jsonl` is
    delivered.

    Example: vodkit events runs/plaza --line door=100,400,300,400
    """
    from dataclasses import replace

    from vodkit.formats.predictions import read_header
    from vodkit.ground.runs import parts_in, predictions_of
    from vodkit.infer.replay import replayed, wanted_in
    from vodkit.serve.courier import CourierSettings
    from vodkit.serve.outlets import Outlets

    before = wanted_in(run if run.is_dir() else run.parent)
    wanted = replace(
        before,
        lines=tuple(lines) or before.lines,
        zones=tuple(zones) or before.zones,
        events=tuple(settings) or before.events,
    )
    parts = (parts_in(run) if run.is_dir() else [run]) or [predictions_of(run)]
    if wanted != before and read_header(parts[0]).notes.get("part", "1") != "1":
        aside(f"{parts[0]} is not the first file of the run: events are numbered from 1")
    if outlets.is_any:
        patience = CourierSettings(parting_s=_DELIVERING_S)
        classes = read_header(parts[0]).classes
        with Outlets(outlets, classes, aside, patience=patience) as sending:
            sending.serve(run if run.is_dir() else run.parent)
        return
    for _, found in replayed(parts, wanted):
        sys.stdout.buffer.write(b"".join(event.to_line() for event in found))
    sys.stdout.buffer.flush()
