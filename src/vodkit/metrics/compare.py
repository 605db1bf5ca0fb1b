"""Whether B is better than A: paired differences between two evaluations of the same data.

Both runs drew the same videos (or blocks) in each resample, so the difference of their replicates
is a paired bootstrap: what makes a video hard for both cancels out. Runs on different data, or
under different definitions, are not compared.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from vodkit.formats.predictions import MODES
from vodkit.ground.errors import FormatError, InputError
from vodkit.ground.runs import METRICS
from vodkit.metrics.bootstrap import interval
from vodkit.metrics.evaluation import SCHEMA, Evaluation
from vodkit.metrics.headline import DEFINITIONS, shown
from vodkit.metrics.plain import as_json

_LOW_QUALITY = "ap50_low_quality"
_FREE = frozenset({"engine"})
"""settings that may differ: all engines give the same numbers"""


@dataclass(frozen=True, kw_only=True)
class Run:
    """What is needed of an evaluation to compare it."""

    name: str
    fingerprint: str
    split: str
    mode: str
    """online, near-online or refined, where it is known"""
    settings: Mapping[str, Any]
    unit: str
    num_units: int
    confidence: float
    values: Mapping[str, float | None]
    spans: Mapping[str, tuple[float | None, float | None]]
    """ends of the interval of each value"""
    replicates: Mapping[str, tuple[float | None, ...]]
    data: Mapping[str, Any]
    """what was evaluated: ``evaluation.DataFacts``"""
    about: Mapping[str, str]
    """model, tracker, audit, ..."""
    per_video: Mapping[str, Mapping[str, float | None]]
    """by video: ``evaluation.VideoScores``"""
    split_warnings: tuple[str, ...] = ()
    low_quality_sha256: str = ""
    """of the frames of low quality; empty where they are unknown"""


@dataclass(frozen=True, kw_only=True)
class Difference:
    """One number in two runs."""

    name: str
    a: float | None
    b: float | None
    difference: float | None
    """b - a"""
    low: float | None
    high: float | None
    better: str
    """the name of the better run; empty where they cannot be distinguished"""
    text: str
    """one plain sentence"""


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """All numbers of two runs, and a plain verdict."""

    a: str
    b: str
    differences: tuple[Difference, ...]
    verdict: str
    notes: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """Plain dicts, lists and numbers."""
        plain = as_json(self)
        assert isinstance(plain, dict)
        return plain


def from_evaluation(evaluation: Evaluation, name: str) -> Run:
    """What comparing needs of an evaluation in memory."""
    return _run(evaluation.to_json(), name)


def load_run(path: Path) -> Run:
    """What comparing needs of a run folder, or of a ``metrics.json``."""
    file = path / METRICS if path.is_dir() else path
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
        if content["schema"] != SCHEMA:
            message = f"schema {content['schema']}; this vodkit reads {SCHEMA}: evaluate again"
            raise FormatError(message, path=file)
        return _run(content, str(path))
    except OSError as error:
        raise FormatError(f"cannot be read: {error.strerror}", path=file) from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise FormatError(f"not a metrics.json of vodkit: {error!r}", path=file) from error


def load_runs(paths: Sequence[Path]) -> list[Run]:
    """Several run folders, each called by as much of its path's end as tells them apart."""
    names = short_names([path.parent if path.name == METRICS else path for path in paths])
    return [replace(load_run(path), name=name) for path, name in zip(paths, names, strict=True)]


def short_names(paths: Sequence[Path]) -> list[str]:
    """The ends of paths that differ; whole paths where some are the same.

    >>> short_names([Path("runs/a/eval"), Path("runs/b/eval")])
    ['a/eval', 'b/eval']
    """
    longest = max((len(path.parts) for path in paths), default=0)
    for count in range(1, longest):
        names = ["/".join(path.parts[-count:]) for path in paths]
        if len(set(names)) == len(names):
            return names
    return [str(path) for path in paths]


def _run(content: Mapping[str, Any], name: str) -> Run:
    replicates = content["replicates"]
    return Run(
        name=name,
        fingerprint=content["data"]["fingerprint"],
        split=content["data"]["split"],
        mode=content["about"].get("mode", ""),
        settings={key: value for key, value in content["settings"].items() if key not in _FREE},
        unit=replicates["unit"],
        num_units=replicates["num_units"],
        confidence=replicates["confidence"],
        values={one["name"]: one["value"] for one in content["headline"]},
        spans={one["name"]: (one["low"], one["high"]) for one in content["headline"]},
        data=content["data"],
        about=content["about"],
        per_video=content["per_video"],
        replicates={key: tuple(values) for key, values in replicates["values"].items()},
        split_warnings=tuple(content["data"].get("split_warnings", ())),
        low_quality_sha256=(content.get("low_quality") or {}).get("frames_sha256", ""),
    )


