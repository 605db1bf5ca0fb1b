"""vodkit-street as it is shipped: whole, small, and as good on held-out video as its card says."""

from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest

from distillation import DistillSettings
from scenes import files_of
from vodkit.detect.base import ModelCard
from vodkit.detect.checkpoint import read_checkpoint_card
from vodkit.detect.models import find_card, load_detector
from vodkit.detect.weights import weights_path
from vodkit.ground import settings
from vodkit.ground.records import Frame
from vodkit.metrics.detection.ap import CocoScores, average_precision
from vodkit.metrics.detection.columns import BoxColumns
from vodkit.video.reader import open_video

pytestmark = pytest.mark.slow

RECIPE = Path(__file__).parent.parent.parent / "examples" / "street" / "street.toml"
HELD_OUT = ("pets", "vtest", "mot15", "tud", "single_fly", "two_flies")


@pytest.fixture(scope="module")
def card() -> ModelCard:
    return find_card("vodkit-street")[0]


def _recipe() -> DistillSettings:
    return settings.load(DistillSettings, toml=RECIPE, words=["out=x"])


def test_the_weights_are_whole_and_small(card: ModelCard) -> None:
    path = weights_path(card)
    assert read_checkpoint_card(path) == card
    assert path.stat().st_size == card.size_bytes < 8_000_000
    assert card.licence == "Apache-2.0"
    assert "COCO" in card.source
    assert {metric.name for metric in card.expected} >= {"AP", "AP50"}


def test_the_recipe_makes_this_model_from_nothing_held_out(card: ModelCard) -> None:
    recipe = _recipe()
    assert (recipe.name, recipe.classes) == (card.name, card.classes)
    assert recipe.input_px == card.preprocessing.width_px
    for source in recipe.sources:
        assert not [word for word in HELD_OUT if word in source.lower()]


def test_version_2_is_more_of_the_same_recipe() -> None:
    """Its command, as the README says it, changes how long is learnt, and not from what."""
    told = RECIPE.with_name("README.md").read_text(encoding="utf-8")
    command = told.split("## Version 2")[1].split("```")[1].replace("\\\n", " ").split()
    words = [word for word in command if "=" in word and not word.startswith("OMP_")]
    second = settings.load(DistillSettings, toml=RECIPE, words=["out=x", *words])
    assert second.start
    assert (second.steps, second.seed) == (2400, 2)
    assert (second.sources, second.teacher) == (_recipe().sources, _recipe().teacher)


def test_everything_that_the_recipe_reads_is_there(shared_data: Path) -> None:
    recipe = _recipe()
    for source in (*recipe.sources, recipe.teacher_weights):
        assert files_of(shared_data, source)


def _scores(frames: Iterator[Frame], truth_file: Path) -> CocoScores:
    """COCO's numbers for people in these frames of a sequence with MOTChallenge truth."""
    detector = load_detector("vodkit-street", score_threshold=0.01, classes=("person",))
    rows = np.loadtxt(truth_file, delimiter=",")
    rows = rows[rows[:, 6] != 0]
    truth, found = [], []
    for frame in frames:
        here = rows[rows[:, 0] == frame.index + 1, 2:6]
        truth.append(np.concatenate([here[:, :2], here[:, :2] + here[:, 2:]], axis=1))
        found.append(detector.detect([frame])[0])
    scores = np.concatenate([people.scores for people in found])
    pair = (_columns(truth, None), _columns([people.boxes_xyxy for people in found], scores))
    return average_precision(*pair, num_images=len(truth), classes=("person",)).overall


def _columns(boxes: list[np.ndarray], scores: np.ndarray | None) -> BoxColumns:
    images = np.repeat(np.arange(len(boxes)), [len(some) for some in boxes])
    return BoxColumns(
        images=images,
        boxes_xyxy=np.concatenate(boxes),
        labels=np.zeros(len(images), np.int64),
        scores=scores,
    )


def test_people_on_the_plaza_are_found(shared_data: Path, card: ModelCard) -> None:
    """Every tenth frame of PETS09-S2L1, within 0.03 of what the card says of all frames."""
    folder = shared_data / "sequences" / "pets09_s2l1"
    with open_video(folder / "vtest.avi") as video:
        scores = _scores(video.frames(every=10), folder / "gt.txt")
    expected = {metric.name: metric.value for metric in card.expected if "PETS" in metric.data}
    assert scores.ap50 == pytest.approx(expected["AP50"], abs=0.03)
    assert scores.ap == pytest.approx(expected["AP"], abs=0.03)
    assert expected["AP50"] >= 0.8


def test_people_in_a_street_are_found(shared_data: Path) -> None:
    """Every sixth picture of TUD-Campus, where they are 200 px tall and hide each other."""
    folder = shared_data / "sequences" / "mot15" / "TUD-Campus"
    files = sorted((folder / "img1").glob("*.jpg"))
    pictures = (cv2.imread(str(path)) for path in files)
    frames = (Frame(i, i / 25, image[..., ::-1]) for i, image in enumerate(pictures))
    scores = _scores((frame for frame in frames if frame.index % 6 == 0), folder / "gt" / "gt.txt")
    assert scores.ap50 is not None
    assert scores.ap50 >= 0.65
