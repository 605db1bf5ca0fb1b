"""The journal keeps what it calls saved: over kills, full disks and torn lines."""

import errno
import os
import random
import signal
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from vodkit.ground.errors import FormatError, OutputError
from vodkit.review.document import Document, Timing
from vodkit.review.journal import header_of, open_journal

HEADER = {"videos": ["a.mp4"]}


def empty() -> Document:
    return Document.new(("fly",), (Timing(np.arange(100) / 25),))


def draw(track: int) -> dict[str, Any]:
    box = [track, 0.0, track + 10.0, 10.0]
    return {"do": "draw", "video": 0, "track": track, "label": 0, "frame": 5, "box": box}


def test_history_survives_a_restart(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    with open_journal(path, HEADER, empty()) as journal:
        for track in (1, 2):
            journal.commit(draw(track), id=f"id{track}", who="ada")
        again = journal.commit(draw(2), id="id2", who="ada")
        assert again.n == journal.n == 2
    with open_journal(path, HEADER, empty()) as journal:
        assert journal.last_of("ada", undone=False) == 2
        assert journal.last_of("bob", undone=False) is None
        journal.commit({"do": "undo", "n": 2}, id="u", who="ada")
        assert journal.last_of("ada", undone=True) == 2
    with open_journal(path, HEADER, empty()) as journal:
        assert list(journal.document.tracks(0)) == [1]
        assert journal.next_id(0) == 3
        journal.commit({"do": "redo", "n": 2}, id="r", who="ada")
        assert list(journal.document.tracks(0)) == [1, 2]
        assert journal.last_of("ada", undone=True) is None


def test_a_torn_last_line_is_dropped_and_a_damaged_one_is_named(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    with open_journal(path, HEADER, empty()) as journal:
        for track in (1, 2):
            journal.commit(draw(track), id=f"id{track}")
    whole = path.read_bytes()
    for length in range(len(whole) - 1, len(whole) - 60, -7):
        path.write_bytes(whole[:length])
        with open_journal(path, HEADER, empty()) as journal:
            assert list(journal.document.tracks(0)) == [1]
            journal.commit(draw(2), id="again")
    path.write_bytes(whole.replace(b'"draw"', b'"bend"', 1))
    with (
        pytest.raises(FormatError, match=r"a\.jsonl:2: .*no track 1"),
        open_journal(path, HEADER, empty()),
    ):
        pass


def test_another_video_or_process_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    with open_journal(path, HEADER, empty()):
        with (
            pytest.raises(OutputError, match="another process"),
            open_journal(path, HEADER, empty()),
        ):
            pass
        assert (header_of(path) or {})["videos"] == ["a.mp4"]
    with (
        pytest.raises(FormatError, match="videos"),
        open_journal(path, {"videos": ["b.mp4"]}, empty()),
    ):
        pass
    assert header_of(tmp_path / "none.jsonl") is None


def test_a_full_disk_is_reported_and_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.jsonl"
    with open_journal(path, HEADER, empty()) as journal:
        journal.commit(draw(1), id="id1")
        before = path.read_bytes()

        def full(_descriptor: int) -> None:
            raise OSError(errno.ENOSPC, "No space left on device")

        with monkeypatch.context() as patched:
            patched.setattr(os, "fsync", full)
            with pytest.raises(OutputError, match="not saved: No space left"):
                journal.commit(draw(2), id="id2")
        assert path.read_bytes() == before
        assert list(journal.document.tracks(0)) == [1]
        journal.commit(draw(2), id="id2")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_read_only_folder_is_reported_at_once(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    try:
        with (
            pytest.raises(OutputError, match="cannot be written"),
            open_journal(tmp_path / "a.jsonl", HEADER, empty()),
        ):
            pass
    finally:
        tmp_path.chmod(0o700)


KILLS = int(os.environ.get("VODKIT_KILLS", "12"))


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
@pytest.mark.skipif(sys.platform == "win32", reason="needs fork and SIGKILL")
def test_kill_9_loses_nothing_that_was_called_saved(tmp_path: Path) -> None:
    path, rng = tmp_path / "a.jsonl", random.Random(0)
    for _ in range(KILLS):
        reader, writer = os.pipe()
        child = os.fork()
        if child == 0:  # commits until it is killed, and says each number after "saved"
            os.close(reader)
            with open_journal(path, HEADER, empty()) as journal:
                while True:
                    number = journal.n + 1
                    journal.commit(draw(number), id=str(number))
                    os.write(writer, b"%d\n" % number)
        os.close(writer)
        said = b""
        wanted = rng.randrange(1, 60)
        while said.count(b"\n") < wanted:
            said += os.read(reader, rng.randrange(1, 16))
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        while rest := os.read(reader, 4096):
            said += rest
        os.close(reader)
        last = int(said.split()[-1])
        with open_journal(path, HEADER, empty()) as journal:
            assert sorted(journal.document.tracks(0)) == [*range(1, journal.n + 1)]
            assert journal.n >= last
        if last > 300:
            path.unlink()
