"""Pictures of the review page: empty, crowded, in conflict, on a phone, dark.

    python docs/make_review_pictures.py

Called by ``docs/make_pictures.py``, too. The videos are the sample clips, and a made-up scene of
150 objects.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from PIL import Image

from service_pictures import browser_page, running, said, vodkit
from vodkit.formats.table import write_dataset
from vodkit.ground.arrays import ByteArray
from vodkit.ground.records import Dataset, LabelledVideo
from vodkit.samples.samples import copy_samples
from vodkit.video.reader import open_video
from vodkit.video.synth import Scene, SceneSettings, write_scene

IMAGES = Path(__file__).parent / "img"
WIDTH_PX, HEIGHT_PX = 1100, 700
PHONE_PX = (390, 844)


def main() -> None:
    """Write all of them to ``docs/img``."""
    with TemporaryDirectory() as name:
        work = Path(name)
        copy_samples(work)
        _crowd(work)
        for state, picture in states(work).items():
            Image.fromarray(picture).save(IMAGES / f"{state}.webp", quality=70, method=6)


def states(work: Path) -> dict[str, ByteArray]:
    """Each state of the page by its name; ``work`` has the sample clips and the crowd."""
    plaza = ("--data", "plaza.json", "--at", "plaza_b.mp4:60")
    out: dict[str, ByteArray] = {}
    with _review(work, "plaza_a.mp4", "--classes", "person") as page:
        page.wait_for_selector("#empty:not([hidden])")
        out["review-empty"] = _shot(page, work)
    with _review(work, "--data", "crowd.json", "--at", "30") as page:
        page.wait_for_selector("[data-track]")
        page.keyboard.press("e")
        out["review-crowded"] = _shot(page, work)
    with _review(work, *plaza) as page:
        page.wait_for_selector("[data-track]")
        page.keyboard.press("y")
        page.emulate_media(color_scheme="dark")
        out["review-dark"] = _shot(page, work)
        page.emulate_media(color_scheme="light")
        page.set_viewport_size({"width": PHONE_PX[0], "height": PHONE_PX[1]})
        page.keyboard.press("0")
        out["review-phone"] = _shot(page, work)
        page.set_viewport_size({"width": WIDTH_PX, "height": HEIGHT_PX})
        out["review-conflict"] = _conflict(page, work)
    return out


def _conflict(page: Any, work: Path) -> ByteArray:
    """Two windows change one track; the second has heard nothing of the first."""
    other = page.context.new_page()
    other.set_viewport_size({"width": WIDTH_PX, "height": HEIGHT_PX})
    other.route("**/api/events*", lambda _route: None)  # never answered
    other.goto(page.url)
    for window in (other, page):
        window.wait_for_selector("[data-track]")
        window.wait_for_timeout(1500)
        number = window.get_attribute("[data-track]", "data-track")
        window.click(f"[data-track='{number}']")
    for window in (page, other):
        window.keyboard.press("v")
        window.wait_for_timeout(1500)
    other.wait_for_selector("dialog#conflict[open]")
    return _shot(other, work)


@contextmanager
def _review(work: Path, *words: str) -> Iterator[Any]:
    """The page of a review that begins anew, when its first picture is there."""
    for old in work.glob("shown.*"):
        old.unlink()
    command = vodkit("review", *words, "-m", "none", "-o", "shown.json", "--no-browser")
    with running(command, work) as process, browser_page(WIDTH_PX, HEIGHT_PX) as page:
        page.goto(said(process, r"(http\S+token=\S+)"))
        page.wait_for_selector("body[data-ready]")
        yield page


def _shot(page: Any, work: Path) -> ByteArray:
    page.wait_for_timeout(2500)
    page.screenshot(path=work / "shot.png")
    return np.asarray(Image.open(work / "shot.png").convert("RGB"))


def _crowd(work: Path) -> None:
    """A made-up video of many objects, with its labels."""
    settings = SceneSettings(
        width_px=1280, height_px=720, num_frames=40, rate=Fraction(25), num_objects=150
    )
    scene = Scene(settings)
    write_scene(scene, work / "crowd.mp4")
    with open_video(work / "crowd.mp4") as video:
        info = video.info
    labelled = LabelledVideo(source="crowd.mp4", info=info, tracks=scene.truth)
    write_dataset(Dataset(classes=scene.classes, videos=(labelled,)), work / "crowd.json")


if __name__ == "__main__":
    main()
