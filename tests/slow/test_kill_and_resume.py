"""`vodkit track`, killed for real at random moments, ends with the same bytes."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from vodkit.ground import runs
from vodkit.infer.folder import RunFolder
from vodkit.samples.samples import CLIP_B

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]
NUM_KILLS = 12


def command(out: Path, *more: str) -> list[str]:
    door = [sys.executable, "-c", "from vodkit.cli.main import main; main()"]
    clip = str(CLIP_B)
    return [*door, "track", clip, "--out", str(out), "--batch-size", "2", *more]


def heed_ctrl_c() -> None:
    """Shells start jobs in the background with Ctrl-C ignored, and children take that over."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


def size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def kill_when_grown(words: list[str], file: Path, by: int, how: signal.Signals) -> int:
    """Start the command and stop it as soon as ``file`` has grown by so many bytes."""
    before = size(file)
    process = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    deadline = time.monotonic() + 120
    while process.poll() is None and size(file) < before + by and time.monotonic() < deadline:
        os.sched_yield()
    process.send_signal(how)
    process.communicate(timeout=60)
    return process.returncode


def test_killed_runs_end_with_the_same_bytes(tmp_path: Path) -> None:
    subprocess.run(command(tmp_path / "whole"), check=True, capture_output=True)
    (whole,) = (tmp_path / "whole").iterdir()
    killed = tmp_path / "killed" / whole.name
    chance = random.Random(7)
    num_killed = 0
    for _ in range(NUM_KILLS):
        by = chance.randrange(200, size(whole / runs.DETECTIONS) // 4)
        code = kill_when_grown(
            command(tmp_path / "killed", "--resume"), killed / runs.DETECTIONS, by, signal.SIGKILL
        )
        num_killed += code == -signal.SIGKILL
        if code == 0:
            break
    assert num_killed >= 3
    subprocess.run(command(tmp_path / "killed", "--resume"), check=True, capture_output=True)
    for name in (runs.DETECTIONS, runs.PREDICTIONS):
        assert (killed / name).read_bytes() == (whole / name).read_bytes()
    assert RunFolder(killed).is_complete()


def test_ctrl_c_is_one_line_and_leaves_a_run_that_goes_on(tmp_path: Path) -> None:
    folder = tmp_path / "out" / CLIP_B.stem
    process = subprocess.Popen(
        command(tmp_path / "out"),
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=heed_ctrl_c,  # noqa: PLW1509 - no threads here
    )
    while process.poll() is None and size(folder / runs.DETECTIONS) < 600:
        os.sched_yield()
    process.send_signal(signal.SIGINT)
    _, error = process.communicate(timeout=60)
    assert process.returncode == 130
    assert error.startswith("vodkit: stopped; finished work is kept\nresume with: vodkit track ")
    assert json.loads((folder / runs.MANIFEST).read_text())["ended"] in {"running", "stopped"}
    subprocess.run(command(tmp_path / "out", "--resume"), check=True, capture_output=True)
    assert json.loads((folder / runs.MANIFEST).read_text())["ended"] == "complete"


def test_a_full_disk_is_one_line_and_exit_2(tmp_path: Path) -> None:
    limited = "import resource, signal; signal.signal(signal.SIGXFSZ, signal.SIG_IGN);"
    limited += "resource.setrlimit(resource.RLIMIT_FSIZE, (20000, 20000));"
    words = command(tmp_path / "out")
    words[2] = limited + words[2]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "cannot write" in done.stderr
    (folder,) = (tmp_path / "out").iterdir()
    subprocess.run(command(tmp_path / "out", "--resume"), check=True, capture_output=True)
    assert RunFolder(folder).is_complete()
