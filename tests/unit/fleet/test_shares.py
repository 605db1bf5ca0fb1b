"""Which videos a word means, whose they are, and what is known of their errors."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import fsspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from s3_bucket import s3_server
from vodkit.fleet.claims import Claims
from vodkit.fleet.failures import FAILED, Failures, failure_of
from vodkit.fleet.place import Place, listing
from vodkit.fleet.settings import FleetSettings
from vodkit.fleet.shards import Shard
from vodkit.fleet.sources import Item, items_of
from vodkit.fleet.tree import Record, Tree
from vodkit.ground.errors import FormatError, InputError, SettingsError, StorageError, VideoError
from vodkit.infer.settings import InferSettings


@pytest.mark.slow
@given(st.lists(st.text(min_size=1), unique=True), st.integers(1, 50))
def test_each_video_is_in_one_shard_whatever_others_there_are(names: list[str], count: int) -> None:
    shards = [Shard(index, count) for index in range(count)]
    owners = {name: [shard.index for shard in shards if shard.holds(name)] for name in names}
    assert all(len(found) == 1 for found in owners.values())
    assert owners == {name: owners[name] for name in reversed(names)}


@pytest.mark.parametrize("text", ["4/4", "-1/4", "0/0", "1", "1/", "a/b", "1/2/3", "1.5/4"])
def test_a_shard_out_of_range_is_refused(text: str) -> None:
    with pytest.raises(SettingsError, match=r"shard is .*allowed: "):
        Shard.parse(text)


SLURM = {"SLURM_ARRAY_TASK_ID": "7", "SLURM_ARRAY_TASK_COUNT": "4"}


@pytest.mark.parametrize(
    ("environ", "shard"),
    [
        (SLURM | {"SLURM_ARRAY_TASK_MIN": "5", "SLURM_ARRAY_TASK_MAX": "8"}, "2/4"),
        (SLURM | {"SLURM_ARRAY_TASK_MIN": "1", "SLURM_ARRAY_TASK_STEP": "2"}, "3/4"),
        ({"SLURM_ARRAY_TASK_ID": "0", "SLURM_ARRAY_TASK_COUNT": "4"}, "0/4"),
        ({"AWS_BATCH_JOB_ARRAY_INDEX": "2", "AWS_BATCH_JOB_ARRAY_SIZE": "3"}, "2/3"),
        ({"JOB_COMPLETION_INDEX": "0", "JOB_COMPLETION_COUNT": "9"}, "0/9"),
    ],
)
def test_array_jobs_say_which_shard(environ: dict[str, str], shard: str) -> None:
    assert str(Shard.parse("auto", environ)) == shard


@pytest.mark.parametrize(
    ("environ", "message"),
    [
        ({}, "outside of an array job"),
        ({"JOB_COMPLETION_INDEX": "1"}, "set JOB_COMPLETION_COUNT"),
        ({"SLURM_ARRAY_TASK_ID": "1"}, "SLURM_ARRAY_TASK_COUNT is not set"),
        (SLURM | {"SLURM_ARRAY_TASK_MIN": "1", "SLURM_ARRAY_TASK_MAX": "90"}, "uneven gaps"),
        (SLURM, "allowed: 0/4 to 3/4"),
    ],
)
def test_array_jobs_that_say_too_little_are_refused(environ: dict[str, str], message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        Shard.parse("auto", environ)


def test_patterns_and_folders_of_buckets_are_videos_longest_first(tmp_path: Path) -> None:
    system = fsspec.filesystem("memory")
    for name, size in {"a/x.mp4": 3, "a/b/x.mp4": 9, "a/notes.txt": 5, "a/z.MKV": 1}.items():
        system.pipe_file(f"/shares/{name}", bytes(size))
    found = items_of(["memory://shares/**/x.mp4"])
    assert [item.uri for item in found] == ["memory://shares/a/b/x.mp4", "memory://shares/a/x.mp4"]
    assert len({item.name for item in found}) == 2
    found = items_of(["memory://shares/", "memory://shares/a/x.mp4"])
    assert [item.size for item in found] == [9, 3, 1]
    for word in ("memory://shares/*.mp4", "memory://nowhere/", str(tmp_path)):
        with pytest.raises(InputError, match="no videos found"):
            items_of([word])
    with pytest.raises(InputError, match="a live source"):
        items_of(["rtsp://door/cam"])
    (absent,) = items_of(["memory://shares/absent.mp4"])
    assert (absent.size, absent.version) == (0, "")


def test_local_patterns_are_videos_and_pictures_stay_one_source(tmp_path: Path) -> None:
    for name in ("a.mp4", "sub/b.mp4", "film/1.jpg", "film/2.jpg"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    found = items_of([f"{tmp_path}/**/*.mp4", str(tmp_path / "film"), f"{tmp_path}/film/*.jpg"])
    names = sorted(item.uri.removeprefix(str(tmp_path)) for item in found)
    assert names == ["/a.mp4", "/film", "/film/*.jpg", "/sub/b.mp4"]
    url = f"file://{tmp_path}/*.mp4"
    assert [item.uri for item in items_of([url])] == [f"file://{tmp_path}/a.mp4"]


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("gs://films/*.mp4", "pip install gcsfs"),
        ("nosuch://films/*.mp4", "Protocol not known: nosuch; allowed: a path, or a URL"),
    ],
)
def test_a_store_that_is_not_installed_says_what_to_install(url: str, message: str) -> None:
    with pytest.raises(StorageError, match=message) as caught:
        listing(url)
    assert not caught.value.is_transient


class NoCredentialsError(Exception):
    """As botocore calls it."""


@pytest.mark.parametrize(
    ("error", "message", "is_transient"),
    [
        (TimeoutError("60 s"), "does not answer", True),
        (ConnectionRefusedError("port 9"), "does not answer", True),
        (NoCredentialsError("Unable to locate credentials"), "no credentials", False),
        (PermissionError("Access Denied"), "access is refused", False),
        (RuntimeError("odd"), "cannot be used: odd", False),
    ],
)
def test_a_bucket_that_fails_is_one_clear_line(
    error: Exception, message: str, is_transient: bool
) -> None:
    class Failing(fsspec.AbstractFileSystem):
        protocol = "failing"

        def ls(self, path: str, **_more: object) -> list[object]:
            raise error

        def info(self, path: str, **_more: object) -> dict[str, object]:
            raise error

    fsspec.register_implementation("failing", Failing, clobber=True)
    for word in ("failing://ann:secret@films/a/*.mp4", "failing://ann:secret@films/a.mp4"):
        with pytest.raises(StorageError, match=message) as caught:
            items_of([word])
        assert caught.value.is_transient == is_transient
        assert "secret" not in str(caught.value)
    place = Place("failing://films/runs")
    with pytest.raises(StorageError, match=message):
        place.make()
    assert not place.creates, "a store of which nothing is known cannot serve claims"
    with pytest.raises(SettingsError, match="use --shard i/n instead of --claim"):
        Claims(place).require()


@pytest.fixture(scope="module")
def s3() -> Iterator[str]:
    with s3_server() as url:
        yield url


@pytest.fixture(params=["local", "file", "memory", pytest.param("s3", marks=pytest.mark.slow)])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    if request.param == "s3":
        request.getfixturevalue("s3")
        return Place(f"s3://bucket{tmp_path}")
    urls = {"local": str(tmp_path), "file": f"file://{tmp_path}", "memory": f"memory:/{tmp_path}"}
    return Place(urls[request.param])


@pytest.mark.slow
def test_a_bucket_of_s3_is_listed_and_its_failures_are_one_clear_line(
    s3: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    system = fsspec.filesystem("s3")
    for name in ("a/x.mp4", "a/b/y.mp4", "notes.txt"):
        system.pipe_file(f"bucket/listed/{name}", name.encode())
    for word in ("s3://bucket/listed/**/*.mp4", "s3://bucket/listed/"):
        found = sorted(item.uri for item in items_of([word]))
        assert found == ["s3://bucket/listed/a/b/y.mp4", "s3://bucket/listed/a/x.mp4"]
    with pytest.raises(StorageError, match=r"s3://none/runs: does not exist .* make the bucket"):
        Place("s3://none/runs").create("fleet.json", b"{}")

    def refusal() -> StorageError:
        system.clear_instance_cache()
        with pytest.raises(StorageError) as caught:
            items_of(["s3://bucket/listed/*.mp4"])
        system.clear_instance_cache()
        return caught.value

    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    error = refusal()
    assert ("does not answer" in str(error), error.is_transient) == (True, True)
    monkeypatch.setenv("AWS_ENDPOINT_URL", s3)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    error = refusal()
    assert ("no credentials" in str(error), error.is_transient) == (True, False)


def test_a_place_reads_what_it_wrote_and_creates_once(place: Place, tmp_path: Path) -> None:
    place.make()
    assert place.read("a/b.json") is None
    place.write("a/b.json", b"1")
    place.write("a/b.json", b"2")
    assert place.read_all(["a/b.json", "a/none.json"]) == {"a/b.json": b"2"}
    assert place.creates
    assert [place.create("a/c.json", b"3"), place.create("a/c.json", b"4")] == [True, False]
    assert place.read("a/c.json") == b"3"
    assert place.names("a/*.json") == ["a/b.json", "a/c.json"]
    assert place.names("none/*.json") == []
    place.delete("a/b.json", "a/b.json")
    assert place.names("*/*.json") == ["a/c.json"]
    run = tmp_path / "run"
    run.mkdir()
    (run / "predictions.jsonl").write_bytes(b"lines")
    (run / "manifest.json").write_bytes(b"{}")
    (run / ".hidden").write_bytes(b"")
    place.upload(run, "x-1", last="manifest.json")
    back = tmp_path / "back"
    back.mkdir()
    place.download("x-1", back, ["predictions.jsonl", "manifest.json", "none.csv"])
    assert {one.name: one.read_bytes() for one in back.iterdir()} == {
        "predictions.jsonl": b"lines",
        "manifest.json": b"{}",
    }


def test_one_worker_gets_a_claim_and_a_silent_one_loses_it(place: Place) -> None:
    first, second = Claims(place, 1000.0), Claims(place, 1000.0)
    with first.take("a-1") as mine:
        assert mine is not None
        assert second.held() == {"a-1"}
        with second.take("a-1") as other:
            assert other is None
    assert place.names("claims/*") == []
    void = {"host": "h", "pid": 1, "machine": "", "beat": time.time() - 2000, "worker": "x"}
    place.write("claims/a-1.json", json.dumps(void).encode())
    assert second.held() == frozenset()
    with first.take("a-1", is_new=True) as mine:
        assert mine is None
    place.write("claims/b-1.json", json.dumps(void).encode())
    with first.take("c-1"):
        second.sweep(lambda: ["b-1", "c-1"])
        assert place.names("claims/*") == ["claims/a-1.json", "claims/c-1.json"]
    with first.take("a-1") as mine, second.take("a-1") as other:
        assert mine is not None
        assert mine.is_taken_over
        assert other is None
        assert place.names("claims/*") == ["claims/a-1.2.json", "claims/a-1.json"]
    assert place.names("claims/*") == []


def test_the_claim_of_a_process_that_is_dead_here_is_void_at_once(tmp_path: Path) -> None:
    script = (
        "import os, sys; from vodkit.fleet.claims import Claims; from vodkit.fleet.place import"
        " Place\nwith Claims(Place(sys.argv[1])).take('a-1'):\n    os._exit(9)"
    )
    subprocess.run([sys.executable, "-c", script, str(tmp_path)], check=False)
    assert (tmp_path / "claims" / "a-1.json").exists()
    if not Path("/proc/self/ns/pid").exists():
        pytest.skip("no table of processes here: such a claim is void after ten minutes")
    with Claims(Place(str(tmp_path))).take("a-1") as mine:
        assert mine is not None


def test_a_worker_that_was_silent_notices_that_it_lost_its_video(tmp_path: Path) -> None:
    claims = Claims(Place(str(tmp_path)), expiry_s=0.05)
    with claims.take("a-1") as mine:
        assert mine is not None
        (tmp_path / "claims" / "a-1.2.json").write_bytes(b"{}")
        deadline = time.monotonic() + 20
        while not mine.is_lost and time.monotonic() < deadline:
            os.sched_yield()
        assert mine.is_lost
    assert (tmp_path / "claims" / "a-1.2.json").exists(), "it belongs to the other worker"


def test_a_damaged_claim_is_named(tmp_path: Path) -> None:
    place = Place(str(tmp_path))
    place.write("claims/a-1.json", b"torn")
    with pytest.raises(StorageError, match="not a claim"):
        Claims(place).held()


def test_failures_are_listed_and_forgotten(place: Place) -> None:
    failures = Failures(place)
    item = Item("clips/a.mp4", 3, "3-1")
    error = VideoError("cannot be decoded", path="clips/a.mp4", time_s=1.5)
    failures.record(failure_of(item, error, tries=2))
    failures.record(failure_of(Item("b.mp4"), ConnectionError("reset"), tries=1))
    lines = [json.loads(line) for line in (place.read(FAILED) or b"").splitlines()]
    assert [(one["uri"], one["kind"], one["time_s"], one["tries"]) for one in lines] == [
        ("clips/a.mp4", "permanent", 1.5, 2),
        ("b.mp4", "transient", None, 1),
    ]
    failures.forget(item.name)
    failures.write_list()
    assert (place.read(FAILED) or b"").count(b"\n") == 1


def test_errors_of_the_network_below_a_video_error_are_transient() -> None:
    with pytest.raises(VideoError) as caught:
        raise VideoError("cannot be opened", path="s3://a/b.mp4") from TimeoutError("60 s")
    assert failure_of(Item("s3://a/b.mp4"), caught.value, tries=1).kind == "transient"


def test_a_tree_is_joined_with_the_same_settings_only(tmp_path: Path) -> None:
    record = Record(settings=InferSettings(runtime="torch"), sources=("a.mp4",))
    tree = Tree(str(tmp_path))
    assert tree.record() is None
    joined = tree.join(record)
    assert tree.record() == joined == tree.join(record)
    assert tree.join(Record(settings=InferSettings(), sources=("b.mp4",))).sources == (
        "a.mp4",
        "b.mp4",
    )
    other = InferSettings(runtime="torch", score_threshold=0.5)
    with pytest.raises(SettingsError, match=r"score_threshold = 0\.05, requested: 0\.5; .*--out"):
        tree.join(Record(settings=other, sources=("a.mp4",)))
    with pytest.raises(SettingsError, match="exports"):
        tree.join(Record(settings=record.settings, sources=("a.mp4",), exports=("csv",)))
    for content in ("{}", "[]", "torn", '{"format": "vodkit fleet 9"}'):
        (tmp_path / "fleet.json").write_text(content)
        with pytest.raises(FormatError, match=r"fleet\.json"):
            tree.record()


def test_a_run_whose_worker_was_killed_before_its_exports_is_not_done(place: Place) -> None:
    tree, item = Tree(place.url), Item("a.mp4")
    settings = InferSettings(runtime="torch")
    tree.join(Record(settings=settings, sources=("a.mp4",), exports=("csv",)))
    place.write(f"{item.name}/manifest.json", b'{"ended": "complete"}')
    assert tree.status([item]).unfinished == {item.name}
    assert not tree.has_exports(item.name, ["csv"])
    place.write(f"{item.name}/predictions.csv", b"frame\n")
    assert tree.status([item]).done == {item.name}
    assert tree.has_exports(item.name, ["csv"])


@pytest.mark.parametrize(
    "given_",
    [
        {"claim": True, "shard": "0/2"},
        {"on": "ray", "shard": "0/2"},
        {"on": "spark"},
        {"actors": 2},
        {"pieces": 0},
    ],
)
def test_options_that_contradict_each_other_are_refused(given_: dict[str, object]) -> None:
    with pytest.raises(SettingsError):
        FleetSettings(**given_)  # type: ignore[arg-type]
