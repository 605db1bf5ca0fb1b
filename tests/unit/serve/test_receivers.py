"""Events come to receivers once, in order, whatever happens to the receiver meanwhile."""

import json
import re
import shlex
import shutil
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from fractions import Fraction
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import av
import pytest

from rtsp_camera import H264, RtspServer
from vodkit.cli.main import main
from vodkit.formats.predictions import Header, PredictionWriter
from vodkit.ground import ledger, runs
from vodkit.ground.errors import SettingsError
from vodkit.ground.records import VideoInfo
from vodkit.samples.samples import CLIP_B
from vodkit.serve.courier import Courier, CourierSettings, DeliveryError
from vodkit.serve.mqtt import MqttReceiver
from vodkit.serve.outlets import Outlets
from vodkit.serve.settings import OutletSettings
from vodkit.serve.webhook import SIGNATURE, Webhook, signature

QUICK = CourierSettings(first_pause_s=0.02, longest_pause_s=0.1, parting_s=20.0)


class Log:
    """The events of a run that is at work."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / runs.EVENTS
        ledger.record(self.path)
        self.path.touch()
        self.count = 0

    def write(self, count: int) -> int:
        """Append events; the number of the last one."""
        with self.path.open("ab") as file:
            for _ in range(count):
                self.count += 1
                kind = ("began", "ended")[self.count % 2 == 0]
                entry = {"n": self.count, "type": kind, "id": f"1-{(self.count + 1) // 2}"}
                file.write(json.dumps(entry | {"class": "person"}).encode() + b"\n")
        return self.count


class Site(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        answer = self.server.answers.pop(0) if self.server.answers else 204
        if answer == 0:  # never
            self.server.released.wait(30)
            return
        if answer < 300:
            self.server.bodies.append(body)
            self.server.heads.append(dict(self.headers))
        self.send_response(answer)
        if answer == 302:
            self.send_header("Location", "/elsewhere")
        self.send_header("Content-Length", "0")
        self.end_headers()
        with self.server.news:
            self.server.news.notify_all()

    def do_GET(self) -> None:
        """A page to sign in, to which a POST may be redirected: it is no delivery."""
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *words: object) -> None:
        """Quiet."""


@pytest.fixture
def site() -> Iterator[ThreadingHTTPServer]:
    """A web server that answers what ``answers`` says, then 204; 0: never."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Site)
    server.daemon_threads = True
    server.answers, server.bodies, server.heads = [], [], []
    server.released, server.news = threading.Event(), threading.Condition()
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.released.set()
    server.shutdown()
    server.server_close()


def address_of(site: ThreadingHTTPServer, user: str = "") -> str:
    return f"http://{user}127.0.0.1:{site.server_address[1]}/hook"


def test_a_webhook_gets_each_event_once_in_order_and_signed(
    site: ThreadingHTTPServer, tmp_path: Path
) -> None:
    """It answers 500, redirects, never answers, then works."""
    site.answers = [500, 302, 0, 503]
    log, told = Log(tmp_path), []
    hook = Webhook(address_of(site, "ann:geheim@"), "yard", secret="s3", timeout_s=0.3)
    courier = Courier(tmp_path, hook, QUICK, notify=told.append)
    courier.wake(log.write(5))
    assert courier.close() == 0
    assert [json.loads(body)["n"] for body in site.bodies] == [1, 2, 3, 4, 5]
    assert site.heads[0][SIGNATURE] == signature(site.bodies[0], b"s3")
    assert site.heads[0]["Authorization"].startswith("Basic ")
    assert site.heads[0]["X-Vodkit-Source"] == "yard"
    assert told == [
        f"{hook.name}: answers 500; events wait on disk",
        f"{hook.name}: takes events again",
    ]
    assert "geheim" not in "".join([*told, *(p.read_text() for p in tmp_path.glob("*.json"))])


@pytest.mark.slow
def test_what_was_not_delivered_is_delivered_by_the_next_run(
    site: ThreadingHTTPServer, tmp_path: Path
) -> None:
    site.answers = [204, 204] + [500] * 50
    log = Log(tmp_path)
    hook = Webhook(address_of(site), "yard")
    courier = Courier(tmp_path, hook, CourierSettings(first_pause_s=0.02, parting_s=0.2))
    courier.wake(log.write(6))
    assert courier.close() == 4
    site.answers = []
    courier = Courier(tmp_path, Webhook(address_of(site), "yard"), QUICK)
    courier.wake(log.write(1))
    assert courier.close() == 0
    assert [json.loads(body)["n"] for body in site.bodies] == [1, 2, 3, 4, 5, 6, 7]


