"""A video with its boxes drawn in: an mp4 that browsers play, original timing and sound."""

from functools import partial
from pathlib import Path

from vodkit.formats.predictions import Header
from vodkit.ground.errors import PartialError
from vodkit.infer.exports import export
from vodkit.infer.filming import Drawing
from vodkit.report.draw import DEFAULTS, DrawSettings, draw_onto
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
    drawn = partial(film, settings=settings)
    _, errors, notes = export(Path(predictions), {"video": Path(path)}, film=drawn, source=source)
    for error in errors:
        raise error
    return notes


def film(
    path: Path, header: Header, source: str | Path, *, settings: DrawSettings = DEFAULTS
) -> Drawing:
    """A sink that draws frames, with their final rows, into a copy of ``source``.

    See ``write_video``; the frames are written to: their pictures are drawn into.
    """
    info = header.info
    with VideoWriter(
        path,
        width_px=info.width_px,
        height_px=info.height_px,
        rate=info.rate,
        audio_from=source if Path(source).is_file() else None,
    ) as out:
        while (pair := (yield)) is not None:
            frame, found = pair
            draw_onto(frame.image, found, header.classes, settings=settings)
            out.write(frame.image, frame.time_s)
    if out.num_lost_sound:
        lost = f"{out.num_lost_sound} pieces of the sound of {source} could not be decoded"
        raise PartialError(f"{path}: {lost}; it is silent there")
    return [] if out.resampled is None else [f"{path}: {out.resampled}"]
