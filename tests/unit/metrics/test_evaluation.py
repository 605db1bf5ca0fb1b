"""One evaluation end to end: records, JSON, intervals, comparing, files, the command line."""

import json
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest

from metric_scenes import RATE, perfect, scene, table, video
from vodkit.cli.main import main
from vodkit.formats.predictions import MODES, Header, PredictionWriter, write_table
from vodkit.formats.table import write_dataset
from vodkit.ground.errors import FormatError, InputError, SettingsError
from vodkit.ground.records import (
    STATE_NAMES,
    Dataset,
    Detections,
    LabelledVideo,
    State,
    Tracks,
    TrackTable,
)
from vodkit.ground.runs import MANIFEST, METRICS, write_json
from vodkit.metrics.accumulate import MetricAccumulator
from vodkit.metrics.bootstrap import BootstrapSettings, draw, interval, make_units
from vodkit.metrics.clips import make_clips
from vodkit.metrics.compare import compare, compare_all, from_evaluation, load_run
from vodkit.metrics.evaluation import EvalSettings, evaluate
from vodkit.metrics.headline import DEFINITIONS
from vodkit.metrics.prediction_files import read_predictions
from vodkit.metrics.validate import find_problems, require_valid

QUICK = EvalSettings(bootstrap=BootstrapSettings(resamples=100))


def side_to_test():
    dataset, predictions = scene(11, num_frames=20)
    videos = tuple(replace(video, split="test") for video in dataset.videos)
    return replace(dataset, videos=videos), predictions


@pytest.fixture(scope="module")
def result():
    dataset, predictions = side_to_test()
    return evaluate(dataset, predictions, settings=QUICK, split="test", about={"mode": "online"})


def test_everything_is_there_with_intervals_and_protocols(result):
    usual = [name for name in DEFINITIONS if name != "ap50_low_quality"]  # only where asked for
    assert [one.name for one in result.headline] == usual
    for one in result.headline:
        if one.name != "identities_kept":
            assert one.low <= one.value <= one.high, one
        assert one.protocol
    assert result.replicates.unit == "video"
    assert set(result.per_video) == {f"v{k}.mp4" for k in range(11)}
    assert set(result.detection.coco.per_class) == {"class0", "class1"}
    assert result.data.num_frames == 220


def test_json_has_no_nan_and_comes_back(result):
    text = json.dumps(result.to_json(), allow_nan=False)
    again = json.loads(text)
    assert again["schema"] == 1
    assert again["detection"]["vid"]["protocols"].keys() == {"coco", "vid-devkit", "mega"}
    assert again["data"]["split"] == "test"
    assert again["tracking"]["overall"]["hota"]["hota"] == pytest.approx(
        result.tracking.overall.hota.hota, abs=1e-8
    )


def test_the_same_input_gives_the_same_output(result):
    dataset, predictions = side_to_test()
    again = evaluate(dataset, predictions, settings=QUICK, split="test", about={"mode": "online"})
    assert again.to_json() == result.to_json()


def test_a_side_alone_is_measured(result):
    """With the other side's video at hand as well, whose objects nobody looked for."""
    dataset, predictions = side_to_test()
    other = replace(dataset.videos[0], source="other.mp4", split="train")
    both = replace(dataset, videos=(*dataset.videos, other))
    again = evaluate(both, predictions, settings=QUICK, split="test", about={"mode": "online"})
    assert again.to_json() == result.to_json()
    with pytest.raises(InputError, match="no videos in split 'val'"):
        evaluate(both, predictions, settings=QUICK, split="val")


def test_few_videos_are_cut_into_blocks_and_it_is_said():
    dataset, predictions = scene(2, num_frames=100)
    few = evaluate(dataset, predictions, settings=QUICK)
    assert (few.replicates.unit, few.replicates.num_units) == ("block", 20)
    assert any("do not say what other videos" in note for note in few.notes)
    assert all(one.low <= one.value <= one.high for one in few.headline if one.low is not None)


def test_no_resamples_no_intervals():
    dataset, predictions = scene(2)
    settings = EvalSettings(bootstrap=BootstrapSettings(resamples=0))
    bare = evaluate(dataset, predictions, settings=settings)
    assert all(one.low is None for one in bare.headline)


