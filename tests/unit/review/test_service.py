"""The service: every attack that a loopback service must refuse, and what the routes promise."""

import http.client
import json
import socket
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from review_clips import FRAMES, Served
from vodkit.formats.table import read_dataset
from vodkit.ground.errors import InputError, SettingsError, VideoError, VodkitError
from vodkit.report.draw import to_jpeg
from vodkit.review import project, server
from vodkit.review.frames import Frames, index_in
from vodkit.review.jobs import ModelSettings
from vodkit.review.project import ProjectSettings, open_project
from vodkit.review.server import serving
from vodkit.serve.web import ServerSettings
from vodkit.video.reader import open_video


class Client:
    """Requests as a browser sends them, every header open to change."""

    def __init__(self, served: Served) -> None:
        self.served = served
        self.headers = {"Host": served.host}
        status, _, headers = self.post("/api/login", {"token": served.token})
        assert status == 200
        self.cookie = headers["set-cookie"].partition(";")[0]
        self.set_cookie = headers["set-cookie"]
        self.headers["Cookie"] = self.cookie

    def ask(
        self, method: str, path: str, body: bytes | None = None, **changed: str | None
    ) -> tuple[int, bytes, dict[str, str]]:
        headers = {**self.headers}
        if body is not None:
            headers |= {"Content-Type": "application/json", "X-Vodkit": "1"}
        named = {name.replace("_", "-"): value for name, value in changed.items()}
        headers = {n: v for n, v in {**headers, **named}.items() if v is not None}
        line = http.client.HTTPConnection(self.served.host, timeout=20)
        line.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
        if body is not None and "Content-Length" not in headers:
            headers["Content-Length"] = str(len(body))
        for name, value in headers.items():
            line.putheader(name, value)
        line.endheaders(body)
        answer = line.getresponse()
        content = answer.read()
        found = {name.lower(): value for name, value in answer.getheaders()}
        line.close()
        return answer.status, content, found

    def get(self, path: str, **changed: str | None) -> tuple[int, bytes, dict[str, str]]:
        return self.ask("GET", path, **changed)

    def post(
        self, path: str, content: Any, **changed: str | None
    ) -> tuple[int, Any, dict[str, str]]:
        status, body, headers = self.ask("POST", path, json.dumps(content).encode(), **changed)
        return status, json.loads(body), headers

    def act(self, **action: Any) -> tuple[int, Any]:
        known = action.pop("known", None)
        self.count = getattr(self, "count", 0) + 1
        body = {"id": f"{id(self)}-{self.count}", "action": action, "known": known}
        status, answer, _ = self.post("/api/actions", body)
        return status, answer


@pytest.fixture(scope="module")
def client(served: Served) -> Client:
    return Client(served)


def test_the_cookie_is_out_of_reach_of_scripts_and_other_sites(client: Client) -> None:
    words = client.set_cookie.lower()
    assert "httponly" in words
    assert "samesite=strict" in words


@pytest.mark.parametrize(
    ("changed", "status"),
    [
        ({"Host": "evil.example:80"}, 403),  # DNS rebinding
        ({"Host": "127.0.0.1"}, 403),  # another port
        ({"Origin": "http://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Sec_Fetch_Site": "cross-site"}, 403),
        ({"Cookie": None}, 401),
        ({"Cookie": "vodkit-1=guess"}, 401),
        ({"Content_Type": "text/plain"}, 415),  # what a form can send without asking
        ({"Content_Type": "application/x-www-form-urlencoded"}, 415),
        ({"X_Vodkit": None}, 403),
        ({"Content_Length": "99999999"}, 413),
    ],
)
def test_a_forged_write_is_refused(client: Client, changed: dict[str, Any], status: int) -> None:
    before = client.served.page.project.journal.n
    action = {"id": "attack", "action": {"do": "add_class", "name": "attack"}}
    body = json.dumps(action).encode()
    seen, _, _ = client.ask("POST", "/api/actions", body, **changed)
    assert seen == status
    assert client.served.page.project.journal.n == before


