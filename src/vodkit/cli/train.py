"""``vodkit train``: a labelled dataset in, a detector for its classes out."""

import json
import os
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import typer

from vodkit.cli import options

if TYPE_CHECKING:
    from vodkit.train.freeze import StageRow
    from vodkit.train.loop import Progress


def train(
    data: Path = typer.Option(..., "--data", "-d", help="Dataset file or folder, with a split."),
    model: str | None = typer.Option(
        None, "--model", "-m", help="Name or checkpoint to begin with; default: vodkit-street."
    ),
    out: Path = typer.Option(Path("runs/train"), "--out", "-o", help="Run folder."),
    freeze: str | None = typer.Option(
        None,
        "--freeze",
        help="Stays as it is, up to: none, stem, stage1 .., backbone (the default), head-only.",
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
        False, "--appearance", help="Train a head that tells tracks apart; the detector stays."
    ),
    search: int = typer.Option(
        0, "--search", help="Try so many settings first; needs vodkit[tune]."
    ),
    resume: bool = typer.Option(False, "--resume", help="Go on with the run in --out."),
    overwrite: bool = options.OVERWRITE,
    as_json: bool = typer.Option(False, "--json", help="Print the result as JSON."),
) -> None:
    """Fine-tune a detector on labelled video. The best checkpoint is chosen on split val.

    With --appearance: a head that tells tracked objects apart, for vodkit track --appearance.

    Example: vodkit train --data flies.json --model vodkit-street --out runs/flies
    """
    from vodkit import process, settings
    from vodkit.cli.data_options import load
    from vodkit.formats.base import split_warnings
    from vodkit.report.training_page import TrainingPage
    from vodkit.train import loop
    from vodkit.train.settings import TrainSettings

    process.settle()
    chosen = {
        "data": str(data),
        "out": str(out),
        "model": model,
        "freeze": freeze,
        "epochs": epochs,
        "batch_size": batch_size,
    }
    given = [f"{name}={json.dumps(value)}" for name, value in chosen.items() if value is not None]
    if appearance:
        from vodkit.cli.train_appearance import refuse, train_head

        refuse((("--freeze", freeze), ("--epochs", epochs), ("--batch-size", batch_size),
                ("--search", search), ("--resume", resume)))  # fmt: skip
        train_head([*given, *words], settings_file, overwrite=overwrite, as_json=as_json)
        return
    wanted = settings.load(TrainSettings, toml=settings_file, words=[*given, *words])
    if search:
        from vodkit.train.search import best_settings

        wanted = best_settings(wanted, trials=search, resume_run=resume, overwrite=overwrite)
    labels = load(data)[0]
    warnings = split_warnings(labels)
    page = TrainingPage(Path(wanted.out), notes=warnings)

    def watch(progress: "Progress") -> None:
        page(progress)
        bars.show(progress)

    with _Bars(quiet=as_json) as bars:
        result = loop.train(wanted, resume_run=resume, overwrite=overwrite, watch=watch)
    if os.environ.get("RANK", "0") != "0":  # of several processes the first one speaks
        return
    report = page.write(result)
    if as_json:
        told = {**asdict(result), "split_warnings": warnings, "report": report}
        print(json.dumps(told, default=str))
        return
    for warning in warnings:
        print(f"warning: {warning}")
    if result.left_out:
        print(f"left out, not readable: {', '.join(result.left_out)}")
    score = "" if result.ap is None else f"AP {result.ap:.3f}, AP50 {result.ap50:.3f}, "
    print(f"{result.checkpoint}: {score}{result.epochs} epochs; took {result.seconds:.0f} s now")
    print(f"curves and pictures: {report}")
    print(f"next: vodkit track my_video.mp4 --model {result.checkpoint} --video")
    if any(video.split == "test" for video in labels.videos):
        print(f"      vodkit eval {data} --model {result.checkpoint} --split test")


class _Bars:
    """Progress on the terminal: one bar for what is under way, a line for each epoch."""

    def __init__(self, *, quiet: bool) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeRemainingColumn

        # Standard output is for the result alone.
        console = Console(stderr=True, quiet=quiet)
        columns = ("{task.description}", BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        hidden = quiet or not console.is_terminal
        self._bar = Progress(*columns, console=console, disable=hidden, transient=True)
        self._task: Any = None
        self._what = ""

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def _table(self, rows: Sequence["StageRow"]) -> None:
        from rich.table import Table

        table = Table("stage", "parameters", "trained", box=None)
        for row in rows:
            table.add_row(row.stage, f"{row.parameters:,}", f"{row.trainable:,}")
        self._bar.console.print(table)

    def show(self, progress: "Progress") -> None:
        """Take note of a step."""
        if progress.parameters:
            self._table(progress.parameters)
            return
        losses = ", ".join(f"{name} {value:.3f}" for name, value in progress.losses.items())
        if progress.what == "epoch":
            score = "" if progress.ap is None else f"AP {progress.ap:.3f}, "
            waiting = f"waited for data {progress.wait_share:.0%}"
            self._bar.console.print(f"epoch {progress.done}: {score}{losses} ({waiting})")
            return
        if progress.what != self._what:
            if self._task is not None:
                self._bar.remove_task(self._task)
            self._task, self._what = self._bar.add_task(progress.what), progress.what
        steps = progress.what == "step"
        done = progress.done + (progress.epoch * progress.total if steps else 0)
        total = progress.total * (progress.num_epochs if steps else 1)
        text = f"{losses}, lr {progress.lr:.1e}" if steps else progress.what
        self._bar.update(self._task, completed=done, total=total, description=text)
