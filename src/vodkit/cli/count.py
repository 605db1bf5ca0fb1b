"""``vodkit count``: who crossed a line, who was in a zone and for how long."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from vodkit.cli import options

if TYPE_CHECKING:
    from vodkit.track.count import Line, Zone


def count(
    predictions: Path = typer.Argument(..., help="A run folder or a predictions file."),
    lines: list[str] = typer.Option([], "--line", help="[name=]x1,y1,x2,y2 (repeatable)."),
    zones: list[str] = typer.Option(
        [], "--zone", help="[name=]x1,y1,x2,y2,x3,y3,... (repeatable)."
    ),
    settings: list[str] = typer.Option([], "--set", help="A setting, e.g. anchor=centre."),
    online: bool = typer.Option(False, "--online", help="Count the tracks as they are."),
    as_json: bool = options.JSON,
) -> None:
    """Count crossings of lines and visits to zones; ids are stitched first unless --online.

    Example: vodkit count runs/plaza --line door=100,400,300,400 --zone shop=0,0,200,0,200,300
    """
    from vodkit import runs
    from vodkit.errors import SettingsError
    from vodkit.formats.embeddings import looks_beside
    from vodkit.formats.predictions import read_predictions
    from vodkit.settings import load
    from vodkit.track.count import CountSettings, count_crossings, count_visits
    from vodkit.track.refine import refine

    if not lines and not zones:
        raise SettingsError("nothing to count: give --line or --zone")
    wanted = load(CountSettings, words=settings)
    path = runs.predictions_of(predictions)
    header, table = read_predictions(path, include_tentative=False)
    if not online and header.mode != "refined":
        table = refine(table, looks=looks_beside(path, table))
    crossings = count_crossings(table, [_line(i, text) for i, text in enumerate(lines)], wanted)
    visits = count_visits(table, [_zone(i, text) for i, text in enumerate(zones)], wanted)
    if as_json:
        print(json.dumps({
            "crossings": [asdict(c) | {"class": header.classes[c.label]} for c in crossings],
            "visits": [
                asdict(v) | {"class": header.classes[v.label], "dwell_s": v.dwell_s} for v in visits
            ],
        }))  # fmt: skip
        return
    for name in dict.fromkeys(_name(text, f"line{i}") for i, text in enumerate(lines)):
        ways = [c.inwards for c in crossings if c.line == name]
        print(f"{name}: {sum(ways)} in, {len(ways) - sum(ways)} out")
    for name in dict.fromkeys(_name(text, f"zone{i}") for i, text in enumerate(zones)):
        stays = [v for v in visits if v.zone == name]
        dwell_s = sum(v.dwell_s for v in stays) / max(len(stays), 1)
        people = len({v.track_id for v in stays})
        print(f"{name}: {people} objects, {len(stays)} visits, {dwell_s:.1f} s each on average")


def _name(text: str, default: str) -> str:
    return text.partition("=")[0] if "=" in text else default


def _numbers(text: str, option: str) -> list[tuple[float, float]]:
    from vodkit.errors import SettingsError

    try:
        values = [float(word) for word in text.rpartition("=")[2].split(",")]
    except ValueError:
        values = []
    if len(values) < 4 or len(values) % 2:
        raise SettingsError(f"{option} {text!r}: expected [name=]x1,y1,x2,y2,... in pixels")
    return list(zip(values[::2], values[1::2], strict=True))


def _line(place: int, text: str) -> "Line":
    from vodkit.errors import SettingsError
    from vodkit.track.count import Line

    points = _numbers(text, "--line")
    if len(points) != 2:
        raise SettingsError(f"--line {text!r} has {len(points)} points; a line has 2")
    return Line(name=_name(text, f"line{place}"), start_px=points[0], end_px=points[1])


def _zone(place: int, text: str) -> "Zone":
    from vodkit.track.count import Zone

    return Zone(name=_name(text, f"zone{place}"), corners_px=tuple(_numbers(text, "--zone")))
