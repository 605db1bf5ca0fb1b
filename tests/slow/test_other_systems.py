"""What other systems lack: POSIX modules, and wheels of OpenVINO and hotcoco."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from vodkit.video.synth import Scene, SceneSettings, write_scene

CODE = """
import importlib, os, pkgutil, signal, sys
for name in ("av", "cv2", "hotcoco", "uvicorn", "lightning_fabric", "matplotlib", "numpy", "PIL",
             "openvino", "rich", "scipy", "timm", "torch", "torchvision", "typer", "optuna",
             "onnxruntime", "torchvision.models.detection", "torch.utils.data", "rich.live"):
    try:
        importlib.import_module(name)
    except ImportError:
        pass
for name in ("fcntl", "resource", "pwd", "grp", "termios", "tty", "pty"):
    sys.modules[name] = None
for module, names in ((os, ("fork", "geteuid", "getloadavg", "sched_getaffinity",
                            "posix_fallocate")), (signal, ("SIGKILL", "SIGALRM", "SIGUSR1"))):
    for name in names:
        if hasattr(module, name):
            delattr(module, name)
sys.platform = sys.argv[1]
import vodkit
names = [one.name for one in pkgutil.walk_packages(vodkit.__path__, "vodkit.")]
for name in names:
    if not name.endswith("__main__"):
        importlib.import_module(name)
print(len(names))
"""


@pytest.mark.slow
@pytest.mark.parametrize("platform", ["win32", "darwin"])
def test_all_modules_import_without_posix(platform: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", CODE, platform], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert int(done.stdout) > 200


WITHOUT = """
import sys
for name in ("openvino", "hotcoco"):
    sys.modules[name] = None  # as where no wheel exists: importing it fails
from vodkit.cli.main import main
main(sys.argv[1:])
"""


@pytest.mark.slow
def test_where_openvino_and_hotcoco_are_missing_other_engines_work(tmp_path: Path) -> None:
    scene = Scene(SceneSettings(num_frames=3, width_px=96, height_px=72))
    write_scene(scene, tmp_path / "a.mp4")
    (tmp_path / "a.txt").write_text("1,1,10,10,30,40,1,1,1\n2,1,11,10,30,40,1,1,1\n")
    (tmp_path / "found").mkdir()
    (tmp_path / "found" / "a.txt").write_text("1,1,10,10,30,40,0.9,1,1\n2,1,11,10,30,40,0.9,1,1\n")
    environment = {**os.environ, "VODKIT_CACHE": str(tmp_path / "cache"), "CI": ""}
    for words, shown in (
        (["track", "a.mp4"], r"with (onnx|torch) on cpu"),
        (["data", "import", "a.txt", "--format", "mot", "-o", "a.json"], "a.json"),
        (["eval", "a.json", "found", "--json"], '"ap50": 1.0'),
    ):
        ran = subprocess.run(
            [sys.executable, "-c", WITHOUT, *words],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert ran.returncode == 0, ran.stderr
        assert re.search(shown, ran.stdout + ran.stderr), ran.stdout + ran.stderr
