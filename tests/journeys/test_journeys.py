"""The first projects of new users, on real files: numbers and the words on the screen."""

import csv
import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from journeys.conftest import BLOCK, PAGE, commands
from terminal.screens import Seen
from vodkit.cli.main import main
from vodkit.formats.table import read_dataset
from vodkit.samples import samples
from vodkit.video.reader import open_video
from vodkit.video.writer import VideoWriter

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]
Go = Callable[..., Seen]


def headline(path: Path) -> dict[str, float | None]:
    """The main numbers of an evaluation, by name."""
    content = json.loads((path / "metrics.json").read_text(encoding="utf-8"))
    return {one["name"]: one["value"] for one in content["headline"]}


def convert(*words: str) -> None:
    """Prepare files with a command that is not part of the journey."""
    with pytest.raises(SystemExit) as left:
        main(list(words))
    assert left.value.code == 0


def test_every_journey_of_the_page_is_here() -> None:
    names = {name for name, _ in BLOCK.findall(PAGE.read_text(encoding="utf-8"))}
    tested = set(re.findall(r'commands\("([\w-]+)"\)', Path(__file__).read_text(encoding="utf-8")))
    assert names == tested


def label(folder: Path, to: Path) -> int:
    """What a person does: COCO labels of the chosen pictures; here from the sample's truth."""
    truth = {video.source: video.tracks for video in read_dataset(samples.LABELS).videos}
    with (folder / "frames.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    images, boxes = [], []
    for number, row in enumerate(rows, 1):
        height, width = cv2.imread(str(folder / row["picture"])).shape[:2]
        images.append({"id": number, "file_name": row["picture"], "width": width, "height": height})
        table = truth[Path(row["video"]).name]
        assert table is not None
        for x1, y1, x2, y2 in table[table.frames == int(row["frame"])].boxes_xyxy.tolist():
            box = [x1, y1, x2 - x1, y2 - y1]
            boxes.append(
                {"id": len(boxes) + 1, "image_id": number, "category_id": 1, "bbox": box,
                 "area": box[2] * box[3], "iscrowd": 0}
            )  # fmt: skip
    content = {"images": images, "annotations": boxes}
    content["categories"] = [{"id": 1, "name": "visitor"}]
    to.write_text(json.dumps(content), encoding="utf-8")
    return len(boxes)


def test_video_without_labels_to_an_own_class(go: Go, tmp_path: Path) -> None:
    sample, imports, split, train, prelabel, evaluate = commands("own-class")
    for clip in (samples.CLIP_A, samples.CLIP_B):
        shutil.copy(clip, tmp_path)
    assert "30 pictures" in go(sample).flat
    num_boxes = label(tmp_path / "to_label", tmp_path / "labels.json")
    seen = go(imports)
    assert "videos: 2, labelled frames: 30" in seen.flat
    assert f"boxes: {num_boxes}" in seen.flat
    assert "val" in go(split).flat
    seen = go(train)
    assert "best.safetensors" in seen.flat
    assert "next: vodkit track" in seen.flat
    assert "visitor" in go(prelabel).flat + (tmp_path / "more.json").read_text(encoding="utf-8")
    made = read_dataset(tmp_path / "more.json")
    assert made.videos[0].tracks is not None
    assert len(made.videos[0].tracks) > 300
    assert "AP50" in go(evaluate).flat
    ap50 = headline(tmp_path / "runs" / "eval")["ap50"]
    assert ap50 is not None
    assert ap50 > 0.85


@pytest.fixture
def real() -> Path | None:
    """Real recordings where they are: else the bundled clips serve."""
    place = Path(__file__).parents[3] / "shared" / "data" / "sequences"
    return place if place.is_dir() else None


def truth_of(path: Path, last: int) -> list[list[float]]:
    """The lines of a MOT15 truth up to a frame (1-based): frame, id, left, top, width, height."""
    rows = [line.split(",")[:6] for line in path.read_text(encoding="utf-8").split()]
    return [[float(one) for one in row] for row in rows if int(row[0]) <= last]


def test_pictures_in_voc_format(go: Go, tmp_path: Path, real: Path | None) -> None:
    imports, stats, evaluate = commands("voc")
    labels, least = samples.LABELS, 0.85
    if real is not None:
        labels, least = tmp_path / "street.json", 0.6
        street = str(real / "mot15" / "TUD-Campus")
        convert(
            "data", "import", street, "-o", str(labels), "--classes", "person", "--labelled", "all"
        )
    convert("data", "export", str(labels), "-f", "voc", "-o", str(tmp_path / "voc"))
    for path in sorted((tmp_path / "voc").rglob("*")):  # every fifth is enough
        number = re.search(r"(\d+)\.(jpg|xml)$", path.name)
        if number and int(number[1]) % 5:
            path.unlink()
    for path in (tmp_path / "voc").rglob("*.txt"):
        kept = [line for line in path.read_text().split() if int(line[-6:]) % 5 == 0]
        path.write_text("\n".join(kept) + "\n")
    num_images = len([*(tmp_path / "voc").rglob("*.xml")])
    seen = go(imports)
    assert f"images: {num_images}, labelled: {num_images}" in seen.flat
    assert "person" in go(stats).flat
    seen = go(evaluate)
    numbers = headline(tmp_path / "runs" / "pictures")
    assert numbers["ap50"] is not None
    assert numbers["ap50"] > least
    assert f"images: {num_images}" in seen.flat
    for word in ("HOTA", "track", "frame rate", "video"):
        assert word not in seen.flat
    page = (tmp_path / "runs" / "pictures" / "report.html").read_text(encoding="utf-8")
    text = re.sub(r"<(style|script|svg)\b.*?</\1>|<[^>]+>", " ", page, flags=re.DOTALL)
    assert not re.search(r"(?i)\b(videos?|frame rate|frames/s|tracker|HOTA)\b", text)


def test_poses_from_sleap(go: Go, tmp_path: Path, shared_data: Path) -> None:
    imports, audit, export = commands("sleap")
    for name in ("two_flies.mp4", "two_flies.slp"):
        shutil.copy(shared_data / "sequences" / "flies" / name, tmp_path)
    seen = go(imports)
    assert "labelled frames: 128, boxes: 256, tracks: 2" in seen.flat
    assert "converted skeleton -> upright hull: 256" in seen.flat
    assert go(audit).text
    assert "flies.json -> flies_mot (mot)" in go(export).flat
    made = [line.split(",") for path in (tmp_path / "flies_mot").rglob("gt.txt")
            for line in path.read_text(encoding="utf-8").split()]  # fmt: skip
    assert len(made) == 256
    assert {row[1] for row in made} == {"1", "2"}


def test_mot_folder_with_two_labelled_frames(go: Go, tmp_path: Path, real: Path | None) -> None:
    refused, imports, track, evaluate = commands("mot")
    folder = tmp_path / "cam"
    if real is None:
        of_sample(folder)
    else:
        of_street(folder, real / "mot15" / "TUD-Campus")
    seen = go(refused, 2)
    assert "--labelled listed" in seen.flat
    assert "2 of 50 frames" in seen.flat
    assert "labelled frames: 2" in go(imports).flat
    assert "50 frames in" in go(track).flat
    go(evaluate)
    numbers = headline(tmp_path / "runs" / "eval")
    assert numbers["ap50"] is not None
    assert numbers["ap50"] > 0.6, "unlabelled frames are no negatives"


def of_street(folder: Path, street: Path) -> None:
    """A MOTChallenge folder of 50 real frames, two of them labelled."""
    (folder / "gt").mkdir(parents=True)
    (folder / "img1").mkdir()
    for number in range(1, 51):
        shutil.copy(street / "img1" / f"{number:06d}.jpg", folder / "img1")
    rows = [row for row in truth_of(street / "gt" / "gt.txt", 50) if row[0] in {1, 21}]
    lines = [",".join(f"{one:g}" for one in [*row, 1, 1, 1]) for row in rows]
    (folder / "gt" / "gt.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    text = (street / "seqinfo.ini").read_text(encoding="utf-8")
    text = re.sub(r"seqLength=\d+", "seqLength=50", text)
    (folder / "seqinfo.ini").write_text(text, encoding="utf-8")


def of_sample(folder: Path) -> None:
    """The same of a bundled clip."""
    for name in ("img1", "gt"):
        (folder / name).mkdir(parents=True)
    table = {v.source: v.tracks for v in read_dataset(samples.LABELS).videos}["plaza_b.mp4"]
    assert table is not None
    lines = [
        f"{frame + 1},{one},{x1:.2f},{y1:.2f},{x2 - x1:.2f},{y2 - y1:.2f},1,1,1"
        for frame, one, (x1, y1, x2, y2) in zip(
            table.frames, table.ids, table.boxes_xyxy, strict=True
        )
        if frame in {0, 20}
    ]
    (folder / "gt" / "gt.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    with open_video(samples.CLIP_B) as video:
        for frame in video.frames_at(range(50)):
            path = folder / "img1" / f"{frame.index + 1:06d}.jpg"
            cv2.imwrite(str(path), frame.image[..., ::-1])
    (folder / "seqinfo.ini").write_text(
        "[Sequence]\nname=cam\nimDir=img1\nframeRate=10\nseqLength=50\n"
        "imWidth=768\nimHeight=576\nimExt=.jpg\n", encoding="utf-8"
    )  # fmt: skip


def test_a_crowd(go: Go, tmp_path: Path, real: Path | None) -> None:
    track, count = commands("crowd")
    pets = None if real is None else real / "pets09_s2l1"
    size = {"width_px": 768, "height_px": 576}
    with (
        open_video(samples.CLIP_B if pets is None else pets / "vtest.avi") as video,
        VideoWriter(tmp_path / "crowd.mp4", rate=10, **size) as writer,
    ):
        for frame in video.frames_at(range(40)):
            writer.write(frame.image, frame.time_s)
    table = {v.source: v.tracks for v in read_dataset(samples.LABELS).videos}["plaza_b.mp4"]
    assert table is not None
    num_true = int((table.frames < 40).sum())
    num_true = num_true if pets is None else len(truth_of(pets / "gt.txt", 40))
    seen = go(track)
    assert "40 frames in" in seen.flat
    assert "found: person" in seen.flat
    with (tmp_path / "runs" / "crowd" / "predictions.csv").open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["state"] == "observed"]
    assert 0.7 * num_true < len(rows) < 1.4 * num_true
    seen = go(count)
    assert "middle" in seen.flat
    assert re.search(r"\d+ in, \d+ out", seen.flat)


def test_a_video_with_nothing_in_it(go: Go, tmp_path: Path) -> None:
    track, count = commands("nothing")
    rng = np.random.default_rng(0)
    small = rng.integers(90, 140, (12, 16, 3)).astype(np.uint8)
    image = cv2.resize(small, (320, 240), interpolation=cv2.INTER_CUBIC)
    with VideoWriter(tmp_path / "empty.mp4", rate=10, width_px=320, height_px=240) as writer:
        for number in range(20):
            writer.write(image, number / 10)
    seen = go(track)
    assert "nothing was found" in seen.flat
    for help_ in ("--score-threshold", "--tiles auto", "vodkit models"):
        assert help_ in seen.flat
    assert "0 in, 0 out" in go(count).flat
