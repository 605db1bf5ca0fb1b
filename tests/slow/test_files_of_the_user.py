"""No command deletes or replaces a file that vodkit did not write, wherever its output goes.

Every command runs with its output in a folder of the user: once where files of the user have the
very names of results, once where they only lie beside them, under every folder name that a command
uses. ``--overwrite`` is given wherever it exists.
"""

import hashlib
import json
import os
import shutil
from contextlib import AbstractContextManager
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import typer

from vodkit.cli.main import app, main
from vodkit.data.export import export_dataset
from vodkit.formats.table import read_dataset, write_dataset
from vodkit.ground import ledger
from vodkit.ground.errors import OutputError
from vodkit.ground.records import Dataset, LabelledVideo, TrackTable, VideoInfo
from vodkit.ground.runs import only_one, write_atomic
from vodkit.video.writer import VideoWriter

RESULTS = [
    "settings.toml",
    "manifest.json",
    "predictions.jsonl",
    "detections.jsonl",
    "embeddings.bin",
    "tracker.npz",
    "refined.jsonl",
    "annotated.mp4",
    "metrics.json",
    "report.html",
    "predictions.csv",
    "predictions.mot.txt",
    "predictions.coco.json",
    "events.csv",
    "heatmap.png",
    "speed.csv",
    "blurred.mp4",
    "counts.csv",
    "counts.png",
    "counts.mp4",
    "log.csv",
    "state.pt",
    "best.safetensors",
    "best.card.json",
    "last.safetensors",
    "last.card.json",
    "appearance.safetensors",
    "contact_sheet.png",
    "clip.png",
    "out.json",
    "out.onnx",
    "out.onnx.parity.json",
    "out.card.json",
    "data.yaml",
    "classes.txt",
    "mlflow.db",
    "search/trials.db",
    "features/images.f16",
    "tensorboard/events.out.tfevents.1",
    "pictures/epoch-0001.webp",
    "before/annotated.mp4",
    "after/annotated.mp4",
    "training/best.safetensors",
    "predictions/clip/metrics.json",
    "clip/annotated.mp4",
    "images/000000.jpg",
    "labels/000000.txt",
]
BESIDE = [
    "notes.txt",
    "trip.mp4",
    "labels/mine.txt",
    "images/mine.jpg",
    "features/mine.f16",
    "tensorboard/mine.txt",
    "pictures/mine.webp",
    "search/mine.db",
    "clip/mine.mp4",
    "predictions/mine.jsonl",
    ".hidden",
    "clip.mp4.bak",
]

# Of each command, its words; OUT is the folder or file that it is to write to. One that has no
# place to write is run all the same.
COMMANDS: dict[str, str] = {
    "demo": "-o OUT",
    "models": "",
    "train": "--data DATA -o OUT --epochs 1 --overwrite",
    "detect": "CLIP -o OUT --csv --video --overwrite",
    "track": "CLIP -o OUT --csv --mot --coco --video --overwrite",
    "refine": "RUN -o OUT/refined.jsonl",
    "show": "RUN --heatmap --speed --crops --blur person --clips -o OUT",
    "count": "RUN --line 0,0,9,9 --csv --picture --video --clips -o OUT",
    "tune": "RUN --trials 1",
    "eval": "DATA RUN -o OUT",
    "compare": "METRICS OTHER --report OUT/report.html",
    "review": "CLIP -o OUT/out.json --model none --no-browser --host 0.0.0.0",
    "export": "vodkit-street OUT/out.onnx --frames CLIP --num-frames 1",
    "bench": "CLIP --seconds 0.1 -o OUT/out.json",
    "doctor": "RUN",
    "events": "RUN --line 0,0,9,9",
    "runs ls": "RUN",
    "serve": "--tracker none --host nowhere.invalid",
    "runs resume": "RUN",
    "data import": "DATA -o OUT/out.json",
    "data audit": "DATA --fix OUT/out.json",
    "data split": "DATA -o OUT/out.json",
    "data stats": "DATA",
    "data export": "DATA -f yolo -o OUT --overwrite",
    "data preview": "DATA -o OUT",
    "data sample": "CLIP -o OUT",
    "data prelabel": "CLIP -f yolo -o OUT --overwrite",
}
REFUSALS = (
    "vodkit did not write",
    "not written by vodkit",
    "exists and is not",
    "exists already",
)
SLOW = {"demo", "train", "export", "bench", "review"}
"""run only into a folder where they must refuse at once"""

