"""``vodkit compare``: whether B is better than A, or they cannot be told apart."""

import json
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from vodkit.cli import options

if TYPE_CHECKING:
    from vodkit.metrics.compare import Comparison


def compare(
    first: Path = typer.Argument(..., help="Run folder (or metrics.json) to compare against."),
    others: list[Path] = typer.Argument(..., help="Other runs on the same data."),
    as_json: bool = options.JSON,
) -> None:
    """Compare evaluations of the same data: paired differences, intervals, a plain verdict.

    Example: vodkit compare runs/eval-old runs/eval-new
    """
    from vodkit.metrics.compare import compare as pair
    from vodkit.metrics.compare import load_run

    base = load_run(first)
    results = [pair(base, load_run(other)) for other in others]
    if as_json:
        print(json.dumps([one.to_json() for one in results], indent=2))
        return
    for one in results:
        _show(one)


def _show(result: "Comparison") -> None:
    from rich.console import Console
    from rich.table import Table

    from vodkit.metrics.headline import DEFINITIONS, shown, shown_span

    table = Table("metric", result.a, result.b, "difference", "interval", "verdict")
    for one in result.differences:
        span = shown_span(one.name, one.low, one.high, sign="+")
        verdict = f"{one.better} is better" if one.better else "cannot be told apart" * bool(span)
        numbers = (shown(one.name, one.a), shown(one.name, one.b))
        gap = shown(one.name, one.difference, sign="+")
        table.add_row(DEFINITIONS[one.name].title, *numbers, gap, span, verdict)
    console = Console()
    console.print(table)
    for line in (result.verdict, *result.notes):
        console.print(line, highlight=False, soft_wrap=True)
