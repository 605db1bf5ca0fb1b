"""A training to look at: curves, what was found in the same frames as it went on, its settings.

``TrainingPage`` watches a training (``vodkit.train.loop.train(..., watch=page)``): after every
validation it writes ``pictures/epoch-0007.webp``, and ``write`` makes ``report.html`` of the whole
run, resumed or not.
"""

import base64
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from vodkit.ground import ledger
from vodkit.ground.arrays import ByteArray
from vodkit.ground.runs import MANIFEST, SETTINGS, make_folder, write_atomic
from vodkit.ground.text import csv_rows
from vodkit.metrics.detection.ap import CocoScores
from vodkit.report.charts import Axes, Line, line_chart
from vodkit.report.contact_sheet import encoded, sheet
from vodkit.report.draw import TRUTH, draw_box, draw_found
from vodkit.report.page import render
from vodkit.report.sections import UNDEFINED, Table
from vodkit.train.folder import LOG
from vodkit.train.loop import TrainResult
from vodkit.train.progress import Progress
from vodkit.train.validate import Shown

PAGE, PICTURES = "report.html", "pictures"
CELL_PX = 384
LEAST_SCORE = 0.3
_SCORES = {"ap": "AP", "ap50": "AP50"}
_NO_LOSSES = ("epoch", "seconds", "wait", "halvings", "skipped_steps", *_SCORES)


class TrainingPage:
    """Pictures while a training goes on, and its page at the end."""

    def __init__(self, folder: Path, *, notes: Sequence[str] = ()) -> None:
        """``folder`` is the run's; ``notes`` stand at the top of the page."""
        self.folder = folder
        self.notes = tuple(notes)

    def __call__(self, progress: Progress) -> None:
        """Take note of a validation."""
        if progress.what == "parameters" and not (self.folder / LOG).exists():
            for old in (self.folder / PICTURES).glob("epoch-*.webp"):  # of a run thrown away
                ledger.remove(old)
        if progress.shown:
            picture = examined(progress.shown, list(progress.per_class))
            path = make_folder(self.folder / PICTURES) / f"epoch-{progress.done:04d}.webp"
            write_atomic(path, encoded(picture, ".webp"))

    def write(self, result: TrainResult) -> Path:
        """Write the page of the run that ended so; its path."""
        manifest = json.loads((self.folder / MANIFEST).read_text(encoding="utf-8"))
        rows = _rows(self.folder / LOG)
        left_out = [f"left out, not readable: {name}" for name in result.left_out]
        content = {
            "title": f"Training of {', '.join(manifest['classes'])}",
            "notes": [*self.notes, *left_out],
            "facts": _facts(result, manifest, rows),
            "charts": _charts(rows),
            "tables": [
                *([_classes(result.per_class)] if result.per_class else []),
                _parameters(manifest),
                _epochs(rows),
                _settings(self.folder / SETTINGS),
            ],
            "sheets_title": "The same validation frames as the training went on (truth in white)",
            "sheets": _pictures(self.folder / PICTURES),
        }
        write_atomic(self.folder / PAGE, render("overview.html.j2", content))
        return self.folder / PAGE


def examined(shown: Sequence[Shown], classes: Sequence[str]) -> ByteArray:
    """Frames side by side: truth in white, what was found (score 0.3 or more) in colour."""
    import cv2

    pictures = []
    for one in shown:
        sure = one.found[one.found.scores >= LEAST_SCORE]
        canvas = one.picture.image.copy()
        for box in one.picture.boxes_xyxy:
            draw_box(canvas, box, TRUTH)
        canvas = draw_found(canvas, sure, classes)
        height_px = round(CELL_PX * canvas.shape[0] / canvas.shape[1])
        pictures.append(cv2.resize(canvas, (CELL_PX, height_px), interpolation=cv2.INTER_AREA))
    tallest = max(picture.shape[0] for picture in pictures)
    even = [np.pad(p, ((0, tallest - p.shape[0]), (0, 0), (0, 0))) for p in pictures]
    return sheet(even, [one.name for one in shown], columns=2)


