"""What of the bare network's speed `vodkit track` leaves, against the usual recipe, on one video.

    python benchmarks/bench_pipeline.py VIDEO [--models ssdlite320_mobilenet_v3_large ...]
        [--frames 300] [--rounds 3] [--kinds network track ...]

All take turns on the same frames, so that other load on the machine is unfair to all of them:

    network   the bare network in the best runtime, on placed pictures in memory, without a break
    track     decode, detect, track, predictions.jsonl (and detections.jsonl) on disk
    serial    the same without anything running ahead (what track does by itself on one core)
    ahead     the same with 8 frames decoded and 8 detected ahead
    recipe    OpenCV's reader, torchvision's SSDLite320 in eager mode, a tracker in Python
    video     the annotated mp4, made from the predictions

Weights are random where they are not here: the speed is the same, what is found is not (random
weights find hardly anything above the threshold, so a light tracker step is part of the figure;
--models vodkit-street shows one that finds people). One JSON line a model comes out: frames a
second (min, median, max) and the medians of each round's ratios (of track to video: what the video
costs on top). Few rounds are luck on a machine that others use, too: better are
``--rounds 20 --kinds network track``.
"""

import argparse
import json
import tempfile
import time
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from statistics import median

import cv2
import numpy as np

from vodkit.detect.models import listed, load_detector
from vodkit.ground import process, runs
from vodkit.ground.records import Detections, Frame
from vodkit.ground.runs import stack
from vodkit.infer.folder import RunFolder
from vodkit.infer.run import run_source
from vodkit.infer.settings import InferSettings
from vodkit.report.annotate import write_video
from vodkit.video.reader import open_video

BATCH = 8
RECIPE = "ssdlite320_mobilenet_v3_large"
KINDS = ("network", "track", "serial", "ahead", "video", "recipe")


def frames_per_second(work: Callable[[], int]) -> float:
    start = time.perf_counter()
    return work() / (time.perf_counter() - start)


def short_copy(video: Path, folder: Path, num_frames: int) -> Path:
    """The first frames without encoding them again."""
    import av

    path = folder / "some.mp4"
    with av.open(str(video)) as source, av.open(str(path), "w") as out:
        copy = out.add_stream_from_template(source.streams.video[0])
        for packet in islice(source.demux(video=0), num_frames):
            if packet.dts is not None:
                packet.stream = copy
                out.mux(packet)
    return path


class Contest:
    """One model on one video."""

    def __init__(self, video: Path, model: str, folder: Path) -> None:
        """Load the detector and the first pictures."""
        self.random = model not in {line.card.name for line in listed() if line.here} and not (
            Path(model).is_file()
        )
        self.video, self.model, self.folder = video, model, folder
        weights = "random" if self.random else "default"
        self.detector = load_detector(model, weights=weights)
        with open_video(video) as opened:
            info = opened.info
            size = self.detector.decode_px(info.width_px, info.height_px)
            self.num_frames = info.num_frames or 0
            self.frames = list(islice(opened.frames(size_px=size), 16 * BATCH))
        self.alone = self.detector.network_alone(self.frames)

    def network(self) -> int:
        """The network alone, one picture after the other without a break, about as many as track.

        Of a second alone the figure would be luck: a machine's speed changes between two.
        """
        passes = max(1, round(self.num_frames / len(self.frames)))
        for _ in range(passes):
            self.alone()
        return passes * len(self.frames)

    def track(self, ahead: int | None = None) -> int:
        """All of it, into a run folder."""
        wanted = InferSettings(model=self.model, batch_size=BATCH, ahead=ahead)
        folder = self.folder / "run"
        RunFolder(folder).prepare(wanted, overwrite=True)
        return sum(1 for _ in run_source(str(self.video), folder, self.detector, wanted))

    def serial(self) -> int:
        """The same, one step after the other."""
        return self.track(ahead=0)

    def working_ahead(self) -> int:
        """The same, decoding and detecting ahead in threads."""
        return self.track(ahead=BATCH)

    def annotate(self) -> int:
        """The predictions drawn into the video."""
        path = self.folder / "run" / "annotated.mp4"
        write_video(str(self.video), self.folder / "run" / runs.PREDICTIONS, path)
        return self.num_frames


