"""Every module can be imported where POSIX is missing."""

import subprocess
import sys

import pytest

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
