"""Frames as input, and boxes back to the source."""

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vodkit.detect.base import Preprocessing
from vodkit.detect.preprocess import input_px, place
from vodkit.ground.errors import SettingsError
from vodkit.ground.records import Frame

SIZES = st.integers(8, 2000)


def picture(width: int, height: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 255, (height, width, 3), dtype=np.uint8)


def test_letterbox_is_that_of_yolox() -> None:
    frame = Frame(0, 0.0, picture(768, 576))
    before = frame.image.copy()
    out, placement = place(frame, Preprocessing(width_px=416, height_px=416))
    expected = np.full((416, 416, 3), 114, np.uint8)
    expected[:312] = cv2.resize(before, (416, 312), interpolation=cv2.INTER_LINEAR)
    np.testing.assert_array_equal(out, expected)
    np.testing.assert_array_equal(frame.image, before)
    assert (placement.scale_x, placement.scale_y) == (768 / 416, 576 / 312)


@pytest.mark.parametrize("resize", ["letterbox", "stretch", "fit"])
@given(width=SIZES, height=SIZES)
@settings(max_examples=40, deadline=None)
def test_the_source_corner_is_the_input_corner(resize: str, width: int, height: int) -> None:
    wanted = Preprocessing(width_px=160, height_px=96, resize=resize)
    inner, full = wanted.resized_px(width, height), input_px(width, height, wanted)
    assert 1 <= inner[0] <= full[0]
    assert 1 <= inner[1] <= full[1]
    frame = Frame.unseen(0, 0.0, width_px=width, height_px=height)
    out, placement = place(frame, wanted)
    assert out.shape == (full[1], full[0], 3)
    corner = np.array([[0, 0, *inner]], np.float32)
    np.testing.assert_allclose(placement.to_source(corner), [[0, 0, width, height]], rtol=1e-5)


def test_a_frame_decoded_small_gives_source_pixels() -> None:
    wanted = Preprocessing(width_px=416, height_px=416)
    small = Frame(0, 0.0, picture(416, 312), width_px=768, height_px=576)
    out, placement = place(small, wanted)
    np.testing.assert_array_equal(out[:312], small.image)
    box = placement.to_source(np.array([[0, 0, 500, 312]], np.float32))
    np.testing.assert_allclose(box, [[0, 0, 768, 576]])


def test_wrong_words_name_the_option() -> None:
    with pytest.raises(SettingsError, match=r"preprocessing\.resize is 'crop'; allowed: letterbox"):
        Preprocessing(width_px=8, height_px=8, resize="crop")
    with pytest.raises(SettingsError, match="std"):
        Preprocessing(width_px=8, height_px=8, std=(1.0, 0.0, 1.0))
    with pytest.raises(SettingsError, match="width_px"):
        Preprocessing(width_px=0, height_px=8)