pytestmark = pytest.mark.slow


def names_of(command: Any, *before: str) -> list[str]:
    """Of all commands, those of groups behind the group's name."""
    if hasattr(command, "commands"):
        inside = command.commands.items()
        return [one for name, sub in inside for one in names_of(sub, *before, name)]
    return [" ".join(before)]


def test_every_command_has_an_entry() -> None:
    assert sorted(COMMANDS) == sorted(names_of(typer.main.get_command(app)))


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """A clip, its labels and a run, in a folder of their own."""
    place = tmp_path_factory.mktemp("inputs")
    clip = place / "clip.mp4"
    random = np.random.default_rng(0)
    with VideoWriter(clip, width_px=64, height_px=48, rate=Fraction(10)) as out:
        for index in range(8):
            out.write(random.integers(0, 255, (48, 64, 3)).astype(np.uint8), index / 10)
    size = {"width_px": 64, "height_px": 48}
    info = VideoInfo(path="clip.mp4", **size, rate=Fraction(10), num_frames=8, duration_s=0.8)
    table = TrackTable(
        frames=np.arange(8),
        times_s=np.arange(8) / 10,
        ids=np.ones(8, np.int64),
        boxes_xyxy=np.tile([8.0, 8.0, 30.0, 40.0], (8, 1)),
        labels=np.zeros(8, np.int64),
    )
    video = LabelledVideo(source="clip.mp4", info=info, tracks=table)
    write_dataset(Dataset(classes=("person",), videos=(video,)), place / "data.json")
    run("track", str(clip), "-o", str(place / "runs"))
    run("eval", str(place / "data.json"), str(place / "runs" / "clip"), "-o", str(place / "eval"))
    shutil.copytree(place / "eval", place / "other")
    return {
        "OTHER": str(place / "other" / "metrics.json"),
        "DATA": str(place / "data.json"),
        "CLIP": str(clip),
        "RUN": str(place / "runs" / "clip"),
        "METRICS": str(place / "eval" / "metrics.json"),
    }


def run(*words: str) -> int:
    with pytest.raises(SystemExit) as left:
        main(list(words))
    return int(left.value.code or 0)


def tree(folder: Path) -> dict[Path, str]:
    files = [path for path in folder.rglob("*") if path.is_file()]
    return {path: hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def filled(folder: Path, names: list[str]) -> dict[Path, str]:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"of the user: {name}")
    return tree(folder)


def require_untouched(before: dict[Path, str]) -> None:
    now = dict.fromkeys(before, "")
    now |= {
        path: hashlib.sha256(path.read_bytes()).hexdigest() for path in before if path.is_file()
    }
    assert now == before


def words_for(command: str, inputs: dict[str, str], out: Path) -> list[str]:
    words = [*command.split(), *COMMANDS[command].split()]
    return [inputs.get(word, word.replace("OUT", str(out))) for word in words]


