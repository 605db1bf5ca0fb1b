"""``vodkit serve``: the answers are those of the command line, to the bit, and limits hold."""

import http.client
import json
import os
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from jsonschema import Draft202012Validator
from PIL import Image

from vodkit.cli.main import main
from vodkit.detect.base import Detector
from vodkit.ground.records import Detections, Frame
from vodkit.infer.flow import make_detector
from vodkit.infer.settings import InferSettings
from vodkit.samples.samples import CLIP_B
from vodkit.serve.openapi import OPENAPI
from vodkit.serve.service import make_service
from vodkit.serve.sessions import Sessions
from vodkit.serve.settings import ServiceSettings
from vodkit.serve.web import Server, ServerSettings, bound, in_background
from vodkit.video.reader import open_video

pytestmark = pytest.mark.slow
CHECKOUT = Path(__file__).parents[2]
COUNT = 8


class Client(NamedTuple):
    host: str
    token: str
    sessions: Sessions

    def ask(
        self, method: str, path: str, body: bytes | None = None, **headers: str
    ) -> tuple[int, Any, dict[str, str]]:
        own = {"Authorization": f"Bearer {self.token}"}
        own |= {"Content-Type": "image/png"} if body else {}
        own |= {name.replace("_", "-"): text for name, text in headers.items()}
        with closing(http.client.HTTPConnection(self.host, timeout=60)) as line:
            line.request(method, path, body, own)
            with line.getresponse() as answer:
                content = answer.read()
                return answer.status, json.loads(content) if content else None, dict(answer.headers)


class Slow(Detector):
    """Detects, but not before it is let."""

    def __init__(self, inner: Detector) -> None:
        self.card, self.classes, self.runs_on = inner.card, inner.classes, inner.runs_on
        self.decode_px = inner.decode_px
        self.inner, self.batches = inner, list[int]()
        self.begun, self.go = threading.Event(), threading.Event()

    def detect(self, frames: list[Frame]) -> list[Detections]:
        self.begun.set()
        assert self.go.wait(60)
        self.batches.append(len(frames))
        return self.inner.detect(frames)


class Rounding(Slow):
    """Finds something else in batches."""

    def detect(self, frames: list[Frame]) -> list[Detections]:
        self.batches.append(len(frames))
        found = self.inner.detect(frames)
        return [replace(one, scores=one.scores * (1 - len(frames) / 1e6)) for one in found]


@pytest.fixture(scope="module")
def detector() -> Detector:
    return make_detector(InferSettings(device="cpu"))


@contextmanager
def served(
    detector: Detector, limits: ServiceSettings | None = None, **wanted: Any
) -> Iterator[Client]:
    with bound(ServerSettings()) as place:
        sessions = Sessions(detector, InferSettings(device="cpu", **wanted), limits)
        with in_background(Server(make_service(sessions, place), place)):
            yield Client(f"127.0.0.1:{place.port}", place.token, sessions)
        sessions.close()


@pytest.fixture(scope="module")
def client(detector: Detector) -> Iterator[Client]:
    with served(detector, ServiceSettings(sessions=2, pixels=200_000)) as found:
        yield found


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("pictures")
    with open_video(CLIP_B) as video:
        frames = video.frames_at(range(0, 3 * COUNT, 3), size_px=(416, 312))
        for frame in frames:
            Image.fromarray(frame.image).save(folder / f"{frame.index:04d}.png")
    Image.open(folder / "0000.png").save(folder.parent / "one.jpg", quality=90)
    return sorted(folder.glob("*.png"))


def lines_of(folder: Path) -> list[dict[str, Any]]:
    text = (folder / "predictions.jsonl").read_text(encoding="utf-8")
    return [json.loads(line) for line in text.splitlines()[1:]]


def valid(content: dict[str, Any], name: str) -> dict[str, Any]:
    """The answer, which is of the schema, without what lines of files have in their header."""
    schema = {"$ref": f"#/components/schemas/{name}", "components": OPENAPI["components"]}
    Draft202012Validator(schema).validate(content)
    about = ("width_px", "height_px", "model")
    return {key: value for key, value in content.items() if key not in about}


def test_detections_are_those_of_vodkit_detect(
    client: Client, pictures: list[Path], tmp_path: Path
) -> None:
    jpeg = pictures[0].parent.parent / "one.jpg"
    for path, kind in ((jpeg, "image/jpeg"), (pictures[0], "image/png")):
        with pytest.raises(SystemExit) as left:
            main(["detect", str(path), "-o", str(tmp_path), "--device", "cpu", "--json"])
        assert left.value.code == 0
        (wanted,) = lines_of(tmp_path / path.stem)
        status, found, _ = client.ask("POST", "/v1/detect", path.read_bytes(), Content_Type=kind)
        assert status == 200
        assert valid(found, "Detections") == wanted
        assert len(wanted["detections"]) > 5