def compare(a: Run, b: Run) -> Comparison:
    """Paired differences, b - a; InputError for runs on other data or definitions."""
    _require_same(a, b)
    names = [name for name in a.values if name in b.values]
    if a.low_quality_sha256 != b.low_quality_sha256:
        names = [name for name in names if name != _LOW_QUALITY]
    differences = tuple(_difference(a, b, name) for name in names)
    sure: dict[str, list[str]] = {}
    for one in differences:
        if one.better:
            span = (one.difference, one.low, one.high)
            sure.setdefault(one.better, []).append(f"{_title(one.name)} {_gain(one.name, span)}")
    same = [_title(one.name) for one in differences if not one.better and one.low is not None]
    unknown = [_title(one.name) for one in differences if one.low is None]
    parts = [f"{better} is better on {', '.join(amounts)}" for better, amounts in sure.items()]
    if same:
        parts.append(f"cannot be distinguished: {', '.join(same)}")
    if unknown:
        parts.append(f"no interval: {', '.join(unknown)}")
    return Comparison(
        a=a.name,
        b=b.name,
        differences=differences,
        verdict="; ".join(parts) or "nothing to compare",
        notes=_notes(a, b),
    )


def compare_all(runs: Sequence[Run]) -> tuple[Comparison, ...]:
    """Every other run against the first; InputError for fewer than two or for equal names."""
    if len(runs) < 2:
        raise InputError(f"{len(runs)} runs to compare; allowed: 2 or more")
    names = [run.name for run in runs]
    if len(set(names)) < len(names):
        raise InputError(f"runs of one name: {', '.join(names)}; each must be another")
    return tuple(compare(runs[0], other) for other in runs[1:])


def _require_same(a: Run, b: Run) -> None:
    if a.fingerprint != b.fingerprint:
        where = f"{a.name} ({a.split or 'all'}) and {b.name} ({b.split or 'all'})"
        message = "were evaluated on different data (videos, labelled frames or labels)"
        raise InputError(f"{where} {message}; evaluate both on the same split")
    for key in sorted({*a.settings, *b.settings}):
        one, two = a.settings.get(key), b.settings.get(key)
        if one != two:
            message = f"{key} is {one} in {a.name} and {two} in {b.name}"
            raise InputError(f"different definitions: {message}; evaluate both with the same")


def _difference(a: Run, b: Run, name: str) -> Difference:
    one, two = a.values[name], b.values[name]
    gap = None if one is None or two is None else two - one
    drawn = _paired(a.replicates.get(name, ()), b.replicates.get(name, ()))
    lowest, highest = DEFINITIONS[name].limits
    span = highest - lowest
    found = interval(
        gap,
        drawn,
        num_units=a.num_units,
        confidence=a.confidence,
        recentre=a.unit == "block",
        limits=(-span, span),
    )
    low, high = (None, None) if found is None else (found.low, found.high)
    better = ""
    if low is not None and high is not None and (low > 0 or high < 0):
        better = b.name if (low > 0) == DEFINITIONS[name].higher_is_better else a.name
    return Difference(
        name=name,
        a=one,
        b=two,
        difference=gap,
        low=low,
        high=high,
        better=better,
        text=_sentence(name, better, (gap, low, high)),
    )


def _paired(a: tuple[float | None, ...], b: tuple[float | None, ...]) -> np.ndarray:
    num = min(len(a), len(b))
    one, two = (np.array([np.nan if x is None else x for x in drawn[:num]]) for drawn in (a, b))
    return two - one


def _title(name: str) -> str:
    return DEFINITIONS[name].title


_Span = tuple[float | None, float | None, float | None]
"""a difference and the ends of its interval"""


def _sentence(name: str, better: str, span: _Span) -> str:
    """One number's verdict."""
    gap, low, _ = span
    title = _title(name)
    if gap is None:
        return f"{title} is not defined in both"
    if low is None:
        return f"{title} differs by {shown(name, gap, sign='+')}; it has no confidence interval"
    if better:
        return f"{better} is better on {title} {_gain(name, span)}"
    return f"{title} cannot be distinguished, {_amount(name, span)}"


def _gain(name: str, span: _Span) -> str:
    """A difference as a plus of the better run, whichever it is."""
    gap, low, high = span
    if gap is not None and low is not None and high is not None and gap < 0:
        return _amount(name, (-gap, -high, -low))
    return _amount(name, span)


def _amount(name: str, span: _Span) -> str:
    gap, low, high = (shown(name, value, sign="+") for value in span)
    return f"{gap} [{low}, {high}]"


def _notes(a: Run, b: Run) -> tuple[str, ...]:
    modes = {a.mode, b.mode}
    notes = {
        f"{a.name} is {a.mode}, {b.name} is {b.mode}: one knows more of the future": len(modes) == 2
        and modes <= set(MODES),
        f"{a.num_units} blocks of frames were drawn, not videos: what other videos would give is "
        "not known": a.unit == "block",
        "AP50 on low-quality frames is left out: the runs know different ones (eval --low-quality "
        "FILE takes those of another run)": a.low_quality_sha256 != b.low_quality_sha256,
        f"{len(a.values)} numbers are compared: one in twenty comes out as different by chance "
        "alone": len(a.values) > 1,
    }
    warned = dict.fromkeys((*a.split_warnings, *b.split_warnings))
    return (*warned, *(text for text, applies in notes.items() if applies))