class Away:
    """A receiver that takes nothing until it is let."""

    name = key = "away"

    def __init__(self) -> None:
        self.open = threading.Event()
        self.tried = threading.Event()
        self.taken: list[int] = []

    def begin(self, ongoing: Sequence[dict[str, Any]]) -> None:
        """Nothing."""

    def deliver(self, lines: Sequence[bytes]) -> int:
        self.tried.set()
        if not self.open.is_set():
            raise DeliveryError("is away")
        self.taken += [json.loads(line)["n"] for line in lines[:3]]  # not all at once
        return len(lines[:3])

    def close(self) -> None:
        """Nothing."""


def test_of_very_many_waiting_events_the_oldest_are_dropped_and_counted(tmp_path: Path) -> None:
    log, told, receiver = Log(tmp_path), [], Away()
    settings = CourierSettings(max_waiting=10, at_once=4, first_pause_s=0.01, parting_s=20)
    courier = Courier(tmp_path, receiver, settings, notify=told.append)
    courier.wake(log.write(4))
    receiver.tried.wait(10)
    courier.wake(log.write(36))  # 40 by now: 31 to 40 may wait
    receiver.open.set()
    assert courier.close() == 0
    assert receiver.taken == list(range(31, 41))
    assert courier.dropped == 30
    assert "away: 30 events waited too long and were dropped" in told
    (note,) = tmp_path.glob("delivered-*.json")
    assert json.loads(note.read_text()) == {"to": "away", "n": 40, "dropped": 30}


def test_a_receiver_that_is_away_blocks_nothing(tmp_path: Path) -> None:
    """``wake`` returns though the receiver holds its thread."""
    log, receiver = Log(tmp_path), Away()
    held = threading.Event()
    receiver.deliver = lambda _: held.wait(60) and 0  # type: ignore[method-assign]
    courier = Courier(tmp_path, receiver, CourierSettings(parting_s=0.01))
    for _ in range(1000):
        courier.wake(log.write(1))
    assert courier.waiting == 1000
    held.set()
    assert courier.close() == 1000


class Broker:
    """A mosquitto that can be stopped and started again."""

    def __init__(self, folder: Path, *, users: bool = False) -> None:
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        self._folder = folder
        lines = [f"listener {self.port} 127.0.0.1", "persistence true", "user root",
                 f"persistence_location {folder}/", "log_dest none",
                 f"allow_anonymous {'false' if users else 'true'}"]  # fmt: skip
        (folder / "conf").write_text("\n".join(lines) + "\n")
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        self._process = subprocess.Popen(["mosquitto", "-c", str(self._folder / "conf")])
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port), 5).close()
            except OSError:
                assert self._process.poll() is None, "mosquitto ended"
            else:
                return

    def stop(self) -> None:
        if self._process is not None:
            self._process.terminate()
            self._process.wait(20)
        self._process = None


@pytest.fixture
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., Broker]]:
    if shutil.which("mosquitto") is None:
        pytest.skip("mosquitto is not installed")
    made = []

    def make(**how: bool) -> Broker:
        made.append(Broker(tmp_path_factory.mktemp("broker"), **how))
        made[-1].start()
        return made[-1]

    yield make
    for one in made:
        one.stop()


@contextmanager
def listening(port: int, *topics: str) -> Iterator[tuple[list[tuple[str, bytes, bool]], Any]]:
    """Messages (topic, payload, retained), and a condition; the subscription outlives breaks."""
    from paho.mqtt.client import Client
    from paho.mqtt.enums import CallbackAPIVersion

    client = Client(CallbackAPIVersion.VERSION2, client_id="listener", clean_session=False)
    found: list[tuple[str, bytes, bool]] = []
    news, ready = threading.Condition(), threading.Event()

    def take(_client: object, _data: object, message: Any) -> None:
        with news:
            found.append((message.topic, message.payload, message.retain))
            news.notify_all()

    client.on_message = take
    client.on_connect = lambda *_: client.subscribe([(topic, 1) for topic in topics])
    client.on_subscribe = lambda *_: ready.set()
    client.reconnect_delay_set(1, 1)
    client.connect("127.0.0.1", port)
    client.loop_start()
    assert ready.wait(10)
    yield found, news
    client.disconnect()
    client.loop_stop()


