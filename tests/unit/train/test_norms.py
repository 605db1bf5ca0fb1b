"""Statistics of norms are those of the weights that are kept, on the pictures learnt from."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from vodkit.detect import networks
from vodkit.detect.models import build_network
from vodkit.train.batch_norms import learning_norms, measure_norms, plain_batches
from vodkit.train.settings import TrainSettings
from vodkit.train.setup import prepare


def settings(data: Path, out: Path) -> TrainSettings:
    return TrainSettings(
        data=str(data),
        out=str(out),
        model="yolox_nano",
        weights="random",
        width_px=64,
        height_px=64,
        freeze="stem",
        still_iou=2.0,
        cache="off",
        device="cpu",
    )


@pytest.mark.slow
def test_a_network_in_evaluation_does_what_it_did_in_training(
    square_data: Path, tmp_path: Path
) -> None:
    """On one batch, outputs with measured statistics are those with the batch's own."""
    material = prepare(settings(square_data, tmp_path), torch.device("cpu"), lambda *_: None)
    module, card = material.module, material.card
    names = learning_norms(module)
    with torch.no_grad():
        for name in names:  # far from what the data give, as after many steps
            module.get_submodule(name).running_mean.fill_(3.0)
    batches = list(plain_batches(material.training, None, size=64, device=torch.device("cpu")))
    assert [len(batch.indices) for batch in batches] == [64]
    images = networks.normalise(batches[0].images, card)
    with torch.no_grad():
        trained = module(images)
        module.eval()
        before = module(images)
        measure_norms(module, card, names, batches)
        after = module(images)
    far, near = ((seen - trained).abs().mean() / trained.std() for seen in (before, after))
    assert far > 0.1
    assert near < 0.05  # not 0: training divides variances by n, statistics by n - 1


@pytest.mark.slow
def test_frozen_norms_and_all_else_stay(square_data: Path, tmp_path: Path) -> None:
    material = prepare(settings(square_data, tmp_path), torch.device("cpu"), lambda *_: None)
    module, card = material.module, material.card
    names = learning_norms(module)
    frozen = {
        name
        for stage in networks.stages(module, card)["stem"]
        for name, part in module.named_modules()
        if part in set(stage.modules()) and isinstance(part, nn.BatchNorm2d)
    }
    assert frozen
    assert names
    assert not frozen & set(names)
    before = {name: value.clone() for name, value in module.state_dict().items()}
    measure_norms(
        module.eval(),
        card,
        names,
        plain_batches(material.training, None, size=8, device=torch.device("cpu")),
    )
    after = module.state_dict()
    moved = {name for name, value in after.items() if not torch.equal(value, before[name])}
    ends = ("running_mean", "running_var", "num_batches_tracked")
    assert {name.rpartition(".")[0] for name in moved} == set(names)
    assert all(name.endswith(ends) for name in moved)
    assert not any(part.training for part in module.modules())
    momenta = {part.momentum for part in module.modules() if isinstance(part, nn.BatchNorm2d)}
    assert momenta == {0.03}


@pytest.mark.slow
def test_pictures_to_measure_on_come_from_everywhere(square_data: Path, tmp_path: Path) -> None:
    material = prepare(settings(square_data, tmp_path), torch.device("cpu"), lambda *_: None)
    device = torch.device("cpu")
    rows = [b.indices for b in plain_batches(material.training, None, size=4, device=device)]
    assert len(rows) == 16
    assert {len(row) for row in rows} == {4}
    assert set(np.concatenate(rows).tolist()) == set(range(len(material.training.frames)))
    assert max(row[0] for row in rows) < min(row[-1] for row in rows)  # far apart in a batch


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", ["fasterrcnn_mobilenet_v3_large_320_fpn", "ssdlite320_mobilenet_v3_large"]
)
def test_norms_of_random_weights_learn(name: str) -> None:
    """Frozen statistics that nobody has learnt would leave a deep network without any norms."""
    module, _ = build_network(name, classes=("a",), weights="random")
    assert learning_norms(module)
