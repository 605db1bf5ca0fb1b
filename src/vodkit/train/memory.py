"""How running out of memory shows itself while training."""

import torch

# Of PyTorch's CPU allocator, and of oneDNN where it cannot get its scratch space.
_SIGNS = ("DefaultCPUAllocator", "could not create a memory object", "CUBLAS_STATUS_ALLOC_FAILED")


def is_out_of_memory(error: RuntimeError) -> bool:
    """Whether torch ran out of memory, on a CPU or a GPU.

    >>> is_out_of_memory(torch.OutOfMemoryError("CUDA out of memory"))
    True
    >>> is_out_of_memory(RuntimeError("size of tensor a must match"))
    False
    """
    told = str(error)
    return isinstance(error, torch.OutOfMemoryError) or any(sign in told for sign in _SIGNS)
