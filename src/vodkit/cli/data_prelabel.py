"""``vodkit data prelabel``: predictions to be corrected by hand, the most doubtful tracks first.

Or to be learnt from as they are: refined with knowledge of the whole video, unsure tracks ignored.
"""

from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from vodkit.cli import data_options, options
from vodkit.cli.terminal import say
from vodkit.data.settings import PrelabelSettings
from vodkit.ground.errors import InputError, OutputError, SettingsError
from vodkit.ground.paths import relative
from vodkit.infer.settings import InferSettings

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from vodkit.ground.records import LabelledVideo, TrackTable
    from vodkit.infer.folder import RunFolder


@options.with_settings(without=("tracker_settings", "after", "lines", "zones", "events"))
def prelabel(
    videos: list[Path] = typer.Argument(..., help="Raw video files, or folders of still pictures."),
    *,
    out: Path = data_options.OUT,
    format: str = typer.Option(  # noqa: A002
        "cvat", "--format", "-f", help="cvat, label_studio, ...; cocovid to train on."
    ),
    job: InferSettings,
    tolerance_px: float = typer.Option(1.0, "--tolerance-px", help="Error of key frames."),
    wanted: PrelabelSettings,
    refined: bool = typer.Option(
        False, "--refine", help="Stitch, fill, vote and drop flicker first, as vodkit refine does."
    ),
    refine_set: list[str] = typer.Option([], "--set", help="A setting of --refine, name=value."),
    threads: int = options.THREADS,  # noqa: ARG001 - its callback sets it
    resume: bool = typer.Option(False, "--resume", help="Continue where it was stopped."),
    overwrite: bool = typer.Option(
        False, "--overwrite", help="Replace existing labels, and start over unless --resume."
    ),
) -> None:
    """Label raw video with a detector and a tracker. For correction in CVAT or Label Studio.

    Example: vodkit data prelabel clips/a.mp4 -f cvat -o labels/
    """
    from vodkit.cli.run import run_batch
    from vodkit.cli.summary import aside, raise_failures, say_runtime
    from vodkit.data.export import export_dataset
    from vodkit.data.prelabel import for_correction
    from vodkit.formats.base import Writing
    from vodkit.formats.table import FORMATS
    from vodkit.ground import process
    from vodkit.ground.ledger import remove_tree
    from vodkit.ground.lookup import pick
    from vodkit.ground.records import Dataset
    from vodkit.infer.batch import Batch
    from vodkit.track.table import make_tracker

    process.settle()
    make_tracker(job.tracker)  # there must be one: what has no track is no label
    needs_pictures = pick(FORMATS, format, "label format").PICTURES is not None
    # The native file is read with its videos beside it; labelling tools know them by name.
    names = {
        str(path): relative(path, out.parent) if format == "cocovid" else path.name
        for path in videos
    }
    _require_new(videos, names, out, overwrite=overwrite)
    second = _second_pass(refine_set, refined=refined)
    runs = out.absolute().with_name(f".runs-{out.absolute().name}")
    overwrite_runs = overwrite and not resume
    batch = Batch([*names], job, out=runs, resume=resume, overwrite=overwrite_runs, notify=aside)
    if batch.of_stills and (refined or wanted.unsure):
        given = "--refine" if refined else "--unsure"
        raise SettingsError(f"{given} is for tracks, which still pictures have none of")
    say_runtime(batch.detector, job)
    done: list[LabelledVideo] = []
    failures = []
    for one in run_batch(batch):
        failures.append(one.errors)
        if one.files:
            if batch.of_stills:
                place = f"{names[one.source]}/" if format == "cocovid" else ""
                known, new = _detected(one.folder, place)
                say(f"{names[one.source]}: {len(new)} pictures, {_counted(new)}")
            else:
                known, video = _tracked(one.folder, names[one.source])
                assert video.tracks is not None
                new = [replace(video, tracks=for_correction(second(video.tracks), wanted))]
                say(f"{names[one.source]}: {_counted(new)}")
            done += new
    if done:
        lost = export_dataset(
            Dataset(classes=known, videos=tuple(done)), out, format, root=out.parent,
            writing=Writing(tolerance_px=tolerance_px), pictures=False, overwrite=overwrite,
        )  # fmt: skip
        say(f"labels: {out}")
        for what in lost:
            say(f"  not kept by {format}: {what}")
        if needs_pictures:
            say(f"  no pictures: for those -f cocovid, then vodkit data export -f {format}")
        say(f"next: correct them, then vodkit data import {out} --videos FOLDER -o dataset.json")
    raise_failures(failures)
    remove_tree(runs)


def _require_new(videos: list[Path], names: dict[str, str], out: Path, *, overwrite: bool) -> None:
    """Before any work: every video has a name of its own, and no labels are at ``out``."""
    from vodkit.data.export import holds_something
    from vodkit.ground.ledger import require_all_ours, require_ours

    name, count = Counter(names[str(path)] for path in videos).most_common(1)[0]
    if count > 1:
        raise InputError(f"{count} videos are called {name!r}; label them in runs of their own")
    if holds_something(out) and not overwrite:
        hint = "give another -o, or --overwrite to replace it"
        raise OutputError(f"exists and may have been corrected by hand; {hint}", path=out)
    if out.is_dir():
        require_all_ours(out)
    else:
        require_ours(out)


def _second_pass(words: list[str], *, refined: bool) -> "Callable[[TrackTable], TrackTable]":
    """What is done with the tracks of a whole video before they become labels."""
    from vodkit.ground.errors import SettingsError
    from vodkit.ground.settings import load
    from vodkit.track.refine import RefineSettings, refine

    if words and not refined:
        raise SettingsError(f"--set {words[0]} is for --refine, which is not given")
    if not refined:
        return lambda table: table
    wanted = load(RefineSettings, words=words)
    return lambda table: refine(table, wanted)


def _tracked(folder: "RunFolder", name: str) -> "tuple[tuple[str, ...], LabelledVideo]":
    """Classes, and a video under this name with all tracks of its run, first boxes included."""
    import numpy as np

    from vodkit.ground.records import LabelledVideo

    found = folder.predictions
    frames = np.array([*found.clock], np.int64)
    info = replace(found.header.info, path=name)
    video = LabelledVideo(source=name, info=info, tracks=found.table, labelled_frames=frames)
    return found.header.classes, video


def _detected(folder: "RunFolder", place: str) -> "tuple[tuple[str, ...], Sequence[LabelledVideo]]":
    """Classes, and the still pictures of a run, named as in ``place``."""
    from vodkit.formats.table import read_dataset
    from vodkit.ground import runs

    found = read_dataset(folder / runs.STILLS)
    return found.classes, [
        replace(one, source=f"{place}{one.source}", info=replace(one.info, path=one.source))
        for one in found.videos
    ]


def _counted(videos: "Sequence[LabelledVideo]") -> str:
    tables = [one.tracks for one in videos if one.tracks is not None]
    ignored = sum(int(one.ignore.sum()) for one in tables if one.ignore is not None)
    also = f" and {ignored} ignore regions" if ignored else ""
    return f"{sum(map(len, tables)) - ignored} boxes{also}"
