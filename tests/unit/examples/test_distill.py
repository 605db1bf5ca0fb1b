"""Distillation on tiny data: the closed-form start, the losses, and a run that can be killed."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch

import distillation
from distillation import DistillProgress, DistillSettings, distill, fresh_student
from head_transfer import (
    answer,
    fit_maps,
    network_input,
    settle_norms,
    stitch,
)
from vodkit.detect import yolox
from vodkit.detect.base import ModelCard
from vodkit.detect.checkpoint import load_checkpoint, save_checkpoint
from vodkit.detect.models import find_card, load_detector
from vodkit.ground import settings
from vodkit.ground.arrays import ByteArray
from vodkit.ground.errors import InputError, SettingsError, WeightsError
from vodkit.ground.records import Frame
from vodkit.train.teacher import Answers, Teacher, distill_losses

CLASSES = ("person", "car")


class StoppedError(Exception):
    """Stands for a kill."""


def _pictures(count: int = 4, side: int = 96, seed: int = 0) -> ByteArray:
    small = np.random.default_rng(seed).integers(0, 256, (count, side // 8, side // 8, 3), np.uint8)
    return np.stack([cv2.resize(picture, (side, side)) for picture in small])


def _lively(module: yolox.YOLOX) -> yolox.YOLOX:
    """The network with norms that do something, so that a mistake with them shows."""
    for part in module.modules():
        if isinstance(part, torch.nn.BatchNorm2d):
            part.weight.data.uniform_(0.8, 1.2)
            part.bias.data.uniform_(-0.2, 0.2)
            part.running_mean.uniform_(-0.1, 0.1)
            part.running_var.uniform_(0.5, 1.5)
    return module.eval()


@pytest.fixture(scope="module")
def card() -> ModelCard:
    return find_card("yolox_nano")[0]


@pytest.fixture(scope="module")
def teacher(card: ModelCard) -> Teacher:
    torch.manual_seed(0)
    module = yolox.build_yolox("nano", 80)
    for part in module.modules():
        if isinstance(part, torch.nn.BatchNorm2d):
            part.momentum = None  # plain averages
    with torch.no_grad():
        module.train()(network_input(_pictures(seed=9), card))  # features as large as real ones
    return Teacher(module, card, CLASSES)


@pytest.fixture
def tiny(tmp_path: Path, teacher: Teacher) -> DistillSettings:
    torch.save(teacher.module.state_dict(), tmp_path / "teacher.pth")
    for i, picture in enumerate(_pictures(6, 128)):
        cv2.imwrite(str(tmp_path / f"scene{i}.png"), picture)
    return DistillSettings(
        sources=("scene*.png",),
        root=str(tmp_path),
        out=str(tmp_path / "run"),
        teacher_weights="teacher.pth",
        backbone_weights="random",
        classes=CLASSES,
        steps=4,
        batch_size=2,
        side_px=64,
        late_side_px=96,
        late_share=0.5,
        stitch_batches=2,
        save_every=2,
    )


def test_a_student_with_the_teachers_backbone_is_stitched_to_the_teacher(
    teacher: Teacher, card: ModelCard
) -> None:
    student = yolox.build_yolox("nano", len(CLASSES))
    theirs = teacher.module.backbone.backbone.state_dict()
    student.backbone.backbone.load_state_dict(theirs)
    batches = [_pictures(seed=seed) for seed in range(3)]

    maps = stitch(student, replace(card, classes=CLASSES), teacher, batches)

    assert min(fitted.explained for fitted in maps) > 0.999
    wanted = answer(teacher, batches[0]).raw
    with torch.no_grad():
        given = student(network_input(batches[0], card))
    assert given.shape == wanted.shape
    torch.testing.assert_close(given, wanted, rtol=0.02, atol=0.02)


def test_maps_of_another_backbone_explain_something_and_change_no_shape(teacher: Teacher) -> None:
    made = DistillSettings(sources=("x",), out="x", backbone_weights="random", classes=CLASSES)
    student, card = fresh_student(made)
    shapes = {name: value.shape for name, value in student.state_dict().items()}
    batches = [_pictures(seed=seed) for seed in range(2)]

    maps = stitch(student, card, teacher, batches)

    assert all(0 < fitted.explained <= 1 for fitted in maps)
    assert {name: value.shape for name, value in student.state_dict().items()} == shapes
    again = fit_maps(student, card, teacher, batches)
    assert torch.equal(again[0].weight, maps[0].weight)


def test_a_teacher_with_a_wider_neck_is_refused(card: ModelCard) -> None:
    teacher = Teacher(yolox.build_yolox("tiny", 80), card, CLASSES)
    student = yolox.build_yolox_timm("tf_efficientnet_lite0", len(CLASSES))
    with pytest.raises(SettingsError, match="one neck width"):
        stitch(student, replace(card, classes=CLASSES), teacher, [_pictures(1, 64)])


def test_settled_norms_change_no_output_and_hold_in_training_mode(
    teacher: Teacher, card: ModelCard
) -> None:
    student = _lively(yolox.build_yolox("nano", 2))
    pictures = _pictures(8)
    x = network_input(pictures, card)
    with torch.no_grad():
        before = student(x)
    settle_norms(student, card, [pictures])
    with torch.no_grad():
        after = student(x)
        student.backbone.backbone.eval()
        for part in (
            student.head,
            *(m for n, m in student.backbone.named_children() if n != "backbone"),
        ):
            part.train()
        training = student(x)
    torch.testing.assert_close(after, before, rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(training, before, rtol=0.02, atol=0.02)


def _losses(given: Answers, wanted: Answers) -> dict[str, float]:
    spread = [torch.ones(1)] * 3
    losses = distill_losses(given, wanted, spread, size_px=(64, 64), neck_weight=1.0)
    return {name: float(value) for name, value in losses.items()}


def _answers(seed: int) -> Answers:
    generator = torch.Generator().manual_seed(seed)
    neck = [torch.randn(2, 4, 64 // s, 64 // s, generator=generator) for s in yolox.STRIDES]
    return Answers(torch.randn(2, 84, 7, generator=generator), neck)


def test_the_teachers_own_answer_costs_least() -> None:
    wanted = _answers(0)
    own, other = _losses(wanted, wanted), _losses(_answers(1), wanted)
    assert own["iou"] == pytest.approx(0, abs=1e-5)
    assert own["raw"] == own["neck"] == 0
    assert all(own[name] < other[name] for name in own)


def test_losses_are_finite_for_wild_answers_and_where_there_is_nothing() -> None:
    wanted, wild = _answers(0), _answers(1)
    wild.raw.mul_(50)
    assert all(np.isfinite(list(_losses(wild, wanted).values())))
    wanted.raw[..., 4:] = -30
    losses = _losses(_answers(1), wanted)
    assert losses["iou"] == losses["raw"] == 0
    assert np.isfinite(list(losses.values())).all()


@pytest.mark.slow
def test_a_run_makes_a_checkpoint_that_loads_and_detects(tiny: DistillSettings) -> None:
    seen: list[DistillProgress] = []
    path = distill(tiny, watch=seen.append)
    state, card = load_checkpoint(path)
    assert card.classes == CLASSES
    assert {v.dtype for v in state.values() if v.is_floating_point()} == {torch.float16}
    assert [p.done for p in seen if p.what == "step"] == [1, 2, 3, 4]
    picture = Frame(0, 0.0, _pictures(1)[0])
    assert len(load_detector(path, runtime="torch", score_threshold=0.0).detect([picture])) == 1
    assert settings.load(DistillSettings, toml=path.parent / "settings.toml") == tiny


@pytest.mark.slow
def test_a_killed_run_ends_as_if_it_had_never_stopped(
    tiny: DistillSettings, tmp_path: Path
) -> None:
    whole = distill(replace(tiny, out=str(tmp_path / "whole")))

    def stop(progress: DistillProgress) -> None:
        if progress.what == "step" and progress.done == 3:
            raise StoppedError

    with pytest.raises(StoppedError):
        distill(tiny, watch=stop)
    resumed = distill(tiny, resume_run=True)
    assert resumed.read_bytes() == whole.read_bytes()


@pytest.mark.slow
def test_a_student_goes_on_from_a_checkpoint(tiny: DistillSettings, tmp_path: Path) -> None:
    """It begins with what it knew, not with other maps; other classes are refused."""
    first = distill(tiny)
    more = replace(tiny, start=str(first), out=str(tmp_path / "more"), steps=1, lr=1e-6)
    before, after = (load_checkpoint(path)[0] for path in (first, distill(more)))
    name = "backbone.lateral_conv0.conv.weight"
    torch.testing.assert_close(after[name], before[name], rtol=0.02, atol=1e-3)
    with pytest.raises(SettingsError, match="which knows"):
        fresh_student(replace(more, classes=CLASSES[:1]))


@pytest.mark.slow
def test_another_runs_state_is_refused(tiny: DistillSettings) -> None:
    distill(replace(tiny, steps=1))
    with pytest.raises(InputError, match="steps"):
        distill(tiny, resume_run=True)


@pytest.mark.slow
def test_no_largest_norm_is_any_norm(tiny: DistillSettings, tmp_path: Path) -> None:
    """As in ``vodkit train``: clipped to 0, it would learn nothing."""
    any_norm, huge = (
        distill(replace(tiny, clip_norm=most, steps=1, out=str(tmp_path / str(most))))
        for most in (0.0, 1e9)
    )
    assert any_norm.read_bytes() == huge.read_bytes()


@pytest.mark.slow
def test_a_gradient_that_is_not_finite_ends_the_run(
    tiny: DistillSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the last step, too, after which no loss would tell."""

    def rootless(*given: Any, **words: Any) -> dict[str, torch.Tensor]:
        losses = distill_losses(*given, **words)
        nothing = losses["iou"] - losses["iou"]
        return {**losses, "iou": losses["iou"] + nothing.sqrt()}  # finite, without a slope

    monkeypatch.setattr(distillation, "distill_losses", rootless)
    with pytest.raises(InputError, match="the gradient is not finite in step 0; lower lr"):
        distill(replace(tiny, steps=1))


