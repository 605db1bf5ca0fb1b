"""Jobs of many videos: one that fails stops no other, is named, and is done again by --resume."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from vodkit.cli.main import main
from vodkit.video.synth import Scene, SceneSettings, write_scene

pytestmark = pytest.mark.slow
Call = Callable[..., tuple[int, list[dict[str, Any]], str]]


@pytest.fixture
def call(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Call:
    def run(*words: str) -> tuple[int, list[dict[str, Any]], str]:
        where = ["--out", str(tmp_path / "out"), "--runtime", "torch", "--json"]
        with pytest.raises(SystemExit) as left:
            main([*words, *where])
        said = capsys.readouterr()
        assert isinstance(left.value.code, int)
        return left.value.code, [json.loads(line) for line in said.out.splitlines()], said.err

    return run


@pytest.fixture
def clips(tmp_path: Path) -> list[str]:
    paths = [tmp_path / f"{name}.mp4" for name in "abc"]
    for seed, path in enumerate(paths):
        settings = SceneSettings(num_frames=8, width_px=160, height_px=120, seed=seed)
        write_scene(Scene(settings), path)
    return [str(path) for path in paths]


def test_one_that_fails_stops_no_other_and_is_done_again(
    call: Call, clips: list[str], tmp_path: Path
) -> None:
    whole = Path(clips[1]).read_bytes()
    Path(clips[1]).write_bytes(b"no video yet")
    in_the_way = tmp_path / "out" / "a" / "annotated.mp4"
    in_the_way.mkdir(parents=True)
    code, told, error = call("track", *clips, "--csv", "--video")
    assert (code, told) == (2, [])
    assert "annotated.mp4: exists and was not written by vodkit" in error
    in_the_way.rmdir()
    code, told, error = call("track", *clips, "--csv", "--video")
    assert code == 3
    assert [Path(one["folder"]).name for one in told] == ["a", "b", "c"]
    assert [[Path(name).name for name in one["files"]] for one in told] == [
        ["predictions.jsonl", "predictions.csv", "annotated.mp4"],
        [],
        ["predictions.jsonl", "predictions.csv", "annotated.mp4"],
    ]
    assert [len(one.get("failed", ())) for one in told] == [0, 1, 0]
    second, last = error.splitlines()
    assert "b.mp4: cannot be opened" in second
    assert last == "vodkit: 1 of 3 sources failed or are incomplete; the others finished"
    Path(clips[1]).write_bytes(whole)
    code, told, error = call("track", *clips, "--resume", "--csv")
    assert (code, error) == (0, "")
    assert len((tmp_path / "out" / "b" / "predictions.jsonl").read_text().splitlines()) == 9
    Path(clips[1]).write_bytes(Path(clips[0]).read_bytes())
    code, told, error = call("track", *clips, "--resume", "--csv")
    assert code == 3
    assert "source_sha256" in told[1]["failed"][0], "it was done, of another video"


def test_other_forms_of_a_part_are_made_anew_when_the_run_goes_on(
    call: Call, clips: list[str], tmp_path: Path
) -> None:
    assert call("detect", clips[0], "--csv", "--score-threshold", "0.001")[0] == 0
    folder = tmp_path / "out" / "a"
    whole = {
        name: (folder / name).read_bytes() for name in ("predictions.jsonl", "predictions.csv")
    }
    assert whole["predictions.csv"].count(b"\n") > 8
    lines = whole["predictions.jsonl"].splitlines(keepends=True)
    (folder / "predictions.jsonl").write_bytes(b"".join(lines[:4]))
    (folder / "predictions.csv").write_text("of a part")
    assert call("detect", clips[0], "--resume", "--score-threshold", "0.001")[0] == 0
    assert {name: (folder / name).read_bytes() for name in whole} == whole


@pytest.mark.parametrize(
    "words",
    [
        ["--model", "vodkit-stret"],
        ["--tracker", "bytetrak"],
        ["--set", "life.lost=2"],
        ["--appearance", "nothing.pth"],
        ["--resume"],
        ["--after", "nowhere"],
        ["--after", "out/a"],
    ],
)
def test_overwrite_throws_nothing_away_for_a_command_that_cannot_run(
    words: list[str],
    call: Call,
    clips: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "out" / "a"
    folder.mkdir(parents=True)
    for name in ("predictions.jsonl", "settings.toml", "predictions.csv"):
        (folder / name).write_text("precious")
    assert call("track", clips[0], "--overwrite", *words)[0] == 2
    assert [path.read_text() for path in folder.iterdir()] == ["precious"] * 3


def test_overwrite_throws_nothing_away_for_a_video_that_is_none_any_more(
    call: Call, clips: list[str], tmp_path: Path
) -> None:
    assert call("track", *clips[:2])[0] == 0
    before = {path: path.read_bytes() for path in (tmp_path / "out").rglob("*.*")}
    Path(clips[1]).write_bytes(b"no video any more")
    assert call("track", *clips[:2], "--overwrite")[0] == 2
    assert {path: path.read_bytes() for path in (tmp_path / "out").rglob("*.*")} == before
    (tmp_path / "out" / "b" / "predictions.jsonl").unlink()  # nothing to lose: the others go on
    assert call("track", *clips[:2], "--overwrite")[0] == 3
