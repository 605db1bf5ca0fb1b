"""SimOTA and the losses: against a plain table of boxes x cells, and by what they must do."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional

from vodkit.detect import yolox, yolox_loss
from vodkit.detect.targets import Target
from vodkit.ground.errors import InputError

SIDE = 96
CELLS = 12 * 12 + 6 * 6 + 3 * 3


def target(boxes: list[list[float]], labels: list[int]) -> Target:
    return Target(torch.tensor(boxes).reshape(-1, 4), torch.tensor(labels, dtype=torch.int64))


def plain_assignment(raw_AK: Tensor, truth: Tensor, labels: Tensor) -> dict[int, int]:
    """The paper's assignment for one picture, box by box and cell by cell: cell -> box."""
    corners, strides = yolox.grid(SIDE, SIDE)
    centres = (corners + 0.5) * strides
    decoded = yolox.decode_boxes(raw_AK[None], height_px=SIDE, width_px=SIDE)[0]
    half = decoded[:, 2:] / 2
    boxes = torch.cat([decoded[:, :2] - half, decoded[:, :2] + half], dim=1)
    p = (raw_AK[:, 5:].sigmoid() * raw_AK[:, 4:5].sigmoid()).sqrt()
    wishes: list[tuple[float, int, int]] = []
    for g, (box, label) in enumerate(zip(truth, labels, strict=True)):
        middle = (box[:2] + box[2:]) / 2
        near = ((centres - middle).abs() < 1.5 * strides).all(dim=1).nonzero()[:, 0]
        overlap = yolox_loss.iou_pairs(boxes[near], box[None])
        one_hot = functional.one_hot(label, p.shape[1]).float().expand(len(near), -1)
        cost = functional.binary_cross_entropy(p[near], one_hot, reduction="none").sum(1)
        cost = cost - 3 * (overlap + 1e-8).log()
        k = max(int(overlap.topk(min(10, len(near))).values.sum()), 1)
        chosen = cost.topk(k, largest=False)
        wishes += [(float(c), int(near[i]), g) for c, i in zip(*chosen, strict=True)]
    given: dict[int, int] = {}
    for _, cell, g in sorted(wishes):
        given.setdefault(cell, g)
    return given


@settings(max_examples=12, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 6))
def test_assignment_is_that_of_the_paper(seed: int, count: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    raw = torch.randn(2, CELLS, 8, generator=generator)
    raw[..., 2:4] = raw[..., 2:4] * 0.5 + 0.5
    corner = torch.rand(2 * count, 2, generator=generator) * (SIDE - 40)
    size = torch.rand(2 * count, 2, generator=generator) * 36 + 3
    truth = torch.cat([corner, corner + size], dim=1)
    labels = torch.randint(3, (2 * count,), generator=generator)
    owners = torch.arange(2).repeat_interleave(count)
    decoded = yolox.decode_boxes(raw, height_px=SIDE, width_px=SIDE)
    half = decoded[..., 2:] / 2
    boxes = torch.cat([decoded[..., :2] - half, decoded[..., :2] + half], dim=2)
    found = yolox_loss.assign(raw, boxes, truth, labels, owners, height_px=SIDE, width_px=SIDE)
    for picture in range(2):
        mine = owners == picture
        expected = plain_assignment(raw[picture], truth[mine], labels[mine])
        here = found.pictures == picture
        ours = dict(
            zip(
                found.cells[here].tolist(),
                (found.boxes[here] - picture * count).tolist(),
                strict=True,
            )
        )
        assert ours == expected


def test_losses_are_finite_and_flow_back_with_and_without_boxes() -> None:
    raw = torch.randn(2, CELLS, 8, requires_grad=True)
    targets = [target([[4, 4, 40, 60], [50, 50, 52, 51]], [0, 2]), target([], [])]
    losses = yolox_loss.yolox_losses(raw, targets, height_px=SIDE, width_px=SIDE)
    assert set(losses) == {"iou", "objectness", "class"}
    sum(losses.values()).backward()
    assert raw.grad is not None
    assert torch.isfinite(raw.grad).all()
    assert raw.grad[1, :, :4].abs().sum() == 0
    nothing = yolox_loss.yolox_losses(raw, [targets[1]] * 2, height_px=SIDE, width_px=SIDE)
    assert nothing["iou"] == 0
    assert nothing["objectness"] > 0


def test_cells_in_ignored_regions_do_not_learn_that_nothing_is_there() -> None:
    raw = torch.randn(1, CELLS, 8, requires_grad=True)
    region = Target(torch.tensor([[0.0, 0.0, 48.0, 48.0]]), torch.tensor([0]), torch.tensor([True]))
    losses = yolox_loss.yolox_losses(raw, [region], height_px=SIDE, width_px=SIDE)
    losses["objectness"].backward()
    corners, strides = yolox.grid(SIDE, SIDE)
    inside = ((corners + 0.5) * strides < 48).all(dim=1)
    assert raw.grad is not None
    assert (raw.grad[0, inside, 4] == 0).all()
    assert (raw.grad[0, ~inside, 4] != 0).all()


def test_a_few_steps_teach_a_box() -> None:
    torch.manual_seed(0)
    raw = torch.nn.Parameter(torch.randn(1, CELLS, 7) * 0.1)
    truth = [target([[20, 24, 60, 70]], [1])]
    for _ in range(80):
        losses = yolox_loss.yolox_losses(raw, truth, height_px=SIDE, width_px=SIDE)
        (gradient,) = torch.autograd.grad(sum(losses.values()), [raw])
        with torch.no_grad():
            raw -= 0.05 * gradient.sign()
    out = yolox.decode_outputs(raw.detach(), height_px=SIDE, width_px=SIDE)[0]
    best = (out[:, 4:5] * out[:, 5:]).max(dim=1).values.argmax()
    torch.testing.assert_close(out[best, :4], torch.tensor([40.0, 47, 40, 46]), atol=3, rtol=0)
    assert out[best, 5:].argmax() == 1


def test_target_of_unequal_columns_is_refused() -> None:
    with pytest.raises(InputError, match="boxes, labels, ignore"):
        Target(torch.zeros(2, 4), torch.zeros(3, dtype=torch.int64))
