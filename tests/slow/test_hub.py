"""``hf://owner/name`` with the hub's real client against a server here."""

import base64
import hashlib
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote

import pytest
import torch

from vodkit.detect import hub, networks
from vodkit.detect.base import ModelCard, Output, Preprocessing
from vodkit.detect.checkpoint import save_checkpoint
from vodkit.detect.models import find_card, load_detector
from vodkit.ground.errors import OutputError, SettingsError, WeightsError
from vodkit.ground.runs import sha256

pytestmark = pytest.mark.slow
SHA = "a" * 40
FILES: dict[str, bytes] = {}


class Hub(BaseHTTPRequestHandler):
    """The hub's API, as far as one repository, owner/name, needs it."""

    def log_message(self, *_: object) -> None:
        """Say nothing."""

    def _here(self) -> str:
        return f"http://{self.headers['Host']}"

    def _send(self, content: object, code: int = 200, **headers: str) -> None:
        body = content if isinstance(content, bytes) else json.dumps(content).encode()
        self.send_response(code)
        for name, value in {**headers, "Content-Length": str(len(body))}.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def do_GET(self) -> None:
        """Facts, listings and files."""
        path = unquote(self.path.partition("?")[0])
        if "owner/name" not in path:
            self._send({"error": "Repository not found"}, 404, X_Error_Code="RepoNotFound")
        elif path.startswith("/api/") and "/tree/" in path:
            entries = [
                {"type": "file", "path": n, "size": len(c), "oid": hashlib.sha1(c).hexdigest()}
                for n, c in FILES.items()
            ]
            self._send(entries)
        elif path.startswith("/api/"):
            siblings = [{"rfilename": name} for name in FILES]
            self._send({"id": "owner/name", "sha": SHA, "siblings": siblings})
        else:
            content = FILES[path.rpartition("/")[2]]
            etag = f'"{hashlib.sha1(content).hexdigest()}"'
            self._send(content, ETag=etag, X_Repo_Commit=SHA)

    do_HEAD = do_GET  # noqa: N815

    def do_POST(self) -> None:
        """Make the repository, ask how to send, send."""
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if "/preupload/" in self.path:
            asked = json.loads(body)["files"]
            files = [
                {"path": one["path"], "uploadMode": "regular", "shouldIgnore": False}
                for one in asked
            ]
            self._send({"files": files})
        elif "/commit/" in self.path:
            for line in map(json.loads, body.splitlines()):
                if line["key"] == "file":
                    FILES[line["value"]["path"]] = base64.b64decode(line["value"]["content"])
            self._send({"commitUrl": f"{self._here()}/owner/name/commit/1", "commitOid": SHA})
        elif "create" in self.path and json.loads(body).get("name") == "refused":
            self._send({"error": "no rights"}, 403)
        else:
            self._send({"url": f"{self._here()}/owner/name", "warnings": [], "errors": []})


@pytest.fixture(autouse=True)
def _served(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    pytest.importorskip("huggingface_hub")
    FILES.clear()
    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{server.server_port}")
    monkeypatch.setenv("HF_TOKEN", "hf_test")
    monkeypatch.setenv("VODKIT_CACHE", str(tmp_path / "cache"))
    yield
    server.shutdown()
    server.server_close()


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    card = ModelCard(
        name="small", family="yolox", classes=("person", "car"), licence="Apache-2.0",
        source="made for a test", preprocessing=Preprocessing(width_px=64, height_px=64),
        output=Output(decoding="scored_boxes"), architecture={"size": "nano"},
    )  # fmt: skip
    torch.manual_seed(0)
    save_checkpoint(networks.build(card).state_dict(), card, tmp_path / "small.safetensors")
    return tmp_path / "small.safetensors"


def test_what_is_pushed_is_what_is_loaded(checkpoint: Path) -> None:
    assert hub.push(checkpoint, "hf://owner/name").startswith("http")
    assert set(FILES) >= {"small.safetensors", "small.card.json", "README.md"}
    assert b"license: apache-2.0" in FILES["README.md"]
    FILES["modeling.py"] = b"raise SystemExit"
    card, path = find_card("hf://owner/name")
    assert path is not None
    assert (card, sha256(path)) == (find_card(checkpoint)[0], sha256(checkpoint))
    assert not list(path.parent.glob("*.py"))
    detector = load_detector("hf://owner/name", runtime="torch", device="cpu")
    assert detector.classes == ("person", "car")


def test_what_cannot_be_had_is_one_line(checkpoint: Path) -> None:
    with pytest.raises(WeightsError, match="hf://owner/other: the hub refuses"):
        find_card("hf://owner/other")
    with pytest.raises(OutputError, match="hf://owner/refused: the hub refuses"):
        hub.push(checkpoint, "hf://owner/refused")
    with pytest.raises(SettingsError, match="allowed: hf://owner/name"):
        find_card("hf://name")