@pytest.mark.parametrize("changed", [{"Host": "evil.example"}, {"Cookie": None}, {"Origin": "x"}])
@pytest.mark.parametrize("path", ["/api/state", "/api/videos/0/frames/0", "/api/events"])
def test_nothing_is_read_without_the_cookie_or_under_another_name(
    client: Client, path: str, changed: dict[str, Any]
) -> None:
    assert client.get(path, **changed)[0] in {401, 403}


def test_a_wrong_token_gets_no_cookie(client: Client) -> None:
    for token in ("", "x", None, 5, client.served.token + "x"):
        status, _, headers = client.post("/api/login", {"token": token}, Cookie=None)
        assert status == 401
        assert "set-cookie" not in headers


@pytest.mark.parametrize(
    "path",
    [
        "/static/../project.py",
        "/static/%2e%2e/project.py",
        "/static/..%2fproject.py",
        "/static//etc/passwd",
        "/static/app.py",
        "/api/videos/../../etc/passwd",
        "/api/videos/0/frames/..%2f..%2fetc",
        "/api/videos/-1/labels",
        "/api/videos/99/labels",
        "/api/videos/0/frames/9999",
        "/api/videos/0/frames/0?width=7777",
        "/api/videos/0/frames/0?width=/etc/passwd",
    ],
)
def test_no_path_comes_from_the_client(client: Client, path: str) -> None:
    status, body, headers = client.get(path)
    assert status in {404, 422}
    assert b"root:" not in body
    assert headers.get("content-type", "").startswith(("application/json", "text/plain"))


def test_every_answer_carries_the_policy(client: Client) -> None:
    for path in ("/", "/static/app.js", "/api/state", "/api/nothing", "/api/videos/0/frames/3"):
        _, _, headers = client.get(path)
        policy = headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert "frame-ancestors 'none'" in policy
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["referrer-policy"] == "no-referrer"
        assert "access-control-allow-origin" not in headers


def test_a_body_longer_than_it_said_is_not_read(client: Client) -> None:
    host, port = client.served.host.split(":")
    with socket.create_connection((host, int(port)), timeout=20) as line:
        head = (
            f"POST /api/actions HTTP/1.1\r\nHost: {client.served.host}\r\n"
            f"Cookie: {client.cookie}\r\nContent-Type: application/json\r\nX-Vodkit: 1\r\n"
            "Transfer-Encoding: chunked\r\n\r\n"
        )
        line.sendall(head.encode())
        assert b" 413 " in line.recv(4096)


@pytest.mark.parametrize("body", [b"", b"[]", b"{", b'{"id": 1}', b'{"id": "a", "action": 3}'])
def test_what_is_no_action_is_refused_with_the_reason(client: Client, body: bytes) -> None:
    status, answer, _ = client.ask("POST", "/api/actions", body)
    assert status == 422
    assert json.loads(answer)["error"]


def test_labels_of_a_model_cannot_come_from_a_page(client: Client) -> None:
    assert client.act(do="put", video=0, tracks={})[0] == 422


def test_a_public_host_needs_a_token() -> None:
    with pytest.raises(SettingsError, match="--token"):
        ServerSettings(host="0.0.0.0")
    ServerSettings(host="0.0.0.0", token="x" * 16)


def test_edits_are_answered_with_versions_and_conflicts(client: Client) -> None:
    status, drawn = client.act(do="draw", video=1, label=0, frame=3, box=[1, 2, 30, 40])
    assert status == 200
    part = drawn["changed"][0]
    number, version = part["part"][2], part["n"]
    bend = {"do": "bend", "video": 1, "track": number, "frame": 9, "box": [5, 5, 30, 40]}
    assert client.act(**bend, known={str(number): version})[0] == 200
    status, answer = client.act(**{**bend, "frame": 12}, known={str(number): version})
    assert status == 409
    assert len(answer["conflict"][0]["value"]["keys"]) == 2
    assert client.act(do="undo")[0] == 200
    labels = json.loads(client.get("/api/videos/1/labels")[1])
    assert len(labels["tracks"][str(number)]["keys"]) == 1
    assert client.act(do="redo")[0] == 200
    assert client.act(do="delete", video=1, tracks=[number])[0] == 200
    assert client.act(**bend, known={str(number): version})[0] == 409


