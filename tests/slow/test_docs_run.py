"""Commands and Python of some pages, run as they stand there, on made-up video and the samples.

Only the length of the training is cut. What is checked is that each command does its work on what
the one before it left; numbers are the business of other tests.
"""

import glob
import re
import shlex
import shutil
import textwrap
from dataclasses import replace
from pathlib import Path

import pytest

from vodkit.cli.main import main
from vodkit.formats.table import read_dataset, write_dataset
from vodkit.ground.records import Dataset, LabelledVideo
from vodkit.samples import samples
from vodkit.video.synth import Scene, SceneSettings, write_scene

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


def run(line: str) -> None:
    """One command line, its patterns of file names spread as a shell does it."""
    words = [found for word in shlex.split(line, comments=True)[1:]
             for found in (sorted(glob.glob(word)) or [word])]  # fmt: skip  # noqa: PTH207
    words += ["--epochs", "1"] if words[0] == "train" else []
    with pytest.raises(SystemExit) as left:
        main(words)
    assert left.value.code == 0, line


@pytest.mark.timeout(300)
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


def test_the_page_on_events(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsysbinary: pytest.CaptureFixture[bytes]
) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copy(samples.CLIP_B, "plaza.mp4")
    first = FENCE.findall((DOCS / "guides" / "events.md").read_text(encoding="utf-8"))[0][1]
    track, events = first.splitlines()
    run(track)
    capsysbinary.readouterr()
    run(events)
    printed = capsysbinary.readouterr().out
    assert printed == Path("runs/plaza/events.jsonl").read_bytes()
    assert b'"type":"crossed"' in printed
    assert b'"zones":["left"]' in printed


@pytest.mark.parametrize("page", ["reference/video.md", "guides/loops.md"])
def test_python_of_the_pages(page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for clip in (samples.CLIP_A, samples.CLIP_B):
        shutil.copy(clip, clip.name)
    shutil.copy(samples.CLIP_B, "plaza.mp4")
    shutil.copy(samples.LABELS, "split.json")
    text = (DOCS / page).read_text(encoding="utf-8")
    blocks = [block for language, block in FENCE.findall(text) if language == "python"]
    assert blocks
    for block in blocks:
        exec(textwrap.dedent(block), {})
