"""``--every auto`` beside every frame: how many times faster, and what it costs in HOTA.

    python benchmarks/bench_every.py --video vtest.avi --truth gt.txt [--rounds 3] [--starts 16]

Both take turns over the whole video, with decoding, tracking and files on disk. Then HOTA from
other first frames, by the boxes that were found: one exchange of two identities is worth up to
three points of it, and comes or does not with where key frames happen to be. One JSON line.
"""

import argparse
import json
import time
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from vodkit import process
from vodkit.data.ingest import ingest
from vodkit.detect.base import by_batches
from vodkit.formats.base import Reading
from vodkit.formats.predictions import read_frames
from vodkit.jobs import JobSettings, make_detector, prepare_folder, run_source
from vodkit.metrics.bootstrap import BootstrapSettings
from vodkit.metrics.evaluation import EvalSettings, evaluate
from vodkit.metrics.mot.hota import hota_counts, hota_scores
from vodkit.metrics.mot.sequence import pair_up
from vodkit.metrics.prediction_files import read_predictions
from vodkit.pipeline import FlowSettings
from vodkit.records import Dataset, Detections, Frame, State, TrackTable
from vodkit.runs import DETECTIONS, MANIFEST, PREDICTIONS, stack
from vodkit.sparse import Pace, SparseFlow, SparseSettings
from vodkit.track.table import make_tracker

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


class Replay:
    """The boxes of a run, again: from any first frame, with every frame or with key frames."""

    def __init__(self, run: Path, dataset: Dataset) -> None:
        """``run`` is the folder of a run that looked at every frame."""
        self._truth, info = dataset.videos[0].tracks, dataset.videos[0].info
        self._found = {one.index: one.found for one in read_frames(run / DETECTIONS)}
        self._frames = [
            Frame.unseen(one.index, one.time_s, width_px=info.width_px, height_px=info.height_px)
            for one in read_frames(run / PREDICTIONS)
        ]

    def detect(self, frames: list[Frame]) -> list[Detections]:
        """As the detector of the run did."""
        return [self._found[frame.index] for frame in frames]

    def hota(self, start: int, *, sparse: bool) -> float:
        """From this frame on."""
        frames, tracker = self._frames[start:], make_tracker("vodkit")
        steps = (
            ((frame, tracker.step(frame, self._found[frame.index])) for frame in frames)
            if not sparse
            else self._sparse(frames, tracker)
        )
        table = TrackTable.from_frames([(frame.index, frame.time_s, x) for frame, x in steps])
        known = table[np.isin(table.states, (State.OBSERVED, State.FILLED))]
        truth = self._truth[self._truth.frames >= start]
        indices = np.array([frame.index for frame in frames])
        return hota_scores(hota_counts(pair_up(truth, known, indices))).hota

    def _sparse(self, frames: list[Frame], tracker):
        settings = SparseSettings()
        pace = Pace(settings, num_frames=len(self._frames))

        def asked() -> Iterator[Frame]:
            for frame in frames:
                pace.is_key(frame.index, frame.time_s)
                yield frame

        flow = SparseFlow(asked(), tracker, pace, settings, cuts=False)
        return flow.run(partial(by_batches, self, batch_size=8))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--video", type=Path, required=True)
    parser.add_argument("--truth", type=Path, required=True)
    parser.add_argument("--model", default="vodkit-street")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--starts", type=int, default=16, help="first frames to begin with")
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
                    if not flow.sparse:
                        replay = Replay(run, dataset)
    best = {name: min(times) for name, times in seconds.items()}
    line = {
        "video": words.video.name,
        "model": words.model,
        "seconds": {name: [round(x, 2) for x in times] for name, times in seconds.items()},
        "times_faster": round(best["every frame"] / best["every auto"], 2),
        "scores": found,
        "hota_by_start": {
            name: [round(replay.hota(i, sparse=flow.sparse), 4) for i in range(words.starts)]
            for name, flow in FLOWS.items()
        },
    }
    print(json.dumps({**line, "versions": stack()}))


if __name__ == "__main__":
    main()