@pytest.mark.slow
def test_files_that_are_others_since_are_refused(tiny: DistillSettings, tmp_path: Path) -> None:
    """The teacher would speak otherwise in the middle, of other pictures."""
    backbone = fresh_student(tiny)[0].backbone.backbone.state_dict()
    torch.save(backbone, tmp_path / "backbone.pth")
    started = replace(tiny, backbone_weights=str(tmp_path / "backbone.pth"))

    def stop(progress: DistillProgress) -> None:
        if progress.what == "step" and progress.done == 3:
            raise StoppedError

    with pytest.raises(StoppedError):
        distill(started, watch=stop)
    with pytest.raises(StoppedError):
        distill(started, watch=stop, resume_run=True)  # nothing has changed
    for name in ("teacher.pth", "backbone.pth"):
        state = torch.load(tmp_path / name, weights_only=True)
        torch.save({key: value * 1.01 for key, value in state.items()}, tmp_path / name)
    cv2.imwrite(str(tmp_path / "scene3.png"), _pictures(1, 128, seed=7)[0])
    (tmp_path / "scene5.png").rename(tmp_path / "scene6.png")
    with pytest.raises(
        InputError, match=r"cannot resume, 5 changed: - .*scene5.png; \+ "
    ) as refused:
        distill(started, resume_run=True)
    told = str(refused.value)
    assert all(name in told for name in ("weights of the teacher: was ", "weights of the backbone"))
    assert "scene3.png: was " in told


