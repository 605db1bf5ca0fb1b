"""A video with its boxes drawn in: an mp4 that browsers play, original timing and sound."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from pathlib import Path

from vodkit.formats.predictions import (
    Header,
    PredictedFrame,
    final_frames,
    open_predictions,
)
from vodkit.ground.errors import PartialError
from vodkit.ground.records import Detections, Frame, Tracks
from vodkit.report.draw import DEFAULTS, DrawSettings, draw_onto
from vodkit.video.prefetch import ahead, depth_here
from vodkit.video.reader import open_video
from vodkit.video.writer import VideoWriter


def write_video(
    source: str | Path,
    predictions: str | Path,
    path: str | Path,
    *,
    settings: DrawSettings = DEFAULTS,
) -> list[str]:
    """Draw the final rows of a predictions file into its video.

    Args:
        source: the video that the predictions are of.
        predictions: a predictions file.
        path: the mp4 to write.
        settings: how boxes are drawn.

    Returns:
        Notes on what was written.

    Raises:
        VideoError: the source cannot be decoded.
        OutputError: the file cannot be written.
        PartialError: some sound could not be decoded (the file exists, silent in places).
    """
    predictions, path = Path(predictions), Path(path)
    with open_predictions(predictions) as (header, frames):
        return film(path, header, final_frames(frames), source=source, settings=settings)


def film(
    path: Path,
    header: Header,
    final: Iterator[PredictedFrame],
    *,
    source: str | Path,
    settings: DrawSettings = DEFAULTS,
) -> list[str]:
    """Draw final frames into a copy of ``source``; frames without a line stay as they are.

    See ``write_video``.
    """
    with open_video(source, strict=False, picture_rate=header.info.rate) as video:
        sound = Path(source) if Path(source).is_file() else None
        info = video.info
        with VideoWriter(
            path,
            width_px=info.width_px,
            height_px=info.height_px,
            rate=info.rate,
            audio_from=sound,
        ) as out:
            pairs = frames_with(video.frames(), final)
            # Drawn in the thread that decodes, while the other one encodes.
            with closing(ahead(_drawn(pairs, header.classes, settings), depth_here())) as drawn:
                for frame in drawn:
                    out.write(frame.image, frame.time_s)
    if out.num_lost_sound:
        lost = f"{out.num_lost_sound} pieces of the sound of {source} could not be decoded"
        raise PartialError(f"{path}: {lost}; it is silent there")
    return [] if out.resampled is None else [f"{path}: {out.resampled}"]


def _drawn(
    pairs: Iterable[tuple[Frame, Detections | Tracks]],
    classes: Sequence[str],
    settings: DrawSettings,
) -> Iterator[Frame]:
    for frame, found in pairs:
        draw_onto(frame.image, found, classes, settings=settings)  # nobody else's picture
        yield frame


def frames_with(
    frames: Iterator[Frame], found: Iterator[PredictedFrame]
) -> Iterator[tuple[Frame, Detections | Tracks]]:
    """Every frame beside what was found in it; both in the order of the frames."""
    waiting = next(found, None)
    for frame in frames:
        while waiting is not None and waiting.index < frame.index:
            waiting = next(found, None)
        here = waiting is not None and waiting.index == frame.index
        yield frame, waiting.found if here and waiting is not None else Detections.empty()
