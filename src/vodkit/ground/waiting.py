"""Waiting for other threads so that Ctrl-C ends it on every system."""

import sys
import threading
import time
from collections.abc import Callable

_SLICE_S = 0.2


def wait_until(
    condition: threading.Condition, is_met: Callable[[], bool], timeout_s: float | None = None
) -> bool:
    """``condition.wait_for``, which on Windows Ctrl-C does not interrupt: there in short slices.

    Args:
        condition: held by the caller.
        is_met: asked whenever the condition is notified.
        timeout_s: None waits without end.

    Returns:
        Whether ``is_met`` was true at the end.
    """
    if sys.platform != "win32":
        return condition.wait_for(is_met, timeout_s)
    end_s = None if timeout_s is None else time.perf_counter() + timeout_s
    while not is_met():
        left_s = _SLICE_S if end_s is None else min(_SLICE_S, end_s - time.perf_counter())
        if left_s <= 0:
            return is_met()
        condition.wait(left_s)
    return True
