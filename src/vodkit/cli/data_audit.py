"""``vodkit data audit``: the doctor of labelled video."""

import shlex
from collections.abc import Sequence
from dataclasses import dataclass, replace
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
    links = _Links(video, format)
    if as_json:
        each = [(path, x) for path, one in zip(datasets, done, strict=True) for x in one.findings]
        say_json([{**x.as_json(), "review": shlex.join(links.to(path, x))} for path, x in each])
    else:
        _show(done)
    if fix is not None:
        _fix(done, datasets, fix, as_json=as_json)
    if not as_json:
        _show_links(links, datasets, done)
    limit = Grade.WARNING if strict else Grade.ERROR
    if worst(findings) >= limit:
        raise typer.Exit(InputError.exit_code)
    if len(done) == 1 and not any(video.split for video in done[0].dataset.videos) and not as_json:
        say_next("vodkit", "data", "split", str(fix or datasets[0]), "-o", "split.json")


@dataclass(frozen=True)
class _Links:
    """Commands that open what was found in the review page."""

    video: str
    format: str

    def to(self, path: Path, finding: "Finding") -> list[str]:
        """The command for a finding in a label file; empty where it names no frame."""
        if not finding.video or finding.frame is None:
            return []
        words = ["vodkit", "review", *([self.video] if self.video else []), "--data", str(path)]
        words += [] if self.format == "auto" else ["--format", self.format]
        name = Path(self.video).name if self.video else finding.video
        return [*words, "--at", f"{name}:{finding.frame}"]


def _show_links(links: _Links, paths: Sequence[Path], done: "Sequence[Audit]") -> None:
    """A command for every frame that a finding names, the worst first."""
    each = [(finding, path) for path, one in zip(paths, done, strict=True)
            for finding in one.findings]  # fmt: skip
    each.sort(key=lambda one: -one[0].grade)
    commands: dict[tuple[str, ...], list[str]] = {}
    for finding, path in each:
        if words := links.to(path, finding):
            commands.setdefault(tuple(words), []).append(finding.code)
    if commands:
        say("open in the review page:")
    for command, codes in commands.items():
        say_next(*command, before=f"  {', '.join(dict.fromkeys(codes))}: ")


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
