"""Runs jobs over many sources with a progress bar, and says what became of each."""

import json
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from vodkit.errors import InputError, PartialError, VideoError

if TYPE_CHECKING:
    from vodkit.detect.base import Detector
    from vodkit.jobs import JobSettings, Step


def run_all(
    sources: list[str],
    wanted: "JobSettings",
    *,
    out: Path,
    outputs: list[str],
    segments: bool = False,
    resume: bool,
    overwrite: bool,
    as_json: bool,
) -> None:
    """Each source into its own run folder; a broken one does not stop the others.

    ``segments``: each goes on with the tracks of the one before.
    """
    from vodkit.jobs import (
        check_sources,
        describe,
        folder_names,
        is_complete,
        make_detector,
        prepare_folder,
        refuse_other_source,
    )

    check_sources(sources)
    folders = [out / name for name in folder_names(sources)]
    jobs = [wanted] * len(folders)
    if segments:
        jobs[1:] = [replace(wanted, after=str(before)) for before in folders[:-1]]
    for folder, job in zip(folders, jobs, strict=True):
        prepare_folder(folder, job, resume=resume, overwrite=overwrite)
    detector = make_detector(wanted, begun_in=folders if resume else ())
    if not as_json:
        tell_runtime(detector, wanted)
    failures: list[InputError | PartialError] = []
    for source, folder, job in zip(sources, folders, jobs, strict=True):
        try:
            if resume and is_complete(folder):
                refuse_other_source(folder, describe(source, detector, job))
            else:
                _run_one(source, folder, detector, job)
        except (VideoError, PartialError) as error:
            failures.append(error)
        written = _write_outputs(folder, source, outputs)
        say(source, folder, written, as_json=as_json)
    _raise(failures, len(sources))


def tell_runtime(detector: "Detector", wanted: "JobSettings") -> None:
    """What ``auto`` means here, and why."""
    choice = getattr(detector, "choice", None)
    if wanted.runtime == "auto":
        begun = f"runtime: {getattr(detector, 'runtime', '')} (as the run began)"
        print(choice.line() if choice else begun, flush=True)


def _run_one(source: str, folder: Path, detector: "Detector", wanted: "JobSettings") -> None:
    from vodkit.jobs import run_source

    for _ in with_bar(run_source(source, folder, detector, wanted), Path(source).name):
        pass


def with_bar(steps: Iterable["Step"], title: str) -> Iterator["Step"]:
    """Steps, with a bar on stderr: done, rate, time left. Silent where stderr is no terminal."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.completed:.0f}/{task.total} frames  {task.speed:.1f}/s"),
        TimeRemainingColumn(),
    )
    console = Console(stderr=True)
    with Progress(*columns, console=console, disable=not sys.stderr.isatty()) as bar:
        task = bar.add_task(title, total=None)
        for step in steps:
            bar.update(task, completed=step.num_done, total=step.num_total)
            yield step


def _write_outputs(folder: Path, source: str, outputs: list[str]) -> list[Path]:
    from vodkit import runs
    from vodkit.outputs import OUTPUTS

    predictions = folder / runs.PREDICTIONS
    if not predictions.exists():
        return []
    written = [predictions]
    for name in outputs:
        if name == "video":
            from vodkit.report.annotate import write_video

            path = folder / "annotated.mp4"
            write_video(source, predictions, path)
        else:
            file_name, write = OUTPUTS[name]
            path = folder / file_name
            write(predictions, path)
        written.append(path)
    return written


def say(source: str, folder: Path, written: Sequence[Path], *, as_json: bool) -> None:
    """Where the results of a source are, for people or for machines."""
    if as_json:
        print(json.dumps({"source": source, "folder": str(folder), "files": [*map(str, written)]}))
        return
    print(f"{source} -> {folder}")
    for path in written:
        print(f"  {path}")


def _raise(failures: list[InputError | PartialError], num_sources: int) -> None:
    """One failure speaks for itself; of several, each gets a line and the last line counts."""
    if not failures:
        return
    if num_sources == 1:
        raise failures[0]
    for failure in failures:
        print(f"vodkit: {failure}", file=sys.stderr)
    count = f"{len(failures)} of {num_sources} sources"
    if len(failures) == num_sources and not any(isinstance(f, PartialError) for f in failures):
        raise InputError(f"{count} could not be read")
    raise PartialError(f"{count} could not be read to their end; the rest is done")
