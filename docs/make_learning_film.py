"""Film a session of ``vodkit review`` from raw video to a detector of an own class.

    python docs/make_learning_film.py

The real command, page, mouse and model, on a sample clip; people carry a class of their own,
``visitor``, which the model does not know. Every action that changes labels is counted, and the
count is drawn into the picture. Writes ``docs/img/review-learns.webp``; takes about four minutes on
two idle cores, because the learning is real.
"""

import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from service_pictures import browser_page, running, said, vodkit
from vodkit.formats.table import read_dataset
from vodkit.samples.samples import CLIP_A, CLIP_B, LABELS, copy_samples

IMAGES = Path(__file__).parent / "img"
MOST_BYTES = 1_500_000
FRAMES = range(3, 130, 6)  # 22 frames, spread over the clip
WAIT_MS = 900_000
MOST_SHOTS = 90
PLACES = """([x1, y1, x2, y2]) => { const s = document.getElementById("stage");
  const r = s.getBoundingClientRect(), v = s.view;
  return [[r.left + v.x + x1 * v.scale, r.top + v.y + y1 * v.scale],
          [r.left + v.x + x2 * v.scale, r.top + v.y + y2 * v.scale]]; }"""
STATE = "document.getElementById('stage').state"


class Session:
    """One page, its pictures so far, and the number of actions."""

    def __init__(self, page: Any) -> None:
        """Nothing is filmed yet."""
        self.page = page
        self.shots: list[tuple[Image.Image, int]] = []
        self.actions = 0
        self.begun = time.monotonic()
        self.note = ""

    def shoot(self, ms: int = 300) -> None:
        """Keep what is on the screen, with a line on top."""
        path = Path(tempfile.gettempdir()) / "vodkit-film.png"
        self.page.screenshot(path=path)
        picture = Image.open(path).convert("RGB")
        pen = ImageDraw.Draw(picture)
        minutes, seconds = divmod(round(time.monotonic() - self.begun), 60)
        words = f"{self.note}   {self.actions} actions   {minutes}:{seconds:02d}"
        font = ImageFont.load_default(20)
        width = round(pen.textlength(words, font=font)) + 24
        low = picture.height - 40
        pen.rectangle((0, low, width, picture.height), fill=(20, 22, 25))
        pen.text((12, low + 8), words, fill=(255, 255, 255), font=font)
        self.shots.append((picture, ms))

    def go(self, frame: int) -> None:
        """Show a frame."""
        self.page.evaluate(
            "(f) => { const s = document.getElementById('slider'); s.value = f;"
            " s.dispatchEvent(new Event('change')); }",
            frame,
        )
        self.page.wait_for_function(f"() => {STATE}.shownFrame === {frame}", timeout=WAIT_MS)

    def act(self, does: Any) -> None:
        """One action, until it is saved."""
        before = self.page.evaluate(f"{STATE}.n")
        does()
        self.page.wait_for_function(f"(n) => {STATE}.n > n", arg=before, timeout=WAIT_MS)
        self.actions += 1

    def drag(self, box: list[float]) -> None:
        """Draw or correct a box with the mouse."""
        start, end = self.page.evaluate(PLACES, box)
        self.page.mouse.move(*start)
        self.page.mouse.down()
        self.page.mouse.move(*end, steps=4)
        self.page.mouse.up()

    def key(self, name: str) -> None:
        """Press a key on the picture."""
        self.page.focus("#stage")
        self.page.keyboard.press(name)


