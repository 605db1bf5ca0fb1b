"""The parts of the report's page, as plain words and tables that the template only lays out."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from vodkit.ground.records import TrackTable
from vodkit.metrics.evaluation import Evaluation
from vodkit.report.charts import Axes, Line, bar_chart, line_chart

UNDEFINED = "\N{EN DASH}"
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
    folded: bool = False
    """closed until it is opened"""

    @property
    def worded(self) -> tuple[bool, ...]:
        """Of each column, whether it holds words: they stand left, numbers right."""
        cells = [
            [row[k].lstrip("+-\N{EN DASH}") for row in self.rows] for k in range(len(self.columns))
        ]
        return tuple(any(cell and not cell[0].isdigit() for cell in column) for column in cells)


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
    axes = Axes(
        title="Calibration", x="mean score", y="share that is right", ideal="perfectly calibrated"
    )
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
    """Per class, per video, by size, speed, occlusion, density and kind of error.

    Columns and tables in which no subject has anything are left out.
    """
    stills = subjects[0].evaluation.data.stills
    whole: tuple[Callable[[Subject], Table], ...] = (_by_video, _by_class, *_confusions(subjects))
    binned: tuple[Callable[[Subject], Table], ...] = (
        _by_size_and_speed,
        *(() if stills else (_by_occlusion,)),
        _by_density,
    )
    made = [_joined([make(subject) for subject in subjects], subjects) for make in whole]
    made += [
        _joined([make(subject) for subject in subjects], subjects, drop_empty=True)
        for make in binned
    ]
    return [_without_empty(one) for one in made if one.rows]


def _without_empty(one: Table) -> Table:
    """Without columns in which every cell is undefined."""
    kept = [
        k for k in range(len(one.columns)) if k == 0 or any(row[k] != UNDEFINED for row in one.rows)
    ]
    columns = tuple(one.columns[k] for k in kept)
    rows = tuple(tuple(row[k] for k in kept) for row in one.rows)
    return replace(one, columns=columns, rows=rows)


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


def _confusions(subjects: Sequence[Subject]) -> tuple[Callable[[Subject], Table], ...]:
    """With one class there is nothing to confuse."""
    return (_confusion,) if len(subjects[0].evaluation.data.classes) > 1 else ()


def _confusion(subject: Subject) -> Table:
    found = subject.evaluation.detection.confusion
    rows = zip(found.names, found.counts, strict=True)
    return Table(
        title="Confusion of classes",
        columns=("labelled as", *(f"found as {name}" for name in found.names)),
        rows=tuple((name, *(str(int(count)) for count in counts)) for name, counts in rows),
        explained=f"Boxes at IoU 0.5 with a score of at least {found.min_score:g}; "
        "nothing: missed, or found where nothing is.",
    )


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
    if subject.evaluation.data.stills:
        rows = [(row[0], UNDEFINED, *row[2:]) for row in rows]
        columns = ("image", "", "boxes", "AP", "AP50", "image accuracy", "", "", "")
        return Table(title="By image", columns=(*columns, ""), rows=tuple(rows))
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
        ("small (up to 32 x 32 px)", "COCO AP", _percent(scores.ap_small)),
        ("medium (to 96 x 96 px)", "COCO AP", _percent(scores.ap_medium)),
        ("large", "COCO AP", _percent(scores.ap_large)),
    ]
    if subject.evaluation.data.stills:
        return Table(title="By size", columns=("objects", "measure", "%"), rows=tuple(rows))
    speeds = subject.evaluation.detection.vid.by_speed
    for protocol, by_speed in speeds.items():
        rows += [
            (speed if speed == "all" else f"{speed} moving", f"VID AP50, {protocol}", value)
            for speed, value in ((name, _percent(one.ap50)) for name, one in by_speed.items())
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
    if subject.evaluation.data.stills:
        columns = ("in the image", "image accuracy %", "images")
    return Table(title="By density", columns=columns, rows=tuple(rows))
