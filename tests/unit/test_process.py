"""What holds for the whole process: memory that serves again, cores left to the network."""

import subprocess
import sys

import pytest

_STEPS = """
import resource, sys, torch
from vodkit.ground.process import keep_freed_memory
if sys.argv[1] == "keep":
    print(keep_freed_memory(), end=" ")
def step():
    return [torch.ones(k * 2**20) for k in (1, 9, 3, 10)]  # up to 40 MiB: made, filled, freed
step()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(10):
    step()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def faults(how: str) -> list[str]:
    done = subprocess.run(  # a process of its own: the setting holds for all of it
        [sys.executable, "-c", _STEPS, how], capture_output=True, text=True, check=True
    )
    return done.stdout.split()


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only glibc can keep memory")
def test_freed_memory_is_used_again_instead_of_asked_for_anew() -> None:
    kept, again = faults("keep")
    (anew,) = faults("no")
    if kept != "True":
        pytest.skip("this C library cannot keep freed memory")
    assert int(again) < int(anew) / 3


@pytest.mark.slow
def test_opencv_works_in_the_thread_that_calls_it() -> None:
    settle = "import cv2; from vodkit.ground import process; process.settle()"
    script = f"{settle}; print(cv2.getNumThreads())"
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "1"