def label(session: Session) -> None:
    """Draw everybody at a few frames, and accept frames."""
    dataset = read_dataset(LABELS)
    (clip,) = [one for one in dataset.videos if Path(one.source).stem == CLIP_A.stem]
    table = clip.tracks
    assert table is not None
    rows = table[~table.ignore]
    first, last = min(FRAMES), max(FRAMES)
    session.note = "raw video, an own class: draw"
    session.shoot(900)
    for number in np.unique(rows.ids).tolist():
        own = rows[rows.ids == number]
        keys = [f for f in own.frames.tolist() if first <= f <= last]
        keys = keys[:: max(1, len(keys) // 5)] + keys[-1:]
        for place, frame in enumerate(dict.fromkeys(keys)):
            session.go(frame)
            box = own.boxes_xyxy[own.frames == frame][0].tolist()
            session.key("n")
            if place == 0:
                session.page.evaluate(f"{STATE}.select(null)")
                session.act(lambda box=box: session.drag(box))
                session.shoot()
            else:  # the selected track: its next key
                _correct(session, box)
    session.note = "accept frames"
    for frame in FRAMES:
        session.go(frame)
        session.act(lambda: session.key("w"))
        session.shoot(150)


def _correct(session: Session, box: list[float]) -> None:
    track = session.page.evaluate(f"{STATE}.selected")
    if session.page.evaluate(f"{STATE}.shown({track}) !== null"):
        here = session.page.evaluate(f"{STATE}.shown({track}).box")
        if max(abs(a - b) for a, b in zip(here, box, strict=True)) < 6:
            session.key("Escape")
            return
        session.key("Escape")
        middle = [(here[0] + here[2]) / 2, (here[1] + here[3]) / 2]
        new = [(box[0] + box[2]) / 2, (box[1] + box[3]) / 2]
        session.act(lambda: session.drag([*middle, *new]))
    else:
        session.act(lambda: session.drag(box))
    session.shoot()


def learn(session: Session) -> str:
    """Train in the background; what the page says at the end."""
    session.note = "learn, in the background"
    session.page.click("#learn")
    session.actions += 1
    hint = "document.getElementById('hint').textContent"
    shown = ""
    ends = ("learnt", "failed", "tracks from")
    while not any(one in (words := session.page.evaluate(hint)) for one in ends):
        if words != shown and len(session.shots) < MOST_SHOTS:
            session.shoot(150)
        shown = words
        session.page.wait_for_timeout(5000)
    session.shoot(1500)
    return str(words)


def result(session: Session, seconds: float) -> None:
    """The second clip, which nobody has labelled."""
    session.note = "the learnt model on another video"
    session.page.select_option("#video", "1")
    session.page.wait_for_function(
        f"() => {STATE}.video === 1 && {STATE}.tracks.size > 0", timeout=round(seconds * 1000)
    )
    for frame in range(0, 120, 10):
        session.go(frame)
        session.page.wait_for_timeout(150)
        session.shoot(350 if frame < 110 else 2500)


def save(shots: list[tuple[Image.Image, int]]) -> None:
    """The animated picture, as sharp as its size allows."""
    path = IMAGES / "review-learns.webp"
    small = [one.resize((800, round(800 * one.height / one.width))) for one, _ in shots]
    for quality in (60, 45, 35, 25, 18):
        small[0].save(path, quality=quality, method=4, save_all=True, append_images=small[1:],
                      duration=[ms for _, ms in shots], loop=0)  # fmt: skip
        if path.stat().st_size < MOST_BYTES:
            break
    tell(f"{path.name}: {len(small)} pictures, {path.stat().st_size} bytes, quality {quality}")


def tell(words: str) -> None:
    """A line on the terminal."""
    sys.stderr.write(f"{words}\n")


def main() -> None:
    """Film the session."""
    with tempfile.TemporaryDirectory() as name:
        work = Path(name)
        copy_samples(work)
        words = ["review", CLIP_A.name, CLIP_B.name, "--classes", "visitor", "-o", "visitors.json"]
        command = vodkit(*words, "--no-prelabel", "--no-browser")
        with running(command, work) as process, browser_page(1120, 720) as page:
            page.goto(said(process, r"(http\S+token=\S+)"))
            page.wait_for_selector("body[data-ready]", timeout=WAIT_MS)
            page.set_default_timeout(WAIT_MS)
            session = Session(page)
            try:
                label(session)
                tell(learn(session))
                result(session, 600)
            finally:
                save(session.shots)
            minutes = (time.monotonic() - session.begun) / 60
            tell(f"{session.actions} actions, {minutes:.1f} minutes")


if __name__ == "__main__":
    sys.exit(main())
