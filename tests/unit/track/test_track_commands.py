"""refine, count and tune as a user calls them, on files as ``vodkit track`` writes them."""

import json
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
import typer
from typer.testing import CliRunner

from vodkit.cli.count import count
from vodkit.cli.refine import note_incomplete, refine
from vodkit.cli.tune import tune
from vodkit.formats.predictions import Header, PredictionWriter, read_frames, read_predictions
from vodkit.formats.table import read_dataset, write_dataset
from vodkit.ground.errors import InputError, OutputError, SettingsError
from vodkit.ground.records import (
    Dataset,
    Detections,
    Frame,
    LabelledVideo,
    State,
    Tracks,
    TrackTable,
    VideoInfo,
)
from vodkit.infer.tune import replay
from vodkit.metrics.evaluation import evaluate

APP = typer.Typer()
for name, command in (("refine", refine), ("count", count), ("tune", tune)):
    APP.command(name)(command)
INFO = VideoInfo(path="a.mp4", width_px=640, height_px=480, rate=Fraction(10))


def call(*words):
    result = CliRunner().invoke(APP, [str(word) for word in words])
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == 0, result.output
    return result.stdout  # notes are on stderr


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
    refined = read_predictions(run_folder / "refined.jsonl")
    header, table = refined.header, refined.table
    assert header.mode == "refined"
    assert int((table.states == State.FILLED).sum()) == 5
    assert read_predictions(run_folder / "predictions.jsonl").header.mode == "online"


def test_a_folder_of_runs_is_not_a_run(run_folder):
    whole = run_folder.parent
    with pytest.raises(InputError, match=r"runs: .* runs in it: a$"):
        call("refine", whole)
    (run_folder / "empty").mkdir()
    with pytest.raises(InputError, match=r"empty: a folder without predictions.jsonl; no run"):
        call("count", run_folder / "empty", "--line", "0,0,1,1")


def test_refine_does_not_write_over_its_input(run_folder):
    path = run_folder / "predictions.jsonl"
    with pytest.raises(InputError, match="cannot replace the file"):
        call("refine", path, "--out", path)


def test_count_sees_through_the_change_of_id(run_folder):
    line = "door=300,0,300,480"
    assert "door (in: left in the picture): 0 in, 1 out" in call(
        "count", run_folder, "--line", line
    )
    online = json.loads(call("count", run_folder, "--line", line, "--online", "--json"))
    assert online["crossings"] == []
    text = call("count", run_folder, "--zone", "all=0,0,640,0,640,480,0,480")
    assert "all: 1 object, 1 visit, 4.9 s" in text


def test_count_tells_each_class_by_its_name_and_all_together_as_such(tmp_path):
    folder = tmp_path / "a"
    folder.mkdir()
    header = Header(source="a.mp4", classes=("person", "dog", "car"), info=INFO, tracker="vodkit")
    with PredictionWriter(folder / "predictions.jsonl", header) as writer:
        for i in range(40):  # two persons go to the right, one car to the left, slower
            x = [100 + 8 * i, 100 + 8 * i, 380 - 4 * i]
            found = [[x, y, x + 40, y + 90] for x, y in zip(x, (20, 140, 260), strict=True)]
            writer.write(i, i / 10, Tracks(found, [0.9] * 3, [0, 0, 2], [1, 2, 3], [0] * 3))
    zone = "yard=0,0,640,0,640,480,0,480"
    said = call("count", folder, "--line", "door=300,0,300,480", "--zone", zone, "--online")
    assert said.splitlines() == [
        "door (in: left in the picture), all classes: 1 in, 2 out",
        "  person: 0 in, 2 out",
        "  car: 1 in, 0 out",
        "yard, all classes: 3 objects, 3 visits, 3.9 s each on average",
        "  person: 2 objects, 2 visits, 3.9 s each on average",
        "  car: 1 object, 1 visit, 3.9 s each on average",
    ]
    nothing = call("count", folder, "--line", "9,0,9,480")
    assert nothing == "line0 (in: left in the picture), all classes: 0 in, 0 out\n"


def test_count_says_what_is_wrong_with_a_line(run_folder):
    with pytest.raises(SettingsError, match="--line 'door=1,2,3'"):
        call("count", run_folder, "--line", "door=1,2,3")
    with pytest.raises(SettingsError, match="give --line or --zone"):
        call("count", run_folder)


def write_run(folder, frames, *, tracker="vodkit", name="predictions.jsonl"):
    """A predictions file of (frame, time_s, found)."""
    folder.mkdir(parents=True, exist_ok=True)
    header = Header(source="a.mp4", classes=("person",), info=INFO, detector="d", tracker=tracker)
    with PredictionWriter(folder / name, header) as writer:
        for frame in frames:
            writer.write(*frame)
    return folder


def test_refined_tracks_keep_the_times_of_a_video_of_variable_rate(tmp_path):
    """Filled boxes are where the object was by the clock, and empty frames keep their times."""
    times_s = np.cumsum([0.1] * 30 + [0.3, 0.02, 0.02, 0.02, 0.1] + [0.1] * 25)
    frames = []
    for i, time_s in enumerate(times_s.tolist()):
        x = 100 + 50 * time_s
        found = Tracks([[x, 100, x + 40, 200]], [0.9], [0], [1], [0])
        frames.append((i, time_s, Tracks.empty() if 30 <= i < 34 or i > 50 else found))
    folder = write_run(tmp_path / "a", frames)
    call("refine", folder, "--json")
    refined = list(read_frames(folder / "refined.jsonl"))
    assert [frame.time_s for frame in refined] == times_s.tolist()
    for frame in refined[:51]:
        assert frame.found.boxes_xyxy[0, 0] == pytest.approx(100 + 50 * frame.time_s, abs=0.01)


