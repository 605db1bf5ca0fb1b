"""A machine short of memory or threads, for real: what can be done is done, or it says so."""

import json
import os
import re
import resource
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from vodkit.ground import ledger
from vodkit.samples.samples import CLIP_A, LABELS

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]
_LIMIT = """
import resource
from pathlib import Path

def leave(mib):
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    limit = pages * resource.getpagesize() + mib * 2**20
    resource.setrlimit(resource.RLIMIT_AS, (limit, resource.RLIM_INFINITY))
"""
_MEMORY = """
import json, sys
import numpy as np, torch
from vodkit.train import batches, setup, validate
from vodkit.train.settings import TrainSettings

torch.set_num_threads(1)
data, out = sys.argv[1:]
sizes = []

def noting(module, name, count):
    real = getattr(module, name)
    def noted(*given):
        sizes.append(count(given))
        return real(*given)
    setattr(module, name, noted)

noting(validate, "run_graph", lambda given: len(given[1].indices))
noting(batches, "record", lambda given: len(given[2]))
wanted = dict(data=data, val_split="test", every=40, still_iou=2.0, cache_views=1, device="cpu")
free, short = (TrainSettings(out=f"{out}/{name}", **wanted) for name in ("free", "short"))
made = setup.prepare(free, torch.device("cpu"), lambda _: None)

def found(to):
    sizes.clear()
    seen = validate.validate(made.module.eval(), made.card, made.validation).result.overall
    setup.with_features(to, made, lambda _: None, name="0", epochs=2)
    stored = np.fromfile(f"{to.out}/cache/train.0.f16", np.float16)
    return seen.ap, list(sizes), stored

whole = found(free)
leave(100)
parts = found(short)
far = float(np.abs(whole[2].astype(float) - parts[2]).max())
print(json.dumps({"aps": [whole[0], parts[0]], "sizes": [whole[1], parts[1]], "far": far}))
"""
_PICTURES = """
import sys
import cv2, numpy as np
from vodkit.video.reader import open_video

path, video = Path(sys.argv[1]) / "large.png", open_video(sys.argv[2])
cv2.imwrite(str(path), np.full((8000, 8000, 3), 7, np.uint8))
readings = [  # 8000 x 8000 pixels take 183 MiB in three bytes each, 244 MiB in four
    (100, lambda: next(video.frames(size_px=(8000, 8000)))),
    (350, lambda: next(video.frames(size_px=(8000, 8000)))),
    (100, lambda: open_video(str(path))),
    (250, lambda: open_video(str(path))),
]
for mib, read in readings:
    leave(mib)
    try:
        read()
    except Exception as error:
        print(type(error).__name__, error)
"""
_RUNTIMES = """
import sys
import numpy as np, torch
from vodkit.detect.models import load_detector
from vodkit.ground.records import Frame

name, what = sys.argv[1:]
frames = [Frame(i, i / 10, np.zeros((480, 640, 3), np.uint8)) for i in range(3)]
if name.startswith("openvino"):
    import vodkit.detect.runtimes.openvino_graph  # a core starts threads of its own
detector = load_detector("vodkit-street", runtime=name) if what != "begin" else None
leave(2500)
try:
    detector = detector if what == "run" else load_detector("vodkit-street", runtime=name)
    detector.detect(frames)
except Exception as error:
    print(type(error).__name__, error)
"""
_WRITER = """
import sys
from fractions import Fraction
import numpy as np
from vodkit.video.writer import VideoWriter

picture = np.zeros((1080, 1920, 3), np.uint8)
leave(int(sys.argv[2]))
try:
    with VideoWriter(Path(sys.argv[1]), width_px=1920, height_px=1080, rate=Fraction(25)) as writer:
        for i in range(20):
            writer.write(picture, i / 25)
except Exception as error:
    print(type(error).__name__, error)
"""
_LIVE = """
import io, sys, threading
from http.server import BaseHTTPRequestHandler, HTTPServer
import av
from vodkit.video.stream import LiveSettings, LiveVideo

content = io.BytesIO()
with av.open(sys.argv[1]) as film, av.open(content, "w", format="mpegts") as out:
    track = out.add_stream_from_template(film.streams.video[0])
    for packet in film.demux(video=0):
        if packet.size:
            packet.stream = track
            out.mux(packet)

class Web(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(content.getvalue())

    def log_message(self, *words):
        pass

threading.stack_size(int(sys.argv[2]))
server = HTTPServer(("127.0.0.1", 0), Web)
threading.Thread(target=server.serve_forever, daemon=True).start()
patience = LiveSettings(first_pause_s=0.01, longest_pause_s=0.1, give_up_s=0.5)
leave(1500)
try:
    with LiveVideo(f"http://127.0.0.1:{server.server_port}/x.ts", patience) as video:
        next(video.frames())
except Exception as error:
    print(type(error).__name__, error)
"""
_THREADS = """
import sys
import torch
from vodkit.cli.main import main
from vodkit.train import loop
leave(1500)
main(sys.argv[1:])
"""


