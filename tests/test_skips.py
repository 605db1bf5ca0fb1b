"""In CI, a test is skipped only for devices, rights or real data that CI cannot have."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).parent.parent


@pytest.mark.slow
@pytest.mark.parametrize(
    ("reason", "code"),
    [
        ("no CUDA GPU here", 0),
        ("no camera", 0),
        ("real data not here: ../shared/data is missing beside the checkout", 0),
        ("root may write everywhere", 0),
        ("could not import 'h5py': No module named 'h5py'", 1),
        ("ffmpeg is not installed", 1),
    ],
)
@pytest.mark.parametrize("level", ["test", "module"])
def test_a_missing_package_is_a_failure(
    reason: str, code: int, level: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(os.environ, "CI", "true")
    inside = f"pytest.skip({reason!r}, allow_module_level=True)"
    indent = "    " if level == "test" else ""
    text = (
        f"import pytest\n{indent and 'def test_one():'}\n{indent}{inside}\ndef test_two(): pass\n"
    )
    (tmp_path / "test_it.py").write_text(text, encoding="utf-8")
    (tmp_path / "conftest.py").write_text(
        (CHECKOUT / "tests" / "conftest.py").read_text(encoding="utf-8"), encoding="utf-8"
    )
    words = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-c", os.devnull]
    seen = subprocess.run(
        [*words, "--rootdir", str(tmp_path), str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
    )
    # 5: nothing was run; 2: an error of collection
    assert (seen.returncode in {0, 5}) == (code == 0), seen.stdout
    assert ("may not be skipped" in seen.stdout) == (code == 1), seen.stdout
