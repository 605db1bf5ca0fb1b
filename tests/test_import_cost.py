"""Importing vodkit, and everything that does not need torch, never waits for torch."""

import subprocess
import sys

import pytest

LIGHT = [
    "vodkit",
    "vodkit.ground.records",
    "vodkit.cli.main",
    "vodkit.track.table",
    "vodkit.metrics.evaluation",
    "vodkit.formats.table",
    "vodkit.report.page",
    "vodkit.infer.flow",
]


@pytest.mark.parametrize("module", LIGHT)
def test_import_is_silent_and_without_torch(module: str) -> None:
    code = (
        f"import sys, {module}; bad = {{'torch', 'torchvision', 'matplotlib', 'openvino', 'timm'}};"
        "print(sorted(bad & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "[]"
    assert done.stderr == ""
