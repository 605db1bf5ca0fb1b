"""refine, count and tune as a user calls them, on files as ``vodkit track`` writes them."""

import json
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
import typer
from typer.testing import CliRunner

from vodkit.cli.count import count
from vodkit.cli.refine import refine
from vodkit.cli.tune import tune
from vodkit.errors import InputError, SettingsError
from vodkit.formats.predictions import Header, PredictionWriter, read_frames, read_predictions
from vodkit.formats.table import read_dataset, write_dataset
from vodkit.metrics.evaluation import evaluate
from vodkit.records import (
    Dataset,
    Detections,
    Frame,
    LabelledVideo,
    State,
    Tracks,
    TrackTable,
    VideoInfo,
)
from vodkit.track.tune import replay

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


def test_tune_means_by_hota_what_eval_means(tmp_path):
    """Frames that nobody labelled do not count, nor do classes that the labels have not."""
    pytest.importorskip("optuna")
    header = Header(source="a.mp4", classes=("car", "person"), info=INFO, detector="d")
    path = tmp_path / "detections.jsonl"
    car = [400.0, 300, 500, 360]
    with PredictionWriter(path, header) as writer:
        for i in range(15):
            boxes = [*boxes_at(i), car] if i != 7 else [car]
            labels = [1, 0][-len(boxes) :]
            writer.write(i, i / 10, Detections(boxes, [0.9] * len(boxes), labels))
    frames = np.arange(4, 12)
    truth = TrackTable(
        frames=frames,
        times_s=frames / 10,
        ids=np.ones(8),
        boxes_xyxy=np.concatenate([boxes_at(i) for i in frames]) + 2.0,
        labels=np.zeros(8),
    )
    video = LabelledVideo(
        source="a.mp4", info=INFO, tracks=truth, labelled_frames=frames, split="val"
    )
    other = replace(video, tracks=TrackTable.empty(), split="train", labelled_frames=np.arange(3))
    data = tmp_path / "labels.json"
    write_dataset(Dataset(classes=("person",), videos=(video, other)), data)
    words = ("tune", path, "--truth", data, "--trials", 1)
    with pytest.raises(InputError, match=r"labels of 2 videos for 'a'; .* \(see --split\)"):
        call(*words)
    facts = json.loads(call(*words, "--split", "val", "--json"))
    steps = [(Frame.unseen(one.index, one.time_s, width_px=640, height_px=480), one.found)
             for one in read_frames(path)]  # fmt: skip
    tracks = replay(steps, "vodkit")
    people = tracks[tracks.labels == 1]
    found = replace(people, labels=np.zeros(len(people)))
    told = evaluate(read_dataset(data).only("val"), {"a.mp4": found})
    value = next(one.value for one in told.headline if one.name == "hota")
    assert 0.5 < value < 1
    assert facts["score_of_defaults"] == pytest.approx(value, abs=1e-9)


def test_tune_refuses_labels_of_other_classes(tmp_path):
    header = Header(source="a.mp4", classes=("car",), info=INFO, detector="d")
    path = tmp_path / "detections.jsonl"
    with PredictionWriter(path, header) as writer:
        writer.write(0, 0.0, Detections(boxes_at(0), [0.9], [0]))
    data = tmp_path / "labels.json"
    video = LabelledVideo(source="a.mp4", info=INFO, tracks=TrackTable.empty())
    write_dataset(Dataset(classes=("person",), videos=(video,)), data)
    with pytest.raises(InputError, match="classes car are none of the labels': person"):
        call("tune", path, "--truth", data)


def test_tune_wants_detections(run_folder):
    with pytest.raises(InputError, match="tuning replays detections"):
        call("tune", run_folder, "--trials", 1)
