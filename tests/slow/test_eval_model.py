"""``vodkit eval --model``: the same numbers as tracking first and measuring the files."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from vodkit.samples.samples import CLIP_B, LABELS

pytestmark = pytest.mark.slow
DOOR = [sys.executable, "-c", "from vodkit.cli.main import main; main()"]


def run(*words: object) -> str:
    done = subprocess.run(
        [*DOOR, *map(str, words)], capture_output=True, text=True, check=False, timeout=240
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def without(numbers: dict[str, Any]) -> dict[str, Any]:
    """What does not tell of the run: files, versions, and what depends on the clock."""
    detection = {k: v for k, v in numbers["detection"].items() if "stream" not in k}
    headline = [row for row in numbers["headline"] if "stream" not in row["name"]]
    return {**numbers, "about": None, "detection": detection, "headline": headline}


def test_a_model_is_measured_as_its_files_are(tmp_path: Path) -> None:
    options = ("--split", "test", "--json", "--no-report")
    at_once = json.loads(
        run("eval", LABELS, "--model", "vodkit-street", "--out", tmp_path / "a", *options)
    )
    run("track", CLIP_B, "--out", tmp_path / "runs")
    files = json.loads(run("eval", LABELS, tmp_path / "runs", "--out", tmp_path / "b", *options))
    assert without(at_once)["headline"] == without(files)["headline"]
    assert without(at_once)["data"] == without(files)["data"]
    named = {row["name"]: row["value"] for row in at_once["headline"]}
    assert named["ap50"] > 0.7
    assert at_once["data"]["num_videos"] == 1
    assert "stream" in json.dumps(at_once), "latency was measured"
    (manifest,) = (tmp_path / "a" / "predictions").glob("*/manifest.json")
    assert json.loads(manifest.read_text())["latency_s"] > 0
