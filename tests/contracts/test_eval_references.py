"""``vodkit eval`` on files, through the command line, equals the reference programs to 1e-9."""

import contextlib
import importlib
import io
import json
import sys
import types
import warnings

import numpy as np
import pytest
from typer.testing import CliRunner

from metric_scenes import table, video
from vodkit.cli.main import app
from vodkit.formats.predictions import Header, PredictionWriter
from vodkit.formats.table import read_dataset, write_dataset
from vodkit.ground.errors import FormatError, InputError
from vodkit.ground.records import Dataset, Detections
from vodkit.infer.exports import export

CATEGORIES = [{"id": 7, "name": "dog"}, {"id": 1, "name": "cat"}, {"id": 9, "name": "bird"}]
STATS = (
    "ap", "ap50", "ap75", "ap_small", "ap_medium", "ap_large",
    "ar1", "ar10", "ar100", "ar_small", "ar_medium", "ar_large",
)  # fmt: skip


def evaluate(*words):
    """The JSON that ``vodkit eval`` prints."""
    words = ["eval", *map(str, words), "--json", "--no-report", "--set", "bootstrap.resamples=0"]
    result = CliRunner().invoke(app, words, catch_exceptions=True)
    if result.exception is not None:
        raise result.exception
    return json.loads(result.stdout)


def coco_scene(seed, kind):
    """Truth and a result list: images in any order, ties, crowds, areas of masks, decimals."""
    rng = np.random.default_rng(seed)
    numbers = rng.permutation(np.arange(3, 250, 9)).tolist()
    images = [{"id": n, "file_name": f"{n:04d}.jpg", "width": 640, "height": 480} for n in numbers]
    truth, found = [], []
    for number in numbers:
        for _ in range(rng.integers(0, 5)):
            x, y, w, h = rng.uniform((0, 0, 5, 5), (500, 350, 140, 130))
            if kind in ("decimals", "area"):
                x, y, w, h = (round(value, 1) for value in (x, y, w, h))
            label = int(rng.choice([1, 7] if kind == "no truth" else [1, 7, 9]))
            entry = {"id": len(truth) + 1, "image_id": number, "category_id": label,
                     "bbox": [x, y, w, h], "area": w * h * (0.3 if kind == "area" else 1),
                     "iscrowd": int(rng.random() < 0.25 * (kind == "crowd"))}  # fmt: skip
            truth.append(entry)
            for _ in range(rng.integers(0, 4)):
                score = float(rng.choice([0.5, 0.7, 0.9])) if kind == "ties" else rng.random()
                shift = rng.normal(0, 8, 4)
                if kind == "decimals":  # on the thresholds: a half, three quarters, all of it
                    shift = np.array([0, 0, 0, h * rng.choice([1, 1 / 3, 0])]).round(1)
                box = [x + shift[0], y + shift[1], max(2, w + shift[2]), max(2, h + shift[3])]
                other = label if rng.random() < 0.8 else int(rng.choice([1, 7, 9]))
                box = [float(round(v, 12)) for v in box]
                entry = {"image_id": number, "category_id": other, "bbox": box, "score": score}
                found.append(entry)
    if kind == "many":
        corners = rng.uniform(0, 400, (3 * 150, 2))
        for k, corner in enumerate(corners.tolist()):
            found.append({"image_id": numbers[k % 3], "category_id": 1, "bbox": [*corner, 30, 30],
                          "score": rng.random()})  # fmt: skip
    return {"images": images, "annotations": truth, "categories": CATEGORIES}, found


def write(folder, truth, found):
    (folder / "gt.json").write_text(json.dumps(truth))
    (folder / "dt.json").write_text(json.dumps(found))
    return folder / "gt.json", folder / "dt.json", "--out", folder / "out"


KINDS = ("plain", "ties", "no truth", "crowd", "many", "area", "decimals")


