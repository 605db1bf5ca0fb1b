"""Epochs with a frozen backbone, with stored features and without, side by side.

    python benchmarks/bench_train.py --model vodkit-street
    python benchmarks/bench_train.py --model ssdlite320_mobilenet_v3_large --weights random
    python benchmarks/bench_train.py --backbone resnet50

Fine-tunes on the first of the sample clips and measures on the second; each seed once with stored
features and once from pictures. Prints one JSON line: seconds of an epoch and processor seconds of
a step of either kind (the first epoch of each run is left out), their ratios, the final AP and
AP50 of each seed, the share of time that steps waited for data, and the time of the whole runs,
filling the store included. On a machine that others use, too, processor seconds (with
OMP_NUM_THREADS=1) are the fair ones.
"""

import argparse
import csv
import json
import os
import statistics
import tempfile
import time
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch

from finetune_sets import on_backbone
from vodkit.formats.table import read_dataset, write_dataset
from vodkit.ground import settings
from vodkit.ground.runs import stack
from vodkit.samples import samples
from vodkit.train.folder import LOG
from vodkit.train.loop import train
from vodkit.train.progress import Progress
from vodkit.train.settings import TrainSettings


def plaza(folder: Path) -> Path:
    """The sample clips: the first to train on, the second to validate on."""
    whole = read_dataset(samples.LABELS)
    videos = (replace(v, split="train" if v.split == "train" else "val") for v in whole.videos)
    write_dataset(replace(whole, videos=tuple(videos)), folder / "plaza.json")
    return folder / "plaza.json"


def one_run(given: argparse.Namespace, data: Path, cache: str, seed: int) -> dict[str, Any]:
    """What the epochs of one training took, and what came out."""
    out = data.parent / f"{cache}-{seed}"
    words = {
        "data": str(data),
        "root": str(samples.LABELS.parent),
        "out": str(out),
        "model": given.model,
        "weights": given.weights,
        "freeze": given.freeze,
        "epochs": given.epochs,
        "every": given.every,
        "cache": cache,
        "width_px": given.side,
        "height_px": given.side,
        "val_every": given.epochs,
        "save_every_s": 1e9,
        "seed": seed,
    }
    pairs = [f"{name}={json.dumps(value)}" for name, value in words.items()]
    wanted = settings.load(TrainSettings, words=[*pairs, *given.set])
    at: list[tuple[int, float]] = []

    def watch(progress: Progress) -> None:
        if progress.what == "step" and progress.epoch:
            at.append((progress.epoch, time.process_time()))

    result = train(wanted, watch=watch)
    with (out / LOG).open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))[1:]
    return {
        "epochs_s": [float(row["seconds"]) for row in rows],
        "steps_cpu_s": [b - a for (one, a), (two, b) in pairwise(at) if one == two],
        "wait": [float(row["wait"]) for row in rows],
        "all_s": result.seconds,
        "ap": result.ap,
        "ap50": result.ap50,
    }


def summary(runs: list[dict[str, Any]]) -> dict[str, Any]:
    """Of all seeds."""
    seconds = [s for run in runs for s in run["epochs_s"]]
    steps = [s for run in runs for s in run["steps_cpu_s"]]
    return {
        "step_cpu_min_s": min(steps),
        "step_cpu_median_s": statistics.median(steps),
        "step_cpu_max_s": max(steps),
        "epoch_min_s": min(seconds),
        "epoch_median_s": statistics.median(seconds),
        "epoch_max_s": max(seconds),
        "wait_median": statistics.median(w for run in runs for w in run["wait"]),
        "all_s": [round(run["all_s"], 1) for run in runs],
        "ap": [run["ap"] for run in runs],
        "ap50": [run["ap50"] for run in runs],
    }


def main() -> None:
    """Run both kinds for every seed, in turns."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--model", default="vodkit-street")
    arguments.add_argument("--weights", default="default")
    arguments.add_argument("--backbone", help="YOLOX on this one of timm, all random: no --model")
    arguments.add_argument("--freeze", default="backbone")
    arguments.add_argument("--epochs", type=int, default=6)
    arguments.add_argument("--every", type=int, default=4)
    arguments.add_argument("--side", type=int, default=0)
    arguments.add_argument("--seeds", type=int, default=3, help="how many")
    arguments.add_argument("--first-seed", type=int, default=0)
    arguments.add_argument("--only", choices=("on", "off"), help="of stored features")
    arguments.add_argument("--set", action="append", default=[], help="any training setting")
    given = arguments.parse_args()
    kinds = (given.only,) if given.only else ("on", "off")
    found: dict[str, list[dict[str, Any]]] = {kind: [] for kind in kinds}
    with tempfile.TemporaryDirectory() as folder:
        data = plaza(Path(folder))
        if given.backbone:
            given.model = str(on_backbone(Path(folder), given.backbone, weights="random"))
        for seed in range(given.first_seed, given.first_seed + given.seeds):
            for cache, runs in found.items():
                runs.append(one_run(given, data, cache, seed))
    told = {kind: summary(runs) for kind, runs in found.items()}
    result: dict[str, Any] = {
        "model": given.backbone or given.model,
        "freeze": given.freeze,
        "set": given.set,
    }
    if not given.only:
        for name, what in (("ratio", "epoch_median_s"), ("cpu_ratio", "step_cpu_median_s")):
            result[name] = told["off"][what] / told["on"][what]
    result |= {
        **{{"on": "cached", "off": "pixels"}[kind]: numbers for kind, numbers in told.items()},
        "threads": torch.get_num_threads(),
        "cores": os.cpu_count(),
        "stack": stack(),
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
