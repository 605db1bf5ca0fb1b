"""Runs jobs over many sources with a progress bar, and says what became of each."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from vodkit.cli.bars import with_bar
from vodkit.cli.summary import aside, raise_failures, say
from vodkit.ground import runs
from vodkit.ground.errors import PartialError, SettingsError, VodkitError

if TYPE_CHECKING:
    from vodkit.detect.base import Detector
    from vodkit.infer.run import JobSettings


def run_all(
    sources: list[str],
    wanted: "JobSettings",
    *,
    out: Path,
    outputs: list[str],
    segments: bool = False,
    resume: bool,
    overwrite: bool,
    as_json: bool = False,
) -> None:
    """Each source into its own run folder, and what became of it."""
    failures = []
    for source, folder, written, failed in run_each(
        sources,
        wanted,
        out=out,
        outputs=outputs,
        segments=segments,
        resume=resume,
        overwrite=overwrite,
        quiet=as_json,
    ):
        say(source, folder, written, failed, as_json=as_json)
        failures.append(failed)
    raise_failures(failures)


def run_each(
    sources: list[str],
    wanted: "JobSettings",
    *,
    out: Path,
    outputs: Sequence[str] = (),
    classes: Sequence[str] | None = None,
    segments: bool = False,
    resume: bool,
    overwrite: bool,
    quiet: bool = False,
) -> Iterator[tuple[str, Path, list[Path], list[VodkitError]]]:
    """Each source, its run folder, its files of results, and its errors: others go on after one.

    All that can be known is looked at before anything that is there is thrown away. ``classes``:
    keep only these. ``segments``: each goes on with the tracks of the one before.
    """
    from vodkit.infer import run as jobs

    if resume and overwrite:
        raise SettingsError("--resume goes on, --overwrite starts anew; give one of the two")
    jobs.check_sources(sources)
    folders = [out / name for name in jobs.folder_names(sources)]
    jobs.check_after(wanted, folders)
    each = [wanted] * len(folders)
    if segments:
        each[1:] = [replace(wanted, after=str(before)) for before in folders[:-1]]
    for folder, job in zip(folders, each, strict=True):
        jobs.check_folder(folder, job, resume=resume, overwrite=overwrite)
    detector = jobs.make_detector(wanted, begun_in=folders if resume else (), classes=classes)
    if not quiet:
        tell_runtime(detector, wanted)
    for source, folder in zip(sources, folders, strict=True):
        if overwrite and (folder / runs.PREDICTIONS).exists():
            jobs.look_at(source, wanted)
    for folder, job in zip(folders, each, strict=True):
        jobs.prepare_folder(folder, job, resume=resume, overwrite=overwrite)
    for source, folder, job in zip(sources, folders, each, strict=True):
        written, failed = _run_one(source, folder, detector, job, outputs, resume=resume)
        yield source, folder, written, failed


def tell_runtime(detector: "Detector", wanted: "JobSettings") -> None:
    """What ``auto`` means here, and why."""
    choice = getattr(detector, "choice", None)
    if wanted.runtime == "auto":
        begun = f"runtime: {getattr(detector, 'runtime', '')} (as the run began)"
        print(choice.line() if choice else begun, flush=True)


def _run_one(
    source: str,
    folder: Path,
    detector: "Detector",
    wanted: "JobSettings",
    outputs: Sequence[str],
    *,
    resume: bool,
) -> tuple[list[Path], list[VodkitError]]:
    """The files of results of one source, and what went wrong.

    Other forms of an unfinished run that goes on are of a part of the video: they are made anew.
    """
    from vodkit.infer.exports import OUTPUTS
    from vodkit.infer.run import is_done, run_source
    from vodkit.report.annotate import write_video

    forms: dict[str, tuple[str, Callable[[Path, Path], list[str] | None]]]
    forms = {**OUTPUTS, "video": (runs.ANNOTATED, partial(write_video, source))}
    failed: list[VodkitError] = []
    try:
        if not (resume and is_done(source, folder, detector, wanted, tell=aside)):
            outputs = [
                name for name in forms if name in outputs or (folder / forms[name][0]).exists()
            ]
            for _ in with_bar(run_source(source, folder, detector, wanted), Path(source).name):
                pass
    except PartialError as error:
        failed.append(error)
    except VodkitError as error:
        return [], [error]
    written = [folder / runs.PREDICTIONS]
    for name in outputs:
        file_name, write = forms[name]
        try:
            for note in write(folder / runs.PREDICTIONS, folder / file_name) or ():
                aside(note)
            written.append(folder / file_name)
        except PartialError as error:  # it is there, but something in it is not
            written.append(folder / file_name)
            failed.append(error)
        except VodkitError as error:
            failed.append(error)
    return written, failed
