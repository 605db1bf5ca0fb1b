"""``vodkit refine``: a second, offline pass over predictions."""

from pathlib import Path

import typer

from vodkit.cli import options
from vodkit.cli.terminal import say, say_json


def refine(
    predictions: Path = typer.Argument(..., help="A run folder or its predictions.jsonl."),
    out: Path = typer.Option(
        None, "--out", "-o", help="Default: refined.jsonl in the same folder."
    ),
    settings: list[str] = typer.Option(
        [], "--set", help="A setting, e.g. stitch.gap_s=5; 'help' lists all."
    ),
    as_json: bool = options.JSON,
) -> None:
    """Stitch, fill and clean tracks with knowledge of the whole video.

    Example: vodkit refine runs/plaza --set fill_s=2
    """
    from dataclasses import replace

    import numpy as np

    from vodkit.formats.embeddings import looks_beside
    from vodkit.formats.predictions import read_header, read_predictions, sniff, write_table
    from vodkit.ground import runs
    from vodkit.ground.errors import InputError, OutputError
    from vodkit.ground.records import State
    from vodkit.ground.settings import load, to_toml
    from vodkit.track.refine import RefineSettings
    from vodkit.track.refine import refine as run

    path = runs.predictions_of(predictions)
    wanted = load(RefineSettings, words=settings)
    given = read_predictions(path)
    header, table, clock = given.header, given.table, given.clock
    if not header.tracker:
        raise InputError(f"{path}: detections without tracks; run `vodkit track` first")
    target = out or path.with_name(_name(path.stem))
    if target.resolve() == path.resolve():
        raise InputError(
            f"{target}: refined tracks cannot replace the file that they are made from"
        )
    if target.exists() and not (sniff(target) and read_header(target).mode == "refined"):
        raise OutputError(
            "exists and is not a refined-tracks file; give another --out", path=target
        )
    note_incomplete(path)
    result = run(table, wanted, looks=looks_beside(path, table), clock=clock)
    notes = {**header.notes, "refine": to_toml(wanted)}
    changed = replace(header, mode="refined", notes=notes)
    write_table(target, changed, result, clock, times_s=clock)
    facts = {
        "written": str(target),
        "tracks_before": len(np.unique(table.ids)),
        "tracks_after": len(np.unique(result.ids)),
        "boxes_filled": int((result.states == State.FILLED).sum()),
    }
    if as_json:
        say_json(facts)
    else:
        say(f"{facts['tracks_before']} tracks became {facts['tracks_after']}; "
              f"{facts['boxes_filled']} boxes filled in: {target}")  # fmt: skip


def _name(stem: str) -> str:
    """Of what is made of a predictions file: each has its own, the parts of a live run, too."""
    if stem.startswith("predictions"):
        return f"refined{stem.removeprefix('predictions')}.jsonl"
    return f"{stem}-refined.jsonl"


def note_incomplete(predictions: Path) -> None:
    """Print a note where a predictions file is of a part of its video: numbers of it are, too."""
    from vodkit.ground.errors import FormatError
    from vodkit.infer.manifest import Ended, read_manifest

    try:
        manifest = read_manifest(predictions.parent)
    except FormatError:
        return  # of another command
    if manifest is not None and manifest.ended not in (Ended.COMPLETE, Ended.STOPPED):
        ended = ": ".join(filter(None, (str(manifest.ended), manifest.reason)))
        say(f"vodkit: note: {predictions} is incomplete; its run is {ended}", error=True)
