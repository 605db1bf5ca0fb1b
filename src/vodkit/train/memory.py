"""How running out of memory shows itself while training."""

import torch

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
