"""A package adds a tracker, a format, a metric and a detector: the code of the pages, as it is."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from vodkit.samples.samples import CLIP_B, LABELS

pytestmark = pytest.mark.slow
CHECKOUT = Path(__file__).parents[2]
PARTS = ("tracker", "format", "metric", "detector")


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The first Python block of each page, and all entry points they name, as if installed."""
    root = tmp_path_factory.mktemp("site")
    (root / "toys").mkdir()
    (root / "toys" / "__init__.py").touch()
    points = []
    for part in PARTS:
        page = (CHECKOUT / "docs" / f"add-a-{part}.md").read_text(encoding="utf-8")
        code = re.findall(r"```python\n(.*?)```", page, re.DOTALL)[0]
        if part == "detector":  # the page's loop over a video of the reader's own
            code = code.partition("\nfor frame,")[0] + re.search(r"`(def make.*?)`", page)[1]
        (root / "toys" / f"{part}.py").write_text(code, encoding="utf-8")
        (toml,) = re.findall(r"```toml\n(.*?)```", page, re.DOTALL)
        points.append(toml.replace('[project.entry-points."', "[").replace('"]', "]"))
    info = root / "toys-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: toys\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("\n".join(points).replace('"', ""))
    return root


def run(package: Path, *words: str, code: int = 0) -> str:
    path = os.pathsep.join([str(package), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(
        [sys.executable, "-m", *words],
        capture_output=True, text=True, cwd=CHECKOUT, check=False,
        env={**os.environ, "PYTHONPATH": path},
    )  # fmt: skip
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout + done.stderr


@pytest.mark.parametrize(
    ("suite", "name"), [("trackers", "nearest"), ("formats", "toy")], ids=["tracker", "format"]
)
def test_the_contract_suite_holds_for_it(package: Path, suite: str, name: str) -> None:
    told = run(package, "pytest", "-q", f"tests/contracts/test_{suite}.py", "-k", name)
    assert int(re.search(r"(\d+) passed", told)[1]) >= 5


def test_the_command_line_takes_them(package: Path, tmp_path: Path) -> None:
    out, clip = tmp_path / "runs", str(CLIP_B)
    track = ["vodkit", "track", clip, "--tracker", "nearest", "-o"]
    assert "nothing was found" in run(package, *track, str(tmp_path / "none"), "-m", "mine")
    manifest = json.loads((tmp_path / "none" / "plaza_b" / "manifest.json").read_text())
    assert manifest["model"]["classes"] == ["person"]
    assert "mine" in run(package, "vodkit", "models")
    assert "person" in run(package, *track, str(out))
    told = run(
        package,
        "vodkit",
        "eval",
        str(LABELS),
        str(out / "plaza_b"),
        "-o",
        str(tmp_path),
        "--split",
        "test",
    )
    assert re.search(r"counted +0\.\d+ +0\.?\d* to 0\.\d+", told), told
    kept = json.loads((tmp_path / "metrics.json").read_text())["extra"]["counted"]
    assert kept["low"] <= kept["value"] <= kept["high"] < 1


def test_what_is_wrong_with_a_package_is_reported(package: Path, tmp_path: Path) -> None:
    wrong = tmp_path / "wrong-1.0.dist-info"
    wrong.mkdir()
    (wrong / "METADATA").write_text("Metadata-Version: 2.1\nName: wrong\nVersion: 1.0\n")
    clip = str(CLIP_B)

    def tried(line: str) -> str:
        (wrong / "entry_points.txt").write_text(f"[vodkit.trackers]\n{line}\n")
        words = ["track", clip, "--tracker", "odd", "-o", str(tmp_path / "run")]
        return run(tmp_path, "vodkit", *words, code=2)

    assert "package wrong (vodkit.trackers) cannot load 'odd'" in tried("odd = nowhere:ENTRY")
    assert "allowed: a pair (tracker class, its settings dataclass)" in tried("odd = json:loads")
    assert "names 'sort', as vodkit itself does" in tried("sort = json:loads")
