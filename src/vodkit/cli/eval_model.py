"""The model of ``vodkit eval --model``: it runs on what is labelled, before it is measured."""

import sys
from collections.abc import Mapping
from contextlib import redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING

from vodkit.infer.settings import NO_TRACKER, InferSettings

if TYPE_CHECKING:
    from vodkit.ground.records import Dataset


def refuse_unknown(model: str, tracker: str, size: str) -> None:
    """SettingsError for a model (if any) or tracker that does not exist, before data is read."""
    from vodkit.detect.foreign import DETECTORS
    from vodkit.detect.input_size import card_at
    from vodkit.detect.models import find_card
    from vodkit.infer.settings import AUTO
    from vodkit.track.table import make_tracker

    if not model:
        return
    if model not in DETECTORS:
        card, path = find_card(model)
        if size != AUTO:
            card_at(card, size, path)
    if tracker != NO_TRACKER:
        make_tracker(tracker)


def run(
    dataset: "Dataset",
    truth: Path,
    folder: Path,
    renamed: Mapping[str, str],
    wanted: InferSettings,
) -> Path:
    """Detect and track in every labelled video; the folder of the run folders."""
    from vodkit.benchmark.latency import note_latency
    from vodkit.cli.run import run_batch
    from vodkit.cli.summary import aside, raise_failures, say, say_runtime
    from vodkit.ground import process
    from vodkit.infer.batch import Batch, holds_other_runs
    from vodkit.metrics.prediction_files import require_class

    process.settle()
    root = truth if truth.is_dir() else truth.parent
    sources = [str(root / video.source) for video in dataset.videos if video.tracks is not None]
    place = folder / "predictions"
    again = holds_other_runs(place, sources, wanted)  # as after the model was trained once more
    with redirect_stdout(sys.stderr):
        batch = Batch(sources, wanted, out=place, resume=not again, overwrite=again, notify=aside)
        require_class(wanted.model, batch.detector.classes, dataset.classes, renamed)
        say_runtime(batch.detector, wanted)
        outcomes = list(run_batch(batch))
        for one in outcomes:
            say(one.source, one.folder.path, one.files, one.errors, as_json=False)
    raise_failures([one.errors for one in outcomes])
    for one in outcomes:
        note_latency(one.source, one.folder, batch.detector, wanted)
    return place


def run_on_stills(
    dataset: "Dataset",
    truth: Path,
    folder: Path,
    renamed: Mapping[str, str],
    wanted: InferSettings,
) -> tuple[Path, tuple[str, ...]]:
    """Detections in every picture, as one file; notes on pictures that could not be read.

    A run that was killed continues.
    """
    from vodkit.cli.bars import bar
    from vodkit.cli.summary import aside
    from vodkit.formats.table import write_dataset
    from vodkit.ground import process
    from vodkit.infer.flow import with_size
    from vodkit.infer.stills import detect_stills, detector_of_stills, record_of, settings_of_stills
    from vodkit.metrics.prediction_files import require_class

    process.settle()
    root = truth if truth.is_dir() else truth.parent
    pictures = [root / video.source for video in dataset.videos if video.tracks is not None]
    wanted = with_size(settings_of_stills(wanted), pictures, notify=aside)
    detector = detector_of_stills(folder, dataset, root, wanted)
    require_class(wanted.model, detector.classes, dataset.classes, renamed)
    with (
        record_of(folder, dataset, root, detector, wanted, anew=True) as record,
        bar(wanted.model, unit="images") as show,
    ):
        found = detect_stills(dataset, root, detector, record=record, progress=show)
    write_dataset(found.predictions, folder / "predictions.json")
    return folder / "predictions.json", found.unreadable
