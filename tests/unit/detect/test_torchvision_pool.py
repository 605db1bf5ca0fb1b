"""Our RoIAlign for training gives torchvision's numbers and gradients."""

import pytest
import torch
from torch import Tensor
from torchvision.ops import MultiScaleRoIAlign

from vodkit.detect import networks, torchvision_pool
from vodkit.detect.published import MODELS
from vodkit.detect.targets import Target
from vodkit.detect.torchvision_pool import ProductRoIAlign

NAMES = ["0", "1"]  # of the maps; pools may know more names


def given(side: int = 320) -> tuple[dict[str, Tensor], list[Tensor], list[tuple[int, int]]]:
    generator = torch.Generator().manual_seed(0)
    maps = {
        name: torch.rand(2, 5, side // stride, side // stride, generator=generator)
        for name, stride in zip(NAMES, (8, 16), strict=True)
    }
    corners = torch.rand(60, 2, 2, generator=generator) * (side + 40) - 20  # some are outside
    boxes = torch.cat([corners.amin(dim=1), corners.amax(dim=1)], dim=1)
    boxes[0, 2:] = boxes[0, :2]  # one is empty
    return maps, [boxes[:45], boxes[45:]], [(side, side)] * 2


def pooled(kind: type[MultiScaleRoIAlign]) -> tuple[Tensor, list[Tensor | None]]:
    maps, boxes, shapes = given()
    leaves = {name: one.requires_grad_() for name, one in maps.items()}
    found = kind([*NAMES, "2"], output_size=7, sampling_ratio=2)(leaves, boxes, shapes)
    found.square().sum().backward()
    return found, [leaves[name].grad for name in NAMES]


def test_numbers_and_gradients_are_torchvisions() -> None:
    theirs, their_gradients = pooled(MultiScaleRoIAlign)
    ours, our_gradients = pooled(ProductRoIAlign)
    torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-5)
    for one, two in zip(our_gradients, their_gradients, strict=True):
        torch.testing.assert_close(one, two, atol=1e-4, rtol=1e-4)


def test_evaluation_and_large_maps_are_torchvisions_own(monkeypatch: pytest.MonkeyPatch) -> None:
    maps, boxes, shapes = given()
    theirs = MultiScaleRoIAlign([*NAMES, "2"], output_size=7, sampling_ratio=2)(maps, boxes, shapes)
    pool = ProductRoIAlign([*NAMES, "2"], output_size=7, sampling_ratio=2)
    assert torch.equal(pool.eval()(maps, boxes, shapes), theirs)
    monkeypatch.setattr(torchvision_pool, "_MOST_CELLS", 10)
    assert torch.equal(pool.train()(maps, boxes, shapes), theirs)


def test_no_boxes_are_legal() -> None:
    maps, _, shapes = given()
    pool = ProductRoIAlign([*NAMES, "2"], output_size=7, sampling_ratio=2)
    assert pool(maps, [torch.zeros(0, 4)] * 2, shapes).shape == (0, 5, 7, 7)


@pytest.mark.slow
def test_the_second_stage_learns_from_so_many_boxes() -> None:
    card = MODELS["fasterrcnn_mobilenet_v3_large_320_fpn"]()
    module = networks.build(card).train()
    sizes = []
    module.roi_heads.box_head.register_forward_hook(lambda _m, given, _o: sizes.append(given[0]))
    assert networks.limit_proposals(module, card, 8)
    box = Target(torch.tensor([[8.0, 8.0, 60.0, 60.0]]), torch.tensor([0]))
    losses = networks.losses(module, card, torch.zeros(2, 3, 96, 96, dtype=torch.uint8), [box] * 2)
    assert torch.isfinite(sum(losses.values()))
    assert len(sizes[0]) == 2 * 8
    nano = MODELS["yolox_nano"]()
    assert not networks.limit_proposals(networks.build(nano), nano, 8)