def test_perfect_predictions_of_one_short_video():
    dataset, _ = scene(1)
    best = evaluate(dataset, perfect(dataset), settings=QUICK)
    values = {one.name: one.value for one in best.headline}
    assert values.pop("stability") == 0.0
    values.pop("identities_kept")
    assert all(value == pytest.approx(1.0) for value in values.values())


def test_without_ids_there_is_no_tracking():
    dataset, predictions = scene(1)
    boxes = {name: replace(t, ids=np.full(len(t), -1)) for name, t in predictions.items()}
    found = evaluate(dataset, boxes, settings=QUICK)
    assert found.tracking is None
    assert "hota" not in {one.name for one in found.headline}
    assert any("no ids" in note for note in found.notes)
    assert found.to_json()["tracking"] is None


def test_missing_videos_count_as_nothing_found():
    dataset, predictions = scene(2)
    half = evaluate(dataset, {"v0.mp4": predictions["v0.mp4"]}, settings=QUICK)
    assert half.per_video["v1.mp4"].ap50 == 0.0
    assert "no predictions for 1 of 2 videos" in half.notes[0]


def test_states_that_do_not_count_are_left_out():
    dataset, _ = scene(1)
    best = perfect(dataset)
    coasting = {
        name: replace(t, states=np.full(len(t), State.PREDICTED)) for name, t in best.items()
    }
    seen = evaluate(dataset, coasting, settings=QUICK)
    assert seen.data.num_found == 0
    assert any("count only in the occlusion measures" in note for note in seen.notes)
    every = evaluate(dataset, coasting, settings=replace(QUICK, states=STATE_NAMES))
    assert every.data.num_found > 0
    assert seen.occlusion == every.occlusion  # hidden objects are what these boxes are for


def test_a_benchmark_is_applied_to_tracks_only():
    truth = table([(f, 1, 0, 0, 10, 10, 0) for f in range(9)] + [(f, 2, 50, 0, 60, 10, 7)
                                                                for f in range(9)])  # fmt: skip
    found = table([(f, k, 50 * k, 0, 50 * k + 10, 10, 0) for f in range(9) for k in (0, 1)])
    dataset = Dataset(classes=tuple("abcdefgh"), videos=(video("v", truth, num_frames=9),))
    plain = evaluate(dataset, {"v": found}, settings=QUICK)
    bench = evaluate(dataset, {"v": found}, settings=replace(QUICK, benchmark="MOT17"))
    assert plain.tracking.overall.clear.mota == pytest.approx(0.0)
    assert bench.tracking.overall.clear.mota == pytest.approx(1.0)
    assert bench.detection.coco == plain.detection.coco


@pytest.mark.parametrize(
    ("options", "name"),
    [
        ({"min_score": 1.5}, "min_score"),
        ({"benchmark": "MOT18"}, "MOT17"),
        ({"states": ("seen",)}, "observed"),
    ],
)
def test_wrong_settings_are_refused(options, name):
    with pytest.raises(SettingsError, match=name):
        EvalSettings(**options)
    for bad in ({"resamples": -1}, {"confidence": 1.0}, {"min_videos": 0}):
        with pytest.raises(SettingsError, match=next(iter(bad))):
            BootstrapSettings(**bad)


def test_problems_are_found_with_file_and_frame():
    dataset, predictions = scene(1)
    beyond = table([(40, 1, 0, 0, 9, 9)])
    label = table([(3, 1, 0, 0, 9, 9, 2)])
    bad = {"v0.mp4": beyond, "w0.mp4": label}
    problems = find_problems(dataset, bad, files={"v0.mp4": "a.jsonl"})
    assert [str(one) for one in problems] == [
        "a.jsonl, frame 40: beyond the end: the video has 40 frames, 0 to 39",
        "w0.mp4: no video 'w0.mp4' in the truth; it has v0.mp4",
    ]
    with pytest.raises(InputError, match=r"label 2; the truth has 2 classes"):
        evaluate(dataset, {"v0.mp4": label})
    with pytest.raises(InputError, match=r"and 1 more"):
        require_valid(dataset, bad)
    require_valid(dataset, predictions)
    unlabelled = replace(dataset.videos[0], tracks=None)
    with pytest.raises(InputError, match="no labelled video"):
        make_clips(Dataset(classes=("a",), videos=(unlabelled,)), {})


