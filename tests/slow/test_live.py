"""Several live sources in one process: all are served, files roll over, nothing is left open.

The servers (MPEG-TS over HTTP, on loopback) send a clip of the plaza and hang up when told.
"""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from fractions import Fraction
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import islice
from pathlib import Path

import av
import numpy as np
import pytest

from vodkit.formats.predictions import read_frames, read_header
from vodkit.ground import runs
from vodkit.ground.errors import PartialError, SettingsError, VideoError
from vodkit.ground.records import Tracks
from vodkit.infer.event_log import read_events
from vodkit.infer.flow import make_detector
from vodkit.infer.folder import RunFolder
from vodkit.infer.live import run_live
from vodkit.infer.replay import replayed, wanted_in
from vodkit.infer.settings import InferSettings, RollSettings
from vodkit.samples.samples import CLIP_B
from vodkit.video.stream import LiveSettings

pytestmark = pytest.mark.slow
# Frames wait long enough here for none to be dropped, and a source that hung up is given up soon.
PATIENT = LiveSettings(max_waiting=1000, open_timeout_s=2, first_pause_s=0.01, give_up_s=1.0)
NUM_FRAMES = 60


def transport_stream(path: Path) -> bytes:
    """The first frames of the sample clip, as a camera would send them."""
    with av.open(str(CLIP_B)) as clip, av.open(str(path), "w", format="mpegts") as out:
        stream = out.add_stream("libx264", rate=10)
        stream.width, stream.height, stream.pix_fmt = 416, 312, "yuv420p"
        stream.options = {"g": "10", "bf": "0", "preset": "ultrafast"}
        for number, raw in enumerate(clip.decode(video=0)):
            if number == NUM_FRAMES:
                break
            frame = raw.reformat(416, 312, "yuv420p")
            frame.pts, frame.time_base = number, Fraction(1, 10)
            out.mux(stream.encode(frame))
        out.mux(stream.encode())
    return path.read_bytes()


