"""``vodkit data preview``: contact sheets of labels drawn on their frames."""

from pathlib import Path

import typer

from vodkit.cli import data_options as options
from vodkit.cli.terminal import say


def preview(
    dataset: Path = options.DATASET,
    out: Path = typer.Option(Path("preview"), "--out", "-o", help="Folder of the sheets."),
    format: str = options.FORMAT,  # noqa: A002
    strict: bool = options.STRICT,  # noqa: ARG001 - its callback sets it
    num_shown: int = typer.Option(12, "--frames", help="Frames on a sheet."),
    columns: int = typer.Option(4, "--columns", help="Frames in a row."),
) -> None:
    """Draw labels on frames, one sheet a video. The quickest way to see that they fit.

    Example: vodkit data preview dataset.json
    """
    from vodkit.data.preview import labelled_pictures
    from vodkit.formats.base import stems
    from vodkit.ground.errors import PartialError, SettingsError, VideoError
    from vodkit.ground.runs import make_folder
    from vodkit.report.contact_sheet import contact_sheet, write_png

    if num_shown < 1 or columns < 1:
        raise SettingsError(f"frames is {num_shown}, columns {columns}; allowed: 1 or more")
    labelled, root = options.load(dataset, format)
    make_folder(out)
    failures = []
    for video, name in zip(labelled.videos, stems(labelled), strict=True):
        try:
            shown = list(labelled_pictures(video, root, num_shown=num_shown))
        except VideoError as error:
            failures.append(error)
            continue
        if not shown:
            failures.append(VideoError("no labelled frame to show", path=root / video.source))
            continue
        path = out / f"{name}.png"
        write_png(contact_sheet(shown, labelled.classes, columns=columns), path)
        say(str(path))
    if len(failures) == len(labelled.videos) > 0:
        raise failures[0]
    if failures:
        told = "; ".join(map(str, failures[:3]))
        raise PartialError(f"no sheet of {len(failures)} of {len(labelled.videos)} videos: {told}")
