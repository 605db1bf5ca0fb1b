"""A dataset that a tiny network learns in seconds: bright squares on dark, as picture folders."""

from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from vodkit.formats.table import write_dataset
from vodkit.ground.records import Dataset, LabelledVideo, TrackTable, VideoInfo

SIDE = 64


def square_video(folder: Path, name: str, *, frames: int, split: str, seed: int) -> LabelledVideo:
    rng = np.random.default_rng(seed)
    (folder / name).mkdir(parents=True)
    position, speed, side = rng.uniform(5, 35, 2), rng.uniform(-2, 2, 2), int(rng.integers(14, 24))
    boxes = []
    for frame in range(frames):
        position = np.clip(position + speed, 0, SIDE - side)
        x, y = position.round().astype(int)
        image = rng.integers(20, 40, (SIDE, SIDE, 3), dtype=np.uint8)
        image[y : y + side, x : x + side] = 220
        cv2.imwrite(str(folder / name / f"{frame:04d}.png"), image)
        boxes.append((x, y, x + side, y + side))
    info = VideoInfo(path=name, width_px=SIDE, height_px=SIDE, rate=Fraction(10), num_frames=frames)
    tracks = TrackTable(
        frames=np.arange(frames),
        times_s=np.arange(frames) / 10,
        ids=np.ones(frames),
        boxes_xyxy=np.array(boxes),
        labels=np.zeros(frames),
    )
    return LabelledVideo(source=name, info=info, tracks=tracks, split=split)


def squares(folder: Path, *, frames: int = 8) -> Path:
    videos = (
        square_video(folder, "one", frames=frames, split="train", seed=1),
        square_video(folder, "two", frames=frames, split="train", seed=2),
        square_video(folder, "three", frames=frames, split="val", seed=3),
    )
    write_dataset(Dataset(classes=("square",), videos=videos), folder / "squares.json")
    return folder / "squares.json"


@pytest.fixture(scope="session")
def square_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return squares(tmp_path_factory.mktemp("squares"))


@pytest.fixture
def make_squares() -> Callable[..., Path]:
    return squares


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    """Sums in one order, so that runs can be compared bit by bit."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
