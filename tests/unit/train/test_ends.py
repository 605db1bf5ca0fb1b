"""How a training ends, and what going on with one that has ended does: nothing."""

import csv
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from test_loop import Killed, stop_after, tiny

from vodkit.detect.checkpoint import load_checkpoint
from vodkit.formats.table import read_dataset, write_dataset
from vodkit.ground import ledger
from vodkit.ground.errors import InputError
from vodkit.ground.records import TrackTable
from vodkit.train import log, loop
from vodkit.train.log import Meter
from vodkit.train.loop import train


def last_of(folder: Path) -> dict[str, torch.Tensor]:
    return load_checkpoint(folder / "last.safetensors")[0]


def without_boxes(data: Path, split: str, to: Path) -> Path:
    whole = read_dataset(data)
    videos = [
        replace(
            video,
            tracks=TrackTable.empty(),
            labelled_frames=np.arange(video.info.num_frames or 0),
        )
        if video.split == split
        else video
        for video in whole.videos
    ]
    write_dataset(replace(whole, videos=tuple(videos)), to)
    return to


@pytest.mark.parametrize(
    "other",
    [
        {"val_split": "", "thaw_every": 1, "cache": "off"},
        pytest.param(
            {"val_split": "", "fixed_norms": True, "cache": "off"}, marks=pytest.mark.slow
        ),
        pytest.param(
            {"patience": 1, "val_every": 1, "lr": 1e-7, "epochs": 4}, marks=pytest.mark.slow
        ),
    ],
)
def test_going_on_with_what_has_ended_changes_nothing(
    square_data: Path, tmp_path: Path, other: dict[str, Any]
) -> None:
    wanted = tiny(square_data, tmp_path / "run", **other)
    first = train(wanted)
    before = last_of(tmp_path / "run")
    again = train(wanted, resume_run=True)
    after = last_of(tmp_path / "run")
    assert again.epochs == first.epochs
    assert again.per_class == first.per_class  # the page has a table of them
    assert set(first.per_class) == ({"square"} if wanted.val_split else set())
    assert [name for name in before if not torch.equal(before[name], after[name])] == []


@pytest.mark.slow
def test_a_short_run_that_ended_is_not_begun_anew(square_data: Path, tmp_path: Path) -> None:
    """It ends before the first state is due, and has one all the same."""
    wanted = tiny(square_data, tmp_path / "run", save_every_s=1e9)
    train(wanted)
    with pytest.raises(InputError, match="lr"):
        train(replace(wanted, lr=0.5), resume_run=True)
    steps: list[str] = []
    train(wanted, resume_run=True, watch=lambda progress: steps.append(progress.what))
    assert "step" not in steps


@pytest.mark.slow
@pytest.mark.parametrize("val_split", ["val", ""])
def test_what_has_ended_stores_no_features_again(
    square_data: Path, tmp_path: Path, val_split: str
) -> None:
    """And a kill before they were deleted leaves none for ever."""
    wanted = tiny(square_data, tmp_path / "run", cache="on", val_split=val_split)
    train(wanted)
    before = last_of(tmp_path / "run")
    (tmp_path / "run" / "cache").mkdir()
    (tmp_path / "run" / ".state.pt.x1y2z3w4").touch()  # killed while it was written
    told: list[str] = []
    again = train(wanted, resume_run=True, watch=lambda progress: told.append(progress.what))
    after = last_of(tmp_path / "run")
    assert set(told) == {"material", "parameters"}
    assert again.cached
    assert not (tmp_path / "run" / "cache").exists()
    assert {path.name for path in (tmp_path / "run").glob(".*")} == {ledger.NAME}
    assert [name for name in before if not torch.equal(before[name], after[name])] == []
    if val_split:
        (tmp_path / "run" / "best.safetensors").unlink()
        with pytest.raises(InputError, match=r"best.safetensors is gone, .*; --overwrite starts"):
            train(wanted, resume_run=True)


def test_a_split_without_boxes_measures_nothing(square_data: Path, tmp_path: Path) -> None:
    data = without_boxes(square_data, "val", tmp_path / "empty.json")
    wanted = tiny(data, tmp_path / "run", root=str(square_data.parent))
    with pytest.raises(InputError, match="none of the 8 frames of split 'val' has a box"):
        train(wanted)


@pytest.mark.slow
def test_of_networks_that_find_nothing_the_last_is_kept(square_data: Path, tmp_path: Path) -> None:
    result = train(tiny(square_data, tmp_path / "run", lr=1e-7, epochs=3, val_every=1))
    assert result.ap == 0
    assert result.checkpoint.name == "best.safetensors"
    best, last = load_checkpoint(result.checkpoint)[0], last_of(tmp_path / "run")
    assert all(torch.equal(best[name], last[name]) for name in last)


