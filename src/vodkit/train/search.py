"""The few settings that matter most, tried out: ``vodkit train --search N`` (extra ``tune``).

Each trial is a short training in its own folder in ``search/``; trials below the median of the
others are stopped early. A trial that diverges (non-finite loss) or runs out of memory has failed,
with the reason. Trials are kept in a database, so a stopped search resumes.
"""

import os
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from vodkit.detect.models import find_card
from vodkit.formats.table import read_dataset
from vodkit.ground import ledger
from vodkit.ground.errors import InputError, SettingsError, TrainingError, needs
from vodkit.ground.runs import make_folder, only_one
from vodkit.train.log import flat
from vodkit.train.loop import train
from vodkit.train.progress import Progress
from vodkit.train.resume import (
    described,
    digest,
    footage,
    refuse_changes,
    refuse_training_in,
)
from vodkit.train.settings import TrainSettings
from vodkit.train.setup import delete_features, root_of, weights_of

_SEARCHED = ("lr", "weight_decay", "augment.zoom", "augment.colour")
_ABOUT = "searched"
"""under this name a study keeps what its trials are of"""
_WHY = "why it failed"
"""under this name a trial keeps what its settings led to"""


def tell_nobody(_line: str) -> None:
    """For callers who only want the result."""


def best_settings(
    settings: TrainSettings,
    *,
    trials: int,
    resume_run: bool = False,
    overwrite: bool = False,
    tell: Callable[[str], None] = tell_nobody,
) -> TrainSettings:
    """``settings`` with learning rate, decay and augmentation as the best of ``trials`` had them.

    Trials that an earlier search in the same run folder made count as well, those that failed for
    their settings, too. Any other error (of data, disk, ...) ends the search; called again, it goes
    on with another trial.

    Args:
        settings: of every trial, but for what is searched.
        trials: how many there are to be, with those of earlier searches.
        resume_run: as ``train`` will be told afterwards.
        overwrite: as ``train`` will be told afterwards.
        tell: called with a line about the search, and one about each trial.

    Raises:
        SettingsError: no validation split, no Optuna, several processes, or the trials in the
            folder are of other data, another model or other settings (the difference is named).
        OutputError: a training is in the folder, and neither of the last two is asked for.
        InputError: no trial has a result, or what ended the search.
    """
    _refuse(settings, trials)
    if not resume_run and not overwrite:
        refuse_training_in(Path(settings.out))
    with needs("search needs Optuna: pip install 'vodkit[tune]'"):
        import optuna
    optuna.logging.set_verbosity(optuna.logging.ERROR)  # a warning comes with a whole traceback
    about = _about(settings)
    folder = make_folder(Path(settings.out) / "search")
    ledger.claim(folder / "trials.db")
    with only_one(folder), _opened(folder / "trials.db") as storage:
        study = optuna.create_study(
            study_name="train",
            storage=storage,
            direction="maximize",
            load_if_exists=True,
            pruner=optuna.pruners.MedianPruner(n_startup_trials=3),
        )
        _forget_killed(study, folder)
        done = _done(study)
        if done:
            _refuse_others(study.user_attrs.get(_ABOUT, {}), about, folder)
        else:
            study.set_user_attr(_ABOUT, about)
        tell(f"search: {len(done)} of {trials} trials are done, in {folder}")
        for number in range(len(done) + 1, trials + 1):
            # Anew for each: what was stopped tries what it would have tried, nothing twice.
            seed = zlib.crc32(f"{settings.seed}, {len(study.trials)}".encode())
            study.sampler = optuna.samplers.TPESampler(seed=seed)
            study.optimize(
                lambda trial: _try(settings, trial, folder), n_trials=1, catch=(TrainingError,)
            )
            tell(f"trial {number} of {trials}: {_ended(study.trials[-1])}")
        if not any(trial.state.name == "COMPLETE" for trial in study.trials):
            _refuse_no_result(study, folder)
        tell(f"search: the best is {_ended(study.best_trial)}")
        return replace(_changed(settings, study.best_trial), out=settings.out)


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    """The database of trials, closed afterwards: Optuna itself leaves its connections open."""
    import optuna

    storage = optuna.storages.RDBStorage(f"sqlite:///{path}")
    try:
        yield storage
    finally:
        storage.remove_session()
        storage.engine.dispose()


