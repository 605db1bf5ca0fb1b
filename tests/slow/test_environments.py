"""Poor environments, for real: full or closed output, long names, no home, no user, ASCII."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from vodkit.samples.samples import CLIP_A, LABELS

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="devices and users of Linux"),
]
VODKIT = f"{sys.executable} -m vodkit"
LONG = "n" * 300
STRANGER = 54321  # no such user
AS_STRANGER = [
    "setpriv", f"--reuid={STRANGER}", f"--regid={STRANGER}", "--clear-groups",
    "--inh-caps=+dac_read_search", "--ambient-caps=+dac_read_search",
]  # fmt: skip
"""may read all (the interpreter may lie in root's home), but write only where others may"""


def shell(
    words: str, folder: Path, *, before: tuple[str, ...] = (), **environment: str | None
) -> subprocess.CompletedProcess[str]:
    given = {name: value for name, value in environment.items() if value is not None}
    kept = {name: value for name, value in os.environ.items() if name not in environment}
    return subprocess.run(
        [*before, "bash", "-c", words],
        cwd=folder,
        env={**kept, "OMP_NUM_THREADS": "1", **given},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (f"{VODKIT} models > /dev/full", 2, "standard output: cannot be written: No space left"),
        (f"{VODKIT} models >&-", 2, "standard output: is closed; redirect it"),
        (f"{VODKIT} --help > /dev/full", 2, "standard output: cannot be written: No space left"),
        (f"{VODKIT} data stats {LABELS} --json > /dev/full", 2, "No space left on device"),
        (f"{VODKIT} nonsense 2> /dev/full", 2, ""),
        (f"{VODKIT} nonsense 2>&-", 2, ""),
        (f"{VODKIT} data stats {LABELS} 2>&- <&- > out.txt", 0, ""),
        (f"{VODKIT} data stats {LABELS} | head -c 1 > out.txt; exit ${{PIPESTATUS[0]}}", 0, ""),
        (f"{VODKIT} track {LONG}.mp4", 2, "File name too long"),
        (f"{VODKIT} data import {LONG}.json -o d.json", 2, "File name too long"),
        (f"{VODKIT} data import {LABELS} -o {LONG}.json", 2, "File name too long"),
        (f"{VODKIT} models > models.txt 2> /dev/full", 0, ""),
    ],
)
def test_one_line_and_the_right_code(words: str, code: int, said: str, tmp_path: Path) -> None:
    done = shell(words, tmp_path)
    assert done.returncode == code, done
    assert said in done.stderr
    assert len(done.stderr.splitlines()) <= 1
    assert "bug of vodkit" not in done.stderr
    assert len(done.stderr) < 300


def test_a_library_does_not_print_into_a_result(tmp_path: Path) -> None:
    """A closed descriptor is opened, lest a result file takes its number."""
    code = "from vodkit.cli.standard_streams import prepare_streams; prepare_streams()"
    code += "; import os; file = open('result', 'wb'); os.write(2, b'noise'); file.write(b'good')"
    done = shell(f'{sys.executable} -c "{code}" 2>&- <&-', tmp_path)
    assert done.returncode == 0
    assert (tmp_path / "result").read_bytes() == b"good"


def test_ascii_output_has_the_same_numbers(tmp_path: Path) -> None:
    """Names are printed with escapes, and nothing fails."""
    content = json.loads(LABELS.read_text(encoding="utf-8"))
    content["categories"][0]["name"] = "f\xfc\xdfg\xe4nger \u4eba"
    (tmp_path / "d.json").write_text(json.dumps(content), encoding="utf-8")
    for video in LABELS.parent.glob("*.mp4"):
        shutil.copy(video, tmp_path)
    plain = shell(f"{VODKIT} data stats d.json", tmp_path, PYTHONIOENCODING="utf-8")
    ascii_ = shell(
        f"{VODKIT} data stats d.json", tmp_path, PYTHONIOENCODING="ascii", LC_ALL="C", LANG="C"
    )
    assert plain.returncode == ascii_.returncode == 0, (plain, ascii_)
    assert "f\\xfc\\xdfg\\xe4nger \\u4eba" in ascii_.stdout
    digits = [[word for word in one.stdout.split() if word.isdecimal()] for one in (plain, ascii_)]
    assert digits[0] == digits[1]


def test_a_source_with_the_longest_name(tmp_path: Path) -> None:
    """Files made of it have names that fit."""
    clip = tmp_path / ("\u4eba" * 83 + ".mp4")  # 253 bytes
    shutil.copy(CLIP_A, clip)
    done = shell(f"{VODKIT} track {clip.name} --every 65 -o out --csv --video", tmp_path)
    assert done.returncode == 0, done
    assert len(list((tmp_path / "out").glob("*/*.*"))) > 3
    assert shell(f"{VODKIT} data sample {clip.name} --frames 2 -o sample", tmp_path).returncode == 0
    assert len(list((tmp_path / "sample").glob("*.jpg"))) == 2


NOBODY: dict[str, dict[str, str | None]] = {
    "no home": {"HOME": None},
    "a home that is missing": {"HOME": "/nonexistent"},
    "a home of root": {"HOME": "/root"},
    "a cache that cannot be written": {"HOME": None, "VODKIT_CACHE": "/proc/cache"},
}


@pytest.mark.skipif(not shutil.which("setpriv") or os.getuid() != 0, reason="needs root")
@pytest.mark.parametrize("case", NOBODY)
def test_a_user_without_an_entry(case: str, tmp_path: Path) -> None:
    """As in ``docker run -u 54321``: work is done, with or without a cache."""
    for folder in (tmp_path, *list(tmp_path.parents)[:2]):
        folder.chmod(0o755)
    out = tmp_path / "out"
    out.mkdir()
    os.chown(out, STRANGER, STRANGER)
    words = f"{VODKIT} models --json"
    if "VODKIT_CACHE" in NOBODY[case]:
        words = f"{VODKIT} track {CLIP_A} --every 65 --json -o run --runtime openvino"
    done = shell(words, out, before=tuple(AS_STRANGER), TMPDIR=str(out), **NOBODY[case])
    assert done.returncode == 0, done
    assert json.loads(done.stdout)
    assert "Traceback" not in done.stderr


@pytest.mark.skipif(not shutil.which("setpriv") or os.getuid() != 0, reason="needs root")
def test_an_unwritable_folder_is_named(tmp_path: Path) -> None:
    for folder in (tmp_path, *list(tmp_path.parents)[:2]):
        folder.chmod(0o755)
    done = shell(f"{VODKIT} data import {LABELS} -o d.json", tmp_path, before=tuple(AS_STRANGER))
    assert done.returncode == 2
    assert "not writable" in done.stderr
    assert len(done.stderr.splitlines()) == 1
