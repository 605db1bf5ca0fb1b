"""The run folder of a training: what is in it, who has it, and how it begins.

::

    best.safetensors, best.card.json   the averaged weights with the best validation AP
    last.safetensors, last.card.json   those of the end
    log.csv                            a line an epoch
    settings.toml, manifest.json       what ran, on what, from what
    state.pt                           everything that resuming needs
"""

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import asdict
from pathlib import Path

from vodkit.detect.checkpoint import card_path
from vodkit.ground import ledger
from vodkit.ground.runs import (
    MANIFEST,
    REPORT,
    SETTINGS,
    make_folder,
    only_one,
    stack,
    write_atomic,
    write_json,
)
from vodkit.ground.settings import to_toml
from vodkit.train import freeze, resume
from vodkit.train.loggers import TENSORBOARD, require_journals
from vodkit.train.settings import TrainSettings
from vodkit.train.setup import Material

BEST, LAST, LOG = "best.safetensors", "last.safetensors", "log.csv"


def claim_folder(
    settings: TrainSettings,
    hold: Callable[[AbstractContextManager[None]], None] | None,
    *,
    resume_run: bool,
    overwrite: bool,
) -> bool:
    """Make and lock (``hold``) the run folder; whether it has a state to resume from.

    A run that was killed before its first state starts again, so scripts may always pass
    ``--resume``.
    """
    require_journals(settings.journals)
    out = make_folder(Path(settings.out))
    if hold is not None:
        hold(only_one(out))
        _clear_away_parts(out)
    for name in (resume.STATE, MANIFEST, SETTINGS, LOG, REPORT, BEST, LAST):
        ledger.require_ours(out / name)
    if not resume_run and not overwrite:
        resume.refuse_training_in(out)
    return resume_run and (out / resume.STATE).is_file()


def _clear_away_parts(out: Path) -> None:
    """Delete partial files of killed runs, each as large as a state."""
    names = [
        resume.STATE,
        *(name for path in (BEST, LAST) for name in (path, card_path(Path(path)))),
    ]
    for name in names:
        for part in out.glob(f".{name}.????????"):
            part.unlink(missing_ok=True)


def begin_anew(settings: TrainSettings, material: Material) -> None:
    """Discard an earlier training and write what this one is made from."""
    out = Path(settings.out)
    weights = (out / BEST, out / LAST)
    files = [out / name for name in (resume.STATE, MANIFEST, LOG, REPORT)]
    for path in (*files, *weights, *map(card_path, weights)):
        ledger.remove(path)
    ledger.remove_tree(out / TENSORBOARD)
    write_atomic(out / SETTINGS, to_toml(settings))
    _describe(settings, material)


def _describe(settings: TrainSettings, material: Material) -> None:
    """The manifest: from what the training is made."""
    frames = material.training.frames
    manifest = {
        "stack": stack(),
        "model": material.card.source,
        "licence": material.card.licence,
        "classes": list(material.card.classes),
        "classes_begun_afresh": list(material.fresh_classes),
        "data": material.about,
        "training_frames": len(frames),
        "cached_features": material.why_not_cached or "yes",
        "cached_views": 0 if material.cached is None else material.cached.views,
        "left_out": list(material.left_out),
        "parameters": [asdict(row) for row in freeze.table(material.module, material.card)],
    }
    write_json(Path(settings.out) / MANIFEST, manifest)
