"""Running out of memory, on a CPU or a GPU: how it is recognised, and work in smaller parts."""

from collections.abc import Callable, Iterator
from typing import TypeVar

import torch

from vodkit.ground.errors import GPU_MEMORY_SIGNS

Made = TypeVar("Made")
# PyTorch's CPU allocator, and oneDNN where it gets no scratch space or no room for code (for
# unsupported cases its message ends with "a primitive *descriptor*").
_SIGNS = ("DefaultCPUAllocator", "could not create a memory object", *GPU_MEMORY_SIGNS)
_LAST_WORDS = "could not create a primitive"


def is_out_of_memory(error: Exception) -> bool:
    """Whether torch ran out of memory, on a CPU or a GPU.

    >>> is_out_of_memory(torch.OutOfMemoryError("CUDA out of memory"))
    True
    >>> is_out_of_memory(RuntimeError("MPS backend out of memory (MPS allocated: 5 GB)"))
    True
    >>> is_out_of_memory(RuntimeError("size of tensor a must match"))
    False
    """
    message = str(error)
    own = isinstance(error, torch.OutOfMemoryError | MemoryError)
    return own or message.endswith(_LAST_WORDS) or any(sign in message for sign in _SIGNS)


def free_gpu_memory() -> None:
    """Return cached memory to the GPU, so that smaller pieces fit."""
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    elif torch.backends.mps.is_available():
        torch.mps.empty_cache()


def fitting(
    work: Callable[[range], Made], count: int, *, most: int
) -> Iterator[tuple[range, Made]]:
    """``count`` items in parts of at most ``most``, each with what ``work`` makes of it.

    A part that does not fit into memory is halved, as are all later parts. ``work`` must treat
    each item independently of the others.

    >>> [list(part) for part, _ in fitting(len, 5, most=2)]
    [[0, 1], [2, 3], [4]]
    """
    start = 0
    while start < count:
        part = range(start, min(start + most, count))
        try:
            made = work(part)
        except (RuntimeError, MemoryError) as error:
            if len(part) == 1 or not is_out_of_memory(error):
                raise
            most = len(part) // 2
        else:
            yield part, made
            start = part.stop
            continue
        free_gpu_memory()  # outside of the handler, which keeps the tensors of the failed part
