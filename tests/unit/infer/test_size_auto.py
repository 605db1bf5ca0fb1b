"""``--size auto``: which size is chosen, and that a run keeps it."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from vodkit.detect.base import Detector
from vodkit.detect.models import find_card
from vodkit.ground.errors import SettingsError
from vodkit.ground.records import Detections, Frame
from vodkit.infer.batch import Batch
from vodkit.infer.flow import make_detector, with_size
from vodkit.infer.folder import RunFolder
from vodkit.infer.input_size import SizeChoice, choose_size
from vodkit.infer.settings import InferSettings
from vodkit.samples import samples
from vodkit.video.reader import open_video


class Sees(Detector):
    """Gives two objects of 100 and 20 px the scores of its size."""

    def __init__(self, large: float, small: float) -> None:
        self.card, _ = find_card("vodkit-street")
        self.classes = self.card.classes
        self._scores = np.array([large, small], np.float32)

    def detect(self, frames: Sequence[Frame]) -> list[Detections]:
        boxes = np.array([[0, 0, 100, 100], [50, 50, 70, 70]], np.float32)
        keep = self._scores > 0
        one = Detections(boxes[keep], self._scores[keep], np.zeros(keep.sum(), np.int64))
        return [one for _ in frames]


def chosen(scores: dict[str, tuple[float, float]]) -> SizeChoice:
    return choose_size(
        InferSettings(size="auto"), [samples.CLIP_B], lambda wanted: Sees(*scores[wanted.size])
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    ("scores", "size"),
    [
        ({"416": (0.9, 0.8), "640": (0.9, 0.82), "832": (0.9, 0.82)}, "416"),  # within 3 %
        ({"416": (0.9, 0.0), "640": (0.9, 0.8), "832": (0.9, 0.8)}, "640"),
        ({"416": (0.9, 0.2), "640": (0.8, 0.5), "832": (0.8, 0.8)}, "832"),
        ({"416": (0.9, 0.0), "640": (0.5, 0.0), "832": (0.2, 0.0)}, "416"),
        ({"416": (0.2, 0.1), "640": (0.1, 0.2), "832": (0.1, 0.2)}, "416"),  # nothing certain
    ],
)
def test_the_smallest_size_that_finds_about_as_much(
    scores: dict[str, tuple[float, float]], size: str
) -> None:
    assert chosen(scores).size == size


def test_the_reason_has_the_objects_and_their_pixels() -> None:
    made = chosen({"416": (0.9, 0.0), "640": (0.9, 0.8), "832": (0.9, 0.8)})
    assert made.num_objects == 16
    first, second, _ = made.trials
    width_px = clip_width()
    assert first.object_px == pytest.approx(60 * 416 / width_px, rel=0.01)  # median of 100 and 20
    assert second.object_px == pytest.approx(first.object_px * 640 / 416, rel=0.01)
    assert "mean score of 16 objects on 8 frames: 0.45 at 416" in made.line()


def clip_width() -> int:
    with open_video(samples.CLIP_B) as video:
        return video.info.width_px


def test_live_sources_have_no_sample_frames() -> None:
    with pytest.raises(SettingsError, match="size is auto, rtsp://door is live"):
        with_size(InferSettings(size="auto"), ["a.mp4", "rtsp://door"])
    with pytest.raises(SettingsError, match="size is auto, which needs videos"):
        make_detector(InferSettings(size="auto"))


@pytest.mark.slow
def test_a_run_keeps_the_size_that_was_chosen(tmp_path: Path) -> None:
    notes: list[str] = []
    auto = InferSettings(size="auto", runtime="torch", device="cpu", every=200)
    batch = Batch([str(samples.CLIP_B)], auto, out=tmp_path, notify=notes.append)
    assert notes[0].startswith("size: ")
    list(batch.run())
    (folder,) = batch.folders
    size = RunFolder(folder.path).settings.size
    assert size.isdecimal()
    assert notes[0].startswith(f"size: {size} ")
    manifest = RunFolder(folder.path).manifest()
    assert manifest is not None
    assert manifest.model["input_size"] == size
    for same in (auto, replace(auto, size=size)):
        again = Batch([str(samples.CLIP_B)], same, out=tmp_path, resume=True)
        assert [one.is_new for one in again.run()] == [False]
    other = "320" if size != "320" else "416"
    with pytest.raises(SettingsError, match=f"size = '{size}', requested: '{other}'"):
        Batch([str(samples.CLIP_B)], replace(auto, size=other), out=tmp_path, resume=True)
