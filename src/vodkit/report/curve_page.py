"""The page of ``vodkit train --curve``: AP against the number of labels."""

from pathlib import Path

from vodkit.ground.runs import write_atomic
from vodkit.report.charts import Axes, Line, line_chart
from vodkit.report.page import render
from vodkit.report.sections import Table
from vodkit.train.curve import Curve


def write_curve_page(path: Path, curve: Curve, *, title: str) -> None:
    """Write one page with the chart, every training, and what twice the labels would bring.

    Raises OutputError where the page cannot be written.
    """
    rows = curve.rows()
    boxes = [row[0] for row in rows]
    lines = [
        Line(name="mean of the seeds", x=boxes, y=[row[1] for row in rows]),
        Line(name="least", x=boxes, y=[row[2] for row in rows]),
        Line(name="largest", x=boxes, y=[row[3] for row in rows]),
    ]
    end = curve.prediction
    if end.ap is not None and end.now is not None:
        ends = [boxes[-1], end.num_boxes]
        lines.append(Line(name="power law, extended", x=ends, y=[end.now, end.ap]))
    axes = Axes(title="Learning curve", x="labelled boxes", y="AP", x_max=None)
    columns = ("share", "seed", "videos", "frames", "boxes", "AP", "AP50", "seconds")
    table = [
        (f"{p.share:.0%}", str(p.seed), str(p.num_videos), str(p.num_frames), str(p.num_boxes),
         f"{p.ap:.3f}", f"{p.ap50:.3f}", f"{p.seconds:.0f}")
        for p in curve.points
    ]  # fmt: skip
    content = {
        "title": title,
        "chart": line_chart(lines, axes),
        "prediction": end.line(),
        "unit": curve.unit,
        "tables": [Table(title="Every training", columns=columns, rows=tuple(table))],
    }
    write_atomic(path, render("curve.html.j2", content))
