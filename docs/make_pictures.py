"""Make the pictures of the documentation from the sample clips: ``make docs-pictures``.

Everything is made by vodkit's own commands in one folder (``out/pictures``), then cut and shrunk
into ``docs/img``. Pages are photographed with Chromium. Each picture is smaller than 200 kB.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
from PIL import Image

import make_review_pictures
import service_pictures
import temporal_pictures
import vodkit
from make_demo_picture import screen_of, svg
from vodkit.formats.predictions import final_frames, frames_with, open_predictions
from vodkit.ground.arrays import ByteArray
from vodkit.report.contact_sheet import sheet
from vodkit.report.draw import draw_found
from vodkit.samples.samples import copy_samples

CHECKOUT = Path(__file__).parent.parent
IMAGES = CHECKOUT / "docs" / "img"
WORK = CHECKOUT / "out" / "pictures"
MOST_BYTES = 200_000
PEOPLE = {"person", "visitor"}
COMMANDS = (
    "data preview plaza.json --frames 6 --columns 3",
    "track plaza_a.mp4 plaza_b.mp4 --overwrite",
    "data import labels.json -o mine.json",
    "data split mine.json -o split.json --val 0.5",
    "train --data split.json --out runs/mine --set every=4 --epochs 12 --overwrite",
    "track plaza_b.mp4 --model runs/mine/best.safetensors -o runs/after --overwrite",
    "eval plaza.json runs/plaza_b --split test -o runs/eval-before",
    "eval plaza.json runs/after/plaza_b --split test --class-map visitor=person -o runs/eval-after",
    "compare runs/eval-before runs/eval-after --report runs/compare.html",
)

DOOR = "--line road=470,180,470,420"
# What a guide's command prints on a terminal, in the order in which they are run.
SCREENS = {
    "import": "data import labels.json -o again.json",
    "audit": "data audit plaza.json",
    "split": "data split mine.json -o halves.json --val 0.5",
    "temporal": "track plaza_b.mp4 --temporal links -o runs/links --overwrite",
    "speed": "bench plaza_b.mp4 --model vodkit-street --seconds 1",
    "export": "export vodkit-street street.onnx --frames plaza_b.mp4",
    "events": f"events runs/plaza_a {DOOR}",
    "runs": "runs ls runs",
    "journeys": "refine runs/plaza_a",
}


def prepare() -> None:
    """Run the commands whose results are shown."""
    copy_samples(WORK)
    labels = (WORK / "plaza.json").read_text(encoding="utf-8")
    (WORK / "labels.json").write_text(labels.replace('"person"', '"visitor"'), encoding="utf-8")
    for line in COMMANDS:
        subprocess.run([sys.executable, "-m", "vodkit", *line.split()], cwd=WORK, check=True)


def save(name: str, *pictures: ByteArray, width_px: int, ms: int = 200) -> None:
    """Write a WebP, animated where there are several pictures, as sharp as its size allows."""
    scale = width_px / pictures[0].shape[1]
    small = [
        Image.fromarray(one).resize((width_px, round(one.shape[0] * scale))) for one in pictures
    ]
    path = IMAGES / f"{name}.webp"
    for quality in (80, 65, 50, 35, 25):
        small[0].save(
            path,
            quality=quality,
            method=6,
            save_all=True,
            append_images=small[1:],
            duration=ms,
            loop=0,
        )
        if path.stat().st_size < (MOST_BYTES if len(small) == 1 else 5 * MOST_BYTES):
            return
    raise SystemExit(f"{path} has {path.stat().st_size} bytes; allowed: {MOST_BYTES}")


def drawn(clip: str, folder: str = "runs") -> dict[int, ByteArray]:
    """Every frame of a tracked clip by index, with its people drawn on it."""
    predictions = WORK / folder / clip / "predictions.jsonl"
    with open_predictions(predictions) as (header, lines):
        people = [header.classes.index(one) for one in header.classes if one in PEOPLE]
        with vodkit.open_video(WORK / f"{clip}.mp4") as video:
            pairs = frames_with(video.frames(), final_frames(lines))
            return {
                frame.index: draw_found(
                    frame.image, found[np.isin(found.labels, people)], header.classes
                )
                for frame, found in pairs
            }


def strip(frames: dict[int, ByteArray]) -> ByteArray:
    """People who pass behind the sign post, in eight moments."""
    chosen = (98, 101, 103, 105, 108, 112, 115, 119)
    with vodkit.open_video(WORK / "plaza_a.mp4") as video:
        captions = [f"{float(index / video.info.rate):.1f} s" for index in chosen]
    return sheet([frames[index][188:408, 350:570] for index in chosen], captions, columns=4)


def page(path: Path, *, width_px: int, height_px: int) -> ByteArray:
    """The top of an HTML page."""
    shot = WORK / "shot.png"
    chromium = shutil.which("chromium") or sys.exit("chromium is not installed")
    size = f"--window-size={width_px},{height_px}"
    words = ["--headless", "--no-sandbox", "--hide-scrollbars", size, f"--screenshot={shot}"]
    subprocess.run([chromium, *words, path.as_uri()], check=True, capture_output=True)
    return np.asarray(Image.open(shot).convert("RGB"))


def screens() -> None:
    """What commands print, as SVG; a count drawn on its video, and a heat map."""
    os.chdir(WORK)
    for name, line in SCREENS.items():
        shown = line.replace(" --overwrite", "")
        text = svg(screen_of(*line.split()), f"vodkit {shown}", most_rows=24)
        (IMAGES / f"{name}.svg").write_text(text, encoding="utf-8")
    screen_of(*f"count runs/plaza_a {DOOR} --picture".split())
    screen_of("show", "runs/plaza_a", "--heatmap")
    for name, file in (("count", "shown/counts.png"), ("heat-map", "shown/heatmap.png")):
        picture = Image.open(WORK / "runs" / "plaza_a" / file).convert("RGB")
        save(name, np.asarray(picture), width_px=768)


def services() -> None:
    """What runs, answers, or is many: see ``service_pictures``."""
    save("review", *service_pictures.review_film(WORK), width_px=800, ms=1200)
    make_review_pictures.main()
    save("live", service_pictures.live_page(WORK), width_px=825)
    save("serve", service_pictures.service_answer(WORK), width_px=640)
    service_pictures.tree(WORK)
    os.chdir(WORK)
    many = svg(screen_of("runs", "ls", "many"), "vodkit runs ls many")
    (IMAGES / "many-machines.svg").write_text(many, encoding="utf-8")
    (IMAGES / "prompts.svg").write_text(service_pictures.flow(), encoding="utf-8")


def memory() -> None:
    """Frames in which temporal detection finds what a frame alone does not, and its failures."""
    shown = temporal_pictures.picture()
    save("temporal-frames", shown, width_px=min(shown.shape[1], 1100))


def main() -> None:
    """Make all of them.

    With ``--screens`` only what commands print, with ``--services`` only what runs or is many, with
    ``--memory`` only what memory finds; with ``--keep`` from kept runs.
    """
    parts = {"--screens": screens, "--services": services, "--memory": memory}
    for word, part in parts.items():
        if word in sys.argv:
            part()
            return
    if "--keep" not in sys.argv:
        prepare()
    screens()
    services()
    memory()
    frames = drawn("plaza_a")
    moving = [frames[index] for index in range(20, 110, 2)]
    save("plaza", *moving, width_px=640, ms=200)
    save("plaza-strip", strip(frames), width_px=900)
    save("first-video", drawn("plaza_b")[60], width_px=768)
    sheet = Image.open(WORK / "preview" / "plaza_a.png").convert("RGB")
    save("preview", np.asarray(sheet), width_px=900)
    newest = max((WORK / "runs" / "mine" / "pictures").glob("*.webp"))
    save("training", np.asarray(Image.open(newest).convert("RGB")), width_px=900)
    save(
        "report-top",
        page(WORK / "runs/eval-after/report.html", width_px=900, height_px=1100),
        width_px=825,
    )
    save("compare", page(WORK / "runs/compare.html", width_px=900, height_px=900), width_px=825)


if __name__ == "__main__":
    main()
