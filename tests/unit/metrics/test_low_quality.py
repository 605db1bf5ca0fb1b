"""Frames of low quality: found by their blur, and measured by themselves."""

import json
from dataclasses import replace

import numpy as np
import pytest

from metric_scenes import scene, table, video
from vodkit.data.degrade import degraded
from vodkit.data.low_quality import measure_low_quality, read_low_quality, write_low_quality
from vodkit.ground.errors import FormatError, InputError
from vodkit.ground.records import Dataset
from vodkit.metrics.bootstrap import BootstrapSettings
from vodkit.metrics.compare import compare, from_evaluation
from vodkit.metrics.detection.ap import table_average_precision
from vodkit.metrics.evaluation import EvalSettings, evaluate
from vodkit.video.sharpness import AROUND_S, LESS, detail, is_low_quality

FEW = EvalSettings(bootstrap=BootstrapSettings(resamples=20))
RATE = 10


def noise(rng, height=120, width=160):
    small = rng.integers(0, 256, (height // 8, width // 8, 3), dtype=np.uint8)
    return small.repeat(8, axis=0).repeat(8, axis=1)


def blurred(image, length, axis):
    return np.mean([np.roll(image, n, axis) for n in range(length)], axis=0).astype(np.uint8)


@pytest.mark.parametrize("axis", [0, 1])
def test_motion_blur_is_found_whatever_its_direction_and_noise_is_not(axis):
    rng, image = np.random.default_rng(0), noise(np.random.default_rng(1))
    pictures = [np.roll(image, n, axis=1) for n in range(20)]
    pictures[7] = blurred(pictures[7], 9, axis)
    noisy = pictures[12] + rng.normal(0, 12, image.shape)
    pictures[12] = np.clip(noisy, 0, 255).astype(np.uint8)
    times_s = np.arange(20) / RATE
    low = is_low_quality(times_s, np.array([detail(one) for one in pictures]))
    assert np.flatnonzero(low).tolist() == [7]


def test_what_is_blurred_for_long_is_as_it_usually_is():
    """Only frames around count: a video that ends in mist has no low quality in the mist."""
    details = np.full((100, 4), 9.0)
    details[50:] = 9 * LESS / 2
    low = is_low_quality(np.arange(100) / RATE, details)
    assert not low[:50].any()
    assert low[50:].sum() <= AROUND_S * RATE  # until half of the frames around are in it, too
    assert not low[-20:].any()


def test_flat_pictures_and_too_few_frames_are_never_low():
    flat = np.zeros((20, 4))
    flat[::2] = 0.9
    assert not is_low_quality(np.arange(20) / RATE, flat).any()
    assert not is_low_quality(np.arange(4) / RATE, np.array([[9.0], [9], [1], [9]])).any()
    assert not len(is_low_quality(np.zeros(0), np.zeros((0, 4))))


def test_low_frames_are_measured_by_themselves():
    """AP50 there is that of a dataset that has only these frames; the rest is the others."""
    dataset, found = scene(3, num_frames=30)
    low = {one.source: np.arange(0, 30, 3 + n) for n, one in enumerate(dataset.videos)}
    ours = evaluate(dataset, found, settings=FEW, low_quality=low)
    scores = ours.low_quality
    assert scores is not None
    for which, value in ((True, scores.ap50), (False, scores.ap50_others)):
        videos = tuple(
            replace(
                one,
                labelled_frames=np.flatnonzero(np.isin(np.arange(30), low[one.source]) == which),
            )
            for one in dataset.videos
        )
        alone = table_average_precision(replace(dataset, videos=videos), found)
        assert value == pytest.approx(alone.overall.ap50, abs=1e-12)
    headline = {one.name: one for one in ours.headline}
    assert headline["ap50_low_quality"].value == scores.ap50
    assert headline["ap50_low_quality"].low is not None
    without = evaluate(dataset, found, settings=FEW)
    assert without.low_quality is None
    assert [one for one in ours.headline if one.name != "ap50_low_quality"] == [*without.headline]


def test_runs_are_compared_on_the_same_frames_only():
    dataset, found = scene(2, num_frames=30)
    sets = [{one.source: frames for one in dataset.videos} for frames in ([1, 5], [1, 5], [2])]
    a, b, c = (
        from_evaluation(evaluate(dataset, found, settings=FEW, low_quality=low), name)
        for low, name in zip(sets, "abc", strict=True)
    )
    names = [one.name for one in compare(a, b).differences]
    assert "ap50_low_quality" in names
    seen = compare(a, c)
    assert [one.name for one in seen.differences] == [n for n in names if n != "ap50_low_quality"]
    assert any("low-quality frames is left out" in note for note in seen.notes)


def test_the_file_is_read_back_and_wrong_ones_are_refused(tmp_path):
    dataset = Dataset(classes=("a",), videos=(video("v", table([]), num_frames=9),))
    path = tmp_path / "low.json"
    write_low_quality({"v": np.array([3, 5])}, path)
    assert {k: v.tolist() for k, v in read_low_quality(path, dataset).items()} == {"v": [3, 5]}
    for content, error, words in (
        ({"w": [1]}, InputError, "video 'w'"),
        ({"v": [9]}, InputError, "below 9"),
        ({"v": [True]}, InputError, "allowed: a list of whole numbers"),
        ([1], FormatError, "allowed"),
    ):
        path.write_text(json.dumps(content))
        with pytest.raises(error, match=words):
            read_low_quality(path, dataset)
    path.write_text("{")
    with pytest.raises(FormatError, match="not JSON"):
        read_low_quality(path, dataset)
    path.write_text('{"v": [3], "v": [5]}')
    with pytest.raises(FormatError, match="'v' occurs twice"):
        read_low_quality(path, dataset)
    found, notes = measure_low_quality(dataset, tmp_path)
    assert not found
    assert notes == ("low-quality frames: a video is missing, and not measured (v)",)


def test_degraded_copies_of_a_real_kind_are_mostly_found():
    """Of the degraded copies that heads learn from, those with blur."""
    rng = np.random.default_rng(4)
    image = noise(rng, 240, 320)
    usual = detail(image)
    faults = [detail(degraded(image, rng)) / usual for _ in range(30)]
    assert np.mean([one.min() < LESS for one in faults]) > 0.4
