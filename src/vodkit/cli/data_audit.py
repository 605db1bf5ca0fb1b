"""``vodkit data audit``: the doctor of labelled video."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from vodkit.cli import data_options as options
from vodkit.cli.terminal import say, say_json, say_next, say_table
from vodkit.ground.errors import InputError

if TYPE_CHECKING:
    from vodkit.data.audit.audit import Audit, AuditSettings
    from vodkit.data.audit.findings import Finding


def audit(
    datasets: list[Path] = typer.Argument(..., help="Label files; several are sides of a split."),
    format: str = options.FORMAT,  # noqa: A002
    video: str = options.VIDEO,
    classes: str = options.CLASSES,
    rate: str = options.RATE,
    size: str = options.SIZE,
    labels_only: bool = typer.Option(False, "--labels-only", help="Open no video."),
    strict: bool = typer.Option(False, "--strict", help="Exit with 2 after warnings as well."),
    predictions: list[Path] = typer.Option(
        [], "--predictions", help="A detector's predictions: what they see and no label has."
    ),
    fix: Path = typer.Option(
        None, "--fix", help="Write a repaired copy here, and report every change."
    ),
    as_json: bool = options.JSON,
) -> None:
    """Find what would make numbers lie. Leaks, shifted or wrong labels, uneven time, ...

    Exit code 2 when there are errors. Nothing is changed; --fix writes a new file.

    Example: vodkit data audit dataset.json
    """
    from vodkit.data.audit.audit import AuditSettings, audit_files
    from vodkit.data.audit.findings import Grade, worst
    from vodkit.data.audit.video_scan import probe

    told = options.reading(classes=classes, rate=rate, size=size, video=video)
    settings = AuditSettings(pixels=not labels_only)
    done = audit_files(datasets, format, reading=replace(told, probe=probe), settings=settings)
    if predictions:
        done = [_against(one, predictions, settings) for one in done]
    findings = [finding for one in done for finding in one.findings]
    if as_json:
        say_json([finding.as_json() for finding in findings])
    else:
        _show(done)
    if fix is not None:
        _fix(done, datasets, fix, as_json=as_json)
    if not as_json and len(done) == 1 and (place := _first_place(findings)):
        say_next("vodkit", "review", "--data", str(datasets[0]), "--at", place, before="see it: ")
    limit = Grade.WARNING if strict else Grade.ERROR
    if worst(findings) >= limit:
        raise typer.Exit(InputError.exit_code)
    if len(done) == 1 and not any(video.split for video in done[0].dataset.videos) and not as_json:
        say_next("vodkit", "data", "split", str(fix or datasets[0]), "-o", "split.json")


def _first_place(findings: "Sequence[Finding]") -> str:
    """Video and frame of the worst finding that has both, as ``vodkit review --at`` takes them."""
    placed = [one for one in findings if one.video and one.frame is not None]
    worst = max(placed, key=lambda one: one.grade, default=None)
    return "" if worst is None else f"{worst.video}:{worst.frame}"


def _against(done: "Audit", predictions: list[Path], settings: "AuditSettings") -> "Audit":
    from vodkit.data.audit.audit import against_predictions
    from vodkit.metrics.prediction_files import read_predictions

    tables = read_predictions(predictions, done.dataset).tables
    return against_predictions(done, tables, settings.lookalikes)


def _show(done: "Sequence[Audit]") -> None:
    from vodkit.data.audit.findings import ADVICE

    findings = sorted(
        (finding for one in done for finding in one.findings), key=lambda one: -one.grade
    )
    if not findings:
        say("nothing found")
        return
    rows = []
    for one in findings:
        where = one.video if one.frame is None else f"{one.video} frame {one.frame}"
        rows.append([one.grade.name.lower(), one.code, where, str(one.count), one.message])
        rows += [["", "", "", "", f"   {place}"] for place in one.evidence]
    say_table(["grade", "what", "where", "times", "seen"], rows)
    for code in dict.fromkeys(one.code for one in findings if one.code in ADVICE):
        say(f"{code}: {ADVICE[code]}")


def _fix(done: "Sequence[Audit]", datasets: Sequence[Path], out: Path, *, as_json: bool) -> None:
    from vodkit.data.audit.repair import repair
    from vodkit.data.ingest import moved
    from vodkit.formats.table import write_dataset
    from vodkit.ground.errors import OutputError

    if len(done) > 1:
        raise InputError("--fix repairs one dataset at a time; give one")
    if out.exists():
        raise OutputError("exists already; --fix never overwrites", path=out)
    repaired, notes = repair(done[0])
    root = datasets[0] if datasets[0].is_dir() else datasets[0].parent
    write_dataset(moved(repaired, root, out.parent), out)
    if not as_json:
        say(f"repaired copy: {out}")
        for note in notes or ["nothing had to be changed"]:
            say(f"  {note}")
