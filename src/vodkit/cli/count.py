"""``vodkit count``: crossings of lines, visits to zones, and how long they lasted."""

from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import typer

from vodkit.cli import options
from vodkit.cli.refine import note_incomplete
from vodkit.cli.show import SOURCE
from vodkit.cli.terminal import aside, say, say_json
from vodkit.ground.text import counted

if TYPE_CHECKING:
    from vodkit.track.count import Crossing, Visit

_Event = TypeVar("_Event", "Crossing", "Visit")


def count(
    predictions: Path = typer.Argument(..., help="A run folder or a predictions file."),
    lines: list[str] = typer.Option([], "--line", help="[name=]x1,y1,x2,y2 (repeatable)."),
    zones: list[str] = typer.Option(
        [], "--zone", help="[name=]x1,y1,x2,y2,x3,y3,... (repeatable)."
    ),
    settings: list[str] = typer.Option(
        [], "--set", help="A setting, e.g. anchor=centre; 'help' lists all."
    ),
    online: bool = typer.Option(False, "--online", help="Count the tracks as they are."),
    include_predicted: bool = typer.Option(
        False, "--include-predicted", help="With --online: count boxes of hidden objects, too."
    ),
    csv: bool = typer.Option(False, "--csv", help="Also write every event to counts.csv."),
    picture: bool = typer.Option(
        False, "--picture", help="Also draw lines, their sides and zones: counts.png."
    ),
    video: bool = typer.Option(False, "--video", help="Also draw running counts: counts.mp4."),
    clips: bool = typer.Option(False, "--clips", help="Also write a clip around each event."),
    around_s: float = typer.Option(1.0, "--around-s", help="Seconds of a clip before and after."),
    source: Path = SOURCE,
    out: Path = typer.Option(None, "--out", "-o", help="Default: the folder 'shown' in the run."),
    as_json: bool = options.JSON,
) -> None:
    """Count crossings of lines and visits to zones. Ids are stitched first unless --online.

    Going from the first point of a line to the second, "in" is to the right.

    Example: vodkit count runs/plaza --line door=100,400,300,400 --csv --picture
    """
    from vodkit.formats.embeddings import looks_beside
    from vodkit.formats.predictions import read_predictions
    from vodkit.ground import runs
    from vodkit.ground.errors import InputError, SettingsError
    from vodkit.ground.settings import load
    from vodkit.infer.finished import FinishedRun
    from vodkit.report.counting import Counts, direction, write_counts
    from vodkit.track.count import CountSettings, count_crossings, count_visits, lines_of, zones_of
    from vodkit.track.refine import refine

    if not lines and not zones:
        raise SettingsError("nothing to count: give --line or --zone")
    wanted = load(CountSettings, words=settings)
    path = runs.predictions_of(predictions)
    given = read_predictions(path, include_predicted=include_predicted)
    header, table = given.header, given.table
    if not header.tracker and header.detector:
        raise InputError(f"{path}: detections without tracks; run `vodkit track` first")
    gates, areas = lines_of(lines, header.info), zones_of(zones, header.info)
    run = FinishedRun.open(path, source)
    if picture or video or clips:
        run.open_video().close()  # a video that is missing is an error before any work
    note_incomplete(path)
    for note in run.place_notes():
        aside(f"note: {note}")
    if not online and header.mode != "refined":
        table = refine(table, looks=looks_beside(path, table), clock=given.clock)
    crossings = count_crossings(table, gates, wanted)
    visits = count_visits(table, areas, wanted)
    counts = Counts(lines=gates, zones=areas, crossings=crossings, visits=visits)
    asked = {"csv": csv, "picture": picture, "video": video, "clips": clips}
    names = [name for name, on in asked.items() if on]
    files = write_counts(run, counts, names, out or run.folder, around_s=around_s)
    if as_json:
        say_json({
            "files": [*map(str, files)],
            "crossings": [asdict(c) | {"class": header.classes[c.label]} for c in crossings],
            "visits": [
                asdict(v) | {"class": header.classes[v.label], "dwell_s": v.dwell_s} for v in visits
            ],
        })  # fmt: skip
        return
    for gate in gates:
        name = f"{gate.name} (in: {direction(gate)} in the picture)"
        _tell(name, [c for c in crossings if c.line == gate.name], header.classes, _ways)
    for area in areas:
        _tell(area.name, [v for v in visits if v.zone == area.name], header.classes, _stays)
    say(*(f"  {path}" for path in files))


def _tell(
    name: str, found: "list[_Event]", classes: Sequence[str], words: "Callable[[list[_Event]], str]"
) -> None:
    """What was counted in one place: of all classes, and of each that was there."""
    if len(classes) == 1:
        say(f"{name}: {words(found)}")
        return
    say(f"{name}, all classes: {words(found)}")
    for label in sorted({event.label for event in found}):
        say(f"  {classes[label]}: {words([event for event in found if event.label == label])}")


def _ways(crossings: "list[Crossing]") -> str:
    inwards = sum(crossing.inwards for crossing in crossings)
    return f"{inwards} in, {len(crossings) - inwards} out"


def _stays(visits: "list[Visit]") -> str:
    objects = len({visit.track_id for visit in visits})
    known = [visit.dwell_s for visit in visits if visit.dwell_s is not None]
    words = [counted(objects, "object"), counted(len(visits), "visit")]
    if known:
        words.append(f"{sum(known) / len(known):.1f} s each on average")
    if len(known) < len(visits):
        words.append(f"{len(visits) - len(known)} of unknown length (seen once)")
    return ", ".join(words)
