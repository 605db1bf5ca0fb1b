"""A split inside one recording says so in everything that is made with it."""

import json
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from vodkit.cli.main import app
from vodkit.data.settings import SplitSettings
from vodkit.data.split import merge, split_dataset
from vodkit.formats.table import read_dataset, write_dataset
from vodkit.ground.records import Dataset, LabelledVideo, TrackTable, VideoInfo
from vodkit.metrics.compare import compare, from_evaluation
from vodkit.metrics.evaluation import evaluate
from vodkit.report.page import write_report
from vodkit.report.sections import Subject

SAYS = "one recording only (a.mp4)"


@pytest.fixture
def sides(tmp_path: Path) -> Path:
    """A dataset file of one video, split into training and validation."""
    frames = np.arange(300)
    table = TrackTable(
        frames=frames, times_s=frames / 25, ids=np.ones(300), labels=np.zeros(300),
        boxes_xyxy=np.tile([1, 1, 20, 20], (300, 1)),
    )  # fmt: skip
    info = VideoInfo(path="a.mp4", width_px=64, height_px=48, rate=Fraction(25), num_frames=300)
    video = LabelledVideo(source="a.mp4", info=info, tracks=table)
    split = split_dataset(Dataset(classes=("bee",), videos=(video,)), SplitSettings(guard_s=1))
    write_dataset(merge(split), tmp_path / "split.json")
    return tmp_path / "split.json"


@pytest.mark.slow
def test_it_is_in_evaluation_comparison_and_page(sides: Path, tmp_path: Path) -> None:
    truth = read_dataset(sides).only("val")
    table = truth.videos[0].tracks
    assert table is not None
    result = evaluate(truth, {"a.mp4": table}, split="val")
    assert SAYS in result.notes[0]
    assert SAYS in result.to_json()["data"]["split_warnings"][0]
    worse = replace(table, boxes_xyxy=table.boxes_xyxy + 3)
    other = from_evaluation(evaluate(truth, {"a.mp4": worse}, split="val"), "b")
    assert SAYS in compare(from_evaluation(result, "a"), other).notes[0]
    subject = Subject(title="a", evaluation=result, predictions={"a.mp4": table}, videos={})
    write_report(tmp_path / "report.html", truth, tmp_path, [subject])
    assert SAYS in (tmp_path / "report.html").read_text(encoding="utf-8")


@pytest.mark.slow
def test_it_is_printed_by_eval_and_audit(sides: Path, tmp_path: Path) -> None:
    truth = read_dataset(sides).only("val")
    write_dataset(truth, tmp_path / "p.jsonl", "predictions")
    words = ["eval", str(sides), str(tmp_path / "p.jsonl"), "--split", "val", "--no-report"]
    done = CliRunner().invoke(app, [*words, "--out", str(tmp_path / "out")])
    assert done.exit_code == 0, done.output
    assert SAYS in done.output
    audited = CliRunner().invoke(app, ["data", "audit", str(sides), "--labels-only", "--json"])
    assert any(SAYS in one["message"] for one in json.loads(audited.output))
