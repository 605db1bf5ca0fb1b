"""``vodkit compare``: whether B is better than A, or they cannot be distinguished."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from vodkit.cli import options
from vodkit.cli.terminal import say, say_json, say_table

if TYPE_CHECKING:
    from vodkit.metrics.compare import Comparison, Difference


def compare(
    first: Path = typer.Argument(..., help="Run folder (or metrics.json) to compare against."),
    others: list[Path] = typer.Argument(..., help="Other runs on the same data."),
    report: Path = typer.Option(None, "--report", help="Also write one page of all runs here."),
    as_json: bool = options.JSON,
) -> None:
    """Compare evaluations of the same data. Paired differences, intervals, a plain verdict.

    Example: vodkit compare runs/eval-old runs/eval-new runs/eval-other
    """
    from vodkit.metrics.compare import compare_all, load_runs

    runs = load_runs([first, *others])
    results = compare_all(runs)
    if report is not None:
        from vodkit.report.compare_page import write_compare_page

        write_compare_page(report, runs, results)
    if as_json:
        say_json([one.to_json() for one in results], indent=2)
    else:
        _show(results)


def _show(results: "Sequence[Comparison]") -> None:
    """One table of all runs: values, differences to the first with intervals, and verdicts."""
    from vodkit.metrics.headline import DEFINITIONS, shown

    titles = ["metric", "run", "value", "difference", "interval", "verdict"]
    rows = []
    for same in zip(*(one.differences for one in results), strict=True):
        name = same[0].name
        rows.append([DEFINITIONS[name].title, results[0].a, shown(name, same[0].a), "", "", ""])
        rows += [["", one.b, *_cells(row, one.b)] for row, one in zip(same, results, strict=True)]
    say_table(titles, rows)
    lines = [one.verdict if len(results) == 1 else f"{one.b}: {one.verdict}" for one in results]
    say(*lines, *dict.fromkeys(note for one in results for note in one.notes))


def _cells(row: "Difference", name: str) -> list[str]:
    """Value, difference, its interval, and what that means."""
    from vodkit.metrics.headline import shown, shown_span

    if row.difference is None:
        return [shown(row.name, row.b), "", "", ""]
    span = shown_span(row.name, row.low, row.high, sign="+")
    verdict = ("better" if row.better == name else "worse") if row.better else "not distinguishable"
    gap = shown(row.name, row.difference, sign="+")
    return [shown(row.name, row.b), gap, span, verdict if span else ""]
