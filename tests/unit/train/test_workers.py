"""Worker processes of other systems are spawned: what they are given must survive pickling."""

import pickle
from pathlib import Path

import pytest
import torch

from vodkit.train.progress import watch_nothing
from vodkit.train.settings import TrainSettings
from vodkit.train.setup import prepare


@pytest.mark.slow
def test_a_worker_that_is_spawned_sees_the_same_pictures(square_data: Path) -> None:
    """As on Windows, macOS, and Linux from Python 3.14."""
    wanted = TrainSettings(
        data=str(square_data), model="yolox_nano", weights="random", width_px=32, height_px=32
    )
    views = prepare(wanted, torch.device("cpu"), watch_nothing).training
    again = pickle.loads(pickle.dumps(views))
    for number in (0, 1):
        one, other = views.view(0, number), again.view(0, number)
        assert torch.equal(one.image, other.image)
        assert torch.equal(one.boxes_xyxy, other.boxes_xyxy)
