"""CLEAR, IDF1 and HOTA: equal to TrackEval, and the cases by hand that it is odd about."""

from collections.abc import Sequence
from dataclasses import fields, replace

import numpy as np
import pytest

from metric_scenes import scene, table, trackeval_data, video, walk
from vodkit.ground.errors import InputError, SettingsError
from vodkit.ground.records import Dataset, TrackTable
from vodkit.metrics.clips import Clip, make_clips
from vodkit.metrics.tracking.clear import clear_counts, clear_scores
from vodkit.metrics.tracking.hota import hota_counts, hota_scores
from vodkit.metrics.tracking.identity import identity_counts, identity_scores
from vodkit.metrics.tracking.preprocess import BENCHMARKS, drop_ignored, mot_challenge
from vodkit.metrics.tracking.sequence import pair_up
from vodkit.metrics.tracking.summary import (
    TrackCounts,
    TrackResult,
    combine,
    count,
    count_clip,
    score,
)

BOX = (0, 0, 10, 10)
FAR = (500, 0, 510, 10)
HOTA_NAMES = {
    "hota": "HOTA", "det_a": "DetA", "ass_a": "AssA", "loc_a": "LocA", "det_recall": "DetRe",
    "det_precision": "DetPr", "ass_recall": "AssRe", "ass_precision": "AssPr", "owta": "OWTA",
}  # fmt: skip
CLEAR_NAMES = {
    "mota": "MOTA", "motp": "MOTP", "moda": "MODA", "smota": "sMOTA", "motal": "MOTAL",
    "recall": "CLR_Re", "precision": "CLR_Pr", "f1": "CLR_F1", "mt_ratio": "MTR",
    "pt_ratio": "PTR", "ml_ratio": "MLR",
}  # fmt: skip
CLEAR_COUNTS = {
    "tp": "CLR_TP", "fn": "CLR_FN", "fp": "CLR_FP", "idsw": "IDSW", "mt": "MT", "pt": "PT",
    "ml": "ML", "frag": "Frag",
}  # fmt: skip


def evaluate_tracks(clips: Sequence[Clip], classes: tuple[str, ...]) -> TrackResult:
    return combine({clip.name: count_clip(clip, len(classes)) for clip in clips}, classes)


def track(number, *frames, box=BOX):
    return [(frame, number, *box) for frame in frames]


def sequence(truth, found, num_frames=10):
    return pair_up(table(truth), table(found), np.arange(num_frames))


def same(ours, theirs):
    """Undefined is None here and some number there."""
    return ours is None or ours == pytest.approx(float(np.mean(theirs)), abs=1e-9)


@pytest.mark.parametrize("seed", range(5))
def test_all_numbers_equal_trackeval(seed):
    metrics = pytest.importorskip("trackeval").metrics
    rng = np.random.default_rng(seed)
    truth, found = walk(rng, num_objects=int(rng.integers(1, 9)), switched=rng.random() * 0.2)
    pair = pair_up(truth, found, np.arange(40))
    data, ours = trackeval_data(pair), score(count(pair))
    hota = metrics.HOTA().eval_sequence(data)
    clear = metrics.CLEAR({"PRINT_CONFIG": False}).eval_sequence(data)
    identity = metrics.Identity({"PRINT_CONFIG": False}).eval_sequence(data)
    for name, theirs in HOTA_NAMES.items():
        assert same(getattr(ours.hota, name), hota[theirs]), name
    for name, theirs in CLEAR_NAMES.items():
        assert same(getattr(ours.clear, name), clear[theirs]), name
    for name, theirs in CLEAR_COUNTS.items():
        assert getattr(ours.counts.clear, name) == clear[theirs], name
    for name in ("idf1", "idr", "idp"):
        assert same(getattr(ours.identity, name), identity[name.upper()]), name


def test_videos_combine_as_in_trackeval():
    metrics = pytest.importorskip("trackeval").metrics
    pairs = [
        pair_up(*walk(np.random.default_rng(k), num_objects=3), np.arange(40)) for k in range(3)
    ]
    total = score(sum(map(count, pairs), TrackCounts.zero()))
    for metric, part, names in (
        (metrics.HOTA(), total.hota, HOTA_NAMES),
        (metrics.CLEAR({"PRINT_CONFIG": False}), total.clear, CLEAR_NAMES),
    ):
        each = {str(k): metric.eval_sequence(trackeval_data(p)) for k, p in enumerate(pairs)}
        combined = metric.combine_sequences(each)
        for name, theirs in names.items():
            assert getattr(part, name) == pytest.approx(np.mean(combined[theirs]), abs=1e-9), name


