"""The learning curve: what is left out, what is predicted, and that it resumes."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from vodkit.formats.rows import labelled_frames
from vodkit.formats.table import write_dataset
from vodkit.ground.errors import InputError, SettingsError
from vodkit.ground.records import Dataset, LabelledVideo
from vodkit.report.curve_page import write_curve_page
from vodkit.train import curve as module
from vodkit.train.curve import Curve, Point, learning_curve, part_of, predicted, units
from vodkit.train.settings import TrainSettings
from vodkit.video.synth import CLASSES, Scene, SceneSettings, write_scene


def points(aps: dict[int, list[float]]) -> list[Point]:
    return [
        Point(share=0, seed=k, num_videos=1, num_frames=1, num_boxes=n, ap=ap, ap50=ap, seconds=0)
        for n, some in aps.items()
        for k, ap in enumerate(some)
    ]


def test_a_power_law_is_drawn_out_to_twice_the_labels() -> None:
    law = {n: [1 - 2 * n**-0.3] * 3 for n in (100, 200, 400)}
    found = predicted(points(law))
    assert found.num_boxes == 800
    assert found.ap == pytest.approx(1 - 2 * 800**-0.3)
    assert found.now == pytest.approx(1 - 2 * 400**-0.3)


def test_the_interval_holds_what_comes_as_often_as_it_says() -> None:
    rng, hits = np.random.default_rng(0), 0
    for _ in range(400):
        noisy = {n: list(1 - 2 * n**-0.4 * np.exp(rng.normal(0, 0.03, 3))) for n in (100, 200, 400)}
        found = predicted(points(noisy))
        assert found.low is not None
        assert found.high is not None
        new = 1 - 2 * 800**-0.4 * np.exp(rng.normal(0, 0.03))
        hits += found.low <= new <= found.high
    assert 0.92 <= hits / 400 <= 0.98


@pytest.mark.parametrize(
    ("aps", "why"),
    [
        ({100: [0.3, 0.3], 200: [0.3, 0.31], 400: [0.31, 0.3]}, "flat or noisy"),
        ({100: [0.1, 0.5], 200: [0.6, 0.2], 400: [0.3, 0.7]}, "flat or noisy"),
        ({100: [0.5, 0.5], 200: [0.4, 0.4], 400: [0.3, 0.3]}, "flat or noisy"),
        ({100: [0.3], 200: [0.4], 400: [0.5]}, "too few"),
    ],
)
def test_flat_and_noisy_curves_predict_nothing(aps: dict[int, list[float]], why: str) -> None:
    found = predicted(points(aps))
    assert found.ap is None
    assert why in found.refused
    assert "not predicted" in found.line()


def dataset(num_videos: int, num_frames: int) -> Dataset:
    scene = Scene(SceneSettings(seed=0, width_px=64, height_px=64, num_frames=num_frames))
    videos = [
        LabelledVideo(source=f"{i}.mp4", info=scene.info, tracks=scene.truth, split="train")
        for i in range(num_videos)
    ]
    return Dataset(classes=CLASSES, videos=tuple(videos))


@pytest.mark.parametrize("seed", range(3))
def test_whole_videos_are_left_out_and_parts_lie_in_each_other(seed: int) -> None:
    whole = dataset(8, 5)
    names = [{v.source for v in part_of(whole, s, seed).videos} for s in (0.25, 0.5, 1.0)]
    assert [len(some) for some in names] == [2, 4, 8]
    assert names[0] < names[1] < names[2]
    assert units(whole, seed)[0] == "videos"
    assert part_of(whole, 1.0, seed).videos[0] is whole.videos[0]


def test_of_one_video_stretches_are_left_out() -> None:
    whole = dataset(1, 40)
    frames = [labelled_frames(part_of(whole, s, 1).videos[0]) for s in (0.25, 0.5, 1.0)]
    assert [len(some) for some in frames] == [10, 20, 40]
    assert set(frames[0]) < set(frames[1])
    assert frames[0] == list(range(frames[0][0], frames[0][0] + 10))
    table = part_of(whole, 0.25, 1).videos[0].tracks
    assert table is not None
    assert set(table.frames.tolist()) <= set(frames[0])
    with pytest.raises(InputError, match="fewer than 4 frames"):
        units(dataset(1, 3), 0)


def test_the_page_has_the_chart_and_the_sentence(tmp_path: Path) -> None:
    some = points({n: [1 - 2 * n**-0.3] * 2 for n in (100, 200, 400)})
    some = [replace(one, share=one.num_boxes / 400) for one in some]
    made = Curve(points=tuple(some), unit="videos", prediction=predicted(some))
    write_curve_page(tmp_path / "c.html", made, title="Curve")
    page = (tmp_path / "c.html").read_text(encoding="utf-8")
    assert "<svg" in page
    assert made.prediction.line() in page


def test_what_a_curve_needs() -> None:
    with pytest.raises(SettingsError, match="val_split"):
        learning_curve(TrainSettings(data="x.json", val_split=""))
    with pytest.raises(SettingsError, match="curve_seeds is 1; allowed: 2 or more"):
        learning_curve(TrainSettings(data="x.json"), seeds=1)


class Killed(BaseException):
    """The moment at which a curve is stopped."""


@pytest.mark.slow
def test_a_stopped_curve_continues(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    videos = []
    for seed, split in enumerate(("train", "val")):
        scene = Scene(SceneSettings(seed=seed, width_px=96, height_px=96, num_frames=8))
        write_scene(scene, tmp_path / f"{split}.mp4")
        made = LabelledVideo(source=f"{split}.mp4", info=scene.info, tracks=scene.truth)
        videos.append(replace(made, split=split))
    data = tmp_path / "data.json"
    write_dataset(Dataset(classes=CLASSES, videos=tuple(videos)), data)
    wanted = TrainSettings(
        data=str(data), out=str(tmp_path / "run"), model="yolox_nano", weights="random",
        width_px=64, height_px=64, epochs=1, val_every=1, device="cpu", batch_size=2,
    )  # fmt: skip
    told: list[str] = []

    def stop(line: str) -> None:
        told.append(line)
        if len(told) == 2:
            raise Killed

    with pytest.raises(Killed):
        learning_curve(wanted, seeds=2, tell=stop)
    count, real = [], module.train

    def counting(*given: Any, **named: Any) -> Any:
        count.append(given)
        return real(*given, **named)

    monkeypatch.setattr(module, "train", counting)
    found = learning_curve(wanted, seeds=2)
    assert len(count) == 4
    assert [(one.share, one.seed) for one in found.points] == [
        (share, seed) for share in (0.25, 0.5, 1.0) for seed in (0, 1)
    ]
    assert [one.num_frames for one in found.points] == [2, 2, 4, 4, 8, 8]
    kept = json.loads((tmp_path / "run/curve/curve.json").read_text(encoding="utf-8"))
    assert len(kept["points"]) == 6
    assert kept["prediction"]["num_boxes"] == found.prediction.num_boxes
    with pytest.raises(InputError, match=r"lr: was .* --overwrite starts over"):
        learning_curve(replace(wanted, lr=0.1), seeds=2)
