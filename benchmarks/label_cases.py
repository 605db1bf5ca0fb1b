"""What label files, videos and results gave before and give now: the table of robustness cases.

    git worktree add --detach OLD f57a5b8
    python benchmarks/label_cases.py ../shared/cases --before OLD/src [--only cvat]

Every case runs through the command line (or the video reader) of both versions, in processes of
their own. The table in ``docs/benchmarks/label-files.md`` is written anew.
"""

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "benchmarks" / "label-files.md"
MOST_SHOWN = 220
BEGIN, END = "<!-- cases -->", "<!-- end of cases -->"
REAL, FOREIGN, HOSTILE = (
    f"tests/unit/formats/test_{name}.py"
    for name in ("real_layouts", "foreign_files", "hostile_labels")
)
CASES: dict[str, tuple[str, str, str, Callable[[Path], str]]] = {}
"""name -> kind, right value, test, and what gives the value"""


def case(name: str, kind: str, right: str, test: str) -> Callable[..., None]:
    def keep(run: Callable[[Path], str]) -> None:
        CASES[name] = kind, right, test, run

    return keep


def vodkit(*words: object, timeout_s: int = 400) -> tuple[int, str]:
    """Exit code and output of a command."""
    done = subprocess.run(
        [sys.executable, "-m", "vodkit", *map(str, words)],
        capture_output=True,
        text=True,
        errors="replace",
        timeout=timeout_s,
        check=False,
    )
    return done.returncode, done.stdout + "\n" + done.stderr


def reason(said: str) -> str:
    """The line of an error, without folders."""
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    text = next((line for line in lines if "rror" in line), lines[-1] if lines else "")
    text = re.sub(r"(/[\w.~-]+)+/", "", re.sub(r"[│╭╮╰╯─]", "", text)).strip()
    text = text if len(text) <= MOST_SHOWN else f"{text[:MOST_SHOWN]} ..."
    return f"error: {text.removeprefix('vodkit: ')}" if text else "killed, no message"


