"""Compressed video (E5) and things in the way (E3): still, links and heads on PETS09-S2L1.

python benchmarks/temporal_table.py ../shared/data candidates --domains pets   # trains the heads
python benchmarks/temporal_worse.py ../shared/data candidates [--seeds 3] [--kinds crf46 bars]

crf46, crf51: the video written again by x264 at this constant rate factor (FFmpeg is needed).
bars: three upright bars of noise, as wide as the people or narrower, move across the video. The
visibility of each labelled box is what no bar covers; beside AP50 it is given which share of the
boxes that are 0.25 to 0.5, and 0.5 to 0.75, visible is found at the score where recall of all is
0.8. Heads learnt from other videos, none of them compressed or with bars. Prints one JSON line for
each kind and method.
"""

import argparse
import json
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

from temporal_candidates import VIDEOS, frames_of
from temporal_links import TRUTH, Recorded, linked, score_at_recall, still
from temporal_recall import record, run, with_features
from temporal_table import Measured, bare, heads
from vodkit.ground.arrays import FloatArray
from vodkit.ground.records import Detections, Frame, TrackTable
from vodkit.metrics.detection.frames import candidates, match_at
from vodkit.metrics.detection.match import UNMATCHED
from vodkit.temporal.links import LinkSettings

MOST, WIDTH = 32, 768
VISIBLE = ((0.25, 0.5), (0.5, 0.75))
BARS = ((22.0, 35.0, 60.0), (30.0, -50.0, 400.0), (38.0, 20.0, 250.0))
"""width px, speed px/s, and where its left side begins"""


def left_sides(time_s: float, width_px: int) -> list[tuple[int, int]]:
    """First and last column of each bar; one that leaves comes in again on the other side."""
    sides = []
    for wide, speed, begin in BARS:
        left = (begin + speed * time_s + wide) % (width_px + wide) - wide
        sides.append((round(left), round(left + wide)))
    return sides


def with_bars(path: Path) -> Iterator[tuple[Frame, bool]]:
    """Frames with bars before them."""
    rng = np.random.default_rng(0)
    textures: list[np.ndarray] = []
    for frame, _ in frames_of(path, bad=False):
        image = np.array(frame.image)
        if not textures:
            shape = (image.shape[0] // 4 + 1, 12, 3)
            textures = [rng.integers(40, 216, shape, dtype=np.uint8) for _ in BARS]
        for (a, b), texture in zip(left_sides(frame.time_s, image.shape[1]), textures, strict=True):
            bar = texture.repeat(4, axis=0).repeat(4, axis=1)[: image.shape[0], : b - a]
            seen = slice(max(a, 0), max(min(b, image.shape[1]), 0))
            image[:, seen] = bar[:, seen.start - a : seen.stop - a]
        yield replace(frame, image=image), False


def visible(truth: TrackTable, width_px: int) -> FloatArray:
    """The share of each labelled box that no bar covers."""
    shares = []
    for box, time_s in zip(truth.boxes_xyxy, truth.times_s, strict=True):
        x1, x2 = box[0], box[2]
        covered = np.zeros(256, bool)
        columns = x1 + (np.arange(256) + 0.5) / 256 * (x2 - x1)
        for a, b in left_sides(float(time_s), width_px):
            covered |= (columns >= a) & (columns < b)
        shares.append(1 - covered.mean())
    return np.array(shares)


def found_behind_bars(video: Recorded, seeds: list[list[Detections]]) -> dict[str, float]:
    """By how much is visible: the share of such boxes that is found, the mean over seeds."""
    shares: dict[str, list[float]] = {}
    for found in seeds:
        ready = candidates(video.clip(found))
        matches = match_at(ready, min_score=score_at_recall(ready))
        share = visible(matches.clip.truth, WIDTH)
        for low, high in VISIBLE:
            rows = (share >= low) & (share < high)
            name = f"found of {int(rows.sum())} boxes {low} to {high} visible"
            hit = matches.found_of_truth[rows] != UNMATCHED
            shares.setdefault(name, []).append(float(hit.mean()))
    return {name: round(float(np.mean(values)), 4) for name, values in shares.items()}


def compressed(path: Path, out: Path, crf: int) -> Path:
    """The video at a constant rate factor, its frames and times kept."""
    to = out / f"pets-crf{crf}.mp4"
    if not to.exists():
        words = ["ffmpeg", "-v", "error", "-i", str(path), "-fps_mode", "passthrough"]
        words += ["-c:v", "libx264", "-crf", str(crf), "-pix_fmt", "yuv420p", str(to)]
        subprocess.run(words, check=True)
    return to


def recorded(kind: str, data: Path, out: Path) -> Recorded:
    """Candidates of the worse video."""
    path, place = data / VIDEOS["pets"], out / f"features-pets-{kind}.npz"
    if not place.exists():
        if kind == "bars":
            record(path, place, MOST, bad=False, frames=with_bars(path))
        else:
            record(compressed(path, out, int(kind.removeprefix("crf"))), place, MOST, bad=False)
    return with_features(place, data / TRUTH["pets"])


def found_by(
    video: Recorded, options: argparse.Namespace
) -> Iterator[tuple[str, list[list[Detections]]]]:
    """What each method finds, over its seeds."""
    plain = bare(video.frames)
    yield "still", [still(plain)]
    for both, mode in ((False, "causal"), (True, "both")):
        yield f"links, {mode}", [linked(LinkSettings(), both=both)(plain)]
        if mode in options.modes:
            yield (
                f"head, {mode}",
                [run(head, wanted, video) for head, wanted in heads("pets", mode, options)],
            )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("candidates", type=Path)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--modes", nargs="*", default=["causal", "both"])
    parser.add_argument("--kinds", nargs="+", default=["crf46", "crf51", "bars"])
    options = parser.parse_args()
    for kind in options.kinds:
        video = recorded(kind, options.data, options.candidates)
        than: Measured | None = None
        for method, found in found_by(video, options):
            seen = Measured(video, found)
            line = {"video": kind, "method": method, **seen.line(than)}
            if kind == "bars":
                line |= found_behind_bars(video, found)
            print(json.dumps(line), flush=True)
            than = than or seen


if __name__ == "__main__":
    main()