@pytest.mark.slow
def test_a_broker_that_is_killed_and_revived_misses_nothing(
    broker: Callable[..., Broker], tmp_path: Path
) -> None:
    one, log, told = broker(), Log(tmp_path), []
    address = f"mqtt://127.0.0.1:{one.port}/cams"
    with listening(one.port, "cams/#", "homeassistant/#") as (found, news):

        def numbers() -> list[int]:
            return [
                json.loads(text)["n"] for topic, text, _ in found if topic == "cams/yard/events"
            ]

        receiver = MqttReceiver(address, "yard", ("person", "car"), ha=True)
        courier = Courier(tmp_path, receiver, QUICK, notify=told.append)
        for _ in range(2):
            courier.wake(log.write(7))
            with news:
                assert news.wait_for(lambda: len(set(numbers())) == log.count, 20)
            one.stop()
            courier.wake(log.write(40))  # while it is away
            one.start()
            with news:
                assert news.wait_for(lambda: len(set(numbers())) == log.count, 30)
        with news:
            assert news.wait_for(lambda: ("cams/yard/counts/person", b"0", False) in found, 20)
        courier.wake(log.write(1))
        with news:
            assert news.wait_for(lambda: found[-1][:2] == ("cams/yard/counts/person", b"1"), 20)
        assert courier.close() == 0
        with news:
            assert news.wait_for(lambda: found[-1][:2] == ("cams/yard/status", b"stopped"), 20)
    seen = numbers()
    assert list(dict.fromkeys(seen)) == list(range(1, log.count + 1)), "in order, none is missing"
    back = [text.endswith("takes events again") for text in told]
    assert not back or back[-1]  # one that is back at once was never missed
    topics = {topic for topic, _, _ in found}
    assert "homeassistant/sensor/vodkit_yard/count_0/config" in topics
    assert "homeassistant/event/vodkit_yard/events/config" in topics
    with listening(one.port, "cams/yard/status", "cams/yard/counts/+") as (found, news), news:
        assert news.wait_for(lambda: len(found) >= 3, 20)
        kept = {topic: text for topic, text, retained in found if retained}
    assert kept["cams/yard/status"] == b"stopped"
    assert kept["cams/yard/counts/person"] == b"1"


@pytest.mark.slow
def test_a_broker_that_answers_before_the_receiver_is_made_gets_its_events(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from paho.mqtt.client import Client
    from paho.mqtt.packettypes import PacketTypes
    from paho.mqtt.reasoncodes import ReasonCode

    granted = ReasonCode(PacketTypes.CONNACK, identifier=0)
    monkeypatch.setattr(
        Client, "loop_start", lambda self: self.on_connect(self, None, None, granted, None)
    )
    receiver = MqttReceiver("mqtt://127.0.0.1:9/x", "yard", ["person"])
    assert receiver._is_here.is_set()


def test_the_last_will_says_that_vodkit_was_killed(
    broker: Callable[..., Broker], tmp_path: Path
) -> None:
    one = broker()
    program = (
        "import sys\nfrom vodkit.serve.mqtt import MqttReceiver\n"
        "r = MqttReceiver(sys.argv[1], 'yard', ())\nr._is_here.wait(20)\nprint(flush=True)\n"
        "sys.stdin.read()"
    )
    with listening(one.port, "vodkit/yard/status") as (found, news):
        import sys

        address = f"mqtt://127.0.0.1:{one.port}"
        child = subprocess.Popen(
            [sys.executable, "-c", program, address],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        )  # fmt: skip
        assert child.stdout is not None
        child.stdout.readline()
        with news:
            assert news.wait_for(lambda: len(found) == 1, 20)
        child.kill()
        child.communicate()
        with news:
            assert news.wait_for(lambda: len(found) == 2, 20)
        assert [text for _, text, _ in found] == [b"online", b"offline"]


@pytest.mark.slow
def test_a_broker_that_refuses_is_reported_and_nothing_is_lost(
    broker: Callable[..., Broker], tmp_path: Path
) -> None:
    one, log, told = broker(users=True), Log(tmp_path), []
    address = f"mqtt://ann:geheim@127.0.0.1:{one.port}/cams"
    receiver = MqttReceiver(address, "yard", (), ack_s=1.0)
    news = threading.Event()

    def notify(text: str) -> None:
        told.append(text)
        news.set()

    courier = Courier(tmp_path, receiver, CourierSettings(parting_s=0.1, first_pause_s=0.05),
                      notify=notify)  # fmt: skip
    courier.wake(log.write(3))
    assert news.wait(20)
    assert courier.close() == 3
    assert f"mqtt://127.0.0.1:{one.port}/cams: " in told[0]
    assert told[0].endswith("; events wait on disk")
    assert "Not authorized" in receiver._trouble
    assert "geheim" not in "".join(told)


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        ({"mqtt": "http://broker"}, "mqtt begins with no known scheme; allowed: mqtt://"),
        ({"webhook": "mqtt://a:b@broker"}, "webhook begins .* http://"),
        ({"mqtt": "mqtt://u:p@"}, "has no broker"),
        ({"mqtt": "mqtt://u:geheim@broker:port"}, "mqtt://.*broker:port"),
        ({"mqtt": "mqtt://broker/a+b"}, "prefix"),
        ({"webhook": "http://"}, "no host"),
        ({"ha": True}, "ha without mqtt"),
    ],
)
def test_addresses_that_cannot_be_used_are_refused(wanted: dict[str, Any], message: str) -> None:
    with pytest.raises(SettingsError, match=message) as caught:
        Outlets(OutletSettings(**wanted), ("person",), print)
    assert "geheim" not in str(caught.value)


