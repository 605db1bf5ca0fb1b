"""Every family learns, one clip by heart, and a run survives being killed or shared out."""

import csv
import json
import os
import signal
import subprocess
import sys
from fractions import Fraction
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch

from vodkit.data.transforms import Augment
from vodkit.detect.checkpoint import load_checkpoint
from vodkit.detect.models import load_detector
from vodkit.formats.table import write_dataset
from vodkit.ground.records import Dataset, LabelledVideo, TrackTable, VideoInfo
from vodkit.train.loop import train
from vodkit.train.settings import TrainSettings
from vodkit.video.reader import open_video

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]
SIDE, FRAMES = 96, 8


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eight frames with a bright and a dark square on grey, as train and as val split."""
    folder = tmp_path_factory.mktemp("clip")
    rng = np.random.default_rng(0)
    rows: list[tuple[int, int, tuple[int, int, int, int]]] = []
    for split in ("train", "val"):
        (folder / split).mkdir()
    for i in range(FRAMES):
        image = rng.integers(90, 110, (SIDE, SIDE, 3), dtype=np.uint8)
        for label, (x, y, grey) in enumerate([(4 + 5 * i, 10, 250), (60 - 5 * i, 56, 0)]):
            image[y : y + 30, x : x + 30] = grey
            rows.append((i, label, (x, y, x + 30, y + 30)))
        for split in ("train", "val"):
            cv2.imwrite(str(folder / split / f"{i}.png"), image)
    frames = np.array([row[0] for row in rows])
    tracks = TrackTable(
        frames=frames,
        times_s=frames / 10,
        ids=np.array([row[1] for row in rows]) + 1,
        boxes_xyxy=np.array([row[2] for row in rows]),
        labels=np.array([row[1] for row in rows]),
    )
    info = VideoInfo(path="c", width_px=SIDE, height_px=SIDE, rate=Fraction(10), num_frames=FRAMES)
    videos = tuple(
        LabelledVideo(source=split, info=info, tracks=tracks, split=split)
        for split in ("train", "val")
    )
    write_dataset(Dataset(classes=("bright", "dark"), videos=videos), folder / "clip.json")
    return folder / "clip.json"


# model: learning rate and epochs of one step each; beginning with random weights, norms included
FROM_NOTHING = {
    "yolox_nano": (5e-3, 100),
    "ssdlite320_mobilenet_v3_large": (2e-3, 30),
}


def by_heart(clip: Path, out: Path, **other: Any) -> TrainSettings:
    return TrainSettings(
        data=str(clip),
        out=str(out),
        freeze="none",
        stage_lr_ratio=1.0,
        augment=Augment.none(),
        ema_decay=0.9,
        val_every=10_000,
        save_every_s=1e9,
        width_px=128,
        height_px=128,
        **other,
    )


def test_a_clip_is_learnt_by_heart(clip: Path, tmp_path: Path) -> None:
    result = train(by_heart(clip, tmp_path, model="vodkit-street", lr=5e-3, epochs=60))
    assert result.ap is not None
    assert result.ap > 0.95, result
    detector = load_detector(result.checkpoint, runtime="torch", score_threshold=0.5)
    with open_video(clip.parent / "val") as video:
        found = detector.detect([video.frame_at(3)])[0]
    assert sorted(found.labels) == [0, 1]
    typical = detector.card.typical_scores
    assert set(typical) == set(detector.classes)
    for label, score in zip(found.labels, found.scores, strict=True):
        assert typical[detector.classes[label]] == pytest.approx(score, abs=0.15)


@pytest.mark.parametrize("model", FROM_NOTHING)
def test_random_weights_learn_a_clip_by_heart(clip: Path, tmp_path: Path, model: str) -> None:
    """The larger families do so in benchmarks/finetune_overfit.py."""
    lr, epochs = FROM_NOTHING[model]
    result = train(by_heart(clip, tmp_path, model=model, weights="random", lr=lr, epochs=epochs))
    assert result.ap is not None
    assert result.ap > 0.95, result


def test_two_stages_begin_to_learn(clip: Path, tmp_path: Path) -> None:
    """What a laptop can afford of Faster R-CNN in a test."""
    name = "fasterrcnn_mobilenet_v3_large_320_fpn"
    few: dict[str, Any] = {"epochs": 12, "proposals": 64}
    train(by_heart(clip, tmp_path, model=name, weights="random", lr=1e-3, **few))
    with (tmp_path / "log.csv").open(encoding="utf-8") as file:
        losses = [float(row["loss"]) for row in csv.DictReader(file)]
    assert losses[-1] < 0.8 * losses[0], losses


SMALL: dict[str, Any] = {
    "model": "yolox_nano",
    "weights": "random",
    "width_px": 64,
    "height_px": 64,
    "freeze": "none",
    "epochs": 3,
    "batch_size": 4,
    "plain_epochs": 1,
    "val_every": 3,
    "save_every_s": 0.0,
    "device": "cpu",
    "fixed_norms": True,
}
SCRIPT = """
import json, sys, torch
torch.set_num_threads(1)
from vodkit.train.loop import train
from vodkit.train.settings import TrainSettings
words = json.loads(sys.argv[1])
train(TrainSettings(**words), resume_run=sys.argv[2] == "resume",
      watch=lambda p: print(p.what, p.epoch, p.done, flush=True))
