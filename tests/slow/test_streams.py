"""Live sources against real servers on loopback: HTTP (MPEG-TS) and RTSP (RTP by TCP, with H.264 in
it, as cameras send, or MPEG-TS).

The servers cut the connection when the test says so; nothing sleeps, every wait has an end.
"""

import io
import re
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from functools import partial
from http.server import BaseHTTPRequestHandler, SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import av
import numpy as np
import pytest

from rtsp_camera import H264, MPEG_TS, RtspServer
from vodkit.ground.errors import SettingsError, VideoError
from vodkit.video import stream
from vodkit.video.reader import open_video
from vodkit.video.stream import LiveSettings, LiveVideo

pytestmark = pytest.mark.slow

NUM_FRAMES = 75
PATIENT_S = 30.0
QUICK = LiveSettings(
    max_waiting=NUM_FRAMES,
    open_timeout_s=5.0,
    read_timeout_s=5.0,
    first_pause_s=0.01,
    longest_pause_s=0.1,
    give_up_s=20.0,
)


def transport_stream(numbers: range, *, width: int = 64) -> bytes:
    """H.264 in MPEG-TS, 25 pictures a second, every one another grey."""
    file = io.BytesIO()
    with av.open(file, "w", format="mpegts") as out:
        stream = out.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = width, 48, "yuv420p"
        stream.options = {"g": "10", "bf": "0", "preset": "ultrafast"}
        for i in numbers:
            picture = np.full((48, width, 3), 20 + 2 * i, np.uint8)
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            frame.pts, frame.time_base = i - numbers[0] if width != 64 else i, Fraction(1, 25)
            out.mux(stream.encode(frame))
        out.mux(stream.encode())
    return file.getvalue()


MEDIA = transport_stream(range(NUM_FRAMES))


class Station:
    """A server and what it does: each connection sends its part, then hangs up or waits."""

    def __init__(self, parts: list[bytes]) -> None:
        self.parts = iter(parts)
        self.hang_up = threading.Event()
        self.num_served = 0
        self.says = ""
        """in the description of an RTSP stream"""

    def serve(self, write) -> None:
        part = next(self.parts, None)
        if part is None:
            return
        self.num_served += 1
        write(part)
        if part is MEDIA:
            self.hang_up.wait(PATIENT_S)