def test_a_perfect_tracker():
    pair = sequence(track(1, *range(10)), track(77, *range(10)))
    ours = score(count(pair))
    assert (ours.hota.hota, ours.clear.mota, ours.identity.idf1) == (1.0, 1.0, 1.0)
    assert (ours.counts.clear.idsw, ours.counts.clear.frag, ours.counts.clear.mt) == (0, 0, 1)


def test_a_switch_in_the_middle():
    pair = sequence(track(1, *range(10)), track(5, *range(5)) + track(6, *range(5, 10)))
    counts = clear_counts(pair)
    assert (counts.tp, counts.idsw, counts.frag) == (10, 1, 0)
    assert clear_scores(counts).mota == pytest.approx(0.9)
    assert identity_scores(identity_counts(pair)).idf1 == pytest.approx(0.5)
    assert hota_scores(hota_counts(pair)).ass_a == pytest.approx(0.5)


def test_continuity_goes_before_overlap():
    """The old track stays matched though another box fits better now."""
    truth = track(1, 0, 1)
    found = [(0, 5, *BOX), (1, 5, 3, 0, 13, 10), (1, 6, *BOX)]
    assert clear_counts(sequence(truth, found, 2)).idsw == 0


def test_a_switch_is_counted_after_any_gap():
    truth = track(1, *range(9))
    found = track(5, 0) + track(6, 8) + track(9, *range(1, 8), box=FAR)
    counts = clear_counts(sequence(truth, found, 9))
    assert (counts.idsw, counts.frag) == (1, 1)


def test_a_gap_without_any_tracked_box_is_no_fragment():
    """TrackEval's memory outlives frames in which nothing is tracked at all."""
    truth = track(1, *range(9))
    assert clear_counts(sequence(truth, track(5, 0, 8), 9)).frag == 0
    elsewhere = track(9, *range(1, 8), box=FAR)
    assert clear_counts(sequence(truth, track(5, 0, 8) + elsewhere, 9)).frag == 1


@pytest.mark.parametrize(
    ("tracked", "kind"), [(9, "mt"), (8, "pt"), (2, "pt"), (1, "ml"), (0, "ml")]
)
def test_mostly_tracked_is_above_and_lost_is_below(tracked, kind):
    counts = clear_counts(sequence(track(1, *range(10)), track(5, *range(tracked))))
    assert {name: getattr(counts, name) for name in ("mt", "pt", "ml")} == {
        name: int(name == kind) for name in ("mt", "pt", "ml")
    }


def test_undefined_is_none():
    nothing = score(count(sequence([], [])))
    only_false = score(count(sequence([], track(1, *range(10)))))
    for scores in (nothing, only_false):
        assert scores.hota.hota is None
        assert scores.clear.mota is None
        assert scores.identity.idf1 is None
    assert only_false.counts.clear.fp == 10
    silent = score(count(sequence(track(1, *range(10)), [])))
    assert (silent.hota.hota, silent.clear.mota, silent.identity.idf1) == (0.0, 0.0, 0.0)
    assert silent.hota.loc_a is None
    assert silent.counts.clear.ml == 1


def test_boxes_without_id_cannot_be_tracked():
    with pytest.raises(InputError, match="predictions: a box without id in frame 3"):
        sequence(track(1, 0), track(-1, 3))


def test_classes_are_counted_apart():
    truth = table([(f, 1, *BOX, 0) for f in range(10)] + [(f, 2, *FAR, 1) for f in range(10)])
    found = table([(f, 5, *BOX, 0) for f in range(10)] + [(f, 6, *FAR, 0) for f in range(10)])
    dataset = Dataset(classes=("a", "b", "c"), videos=(video("v", truth, num_frames=10),))
    result = evaluate_tracks(make_clips(dataset, {"v": found}), dataset.classes)
    assert result.per_class["a"].clear.mota == pytest.approx(0.0)
    assert result.per_class["b"].clear.mota == pytest.approx(0.0)
    assert result.per_class["c"].clear.mota is None
    assert result.per_class["a"].identity.idf1 == pytest.approx(2 / 3)
    assert result.class_averaged.identity.idf1 == pytest.approx(1 / 3)
    assert result.overall.identity.idf1 == pytest.approx(0.5)
    assert result.per_video["v"].identity.idf1 == pytest.approx(0.5)


def test_det_and_class_averages_equal_trackeval():
    metrics = pytest.importorskip("trackeval").metrics
    dataset, predictions = scene(1, num_classes=3)
    clips = make_clips(dataset, predictions)
    result = evaluate_tracks(clips, dataset.classes)
    metric = metrics.HOTA()
    each = {}
    for k, name in enumerate(dataset.classes):
        one = clips[0].of_class(k)
        pair = pair_up(one.truth, one.found, one.frames)
        each[name] = metric.eval_sequence(trackeval_data(pair))
    by_det = metric.combine_classes_det_averaged(each)
    assert result.overall.hota.hota == pytest.approx(by_det["HOTA"].mean(), abs=1e-9)
    there = {name: one for name, one in each.items() if (one["HOTA_TP"] + one["HOTA_FN"]).any()}
    by_class = metric.combine_classes_class_averaged(there)
    assert result.class_averaged.hota.hota == pytest.approx(by_class["HOTA"].mean(), abs=1e-9)


