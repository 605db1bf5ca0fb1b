"""Frame accuracy and its family, stability, delay, occlusion, streaming: worked out by hand."""

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest

from metric_scenes import scene, table, video
from vodkit.ground.errors import InputError
from vodkit.ground.records import Dataset, TrackTable
from vodkit.metrics.clips import make_clips
from vodkit.metrics.detection.delay import evaluate_delay, operating_points
from vodkit.metrics.detection.frame_accuracy import (
    accuracy_by_frame,
    count_frames,
    evaluate_frames,
    only_class,
)
from vodkit.metrics.detection.frames import Pairs, best_choice, match_frames, most_pairs
from vodkit.metrics.detection.stability import evaluate_stability
from vodkit.metrics.detection.streaming import evaluate_streaming, newest_output, worker_outputs
from vodkit.metrics.tracking.occlusion import evaluate_occlusion

BOX = (0, 0, 10, 10)
FAR = (500, 0, 510, 10)


def clips_of(truth, found, *, num_frames=10, classes=("a", "b"), labelled=None):
    one = video("v", truth, num_frames=num_frames, labelled=labelled)
    return make_clips(Dataset(classes=classes, videos=(one,)), {"v": found})


def frames(truth, found, **options):
    return evaluate_frames(clips_of(truth, found, **options), ("a", "b")).overall


def test_the_family_by_hand():
    """Frame 0 right; 1: one of two found; 2: a false alarm; 3: empty and silent."""
    truth = table([(0, 1, *BOX), (1, 1, *BOX), (1, 2, *FAR)])
    found = table([(0, 1, *BOX), (1, 1, *BOX), (2, 1, *BOX)])
    ours = frames(truth, found, num_frames=4)
    assert ours.frame_accuracy == pytest.approx((1 + 0.5 + 0 + 1) / 4)
    assert ours.frame_accuracy_micro == pytest.approx(2 / 4)
    assert ours.exact_frame_accuracy == pytest.approx(2 / 4)
    assert ours.frame_f1 == pytest.approx((1 + 2 / 3 + 0 + 1) / 4)
    assert ours.corloc_any == 1.0
    assert ours.class_set_accuracy == pytest.approx(3 / 4)
    assert ours.sfda == pytest.approx((1 + 1 / 1.5 + 0) / 3)
    assert ours.moda == pytest.approx((2 - 1) / 3)
    assert ours.empty_frame_accuracy == pytest.approx(1 / 2)
    assert ours.num_frames == 4


def test_detections_below_the_threshold_do_not_count():
    truth = table([(0, 1, *BOX)])
    found = table([(0, 1, *BOX), (0, 2, *FAR)], score=[0.5, 0.49])
    result = evaluate_frames(clips_of(truth, found, num_frames=1), ("a", "b"))
    assert result.overall.frame_accuracy == 1.0
    assert result.sweep["0.45"] == 0.5
    assert result.sweep["0.55"] == 0.0


def test_the_class_must_be_right():
    truth = table([(0, 1, *BOX, 0)])
    ours = frames(truth, table([(0, 1, *BOX, 1)]), num_frames=1)
    assert (ours.frame_accuracy, ours.class_set_accuracy, ours.corloc_any) == (0.0, 0.0, 0.0)


def test_the_most_pairs_are_made_not_the_nearest():
    """Box 0 overlaps both, box 1 only the first: both are matched."""
    pairs = Pairs(
        truth=np.array([0, 0, 1]),
        found=np.array([0, 1, 0]),
        overlap=np.array([0.95, 0.55, 0.5]),
        group=np.zeros(3, int),
    )
    assert most_pairs(pairs).overlap.tolist() == [0.55, 0.5]
    assert best_choice(pairs, pairs.overlap**4).overlap.tolist() == [0.95]


