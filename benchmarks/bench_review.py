"""Measure the review page against its budgets, in a real browser.

    python benchmarks/bench_review.py [--boxes 1000]

A made-up 720p H.264 clip with a key frame every two seconds; needs playwright and Chromium.
``up_s``: from the command to its address; ``picture_s``, ``labels_s``: from the address to the
first picture, and to its boxes.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from fractions import Fraction
from pathlib import Path

import numpy as np
from playwright.sync_api import Browser, sync_playwright

from vodkit.formats.table import write_dataset
from vodkit.ground.records import Dataset, LabelledVideo, TrackTable
from vodkit.video.reader import open_video
from vodkit.video.synth import Scene, SceneSettings, write_scene

FRAMES = 250
PICTURE = "() => Boolean(document.getElementById('stage')?.bitmap)"
MEASURE = """async ([frames, many]) => {
  const stage = document.getElementById("stage");
  const slider = document.getElementById("slider");
  const { state } = stage;
  const shown = async (act) => {
    const start = performance.now();
    act();
    while (state.shownFrame !== state.frame) await new Promise((d) => setTimeout(d, 1));
    return performance.now() - start;
  };
  const seek = (f) => shown(() => { slider.value = f; slider.dispatchEvent(new Event("change")); });
  const key = (k) => stage.dispatchEvent(new KeyboardEvent("keydown", { key: k, bubbles: true }));
  const out = { step: [], seek: [], saved: [], paint: [] };
  for (let i = 0; i < many; i += 1) out.seek.push(await seek(Math.floor(Math.random() * frames)));
  await seek(10);
  for (let i = 0; i < many; i += 1) {
    await new Promise((d) => setTimeout(d, 200));
    out.step.push(await shown(() => key("f")));
  }
  for (let i = 0; i < many; i += 1) {
    const [before, start] = [state.n, performance.now()];
    stage.commit(null, [20 + i, 20, 90 + i, 90]);
    while (state.n === before) await new Promise((d) => setTimeout(d, 1));
    out.saved.push(performance.now() - start);
    state.select(null);
  }
  for (let i = 0; i < many; i += 1) {
    const start = performance.now();
    stage.paint();
    stage.context.getImageData(0, 0, 1, 1);
    out.paint.push(performance.now() - start);
  }
  out.boxes = state.boxes(state.frame).length;
  return out;
}"""


def labels(clip: Path, boxes: int) -> Path:
    """Many still boxes over the whole clip."""
    with open_video(clip) as video:
        info = video.info
    rng = np.random.default_rng(0)
    low = rng.uniform(0, 600, (boxes, 2))
    each = np.concatenate([low, low + 20], axis=1)
    every = np.repeat(np.arange(FRAMES), boxes)
    table = TrackTable(
        frames=every,
        times_s=every / 25,
        ids=np.tile(np.arange(1, boxes + 1), FRAMES),
        boxes_xyxy=np.tile(each, (FRAMES, 1)),
        labels=np.zeros(len(every)),
    )
    video = LabelledVideo(source=clip.name, info=info, tracks=table)
    write_dataset(Dataset(classes=("thing",), videos=(video,)), clip.with_suffix(".json"))
    return clip.with_suffix(".json")


def as_urgent(browser: Browser) -> None:
    """Give Chromium's processes our priority: it sets its own, so that ``nice`` has no effect."""
    told = browser.new_browser_cdp_session().send("SystemInfo.getProcessInfo")
    for one in told["processInfo"]:
        for task in Path(f"/proc/{one['id']}/task").glob("*"):
            with suppress(OSError):
                os.setpriority(os.PRIO_PROCESS, int(task.name), os.getpriority(os.PRIO_PROCESS, 0))


def run(folder: Path, clip: Path, given: list[str]) -> dict[str, object]:
    """One start of the command, and what the page does."""
    started = time.monotonic()
    command = [sys.executable, "-m", "vodkit", "review", str(clip), "-m", "none", "--no-browser"]
    command += ["--classes", "thing", "-o", str(folder / f"out{len(given)}.json"), *given]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        line = next(line for line in process.stdout if line.startswith("open: "))
        up = time.monotonic() - started
        with sync_playwright() as running:
            where = shutil.which("chromium") or shutil.which("chromium-browser")
            browser = running.chromium.launch(executable_path=where, args=["--no-sandbox"])
            page = browser.new_page(viewport={"width": 1280, "height": 800})
            as_urgent(browser)
            opened = time.monotonic()
            page.goto(line.split()[1])
            page.wait_for_function(PICTURE, timeout=120_000)
            picture = time.monotonic() - opened
            page.wait_for_selector("body[data-ready]", timeout=120_000)
            ready = time.monotonic() - opened
            as_urgent(browser)
            found = page.evaluate(MEASURE, [FRAMES, 40])
            browser.close()
        process.terminate()
    told = {name: f"median {np.median(v):.0f}, p95 {np.percentile(v, 95):.0f} ms"
            for name, v in found.items() if name != "boxes"}  # fmt: skip
    times = {"up_s": up, "picture_s": picture, "labels_s": ready}
    return {"boxes": found["boxes"], **{k: round(v, 2) for k, v in times.items()}, **told}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--boxes", type=int, default=1000)
    parser.add_argument("--only", choices=("few", "many"), help="Default: both, one by one.")
    asked = parser.parse_args()
    print(f"load average {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        clip = folder / "clip.mp4"
        write_scene(
            Scene(SceneSettings(width_px=1280, height_px=720, num_frames=FRAMES,
                                rate=Fraction(25))), clip
        )  # fmt: skip
        if asked.only != "many":
            print(json.dumps(run(folder, clip, [])), flush=True)
        if asked.only != "few":
            many = ["--labels", str(labels(clip, asked.boxes))]
            print(json.dumps(run(folder, clip, many)), flush=True)


if __name__ == "__main__":
    main()
