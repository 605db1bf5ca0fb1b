"""Pictures of what runs: the page of a live source, the answer of a service, a tree of many videos.

Called by ``docs/make_pictures.py``. The live source is a sample clip that FFmpeg plays at its own
speed, again and again, as MPEG-TS over TCP: all but the camera is what users run.
"""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from html import escape
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import numpy as np
from PIL import Image

from vodkit.ground.arrays import ByteArray
from vodkit.ground.records import Detections
from vodkit.report.draw import draw_found
from vodkit.video.reader import open_video

CAMERA = "tcp://127.0.0.1:8799"
LINE = "road=470,180,470,420"
TOKEN = "0123456789abcdef"
LIVE_S = 20
FLOW = (
    ("kitchen.mp4", "your video"),
    ("data prelabel --prompt", "words describe the class;\na large detector labels"),
    ("review", "you correct the labels"),
    ("train", "a small detector learns\nfrom them"),
    ("track", "fast, on a CPU,\nwithout words"),
)


def live_page(work: Path) -> ByteArray:
    """What a browser shows of ``vodkit track --serve`` after some seconds."""
    play = "ffmpeg -v error -re -stream_loop -1 -i plaza_a.mp4 -c:v libx264 -preset ultrafast"
    words = [*play.split(), "-f", "mpegts", f"{CAMERA}?listen"]
    track = ["track", CAMERA, "--line", LINE, "--serve", "0", "--decode", "full", "-o", "watched"]
    with running(words, work), running(vodkit(*track, "--overwrite"), work) as process:
        address = said(process, r"live: (\S+)")
        with browser_page(960, 1150) as page:
            page.goto(address)
            page.wait_for_timeout(LIVE_S * 1000)
            page.screenshot(path=work / "live.png")
    return np.asarray(Image.open(work / "live.png").convert("RGB"))


def review_film(work: Path) -> list[ByteArray]:
    """The tracks of a run; the queue, a correction, and accepted frames."""
    shots: list[ByteArray] = []
    for old in work.glob("film.*"):
        shutil.rmtree(old) if old.is_dir() else old.unlink()
    words = ["review", "--run", "runs/plaza_b", "-m", "none", "-o", "film.json", "--no-browser"]
    with running(vodkit(*words), work) as process, browser_page(800, 500) as page:
        page.goto(said(process, r"(http\S+token=\S+)"))
        page.wait_for_selector("body[data-ready]")

        def shoot() -> None:
            page.wait_for_timeout(800)
            page.screenshot(path=work / "shot.png")
            shots.append(np.asarray(Image.open(work / "shot.png").convert("RGB")))

        page.wait_for_selector("[data-track]")
        shoot()
        for keys in (("w",), ("e",), ("ArrowRight",) * 8, ("w",), ("e",), ("w",), ("e",)):
            for key in keys:
                page.keyboard.press(key)
            shoot()
    return shots


def service_answer(work: Path) -> ByteArray:
    """A frame with the boxes that ``vodkit serve`` answered for its JPEG."""
    with open_video(work / "plaza_b.mp4") as video:
        frame = video.frame_at(60)
    Image.fromarray(frame.image).save(work / "a.jpg", quality=95)
    serve = vodkit("serve", "--model", "vodkit-street", "--port", "0")
    with running(serve, work, VODKIT_TOKEN=TOKEN) as process:
        address = said(process, r"(http://[\w.:\[\]]+)")
        head = {"Authorization": f"Bearer {TOKEN}", "Content-Type": "image/jpeg"}
        asked = Request(f"{address}/v1/detect", (work / "a.jpg").read_bytes(), head)
        with urlopen(asked) as answer:
            rows = json.load(answer)["detections"]
    classes = sorted({row["class"] for row in rows})
    found = Detections(
        boxes_xyxy=[row["box"] for row in rows],
        scores=[row["score"] for row in rows],
        labels=[classes.index(row["class"]) for row in rows],
    )
    return draw_found(np.asarray(Image.open(work / "a.jpg")), found, classes)


def tree(work: Path) -> None:
    """A tree of videos of which one is damaged, and one came later."""
    films = work / "films"
    films.mkdir(exist_ok=True)
    for name in ("plaza_a.mp4", "plaza_b.mp4"):
        (films / name).write_bytes((work / name).read_bytes())
    (films / "cut.mp4").write_bytes((work / "plaza_a.mp4").read_bytes()[:200_000])
    subprocess.run(
        vodkit("track", "films/*.mp4", "--out", "many", "--claim"), cwd=work, check=False
    )
    (films / "late.mp4").write_bytes((work / "plaza_b.mp4").read_bytes())


def flow(steps: Sequence[tuple[str, str]] = FLOW) -> str:
    """Steps from left to right, as SVG: a command in a box, and what it does below."""
    wide, high, gap = 176, 44, 22
    parts = []
    for place, (command, does) in enumerate(steps):
        left = 10 + place * (wide + gap)
        parts.append(
            f'<rect x="{left}" y="10" width="{wide}" height="{high}" rx="6" fill="#3f51b5"/>'
            f'<text x="{left + wide / 2}" y="37" fill="#ffffff" text-anchor="middle" '
            f'font-family="monospace" font-size="12.5">{escape(command)}</text>'
        )
        for row, line in enumerate(does.split("\n")):
            parts.append(
                f'<text x="{left + wide / 2}" y="{76 + 18 * row}" fill="#303030" '
                'text-anchor="middle" font-family="sans-serif" '
                f'font-size="13">{escape(line)}</text>'
            )
        if place:
            parts.append(
                f'<path d="M{left - gap + 3} 32h{gap - 10}l-5 -4m5 4l-5 4" stroke="#303030"'
                ' stroke-width="1.5" fill="none"/>'
            )
    width = 20 + len(steps) * (wide + gap) - gap
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} 108">'
    paper = '<rect width="100%" height="100%" rx="8" fill="#f5f5f5"/>'
    return "\n".join([head, paper, *parts, "</svg>"]) + "\n"


def vodkit(*words: str) -> list[str]:
    """A command line of this vodkit."""
    return [sys.executable, "-m", "vodkit", *words]


@contextmanager
def browser_page(width_px: int, height_px: int) -> Iterator[Any]:
    """A page of Chromium, without a screen."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox"]
        )
        context = browser.new_context(viewport={"width": width_px, "height": height_px})
        page = context.new_page()
        page.set_default_timeout(300_000)  # of a busy machine
        yield page
        browser.close()


@contextmanager
def running(words: Sequence[str], work: Path, **variables: str) -> Iterator[subprocess.Popen[str]]:
    """A process that ends with the block."""
    process = subprocess.Popen(
        words, cwd=work, env=os.environ | variables, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    try:
        yield process
    finally:
        process.terminate()
        process.wait(60)


def said(process: subprocess.Popen[str], pattern: str) -> str:
    """The first group of the first line that matches."""
    assert process.stdout is not None
    heard = []
    for line in process.stdout:
        heard.append(line)
        if found := re.search(pattern, line):
            return found[1]
    sys.exit("".join(heard))
