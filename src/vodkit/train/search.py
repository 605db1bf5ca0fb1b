"""The few settings that matter most, tried out: ``vodkit train --search N`` (extra ``tune``).

Each trial is a short training in its own folder below ``search/``; those that are worse than
the median of the others half-way are ended early. Trials are kept in a file, so a stopped search
goes on where it was.
"""

from dataclasses import replace
from pathlib import Path
from typing import Any

from vodkit.errors import SettingsError
from vodkit.runs import make_folder
from vodkit.train.loop import Progress, train
from vodkit.train.settings import TrainSettings


def best_settings(settings: TrainSettings, *, trials: int) -> TrainSettings:
    """``settings`` with learning rate, decay and augmentation as the best of ``trials`` had them.

    Trials that an earlier search in the same run folder made count as well. Raises SettingsError
    without a validation split or without Optuna.
    """
    if not settings.val_split:
        raise SettingsError("search needs a val_split: trials are compared on it")
    try:
        import optuna
    except ImportError as error:
        raise SettingsError("search needs Optuna: pip install 'vodkit[tune]'") from error
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    folder = make_folder(Path(settings.out) / "search")
    study = optuna.create_study(
        study_name="train",
        storage=f"sqlite:///{folder / 'trials.db'}",
        direction="maximize",
        load_if_exists=True,
        sampler=optuna.samplers.TPESampler(seed=settings.seed),
        pruner=optuna.pruners.MedianPruner(n_startup_trials=3),
    )
    finished = [trial for trial in study.trials if trial.state.is_finished()]
    study.optimize(
        lambda trial: _try(settings, trial, folder), n_trials=max(trials - len(finished), 0)
    )
    return replace(_changed(settings, study.best_trial), out=settings.out)


def _try(settings: TrainSettings, trial: Any, folder: Path) -> float:
    wanted = replace(_changed(settings, trial), out=str(folder / f"{trial.number:03d}"))
    return train(wanted, overwrite=True, watch=_pruning(trial)).ap or 0.0


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
