"""``vodkit show``: everyday jobs on the tracks of a finished run."""

from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from vodkit.cli import options
from vodkit.cli.refine import note_incomplete
from vodkit.cli.terminal import aside, say, say_json, say_table

if TYPE_CHECKING:
    from vodkit.infer.finished import FinishedRun

SOURCE = typer.Option(None, "--source", help="The video, if it was moved or renamed since.")


def show(
    run: Path = typer.Argument(..., help="A run folder, or a predictions file in it."),
    heatmap: bool = typer.Option(False, "--heatmap", help="Where objects were, for how long."),
    speed: bool = typer.Option(False, "--speed", help="Speeds of tracks as CSV, px/s or m/s."),
    ground: list[str] = typer.Option(
        [], "--ground", help="For m/s: x,y=X,Y, a pixel and its place in metres (4 times or more)."
    ),
    crops: bool = typer.Option(False, "--crops", help="The best picture of each track."),
    blur: str = typer.Option("", "--blur", help="Classes to make unrecognisable in a video copy."),
    clips: bool = typer.Option(False, "--clips", help="Short videos of when objects are there."),
    around_s: float = typer.Option(1.0, "--around-s", help="Seconds of a clip before and after."),
    classes: str = typer.Option("", "--classes", help="Only these, comma separated."),
    source: Path = SOURCE,
    out: Path = typer.Option(None, "--out", "-o", help="Default: the folder 'shown' in the run."),
    as_json: bool = options.JSON,
) -> None:
    """Make a heat map, speeds, crops, a blurred video or clips of a finished run.

    Example: vodkit show runs/plaza --heatmap --crops
    """
    from vodkit.ground import process
    from vodkit.ground.errors import SettingsError
    from vodkit.ground.runs import make_folder
    from vodkit.infer.finished import FinishedRun
    from vodkit.report.blur import labels_of

    jobs = {"heatmap": heatmap, "speed": speed, "crops": crops, "blur": bool(blur), "clips": clips}
    if not any(jobs.values()):
        names = ", ".join(f"--{name}" for name in jobs)
        raise SettingsError(f"nothing to show: give one or more of {names}")
    if ground and not speed:
        raise SettingsError("--ground is for --speed, which is not given")
    process.settle()
    given = FinishedRun.open(run, source)
    known = given.header.classes
    labels = [*labels_of(options.names_of(classes) or known, known)]
    hidden = [*labels_of(options.names_of(blur), known)]
    if heatmap or crops or blur or clips:
        given.open_video().close()  # a video that is missing is an error before any work
    note_incomplete(given.path)
    folder = make_folder(out or given.folder)
    made: dict[str, object] = {}
    if speed:
        made["speed"] = _speed(given, labels, ground, folder, as_json=as_json)
    if heatmap:
        made["heatmap"] = _heatmap(given, labels, folder)
    if crops:
        made["crops"] = _crops(given, labels, folder)
    if blur:
        made["blur"] = _blur(given, hidden, folder)
    if clips:
        made["clips"] = _clips(given, labels, folder, around_s)
    if as_json:
        say_json({name: str(path) for name, path in made.items()})
        return
    say(*(f"{name}: {path}" for name, path in made.items()))


def _speed(
    run: "FinishedRun", labels: Collection[int], ground: list[str], folder: Path, *, as_json: bool
) -> Path:
    import numpy as np

    from vodkit.report.speed_table import TITLES, shown, write_speeds
    from vodkit.track.count import frame_interval_s
    from vodkit.track.speed import by_track, measure_speeds, parse_points

    run.require_tracks()
    plane = parse_points(ground) if ground else None
    if plane is not None:
        run.require_fixed_camera("--ground")
    else:
        _notes(run)
    table = run.predictions.table
    every_s = np.diff(sorted(run.predictions.clock.values()))
    step_s = float(np.median(every_s)) if len(every_s) else frame_interval_s(table)
    speeds = measure_speeds(table[np.isin(table.labels, list(labels))], ground=plane,
                            interval_s=step_s)  # fmt: skip
    path = folder / "speed.csv"
    write_speeds(speeds, run.header.classes, path)
    rows = [shown(one, run.header.classes) for one in by_track(speeds)]
    titles = [title.format(unit=speeds.unit) for title in TITLES]
    if not as_json:
        say_table(titles, rows)
    aside(f"speeds are slopes over {speeds.window_s:.2g} s of observed boxes, with 95 % intervals")
    if speeds.num_without:
        aside(f"{speeds.num_without} observed boxes have no speed (fewer than 3 in that time)")
    if plane is not None and plane.rms_m:
        aside(f"the known points lie {plane.rms_m:.2g} m off the plane through them (RMS)")
    if outside := int(speeds.extrapolated.sum()):
        aside(f"{outside} of {len(speeds)} speeds are not between the known points: extrapolated")
    return path


def _notes(run: "FinishedRun") -> None:
    for note in run.place_notes():
        aside(f"note: {note}")


def _heatmap(run: "FinishedRun", labels: Collection[int], folder: Path) -> Path:
    from vodkit.report.contact_sheet import write_png
    from vodkit.report.heat_map import heat_map

    _notes(run)
    picture, _ = heat_map(run, classes=[*labels])
    write_png(picture, folder / "heatmap.png")
    return folder / "heatmap.png"


def _crops(run: "FinishedRun", labels: Collection[int], folder: Path) -> Path:
    from vodkit.report.track_crops import best_crops, write_crops

    place = emptied(folder / "crops")
    write_crops(best_crops(run, classes=[*labels]), run.header.classes, place)
    return place


def _blur(run: "FinishedRun", labels: Collection[int], folder: Path) -> Path:
    from vodkit.report.blur import blur_video

    done = blur_video(run, labels, folder / "blurred.mp4")
    for note in done.notes:
        aside(note)
    aside(f"what the detector missed is not blurred: {done.num_without} of {done.num_frames} "
          "frames have nothing blurred; check the video. Its sound is left out")  # fmt: skip
    return folder / "blurred.mp4"


def _clips(run: "FinishedRun", labels: Collection[int], folder: Path, around_s: float) -> Path:
    from vodkit.report.event_clips import spans_of_tracks, write_clips

    spans = list(spans_of_tracks(run, labels))
    place = emptied(folder / "clips")
    write_clips(run, spans, place, around_s=around_s)
    return place


def emptied(folder: Path) -> Path:
    """A folder without what an earlier call left in it."""
    from vodkit.ground.ledger import remove_tree
    from vodkit.ground.runs import make_folder

    remove_tree(folder)
    return make_folder(folder)