def test_better_tracks_are_told_from_worse_ones():
    dataset, poor = scene(10, missed=0.5, num_frames=20)
    good = scene(10, missed=0.05, num_frames=20)[1]
    settings = QUICK
    a = from_evaluation(evaluate(dataset, poor, settings=settings), "A")
    b = from_evaluation(evaluate(dataset, good, settings=settings), "B")
    forward, back = compare(a, b), compare(b, a)
    by_name = {one.name: one for one in forward.differences}
    assert by_name["frame_accuracy"].better == "B"
    assert forward.verdict.count("B is better on ") == 1
    assert "frame accuracy +" in forward.verdict.split(";")[0]
    reverse = {one.name: one for one in back.differences}
    assert reverse["frame_accuracy"].better == "B"
    assert reverse["ap50"].difference == pytest.approx(-by_name["ap50"].difference)
    itself = compare(a, a)
    assert not any(one.better for one in itself.differences)
    assert "cannot be distinguished" in itself.verdict
    assert json.dumps(itself.to_json(), allow_nan=False)


def test_other_data_and_other_definitions_are_not_compared(result):
    run = from_evaluation(result, "A")
    with pytest.raises(InputError, match="different data"):
        compare(run, replace(run, name="B", fingerprint="0"))
    other = {**run.settings, "min_score": 0.3}
    with pytest.raises(InputError, match=r"min_score is 0\.5 in A and 0\.3 in B"):
        compare(run, replace(run, name="B", settings=other))
    for mode in set(MODES) - {run.mode}:
        unlike = compare(run, replace(run, name="B", mode=mode))
        assert f"A is online, B is {mode}: one knows more of the future" in unlike.notes
    alike = compare(run, replace(run, name="B"))
    assert not any("the future" in note for note in alike.notes)


def test_runs_that_cannot_be_read(tmp_path):
    with pytest.raises(FormatError, match="cannot be read"):
        load_run(tmp_path)
    for text in ("{", "[]", '{"schema": 1}', '{"schema": 99}'):
        (tmp_path / METRICS).write_text(text)
        with pytest.raises(FormatError):
            load_run(tmp_path)


def test_intervals_widen_for_few_units_and_are_none_where_unknown():
    values = np.random.default_rng(0).normal(0.5, 0.1, 2000)
    many = interval(0.5, values, num_units=1000)
    few = interval(0.5, values, num_units=5)
    assert few.high - few.low > many.high - many.low
    assert interval(0.5, values, num_units=1) is None
    assert interval(None, values, num_units=9) is None
    assert interval(0.5, np.full(9, np.nan), num_units=9) is None
    moved = interval(0.9, values, num_units=1000, recentre=True)
    assert (moved.low + moved.high) / 2 == pytest.approx(0.9, abs=0.01)


def test_draws_depend_on_seed_and_number_only():
    settings = BootstrapSettings(resamples=50)
    assert (draw(7, settings) == draw(7, settings)).all()
    assert (draw(7, settings).sum(axis=1) == 7).all()
    assert (draw(7, settings) != draw(7, replace(settings, seed=1))).any()


def test_blocks_cover_every_frame_once():
    dataset, predictions = scene(3)
    clips = make_clips(dataset, predictions)
    units = make_units(clips, BootstrapSettings(min_block_frames=7))
    assert np.concatenate([u.frames for u in units.clips]).tolist() == [*range(40)] * 3
    assert len(units.of_image) == 120
    assert min(len(u.frames) for u in units.clips) >= 7


