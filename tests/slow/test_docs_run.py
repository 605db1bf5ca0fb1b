"""Commands and Python of all pages, run as they stand there, on made-up video and the samples.

Only the length of the training is cut. What is checked is that each command does its work on what
the one before it left; numbers are the business of other tests.
"""

import glob
import re
import shlex
import shutil
import sys
import textwrap
from contextlib import nullcontext, redirect_stdout
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from vodkit.cli.main import main
from vodkit.formats.table import read_dataset, write_dataset
from vodkit.ground.records import Dataset, LabelledVideo
from vodkit.samples import samples
from vodkit.video.reader import open_video
from vodkit.video.synth import Scene, SceneSettings, write_scene
from vodkit.video.writer import VideoWriter

pytestmark = pytest.mark.slow
DOCS = Path(__file__).parents[2] / "docs"
FENCE = re.compile(r"^ *```(\w*)\n(.*?)^ *```", re.MULTILINE | re.DOTALL)


def record(path: Path, labels: Path, format: str, *, seed: int, num_frames: int) -> None:  # noqa: A002
    """A made-up video and a file with its labels, all of one class."""
    size = SceneSettings(seed=seed, num_frames=num_frames, width_px=160, height_px=120)
    scene = Scene(size)
    write_scene(scene, path)
    tracks = replace(scene.truth, labels=scene.truth.labels * 0)
    video = LabelledVideo(source=path.name, info=replace(scene.info, path=path.name), tracks=tracks)
    write_dataset(Dataset(classes=("fly",), videos=(video,)), labels, format)


SMALL = [
    word
    for one in ("every=10", "num_pictures=0", "width_px=160", "height_px=160")
    for word in ("--set", one)
]
# Words that shorten a command; what is measured is that it runs, not how good its result is.
SHORTER = {
    "train": ["--epochs", "1", "--overwrite", *SMALL],
    "track": ["--overwrite"],
    "tune": ["--trials", "2"],
    "bench": ["--model", "vodkit-street", "--seconds", "0.2", "--turns", "1"],
    "export": ["--num-frames", "2"],
    "data prelabel": ["--overwrite"],
}
# Commands that cannot run here, by a word in them, and why.
NOT_HERE = {
    "://": "a camera or a bucket",
    "/shared/": "a folder of several machines",
    "yolox_nano.pth": "weights that are not in the package",
    "flies.pkg.slp": "made by tests/unit/formats",
    "instances_val.json": "run by tests/contracts/test_eval_references.py",
    "frames.csv": "run by tests/slow/test_files_of_the_user.py",
    "--int8": "needs nncf",
    "vodkit review": "serves until Ctrl-C; tests/unit/review starts it",
    "vodkit serve": "serves until Ctrl-C; tests/unit/serve starts it",
    "--curve": "run by tests of train --curve",
    "--appearance --data": "run by tests of appearance heads",
    "appearance.safetensors": "made by the command before",
    "--temporal --data": "run by tests of temporal heads",
    "temporal.safetensors": "made by the command before",
    "temporal.onnx": "made by the command before",
    "--claim": "several machines; tests/slow/test_fleet.py and others run it",
    "--shard": "several machines; tests/slow/test_fleet.py and others run it",
    "hf://": "a hub",
    "vodkit demo ": "tests/slow/test_demo.py",
}


def run(line: str) -> None:
    """One command line, its patterns of file names spread as a shell does it."""
    words = [found for word in shlex.split(line, comments=True)[1:]
             for found in (sorted(glob.glob(word)) or [word])]  # fmt: skip  # noqa: PTH207
    more = SHORTER.get(" ".join(words[:2]) if words[0] == "data" else words[0], [])
    words, target = (words[:-2], words[-1]) if words[-2:-1] == [">"] else (words, "")
    words += more if more[:1] != ["--model"] or "--model" not in words else more[2:]
    written = Path(target).open("w") if target else nullcontext()  # noqa: SIM115
    with written as out, redirect_stdout(out or sys.stdout), pytest.raises(SystemExit) as left:
        main(words)
    assert left.value.code == 0, line


