"""A machine short of memory or threads, for real: what can be done is done, or it says so."""

import json
import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from vodkit.samples.samples import LABELS

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]
_LIMIT = """
import resource
from pathlib import Path

def leave(mib):
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    limit = pages * resource.getpagesize() + mib * 2**20
    resource.setrlimit(resource.RLIMIT_AS, (limit, resource.RLIM_INFINITY))
"""
_MEMORY = """
import json, sys
import numpy as np, torch
from vodkit.train import batches, setup, validate
from vodkit.train.settings import TrainSettings

torch.set_num_threads(1)
data, out = sys.argv[1:]
sizes = []

def noting(module, name, count):
    real = getattr(module, name)
    def noted(*given):
        sizes.append(count(given))
        return real(*given)
    setattr(module, name, noted)

noting(validate, "run_graph", lambda given: len(given[1].indices))
noting(batches, "record", lambda given: len(given[2]))
wanted = dict(data=data, val_split="test", every=40, still_iou=2.0, cache_views=1, device="cpu")
free, short = (TrainSettings(out=f"{out}/{name}", **wanted) for name in ("free", "short"))
made = setup.prepare(free, torch.device("cpu"), lambda _: None)

def found(to):
    sizes.clear()
    seen = validate.validate(made.module.eval(), made.card, made.validation).result.overall
    setup.with_features(to, made, lambda _: None, name="0", epochs=2)
    stored = np.fromfile(f"{to.out}/cache/train.0.f16", np.float16)
    return seen.ap, list(sizes), stored

whole = found(free)
leave(100)
parts = found(short)
far = float(np.abs(whole[2].astype(float) - parts[2]).max())
print(json.dumps({"aps": [whole[0], parts[0]], "sizes": [whole[1], parts[1]], "far": far}))
"""
_PICTURES = """
import sys
import cv2, numpy as np
from vodkit.video.reader import open_video

path, video = Path(sys.argv[1]) / "large.png", open_video(sys.argv[2])
cv2.imwrite(str(path), np.full((8000, 8000, 3), 7, np.uint8))
readings = [  # 8000 x 8000 pixels take 183 MiB in three bytes each, 244 MiB in four
    (100, lambda: next(video.frames(size_px=(8000, 8000)))),
    (350, lambda: next(video.frames(size_px=(8000, 8000)))),
    (100, lambda: open_video(str(path))),
    (250, lambda: open_video(str(path))),
]
for mib, read in readings:
    leave(mib)
    try:
        read()
    except Exception as error:
        print(type(error).__name__, error)
"""
_THREADS = """
import sys
import torch
from vodkit.cli.main import main
from vodkit.train import loop
leave(1500)
main(sys.argv[1:])
"""


def _run(code: str, *words: str) -> "subprocess.CompletedProcess[str]":
    # Freed memory goes back at once, so that what is left does not depend on what was done before.
    told = {
        "OMP_NUM_THREADS": "1",
        "MALLOC_MMAP_THRESHOLD_": "65536",
        "MALLOC_TRIM_THRESHOLD_": "0",
    }
    return subprocess.run(
        [sys.executable, "-c", _LIMIT + code, *words],
        env=os.environ | told,
        capture_output=True,
        text=True,
        check=False,
    )


def test_validation_and_stored_features_fit_into_little_memory(tmp_path: Path) -> None:
    """In smaller parts, with the same numbers."""
    done = _run(_MEMORY, str(LABELS), str(tmp_path))
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    whole, parts = (set(sizes) for sizes in told["sizes"])
    assert parts - whole  # there were smaller ones
    assert told["aps"][0] > 0
    assert told["aps"][1] == pytest.approx(told["aps"][0], abs=1e-6)
    assert told["far"] < 0.01


def test_a_lack_of_memory_is_no_broken_video(tmp_path: Path) -> None:
    """For FFmpeg's picture and OpenCV's, and for the copies that are made of them."""
    video = LABELS.with_name("plaza_a.mp4")
    done = _run(_PICTURES, str(tmp_path), str(video))
    assert done.returncode == 0, done.stderr
    room = "no memory for a picture of 8000x8000 px"
    assert done.stdout.splitlines() == [
        *[f"MemoryError {video} at 0.000 s: {room}"] * 2,
        *[f"MemoryError {tmp_path / 'large.png'}: {room}"] * 2,
    ]


@pytest.mark.parametrize("skip_broken", ["true", "false"])
def test_a_lack_of_threads_is_no_broken_video(tmp_path: Path, skip_broken: str) -> None:
    """A stack that no thread's fits into what is left brings it about, for root as well."""
    soft, hard = resource.getrlimit(resource.RLIMIT_STACK)
    resource.setrlimit(resource.RLIMIT_STACK, (2**32, hard))  # the C library reads it at its start
    try:
        out = ("--out", str(tmp_path / "run"), "--set", f"skip_broken={skip_broken}")
        out += ("--set", "val_split=test")
        done = _run(_THREADS, "train", "--data", str(LABELS), *out)
    finally:
        resource.setrlimit(resource.RLIMIT_STACK, (soft, hard))
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1].startswith("vodkit: the machine starts no more threads")
    assert "ulimit -u" in done.stderr
