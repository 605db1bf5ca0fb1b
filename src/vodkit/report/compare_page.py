"""The page of ``vodkit compare``: many runs side by side, from their ``metrics.json`` alone."""

from collections.abc import Sequence
from pathlib import Path

from vodkit.ground.runs import write_atomic
from vodkit.metrics.compare import Comparison, Run
from vodkit.report.headline import guards, headline, verdict
from vodkit.report.page import render
from vodkit.report.sections import UNDEFINED, Table

SHARES = {"ap": "AP", "ap50": "AP50", "frame_accuracy": "frame accuracy", "hota": "HOTA",
          "mota": "MOTA", "idf1": "IDF1"}  # fmt: skip
"""numbers of one video that are shares, with their titles"""


def write_compare_page(path: Path, runs: Sequence[Run], comparisons: Sequence[Comparison]) -> None:
    """Write one page of all runs; ``comparisons`` are of the first run with each other one.

    Raises OutputError where the page cannot be written.
    """
    content = {
        "title": " against ".join(run.name for run in runs),
        "notes": list(dict.fromkeys(note for one in comparisons for note in one.notes)),
        "subjects": [run.name for run in runs],
        "guards": [(run.name, guards(run)) for run in runs],
        "headline": headline(runs, comparisons),
        "confidence": f"{runs[0].confidence:.0%}",
        "verdicts": [(f"{one.a} against {one.b}", verdict(one)) for one in comparisons],
        "tables": [_by_video(key, title, runs) for key, title in SHARES.items()],
    }
    write_atomic(path, render("compare.html.j2", content))


def _by_video(key: str, title: str, runs: Sequence[Run]) -> Table:
    """One number of every video in every run."""
    rows = [
        (video, *(_percent(run.per_video.get(video, {}).get(key)) for run in runs))
        for video in runs[0].per_video
    ]
    columns = ("video", *(run.name for run in runs))
    return Table(title=f"{title} by video, %", columns=columns, rows=tuple(rows))


def _percent(value: float | None) -> str:
    return UNDEFINED if value is None else f"{100 * value:.1f}"
