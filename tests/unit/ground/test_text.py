"""Credentials of URLs and formulas in cells; control characters are in the terminal's own tests."""

import csv
from pathlib import Path

import pytest

from vodkit.cli.main import main
from vodkit.cli.terminal import visible
from vodkit.ground.errors import VideoError
from vodkit.ground.text import csv_cell, redacted
from vodkit.infer.folder import folder_names

SECRET = "hunter2"
URLS = [
    f"rtsp://ann:{SECRET}@127.0.0.1:9/cam",
    f"rtsp://ann:{SECRET}@127.0.0.1:9",
    f"rtsp://ann:x@{SECRET}@127.0.0.1:9/cam",
    f"http://127.0.0.1:9/film.mp4?password={SECRET}&x=1",
    f"http://127.0.0.1:9/live?X-Amz-Signature={SECRET}",
    f"http://ann:{SECRET}@127.0.0.1:9/list.m3u8",
]


@pytest.mark.parametrize("url", URLS)
def test_credentials_reach_no_screen_no_file_and_no_name(
    url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert SECRET not in redacted(f"{url}: no answer; {url}")
    assert SECRET not in visible(f"cannot open {url}")
    assert SECRET not in str(VideoError(f"no answer of {url}", path=url))
    assert SECRET not in folder_names([url])[0]
    with pytest.raises(SystemExit) as left:
        main(["track", url, "-o", str(tmp_path / "out")])
    said = capsys.readouterr()
    assert left.value.code == 2
    assert SECRET not in said.out + said.err
    for path in tmp_path.rglob("*"):
        assert SECRET not in str(path)
        assert path.is_dir() or SECRET.encode() not in path.read_bytes()


def test_what_is_no_credential_stays() -> None:
    for text in ("a@b.c", "rtsp://10.0.0.1/cam?channel=1", "mail ann@x.org about http://x.org/a"):
        assert redacted(text) == text


@pytest.mark.parametrize("name", ["=cmd|' /C calc'!A0", "+1", "-1", "@SUM(A1)", "\t=1"])
def test_a_class_name_is_no_formula(name: str, tmp_path: Path) -> None:
    with (tmp_path / "a.csv").open("w", newline="") as file:
        csv.writer(file).writerow([csv_cell(name), csv_cell("person")])
    with (tmp_path / "a.csv").open(newline="") as file:
        assert next(csv.reader(file)) == [f"'{name}", "person"]
