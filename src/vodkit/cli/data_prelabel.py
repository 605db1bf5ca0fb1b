"""``vodkit data prelabel``: predictions to be corrected by hand, the most doubtful tracks first."""

from pathlib import Path
from typing import TYPE_CHECKING

import typer

from vodkit.cli import data_options, options

if TYPE_CHECKING:
    from vodkit.data.prelabel import PrelabelSettings
    from vodkit.detect.base import Detector
    from vodkit.pipeline import FlowSettings
    from vodkit.records import LabelledVideo


def prelabel(
    videos: list[Path] = typer.Argument(..., help="Raw video files."),
    out: Path = data_options.OUT,
    format: str = typer.Option("cvat", "--format", "-f", help="cvat, label_studio, ..."),  # noqa: A002
    model: str = options.MODEL,
    tracker: str = typer.Option("vodkit", "--tracker", "-t", help="Name of a tracker."),
    score_threshold: float = options.SCORE,
    every: int = options.EVERY,
    batch_size: int = options.BATCH,
    runtime: str = options.RUNTIME,
    device: str = options.DEVICE,
    tolerance_px: float = typer.Option(1.0, "--tolerance-px", help="Error of key frames."),
    shortest: int = typer.Option(3, "--shortest", help="Leave out tracks of fewer boxes."),
) -> None:
    """Label raw video with a detector and a tracker, for correction in CVAT or Label Studio.

    Example: vodkit data prelabel clips/a.mp4 -f cvat -o labels/
    """
    from vodkit.data.prelabel import PrelabelSettings
    from vodkit.detect.models import load_detector
    from vodkit.formats.base import Writing
    from vodkit.formats.table import write_dataset
    from vodkit.pipeline import FlowSettings
    from vodkit.records import Dataset
    from vodkit.runs import make_folder

    wanted = PrelabelSettings(shortest=shortest)
    detector = load_detector(model, runtime=runtime, score_threshold=score_threshold, device=device)
    flow = FlowSettings(every=every, batch_size=batch_size, full_size=False)
    done = [_label(path, detector, tracker, flow, wanted=wanted) for path in videos]
    make_folder(out.parent)
    dataset = Dataset(classes=tuple(detector.classes), videos=tuple(done))
    write_dataset(dataset, out, format, writing=Writing(tolerance_px=tolerance_px))
    for video in done:
        print(f"{video.source}: {len(video.tracks or ())} boxes -> {out}")


def _label(
    path: Path,
    detector: "Detector",
    tracker: str,
    flow: "FlowSettings",
    *,
    wanted: "PrelabelSettings",
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
        tracks=for_correction(TrackTable.from_frames(rows), wanted),
        labelled_frames=np.array([index for index, _, _ in rows], np.int64),
    )
