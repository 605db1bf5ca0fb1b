"""How long a frame takes from its pixels to its tracks, one frame at a time, as live sources are.

Throughput is another number: a batch of eight frames may be quick a frame and still finish the
first of them late. Decoding is not counted: a frame is there when its time has come.
"""

import statistics
import time
from dataclasses import replace
from itertools import islice

from vodkit.detect.base import Detector
from vodkit.ground import runs
from vodkit.infer.flow import frames_for
from vodkit.infer.folder import RunFolder
from vodkit.infer.follow import make_follower
from vodkit.infer.settings import InferSettings
from vodkit.video.reader import open_video

WARM_UP = 3
"""first frames that are not counted: buffers are made, caches filled"""


def measure_latency(
    source: str, detector: Detector, settings: InferSettings, *, num_frames: int = 40
) -> float | None:
    """Median seconds of detecting and tracking over up to ``num_frames`` first frames.

    None where the video has no frame after the warm-up.

    Raises:
        VideoError: the source cannot be read.
    """
    follower = make_follower(settings, detector.classes)
    seconds = []
    with open_video(source, strict=not settings.lenient) as video:
        frames = frames_for(video, detector, settings)
        for frame in islice(frames, WARM_UP + num_frames):
            started = time.perf_counter()
            (found,) = detector.detect([frame])
            follower.step(frame, found)
            seconds.append(time.perf_counter() - started)
    counted = seconds[WARM_UP:]
    return statistics.median(counted) if counted else None


def note_latency(
    source: str, folder: RunFolder, detector: Detector, settings: InferSettings
) -> None:
    """Measure the latency unless the manifest of a run has it, and record it there."""
    manifest = folder.manifest()
    if settings.is_delayed:  # a frame waits for later ones by intent
        return
    if manifest is not None and manifest.latency_s is None:
        seconds = measure_latency(source, detector, settings)
        runs.write_json(folder / runs.MANIFEST, replace(manifest, latency_s=seconds).to_json())
