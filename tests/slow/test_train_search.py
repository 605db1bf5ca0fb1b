"""``vodkit train --search``: real trials, kept in a file, stopped and gone on with."""

from pathlib import Path
from typing import Any

import optuna
import pytest

from vodkit.formats.table import write_dataset
from vodkit.ground import ledger
from vodkit.ground.errors import SettingsError
from vodkit.ground.records import Dataset, LabelledVideo
from vodkit.train import search
from vodkit.train.loop import train
from vodkit.train.progress import Progress
from vodkit.train.search import best_settings
from vodkit.train.settings import TrainSettings
from vodkit.video.synth import CLASSES, Scene, SceneSettings, write_scene

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("search")
    videos = []
    for seed, split in enumerate(("train", "val")):
        scene = Scene(SceneSettings(seed=seed, width_px=96, height_px=96, num_frames=8))
        write_scene(scene, folder / f"{split}.mp4")
        video = LabelledVideo(
            source=f"{split}.mp4", info=scene.info, tracks=scene.truth, split=split
        )
        videos.append(video)
    write_dataset(Dataset(classes=CLASSES, videos=tuple(videos)), folder / "data.json")
    return folder / "data.json"


def wanted(data: Path, out: Path, **other: Any) -> TrainSettings:
    words: dict[str, Any] = {
        "model": "yolox_nano",
        "weights": "random",
        "width_px": 64,
        "height_px": 64,
        "epochs": 4,
        "val_every": 1,
        "device": "cpu",
    }
    return TrainSettings(data=str(data), out=str(out), **words | other)


def trials(out: Path) -> list[Any]:
    storage = f"sqlite:///{out / 'search' / 'trials.db'}"
    return list(optuna.load_study(study_name="train", storage=storage).trials)


class Killed(BaseException):
    """The moment at which a search is stopped."""


def test_a_stopped_search_goes_on_and_the_best_is_taken(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = wanted(data, tmp_path)
    begun: list[str] = []

    def killed_in_the_third(one: TrainSettings, **how: Any) -> Any:
        begun.append(one.out)
        if len(begun) == 3:
            raise Killed
        return train(one, **how)

    monkeypatch.setattr(search, "train", killed_in_the_third)
    with pytest.raises(Killed):
        best_settings(settings, trials=4)
    monkeypatch.undo()
    left = tmp_path / "search" / "002" / "cache" / "train.0.f16"  # as after kill -9
    left.parent.mkdir(parents=True)
    left.touch()
    ledger.record(left)
    best = best_settings(settings, trials=4)
    assert [trial.state.name for trial in trials(tmp_path)][2] == "FAIL"
    assert not left.exists()
    done = [trial for trial in trials(tmp_path) if trial.state.is_finished()]
    complete = [trial for trial in done if trial.value is not None]
    assert sum(trial.state.name in {"COMPLETE", "PRUNED"} for trial in done) == 4
    top = max(complete, key=lambda trial: trial.value)
    assert (best.lr, best.weight_decay) == (top.params["lr"], top.params["weight_decay"])
    assert best.augment.colour == top.params["colour"]
    assert best.out == settings.out
    before = len(trials(tmp_path))
    assert best_settings(settings, trials=4) == best
    assert len(trials(tmp_path)) == before  # nothing left to try


def test_a_trial_that_is_worse_than_the_others_ends_early() -> None:
    """At the median rule's word, from the epoch's AP."""
    study = optuna.create_study(
        direction="maximize", pruner=optuna.pruners.MedianPruner(n_startup_trials=3)
    )

    def told(ap: float, epoch: int) -> Progress:
        return Progress(what="epoch", done=epoch, total=4, ap=ap)

    def trial_of(ap: float) -> Any:
        def run(trial: Any) -> float:
            watch = search._pruning(trial)
            for epoch in (1, 2, 3, 4):
                watch(told(ap, epoch))
            return ap

        return run

    for ap in (0.5, 0.6, 0.7, 0.1):
        study.optimize(trial_of(ap), n_trials=1)
    assert [trial.state.name for trial in study.trials] == ["COMPLETE"] * 3 + ["PRUNED"]
    assert list(study.trials[3].intermediate_values) == [1]


def test_without_a_split_to_compare_on_there_is_no_search(data: Path, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="search needs a val_split"):
        best_settings(wanted(data, tmp_path, val_split=""), trials=2)
