"""Frames worth labelling: sharp, spread, different; and the way back from pictures to videos."""

import csv
import json
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import pytest
from typer.testing import CliRunner

from vodkit.cli.data import app
from vodkit.data.settings import SampleSettings
from vodkit.data.worth_labelling import choose_frames, farthest_first
from vodkit.formats.table import read_dataset
from vodkit.ground.errors import InputError, SettingsError
from vodkit.samples.samples import CLIP_A, CLIP_B, LABELS
from vodkit.video.writer import VideoWriter


def run(*words: object) -> str:
    done = CliRunner().invoke(app, [str(word) for word in words], catch_exceptions=False)
    assert done.exit_code == 0
    return done.output


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """8 s at 10 frames/s of four scenes; frame 15 is blurred, 25 black."""
    random = np.random.default_rng(0)
    scenes = [random.integers(0, 255, (96, 128, 3), np.uint8) for _ in range(4)]
    scenes = [cv2.resize(s[:24, :32], (128, 96), interpolation=cv2.INTER_NEAREST) for s in scenes]
    path = tmp_path_factory.mktemp("film") / "film.mp4"
    with VideoWriter(path, width_px=128, height_px=96, rate=Fraction(10)) as writer:
        for n in range(80):
            image = scenes[n // 20].copy()
            if n == 15:
                image = cv2.GaussianBlur(image, (0, 0), 6)
            if n == 25:
                image[:] = 0
            writer.write(image, n / 10)
    return path


def test_scenes_come_before_more_of_the_same(film: Path) -> None:
    chosen = choose_frames([film], SampleSettings(frames=4, every_s=0.5))[0]
    assert sorted(frame // 20 for frame in chosen.frames) == [0, 1, 2, 3]
    assert chosen.num_candidates == 16
    np.testing.assert_allclose(chosen.times_s, chosen.frames / 10, atol=1e-3)


def test_blurred_and_black_frames_are_left_out_and_counted(film: Path) -> None:
    chosen = choose_frames([film], SampleSettings(frames=100, every_s=0.5))[0]
    assert chosen.num_blurred == 2
    assert not {15, 25} & set(chosen.frames.tolist())
    assert len(chosen.frames) == 14


def test_a_dark_scene_with_bright_objects_is_not_black(tmp_path: Path) -> None:
    """As flies under infrared light: the mean is that of a black frame."""
    path, noise = tmp_path / "dark.mp4", np.random.default_rng(0)
    with VideoWriter(path, width_px=128, height_px=96, rate=Fraction(10)) as writer:
        for n in range(20):
            image = noise.integers(0, 12, (96, 128, 3)).astype(np.uint8)
            cv2.circle(image, (20 + 4 * n, 48), 10, (210, 210, 210), -1)
            writer.write(image, n / 10)
    (chosen,) = choose_frames([path], SampleSettings(frames=2, every_s=0.5))
    assert len(chosen.frames) == 2


def test_the_seed_decides_and_nothing_else(film: Path) -> None:
    wanted = SampleSettings(frames=5, seed=3)
    one, two = (choose_frames([film], wanted)[0].frames.tolist() for _ in range(2))
    assert one == two


def test_a_video_without_a_usable_frame_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "black.mp4"
    with VideoWriter(path, width_px=64, height_px=48, rate=Fraction(10)) as writer:
        for n in range(5):
            writer.write(np.zeros((48, 64, 3), np.uint8), n / 10)
    with pytest.raises(InputError, match="black or blurred"):
        choose_frames([path])


@pytest.mark.parametrize("wrong", [{"frames": 0}, {"every_s": 0}, {"blurred": 1}])
def test_settings_out_of_range(wrong: dict[str, float]) -> None:
    with pytest.raises(SettingsError, match="allowed"):
        SampleSettings(**wrong)  # type: ignore[arg-type]


def test_farthest_first_covers_better_than_chance() -> None:
    random = np.random.default_rng(0)
    points = random.normal(0, 1, (200, 3))
    taken = points[farthest_first(points, 20)]
    other = points[random.choice(200, 20, replace=False)]

    def farthest(some: np.ndarray) -> float:
        return float(np.linalg.norm(points[:, None] - some[None], axis=2).min(axis=1).max())

    assert farthest(taken) < farthest(other)


@pytest.fixture(scope="module")
def labelled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of sampled pictures, and COCO labels of them as a tool would export: the truth's."""
    folder = tmp_path_factory.mktemp("sampled") / "to_label"
    run("sample", CLIP_A, CLIP_B, "-o", folder, "--frames", 8, "--classes", "person")
    truth = {Path(v.source).name: v for v in read_dataset(LABELS).videos}
    images, boxes = [], []
    with (folder / "frames.csv").open(encoding="utf-8") as file:
        for number, row in enumerate(csv.DictReader(file)):
            images.append({"id": number, "file_name": row["picture"], "width": 768, "height": 576})
            tracks = truth[Path(row["video"]).name].tracks
            assert tracks is not None
            for x1, y1, x2, y2 in tracks.boxes_xyxy[tracks.frames == int(row["frame"])]:
                box = [x1, y1, x2 - x1, y2 - y1]
                one = {"id": len(boxes) + 1, "image_id": number, "category_id": 1, "bbox": box}
                boxes.append(one | {"area": box[2] * box[3], "iscrowd": 0})
    content = {"images": images, "annotations": boxes, "categories": [{"id": 1, "name": "person"}]}
    (folder / "labels.json").write_text(json.dumps(content), encoding="utf-8")
    return folder


@pytest.mark.slow
def test_labels_of_pictures_become_labels_of_the_videos(labelled: Path) -> None:
    out = labelled.parent / "dataset.json"
    run("import", labelled / "labels.json", "--frames", labelled / "frames.csv", "-o", out)
    truth = {Path(v.source).name: v.tracks for v in read_dataset(LABELS).videos}
    made = read_dataset(out)
    assert {Path(video.source).name for video in made.videos} == set(truth)
    assert sum(len(video.labelled_frames) for video in made.videos) == 8
    for video in made.videos:
        assert (out.parent / video.source).is_file()
        whole = truth[Path(video.source).name]
        part = whole[np.isin(whole.frames, video.labelled_frames)]
        np.testing.assert_allclose(
            np.sort(video.tracks.boxes_xyxy, axis=0), np.sort(part.boxes_xyxy, axis=0), atol=1e-6
        )
        np.testing.assert_allclose(np.unique(video.tracks.times_s), np.unique(part.times_s))


def test_set_up_files_name_the_classes(labelled: Path) -> None:
    names = json.loads((labelled / "cvat-labels.json").read_text(encoding="utf-8"))
    assert [one["name"] for one in names] == ["person"]
    assert 'value="person"' in (labelled / "label-studio-config.xml").read_text(encoding="utf-8")
    tasks = json.loads((labelled / "label-studio-tasks.json").read_text(encoding="utf-8"))
    assert len(tasks) == 8


@pytest.mark.parametrize(
    ("lines", "says"),
    [
        ("a,b", "line 1"),
        ("picture,video,frame,time_s\np.jpg,v.mp4,x,0", "line 2"),
        ("picture,video,frame,time_s\np.jpg,v.mp4,1,nan", "line 2"),
        ("picture,video,frame,time_s\np.jpg,v.mp4,1,0\np.jpg,v.mp4,2,0", "line 3"),
        ("picture,video,frame,time_s\np.jpg,v.mp4,1,0", "not a picture of"),
    ],
)
def test_a_wrong_table_is_refused(labelled: Path, tmp_path: Path, lines: str, says: str) -> None:
    table = tmp_path / "frames.csv"
    table.write_text(lines, encoding="utf-8")
    words = ["import", labelled / "labels.json", "--frames", table, "-o", tmp_path / "d.json"]
    done = CliRunner().invoke(app, [str(word) for word in words])
    assert says in str(done.exception)
    assert not (tmp_path / "d.json").exists()
