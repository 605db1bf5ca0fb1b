"""Live sources in long use: a soak with a broker that is killed, what a viewer costs, REST latency.

    python benchmarks/bench_live.py soak --cameras 10 --minutes 17
    python benchmarks/bench_live.py viewer --seconds 60 --rounds 10
    python benchmarks/bench_live.py rest --requests 200
    python benchmarks/bench_live.py sessions --requests 160

The cameras are virtual: a sample clip in real time, again and again, over RTSP (``soak``) or as
MPEG-TS over HTTP on loopback. Each part prints one JSON line. ``soak`` needs mosquitto and the
extra ``mqtt``; pictures of 208x156 px, three a second, leave room for other programs on two cores.
"""

import argparse
import http.client
import json
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from contextlib import contextmanager
from fractions import Fraction
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import av
import numpy as np

from vodkit.ground import runs
from vodkit.infer.event_log import read_events
from vodkit.samples.samples import CLIP_B

RATE, NUM_FRAMES = 10, 60
SMALL = (208, 156)
sys.path.append(str(Path(__file__).parents[1] / "tests"))


def transport_stream(path, width=416, height=312):
    """The first frames of the sample clip, as a camera sends them."""
    with av.open(str(CLIP_B)) as clip, av.open(str(path), "w", format="mpegts") as out:
        stream = out.add_stream("libx264", rate=RATE)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        stream.options = {"g": "10", "bf": "0", "preset": "ultrafast"}
        for number, raw in enumerate(clip.decode(video=0)):
            if number == NUM_FRAMES:
                break
            frame = raw.reformat(width, height, "yuv420p")
            frame.pts, frame.time_base = number, Fraction(1, RATE)
            out.mux(stream.encode(frame))
        out.mux(stream.encode())
    return path.read_bytes()


class Camera(BaseHTTPRequestHandler):
    """Sends the clip in real time, again and again."""

    def do_GET(self):
        """One connection."""
        self.send_response(200)
        self.send_header("Content-Type", "video/mp2t")
        self.end_headers()
        media, size = self.server.media, len(self.server.media) // NUM_FRAMES + 1
        try:
            while True:
                for place in range(0, len(media), size):
                    self.wfile.write(media[place : place + size])
                    time.sleep(1 / RATE)
        except ConnectionError:
            return

    def log_message(self, *words):
        """Quiet."""


@contextmanager
def cameras(folder, count):
    server = ThreadingHTTPServer(("127.0.0.1", 0), Camera)
    server.daemon_threads, server.block_on_close = True, False
    server.media = transport_stream(folder / "plaza.ts")
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield [f"http://127.0.0.1:{server.server_address[1]}/cam{i}" for i in range(count)]
    server.shutdown()


@contextmanager
def rtsp_cameras(folder, count, rate):
    """RTSP servers, each with H.264 pictures in real time."""
    from rtsp_camera import H264, RtspServer, in_real_time, pictures_of

    media = transport_stream(folder / "small.ts", *SMALL)
    pictures = [picture for _, picture in pictures_of(media)]
    servers = [
        RtspServer(("127.0.0.1", 0), H264, lambda send: send(in_real_time(pictures, rate)))
        for _ in range(count)
    ]
    for server in servers:
        threading.Thread(target=server.serve_forever, daemon=True).start()
    yield [f"rtsp://127.0.0.1:{one.server_address[1]}/cam{i}" for i, one in enumerate(servers)]
    for server in servers:
        server.shutdown()
        server.server_close()


class Broker:
    """A mosquitto that keeps its messages over a restart."""

    def __init__(self, folder):
        """Start it."""
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        self.conf = folder / "mosquitto.conf"
        self.conf.write_text(
            f"listener {self.port} 127.0.0.1\nallow_anonymous true\npersistence true\nuser root\n"
            f"persistence_location {folder}/\nlog_dest none\nmax_queued_messages 0\n"
        )
        self.start()

    def start(self):
        """Start it, and wait until it answers."""
        self.process = subprocess.Popen(["mosquitto", "-c", str(self.conf)])
        while True:
            try:
                return socket.create_connection(("127.0.0.1", self.port), 5).close()
            except OSError:
                time.sleep(0.05)

    def stop(self):
        """End it, as a service manager does."""
        self.process.terminate()
        self.process.wait()


