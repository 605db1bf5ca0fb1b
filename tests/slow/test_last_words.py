"""A test that kills its process is named, with the line where it did."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow
CONFTEST = Path(__file__).parents[1] / "conftest.py"
TESTS = """
import ctypes

def test_lives():
    pass

def test_dies():
    ctypes.string_at(0)
"""


def test_what_killed_a_worker_is_told_at_the_end(tmp_path: Path) -> None:
    shutil.copy(CONFTEST, tmp_path)
    (tmp_path / "test_two.py").write_text(TESTS, encoding="utf-8")
    words = ["-q", "-n", "1", "--max-worker-restart", "0", "-p", "no:cacheprovider"]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *words, "."],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    told = done.stdout.split("last words of gw0")[1]
    assert "Fatal Python error: Segmentation fault" in told
    assert "in test_dies" in told
    assert "1 failed, 1 passed" in told
    assert "Extension modules" not in told
    assert "pluggy" not in told
