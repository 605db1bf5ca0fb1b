"""Shot changes: what is left uncounted changes no answer."""

from itertools import pairwise
from statistics import median

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vodkit.ground.records import Frame
from vodkit.video.cuts import CutDetector, _Small


def frame(index: int, image: np.ndarray) -> Frame:
    return Frame(index, index / 25, image, image.shape[1], image.shape[0])


def film(seed: int, shots: int, tremble: int) -> list[Frame]:
    """Shots of 20 frames, each of another colour and pattern, with noise of so many values."""
    rng = np.random.default_rng(seed)
    frames: list[Frame] = []
    for _ in range(shots):
        base = rng.integers(0, 256, (6, 8, 3)).repeat(16, axis=0).repeat(16, axis=1)
        for _ in range(20):
            noise = rng.integers(-tremble, tremble + 1, base.shape)
            image = np.clip(base + noise, 0, 255).astype(np.uint8)
            frames.append(frame(len(frames), image))
    return frames


def cuts_counting_everything(frames: list[Frame], threshold: float, contrast: float) -> list[int]:
    """The definition: every difference is counted, whether it is needed or not."""
    looks = [_Small(one).looks for one in frames]
    found, recent = [], []
    for index, (one, other) in enumerate(pairwise(looks), 1):
        difference = np.abs(other - one).sum() / 2 / 27
        if difference > max(threshold, contrast * (median(recent[-12:]) if recent else 0)):
            found.append(index)
            recent = []
        else:
            recent.append(difference)
    return found


@given(st.integers(0, 2**32 - 1), st.integers(0, 255))
def test_a_difference_is_never_above_its_bound(seed: int, most: int) -> None:
    rng = np.random.default_rng(seed)
    one = rng.integers(0, 256, (48, 64, 3), dtype=np.uint8)
    moved = rng.integers(-most, most + 1, one.shape) * (rng.random(one.shape) < rng.random())
    other = np.clip(one + moved, 0, 255).astype(np.uint8)
    last, small = _Small(frame(0, one)), _Small(frame(1, other))
    assert small.difference(last) <= small.differs_at_most(last)


@pytest.mark.parametrize("moved", [1, 8, 32])
def test_the_bound_is_reached_where_all_pixels_change_one_way(moved: int) -> None:
    one = np.full((48, 64, 3), 112, np.uint8)
    last, small = _Small(frame(0, one)), _Small(frame(1, one + np.uint8(moved)))
    assert small.difference(last) == pytest.approx(moved / 32)
    assert small.differs_at_most(last) == pytest.approx(moved / 32, rel=0.02)


@pytest.mark.parametrize("tremble", [1, 40, 160])
def test_the_cuts_are_those_of_the_definition(tremble: int) -> None:
    frames = film(tremble, shots=4, tremble=tremble)
    for threshold, contrast in ((0.27, 3.0), (0.02, 1.5), (0.0, 1.1), (0.0, 1.02)):
        detector = CutDetector(threshold=threshold, contrast=contrast)
        found = [one.index for one in frames if detector.step(one)]
        assert found == cuts_counting_everything(frames, threshold, contrast)
        assert tremble > 1 or threshold == 0 or found == [20, 40, 60]


@pytest.mark.slow
def test_a_jump_stands_out_from_the_last_twelve_differences() -> None:
    """Frames that tremble more or less: what is usual depends on how far one looks back."""
    rng = np.random.default_rng(0)
    base = rng.integers(0, 256, (48, 64, 3))
    frames = []
    for index in range(300):
        most = rng.integers(0, 40)
        noise = rng.integers(-most, most + 1, base.shape)
        frames.append(frame(index, np.clip(base + noise, 0, 255).astype(np.uint8)))
    answers = set()
    for contrast in np.linspace(1.0, 2.0, 21):
        detector = CutDetector(threshold=0.02, contrast=contrast)
        found = [one.index for one in frames if detector.step(one)]
        assert found == cuts_counting_everything(frames, 0.02, contrast)
        answers.add(tuple(found))
    assert len(answers) > 5