@pytest.mark.parametrize("command", COMMANDS)
def test_files_with_the_names_of_results_stay(
    command: str, inputs: dict[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = filled(tmp_path, [*RESULTS, *BESIDE])
    code = run(*words_for(command, inputs, tmp_path))
    require_untouched(before)
    said = capsys.readouterr().err
    if "OUT" in COMMANDS[command]:
        assert code == 2, said
        assert any(words in said for words in REFUSALS), said


@pytest.mark.parametrize("command", [name for name in COMMANDS if name not in SLOW])
def test_files_beside_results_stay(
    command: str, inputs: dict[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Twice: what the first run wrote may be replaced, or refused, but nothing else."""
    before = filled(tmp_path, BESIDE)
    codes = [run(*words_for(command, inputs, tmp_path)) for _ in range(2)]
    require_untouched(before)
    whole_folder = command in ("data export", "data prelabel", "data sample")
    if "OUT" in COMMANDS[command]:
        assert codes[0] == (2 if whole_folder else 0), capsys.readouterr().err


@pytest.mark.parametrize("words", ["data export DATA -f yolo", "data prelabel CLIP -f yolo"])
def test_a_folder_with_the_users_videos_is_never_replaced(
    words: str, inputs: dict[str, str], tmp_path: Path
) -> None:
    """``--overwrite`` replaced the whole folder that the output was to go to."""
    shutil.copy(inputs["CLIP"], tmp_path / "clip.mp4")
    shutil.copy(inputs["DATA"], tmp_path / "data.json")
    before = tree(tmp_path)
    given = {"DATA": str(tmp_path / "data.json"), "CLIP": str(tmp_path / "clip.mp4")}
    words_now = [given.get(word, word) for word in words.split()]
    assert run(*words_now, "-o", str(tmp_path), "--overwrite") == 2
    require_untouched(before)


def test_an_export_is_replaced_but_not_with_files_that_came_later(
    inputs: dict[str, str], tmp_path: Path
) -> None:
    dataset, root = read_dataset(inputs["DATA"]), Path(inputs["DATA"]).parent
    out = tmp_path / "yolo"

    def export() -> None:
        export_dataset(dataset, out, "yolo", root=root, overwrite=True)

    export()
    export()
    mine = out / "mine.txt"
    mine.write_text("a note")
    before = tree(out)
    with pytest.raises(OutputError, match=r"holds files that vodkit did not write: mine\.txt"):
        export()
    require_untouched(before)
    mine.unlink()
    with locked(out), pytest.raises(OutputError, match="another process"):
        export()
    export()
    assert sorted(one.name for one in tmp_path.iterdir()) == ["yolo"]


def locked(out: Path) -> AbstractContextManager[None]:
    lock = out.with_name(f".part-{out.name}.lock")
    lock.mkdir()
    return only_one(lock)


def test_an_output_that_holds_its_input_is_refused(inputs: dict[str, str]) -> None:
    """Even where vodkit wrote the input itself."""
    dataset, root = read_dataset(inputs["DATA"]), Path(inputs["DATA"]).parent
    with pytest.raises(OutputError, match=r"holds clip\.mp4, which is read here"):
        export_dataset(dataset, root, "yolo", root=root, overwrite=True)
    assert (root / "clip.mp4").exists()


@pytest.mark.parametrize("name", ["../x", "/etc/passwd", "a/../../x", ""])
def test_a_list_names_nothing_outside_of_its_folder(tmp_path: Path, name: str) -> None:
    inside = tmp_path / "in"
    filled(tmp_path, ["x", "in/y"])
    (inside / ledger.NAME).write_text(json.dumps(name) + "\n")
    ledger.remove_tree(inside)
    assert (tmp_path / "x").exists()
    assert (inside / "y").exists()
    assert ledger.foreign(inside) == [inside / "y"]


def test_a_device_is_not_replaced(tmp_path: Path) -> None:
    """As root, ``-o /dev/null`` made a regular file of it."""
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(OutputError, match="not written by vodkit"):
        write_atomic(tmp_path / "pipe", "{}")
    assert (tmp_path / "pipe").is_fifo()


@pytest.mark.parametrize(("umask", "mode"), [(0o022, 0o644), (0o077, 0o600), (0o002, 0o664)])
def test_files_have_the_rights_that_the_umask_leaves(tmp_path: Path, umask: int, mode: int) -> None:
    before = os.umask(umask)
    try:
        write_atomic(tmp_path / "a.json", "{}")
    finally:
        os.umask(before)
    assert (tmp_path / "a.json").stat().st_mode & 0o777 == mode


def test_a_name_of_255_bytes_can_be_written(tmp_path: Path) -> None:
    path = tmp_path / ("ä" * 125 + ".json")
    write_atomic(path, "{}")
    assert path.read_text() == "{}"
