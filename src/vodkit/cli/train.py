"""``vodkit train``: a labelled dataset in, a detector for its classes out."""

import json
import os
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from vodkit.cli import options, train_curve
from vodkit.cli.terminal import aside, say, say_json, say_next

if TYPE_CHECKING:
    from vodkit.train.loop import TrainResult
    from vodkit.train.progress import Progress


def train(
    data: Path = typer.Option(..., "--data", "-d", help="Dataset file or folder, with a split."),
    model: str | None = typer.Option(
        None, "--model", "-m", help="Name or checkpoint to begin with; default: vodkit-street."
    ),
    out: Path | None = typer.Option(
        None, "--out", "-o", help="Run folder; default: runs/train, runs/appearance, ..."
    ),
    freeze: str | None = typer.Option(
        None,
        "--freeze",
        help="Last frozen part: none, stem, stage1 .., backbone (the default), head-only.",
    ),
    epochs: int | None = typer.Option(
        None, "--epochs", help="Default: by the size of the data, 10 to 60."
    ),
    batch_size: int | None = typer.Option(
        None, "--batch-size", help="Pictures a step; default: 8."
    ),
    settings_file: Path | None = typer.Option(None, "--settings", help="TOML with settings."),
    words: list[str] = typer.Option(
        [], "--set", help="Any other setting, name=value (repeatable); 'help' lists all."
    ),
    appearance: bool = typer.Option(
        False,
        "--appearance",
        help="Train a head that distinguishes tracks; the detector stays unchanged.",
    ),
    temporal: bool = typer.Option(
        False, "--temporal", help="Train a memory of frames around; the detector stays."
    ),
    motion: bool = typer.Option(
        False, "--motion", help="Also input differences to earlier frames: for small movers."
    ),
    search: int = typer.Option(
        0, "--search", help="Try so many settings first; needs vodkit[tune]."
    ),
    curve: bool = typer.Option(
        False, "--curve", help="Train on 1/4, 1/2 and all labels: what would more bring?"
    ),
    curve_seeds: int = typer.Option(3, "--curve-seeds", help="Trainings of each size; from 2."),
    strict: bool = options.STRICT,  # noqa: ARG001 - its callback sets it
    threads: int = options.THREADS,
    resume: bool = typer.Option(False, "--resume", help="Go on with the run in --out."),
    overwrite: bool = options.OVERWRITE,
    as_json: bool = options.JSON,
) -> None:
    """Fine-tune a detector on labelled video. The best checkpoint is chosen on split val.

    With --appearance: a head that tells tracked objects apart, for vodkit track --appearance.
    With --temporal: a memory of the frames around, for vodkit track --temporal.

    Example: vodkit train --data flies.json --model vodkit-street --out runs/flies
    """
    from vodkit.cli.data_options import load
    from vodkit.cli.training_progress import say_to_file, shown
    from vodkit.detect.models import find_card
    from vodkit.formats.base import are_stills, split_warnings
    from vodkit.ground import process, settings
    from vodkit.report.training_page import TrainingPage
    from vodkit.train import loop
    from vodkit.train.settings import TrainSettings

    process.settle()
    chosen = {
        "data": str(data),
        "out": None if out is None else str(out),
        "model": model,
        "freeze": freeze,
        "epochs": epochs,
        "batch_size": batch_size,
        "motion": True if motion else None,
    }
    given = [f"{name}={json.dumps(value)}" for name, value in chosen.items() if value is not None]
    if appearance or temporal:
        from vodkit.cli import train_head

        no = (("--freeze", freeze), ("--epochs", epochs), ("--batch-size", batch_size),
              ("--motion", motion),
              ("--search", search and appearance), ("--resume", resume), ("--curve", curve),
              ("--appearance", appearance and temporal))  # fmt: skip
        train_head.refuse("--temporal" if temporal else "--appearance", no)
        values = [*given, *words]
        if temporal:
            train_head.train_temporal_head(
                values, settings_file, overwrite=overwrite, as_json=as_json, trials=search
            )
            return
        train_head.train_appearance_head(
            values, settings_file, overwrite=overwrite, as_json=as_json
        )
        return
    with process.told_once():
        wanted = settings.load(TrainSettings, toml=settings_file, words=[*given, *words])
        find_card(wanted.model)  # a wrong name is refused before data is read
        labels = load(data, losses=as_json or bool(search) or curve)[0]  # else the training does
        warnings = split_warnings(labels)
        if curve:
            train_curve.refuse((("--search", search),))
            train_curve.train_curve(wanted, seeds=curve_seeds, overwrite=overwrite, as_json=as_json)
            return
        if search:
            from vodkit.train.search import best_settings, tell_nobody

            tell = tell_nobody if as_json else say_to_file
            wanted = best_settings(
                wanted, trials=search, resume_run=resume, overwrite=overwrite, tell=tell
            )
    if busy := process.busy_note():
        hint = "" if threads else " (fewer --threads leave room for the others)"
        aside(f"{busy}{hint}")
    page = TrainingPage(Path(wanted.out), notes=warnings)
    with shown(quiet=as_json) as show:

        def watch(progress: "Progress") -> None:
            page(progress)
            show(progress)

        result = loop.train(wanted, resume_run=resume, overwrite=overwrite, watch=watch)
    if os.environ.get("RANK", "0") != "0":  # of several processes the first one speaks
        return
    _say(result, page.write(result), warnings, as_json=as_json)
    if not as_json and not are_stills(labels):
        say_next("vodkit", "track", "my_video.mp4", "--model", str(result.checkpoint), "--video")
    if not as_json and any(video.split == "test" for video in labels.videos):
        given = ["--model", str(result.checkpoint), "--split", "test"]
        say_next("vodkit", "eval", str(data), *given)


def _say(result: "TrainResult", page: Path, warnings: Sequence[str], *, as_json: bool) -> None:
    """How the training ended, for people or for machines."""
    if as_json:
        told = {**asdict(result), "split_warnings": warnings, "report": page}
        say_json(told, default=str)
        return
    for warning in warnings:
        say(f"warning: {warning}")
    if result.left_out:
        say(f"left out, not readable: {', '.join(result.left_out)}")
    score = (
        ""
        if result.ap is None
        else f"AP {result.ap:.3f}, AP50 {result.ap50:.3f} ({result.measured_on}), "
    )
    say(f"{result.checkpoint}: {score}{result.epochs} epochs; took {result.seconds:.0f} s now")
    say(f"curves and pictures: {page}")