@pytest.mark.parametrize("kind", KINDS)
def test_a_result_list_gives_the_numbers_of_pycocotools(kind, tmp_path):
    coco = pytest.importorskip("pycocotools.coco")
    cocoeval = pytest.importorskip("pycocotools.cocoeval")
    for seed in range(2):
        files = write(tmp_path, *coco_scene(seed, kind))
        with contextlib.redirect_stdout(io.StringIO()):
            truth = coco.COCO(files[0])
            run = cocoeval.COCOeval(truth, truth.loadRes(str(files[1])), "bbox")
            run.evaluate()
            run.accumulate()
            run.summarize()
        ours = evaluate(*files)["detection"]["coco"]
        values = [-1.0 if ours["overall"][k] is None else ours["overall"][k] for k in STATS]
        assert values == pytest.approx(run.stats.tolist(), abs=1e-9), (kind, seed)
        for place, name in enumerate(("cat", "dog", "bird")):  # by id, as pycocotools has them
            grid = run.eval["precision"][:, :, place, 0, 2]
            expected = grid[grid > -1].mean() if (grid > -1).any() else None
            assert ours["per_class"][name]["ap"] == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("seed", range(2))
def test_ties_of_a_cocovid_file_follow_the_ids_of_its_images(seed, tmp_path):
    """Frames of two videos whose image ids are mixed: pycocotools knows no videos."""
    coco = pytest.importorskip("pycocotools.coco")
    cocoeval = pytest.importorskip("pycocotools.cocoeval")
    truth, found = coco_scene(seed, "ties")
    for place, image in enumerate(sorted(truth["images"], key=lambda image: image["id"] % 7)):
        image |= {"video_id": 1 + place % 2, "frame_id": place // 2}
    size = {"width": 640, "height": 480}
    truth["videos"] = [{"id": number, "name": f"v{number}", **size} for number in (1, 2)]
    files = write(tmp_path, truth, found)
    with contextlib.redirect_stdout(io.StringIO()):
        known = coco.COCO(files[0])
        run = cocoeval.COCOeval(known, known.loadRes(str(files[1])), "bbox")
        run.evaluate()
        run.accumulate()
        run.summarize()
    ours = evaluate(*files)["detection"]["coco"]["overall"]
    values = [-1.0 if ours[k] is None else ours[k] for k in STATS]
    assert values == pytest.approx(run.stats.tolist(), abs=1e-9)


@pytest.fixture(scope="module")
def tide():
    """``tidecv`` without what its plots and downloads need."""
    plots, datasets = types.ModuleType("tidecv.plotting"), types.ModuleType("tidecv.datasets")
    plots.Plotter = lambda: None
    sys.modules.update({"tidecv.plotting": plots, "tidecv.datasets": datasets})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            yield importlib.import_module("tidecv")
        except ImportError as error:
            pytest.skip(f"tidecv cannot be imported: {error}")
    for name in [one for one in sys.modules if one.partition(".")[0] == "tidecv"]:
        del sys.modules[name]


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["plain", "ties", "many", "no truth", "crowd"])
def test_a_result_list_gives_the_numbers_of_tidecv(kind, tide, tmp_path):
    truth, found = coco_scene(5, kind)
    if kind == "no truth":  # tidecv counts a class without truth as 0, vodkit leaves it out
        found = [one for one in found if one["category_id"] != 9]
    ours = evaluate(*write(tmp_path, truth, found))["detection"]["errors"]
    there, seen = tide.Data("truth"), tide.Data("found")
    for image in sorted(image["id"] for image in truth["images"]):
        there.add_image(image, str(image))
    for one in truth["annotations"]:
        add = there.add_ignore_region if one["iscrowd"] else there.add_ground_truth
        add(one["image_id"], one["category_id"], one["bbox"])
    for one in sorted(found, key=lambda one: one["image_id"]):
        seen.add_detection(one["image_id"], one["category_id"], one["score"], one["bbox"])
    theirs = tide.TIDE().evaluate(there, seen, mode="bbox")
    names = {"Cls": "class", "Loc": "localisation", "Both": "both", "Dupe": "duplicate",
             "Bkg": "background", "Miss": "missed"}  # fmt: skip
    assert ours["ap50"] == pytest.approx(theirs.ap / 100, abs=1e-9)
    counts = theirs.count_errors()
    if kind == "crowd":  # tidecv leaves boxes in crowds out of AP, and counts them as errors
        differences = [counts[one] - ours["counts"][names[one.short_name]] for one in counts
                       if one.short_name in names]  # fmt: skip
        assert min(differences) >= 0
        assert sum(differences) > 0
    for error, value in theirs.fix_main_errors().items():
        assert kind == "crowd" or ours["counts"][names[error.short_name]] == counts[error]
        assert ours["ap_loss"][names[error.short_name]] == pytest.approx(value / 100, abs=1e-9)