def resident_mb(pid):
    text = Path(f"/proc/{pid}/status").read_text()
    return int(re.search(r"VmRSS:\s+(\d+)", text)[1]) / 1024


def soak(options, folder):
    from paho.mqtt.client import Client
    from paho.mqtt.enums import CallbackAPIVersion

    broker, got = Broker(folder), {}
    listener = Client(CallbackAPIVersion.VERSION2, client_id="listener", clean_session=False)
    listener.on_connect = lambda *_: listener.subscribe("soak/+/events", 1)
    listener.on_message = lambda _c, _d, m: got.setdefault(m.topic.split("/")[1], []).append(
        json.loads(m.payload)["n"]
    )
    listener.reconnect_delay_set(1, 1)
    listener.connect("127.0.0.1", broker.port)
    listener.loop_start()
    with rtsp_cameras(folder, options.cameras, options.rate) as urls:
        out = folder / "runs"
        words = [*urls, "-o", str(out), "--device", "cpu", "--roll-s", "60", "--line",
                 "mid=104,0,104,156", "--size", "224x160",
                 "--mqtt", f"mqtt://127.0.0.1:{broker.port}/soak"]  # fmt: skip
        process = subprocess.Popen([sys.executable, "-m", "vodkit", "track", *words],
                                   stderr=subprocess.PIPE, text=True)  # fmt: skip
        told = []
        threading.Thread(target=lambda: told.extend(process.stderr), daemon=True).start()
        while len([*out.glob("*/predictions*.jsonl")]) < options.cameras:  # all are at work
            if process.poll() is not None:
                raise SystemExit("".join(told))
            time.sleep(0.5)
        begun_s, end_s = time.monotonic(), 60 * options.minutes
        kills = [end_s * (k + 1) / (options.kills + 1) for k in range(options.kills)]
        memory = []
        while (now_s := time.monotonic() - begun_s) < end_s:
            if kills and now_s > kills[0]:
                kills.pop(0)
                broker.stop()
                time.sleep(min(10.0, end_s / 20))
                broker.start()
            if process.poll() is not None:
                raise SystemExit("".join(told))
            memory.append((now_s, resident_mb(process.pid)))
            time.sleep(1)
        process.send_signal(signal.SIGTERM)
        process.wait(120)
    logs = {
        run.name: [one["n"] for one in read_events(runs.parts_in(run, runs.EVENTS))]
        for run in sorted(out.iterdir())
    }
    wait_s = time.monotonic() + 30  # for the last messages to the listener
    while time.monotonic() < wait_s and any(
        set(own) - set(got.get(name, [])) for name, own in logs.items()
    ):
        time.sleep(0.2)
    listener.disconnect()
    listener.loop_stop()
    broker.stop()
    missing = doubled = total = frames = disorder = 0
    for run in sorted(out.iterdir()):
        own = logs[run.name]
        seen = got.get(run.name, [])
        assert own == list(range(1, len(own) + 1)), f"{run}: gaps in the log"
        total += len(own)
        absent = sorted(set(own) - set(seen))
        if absent:
            notes = [json.loads(path.read_text()) for path in run.glob("delivered-*.json")]
            print(run.name, "missing", absent, "of", len(own), notes, file=sys.stderr)
        missing += len(absent)
        doubled += sum(count - 1 for count in Counter(seen).values())
        first = list(dict.fromkeys(seen))
        disorder += first != sorted(first)
        frames += json.loads((run / runs.MANIFEST).read_text())["num_frames"]
    early = np.median([mb for s, mb in memory if end_s * 0.2 < s < end_s * 0.3])
    late = np.median([mb for s, mb in memory if s > end_s * 0.9])
    return {
        "cameras": options.cameras, "minutes": options.minutes, "kills": options.kills,
        "frames": frames, "events": total, "missing": missing, "doubled": doubled,
        "sources_out_of_order": disorder, "early_mb": round(early, 1), "late_mb": round(late, 1),
        "growth": round(late / early - 1, 4),
    }  # fmt: skip


