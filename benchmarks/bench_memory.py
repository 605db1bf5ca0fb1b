"""Peak memory of `vodkit track` does not depend on the length of the video.

python benchmarks/bench_memory.py [--frames 20000] [--side 96]

Makes a long clip by repeating a made-up scene, tracks it with the bundled network (at a small
input, so that it does not take all day; the pipeline is the same), and reads the process's peak
resident memory when 1,000 frames were done and at the end. Prints one JSON line.
"""

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

from vodkit.detect.base import read_card, write_card
from vodkit.detect.models import load_detector
from vodkit.ground import runs
from vodkit.video.synth import Scene, SceneSettings
from vodkit.video.writer import VideoWriter


def long_clip(path: Path, num_frames: int) -> None:
    scene = Scene(SceneSettings(num_frames=250, num_objects=6))
    pictures = [frame.image for frame in scene.frames()]
    with VideoWriter(path, width_px=320, height_px=240, rate=Fraction(25)) as writer:
        for i in range(num_frames):
            writer.write(pictures[i % len(pictures)], i / 25)


def small_network(folder: Path, side_px: int) -> Path:
    card = load_detector("vodkit-street").card
    source = Path(sys.modules["vodkit.detect.models"].__file__).parent / "street"
    shutil.copy(source / "vodkit-street.safetensors", folder / "small.safetensors")
    wanted = replace(card.preprocessing, width_px=side_px, height_px=side_px)
    write_card(replace(card, name="small", preprocessing=wanted), folder / "small.card.json")
    read_card(folder / "small.card.json")
    return folder / "small.safetensors"


def peak_mb(pid: int) -> float:
    status = Path(f"/proc/{pid}/status").read_text()
    return int(re.search(r"VmHWM:\s+(\d+)", status)[1]) / 1024


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--frames", type=int, default=20_000)
    parser.add_argument("--side", type=int, default=96)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        long_clip(folder / "long.mp4", asked.frames)
        door = [sys.executable, "-c", "from vodkit.cli.main import main; main()", "track"]
        model = str(small_network(folder, asked.side))
        words = [*door, str(folder / "long.mp4"), "-m", model, "-o", str(folder / "out")]
        process = subprocess.Popen(words, stdout=subprocess.DEVNULL)
        result = folder / "out" / "long" / runs.PREDICTIONS
        early = last = 0.0
        while process.poll() is None:
            os.sched_yield()
            done = result.stat().st_size if result.exists() else 0
            if not early and done and sum(1 for _ in result.open("rb")) > 1000:
                early = peak_mb(process.pid)
            if early:
                try:
                    last = peak_mb(process.pid)
                    process.wait(0.2)
                except (subprocess.TimeoutExpired, TypeError, OSError):
                    continue
        lines = sum(1 for _ in result.open("rb")) - 1
    growth = last / early - 1
    print(
        json.dumps(
            {
                "what": "peak resident memory of vodkit track",
                "frames": lines,
                "mb_at_1000": round(early, 1),
                "mb_at_end": round(last, 1),
                "growth": round(growth, 4),
                "versions": runs.stack(),
            }
        )
    )


if __name__ == "__main__":
    main()
