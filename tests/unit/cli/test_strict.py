"""``--strict``: every command that reads foreign labels refuses those of which any is skipped."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from vodkit.cli.main import app
from vodkit.ground.account import STRICT

COMMANDS = {
    "import": ["data", "import", "{}", "-o", "out.json"],
    "stats": ["data", "stats", "{}"],
    "split": ["data", "split", "{}", "-o", "out.json"],
    "export": ["data", "export", "{}", "-f", "coco", "-o", "out.json", "--no-pictures"],
    "preview": ["data", "preview", "{}", "-o", "sheets"],
    "eval": ["eval", "{}", "results.json", "-o", "scores"],
    "tune": ["tune", "results.json", "--truth", "{}"],
    "review": ["review", "--labels", "{}", "--no-browser"],
    "train": ["train", "--data", "{}"],
    "train --appearance": ["train", "--appearance", "--data", "{}"],
    "train --temporal": ["train", "--temporal", "--data", "{}"],
}


SLOW = [name for name in COMMANDS if name.startswith("train")]  # they import torch


@pytest.mark.parametrize(
    "name",
    [
        *(one for one in COMMANDS if one not in SLOW),
        *(pytest.param(one, marks=pytest.mark.slow) for one in SLOW),
    ],
)
def test_skipped_objects_are_refused(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    things = [{"bbox": [1, 1, 9, 9]}, {"segmentation": {"size": [2, 2], "counts": [4]}}]
    common = {"image_id": 1, "category_id": 1}
    content = {
        "images": [{"id": 1, "file_name": "a.jpg", "width": 64, "height": 48}],
        "annotations": [{"id": n, **common, **one} for n, one in enumerate(things)],
        "categories": [{"id": 1, "name": "bee"}],
    }
    Path("labels.json").write_text(json.dumps(content))
    Path("results.json").write_text("[]")
    words = [word.format("labels.json") for word in COMMANDS[name]]
    done = CliRunner().invoke(app, [*words, "--strict"])
    said = " ".join(f"{done.output} {done.exception}".split())
    assert "--strict, and objects were skipped: labels.json: 1 x empty mask" in said
    assert not STRICT.get()