def processor_s(pid):
    """Seconds of processor time of a process and all its threads."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


class Watcher:
    """Someone who has a film open while ``with`` lasts."""

    def __init__(self, place, head):
        """Open it."""
        self.line = http.client.HTTPConnection(place)
        self.line.request("GET", "/live/0.mjpg", headers=head)
        self.answer, self.pictures, self.is_over = self.line.getresponse(), 0, False
        self.thread = threading.Thread(target=self.read, daemon=True)

    def read(self):
        """Count pictures until the end."""
        while not self.is_over:
            self.pictures += self.answer.read(2000).count(b"\xff\xd8\xff")

    def __enter__(self):
        """Begin to read."""
        self.thread.start()
        return self

    def __exit__(self, *_):
        """Close it."""
        self.is_over = True
        self.thread.join()
        self.line.close()


def viewer(options, folder):
    """Processor time of a frame in one process, with a film open and without, in turns.

    Other programs on the machine change how many frames a second there are, but hardly what one
    costs. Each round is one slice without and one with a viewer.
    """
    out = folder / "runs"
    with cameras(folder, 4) as urls:
        words = [*urls, "-o", str(out), "--device", "cpu", "--serve", "127.0.0.1:0"]
        process = subprocess.Popen(
            [sys.executable, "-m", "vodkit", "track", *words], stderr=subprocess.PIPE,
            text=True, env=os.environ | {"VODKIT_TOKEN": "benchmark-of-a-viewer"},
        )  # fmt: skip
        for line in process.stderr:
            if found := re.search(r"live: http://([^/]+)/", line):
                break
        threading.Thread(target=process.stderr.read, daemon=True).start()
        place, head = found[1], {"Authorization": "Bearer benchmark-of-a-viewer"}

        def frames():
            line = http.client.HTTPConnection(place)
            line.request("GET", "/api/sources", headers=head)
            content = json.loads(line.getresponse().read())
            line.close()
            return sum(source["frames"] for source in content["sources"])

        def measured():
            before, cpu_s, begun_s = frames(), processor_s(process.pid), time.monotonic()
            time.sleep(options.seconds / options.rounds / 2)
            cpu_s = processor_s(process.pid) - cpu_s
            return frames() - before, cpu_s, time.monotonic() - begun_s

        while frames() < 40:
            time.sleep(0.2)
        alone, watched, pictures = [], [], 0
        for _ in range(options.rounds):
            alone.append(measured())
            with Watcher(place, head) as watcher:
                watched.append(measured())
            pictures += watcher.pictures
        process.send_signal(signal.SIGTERM)
        process.wait(60)
    ms = {
        name: [1000 * cpu_s / count for count, cpu_s, _ in found]
        for name, found in (("alone", alone), ("watched", watched))
    }
    ratios = [b / a for a, b in zip(ms["alone"], ms["watched"], strict=True)]
    return {
        "processor_ms_a_frame": {name: round(float(np.median(one)), 2) for name, one in ms.items()},
        "cost": round(float(np.median(ratios)) - 1, 4),
        "costs": [round(ratio - 1, 3) for ratio in ratios],
        "frames_per_s": round(sum(n for n, _, _ in alone) / sum(s for _, _, s in alone), 1),
        "pictures_per_s": round(pictures / sum(s for _, _, s in watched), 2),
    }


def rest(options, folder):
    """p95 of POST /v1/detect against the network and JPEG decoding in the same process."""
    from vodkit.infer.flow import make_detector
    from vodkit.infer.settings import InferSettings
    from vodkit.report.draw import to_jpeg
    from vodkit.serve.service import make_service
    from vodkit.serve.sessions import Sessions
    from vodkit.serve.web import Server, ServerSettings, bound, in_background
    from vodkit.video.pictures import frame_of
    from vodkit.video.reader import open_video

    del folder
    with open_video(CLIP_B) as video:
        jpegs = [to_jpeg(frame.image) for frame in video.frames_at(range(0, 40, 4))]
    detector = make_detector(InferSettings(device="cpu"))
    times = {"bare": [], "rest": []}
    with bound(ServerSettings()) as place:
        sessions = Sessions(detector, InferSettings(device="cpu"))
        with in_background(Server(make_service(sessions, place), place)):
            line = http.client.HTTPConnection(f"127.0.0.1:{place.port}")
            head = {"Authorization": f"Bearer {place.token}", "Content-Type": "image/jpeg"}
            for number in range(options.requests + 10):
                jpeg = jpegs[number % len(jpegs)]
                begun_s = time.perf_counter()
                detector.detect([frame_of(jpeg, detector.decode_px)])
                middle_s = time.perf_counter()
                line.request("POST", "/v1/detect", jpeg, head)
                answer = line.getresponse()
                answer.read()
                assert answer.status == 200
                if number >= 10:
                    times["bare"].append(middle_s - begun_s)
                    times["rest"].append(time.perf_counter() - middle_s)
            line.close()
        sessions.close()
    p95 = {name: float(np.quantile(one, 0.95)) for name, one in times.items()}
    p50 = {name: float(np.median(one)) for name, one in times.items()}
    return {
        "p95_ms": {name: round(1000 * value, 2) for name, value in p95.items()},
        "p50_ms": {name: round(1000 * value, 2) for name, value in p50.items()},
        "p95_ratio": round(p95["rest"] / p95["bare"], 3),
        "p50_ratio": round(p50["rest"] / p50["bare"], 3),
    }


def sessions(options, folder):
    """Frames a second of eight clients with a session each: one by one, and in batches."""
    from concurrent.futures import ThreadPoolExecutor

    from vodkit.infer.flow import make_detector
    from vodkit.infer.settings import InferSettings
    from vodkit.report.draw import to_jpeg
    from vodkit.serve.sessions import Sessions
    from vodkit.video.reader import open_video

    del folder
    with open_video(CLIP_B) as video:
        jpegs = [to_jpeg(frame.image) for frame in video.frames_at(range(0, 40, 4))]
    detector, clients = make_detector(InferSettings(device="cpu")), 8
    rates = {"alone": [], "batches": []}
    for _ in range(options.rounds):
        for name, size in (("alone", 1), ("batches", 0)):
            service = Sessions(detector, InferSettings(device="cpu", batch_size=size))

            def client(_, service=service):
                own = service.begin()
                for number in range(options.requests // clients):
                    service.track(own, jpegs[number % len(jpegs)], number / 10)

            with ThreadPoolExecutor(clients) as pool:
                begun_s = time.perf_counter()
                list(pool.map(client, range(clients)))
                rates[name].append(options.requests / (time.perf_counter() - begun_s))
            service.close()
    mid = {name: float(np.median(found)) for name, found in rates.items()}
    return {
        "runtime": detector.runs_on.runtime,
        "frames_per_s": {name: round(value, 1) for name, value in mid.items()},
        "gain": round(mid["batches"] / mid["alone"], 3),
        "rounds": {name: [round(one, 1) for one in found] for name, found in rates.items()},
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("part", choices=("soak", "viewer", "rest", "sessions"))
    parser.add_argument("--cameras", type=int, default=10)
    parser.add_argument("--minutes", type=float, default=17.0)
    parser.add_argument("--rate", type=float, default=3.0, help="pictures a second of a camera")
    parser.add_argument("--kills", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--requests", type=int, default=200)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        found = {"soak": soak, "viewer": viewer, "rest": rest, "sessions": sessions}[options.part](
            options, Path(folder)
        )
    print(json.dumps({"part": options.part, **found}))


if __name__ == "__main__":
    main()