def test_accumulating_frame_by_frame_equals_all_at_once():
    dataset, predictions = scene(2)
    halves = [MetricAccumulator(dataset.classes, rate=RATE) for _ in range(2)]
    for k, one in enumerate(dataset.videos):
        for frame in range(40):
            truth, found = (t[t.frames == frame] for t in (one.tracks, predictions[one.source]))
            halves[(frame + k) % 2].update(
                one.source, frame, found=detections(found), truth=detections(truth)
            )
    whole = halves[0].merge(halves[1])
    boxes = {n: replace(t, ids=np.full(len(t), -1)) for n, t in predictions.items()}
    expected = evaluate(dataset, boxes, settings=QUICK)
    assert whole.compute_ap().overall.ap50 == pytest.approx(
        expected.detection.coco.overall.ap50, abs=0.01
    )
    assert whole.compute(QUICK).data.num_frames == 80
    with pytest.raises(InputError, match="frame 0 was given already"):
        whole.merge(halves[0])
    with pytest.raises(InputError, match="rates differ"):
        whole.merge(MetricAccumulator(("x",), rate=Fraction(1)))


def detections(rows):
    return Detections(rows.boxes_xyxy, rows.scores, rows.labels)


def test_ignore_regions_can_be_accumulated():
    one = MetricAccumulator(("a",))
    box = Detections(np.array([[0, 0, 9, 9]]), np.array([0.9]), np.array([0]))
    one.update("v", 0, found=box, truth=Detections.empty(), ignore=box)
    one.update("v", 1, found=box, truth=box)
    assert one.compute_ap().overall.ap == pytest.approx(1.0)
    assert one.compute(QUICK).frames.overall.frame_accuracy == 1.0


@pytest.fixture
def files(tmp_path):
    """A dataset file, and one MOTChallenge text file of tracks a video."""
    dataset, predictions = scene(2, num_classes=1)
    write_dataset(dataset, tmp_path / "labels.json", "cocovid")
    for name, found in predictions.items():
        lines = [
            f"{f + 1},{i + 1},{b[0]},{b[1]},{b[2] - b[0]},{b[3] - b[1]},{s},-1,-1,-1"
            for f, i, b, s in zip(found.frames, found.ids, found.boxes_xyxy, found.scores,
                                  strict=True)
        ]  # fmt: skip
        (tmp_path / f"{name[:-4]}.txt").write_text("\n".join(lines))
    return tmp_path, dataset, predictions


def test_files_are_matched_by_name_and_classes_by_name(files):
    folder, dataset, predictions = files
    paths = [folder / "v0.txt", folder / "v1.txt"]
    given = read_predictions(paths, dataset)
    assert set(given.tables) == set(predictions)
    assert given.tables["v1.mp4"].ids.tolist() == (predictions["v1.mp4"].ids + 1).tolist()
    with pytest.raises(InputError, match="two files are for"):
        read_predictions([paths[0], paths[0]], dataset)
    (folder / "other.txt").write_text(paths[0].read_text())
    with pytest.raises(InputError, match="not in the truth; it has"):
        read_predictions([folder / "other.txt"], dataset)
    single = Dataset(classes=dataset.classes, videos=dataset.videos[:1])
    taken = read_predictions([folder / "other.txt"], single)
    assert "taken for 'v0.mp4', the only video" in taken.notes[0]
    with pytest.raises(FormatError, match="no such file"):
        read_predictions([folder / "missing.txt"], dataset)


def test_predictions_of_another_side_are_left_out_and_said_so(files):
    """They were once taken for the only video of the side: AP 0.0, with a note at the end."""
    folder, dataset, _ = files
    side = Dataset(classes=dataset.classes, videos=dataset.videos[:1])
    every = [folder / "v0.txt", folder / "v1.txt"]
    given = read_predictions(every, side, elsewhere=["clips/v0.mp4", "clips/v1.mp4"])
    assert set(given.tables) == {"v0.mp4"}
    assert "is of clips/v1.mp4, which is on another side: left out" in given.notes[0]
    with pytest.raises(InputError, match=r"no predictions found .*on another side"):
        read_predictions(every[1:], side, elsewhere=["v0.mp4", "v1.mp4"])


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({}, None),
        ({"width_px": 999}, "999x"),
        ({"rate": Fraction(7, 2)}, "video with 7/2 frames/s, the labels are for"),
    ],
)
def test_predictions_of_a_scaled_or_cut_copy_are_told(files, change, says):
    """Boxes in other pixels and frames counted at another rate match nothing, without a word."""
    folder, dataset, predictions = files
    info = replace(dataset.videos[0].info, **change)
    table = predictions["v0.mp4"]
    copy = LabelledVideo(source="v0.mp4", info=info, tracks=table)
    write_dataset(replace(dataset, videos=(copy,)), folder / "copy.jsonl", "predictions")
    notes = read_predictions([folder / "copy.jsonl"], dataset).notes
    assert [says in note for note in notes] == [True] if says else notes == ()