def mot_scene(folder, seed):
    """Truth of MOT17's kind with distractors and static persons, and tracks with gaps."""
    rng = np.random.default_rng(seed)
    truth, found = [], []
    where, size = rng.uniform(0, 400, (9, 2)), rng.uniform(30, 80, (9, 2))
    for frame in range(1, 41):
        where += rng.normal(0, 3, where.shape)
        for k, (corner, extent) in enumerate(zip(where, size, strict=True)):
            kind = (1, 1, 1, 1, 1, 2, 7, 8, 12)[k]
            numbers = ",".join(f"{v:.3f}" for v in (*corner, *extent))
            truth.append(f"{frame},{k + 1},{numbers},{int(kind == 1)},{kind},1.0")
            if rng.random() < 0.8 and frame % 13:  # every 13th frame is empty
                name = k + 1 + 20 * (frame // 17) * (k % 2)
                near = (*(corner + rng.normal(0, 5, 2)), *extent)
                numbers = ",".join(f"{v:.3f}" for v in near)
                found.append(f"{frame},{name},{numbers},0.9,-1,-1,-1")
    sequence = folder / "gt" / "MOT17-train" / "MOT17-99"
    (sequence / "gt").mkdir(parents=True)
    (sequence / "gt" / "gt.txt").write_text("\n".join(truth) + "\n")
    (sequence / "seqinfo.ini").write_text(
        "[Sequence]\nname=MOT17-99\nimDir=img1\nframeRate=30\nseqLength=40\n"
        "imWidth=640\nimHeight=480\nimExt=.jpg\n"
    )
    tracks = folder / "trackers" / "MOT17-train" / "mine" / "data"
    tracks.mkdir(parents=True)
    (tracks / "MOT17-99.txt").write_text("\n".join(found) + "\n")
    return sequence, tracks / "MOT17-99.txt"


@pytest.mark.parametrize("seed", range(2))
def test_a_mot_folder_gives_the_numbers_of_trackeval(seed, tmp_path):
    trackeval = pytest.importorskip("trackeval")
    sequence, tracks = mot_scene(tmp_path, seed)
    config = {
        "GT_FOLDER": str(tmp_path / "gt"), "TRACKERS_FOLDER": str(tmp_path / "trackers"),
        "BENCHMARK": "MOT17", "SPLIT_TO_EVAL": "train", "SEQ_INFO": {"MOT17-99": 40},
        "TRACKERS_TO_EVAL": ["mine"], "PRINT_CONFIG": False, "DO_PREPROC": True,
    }  # fmt: skip
    with contextlib.redirect_stdout(io.StringIO()):
        dataset = trackeval.datasets.MotChallenge2DBox(config)
        raw = dataset.get_raw_seq_data("mine", "MOT17-99")
        data = dataset.get_preprocessed_seq_data(raw, "pedestrian")
        metrics = trackeval.metrics
        hota = metrics.HOTA().eval_sequence(data)
        clear = metrics.CLEAR({"PRINT_CONFIG": False}).eval_sequence(data)
        identity = metrics.Identity({"PRINT_CONFIG": False}).eval_sequence(data)
    words = ("--set", "benchmark=MOT17", "--class-map", "class 1=pedestrian")
    result = evaluate(sequence, tracks, *words, "--out", tmp_path / "out")
    ours, counts = result["tracking"]["overall"], result["tracking"]["overall"]["counts"]["clear"]
    for mine, theirs in (("hota", "HOTA"), ("det_a", "DetA"), ("ass_a", "AssA"), ("loc_a", "LocA")):
        assert ours["hota"][mine] == pytest.approx(float(hota[theirs].mean()), abs=1e-9)
    for mine, theirs in (("mota", "MOTA"), ("motp", "MOTP"), ("fp_per_frame", "FP_per_frame")):
        assert ours["clear"][mine] == pytest.approx(float(clear[theirs]), abs=1e-9), mine
    for mine, theirs in (("idsw", "IDSW"), ("frag", "Frag"), ("num_frames", "CLR_Frames")):
        assert counts[mine] == int(clear[theirs]), mine
    assert ours["identity"]["idf1"] == pytest.approx(float(identity["IDF1"]), abs=1e-9)


def test_unknown_images_and_faulty_entries_are_named(tmp_path):
    truth, found = coco_scene(0, "plain")
    unknown = [*found[:2], {**found[2], "image_id": 4}]
    with pytest.raises(InputError, match=r"dt.json: \[2\]\.image_id: 4 is not in .*gt.json"):
        evaluate(*write(tmp_path, truth, unknown))
    for key, value, message in (
        ("score", 1.5, r"\[2\]\.score: is 1.5; allowed: 0 to 1"),
        ("score", float("inf"), r"\[2\]\.score: is inf; allowed: 0 to 1"),
        ("bbox", [1, 2, -3, 4], r"\[2\]\.bbox: is \[1, 2, -3, 4\]"),
        ("bbox", [1, 2, 3], r"\[2\]\.bbox: is a list of 3; allowed: 4 numbers"),
        ("image_id", 3.5, r"\[2\]\.image_id: is 3.5; allowed: a whole number"),
        ("category_id", "dog", r"\[2\]\.category_id: is 'dog'; allowed: a number"),
    ):
        files = write(tmp_path, truth, [*found[:2], {**found[2], key: value}])
        with pytest.raises(FormatError, match=message):
            evaluate(*files)


def test_an_empty_result_list_is_a_result(tmp_path):
    truth, _ = coco_scene(0, "plain")
    assert evaluate(*write(tmp_path, truth, []))["detection"]["coco"]["overall"]["ap"] == 0


def test_unknown_categories_are_left_out_with_one_note(tmp_path):
    truth, found = coco_scene(0, "plain")
    kinds = [{**one, "category_id": 33 if k % 4 == 0 else one["category_id"]}
             for k, one in enumerate(found)]  # fmt: skip
    notes = evaluate(*write(tmp_path, truth, kinds))["notes"]
    assert len([note for note in notes if "category 33" in note]) == 1


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("1,1,51,20,30,40,inf,1,1", r"t.txt:1: column 7 \(confidence\) is inf"),
        ("1,1,51,20,30,40,1,1,1\n1,-1,9,9,9,9,1,1,1", r"t.txt:2: column 2 \(id\) is -1"),
        ("1,1,51,20,30,40,1,1,1\n1,-2,9,9,9,9,1,1,1", r"t.txt:2: column 2 \(id\) is -2"),
        ("0,1,51,20,30,40,1,1,1", r"t.txt:1: column 1 \(frame\) is 0; allowed: 1 or more"),
        ("1.5,1,51,20,30,40,1,1,1", r"t.txt:1: column 1 is 1.5; allowed: a whole number"),
        ("41,1,51,20,30,40,1,1,1", r"t.txt, frame 40: beyond the end: the video has 40 frames"),
        ("1,1,inf,20,30,40,1,1,1", r"t.txt:1: box \(inf, 20, inf, 60\) in frame 0"),
    ],
)
def test_faulty_tracker_files_name_the_line(content, message, tmp_path):
    sequence, _ = mot_scene(tmp_path, 0)
    tracks = tmp_path / "t.txt"
    tracks.write_text(f"{content}\n")
    with pytest.raises(InputError, match=message) as caught:
        evaluate(sequence, tracks, "--out", tmp_path / "out")
    assert not str(caught.value).endswith("allowed: 0")


