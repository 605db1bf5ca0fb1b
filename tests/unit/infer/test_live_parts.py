"""The files of a live run: which there are, in which order, and that nobody mixes them."""

import json
from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from time import perf_counter

import numpy as np
import pytest

from vodkit.cli.main import main
from vodkit.formats.predictions import Header
from vodkit.ground import ledger, runs
from vodkit.ground.errors import InputError
from vodkit.ground.records import Dataset, Frame, State, Tracks, VideoInfo
from vodkit.ground.runs import parts_in, predictions_of
from vodkit.infer import event_log
from vodkit.infer.folder import RunFolder
from vodkit.infer.live import _Files
from vodkit.infer.manifest import Manifest
from vodkit.infer.replay import complete, replayed
from vodkit.infer.settings import InferSettings, RollSettings
from vodkit.metrics.prediction_files import read_predictions
from vodkit.video.stream import Arrived

NUMBERS = (9999, 10000, 2)


def run_of(folder: Path, numbers: tuple[int, ...]) -> Path:
    for name in ("predictions.jsonl", *(f"predictions-{n:04d}.jsonl" for n in numbers)):
        (folder / name).write_text('{"vodkit": "predictions"}\n')
        ledger.record(folder / name)
    (folder / "predictions-mine.jsonl").write_text("not of the run")
    return folder


def test_parts_come_in_the_order_in_which_they_were_written(tmp_path: Path) -> None:
    """A week in files of a minute has more than four digits; sorted as words, 10000 was lost."""
    run_of(tmp_path, NUMBERS)
    names = [path.stem.removeprefix("predictions") for path in parts_in(tmp_path)]
    assert names == ["", "-0002", "-9999", "-10000"]
    files = _Files(RunFolder(tmp_path), RollSettings(roll_s=60), InferSettings(), resume=True)
    assert files._number == 10000


def test_a_folder_with_parts_does_not_pass_for_its_first_file(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"has 4 files.* of a live run; give one .*-0002\.jsonl"):
        predictions_of(run_of(tmp_path, NUMBERS))
    with pytest.raises(InputError, match="has 4 files"):
        read_predictions([tmp_path], Dataset(classes=("fly",), videos=()))
    part = tmp_path / "predictions-0002.jsonl"
    assert predictions_of(part) == part


def test_overwrite_leaves_no_older_part_nor_what_was_made_of_it(tmp_path: Path) -> None:
    run_of(tmp_path, NUMBERS)
    for name in ("predictions.mot.txt", "predictions-0002.csv", "annotated.mp4"):
        (tmp_path / name).write_text("old")
        ledger.record(tmp_path / name)
    RunFolder(tmp_path).prepare(InferSettings(), overwrite=True)
    left = sorted(path.name for path in tmp_path.iterdir())
    assert left == [ledger.NAME, "predictions-mine.jsonl", "settings.toml"]


WANTED = InferSettings(lines=("gate=200,0,200,480",), device="cpu")
INFO = VideoInfo(path="cam", width_px=640, height_px=480, rate=Fraction(5))