def test_our_own_prediction_files_and_other_classes(files):
    folder, dataset, predictions = files
    info = dataset.videos[0].info
    header = Header(source="x/v0.mp4", classes=("dog", "class0"), info=info, tracker="t")
    path = folder / "run" / "predictions.jsonl"
    path.parent.mkdir()
    found = replace(predictions["v0.mp4"], labels=predictions["v0.mp4"].frames % 2)
    write_table(path, header, found, range(30))
    given = read_predictions([folder / "run"], dataset)
    assert given.about == {"detector": "", "tracker": "t", "mode": "online"}
    assert (given.tables["v0.mp4"].labels == 0).all()
    assert any("classes that the truth lacks are left out: dog " in n for n in given.notes)
    renamed = read_predictions([folder / "run"], dataset, class_map={"dog": "class0"})
    assert len(renamed.tables["v0.mp4"]) == len(found)
    strange = Dataset(classes=("cat",), videos=(video("v0.mp4", TrackTable.empty()),))
    with pytest.raises(InputError, match="--class-map dog=cat"):
        read_predictions([folder / "run"], strange)


def test_a_class_map_must_lead_to_a_class_of_the_truth(files):
    """It was taken without a word, and the boxes were left out as those of an unknown class."""
    folder, dataset, _ = files
    with pytest.raises(
        SettingsError, match="zebra=nix: the truth has no class 'nix'; it has: class0"
    ):
        read_predictions([folder / "v0.txt"], dataset, class_map={"zebra": "nix"})


def run_command(*words):
    with pytest.raises(SystemExit) as left:
        main([str(word) for word in words])
    assert left.value.code == 0, words


@pytest.mark.slow
def test_the_commands(files, capsys):
    folder, _, _ = files
    outs = [folder / name for name in "abc"]
    files = (folder / "labels.json", folder / "v0.txt", folder / "v1.txt")
    few = ("--set", "bootstrap.resamples=50", "--no-report")
    for out in outs:
        run_command("eval", *files, *few, "--out", out)
    assert "HOTA" in capsys.readouterr().out
    content = json.loads((outs[0] / METRICS).read_text())
    assert content["settings"]["bootstrap"]["resamples"] == 50
    assert content["streaming"] is None
    run_command("compare", *outs[:2])
    assert "cannot be distinguished" in capsys.readouterr().out
    page = folder / "compared.html"
    run_command("compare", *outs, "--json", "--report", page)
    told = json.loads(capsys.readouterr().out)
    assert [one["b"] for one in told] == [out.name for out in outs[1:]]
    text = page.read_text(encoding="utf-8")
    assert "a against b" in text
    assert "a against c" in text


def test_a_run_cannot_be_compared_with_itself(result):
    run = from_evaluation(result, "A")
    with pytest.raises(InputError, match="runs of one name: A, A"):
        compare_all([run, run])
    with pytest.raises(InputError, match="1 runs to compare; allowed: 2 or more"):
        compare_all([run])


def test_what_to_evaluate_is_told_in_one_way(files, capsys):
    folder, _, _ = files
    with pytest.raises(SystemExit) as left:
        main(["eval", str(folder / "labels.json"), "--out", str(folder / "a")])
    assert left.value.code == 2
    assert "either prediction files or --model" in capsys.readouterr().err


