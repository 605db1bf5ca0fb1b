"""Frozen means frozen, bit by bit, for every family of networks."""

from dataclasses import replace

import pytest
import torch
from torch import nn

from vodkit.detect import networks, yolox
from vodkit.detect.base import ModelCard
from vodkit.detect.models import build_network
from vodkit.detect.published import MODELS
from vodkit.detect.targets import Target
from vodkit.ground.errors import SettingsError
from vodkit.train import freeze
from vodkit.train.ema import Ema
from vodkit.train.frozen_features import cut_points, leaves, rebuilt, record, replaying
from vodkit.train.optim import lr_factor, make_optimizer, set_rates

# One of each kind of network: what they cost is their backbone.
KINDS = ("yolox_nano", "ssdlite320_mobilenet_v3_large", "fasterrcnn_mobilenet_v3_large_320_fpn")
SIDE = 64


def network(name: str) -> tuple[nn.Module, ModelCard]:
    torch.manual_seed(0)
    return build_network(name, classes=("a", "b"), weights="random")


def batch() -> tuple[torch.Tensor, list[Target]]:
    generator = torch.Generator().manual_seed(1)
    images = torch.randint(0, 255, (2, 3, SIDE, SIDE), generator=generator, dtype=torch.uint8)
    box = torch.tensor([[8.0, 8.0, 40.0, 40.0]])
    return images, [Target(box, torch.tensor([0])), Target(box + 10, torch.tensor([1]))]


def steps(module: nn.Module, card: ModelCard, ema: Ema, *, count: int = 2) -> None:
    optimizer = make_optimizer(
        module, card, name="adamw", lr=1e-2, weight_decay=0.1, stage_lr_ratio=0.5
    )
    for _ in range(count):
        optimizer.zero_grad()
        torch.stack(list(networks.losses(module, card, *batch()).values())).sum().backward()
        optimizer.step()
        ema.update(module)


def state_of(parts: list[nn.Module]) -> list[torch.Tensor]:
    return [value.clone() for part in parts for value in part.state_dict().values()]


@pytest.mark.slow
@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize("word", ["backbone", "stage2"])
def test_frozen_stages_stay_and_the_others_move(name: str, word: str) -> None:
    module, card = network(name)
    depth = freeze.FREEZES[word]
    freeze.freeze(module, card, depth)
    ema = Ema(module, decay=0.9, ramp=1)
    before = {stage: state_of(parts) for stage, parts in networks.stages(module, card).items()}
    steps(module, card, ema)
    for where in (module, ema.module):
        after = {stage: state_of(parts) for stage, parts in networks.stages(where, card).items()}
        for place, stage in enumerate(freeze.STAGES):
            pairs = zip(before[stage], after[stage], strict=True)
            same = all(torch.equal(one, two) for one, two in pairs)
            assert same == (place < depth or not before[stage]), (stage, word)


@pytest.mark.slow
@pytest.mark.parametrize("name", KINDS)
def test_stored_features_give_the_same_losses_as_pictures(name: str) -> None:
    module, card = network(name)
    freeze.freeze(module, card, freeze.FREEZES["backbone"])
    images, targets = batch()
    cuts = cut_points(module, lambda: networks.losses(module, card, images, targets))
    assert cuts
    outputs = record(module, cuts, networks.normalise(images, card))
    again = rebuilt(outputs, iter([leaf.clone() for leaf in leaves(outputs)]))
    torch.manual_seed(2)  # region proposals are sampled
    wanted = networks.losses(module, card, images, targets)
    with replaying(module, cuts, again):
        torch.manual_seed(2)
        seen = networks.losses(module, card, torch.zeros_like(images), targets)
    assert wanted.keys() == seen.keys()
    for key, value in wanted.items():
        assert torch.equal(seen[key], value), key


def test_without_a_frozen_beginning_there_is_no_cut() -> None:
    module, card = network("yolox_nano")
    freeze.freeze(module, card, 0)
    images, targets = batch()
    assert cut_points(module, lambda: networks.losses(module, card, images, targets)) == ()


SMALL_ENOUGH = [name for name in MODELS if name.endswith(("_nano", "_tiny", "_large", "_320_fpn"))]


