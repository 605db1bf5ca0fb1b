"""The optimizer and its learning rates: one group a stage, warm-up, then half a cosine."""

import math
from typing import Any

import torch
from torch import nn

from vodkit.detect.base import ModelCard
from vodkit.ground.errors import SettingsError
from vodkit.train.freeze import STAGES, parameters_by_stage

OPTIMIZERS = ("adamw", "sgd")
_SGD_MOMENTUM = 0.9


def make_optimizer(
    module: nn.Module,
    card: ModelCard,
    *,
    name: str,
    lr: float,
    weight_decay: float,
    stage_lr_ratio: float,
) -> torch.optim.Optimizer:
    """AdamW, or SGD with Nesterov momentum, over all parameters, frozen ones included.

    Neck and head learn at ``lr``; each stage below at ``stage_lr_ratio`` of the one above
    (discriminative rates: Howard and Ruder, 2018, arXiv:1801.06146). Biases and the weights of
    norms are not decayed.
    """
    groups: list[dict[str, Any]] = []
    for stage, pairs in parameters_by_stage(module, card).items():
        rate = lr * stage_lr_ratio ** max(STAGES.index("neck") - STAGES.index(stage), 0)
        for decays in (True, False):
            chosen = [p for _, p in pairs if (p.ndim > 1) == decays]
            if chosen:
                decay = weight_decay if decays else 0.0
                groups.append(
                    {"params": chosen, "base_lr": rate, "lr": rate, "weight_decay": decay}
                )
    if name == "adamw":
        return torch.optim.AdamW(groups, fused=True)
    if name == "sgd":
        return torch.optim.SGD(groups, momentum=_SGD_MOMENTUM, nesterov=True, fused=True)
    raise SettingsError(f"optimizer is {name!r}; allowed: {', '.join(OPTIMIZERS)}")


def lr_factor(step: int, *, num_steps: int, warmup_steps: int, final_ratio: float) -> float:
    """What learning rates are multiplied with: up in a line, down along half a cosine.

    >>> [round(lr_factor(s, num_steps=5, warmup_steps=2, final_ratio=0.0), 3) for s in range(5)]
    [0.5, 1.0, 1.0, 0.75, 0.25]
    """
    if step < warmup_steps:
        return (step + 1) / warmup_steps
    done = (step - warmup_steps) / max(num_steps - warmup_steps, 1)
    return final_ratio + (1 - final_ratio) * (1 + math.cos(math.pi * min(done, 1))) / 2


def set_rates(optimizer: torch.optim.Optimizer, factor: float) -> float:
    """Set every group's rate for the coming step; the largest of them."""
    for group in optimizer.param_groups:
        group["lr"] = group["base_lr"] * factor
    return max(float(group["lr"]) for group in optimizer.param_groups)
