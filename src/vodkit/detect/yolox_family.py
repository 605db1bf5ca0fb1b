"""YOLOX as a family of networks: what its card says, and its graph for inference."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from vodkit.detect import yolox
from vodkit.detect.base import ModelCard
from vodkit.detect.targets import Target
from vodkit.detect.yolox_loss import yolox_losses
from vodkit.ground.errors import WeightsError


def build(card: ModelCard) -> nn.Module:
    """From ``architecture``: ``size``, or ``backbone`` and optionally width, depth, depthwise."""
    arguments: dict[str, Any] = dict(card.architecture)
    size, backbone = arguments.pop("size", None), arguments.pop("backbone", None)
    if (size is None) == (backbone is None) or arguments.keys() - {"width", "depth", "depthwise"}:
        allowed = "size, or backbone with width, depth, depthwise"
        raise WeightsError(f"card of {card.name}: architecture is {card.architecture}; {allowed}")
    if size is not None:
        return yolox.build_yolox(size, len(card.classes))
    return yolox.build_yolox_timm(str(backbone), len(card.classes), **arguments)


def losses(
    module: nn.Module, _card: ModelCard, images_B3HW: Tensor, targets: Sequence[Target]
) -> dict[str, Tensor]:
    """``iou``, ``objectness`` and ``class``, weighted as published."""
    height, width = images_B3HW.shape[2:]
    return yolox_losses(module(images_B3HW), targets, height_px=height, width_px=width)


def stages(module: nn.Module) -> dict[str, list[nn.Module]]:
    """See ``yolox.stages``."""
    assert isinstance(module, yolox.YOLOX)
    return yolox.stages(module)


def timm_part(module: nn.Module, card: ModelCard) -> tuple[str, nn.Module] | None:
    """Timm's name of the backbone, and the backbone; None of the published sizes."""
    whole: Any = module
    name = card.architecture.get("backbone")
    return None if name is None else (str(name), whole.backbone.backbone)


def outputs(card: ModelCard) -> tuple[str, ...]:
    """One output a class."""
    return card.classes


class Deployed(nn.Module):
    """Network and decoding: (B, A, 6) of x1, y1, x2, y2 in input pixels, score, label.

    A cell gives its best class only, as the published demo does; the score is objectness x class.
    """

    def __init__(self, module: nn.Module, _card: ModelCard) -> None:
        """Shares the module's weights."""
        super().__init__()
        self.module = module

    def forward(self, x_B3HW: Tensor) -> Tensor:
        """(B, A, 6)."""
        height, width = x_B3HW.shape[2:]
        raw = self.module(x_B3HW).float()  # half precision ends here: pixels need more digits
        boxes = yolox.decode_boxes(raw, height_px=height, width_px=width)
        half = boxes[..., 2:] / 2
        # The best logit is the best probability: one sigmoid a cell instead of one a class.
        best, label = raw[..., 5:].max(dim=2, keepdim=True)
        score = raw[..., 4:5].sigmoid() * best.sigmoid()
        parts = [boxes[..., :2] - half, boxes[..., :2] + half, score, label.to(raw.dtype)]
        return torch.cat(parts, dim=2)
