"""Which convolutions stay in float32 while a CPU trains in bfloat16."""

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

_LARGE_PX = 3


class FastConvolutions(TorchFunctionMode):
    """Within, depthwise convolutions that bfloat16 slows down compute in float32.

    The backward pass of those with a stride, or with a kernel of more than 3 px, takes 2 to 9
    times as long in bfloat16 (oneDNN, torch 2.15, docs/benchmarks/training.md).
    """

    def __torch_function__(
        self,
        func: Any,
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """The result of any function of torch."""
        named = dict(kwargs or {})
        if func is torch.conv2d and _is_slow(*args, **named):
            with torch.autocast("cpu", enabled=False):
                return torch.conv2d(args[0].float(), *args[1:], **named)
        return func(*args, **named)


def _is_slow(input: Tensor, weight: Tensor, *more: Any, **named: Any) -> bool:  # noqa: A002
    """Whether its backward pass, if there is one, is slower in bfloat16; as torch.conv2d."""
    given = (
        dict(zip(("bias", "stride", "padding", "dilation", "groups"), more, strict=False)) | named
    )
    stride = given.get("stride", 1)
    strided = (stride if isinstance(stride, int) else max(stride)) > 1
    learns = torch.is_grad_enabled() and (input.requires_grad or weight.requires_grad)
    is_depthwise = given.get("groups", 1) > 1 and input.is_cpu
    return learns and is_depthwise and (strided or max(weight.shape[2:]) > _LARGE_PX)


def fast_convolutions() -> AbstractContextManager[Any]:
    """``FastConvolutions`` where a CPU computes in lower precision, else nothing."""
    return FastConvolutions() if torch.is_autocast_enabled("cpu") else nullcontext()
