"""A training that runs out of something, or is given something odd, says what it is."""

import csv
import json
import resource
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from vodkit.detect.checkpoint import load_checkpoint
from vodkit.detect.memory import is_out_of_memory
from vodkit.formats.table import read_dataset, write_dataset
from vodkit.ground.errors import InputError, OutputError, SettingsError, TrainingError
from vodkit.train import batch_norms as norms
from vodkit.train import validate
from vodkit.train.loggers import TensorBoard
from vodkit.train.loop import train
from vodkit.train.settings import TrainSettings
from vodkit.train.step import Losses

TINY: dict[str, Any] = {
    "model": "yolox_nano",
    "weights": "random",
    "width_px": 32,
    "height_px": 32,
    "epochs": 1,
    "batch_size": 8,
    "still_iou": 2.0,
    "val_split": "",
    "device": "cpu",
}


def tiny(data: Path, out: Path, **other: Any) -> TrainSettings:
    return TrainSettings(data=str(data), out=str(out), **{**TINY, **other})


def memory_for(monkeypatch: pytest.MonkeyPatch, most: int, error: type[RuntimeError]) -> None:
    """The network takes so many pictures at once, and no more."""
    real = Losses.forward

    def limited(self: Losses, given: Any, cuts: Any) -> Any:
        if len(given().indices) > most:
            raise error("DefaultCPUAllocator: can't allocate memory: you tried to allocate")
        return real(self, given, cuts)

    monkeypatch.setattr(Losses, "forward", limited)


@pytest.mark.parametrize(
    "error", [torch.OutOfMemoryError, pytest.param(RuntimeError, marks=pytest.mark.slow)]
)
def test_parts_are_halved_until_they_fit(
    square_data: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    error: type[RuntimeError],
) -> None:
    """And the training ends as one that was told to accumulate, bit for bit."""
    told = train(tiny(square_data, tmp_path / "told", accumulate=4, fixed_norms=True))
    memory_for(monkeypatch, 2, error)
    found = train(tiny(square_data, tmp_path / "found", fixed_norms=True))
    one, two = load_checkpoint(told.checkpoint)[0], load_checkpoint(found.checkpoint)[0]
    assert all(torch.equal(one[name], two[name]) for name in one)
    with (tmp_path / "found" / "log.csv").open(encoding="utf-8") as file:
        assert [row["halvings"] for row in csv.DictReader(file)] == ["2"]


