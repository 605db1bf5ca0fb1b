"""Still pictures are measured as pictures: no tracker, no clock, no notes about video."""

import json
import os
from dataclasses import replace
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
from typer.testing import CliRunner

from vodkit.cli.main import app
from vodkit.detect.base import RunsOn
from vodkit.detect.models import find_card
from vodkit.formats.base import are_stills
from vodkit.formats.table import read_dataset, write_dataset
from vodkit.ground.errors import InputError, OutputError, PartialError, SettingsError
from vodkit.ground.records import Detections
from vodkit.infer.batch import Batch
from vodkit.infer.settings import InferSettings
from vodkit.infer.stills import detect_stills, record_of, settings_of_stills, stills_among
from vodkit.metrics.evaluation import evaluate
from vodkit.report.page import write_report
from vodkit.report.sections import Subject
from vodkit.video.picture_folders import judge

SIZES = ((64, 48), (120, 80), (50, 90), (64, 48), (80, 80), (90, 60))


class FindsBrightBoxes:
    """A detector whose boxes are the bright rectangle of each picture."""

    classes = ("raccoon",)

    def detect(self, frames):
        found = []
        for frame in frames:
            rows, columns = np.nonzero(frame.image[..., 0] > 128)
            box = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
            found.append(Detections(np.array([box], float), np.array([0.9]), np.array([0])))
        return found


@pytest.fixture
def coco(tmp_path):
    """A COCO file of pictures of many sizes, named as frames of a film might be."""
    (tmp_path / "pics").mkdir()
    images, boxes = [], []
    for k, (width, height) in enumerate(SIZES):
        picture = np.zeros((height, width, 3), np.uint8)
        picture[10:30, 5 + k : 25 + k] = 255
        name = f"pics/p00{k}0.png"
        cv2.imwrite(str(tmp_path / name), picture)
        images.append({"id": k + 1, "file_name": name, "width": width, "height": height})
        boxes.append({"id": k + 1, "image_id": k + 1, "category_id": 1,
                      "bbox": [5 + k, 10, 20, 20], "area": 400, "iscrowd": 0})  # fmt: skip
    content = {"images": images, "annotations": boxes,
               "categories": [{"id": 1, "name": "raccoon"}]}  # fmt: skip
    (tmp_path / "labels.json").write_text(json.dumps(content))
    return tmp_path / "labels.json"


def test_pictures_of_any_size_are_detected_and_found_again(coco):
    truth = read_dataset(coco)
    assert are_stills(truth)
    found = detect_stills(truth, coco.parent, FindsBrightBoxes())
    assert found.unreadable == ()
    write_dataset(found.predictions, coco.parent / "found.json")
    words = ["eval", str(coco), str(coco.parent / "found.json"), "--no-report",
             "--out", str(coco.parent / "out"), "--json"]  # fmt: skip
    result = CliRunner().invoke(app, words, catch_exceptions=False)
    numbers = json.loads(result.stdout)
    assert numbers["detection"]["coco"]["overall"]["ap"] == pytest.approx(1)
    assert numbers["data"]["stills"] is True
    names = [row["name"] for row in numbers["headline"]]
    assert names == ["ap", "ap50", "frame_accuracy", "exact_frame_accuracy"]
    text = " ".join([*numbers["notes"], *(row["protocol"] for row in numbers["headline"])])
    for word in ("frame", "video", "track", "block"):
        assert word not in text


def test_a_picture_that_is_cut_off_is_named_and_skipped(coco):
    path = coco.parent / "pics/p0010.png"
    path.write_bytes(path.read_bytes()[:60])
    found = detect_stills(read_dataset(coco), coco.parent, FindsBrightBoxes())
    assert len(found.predictions.videos) == len(SIZES) - 1
    (line,) = found.unreadable
    assert "p0010.png" in line


def test_the_report_of_pictures_speaks_of_no_video(coco):
    truth = read_dataset(coco)
    found = detect_stills(truth, coco.parent, FindsBrightBoxes()).predictions
    tables = {one.source: one.tracks for one in found.videos[1:]}
    tables[found.videos[1].source] = replace(found.videos[1].tracks, scores=np.array([0.3]))
    evaluation = evaluate(truth, tables)
    subject = Subject(title="mine", evaluation=evaluation, predictions=tables, videos={})
    write_report(coco.parent / "r.html", truth, coco.parent, [subject])
    page = (coco.parent / "r.html").read_text()
    shown = page.split("Every number")[0].lower()
    for word in ("time line", "hota", "identit", "by video", "moving", "frame accuracy"):
        assert word not in shown, word
    assert "by image" in shown


