"""The parts of the report's page, as plain words and tables that the template only lays out."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from vodkit.metrics.compare import Comparison
from vodkit.metrics.evaluation import Evaluation
from vodkit.metrics.headline import DEFINITIONS, shown, shown_span
from vodkit.records import TrackTable
from vodkit.report.charts import Axes, Line, bar_chart, line_chart

UNDEFINED = "-"
MAX_CURVES = 6
_EMPTY = frozenset({UNDEFINED, "0 of 0", "0"})


@dataclass(frozen=True, eq=False, kw_only=True)
class Subject:
    """One set of predictions, with its evaluation."""

    title: str
    evaluation: Evaluation
    predictions: Mapping[str, TrackTable]
    """by video source"""
    videos: Mapping[str, str]
    """video source -> what to open at a moment (a path or URL, relative to the page)"""


@dataclass(frozen=True, kw_only=True)
class Table:
    """A sortable table: the first column names the row."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    explained: str = ""


@dataclass(frozen=True, kw_only=True)
class HeadlineRow:
    """One number of all subjects."""

    title: str
    protocol: str
    values: tuple[str, ...]
    spans: tuple[str, ...]
    best: tuple[bool, ...]
    """which of the values is the best; none where all are alike"""
    difference: str
    """second minus first, with interval; empty without a comparison"""
    better: str


def headline(subjects: Sequence[Subject], comparison: Comparison | None) -> list[HeadlineRow]:
    """The first table."""
    differences = {} if comparison is None else {one.name: one for one in comparison.differences}
    rows = []
    for place, first in enumerate(subjects[0].evaluation.headline):
        all_of = [subject.evaluation.headline[place] for subject in subjects]
        known = [one.value for one in all_of if one.value is not None]
        top = (max if first.higher_is_better else min)(known) if known else None
        apart = len(set(known)) > 1
        gap = differences.get(first.name)
        difference = ""
        if gap is not None and gap.difference is not None:
            span = shown_span(first.name, gap.low, gap.high, sign="+")
            difference = shown(first.name, gap.difference, sign="+") + (
                f" ({span})" if span else ""
            )
        rows.append(
            HeadlineRow(
                title=DEFINITIONS[first.name].title,
                protocol=first.protocol,
                values=tuple(shown(one.name, one.value) for one in all_of),
                spans=tuple(shown_span(one.name, one.low, one.high) for one in all_of),
                best=tuple(apart and one.value == top for one in all_of),
                difference=difference,
                better="" if gap is None else gap.better or "cannot be told apart",
            )
        )
    return rows


def guards(subject: Subject) -> list[tuple[str, str]]:
    """What a reader must know to judge the numbers."""
    result, about = subject.evaluation, subject.evaluation.about
    data, settings = result.data, result.settings
    interval = f"{settings.bootstrap.confidence:.0%} bootstrap over {result.replicates.num_units} "
    interval += "blocks of frames" if result.replicates.unit == "block" else "videos"
    facts = {
        "model": about.get("model") or about.get("detector", ""),
        "tracker": about.get("tracker", ""),
        "tracks": about.get("mode") or "not told whether online or refined",
        "split": data.split or "all videos",
        "evaluated": f"{data.num_videos} videos, {data.num_frames} labelled frames, "
        f"{data.num_truth} boxes, {data.num_tracks} tracks",
        "not evaluated": f"{data.num_found_outside} predictions in frames nobody labelled, "
        f"{data.num_ignored} ignore regions",
        "score threshold": f"{settings.min_score:g} for frames, stability and occlusion "
        f"({about.get('threshold_from', 'given, not chosen on these data')})",
        "boxes counted": ", ".join(settings.states),
        "audit": about.get("audit", "not run: leaks between the splits were not looked for"),
        "intervals": interval if result.replicates.num_units >= 2 else "none: too little data",
        "data fingerprint": data.fingerprint[:16],
    }
    return [(name, words) for name, words in facts.items() if words]


