"""Metrics of other packages: counts of each video that add up, and the number made of them.

A package names its metric as an entry point of the group ``vodkit.metrics``; ``vodkit eval`` prints
it after its own numbers, with an interval from the same bootstrap.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from vodkit.ground.arrays import FloatArray
from vodkit.ground.errors import InputError
from vodkit.ground.plugins import Table
from vodkit.metrics.bootstrap import BootstrapSettings, Units, draw, interval, make_units
from vodkit.metrics.clips import Clip
from vodkit.metrics.counts import Counts


@dataclass(frozen=True, kw_only=True)
class Metric:
    """A number that is made of counts which add up over videos."""

    count: Callable[[Clip], Any]
    """the counts of one video: a dataclass made of ``metrics.counts.Counts``"""
    value: Callable[[Any], float | None]
    """the number; None where it is undefined"""
    protocol: str
    """what the number is, in one line"""
    higher_is_better: bool = True


@dataclass(frozen=True, kw_only=True)
class ExtraResult:
    """The number of one metric of another package."""

    value: float | None
    low: float | None
    """lower end of the interval; None where it cannot be known"""
    high: float | None
    higher_is_better: bool
    protocol: str

    def shown(self) -> tuple[str, str]:
        """The number and its interval as people read them."""
        if self.value is None:
            return "undefined", ""
        known = self.low is not None and self.high is not None
        return f"{self.value:.4g}", f"{self.low:.4g} to {self.high:.4g}" if known else ""


def _fault(entry: Any) -> str:
    return "" if isinstance(entry, Metric) else f"is {entry!r:.80}; allowed: a metrics.extra.Metric"


METRICS: Mapping[str, Metric] = Table("vodkit.metrics", {}, fault=_fault)


def evaluate_extra(clips: Sequence[Clip], settings: BootstrapSettings) -> dict[str, ExtraResult]:
    """Every metric that installed packages add, by name.

    Args:
        clips: The videos.
        settings: The bootstrap of the intervals.

    Raises:
        InputError: A metric gives counts that do not add up, or a number that is not finite.
    """
    if not METRICS:
        return {}
    units = make_units(clips, settings)
    return {name: _result(name, metric, clips, units, settings) for name, metric in METRICS.items()}


def _result(
    name: str, metric: Metric, clips: Sequence[Clip], units: Units, settings: BootstrapSettings
) -> ExtraResult:
    total = [_counts(name, metric, clip) for clip in clips]
    value = _value(name, metric, sum(total[1:], total[0]))
    found = None
    if settings.resamples and len(units.clips) >= 2:
        found = interval(
            value,
            _replicates(name, metric, units, settings),
            num_units=len(units.clips),
            confidence=settings.confidence,
            recentre=units.kind == "block",
        )
    return ExtraResult(
        value=value,
        low=None if found is None else found.low,
        high=None if found is None else found.high,
        higher_is_better=metric.higher_is_better,
        protocol=metric.protocol,
    )


def _replicates(name: str, metric: Metric, units: Units, settings: BootstrapSettings) -> FloatArray:
    """(B,) the number in each resample; NaN where it is undefined."""
    counts = [_counts(name, metric, clip) for clip in units.clips]
    kind, names = type(counts[0]), [spec.name for spec in fields(counts[0])]
    columns = np.array([[getattr(one, part) for part in names] for one in counts])
    drawn = draw(len(counts), settings) @ columns
    values = (_value(name, metric, kind(**dict(zip(names, row, strict=True)))) for row in drawn)
    return np.array([np.nan if value is None else value for value in values])


def _counts(name: str, metric: Metric, clip: Clip) -> Any:
    counts = metric.count(clip)
    if not isinstance(counts, Counts):
        allowed = "a dataclass that inherits from metrics.counts.Counts"
        raise InputError(f"metric {name}: counts of {clip.name} are {counts!r:.80}; {allowed}")
    return counts


def _value(name: str, metric: Metric, counts: Any) -> float | None:
    value = metric.value(counts)
    if value is not None and not np.isfinite(value):
        raise InputError(f"metric {name} is {value}; allowed: a finite number, or None")
    return None if value is None else float(value)