def test_tracks_are_those_of_vodkit_track_in_sessions_side_by_side(
    client: Client, pictures: list[Path], tmp_path: Path
) -> None:
    words = ["-o", str(tmp_path), "--device", "cpu", "--picture-rate", "10", "--json"]
    with pytest.raises(SystemExit) as left:
        main(["track", str(pictures[0].parent), *words])
    assert left.value.code == 0
    wanted = lines_of(tmp_path / pictures[0].parent.name)
    ids = [client.ask("POST", "/v1/sessions")[1]["id"] for _ in range(2)]
    status, body, headers = client.ask("POST", "/v1/sessions")
    assert status == 429
    assert 1 <= int(headers["retry-after"]) <= 300
    assert body["error"] == "2 sessions are open"
    for index, path in enumerate(pictures):
        for name in ids:
            where = f"/v1/sessions/{name}/frames?time_s={index / 10}"
            status, found, _ = client.ask("POST", where, path.read_bytes())
            assert status == 200
            assert valid(found, "Tracks") == wanted[index]
    where = f"/v1/sessions/{ids[0]}/frames?time_s=0.1"
    status, body, _ = client.ask("POST", where, pictures[0].read_bytes())
    assert (status, body["error"][:23]) == (422, "time_s 0.1 after 0.7; a")
    for name in ids:
        assert client.ask("DELETE", f"/v1/sessions/{name}")[0] == 204
    assert client.ask("POST", where, pictures[0].read_bytes())[0] == 404
    assert client.ask("DELETE", f"/v1/sessions/{ids[0]}")[0] == 404


def test_wrong_requests_are_refused(client: Client, pictures: list[Path], tmp_path: Path) -> None:
    picture = pictures[0].read_bytes()
    Image.fromarray(np.zeros((500, 500, 3), np.uint8)).save(tmp_path / "large.png")
    large = (tmp_path / "large.png").read_bytes()
    for body, headers, status, words in (
        (picture, {"Authorization": "Bearer wrong"}, 401, "not signed in"),
        (picture, {"Host": "evil.example"}, 403, "Host"),
        (picture, {"Origin": "http://evil.example"}, 403, "Origin"),
        (picture, {"Content-Type": "text/html"}, 415, "image/jpeg"),
        (picture[:200], {}, 422, "decoded"),
        (b"GIF89a", {}, 422, "decoded"),
        (large, {}, 422, "pixels"),
        (b"x", {"Content-Length": "99999999"}, 413, "33554432"),
    ):
        named = {name.replace("-", "_"): text for name, text in headers.items()}
        seen, content, _ = client.ask("POST", "/v1/detect", body, **named)
        assert (seen, words in content["error"]) == (status, True), content
    begun = client.ask("POST", "/v1/sessions")[1]["id"]
    for query, words in (("", "time_s ''"), ("?time_s=soon", "'soon'"), ("?time_s=inf", "'inf'")):
        seen, content, _ = client.ask("POST", f"/v1/sessions/{begun}/frames{query}", picture)
        assert (seen, words in content["error"]) == (422, True), content
    client.ask("DELETE", f"/v1/sessions/{begun}")


def form(**fields: bytes | str) -> bytes:
    """A body as curl and the clients of DeepStack make it; the boundary is x."""
    head = b'--x\r\nContent-Disposition: form-data; name="%s"; filename="a"\r\nContent-Type: a/b'
    contents = {n: c.encode() if isinstance(c, str) else c for n, c in fields.items()}
    parts = [head % name.encode() + b"\r\n\r\n%s\r\n" % c for name, c in contents.items()]
    return b"".join(parts) + b"--x--\r\n"


