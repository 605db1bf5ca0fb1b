"""Nothing is told to anybody: a first run, which converts the network, asks no other machine."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from vodkit.video.synth import Scene, SceneSettings, write_scene

pytestmark = pytest.mark.slow

PROGRAM = """
import sys
def heard(event, told):
    if event in ("os.fork", "os.posix_spawn", "socket.connect", "socket.getaddrinfo"):
        print(event, told, flush=True)
sys.addaudithook(heard)
from vodkit.cli.main import main
main(sys.argv[1:])
"""


def test_a_first_run_forks_no_process_and_opens_no_connection(tmp_path: Path) -> None:
    """OpenVINO's own telemetry does both."""
    write_scene(Scene(SceneSettings(num_frames=3, width_px=64, height_px=48)), tmp_path / "a.mp4")
    words = ["track", "a.mp4", "--runtime", "openvino", "--json"]
    ran = subprocess.run(
        [sys.executable, "-c", PROGRAM, *words],
        cwd=tmp_path,
        env={**os.environ, "VODKIT_CACHE": str(tmp_path / "cache"), "CI": ""},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    assert [line for line in ran.stdout.splitlines() if not line.startswith("{")] == []