@pytest.mark.parametrize("seed", range(3))
def test_quick_matching_equals_plain_assignment(seed):
    """Pairs taken at once and the Hungarian remainder: as one assignment over the whole frame."""
    from scipy.optimize import linear_sum_assignment

    rng = np.random.default_rng(seed)
    overlap = np.where(rng.random((6, 7)) < 0.3, rng.uniform(0.5, 1, (6, 7)), 0.0)
    rows, columns = np.nonzero(overlap)
    pairs = Pairs(
        truth=rows, found=columns, overlap=overlap[rows, columns], group=np.zeros(len(rows), int)
    )
    ours = most_pairs(pairs)
    weight = np.where(overlap > 0, overlap + 100, 0)
    best = weight[linear_sum_assignment(weight, maximize=True)].sum()
    assert (ours.overlap + 100).sum() == pytest.approx(best)


def test_boxes_in_ignore_regions_are_no_false_alarms():
    truth = table([(0, 1, *BOX), (0, -1, 490, 0, 600, 50, 0)])
    truth = replace(truth, ignore=truth.ids == -1)
    in_region = table([(0, 1, *BOX), (0, 2, *FAR)])
    assert frames(truth, in_region, num_frames=1).frame_accuracy == 1.0
    other_class = table([(0, 1, *BOX), (0, 2, *FAR, 1)])
    assert frames(truth, other_class, num_frames=1).frame_accuracy == 0.5
    for_all = replace(truth, labels=np.where(truth.ignore, -1, truth.labels))
    assert frames(for_all, other_class, num_frames=1).frame_accuracy == 1.0
    outside = table([(0, 1, *BOX), (0, 2, 480, 0, 499, 10)])
    assert frames(truth, outside, num_frames=1).frame_accuracy == 0.5


def test_frames_that_nobody_labelled_say_nothing():
    truth = table([(0, 1, *BOX), (5, 1, *BOX)])
    found = table([(0, 1, *BOX), (3, 1, *FAR), (5, 1, *BOX)])
    clips = clips_of(truth, found, labelled=[0, 5, 6])
    assert clips[0].num_outside == 1
    ours = evaluate_frames(clips, ("a", "b")).overall
    assert (ours.frame_accuracy, ours.num_frames) == (1.0, 3)


def test_no_frames_is_undefined():
    ours = evaluate_frames((), ("a",)).overall
    assert ours.frame_accuracy is None
    assert ours.exact_frame_accuracy is None
    assert ours.moda is None


def test_a_class_alone_equals_the_class_among_others():
    dataset, predictions = scene(1, num_classes=3)
    clip = make_clips(dataset, predictions)[0]
    for label in range(3):
        apart = count_frames(match_frames(clip.of_class(label), min_score=0.5))
        among = count_frames(only_class(match_frames(clip, min_score=0.5), label))
        assert apart.tp.tolist() == among.tp.tolist()
        assert apart.fp.tolist() == among.fp.tolist()
        assert accuracy_by_frame(apart).tolist() == accuracy_by_frame(among).tolist()
        assert apart.overlap == pytest.approx(among.overlap)


def test_averages_over_frames_videos_and_density():
    dataset, predictions = scene(2)
    result = evaluate_frames(make_clips(dataset, predictions), dataset.classes)
    each = [one.frame_accuracy for one in result.per_video.values()]
    assert result.video_average == pytest.approx(np.mean(each))
    assert sum(one.num_frames for one in result.by_density.values()) == 80
    assert set(result.per_class) == set(dataset.classes)
    assert result.sweep["0.50"] == pytest.approx(result.overall.frame_accuracy)


def stability(found, num_frames=4):
    truth = table([(f, 1, 0, 0, 10, 10) for f in range(num_frames)])
    clips = clips_of(truth, table(found), num_frames=num_frames)
    return evaluate_stability([match_frames(clip, min_score=0.5) for clip in clips])


def test_stability_of_a_still_box_that_is_off_is_perfect():
    ours = stability([(f, 1, 1, 1, 11, 11) for f in range(4)])
    assert (ours.stability, ours.fragment_error, ours.centre_error) == (0.0, 0.0, 0.0)


