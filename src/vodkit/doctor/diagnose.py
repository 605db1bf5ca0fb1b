"""Diagnose a path: a dataset, a training, an evaluation or a tracked video."""

import json
import tomllib
from pathlib import Path
from typing import Any

from vodkit.detect.models import find_card
from vodkit.doctor.causes import Cause, Diagnosis, ordered
from vodkit.doctor.dataset import Input, dataset_causes
from vodkit.doctor.evaluation import evaluation_causes
from vodkit.doctor.tracks import tracks_causes
from vodkit.doctor.training import read_log, training_causes
from vodkit.formats.predictions import read_predictions, sniff
from vodkit.formats.table import read_dataset
from vodkit.ground import runs
from vodkit.ground.errors import FormatError, InputError, VodkitError, WeightsError
from vodkit.infer.manifest import read_manifest

LOG = "log.csv"


def diagnose(path: Path | str, *, model: str = "") -> Diagnosis:
    """Likely causes of a bad result, most likely first.

    Args:
        path: A dataset or label file, or the folder of a training, an evaluation or a run.
        model: Detector for whose input sizes are judged; empty: the one that was trained or ran,
            for a dataset ``vodkit-street``.

    Raises:
        InputError: The path does not exist, or is none of these.
        FormatError: A file in it is damaged.
    """
    path = Path(path)
    if not path.exists():
        raise InputError(f"{path} does not exist; give a dataset file or a run folder")
    if path.is_dir() and (path / LOG).is_file():
        kind, (causes, facts) = "training", _training(path, model)
    elif path.is_dir() and (path / runs.PREDICTIONS).is_file():
        kind, (causes, facts) = "tracks", _tracks(path / runs.PREDICTIONS, model)
    elif path.is_dir() and (path / runs.METRICS).is_file():
        kind, (causes, facts) = "evaluation", _evaluation(path / runs.METRICS)
    elif path.is_file() and sniff(path):
        kind, (causes, facts) = "tracks", _tracks(path, model)
    else:
        kind = "dataset"
        causes, facts = dataset_causes(read_dataset(path), _input(model or "vodkit-street"))
    return Diagnosis(path=str(path), kind=kind, causes=ordered(causes), facts=facts)


def _training(path: Path, model: str) -> tuple[list[Cause], dict[str, Any]]:
    """The log, and the dataset that it learnt from where that still exists."""
    causes, facts = training_causes(read_log(path / LOG))
    checkpoint = path / "best.safetensors"
    network = _input(model or str(checkpoint)) if model or checkpoint.is_file() else None
    try:
        dataset = read_dataset(_setting(path, "data"))
    except VodkitError as error:
        facts["dataset"] = f"not read: {error}"
        return causes, facts
    more, of_data = dataset_causes(dataset, network)
    return [*causes, *more], {**facts, **of_data}


def _tracks(path: Path, model: str) -> tuple[list[Cause], dict[str, Any]]:
    given = read_predictions(path)
    network = _input(model or _setting(path.parent, "model") or given.header.detector)
    causes, facts = tracks_causes(given, read_manifest(path.parent), network)
    if (path.parent / runs.METRICS).is_file():
        more, measured = _evaluation(path.parent / runs.METRICS)
        causes, facts = [*causes, *more], {**facts, **measured}
    return causes, facts


def _evaluation(path: Path) -> tuple[list[Cause], dict[str, Any]]:
    try:
        return evaluation_causes(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise FormatError(f"not the numbers of vodkit eval: {error!r}", path=path) from error


def _setting(folder: Path, name: str) -> str:
    """A setting that a run was made with; empty where it is not recorded."""
    try:
        content = tomllib.loads((folder / runs.SETTINGS).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return ""
    return str(content.get(name, ""))


def _input(model: str) -> Input | None:
    """The input size of a model; None where it is not known here."""
    try:
        card, _ = find_card(model)
    except (WeightsError, InputError):
        return None
    size = card.preprocessing
    return Input(model=card.name, width_px=size.width_px, height_px=size.height_px)
