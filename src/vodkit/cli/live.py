"""Runs live sources together, shows how they do, and ends them cleanly on Ctrl-C or SIGTERM."""

import signal
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from vodkit.cli.progress import tell_runtime
from vodkit.cli.summary import aside, say
from vodkit.ground.errors import SettingsError

if TYPE_CHECKING:
    from vodkit.infer.live import LiveStep, RollSettings
    from vodkit.infer.run import JobSettings


def run_live_sources(
    sources: list[str],
    wanted: "JobSettings",
    *,
    out: Path,
    roll: "RollSettings",
    outputs: Sequence[str],
    refused: Sequence[str],
    resume: bool,
    overwrite: bool,
    as_json: bool,
) -> None:
    """All sources at once, each into its own run folder, until they end or somebody stops them."""
    from vodkit.infer.live import run_live
    from vodkit.infer.run import check_folder, folder_names, make_detector, prepare_folder

    if refused:
        raise SettingsError(f"{', '.join(refused)}: there is no way back in a live source")
    if resume and overwrite:
        raise SettingsError("--resume goes on, --overwrite starts anew; give one of the two")
    folders = [out / name for name in folder_names(sources)]
    for folder in folders:
        check_folder(folder, wanted, resume=resume, overwrite=overwrite)
    detector = make_detector(wanted)
    if not overwrite:  # which waits for the first frame
        for folder in folders:
            prepare_folder(folder, wanted, resume=resume)
    if not as_json:
        tell_runtime(detector, wanted)
    steps = run_live(
        sources, folders, detector, wanted,
        roll=roll, resume=resume, overwrite=overwrite, tell=aside,
    )  # fmt: skip
    came: set[str] = set()
    try:
        with _sigterm_stops():
            _show(steps, came)
    finally:
        steps.close()
        for source, folder in zip(sources, folders, strict=True):
            is_old = overwrite and source not in came
            say(source, folder, [] if is_old else _written(folder, outputs), as_json=as_json)


@contextmanager
def _sigterm_stops() -> Iterator[None]:
    """Service managers stop by SIGTERM; it ends a run as Ctrl-C does."""

    def stop(_number: int, _frame: object) -> NoReturn:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _show(steps: Iterable["LiveStep"], came: set[str]) -> None:
    """A line a source on stderr: frames, drops, latency. Silent where stderr is no terminal.

    ``came`` gets the sources that gave frames.
    """
    from rich.console import Console
    from rich.progress import Progress, TextColumn

    told_of = "{task.completed:.0f} frames {task.fields[told]}"
    columns = (TextColumn("{task.description}"), TextColumn(told_of))
    console = Console(stderr=True)
    with Progress(*columns, console=console, disable=not sys.stderr.isatty()) as lines:
        tasks = {}
        for step in steps:
            came.add(step.source)
            if step.source not in tasks:
                tasks[step.source] = lines.add_task(step.source, total=None, told="")
            told = f"{1000 * step.latency_s:.0f} ms behind, {step.num_dropped} dropped"
            lines.update(tasks[step.source], advance=1, told=told)


def _written(folder: Path, outputs: Sequence[str]) -> list[Path]:
    """The files of predictions, and other forms made of each."""
    from vodkit.ground.runs import parts_in
    from vodkit.infer.exports import OUTPUTS

    written: list[Path] = []
    for predictions in parts_in(folder):
        written.append(predictions)
        part = predictions.stem.removeprefix("predictions")
        for name in outputs:
            file_name, write = OUTPUTS[name]
            path = folder / f"{Path(file_name).stem}{part}{Path(file_name).suffix}"
            write(predictions, path)
            written.append(path)
    return written
