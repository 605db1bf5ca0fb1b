"""The whole life cycle on the sample clips: check, track, fine-tune, track again, compare.

Clip A is trained on, clip B only measured on. Both are of one scene, so the gain says how well a
detector can be fitted to a camera, not how good it is elsewhere; the report says so.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from vodkit.data.audit.audit import AuditSettings, audit_file
from vodkit.data.audit.findings import Grade, in_a_line
from vodkit.formats.predictions import final_frames, frames_with, open_predictions
from vodkit.formats.table import read_dataset
from vodkit.ground import runs
from vodkit.ground.ledger import require_ours
from vodkit.ground.records import Dataset
from vodkit.infer.flow import make_detector
from vodkit.infer.folder import RunFolder
from vodkit.infer.run import run_source
from vodkit.infer.settings import InferSettings
from vodkit.metrics.compare import compare, from_evaluation
from vodkit.metrics.evaluation import Evaluation, evaluate
from vodkit.metrics.prediction_files import read_predictions
from vodkit.report.annotate import write_video
from vodkit.report.contact_sheet import contact_sheet, evenly, write_png
from vodkit.report.page import write_report
from vodkit.report.sections import Subject
from vodkit.samples import samples
from vodkit.train.loop import TrainResult, train
from vodkit.train.progress import Progress
from vodkit.train.settings import TrainSettings
from vodkit.video.reader import open_video

ONE_SCENE = (
    "Both clips are of one scene and one camera, and some people are in both: the gain shows how "
    "well the detector was fitted to this camera, not how good it is anywhere else."
)
BEFORE, AFTER = "before", "after"


_SHEET = "contact_sheet.png"


@dataclass(frozen=True, kw_only=True)
class DemoSettings:
    """What the demo runs; the defaults take about two minutes on two CPU cores."""

    model: str = "vodkit-street"
    """the detector to begin with"""
    epochs: int = 10
    """of fine-tuning on clip A, with the backbone frozen"""
    cache_views: int = 4
    """fixed views of each picture whose features are kept"""
    every: int = 4
    """learn from every n-th frame of clip A"""
    lr: float = 2e-3
    """learning rate at its highest"""
    frames_on_sheet: int = 12
    """pictures on the contact sheet"""


@dataclass(frozen=True, kw_only=True)
class DemoResult:
    """What came out, and where it is."""

    before: Evaluation
    """clip B with the detector as it came"""
    after: Evaluation
    """clip B after fine-tuning on clip A"""
    detections_ap50: tuple[float | None, float | None]
    """AP50 of the detector's own boxes on clip B, before and after; no tracker involved"""
    verdict: str
    """what the paired comparison says"""
    num_findings: int
    """of the audit, warnings and errors"""
    training: TrainResult
    report: Path
    video: Path
    sheet: Path


def run_demo(
    out: Path,
    *,
    settings: DemoSettings | None = None,
    tell: Callable[[str], None] = lambda _words: None,
) -> DemoResult:
    """Run it all into the folder ``out``; ``tell`` hears what is being done.

    Raises OutputError where the folder cannot be written, WeightsError where the model is missing.
    """
    settings = settings or DemoSettings()
    runs.make_folder(out)
    for name in (runs.REPORT, _SHEET):
        require_ours(out / name)
    tell("1/5 checking the labels of both clips")
    num_findings, audited = _audit()
    tell("2/5 tracking clip B with the detector as it comes")
    _track(settings.model, out / BEFORE)
    tell("3/5 fine-tuning on clip A, backbone frozen")
    training = _fine_tune(settings, out / "training", tell)
    tell("4/5 tracking clip B with the fine-tuned detector")
    _track(str(training.checkpoint), out / AFTER)
    tell("5/5 measuring both and writing the report")
    dataset = read_dataset(samples.LABELS).only("test")
    subjects = [_subject(dataset, out, name, audited) for name in (BEFORE, AFTER)]
    before, after = (subject.evaluation for subject in subjects)
    comparison = compare(from_evaluation(before, BEFORE), from_evaluation(after, AFTER))
    report = out / runs.REPORT
    write_report(
        report,
        dataset,
        samples.LABELS.parent,
        subjects,
        comparisons=[comparison],
        notes=(ONE_SCENE,),
        title="Clip B before and after fine-tuning on clip A",
    )
    sheet = out / _SHEET
    _sheet(out / AFTER / runs.PREDICTIONS, sheet, settings.frames_on_sheet)
    return DemoResult(
        before=before,
        after=after,
        detections_ap50=(_raw_ap50(dataset, out / BEFORE), _raw_ap50(dataset, out / AFTER)),
        verdict=comparison.verdict,
        num_findings=num_findings,
        training=training,
        report=report,
        video=out / AFTER / "annotated.mp4",
        sheet=sheet,
    )


def _audit() -> tuple[int, str]:
    """How many warnings and errors, and a line for the report."""
    found = audit_file(samples.LABELS, "cocovid", settings=AuditSettings()).findings
    return sum(finding.grade > Grade.NOTE for finding in found), in_a_line(found)


def _track(model: str, folder: Path) -> None:
    wanted = InferSettings(model=model)
    RunFolder(folder).prepare(wanted, overwrite=True)
    for _step in run_source(str(samples.CLIP_B), folder, make_detector(wanted), wanted):
        pass
    write_video(samples.CLIP_B, folder / runs.PREDICTIONS, folder / "annotated.mp4")


def _fine_tune(settings: DemoSettings, out: Path, tell: Callable[[str], None]) -> TrainResult:
    last_told = time.monotonic()

    def watch(progress: Progress) -> None:
        nonlocal last_told
        under_way = progress.what not in {"material", "parameters"}
        if under_way and time.monotonic() - last_told > 10:
            last_told = time.monotonic()
            if progress.num_epochs == 0:
                tell(f"    {progress.what}: {progress.done} of {progress.total}")
            else:
                tell(f"    epoch {progress.epoch + 1} of {progress.num_epochs}")

    wanted = TrainSettings(
        data=str(samples.LABELS),
        out=str(out),
        model=settings.model,
        val_split="",
        epochs=settings.epochs,
        every=settings.every,
        still_iou=1.0,
        cache_views=settings.cache_views,
        lr=settings.lr,
        ema_decay=0.98,
        freeze="backbone",
    )
    return train(wanted, overwrite=True, watch=watch)


def _subject(dataset: Dataset, out: Path, name: str, audited: str) -> Subject:
    predictions = out / name / runs.PREDICTIONS
    given = read_predictions([predictions], dataset)
    about = {**given.about, "audit": audited}
    result = evaluate(dataset, given.tables, split="test", about=about, notes=given.notes)
    runs.write_json(out / name / runs.METRICS, result.to_json())
    source = dataset.videos[0].source
    return Subject(
        title=name,
        evaluation=result,
        predictions=given.tables,
        videos={source: f"{name}/annotated.mp4"},
    )


def _raw_ap50(dataset: Dataset, folder: Path) -> float | None:
    """AP50 of the detector's boxes, before any tracker."""
    given = read_predictions([folder / runs.DETECTIONS], dataset)
    return evaluate(dataset, given.tables).detection.coco.overall.ap50


def _sheet(predictions: Path, path: Path, num_shown: int) -> None:
    with (
        open_predictions(predictions) as (header, frames),
        open_video(samples.CLIP_B) as video,
    ):
        wanted = set(evenly(video.info.num_frames or 1, num_shown))
        pairs = frames_with(video.frames(), final_frames(frames))
        shown = [pair for pair in pairs if pair[0].index in wanted]
    write_png(contact_sheet(shown, header.classes), path)
