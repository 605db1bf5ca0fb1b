"""Credentials of URLs and formulas in cells; control characters are in the terminal's own tests."""

import csv
import io
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vodkit.cli.main import main
from vodkit.cli.terminal import visible
from vodkit.ground.errors import VideoError
from vodkit.ground.text import csv_rows, csv_text, redacted
from vodkit.infer.folder import folder_names

SOURCE = Path(__file__).parents[3] / "src"
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


FORMULAS = ["=cmd|' /C calc'!A0", "+x", "-a1", "@SUM(A1)", "\t=1", "\r=1", "\n=1", "'=1", "\uff1d1"]


@pytest.mark.parametrize("name", FORMULAS)
def test_a_text_is_no_formula(name: str) -> None:
    text = csv_text([[name, "person"]])
    assert next(csv.reader(io.StringIO(text, newline=""))) == [f"'{name}", "person"]
    assert csv_rows(text) == [[name, "person"]]


def test_negative_numbers_stay_numbers() -> None:
    cells = ["-1", "-1.5", "+.5", "-2e-05", -0.25, -3]
    assert csv_text([cells]) == "-1,-1.5,+.5,-2e-05,-0.25,-3\n"


@given(st.lists(st.lists(st.text(st.characters(codec="utf-8"), min_size=1), min_size=1)))
def test_csv_comes_back_as_it_was(rows: list[list[str]]) -> None:
    assert csv_rows(csv_text(rows)) == rows


def test_all_csv_is_written_in_one_place() -> None:
    """So no table of vodkit can hold a formula."""
    found = [path for path in SOURCE.rglob("*.py") if "csv.writer" in path.read_text("utf-8")]
    found += [path for path in SOURCE.rglob("*.py") if "DictWriter" in path.read_text("utf-8")]
    assert [path.name for path in found] == ["text.py"]
