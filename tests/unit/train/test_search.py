"""``vodkit train --search``: what is not tried again, what is refused, and what is left behind."""

import logging
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from vodkit.cli.main import main
from vodkit.detect.models import find_card
from vodkit.formats.table import read_dataset, write_dataset
from vodkit.ground.errors import InputError, OutputError, SettingsError, TrainingError
from vodkit.ground.records import Dataset
from vodkit.ground.runs import make_folder, only_one
from vodkit.train import search
from vodkit.train.log import flat
from vodkit.train.search import best_settings
from vodkit.train.settings import TrainSettings

optuna = pytest.importorskip("optuna")


def wanted(data: Path, out: Path, **other: Any) -> TrainSettings:
    words: dict[str, Any] = {"model": "yolox_nano", "weights": "random", "device": "cpu"}
    words |= {"width_px": 32, "height_px": 32, "epochs": 2, "val_every": 1, "still_iou": 2.0}
    return TrainSettings(data=str(data), out=str(out), **words | other)


def trials(out: Path) -> list[Any]:
    with search._opened(out / "search" / "trials.db") as storage:
        return list(optuna.load_study(study_name="train", storage=storage).trials)


@pytest.fixture
def tried(monkeypatch: pytest.MonkeyPatch) -> list[TrainSettings]:
    """The settings of every trial; none of them trains."""
    tried: list[TrainSettings] = []

    def noted(settings: TrainSettings, **_: Any) -> Any:
        tried.append(settings)
        return SimpleNamespace(ap=settings.lr)

    monkeypatch.setattr(search, "train", noted)
    return tried


@pytest.mark.slow
def test_a_search_that_stopped_tries_what_it_would_have_tried(
    square_data: Path, tmp_path: Path, tried: list[TrainSettings]
) -> None:
    best_settings(wanted(square_data, tmp_path / "once"), trials=4)
    once = [one.lr for one in tried]
    tried.clear()
    for count in (2, 4):
        best_settings(wanted(square_data, tmp_path / "twice"), trials=count)
    assert [one.lr for one in tried] == once
    assert len(set(once)) == 4
    tried.clear()
    best_settings(wanted(square_data, tmp_path / "other", seed=1), trials=2)
    assert not {one.lr for one in tried} & set(once)


@pytest.mark.slow
def test_what_is_searched_is_all_that_differs_between_trials(
    square_data: Path, tmp_path: Path, tried: list[TrainSettings]
) -> None:
    best_settings(wanted(square_data, tmp_path), trials=2)
    one, two = map(flat, tried)
    assert {name for name in one if one[name] != two[name]} == set(search._SEARCHED)


def without_a_video(data: Path, folder: Path) -> Path:
    whole = read_dataset(data)
    write_dataset(Dataset(classes=whole.classes, videos=whole.videos[1:]), folder / "fewer.json")
    return folder / "fewer.json"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("other", "message"),
    [
        ({"model": "yolox_tiny"}, 'model: was "yolox_nano", is "yolox_tiny"'),
        ({"epochs": 3}, "epochs: was 2, is 3"),
        ({"data": ""}, "labels to learn: was "),
    ],
)
def test_trials_of_something_else_do_not_count(
    other: dict[str, Any],
    message: str,
    square_data: Path,
    tmp_path: Path,
    tried: list[TrainSettings],
) -> None:
    settings = wanted(square_data, tmp_path)
    best_settings(settings, trials=1)
    if "data" in other:
        other = {"data": str(without_a_video(square_data, tmp_path))}
    with pytest.raises(SettingsError, match=message) as refused:
        best_settings(replace(settings, **other), trials=2)
    assert "another run folder" in str(refused.value)
    assert len(tried) == 1
    # What is searched may be given as anything, and the data may lie anywhere.
    best_settings(replace(settings, lr=0.1, root=str(square_data.parent)), trials=2)
    assert len(tried) == 2