def test_the_command_delivers_what_a_run_left(
    site: ThreadingHTTPServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    info = VideoInfo(path="a.mp4", width_px=64, height_px=48, rate=Fraction(25))
    header = Header(source="a.mp4", classes=("person",), info=info, tracker="vodkit")
    with PredictionWriter(tmp_path / runs.PREDICTIONS, header):
        Log(tmp_path).write(3)
    for _ in range(2):
        with pytest.raises(SystemExit) as left:
            main(["events", str(tmp_path), "--webhook", address_of(site, "ann:geheim@")])
        assert left.value.code == 0
    assert [json.loads(body)["n"] for body in site.bodies] == [1, 2, 3], "each one once"
    told = capsys.readouterr()
    assert "geheim" not in told.out + told.err
    with pytest.raises(SystemExit) as left:
        main(["events", str(tmp_path), "--webhook", "ftp://ann:geheim@here"])
    assert left.value.code == 2
    assert "geheim" not in capsys.readouterr().err


GUIDES = Path(__file__).parents[3] / "docs" / "guides"
NUM_FRAMES = 30


@pytest.fixture
def doors(tmp_path: Path) -> Iterator[list[str]]:
    """Two cameras that send three seconds of the plaza and say so; their addresses."""
    path = tmp_path / "plaza.ts"
    with av.open(str(CLIP_B)) as clip, av.open(str(path), "w", format="mpegts") as out:
        stream = out.add_stream("libx264", rate=10)
        stream.width, stream.height, stream.pix_fmt = 416, 312, "yuv420p"
        stream.options = {"g": "10", "bf": "0", "preset": "ultrafast"}
        for number, raw in zip(range(NUM_FRAMES), clip.decode(video=0), strict=False):
            frame = raw.reformat(416, 312, "yuv420p")
            frame.pts, frame.time_base = number, Fraction(1, 10)
            out.mux(stream.encode(frame))
        out.mux(stream.encode())
    media, length = path.read_bytes(), f"a=range:npt=0-{NUM_FRAMES / 10}\r\n"
    servers = [
        RtspServer(("127.0.0.1", 0), H264, lambda send: send(media), says=lambda: length)
        for _ in range(2)
    ]
    for server in servers:
        threading.Thread(target=server.serve_forever, daemon=True).start()
    yield [f"rtsp://127.0.0.1:{server.server_address[1]}/live" for server in servers]
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.mark.slow
def test_the_commands_of_the_pages_on_cameras_and_events(
    doors: list[str],
    broker: Callable[..., Broker],
    site: ThreadingHTTPServer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Word for word but for addresses; ``--serve`` is in tests/slow/test_live_page.py."""
    running = broker()
    addresses = {
        "rtsp://door/live": doors[0],
        "rtsp://yard/live": doors[1],
        "mqtt://broker/": f"mqtt://127.0.0.1:{running.port}/",
        "https://example.org/hook": address_of(site),
    }
    text = "".join((GUIDES / f"{name}.md").read_text("utf-8") for name in ("live", "events"))
    found = re.findall(r"^vodkit track .*rtsp://.*", text, re.MULTILINE)
    lines = [line for line in found if "--serve" not in line]
    assert len(lines) == 4
    with listening(running.port, "#") as (messages, _):
        for number, line in enumerate(lines):
            (tmp_path / str(number)).mkdir()
            monkeypatch.chdir(tmp_path / str(number))
            command = line
            for shown, real in addresses.items():
                command = command.replace(shown, real)
            with pytest.raises(SystemExit) as left:
                main(shlex.split(command)[1:])
            assert left.value.code == 0, line
            assert all(
                json.loads((run / runs.MANIFEST).read_text())["num_frames"] > 0
                for run in Path("runs").iterdir()
            )
    events = [
        [json.loads(entry) for path in runs.parts_in(tmp_path / str(number) / "runs" / "live",
                                                     runs.EVENTS)
         for entry in path.read_text().splitlines()]
        for number in range(4)
    ]  # fmt: skip
    assert [run.name for run in sorted((tmp_path / "0" / "runs").iterdir())] == ["live", "live-2"]
    sent = [json.loads(payload) for topic, payload, _ in messages if topic == "home/live/events"]
    assert sent == events[1] != []
    assert any(topic.startswith("homeassistant/") for topic, _, _ in messages)
    assert [json.loads(body) for body in site.bodies] == events[2] != []
