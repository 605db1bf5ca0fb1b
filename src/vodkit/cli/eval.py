"""``vodkit eval``: predictions against labels, every number with its uncertainty."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from vodkit.cli import eval_model, eval_videos, options
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
    size: str = options.option_of(InferSettings, "size"),
    latency_s: float = typer.Option(
        None, "--latency-s", help="Seconds a frame takes, for streaming AP; --model measures it."
    ),
    low_quality: str = typer.Option(
        "off",
        "--low-quality",
        help="AP50 on blurred frames: off, measure (reads the videos), FILE.",
    ),
    threshold_from: str = typer.Option(
        "", "--threshold-from", help="Side of the split that min_score was chosen on."
    ),
    include_predicted: bool = typer.Option(
        False, "--include-predicted", help="Score boxes of hidden objects as detections, too."
    ),
    audit: bool = typer.Option(False, "--audit", help="Look for leaks first; reads every video."),
    settings: list[str] = typer.Option(
        [], "--set", help="A setting, e.g. min_score=0.3; 'help' lists all."
    ),
    out: Path = typer.Option(Path("runs/eval"), "--out", "-o", help="Folder of the results."),
    report: bool = typer.Option(True, "--report/--no-report", help="Write report.html, too."),
    strict: bool = options.STRICT,  # noqa: ARG001 - its callback sets it
    threads: int = options.THREADS,  # noqa: ARG001 - its callback sets it
    as_json: bool = options.JSON,
) -> None:
    """Measure predictions against labels. Detection, frames, tracking, stability.

    Example: vodkit eval labels.json runs/plaza --split test
    """
    from vodkit.data.ingest import read_with_videos
    from vodkit.formats.base import are_stills
    from vodkit.formats.coco_results import ids_of
    from vodkit.ground import ledger, runs
    from vodkit.ground.account import losses_in
    from vodkit.ground.errors import SettingsError
    from vodkit.ground.settings import load
    from vodkit.metrics import evaluation, prediction_files

    if bool(predictions) == bool(model):
        raise SettingsError("give either prediction files or --model NAME")
    eval_model.refuse_unknown(model, tracker, size)
    chosen = ["states=observed,predicted,filled"] if include_predicted else []
    wanted = load(evaluation.EvalSettings, words=[*settings, *chosen])
    labels, found = read_with_videos(truth, format)
    dataset = labels.only(split) if split else labels
    renamed = prediction_files.parse_class_map(class_map)
    prediction_files.require_measurable(dataset, renamed)
    folder = runs.make_folder(out)
    ledger.require_ours(folder / runs.METRICS)
    unreadable: tuple[str, ...] = ()
    ran = InferSettings(model=model, tracker=tracker, temporal=temporal, size=size)
    if model and are_stills(dataset):
        place, unreadable = eval_model.run_on_stills(dataset, truth, folder, renamed, ran)
        predictions = [place]
    elif model:
        predictions = [eval_model.run(dataset, truth, folder, renamed, ran)]
    ids = ids_of(truth)
    given = prediction_files.read_predictions(
        predictions,
        dataset,
        format=prediction_format,
        class_map=renamed,
        elsewhere=[video.source for video in labels.videos],
        ids=ids,
    )
    about = {**given.about, "truth": str(truth), "stack": json.dumps(runs.stack())}
    about["date"] = datetime.now(tz=UTC).astimezone().strftime("%Y-%m-%d %H:%M")
    tables, latencies = given.tables, dict(given.latency_s)
    notes = (*(found or losses_in(labels.accounts)), *unreadable, *given.notes)
    if latency_s is not None:
        latencies = {video.source: latency_s for video in dataset.videos}
    if model:
        about.setdefault("model", model)
    if threshold_from:
        about["threshold_from"] = f"chosen on {threshold_from}"
        if threshold_from == split:
            same = f"min_score was chosen on {split}, which it is measured on: too good"
            notes = (same, *notes)
    if audit:
        about["audit"], leaks = eval_videos.audit(labels)
        notes = (*leaks, *notes)
    low, more = eval_videos.low_quality(low_quality, dataset, folder)
    notes = (*notes, *more)
    result = evaluation.evaluate(
        dataset,
        tables,
        settings=wanted,
        split=split,
        about=about,
        notes=notes,
        latency_s=latencies,
        image_ids=ids.pictures if ids else None,
        low_quality=low,
    )
    runs.write_json(folder / runs.METRICS, result.to_json())
    if report:
        _write_page(folder / runs.REPORT, dataset, tables, result)
    if as_json:
        say_json(result.to_json(), indent=2)
    else:
        _show(result, folder, report=report)


def _write_page(
    path: Path,
    dataset: "Dataset",
    tables: "Mapping[str, TrackTable]",
    result: "Evaluation",
) -> None:
    from vodkit.report.page import write_report
    from vodkit.report.sections import Subject

    videos = {one.source: (dataset.root / one.source).resolve().as_uri() for one in dataset.videos}
    subject = Subject(title=path.parent.name, evaluation=result, predictions=tables, videos=videos)
    title = f"Evaluation: {path.parent.name}"
    write_report(path, dataset, dataset.root, [subject], title=title)


def _show(result: "Evaluation", folder: Path, *, report: bool) -> None:
    from vodkit.metrics.headline import shown, shown_span, title_of

    data = result.data
    counts = f"videos: {data.num_videos}, labelled frames: {data.num_frames}, "
    counts = f"images: {data.num_videos}, " if data.stills else counts
    tracks = "" if data.stills else f"tracks: {data.num_tracks}, "
    say(f"{counts}boxes: {data.num_truth}, {tracks}split: {data.split or 'all'}")
    titles = ["metric", "value", f"{result.settings.bootstrap.confidence:.0%} interval", "is"]
    rows = []
    for one in result.headline:
        title = title_of(one.name, stills=data.stills)
        span = shown_span(one.name, one.low, one.high)
        rows.append([title, shown(one.name, one.value), span, one.protocol])
    rows += [[name, *extra.shown(), extra.protocol] for name, extra in result.extra.items()]
    say_table(titles, rows)
    say(*result.notes, f"all numbers{' and the report' * report} are in {folder}")
