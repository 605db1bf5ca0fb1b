"""``--every auto`` beside every frame: how many times faster, and what it costs in HOTA.

    python benchmarks/bench_every.py --video vtest.avi --truth gt.txt [--rounds 3]

Both take turns over the whole video, with decoding, tracking and files on disk. One JSON line.
"""

import argparse
import json
import time
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

from vodkit import process
from vodkit.data.ingest import ingest
from vodkit.formats.base import Reading
from vodkit.jobs import JobSettings, make_detector, prepare_folder, run_source
from vodkit.metrics.bootstrap import BootstrapSettings
from vodkit.metrics.evaluation import EvalSettings, evaluate
from vodkit.metrics.prediction_files import read_predictions
from vodkit.pipeline import FlowSettings
from vodkit.records import Dataset
from vodkit.runs import MANIFEST, stack

FLOWS = {
    "every frame": FlowSettings(full_size=False),
    "every auto": FlowSettings(full_size=False, sparse=True),
}


def labels(video: Path, truth: Path) -> Dataset:
    told = Reading(source=str(video), classes=("person",))
    return ingest(truth, reading=told).dataset


def scores(folder: Path, dataset: Dataset) -> dict[str, float]:
    given = read_predictions([folder], dataset)
    none = EvalSettings(bootstrap=BootstrapSettings(resamples=0))
    found = evaluate(dataset, given.tables, settings=none)
    wanted = ("hota", "mota", "idf1", "ap50")
    return {one.name: round(one.value, 4) for one in found.headline if one.name in wanted}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--video", type=Path, required=True)
    parser.add_argument("--truth", type=Path, required=True)
    parser.add_argument("--model", default="vodkit-street")
    parser.add_argument("--rounds", type=int, default=2)
    words = parser.parse_args()
    process.settle()  # for both, as the command does
    dataset = labels(words.video, words.truth)
    wanted = JobSettings(model=words.model)
    detector = make_detector(wanted)
    seconds: dict[str, list[float]] = {name: [] for name in FLOWS}
    found: dict[str, dict[str, object]] = {}
    for number in range(words.rounds):
        for name, flow in FLOWS.items():
            with TemporaryDirectory() as folder:
                run = Path(folder) / words.video.stem
                asked = replace(wanted, flow=flow)
                prepare_folder(run, asked)
                begin = time.perf_counter()
                for _ in run_source(str(words.video), run, detector, asked):
                    pass
                seconds[name].append(time.perf_counter() - begin)
                if number == 0:
                    told = json.loads((run / MANIFEST).read_text(encoding="utf-8"))
                    found[name] = {**scores(run, dataset), "sparse": told.get("sparse")}
    best = {name: min(times) for name, times in seconds.items()}
    line = {
        "video": words.video.name,
        "model": words.model,
        "seconds": {name: [round(x, 2) for x in times] for name, times in seconds.items()},
        "times_faster": round(best["every frame"] / best["every auto"], 2),
        "scores": found,
    }
    print(json.dumps({**line, "versions": stack()}))


if __name__ == "__main__":
    main()
