"""A moving average of the weights: what is validated and saved."""

import math
from copy import deepcopy

import torch
from torch import nn

_SHARE = 0.05  # of a run, that the average reaches back over at most


def fitting_decay(most: float, num_steps: int) -> float:
    """A decay of at most ``most`` whose memory is short beside the run.

    With 0.998 the average reaches back over 500 steps; a fine-tuning of 400 would be validated on
    what it was before it learnt anything.

    >>> round(fitting_decay(0.998, 400), 3), fitting_decay(0.998, 100_000), fitting_decay(0, 400)
    (0.952, 0.998, 0)
    """
    return min(most, 1 - 1 / (_SHARE * num_steps + 1))


class Ema:
    """A copy of a network whose weights follow it slowly.

    Only what can change is averaged, so that frozen weights stay the same bit by bit. The decay
    grows from 0 with the number of updates, ``decay * (1 - exp(-updates / ramp))`` (as in YOLOX),
    so that a short training is not held back by where it began. Statistics of norms are not
    averaged; see ``norms``.
    """

    def __init__(self, module: nn.Module, *, decay: float, ramp: float) -> None:
        """``decay`` 0 makes the copy equal to the network after each update."""
        self.module = deepcopy(module).eval().requires_grad_(False)  # noqa: FBT003
        self.decay = decay
        self.ramp = ramp
        self.updates = 0

    @torch.no_grad()
    def update(self, module: nn.Module) -> None:
        """One step towards ``module``."""
        self.updates += 1
        share = 1 - self.decay * (1 - math.exp(-self.updates / self.ramp))
        pairs = zip(self.module.parameters(), module.parameters(), strict=True)
        moving = [pair for pair in pairs if pair[1].requires_grad]
        if moving:  # all at once: a loop in Python would cost as much as a small head
            torch._foreach_lerp_([own for own, _ in moving], [new for _, new in moving], share)
