"""Fetching against a real server on loopback: whole, resumed, corrupt, refused, offline."""

import hashlib
import pickle
import socket
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import torch

from vodkit.detect import weights
from vodkit.detect.base import ModelCard, Output, Preprocessing
from vodkit.ground.errors import WeightsError

CONTENT = bytes(range(256)) * 5000
DIGEST = hashlib.sha256(CONTENT).hexdigest()


class Server:
    """Serves CONTENT; ``breaks_after`` bytes the connection ends, once for each number given."""

    def __init__(self) -> None:
        self.breaks_after: list[int] = []
        self.ignores_range = False
        self.status = 200
        self.ranges: list[str | None] = []
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                server.answer(self)

            def log_message(self, *words: object) -> None:
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.http.server_port}/model-{DIGEST[:8]}.pth"
        self.thread = threading.Thread(
            target=self.http.serve_forever, kwargs={"poll_interval": 0.01}
        )
        self.thread.start()

    def answer(self, handler: BaseHTTPRequestHandler) -> None:
        asked = handler.headers.get("Range")
        self.ranges.append(asked)
        if self.status != 200:
            handler.send_error(self.status)
            return
        start = 0 if asked is None or self.ignores_range else int(asked[6:-1])
        if start >= len(CONTENT):
            handler.send_error(416)
            return
        body = CONTENT[start:]
        handler.send_response(206 if start else 200)
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        stop = self.breaks_after.pop(0) if self.breaks_after else len(body)
        handler.wfile.write(body[:stop])

    def close(self) -> None:
        self.http.shutdown()
        self.thread.join()
        self.http.server_close()


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setenv("VODKIT_CACHE", str(tmp_path / "cache"))
    made = Server()
    yield made
    made.close()


def card(url: str, sha256: str = DIGEST) -> ModelCard:
    return ModelCard(
        name="m",
        family="yolox",
        classes=("a",),
        licence="MIT",
        source="test",
        preprocessing=Preprocessing(width_px=8, height_px=8),
        output=Output(decoding="scored_boxes"),
        url=url,
        sha256=sha256,
    )


def test_fetches_once_and_says_how_far(server: Server) -> None:
    seen: list[tuple[int, int]] = []
    path = weights.fetch(card(server.url), progress=lambda *step: seen.append(step))
    assert path == weights.cache_folder() / "weights" / f"model-{DIGEST[:8]}.pth"
    assert path.read_bytes() == CONTENT
    assert seen[-1] == (len(CONTENT), len(CONTENT))
    weights.fetch(card(server.url))
    assert len(server.ranges) == 1
    assert sorted(p.name for p in path.parent.iterdir()) == [path.name, path.name + ".sha256"]


@pytest.mark.parametrize("ignores_range", [False, True])
def test_goes_on_where_the_connection_broke(server: Server, ignores_range: bool) -> None:
    server.breaks_after, server.ignores_range = [1000, 70_000], ignores_range
    path = weights.fetch(card(server.url, DIGEST[:8]))
    assert path.read_bytes() == CONTENT
    assert server.ranges[:2] == [None, "bytes=1000-"]


def test_a_part_longer_than_the_file_is_thrown_away(server: Server) -> None:
    part = weights.weights_path(card(server.url)).with_name(f"model-{DIGEST[:8]}.pth.part")
    part.parent.mkdir(parents=True)
    part.write_bytes(CONTENT + b"more")
    assert weights.fetch(card(server.url)).read_bytes() == CONTENT


def test_a_wrong_file_never_takes_the_name(server: Server) -> None:
    wrong = card(server.url, "00" * 32)
    with pytest.raises(WeightsError, match="allowed: 000000"):
        weights.fetch(wrong)
    assert not list(weights.weights_path(wrong).parent.iterdir())


def test_what_rots_in_the_cache_is_found_even_without_a_published_digest(server: Server) -> None:
    no_digest = card(server.url, "")
    path = weights.fetch(no_digest)
    path.write_bytes(CONTENT[:-1])
    with pytest.raises(WeightsError, match="corrupt"):
        weights.fetch(no_digest)


def test_offline_says_which_file_goes_where(server: Server) -> None:
    server.status = 404
    with pytest.raises(WeightsError, match="HTTP 404") as caught:
        weights.fetch(card(server.url))
    assert server.url in str(caught.value)
    assert str(weights.weights_path(card(server.url))) in str(caught.value)
    assert len(server.ranges) == 1
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        nobody = f"http://127.0.0.1:{free.getsockname()[1]}/x.pth"
    with pytest.raises(WeightsError, match="cannot be downloaded"):
        weights.fetch(card(nobody))
    with pytest.raises(WeightsError, match="allowed: https"):
        weights.fetch(card("http://example.org/x.pth"))


def test_only_tensors_are_read(tmp_path: Path) -> None:
    state = {"a": torch.ones(2)}
    for name, content in {"plain.pth": state, "official.pth": {"model": state, "epoch": 3}}.items():
        torch.save(content, tmp_path / name)
        assert torch.equal(weights.read_state(tmp_path / name)["a"], state["a"])
    bad: dict[str, Callable[[Path], object]] = {
        "code.pth": lambda p: p.write_bytes(pickle.dumps(Path("/"), protocol=2)),
        "list.pth": lambda p: torch.save([1], p),
        "words.pth": lambda p: torch.save({"a": "b"}, p),
        "torn.pth": lambda p: p.write_bytes((tmp_path / "plain.pth").read_bytes()[:100]),
        "torn.safetensors": lambda p: p.write_bytes(b"12345678"),
    }
    for name, write in bad.items():
        write(tmp_path / name)
        with pytest.raises(WeightsError, match=name):
            weights.read_state(tmp_path / name)
    with pytest.raises(WeightsError, match="missing"):
        weights.read_state(tmp_path / "none.pth")
