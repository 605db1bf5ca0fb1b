"""Many videos by many workers equal one process to the byte; failures stop no other."""

import json
import os
import re
import shlex
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from itertools import islice
from pathlib import Path

import fsspec
import numpy as np
import pytest

from s3_bucket import s3_server
from vodkit.cli.main import main
from vodkit.fleet.sources import Item
from vodkit.samples.samples import CLIP_B
from vodkit.video.reader import open_video
from vodkit.video.writer import VideoWriter

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]
Call = Callable[..., tuple[int, str, str]]
NUM_VIDEOS = 12
FENCE = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)
GUIDE = Path(__file__).parents[2] / "docs" / "guides" / "many-machines.md"
DOOR = [sys.executable, "-c", "from vodkit.cli.main import main; main()"]
RUNTIME = ("--runtime", "openvino")  # its processes start sooner than with torch


@pytest.fixture(scope="module")
def frames() -> list[np.ndarray]:
    with open_video(CLIP_B) as video:
        first = islice(video.frames(), 40)
        return [np.ascontiguousarray(frame.image[::2, ::2]) for frame in first]


def write(path: Path, frames: list[np.ndarray]) -> None:
    path.parent.mkdir(exist_ok=True)
    with VideoWriter(path, width_px=384, height_px=288, rate=10) as writer:
        for index, image in enumerate(frames):
            writer.write(image, index / 10)


