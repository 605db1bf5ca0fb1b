"""Settings of the whole process, for long work on video: programs make them, the library never."""

import ctypes
import errno
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from vodkit.ground.errors import ToldElsewhereError, VodkitError
from vodkit.ground.runs import num_cores

# Of glibc's malloc.h.
_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
_NEVER_TRIM = 2**31 - 1
_KEEP_BELOW = 2**30  # bytes of one piece


def settle() -> None:
    """Make all of them. The commands do this; do it first in programs of your own."""
    keep_freed_memory()
    leave_cores_to_the_network()


def let_waiting_threads_sleep() -> None:
    """Have OpenMP threads sleep while they wait for work; call it before torch is imported.

    By default they spin. Where another program wants the same cores, spinning threads take the
    time that the working ones need. What the user set in the environment is kept.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # GNU OpenMP
    os.environ.setdefault("KMP_BLOCKTIME", "0")  # Intel and LLVM OpenMP


def use_threads(count: int) -> None:
    """Have torch, OpenVINO and onnxruntime use ``count`` threads; call it before their import."""
    os.environ["OMP_NUM_THREADS"] = str(count)


def threads_asked() -> int:
    """Threads that ``OMP_NUM_THREADS`` asks for; 0: none, use as many as there are cores."""
    asked = os.environ.get("OMP_NUM_THREADS", "").partition(",")[0]
    return int(asked) if asked.isdecimal() else 0


def busy_note() -> str:
    """A sentence on other work that this machine does now; empty where there is little."""
    if not hasattr(os, "getloadavg"):  # Windows
        return ""
    load, cores = os.getloadavg()[0], num_cores()
    if load <= cores:
        return ""
    return f"the machine is busy: {load:.1f} running processes on {cores} cores; this will be slow"


def leave_cores_to_the_network() -> None:
    """Have OpenCV work in the thread that calls it.

    Its own threads turn in circles after each small resize, in wait for the next one: on two cores
    that was a third of all processor time that tracking takes beside the network, for nothing.
    """
    import cv2

    cv2.setNumThreads(1)


def keep_freed_memory() -> bool:
    """Have the C library keep freed memory for the next one who asks; whether it can (glibc can).

    Otherwise each picture and each feature map is new memory that the system must clear first.
    Fills the same pages again instead: on two cores an epoch took three quarters of the time, for
    a tenth more memory, and pictures are decoded in full size as fast as into memory that is given
    out again.
    """
    if not sys.platform.startswith("linux"):  # Windows cannot even be asked like this
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:  # musl
        return False
    return bool(mallopt(_MMAP_THRESHOLD, _KEEP_BELOW) and mallopt(_TRIM_THRESHOLD, _NEVER_TRIM))


def is_first_here() -> bool:
    """Whether this is the first of the processes that ``torchrun`` began on this machine, or alone.

    What is wrong with a command line or with files is so for all of them: the first one says it.
    """
    several = int(os.environ.get("LOCAL_WORLD_SIZE", "1")) > 1
    return not several or os.environ.get("LOCAL_RANK", "0") == "0"


@contextmanager
def told_once() -> Iterator[None]:
    """Within, an error is every process's of this machine: all but the first raise it as told."""
    try:
        yield
    except VodkitError as error:
        if is_first_here():
            raise
        raise ToldElsewhereError(error.exit_code) from error


def reader_is_gone(error: Exception) -> bool:
    """Whether the reader of a pipe has closed it; Windows reports that as an invalid argument."""
    on_windows = sys.platform == "win32" and getattr(error, "errno", None) == errno.EINVAL
    return isinstance(error, BrokenPipeError) or on_windows