@pytest.mark.slow
def test_streaming_accuracy_falls_with_latency(files, capsys):
    folder, dataset, _ = files
    found = perfect(dataset)
    period = 1 / float(RATE)
    scores = []
    for latency_s in (period / 2, 3 * period):
        told = {video.source: latency_s for video in dataset.videos}
        streaming = evaluate(dataset, found, settings=QUICK, latency_s=told).streaming
        scores.append(streaming.coco.overall.ap)
        assert streaming.latency_s == told
    assert scores[0] > scores[1]
    assert evaluate(dataset, found, settings=QUICK, latency_s={"v0.mp4": 0.1}).streaming is None
    with pytest.raises(InputError, match=r"v0.mp4: latency_s is -1; allowed: above 0"):
        evaluate(dataset, found, settings=QUICK, latency_s={"v0.mp4": -1, "v1.mp4": 1})
    out = folder / "late"
    run_command("eval", folder / "labels.json", folder / "v0.txt", folder / "v1.txt",
                "--latency-s", "0.05", "--no-report", "--out", out)  # fmt: skip
    told = json.loads((out / METRICS).read_text())["streaming"]
    assert told["latency_s"] == {"v0.mp4": 0.05, "v1.mp4": 0.05}
    assert 0 < told["mean_staleness_frames"] < 3


def test_the_manifest_of_a_run_tells_the_latency(files):
    folder, dataset, predictions = files
    header = Header(source="v0.mp4", classes=dataset.classes, info=dataset.videos[0].info)
    path = folder / "run" / "predictions.jsonl"
    path.parent.mkdir()
    write_table(path, header, predictions["v0.mp4"], range(40))
    write_json(path.with_name(MANIFEST), {"latency_s": 0.25})
    assert read_predictions([path.parent], dataset).latency_s == {"v0.mp4": 0.25}
    path.with_name(MANIFEST).write_text("[", encoding="utf-8")
    with pytest.raises(FormatError, match="not a manifest"):
        read_predictions([path.parent], dataset)


def test_tracks_never_confirmed_do_not_count_and_confirmed_ones_count_from_their_start(files):
    """As ``vodkit track`` writes tables out: back-filled to the first box, or not at all."""
    folder, dataset, predictions = files
    found = predictions["v0.mp4"]
    first, other = np.unique(found.ids)[:2]
    doubted = ((found.ids == first) & (found.frames < 3)) | (found.ids == other)
    header = Header(
        source="v0.mp4", classes=dataset.classes, info=dataset.videos[0].info, tracker="t"
    )
    path = folder / "predictions.jsonl"
    with PredictionWriter(path, header) as writer:
        for frame in range(40):
            at = found.frames == frame
            rows = found[at]
            tracks = Tracks(rows.boxes_xyxy, rows.scores, rows.labels, rows.ids, rows.states,
                            tentative=doubted[at])  # fmt: skip
            writer.write(frame, frame / float(RATE), tracks)
    given = read_predictions([path], dataset)
    expected = found[found.ids != other]
    assert (given.tables["v0.mp4"].ids == expected.ids).all()
    assert (given.tables["v0.mp4"].frames == expected.frames).all()
    count = int((found.ids == other).sum())
    assert any(f"{count} boxes of tracks never confirmed" in note for note in given.notes)


def test_what_a_tracker_leaves_untold_in_text_files_is_no_score(tmp_path):
    """``-1`` as confidence and as class of a tracker's text file is no score and no class."""
    dataset, _ = scene(1, num_classes=1)
    path = tmp_path / "v0.txt"
    path.write_text("1,1,10,10,20,20,-1,-1,-1\n2,1,10,10,20,20,0,-1,-1\n")
    table = read_predictions([path], dataset).tables["v0.mp4"]
    assert table.scores.tolist() == [1.0, 0.0]
    assert table.labels.tolist() == [0, 0]
    assert not table.ignore.any()


def test_written_metrics_can_be_compared(result, tmp_path):
    write_json(tmp_path / METRICS, result.to_json())
    there = load_run(tmp_path)
    assert there.values == pytest.approx({one.name: one.value for one in result.headline}, abs=1e-8)
    compare(there, replace(from_evaluation(result, "B")))


def test_a_recording_in_several_splits_needs_a_choice():
    dataset, _ = scene(1)
    found = perfect(dataset)
    parts = [replace(dataset.videos[0], split=split) for split in ("train", "val")]
    both = Dataset(classes=dataset.classes, videos=tuple(parts))
    with pytest.raises(InputError, match=r"stands in train, val; choose one with --split"):
        evaluate(both, found)
    assert evaluate(both.only("val"), found).detection.coco.overall.ap50 == pytest.approx(1)