def labels(path: Path, *words: object) -> str:
    """Videos, boxes and the first box that ``data import`` makes of labels."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "out.json"
        code, said = vodkit("data", "import", path, "-o", out, *words)
        if code or not out.exists():
            return reason(said)
        content = json.loads(out.read_text())
    found = content["annotations"]
    box = found[0].get("box_xyxy") or found[0]["bbox"] if found else []
    if found and "box_xyxy" not in found[0]:
        box = [box[0], box[1], box[0] + box[2], box[1] + box[3]]
    first = ",".join(f"{value:.4g}" for value in box)
    skipped = re.findall(r"skipped: (\d+)", said)
    more = f"; {skipped[0]} skipped and counted" if skipped else ""
    return f"{len(content['videos'])} videos, {len(found)} boxes; {first or 'no box'}{more}"


def film(path: Path) -> str:
    """Frames, times and sizes that the reader gives."""
    from vodkit.video.reader import open_video

    try:
        with open_video(path) as video:
            frames = [(one.time_s, one.width_px, one.height_px) for one in video.frames()]
            info, notes = video.info, list(getattr(video, "notes", ()))
    except Exception as error:  # noqa: BLE001 - of two versions, whose errors differ
        return reason(f"{type(error).__name__}: {error}")
    times = [one[0] for one in frames]
    order = "" if times == sorted(times) and len(set(times)) == len(times) else ", times go back"
    sizes = " and ".join(dict.fromkeys(f"{one[1]}x{one[2]}" for one in frames))
    told = f"; says: {'; '.join(notes)}" if notes else ""
    length = f"{times[-1] - times[0] + float(1 / info.rate):.3f} s"
    return f"{len(frames)} frames, {length}, {float(info.rate):.4g}/s, {sizes}{order}{told}"


def scores(truth: Path, found: Path, *words: str) -> str:
    """AP of small, medium and large objects, and of all."""
    with tempfile.TemporaryDirectory() as folder:
        done = vodkit("eval", truth, found, "--json", "--no-report", "-o", folder, *words)
        if done[0]:
            return reason(done[1])
        coco = json.loads((Path(folder) / "metrics.json").read_text())["detection"]["coco"]
    keys = ("ap_small", "ap_medium", "ap_large", "ap")
    values = [coco["overall"][key] for key in keys]
    return "AP s/m/l/all " + "/".join("-" if v is None else f"{v:.3f}" for v in values)


def picture(path: Path, size: tuple[int, int] = (200, 160), orientation: int = 1) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    told = Image.Exif()
    told[0x0112] = orientation
    Image.fromarray(np.zeros((size[1], size[0], 3), np.uint8)).save(path, exif=told)


def put(path: Path, text: str | bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def made(build: Callable[[Path], Path], *words: object) -> Callable[[Path], str]:
    """The value of labels that are made here, in an empty folder."""

    def run(_cases: Path) -> str:
        with tempfile.TemporaryDirectory() as folder:
            return labels(build(Path(folder)), *words)

    return run


# -- the cases that others found --------------------------------------------------------------
case(
    "ts-clock-restarts/cat.ts",
    "clocks",
    "200 frames, 8.000 s, 25/s",
    "tests/unit/video/test_clock_restarts.py",
)(lambda at: film(at / "ts-clock-restarts/cat.ts"))
case(
    "ts-clock-restarts/disc.m3u8",
    "clocks",
    "200 frames, 8.000 s, 25/s",
    "tests/unit/video/test_clock_restarts.py",
)(lambda at: film(at / "ts-clock-restarts/disc.m3u8"))
case("mixed-sizes", "sizes", "one size for all boxes, and a note", "tests/unit/video")(
    lambda at: film(at / "mixed-sizes")
)
case("picture-folder-rate", "rates", "10/s", "tests/unit/video")(
    lambda at: film(at / "picture-folder-rate/SEQ/img1")
)
case(
    "label-studio-rounded-time", "rates", "300 boxes; the last at x 288", f"{REAL} TestLabelStudio"
)(lambda at: _last_x(at / "label-studio-rounded-time/ls_round.json"))
case("cvat-rotation", "shapes", "140,60,160,160", f"{REAL} TestCvat")(
    lambda at: labels(at / "cvat-rotation/rot.xml")
)
case("cvat-project", "layouts", "2 videos, 20 boxes", f"{REAL} TestCvat")(
    lambda at: labels(at / "cvat-project/annotations.xml")
)
case("sleap-package/emb.pkg.slp", "layouts", "2 videos, 4 boxes", f"{REAL} TestSleap")(
    lambda at: labels(at / "sleap-package/emb.pkg.slp")
)
case("sleap-package/one15.pkg.slp", "layouts", "1 video, 2 boxes", f"{REAL} TestSleap")(
    lambda at: labels(at / "sleap-package/one15.pkg.slp")
)
case("yolo-path-key", "layouts", "1 picture and 1 box a side", f"{REAL} TestYolo")(
    lambda at: labels(at / "yolo-path-key/sub")
)
for name in ("pose2", "pose3"):
    case(f"yolo-pose/{name}", "layouts", "40,32,60,48", f"{REAL} TestYolo")(
        lambda at, name=name: labels(at / "yolo-pose" / name)
    )
case("coco-area", "COCO", "AP s/m/l 0.092/0.168/-", "tests/contracts/test_eval_references.py")(
    lambda at: scores(at / "coco-area/gt.json", at / "coco-area/dtc.json")
)
case(
    "coco-results",
    "COCO",
    "pycocotools: 0.001/0.200/0.298/0.153",
    "tests/contracts/test_eval_references.py",
)(lambda at: scores(at / "coco-results/gt.json", at / "coco-results/dt.json"))
case(
    "train-wrong-size",
    "sizes",
    "scaled or refused, with both sizes",
    "tests/unit/data/test_label_size.py",
)(lambda at: _trained(at / "train-wrong-size/wrongsize.json"))


def _last_x(path: Path) -> str:
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "out.json"
        code, said = vodkit("data", "import", path, "--videos", path.parent, "-o", out)
        if code:
            return reason(said)
        found = json.loads(out.read_text())["annotations"]
    return f"{len(found)} boxes; the last at x {max(one['bbox'][0] for one in found):.4g}"


def _trained(path: Path) -> str:
    """Train one epoch on pictures that are twice as large as the labels say."""
    clip = cv2.VideoCapture(str(ROOT / "src" / "vodkit" / "samples" / "plaza_a.mp4"))
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        (root / "pics").mkdir()
        for place in range(120):
            good, image = clip.read()
            if good and place % 10 == 0:
                cv2.imwrite(str(root / f"pics/f{place:03d}.jpg"), image)
        data = put(root / "data.json", path.read_bytes())
        words = ("--epochs", 1, "--set", "cache=off", "--out", root / "run", "--json")
        code, said = vodkit("train", "--data", data, *words)
        if code:
            return reason(said)
        result = json.loads(said[said.index("{") : said.rindex("}") + 1])
        return f"trains without a word, AP {result['ap']:.3f}"


# -- one more of each kind ---------------------------------------------------------------------
BOX = "0 .5 .5 .2 .2"
SHEET = "train: images/train\nval: images/train\nnames: [bee]\n"


def yolo(root: Path, line: str = BOX, sheet: str = SHEET, orientation: int = 1) -> Path:
    picture(root / "images/train/a.jpg", orientation=orientation)
    put(root / "labels/train/a.txt", line + "\n")
    put(root / "data.yaml", sheet)
    return root


def kitti(root: Path) -> Path:
    row = "{} 0 Car 0 0 -1.5 80 64 120 96 1 1 1 0 0 0 0\n"
    for number in (0, 1, 3, 4):
        picture(root / f"training/image_02/0001/{number:06d}.png")
    put(root / "training/label_02/0001.txt", "".join(map(row.format, (0, 1, 3))))
    return root


def coco(**image: object) -> str:
    entry = {"id": 1, "image_id": 1, "category_id": 1, "bbox": [80, 64, 40, 32]}
    images = [{"id": 1, "file_name": "a.jpg", "width": 200, "height": 160, **image}]
    names = [{"id": 1, "name": "bee"}]
    return json.dumps({"images": images, "annotations": [entry], "categories": names})


def labelme(root: Path) -> Path:
    picture(root / "a.jpg")
    parts = ([[80, 64], [90, 64], [90, 96]], [[110, 64], [120, 64], [120, 96]])
    shapes = [{"label": "bee", "points": p, "shape_type": "polygon", "group_id": 1} for p in parts]
    size = {"imageWidth": 200, "imageHeight": 160}
    put(root / "a.json", json.dumps({"shapes": shapes, "imagePath": "a.jpg", **size}))
    return root


def with_bystanders(root: Path) -> Path:
    yolo(root)
    put(root / "images/train/._a.jpg", b"\x00\x05\x16\x07")
    return root


def large(root: Path) -> Path:
    picture(root / "a.jpg", (400, 320))
    return put(root / "a.json", coco())


case("YOLO, picture turned by EXIF", "sizes", "64,80,96,120", f"{FOREIGN} TestTurnedPictures")(
    made(lambda root: yolo(root, orientation=6))
)
case("COCO, picture twice as large", "sizes", "160,128,240,192", f"{FOREIGN} TestSizes")(
    made(large)
)


@case(
    "KITTI, pictures 0, 1, 3, 4 and boxes in 0, 1, 3",
    "layouts",
    "pictures 0, 1, 3",
    f"{FOREIGN} TestNumberedPictures",
)
def _gap(_cases: Path) -> str:
    """The numbers of the pictures that the boxes come to be on."""
    with tempfile.TemporaryDirectory() as folder:
        root = kitti(Path(folder))
        code, said = vodkit("data", "import", root, "-o", root / "out.json")
        if code:
            return reason(said)
        content = json.loads((root / "out.json").read_text())
    frame = {one["id"]: one["frame_id"] for one in content["images"]}
    pictures = [(0, 1, 3, 4)[frame[one["image_id"]]] for one in content["annotations"]]
    return f"pictures {', '.join(map(str, pictures))}"


case("YOLO, ids of Ultralytics' tracker", "layouts", "error", f"{FOREIGN} TestYolo")(
    made(lambda root: yolo(root, f"{BOX} .9 1"))
)
case("YOLO, bystanders of macOS", "layouts", "80,64,120,96", f"{FOREIGN} TestNames")(
    made(with_bystanders)
)
case("LabelMe, two parts of one group", "shapes", "80,64,120,96", f"{FOREIGN} TestOthers")(
    made(labelme)
)
case("COCO, a key twice", "hostile", "error with its line", HOSTILE)(
    made(lambda root: put(root / "a.json", coco().replace('"id": 1,', '"id": 1, "id": 2,', 1)))
)
case("MOT, frame 1e9", "hostile", "error with its line", HOSTILE)(
    made(lambda root: put(root / "a.txt", "1000000000,1,1,1,9,9,1,1,1\n"), "--size", "64x48")
)
case("YOLO, YAML with aliases of lists", "hostile", "error with its line", HOSTILE)(
    made(lambda root: yolo(root, sheet="a: &a [x, x]\nnames: *a\ntrain: images/train\n"))
)


@case(
    "data export --overwrite into a folder with a video",
    "data loss",
    "the video stays",
    "tests/unit/data/test_bring_and_hand_on.py",
)
def _kept(_cases: Path) -> str:
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        data, mine = yolo(root / "ds"), put(root / "out" / "mine.mp4", b"x")
        vodkit("data", "import", data, "-o", root / "d.json")
        words = ("-f", "yolo", "-o", root / "out", "--overwrite", "--no-pictures")
        code, said = vodkit("data", "export", root / "d.json", *words)
        told = f"; {reason(said)}" if code else ""
        return f"the video {'stays' if mine.exists() else 'is deleted'}{told}"


@case("tracker file without a line", "metrics", "MOTA 0", "tests/contracts/test_eval_references.py")
def _empty(_cases: Path) -> str:
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        put(root / "S/gt/gt.txt", "1,1,51,20,30,40,1,1,1\n2,1,51,20,30,40,1,1,1\n")
        told = "frameRate=30\nseqLength=2\nimWidth=640\nimHeight=480\n"
        put(root / "S/seqinfo.ini", f"[Sequence]\nname=S\nimDir=img1\n{told}imExt=.jpg\n")
        found = put(root / "t.txt", "\n")
        words = ("--json", "--no-report", "-o", root / "out")
        code, said = vodkit("eval", root / "S", found, *words)
        if code:
            return reason(said)
        result = json.loads((root / "out" / "metrics.json").read_text())
        return f"MOTA {result['tracking']['overall']['clear']['mota']:.3g}"


def value(name: str, cases: Path, source: Path) -> str:
    """The value of a case with the code in ``source``."""
    words = [sys.executable, __file__, str(cases), "--probe", name]
    told = {**os.environ, "PYTHONPATH": str(source), "COLUMNS": "400"}
    done = subprocess.run(words, capture_output=True, text=True, env=told, check=False)
    return done.stdout.strip() or f"crash: {done.stderr.strip().splitlines()[-1][:100]}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("cases", type=Path)
    parser.add_argument("--before", type=Path, help="the src folder of the version before")
    parser.add_argument("--only", default="", help="print the cases with this in their names")
    parser.add_argument("--probe", help=argparse.SUPPRESS)
    given = parser.parse_args()
    cases = given.cases.resolve()
    if given.probe:
        print(CASES[given.probe][3](cases))
        return
    lines = ["| case | kind | right | before | now | test |", "|---|---|---|---|---|---|"]
    for name, (kind, right, test, _) in CASES.items():
        if given.only in name:
            before = value(name, cases, given.before.resolve()) if given.before else ""
            cells = (name, kind, right, before, value(name, cases, ROOT / "src"), f"`{test}`")
            lines.append("| " + " | ".join(cell.replace("|", "/") for cell in cells) + " |")
            print(lines[-1], flush=True)
    if not given.only:
        page = PAGE.read_text(encoding="utf-8")
        head, _, rest = page.partition(BEGIN)
        text = "\n".join(lines)
        PAGE.write_text(f"{head}{BEGIN}\n{text}\n{END}{rest.partition(END)[2]}", encoding="utf-8")


if __name__ == "__main__":
    main()
