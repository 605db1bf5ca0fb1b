"""Tiles: what is too small for the whole picture is found, and nothing is found twice."""

import itertools

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vodkit.detect.base import Detector, ModelCard, Output, Preprocessing
from vodkit.detect.preprocess import place
from vodkit.detect.tiles import TiledDetector, TileSettings, spans
from vodkit.ground.errors import InputError, SettingsError
from vodkit.ground.records import Detections, Frame

NETWORK_PX = 128
WIDTH, HEIGHT = 640, 512


class Blobs(Detector):
    """Finds bright blobs as a network would: in a picture of 128 px, none below 5 px."""

    card = ModelCard(
        name="blobs", family="graph", classes=("blob",), licence="CC0-1.0", source="test",
        preprocessing=Preprocessing(width_px=NETWORK_PX, height_px=NETWORK_PX),
        output=Output(decoding="yolox"),
    )  # fmt: skip
    classes = ("blob",)

    def detect(self, frames):
        return [self._one(frame) for frame in frames]

    def _one(self, frame):
        picture, placement = place(frame, self.card.preprocessing)
        bright = (picture[:, :, 0] > 150).astype(np.uint8)
        _, _, stats, _ = cv2.connectedComponentsWithStats(bright)
        found = [row for row in stats[1:].tolist() if min(row[2], row[3]) >= 5]
        boxes = np.array([[x, y, x + w, y + h] for x, y, w, h, _ in found], np.float32)
        boxes = placement.to_source(boxes.reshape(-1, 4))
        scores = np.linspace(0.9, 0.5, len(boxes), dtype=np.float32)
        return Detections(boxes, scores, np.zeros(len(boxes), np.int64))


def picture(*boxes: tuple[int, int, int, int]) -> Frame:
    image = np.full((HEIGHT, WIDTH, 3), 30, np.uint8)
    for x1, y1, x2, y2 in boxes:
        image[y1:y2, x1:x2] = 230
    return Frame(0, 0.0, image)


def found_in(frame: Frame, **chosen: object) -> np.ndarray:
    (found,) = TiledDetector(Blobs(), TileSettings(**chosen)).detect([frame])
    return found.boxes_xyxy


def test_small_objects_that_the_whole_picture_loses_are_found() -> None:
    boxes = [(50, 40, 60, 52), (300, 300, 312, 310), (600, 480, 611, 492)]
    frame = picture(*boxes)
    assert len(Blobs().detect([frame])[0]) == 0
    found = found_in(frame)
    assert len(found) == 3
    np.testing.assert_allclose(found[np.argsort(found[:, 0])], boxes, atol=2)


def test_a_grid_of_one_is_the_detector_itself() -> None:
    frame = picture((100, 100, 300, 400))
    assert TiledDetector(Blobs(), TileSettings(grid="1x1")).detect([frame]) == Blobs().detect(
        [frame]
    )


@given(
    x=st.integers(0, WIDTH - 24),
    y=st.integers(0, HEIGHT - 24),
    width=st.integers(12, 500),
    height=st.integers(12, 400),
    grid=st.sampled_from(["auto", "2x2", "3x1", "4x3"]),
    whole=st.booleans(),
)
@settings(max_examples=60, deadline=None)
def test_one_object_anywhere_is_one_box(x, y, width, height, grid, whole) -> None:
    box = (x, y, min(x + width, WIDTH), min(y + height, HEIGHT))
    found = found_in(picture(box), grid=grid, whole=whole)
    tile = 0 if grid == "auto" else max(WIDTH / int(grid[0]), HEIGHT / int(grid[2]))
    if min(box[2] - box[0], box[3] - box[1]) * NETWORK_PX < 8 * max(tile, NETWORK_PX):
        return  # too small for the tiles of this grid
    assert len(found) == 1, found
    scale = 2 * max(WIDTH, HEIGHT) / NETWORK_PX
    np.testing.assert_allclose(found[0], box, atol=scale + 0.03 * max(tile, NETWORK_PX))


def test_neighbours_stay_two() -> None:
    found = found_in(picture((150, 100, 176, 160), (184, 100, 210, 160)))
    assert len(found) == 2


@given(length=st.integers(1, 5000), count=st.integers(1, 12), overlap=st.floats(0, 0.6))
def test_stretches_cover_everything_and_have_one_size(length, count, overlap) -> None:
    found = spans(length, count, overlap=overlap)
    assert (found[0][0], found[-1][1]) == (0, length)
    assert len({end - start for start, end in found}) == 1
    assert all(after[0] <= before[1] for before, after in itertools.pairwise(found))


def test_what_cannot_be_is_refused() -> None:
    for words in ({"grid": "0x2"}, {"grid": "many"}, {"overlap": 1.0}, {"covered": 0.0}):
        with pytest.raises(SettingsError, match="allowed"):
            TileSettings(**words)
    small = Frame(3, 0.0, np.zeros((64, 64, 3), np.uint8), 128, 128)
    with pytest.raises(InputError, match="frame 3 is decoded to 64x64; tiles need it whole"):
        TiledDetector(Blobs()).detect([small])
    assert len(TiledDetector(Blobs()).detect([picture()])[0]) == 0
