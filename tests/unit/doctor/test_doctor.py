"""Each fault that the doctor knows is named where it exists, and only there."""

import copy
import json
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from vodkit.cli.main import main
from vodkit.doctor.causes import CODES, Cause, ordered
from vodkit.doctor.dataset import Input, dataset_causes
from vodkit.doctor.diagnose import diagnose
from vodkit.doctor.evaluation import evaluation_causes
from vodkit.doctor.tracks import tracks_causes
from vodkit.doctor.training import read_log, training_causes
from vodkit.formats.prediction_lines import Header
from vodkit.formats.predictions import Predictions, write_table
from vodkit.formats.table import write_dataset
from vodkit.ground.account import Account, Skipped
from vodkit.ground.errors import FormatError, InputError
from vodkit.ground.records import Dataset, LabelledVideo, State, TrackTable, VideoInfo
from vodkit.infer.manifest import Ended, Manifest

NETWORK = Input(model="net", width_px=416, height_px=416)


def table(num_frames=60, *, side=60.0, step=1.0, labels=(0, 1), every=1, **more) -> TrackTable:
    """One object for each label, all moving to the right."""
    frames = np.repeat(np.arange(num_frames), len(labels))
    rows = np.tile(np.arange(len(labels)), num_frames)
    x, y = 100 + frames * step, 100.0 + 150 * rows
    return TrackTable(
        frames=frames * every,
        times_s=frames * every / 10,
        ids=1 + rows,
        boxes_xyxy=np.stack([x, y, x + side, y + side], axis=1),
        labels=np.asarray(labels)[rows],
        **more,
    )


def video(name: str, split: str, tracks: TrackTable, **more) -> LabelledVideo:
    info = VideoInfo(path=name, width_px=640, height_px=480, rate=Fraction(10), num_frames=9000)
    return LabelledVideo(source=name, info=info, tracks=tracks, split=split, **more)


def dataset(**change) -> Dataset:
    """Sound: 600 boxes of each class in five recordings, and 60 to test on."""
    training = [video(f"{n}.mp4", "train", table(120)) for n in range(5)]
    videos = {"train": training, "test": [video("t.mp4", "test", table(60))], **change}
    return Dataset(
        classes=("bee", "fly"), videos=tuple(one for side in videos.values() for one in side)
    )


def codes(causes) -> set[str]:
    return {one.code for one in causes}


def test_a_sound_dataset_has_no_causes():
    assert dataset_causes(dataset(), NETWORK)[0] == []


FAULTY = {
    "few-labels": lambda: dataset(train=[video(f"{n}.mp4", "train", table(20)) for n in range(5)]),
    "few-recordings": lambda: dataset(train=[video("a.mp4", "train", table(600))]),
    "tiny-objects": lambda: dataset(
        train=[video(f"{n}.mp4", "train", table(120, side=12.0, step=0.2)) for n in range(5)]
    ),
    "new-class": lambda: dataset(
        train=[video(f"{n}.mp4", "train", table(120, labels=(0,))) for n in range(5)]
    ),
    "few-test-labels": lambda: dataset(test=[video("t.mp4", "test", table(5))]),
    "leak": lambda: dataset(test=[video("0.mp4", "test", table(60))]),
    "low-frame-rate": lambda: dataset(
        train=[video(f"{n}.mp4", "train", table(120, step=45.0)) for n in range(5)]
    ),
    "rare-class": lambda: dataset(
        train=[
            *[video(f"{n}.mp4", "train", table(2000, labels=(0,), step=0.1)) for n in range(5)],
            *[video(f"r{n}.mp4", "train", table(110, labels=(1,))) for n in range(3)],
        ]
    ),
    "skipped-labels": lambda: replace(
        dataset(),
        accounts=(
            Account(
                file="a", format="cvat", contained=100, kept=60,
                skipped={"point": Skipped(count=40, first="a:1")},
            ),
        ),
    ),
}  # fmt: skip


@pytest.mark.parametrize("code", FAULTY)
def test_a_dataset_with_one_fault_has_one_cause(code):
    found, _ = dataset_causes(FAULTY[code](), NETWORK)
    assert codes(found) == {code}


def test_warnings_of_the_split_are_a_leak():
    tagged = [video("t.mp4", "test", table(60), tags={"split_warning": "one recording only"})]
    (cause,) = dataset_causes(dataset(test=tagged), NETWORK)[0]
    assert cause.code == "leak"
    assert "one recording only" in cause.seen