def listened(client: Client, path: str, count: int) -> list[dict[str, Any]]:
    """The first messages of a stream of events."""
    line = http.client.HTTPConnection(client.served.host, timeout=20)
    line.request("GET", path, headers=client.headers)
    answer = line.getresponse()
    found: list[dict[str, Any]] = []
    while len(found) < count:
        text = answer.readline().strip()
        if text.startswith(b"data: "):
            found.append(json.loads(text[6:]))
    line.sock.close() if line.sock else None
    answer.close()
    return found


def test_an_event_names_the_version_that_it_carries(client: Client) -> None:
    """A page takes over what is newer than what it has: an older value is never named newer."""
    status, answer = client.act(do="draw", video=0, label=0, frame=3, box=[1, 2, 30, 40])
    assert status == 200
    part = answer["changed"][0]["part"]
    client.act(do="bend", video=0, track=part[2], frame=3, box=[5, 6, 50, 60])
    told = listened(client, f"/api/events?after={answer['n'] - 1}", 3)
    assert [one["changed"][0]["n"] for one in told[1:]] == [answer["n"], answer["n"] + 1]
    assert [one["changed"][0]["value"]["keys"][0][1] for one in told[1:]] == [1, 5]


def test_the_server_ends_quietly_while_a_page_is_open(
    clips: list[Any], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    settings = ProjectSettings(videos=(clips[0],), classes=("fly",), out=tmp_path / "out.json")
    with serving(settings, ModelSettings(), ServerSettings()) as (address, page):
        thread = threading.Thread(target=page.run)
        thread.start()
        client = Client(Served(address, page, tmp_path))
        line = http.client.HTTPConnection(client.served.host, timeout=20)
        line.request("GET", "/api/events", headers=client.headers)
        answer = line.getresponse()
        assert answer.readline().startswith(b"data: ")
        page.stop()
        thread.join()
        answer.close()
        line.close()
    assert "ERROR" not in "".join(capfd.readouterr())


def test_the_page_shows_pictures_while_labels_are_read(
    clips: list[Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It states what it waits for, refuses as always, and answers once the project is open."""
    addresses: list[str] = []
    heard: list[Any] = []
    reads = project._imported

    def slowly(settings: ProjectSettings) -> Any:
        while not addresses:  # announced while the labels are read
            threading.Event().wait(0.01)
        waiting = Client(Served(addresses[0], None, tmp_path))  # type: ignore[arg-type]
        frames = [f"/api/videos/0/frames/{frame}" for frame in (7, FRAMES)]
        paths = ("/", "/static/app.js", "/api/early", "/api/state", *frames)
        heard.extend(waiting.get(path)[:2] for path in paths)
        heard.extend(waiting.get(path, Cookie="")[0] for path in ("/api/early", frames[0]))
        return reads(settings)

    monkeypatch.setattr(project, "_imported", slowly)
    monkeypatch.setattr(server, "_EARLY_S", 60.0)  # the video is open long before
    monkeypatch.setattr(server, "_SEEN_S", 0.0)
    settings = ProjectSettings(videos=(clips[0],), classes=("fly",), out=tmp_path / "out.json")
    with serving(settings, ModelSettings(), ServerSettings(), early=addresses.append) as (
        address,
        page,
    ):
        assert addresses == [address]
        assert [status for status, _ in heard[:6]] == [200, 200, 200, 503, 200, 422]
        (early,) = json.loads(heard[2][1])["videos"]
        assert heard[3][1] == b'{"error":"Opening the videos"}'
        assert index_in(heard[4][1]) == 7
        assert heard[6:] == [401, 401]
        status, content, _ = Client(Served(address, page, tmp_path)).get("/api/state")
        assert (status, json.loads(content)["classes"]) == (200, ["fly"])
        (found,) = json.loads(content)["videos"]
        assert {**early, "name": found["name"]} == found
    monkeypatch.undo()
    bad = ProjectSettings(videos=(clips[0],), labels=tmp_path / "no.json", out=tmp_path / "b.json")
    with pytest.raises(VodkitError), serving(bad, ModelSettings(), ServerSettings()):
        pass


def test_export_writes_beside_the_dataset_and_says_what_is_lost(client: Client) -> None:
    client.act(do="draw", video=0, label=1, frame=4, box=[1, 2, 30, 40])
    for form in ("cocovid", "cvat", "mot"):
        status, answer, _ = client.post("/api/export", {"format": form})
        assert status == 200, answer
        assert client.served.folder in Path(answer["path"]).parents
    assert client.post("/api/export", {"format": "../x"})[0] == 422
    path = client.post("/api/export", {})[1]["path"]
    (video, *_) = read_dataset(path).videos
    assert video.tracks is not None
    assert 4 in video.tracks.frames.tolist()


def test_every_picture_carries_its_index_and_shows_that_frame(clips: list[Any]) -> None:
    import cv2

    rng = np.random.default_rng(0)
    for path in clips:
        frames = Frames(path, cache_bytes=60_000)
        try:
            for index in rng.integers(0, FRAMES, 30).tolist():
                packet = frames.jpeg(index)
                image = cv2.imdecode(np.frombuffer(packet, np.uint8), cv2.IMREAD_GRAYSCALE)
                bits = [int(image[48, 8 + 16 * bit] > 127) for bit in range(8)]
                assert int("".join(map(str, bits)), 2) == index == index_in(packet), path.name
        finally:
            frames.close()


ODD = Path(__file__).parents[4] / "shared" / "data" / "videos" / "made_odd"


@pytest.mark.slow
@pytest.mark.skipif(not ODD.exists(), reason="../shared/data is not here")
def test_odd_videos_show_the_frame_that_is_named() -> None:
    """``benchmarks/review_campaign.py steps`` does the same in a browser, 500 steps a video."""
    rng, seen = np.random.default_rng(1), 0
    for path in sorted(ODD.iterdir()):
        try:
            frames = Frames(path, cache_bytes=60_000)
        except VideoError:
            continue
        with open_video(path, strict=False) as video:
            expected = {frame.index: to_jpeg(frame.image) for frame in video.frames()}
        try:
            for index in rng.integers(0, len(frames.times_s()), 8).tolist():
                if index not in expected:
                    with pytest.raises(VideoError):
                        frames.jpeg(index)
                    continue
                packet, seen = frames.jpeg(index), seen + 1
                assert index_in(packet) == index, path.name
                length = int.from_bytes(packet[4:6], "big") + 2
                assert packet[:2] + packet[2 + length :] == expected[index], (path.name, index)
        finally:
            frames.close()
    assert seen > 80


def test_one_dataset_goes_in_and_comes_out(tmp_path: Any, clips: list[Any]) -> None:
    out = tmp_path / "a.json"
    with open_project(ProjectSettings(videos=(clips[1],), classes=("fly",), out=out)) as project:
        action = {
            "do": "draw",
            "video": 0,
            "track": 1,
            "label": 0,
            "frame": 3,
            "box": [1, 2, 30, 40],
        }
        project.journal.commit(action, id="a")
        project.journal.commit({**action, "do": "bend", "frame": 9}, id="b")
    first = read_dataset(out).videos[0].tracks
    again = tmp_path / "b.json"
    with open_project(ProjectSettings(videos=(clips[1],), labels=out, out=again)) as project:
        assert project.journal.n == 1
        project.journal.commit({"do": "accept", "video": 0, "first": 3, "last": 9}, id="c")
    second = read_dataset(again).videos[0].tracks
    assert first is not None
    assert second is not None
    assert np.allclose(first.boxes_xyxy, second.boxes_xyxy)
    assert np.array_equal(first.times_s, second.times_s)
    with (
        pytest.raises(InputError, match="--out"),
        open_project(ProjectSettings(videos=(clips[0],), out=again)),
    ):
        pass


def test_without_video_or_with_one_twice_there_is_no_review(
    clips: list[Any], tmp_path: Any
) -> None:
    for videos in ((), (clips[0], clips[0])):
        with (
            pytest.raises(InputError, match=r"video|twice"),
            open_project(ProjectSettings(videos=videos, out=tmp_path / "x.json")),
        ):
            pass
