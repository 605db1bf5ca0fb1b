"""The last table of the report: every single number of an evaluation, under its key's path."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from vodkit.report.sections import UNDEFINED, Subject, Table

PARTS = (
    "detection",
    "frames",
    "tracking",
    "stability",
    "flicker",
    "delay",
    "occlusion",
    "streaming",
    "low_quality",
)
"""keys of ``metrics.json`` that hold results; the others say what was evaluated"""

ELSEWHERE = frozenset({"per_video", "per_class", "per_class_area", "per_class_11_point", "spells"})
"""long lists that have a table or a time line of their own"""


def every_number(subjects: Sequence[Subject]) -> Table:
    """One row a number, one column a subject; as ``metrics.json`` has them, shares 0 to 1."""
    found = [dict(_numbers(subject.evaluation.to_json())) for subject in subjects]
    stills = all(subject.evaluation.data.stills for subject in subjects)
    paths = dict.fromkeys(
        path for one in found for path in one if not (stills and "video_average" in path)
    )
    rows = [(path, *(_words(one.get(path)) for one in found)) for path in paths]
    return Table(
        title="Every number",
        columns=("key in metrics.json", *(subject.title for subject in subjects)),
        rows=tuple(rows),
        explained="Shares are 0 to 1; docs/reference/metrics-json.md defines each. Curves, "
        f"classes, {'images' if stills else 'videos'} and resamples are in metrics.json.",
        folded=True,
    )


def _numbers(content: Mapping[str, Any]) -> Iterator[tuple[str, float | None]]:
    for part in PARTS:
        yield from _leaves(part, content[part])


def _leaves(path: str, value: Any) -> Iterator[tuple[str, float | None]]:
    if isinstance(value, Mapping):
        for key, item in value.items():
            if key not in ELSEWHERE:
                yield from _leaves(f"{path}.{key}", item)
    elif value is None or (isinstance(value, int | float) and not isinstance(value, bool)):
        yield path, value


def _words(value: float | None) -> str:
    """A number with four digits behind the point.

    >>> _words(0.5), _words(3), _words(None) == UNDEFINED
    ('0.5000', '3', True)
    """
    if value is None:
        return UNDEFINED
    return str(value) if isinstance(value, int) else f"{value:.4f}"