@pytest.mark.slow
def test_a_gradient_that_is_not_finite_names_step_and_samples(
    square_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from vodkit.train.step import Learner

    real = Learner._gradients

    def broken(self: Learner, parts: Any) -> dict[str, float]:
        shown = real(self, parts)
        next(p for p in self.module.parameters() if p.grad is not None).grad.fill_(torch.inf)
        return shown

    monkeypatch.setattr(Learner, "_gradients", broken)
    with pytest.raises(InputError, match=r"gradient is not finite in epoch 1, step 1; .*frame "):
        train(tiny(square_data, tmp_path / "run"))


@pytest.mark.slow
@pytest.mark.parametrize("lost", [True, False])
def test_features_that_are_gone_or_anothers_are_computed_again(
    square_data: Path, tmp_path: Path, *, lost: bool
) -> None:
    """Their note alone does not make them right."""
    wanted = tiny(square_data, tmp_path / "run", cache="on")
    train(tiny(square_data, tmp_path / "whole", cache="on"))
    with pytest.raises(Killed):
        train(wanted, watch=stop_after(1))
    (file,) = (tmp_path / "run" / "cache").glob("train*.f16")
    if lost:
        file.unlink()
    else:  # another run in this folder was killed while it filled them
        with pytest.raises(Killed):
            train(
                replace(wanted, seed=1),
                overwrite=True,
                watch=lambda progress: (_ for _ in ()).throw(Killed),
            )
    train(wanted, resume_run=lost, overwrite=not lost)
    one, two = last_of(tmp_path / "whole"), last_of(tmp_path / "run")
    assert [name for name in one if not torch.equal(one[name], two[name])] == []


@pytest.mark.slow
def test_features_of_other_frames_are_not_taken_for_these(
    square_data: Path, tmp_path: Path
) -> None:
    """Every fourth and every fifth of eight frames are equally many."""
    train(tiny(square_data, tmp_path / "whole", cache="on", every=5))
    with pytest.raises(Killed):
        train(tiny(square_data, tmp_path / "run", cache="on", every=4), watch=stop_after(1))
    train(tiny(square_data, tmp_path / "run", cache="on", every=5), overwrite=True)
    one, two = last_of(tmp_path / "whole"), last_of(tmp_path / "run")
    assert [name for name in one if not torch.equal(one[name], two[name])] == []


@pytest.mark.slow
def test_validation_is_not_of_the_time_of_steps(
    square_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nor is what is done before the first one."""
    now_s = [0.0]

    def long(real: Any) -> Any:
        def taking(*given: Any, **other: Any) -> Any:
            now_s[0] += 1000
            return real(*given, **other)

        return taking

    monkeypatch.setattr(log, "time", SimpleNamespace(perf_counter=lambda: now_s[0]))
    monkeypatch.setattr(loop, "validate", long(loop.validate))
    monkeypatch.setattr(loop, "with_features", long(loop.with_features))
    train(tiny(square_data, tmp_path / "run", val_every=1))
    with (tmp_path / "run" / "log.csv").open(encoding="utf-8") as file:
        assert [row["seconds"] for row in csv.DictReader(file)] == ["0", "0"]


def test_an_epoch_in_two_pieces_has_the_time_of_both() -> None:
    before = Meter({"box": 2.0}, 1, seconds=5.0, waited=1.0)
    before.add({"box": 4.0})
    after = Meter(**before.so_far).means()
    assert after["box"] == 3
    assert 5 <= after["seconds"] < 60
    assert 0 < after["wait"] <= 0.2


@pytest.mark.slow
def test_a_folder_of_which_only_some_pictures_are_labelled_is_refused(
    make_squares: Callable[..., Path], tmp_path: Path
) -> None:
    """Its frames would be other pictures than the labels are of."""
    data = make_squares(tmp_path / "squares")
    whole = read_dataset(data)
    named = tuple(f"{frame:04d}.png" for frame in range(8))
    videos = tuple(replace(video, frame_files=named) for video in whole.videos)
    write_dataset(replace(whole, videos=videos), data)
    train(tiny(data, tmp_path / "fine", epochs=1, val_every=1))
    first = tmp_path / "squares" / "one" / "0000.png"
    first.rename(first.with_name("0010.png"))
    with pytest.raises(InputError, match=r"frame 0 is 0001\.png, the labels are of 0000\.png"):
        train(tiny(data, tmp_path / "run", epochs=1, val_every=1))


@pytest.mark.slow
def test_a_resumed_run_has_the_threads_that_are_asked_for_else_those_it_began_with(
    square_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = tiny(square_data, tmp_path / "run")
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    train(wanted)  # with one thread, as all tests
    torch.set_num_threads(2)
    train(wanted, resume_run=True)
    assert torch.get_num_threads() == 1
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    torch.set_num_threads(2)  # as torch does when it is imported
    train(wanted, resume_run=True)
    assert torch.get_num_threads() == 2
