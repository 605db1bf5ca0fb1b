"""torchvision's models: the right class under the right name, and its own numbers."""

import re
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn
from torchvision.models import detection, get_model_weights

from vodkit.detect import coco, networks
from vodkit.detect.base import ModelCard, without_normalisation
from vodkit.detect.decode import UNBATCHED
from vodkit.detect.detector import GraphDetector
from vodkit.detect.published import MODELS
from vodkit.detect.runtimes.torch_module import TorchRuntime
from vodkit.detect.targets import Target
from vodkit.detect.torchvision_family import BUILDERS
from vodkit.ground.records import Frame

SMALL = [
    name for name in BUILDERS if "mobilenet" in name and name != "fasterrcnn_mobilenet_v3_large_fpn"
]
QUICK = [*SMALL, *(pytest.param(n, marks=pytest.mark.slow) for n in BUILDERS if n not in SMALL)]


def small(card: ModelCard) -> ModelCard:
    """The same model on a small picture."""
    if card.preprocessing.resize != "fit":
        return card
    return replace(card, preprocessing=replace(card.preprocessing, width_px=160, height_px=96))


def frames(count: int) -> list[Frame]:
    rng = np.random.default_rng(0)
    pictures = rng.integers(0, 255, (count, 96, 160, 3), dtype=np.uint8)
    return [Frame(i, i / 10, picture) for i, picture in enumerate(pictures)]


