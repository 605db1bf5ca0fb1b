"""Two campaigns against ``vodkit review``: kills of the server, and random steps on odd videos.

    python benchmarks/review_campaign.py kills --kills 200
    python benchmarks/review_campaign.py steps ../shared/data/videos/made_odd --steps 500

``kills``: a client posts random actions to the real command until SIGKILL ends it at a random
moment, then starts it again. The labels must be those of all actions that were answered (saved),
each carried out once; the one action that had no answer may be there or not, and sending it again
must not double it.

``steps``: the real page in Chromium goes to random frames of every video. The pixels that it shows
must be those of the frame that it names, as sequential decoding gives them.
"""

import argparse
import base64
import http.client
import json
import os
import random
import shutil
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from http import HTTPStatus
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
from playwright.sync_api import Page, sync_playwright

from vodkit.cli import review as _review  # noqa: F401 - loaded before the forks
from vodkit.cli.main import main as command_line
from vodkit.ground.errors import InputError, VideoError
from vodkit.report.draw import to_jpeg
from vodkit.review.curve import to_json
from vodkit.review.document import Document, Timing
from vodkit.review.jobs import ModelSettings
from vodkit.review.journal import Journal
from vodkit.review.project import ProjectSettings
from vodkit.review.server import serving
from vodkit.samples.samples import CLIP_A
from vodkit.serve.web import ServerSettings
from vodkit.video.reader import open_video

LONGEST_S = 0.6
"""from the first action to the kill"""
SHOWN = """async ([frame, pictures]) => {
  const stage = document.getElementById("stage");
  const slider = document.getElementById("slider");
  const sums = async (bitmap) => {
    const canvas = new OffscreenCanvas(bitmap.width, bitmap.height);
    const context = canvas.getContext("2d");
    context.drawImage(bitmap, 0, 0);
    const { data } = context.getImageData(0, 0, bitmap.width, bitmap.height);
    const digest = await crypto.subtle.digest("SHA-256", data);
    return [...new Uint8Array(digest)].map((b) => b.toString(16).padStart(2, "0")).join("");
  };
  if (pictures) {
    const out = [];
    for (const one of pictures) {
      const bytes = Uint8Array.from(atob(one), (c) => c.charCodeAt(0));
      out.push(await sums(await createImageBitmap(new Blob([bytes], { type: "image/jpeg" }))));
    }
    return out;
  }
  slider.value = String(frame);
  slider.dispatchEvent(new Event("change"));
  const alarm = document.getElementById("alarm");
  while (stage.state.shownFrame !== frame) {
    if (!alarm.hidden && alarm.textContent.startsWith(`Frame ${frame} cannot`)) return [-1, ""];
    await new Promise((done) => setTimeout(done, 2));
  }
  const named = Number(document.getElementById("place").textContent.match(/Frame (\\d+) of/)[1]);
  return [named, await sums(stage.bitmap)];
}"""


class Client:
    """Talks to one server; knows what was answered."""

    def __init__(self, address: str) -> None:
        """Sign in."""
        parts = urlsplit(address)
        self._host, self._cookie = parts.netloc, ""
        line = http.client.HTTPConnection(self._host, timeout=60)
        token = parts.fragment.removeprefix("token=").partition("&")[0]
        self._send(line, "POST", "/api/login", {"token": token})
        answer = line.getresponse()
        answer.read()
        self._cookie = (answer.getheader("Set-Cookie") or "").partition(";")[0]
        line.close()

    def _send(
        self, line: http.client.HTTPConnection, method: str, path: str, body: Any = None
    ) -> None:
        headers = {"Host": self._host, "Cookie": self._cookie, "X-Vodkit": "1"}
        content = None if body is None else json.dumps(body)
        line.request(method, path, content, {**headers, "Content-Type": "application/json"})

    def ask(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        """As the page asks: again while the server reads what it serves (503)."""
        while True:
            status, answer = self._ask(method, path, body)
            if status != HTTPStatus.SERVICE_UNAVAILABLE:
                return status, answer
            time.sleep(0.05)

    def _ask(self, method: str, path: str, body: Any) -> tuple[int, Any]:
        """Status and content of an answer; OSError or HTTPException where there is none."""
        line = http.client.HTTPConnection(self._host, timeout=60)
        try:
            self._send(line, method, path, body)
            answer = line.getresponse()
            return answer.status, json.loads(answer.read())
        finally:
            line.close()


class Command:
    """The real command in a process of its own; forked, so that 200 starts take minutes."""

    def __init__(self, words: list[str]) -> None:
        """Start it, and wait for its address."""
        reader, writer = os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            os.dup2(writer, 1)
            sys.argv = ["vodkit", *words]
            with suppress(SystemExit):
                command_line()
            os._exit(0)
        os.close(writer)
        with os.fdopen(reader) as said:
            self.address = next(line for line in said if line.startswith("open: ")).split()[1]

    def kill(self) -> None:
        """End it at once, as a power cut does."""
        os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)


