"""Every family of networks learns one short clip by heart: what it takes.

    python benchmarks/finetune_overfit.py yolox_nano --epochs 120 --lr 2e-3
    python benchmarks/finetune_overfit.py hf:detr --epochs 300 --lr 1e-3

``hf:KIND`` is a small network of a model type of ``transformers`` (``small_hub.py``). Trains on
eight frames of a made-up scene with exact boxes and measures on the same eight frames. Prints one
JSON line: AP and AP50 of the last weights, seconds, and the loss along the way.
"""

import argparse
import csv
import json
import tempfile
from dataclasses import asdict, replace
from fractions import Fraction
from pathlib import Path

import numpy as np

from small_hub import start
from vodkit.formats.table import write_dataset
from vodkit.ground import settings
from vodkit.ground.records import Dataset, LabelledVideo
from vodkit.ground.runs import stack
from vodkit.train.folder import LOG
from vodkit.train.loop import train
from vodkit.train.settings import TrainSettings
from vodkit.video.synth import CLASSES, Scene, SceneSettings, write_scene

PLAIN = ("flip=0", "zoom=[1, 1]", "stretch=0", "shift=0", "colour=0")


def clip(folder: Path, *, side: int, frames: int) -> Path:
    """The dataset file: one clip, as train and as val split; hidden objects do not count."""
    scene = Scene(
        SceneSettings(
            seed=12,  # all objects are seen whole in nearly all frames
            width_px=side,
            height_px=side,
            num_frames=frames,
            rate=Fraction(10),
            num_objects=3,
            size_px=(side / 5, side / 3),
            num_posts=0,
        )
    )
    for split in ("train", "val"):
        write_scene(scene, folder / f"{split}.mp4")
    truth = replace(scene.truth, ignore=np.asarray(scene.truth.visibility) < 0.5)
    twice = tuple(
        LabelledVideo(source=f"{split}.mp4", info=scene.info, tracks=truth, split=split)
        for split in ("train", "val")
    )
    write_dataset(Dataset(classes=CLASSES, videos=twice), folder / "clip.json")
    return folder / "clip.json"


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("model")
    arguments.add_argument("--weights", default="random")
    arguments.add_argument("--epochs", type=int, default=120)
    arguments.add_argument("--lr", type=float, default=2e-3)
    arguments.add_argument("--side", type=int, default=128)
    arguments.add_argument("--frames", type=int, default=8)
    arguments.add_argument("--set", action="append", default=[], help="any training setting")
    given = arguments.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        data = clip(Path(folder), side=given.side, frames=given.frames)
        model, weights = given.model, given.weights
        if model.startswith("hf:"):
            model, weights = str(start(Path(folder), model[3:], given.side)), "default"
        words = {
            "data": str(data),
            "out": f"{folder}/run",
            "model": model,
            "weights": weights,
            "epochs": given.epochs,
            "lr": given.lr,
            "width_px": given.side,
            "height_px": given.side,
            "freeze": "none",
            "stage_lr_ratio": 1.0,
            "still_iou": 2.0,
            "save_every_s": 1e9,
        }
        pairs = [f"{name}={json.dumps(value)}" for name, value in words.items()]
        plain = [f"augment.{word}" for word in PLAIN]
        wanted = settings.load(TrainSettings, words=[*pairs, *plain, *given.set])
        result = train(wanted)
        with (Path(wanted.out) / LOG).open(encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
    shown = rows[:: max(len(rows) // 10, 1)]
    line = {
        "model": given.model,
        "weights": given.weights,
        "side": given.side,
        "frames": given.frames,
        "epochs": given.epochs,
        "lr": given.lr,
        "set": given.set,
        "best_ap": result.ap,
        "best_ap50": result.ap50,
        "ap50": [float(row["ap50"]) for row in rows if row.get("ap50")],
        "loss": [float(row["loss"]) for row in shown],
        "seconds": asdict(result)["seconds"],
        "stack": stack(),
    }
    print(json.dumps(line))


if __name__ == "__main__":
    main()
