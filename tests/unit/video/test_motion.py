"""Planes of motion: what they are empty for, and what they show."""

from collections.abc import Sequence

import cv2
import numpy as np
import pytest

from vodkit.ground.records import Frame
from vodkit.video.motion import NO_MOTION, Motion

WIDTH, HEIGHT = 128, 96


def texture(seed: int, width: int = WIDTH, height: int = HEIGHT) -> np.ndarray:
    """Grey values 80 to 175 in squares of four pixels."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(80, 176, (height // 4, width // 4, 3), dtype=np.uint8)
    return coarse.repeat(4, axis=0).repeat(4, axis=1)


def planes_of(
    images: Sequence[np.ndarray],
    *,
    rate: float = 10.0,
    lags_s: Sequence[float] = (0.1, 0.4),
    cuts: bool = True,
) -> list[np.ndarray]:
    motion = Motion(lags_s, lambda width, height: (width, height), cuts=cuts)
    frames = [Frame(i, i / rate, image) for i, image in enumerate(images)]
    found = [frame.motion for frame in motion.of(frames)]
    assert all(one is not None for one in found)
    return [one for one in found if one is not None]


def with_square(ground: np.ndarray, x: int, y: int = 40) -> np.ndarray:
    image = ground.copy()
    image[y : y + 8, x : x + 8] = 250
    return image


def test_planes_are_empty_at_the_start_and_where_nothing_moves() -> None:
    for planes in planes_of([texture(0)] * 6):
        assert planes.shape == (HEIGHT, WIDTH, 2)
        assert (planes == NO_MOTION).all()


def test_each_lag_shows_where_an_object_is_and_where_it_was() -> None:
    ground = texture(0)
    planes = planes_of([with_square(ground, 10 + 8 * i) for i in range(6)])
    last = planes[5].astype(int) - NO_MOTION
    assert (last[40:48, 50:58] > 0).all()
    assert (last[40:48, 42:50, 0] < 0).all()  # a tenth of a second before
    assert (last[40:48, 18:26, 1] < 0).all()  # four tenths
    assert not last[:36].any()
    assert not (planes[0] != NO_MOTION).any()
    assert not (planes[1][..., 1] != NO_MOTION).any(), "no frame is 0.4 s old yet"


def test_nothing_is_compared_across_a_cut_unless_cuts_are_off() -> None:
    dark = np.full((HEIGHT, WIDTH, 3), 20, np.uint8)
    film = [texture(0)] * 6 + [dark] * 3
    assert all((planes == NO_MOTION).all() for planes in planes_of(film))
    assert (planes_of(film, cuts=False)[6] != NO_MOTION).any()


@pytest.mark.parametrize("times_s", [(0.0, 0.1, 0.1), (0.0, 0.1, 0.05), (0.0, 0.1, 5.0)])
def test_a_time_that_leaps_or_does_not_go_on_leaves_nothing_to_compare(
    times_s: tuple[float, ...],
) -> None:
    motion = Motion((0.1, 0.4), lambda width, height: (width, height))
    ground = texture(0)
    frames = [Frame(i, t, with_square(ground, 10 + 9 * i)) for i, t in enumerate(times_s)]
    *_, last = motion.of(frames)
    assert last.motion is not None
    assert (last.motion == NO_MOTION).all()


def test_15_and_30_frames_a_second_agree_where_both_have_the_lags() -> None:
    ground = texture(0)
    film = [with_square(ground, 4 + 2 * i) for i in range(30)]
    fast = planes_of(film, rate=30, lags_s=(0.2, 0.4))
    slow = planes_of(film[::2], rate=15, lags_s=(0.2, 0.4))
    for one, other in zip(fast[::2], slow, strict=True):
        np.testing.assert_array_equal(one, other)


def test_every_nth_frame_has_the_planes_it_has_among_all() -> None:
    ground = texture(0)
    film = [with_square(ground, 4 + 2 * i) for i in range(20)]
    frames = [Frame(i, i / 25, image) for i, image in enumerate(film)]
    each = {f.index: f.motion for f in Motion((0.1,), lambda w, h: (w, h)).of(frames)}
    some = list(Motion((0.1,), lambda w, h: (w, h)).of(frames, every=5))
    assert [frame.index for frame in some] == [0, 5, 10, 15]
    for frame in some:
        np.testing.assert_array_equal(frame.motion, each[frame.index])


def test_the_motion_of_the_camera_is_removed_and_that_of_an_object_is_not() -> None:
    width, height = 3 * WIDTH, 3 * HEIGHT
    rng = np.random.default_rng(1)
    grey = np.full((2 * height, 2 * width), 128.0)
    for cell in (64, 32, 16, 8, 4):  # as nature has it
        part = rng.normal(0, 10, (2 * height // cell, 2 * width // cell))
        grey += cv2.resize(part, (2 * width, 2 * height))
    wide = np.clip(grey, 0, 255).astype(np.uint8)[..., None].repeat(3, axis=2)
    film = []
    for i in range(6):
        view = wide[20 + 2 * i : 20 + 2 * i + height, 20 + 3 * i : 20 + 3 * i + width]
        film.append(with_square(view, 160 - 6 * i))  # against the camera
    planes = planes_of(film)[5].astype(int) - NO_MOTION
    around = np.zeros((height, width), bool)
    around[100:-20, 20:-20] = True
    assert np.abs(planes[around]).mean() < 0.5
    assert np.abs(planes[40:48, 130:138, 0]).mean() > 20
    raw = (film[5].astype(int) - film[4].astype(int)).mean(axis=2) / 2
    assert np.abs(raw[around]).mean() > 2, "without the shift it would be more"


def test_a_large_object_before_a_still_camera_is_not_taken_for_the_camera() -> None:
    ground, thing = texture(0), texture(5)[:48, :48]
    film = []
    for i in range(3):
        image = ground.copy()
        image[20:68, 10 + 5 * i : 58 + 5 * i] = thing
        film.append(image)
    last = planes_of(film)[2][..., 0]
    assert (last[:18] == NO_MOTION).all()
    assert (last[20:68, 20:68] != NO_MOTION).mean() > 0.5