class IsKilled(FindsBrightBoxes):
    """After three pictures."""

    card = SimpleNamespace(name="bright", sha256="")
    runs_on = RunsOn("torch", "cpu")

    def __init__(self, num_left):
        self.num_left = num_left

    def detect(self, frames):
        if not self.num_left:
            raise KeyboardInterrupt
        self.num_left -= 1
        return super().detect(frames)


class FindsThem(IsKilled):
    """With a card, and never killed."""

    card = find_card("vodkit-street")[0]
    batch_size, choice = 1, None

    def __init__(self):
        self.num_left = -1


def recorded(coco, detector, settings=None):
    truth, settings = read_dataset(coco), settings_of_stills(settings or InferSettings())
    with record_of(coco.parent, truth, coco.parent, detector, settings, anew=True) as record:
        return detect_stills(truth, coco.parent, detector, record=record).predictions


def test_a_run_on_pictures_continues_after_a_kill(coco):
    whole = detect_stills(read_dataset(coco), coco.parent, FindsBrightBoxes()).predictions
    with pytest.raises(KeyboardInterrupt):
        recorded(coco, IsKilled(3))
    with (coco.parent / "pictures.jsonl").open("a") as file:
        file.write('{"frame": 3, "ti')  # torn
    rest = IsKilled(len(SIZES))
    assert recorded(coco, rest) == whole
    assert rest.num_left == 3
    other = IsKilled(len(SIZES))
    recorded(coco, other, InferSettings(score_threshold=0.7))
    assert other.num_left == 0, "of other settings nothing is kept"
    path = coco.parent / "pics/p0010.png"
    os.utime(path, ns=(0, 0))
    other = IsKilled(len(SIZES))
    recorded(coco, other, InferSettings(score_threshold=0.7))
    assert other.num_left == 0, "nor where a picture changed"


def invoke(*words):
    return CliRunner().invoke(app, [*map(str, words)])


@pytest.mark.slow
def test_track_and_detect_take_a_folder_of_stills_as_eval_does(coco):
    pics, out = coco.parent / "pics", coco.parent / "runs"
    (pics / "cut.png").write_bytes((pics / "p0000.png").read_bytes()[:60])
    done = invoke("track", pics, "--out", out, "--coco")
    assert isinstance(done.exception, PartialError), done.output
    assert "still pictures, no tracker (they have 5 sizes)" in done.output
    assert "cut.png" in done.output
    found = read_dataset(out / "pics/predictions.json")
    sizes = [(one.info.width_px, one.info.height_px) for one in found.videos]
    assert are_stills(found)
    assert sizes == [*SIZES], "boxes are in the pixels of each picture"
    assert not (out / "pics/predictions.jsonl").exists()
    assert (out / "pics/predictions.coco.json").exists()
    assert isinstance(invoke("detect", pics, "--out", out).exception, OutputError)
    (pics / "cut.png").unlink()
    assert invoke("detect", pics, "--out", out, "--overwrite").exit_code == 0
    assert invoke("detect", pics, "--out", out, "--resume").exit_code == 0
    assert read_dataset(out / "pics/predictions.json").videos == found.videos
    for option in ("--video", "--csv", "--mot", "--segments"):
        refused = invoke("track", pics, "--out", out, option)
        assert option in str(refused.exception)
    refused = invoke("track", pics, "--out", coco.parent / "tree", "--shard", "0/1")
    assert isinstance(refused.exception, SettingsError)
    assert "--shard" in str(refused.exception)
    assert "1 done" in invoke("runs", "ls", out).output
    for command in (("show", "--crops"), ("count", "--line", "1,1,2,2"), ("refine",)):
        for place in (out / "pics", out / "pics/predictions.json"):
            refused = invoke(command[0], place, *command[1:])
            assert isinstance(refused.exception, InputError)
            assert "still pictures" in str(refused.exception)


def test_a_batch_and_prelabel_take_stills(coco):
    pics, out = coco.parent / "pics", coco.parent / "runs"
    notes = []
    (done,) = Batch([str(pics)], InferSettings(score_threshold=0.01), out=out,
                    detector=FindsThem(), notify=notes.append).run()  # fmt: skip
    assert done.summary.boxes_by_class == {"raccoon": len(SIZES)}
    assert done.files == (out / "pics/predictions.json",)
    assert notes == [
        f"{pics}: still pictures, no tracker (they have 5 sizes); a film: --pictures film"
    ]
    with pytest.raises(SettingsError, match=r"holds still pictures, .* does not"):
        Batch([str(pics), str(coco)], out=out, overwrite=True)
    made = coco.parent / "more.json"
    words = ("data", "prelabel", pics, "-f", "cocovid", "-o", made, "--score-threshold", 0.01)
    assert invoke(*words).exit_code == 0
    found = read_dataset(made)
    assert are_stills(found)
    assert [one.source for one in found.videos] == [f"pics/p00{k}0.png" for k in range(len(SIZES))]
    assert (made.parent / found.videos[0].source).exists()