"""


def start(words: dict[str, Any], how: str, *launcher: str) -> subprocess.Popen[str]:
    script = Path(words["out"]).parent / "run.py"
    script.write_text(SCRIPT)
    command = [sys.executable, *launcher, str(script), json.dumps(words), how]
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"}
    )


def finished(run: subprocess.Popen[str]) -> bool:
    run.communicate(timeout=300)
    return run.returncode == 0


def last_weights(out: Path) -> dict[str, torch.Tensor]:
    return load_checkpoint(out / "last.safetensors")[0]


def test_a_killed_run_ends_bit_equal(clip: Path, tmp_path: Path) -> None:
    whole = {"data": str(clip), "out": str(tmp_path / "whole"), **SMALL}
    assert finished(start(whole, "new"))
    killed = {**whole, "out": str(tmp_path / "killed")}
    run = start(killed, "new")
    assert run.stdout is not None
    for line in run.stdout:
        if line.startswith("step 1 1"):
            run.send_signal(signal.SIGKILL)
            break
    run.communicate()
    assert run.returncode == -signal.SIGKILL
    assert finished(start(killed, "resume"))
    one, two = last_weights(tmp_path / "whole"), last_weights(tmp_path / "killed")
    assert all(torch.equal(one[name], two[name]) for name in one)


COMMAND = "from vodkit.cli.main import main; main()"
TWO = ("-m", "torch.distributed.run", "--nproc-per-node", "2")


BUSY = "vodkit: the machine is busy"


def _complains(line: str) -> bool:
    """Not about other programs on the machine, which tests run beside."""
    return line.startswith("vodkit: ") and not line.startswith(BUSY)


def complaint_of_two(clip: Path, out: Path, *words: str) -> str:
    """What the one of two processes says that says anything."""
    script = out.with_suffix(".py")
    script.write_text(COMMAND)
    given = ("train", "--data", str(clip), "--out", str(out), "-m", "yolox_nano")
    run = [sys.executable, *TWO, "--master-port", "29518", str(script), *given]
    more = ("--set", "device=cpu", "--set", "weights=random", *words)
    done = subprocess.run([*run, *more], capture_output=True, text=True, check=False)
    assert done.returncode == 1  # torchrun's own
    assert "exitcode  : 2 " in done.stderr
    (line,) = [line for line in done.stderr.splitlines() if _complains(line)]
    return line


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--epoch", "3"), "No such option: --epoch"),
        (("--set", "epoch=3"), "unknown setting 'epoch'"),
        (("--set", "val_split=night"), "no videos in split 'night'"),
    ],
)
def test_of_two_processes_one_tells_what_is_wrong(
    clip: Path, tmp_path: Path, words: tuple[str, str], told: str
) -> None:
    assert told in complaint_of_two(clip, tmp_path / "run", *words)


def test_what_goes_wrong_in_the_second_process_alone_is_told(clip: Path, tmp_path: Path) -> None:
    in_the_way = tmp_path / "run" / "cache" / "train.1.f16.json"
    in_the_way.mkdir(parents=True)
    told = complaint_of_two(clip, tmp_path / "run", "--set", "width_px=64", "--set", "height_px=64")
    assert "train.1.f16: " in told


POISON = """
from vodkit.train.step import Losses
real = Losses.forward
def poisoned(self, given, cuts):
    losses = real(self, given, cuts)
    return {**losses, "iou": losses["iou"] * (float("nan") if 5 in given().indices else 1)}