def test_a_tracks_first_boxes_count_and_one_never_confirmed_does_not(tmp_path):
    frames = []
    for i in range(20):
        first, never = [280 + 8 * i, 100, 320 + 8 * i, 200], [280 + 8 * i, 300, 320 + 8 * i, 400]
        tentative = [i < 4, True]
        frames.append((i, i / 10, Tracks([first, never], [0.9, 0.9], [0, 0], [1, 2], [0, 0],
                                         tentative=tentative)))  # fmt: skip
    folder = write_run(tmp_path / "a", frames)
    line, zone = "door=310,0,310,480", "hall=0,0,640,0,640,480,0,480"
    for more in ([], ["--online"]):
        said = call("count", folder, "--line", line, "--zone", zone, *more)
        assert said.splitlines() == [
            "door (in: left in the picture): 0 in, 1 out",
            "hall: 1 object, 1 visit, 1.9 s each on average",
        ]
    assert json.loads(call("refine", folder, "--json"))["tracks_before"] == 1


def test_what_has_no_tracks_or_several_files_is_not_counted_as_nothing(run_folder, tmp_path):
    found = Detections([[1, 2, 30, 40]], [0.9], [0])
    alone = write_run(tmp_path / "d", [(0, 0.0, found)], tracker="")
    with pytest.raises(InputError, match="detections without tracks"):
        call("count", alone, "--line", "100,0,100,300")
    write_run(run_folder, [(0, 0.0, Tracks.empty())], name="predictions-0002.jsonl")
    with pytest.raises(
        InputError, match=r"2 files of predictions, of a live run; give one of them"
    ):
        call("count", run_folder, "--line", "100,0,100,300")
    call("refine", run_folder / "predictions-0002.jsonl")
    assert (run_folder / "refined-0002.jsonl").exists()


def test_numbers_of_a_part_of_a_video_say_so(run_folder, capsys):
    manifest = run_folder / "manifest.json"
    manifest.write_text('{"source": "a.mp4", "ended": "broken off: a.mp4 at 5 s: torn"}')
    note_incomplete(run_folder / "predictions.jsonl")
    assert "is incomplete; its run is broken: a.mp4 at 5 s: torn" in capsys.readouterr().err
    manifest.write_text('{"source": "a.mp4", "ended": "complete"}')
    note_incomplete(run_folder / "predictions.jsonl")
    assert capsys.readouterr().err == ""


def test_refine_writes_over_nothing_but_refined_tracks(run_folder):
    labels = run_folder / "labels.json"
    labels.write_text("precious")
    with pytest.raises(OutputError, match="exists and is not a refined-tracks file"):
        call("refine", run_folder, "--out", labels)
    assert labels.read_text() == "precious"
    call("refine", run_folder)
    call("refine", run_folder)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--line", "door=1,2,nan,4"], "expected .name=.x1,y1"),
        (["--line", "a=1,2,3,4", "--line", "a=5,6,7,8"], "name a exists already"),
        (["--line", "700,0,700,300"], "is not in the picture of 640x480 pixels"),
        (["--zone", "0.1,0.1,0.9,0.1,0.9,0.9"], "is not in the picture of 640x480 pixels"),
        (["--zone", "hall=1,2,30,40"], "zone hall has 2 corners; at least 3"),
    ],
)
def test_lines_and_zones_that_nothing_could_cross_are_refused(run_folder, words, message):
    with pytest.raises(SettingsError, match=message):
        call("count", run_folder, *words)


def test_a_zone_that_nobody_was_in_has_no_mean(run_folder):
    assert call("count", run_folder, "--zone", "z=0,0,9,0,9,9") == "z: 0 objects, 0 visits\n"


@pytest.fixture
def detected(tmp_path):
    """The run folder of ``vodkit detect``, with one person who walks."""
    header = Header(source="a.mp4", classes=("person",), info=INFO, detector="d")
    folder = tmp_path / "runs" / "d"
    folder.mkdir(parents=True)
    with PredictionWriter(folder / "predictions.jsonl", header) as writer:
        for i in range(15):
            writer.write(i, i / 10, Detections(boxes_at(i), [0.9], [0]))
    return folder


def test_tune_without_labels(detected):
    pytest.importorskip("optuna")
    facts = json.loads(call("tune", detected, "--tracker", "sort", "--trials", 3, "--json"))
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


def test_tune_refuses_a_split_without_labels(detected):
    """It would be left aside, and all clips tuned on."""
    with pytest.raises(SettingsError, match="--split is 'val', but no labels are given"):
        call("tune", detected, "--split", "val", "--trials", 1)


def test_tune_counts_no_run_twice(detected):
    """A folder and the file in it are one run; given both, it would weigh as much as two."""
    file = detected / ".." / "d" / "predictions.jsonl"
    with pytest.raises(InputError, match=r"runs/d/\.\./d/predictions\.jsonl: is given twice"):
        call("tune", detected, file, "--trials", 1)