def test_flicker_and_jitter_by_hand():
    flicker = stability([(0, 1, *BOX), (2, 1, *BOX)])
    assert flicker.fragment_error == pytest.approx(3 / 3)
    jitter = stability([(f, 1, f % 2, 0, 10 + f % 2, 10) for f in range(4)])
    assert jitter.centre_error == pytest.approx(np.std([0, 0.1, 0, 0.1]))
    assert jitter.scale_ratio_error == pytest.approx(0.0)
    breathing = stability([(f, 1, 0, 0, 10, 10 + 2 * (f % 2)) for f in range(4)])
    scale, shape = np.std([1, np.sqrt(1.2)] * 2), np.std([1, 1 / 1.2] * 2)
    assert breathing.scale_ratio_error == pytest.approx(scale + shape)


def test_stability_without_tracks_is_undefined():
    assert evaluate_stability([]).stability is None
    never = stability([])
    assert (never.fragment_error, never.centre_error, never.stability) == (0.0, None, None)


def test_delay_by_hand():
    """Found from frame 3 on, with no false alarms: three frames late at every operating point."""
    truth = table([(f, 1, *BOX) for f in range(10)])
    found = table([(f, 1, *BOX) for f in range(3, 10)], score=np.full(7, 0.8))
    result = evaluate_delay(clips_of(truth, found), 2)
    assert set(result.by_beta.values()) == {3.0}
    assert result.average_delay == pytest.approx(3.0)
    assert result.seconds_at_min_score == pytest.approx(3 / 25)
    assert (result.never_found, result.num_tracks) == (0, 1)


def test_never_found_is_late_to_the_end_and_clipped():
    truth = table([(f, 1, *BOX) for f in range(60)])
    result = evaluate_delay(clips_of(truth, TrackTable.empty(), num_frames=60), 2)
    assert set(result.by_beta.values()) == {30.0}
    assert result.never_found == 1
    assert result.seconds_at_min_score == pytest.approx(59 / 25)


def test_the_last_frame_counts():
    truth = table([(f, 1, *BOX) for f in range(5)])
    found = table([(4, 1, *BOX)])
    result = evaluate_delay(clips_of(truth, found, num_frames=5), 2)
    assert (result.never_found, result.average_delay) == (0, pytest.approx(4.0))


def test_operating_points_are_where_false_alarms_exceed():
    truth = table([(f, 1, *BOX) for f in range(10)])
    alarms = table([(f, 1, *FAR) for f in range(10)], score=np.linspace(0.9, 0.45, 10))
    points = operating_points(clips_of(truth, alarms), 2)
    assert points["0.1"] == pytest.approx(0.85)
    assert points["0.8"] == pytest.approx(0.5)
    assert points["1.6"] == 0.0


def test_seconds_are_the_containers():
    """Two frames a second in the middle of a video of 25: hidden, and late, for so much longer."""
    frames = np.arange(10)
    times = np.where(frames < 3, frames / 25, frames / 2)
    truth = replace(table([(f, 1, *BOX) for f in frames]), times_s=times)
    hidden = np.isin(frames, [3, 4, 5])
    truth = replace(truth, visibility=np.where(hidden, 0.0, 1.0))
    found = table([(f, 7, *BOX) for f in frames[6:]])
    clips = clips_of(truth, found, num_frames=10)
    assert clips[0].times_s(frames).tolist() == times.tolist()
    assert clips[0].times_s(np.array([11])) == pytest.approx(4.5 + 2 / 25)
    assert evaluate_delay(clips, 2).seconds_at_min_score == pytest.approx(3.0)
    spell = evaluate_occlusion([match_frames(clips[0], min_score=0.5)]).spells[0]
    assert spell.hidden_s == pytest.approx(3.0 - 2 / 25)


def test_delay_without_tracks_is_undefined():
    result = evaluate_delay(clips_of(TrackTable.empty(), TrackTable.empty()), 2)
    assert result.average_delay is None
    assert result.seconds_at_min_score is None


def hidden(visibility=None, ids=(5, 5)):
    """An object without a box in frames 3 to 5."""
    seen = [0, 1, 2, 6, 7, 8]
    truth = table([(f, 1, *BOX) for f in seen], visibility=visibility)
    found = table([(f, ids[0] if f < 4 else ids[1], *BOX) for f in seen])
    clips = clips_of(truth, found)
    return evaluate_occlusion([match_frames(clip, min_score=0.5) for clip in clips])


