"""Whether a runtime of lower precision is faster here, and what it changes, measured once.

``--runtime auto`` chooses only between runtimes with matching outputs. One that rounds more may be
much faster. What it gains and changes is measured on a few frames of the user's own video, and kept
in the cache for the next processes.
"""

import hashlib
import json
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import numpy as np

from vodkit.detect.base import Detector
from vodkit.detect.defaults import NETWORK
from vodkit.detect.models import load_detector
from vodkit.detect.runtimes.base import versions
from vodkit.detect.runtimes.choice import machine
from vodkit.detect.weights import cache_folder
from vodkit.ground import runs
from vodkit.ground.boxes import iou
from vodkit.ground.errors import VodkitError
from vodkit.ground.records import Detections, Frame
from vodkit.infer.settings import InferSettings
from vodkit.video.reader import open_video

ROUNDED = {"openvino": "openvino-bf16", "onnx": "openvino-bf16", "torch": "openvino-bf16"}
"""runtime that was chosen: the one of lower precision to try"""
NUM_FRAMES = 6
_ROUNDS = 3
_STEPS = 1 + _ROUNDS  # loading both, then the rounds
_WORTH = 1.2
"""times as fast, from which on it is mentioned"""
_SAME_IOU = 0.5


Watch = Callable[..., None]
"""called with a title, the steps that are done and ``total``"""


def _unwatched(title: str, done: int, total: int) -> None:
    """Report to no one."""


@dataclass(frozen=True, kw_only=True)
class Faster:
    """What another runtime gains and changes."""

    runtime: str
    """empty: none is faster here"""
    times_as_fast: float = 0.0
    num_frames: int = 0
    num_boxes: int = 0
    """of the runtime in use"""
    num_unpaired: int = 0
    """boxes that only one of the two has"""
    median_px: float = 0.0
    """median over paired boxes of the largest difference of a coordinate"""
    median_score: float = 0.0

    def line(self) -> str:
        """One line for people.

        >>> Faster(runtime="openvino-bf16", times_as_fast=1.9, num_frames=6, num_boxes=40,
        ...        num_unpaired=1, median_px=0.31, median_score=0.004).line()
        'faster: --runtime openvino-bf16 ran 1.9x as fast on 6 frames; it moved boxes by 0.3 px \
and scores by 0.004 (medians of 40 boxes), and 1 box was found by only one of the two'
        """
        many = f"{self.num_unpaired} boxes were" if self.num_unpaired != 1 else "1 box was"
        return (
            f"faster: --runtime {self.runtime} ran {self.times_as_fast:.1f}x as fast on "
            f"{self.num_frames} frames; it moved boxes by {self.median_px:.1f} px and scores by "
            f"{self.median_score:.3f} (medians of {self.num_boxes} boxes), and {many} found by "
            "only one of the two"
        )


def faster(
    source: str,
    settings: InferSettings,
    runs_on: str,
    *,
    measure: bool,
    watch: Watch = _unwatched,
) -> Faster | None:
    """What a runtime of lower precision would change; None: not known, or there is none.

    Args:
        source: the video whose frames are used.
        settings: of the run; its model and threshold.
        runs_on: the runtime and device of the run, as in its manifest.
        measure: measure if nothing is in the cache; False: only read.
        watch: called with what is measured, steps done and steps in all.
    """
    runtime, _, device = runs_on.partition(" on ")
    other = ROUNDED.get(runtime, "")
    if device != "cpu" or not other or settings.prompts:
        return None
    facts = {"model": settings.model, "runtime": runtime, "versions": versions()} | machine("cpu")
    facts |= {} if settings.size == NETWORK else {"size": settings.size}
    if Path(settings.model).is_file():  # the same name may be other weights later
        facts["weights"] = runs.sha256(Path(settings.model))
    digest = hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:16]
    path = cache_folder() / "runtimes" / f"faster-{digest}.json"
    try:
        known = Faster(**json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        if not measure:
            return None
        known = _measured(source, settings, runtime, other, watch)
        with suppress(VodkitError):  # a cache that cannot be written: it is measured again
            runs.make_folder(path.parent)
            runs.write_atomic(path, json.dumps(asdict(known)), ours=True)
    return known if known.runtime else None


def _measured(
    source: str, settings: InferSettings, runtime: str, other: str, watch: Watch
) -> Faster:
    load = partial(
        load_detector,
        settings.model,
        score_threshold=settings.score_threshold,
        device="cpu",
        size=settings.size,
    )
    none = Faster(runtime="")
    steps = partial(watch, f"measuring runtime {other}", total=_STEPS)
    steps(0)
    try:
        with open_video(source, strict=False) as video:
            total = video.info.num_frames or NUM_FRAMES
            wanted = np.unique(np.linspace(0, total - 1, NUM_FRAMES).astype(int))
            frames = video.frames_at([int(index) for index in wanted])
        ours = load(runtime=runtime)
        theirs = load(runtime=other)
        found = ours.detect(frames), theirs.detect(frames)  # the first call compiles
        steps(_STEPS - _ROUNDS)
        gain = _gain(ours, theirs, frames, steps)
    except VodkitError:
        return none  # this CPU cannot run it, or the video cannot be read twice
    if gain < _WORTH:
        return none
    return _compared(*found, runtime=other, gain=gain)


def _gain(
    ours: Detector, theirs: Detector, frames: Sequence[Frame], steps: Callable[[int], None]
) -> float:
    """Turn by turn, so that other work on the machine is equally unfair to both."""
    best = [float("inf"), float("inf")]
    for done in range(_STEPS - _ROUNDS, _STEPS):
        for place, detector in enumerate((ours, theirs)):
            began = time.perf_counter()
            detector.detect(frames)
            best[place] = min(best[place], time.perf_counter() - began)
        steps(done + 1)
    return best[0] / best[1]


def _compared(
    ours: Sequence[Detections], theirs: Sequence[Detections], *, runtime: str, gain: float
) -> Faster:
    off_px: list[float] = []
    off_score: list[float] = []
    num_ours = sum(map(len, ours))
    num_both = num_ours + sum(map(len, theirs))
    for a, b in zip(ours, theirs, strict=True):
        if not len(a) or not len(b):
            continue
        overlap = iou(a.boxes_xyxy, b.boxes_xyxy)
        overlap[a.labels[:, None] != b.labels[None, :]] = 0
        best, back = overlap.argmax(axis=1), overlap.argmax(axis=0)
        mutual = (overlap.max(axis=1) >= _SAME_IOU) & (back[best] == np.arange(len(a)))
        off_px += np.abs(a.boxes_xyxy - b.boxes_xyxy[best])[mutual].max(axis=1).tolist()
        off_score += np.abs(a.scores - b.scores[best])[mutual].tolist()
    return Faster(
        runtime=runtime,
        times_as_fast=round(gain, 2),
        num_frames=len(ours),
        num_boxes=num_ours,
        num_unpaired=num_both - 2 * len(off_px),
        median_px=float(np.median(off_px)) if off_px else 0.0,
        median_score=float(np.median(off_score)) if off_score else 0.0,
    )
