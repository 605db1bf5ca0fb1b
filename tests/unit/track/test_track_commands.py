"""refine, count and tune as a user calls them, on files as ``vodkit track`` writes them."""

import json
from fractions import Fraction

import pytest
import typer
from typer.testing import CliRunner

from vodkit.cli.count import count
from vodkit.cli.refine import refine
from vodkit.cli.tune import tune
from vodkit.errors import InputError, SettingsError
from vodkit.formats.predictions import Header, PredictionWriter, read_predictions
from vodkit.records import Detections, State, Tracks, VideoInfo

APP = typer.Typer()
for name, command in (("refine", refine), ("count", count), ("tune", tune)):
    APP.command(name)(command)
INFO = VideoInfo(path="a.mp4", width_px=640, height_px=480, rate=Fraction(10))


def call(*words):
    result = CliRunner().invoke(APP, [str(word) for word in words])
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == 0, result.output
    return result.output


def boxes_at(i):
    return [[100.0 + 8 * i, 100, 140 + 8 * i, 200]]


@pytest.fixture
def run_folder(tmp_path):
    """One person who crosses x = 300, with a gap and a change of id on the way."""
    folder = tmp_path / "runs" / "a"  # `runs` holds nothing else: a test looks at all of it
    folder.mkdir(parents=True)
    header = Header(source="a.mp4", classes=("person",), info=INFO, detector="d", tracker="vodkit")
    with PredictionWriter(folder / "predictions.jsonl", header) as writer:
        for i in range(50):
            found = Tracks(boxes_at(i), [0.9], [0], [1 if i < 22 else 2], [0])
            writer.write(i, i / 10, Tracks.empty() if 22 <= i < 27 else found)
    return folder


def test_refine_writes_a_file_of_its_own(run_folder):
    facts = json.loads(call("refine", run_folder, "--json"))
    assert (facts["tracks_before"], facts["tracks_after"], facts["boxes_filled"]) == (2, 1, 5)
    header, table = read_predictions(run_folder / "refined.jsonl")
    assert header.mode == "refined"
    assert int((table.states == State.FILLED).sum()) == 5
    assert read_predictions(run_folder / "predictions.jsonl")[0].mode == "online"


def test_a_folder_of_runs_is_not_a_run(run_folder):
    whole = run_folder.parent
    with pytest.raises(InputError, match=r"runs: .* runs in it: a$"):
        call("refine", whole)
    (run_folder / "empty").mkdir()
    with pytest.raises(InputError, match=r"empty: a folder without predictions.jsonl; no run"):
        call("count", run_folder / "empty", "--line", "0,0,1,1")


def test_refine_does_not_write_over_its_input(run_folder):
    path = run_folder / "predictions.jsonl"
    with pytest.raises(InputError, match="may not be one file"):
        call("refine", path, "--out", path)


def test_count_sees_through_the_change_of_id(run_folder):
    line = "door=300,0,300,480"
    assert "door: 0 in, 1 out" in call("count", run_folder, "--line", line)
    online = json.loads(call("count", run_folder, "--line", line, "--online", "--json"))
    assert online["crossings"] == []
    text = call("count", run_folder, "--zone", "all=0,0,640,0,640,480,0,480")
    assert "all: 1 objects, 1 visits, 4.9 s" in text


def test_count_says_what_is_wrong_with_a_line(run_folder):
    with pytest.raises(SettingsError, match="--line 'door=1,2,3'"):
        call("count", run_folder, "--line", "door=1,2,3")
    with pytest.raises(SettingsError, match="give --line or --zone"):
        call("count", run_folder)


def test_tune_without_labels(tmp_path):
    pytest.importorskip("optuna")
    header = Header(source="a.mp4", classes=("person",), info=INFO, detector="d")
    path = tmp_path / "detections.jsonl"
    with PredictionWriter(path, header) as writer:
        for i in range(15):
            writer.write(i, i / 10, Detections(boxes_at(i), [0.9], [0]))
    facts = json.loads(call("tune", path, "--tracker", "sort", "--trials", 3, "--json"))
    assert facts["trials"] == 3
    assert facts["score"] >= facts["score_of_defaults"] > 0.5


def test_tune_wants_detections(run_folder):
    with pytest.raises(InputError, match="tuning replays detections"):
        call("tune", run_folder, "--trials", 1)