class Web(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        if self.server.served:  # who comes back finds nothing
            self.send_error(404)
            return
        self.server.served += 1
        self.send_response(200)
        self.send_header("Content-Type", "video/mp2t")
        self.end_headers()
        try:
            half = len(self.server.media) // 2
            self.wfile.write(self.server.media[:half])
            while not (self.server.goes_on() or self.server.hang_up.is_set()):
                os.sched_yield()
            self.wfile.write(self.server.media[half:])
            self.server.hang_up.wait(60)
        except ConnectionError:
            return

    def log_message(self, *words: object) -> None:
        """Quiet."""


@pytest.fixture(scope="module")
def media(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return transport_stream(tmp_path_factory.mktemp("live") / "plaza.ts")


@pytest.fixture
def on_air(media: bytes) -> Iterator[Callable[[], tuple[ThreadingHTTPServer, str]]]:
    """Start a camera: its server, and its URL."""
    servers = []

    def start(port: int = 0) -> tuple[ThreadingHTTPServer, str]:
        server = ThreadingHTTPServer(("127.0.0.1", port), Web)
        server.daemon_threads, server.block_on_close = True, False
        server.media, server.hang_up, server.served = media, threading.Event(), 0
        server.goes_on = lambda: True  # asked in the middle
        threading.Thread(target=server.serve_forever, daemon=True).start()
        servers.append(server)
        return server, f"http://127.0.0.1:{server.server_address[1]}/cam{len(servers)}"

    yield start
    for server in servers:
        server.hang_up.set()
        server.shutdown()
        server.server_close()


def prepared(out: Path, count: int, wanted: InferSettings) -> list[Path]:
    folders = [out / f"cam{i}" for i in range(count)]
    for folder in folders:
        RunFolder(folder).prepare(wanted)
    return folders


@pytest.mark.parametrize("roll_s", [0.0, 2.0])
def test_a_run_goes_on_in_new_files_after_a_kill(on_air, tmp_path: Path, roll_s: float) -> None:
    wanted = InferSettings(device="cpu", tracker="none")
    detector = make_detector(wanted)
    folder = prepared(tmp_path, 1, wanted)[0]
    roll = RollSettings(roll_s=roll_s)
    counts, start = [], datetime.now(UTC)
    for session in range(2):
        _, url = on_air()
        RunFolder(folder).prepare(wanted, resume=True)
        steps = run_live(
            [url], [folder], detector, wanted, roll=roll, patience=PATIENT, resume=True
        )
        counts.append(len([next(steps) for _ in range(30)]))
        steps.close()
        if session == 0:  # as a kill leaves them: half a line, and a manifest that says nothing
            before = sorted(folder.glob("predictions*.jsonl"))
            whole = [path.read_bytes() for path in before]
            with before[-1].open("ab") as last:
                last.write(b'{"frame": 99, "det')
    files = sorted(folder.glob("predictions*.jsonl"), key=lambda path: path.stem)
    assert [path.read_bytes() for path in before] == whole, "what was there stays as it was"
    assert len(files) == 2 * len(before)
    assert sum(len(list(read_frames(path))) for path in files) == sum(counts)
    told = json.loads((folder / "manifest.json").read_text())
    assert told["live"]["files"] == [path.name for path in files]
    assert [session["num_frames"] for session in told["sessions"]] == [30]
    notes = [read_header(path).notes for path in files]
    assert [one["session"] for one in notes] == ["1"] * len(before) + ["2"] * len(before)
    began = [datetime.fromisoformat(one["began"]) for one in notes]
    assert start < began[0]
    assert began == sorted(began)
    assert began[-1] < datetime.now(UTC)
    with pytest.raises(SettingsError, match="has"):
        RunFolder(folder).prepare(InferSettings(device="cpu", tracker="sort"), resume=True)


def test_events_of_a_killed_session_are_completed_and_replayed(on_air, tmp_path: Path) -> None:
    """As a clean stop would have left them; the next session counts on."""
    wanted = InferSettings(device="cpu", zones=("left=0,0,208,0,208,312,0,312",))
    detector = make_detector(wanted)
    folder = prepared(tmp_path, 1, wanted)[0]
    clean = b""
    for session in range(2):
        _, url = on_air()
        RunFolder(folder).prepare(wanted, resume=True)
        steps = run_live(
            [url], [folder], detector, wanted,
            roll=RollSettings(roll_s=2.0), patience=PATIENT, resume=True,
        )  # fmt: skip
        told = [event for step in islice(steps, NUM_FRAMES - 5) for event in step.events]
        steps.close()
        files = runs.parts_in(folder, runs.EVENTS)
        if session == 0:
            assert len(files) == len(runs.parts_in(folder)) == 3
            clean = b"".join(path.read_bytes() for path in files)
            assert clean.startswith(b"".join(event.to_line() for event in told))
            manifest = json.loads((folder / "manifest.json").read_text())
            (folder / "manifest.json").write_text(json.dumps(manifest | {"ended": "running"}))
            with files[-1].open("r+b") as torn:
                torn.truncate(files[-1].stat().st_size // 2)
    assert b"".join(path.read_bytes() for path in files).startswith(clean)
    found = list(read_events(files))
    assert [entry["n"] for entry in found] == list(range(1, len(found) + 1))
    assert {entry["id"].split("-")[0] for entry in found} == {"1", "2"}
    began = read_header(runs.parts_in(folder)[0]).notes["began"]
    since = datetime.fromisoformat(found[0]["utc"]) - datetime.fromisoformat(began)
    first_s = next(read_frames(runs.parts_in(folder)[0])).time_s
    assert since.total_seconds() == pytest.approx(found[0]["time_s"] - first_s, abs=0.002)
    made = replayed(runs.parts_in(folder), wanted_in(folder))
    lines = b"".join(event.to_line() for _, events in made for event in events)
    assert lines == b"".join(path.read_bytes() for path in files)


def test_two_cameras_are_tracked_at_once_and_files_roll_over(on_air, tmp_path: Path) -> None:
    wanted = InferSettings(device="cpu")
    cameras = [on_air(), on_air()]
    folders = prepared(tmp_path, 2, wanted)
    detector = make_detector(wanted)
    steps = run_live(
        [url for _, url in cameras],
        folders,
        detector,
        wanted,
        roll=RollSettings(roll_s=2.0),
        patience=PATIENT,
    )
    seen: Counter[str] = Counter()
    order = []
    for step in steps:
        seen[step.source] += 1
        order.append(step.source)
        assert step.latency_s > 0
        if min(seen.values()) >= NUM_FRAMES - 5 and len(seen) == 2:
            break
    steps.close()
    assert len(set(order[:20])) == 2, "one camera waited for the other"
    whole = []
    for folder in folders:
        files = sorted(folder.glob("predictions-*.jsonl"))
        assert len(files) == 3  # six seconds
        frames = [frame for path in files for frame in read_frames(path)]
        assert all(read_header(path).tracker == "vodkit" for path in files)
        indices = [frame.index for frame in frames]
        assert indices == sorted(set(indices))
        assert len(frames) >= NUM_FRAMES - 5
        ids = [set(f.found.ids.tolist()) for f in frames if isinstance(f.found, Tracks)]
        assert sum(map(len, ids)) > 200, "people are on the plaza"
        told = json.loads((folder / "manifest.json").read_text())
        assert told["ended"] == "stopped"
        assert told["live"]["files"] == [path.name for path in files]
        assert 0 < told["live"]["latency_s"]["median"] <= told["live"]["latency_s"]["max"]
        firsts = [next(read_frames(path)).index for path in files[1:]]
        for first in firsts:  # ids go on over the border of two files
            at = indices.index(first)
            assert ids[at - 1] & ids[at]
        whole.append([(f.index, f.found.boxes_xyxy.tolist()) for f in frames])
    shared = min(len(one) for one in whole)
    for (_, a), (_, b) in zip(*(one[:shared] for one in whole), strict=True):
        assert np.shape(a) == np.shape(b)
        assert np.allclose(a, b, atol=0.01), "the same pictures, the same boxes"


def test_old_files_are_let_go_and_one_broken_camera_does_not_stop_the_others(
    on_air, tmp_path: Path
) -> None:
    wanted = InferSettings(device="cpu", tracker="none")
    (first, url), (second, other) = on_air(), on_air()
    folders = prepared(tmp_path, 3, wanted)
    nobody = "http://127.0.0.1:9/live"
    steps = run_live(
        [url, nobody, other],
        folders,
        make_detector(wanted),
        wanted,
        roll=RollSettings(roll_s=1.0, keep=2),
        patience=PATIENT,
    )
    seen: Counter[str] = Counter()

    def to_the_end() -> None:
        for step in steps:
            seen[step.source] += 1
            if seen[url] == 30:
                first.hang_up.set()  # the first breaks; the second goes on to its end
            if seen[other] == NUM_FRAMES - 5:
                second.hang_up.set()

    with pytest.raises(PartialError, match="3 of 3 live sources broke off") as caught:
        to_the_end()
    assert nobody in str(caught.value)
    assert seen[other] >= NUM_FRAMES - 5
    for folder in (folders[0], folders[2]):
        assert len(list(folder.glob("predictions-*.jsonl"))) == 2
        assert json.loads((folder / "manifest.json").read_text())["ended"] == "broken"


def test_an_absent_camera_is_told_of_and_waited_for_while_the_others_run(
    on_air, tmp_path: Path
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    _, url = on_air()
    absent = f"http://127.0.0.1:{port}/cam2"
    wanted = InferSettings(device="cpu", tracker="none")
    told: list[str] = []
    steps = run_live(
        [absent, url],
        prepared(tmp_path, 2, wanted),
        make_detector(wanted),
        wanted,
        patience=LiveSettings(max_waiting=1000, first_pause_s=0.01, longest_pause_s=0.1),
        notify=told.append,
    )
    seen: Counter[str] = Counter()
    for step in steps:
        seen[step.source] += 1
        if seen[url] == 30 and not seen[absent]:
            assert told[0] == f"{absent}: cannot connect: Connection refused; trying again"
            on_air(port)
        if seen[absent] == 30:
            break
    steps.close()
    assert f"{absent}: is here" in told
    manifest = json.loads((tmp_path / "cam0" / "manifest.json").read_text())
    assert manifest["num_frames"] == 30
    assert manifest["live"]["num_reconnects"] == 0


def test_overwriting_waits_for_the_first_frame_of_each_source(on_air, tmp_path: Path) -> None:
    """The older recording was deleted, and then the camera was not there."""
    wanted = InferSettings(device="cpu", tracker="none")
    detector = make_detector(wanted)
    nobody = "http://127.0.0.1:9/live"
    folders = prepared(tmp_path, 2, wanted)
    old = {folder / name for folder in folders for name in ("predictions.jsonl", "manifest.json")}
    for path in old:
        path.write_text('{"source": "old"}')
    told: list[str] = []
    for sources in ([nobody, nobody], [on_air()[1], nobody]):
        assert all(path.read_text() == '{"source": "old"}' for path in old)
        for folder in folders:
            RunFolder(folder).check(wanted, overwrite=True)
        steps = run_live(
            sources, folders, detector, wanted, patience=PATIENT, overwrite=True, notify=told.append
        )
        if sources[0] == nobody:
            with pytest.raises(VideoError, match="cannot connect"):
                next(steps)
        else:
            assert next(steps).source != nobody
        steps.close()
    assert f"{nobody}: no frame came; {folders[1]} is as it was" in told
    assert json.loads((folders[0] / "manifest.json").read_text())["source"] == sources[0]
    assert len(list(read_frames(folders[0] / "predictions.jsonl"))) == 1
    left = {path for path in old if path.parent == folders[1]}
    assert all(path.read_text() == '{"source": "old"}' for path in left)


def stopped(words: list[str], until: Path, by: signal.Signals) -> tuple[int, str, str]:
    """Run vodkit, and stop it when a file is there."""
    door = [sys.executable, "-c", "from vodkit.cli.main import main; main()"]
    process = subprocess.Popen(
        [*door, *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    while process.poll() is None and not until.exists():
        os.sched_yield()
    process.send_signal(by)
    out, error = process.communicate(timeout=60)
    return process.returncode, out, error


def test_a_killed_command_leaves_whole_files_goes_on_and_is_ended_cleanly_by_sigterm(
    on_air, tmp_path: Path
) -> None:
    folder, wanted = tmp_path / "cam1", ["--out", str(tmp_path), "--roll-s", "2"]
    server, url = on_air()
    # Of what comes at once a busy machine sees the last frames alone, which fill one file.
    server.goes_on = (folder / "predictions-0001.jsonl").exists
    stopped(["track", url, *wanted], folder / "predictions-0002.jsonl", signal.SIGKILL)
    before = {path: path.read_bytes() for path in folder.glob("predictions-*.jsonl")}
    assert len(before) == 2
    assert sum(len(list(read_frames(path))) for path in before) > 0
    server.served, server.goes_on = 0, (folder / "predictions-0003.jsonl").exists
    code, out, error = stopped(
        ["track", url, *wanted, "--resume", "--csv", "--json"],
        folder / "predictions-0004.jsonl",
        signal.SIGTERM,
    )
    assert code == 130, error
    assert all(path.read_bytes() == content for path, content in before.items())
    names = [Path(path).name for path in json.loads(out)["files"]]
    assert names[:2] == ["predictions-0001.jsonl", "predictions-0001.csv"]
    manifest = json.loads((folder / "manifest.json").read_text())
    assert manifest["ended"] == "stopped"
    files = sorted(folder.glob("predictions-*.jsonl"))
    assert all(read_header(path).source == url for path in files), "every file is whole"
    frames = [frame for path in files[2:] for frame in read_frames(path)]
    assert len(frames) == manifest["num_frames"] > 0
    assert manifest["sessions"][0]["num_frames"] is None, "nobody counted them"


def test_what_needs_the_way_back_is_refused(tmp_path: Path) -> None:
    wanted = InferSettings(device="cpu")
    detector = make_detector(wanted)
    with pytest.raises(SettingsError, match="is not a live source"):
        next(run_live([str(CLIP_B)], [tmp_path], detector, wanted))
    with pytest.raises(SettingsError, match="keep is 2 without roll_s"):
        RollSettings(keep=2)
    with pytest.raises(VideoError, match="cannot connect"):
        next(run_live(["http://127.0.0.1:9/live"], [tmp_path], detector, wanted))


# A disk of its own needs no rights where the system lets anybody have a view of its own.
ON_A_SMALL_DISK = ["unshare", "-rm", "sh", "-c", 'mount -t tmpfs -o size=256k none "$0" && "$@"']
FULL = """
import sys
from contextlib import suppress
from pathlib import Path
from vodkit.ground.errors import OutputError
from vodkit.infer.flow import make_detector
from vodkit.infer.folder import RunFolder
from vodkit.infer.live import run_live
from vodkit.infer.settings import InferSettings
from vodkit.video.stream import LiveSettings

url, folder = sys.argv[1], Path(sys.argv[2])
wanted = InferSettings(device="cpu", tracker="none")
RunFolder(folder).prepare(wanted)
none_dropped = LiveSettings(max_waiting=1000, give_up_s=1)
steps = run_live([url], [folder], make_detector(wanted), wanted, patience=none_dropped)
try:
    for count, _ in enumerate(steps, 1):
        if count == 3:
            with (folder / "others").open("wb", buffering=0) as others, suppress(OSError):
                while True:
                    others.write(bytes(64))
except OutputError:
    lines = (folder / "predictions.jsonl").read_bytes().splitlines(keepends=True)
    print(count, len(lines) - 1, lines[-1].endswith(b"\\n"), (folder / "manifest.json").read_text())
"""


def test_the_manifest_of_a_run_that_filled_the_disk_says_so(on_air, tmp_path: Path) -> None:
    if subprocess.run([*ON_A_SMALL_DISK, str(tmp_path), "true"], check=False).returncode:
        pytest.skip("this system gives nobody a disk of his own")
    server, url = on_air()
    command = [*ON_A_SMALL_DISK, str(tmp_path), sys.executable, "-c", FULL, url, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    server.hang_up.set()
    count, num_lines, is_whole, manifest = done.stdout.split(" ", 3)
    told = json.loads(manifest)
    assert (int(count), is_whole) == (int(num_lines), "True")
    assert told["num_frames"] == int(count)
    assert told["ended"] == "broken"
    assert "No space left" in told["reason"]