def paint(module: nn.Module, outputs: list[str], name: str, *, noise: float = 0.0) -> None:
    """Make every place of the network say ``name``; counted in torchvision's own numbering.

    ``noise`` is the share of the class layer's random weights that is kept.
    """
    tensors = r".*(cls_score|cls_logits|classification_head\.module_list\.\d+(\.1)?)\.(weight|bias)"
    state = module.state_dict()
    for key, value in state.items():
        if re.fullmatch(tensors, key) and value.shape[0] % len(outputs) == 0:
            wish = torch.full((len(outputs),), -9.0)
            wish[outputs.index(name)] = 3.0
            column = wish.repeat(len(value) // len(outputs))
            value.copy_(column if key.endswith("bias") else value * noise)
    module.load_state_dict(state)


def detector(module: nn.Module, card: ModelCard, threshold: float = 0.3) -> GraphDetector:
    runtime = TorchRuntime(
        networks.deployed(module, card),
        device=torch.device("cpu"),
        batched=card.output.decoding not in UNBATCHED,
    )
    return GraphDetector(
        card, runtime, score_threshold=threshold, max_detections=None, classes=None
    )


@pytest.mark.slow
@pytest.mark.parametrize("name", QUICK)
@pytest.mark.parametrize("painted", ["person", "stop sign", "toothbrush"])
def test_the_painted_class_is_found_under_its_name(name: str, painted: str) -> None:
    card = small(MODELS[name]())
    torch.manual_seed(0)
    official = getattr(detection, name)(weights=None, weights_backbone=None)
    categories = get_model_weights(name).DEFAULT.meta["categories"]
    paint(official, categories, painted)
    module = networks.build(card)
    networks.load_state(module, official.state_dict(), where="the official network")
    found = detector(module, card).detect(frames(1))[0]
    assert len(found) > 0
    assert {card.classes[label] for label in found.labels} == {painted}


@pytest.mark.slow
@pytest.mark.parametrize("name", SMALL)
def test_numbers_are_those_of_torchvisions_own_forward(name: str) -> None:
    card = MODELS[name]()
    card = small(replace(card, architecture={**card.architecture, "frozen_norm": False}))
    torch.manual_seed(0)
    official = getattr(detection, name)(weights=None, weights_backbone=None).eval()
    categories = get_model_weights(name).DEFAULT.meta["categories"]
    paint(official, categories, "zebra", noise=0.3)
    module = networks.build(card)
    networks.load_state(module, official.state_dict(), where="the official network")
    frame = frames(1)[0]
    width, height = card.preprocessing.width_px, card.preprocessing.height_px
    if card.preprocessing.resize == "fit":
        # this picture fits as it is
        official.transform.min_size, official.transform.max_size = (height,), width
    else:
        grown = np.repeat(np.repeat(frame.image, 4, 0), 4, 1)[:height, :width]
        frame = Frame(0, 0.0, np.ascontiguousarray(grown))
    if hasattr(official, "nms_thresh"):  # random scores are nearly equal: compare before NMS
        official.nms_thresh, official.detections_per_img = 1.0, 100_000
        card = replace(card, output=replace(card.output, nms_iou=1.0))
    if "ssd" in name:
        official.topk_candidates = 100_000  # ours looks at all of them
    with torch.inference_mode():
        theirs = official([torch.from_numpy(frame.image).permute(2, 0, 1) / 255])[0]
    ours = detector(module, card).detect([frame])[0]
    keep = theirs["scores"].numpy() >= 0.3
    count = min(len(ours), int(keep.sum()))
    assert count > 0
    expected = theirs["boxes"].numpy()[keep][:count]
    np.testing.assert_allclose(
        ours.scores[:count], theirs["scores"].numpy()[keep][:count], atol=1e-4
    )
    # equal scores may stand in another order: every box of theirs has one of ours near
    expected = expected[:: max(count // 300, 1)]
    apart = np.abs(expected[:, None] - ours.boxes_xyxy[None]).max(axis=2).min(axis=1)
    assert (apart < 0.1).mean() >= 0.95


@pytest.mark.parametrize("name", BUILDERS)
def test_the_table_says_what_torchvisions_weight_cards_say(name: str) -> None:
    official = get_model_weights(name).DEFAULT
    card = MODELS[name]()
    assert card.url == official.url
    assert card.url.endswith(f"-{card.sha256}.pth")
    assert card.expected[0].value == pytest.approx(
        official.meta["_metrics"]["COCO-val2017"]["box_map"] / 100
    )
    assert card.size_bytes / 2**20 == pytest.approx(official.meta["_file_size"], abs=1e-3)
    assert list(coco.outputs_91()) == official.meta["categories"]
    assert [card.architecture["outputs"][i] for i in (0, 1, 90)] == [
        "__background__",
        "person",
        "toothbrush",
    ]


@pytest.mark.slow
@pytest.mark.parametrize("name", QUICK)
def test_losses_teach_and_heads_follow_the_class_name(name: str) -> None:
    card = MODELS[name]()
    torch.manual_seed(0)
    module = networks.build(card)
    new, changed = networks.for_classes(module, card, ("fly", "person"))
    assert changed.classes == ("fly", "person")
    assert "outputs" not in changed.architecture
    pattern = (
        r".*(box_predictor\.cls_score|classification_head\.(cls_logits|module_list\.0(\.1)?))\.bias"
    )
    key = next(k for k in new.state_dict() if re.fullmatch(pattern, k))
    old_rows, new_rows = module.state_dict()[key], new.state_dict()[key]
    groups = len(new_rows) // 3
    torch.testing.assert_close(
        new_rows.reshape(groups, 3)[:, 2], old_rows.reshape(groups, 91)[:, 1]
    )
    side = 320 if "ssd" in name else 96
    images = torch.randint(0, 255, (2, 3, side, side), dtype=torch.uint8)
    targets = [
        Target(torch.tensor([[10.0, 10, 60, 70], [5, 5, 5, 5]]), torch.tensor([1, 0])),
        Target(torch.zeros(0, 4), torch.zeros(0, dtype=torch.int64)),
    ]
    total = sum(networks.losses(new.train(), changed, images, targets).values())
    total.backward()
    assert torch.isfinite(total)
    head = [p for m in networks.stages(new, changed)["head"] for p in m.parameters()]
    assert any(p.grad is not None and p.grad.abs().sum() > 0 for p in head)


def test_normalisation_inside_the_graph_is_the_training_one() -> None:
    card = MODELS["ssd300_vgg16"]()
    graph = networks.Graph(nn.Identity(), card)
    pictures = torch.randint(0, 255, (1, 4, 6, 3), dtype=torch.uint8)
    expected = networks.normalise(pictures.permute(0, 3, 1, 2), card)
    torch.testing.assert_close(graph(pictures), expected, atol=1e-3, rtol=1e-5)
    assert without_normalisation(card.preprocessing).dtype == "uint8"