Losses.forward = poisoned
"""


def test_a_loss_that_is_not_finite_in_one_of_two_processes_names_the_sample(
    clip: Path, tmp_path: Path
) -> None:
    """While the other waits for its gradients: who looks for the sample must not wait for it."""
    script = tmp_path / "poisoned.py"
    script.write_text(POISON + SCRIPT)
    words = {"data": str(clip), "out": str(tmp_path / "run"), **SMALL}
    run = [sys.executable, *TWO, "--master-port", "29519", str(script), json.dumps(words), "new"]
    done = subprocess.run(run, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 1
    assert "the loss is nan in epoch 1, step " in done.stderr
    assert ", frame 5; lower lr?" in done.stderr


def test_a_file_gets_something_to_read_before_the_first_epoch_ends(
    clip: Path, tmp_path: Path
) -> None:
    words = ["train", "--data", str(clip), "--out", str(tmp_path / "run"), "--epochs", "2"]
    more = [f"--set={name}={SMALL[name]}" for name in ("model", "weights", "width_px", "height_px")]
    door = [sys.executable, "-c", COMMAND]
    done = subprocess.run([*door, *words, *more], capture_output=True, text=True, check=True)
    lines = [line for line in done.stderr.splitlines() if not line.startswith(BUSY)]
    assert lines[0].startswith("training yolox_nano on ")
    assert lines[1:4] == [
        "to learn from: 8 frames with 16 boxes of 1 videos",
        "to validate on: 8 frames with 16 boxes of 1 videos",
        "classes: bright, dark (new to yolox_nano: bright, dark); pictures of 64x64 px",
    ]
    begun = [line.split(" ")[0] for line in lines if not line.startswith("  ")]
    assert begun[4:6] == ["few", "validation"]
    assert begun[6:] == ["features", "features", "2", "step", "epoch", "epoch"]
    assert "vodkit track my_video.mp4" in done.stdout


@pytest.mark.parametrize("fixed_norms", [True, False])
def test_two_processes_equal_one_that_works_in_two_parts(
    clip: Path, tmp_path: Path, *, fixed_norms: bool
) -> None:
    """DDP averages the gradients of its parts as accumulation does; equal but for rounding.

    So do the norms: each part has statistics of its own, and those that are kept are measured.
    """
    words = {**SMALL, "accumulate": 2, "fixed_norms": fixed_norms}
    alone = {"data": str(clip), "out": str(tmp_path / "alone"), **words}
    assert finished(start(alone, "new"))
    shared = {**alone, "out": str(tmp_path / "shared"), "accumulate": 1}
    launcher = ("-m", "torch.distributed.run", "--nproc-per-node", "2", "--master-port", "29517")
    assert finished(start(shared, "new", *launcher))
    one, two = last_weights(tmp_path / "alone"), last_weights(tmp_path / "shared")
    far = max(float((one[n].float() - two[n].float()).abs().max()) for n in one)
    assert far < 1e-4
    logs = [(tmp_path / name / "log.csv").read_text().splitlines() for name in ("alone", "shared")]
    # Losses are of the whole batch, not of the first process's share of it.
    for row, other in zip(*map(csv.DictReader, logs), strict=True):
        for name in ("loss", "iou", "objectness", "class"):
            assert float(row[name]) == pytest.approx(float(other[name]), rel=1e-3)