def passing(count: int) -> Iterator[Tracks]:
    """One car is parked all the time; others pass, one after the other."""
    for i in range(count):
        boxes = [(500, 300, 600, 380), (i * 12 % 640, 100, i * 12 % 640 + 60, 160)]
        yield Tracks(
            boxes_xyxy=np.array(boxes, np.float32),
            scores=np.array([0.8, 0.7], np.float32),
            labels=np.zeros(2, np.int64),
            ids=np.array([1, 2 + i // 50]),
            states=np.array([State.OBSERVED] * 2, np.uint8),
            tentative=np.zeros(2, np.bool_),
        )


def record(folder: Path, roll: RollSettings) -> None:
    """A session of a camera, 40 s at 5 frames a second: what ``run_live`` leaves of it."""
    folder.mkdir(exist_ok=True)
    run = RunFolder(folder)
    files = _Files(run, roll, WANTED, resume=(folder / runs.MANIFEST).exists())
    manifest = Manifest(source="cam", live={}, sessions=files.earlier)
    runs.write_json(folder / runs.MANIFEST, manifest.to_json())
    header = Header(source="cam", classes=("car",), info=INFO, tracker="vodkit")
    for index, tracks in enumerate(passing(200)):
        image = np.zeros((4, 4, 3), np.uint8)
        frame = Frame(index=index, time_s=100 + index / 5, image=image, width_px=640, height_px=480)
        out, _ = files.file_for(Arrived(frame, perf_counter(), 0.0), header)
        out.write(frame.index, frame.time_s, tracks)
        files.add_events(frame, tracks)
    files.end()
    ended = replace(manifest, ended="stopped", num_frames=200)
    runs.write_json(folder / runs.MANIFEST, ended.to_json())


def lines_of(events: Iterator[tuple[Path, list[event_log.Event]]]) -> bytes:
    return b"".join(one.to_line() for _, found in events for one in found)


def logged(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in parts_in(folder, runs.EVENTS))


@pytest.mark.slow
def test_events_of_a_run_whose_first_files_were_deleted_keep_numbers_and_beginnings(
    tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    for number in range(2):  # two sessions of five files
        record(tmp_path / "all", RollSettings(roll_s=8))
        record(tmp_path / "kept", RollSettings(roll_s=8, keep=7))
        if number == 0:
            record(tmp_path / "few", RollSettings(roll_s=8, keep=2))
    numbers = [json.loads(line)["n"] for line in logged(tmp_path / "all").splitlines()]
    assert numbers == list(range(1, len(numbers) + 1))
    parts = parts_in(tmp_path / "all")
    assert len(parts) == 10
    assert lines_of(replayed(parts, WANTED)) == logged(tmp_path / "all")
    for folder, count in (("kept", 7), ("few", 2)):
        left = parts_in(tmp_path / folder)
        assert [len(left), len([*(tmp_path / folder).glob("objects-*.json")])] == [count] * 2
        events = logged(tmp_path / folder)
        assert json.loads(events.splitlines()[0])["n"] > 1
        assert lines_of(replayed(left, WANTED)) == events
    one = parts[2]  # the other files of its session follow
    assert lines_of(replayed([one], WANTED)) == runs.events_of(one).read_bytes()
    del parts[3]
    assert lines_of(replayed(parts, WANTED)) == logged(tmp_path / "all").replace(
        runs.events_of(tmp_path / "all" / "predictions-0004.jsonl").read_bytes(), b""
    )
    other = replace(WANTED, lines=("mid=320,0,320,480",))
    found = [json.loads(line) for line in lines_of(replayed(left, other)).splitlines()]
    assert [one["n"] for one in found] == list(range(1, len(found) + 1))
    assert "1-1" not in {one["id"] for one in found if one["type"] == "began"}, "it was there"
    runs.objects_of(left[0]).unlink()
    with pytest.raises(SystemExit) as ended:
        main(["events", str(tmp_path / "few")])
    assert ended.value.code == 2
    error = capfdbinary.readouterr().err.decode()
    assert "predictions-0004.jsonl: the file before it is missing, and objects-0004.json" in error
    assert error.count("\n") == 1


@pytest.mark.slow
@pytest.mark.parametrize("roll_s", [0.0, 16.0])
def test_a_killed_session_is_completed_without_reading_it_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, roll_s: float
) -> None:
    monkeypatch.setattr(event_log, "KEPT_EVERY_S", 3.0)
    record(tmp_path, RollSettings(roll_s=roll_s))
    truth, parts = logged(tmp_path), parts_in(tmp_path)
    last = runs.events_of(parts[-1])
    kept = last.read_bytes().partition(
        b'{"vodkit":"event","version":1,"n":%d,' % truth.count(b"\n")
    )[0]
    assert 0 < len(kept) < last.stat().st_size
    for cut in (0, 1, len(kept) // 2, len(kept)):
        last.write_bytes(kept[:cut])
        assert complete(parts, WANTED) == truth.count(b"\n") + 1
        assert logged(tmp_path) == truth
    for path in parts:  # frames before the last moment cannot even be read
        lines = path.read_bytes().splitlines(keepends=True)
        count = 10 if path == parts[-1] else len(lines) - 1
        torn = [b"?" * (len(line) - 1) + b"\n" for line in lines[1 : 1 + count]]
        path.write_bytes(b"".join([lines[0], *torn, *lines[1 + count :]]))
    last.write_bytes(kept)
    assert complete(parts, WANTED) == truth.count(b"\n") + 1
    assert logged(tmp_path) == truth
