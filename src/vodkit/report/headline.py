"""The top of the report: main numbers with intervals and differences, and what they are about."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from vodkit.formats.predictions import MODES
from vodkit.ground.text import counted
from vodkit.metrics.compare import Comparison, Run
from vodkit.metrics.evaluation import EvalSettings
from vodkit.metrics.headline import DEFINITIONS, as_images, shown, shown_span, title_of

COUNTED_WORDS = "observed, and hidden or filled ones that are probably there"


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One number of one run."""

    value: str
    unit: str
    """%, or empty for what is no share"""
    span: str
    """its interval; empty where it is not known"""
    best: bool
    """the best of the row; of none where all are alike or cannot be distinguished"""
    difference: str
    """to the first run, with interval; empty without a comparison"""
    verdict: str


@dataclass(frozen=True, kw_only=True)
class Row:
    """One number of all runs."""

    title: str
    protocol: str
    cells: tuple[Cell, ...]


def headline(
    runs: Sequence[Run], comparisons: Sequence[Comparison], *, stills: bool = False
) -> list[Row]:
    """The first table; each of ``comparisons`` is of the first run with another one."""
    return [_row(name, runs, comparisons, stills=stills) for name in runs[0].values]


def _row(name: str, runs: Sequence[Run], comparisons: Sequence[Comparison], *, stills: bool) -> Row:
    known = [run.values[name] for run in runs if run.values.get(name) is not None]
    better = max if DEFINITIONS[name].higher_is_better else min
    told = not comparisons or any(
        one.better for each in comparisons for one in each.differences if one.name == name
    )
    top = better(known) if told and len(set(known)) > 1 else None  # type: ignore[type-var]
    by_run = {one.b: one for one in comparisons}
    cells = []
    for run in runs:
        value, (low, high) = run.values.get(name), run.spans.get(name, (None, None))
        difference, verdict = _difference(name, by_run.get(run.name))
        cell = Cell(
            value=shown(name, value),
            unit="%" if DEFINITIONS[name].percent and value is not None else "",
            span=shown_span(name, low, high),
            best=value is not None and value == top,
            difference=difference,
            verdict=verdict,
        )
        cells.append(cell)
    protocol = DEFINITIONS[name].protocol
    return Row(
        title=title_of(name, stills=stills),
        protocol=as_images(protocol) if stills else protocol,
        cells=tuple(cells),
    )


def _difference(name: str, comparison: Comparison | None) -> tuple[str, str]:
    """The difference to the first run, and what to think of it."""
    found = [] if comparison is None else [d for d in comparison.differences if d.name == name]
    if comparison is None or not found or found[0].difference is None:
        return "", ""
    (gap,) = found
    span = shown_span(name, gap.low, gap.high, sign="+")
    text = shown(name, gap.difference, sign="+") + (f" ({span})" if span else "")
    if not span:
        return text, "no confidence interval"
    if not gap.better:
        return text, "cannot be distinguished"
    return text, "better" if gap.better == comparison.b else "worse"


def verdict(comparison: Comparison) -> list[tuple[str, str]]:
    """A comparison in at most four lines: (what is said, of which numbers)."""
    a, b = comparison.a, comparison.b
    groups: dict[str, list[str]] = {}
    for one in comparison.differences:
        sure = one.low is not None
        what = f"{one.better} is better on" if one.better else "Cannot be distinguished:"
        what = what if sure or one.better else "No confidence interval:"
        # A plus is the better run's, as in the terminal, whichever it is.
        gap = shown(one.name, abs(one.difference or 0), sign="+") if one.better else ""
        groups.setdefault(what, []).append(f"{DEFINITIONS[one.name].title} {gap}".strip())
    order = [f"{b} is better on", f"{a} is better on", "Cannot be distinguished:"]
    return [(what, ", ".join(groups[what])) for what in [*order, "No confidence interval:"]
            if what in groups]  # fmt: skip


def guards(run: Run) -> list[tuple[str, str]]:
    """What a reader must know to judge the numbers."""
    about, data = run.about, run.data
    units = "blocks of frames" if run.unit == "block" else "videos"
    stills = data.get("stills", False)
    units = "images" if stills else units
    threshold = f"{run.settings['min_score']:g}"
    threshold += "" if stills else " for frames, stability and occlusion"
    facts = {
        "model": about.get("model") or about.get("detector", ""),
        "tracker": about.get("tracker", ""),
        "tracks": "" if stills else _mode(about),
        "split": data["split"] or "all; no side of a split was chosen",
        "evaluated": _amount(data, stills=stills),
        "not evaluated": f"{counted(data['num_ignored'], 'ignore region')}"
        if stills
        else f"{counted(data['num_found_outside'], 'prediction')} in frames without labels, "
        f"{counted(data['num_ignored'], 'ignore region')}",
        "score threshold": f"{threshold} ({_threshold_from(run)})",
        "boxes counted": "" if stills else ", ".join(run.settings["states"]) or COUNTED_WORDS,
        "benchmark rules": run.settings.get("benchmark", ""),
        "audit": about.get("audit", "not run: leaks between the splits were not looked for"),
        "intervals": f"{run.confidence:.0%} bootstrap over {run.num_units} {units}"
        if run.num_units >= 2
        else "none: too little data",
        "data fingerprint": data["fingerprint"][:16],
    }
    return [(name, words) for name, words in facts.items() if words]


def _amount(data: Mapping[str, Any], *, stills: bool) -> str:
    boxes = counted(data["num_truth"], "box", "boxes")
    if stills:
        return f"{counted(data['num_videos'], 'image')}, {boxes}"
    frames = counted(data["num_frames"], "labelled frame")
    tracks = counted(data["num_tracks"], "track")
    return f"{counted(data['num_videos'], 'video')}, {frames}, {boxes}, {tracks}"


def _threshold_from(run: Run) -> str:
    if run.settings["min_score"] == EvalSettings().min_score:
        told = "vodkit's default"
    else:
        told = "where it was chosen is not recorded"
    return run.about.get("threshold_from", told)


def _mode(about: Mapping[str, str]) -> str:
    mode = about.get("mode", "")
    if mode in MODES:
        return f"{mode}: {MODES[mode]}"
    return mode or "not recorded whether online or refined"
