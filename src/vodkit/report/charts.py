"""Curves and bars as inline SVG (matplotlib), which follow the page's own text colour.

Lines differ in stroke as well as in colour, so that they can be told apart in print and by the
colour-blind.
"""

import io
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

from vodkit.report.draw import PALETTE

_INK = "#010203"  # stands for the page's text colour until the SVG is in the page
_STROKES = ("-", "--", "-.", ":")
_SERIES = (4, 5, 2, 6)  # places in the palette that read on light and dark ground
_STYLE: Any = {
    "svg.fonttype": "none",
    "svg.hashsalt": "vodkit",
    "font.family": "sans-serif",
    "font.size": 9,
    "text.color": _INK,
    "axes.labelcolor": _INK,
    "axes.edgecolor": _INK,
    "xtick.color": _INK,
    "ytick.color": _INK,
    "axes.facecolor": "none",
    "figure.facecolor": "none",
}


@dataclass(frozen=True, kw_only=True)
class Line:
    """One line of a chart."""

    name: str
    x: Sequence[float]
    y: Sequence[float]


@dataclass(frozen=True, kw_only=True)
class Axes:
    """What stands at the axes; both begin at 0."""

    title: str
    x: str
    y: str
    x_max: float | None = 1.0
    """None: as far as the data reach"""
    y_max: float | None = 1.0
    ideal: str = ""
    """what a thin line from corner to corner stands for; empty: no such line"""


def series_colour(place: int) -> str:
    """The colour of the ``place``-th line or bar, as CSS has it."""
    red, green, blue = PALETTE[_SERIES[place % len(_SERIES)]]
    return f"#{red:02x}{green:02x}{blue:02x}"


def line_chart(lines: Sequence[Line], axes: Axes) -> str:
    """Lines over one pair of axes, as SVG text."""
    figure, plot = _begin(axes)
    for place, line in enumerate(lines):
        stroke = _STROKES[place % len(_STROKES)]
        dot = "o" if len(line.x) == 1 else None  # a line through one point shows nothing
        colour = series_colour(place)
        plot.plot(line.x, line.y, stroke, color=colour, label=line.name, lw=1.8, marker=dot)
    plot.set_xlim(left=0)
    names = [line.name for line in lines]
    if axes.ideal:
        plot.plot([0, 1], [0, 1], color=_INK, alpha=0.4, lw=0.8, label=axes.ideal)
        names.append(axes.ideal)
    return _finish(figure, plot, axes, names)


def bar_chart(names: Sequence[str], groups: Sequence[Line], axes: Axes) -> str:
    """Bars side by side, one group of bars for each of ``names``; ``Line.y`` has the heights."""
    figure, plot = _begin(axes)
    width = 0.8 / max(len(groups), 1)
    for place, group in enumerate(groups):
        middle = [k - 0.4 + width * (place + 0.5) for k in range(len(names))]
        hatch = ("", "//", "..", "xx")[place % 4]
        plot.bar(
            middle,
            group.y,
            width * 0.92,
            color=series_colour(place),
            label=group.name,
            hatch=hatch,
            edgecolor=_INK,
            lw=0.4,
        )
    plot.set_xticks(range(len(names)), names, rotation=20, ha="right")
    plot.set_xlim(-0.6, max(len(names) - 0.4, 0.6))
    return _finish(figure, plot, axes, [group.name for group in groups])


def _begin(axes: Axes) -> tuple[Any, Any]:
    import matplotlib as mpl
    from matplotlib.figure import Figure

    with mpl.rc_context(_STYLE):
        figure = Figure(figsize=(4.6, 3.0), layout="constrained")
        plot = figure.subplots()
        plot.set_xlabel(axes.x)
        plot.set_ylabel(axes.y)
        plot.grid(visible=True, alpha=0.25, lw=0.6)
        plot.spines[["top", "right"]].set_visible(False)
    return figure, plot


def _finish(figure: Any, plot: Any, axes: Axes, names: Sequence[str]) -> str:
    import matplotlib as mpl

    with mpl.rc_context(_STYLE):
        if axes.x_max is not None:
            plot.set_xlim(0, axes.x_max)
        plot.set_ylim(0, axes.y_max and axes.y_max * 1.02)
        if len(names) > 1:
            plot.legend(frameon=False, fontsize=8)
        out = io.StringIO()
        figure.savefig(out, format="svg", transparent=True, metadata={"Date": None})
    label = f"{axes.title}: {axes.y} over {axes.x}" if axes.x else f"{axes.title}: {axes.y}"
    if len(names) > 1:
        label += f", for {' and '.join(names)}"
    return _inline(out.getvalue(), label)


def _inline(svg: str, label: str) -> str:
    """The SVG element alone, in the page's colour, named for those who cannot see it."""
    body = svg[svg.index("<svg") :].replace(_INK, "currentColor")
    opening = f'<svg role="img" aria-label="{escape(label, quote=True)}" class="chart"'
    return body.replace("<svg", opening, 1)