@pytest.mark.timeout(600)
def test_the_tutorial(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for seed, (name, num_frames) in enumerate(
        (("clip", 60), ("two_flies", 41), ("single_fly", 41))
    ):
        labels = Path(f"{name}.txt")
        record(Path(f"{name}.mp4"), labels, "mot", seed=seed, num_frames=num_frames)
    text = (DOCS / "guides" / "flies.md").read_text(encoding="utf-8")
    for language, block in FENCE.findall(text):
        code = textwrap.dedent(block)
        if language == "python":
            before = {video.source: video.split for video in read_dataset("sides.json").videos}
            exec(code, {})
            after = {video.source: video.split for video in read_dataset("sides.json").videos}
            assert before == after, "shares and names give the same sides, as the text says"
        else:
            for line in code.splitlines():
                run(line)
    assert Path("preview/clip.png").is_file()
    assert Path("runs/two_flies/annotated.mp4").is_file()
    assert Path("runs/eval/report.html").is_file()


def test_the_page_on_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for folder in ("clips", "labels"):
        Path(folder).mkdir()
    for seed, name in enumerate(("a", "b", "c")):
        labels = Path(f"labels/{name}.xml")
        record(Path(f"clips/{name}.mp4"), labels, "cvat", seed=seed, num_frames=12)
    blocks = FENCE.findall((DOCS / "guides" / "import.md").read_text(encoding="utf-8"))
    lines = [line for _, block in blocks[:2] for line in block.splitlines()]
    assert len(lines) == 6
    for line in lines:
        run(line)
    assert Path("yolo").is_dir()


FRAMES = 24
ELSEWHERE = {
    "flies.md": "test_the_tutorial",
    "import.md": "test_the_page_on_data",
    "first-video.md": "test_notebooks",
    "own-class.md": "test_notebooks",
    "journeys.md": "tests/journeys",
    "many-machines.md": "tests/slow/test_fleet.py",
    "prompts.md": "tests/unit/detect, without weights",
    "hugging-face.md": "tests/slow/test_hf_training.py, small networks",
    "install.md": "tests/slow/test_demo.py",
    "add-a-detector.md": "tests/slow/test_plugins.py",
    "add-a-format.md": "tests/slow/test_plugins.py",
    "add-a-metric.md": "tests/slow/test_plugins.py",
    "add-a-tracker.md": "tests/slow/test_plugins.py",
}
"""pages with a test of their own"""
PAGES = [
    *(one for one in sorted((DOCS / "guides").glob("*.md")) if one.name not in ELSEWHERE),
    DOCS.parent / "README.md", DOCS / "troubleshooting.md",
    DOCS / "reference" / "metrics.md", DOCS / "reference" / "video.md",
]  # fmt: skip


def shorter(path: Path, target: Path) -> None:
    """The first frames of a clip."""
    with open_video(path) as video:
        size = {"width_px": video.info.width_px, "height_px": video.info.height_px}
        with VideoWriter(target, **size, rate=video.info.rate) as writer:
            for frame, _ in zip(video.frames(), range(FRAMES), strict=False):
                writer.write(frame.image, frame.time_s)


def labels_of(names: dict[str, str], classes: tuple[str, ...]) -> Dataset:
    """Labels of the first frames, of copies of the sample clips: name of the copy, its split."""
    given = {one.source: one for one in read_dataset(samples.LABELS).videos}
    videos = []
    for name, split in names.items():
        video = given["plaza_b.mp4" if "b" in name else "plaza_a.mp4"]
        rows = video.tracks[video.tracks.frames < FRAMES]
        info = replace(video.info, path=name, num_frames=FRAMES, duration_s=None)
        videos.append(replace(video, source=name, info=info, tracks=rows, split=split))
    return Dataset(classes=classes, videos=tuple(videos))


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with every file that a guide begins with, under the names that guides use."""
    folder = tmp_path_factory.mktemp("guides")
    shorter(samples.CLIP_A, folder / "plaza_a.mp4")
    shorter(samples.CLIP_B, folder / "plaza_b.mp4")
    for name in ("clips", "part1", "part2"):
        (folder / name).mkdir()
    for name in ("a", "raw", "more", "plaza", "cam-0800", "cam-0810", "cam-0820", "cam-0830",
                 "new_video", "my_video", "clips/a", "part1/a", "val", "plaza_val",
                 "match"):  # fmt: skip
        shutil.copy(folder / "plaza_a.mp4", folder / f"{name}.mp4")
    for name in ("b", "clips/b", "part2/b"):
        shutil.copy(folder / "plaza_b.mp4", folder / f"{name}.mp4")
    three = {"plaza_a.mp4": "train", "plaza_val.mp4": "val", "plaza_b.mp4": "test"}
    classes = ("person",)
    for name in ("split", "mine", "dataset", "flies", "balls"):
        write_dataset(labels_of(three, classes), folder / f"{name}.json", "cocovid")
    write_dataset(labels_of({"plaza.mp4": ""}, classes), folder / "labels.json", "cocovid")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        run("vodkit train --data split.json --out runs/mine")
        run("vodkit track plaza.mp4 plaza_b.mp4")
        shutil.copytree("runs/mine", "runs/cup")
        for name in ("old", "new"):
            shutil.copytree("runs/plaza_b", f"runs/{name}")
    return folder


def _two_clips() -> dict[str, object]:
    """Copies of one clip are a leak, which an audit ends with an error."""
    two = {"plaza_a.mp4": "train", "plaza_b.mp4": "test"}
    write_dataset(labels_of(two, ("person",)), Path("dataset.json"), "cocovid")
    return {}


def _few_frames() -> dict[str, object]:
    """A step of Faster R-CNN takes seconds: eight frames are two steps."""
    dataset = labels_of({"plaza_a.mp4": "train"}, ("person",))
    (video,) = dataset.videos
    assert video.tracks is not None
    first = replace(
        video, tracks=video.tracks[video.tracks.frames < 8], labelled_frames=np.arange(8)
    )
    write_dataset(replace(dataset, videos=(first,)), Path("split.json"), "cocovid")
    return {}


def _measured() -> dict[str, object]:
    """Labels, and predictions that equal them."""
    dataset = labels_of({"plaza.mp4": "test"}, ("person",))
    table = dataset.videos[0].tracks
    return {"dataset": dataset, "table": table, "predictions": {"plaza.mp4": table}}


NAMES = {"audit.md": _two_clips, "loops.md": _few_frames, "metrics.md": _measured}
"""what a page takes as given, by its name"""


@pytest.mark.timeout(600)
@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.stem)
def test_pages(page: Path, prepared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every command and every block of Python of a page, in its order, in a fresh folder."""
    folder = tmp_path / "user"
    shutil.copytree(prepared, folder)
    monkeypatch.chdir(folder)
    names = NAMES.get(page.name, dict)()
    for language, block in FENCE.findall(page.read_text(encoding="utf-8")):
        code = textwrap.dedent(block)
        if language == "python":
            settings = 'out="runs/again", epochs=1, every=10, width_px=160, height_px=160'
            exec(code.replace('out="runs/mine"', settings), names)
        elif language in {"", "sh"}:
            for line in re.sub(r"\\\n\s*", " ", code).splitlines():
                here = not any(word in line for word in NOT_HERE)
                if line.startswith("vodkit ") and here:
                    run(line)


# In the kernel a command runs without a process of its own, which would import torch each time.
IN_KERNEL = """
import shlex
from vodkit.cli.main import main
def run(line):
    try:
        words = shlex.split(line)[1:]
        main(words + ["--set", "every=10", "--set", "num_pictures=0"] * (words[0] == "train"))
    except SystemExit as left:
        assert left.code == 0, line
get_ipython().system = run
"""


@pytest.mark.timeout(600)
@pytest.mark.parametrize("name", ["first_video", "own_class"])
def test_notebooks(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A notebook as it is in the repository, from an empty folder; each command must succeed."""
    nbformat, nbclient = pytest.importorskip("nbformat"), pytest.importorskip("nbclient")
    book = nbformat.read(DOCS.parent / "examples" / "notebooks" / f"{name}.ipynb", as_version=4)
    for cell in book.cells:
        cell.source = cell.source.replace("--set every=4 --epochs 12", "--epochs 1")
    book.cells.insert(0, nbformat.v4.new_code_cell(IN_KERNEL))
    monkeypatch.setenv("PYTHONPATH", str(DOCS.parent / "src"))
    nbclient.NotebookClient(
        book, timeout=240, kernel_name="python3", resources={"metadata": {"path": str(tmp_path)}}
    ).execute()
    assert (tmp_path / "runs" / "eval" / "report.html").is_file()


def test_every_page_with_commands_is_run() -> None:
    """A page is run here, or named with the test that runs it."""
    found = {
        path.name
        for path in [DOCS.parent / "README.md", *DOCS.rglob("*.md")]
        for language, block in FENCE.findall(path.read_text(encoding="utf-8"))
        if language == "python" or re.search(r"^ *vodkit ", block, re.MULTILINE)
    }
    assert found == {path.name for path in PAGES} | ELSEWHERE.keys()
