"""Dense outputs of a teacher, and losses of a student against them.

Legend: B pictures, A cells, K = 5 + C columns, H W picture; see ``detect/yolox.py``.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from vodkit.detect import yolox
from vodkit.detect.base import ModelCard
from vodkit.detect.models import build_network
from vodkit.detect.yolox_loss import iou_pairs
from vodkit.ground.errors import SettingsError

_OTHER_OBJECTS = 0.2  # how much a cell counts that shows a thing of none of the classes
_BOX_WEIGHT = 0.05  # cells that count less than this teach no box
_IOU, _RAW = 3.0, 0.7  # weights of the two losses on boxes
_LEAST_NORM = 4.0  # of a batch in which there is next to nothing


@dataclass(frozen=True, eq=False)
class Answers:
    """Outputs of a network for a batch: raw, and the feature maps of its neck."""

    raw: Tensor
    """(B, A, K)"""
    neck: list[Tensor]
    """three maps, strides 8, 16, 32"""


class Teacher:
    """A YOLOX network whose outputs are learnt; its weights stay fixed."""

    def __init__(self, module: yolox.YOLOX, card: ModelCard, classes: Sequence[str]) -> None:
        """``classes`` must be among the card's."""
        missing = [name for name in classes if name not in card.classes]
        if missing:
            raise SettingsError(f"classes: the teacher {card.name} knows no {', '.join(missing)}")
        self.module = module.eval().to(memory_format=torch.channels_last)
        self.card = card
        self.rows = [card.classes.index(name) for name in classes]

    @torch.no_grad()
    def look(self, x_B3HW: Tensor) -> Answers:
        """Outputs for pictures normalised as its card wants, in the student's classes only."""
        neck = self.module.backbone.neck(self.module.backbone.backbone(x_B3HW))
        columns = [*range(5), *(5 + row for row in self.rows)]
        # Under bf16 autocast the raw outputs are half precision; losses and boxes need float32.
        return Answers(self.module.head(neck)[..., columns].float(), neck)


def load_teacher(name_or_path: str, *, weights: str, classes: Sequence[str]) -> Teacher:
    """The teacher with its weights; SettingsError when it is no YOLOX network."""
    module, card = build_network(name_or_path, weights=weights)
    if not isinstance(module, yolox.YOLOX):
        raise SettingsError(f"teacher is {name_or_path}; allowed: models of the yolox family")
    return Teacher(module, card, classes)


def distill_losses(
    given: Answers,
    wanted: Answers,
    spread: Sequence[Tensor],
    *,
    size_px: tuple[int, int],
    neck_weight: float,
) -> dict[str, Tensor]:
    """Weighted losses ``objectness``, ``class``, ``iou``, ``raw`` and ``neck``.

    Probabilities are learnt by cross entropy with the teacher's own; boxes where it believes in
    an object; the neck's features by their squared distance in units of ``spread``, the variance
    of each channel (1, C, 1, 1) at each stride. ``size_px`` is the pictures' height and width.
    """
    raw, aim = given.raw, wanted.raw
    objectness, classes = aim[..., 4:5].sigmoid(), aim[..., 5:].sigmoid()
    best = (objectness * classes).amax(dim=2, keepdim=True)
    weight = best + _OTHER_OBJECTS * objectness
    total = weight.sum().clamp(min=_LEAST_NORM)
    # Cells where the student errs count most (as in quality focal loss, Li et al., 2020).
    error = (raw[..., 4:5].sigmoid().detach() - objectness).abs()
    of_objectness = _entropy(raw[..., 4:5], objectness) * (1.5 * error + 0.25)
    of_classes = _entropy(raw[..., 5:], classes) * weight
    overlap, distance = _of_boxes(raw, aim, weight[..., 0], size_px)
    necks = [
        (one - other).square().div(scale).mean()
        for one, other, scale in zip(given.neck, wanted.neck, spread, strict=True)
    ]
    return {
        "objectness": of_objectness.sum() / total,
        "class": of_classes.sum() / total,
        "iou": _IOU * overlap / total,
        "raw": _RAW * distance / total,
        "neck": neck_weight * torch.stack(necks).mean(),
    }


def _entropy(logits: Tensor, probabilities: Tensor) -> Tensor:
    return functional.binary_cross_entropy_with_logits(logits, probabilities, reduction="none")


def _of_boxes(
    raw_BAK: Tensor, aim_BAK: Tensor, weight_BA: Tensor, size_px: tuple[int, int]
) -> tuple[Tensor, Tensor]:
    """Weighted sums of 1 - IoU, and of the smooth L1 distance of raw boxes."""
    keep = weight_BA > _BOX_WEIGHT
    boxes = [_corners(raw, size_px)[keep] for raw in (raw_BAK, aim_BAK)]
    overlap = (1 - iou_pairs(*boxes)) * weight_BA[keep]
    distance = functional.smooth_l1_loss(
        raw_BAK[..., :4][keep], aim_BAK[..., :4][keep], beta=0.5, reduction="none"
    )
    return overlap.sum(), (distance.sum(dim=1) * weight_BA[keep]).sum()


def _corners(raw_BAK: Tensor, size_px: tuple[int, int]) -> Tensor:
    # A student that has just begun may say exp(20): no such box fits any picture.
    sane = torch.cat([raw_BAK[..., :2], raw_BAK[..., 2:4].clamp(-8, 7)], dim=2)
    boxes = yolox.decode_boxes(sane, height_px=size_px[0], width_px=size_px[1])
    half = boxes[..., 2:] / 2
    return torch.cat([boxes[..., :2] - half, boxes[..., :2] + half], dim=2)
