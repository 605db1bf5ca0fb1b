"""What an export needs is named before any work."""

from pathlib import Path
from typing import Any

import pytest

from vodkit.detect import export
from vodkit.ground.errors import SettingsError


@pytest.mark.parametrize("missing", ["onnx", "onnxruntime"])
def test_an_onnx_export_names_the_extra(
    missing: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(export, "find_spec", lambda name: None if name == missing else object())
    wanted: Any = None  # nothing is asked of it
    with pytest.raises(SettingsError, match=r"vodkit\[onnx\]"):
        export.write_onnx(wanted, tmp_path / "a.onnx")