def started(folder: Path, clip: Path) -> Command:
    """The review of a clip, without a model."""
    words = ["review", str(clip), "-m", "none", "--no-browser", "--classes", "fly,bee"]
    return Command([*words, "-o", str(folder / "out.json")])


def any_action(rng: random.Random, journal: Journal) -> dict[str, Any]:
    """A random action that is allowed, or not, on the present labels."""
    tracks, frame = (
        list(journal.document.tracks(0)),
        rng.randrange(journal.document.timings[0].num_frames),
    )
    x, y = rng.uniform(0, 500), rng.uniform(0, 300)
    box = [round(v, 2) for v in (x, y, x + rng.uniform(5, 90), y + rng.uniform(5, 90))]
    if len(tracks) < 4:
        return {"do": "draw", "video": 0, "label": rng.randrange(2), "frame": frame, "box": box}
    track, other = rng.sample(tracks, 2)
    return rng.choice([
        {"do": "draw", "video": 0, "label": rng.randrange(2), "frame": frame, "box": box},
        {"do": "bend", "video": 0, "track": track, "frame": frame, "box": box},
        {"do": "bend", "video": 0, "track": track, "frame": frame, "box": box},
        {"do": "split", "video": 0, "track": track, "frame": frame},
        {"do": "join", "video": 0, "track": track, "other": other},
        {"do": "swap", "video": 0, "track": track, "other": other, "frame": frame},
        {"do": "delete", "video": 0, "tracks": [track]},
        {"do": "classify", "video": 0, "tracks": [track], "label": rng.randrange(2)},
        {"do": "accept", "video": 0, "first": frame, "last": frame, "accepted": True},
        {"do": "undo"}, {"do": "redo"},
    ])  # fmt: skip


def work_until_killed(
    command: Command, client: Client, journal: Journal, rng: random.Random
) -> dict[str, Any] | None:
    """Post actions; those that are answered go into ``journal``, too. The one without an answer."""
    killer = threading.Timer(rng.uniform(0, LONGEST_S), command.kill)
    killer.start()
    while True:
        request = {
            "id": f"{rng.getrandbits(64):x}",
            "who": "campaign",
            "action": any_action(rng, journal),
        }
        try:
            status, answer = client.ask("POST", "/api/actions", request)
        except (OSError, http.client.HTTPException, ValueError):
            killer.join()
            return request
        if status == 200:
            mirror(journal, request)
            assert answer["n"] == journal.n, (answer, journal.n)
        else:
            assert status in {409, 422}, (status, answer)


def mirror(journal: Journal, request: Mapping[str, Any]) -> None:
    """Carry out an answered action as the server does."""
    action = dict(request["action"])
    if action["do"] in {"undo", "redo"}:
        action["n"] = journal.last_of("campaign", undone=action["do"] == "redo")
    for name, verb in (("track", "draw"), ("new", "split")):
        if action["do"] == verb:
            action[name] = journal.next_id(0)
    journal.commit(action, id=request["id"], who="campaign")


def require_equal(client: Client, journal: Journal) -> None:
    """The server's labels are those of the answered actions."""
    _, found = client.ask("GET", "/api/videos/0/labels")
    assert found["n"] == journal.n, f"{found['n']} entries after a kill, {journal.n} were saved"
    tracks = {str(n): to_json(t) for n, t in journal.document.tracks(0).items()}
    assert found["tracks"] == json.loads(json.dumps(tracks))
    assert [tuple(one) for one in found["accepted"]] == [*journal.document.accepted(0)]


