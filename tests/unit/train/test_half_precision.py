"""``precision=16`` scales its losses: what a step does where the scale is too large.

Half precision is for GPUs; here a CPU does the same, with Fabric's own plugin and torch's scaler.
"""

import csv
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning_fabric import Fabric
from lightning_fabric.plugins import MixedPrecision
from torch.amp.grad_scaler import GradScaler

from vodkit.detect import networks
from vodkit.detect.checkpoint import load_checkpoint
from vodkit.ground.errors import TrainingError
from vodkit.train import loop
from vodkit.train.batches import Batch
from vodkit.train.gradients import scaler_of, take_step
from vodkit.train.loop import train
from vodkit.train.progress import Progress
from vodkit.train.settings import TrainSettings
from vodkit.train.step import Losses

Stage = tuple[Any, GradScaler | None, Any, torch.Tensor]


def fabric_with(scaler: GradScaler | None) -> Fabric:
    plugins = [] if scaler is None else [MixedPrecision("16-mixed", "cpu", scaler)]
    return Fabric(accelerator="cpu", devices=1, plugins=plugins)


def learning(scaler: GradScaler | None) -> Stage:
    """Fabric, its scaler, and an optimizer of three weights."""
    fabric = fabric_with(scaler)
    assert scaler_of(fabric) is scaler
    weights = torch.nn.Parameter(torch.ones(3))
    made = torch.optim.SGD([weights], lr=1.0, fused=True)
    return fabric, scaler, fabric.setup_optimizers(made), weights


def step(stage: Stage, *, gradient: float, clip_norm: float = 0.0) -> bool:
    """A step with so large a gradient of each weight."""
    fabric, scaler, optimizer, weights = stage
    optimizer.zero_grad()
    fabric.backward((weights * gradient).sum())
    return take_step(optimizer, scaler, clip_norm=clip_norm)