def test_an_identity_through_a_gap():
    kept, lost = hidden(), hidden(ids=(5, 6))
    assert (kept.identities_kept.part, kept.identities_kept.whole) == (1, 1)
    assert (lost.identities_kept.part, lost.identities_kept.whole) == (0, 1)
    spell = kept.spells[0]
    assert (spell.first_frame, spell.last_frame) == (2, 6)
    assert spell.hidden_s == pytest.approx(4 / 25)
    assert kept.identities_by_hidden_time["under 0.5 s"].whole == 1
    assert kept.boxes_right_by_visibility["unknown"].share == 1.0


def test_boxes_of_hidden_objects():
    truth = table([(f, 1, *BOX) for f in range(5)], visibility=[1, 0.1, 0.1, 0.3, 1])
    found = table([(f, 5, *BOX) for f in (0, 1, 3, 4)])
    matched = [match_frames(clip, min_score=0.5) for clip in clips_of(truth, found)]
    result = evaluate_occlusion(matched)
    spell = result.spells[0]
    assert (spell.num_boxes, spell.num_boxes_right, spell.kept) == (2, 1, True)
    assert result.boxes_right_by_hidden_time["under 0.5 s"].share == 0.5
    assert result.boxes_right_by_visibility["0-0.25"].share == 0.5
    assert result.boxes_right_by_visibility["0.25-0.5"].share == 1.0


def test_what_was_never_tracked_has_no_identity_to_keep():
    truth = table([(f, 1, *BOX) for f in (0, 5)])
    clips = clips_of(truth, TrackTable.empty())
    result = evaluate_occlusion([match_frames(clip, min_score=0.5) for clip in clips])
    assert result.spells[0].kept is None
    assert result.identities_kept.share is None


def test_the_newest_output_in_time_equality_counts():
    newest = newest_output(4, np.array([0.1, 0.1, 0.25]), rate=Fraction(10))
    assert newest.tolist() == [-1, 1, 1, 2]
    shifted = newest_output(4, np.array([0.1]), rate=Fraction(10), eta=1.0)
    assert shifted.tolist() == [-1, -1, 0, 0]
    with pytest.raises(InputError, match="output 1 is ready before"):
        newest_output(4, np.array([0.2, 0.1]), rate=Fraction(10))


def test_rates_are_exact():
    """At 30000/1001 frame 1001 is shown a second later than at 30."""
    rate = Fraction(30000, 1001)
    newest = newest_output(1002, np.array([1001 * 1001 / 30000]), rate=rate)
    assert newest[-2:].tolist() == [-1, 0]


def streamed(latency, **options):
    truth = table([(f, 1, 20 * f, 0, 20 * f + 20, 20) for f in range(10)])
    clips = clips_of(truth, truth)
    outputs = worker_outputs(10, np.full(10, latency), rate=clips[0].rate)
    return evaluate_streaming(clips, ("a", "b"), {"v": outputs}, **options)


def test_late_answers_are_wrong():
    instant = streamed(0.0)
    assert instant.coco.overall.ap == pytest.approx(1.0)
    assert (instant.num_in_time, instant.num_without_output) == (10, 0)
    assert instant.mean_staleness_frames == 0.0
    late = streamed(0.03)
    assert late.coco.overall.ap == 0.0
    assert (late.num_in_time, late.num_without_output) == (0, 1)
    assert late.mean_staleness_frames == 1.0
    looked_ahead = streamed(0.03, eta=-1.0)
    assert looked_ahead.coco.overall.ap == pytest.approx(1.0)


def test_an_output_may_be_shown_in_many_frames():
    slow = streamed(0.2)
    assert slow.num_without_output == 5
    assert slow.mean_staleness_frames == pytest.approx(np.mean([5, 6, 7, 8, 9]))


def test_no_output_at_all():
    truth = table([(0, 1, *BOX)])
    nothing = (np.empty(0, int), np.empty(0))
    result = evaluate_streaming(clips_of(truth, truth), ("a", "b"), {"v": nothing})
    assert result.coco.overall.ap == 0.0
    assert result.mean_staleness_frames is None
