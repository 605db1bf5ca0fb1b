"""``vodkit data prelabel``: predictions to be corrected by hand, the most doubtful tracks first.

Or to be learnt from as they are: refined with knowledge of the whole video, unsure tracks ignored.
"""

import os
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from vodkit.cli import data_options, options
from vodkit.errors import InputError, OutputError

if TYPE_CHECKING:
    from collections.abc import Callable

    from vodkit.arrays import IntArray
    from vodkit.detect.base import Detector
    from vodkit.pipeline import FlowSettings
    from vodkit.records import TrackTable, VideoInfo


def prelabel(
    videos: list[Path] = typer.Argument(..., help="Raw video files."),
    out: Path = data_options.OUT,
    format: str = typer.Option(  # noqa: A002
        "cvat", "--format", "-f", help="cvat, label_studio, ...; cocovid to train on."
    ),
    model: str = options.MODEL,
    classes: str = typer.Option("", "--classes", help="Keep only these, as car,bus."),
    tiles: str = options.TILES,
    tracker: str = typer.Option("vodkit", "--tracker", "-t", help="Name of a tracker."),
    score_threshold: float = options.SCORE,
    every: int = options.EVERY,
    batch_size: int = options.BATCH,
    runtime: str = options.RUNTIME,
    device: str = options.DEVICE,
    tolerance_px: float = typer.Option(1.0, "--tolerance-px", help="Error of key frames."),
    shortest: int = typer.Option(3, "--shortest", help="Leave out tracks of fewer boxes."),
    refined: bool = typer.Option(
        False, "--refine", help="Stitch, fill, vote and drop flicker first, as vodkit refine does."
    ),
    refine_set: list[str] = typer.Option([], "--set", help="A setting of --refine, name=value."),
    unsure: float = typer.Option(
        0.0, "--unsure", help="Tracks with a lower median score become ignore regions."
    ),
    overwrite: bool = typer.Option(False, "--overwrite", help="Replace labels that are there."),
) -> None:
    """Label raw video with a detector and a tracker. For correction in CVAT or Label Studio.

    Example: vodkit data prelabel clips/a.mp4 -f cvat -o labels/
    """
    import numpy as np

    from vodkit import process
    from vodkit.data.prelabel import PrelabelSettings, for_correction
    from vodkit.formats.base import Writing
    from vodkit.formats.table import FORMATS, what_is_lost, write_dataset
    from vodkit.lookup import pick
    from vodkit.pipeline import FlowSettings
    from vodkit.records import Dataset, LabelledVideo
    from vodkit.runs import make_folder

    process.settle()
    needs_pictures = pick(FORMATS, format, "label format").PICTURES is not None
    # The native file is read with its videos beside it; labelling tools know them by name.
    names = {
        path: relative_name(path, out.parent) if format == "cocovid" else path.name
        for path in videos
    }
    _require_new(videos, names, out, overwrite=overwrite)
    infos = {path: _info(path) for path in videos}  # before any work: all can be opened
    wanted = PrelabelSettings(shortest=shortest, unsure=unsure)
    second = _second_pass(refine_set, refined=refined)
    detector = _detector(model, runtime, device, score_threshold, classes=classes, tiles=tiles)
    flow = FlowSettings(every=every, batch_size=batch_size, full_size=bool(tiles))
    make_folder(out.parent)
    done = []
    for path in videos:
        table, frames = _label(path, detector, tracker, flow)
        tracks = for_correction(second(table), wanted)
        labelled = LabelledVideo(
            source=names[path],
            info=replace(infos[path], path=names[path]),
            tracks=tracks,
            labelled_frames=frames,
        )
        done.append(labelled)
        # After each video, so that what was done is there when the work is stopped.
        dataset = Dataset(classes=tuple(detector.classes), videos=tuple(done))
        write_dataset(dataset, out, format, writing=Writing(tolerance_px=tolerance_px))
        ignored = int(np.asarray(tracks.ignore).sum())
        also = f" and {ignored} ignore regions" if ignored else ""
        print(f"{names[path]}: {len(tracks) - ignored} boxes{also} -> {out}", flush=True)
    for what in what_is_lost(dataset, format):
        print(f"  not kept by {format}: {what}")
    if needs_pictures:
        print(f"  no pictures: for those -f cocovid, then vodkit data export -f {format}")
    print(f"next: correct them, then vodkit data import {out} --videos FOLDER -o dataset.json")


def _require_new(videos: list[Path], names: dict[Path, str], out: Path, *, overwrite: bool) -> None:
    """Before any work: every video has a name of its own, and no labels are at ``out``."""
    from vodkit.data.export import holds_something

    name, count = Counter(names[path] for path in videos).most_common(1)[0]
    if count > 1:
        raise InputError(f"{count} videos are called {name!r}; label them in runs of their own")
    if holds_something(out) and not overwrite:
        hint = "give another -o, or --overwrite to replace it"
        raise OutputError(f"is there, maybe corrected by hand; {hint}", path=out)


def relative_name(path: Path, folder: Path) -> str:
    """A path as seen from a folder, with forward slashes.

    >>> relative_name(Path("clips/a.mp4"), Path("labels"))
    '../clips/a.mp4'
    """
    return Path(os.path.relpath(path, folder)).as_posix()


def _detector(
    model: str, runtime: str, device: str, score_threshold: float, *, classes: str, tiles: str
) -> "Detector":
    from vodkit.detect.models import load_detector
    from vodkit.detect.tiles import TiledDetector, TileSettings

    detector = load_detector(
        model,
        runtime=runtime,
        score_threshold=score_threshold,
        device=device,
        classes=[name.strip() for name in classes.split(",")] if classes else None,
    )
    return TiledDetector(detector, TileSettings(grid=tiles)) if tiles else detector


def _second_pass(words: list[str], *, refined: bool) -> "Callable[[TrackTable], TrackTable]":
    """What is done with the tracks of a whole video before they become labels."""
    from vodkit.errors import SettingsError
    from vodkit.settings import load
    from vodkit.track.refine import RefineSettings, refine

    if words and not refined:
        raise SettingsError(f"--set {words[0]} is for --refine, which is not given")
    if not refined:
        return lambda table: table
    wanted = load(RefineSettings, words=words)
    return lambda table: refine(table, wanted)


def _label(
    path: Path, detector: "Detector", tracker: str, flow: "FlowSettings"
) -> "tuple[TrackTable, IntArray]":
    """The tracks of a video, and the frames that were looked at."""
    import numpy as np

    from vodkit.pipeline import track_video
    from vodkit.records import TrackTable
    from vodkit.track.table import make_tracker

    rows = [
        (frame.index, frame.time_s, tracks)
        for frame, _, tracks in track_video(path, detector, make_tracker(tracker), flow=flow)
    ]
    return TrackTable.from_frames(rows), np.array([index for index, _, _ in rows], np.int64)


def _info(path: Path) -> "VideoInfo":
    from vodkit.video.reader import open_video

    with open_video(path) as video:
        return video.info
