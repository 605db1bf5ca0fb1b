"""``vodkit eval``: predictions against labels, every number with its uncertainty."""

import json
import sys
from collections.abc import Mapping
from contextlib import redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from vodkit.cli import options
from vodkit.cli.terminal import say, say_json, say_table
from vodkit.infer.settings import InferSettings

if TYPE_CHECKING:
    from vodkit.ground.records import Dataset, TrackTable
    from vodkit.metrics.evaluation import Evaluation


def evaluate(
    truth: Path = typer.Argument(..., help="Labels: any dataset format (file or folder)."),
    predictions: list[Path] = typer.Argument(None, help="Run folders or prediction files."),
    split: str = typer.Option("", "--split", help="train, val or test; default: all videos."),
    format: str = typer.Option("auto", "--format", help="Of the labels."),  # noqa: A002
    prediction_format: str = typer.Option("auto", "--prediction-format"),
    class_map: list[str] = typer.Option([], "--class-map", help="theirs=ours (repeatable)."),
    model: str = typer.Option("", "--model", "-m", help="Run this model first (instead of files)."),
    tracker: str = options.option_of(InferSettings, "tracker"),
    temporal: str = options.option_of(InferSettings, "temporal"),
    latency_s: float = typer.Option(
        None, "--latency-s", help="Seconds a frame takes, for streaming AP; --model measures it."
    ),
    threshold_from: str = typer.Option(
        "", "--threshold-from", help="Side of the split that min_score was chosen on."
    ),
    audit: bool = typer.Option(False, "--audit", help="Look for leaks first; reads every video."),
    settings: list[str] = typer.Option(
        [], "--set", help="A setting, e.g. min_score=0.3; 'help' lists all."
    ),
    out: Path = typer.Option(Path("runs/eval"), "--out", "-o", help="Folder of the results."),
    report: bool = typer.Option(True, "--report/--no-report", help="Write report.html, too."),
    as_json: bool = options.JSON,
) -> None:
    """Measure predictions against labels. Detection, frames, tracking, stability.

    Example: vodkit eval labels.json runs/plaza --split test
    """
    from vodkit.formats.coco_results import ids_of
    from vodkit.formats.table import read_dataset
    from vodkit.ground import runs
    from vodkit.ground.errors import SettingsError
    from vodkit.ground.settings import load
    from vodkit.metrics import evaluation, prediction_files

    if bool(predictions) == bool(model):
        raise SettingsError("give either prediction files or --model NAME")
    wanted = load(evaluation.EvalSettings, words=settings)
    labels = read_dataset(truth, format)
    dataset = labels.only(split) if split else labels
    renamed = prediction_files.parse_class_map(class_map)
    prediction_files.require_measurable(dataset, renamed)
    folder = runs.make_folder(out)
    if model:
        ran = InferSettings(model=model, tracker=tracker, temporal=temporal)
        predictions = [_run_model(dataset, truth, folder, ran)]
    given = prediction_files.read_predictions(
        predictions,
        dataset,
        format=prediction_format,
        class_map=renamed,
        elsewhere=[video.source for video in labels.videos],
        ids=ids_of(truth),
    )
    about = {**given.about, "truth": str(truth), "stack": json.dumps(runs.stack())}
    tables, notes, latencies = given.tables, given.notes, dict(given.latency_s)
    if latency_s is not None:
        latencies = {video.source: latency_s for video in dataset.videos}
    if threshold_from:
        about["threshold_from"] = f"chosen on {threshold_from}"
        if threshold_from == split:
            chosen = f"min_score was chosen on {split}, which it is measured on: too good"
            notes = (chosen, *notes)
    if audit:
        about["audit"], leaks = _audit(labels, truth)
        notes = (*leaks, *notes)
    result = evaluation.evaluate(
        dataset,
        tables,
        settings=wanted,
        split=split,
        about=about,
        notes=notes,
        latency_s=latencies,
    )
    runs.write_json(folder / runs.METRICS, result.to_json())
    if report:
        _write_page(folder / runs.REPORT, dataset, truth, tables, result)
    if as_json:
        say_json(result.to_json(), indent=2)
    else:
        _show(result, folder, report=report)


def _run_model(dataset: "Dataset", truth: Path, folder: Path, wanted: InferSettings) -> Path:
    from vodkit.benchmark.latency import note_latency
    from vodkit.cli.run import run_batch
    from vodkit.cli.summary import aside, raise_failures, say, say_runtime
    from vodkit.ground import process
    from vodkit.infer.batch import Batch, holds_other_runs

    process.settle()
    root = truth if truth.is_dir() else truth.parent
    sources = [str(root / video.source) for video in dataset.videos if video.tracks is not None]
    place = folder / "predictions"
    again = holds_other_runs(place, sources, wanted)  # as after the model was trained once more
    with redirect_stdout(sys.stderr):
        batch = Batch(sources, wanted, out=place, resume=not again, overwrite=again, notify=aside)
        say_runtime(batch.detector, wanted)
        outcomes = list(run_batch(batch))
        for one in outcomes:
            say(one.source, one.folder.path, one.files, one.errors, as_json=False)
    raise_failures([one.errors for one in outcomes])
    for one in outcomes:
        note_latency(one.source, one.folder, batch.detector, wanted)
    return place


def _audit(labels: "Dataset", truth: Path) -> tuple[str, tuple[str, ...]]:
    """What the audit found, in a line, and every leak in words."""
    from vodkit.data.audit.audit import AuditSettings
    from vodkit.data.audit.audit import audit as run
    from vodkit.data.audit.findings import in_a_line, leak_lines

    root = truth if truth.is_dir() else truth.parent
    found = run(labels, root, settings=AuditSettings()).findings
    leaks = leak_lines(found)
    return f"leaks between splits: {len(leaks)}; {in_a_line(found)}", leaks


def _write_page(
    path: Path,
    dataset: "Dataset",
    truth: Path,
    tables: "Mapping[str, TrackTable]",
    result: "Evaluation",
) -> None:
    from vodkit.report.page import write_report
    from vodkit.report.sections import Subject

    root = truth if truth.is_dir() else truth.parent
    videos = {one.source: (root / one.source).resolve().as_uri() for one in dataset.videos}
    subject = Subject(title=path.parent.name, evaluation=result, predictions=tables, videos=videos)
    write_report(path, dataset, root, [subject])


def _show(result: "Evaluation", folder: Path, *, report: bool) -> None:
    from vodkit.metrics.headline import DEFINITIONS, shown, shown_span

    data = result.data
    counts = f"videos: {data.num_videos}, labelled frames: {data.num_frames}, boxes: "
    say(f"{counts}{data.num_truth}, tracks: {data.num_tracks}, split: {data.split or 'all'}")
    titles = ["metric", "value", f"{result.settings.bootstrap.confidence:.0%} interval", "is"]
    rows = []
    for one in result.headline:
        title, span = DEFINITIONS[one.name].title, shown_span(one.name, one.low, one.high)
        rows.append([title, shown(one.name, one.value), span, one.protocol])
    say_table(titles, rows)
    say(*result.notes, f"all numbers{' and the report' * report} are in {folder}")