class Recipe:
    """What tutorials put together: cv2.VideoCapture, torchvision eager, a tracker in Python."""

    def __init__(self, video: Path, num_frames: int) -> None:
        """Of the video only the first frames are read."""
        import torch
        from torchvision.models.detection import ssdlite320_mobilenet_v3_large

        torch.manual_seed(0)
        self.network = ssdlite320_mobilenet_v3_large(weights=None, weights_backbone=None).eval()
        self.video, self.num_frames = video, num_frames

    def __call__(self) -> int:
        """Detect and track; how many frames that were."""
        import torch

        tracker = _peer_tracker()
        with torch.inference_mode():
            count = 0
            for image in islice(self._pictures(), self.num_frames):
                count += 1
                rgb = cv2.cvtColor(image, cv2.COLOR_BGR2RGB)
                picture = torch.from_numpy(rgb).permute(2, 0, 1).float() / 255
                tracker(self.network([picture])[0])
        return count

    def _pictures(self) -> Iterator[np.ndarray]:
        capture = cv2.VideoCapture(str(self.video))
        there, image = capture.read()
        while there:
            yield image
            there, image = capture.read()


def _peer_tracker() -> Callable[[dict], object]:
    import supervision
    from trackers import ByteTrackTracker

    tracker = ByteTrackTracker()

    def step(found: dict) -> object:
        keep = found["scores"] > 0.3
        return tracker.update(
            supervision.Detections(
                xyxy=found["boxes"][keep].numpy(),
                confidence=found["scores"][keep].numpy(),
                class_id=found["labels"][keep].numpy(),
            )
        )

    return step


def warm(detector: object, frame: Frame) -> list[Detections]:
    return detector.detect([frame] * BATCH) + detector.detect([frame])


def measure(video: Path, model: str, words: argparse.Namespace, folder: Path) -> dict:
    contest = Contest(video, model, folder)
    warm(contest.detector, contest.frames[0])
    works: dict[str, Callable[[], int]] = {
        "network": contest.network,
        "track": contest.track,
        "serial": contest.serial,
        "ahead": contest.working_ahead,
        "video": contest.annotate,
    }
    if model == RECIPE and "recipe" in words.kinds:
        works["recipe"] = Recipe(video, words.recipe_frames)
    works = {name: work for name, work in works.items() if name in words.kinds}
    speeds: dict[str, list[float]] = {name: [] for name in works}
    for _ in range(words.rounds):
        for name, work in works.items():
            speeds[name].append(frames_per_second(work))
    ratio = {
        f"track_of_{name}": [a / b for a, b in zip(speeds["track"], speeds[name], strict=True)]
        for name in works
        if name != "track" and "track" in works
    }
    return {
        "model": model,
        "runtime": str(contest.detector.runs_on),
        "random_weights": contest.random,
        "frames": contest.num_frames,
        "frames_per_s": {
            name: [round(f(seen), 1) for f in (min, median, max)] for name, seen in speeds.items()
        },
        "ratio": {name: round(median(seen), 3) for name, seen in ratio.items()},
        "versions": stack(),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("video", type=Path)
    parser.add_argument("--models", nargs="+", default=[RECIPE, "yolox_nano", "vodkit-street"])
    parser.add_argument("--frames", type=int, default=300, help="of the video, from its start")
    parser.add_argument("--recipe-frames", type=int, default=40)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=KINDS, help="what takes turns")
    words = parser.parse_args()
    process.settle()  # for all alike, as the command does
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        video = short_copy(words.video, folder, words.frames)
        for model in words.models:
            print(json.dumps(measure(video, model, words, folder)), flush=True)


if __name__ == "__main__":
    main()
