"""Bad input: one line on stderr that says what, where and what is allowed; the right exit code."""

import inspect
import re
import subprocess
import sys
from pathlib import Path

import pytest

from vodkit.cli.detect import detect
from vodkit.cli.main import _unforeseen, main
from vodkit.cli.track import track
from vodkit.ground.process import threads_asked
from vodkit.samples.samples import CLIP_A, LABELS


def run(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as left:
        main(list(words))
    said = capsys.readouterr()
    assert isinstance(left.value.code, int)
    return left.value.code, said.out, said.err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["trak", "a.mp4"], "Did you mean 'track'"),
        (["track", "a.mp4", "--modle", "x"], "--model"),
        (["track"], "Missing argument"),
        (["track", "a.mp4", "--every", "0"], "every is 0; allowed: 1 or more"),
        (["track", "a.mp4", "--every", "x"], "allowed: auto, or a whole number from 1"),
        (
            ["track", "a.mp4", "--score-threshold", "2"],
            "score_threshold is 2.0; allowed: 0 or more",
        ),
        (["track", __file__, "--model", "vodkit-stret"], "did you mean vodkit-street"),
        (["track", __file__, "--tracker", "bytetrak"], "did you mean bytetrack"),
        (["track", __file__, "--set", "life.lost=2"], "unknown setting"),
        (["track", "missing.mp4"], "missing.mp4: "),
        (["detect", "missing.mp4"], "missing.mp4: "),
    ],
)
def test_a_wrong_command_line_is_one_line_and_exit_2(
    words: list[str], message: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    out = ["--out", str(tmp_path / "runs")] if len(words) > 1 else []
    code, _, error = run(capsys, *words, *out)
    assert code == 2
    assert message in error
    assert error.count("\n") == 1
    assert error.startswith("vodkit: ")


@pytest.mark.parametrize(
    "words",
    [
        ["track", __file__, "-m", "WRONG"],
        ["detect", __file__, "-m", "WRONG"],
        ["train", "-d", "missing.json", "-m", "WRONG"],
        ["train", "-d", "missing.json", "-m", "WRONG", "--appearance"],
        ["eval", "missing.json", "-m", "WRONG"],
        ["data", "prelabel", __file__, "-o", "NEW", "-m", "WRONG"],
        ["export", "WRONG", "NEW.onnx", "--data", "missing.json"],
        ["bench", __file__, "-m", "WRONG"],
    ],
    ids=lambda words: "-".join(words[:1]),
)
@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("vodkit-stret", "unknown model 'vodkit-stret'; did you mean vodkit-street?"),
        ("retinanet", "is short for several: retinanet_resnet50_fpn, retinanet_resnet50_fpn_v2"),
    ],
)
def test_a_wrong_model_is_refused_before_data_is_read(
    words: list[str],
    name: str,
    message: str,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    code, _, error = run(capsys, *[name if word == "WRONG" else word for word in words])
    assert (code, message in error) == (2, True), error
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


@pytest.mark.parametrize(
    "words",
    [
        ["track", "no.mp4"],
        ["detect", "no.mp4"],
        ["eval", "no.json", "-m", "street"],
        ["data", "prelabel", "no.mp4", "-o", "new"],
        ["train", "-d", "no.json"],
    ],
    ids=lambda words: words[0],
)
def test_threads_are_set_before_any_work(
    words: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    code, _, _ = run(capsys, *words, "--threads", "0")
    assert (code, threads_asked()) == (2, 7)
    run(capsys, *words, "--threads", "3")
    assert threads_asked() == 3


@pytest.mark.parametrize("name", ["clip[1].mp4", "clip*.mp4", "clip?.mp4", "night[1-3"])
def test_a_missing_file_with_letters_of_a_pattern_is_one_error(
    name: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    code, _, error = run(capsys, "track", name, "--out", str(tmp_path / "runs"))
    expected = f"vodkit: {name}: no such file or folder, and as a pattern it matches none"
    assert (code, error.strip()) == (2, expected)
    assert not (tmp_path / "runs").exists()


def test_the_nearest_file_is_named_and_what_is_no_video_is_refused_before_a_model_runs(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "plaza.mp4").write_text("no video")
    out = ("--out", str(tmp_path / "runs"))
    code, _, error = run(capsys, "track", str(tmp_path / "plaze.mp4"), *out)
    assert (code, f"did you mean {tmp_path / 'plaza.mp4'}?" in error) == (2, True)
    code, printed, error = run(capsys, "track", str(tmp_path / "plaza.mp4"), *out)
    assert (code, printed) == (2, "")
    assert "cannot be opened" in error
    assert not (tmp_path / "runs").exists()
    code, _, error = run(capsys, "track")
    assert (code, "(see vodkit track --help)" in error) == (2, True)


@pytest.mark.parametrize(
    ("word", "message"),
    [("person", "is not of the form theirs=ours"), ("dog=cat", "the truth has no class 'cat'")],
)
def test_a_class_map_is_refused_before_a_model_runs(
    word: str, message: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    words = [str(LABELS), "--model", "vodkit-street", "--split", "test", "--class-map", word]
    code, _, error = run(capsys, "eval", *words, "--out", str(tmp_path / "out"))
    assert (code, message in error) == (2, True)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("words", [[], ["data"]])
def test_a_command_that_is_missing_gives_the_help_whole(
    words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """In its lines, with no description cut short, and the steps in the order of a project."""
    code, out, error = run(capsys, *words)
    assert (code, out) == (2, "")
    assert error.startswith("Usage: vodkit")
    assert error.count("\n") > 10
    assert not re.search(r"\.\.\.$", error.split("Commands:")[1], re.MULTILINE)
    if not words:
        assert error.index("  demo ") < error.index("  data ") < error.index("  models ")


def test_a_word_without_a_value_lists_the_settings(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    words = ["--data", "x.json", "--out", str(tmp_path), "--set", "epochs"]
    code, _, error = run(capsys, "train", *words)
    assert code == 2
    assert "settings: data, " in error
    assert " augment.zoom," in error


def test_a_dataset_without_a_split_is_told_how_to_get_one(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "a.txt").write_text("1,1,2,3,20,30,1,1,1\n")
    words = [str(tmp_path / "a.txt"), "-o", str(tmp_path / "a.json"), "--size", "64x48"]
    assert run(capsys, "data", "import", *words)[0] == 0
    code, _, error = run(capsys, "eval", str(tmp_path / "a.json"), "--split", "test", "x.jsonl")
    assert code == 2
    assert "'vodkit data split' deals them out" in error


def test_detect_has_every_option_of_track_but_the_trackers() -> None:
    """One calls the other: an option that is not handed on would arrive as its description."""
    of_track = {*inspect.signature(track).parameters}
    of_track -= {"tracker", "tracker_settings", "after", "segments", "cuts", "include_predicted"}
    of_track -= {"lines", "zones", "events", "mqtt", "ha", "webhook", "serve", "keep_doubtful"}
    of_track -= {"continues"}
    assert {*inspect.signature(detect).parameters} == of_track


@pytest.mark.parametrize("content", [b"", b"this is no video", b"\x00" * 5000])
def test_a_file_that_is_no_video_is_named(
    content: bytes, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    path = tmp_path / "clip.mp4"
    path.write_bytes(content)
    code, _, error = run(capsys, "track", str(path), "--out", str(tmp_path / "runs"))
    assert code == 2
    assert "clip.mp4" in error
    assert error.count("\n") == 1
    assert not list((tmp_path / "runs").rglob("predictions.jsonl"))


def test_a_folder_without_pictures_is_refused(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "empty").mkdir()
    code, _, error = run(capsys, "track", str(tmp_path / "empty"), "--out", str(tmp_path / "runs"))
    assert code == 2
    assert "empty" in error


def test_an_output_that_cannot_be_written_is_named(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("x")
    code, _, error = run(capsys, "track", str(CLIP_A), "--out", str(tmp_path / "file" / "runs"))
    assert code == 2
    assert "cannot make the folder" in error


def test_results_of_an_earlier_run_are_never_overwritten_unasked(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    folder = tmp_path / "runs" / CLIP_A.stem
    folder.mkdir(parents=True)
    (folder / "predictions.jsonl").write_text("precious")
    code, _, error = run(capsys, "track", str(CLIP_A), "--out", str(tmp_path / "runs"))
    assert code == 2
    assert "exists and was not written by vodkit" in error
    assert (folder / "predictions.jsonl").read_text() == "precious"


def test_version_and_help(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, "--version")
    assert (code, out[:7]) == (0, "vodkit ")
    code, out, _ = run(capsys, "track", "--help")
    assert code == 0
    assert "Example: vodkit track" in out


def test_the_module_is_the_command() -> None:
    """``torchrun -m vodkit train`` must not end silently with nothing done."""
    told = subprocess.run(
        [sys.executable, "-m", "vodkit", "trak"], capture_output=True, text=True, check=False
    )
    assert told.returncode == 2
    assert "Did you mean 'track'" in told.stderr


@pytest.mark.parametrize(
    ("error", "lack"),
    [
        # Python's words where pthread_create fails, and where fork does.
        (RuntimeError("can't start new thread"), "cannot start more threads or processes"),
        (BlockingIOError(11, "Resource temporarily unavailable"), "cannot start more threads or p"),
        (MemoryError(), "is out of memory (MemoryError); close other programs, or raise the limit"),
        (RuntimeError("[...] DefaultCPUAllocator: can't allocate memory"), "is out of memory"),
    ],
)
def test_a_lack_of_threads_or_memory_is_no_bug_of_ours(
    error: Exception, lack: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert _unforeseen(error, verbose=False) == 2
    assert capsys.readouterr().err.startswith(f"vodkit: the machine {lack}")


def test_a_run_folder_in_a_settings_file_is_not_overruled_by_a_default(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "manifest.json").write_text("{}")
    file = tmp_path / "given.toml"
    file.write_text(f"out = '{tmp_path}'\nval_split = 'test'\n")
    code, _, error = run(capsys, "train", "--data", str(LABELS), "--settings", str(file))
    assert code == 2
    assert f"{tmp_path / 'manifest.json'}: exists and was not written by vodkit" in error