def mot_scene(seed):
    """Truth with all MOT classes and conf 0 rows; pedestrian tracks near all of them."""
    truth, found = walk(np.random.default_rng(seed), num_objects=10, num_classes=13)
    generator = np.random.default_rng(seed)
    return (
        replace(truth, ignore=generator.random(len(truth)) < 0.1),
        replace(found, labels=np.zeros(len(found), int)),
    )


@pytest.mark.parametrize("benchmark", BENCHMARKS)
def test_preprocessing_equals_trackeval(benchmark):
    datasets = pytest.importorskip("trackeval").datasets
    truth, found = mot_scene(3)
    frames = np.arange(40)
    ours = pair_up(*mot_challenge(truth, found, frames, benchmark=benchmark), frames)
    theirs = reference_preprocessing(datasets, truth, found, benchmark)
    assert ours.num_truth_ids == theirs["num_gt_ids"]
    assert ours.num_found_ids == theirs["num_tracker_ids"]
    for mine, other in zip(ours.truth_ids, theirs["gt_ids"], strict=True):
        assert mine.tolist() == other.tolist()
    for mine, other in zip(ours.found_ids, theirs["tracker_ids"], strict=True):
        assert mine.tolist() == other.tolist()


def reference_preprocessing(datasets, truth, found, benchmark):
    names = ["pedestrian", "person_on_vehicle", "car", "bicycle", "motorbike", "non_mot_vehicle",
             "static_person", "distractor", "occluder", "occluder_on_ground", "occluder_full",
             "reflection", "crowd"]  # fmt: skip
    tool = object.__new__(datasets.MotChallenge2DBox)
    tool.benchmark, tool.do_preproc = benchmark, True
    tool.class_name_to_class_id = {name: k + 1 for k, name in enumerate(names)}
    tool.valid_class_numbers = list(range(1, 14))
    all_frames = pair_up(truth, found, np.arange(40))
    rows = [truth.frames == f for f in range(40)]
    found_rows = [found.frames == f for f in range(40)]
    raw = {
        "num_timesteps": 40,
        "seq": "x",
        "gt_ids": [truth.ids[r] for r in rows],
        "gt_dets": [truth.boxes_xyxy[r] for r in rows],
        "gt_classes": [truth.labels[r] + 1 for r in rows],
        "gt_extras": [{"zero_marked": (~truth.ignore[r]).astype(int)} for r in rows],
        "tracker_ids": [found.ids[r] for r in found_rows],
        "tracker_dets": [found.boxes_xyxy[r] for r in found_rows],
        "tracker_classes": [found.labels[r] + 1 for r in found_rows],
        "tracker_confidences": [found.scores[r] for r in found_rows],
        "similarity_scores": list(all_frames.ious),
    }
    return tool.get_preprocessed_seq_data(raw, "pedestrian")


def test_benchmarks_refuse_other_classes_and_names():
    truth, found = mot_scene(1)
    frames = np.arange(40)
    cars = replace(found, labels=np.where(found.frames == 4, 2, 0))
    with pytest.raises(InputError, match=r"MOT17 evaluates pedestrians .* has class 3"):
        mot_challenge(truth, cars, frames, benchmark="MOT17")
    unknown = replace(truth, labels=truth.labels + 13)
    with pytest.raises(InputError, match="allowed: 1 to 13"):
        mot_challenge(unknown, found, frames, benchmark="MOT20")
    with pytest.raises(SettingsError, match="MOT17"):
        mot_challenge(truth, found, frames, benchmark="MOT18")


def test_tracks_in_ignore_regions_do_not_count():
    truth = table([(0, 1, *BOX), (0, -1, 400, 0, 600, 100)])
    truth = replace(truth, ignore=truth.ids == -1)
    found = table([(0, 1, *BOX), (0, 2, *FAR)])
    dataset = Dataset(classes=("a",), videos=(video("v", truth, num_frames=1),))
    clip = make_clips(dataset, {"v": found})[0]
    assert len(clip.regions) == 1
    assert drop_ignored(clip).found.ids.tolist() == [1]
    scores = evaluate_tracks((clip,), ("a",)).overall
    assert scores.clear.mota == 1.0


def test_counts_have_no_hidden_state():
    for spec in fields(TrackCounts):
        assert getattr(TrackCounts.zero(), spec.name) is not None
    assert evaluate_tracks((), ("a",)).overall.hota.hota is None
    assert count(pair_up(TrackTable.empty(), TrackTable.empty(), np.arange(3))).clear.tp == 0