def charts(subjects: Sequence[Subject]) -> list[tuple[str, str]]:
    """(title, SVG): precision over recall, F1, calibration, and what errors cost."""
    several = len(subjects) > 1
    precision, f1 = [], []
    for subject in subjects:
        found = list(subject.evaluation.detection.curves.items())
        for name, curve in found[: MAX_CURVES // len(subjects)]:
            title = f"{subject.title}: {name}" if several and len(found) > 1 else name
            title = subject.title if several and len(found) == 1 else title
            precision.append(Line(name=title, x=curve.recall, y=curve.precision))
            f1.append(Line(name=title, x=curve.thresholds, y=curve.f1))
    by_recall = Axes(title="Precision and recall", x="recall", y="precision")
    by_score = Axes(title="F1", x="score threshold", y="F1")
    return [
        ("Precision and recall at IoU 0.5", line_chart(precision, by_recall)),
        ("F1 at each score threshold", line_chart(f1, by_score)),
        ("Calibration: is a score of 0.8 right in 80 % of cases?", _calibration(subjects)),
        ("What each kind of error costs", _losses(subjects)),
    ]


def _calibration(subjects: Sequence[Subject]) -> str:
    lines = []
    for subject in subjects:
        found = subject.evaluation.detection.calibration
        pairs = zip(found.mean_score, found.share_right, strict=True)
        points = [(s, r) for s, r in pairs if s is not None and r is not None]
        lines.append(Line(name=subject.title, x=[p[0] for p in points], y=[p[1] for p in points]))
    axes = Axes(title="Calibration", x="mean score", y="share that is right")
    return line_chart(lines, axes)


def _losses(subjects: Sequence[Subject]) -> str:
    kinds = list(subjects[0].evaluation.detection.errors.ap_loss)
    groups = []
    for subject in subjects:
        loss = subject.evaluation.detection.errors.ap_loss
        heights = [100 * (loss[kind] or 0) for kind in kinds]
        groups.append(Line(name=subject.title, x=range(len(kinds)), y=heights))
    axes = Axes(
        title="What each kind of error costs", x="", y="points of AP50", x_max=None, y_max=None
    )
    return bar_chart(kinds, groups, axes)


def tables(subjects: Sequence[Subject]) -> list[Table]:
    """Per class, per video, by size, speed, occlusion, density and kind of error."""
    whole: tuple[Callable[[Subject], Table], ...] = (_by_video, _by_class)
    binned: tuple[Callable[[Subject], Table], ...] = (
        _by_size_and_speed,
        _by_occlusion,
        _by_density,
    )
    made = [_joined([make(subject) for subject in subjects], subjects) for make in whole]
    made += [
        _joined([make(subject) for subject in subjects], subjects, drop_empty=True)
        for make in binned
    ]
    return made


def _joined(
    parts: Sequence[Table], subjects: Sequence[Subject], *, drop_empty: bool = False
) -> Table:
    """One table out of one a subject: a column says whose row it is.

    ``drop_empty`` leaves out bins in which no subject has anything.
    """
    groups = list(zip(*(part.rows for part in parts), strict=True))
    if drop_empty:
        groups = [rows for rows in groups if not all(row[-1] in _EMPTY for row in rows)]
    several = len(subjects) > 1
    rows = [
        (row[0], subject.title, *row[1:]) if several else row
        for rows in groups
        for row, subject in zip(rows, subjects, strict=True)
    ]
    columns = parts[0].columns
    columns = (columns[0], "run", *columns[1:]) if several else columns
    return Table(
        title=parts[0].title, columns=columns, rows=tuple(rows), explained=parts[0].explained
    )


def _percent(value: float | None) -> str:
    return UNDEFINED if value is None else f"{100 * value:.1f}"


def _by_video(subject: Subject) -> Table:
    rows = [
        (
            name,
            str(one.num_frames),
            str(one.num_truth),
            *map(_percent, (one.ap, one.ap50, one.frame_accuracy, one.hota, one.mota, one.idf1)),
            UNDEFINED if one.num_id_switches is None else str(one.num_id_switches),
        )
        for name, one in subject.evaluation.per_video.items()
    ]
    columns = ("video", "frames", "boxes", "AP", "AP50", "frame accuracy", "HOTA", "MOTA", "IDF1")
    return Table(title="By video", columns=(*columns, "id switches"), rows=tuple(rows))


def _by_class(subject: Subject) -> Table:
    result = subject.evaluation
    rows = []
    for name, scores in result.detection.coco.per_class.items():
        curve = result.detection.curves[name]
        tracking = None if result.tracking is None else result.tracking.per_class[name]
        best = UNDEFINED if curve.best_threshold is None else f"{curve.best_threshold:.2f}"
        numbers = (scores.ap, scores.ap50, curve.precision_at_best, curve.recall_at_best)
        hota = None if tracking is None else tracking.hota.hota
        idf1 = None if tracking is None else tracking.identity.idf1
        rows.append((name, str(curve.num_truth), *map(_percent, (*numbers, hota, idf1)), best))
    columns = ("class", "boxes", "AP", "AP50", "precision", "recall", "HOTA", "IDF1")
    return Table(
        title="By class",
        columns=(*columns, "best threshold"),
        rows=tuple(rows),
        explained="Precision and recall at the score threshold with the best F1, which was chosen "
        "on these very data: it shows what is possible, not what to expect elsewhere.",
    )


def _by_size_and_speed(subject: Subject) -> Table:
    scores = subject.evaluation.detection.coco.overall
    rows = [
        ("small (up to 32 x 32 px)", "AP", _percent(scores.ap_small)),
        ("medium (to 96 x 96 px)", "AP", _percent(scores.ap_medium)),
        ("large", "AP", _percent(scores.ap_large)),
    ]
    speeds = subject.evaluation.detection.vid.by_speed
    for protocol, by_speed in speeds.items():
        rows += [
            (f"{speed}, {protocol}", "AP50", _percent(one.ap50)) for speed, one in by_speed.items()
        ]
    return Table(title="By size and speed", columns=("objects", "measure", "%"), rows=tuple(rows))


def _by_occlusion(subject: Subject) -> Table:
    found = subject.evaluation.occlusion
    rows = []
    for what, shares in (
        ("identity kept, hidden", found.identities_by_hidden_time),
        ("box right, hidden", found.boxes_right_by_hidden_time),
        ("box right, visible share", found.boxes_right_by_visibility),
    ):
        rows += [
            (f"{what} {name}", _percent(one.share), f"{one.part} of {one.whole}")
            for name, one in shares.items()
        ]
    return Table(title="By occlusion", columns=("case", "%", "counts"), rows=tuple(rows))


def _by_density(subject: Subject) -> Table:
    rows = [
        (f"{name} objects", _percent(one.frame_accuracy), str(one.num_frames))
        for name, one in subject.evaluation.frames.by_density.items()
    ]
    columns = ("in the frame", "frame accuracy %", "frames")
    return Table(title="By density", columns=columns, rows=tuple(rows))
