"""Each family of networks, trained for some hundred steps on real video: loss and AP on the way.

    python benchmarks/finetune_families.py yolox ../shared/data
    python benchmarks/finetune_families.py fasterrcnn ../shared/data --epochs 8

Every tenth frame of one video of two flies to learn from, another video (other flies) to measure
on. Prints one JSON line: losses of all epochs and AP and AP50 wherever it was measured.
"""

import argparse
import csv
import json
import tempfile
from dataclasses import replace
from pathlib import Path

import small_hub
from finetune_sets import flies
from vodkit import settings
from vodkit.formats.table import write_dataset
from vodkit.runs import stack
from vodkit.train.loop import LOG, train
from vodkit.train.settings import TrainSettings

_SIDE = 256  # of the network of transformers
COCO_NANO = "weights/yolox_nano/yolox_nano_coco_bn_identity_statedict.pth"
# family: model, and settings that go with where it begins
FAMILIES: dict[str, tuple[str, tuple[str, ...]]] = {
    "yolox": ("yolox_nano", ()),  # COCO's weights, backbone frozen
    "hf": ("hf:rt_detr_v2", ("clip_norm=1.0", "weight_decay=1e-4")),  # ImageNet's, frozen
    "ssdlite": ("ssdlite320_mobilenet_v3_large", ('weights="random"', 'freeze="none"')),
    # Its maps have a stride of 32: flies of 40 px need far more steps than that.
    "fasterrcnn": (
        "fasterrcnn_mobilenet_v3_large_320_fpn",
        ('weights="random"', 'freeze="none"', "lr=1e-3", "proposals=64"),
    ),
}


def main() -> None:
    """Train, print."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("family", choices=FAMILIES)
    arguments.add_argument("data", type=Path, help="the shared data folder")
    arguments.add_argument("--epochs", type=int, default=8)
    arguments.add_argument("--set", action="append", default=[], help="any training setting")
    given = arguments.parse_args()
    dataset, root = flies(given.data)
    splits = {"train": "train", "two": "val", "single": "other"}
    videos = tuple(replace(v, split=splits[v.split]) for v in dataset.videos)
    model, own = FAMILIES[given.family]
    with tempfile.TemporaryDirectory() as folder:
        write_dataset(replace(dataset, videos=videos), Path(folder) / "flies.json")
        words = {
            "data": f"{folder}/flies.json",
            "root": str(root),
            "out": f"{folder}/run",
            "model": model,
            "every": 10,
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