def test_an_empty_tracker_file_is_a_result(tmp_path):
    sequence, _ = mot_scene(tmp_path, 0)
    tracks = tmp_path / "t.txt"
    tracks.write_text("\n")
    words = ("--set", "benchmark=MOT17", "--out", tmp_path / "out")
    result = evaluate(sequence, tracks, *words)["tracking"]["overall"]
    assert (result["clear"]["mota"], result["hota"]["hota"]) == (0, 0)


@pytest.mark.slow
def test_areas_of_masks_survive_the_native_form(tmp_path):
    truth, found = coco_scene(1, "area")
    files = write(tmp_path, truth, found)
    before = evaluate(*files)
    native = tmp_path / "native.json"
    write_dataset(read_dataset(files[0]), native)
    numbers = {image["file_name"]: image["id"] for image in truth["images"]}
    new = {one["file_name"]: one["id"] for one in json.loads(native.read_text())["images"]}
    renamed = {numbers[name]: new[name] for name in numbers}
    moved = [{**one, "image_id": renamed[one["image_id"]]} for one in found]
    kinds = {7: 2, 1: 1, 9: 3}  # categories are numbered from 1 in the native form
    moved = [{**one, "category_id": kinds[one["category_id"]]} for one in moved]
    files[1].write_text(json.dumps(moved))
    after = evaluate(native, *files[1:])
    assert after["detection"]["coco"] == before["detection"]["coco"]