@pytest.fixture(scope="module")
def clips(frames: list[np.ndarray], tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("clips")
    for number in range(NUM_VIDEOS):
        path = folder / f"day{number % 3}" / f"cam{number // 3}.mp4"
        write(path, frames[2 * number : 2 * number + 4 + number % 3])
    return folder


@pytest.fixture
def call(capsys: pytest.CaptureFixture[str]) -> Call:
    def run(*words: str) -> tuple[int, str, str]:
        before = signal.getsignal(signal.SIGTERM)
        with pytest.raises(SystemExit) as left:
            main([*words])
        signal.signal(signal.SIGTERM, before)
        said = capsys.readouterr()
        assert isinstance(left.value.code, int)
        return left.value.code, said.out, said.err

    return run


@pytest.fixture(scope="module")
def whole(clips: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, object]:
    """The tree of one process."""
    out = tmp_path_factory.mktemp("whole")
    with pytest.raises(SystemExit) as left:
        main(["track", f"{clips}/**/*.mp4", "--out", str(out), *RUNTIME, "--shard", "0/1", "--csv"])
    assert left.value.code == 0
    found = content(out)
    assert len({name.partition("/")[0] for name in found}) == NUM_VIDEOS + 2
    lines = [data for name, data in found.items() if name.endswith("predictions.csv")]
    assert all(isinstance(data, bytes) and data.count(b"\n") > 5 for data in lines)
    return found


def progress_of(tree: Path) -> dict[str, object]:
    """The counts in ``progress.json`` that are not 0."""
    counts = json.loads((tree / "progress.json").read_text())
    assert counts.pop("at").endswith("+00:00")
    return {name: count for name, count in counts.items() if count}


def content(tree: Path) -> dict[str, object]:
    """Every file but the lists of what vodkit wrote, by path; without times of day."""
    found: dict[str, object] = {}
    for path in sorted(one for one in tree.rglob("*") if one.is_file()):
        name = path.relative_to(tree).as_posix()
        if path.name == "manifest.json":
            manifest = json.loads(path.read_text())
            manifest["summary"].pop("seconds")
            found[name] = manifest
        elif path.name == "progress.json":
            found[name] = progress_of(tree)
        elif not path.name.startswith("."):
            found[name] = path.read_bytes()
    return found


def failed_in(tree: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in (tree / "failed.jsonl").read_text().splitlines()]


def test_four_shards_equal_one_process(
    call: Call, clips: Path, whole: dict[str, object], tmp_path: Path
) -> None:
    shared = ("--out", str(tmp_path / "out"), *RUNTIME, "--csv")
    for index in (2, 0, 3, 1):
        code, _, error = call("track", f"{clips}/**/*.mp4", *shared, "--shard", f"{index}/4")
        assert (code, error) == (0, "")
    assert content(tmp_path / "out") == whole
    code, told, _ = call("track", f"{clips}/**/*.mp4", *shared, "--claim")
    assert (code, told) == (0, "12 videos: 12 done, 0 to do\n")


def test_claims_into_a_remote_tree_equal_one_process(
    call: Call, clips: Path, whole: dict[str, object], tmp_path: Path
) -> None:
    url = f"file://{tmp_path}/out"
    words = ("track", f"{clips}/**/*.mp4", "--out", url, *RUNTIME, "--csv", "--claim")
    other = subprocess.Popen([*DOOR, *words], stdout=subprocess.PIPE)
    code, _, _ = call(*words)
    other.communicate(timeout=120)
    assert (code, other.returncode) == (0, 0)
    assert content(tmp_path / "out") == whole


def test_two_actors_of_ray_equal_one_process(
    call: Call, clips: Path, whole: dict[str, object], tmp_path: Path
) -> None:
    pytest.importorskip("ray")
    words = ["track", f"{clips}/**/*.mp4", f"{clips}/none.mp4", "--out", str(tmp_path), *RUNTIME]
    code, told, error = call(*words, "--csv", "--on", "ray", "--actors", "2")
    assert (code, told.count(" -> ")) == (3, NUM_VIDEOS), error
    assert [one["uri"] for one in failed_in(tmp_path)] == [f"{clips}/none.mp4"]
    assert {name: whole[name] for name in whole if "/" in name}.items() <= content(tmp_path).items()
    code, told, _ = call(*words, "--csv", "--on", "ray")
    assert told.startswith("13 videos: 12 done, 1 failed before"), "and Ray is not started"


@pytest.fixture(scope="module")
def cluster() -> Iterator[str]:
    """A Ray that runs already; its address."""
    ray = pytest.importorskip("ray")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_worker_niceness", "0")
        how = {"include_dashboard": False, "log_to_driver": False}
        ray.init(num_cpus=2, logging_level="error", **how)
    yield ray.get_runtime_context().gcs_address
    ray.shutdown()


def test_the_example_for_ray_data_gives_the_same_lines(
    cluster: str, clips: Path, whole: dict[str, object], tmp_path: Path
) -> None:
    pytest.importorskip("pyarrow")
    example = Path(__file__).parents[2] / "examples" / "ray_data.py"
    films = [clips / "day0" / "cam0.mp4", clips / "day1" / "cam1.mp4"]
    done = subprocess.run(
        [sys.executable, str(example), str(tmp_path), *map(str, films)],
        capture_output=True, text=True, check=False, env=os.environ | {"RAY_ADDRESS": cluster},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    told = [line.split() for line in done.stdout.splitlines() if ".mp4 " in line]
    assert {Path(words[0]) for words in told} == {*films}
    for film in films:
        lines = (tmp_path / film.stem / "predictions.jsonl").read_bytes()
        assert lines == whole[f"{Item(str(film)).name}/predictions.jsonl"]


def test_the_rest_of_a_tree_is_counted_and_done(
    call: Call, clips: Path, whole: dict[str, object], tmp_path: Path
) -> None:
    out = str(tmp_path)
    words = ["track", f"{clips}/**/*.mp4", "--out", out, *RUNTIME, "--csv", "--shard", "1/4"]
    _, told, _ = call(*words)
    count = told.count(" -> ")
    assert 0 < count < NUM_VIDEOS
    code, told, _ = call("runs", "ls", out)
    assert told.splitlines()[0] == f"{out}: 12 videos: {count} done, {12 - count} missing"
    assert told.splitlines()[-1] == f"next: vodkit runs resume {out}"
    left = {"missing": 12 - count, "left": 12 - count}
    assert progress_of(tmp_path) == {"done": count} | left
    assert call("runs", "resume", out)[0] == 0
    code, told, _ = call("runs", "ls", out, "--json")
    listed = json.loads(told)
    assert (code, listed["done"], listed["left"], listed["commands"]) == (0, 12, 0, [])
    assert content(tmp_path) == whole


@pytest.mark.parametrize("command", ["track", "detect"])
def test_pieces_of_one_video_equal_the_whole(
    call: Call, frames: list[np.ndarray], tmp_path: Path, command: str
) -> None:
    write(tmp_path / "long.mp4", frames)
    shared = ["--batch-size", "4", "--every", "2", "--appearance", "colour", *RUNTIME]
    for name, more in {"whole": [], "pieces": ["--pieces", "2"]}.items():
        out = str(tmp_path / name)
        code, _, error = call(command, f"{tmp_path}/long.mp4", "--out", out, *shared, *more)
        assert (code, error) == (0, "")
    found = content(tmp_path / "pieces")
    assert found == content(tmp_path / "whole")
    assert "long/embeddings.bin" in found


def test_pieces_of_a_damaged_video_end_where_the_whole_ends(
    call: Call, frames: list[np.ndarray], tmp_path: Path
) -> None:
    write(tmp_path / "cut.mp4", frames)
    data = bytearray((tmp_path / "cut.mp4").read_bytes())
    data[len(data) // 2 : len(data) // 2 + 4000] = b"\xff" * 4000
    (tmp_path / "cut.mp4").write_bytes(data)
    for name, more in {"whole": [], "pieces": ["--pieces", "2"]}.items():
        out = str(tmp_path / name)
        assert call("track", f"{tmp_path}/cut.mp4", "--out", out, *RUNTIME, *more)[0] == 3
    found = content(tmp_path / "pieces")
    assert found == content(tmp_path / "whole")
    assert found["cut/detections.jsonl"].count(b"\n") > 5  # type: ignore[attr-defined]


@pytest.mark.parametrize("scheme", ["memory", "s3"])
def test_a_bucket_in_and_out_leaves_nothing_behind(
    call: Call, clips: Path, whole: dict[str, object], scheme: str
) -> None:
    """For S3 it is the command of the page, word for word."""
    (line,) = re.findall(r"^vodkit track 's3://.*", GUIDE.read_text("utf-8"), re.MULTILINE)
    with s3_server() if scheme == "s3" else nullcontext():
        system = fsspec.filesystem(scheme)
        for bucket in ("films", "results"):
            system.mkdir(bucket)
        words = shlex.split(line.replace("s3://", f"{scheme}://"))[1:]
        in_and_out(call, clips, whole, words if scheme == "s3" else words[:-1])


def in_and_out(call: Call, clips: Path, whole: dict[str, object], words: list[str]) -> None:
    scheme = words[1].partition(":")[0]
    system = fsspec.filesystem(scheme)
    films = {path.relative_to(clips).as_posix(): path for path in clips.rglob("*.mp4")}
    films = {name: path for name, path in films.items() if name.startswith("day1")}
    for name, path in films.items():
        system.pipe_file(f"/films/{name}", path.read_bytes())
    scratch = Path(tempfile.gettempdir())
    before = sorted(scratch.iterdir())
    words += [*RUNTIME, "--csv"]
    code, told, error = call(*words)
    assert (code, error) == (0, "")
    assert told.count(f" -> {scheme}://results/monday/") == len(films)
    assert sorted(scratch.iterdir()) == before
    for name, path in films.items():
        here, there = Item(str(path)).name, Item(f"{scheme}://films/{name}").name
        for file in ("detections.jsonl", "predictions.jsonl", "predictions.csv"):
            got = system.cat_file(f"/results/monday/{there}/{file}").partition(b"\n")
            wanted = whole[f"{here}/{file}"]
            assert isinstance(wanted, bytes)
            assert got[2] == wanted.partition(b"\n")[2], (
                "all but the header, which names the source"
            )
    assert call(*words)[1] == f"{len(films)} videos: {len(films)} done, 0 to do\n"
    changed = f"/films/{next(iter(films))}"
    system.pipe_file(changed, next(clips.rglob("*.mp4")).read_bytes())
    code, told, error = call(*words)
    assert (code, told.count(" -> ")) == (0, 1)
    assert "the file was replaced since its run; run again" in error


def test_a_corrupt_an_absent_and_an_empty_video_stop_no_other(
    call: Call, clips: Path, tmp_path: Path
) -> None:
    films = tmp_path / "films"
    films.mkdir()
    for path in sorted(clips.rglob("*.mp4"))[:2]:
        (films / f"{path.parent.name}.mp4").write_bytes(path.read_bytes())
        (films / f"good-{path.stem}.mp4").write_bytes(path.read_bytes())
    bad = {"corrupt": b"no video " * 99, "empty": b""}
    for name, data in bad.items():
        (films / f"{name}.mp4").write_bytes(data)
    out = tmp_path / "out"
    words = ["track", f"{films}/*.mp4", f"{films}/absent.mp4", "--out", str(out), *RUNTIME]
    code, _, error = call(*words, "--claim")
    assert code == 3
    last = error.splitlines()[-1]
    assert last.startswith("vodkit: 3 of ")
    assert last.endswith(
        f"videos failed or are incomplete; the others are done. Reasons: {out}/failed.jsonl"
    )
    kinds = {Path(str(one["uri"])).stem: one["kind"] for one in failed_in(out)}
    assert kinds == dict.fromkeys(("corrupt", "absent", "empty"), "permanent")
    assert progress_of(out) == {"done": 3, "failed": 3}
    code, told, _ = call(*words, "--claim")
    assert (code, told.splitlines()) == (
        3,
        ["6 videos: 3 done, 3 failed before (--retry-failed), 0 to do"],
    )
    (films / "empty.mp4").write_bytes(next(clips.rglob("*.mp4")).read_bytes())
    code, told, _ = call(*words, "--claim")
    assert (code, told.count(" -> ")) == (3, 1), "another file is at the same place"
    code, told, _ = call(*words, "--claim", "--retry-failed")
    assert (code, told.count("failed\n")) == (3, 2)
    assert [one["tries"] for one in failed_in(out)] == [2, 2]


def test_a_killed_worker_is_replaced_and_its_video_done_once(
    call: Call, clips: Path, whole: dict[str, object], tmp_path: Path
) -> None:
    words = ("track", f"{clips}/**/*.mp4", "--out", str(tmp_path), *RUNTIME, "--csv", "--claim")
    killed = subprocess.Popen([*DOOR, *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    deadline = time.monotonic() + 120
    while len([*tmp_path.glob("*/detections.jsonl")]) < 2 and time.monotonic() < deadline:
        os.sched_yield()
    killed.kill()
    killed.communicate(timeout=60)
    assert [*(tmp_path / "claims").iterdir()], "it was killed at work"
    code, told, error = call(*words)
    assert (code, error) == (0, "")
    assert "12 videos: " in told
    assert content(tmp_path) == whole


def test_killed_workers_and_a_video_that_kills_them_lose_nothing() -> None:
    """One round of the campaign of ``benchmarks/bench_fleet.py``."""
    script = Path(__file__).parents[2] / "benchmarks" / "bench_fleet.py"
    words = [sys.executable, str(script), "kill", "--rounds", "1", "--pause-s", "1"]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["trees equal to one process"] >= 1


def test_the_page_on_many_machines(
    call: Call, frames: list[np.ndarray], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each command as it stands there; failed ones are part of it."""
    monkeypatch.chdir(tmp_path)
    for number in range(3):
        write(Path("films") / f"{number}.mp4", frames[number : number + 4])
    write(Path("films") / ".." / "long.mp4", frames[:9])
    text = GUIDE.read_text("utf-8")
    blocks = [block for language, block in FENCE.findall(text) if not language]
    lines = [line for block in blocks for line in block.splitlines()]
    assert len(lines) == 9
    for line in lines:
        words = shlex.split(line.replace("$PWD", str(tmp_path)))[1:]
        more = [] if words[0] == "runs" else RUNTIME
        code, _, error = call(*words, *more)
        assert code == 0, f"{line}: {error}"
    trees = {path.parent.name for path in tmp_path.glob("*/fleet.json")}
    assert trees == {"runs", "runs-a", "uploaded", "on-ray"}
    assert all(len([*(tmp_path / tree).glob("*/manifest.json")]) == 3 for tree in trees)
    assert (tmp_path / "whole" / "long" / "manifest.json").exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--out", "gs://films/runs"], "pip install gcsfs"),
        (["--shard", "4/4"], "shard is 4/4; allowed: 0/4 to 3/4"),
        (["--shard", "auto"], "outside of an array job"),
        (["--on", "ray", "--claim"], "--on ray shares the videos itself"),
        (["--shard", "0/2", "--overwrite"], "--overwrite: not available where workers share"),
        (["--pieces", "2", "--every", "auto"], "key frames depend on the frames before"),
        (["--on", "ray", "--out", "memory://runs"], "memory of one process"),
    ],
)
def test_what_cannot_be_shared_is_one_line_and_exit_2(
    call: Call, clips: Path, tmp_path: Path, words: list[str], message: str
) -> None:
    out = [] if "--out" in words else ["--out", str(tmp_path)]
    code, _, error = call("track", f"{clips}/**/*.mp4", *out, *words, *RUNTIME)
    assert (code, error.count("\n")) == (2, 1), error
    assert message in error
