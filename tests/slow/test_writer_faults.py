"""A disk that fills up while a video is written: one clear error, nothing half written."""

import subprocess
import sys
from pathlib import Path

import pytest

from vodkit.ground import ledger

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform == "win32", reason="needs a limit on file sizes"),
]

# A limit on the size of files stands for the full disk: the same write fails, by another number.
PROGRAM = """
import resource, signal, sys
from fractions import Fraction
from pathlib import Path
import numpy as np
from vodkit.ground.errors import OutputError
from vodkit.video.writer import VideoWriter
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
rng = np.random.default_rng(0)
try:
    with VideoWriter(Path(sys.argv[1]), width_px=64, height_px=64, rate=Fraction(25)) as writer:
        for i in range(200):
            writer.write(rng.integers(0, 255, (64, 64, 3), np.uint8), i / 25)
except OutputError as error:
    print(error)
    sys.exit(error.exit_code)
"""


def test_a_full_disk_is_one_clear_error_and_leaves_nothing(tmp_path: Path) -> None:
    path = tmp_path / "out" / "video.mp4"
    ran = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(path)], capture_output=True, text=True, check=False
    )
    assert ran.returncode == 2, ran.stderr
    assert f"{path}: cannot write" in ran.stdout
    assert {one.name for one in path.parent.iterdir()} <= {ledger.NAME}