def kills(count: int, seed: int) -> None:
    """Kill the server this many times."""
    rng = random.Random(seed)
    with open_video(CLIP_A) as video:
        times = np.array(video.times_s)
    saved = resent = 0
    begun = time.monotonic()
    with tempfile.TemporaryDirectory() as name:
        folder, journal, open_request = Path(name), new_journal(times), None
        for round_ in range(count + 1):
            command = started(folder, CLIP_A)
            client = Client(command.address)
            if open_request is not None:  # as the page does: again, with the same id
                status, answer = client.ask("POST", "/api/actions", open_request)
                if status == 200:
                    mirror(journal, open_request)
                    assert answer["n"] == journal.n
                    resent += 1
            require_equal(client, journal)
            if round_ == count:
                command.kill()
                break
            before = journal.n
            open_request = work_until_killed(command, client, journal, rng)
            saved += journal.n - before
            if journal.n > 600:  # begin anew, so that each start stays short
                for path in folder.iterdir():
                    path.unlink()
                journal, open_request = new_journal(times), None
            print(f"kill {round_ + 1}: {saved} actions saved, 0 lost", flush=True)
    print(json.dumps({"kills": count, "saved": saved, "sent_again": resent, "lost": 0,
                      "seconds": round(time.monotonic() - begun)}))  # fmt: skip


def new_journal(times: np.ndarray) -> Journal:
    """The mirror of an empty review."""
    return Journal(Document.new(("fly", "bee"), (Timing(times),)))


def steps(folder: Path, count: int, seed: int) -> None:
    """Random steps on every video of a folder."""
    rng = np.random.default_rng(seed)
    where = shutil.which("chromium") or shutil.which("chromium-browser")
    with sync_playwright() as running:
        browser = running.chromium.launch(executable_path=where, args=["--no-sandbox"])
        for path in sorted(folder.iterdir()):
            try:
                told = on_video(browser.new_page(), path, count, rng)
            except (InputError, VideoError) as error:
                told = {"refused": str(error).replace(str(folder), "")}
            print(json.dumps({"video": path.name, **told}), flush=True)
        browser.close()


def on_video(page: Page, path: Path, count: int, rng: np.random.Generator) -> dict[str, Any]:
    """Steps, wrong pictures, and frames that differ from their predecessor."""
    with tempfile.TemporaryDirectory() as name:
        settings = ProjectSettings(videos=(path,), classes=("x",), out=Path(name) / "out.json")
        with serving(settings, ModelSettings(), ServerSettings()) as (address, review):
            thread = threading.Thread(target=review.run)
            thread.start()
            try:
                page.goto(address)
                page.wait_for_selector("body[data-ready]", timeout=60_000)
                frames = review.project.frames[0]
                return walked(page, path, len(frames.times_s()), count, rng)
            finally:
                page.close()
                review.stop()
                thread.join()


def walked(
    page: Page, path: Path, num_frames: int, count: int, rng: np.random.Generator
) -> dict[str, Any]:
    """What ``on_video`` gives, on the open page."""
    page.evaluate("document.getElementById('stage').view.scale = 100")  # asks for full size
    expected: dict[int, str] = {}
    with open_video(path, strict=False) as video:
        for frame in video.frames():
            (expected[frame.index],) = page.evaluate(
                SHOWN, [0, [base64.b64encode(to_jpeg(frame.image)).decode()]]
            )
    wrong = unreadable = 0
    for frame in rng.integers(0, num_frames, count).tolist():
        named, pixels = page.evaluate(SHOWN, [frame, None])
        if named < 0:
            unreadable += 1
            wrong += frame in expected
        else:
            wrong += named != frame or pixels != expected.get(frame)
    return {"frames": num_frames, "distinct": len({*expected.values()}), "steps": count,
            "wrong": wrong, "reported_unreadable": unreadable}  # fmt: skip


def main() -> None:
    """Run one of the campaigns."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("campaign", choices=("kills", "steps"))
    parser.add_argument("folder", type=Path, nargs="?")
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--steps", type=int, default=500)
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    if asked.campaign == "kills":
        kills(asked.kills, asked.seed)
    else:
        steps(asked.folder, asked.steps, asked.seed)


if __name__ == "__main__":
    main()