class Web(BaseHTTPRequestHandler):
    """A live MPEG-TS over HTTP, without a length."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "video/mp2t")
        self.end_headers()
        try:
            self.server.station.serve(self.wfile.write)
        except ConnectionError:
            return

    def log_message(self, *words: object) -> None:
        """Quiet."""


@pytest.fixture(params=["http", "rtsp", "rtsp-h264"])
def on_air(request: pytest.FixtureRequest) -> Iterator:
    """``on_air(parts)`` gives a station and its URL."""
    servers = []

    def start(parts: list[bytes]) -> tuple[Station, str]:
        scheme = request.param.partition("-")[0]
        station, place = Station(parts), ("127.0.0.1", 0)
        if scheme == "http":
            server = ThreadingHTTPServer(place, Web)
            server.daemon_threads, server.block_on_close = True, False
            server.station = station
        else:
            payload = H264 if request.param.endswith("h264") else MPEG_TS
            server = RtspServer(place, payload, station.serve, lambda: station.says)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        servers.append((server, station))
        return station, f"{scheme}://127.0.0.1:{server.server_address[1]}/live"

    yield start
    for server, station in servers:
        station.hang_up.set()
        server.shutdown()
        server.server_close()


def wait_until(video: LiveVideo, condition) -> None:
    with video._changed:
        assert video._changed.wait_for(condition, PATIENT_S), "the awaited did not happen"


def test_frames_come_as_they_are_sent(on_air) -> None:
    _, url = on_air([MEDIA])
    with open_video(url, live=QUICK) as video:
        assert (video.info.width_px, video.info.height_px) == (64, 48)
        assert video.info.rate == Fraction(25)
        assert video.info.num_frames is None
        frames = [frame for frame, _ in zip(video.frames(), range(50), strict=False)]
        assert [frame.index for frame in frames] == list(range(50))
        times = np.array([frame.time_s for frame in frames])
        assert np.diff(times)[1:] == pytest.approx(0.04, abs=0.005)
        assert times[1] > times[0]  # FFmpeg gives the first picture out of RTP no time
        levels = [float(frame.image.mean()) for frame in frames]
        assert levels == pytest.approx([20 + 2 * i for i in range(50)], abs=4)
        assert (video.num_dropped, video.num_reconnects) == (0, 0)


def test_a_dropped_connection_is_made_again(on_air) -> None:
    first_half = MEDIA[: len(MEDIA) // 2 // 188 * 188]
    station, url = on_air([first_half, MEDIA])
    with open_video(url, live=QUICK) as video:
        frames = []
        for frame in video.frames():
            frames.append(frame)
            if video.num_reconnects and len(frames) > 60:
                break
        assert video.num_reconnects >= 1
    assert station.num_served == 2
    assert [frame.index for frame in frames] == list(range(len(frames)))
    times = [frame.time_s for frame in frames]
    assert times == sorted(set(times)), "the clock goes on, though the stream's began anew"


def test_a_slow_consumer_gets_the_newest_and_learns_what_was_dropped(on_air) -> None:
    _, url = on_air([MEDIA])
    with open_video(url, live=LiveSettings(max_waiting=2)) as video:
        coming = video.frames()
        first = next(coming)
        wait_until(video, lambda: video.num_received >= NUM_FRAMES - 5)
        later = next(coming)
        assert later.index >= NUM_FRAMES - 7  # of the two that may wait the older one
        assert video.num_dropped >= later.index - 1  # all before it but the first
        assert later.time_s - first.time_s == pytest.approx(
            (later.index - first.index) * 0.04, abs=0.05
        )


def test_a_source_that_stays_away_ends_in_an_error_with_the_time(on_air) -> None:
    _, url = on_air([MEDIA[: len(MEDIA) // 2 // 188 * 188]])
    impatient = LiveSettings(
        max_waiting=NUM_FRAMES, open_timeout_s=1.0, first_pause_s=0.01, give_up_s=1.0
    )
    seen = []
    with open_video(url, live=impatient) as video:
        with pytest.raises(VideoError, match="no frame for 1 s") as caught:
            seen.extend(frame.index for frame in video.frames())
        assert caught.value.time_s is not None
        assert video.num_received > 10


def test_closing_does_not_wait_for_a_source_that_is_silent(on_air) -> None:
    station, url = on_air([MEDIA])
    patient = replace(QUICK, read_timeout_s=10 * PATIENT_S)
    with open_video(url, live=patient) as video:
        coming = video.frames()
        next(coming)
        wait_until(video, lambda: video.num_received >= NUM_FRAMES - 5)
    assert sum(1 for _ in coming) <= NUM_FRAMES
    station.hang_up.set()
    video._thread.join(PATIENT_S)
    assert not video._thread.is_alive()


def test_a_live_source_has_no_way_back(on_air) -> None:
    _, url = on_air([MEDIA])
    with open_video(url, live=QUICK) as video:
        for ask in (lambda: video.frame_at(3), lambda: video.frame_at_time(1.0)):
            with pytest.raises(VideoError, match="frames cannot be chosen"):
                ask()
        next(video.frames())
        with pytest.raises(VideoError, match="gives its frames once"):
            next(video.frames())


@pytest.mark.parametrize("on_air", ["rtsp", "rtsp-h264"], indirect=True)
def test_a_film_over_rtsp_that_says_how_long_it_is_ends_and_is_not_played_again(on_air) -> None:
    """FFmpeg has one word for its end and for a line that broke: how long it was tells."""
    half = MEDIA[: len(MEDIA) // 2 // 188 * 188]
    station, url = on_air([half, bytearray(MEDIA), MEDIA])
    station.says = "a=range:npt=0-3.00\r\n"
    with open_video(url, live=QUICK) as video:
        indices = [frame.index for frame in video.frames()]
        assert indices == list(range(video.num_received))
        assert video.num_reconnects == 1, "of the half, which was no end"
        assert re.fullmatch(r"the stream ended, (2.9.|3.0.) of 3.00 s", video.ended)
    assert station.num_served == 2


def test_nobody_there_is_an_error_at_once() -> None:
    for url in ("http://127.0.0.1:9/live", "rtsp://127.0.0.1:9/live"):
        with pytest.raises(VideoError, match="cannot connect") as caught:
            open_video(url)
        assert url in str(caught.value)


@pytest.mark.parametrize("scheme", ["http", "rtsp"])
def test_a_server_that_says_nothing_is_told_as_such(scheme: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"{scheme}://127.0.0.1:{silent.getsockname()[1]}/live"
        with pytest.raises(VideoError, match=r"cannot connect: no answer in 0\.3 s"):
            open_video(url, live=LiveSettings(open_timeout_s=0.3))


class Files(SimpleHTTPRequestHandler):
    """A folder."""

    def log_message(self, *words: object) -> None:
        """Quiet."""


@pytest.mark.parametrize("name", ["clip.ts", "list.m3u8"])
def test_a_file_is_not_played_again_and_again_as_a_stream(tmp_path: Path, name: str) -> None:
    (tmp_path / "clip.ts").write_bytes(MEDIA)
    head = "#EXTM3U\n#EXT-X-TARGETDURATION:3\n#EXTINF:3,\n"
    (tmp_path / "list.m3u8").write_text(f"{head}clip.ts\n#EXT-X-ENDLIST\n")
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Files, directory=tmp_path)) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        with pytest.raises(VideoError, match="is a file, no stream"):
            open_video(f"http://127.0.0.1:{server.server_address[1]}/{name}")
        server.shutdown()


class Pieces(BaseHTTPRequestHandler):
    """A playlist that gets a piece longer every second, up to four; then it has an end."""

    def do_GET(self) -> None:
        pieces = self.server.pieces
        if self.path.endswith(".m3u8"):
            names = [f"{i}.ts" for i in range(self.num_there())]
            head = "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXT-X-MEDIA-SEQUENCE:0\n"
            end = "#EXT-X-ENDLIST\n" if len(names) == 4 else ""
            content = (head + "".join(f"#EXTINF:1,\n{name}\n" for name in names) + end).encode()
        else:
            content = pieces[int(self.path[1])]
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def num_there(self) -> int:
        return min(1 + int(time.monotonic() - self.server.begun_s), 4)

    def log_message(self, *words: object) -> None:
        """Quiet."""


@pytest.fixture
def playlist() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Pieces) as server:
        server.daemon_threads = True
        server.begun_s = time.monotonic()
        server.pieces = [transport_stream(range(25 * i, 25 * i + 25)) for i in range(4)]
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/list.m3u8"
        server.shutdown()


def test_a_playlist_is_given_out_at_its_own_pace_to_its_end(playlist: str) -> None:
    """Of pieces that come at once all but two frames were dropped, and a new connection played
    the newest pieces again, as if they were new."""
    with open_video(playlist, live=LiveSettings(read_timeout_s=0.3)) as video:
        frames, held_s = [], []
        video.begin(lambda _: None)
        while (arrived := video._take()) is not None:
            frames.append(arrived.frame)
            held_s.append(arrived.held_s)
        assert video.num_reconnects <= 1, "only to see that there is no more"
        assert video.num_dropped <= 10
        assert video.ended == "the playlist ended"
    levels = [float(frame.image.mean()) for frame in frames]
    assert levels == pytest.approx([20 + 2 * f.index for f in frames], abs=4)
    times = np.array([frame.time_s - 0.04 * frame.index for frame in frames])
    assert np.ptp(times) == pytest.approx(0, abs=0.005)
    assert frames[-1].index == 99
    assert max(held_s) > 0.3, "the last frame of a piece has been there since its first"


class Silent(Pieces):
    """A playlist that is silent until it is connected to again, and then has a piece more.

    The last piece and the end come in a silence, too: FFmpeg takes it for the end at once.
    """

    def num_there(self) -> int:
        self.server.asked += 1
        if self.server.asked == 2:
            self.server.is_back.wait(30)
            return 2
        if self.server.asked > 2:
            self.server.is_back.set()
        return {1: 2, 3: 3, 4: 3}.get(self.server.asked, 4)


def test_pieces_around_a_new_connection_are_given_once_and_all(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(stream, "_PIECES_S", 1.0)  # half a minute of silence is no break
    with ThreadingHTTPServer(("127.0.0.1", 0), Silent) as server:
        server.daemon_threads, server.block_on_close = True, False
        server.asked, server.is_back = 0, threading.Event()
        server.pieces = [transport_stream(range(25 * i, 25 * i + 25)) for i in range(4)]
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}/list.m3u8"
        with open_video(url, live=LiveSettings(max_waiting=1000, read_timeout_s=1)) as video:
            levels = [float(frame.image.mean()) for frame in video.frames()]
            assert video.num_reconnects >= 1
            assert video.ended == "the playlist ended"
        server.shutdown()
    assert levels == pytest.approx([20 + 2 * i for i in range(100)], abs=4)


@pytest.mark.parametrize("on_air", ["http"], indirect=True)
def test_a_stream_that_changes_its_clock_and_size_keeps_one_of_each(on_air) -> None:
    """As a camera that is set to another mode while it sends; what changed is stated."""
    media = MEDIA + transport_stream(range(NUM_FRAMES, NUM_FRAMES + 20), width=128)
    _, url = on_air([media])
    with open_video(url, live=replace(QUICK, max_waiting=1000)) as video:
        frames = [f for f, _ in zip(video.frames(), range(NUM_FRAMES + 15), strict=False)]
        notes = video.notes
    assert {(f.width_px, f.height_px, f.image.shape) for f in frames} == {(64, 48, (48, 64, 3))}
    assert np.allclose(np.diff([frame.time_s for frame in frames]), 0.04, atol=1e-3)
    first = f"(the first is frame {NUM_FRAMES})"
    assert notes == (
        f"the clock restarts at frame {NUM_FRAMES}; continued",
        f"pictures of 128x48 px {first} are scaled to 64x48, as the first picture is",
    )


def test_patience_is_checked() -> None:
    with pytest.raises(SettingsError, match="max_waiting is 0; allowed: 1 or more"):
        LiveSettings(max_waiting=0)
    with pytest.raises(SettingsError, match="give_up_s is 0; allowed: above 0"):
        LiveSettings(give_up_s=0)