@pytest.mark.slow
def test_a_start_that_was_trained_anew_is_refused(tiny: DistillSettings, tmp_path: Path) -> None:
    first = distill(replace(tiny, steps=1))
    more = replace(tiny, start=str(first), out=str(tmp_path / "more"), steps=2)
    distill(more)
    state, card = load_checkpoint(first)
    save_checkpoint({name: value * 1.01 for name, value in state.items()}, card, first)
    with pytest.raises(InputError, match="1 changed: weights of the start: was "):
        distill(more, resume_run=True)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"steps": 0}, "steps is 0"),
        ({"side_px": 100}, "side_px is 100"),
        ({"freeze": "everything"}, "freeze is 'everything'"),
        ({"late_share": 2.0}, "late_share is 2.0"),
        ({"clip_norm": -1.0}, "clip_norm is -1.0"),
        ({"clip_norm": float("nan")}, "clip_norm is nan"),
    ],
)
def test_wrong_settings_are_refused(changes: dict[str, object], message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        settings.build(DistillSettings, {"sources": ["x"], "out": "x", **changes})


def test_late_steps_have_larger_and_fewer_pictures() -> None:
    made = DistillSettings(sources=("x",), out="x", steps=10, late_share=0.2)
    assert [made.size_at(step) for step in (0, 7, 8)] == [(16, 256), (16, 256), (6, 416)]


def test_classes_sources_and_backbones_that_are_not_there(
    tiny: DistillSettings, teacher: Teacher, card: ModelCard, tmp_path: Path
) -> None:
    with pytest.raises(SettingsError, match="knows no unicorn"):
        Teacher(teacher.module, card, ("unicorn",))
    with pytest.raises(InputError, match="no such file"):
        distill(replace(tiny, sources=("missing.mp4",)))
    odd = replace(tiny, backbone="resnet18", backbone_weights="package")
    with pytest.raises(SettingsError, match=r"no package .* resnet18; allowed: tf_eff"):
        fresh_student(odd)
    odd = replace(tiny, backbone_weights=str(tmp_path / "teacher.pth"))
    with pytest.raises(WeightsError, match="tensors missing"):
        fresh_student(odd)