def _refuse(settings: TrainSettings, trials: int) -> None:
    """SettingsError for what cannot be searched."""
    if trials < 1:
        raise SettingsError(f"search is {trials}; allowed: 1 or more trials")
    if not settings.val_split:
        raise SettingsError("search needs a val_split: trials are compared on it")
    processes = int(os.environ.get("WORLD_SIZE", "1"))
    if processes > 1:
        seen = f"search is asked for in {processes} processes (WORLD_SIZE)"
        raise SettingsError(f"{seen}; allowed: 1, without torchrun")


def _about(settings: TrainSettings) -> dict[str, str]:
    """What trials are of: those of something else cannot be compared with them."""
    whole, root = read_dataset(settings.data), root_of(settings)
    parts = [whole.only(split) for split in (settings.train_split, settings.val_split)]
    about = {name: value for name, value in flat(settings).items() if name not in _SEARCHED}
    return {
        **about,
        **weights_of(settings),
        "sha256 of the model": find_card(settings.model)[0].sha256,
        "classes": ", ".join(whole.classes),
        "labels to learn": digest(described(parts[0])),
        "labels to compare on": digest(described(parts[1])),
        "pixels to learn": digest(footage(parts[0], root)),
        "pixels to compare on": digest(footage(parts[1], root)),
    }


def _refuse_others(then: dict[str, str], now: dict[str, str], folder: Path) -> None:
    try:
        refuse_changes(then, now, where=str(folder))
    except InputError as error:
        raise SettingsError(f"{error}; allowed: the same again, or another run folder") from error


def _forget_killed(study: Any, folder: Path) -> None:
    """Mark trials that were running when a search was killed as failed: they are not resumed."""
    for trial in study.trials:
        if trial.state.name == "RUNNING":
            study.tell(trial.number, state=type(trial.state).FAIL)
            delete_features(folder / f"{trial.number:03d}")


def _ended(trial: Any) -> str:
    """With what settings a trial came to what."""
    named = ", ".join(f"{name} {value:.3g}" for name, value in trial.params.items())
    if trial.state.name == "PRUNED":
        return f"ended early, worse than others ({named})"
    why = trial.user_attrs.get(_WHY, "it has no AP")
    return f"failed: {why} ({named})" if trial.value is None else f"AP {trial.value:.3f} ({named})"


def _refuse_no_result(study: Any, folder: Path) -> None:
    seen = f"none of {len(study.trials)} trials has an AP"
    whys = [trial.user_attrs[_WHY] for trial in study.trials if _WHY in trial.user_attrs]
    last = f" ({len(whys)} failed, the last: {whys[-1]})" if whys else ""
    raise InputError(f"{folder}: {seen}{last}; allowed: one at least, to choose from")


def _done(study: Any) -> list[Any]:
    """The trials that tell something; one that was stopped is to be made up for."""
    return [
        trial
        for trial in study.trials
        if trial.state.name in {"COMPLETE", "PRUNED"} or _WHY in trial.user_attrs
    ]


def _try(settings: TrainSettings, trial: Any, folder: Path) -> float:
    out = folder / f"{trial.number:03d}"
    wanted = replace(_changed(settings, trial), out=str(out))
    try:
        return train(wanted, overwrite=True, watch=_pruning(trial)).ap or 0.0
    except TrainingError as error:
        trial.set_user_attr(_WHY, str(error))
        raise
    finally:  # trials are not resumed, and their features are gigabytes
        delete_features(out)


def _changed(settings: TrainSettings, trial: Any) -> TrainSettings:
    """With the numbers that a trial suggests (or, once it is over, suggested)."""
    zoom = trial.suggest_float("zoom", 0.0, 0.5)
    augment = replace(
        settings.augment,
        zoom=(1 - zoom, 1 + zoom),
        colour=trial.suggest_float("colour", 0.0, 0.5),
    )
    return replace(
        settings,
        lr=trial.suggest_float("lr", 2e-4, 1e-2, log=True),
        weight_decay=trial.suggest_float("weight_decay", 1e-3, 0.1, log=True),
        augment=augment,
    )


def _pruning(trial: Any) -> Any:
    def watch(progress: Progress) -> None:
        import optuna

        if progress.what == "epoch" and progress.ap is not None:
            trial.report(progress.ap, progress.done)
            if trial.should_prune():
                raise optuna.TrialPruned

    return watch