@pytest.mark.slow
def test_a_model_that_was_trained_again_is_another_model(
    square_data: Path, tmp_path: Path, tried: list[TrainSettings], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its file has the same name."""
    settings = wanted(square_data, tmp_path)
    best_settings(settings, trials=1)
    card = replace(find_card("yolox_nano")[0], sha256="f" * 64)
    monkeypatch.setattr(search, "find_card", lambda _: (card, None))
    with pytest.raises(SettingsError, match="sha256 of the model: was "):
        best_settings(settings, trials=2)
    assert len(tried) == 1


@pytest.mark.slow
def test_weights_that_are_others_since_are_another_search(
    square_data: Path, tmp_path: Path, tried: list[TrainSettings]
) -> None:
    """Files of the same name, to begin with and as a teacher."""
    weights, teacher = tmp_path / "begin.pth", tmp_path / "yolox_nano.pth"
    weights.write_bytes(b"some")
    teacher.write_bytes(b"some")
    words = {"weights": str(weights), "teacher": str(teacher)}
    settings = wanted(square_data, tmp_path / "run", **words)
    best_settings(settings, trials=1)
    for path, what in ((weights, "the model"), (teacher, "the teacher")):
        path.write_bytes(b"other")
        with pytest.raises(SettingsError, match=f" 1 changed: weights of {what}: was "):
            best_settings(settings, trials=2)
        path.write_bytes(b"some")
    best_settings(settings, trials=2)
    assert len(tried) == 2


@pytest.mark.parametrize("count", [0, -1])
def test_less_than_one_trial_is_refused(count: int, square_data: Path, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=f"search is {count}; allowed: 1 or more"):
        best_settings(wanted(square_data, tmp_path), trials=count)


@pytest.mark.slow
def test_a_trial_that_fails_for_its_settings_says_why_and_the_search_goes_on(
    square_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried: list[TrainSettings] = []

    def fails_first(settings: TrainSettings, **_: Any) -> Any:
        tried.append(settings)
        if len(tried) == 1:
            raise TrainingError("the loss is nan in epoch 1, step 2")
        return SimpleNamespace(ap=0.5)

    monkeypatch.setattr(search, "train", fails_first)
    lines: list[str] = []
    best = best_settings(wanted(square_data, tmp_path), trials=3, tell=lines.append)
    assert best.lr in {tried[1].lr, tried[2].lr}
    assert [trial.state.name for trial in trials(tmp_path)] == ["FAIL", "COMPLETE", "COMPLETE"]
    assert trials(tmp_path)[0].user_attrs == {"why it failed": "the loss is nan in epoch 1, step 2"}
    assert lines[0].startswith("search: 0 of 3 trials are done, in ")
    assert lines[1].startswith("trial 1 of 3: failed: the loss is nan in epoch 1, step 2 (zoom 0.")
    assert lines[2].startswith("trial 2 of 3: AP 0.500 (zoom ")
    assert lines[4].startswith("search: the best is AP 0.500 (zoom ")
    best_settings(wanted(square_data, tmp_path), trials=3)
    assert len(tried) == 3  # those settings are known to lead nowhere


@pytest.mark.slow
def test_where_all_trials_fail_the_last_says_why(
    square_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(_: TrainSettings, **__: Any) -> Any:
        raise TrainingError("out of memory with 1 pictures")

    monkeypatch.setattr(search, "train", fails)
    with pytest.raises(InputError, match=r"none of 2 trials .* \(2 failed, the last: out of mem"):
        best_settings(wanted(square_data, tmp_path), trials=2)


@pytest.mark.slow
def test_an_error_of_data_ends_the_search_and_is_the_only_word(
    square_data: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    mistake = InputError("a video is gone")

    def fails(_: TrainSettings, **__: Any) -> Any:
        raise mistake

    monkeypatch.setattr(logging.getLogger("optuna"), "propagate", True)  # else no one hears it
    monkeypatch.setattr(search, "train", fails)
    with pytest.raises(InputError) as raised:
        best_settings(wanted(square_data, tmp_path, epochs=1), trials=1)
    assert raised.value is mistake
    assert not caplog.records
    monkeypatch.setattr(search, "train", lambda *_, **__: SimpleNamespace(ap=0.5))
    # Other settings, now: nothing has been tried with those that failed.
    best_settings(wanted(square_data, tmp_path), trials=1)
    assert [trial.state.name for trial in trials(tmp_path)] == ["FAIL", "COMPLETE"]


@pytest.mark.slow
def test_without_a_result_there_is_no_best(
    square_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(search, "train", lambda *_, **__: SimpleNamespace(ap=float("nan")))
    with pytest.raises(InputError, match="none of 2 trials has an AP; allowed: one at least"):
        best_settings(wanted(square_data, tmp_path), trials=2)


@pytest.mark.slow
def test_a_training_in_the_folder_is_met_before_the_first_trial(
    square_data: Path,
    tmp_path: Path,
    tried: list[TrainSettings],
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "manifest.json").write_text("{}")
    settings = wanted(square_data, tmp_path)
    with pytest.raises(OutputError, match="holds a training; --resume"):
        best_settings(settings, trials=1)
    words = ["--data", str(square_data), "--out", str(tmp_path), "--model", "yolox_nano"]
    with pytest.raises(SystemExit) as left:
        main(["train", *words, "--search", "1"])
    assert left.value.code == 2
    assert "holds a training; --resume" in capsys.readouterr().err
    assert not tried
    best_settings(settings, trials=1, overwrite=True)
    best_settings(settings, trials=2, resume_run=True)
    assert len(tried) == 2


@pytest.mark.parametrize("option", ["--resume", "--overwrite"])
def test_the_command_tells_the_search_what_becomes_of_that_training(
    option: str, square_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: dict[str, bool] = {}

    def asked(_: TrainSettings, **how: Any) -> Any:
        told.update(how)
        raise InputError("enough")

    monkeypatch.setattr(search, "best_settings", asked)
    words = ["--data", str(square_data), "--out", str(tmp_path), "--search", "1"]
    with pytest.raises(SystemExit):
        main(["train", *words, option])
    seen = (told["resume_run"], told["overwrite"])
    assert seen == (option == "--resume", option == "--overwrite")


def end_early(trial: Any) -> Callable[[Any], None]:
    def watch(progress: Any) -> None:
        if progress.what == "step":
            trial.report(0.1, 1)
            raise optuna.TrialPruned

    return watch


@pytest.mark.slow
def test_a_trial_that_ends_early_leaves_no_features(
    square_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(search, "_pruning", end_early)
    settings = wanted(square_data, tmp_path, cache="on", cache_views=1)
    with pytest.raises(InputError, match="none of 1 trials"):
        best_settings(settings, trials=1)
    (trial,) = trials(tmp_path)
    assert trial.state.name == "PRUNED"
    assert (tmp_path / "search" / "000" / "manifest.json").is_file()
    assert not list((tmp_path / "search").rglob("*.f16*"))


def test_two_searches_do_not_share_a_folder(
    square_data: Path, tmp_path: Path, tried: list[TrainSettings]
) -> None:
    """The other's trial would be taken for one that was killed."""
    with (
        only_one(make_folder(tmp_path / "search")),
        pytest.raises(OutputError, match="search: another process is at work here"),
    ):
        best_settings(wanted(square_data, tmp_path), trials=2)
    assert not tried


def test_several_processes_do_not_search(
    square_data: Path, tmp_path: Path, tried: list[TrainSettings], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(SettingsError, match=r"in 2 processes \(WORLD_SIZE\); allowed: 1"):
        best_settings(wanted(square_data, tmp_path), trials=2)
    assert not tried
    assert not (tmp_path / "search").exists()