def test_the_address_of_deepstack_gives_the_same_detections(
    client: Client, pictures: list[Path]
) -> None:
    """Clients send the token in the form, and stop at the first doubtful detection."""
    picture = pictures[0].read_bytes()
    kind, path = {"Content_Type": "multipart/form-data; boundary=x"}, "/v1/vision/detection"
    wanted = sorted(
        ((one["score"], one["class"], [round(side) for side in one["box"]])
         for one in client.ask("POST", "/v1/detect", picture)[1]["detections"]),
        key=lambda row: -row[0],
    )  # fmt: skip
    unknown = client._replace(token="")
    for given, least in (
        ({}, 0.4),
        ({"min_confidence": "0"}, 0.0),
        ({"min_confidence": "0.6"}, 0.6),
    ):
        body = form(api_key=client.token, **given, image=picture)
        status, found, _ = unknown.ask("POST", path, body, **kind)
        assert status == 200, found
        schema = {"$ref": "#/components/schemas/Predictions", "components": OPENAPI["components"]}
        Draft202012Validator(schema).validate(found)
        sides = ("x_min", "y_min", "x_max", "y_max")
        rows = [
            (one["confidence"], one["label"], [one[side] for side in sides])
            for one in found["predictions"]
        ]
        assert [box for _, _, box in rows] == [box for score, _, box in wanted if score >= least]
        assert [row[:2] for row in rows] == [
            (pytest.approx(score, abs=1e-4), name) for score, name, _ in wanted if score >= least
        ]
        assert rows
    assert client.ask("POST", path, form(image=picture), **kind)[0] == 200, "Bearer TOKEN"
    key = {"api_key": client.token}
    for body, headers, status, words in (
        (form(image=picture), kind, 401, "api_key is not the token"),
        (form(api_key="wrong", image=picture), kind, 401, "api_key is not the token"),
        (form(**key), kind, 422, "the form has api_key; expected: image"),
        (form(**key, image=b"GIF89a"), kind, 422, "decoded"),
        (form(**key, image=picture, min_confidence="2"), kind, 422, "allowed: 0 to 1"),
        (form(**key, image=picture)[:-9], kind, 422, "not a complete"),
        (form(**key, image=picture), {"Content_Type": "multipart/form-data"}, 422, "no boundary"),
        (picture, {"Content_Type": "image/png"}, 415, "multipart/form-data"),
        (form(**key, image=picture), kind | {"Origin": "http://evil.example"}, 403, "Origin"),
        (b"x", kind | {"Content_Length": "99999999"}, 413, "33554432"),
    ):  # fmt: skip
        seen, content, _ = unknown.ask("POST", path, body, **headers)
        assert (seen, words in content["error"]) == (status, True), content


def test_too_many_requests_are_refused_at_once_and_idle_sessions_end(
    detector: Detector, pictures: list[Path]
) -> None:
    slow, picture = Slow(detector), pictures[0].read_bytes()
    limits = ServiceSettings(waiting=1, sessions=1, idle_s=1e-6)
    with served(slow, limits, batch_size=1) as client:
        answers: list[int] = []
        first = threading.Thread(
            target=lambda: answers.append(client.ask("POST", "/v1/detect", picture)[0])
        )
        first.start()
        assert slow.begun.wait(30)
        status, body, headers = client.ask("POST", "/v1/detect", picture)
        assert (status, headers["retry-after"]) == (429, "1")
        assert body["error"] == "1 requests wait for the detector"
        slow.go.set()
        first.join()
        assert answers == [200]
        old = client.ask("POST", "/v1/sessions")[1]["id"]
        assert client.ask("POST", "/v1/sessions")[0] == 201, "the idle one made room"
        assert client.ask("POST", f"/v1/sessions/{old}/frames?time_s=0", picture)[0] == 404


def test_requests_that_wait_together_are_detected_together_and_answered_as_alone(
    client: Client, detector: Detector, pictures: list[Path]
) -> None:
    slow = Slow(detector)
    bodies = [path.read_bytes() for path in pictures[:4]] + [b"no picture"]
    alone = [client.ask("POST", "/v1/detect", body)[:2] for body in bodies]
    assert [status for status, _ in alone] == [200] * 4 + [422]
    with served(slow, batch_size=8) as together, ThreadPoolExecutor(5) as pool:
        first = pool.submit(together.ask, "POST", "/v1/detect", bodies[0])
        assert slow.begun.wait(30)
        others = [pool.submit(together.ask, "POST", "/v1/detect", body) for body in bodies[1:]]
        assert others[-1].result()[:2] == alone[-1]
        while together.sessions.num_waiting < 4:
            os.sched_yield()
        slow.go.set()
        assert [one.result()[:2] for one in (first, *others)] == alone
    assert slow.batches == [1, 3]


def test_batches_that_change_a_bit_are_not_used(client: Client, detector: Detector) -> None:
    assert client.sessions.batch_size == detector.batch_size > 1
    found = Sessions(Rounding(detector), InferSettings(device="cpu"))
    assert found.batch_size == 1
    found.close()


def test_pictures_are_decoded_as_the_command_line_decodes_them(
    detector: Detector, pictures: list[Path], tmp_path: Path
) -> None:
    path = tmp_path / "large.png"
    Image.open(pictures[0]).resize((1248, 936)).save(path)
    with pytest.raises(SystemExit):
        main(["detect", str(path), "-o", str(tmp_path), "--device", "cpu", "--decode", "full"])
    with served(detector, decode="full") as client:
        found = client.ask("POST", "/v1/detect", path.read_bytes())[1]
    assert [valid(found, "Detections")] == lines_of(tmp_path / "large")


def test_the_openapi_file_is_the_one_that_is_served(client: Client) -> None:
    text = (CHECKOUT / "docs" / "openapi.json").read_text(encoding="utf-8")
    assert text == json.dumps(OPENAPI, indent=2) + "\n", "write it anew from serve/openapi.py"
    assert client.ask("GET", "/v1/openapi.json", Authorization="")[1] == OPENAPI
    assert client.ask("GET", "/healthz", Authorization="")[:2] == (200, {"ok": True, "sessions": 0})