def log(*aps: float, loss=None, **more) -> list[dict[str, float]]:
    losses = loss or [4 - 0.2 * n for n in range(len(aps))]
    return [
        {
            "epoch": n + 1,
            "loss": losses[n],
            "wait": 0.01,
            "ap": ap,
            "ap50": min(1.4 * ap, 1),
            **more,
        }
        for n, ap in enumerate(aps)
    ]


SOUND = (0.3, 0.5, 0.6, 0.64, 0.65, 0.651, 0.65, 0.652, 0.651)


def test_a_sound_training_has_no_causes():
    assert training_causes(log(*SOUND))[0] == []


@pytest.mark.parametrize(
    ("code", "rows"),
    [
        ("still-rising", log(0.1, 0.2, 0.3, 0.35, 0.4, 0.45, 0.5, 0.55, 0.6)),
        ("overfit", log(0.3, 0.5, 0.65, 0.6, 0.58, 0.55, 0.5, 0.5, 0.48)),
        ("diverged", log(*SOUND, loss=[3, 3, 2, 4, 5, 6, 7, 8, 9.0])),
        ("diverged", log(*SOUND, loss=[3, 3, 2, 2, 2, 2, 2, 2, float("nan")])),
        ("waiting", log(*SOUND, wait=0.6)),
        ("memory", log(*SOUND, halvings=2.0)),
        ("loose-boxes", log(*[0.4 * ap for ap in SOUND], ap50=0.9)),
    ],
)
def test_a_training_with_one_fault_has_one_cause(code, rows):
    assert codes(training_causes(rows)[0]) == {code}


def metrics() -> dict:
    """What a sound evaluation leaves, as far as the doctor reads it."""
    loss = dict.fromkeys(
        ("class", "localisation", "both", "duplicate", "background", "missed"), 0.01
    )
    return {
        "about": {"audit": "no findings"},
        "data": {"num_tracks": 10, "split_warnings": []},
        "settings": {"min_score": 0.5},
        "detection": {
            "coco": {"overall": {"ap": 0.6, "ap50": 0.9}},
            "errors": {"ap_loss": loss},
            "calibration": {"expected_error": 0.05},
            "curves": {"fly": {"best_threshold": 0.45}},
        },
        "tracking": {
            "overall": {
                "counts": {"clear": {"idsw": 2}},
                "hota": {"det_a": 0.7, "ass_a": 0.7},
            }
        },
    }


def test_a_sound_evaluation_has_no_causes():
    assert evaluation_causes(metrics())[0] == []


@pytest.mark.parametrize(
    ("code", "path", "value"),
    [
        ("confused-classes", "detection.errors.ap_loss.class", 0.3),
        ("loose-boxes", "detection.errors.ap_loss.localisation", 0.3),
        ("missed", "detection.errors.ap_loss.missed", 0.3),
        ("false-alarms", "detection.errors.ap_loss.background", 0.3),
        ("loose-boxes", "detection.coco.overall.ap", 0.2),
        ("uncalibrated", "detection.calibration.expected_error", 0.4),
        ("threshold", "detection.curves.fly.best_threshold", 0.05),
        ("leak", "about.audit", "1 error: leak"),
        ("leak", "data.split_warnings", ["one recording only"]),
        ("id-switches", "tracking.overall.counts.clear.idsw", 40),
    ],
)
def test_an_evaluation_with_one_fault_has_one_cause(code, path, value):
    content = copy.deepcopy(metrics())
    *outer, last = path.split(".")
    inner = content
    for name in outer:
        inner = inner[name]
    inner[last] = value
    assert codes(evaluation_causes(content)[0]) == {code}


def predictions(tracks: TrackTable) -> Predictions:
    info = VideoInfo(path="a.mp4", width_px=640, height_px=480, rate=Fraction(10))
    header = Header(source="a.mp4", classes=("bee", "fly"), info=info, tracker="vodkit")
    clock = {int(f): float(t) for f, t in zip(tracks.frames, tracks.times_s, strict=True)}
    return Predictions(header=header, table=tracks, clock=clock or {0: 0.0}, num_unconfirmed=0)


def with_states(share: float) -> TrackTable:
    states = np.where(np.arange(120) < 120 * share, State.PREDICTED, State.OBSERVED)
    return table(60, scores=np.full(120, 0.8), states=states)


