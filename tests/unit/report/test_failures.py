"""The failure reel finds what was planted, and nothing in a perfect run."""

from dataclasses import replace
from fractions import Fraction

import numpy as np

from metric_scenes import perfect, scene
from vodkit.ground.records import TrackTable
from vodkit.metrics.bootstrap import BootstrapSettings
from vodkit.metrics.clips import Clip
from vodkit.metrics.compare import compare, from_evaluation
from vodkit.metrics.evaluation import EvalSettings, evaluate
from vodkit.report.failures import KINDS, find_failures, runs_of
from vodkit.report.headline import headline, verdict
from vodkit.report.sections import Table
from vodkit.report.timeline import MAX_BANDS, timeline

NUM = 40


def table(rows: list[tuple[int, int, float]], *, score: float = 0.9) -> TrackTable:
    """Rows of (frame, id, x): boxes of 20 x 40."""
    frames, ids, left = (np.array([row[k] for row in rows]) for k in range(3))
    boxes = np.stack([left, left * 0, left + 20, left * 0 + 40], axis=1)
    return TrackTable(
        frames=frames,
        times_s=frames / 10,
        ids=ids,
        boxes_xyxy=boxes,
        labels=np.zeros(len(rows)),
        scores=np.full(len(rows), score),
        visibility=np.ones(len(rows)),
    )


TRUTH = [(f, i, 10.0 + f + 200 * i) for f in range(NUM) for i in (1, 2)]


def clip(found: list[tuple[int, int, float]]) -> Clip:
    return Clip(
        name="a<b>.mp4",
        frames=np.arange(NUM),
        rate=Fraction(10),
        truth=table(TRUTH),
        regions=TrackTable.empty(),
        found=table(found),
    )


def kinds(found: list[tuple[int, int, float]]) -> dict[str, int]:
    failures = find_failures(clip(found), min_score=0.5)
    return {kind: sum(one.kind == kind for one in failures) for kind in KINDS}


def test_a_perfect_run_has_no_failure() -> None:
    assert find_failures(clip(TRUTH), min_score=0.5) == []


def test_a_switch_is_found_where_it_happens() -> None:
    found = [(f, 9 if i == 1 and f >= 20 else i, x) for f, i, x in TRUTH]
    failures = find_failures(clip(found), min_score=0.5)
    assert [(one.kind, one.frame) for one in failures] == [("switch", 20)]
    assert "was #1, becomes #9" in failures[0].words


def test_a_miss_lasts_until_the_next_frame() -> None:
    found = [row for row in TRUTH if row not in {(8, 1, 218.0), (20, 2, 430.0), (21, 2, 431.0)}]
    words = [one.words for one in find_failures(clip(found), min_score=0.5) if one.kind == "miss"]
    assert words == [
        "object 2 not found in 2 frames (0.2 s)",
        "object 1 not found in 1 frame (0.1 s)",
    ]


def test_a_miss_a_flicker_and_a_false_alarm_are_told_apart() -> None:
    found = [row for row in TRUTH if not (row[1] == 1 and 10 <= row[0] < 20)]
    found = [row for row in found if not (row[1] == 2 and row[0] in {15, 16})]
    found += [(f, 7, 700.0) for f in range(5, 9)]
    assert kinds(found) == {"switch": 0, "miss": 2, "false alarm": 1, "flicker": 1, "loose box": 0}
    failures = find_failures(clip(found), min_score=0.5, per_kind=1)
    miss = next(one for one in failures if one.kind == "miss")
    assert (miss.first_frame, miss.last_frame) == (10, 19), "the longer one is the worst"


def test_a_loose_box_is_shown_at_its_worst() -> None:
    found = [(f, i, x + (6 if i == 1 and f == 30 else 0)) for f, i, x in TRUTH]
    failures = find_failures(clip(found), min_score=0.5)
    assert [(one.kind, one.frame) for one in failures] == [("loose box", 30)]


def test_weak_boxes_do_not_count() -> None:
    assert kinds([])["miss"] == 2
    weak = Clip(**{**vars(clip(TRUTH)), "found": table(TRUTH, score=0.2)})
    assert {one.kind for one in find_failures(weak, min_score=0.5)} == {"miss"}


def test_runs() -> None:
    assert runs_of(np.zeros(4, bool)) == []
    assert runs_of(np.array([False, True, True, False])) == [(1, 2)]


def test_the_time_line_shows_misses_switches_and_false_alarms() -> None:
    found = [(f, 9 if i == 1 and f >= 20 else i, x) for f, i, x in TRUTH if f != 5]
    found.append((8, 7, 700.0))
    svg = timeline(clip(found), min_score=0.5, title="a<b>.mp4")
    assert svg.count('class="missed"') == 2
    assert svg.count('class="switch"') == 1
    assert svg.count('class="alarm"') == 1
    assert "a&lt;b&gt;.mp4" in svg
    assert "a<b>" not in svg


def test_the_clock_below_the_bands_is_the_containers() -> None:
    late = replace(clip(TRUTH), truth=replace(table(TRUTH), times_s=table(TRUTH).times_s + 7))
    svg = timeline(late, min_score=0.5, title="late")
    assert ">7.0 s<" in svg
    assert ">0.0 s<" not in svg


def test_tracks_without_a_band_are_counted() -> None:
    many = [(0, i, 30.0 * i) for i in range(1, MAX_BANDS + 4)]
    svg = timeline(replace(clip([]), truth=table(many)), min_score=0.5, title="many")
    assert ">3 more not shown<" in svg


def test_a_gap_in_sparse_labels_is_as_long_as_it_lasts() -> None:
    """One of every tenth frame is labelled: a miss lasts a second, which is no flicker."""
    sparse = [row for row in TRUTH if row[0] % 10 == 0]
    found = [row for row in sparse if row[0] != 10]
    seen = replace(clip(found), truth=table(sparse), frames=np.arange(0, NUM, 10))
    failures = {one.kind for one in find_failures(seen, min_score=0.5)}
    assert failures == {"miss"}


def test_a_difference_is_told_as_a_plus_of_the_better_run() -> None:
    dataset, predictions = scene(2, num_frames=100)
    fast = EvalSettings(bootstrap=BootstrapSettings(resamples=50))
    runs = [
        from_evaluation(evaluate(dataset, tables, settings=fast), name)
        for name, tables in (("best", perfect(dataset)), ("noisy", predictions))
    ]
    comparison = compare(*runs)
    ((what, numbers),) = [line for line in verdict(comparison) if line[0] == "best is better on"]
    assert what
    assert "-" not in numbers
    again = replace(runs[0], name="again")
    rows = headline([runs[0], again], [compare(runs[0], again)])
    assert not any(cell.best for row in rows for cell in row.cells)


def test_columns_of_words_are_told_from_columns_of_numbers() -> None:
    rows = (("a", "before", "-1.5", "\N{EN DASH}"), ("b", "after", "3 of 4", "2"))
    assert Table(title="", columns=("w", "x", "y", "z"), rows=rows).worded == (1, 1, 0, 0)