def _rows(path: Path) -> list[dict[str, float]]:
    columns, *rows = csv_rows(path.read_text(encoding="utf-8"))
    return [{k: float(v) for k, v in zip(columns, row, strict=True) if v} for row in rows]


def _facts(
    result: TrainResult, manifest: Mapping[str, object], rows: Sequence[Mapping[str, float]]
) -> list[tuple[str, str]]:
    scores = "not validated"
    if result.ap is not None and result.ap50 is not None:
        scores = f"AP {result.ap:.3f}, AP50 {result.ap50:.3f}, on the split it was chosen on"
    return [
        ("checkpoint", result.checkpoint.name),
        ("best validation", scores),
        ("epochs", str(result.epochs)),
        ("time of their steps", f"{sum(row['seconds'] for row in rows):.0f} s"),
        ("training frames", str(manifest["training_frames"])),
        ("begun from", str(manifest["model"])),
        ("licence", str(manifest["licence"])),
        ("kept features of the frozen part", _kept(manifest)),
    ]


def _kept(manifest: Mapping[str, object]) -> str:
    views = manifest["cached_views"]
    return f"{views} views of each picture" if views else f"none: {manifest['cached_features']}"


def _charts(rows: Sequence[Mapping[str, float]]) -> list[tuple[str, str]]:
    """(title, SVG) of losses and of validation scores."""
    losses = [name for name in (rows[0] if rows else {}) if name not in _NO_LOSSES]
    made = []
    for title, names, y, top in (
        ("Losses", losses, "loss", None),
        ("Validation", list(_SCORES), "score", 1.0),
    ):
        lines = [
            Line(
                name=_SCORES.get(name, name),
                x=[row["epoch"] for row in rows if name in row],
                y=[row[name] for row in rows if name in row],
            )
            for name in names
        ]
        axes = Axes(title=title, x="epoch", y=y, x_max=None, y_max=top)
        made.append((title, line_chart([line for line in lines if line.x], axes)))
    return made


def _classes(per_class: Mapping[str, CocoScores]) -> Table:
    rows = [(name, _score(one.ap), _score(one.ap50)) for name, one in per_class.items()]
    return Table(
        title="Classes, last validation",
        columns=("class", "AP", "AP50"),
        rows=tuple(rows),
        explained="All other numbers: vodkit eval, on a split that nothing was chosen on.",
    )


def _score(value: float | None) -> str:
    return UNDEFINED if value is None else f"{value:.3f}"


def _parameters(manifest: Mapping[str, object]) -> Table:
    rows = manifest["parameters"]
    assert isinstance(rows, list)
    cells = [(r["stage"], f"{r['parameters']:,}", f"{r['trainable']:,}") for r in rows]
    columns = ("stage", "parameters", "trained")
    return Table(title="Parameters", columns=columns, rows=tuple(cells))


def _epochs(rows: Sequence[Mapping[str, float]]) -> Table:
    columns = tuple(dict.fromkeys(name for row in rows for name in row))
    cells = tuple(
        tuple(f"{row[name]:.4g}" if name in row else UNDEFINED for name in columns) for row in rows
    )
    return Table(title="Epochs", columns=columns, rows=cells, folded=True)


def _settings(path: Path) -> Table:
    pairs = [
        (name.strip(), value.strip())
        for name, _, value in (
            line.partition("=") for line in path.read_text(encoding="utf-8").splitlines()
        )
        if value
    ]
    return Table(title="Settings", columns=("setting", "value"), rows=tuple(pairs), folded=True)


def _pictures(folder: Path) -> list[tuple[str, str]]:
    """(epoch, ``data:`` URL) of the first validation and of the last."""
    paths = sorted(folder.glob("epoch-*.webp"))
    made = []
    for path in dict.fromkeys([*paths[:1], *paths[-1:]]):
        data = base64.b64encode(path.read_bytes()).decode()
        epoch = int(path.stem.split("-")[1])
        made.append((f"after epoch {epoch}", f"data:image/webp;base64,{data}"))
    return made
