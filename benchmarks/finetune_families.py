"""Each family of networks, trained for some hundred steps on real video: loss and AP on the way.

    python benchmarks/finetune_families.py yolox ../shared/data
    python benchmarks/finetune_families.py fasterrcnn ../shared/data --on dance --epochs 20

``flies``: every tenth frame of one video of two flies to learn from, another video (other flies)
to measure on. ``dance``: one dancer, every fourth frame of the first 10 s to learn from,
every fourth of the last 4 s to measure on: the same person and room, so it says that a network
learns, not what it is worth. Prints one JSON line: losses of all epochs and AP and AP50 wherever it
was measured.
"""

import argparse
import csv
import json
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np

import small_hub
from finetune_sets import flies, labelled
from vodkit.formats.table import write_dataset
from vodkit.ground import settings
from vodkit.ground.records import Dataset
from vodkit.ground.runs import stack
from vodkit.train.folder import LOG
from vodkit.train.loop import train
from vodkit.train.settings import TrainSettings

_SIDE = 256  # of the network of transformers
COCO_NANO = "weights/yolox_nano/yolox_nano_coco_bn_identity_statedict.pth"
# family: model, and settings that go with where it begins
FAMILIES: dict[str, tuple[str, tuple[str, ...]]] = {
    "yolox": ("yolox_nano", ()),  # COCO's weights, backbone frozen
    "hf": ("hf:rt_detr_v2", ("clip_norm=1.0", "weight_decay=1e-4")),  # ImageNet's, frozen
    "ssdlite": ("ssdlite320_mobilenet_v3_large", ('weights="random"', 'freeze="none"')),
    # Its maps have a stride of 32: flies of 40 px it does not learn in some hundred steps.
    "fasterrcnn": (
        "fasterrcnn_mobilenet_v3_large_320_fpn",
        ('weights="random"', 'freeze="none"', "lr=1e-3", "proposals=64"),
    ),
}


def of_flies(root: Path) -> tuple[Dataset, Path]:
    """Two videos of two flies, and one of one that is left out."""
    dataset, folder = flies(root)
    splits = {"train": "train", "two": "val", "single": "other"}
    videos = tuple(replace(v, split=splits[v.split]) for v in dataset.videos)
    return replace(dataset, videos=videos), folder


def of_dance(root: Path) -> tuple[Dataset, Path]:
    """One video, of which the end is held out."""
    folder = root / "sequences" / "flies"
    whole = labelled(folder, "dance.mp4", "dance_boxes.txt", classes=("person",))
    assert whole.tracks is not None
    frames = np.arange(whole.info.num_frames or 0)
    second = frames * float(1 / whole.info.rate)
    parts = []
    for split, here in (("train", second < 10), ("val", second > 11)):
        rows = np.isin(whole.tracks.frames, frames[here])
        parts.append(
            replace(whole, split=split, tracks=whole.tracks[rows], labelled_frames=frames[here])
        )
    return Dataset(classes=("person",), videos=tuple(parts)), folder


SETS = {"flies": (of_flies, 10), "dance": (of_dance, 4)}
"""what reads it, and every how many frames are looked at"""


def main() -> None:
    """Train, print."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("family", choices=FAMILIES)
    arguments.add_argument("data", type=Path, help="the shared data folder")
    arguments.add_argument("--on", choices=SETS, default="flies")
    arguments.add_argument("--epochs", type=int, default=8)
    arguments.add_argument("--set", action="append", default=[], help="any training setting")
    given = arguments.parse_args()
    read, every = SETS[given.on]
    dataset, root = read(given.data)
    model, own = FAMILIES[given.family]
    with tempfile.TemporaryDirectory() as folder:
        write_dataset(dataset, Path(folder) / "set.json")
        words = {
            "data": f"{folder}/set.json",
            "root": str(root),
            "out": f"{folder}/run",
            "model": model,
            "every": every,
            "batch_size": 4,
            "epochs": given.epochs,
            "val_every": 2,
            "stage_lr_ratio": 1.0,
            "save_every_s": 1e9,
        }
        if model.startswith("hf:"):
            words["model"] = str(small_hub.start(Path(folder), model[3:], _SIDE))
        if given.family == "yolox":
            words["weights"] = str(given.data / COCO_NANO)
        pairs = [f"{name}={json.dumps(value)}" for name, value in words.items()]
        result = train(settings.load(TrainSettings, words=[*pairs, *own, *given.set]))
        with (Path(folder) / "run" / LOG).open(encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
    measured = [row for row in rows if row.get("ap")]
    line = {
        "family": given.family,
        "on": given.on,
        "model": model,
        "set": [*own, *given.set],
        "loss": [round(float(row["loss"]), 3) for row in rows],
        "epochs": [int(float(row["epoch"])) for row in measured],
        "ap": [round(float(row["ap"]), 3) for row in measured],
        "ap50": [round(float(row["ap50"]), 3) for row in measured],
        "cached": result.cached,
        "seconds": round(result.seconds, 1),
        "stack": stack(),
    }
    print(json.dumps(line))


if __name__ == "__main__":
    main()
