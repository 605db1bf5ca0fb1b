"""``vodkit data prelabel``: predictions to be corrected by hand, the most doubtful tracks first.

Or to be learnt from as they are: refined with knowledge of the whole video, unsure tracks ignored.
"""

import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from vodkit.cli import data_options, options

if TYPE_CHECKING:
    from collections.abc import Callable

    from vodkit.data.prelabel import PrelabelSettings
    from vodkit.detect.base import Detector
    from vodkit.pipeline import FlowSettings
    from vodkit.records import LabelledVideo, TrackTable


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
) -> None:
    """Label raw video with a detector and a tracker, for correction in CVAT or Label Studio.

    Example: vodkit data prelabel clips/a.mp4 -f cvat -o labels/
    """
    from vodkit import process
    from vodkit.data.prelabel import PrelabelSettings
    from vodkit.formats.base import Writing
    from vodkit.formats.table import write_dataset
    from vodkit.pipeline import FlowSettings
    from vodkit.records import Dataset
    from vodkit.runs import make_folder

    process.settle()
    wanted = PrelabelSettings(shortest=shortest, unsure=unsure)
    second = _second_pass(refine_set, refined=refined)
    detector = _detector(model, runtime, device, score_threshold, classes=classes, tiles=tiles)
    flow = FlowSettings(every=every, batch_size=batch_size, full_size=bool(tiles))
    make_folder(out.parent)
    done = []
    for path in videos:
        labelled = _label(path, detector, tracker, flow, wanted=wanted, second=second)
        # The native file is read with its videos beside it; labelling tools know them by name.
        source = relative_name(path, out.parent) if format == "cocovid" else path.name
        done.append(replace(labelled, source=source))
        # After each video, so that what was done is there when the work is stopped.
        dataset = Dataset(classes=tuple(detector.classes), videos=tuple(done))
        write_dataset(dataset, out, format, writing=Writing(tolerance_px=tolerance_px))
        print(f"{source}: {len(labelled.tracks or ())} boxes -> {out}", flush=True)


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
    path: Path,
    detector: "Detector",
    tracker: str,
    flow: "FlowSettings",
    *,
    wanted: "PrelabelSettings",
    second: "Callable[[TrackTable], TrackTable]",
) -> "LabelledVideo":
    import numpy as np

    from vodkit.data.prelabel import for_correction
    from vodkit.pipeline import track_video
    from vodkit.records import LabelledVideo, TrackTable
    from vodkit.track.table import make_tracker
    from vodkit.video.reader import open_video

    with open_video(path) as video:
        info = video.info
    rows = [
        (frame.index, frame.time_s, tracks)
        for frame, _, tracks in track_video(path, detector, make_tracker(tracker), flow=flow)
    ]
    return LabelledVideo(
        source=path.name,
        info=info,
        tracks=for_correction(second(TrackTable.from_frames(rows)), wanted),
        labelled_frames=np.array([index for index, _, _ in rows], np.int64),
    )