@pytest.mark.slow
def test_norms_are_measured_on_parts_that_fit_too(
    square_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On the parts that were learnt from, bit for bit."""
    free: dict[str, Any] = {"freeze": "stage3", "cache": "off", "width_px": 64, "height_px": 64}
    told = train(tiny(square_data, tmp_path / "told", accumulate=4, **free))
    memory_for(monkeypatch, 2, torch.OutOfMemoryError)
    real = norms.run_graph

    def limited(graph: Any, batch: Any, cuts: Any) -> Any:
        if len(batch.indices) > 2:
            raise torch.OutOfMemoryError("too many")
        return real(graph, batch, cuts)

    monkeypatch.setattr(norms, "run_graph", limited)
    found = train(tiny(square_data, tmp_path / "found", **free))
    one, two = load_checkpoint(told.checkpoint)[0], load_checkpoint(found.checkpoint)[0]
    assert all(torch.equal(one[name], two[name]) for name in one)


@pytest.mark.slow
def test_no_memory_beside_the_steps_says_what_to_lower(
    square_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any, **__: Any) -> Any:
        raise RuntimeError("could not create a primitive")

    monkeypatch.setattr(validate, "run_graph", full)
    with pytest.raises(
        TrainingError, match=r"out of memory outside of the steps .*; lower width_px"
    ):
        train(tiny(square_data, tmp_path / "run", val_split="val"))
    assert not is_out_of_memory(RuntimeError("could not create a primitive descriptor for a sum"))


def test_memory_for_not_even_one_picture_says_which_settings_to_lower(
    square_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    memory_for(monkeypatch, 0, torch.OutOfMemoryError)
    allowed = r"out of memory with 1 pictures of 32x32 px at once; lower width_px, height_px"
    with pytest.raises(InputError, match=allowed):
        train(tiny(square_data, tmp_path / "run"))


def test_memory_for_too_few_pictures_for_norms_says_so(
    square_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """32 px become one at the end of the backbone: a norm has nothing to learn of one picture."""
    memory_for(monkeypatch, 1, torch.OutOfMemoryError)
    allowed = r"out of memory with 2 pictures of 32x32 px at once, and .*; set fixed_norms=true, or"
    with pytest.raises(InputError, match=allowed):
        train(tiny(square_data, tmp_path / "run", freeze="none", cache="off"))


def test_other_errors_are_not_taken_for_a_lack_of_memory(
    square_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(_self: Losses, _given: Any, _cuts: Any) -> Any:
        raise RuntimeError("shapes do not match")

    monkeypatch.setattr(Losses, "forward", broken)
    with pytest.raises(RuntimeError, match="shapes do not match"):
        train(tiny(square_data, tmp_path / "run"))


@contextmanager
def files_of_at_most(num_bytes: int) -> Iterator[None]:
    """As on a disk that is full: nothing can be written beyond."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (num_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, before)


def test_no_room_for_features_is_told_before_training(square_data: Path, tmp_path: Path) -> None:
    with (
        files_of_at_most(10_000),
        pytest.raises(OutputError, match=r"MiB for features: .*; lower cache_gib"),
    ):
        train(tiny(square_data, tmp_path / "run", epochs=2))
    assert not list((tmp_path / "run").rglob("*.f16"))


@pytest.mark.slow
def test_no_room_for_weights_leaves_no_half_of_them(square_data: Path, tmp_path: Path) -> None:
    with files_of_at_most(100_000), pytest.raises(OutputError, match=r"safetensors"):
        train(tiny(square_data, tmp_path / "run", cache="off"))
    assert not list((tmp_path / "run").glob("*.safetensors*"))


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_no_room_for_a_journal_is_no_bug_of_ours(tmp_path: Path) -> None:
    before = set(threading.enumerate())
    journal = TensorBoard(tmp_path, {"lr": "0.1"})
    writers = set(threading.enumerate()) - before
    with files_of_at_most(10):
        with pytest.raises(
            OutputError, match=r"tensorboard: TensorBoard: File too large; --resume"
        ):
            journal.write({"loss": 1.0}, 1)
        with pytest.raises(OutputError, match="TensorBoard"):
            journal.close(failed=True)
    for writer in writers:  # its last words are of this test, not of the next one
        writer.join()


@pytest.mark.slow
def test_a_size_that_a_network_cannot_take_is_refused(square_data: Path, tmp_path: Path) -> None:
    """SSD300's last maps vanish at small sizes; torch would speak of kernels."""
    wanted = tiny(square_data, tmp_path / "run", model="ssd300_vgg16", width_px=96)
    with pytest.raises(SettingsError, match=r"pictures of 96x32 px .*; allowed: larger width_px"):
        train(wanted)


def test_a_split_without_labels_is_refused(square_data: Path, tmp_path: Path) -> None:
    dataset = read_dataset(square_data)
    bare = [replace(v, tracks=None) if v.split == "val" else v for v in dataset.videos]
    write_dataset(replace(dataset, videos=tuple(bare)), tmp_path / "bare.json")
    wanted = tiny(tmp_path / "bare.json", tmp_path, root=str(square_data.parent), val_split="val")
    with pytest.raises(InputError, match="no labelled frames in 1 videos"):
        train(wanted)


@pytest.mark.slow
def test_classes_that_the_model_does_not_know_are_counted(
    square_data: Path, tmp_path: Path
) -> None:
    train(tiny(square_data, tmp_path / "run", model="vodkit-street", weights="default"))
    manifest = json.loads((tmp_path / "run" / "manifest.json").read_text(encoding="utf-8"))
    assert manifest["classes_begun_afresh"] == ["square"]
    again = str(tmp_path / "run" / "last.safetensors")
    train(tiny(square_data, tmp_path / "again", model=again, weights="default"))
    manifest = json.loads((tmp_path / "again" / "manifest.json").read_text(encoding="utf-8"))
    assert manifest["classes_begun_afresh"] == []
