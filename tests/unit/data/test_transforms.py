"""Boxes follow pixels: paint a box, transform, find it again."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vodkit.data.transforms import (
    Augment,
    Picture,
    View,
    apply_to_clip,
    apply_view,
    copy_paste,
    draw_clip,
    draw_view,
    mixup,
    mosaic,
)
from vodkit.ground.errors import InputError, SettingsError

WIDTH, HEIGHT = 160, 120
CANVAS = (160, 160)
PAINT = (255, 0, 0)


def painted(*boxes: tuple[int, int, int, int]) -> Picture:
    image = np.full((HEIGHT, WIDTH, 3), 60, np.uint8)
    for x1, y1, x2, y2 in boxes:
        image[y1:y2, x1:x2] = PAINT
    n = len(boxes)
    return Picture(image, np.array(boxes, float).reshape(n, 4), np.arange(n), np.zeros(n, bool))


def found(image: np.ndarray) -> tuple[float, ...] | None:
    mask = (image[..., 0].astype(int) - image[..., 1]) > 90
    if not mask.any():
        return None
    y, x = np.nonzero(mask)
    return (x.min(), y.min(), x.max() + 1, y.max() + 1)


sizes = st.integers(24, 50)
places = st.tuples(st.integers(0, WIDTH - 50), st.integers(0, HEIGHT - 50), sizes, sizes)


@settings(max_examples=40, deadline=None)
@given(places, st.integers(0, 2**31), st.booleans())
def test_boxes_follow_pixels(
    place: tuple[int, int, int, int],
    seed: int,
    colour: bool,
) -> None:
    x, y, w, h = place
    augment = Augment(zoom=(0.6, 1.5), shift=0.3, stretch=0.3, colour=0.2 if colour else 0)
    view = draw_view(augment, np.random.default_rng(seed))
    out = apply_view(painted((x, y, x + w, y + h)), view, CANVAS)
    assert out.image.shape == (160, 160, 3)
    seen = found(out.image)
    if len(out.boxes_xyxy) == 0:
        assert seen is None
    elif seen is not None:
        assert np.abs(out.boxes_xyxy[0] - seen).max() <= 1.5


def test_the_empty_view_only_pads() -> None:
    picture = painted((10, 10, 40, 40))
    out = apply_view(picture, View(), CANVAS)
    assert (out.image[:HEIGHT] == picture.image).all()
    assert (out.image[HEIGHT:] == 114).all()
    assert (out.boxes_xyxy == picture.boxes_xyxy).all()


def test_no_augmentation_draws_the_empty_view() -> None:
    view = draw_view(Augment.none(), np.random.default_rng(5))
    assert view == View(flip=False)


def test_a_box_that_is_nearly_gone_is_ignored_and_one_outside_is_dropped() -> None:
    picture = painted((0, 0, 40, 40), (130, 80, 160, 120))
    out = apply_view(picture, View(shift_x=-35 / 160), CANVAS)
    assert list(out.labels) == [0, 1]
    assert list(out.ignore) == [True, False]
    gone = apply_view(picture, View(shift_x=-50 / 160), CANVAS)
    assert list(gone.labels) == [1]


def test_the_empty_view_cuts_at_the_picture_too() -> None:
    """Not at the canvas: what is padded is not seen either."""
    image = np.zeros((20, 30, 3), np.uint8)
    boxes = np.array([[-5, 2, 5, 8], [-9, 2, 1, 8], [31, 2, 40, 8], [3, 3, 3, 9], [1, 1, 9, 9]])
    picture = Picture(image, boxes.astype(float), np.arange(5), np.zeros(5, bool))
    seen = apply_view(picture, View(), (64, 64))
    assert seen.labels.tolist() == [0, 1, 4]
    assert seen.ignore.tolist() == [False, True, False]
    assert seen.boxes_xyxy[0].tolist() == [0, 2, 5, 8]
    assert seen.image.shape == (64, 64, 3)


def test_a_moved_view_shows_of_a_box_what_the_picture_has_of_it() -> None:
    """Made smaller, a picture has grey around it, where no object is to be learnt."""
    image = painted((0, 20, 20, 60)).image
    boxes = np.array([[-20.0, 20, 20, 60], [-95, 20, 5, 60], [-30, 20, -5, 60]])
    picture = Picture(image, boxes, np.arange(3), np.zeros(3, bool))
    out = apply_view(picture, View(scale_x=0.5, scale_y=0.5), CANVAS)
    assert out.labels.tolist() == [0, 1]
    assert out.ignore.tolist() == [False, True]
    assert np.abs(out.boxes_xyxy[0] - found(out.image)).max() <= 1


def test_a_clip_is_seen_in_one_view() -> None:
    clip = [painted((x, 30, x + 30, 60)) for x in (10, 20, 30)]
    view = draw_view(Augment(flip=1.0), np.random.default_rng(1))
    moved = apply_to_clip(clip, view, CANVAS)
    steps = np.diff([picture.boxes_xyxy[0, 0] for picture in moved])
    assert np.allclose(steps, -10 * view.scale_x)


def test_four_clips_meet_in_one_point_and_boxes_follow() -> None:
    red = [painted((20, 20, 80, 80))] * 2
    empty = [painted()] * 2
    for number in range(4):
        clips = [red if i == number else empty for i in range(4)]
        out = mosaic(clips, (0.5, 0.4))
        assert len(out) == 2
        seen = found(out[1].image)
        assert seen is not None
        assert np.abs(out[1].boxes_xyxy[0] - seen).max() <= 1.5


def test_mixup_and_copy_paste_keep_both_truths() -> None:
    one, two = [painted((10, 10, 50, 50))], [painted((12, 12, 48, 48), (100, 60, 140, 100))]
    assert len(mixup(one, two, 0.5)[0].labels) == 3
    pasted = copy_paste(one, two)[0]
    assert list(pasted.ignore) == [True, False, False]  # the first is covered
    assert (pasted.image[80, 120] == PAINT).all()
    assert (one[0].image[80, 120] == 60).all()  # the caller's picture is as it was


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**31))
def test_all_of_it_together_is_repeatable_and_in_the_canvas(seed: int) -> None:
    augment = Augment(mosaic=0.5, mixup=0.5, copy_paste=0.5)
    clips = [[painted((10 * i, 20, 10 * i + 40, 60))] for i in range(4)]
    one = draw_clip(clips, augment, CANVAS, np.random.default_rng(seed))[0]
    two = draw_clip(clips, augment, CANVAS, np.random.default_rng(seed))[0]
    assert (one.image == two.image).all()
    assert (one.boxes_xyxy == two.boxes_xyxy).all()
    assert one.boxes_xyxy.min() >= 0
    assert one.boxes_xyxy.max() <= 160


def test_bad_values_are_refused_by_name() -> None:
    with pytest.raises(SettingsError, match=r"augment\.flip is 2"):
        Augment(flip=2.0)
    for zoom in ((2.0, 1.0), (0.5, float("inf")), (0.5, float("nan")), (0.0, 1.0)):
        with pytest.raises(SettingsError, match=r"augment\.zoom .*finite, smaller first"):
            Augment(zoom=zoom)
    with pytest.raises(InputError, match="mosaic"):
        mosaic([[painted()]], (0.5, 0.5))
    with pytest.raises(InputError, match="allowed: up to the canvas"):
        apply_view(painted(), View(), (100, 100))
