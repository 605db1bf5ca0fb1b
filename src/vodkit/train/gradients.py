"""From gradients to a step of the optimizer: clipped, and only where they are finite.

With ``precision=16`` losses are scaled up, so that small gradients do not vanish in half
precision. A scale that is too large shows itself in gradients that are not finite: that step is
left out, and the scale halved (Micikevicius et al., 2018, arXiv:1710.03740, section 3.2).
"""

import math
from typing import Any

from lightning_fabric import Fabric
from lightning_fabric.plugins import MixedPrecision
from torch import nn
from torch.amp.grad_scaler import GradScaler

_LEAST_SCALE = 1e-4  # below it, it is not the scale that is at fault (so fairseq, too)


def scaler_of(fabric: Fabric) -> GradScaler | None:
    """What scales the losses, where they are."""
    precision = fabric.strategy.precision
    return precision.scaler if isinstance(precision, MixedPrecision) else None


def take_step(optimizer: Any, scaler: GradScaler | None, *, clip_norm: float) -> bool:
    """One step of an optimizer; False where it was left out.

    Args:
        optimizer: with the gradients; of a scaled loss, as Fabric has set it up.
        scaler: of the loss; it may leave the step out, and scale otherwise from now on.
        clip_norm: largest norm of the unscaled gradients; 0: any.

    Raises:
        FloatingPointError: a gradient is not finite, and no other scale would help.
    """
    if scaler is not None:
        # Not by Fabric, which does not know that fused optimizers take gradients unscaled, too.
        scaler.unscale_(optimizer.optimizer)
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    is_finite = math.isfinite(nn.utils.clip_grad_norm_(parameters, clip_norm or math.inf))
    if scaler is None:
        if not is_finite:
            raise FloatingPointError("the gradient is not finite")
        optimizer.step()
        return True
    before = scaler.get_scale()
    optimizer.step()  # the scaler's
    scale = scaler.get_scale()
    is_left_out = scale < before
    if not is_finite and (not is_left_out or scale < _LEAST_SCALE):
        raise FloatingPointError(f"the gradient is not finite, also of the loss times {before:g},")
    return not is_left_out