def test_a_list_of_one_video_finds_it_among_several(tmp_path):
    """``track --coco`` numbers the frames of its own video, whatever ids the truth has."""
    classes = ("cat", "dog")
    boxes = np.array([[10.0, 10, 60, 60]])
    videos = [video(f"clips/{name}.mp4", table([(3, 1, *boxes[0])])) for name in ("a", "b")]
    truth = tmp_path / "truth.json"
    write_dataset(Dataset(classes=classes, videos=tuple(videos)), truth)
    header = Header(source="clips/b.mp4", classes=("dog", "cat"), info=videos[1].info)
    run = tmp_path / "runs" / "b" / "predictions.jsonl"
    with PredictionWriter(run, header) as out:
        out.write(3, 0.12, Detections(boxes, np.ones(1), np.array([1])))
    export(run, {"coco": run.with_name("predictions.coco.json")})
    (run.parent.parent / "b2").mkdir()
    elsewhere = run.parent.parent / "b2" / "b.json"
    for path in (run.with_name("predictions.coco.json"), elsewhere):
        elsewhere.write_bytes(run.with_name("predictions.coco.json").read_bytes())
        result = evaluate(truth, path, "--out", tmp_path / "out")
        assert result["per_video"]["clips/b.mp4"]["ap50"] == pytest.approx(1)
        assert result["per_video"]["clips/a.mp4"]["ap50"] == 0


def test_a_truth_of_empty_images_is_undefined_not_a_fault(tmp_path):
    truth, found = coco_scene(0, "plain")
    result = evaluate(*write(tmp_path, {**truth, "annotations": []}, found))
    assert result["detection"]["coco"]["overall"]["ap"] is None


@pytest.mark.slow
def test_what_reading_lost_is_a_note_of_the_evaluation(tmp_path):
    truth, found = coco_scene(0, "plain")
    image = truth["images"][0]["id"]
    shapes = [
        {"segmentation": [[10, 10, 30, 12, 20, 30]]},
        {"segmentation": {"size": [2, 2], "counts": [4]}},
    ]
    truth["annotations"] += [
        {"id": 900 + k, "image_id": image, "category_id": 1, **shape}
        for k, shape in enumerate(shapes)
    ]
    notes = evaluate(*write(tmp_path, truth, found))["notes"]
    (lost,) = [note for note in notes if note.startswith("gt.json: of ")]
    assert "1 converted (" in lost
    assert "1 skipped (" in lost
    files = write(tmp_path, coco_scene(0, "plain")[0], found)
    assert not [note for note in evaluate(*files)["notes"] if note.startswith("gt.json")]
