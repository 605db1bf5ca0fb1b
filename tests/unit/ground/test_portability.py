"""What differs on Windows and macOS, simulated: locks, drives, names, pipes, spawned workers."""

import errno
import os
import pickle
import sys
import threading
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace

import pytest

from vodkit.ground.errors import InputError, OutputError, VideoError
from vodkit.ground.paths import expanded, put_in_place, relative
from vodkit.ground.process import reader_is_gone
from vodkit.ground.records import LabelledVideo, VideoInfo
from vodkit.ground.runs import only_one, write_atomic
from vodkit.ground.waiting import wait_until


@pytest.fixture
def windows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "win32")


def test_files_on_two_drives_are_refused_in_words(monkeypatch: pytest.MonkeyPatch) -> None:
    def relpath(_path: Path, _start: Path) -> str:
        raise ValueError("path is on mount 'D:', start on mount 'C:'")

    monkeypatch.setattr(os.path, "relpath", relpath)
    with pytest.raises(InputError, match="are on different drives; allowed: files on one drive"):
        relative(Path("D:/a.mp4"), Path("C:/labels"))


def _refusing(times: int) -> Callable[[Path, Path], Path]:
    """``Path.replace`` that a scanner lets through only after so many tries."""
    real, tries = Path.replace, []

    def replace(self: Path, target: Path) -> Path:
        tries.append(self)
        if len(tries) <= times:
            raise PermissionError(errno.EACCES, "Permission denied")
        return real(self, target)

    return replace


@pytest.mark.usefixtures("windows")
def test_a_file_that_a_scanner_holds_is_replaced_a_moment_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Path, "replace", _refusing(2))
    monkeypatch.setattr("vodkit.ground.paths._PAUSE_S", 0.0)
    write_atomic(tmp_path / "a.txt", "new")
    assert (tmp_path / "a.txt").read_text() == "new"
    monkeypatch.setattr(Path, "replace", _refusing(1000))
    with pytest.raises(OutputError, match="cannot write: Permission denied"):
        write_atomic(tmp_path / "a.txt", "newer")


def test_elsewhere_a_refused_replace_is_final(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "part").write_text("x")
    monkeypatch.setattr(Path, "replace", _refusing(1))
    with pytest.raises(PermissionError):
        put_in_place(tmp_path / "part", tmp_path / "whole")


@pytest.mark.usefixtures("windows")
def test_windows_locks_a_file_in_the_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    held: set[int] = set()

    def locking(descriptor: int, mode: int, _count: int) -> None:
        file = os.fstat(descriptor).st_ino
        if mode == 1 and file in held:
            raise OSError(errno.EACCES, "Permission denied")
        (held.add if mode == 1 else held.discard)(file)

    fake = SimpleNamespace(locking=locking, LK_NBLCK=1, LK_UNLCK=2)
    monkeypatch.setitem(sys.modules, "msvcrt", fake)
    with only_one(tmp_path), pytest.raises(OutputError, match="another process is at work here"):
        only_one(tmp_path).__enter__()
    with only_one(tmp_path):
        assert held
    assert not held


@pytest.mark.usefixtures("windows")
def test_windows_expands_patterns_of_videos_and_leaves_those_of_pictures(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("b.mp4", "a.mp4", "1.jpg", "2.jpg"):
        Path(name).touch()
    given = ["track", "*.mp4", "*.jpg", "no*.mp4", "--set", "x=[1]", "-o?"]
    assert expanded(given) == ["track", "a.mp4", "b.mp4", *given[2:]]
    monkeypatch.setattr(sys, "platform", "linux")
    assert expanded(given) == given


def test_a_closed_pipe_is_no_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    closed = OSError(errno.EINVAL, "Invalid argument")
    assert reader_is_gone(BrokenPipeError())
    assert not reader_is_gone(closed)
    monkeypatch.setattr(sys, "platform", "win32")
    assert reader_is_gone(closed)
    assert not reader_is_gone(OSError(errno.ENOSPC, "No space left on device"))


@pytest.mark.parametrize("platform", ["win32", "linux"])
def test_waiting_ends_when_it_is_met_or_over(
    platform: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "platform", platform)
    condition, seen = threading.Condition(), []

    def add() -> None:
        with condition:
            seen.append(1)
            condition.notify_all()

    with condition:
        assert not wait_until(condition, lambda: bool(seen), 0.01)
        thread = threading.Thread(target=add)
        thread.start()
        assert wait_until(condition, lambda: bool(seen))
    thread.join()


def test_a_labelled_video_reaches_a_worker_process_as_it_is() -> None:
    info = VideoInfo(path="a.mp4", width_px=8, height_px=8, rate=Fraction(25))
    video = LabelledVideo(source="a.mp4", info=info, tags={"site": "north"})
    again = pickle.loads(pickle.dumps(video))
    assert again == video
    with pytest.raises(TypeError):
        again.tags["site"] = "south"


def test_cameras_have_the_names_that_each_system_gives(monkeypatch: pytest.MonkeyPatch) -> None:
    from vodkit.video import stream

    devices = [SimpleNamespace(name="Microphone", media_types=["audio"])]
    devices += [SimpleNamespace(name=name, media_types=["video"]) for name in ("Front", "Back")]
    monkeypatch.setattr(stream.av, "enumerate_input_devices", lambda form: devices)
    assert stream._camera_name("Linux", 1) == "/dev/video1"
    assert stream._camera_name("Darwin", 1) == "1"
    assert stream._camera_name("Windows", 1) == "video=Back"
    with pytest.raises(VideoError, match="no such camera; cameras found: 0 Front; 1 Back"):
        stream._camera_name("Windows", 2)