def broken() -> TrackTable:
    """Every second: the object of each label gets another id."""
    sound = table(60, scores=np.full(120, 0.8))
    return replace(sound, ids=sound.ids + 2 * (sound.frames // 10))


TRACKS = {
    "nothing-found": lambda: (with_states(0)[np.zeros(120, np.bool_)], None),
    "blinking": lambda: (with_states(0.6), None),
    "low-scores": lambda: (table(60, scores=np.full(120, 0.15)), None),
    "tiny-objects": lambda: (table(60, side=12.0, step=0.2, scores=np.full(120, 0.8)), None),
    "low-frame-rate": lambda: (table(8, step=45.0, scores=np.full(16, 0.8)), None),
    "broken-tracks": lambda: (broken(), None),
    "incomplete": lambda: (with_states(0), Manifest(source="a", ended=Ended.BROKEN, reason="full")),
    "truncated": lambda: (
        with_states(0),
        Manifest(source="a", ended=Ended.COMPLETE, summary={"num_truncated": 3}),
    ),
}


@pytest.mark.parametrize("code", TRACKS)
def test_tracks_with_one_fault_have_one_cause(code):
    tracks, manifest = TRACKS[code]()
    assert codes(tracks_causes(predictions(tracks), manifest, NETWORK)[0]) == {code}


def test_sound_tracks_have_no_causes():
    done = Manifest(source="a", ended=Ended.COMPLETE)
    assert tracks_causes(predictions(with_states(0.1)), done, NETWORK)[0] == []


def test_every_cause_is_seen_by_a_test():
    tested = {*FAULTY, *TRACKS, "still-rising", "overfit", "diverged", "waiting", "memory"}
    tested |= {"loose-boxes", "confused-classes", "missed", "false-alarms", "uncalibrated"}
    assert tested | {"threshold", "id-switches"} == set(CODES)


def test_the_most_likely_is_first_and_codes_break_ties():
    made = [Cause(code=code, weight=weight, seen="", advice="") for code, weight in
            (("truncated", 0.5), ("leak", 0.5), ("missed", 0.9))]  # fmt: skip
    assert [one.code for one in ordered(made)] == ["missed", "leak", "truncated"]


@pytest.mark.slow
def test_the_command_reads_a_dataset_a_training_and_tracks(tmp_path: Path, capsys):
    data = tmp_path / "data.json"
    write_dataset(FAULTY["few-labels"](), data, "cocovid")
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "settings.toml").write_text(f"data = {json.dumps(str(data))}\n")
    (folder / "log.csv").write_text("epoch,loss,ap,ap50\n1,4,,\n2,3,0.5,0.7\n")
    run = tmp_path / "run"
    run.mkdir()
    low = predictions(TRACKS["low-scores"]()[0])
    write_table(run / "predictions.jsonl", low.header, low.table, low.clock, times_s=low.clock)
    found = {}
    for path in (data, folder, run):
        with pytest.raises(SystemExit) as left:
            main(["doctor", str(path), "--json"])
        assert not left.value.code
        answer = json.loads(capsys.readouterr().out)
        found[answer["kind"]] = [cause["code"] for cause in answer["causes"]]
    assert set(found["dataset"]) == set(found["training"]) == {"few-labels"}
    assert found["tracks"] == ["low-scores"]


@pytest.mark.slow
def test_the_command_prints_evidence_and_advice(tmp_path: Path, capsys):
    data = tmp_path / "data.json"
    write_dataset(FAULTY["few-labels"](), data, "cocovid")
    with pytest.raises(SystemExit):
        main(["doctor", str(data)])
    out = capsys.readouterr().out
    assert "1. few-labels" in out
    assert "100 boxes" in out
    assert "do: label" in out


def test_paths_that_are_nothing_are_refused(tmp_path: Path):
    with pytest.raises(InputError, match="does not exist"):
        diagnose(tmp_path / "no")
    (tmp_path / "log.csv").write_text("epoch,loss\n1,x\n")
    with pytest.raises(FormatError, match="not the log"):
        read_log(tmp_path / "log.csv")
    (tmp_path / "metrics.json").write_text("{}")
    (tmp_path / "log.csv").unlink()
    with pytest.raises(FormatError, match="not the numbers"):
        diagnose(tmp_path)
