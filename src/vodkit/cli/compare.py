"""``vodkit compare``: whether B is better than A, or they cannot be told apart."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from vodkit.cli import options

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
        print(json.dumps([one.to_json() for one in results], indent=2))
    else:
        _show(results)


def _show(results: "Sequence[Comparison]") -> None:
    """One table of all runs: each value, and below it the difference to the first."""
    from rich.console import Console
    from rich.table import Table

    from vodkit.metrics.headline import DEFINITIONS, shown

    table = Table("metric", results[0].a, *(one.b for one in results), show_lines=True)
    for rows in zip(*(one.differences for one in results), strict=True):
        name = rows[0].name
        cells = [_cell(row, one.b) for row, one in zip(rows, results, strict=True)]
        table.add_row(DEFINITIONS[name].title, shown(name, rows[0].a), *cells)
    console = Console()
    console.print(table)
    lines = [one.verdict if len(results) == 1 else f"{one.b}: {one.verdict}" for one in results]
    notes = dict.fromkeys(note for one in results for note in one.notes)
    for line in (*lines, *notes):
        console.print(line, highlight=False, soft_wrap=True)


def _cell(row: "Difference", name: str) -> str:
    from vodkit.metrics.headline import shown, shown_span

    if row.difference is None:
        return shown(row.name, row.b)
    span = shown_span(row.name, row.low, row.high, sign="+")
    verdict = ("better" if row.better == name else "worse") if row.better else "not told apart"
    gap = shown(row.name, row.difference, sign="+") + (f" ({span})" if span else "")
    return f"{shown(row.name, row.b)}\n{gap}" + (f"\n{verdict}" if span else "")
