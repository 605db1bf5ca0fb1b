"""Pictures made up from real ones: repeatable, of the right size, from untouched scenes."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from collage import Collages, CollageSettings, Cutout, Scene, cut_out
from scenes import Reading, read_material
from vodkit.ground.errors import InputError, SettingsError
from vodkit.ground.records import Detections, Frame

ALL = CollageSettings(mosaic=0.5, cutouts=1, blend=0.5, colours=1, blur=1, noise=1, jpeg=1)
READING = Reading(every=1, most_frames=3, least_change=1.0, most_side_px=100)


def _scene(seed: int = 0, source: str = "a", size: tuple[int, int] = (90, 140)) -> Scene:
    image = np.random.default_rng(seed).integers(0, 256, (*size, 3), np.uint8)
    image.flags.writeable = False
    return Scene(image, np.array([[30.0, 20.0, 60.0, 80.0]]), source)


def _collages(settings: CollageSettings) -> Collages:
    scenes = [_scene(0), _scene(1, "b"), Scene(_scene(2).image, np.empty((0, 4)), "b")]
    cutouts = [
        cut_out(scenes[0], scenes[0].boxes_xyxy[0], person=person) for person in (True, False)
    ]
    return Collages(scenes, cutouts, settings)


@pytest.mark.parametrize("size", [(64, 64), (96, 160), (256, 256)])
def test_the_same_state_makes_the_same_picture(size: tuple[int, int]) -> None:
    collages = _collages(ALL)
    for seed in range(12):
        one, two = (
            collages.make(np.random.default_rng(seed), height_px=size[0], width_px=size[1])
            for _ in range(2)
        )
        assert one.shape == (*size, 3)
        assert one.dtype == np.uint8
        assert np.array_equal(one, two)


def test_other_states_make_other_pictures() -> None:
    collages = _collages(CollageSettings())
    made = [collages.make(np.random.default_rng(s), height_px=64, width_px=64) for s in range(8)]
    assert len({picture.tobytes() for picture in made}) == 8


def test_things_are_shown_at_the_heights_asked_for() -> None:
    """A red thing in a blue scene is found again with about the height of the settings."""
    image = np.zeros((200, 300, 3), np.uint8)
    image[..., 2] = 200
    image[50:150, 100:140] = (200, 0, 0)
    scene = Scene(image, np.array([[100.0, 50.0, 140.0, 150.0]]), "a")
    heights = CollageSettings(
        usual_heights_px=(30.0, 31.0),
        all_heights_px=(30.0, 31.0),
        mosaic=0,
        cutouts=0,
        blend=0,
        colours=0,
        blur=0,
        noise=0,
        jpeg=0,
    )
    collages = Collages([scene], [], heights)
    seen = []
    for seed in range(40):
        picture = collages.make(np.random.default_rng(seed), height_px=64, width_px=64)
        red = (picture[..., 0] > 120) & (picture[..., 1] < 60) & (picture[..., 2] < 60)
        rows = np.flatnonzero(red.any(axis=1))
        if len(rows):
            seen.append(int(rows[-1] - rows[0]) + 1)
    assert sum(28 <= height <= 32 for height in seen) > 12


def test_a_cutout_is_the_box_with_a_margin_inside_the_scene() -> None:
    scene = _scene()
    cutout = cut_out(scene, np.array([10.0, 10.0, 30.0, 60.0]), person=True, margin=0.5)
    assert np.array_equal(cutout.image, scene.image[0:85, 0:40])
    assert isinstance(cutout, Cutout)


def test_without_scenes_there_is_nothing_to_make() -> None:
    with pytest.raises(SettingsError, match="at least one scene"):
        Collages([], [], CollageSettings())


@pytest.mark.parametrize(
    ("changes", "message"),
    [({"blur": 1.5}, "collage.blur is 1.5"), ({"all_heights_px": (9.0, 3.0)}, "least, most")],
)
def test_wrong_settings_are_refused(changes: dict[str, object], message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        CollageSettings(**changes)


def _look(frame: Frame) -> Detections:
    del frame
    boxes = [[10, 10, 30, 60], [10, 10, 30, 40], [40, 5, 70, 70]]
    return Detections(np.array(boxes), np.array([0.9, 0.9, 0.4]), np.array([1, 1, 0]))


def test_scenes_are_shrunk_different_and_evenly_spread(tmp_path: Path) -> None:
    for i in range(12):
        level = 20 * (i // 2)
        cv2.imwrite(str(tmp_path / f"{i:02}.png"), np.full((80, 200, 3), level, np.uint8))
    scenes, cutouts = read_material(tmp_path, "*.png", READING, _look, person=1)
    assert [int(scene.image[0, 0, 0]) for scene in scenes] == [0, 40, 100]
    assert {scene.image.shape for scene in scenes} == {(40, 100, 3)}
    # of three boxes one is low, one is uncertain
    assert [cutout.person for cutout in cutouts] == [True, True, True]


def test_unreadable_and_missing_pictures_are_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file"):
        read_material(tmp_path, "*.png", READING, _look, person=1)
    (tmp_path / "bad.png").write_bytes(b"no picture")
    with pytest.raises(InputError, match="bad"):
        read_material(tmp_path, "*.png", READING, _look, person=1)
