"""The loop: what it leaves behind, what it refuses, and that nothing is lost when it is stopped."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from vodkit.detect.checkpoint import load_checkpoint
from vodkit.detect.models import build_network
from vodkit.formats.table import read_dataset, write_dataset
from vodkit.ground import settings as settings_file
from vodkit.ground.errors import InputError, OutputError, SettingsError, VideoError, VodkitError
from vodkit.ground.records import Dataset, LabelledVideo
from vodkit.ground.runs import make_folder, only_one, sha256
from vodkit.train.log import Meter, as_csv, flat
from vodkit.train.loop import train
from vodkit.train.progress import Progress
from vodkit.train.resume import described, refuse_changes, save_state
from vodkit.train.settings import TrainSettings
from vodkit.train.step import Losses

TINY: dict[str, Any] = {
    "model": "yolox_nano",
    "weights": "random",
    "width_px": 32,
    "height_px": 32,
    "epochs": 2,
    "batch_size": 8,
    "cache_views": 2,
    "still_iou": 2.0,
    "val_every": 2,
    "save_every_s": 0.0,
    "device": "cpu",
}


def tiny(data: Path, out: Path, **other: Any) -> TrainSettings:
    return TrainSettings(data=str(data), out=str(out), **{**TINY, **other})


class Killed(Exception):  # noqa: N818
    """The moment at which a run is stopped."""


def stop_after(steps: int) -> Any:
    seen = []

    def watch(progress: Progress) -> None:
        seen.append(progress)
        if sum(p.what == "step" for p in seen) == steps + 1:
            raise Killed

    return watch


def test_a_run_leaves_a_checkpoint_that_loads_a_log_and_a_manifest(
    square_data: Path, tmp_path: Path
) -> None:
    told: list[Progress] = []
    result = train(tiny(square_data, tmp_path / "run"), watch=told.append)
    state, card = load_checkpoint(result.checkpoint)
    assert card.classes == ("square",)
    assert (card.preprocessing.width_px, card.preprocessing.height_px) == (32, 32)
    assert {metric.name for metric in card.expected} == {"AP", "AP50"}
    (origin,) = card.trained
    assert origin.began_with == "yolox_nano, random weights"
    assert ", split train: " in origin.data
    assert ", 16 frames, labels " in origin.data
    assert origin.data_licence == ""
    assert origin.settings["width_px"] == "32"
    assert str(tmp_path) not in str(origin)
    assert origin.stack["torch"] == torch.__version__.partition("+")[0]
    torch.manual_seed(0)
    begun, _ = build_network("yolox_nano", classes=("square",), weights="random")
    for name, value in begun.state_dict().items():
        frozen = name.startswith("backbone.backbone.")
        if frozen or name == "head.reg_preds.0.weight":
            assert torch.equal(state[name], value) == frozen, name
    lines = (tmp_path / "run" / "log.csv").read_text().splitlines()
    assert lines[0].startswith("epoch,iou,objectness,class,loss")
    assert len(lines) == 3
    manifest = json.loads((tmp_path / "run" / "manifest.json").read_text())
    assert manifest["training_frames"] == 16
    assert manifest["cached_features"] == "yes"
    again = settings_file.load(TrainSettings, toml=tmp_path / "run" / "settings.toml")
    assert again == tiny(square_data, tmp_path / "run")
    assert [p.done for p in told if p.what == "step"] == [1, 2, 1, 2]
    assert not list((tmp_path / "run").rglob("*.f16"))


@pytest.mark.slow
def test_a_card_tells_the_whole_chain_of_trainings(square_data: Path, tmp_path: Path) -> None:
    first = train(tiny(square_data, tmp_path / "one", data_licence="CC-BY-4.0"))
    second = train(
        tiny(square_data, tmp_path / "two", model=str(first.checkpoint), weights="default")
    )
    _, before = load_checkpoint(first.checkpoint)
    _, card = load_checkpoint(second.checkpoint)
    assert [origin.data_licence for origin in card.trained] == ["CC-BY-4.0", ""]
    assert card.trained[1].began_with == "one"
    assert card.trained[1].sha256 == before.sha256
    assert card.notes == ""  # what was said of the weights before is said of them


@pytest.mark.slow
def test_a_card_knows_the_weight_file_that_was_begun_with(
    square_data: Path, tmp_path: Path
) -> None:
    file = tmp_path / "other.pth"
    torch.save(build_network("yolox_nano", weights="random")[0].state_dict(), file)
    result = train(
        tiny(square_data, tmp_path / "run", weights=str(file), epochs=1, val_every=1, cache="off")
    )
    (origin,) = load_checkpoint(result.checkpoint)[1].trained
    assert origin.began_with == "yolox_nano, weights of other.pth"
    assert origin.sha256 == sha256(file)


@pytest.mark.slow
def test_thawing_shows_what_is_trained_now(square_data: Path, tmp_path: Path) -> None:
    told: list[Progress] = []
    train(tiny(square_data, tmp_path / "run", thaw_every=1, cache="auto"), watch=told.append)
    tables = [p.parameters for p in told if p.parameters]
    trained = [{row.stage for row in rows if row.trainable} for rows in tables]
    assert trained == [{"neck", "head"}, {"stage4", "neck", "head"}]


@pytest.mark.slow
def test_one_epoch_needs_no_store(square_data: Path, tmp_path: Path) -> None:
    assert not train(tiny(square_data, tmp_path / "run", epochs=1, val_every=1)).cached


@pytest.mark.slow
@pytest.mark.parametrize("cache", ["on", "off"])
def test_a_stopped_run_ends_bit_equal(square_data: Path, tmp_path: Path, cache: str) -> None:
    whole = train(tiny(square_data, tmp_path / "whole", cache=cache))
    halted = tiny(square_data, tmp_path / "halted", cache=cache)
    with pytest.raises(Killed):
        train(halted, watch=stop_after(2))  # in the middle of the second epoch
    told: list[Progress] = []
    resumed = train(halted, resume_run=True, watch=told.append)
    assert sum(p.what == "step" for p in told) < 4
    one, _ = load_checkpoint(whole.checkpoint.with_name("last.safetensors"))
    two, _ = load_checkpoint(resumed.checkpoint.with_name("last.safetensors"))
    assert one.keys() == two.keys()
    assert all(torch.equal(one[name], two[name]) for name in one)
    assert (resumed.ap, resumed.epochs) == (whole.ap, whole.epochs)


@pytest.mark.slow
def test_changed_data_or_settings_are_refused_with_the_difference(
    square_data: Path, tmp_path: Path
) -> None:
    halted = tiny(square_data, tmp_path / "run")
    with pytest.raises(Killed):
        train(halted, watch=stop_after(1))
    with pytest.raises(InputError, match=r"1 changed: lr: was 0\.002, is 0\.5"):
        train(tiny(square_data, tmp_path / "run", lr=0.5), resume_run=True)
    dataset = read_dataset(square_data)
    fewer = tmp_path / "fewer.json"
    videos = tuple(video for video in dataset.videos if video.source != "two")
    write_dataset(Dataset(classes=dataset.classes, videos=videos), fewer)
    with pytest.raises(InputError, match="2 changed: - video two, train; - pixels of two"):
        train(tiny(fewer, tmp_path / "run", root=str(square_data.parent)), resume_run=True)


@pytest.mark.slow
def test_a_state_of_another_version_is_refused_with_what_it_lacks(
    square_data: Path, tmp_path: Path
) -> None:
    """Earlier code wrote neither threads nor journals."""
    halted = tiny(square_data, tmp_path / "run")
    with pytest.raises(Killed):
        train(halted, watch=stop_after(1))
    path = tmp_path / "run" / "state.pt"
    state = torch.load(path, weights_only=True)
    earlier = {name: part for name, part in state.items() if name not in ("threads", "journals")}
    save_state(path, earlier)
    with pytest.raises(InputError, match=r"state\.pt: .* \(missing: journals, threads\)"):
        train(halted, resume_run=True)
    save_state(path, {**state, "phase": 2})
    with pytest.raises(InputError, match=r"\(unknown: phase\); allowed: .*--overwrite"):
        train(halted, resume_run=True)


@pytest.mark.slow
def test_changed_pixels_are_refused_and_no_features_of_the_old_ones_used(
    tmp_path: Path, make_squares: Callable[..., Path]
) -> None:
    data = make_squares(tmp_path / "squares")
    halted = tiny(data, tmp_path / "run", cache="on")
    with pytest.raises(Killed):
        train(halted, watch=stop_after(1))
    picture = tmp_path / "squares" / "one" / "0003.png"
    picture.write_bytes((tmp_path / "squares" / "three" / "0003.png").read_bytes())
    with pytest.raises(InputError, match="1 changed: pixels of one: was"):
        train(halted, resume_run=True)
    train(halted, overwrite=True)
    train(tiny(data, tmp_path / "fresh", cache="on"))
    one, two = (
        load_checkpoint(tmp_path / name / "last.safetensors")[0] for name in ("run", "fresh")
    )
    assert all(torch.equal(one[name], two[name]) for name in one)


@pytest.mark.slow
def test_weights_that_are_others_since_are_refused(square_data: Path, tmp_path: Path) -> None:
    """The card would tell of the new ones, and what a teacher says would change in the middle."""
    base = tiny(square_data, tmp_path / "base", epochs=1, val_every=1)
    first = train(base)
    words = {"model": str(first.checkpoint), "weights": "default", "teacher": str(first.checkpoint)}
    halted = tiny(square_data, tmp_path / "run", cache="off", **words)
    with pytest.raises(Killed):
        train(halted, watch=stop_after(1))
    train(replace(base, seed=1), overwrite=True)
    changed = "2 changed: weights of the model: was .*; weights of the teacher: was"
    with pytest.raises(InputError, match=changed):
        train(halted, resume_run=True)


@pytest.mark.slow
def test_a_weight_file_that_is_another_since_is_refused(square_data: Path, tmp_path: Path) -> None:
    """Such a file has no card that knows its digest."""
    file = tmp_path / "yolox_nano.pth"
    for seed in (0, 1):
        torch.manual_seed(seed)
        torch.save(build_network("yolox_nano", weights="random")[0].state_dict(), file)
        halted = tiny(square_data, tmp_path / "run", model=str(file), weights="default")
        if seed == 0:
            with pytest.raises(Killed):
                train(halted, watch=stop_after(1))
    with pytest.raises(InputError, match="1 changed: weights of the model: was "):
        train(halted, resume_run=True)


@pytest.mark.slow
def test_two_trainings_do_not_write_into_one_folder(square_data: Path, tmp_path: Path) -> None:
    wanted = tiny(square_data, tmp_path / "run")
    with only_one(make_folder(tmp_path / "run")):
        for how in ({}, {"resume_run": True}, {"overwrite": True}):
            with pytest.raises(OutputError, match="run: another process is at work here"):
                train(wanted, **how)
    with pytest.raises(Killed):
        train(wanted, watch=stop_after(1))
    with only_one(tmp_path / "run"):
        pass  # it has let go


@pytest.mark.slow
def test_a_training_is_not_thrown_away_unasked(square_data: Path, tmp_path: Path) -> None:
    wanted = tiny(square_data, tmp_path / "run", epochs=1)
    first = train(wanted, resume_run=True)  # none there: it begins
    kept = first.checkpoint.read_bytes()
    with pytest.raises(OutputError, match=r"holds a training; --resume .* --overwrite"):
        train(wanted)
    assert first.checkpoint.read_bytes() == kept
    for wrong in ({"model": "yolox_nona"}, {"data": "no.json"}, {"teacher": "yolox_nano"}):
        with pytest.raises(VodkitError):
            train(replace(wanted, **dict[str, Any](wrong)), overwrite=True)
        assert first.checkpoint.read_bytes() == kept
        assert (tmp_path / "run" / "state.pt").is_file()
    train(tiny(square_data, tmp_path / "run", epochs=1, lr=0.01), overwrite=True)
    assert first.checkpoint.read_bytes() != kept


def test_a_loss_that_is_not_finite_names_the_sample(
    square_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = Losses.forward

    def poisoned(self: Losses, given: Any, cuts: Any) -> Any:
        losses = real(self, given, cuts)
        return {**losses, "iou": losses["iou"] * (np.nan if 5 in given().indices else 1)}

    monkeypatch.setattr(Losses, "forward", poisoned)
    with pytest.raises(InputError, match=r"the loss is nan in epoch 1, .*: one, frame 5; lower lr"):
        train(tiny(square_data, tmp_path / "run"))


@pytest.mark.slow
def test_a_broken_video_is_left_out_only_when_asked(square_data: Path, tmp_path: Path) -> None:
    dataset = read_dataset(square_data)
    first = dataset.videos[0]
    lost = LabelledVideo(source="gone.mp4", info=first.info, tracks=first.tracks, split="train")
    write_dataset(
        Dataset(classes=dataset.classes, videos=(*dataset.videos, lost)), tmp_path / "d.json"
    )
    asked = {"root": str(square_data.parent), "epochs": 1, "val_split": ""}
    with pytest.raises(VideoError, match=r"gone\.mp4"):
        train(tiny(tmp_path / "d.json", tmp_path / "run", **asked))
    result = train(tiny(tmp_path / "d.json", tmp_path / "run", skip_broken=True, **asked))
    assert result.left_out == ("gone.mp4",)
    assert result.ap is None
    assert result.checkpoint.name == "last.safetensors"


def test_an_unknown_split_names_those_there_are(square_data: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no videos in split 'test'; it has: train, val"):
        train(tiny(square_data, tmp_path, val_split="test"))


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["learning_rate=1"], "unknown setting 'learning_rate'"),
        (["freeze=backbon"], "did you mean backbone"),
        (["cache=on", "freeze=none"], "cache is on, freeze none"),
        (["cache=on", "augment.mosaic=0.5"], "augment.mosaic"),
        (["batch_size=8", "accumulate=3"], "batch_size is 8, accumulate 3"),
        (["lr=0"], "lr is 0"),
        (["ema_decay=1.5"], "ema_decay is 1.5"),
        (["workers=-1"], "workers is -1"),
        (["proposals=-1"], "proposals is -1"),
    ],
)
def test_settings_are_strict(words: list[str], message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        settings_file.load(TrainSettings, words=["data=x", "out=y", *words])


def test_proposals_are_for_networks_with_a_second_stage(square_data: Path, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"proposals is 64, but yolox_nano has no second stage"):
        train(tiny(square_data, tmp_path / "run", proposals=64))


def test_epochs_follow_the_size_of_the_data() -> None:
    settings = TrainSettings(data="x", out="y")
    assert [settings.num_epochs(n) for n in (1, 20, 1000)] == [60, 20, 10]
    assert [settings.num_views(n) for n in (60, 10, 2)] == [15, 4, 2]
    assert replace(settings, cache_views=3).num_views(60) == 3


def test_what_a_dataset_is_and_how_it_differs(square_data: Path) -> None:
    about = described(read_dataset(square_data))
    assert list(about) == [
        "classes",
        *(f"video {name}" for name in ("one, train", "two, train", "three, val")),
    ]
    refuse_changes(about, about, where="here")
    with pytest.raises(InputError, match=r"here: .*2 changed: \+ video four; classes: was square"):
        refuse_changes(about, {**about, "classes": "dot", "video four": ""}, where="here")


def test_numbers_of_an_epoch() -> None:
    meter = Meter()
    meter.add({"a": 1.0, "b": 2.0})
    meter.add({"a": 3.0, "b": 2.0})
    means = meter.means()
    assert (means["a"], means["b"], means["loss"]) == (2, 2, 4)
    assert as_csv([means]).startswith("a,b,loss,seconds,wait\n2,2,4,")
    assert flat(TrainSettings(data="x", out="y"))["augment.flip"] == "0.5"