@pytest.mark.parametrize("name", SMALL_ENOUGH)
def test_every_model_of_the_table_has_its_parameters_in_stages(name: str) -> None:
    module, card = network(name)
    rows = freeze.table(module, card)
    assert [row.stage for row in rows] == list(freeze.STAGES)
    assert sum(row.parameters for row in rows) == sum(p.numel() for p in module.parameters())
    freeze.freeze(module, card, freeze.FREEZES["head-only"])
    trainable = [row.stage for row in freeze.table(module, card) if row.trainable]
    assert trainable == ["head"]


def test_stages_thaw_one_by_one() -> None:
    depths = [freeze.depth_at("backbone", epoch=e, thaw_every=3) for e in range(9)]
    assert depths == [5, 5, 5, 4, 4, 4, 3, 3, 3]
    assert freeze.depth_at("head-only", epoch=99, thaw_every=0) == 6
    with pytest.raises(SettingsError, match="backbone"):
        freeze.depth_at("backbon", epoch=0, thaw_every=0)


@pytest.mark.slow
def test_a_stage_that_a_network_lacks_cannot_be_the_one_to_freeze() -> None:
    """ConvNeXt begins with stride 4: what is asked to stay would learn in stage1."""
    with torch.device("meta"):
        module = yolox.build_yolox_timm("convnext_atto", 2)
    card = network("yolox_nano")[1]
    told = r"freeze is stem, which this network lacks; allowed: its stages \(stage1, stage2, "
    with pytest.raises(
        SettingsError, match=told + r"stage3, stage4, neck, head\) .*none, backbone"
    ):
        freeze.refuse_missing_stage(module, card, "stem")
    for word in freeze.FREEZES.keys() - {"stem"}:
        freeze.refuse_missing_stage(module, card, word)


def test_a_family_may_leave_out_stages(monkeypatch: pytest.MonkeyPatch) -> None:
    module, card = network("yolox_nano")
    told = networks.stages(module, card)
    del told["stage3"], told["stage4"]
    monkeypatch.setattr(networks, "stages", lambda *_: told)
    with pytest.raises(SettingsError, match=r"its stages \(stem, stage1, stage2, neck, head\)"):
        freeze.refuse_missing_stage(module, card, "stage3")
    freeze.refuse_missing_stage(module, card, "backbone")
    freeze.freeze(module, card, freeze.FREEZES["backbone"])
    rows = {row.stage: row for row in freeze.table(module, card)}
    assert list(rows) == list(freeze.STAGES)
    assert rows["stage2"].trainable == rows["stage3"].parameters == 0


def test_deeper_stages_learn_more_slowly_and_norms_are_not_decayed() -> None:
    module, card = network("yolox_nano")
    optimizer = make_optimizer(
        module, card, name="sgd", lr=0.1, weight_decay=0.5, stage_lr_ratio=0.5
    )
    rates = sorted({group["lr"] for group in optimizer.param_groups})
    assert rates == pytest.approx([0.1 / 2**depth for depth in (5, 4, 3, 2, 1, 0)])
    for group in optimizer.param_groups:
        flat = {p.ndim == 1 for p in group["params"]}
        assert flat == {group["weight_decay"] == 0.0}
    assert set_rates(optimizer, 0.5) == pytest.approx(0.05)
    with pytest.raises(SettingsError, match="adamw, sgd"):
        make_optimizer(module, card, name="lion", lr=1, weight_decay=0, stage_lr_ratio=1)


def test_the_rate_rises_and_falls() -> None:
    factors = [lr_factor(s, num_steps=100, warmup_steps=10, final_ratio=0.1) for s in range(100)]
    assert factors[0] == pytest.approx(0.1)
    assert max(factors) == factors[9] == 1
    assert factors[10:] == sorted(factors[10:], reverse=True)
    assert factors[-1] == pytest.approx(0.1, abs=1e-3)


def test_the_average_is_the_weighted_mean() -> None:
    module = nn.Linear(1, 1, bias=False)
    nn.init.zeros_(module.weight)
    ema = Ema(module, decay=0.75, ramp=1e-9)
    nn.init.ones_(module.weight)
    ema.update(module)
    assert ema.module.weight.item() == pytest.approx(0.25)


def test_fixed_norms_do_not_follow_the_data() -> None:
    module, card = network("yolox_nano")
    freeze.freeze(module, card, 0)
    freeze.fix_statistics(module)
    norms = [m for m in module.modules() if isinstance(m, nn.BatchNorm2d)]
    before = [norm.running_mean.clone() for norm in norms]
    networks.losses(module, replace(card), *batch())
    pairs = zip(norms, before, strict=True)
    assert all(torch.equal(norm.running_mean, was) for norm, was in pairs)
