"""Slow objects: a shift is told by when labels and pixels move, not by where."""

from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import pytest

from vodkit.data.audit.label_shift import Shift, ShiftSearch
from vodkit.data.audit.velocity_shift import estimate_slow, surer
from vodkit.ground.records import LabelledVideo, TrackTable, VideoInfo

FRAMES, SIDE = 150, 160
SEARCH = ShiftSearch(most=6)


@pytest.fixture(scope="module")
def trembling(tmp_path_factory: pytest.TempPathFactory) -> tuple[LabelledVideo, Path]:
    """A textured object of 60 px that trembles by a few pixels around its place."""
    folder = tmp_path_factory.mktemp("trembling")
    rng = np.random.default_rng(0)
    steps = cv2.GaussianBlur(rng.normal(0, 4, (2, FRAMES)), (3, 1), 0)
    x, y = (70 + (row - np.linspace(0, row[-1], FRAMES)) for row in np.cumsum(steps, axis=1) * 0.5)
    texture = cv2.GaussianBlur(rng.uniform(0, 255, (60, 60)).astype(np.float32), (0, 0), 2)
    texture = cv2.normalize(texture, np.empty_like(texture), 0, 255, cv2.NORM_MINMAX)
    ground = cv2.GaussianBlur(rng.uniform(60, 120, (SIDE, SIDE)).astype(np.float32), (0, 0), 3)
    (folder / "a").mkdir()
    for frame in range(FRAMES):
        place = np.array([[1, 0, x[frame] - 30], [0, 1, y[frame] - 30]])
        put = cv2.warpAffine(texture, place, (SIDE, SIDE))
        mask = cv2.warpAffine(np.ones_like(texture), place, (SIDE, SIDE))
        image = ground * (1 - mask) + put * mask + rng.normal(0, 2, ground.shape)
        cv2.imwrite(str(folder / "a" / f"{frame:03d}.png"), image.clip(0, 255).astype(np.uint8))
    table = TrackTable(
        frames=np.arange(FRAMES), times_s=np.arange(FRAMES) / 25, ids=np.ones(FRAMES),
        labels=np.zeros(FRAMES), boxes_xyxy=np.stack([x - 30, y - 30, x + 30, y + 30], axis=1),
    )  # fmt: skip
    info = VideoInfo(path="a", width_px=SIDE, height_px=SIDE, rate=Fraction(25), num_frames=FRAMES)
    return LabelledVideo(source="a", info=info, tracks=table), folder


@pytest.mark.slow
@pytest.mark.parametrize("shift", [0, 2, -4])
def test_a_shift_of_a_slow_object_is_found(
    trembling: tuple[LabelledVideo, Path], shift: int
) -> None:
    video, folder = trembling
    table = video.tracks
    assert table is not None
    inside = (table.frames + shift >= 0) & (table.frames + shift < FRAMES)
    kept = table[inside]
    late = replace(video, tracks=replace(kept, frames=kept.frames + shift))
    found = estimate_slow(late, folder / "a", [range(FRAMES)], SEARCH)
    assert found is not None
    assert found.frames == -shift
    assert found.seen_by == "steps"
    assert max(found.scores) > 0.4


def test_what_rests_says_nothing(trembling: tuple[LabelledVideo, Path]) -> None:
    video, folder = trembling
    assert video.tracks is not None
    still = np.tile(video.tracks.boxes_xyxy[:1], (FRAMES, 1))
    resting = replace(video, tracks=replace(video.tracks, boxes_xyxy=still))
    assert estimate_slow(resting, folder / "a", [range(FRAMES)], SEARCH) is None
    assert estimate_slow(video, folder / "none", [range(FRAMES)], SEARCH) is None
    assert estimate_slow(video, folder / "a", [range(30)], SEARCH) is None


def test_proof_goes_before_suspicion_and_that_before_nothing() -> None:
    nothing, likely = Shift(0, 9.0, ()), Shift(0, 3.0, (), suspected=2)
    proven = Shift(4, 5.0, ())
    assert surer(None, None) is None
    assert surer(nothing, likely) is likely
    assert surer(proven, likely) is proven
    assert surer(None, nothing) is nothing
