"""Epochs with a frozen backbone, with stored features and without, side by side.

    python benchmarks/bench_train.py dataset.json --root videos/ --model vodkit-street

Prints one JSON line: seconds of an epoch of either kind (the first is left out), their ratio, the
final AP of each, and the time that filling the store takes.
"""

import argparse
import csv
import json
import statistics
import tempfile
from pathlib import Path

from vodkit.runs import stack
from vodkit.train.loop import LOG, train
from vodkit.train.settings import TrainSettings


def epochs(given: argparse.Namespace, cache: str, folder: Path) -> dict[str, float]:
    settings = TrainSettings(
        data=str(given.data),
        root=str(given.root),
        out=str(folder / cache),
        model=given.model,
        epochs=given.epochs,
        every=given.every,
        cache=cache,
        width_px=given.side,
        height_px=given.side,
        plain_epochs=0,
        val_every=given.epochs,
        save_every_s=1e9,
    )
    result = train(settings)
    with (folder / cache / LOG).open(encoding="utf-8") as file:
        seconds = [float(row["seconds"]) for row in csv.DictReader(file)][1:]
    return {
        "epoch_min_s": min(seconds),
        "epoch_median_s": statistics.median(seconds),
        "epoch_max_s": max(seconds),
        "all_s": result.seconds,
        "ap": result.ap or 0.0,
        "ap50": result.ap50 or 0.0,
    }


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("data", type=Path)
    arguments.add_argument("--root", type=Path, default=Path())
    arguments.add_argument("--model", default="vodkit-street")
    arguments.add_argument("--epochs", type=int, default=4)
    arguments.add_argument("--every", type=int, default=1)
    arguments.add_argument("--side", type=int, default=0)
    given = arguments.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        with_cache = epochs(given, "on", Path(folder))
        without = epochs(given, "off", Path(folder))
    ratio = without["epoch_median_s"] / with_cache["epoch_median_s"]
    result = {"cached": with_cache, "pixels": without, "ratio": ratio, "stack": stack()}
    print(json.dumps(result))


if __name__ == "__main__":
    main()
