"""Intervals hold what they promise, by simulation; real sequences equal the reference tools."""

from fractions import Fraction

import numpy as np
import pytest

from metric_scenes import trackeval_data
from vodkit.formats.table import read_dataset
from vodkit.ground.records import Dataset, TrackTable
from vodkit.metrics.bootstrap import BootstrapSettings, draw, interval, replicate_sums
from vodkit.metrics.clips import make_clips
from vodkit.metrics.evaluation import EvalSettings, evaluate
from vodkit.metrics.tracking.sequence import pair_up
from vodkit.metrics.tracking.summary import count, score

pytestmark = pytest.mark.slow


def covered(rng, num_videos, *, settings, truth=0.7):
    """Whether the interval of one simulated test set holds the true share of right frames."""
    frames = rng.integers(50, 400, num_videos)
    skill = rng.beta(7, 3, num_videos)  # videos differ: that is what intervals must know
    right = rng.binomial(frames, skill)
    counts = np.column_stack([right, frames]).astype(float)
    drawn = replicate_sums(draw(num_videos, settings), counts, lambda s: s[:, 0] / s[:, 1])
    found = interval(right.sum() / frames.sum(), drawn, num_units=num_videos)
    return found.low <= truth <= found.high


@pytest.mark.parametrize("num_videos", [10, 20, 60])
def test_95_percent_intervals_cover_about_95_percent(num_videos):
    rng = np.random.default_rng(num_videos)
    settings = BootstrapSettings(resamples=400)
    share = np.mean([covered(rng, num_videos, settings=settings) for _ in range(600)])
    assert 0.92 <= share <= 0.98


def test_two_equal_detectors_are_seldom_told_apart():
    """Paired differences of the same skill: 5 % of verdicts are wrong, about."""
    rng = np.random.default_rng(1)
    settings = BootstrapSettings(resamples=400)
    wrong = 0
    for _ in range(400):
        skill = rng.beta(7, 3, 15)
        pair = []
        for _ in range(2):
            right = rng.binomial(200, np.clip(skill + rng.normal(0, 0.03, 15), 0, 1))
            counts = np.column_stack([right, np.full(15, 200)]).astype(float)
            drawn = replicate_sums(draw(15, settings), counts, lambda s: s[:, 0] / s[:, 1])
            pair.append((counts, drawn))
        (a, drawn_a), (b, drawn_b) = pair
        gap = (b[:, 0].sum() - a[:, 0].sum()) / 3000
        found = interval(gap, drawn_b - drawn_a, num_units=15)
        wrong += not found.low <= 0 <= found.high
    assert wrong / 400 < 0.09


@pytest.mark.parametrize("name", ["PETS09-S2L1", "TUD-Campus", "KITTI-13"])
def test_real_sequences_equal_trackeval(shared_data, name):
    """Truth against itself, shifted by a pixel a frame and with every fifth box gone."""
    metrics = pytest.importorskip("trackeval").metrics
    dataset = read_dataset(shared_data / "sequences" / "mot15" / name, "mot")
    one = dataset.videos[0]
    tracks = one.tracks[~one.tracks.ignore]
    moved = TrackTable(
        frames=tracks.frames,
        times_s=tracks.times_s,
        ids=tracks.ids + (tracks.frames // 40) % 3 * 1000,
        boxes_xyxy=tracks.boxes_xyxy + 4.0,
        labels=tracks.labels,
    )[np.arange(len(tracks)) % 5 > 0]
    clip = make_clips(Dataset(classes=dataset.classes, videos=(one,)), {one.source: moved})[0]
    pair = pair_up(clip.truth, clip.found, clip.frames)
    ours, data = score(count(pair)), trackeval_data(pair)
    assert ours.hota.hota == pytest.approx(metrics.HOTA().eval_sequence(data)["HOTA"].mean())
    clear = metrics.CLEAR({"PRINT_CONFIG": False}).eval_sequence(data)
    assert ours.clear.mota == pytest.approx(clear["MOTA"])
    assert ours.counts.clear.idsw == clear["IDSW"]
    identity = metrics.Identity({"PRINT_CONFIG": False}).eval_sequence(data)
    assert ours.identity.idf1 == pytest.approx(identity["IDF1"])


def test_a_real_sequence_gives_all_numbers(shared_data):
    folder = shared_data / "sequences" / "mot15" / "TUD-Campus"
    truth = read_dataset(folder, "mot")
    found = read_dataset(folder / "det" / "det.txt", "mot", reading=_told(truth))
    result = evaluate(
        truth,
        {truth.videos[0].source: found.videos[0].tracks},
        settings=EvalSettings(min_score=0.3),
    )
    values = {one.name: one.value for one in result.headline}
    assert 0.3 < values["ap50"] < 1
    assert result.tracking is None
    assert all(one.low is None or one.low <= one.value <= one.high for one in result.headline)


def _told(dataset):
    from vodkit.formats.base import Reading

    info = dataset.videos[0].info
    return Reading(size_px=(info.width_px, info.height_px), rate=Fraction(25))
