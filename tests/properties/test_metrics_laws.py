"""Laws of the metrics over random scenes: references, relabelling, adding up, monotony."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from metric_scenes import columns, scene, trackeval_data, walk
from vodkit.ground.records import Dataset
from vodkit.metrics.bootstrap import BootstrapSettings, make_units, replicate_ap
from vodkit.metrics.clips import make_clips
from vodkit.metrics.detection.ap import average_precision, table_average_precision
from vodkit.metrics.detection.coco_engine import evaluate_grid
from vodkit.metrics.detection.columns import BoxColumns
from vodkit.metrics.detection.frame_accuracy import count_frames, evaluate_frames, frame_scores
from vodkit.metrics.detection.frames import match_frames
from vodkit.metrics.detection.match import coco_verdicts
from vodkit.metrics.tracking.hota import hota_counts, hota_scores
from vodkit.metrics.tracking.sequence import pair_up
from vodkit.metrics.tracking.summary import TrackCounts, count, score

SEEDS = st.integers(0, 2**32 - 1)
QUICK = settings(max_examples=12, deadline=None, derandomize=True)


@QUICK
@given(SEEDS, st.integers(0, 40), st.integers(0, 60), st.sampled_from([0.0, 0.3, 1.0]))
def test_the_engine_equals_pycocotools(seed, num_truth, num_found, crowds):
    rng = np.random.default_rng(seed)
    truth, found = columns(
        rng, num_truth=num_truth, num_found=num_found, crowds=crowds, num_images=6
    )
    ours = evaluate_grid(truth, found, num_images=7, num_classes=5)
    theirs = evaluate_grid(truth, found, num_images=7, num_classes=5, engine="pycocotools")
    assert np.allclose(ours.precision, theirs.precision, atol=1e-9)
    assert np.allclose(ours.recall, theirs.recall, atol=1e-9)


@QUICK
@given(SEEDS, st.integers(1, 6), st.floats(0, 0.9), st.floats(0, 0.3))
def test_tracking_equals_trackeval(seed, num_objects, missed, switched):
    metrics = pytest.importorskip("trackeval").metrics
    rng = np.random.default_rng(seed)
    truth, found = walk(
        rng, num_frames=15, num_objects=num_objects, missed=missed, switched=switched
    )
    pair = pair_up(truth, found, np.arange(15))
    data, ours = trackeval_data(pair), score(count(pair))
    hota = metrics.HOTA().eval_sequence(data)
    clear = metrics.CLEAR({"PRINT_CONFIG": False}).eval_sequence(data)
    identity = metrics.Identity({"PRINT_CONFIG": False}).eval_sequence(data)
    assert ours.hota.hota == pytest.approx(hota["HOTA"].mean(), abs=1e-9)
    assert ours.clear.mota == pytest.approx(clear["MOTA"], abs=1e-9)
    assert ours.counts.clear.frag == clear["Frag"]
    assert ours.identity.idf1 == pytest.approx(identity["IDF1"], abs=1e-9)


@QUICK
@given(SEEDS)
def test_names_of_tracks_do_not_matter(seed):
    rng = np.random.default_rng(seed)
    truth, found = walk(rng, num_frames=15)
    new = rng.permutation(1000)
    renamed = replace(found, ids=new[found.ids])
    frames = np.arange(15)
    before, after = (score(count(pair_up(truth, t, frames))) for t in (found, renamed))
    assert after.hota.hota == pytest.approx(before.hota.hota)
    assert after.clear == before.clear
    assert after.identity == before.identity


@QUICK
@given(SEEDS)
def test_names_of_classes_do_not_matter(seed):
    dataset, predictions = scene(2, num_classes=3, seed=seed % 1000, num_frames=12)
    new = np.random.default_rng(seed).permutation(3)
    turned = tuple(dataset.classes[k] for k in np.argsort(new))
    videos = tuple(
        replace(v, tracks=replace(v.tracks, labels=new[v.tracks.labels])) for v in dataset.videos
    )
    other = Dataset(classes=turned, videos=videos)
    found = {name: replace(t, labels=new[t.labels]) for name, t in predictions.items()}
    before = table_average_precision(dataset, predictions)
    after = table_average_precision(other, found)
    for name in dataset.classes:
        assert after.per_class[name] == before.per_class[name]


@QUICK
@given(SEEDS)
def test_counts_of_videos_add_up(seed):
    """Two videos end to end are one video, if no id is in both."""
    rng = np.random.default_rng(seed)
    (t1, f1), (t2, f2) = walk(rng, num_frames=10), walk(rng, num_frames=10)
    frames = np.arange(10)
    parts = count(pair_up(t1, f1, frames)) + count(pair_up(t2, f2, frames))

    def later(table):
        return replace(table, frames=table.frames + 10, ids=table.ids + 1000)

    joined = type(t1).concat([t1, later(t2)]), type(f1).concat([f1, later(f2)])
    whole = count(pair_up(*joined, np.arange(20)))
    assert whole.identity == parts.identity
    assert replace(whole.clear, iou_sum=0.0) == replace(parts.clear, iou_sum=0.0)
    assert hota_scores(whole.hota).hota == pytest.approx(hota_scores(parts.hota).hota)
    assert score(TrackCounts.zero() + parts).hota == score(parts).hota


@QUICK
@given(SEEDS)
def test_frames_add_up_to_the_mean_of_their_parts(seed):
    dataset, predictions = scene(2, seed=seed % 1000, num_frames=12)
    clips = make_clips(dataset, predictions)
    counts = [count_frames(match_frames(clip, min_score=0.5)) for clip in clips]
    whole = frame_scores(counts[0] + counts[1])
    parts = [frame_scores(one).frame_accuracy for one in counts]
    assert whole.frame_accuracy == pytest.approx(np.mean(parts))


@QUICK
@given(SEEDS)
def test_a_lost_true_positive_never_helps(seed):
    """Dropping a right detection lowers recall and frame accuracy, or leaves them."""
    truth, found = columns(np.random.default_rng(seed), crowds=0.0, num_truth=40, num_images=8)
    verdicts = coco_verdicts(truth, found, num_classes=3)
    right = np.flatnonzero(verdicts.right(0))
    if not len(right):
        return
    less = found[np.delete(np.arange(len(found)), right[-1])]
    names = ("a", "b", "c")
    before = average_precision(truth, found, num_images=8, classes=names).overall
    after = average_precision(truth, less, num_images=8, classes=names).overall
    fewer = coco_verdicts(truth, less, num_classes=3)
    assert fewer.right(0).sum() <= verdicts.right(0).sum()
    assert after.ar_small is None or after.ar_small <= (before.ar_small or 0) + 1e-9


@QUICK
@given(SEEDS)
def test_a_worst_false_alarm_never_helps_and_a_better_score_for_it_never_neither(seed):
    truth, found = columns(np.random.default_rng(seed), crowds=0.0, num_truth=40, num_images=8)
    values = []
    for alarm_score in (None, 0.0, 1.0):
        extra = found
        if alarm_score is not None:
            extra = BoxColumns(
                images=[*found.images, 0],
                boxes_xyxy=[*found.boxes_xyxy, [900, 900, 910, 910]],
                labels=[*found.labels, 0],
                scores=[*found.scores, alarm_score],
            )
        overall = average_precision(truth, extra, num_images=8, classes=("a", "b", "c")).overall
        values.append(overall.ap)
    assert values[0] >= values[1] - 1e-12
    assert values[1] >= values[2] - 1e-12


@QUICK
@given(SEEDS)
def test_frame_accuracy_of_nothing_found_is_the_share_of_empty_frames(seed):
    dataset, _ = scene(1, seed=seed % 1000, num_frames=12)
    clips = make_clips(dataset, {})
    ours = evaluate_frames(clips, dataset.classes).overall
    truth = dataset.videos[0].tracks
    empty = 1 - len(np.unique(truth.frames)) / 12
    assert ours.frame_accuracy == pytest.approx(empty)
    assert ours.frame_accuracy_micro in {0.0, None}


@QUICK
@given(SEEDS)
def test_drawing_every_picture_once_gives_the_number_itself(seed):
    dataset, predictions = scene(3, seed=seed % 1000, num_frames=12)
    clips = make_clips(dataset, predictions)
    from vodkit.metrics.detection.ap import clip_columns

    truth, found = clip_columns(clips)
    verdicts = coco_verdicts(truth, found, num_classes=2)
    units = make_units(clips, BootstrapSettings(min_videos=1))
    once = replicate_ap(verdicts, units, np.ones((1, 3), int), num_classes=2)
    whole = average_precision(truth, found, num_images=36, classes=dataset.classes).overall
    assert once.mean() == pytest.approx(whole.ap, abs=1e-9)
    first = replicate_ap(verdicts, units, np.array([[1, 0, 0]]), num_classes=2)
    alone = Dataset(classes=dataset.classes, videos=dataset.videos[:1])
    only = table_average_precision(alone, {"v0.mp4": predictions["v0.mp4"]}).overall
    assert first.mean() == pytest.approx(only.ap, abs=1e-9)


@QUICK
@given(SEEDS)
def test_hota_is_the_geometric_mean_of_its_parts_at_each_alpha(seed):
    truth, found = walk(np.random.default_rng(seed), num_frames=12)
    scores = hota_scores(hota_counts(pair_up(truth, found, np.arange(12))))
    product = np.array(scores.det_a_by_alpha) * np.array(scores.ass_a_by_alpha)
    assert np.sqrt(product) == pytest.approx(np.array(scores.hota_by_alpha))
