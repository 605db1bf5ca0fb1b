"""How running out of memory shows itself while training."""

from collections.abc import Callable, Iterator
from typing import TypeVar

import torch

Made = TypeVar("Made")
# Of PyTorch's CPU allocator, and of oneDNN where it cannot get its scratch space or room for code
# (of what it does not know it speaks of a primitive *descriptor*).
_SIGNS = ("DefaultCPUAllocator", "could not create a memory object", "CUBLAS_STATUS_ALLOC_FAILED")
_LAST_WORDS = "could not create a primitive"


def is_out_of_memory(error: RuntimeError | MemoryError) -> bool:
    """Whether torch ran out of memory, on a CPU or a GPU.

    >>> is_out_of_memory(torch.OutOfMemoryError("CUDA out of memory"))
    True
    >>> is_out_of_memory(RuntimeError("size of tensor a must match"))
    False
    """
    told = str(error)
    own = isinstance(error, torch.OutOfMemoryError | MemoryError)
    return own or told.endswith(_LAST_WORDS) or any(sign in told for sign in _SIGNS)


def fitting(
    work: Callable[[range], Made], count: int, *, most: int
) -> Iterator[tuple[range, Made]]:
    """``count`` things in parts of at most ``most``, each with what ``work`` makes of it.

    A part that memory does not suffice for is halved, and so are those after it. It is for work
    that makes of each thing what it would make of it alone.

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
            continue
        yield part, made
        start = part.stop
