"""A teacher beside the labels: it is heard without a second pass, and it keeps what was known."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch

from vodkit.detect import networks
from vodkit.detect.base import ModelCard
from vodkit.detect.checkpoint import load_checkpoint, save_checkpoint
from vodkit.detect.models import build_network
from vodkit.ground.errors import SettingsError
from vodkit.train.loop import train
from vodkit.train.progress import Progress
from vodkit.train.rehearsal import Keeper
from vodkit.train.settings import TrainSettings

CPU = torch.device("cpu")


def network(classes: Sequence[str], *, seed: int) -> tuple[torch.nn.Module, ModelCard]:
    torch.manual_seed(seed)
    module, card = build_network("yolox_nano", classes=tuple(classes), weights="random")
    return module.eval(), card


@pytest.fixture(scope="module")
def teacher(tmp_path_factory: pytest.TempPathFactory) -> str:
    module, card = network(("cat", "square"), seed=1)
    with torch.no_grad():  # it sees things everywhere: only such places teach boxes
        for part in (*module.head.obj_preds, *module.head.cls_preds):
            part.bias.add_(6)
    path = tmp_path_factory.mktemp("teacher") / "teacher.safetensors"
    save_checkpoint(module.state_dict(), card, path)
    return str(path)


def kept(module: torch.nn.Module, card: ModelCard, teacher: str) -> dict[str, float]:
    pictures = torch.randint(0, 255, (2, 3, 64, 96), generator=torch.Generator().manual_seed(0))
    keeper = Keeper(module, card, teacher, weight=1.0, device=CPU)
    with keeper.listening() as heard:
        module(networks.normalise(pictures, card))
    losses = keeper.losses(pictures, heard.answers)
    return {name: float(value.detach()) for name, value in losses.items()}


@pytest.mark.slow
def test_the_teacher_itself_has_nothing_to_learn_from_it(teacher: str) -> None:
    """Its classes stand in another order, and beside a new one: names decide."""
    state, card = load_checkpoint(Path(teacher))
    module = networks.build(card)
    networks.load_state(module, state, where="teacher")
    module, card = networks.for_classes(module, card, ("square", "new", "cat"))
    own = kept(module.eval(), card, teacher)
    assert own["kept_iou"] == pytest.approx(0, abs=1e-4)
    assert max(own["kept_raw"], own["kept_neck"]) == pytest.approx(0, abs=1e-6)
    other = kept(*network(("square", "new", "cat"), seed=2), teacher)
    assert all(own[name] < other[name] for name in own), (own, other)


@pytest.mark.slow
def test_nobody_listens_afterwards(teacher: str) -> None:
    module, card = network(("square",), seed=2)
    kept(module, card, teacher)
    assert not any(part._forward_hooks for part in module.modules())


def test_a_teacher_that_shares_no_class_or_family_is_refused(teacher: str) -> None:
    module, card = network(("fly",), seed=2)
    with pytest.raises(SettingsError, match="knows none of fly"):
        Keeper(module, card, teacher, weight=1.0, device=CPU)
    with pytest.raises(SettingsError, match="yolox family"):
        Keeper(torch.nn.Linear(1, 1), card, teacher, weight=1.0, device=CPU)
    with pytest.raises(SettingsError, match="no teacher"):
        TrainSettings(data="x", out="y", cache="on", teacher=teacher)


@pytest.mark.slow
def test_a_run_with_a_teacher_listens_to_both_and_is_written_as_it_was_wished(
    square_data: Path, teacher: str, tmp_path: Path
) -> None:
    losses: list[dict[str, float]] = []

    def watch(progress: Progress) -> None:
        if progress.what == "step":
            losses.append(progress.losses)

    tiny: dict[str, Any] = {"width_px": 32, "height_px": 32, "epochs": 2, "still_iou": 2.0}
    wanted = TrainSettings(
        data=str(square_data), out=str(tmp_path / "run"), model="yolox_nano", weights="random",
        teacher=teacher, device="cpu", half=True, name="squares", source="me", notes="made up",
        **tiny,
    )  # fmt: skip
    result = train(wanted, watch=watch)
    assert {"iou", "objectness", "class", "kept_objectness", "kept_neck"} <= losses[0].keys()
    assert not result.cached
    state, card = load_checkpoint(result.checkpoint)
    assert (card.name, card.source, card.notes) == ("squares", "me", "made up")
    assert {value.dtype for value in state.values() if value.is_floating_point()} == {torch.float16}
