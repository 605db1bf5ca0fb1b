"""Pieces of streams and playlists have a limit in bytes, whatever a server sends."""

import subprocess
import sys
from pathlib import Path

import pytest

from vodkit.ground.errors import VideoError
from vodkit.video.limits import Limits
from vodkit.video.reader import open_video

pytestmark = pytest.mark.slow
PART = 2**24
PROGRAM = """
import http.server, resource, sys, threading
from vodkit.ground.errors import VideoError
from vodkit.video.limits import Limits
from vodkit.video.stream import LiveSettings, LiveVideo

class Endless(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=b")
        self.end_headers()
        try:
            self.wfile.write(b"--b\\r\\nContent-Type: image/jpeg\\r\\n" + HEAD + b"\\r\\n")
            while True:
                self.wfile.write(bytes(2**16))
        except OSError:
            pass
    def log_message(self, *words):
        pass

HEAD, limit = sys.argv[1].encode().decode("unicode_escape").encode(), int(sys.argv[2])
server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Endless)
threading.Thread(target=server.serve_forever, daemon=True).start()
patience = LiveSettings(open_timeout_s=20, read_timeout_s=20, give_up_s=0.1)
url = f"http://127.0.0.1:{server.server_port}/cam"
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
try:
    with LiveVideo(url, patience, limits=Limits(max_piece_bytes=limit)) as live:
        list(live.frames())
except VideoError as error:
    print(error)
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="memory is measured as Linux does")
@pytest.mark.parametrize("head", ["", "Content-Length: 2000000000\r\n"], ids=["no length", "2 GB"])
def test_an_endless_part_costs_little_memory(head: str) -> None:
    words = [sys.executable, "-c", PROGRAM, head.encode("unicode_escape").decode(), str(PART)]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    said, mib = done.stdout.splitlines()
    assert f"pieces of a stream may have up to {PART} bytes" in said
    assert int(mib) < 120


def test_a_playlist_without_end_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.m3u8"
    path.write_text("#EXTM3U\n" + "#EXTINF:1,\na.ts\n" * 100)
    with pytest.raises(VideoError, match="bytes; allowed: 1000"):
        open_video(path, limits=Limits(max_playlist_bytes=1000))
