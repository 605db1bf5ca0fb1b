"""``track --serve`` on a live source: every route, while the run is at work."""

import http.client
import json
import os
import re
import shlex
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

import cv2
import numpy as np
import pytest
from prometheus_client.parser import text_string_to_metric_families
from test_live import NUM_FRAMES, transport_stream

from vodkit.ground import runs
from vodkit.infer.event_log import read_events

pytestmark = pytest.mark.slow
GUIDE = Path(__file__).parents[2] / "docs" / "guides" / "live.md"


class Camera(BaseHTTPRequestHandler):
    """Sends ten frames a second, again and again."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "video/mp2t")
        self.end_headers()
        media, size = self.server.media, len(self.server.media) // NUM_FRAMES + 1
        try:
            while True:
                for place in range(0, len(media), size):
                    self.wfile.write(media[place : place + size])
                    if self.server.hang_up.wait(0.1):
                        return
        except ConnectionError:
            return

    def log_message(self, *words: object) -> None:
        """Quiet."""


class Running(NamedTuple):
    host: str
    token: str
    url: str
    run: Path

    @contextmanager
    def ask(self, path: str, **headers: str) -> Iterator[http.client.HTTPResponse]:
        named = {name.replace("_", "-"): text for name, text in headers.items()}
        with closing(http.client.HTTPConnection(self.host, timeout=30)) as line:
            line.request("GET", path, headers={"Authorization": f"Bearer {self.token}"} | named)
            with line.getresponse() as answer:
                yield answer

    def get(self, path: str, **headers: str) -> tuple[int, bytes]:
        with self.ask(path, **headers) as answer:
            return answer.status, answer.read()


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """``vodkit track URL --serve``, with a camera that stays on air; it has given its frames."""
    folder = tmp_path_factory.mktemp("page")
    camera = ThreadingHTTPServer(("127.0.0.1", 0), Camera)
    camera.daemon_threads, camera.block_on_close = True, False
    camera.media, camera.hang_up = transport_stream(folder / "plaza.ts"), threading.Event()
    threading.Thread(target=camera.serve_forever, daemon=True).start()
    url = f"http://ann:geheim@127.0.0.1:{camera.server_address[1]}/cam"
    line = next(x for x in GUIDE.read_text("utf-8").splitlines() if "--serve" in x)
    line = line.replace("rtsp://door/live", url).replace(":8790", ":0")  # as the guide has it
    words = [*shlex.split(line)[1:], "-o", str(folder / "runs"), "--device", "cpu"]
    process = subprocess.Popen(
        [sys.executable, "-m", "vodkit", *words],
        stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    assert process.stderr is not None
    said = ""
    for line in process.stderr:
        said += line
        if found := re.search(r"live: (\S+)", line):
            break
    address = urlsplit(found[1])
    token = address.fragment.removeprefix("token=")
    one = Running(address.netloc, token, url, folder / "runs" / "cam")
    while json.loads(one.get("/api/sources")[1])["sources"][0]["events"] < 5:
        assert process.poll() is None
        camera.hang_up.wait(0.2)
    yield one
    process.terminate()
    out, err = process.communicate(timeout=60)
    camera.hang_up.set()
    camera.shutdown()
    camera.server_close()
    told = json.loads((one.run / runs.MANIFEST).read_text())
    assert told["ended"] == "stopped"
    files = "".join(path.read_text(errors="replace") for path in one.run.iterdir())
    assert "geheim" not in said + out + err + files
    assert token not in files


def test_picture_counters_and_tracks(running: Running) -> None:
    status, content = running.get("/live/0.jpg")
    assert status == 200
    picture = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR)
    assert picture.shape == (312, 416, 3)
    (source,) = json.loads(running.get("/api/sources")[1])["sources"]
    assert source["up"]
    assert source["objects"] > 3
    assert source["source"].startswith("http://***@127.0.0.1")
    (tracks,) = json.loads(running.get("/api/tracks")[1])["sources"]
    assert "person" in {row["class"] for row in tracks["tracks"]}
    with running.ask("/live/0.mjpg") as film:
        assert film.headers["Content-Type"].startswith("multipart/x-mixed-replace")
        assert film.read(200).startswith(b"--vodkit-frame\r\nContent-Type: image/jpeg\r\n")


def test_events_resume_where_the_client_was(running: Running) -> None:
    there = [entry["n"] for entry in read_events([running.run / runs.EVENTS])]
    assert len(there) > 3

    def first(count: int, **headers: str) -> list[tuple[str, int]]:
        found: list[tuple[str, int]] = []
        name = ""
        with running.ask("/api/events", **headers) as stream:
            while len(found) < count:
                line = stream.readline().decode()
                if line.startswith("id: "):
                    name = line[4:].strip()
                if line.startswith("data: "):
                    found.append((name, json.loads(line[6:])["n"]))
        return found

    seen = first(3, Last_Event_ID="0")
    assert seen == [("1", 1), ("2", 2), ("3", 3)]
    assert first(1, Last_Event_ID=seen[-2][0]) == [("3", 3)]
    status, body = running.get("/api/events", Last_Event_ID="1,2")
    assert status == 422
    assert b"allowed: 1 numbers" in body


def test_metrics_are_those_that_prometheus_reads(running: Running) -> None:
    status, text = running.get("/metrics")
    assert status == 200
    families = {one.name: one for one in text_string_to_metric_families(text.decode())}
    kinds = {name: family.type for name, family in families.items()}
    assert kinds["vodkit_frames"] == "counter"
    assert kinds["vodkit_latency_seconds"] == "histogram"
    assert kinds["vodkit_up"] == "gauge"
    latency = {s.name: s.value for s in families["vodkit_latency_seconds"].samples}
    assert latency["vodkit_latency_seconds_count"] == latency["vodkit_latency_seconds_bucket"] > 0
    up = families["vodkit_up"].samples[0]
    assert up.value == 1
    assert up.labels["source"].startswith("http://***@")
    assert running.get("/healthz") == (200, b'{"ok":true,"sources":1,"down":0}')


@pytest.mark.parametrize("path", ["/api/sources", "/api/tracks", "/live/0.jpg", "/live/0.mjpg"])
def test_nothing_private_without_the_token_or_from_elsewhere(running: Running, path: str) -> None:
    assert running.get(path, Authorization="Bearer wrong")[0] == 401
    assert running.get(path, Host="evil.example")[0] == 403
    assert running.get(path, Origin="http://evil.example")[0] == 403
    assert running.get(path, Sec_Fetch_Site="cross-site")[0] == 403


def test_the_page_has_no_foreign_script(running: Running) -> None:
    with running.ask("/", Authorization="") as answer:
        assert "script-src 'self'" in answer.headers["Content-Security-Policy"]
        text = answer.read().decode()
    links = ["data:,", "/static/live.css", "/static/live.js"]
    assert re.findall(r'(?:src|href)="([^"]+)"', text) == links
    script = running.get("/static/live.js")[1].decode()
    assert "innerHTML" not in script
    assert running.get("/static/..%2fweb.py")[0] == 404
    assert running.get("/live/1.jpg")[0] == 422