@pytest.mark.parametrize(
    ("conv", "expected"),
    [
        (torch.nn.Conv2d(8, 8, 3), torch.bfloat16),
        (torch.nn.Conv2d(8, 8, 3, groups=8), torch.bfloat16),
        (torch.nn.Conv2d(8, 8, 3, groups=8, stride=2), torch.float32),
        (torch.nn.Conv2d(8, 8, 5, groups=8), torch.float32),
        (torch.nn.Conv2d(8, 8, 5, groups=8).requires_grad_(requires_grad=False), torch.bfloat16),
    ],
)
def test_depthwise_convolutions_learn_in_the_faster_precision(
    conv: torch.nn.Conv2d, expected: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of every network, also of backbones that are not ours."""
    monkeypatch.setattr(networks, "losses", lambda module, _card, x, _truth: {"a": module(x)})
    images = torch.rand(1, 8, 9, 9)
    losses = Losses(conv, None)  # type: ignore[arg-type]
    with torch.autocast("cpu", torch.bfloat16):
        out = losses(lambda: Batch(images, [], [0]), ())["a"]
    assert out.dtype == expected
    assert losses(lambda: Batch(images, [], [0]), ())["a"].dtype == torch.float32


@pytest.mark.parametrize("clip_norm", [0.0, 1e-3])
def test_a_step_is_left_out_where_the_scale_was_too_large(clip_norm: float) -> None:
    scaler = GradScaler("cpu", init_scale=2.0**16)
    stage = learning(scaler)
    assert not step(stage, gradient=2.0**120, clip_norm=clip_norm)  # that times the scale is none
    assert stage[-1].tolist() == [1.0] * 3
    assert scaler.get_scale() == 2.0**15
    assert step(stage, gradient=0.5, clip_norm=clip_norm)
    moved = clip_norm / math.sqrt(3) or 0.5  # what is clipped are gradients of the loss as it is
    assert stage[-1].tolist() == pytest.approx([1 - moved] * 3, abs=1e-6)
    assert scaler.get_scale() == 2.0**15


@pytest.mark.parametrize("gradient", [math.inf, math.nan])
def test_no_scale_helps_against_a_gradient_that_is_never_finite(gradient: float) -> None:
    scaler = GradScaler("cpu")
    stage = learning(scaler)
    while scaler.get_scale() > 2e-4:
        assert not step(stage, gradient=gradient)
    with pytest.raises(FloatingPointError, match=r"not finite, also of the loss times 0.00012"):
        step(stage, gradient=gradient)
    assert stage[-1].tolist() == [1.0] * 3


def test_a_norm_too_large_for_a_number_is_no_matter_of_the_scale() -> None:
    """Each gradient is finite, so the scaler sees nothing, and clipping makes nothing of them."""
    with pytest.raises(FloatingPointError, match="not finite"):
        step(learning(GradScaler("cpu", init_scale=1.0)), gradient=1e38, clip_norm=1.0)


@pytest.mark.parametrize("clip_norm", [0.0, 1.0])
def test_without_a_scaler_no_gradient_may_be_other_than_finite(clip_norm: float) -> None:
    stage = learning(None)
    assert step(stage, gradient=0.25, clip_norm=clip_norm)
    with pytest.raises(FloatingPointError, match=r"the gradient is not finite$"):
        step(stage, gradient=math.nan, clip_norm=clip_norm)
    assert stage[-1].tolist() == [0.75] * 3


def tiny(data: Path, out: Path, **other: Any) -> TrainSettings:
    words: dict[str, Any] = {"model": "yolox_nano", "weights": "random", "device": "cpu"}
    words |= {"width_px": 32, "height_px": 32, "epochs": 4, "still_iou": 2.0, "val_split": ""}
    return TrainSettings(data=str(data), out=str(out), save_every_s=0.0, **words | other)


@pytest.fixture
def scalers(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> list[GradScaler]:
    """Of the trainings to come, which are in half precision and begin with this scale."""
    made: list[GradScaler] = []

    def launched(_: TrainSettings) -> Fabric:
        made.append(GradScaler("cpu", init_scale=request.param))
        return fabric_with(made[-1])

    monkeypatch.setattr(loop, "launched", launched)
    return made


def weights_of(run: Path) -> dict[str, torch.Tensor]:
    return load_checkpoint(run / "last.safetensors")[0]


@pytest.mark.slow
@pytest.mark.parametrize("scalers", [2.0], indirect=True)  # random weights have steep slopes
def test_a_run_finds_its_scale_and_goes_on_bit_equal(
    square_data: Path, tmp_path: Path, scalers: list[GradScaler]
) -> None:
    train(tiny(square_data, tmp_path / "whole"))
    skipped = round(1 - math.log2(scalers[0].get_scale()))
    with (tmp_path / "whole" / "log.csv").open() as file:
        counts = [int(row["skipped_steps"]) for row in csv.DictReader(file)]
    assert counts[-1] == skipped
    assert 0 < counts[0] <= skipped < 8  # of eight steps

    class Killed(Exception):  # noqa: N818
        """In the third epoch."""

    def stop(progress: Progress) -> None:
        if (progress.what, progress.epoch, progress.done) == ("step", 2, 2):
            raise Killed

    halted = tiny(square_data, tmp_path / "halted")
    with pytest.raises(Killed):
        train(halted, watch=stop)
    train(halted, resume_run=True)
    assert scalers[2].state_dict() == scalers[0].state_dict()
    one, two = weights_of(tmp_path / "whole"), weights_of(tmp_path / "halted")
    assert all(torch.equal(one[name], two[name]) for name in one)


@pytest.mark.slow
@pytest.mark.parametrize("scalers", [2.0**-11], indirect=True)
def test_gradients_that_no_scale_makes_finite_end_the_run(
    square_data: Path,
    tmp_path: Path,
    scalers: list[GradScaler],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    real = Losses.forward

    def rootless(self: Losses, given: Any, cuts: Any) -> Any:
        losses = real(self, given, cuts)
        nothing = losses["iou"] - losses["iou"]
        return {**losses, "iou": losses["iou"] + nothing.sqrt()}  # finite, without a slope

    monkeypatch.setattr(Losses, "forward", rootless)
    seen = r"also of the loss times 0.000122\d*, in epoch 2, step 1; its samples: \w+, frame "
    with pytest.raises(TrainingError, match=seen) as refused:
        train(tiny(square_data, tmp_path / "run"))
    assert "lower lr, or precision=bf16 or 32?" in str(refused.value)
    assert scalers[0].get_scale() < 1e-4


@pytest.mark.slow
@pytest.mark.parametrize("scalers", [2.0], indirect=True)
def test_a_loss_that_is_not_finite_ends_the_run_at_once(
    square_data: Path,
    tmp_path: Path,
    scalers: list[GradScaler],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    real = Losses.forward

    def poisoned(self: Losses, given: Any, cuts: Any) -> Any:
        losses = real(self, given, cuts)
        return {**losses, "iou": losses["iou"] * (math.nan if 5 in given().indices else 1)}

    monkeypatch.setattr(Losses, "forward", poisoned)
    with pytest.raises(TrainingError, match=r"the loss is nan in epoch 1, .*: one, frame 5; lower"):
        train(tiny(square_data, tmp_path / "run"))
    assert scalers[0].get_scale() == 2.0
