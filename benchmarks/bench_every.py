"""``--every auto`` beside every frame: how many times faster, and what it costs in HOTA.

    python benchmarks/bench_every.py --video vtest.avi --truth gt.txt [--rounds 3] [--seeds 24]

Both take turns over the whole video, with decoding, tracking and files on disk: how many times
faster is the median of the rounds. Then HOTA with the boxes that were found trembling by 1 % of
their sides: one exchange of two identities is worth up to three points of it, and comes or does not
with a hair's breadth; so many draws tell what is usual, with colours and without. One JSON line.
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

from vodkit.data.ingest import ingest
from vodkit.detect.base import Detector, ModelCard, by_batches
from vodkit.formats.base import Reading
from vodkit.formats.predictions import read_frames
from vodkit.ground import process
from vodkit.ground.records import Dataset, Detections, Frame, State, TrackTable
from vodkit.ground.runs import DETECTIONS, MANIFEST, stack
from vodkit.infer.flow import make_detector
from vodkit.infer.folder import RunFolder
from vodkit.infer.follow import Follower
from vodkit.infer.keyframes import Pace, SparseFlow, SparseSettings
from vodkit.infer.run import run_source
from vodkit.infer.settings import InferSettings
from vodkit.metrics.bootstrap import BootstrapSettings
from vodkit.metrics.evaluation import EvalSettings, evaluate
from vodkit.metrics.prediction_files import read_predictions
from vodkit.metrics.tracking.hota import hota_counts, hota_scores
from vodkit.metrics.tracking.sequence import pair_up
from vodkit.track.appearance import colour_embeddings
from vodkit.track.table import make_tracker
from vodkit.video.reader import open_video

EVERY: dict[str, int | str] = {"every frame": 1, "every auto": "auto"}


def labels(video: Path, truth: Path) -> Dataset:
    told = Reading(source=str(video), classes=("person",))
    return ingest(truth, reading=told).dataset


def scores(folder: Path, dataset: Dataset) -> dict[str, float]:
    given = read_predictions([folder], dataset)
    none = EvalSettings(bootstrap=BootstrapSettings(resamples=0))
    found = evaluate(dataset, given.tables, settings=none)
    wanted = ("hota", "mota", "idf1", "ap50")
    return {one.name: round(one.value, 4) for one in found.headline if one.name in wanted}


class Replay(Detector):
    """The boxes of a run, again: trembling, in all frames or key frames, with colours or not."""

    def __init__(self, run: Path, video: Path, card: ModelCard, dataset: Dataset) -> None:
        """``run`` is the folder of a run that looked at every frame of the video."""
        self._truth, info = dataset.videos[0].tracks, dataset.videos[0].info
        self._frames: list[Frame] = []
        self._known: list[Detections] = []
        size_px = card.preprocessing.resized_px(info.width_px, info.height_px)
        with open_video(video) as opened:
            pairs = zip(opened.frames(size_px=size_px), read_frames(run / DETECTIONS), strict=True)
            for frame, one in pairs:
                looks = colour_embeddings(frame, one.found)
                self._known.append(replace(one.found, embeddings=looks.astype(np.float32)))
                size = {"width_px": info.width_px, "height_px": info.height_px}
                self._frames.append(Frame.unseen(frame.index, frame.time_s, **size))
        self._found = self._known

    def detect(self, frames: list[Frame]) -> list[Detections]:
        """As the detector of the run did."""
        return [self._found[frame.index] for frame in frames]

    def hota(self, seed: int, *, sparse: bool, colours: bool) -> float:
        """With boxes of this draw."""
        rng = np.random.default_rng(seed)
        self._found = [
            replace(
                found,
                boxes_xyxy=trembling(found.boxes_xyxy, rng, share=0.01).astype(np.float32),
                embeddings=found.embeddings if colours else None,
            )
            for found in self._known
        ]
        tracker = make_tracker("vodkit")
        steps = self._sparse(tracker) if sparse else self._dense(tracker)
        table = TrackTable.from_frames([(frame.index, frame.time_s, x) for frame, x in steps])
        known = table[np.isin(table.states, (State.OBSERVED, State.FILLED))]
        indices = np.array([frame.index for frame in self._frames])
        return hota_scores(hota_counts(pair_up(self._truth, known, indices))).hota

    def _dense(self, tracker):
        for frame, found in zip(self._frames, self._found, strict=True):
            yield frame, tracker.step(frame, found, embeddings=found.embeddings)

    def _sparse(self, tracker):
        settings = SparseSettings()
        pace = Pace(settings, num_frames=len(self._frames))

        def asked() -> Iterator[Frame]:
            for frame in self._frames:
                pace.is_key(frame.index, frame.time_s)
                yield frame

        flow = SparseFlow(asked(), Follower(tracker, cuts=False), pace, settings)
        for frame, _, tracks in flow.run(partial(by_batches, self, batch_size=8)):
            yield frame, tracks


def trembling(boxes_xyxy: np.ndarray, rng: np.random.Generator, *, share: float) -> np.ndarray:
    """Boxes (N, 4) with edges that are off by a share of the box's sides, on average."""
    sides = np.tile(boxes_xyxy[:, 2:] - boxes_xyxy[:, :2], 2)
    boxes = boxes_xyxy + rng.normal(0, share, sides.shape) * sides
    boxes[:, 2:] = np.maximum(boxes[:, 2:], boxes[:, :2])
    return boxes


def spread(values: list[float]) -> dict[str, float]:
    numbers = {"mean": np.mean(values), "sd": np.std(values), "min": min(values)}
    return {name: round(float(x), 4) for name, x in numbers.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--video", type=Path, required=True)
    parser.add_argument("--truth", type=Path, required=True)
    parser.add_argument("--model", default="vodkit-street")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--seeds", type=int, default=24, help="draws of trembling boxes")
    words = parser.parse_args()
    process.settle()  # for both, as the command does
    dataset = labels(words.video, words.truth)
    wanted = InferSettings(model=words.model)
    detector = make_detector(wanted)
    seconds: dict[str, list[float]] = {name: [] for name in EVERY}
    found: dict[str, dict[str, object]] = {}
    for number in range(words.rounds):
        for name, every in EVERY.items():
            with TemporaryDirectory() as folder:
                run = Path(folder) / words.video.stem
                asked = replace(wanted, every=every)
                RunFolder(run).prepare(asked)
                begin = time.perf_counter()
                for _ in run_source(str(words.video), run, detector, asked):
                    pass
                seconds[name].append(time.perf_counter() - begin)
                if number == 0:
                    told = json.loads((run / MANIFEST).read_text(encoding="utf-8"))
                    found[name] = {**scores(run, dataset), "sparse": told.get("sparse")}
                    if not asked.is_sparse:
                        replay = Replay(run, words.video, detector.card, dataset)
    ratios = [every / auto for every, auto in zip(*seconds.values(), strict=True)]
    line = {
        "video": words.video.name,
        "model": words.model,
        "seconds": {name: [round(x, 2) for x in times] for name, times in seconds.items()},
        "times_faster": round(float(np.median(ratios)), 2),
        "scores": found,
        "hota_trembling": {
            f"{name}, {'colours' if colours else 'no looks'}": spread(
                [
                    replay.hota(i, sparse=every == "auto", colours=colours)
                    for i in range(words.seeds)
                ]
            )
            for name, every in EVERY.items()
            for colours in (True, False)
        },
    }
    print(json.dumps({**line, "versions": stack()}))


if __name__ == "__main__":
    main()
