"""Memory while training: kept between steps, and how running out of it shows itself."""

import ctypes
import sys

import torch

# Of glibc's malloc.h.
_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
_NEVER_TRIM = 2**31 - 1
_KEEP_BELOW = 2**30  # bytes of one piece

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


def keep_freed_memory() -> bool:
    """Have the C library keep freed memory for the next step; whether it can (glibc can).

    Otherwise each feature map of each step is new memory that the system must clear first. Fills
    the same pages again instead: on two cores an epoch took three quarters of the time, for a
    tenth more memory. It holds for the whole process, so that programs call it, not the library.
    """
    if not sys.platform.startswith("linux"):  # Windows cannot even be asked like this
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:  # musl
        return False
    return bool(mallopt(_MMAP_THRESHOLD, _KEEP_BELOW) and mallopt(_TRIM_THRESHOLD, _NEVER_TRIM))