@pytest.mark.parametrize(
    ("names", "sizes", "stills"),
    [
        (["f1", "f2", "f10"], [(40, 32)] * 3, False),
        (["f1", "f2", "f10", "cover"], [(40, 32)] * 3 + [(50, 50)], False),
        (["f1", "f2", "f10"], [(40, 32), (32, 40), (50, 50)], True),
        (["cat", "dog", "house"], [(40, 32)] * 3, True),
        (["one"], [(40, 32)], False),
    ],
)
def test_names_and_sizes_tell_stills_from_a_film(tmp_path, names, sizes, stills):
    for name, (width, height) in zip(names, sizes, strict=True):
        cv2.imwrite(str(tmp_path / f"{name}.png"), np.zeros((height, width, 3), np.uint8))
    assert judge(tmp_path).are_stills is stills
    assert stills_among([str(tmp_path)], InferSettings(picture_rate="10")) == []
    assert stills_among([str(tmp_path)], InferSettings(pictures="film")) == []
    assert stills_among([str(tmp_path)], InferSettings(pictures="stills")) == [str(tmp_path)]


def written(folder, step_px, *, noise=0):
    """Numbered pictures of one size: a scene that moves by so much, or other scenes (None)."""
    folder.mkdir(parents=True)
    rng = np.random.default_rng(0)
    scene = cv2.resize(rng.integers(0, 255, (30, 80), np.uint8), (1280, 480))
    for k in range(12):
        if step_px is None:
            scene = cv2.resize(rng.integers(0, 255, (30, 80), np.uint8), (1280, 480))
        x = 0 if step_px is None else k * step_px
        image = scene[:, x : x + 640].astype(int) + rng.integers(-noise, noise + 1, (480, 640))
        cv2.imwrite(str(folder / f"{k:05d}.jpg"), image.clip(0, 255))
    return folder


def test_numbered_pictures_of_one_size_are_a_film_where_neighbours_are_alike(tmp_path):
    assert not judge(written(tmp_path / "fixed", 0, noise=30)).are_stills
    assert not judge(written(tmp_path / "moving", 16)).are_stills
    stills = written(tmp_path / "each", None)
    seen = judge(stills)
    assert seen.are_stills
    assert "resemble" in seen.why
    img1 = stills.rename(tmp_path / "img1")
    assert not judge(img1).are_stills, "MOTChallenge's name"
    (other := tmp_path / "other").mkdir()
    stills = img1.rename(other / "pics")
    (other / "seqinfo.ini").write_text("[Sequence]\nframeRate=30\n")
    assert not judge(stills).are_stills
    assert judge(stills).is_declared


def test_every_folder_of_real_pictures_is_what_it_is(shared_data):
    images = shared_data / "images"
    kinds = {
        images / "bccd/BCCD/JPEGImages": True,
        images / "raccoon/images": True,
        shared_data / "sequences/mot15/TUD-Campus/img1": False,
        shared_data.parent / "cases/picture-folder-rate/SEQ/img1": False,
    }
    assert {folder: judge(folder).are_stills for folder in kinds} == kinds
    linked = shared_data / "sequences/mot15/TUD-Campus/img1"
    assert not judge(linked.parent / "img1" / "..").are_stills


@pytest.mark.slow
def test_a_tracker_changes_nothing_on_pictures(coco):
    numbers = []
    for name in ("vodkit", "none"):
        words = ["eval", str(coco), "--model", "vodkit-street", "-t", name, "--no-report",
                 "--class-map", "person=raccoon", "--json",
                 "--out", str(coco.parent / name)]  # fmt: skip
        result = CliRunner().invoke(app, words, catch_exceptions=False)
        numbers.append(json.loads(result.stdout[result.stdout.index("{") :]))
    assert numbers[0]["detection"] == numbers[1]["detection"]
    assert numbers[0]["data"]["stills"] is True
    files = [(coco.parent / name / "predictions.json").read_bytes() for name in ("vodkit", "none")]
    assert files[0] == files[1]