def _run(code: str, *words: str, threads: int = 1) -> "subprocess.CompletedProcess[str]":
    # Freed memory goes back at once, so that what is left does not depend on what was done before.
    told = {
        "OMP_NUM_THREADS": str(threads),
        "MALLOC_MMAP_THRESHOLD_": "65536",
        "MALLOC_TRIM_THRESHOLD_": "0",
    }
    return subprocess.run(
        [sys.executable, "-c", _LIMIT + code, *words],
        env=os.environ | told,
        capture_output=True,
        text=True,
        check=False,
    )


def test_validation_and_stored_features_fit_into_little_memory(tmp_path: Path) -> None:
    """In smaller parts, with the same numbers."""
    done = _run(_MEMORY, str(LABELS), str(tmp_path))
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    whole, parts = (set(sizes) for sizes in told["sizes"])
    assert parts - whole  # there were smaller ones
    assert told["aps"][0] > 0
    assert told["aps"][1] == pytest.approx(told["aps"][0], abs=1e-6)
    assert told["far"] < 0.01


def test_a_lack_of_memory_is_no_broken_video(tmp_path: Path) -> None:
    """For FFmpeg's picture and OpenCV's, and for the copies that are made of them."""
    done = _run(_PICTURES, str(tmp_path), str(CLIP_A))
    assert done.returncode == 0, done.stderr
    room = "no memory for a picture of 8000x8000 px"
    assert done.stdout.splitlines() == [
        *[f"MemoryError {CLIP_A} at 0.000 s: {room}"] * 2,
        *[f"MemoryError {tmp_path / 'large.png'}: {room}"] * 2,
    ]


@pytest.fixture
def large_stack() -> Iterator[None]:
    """Programs begun meanwhile find no room for a thread's stack, where they have little left.

    This holds for root as well, whom a limit of processes does not.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_STACK)
    resource.setrlimit(resource.RLIMIT_STACK, (2**32, hard))  # the C library reads it at its start
    yield
    resource.setrlimit(resource.RLIMIT_STACK, (soft, hard))


@pytest.mark.usefixtures("large_stack")
@pytest.mark.parametrize("skip_broken", ["true", "false"])
def test_a_lack_of_threads_is_no_broken_video(tmp_path: Path, skip_broken: str) -> None:
    out = ("--out", str(tmp_path / "run"), "--set", f"skip_broken={skip_broken}")
    out += ("--set", "val_split=test")
    done = _run(_THREADS, "train", "--data", str(LABELS), *out)
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1].startswith("vodkit: the machine cannot start more threads")
    assert "ulimit -u" in done.stderr


@pytest.mark.usefixtures("large_stack")
@pytest.mark.parametrize(
    ("runtime", "what"), [("openvino", "begin"), ("openvino", "run"), ("onnx", "begin again")]
)
def test_a_lack_of_threads_is_no_fault_of_weights(runtime: str, what: str) -> None:
    done = _run(_RUNTIMES, runtime, what, threads=2)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(
        "ShortageError the machine cannot start more threads or processes ("
    )


@pytest.mark.usefixtures("large_stack")
@pytest.mark.parametrize(
    "left_mib", [10, 100, 200, 2500]
)  # no picture, no encoder, ..., no threads
def test_a_lack_in_the_encoder_is_no_fault_of_the_file(tmp_path: Path, left_mib: int) -> None:
    done = _run(_WRITER, str(tmp_path / "out.mp4"), str(left_mib), threads=2)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("ShortageError the machine is out of ")
    assert {path.name for path in tmp_path.iterdir()} <= {ledger.NAME}


@pytest.mark.usefixtures("large_stack")
@pytest.mark.parametrize(
    ("stack_bytes", "told"),
    [(2**20, r"VideoError \S+: no frame for 0.5 s: the machine"), (0, "ShortageError the machine")],
)
def test_a_lack_of_threads_is_told_of_a_live_source(stack_bytes: int, told: str) -> None:
    """One of the decoder's may pass: the source is tried again until patience ends."""
    done = _run(_LIVE, str(CLIP_A), str(stack_bytes), threads=2)
    assert done.returncode == 0, done.stderr
    assert re.match(f"{told} cannot start more threads or processes", done.stdout)
    assert not done.stderr  # no thread broke
