"""How long a frame takes from its pixels to its boxes, one frame at a time, as live sources are.

Throughput says another thing: a batch of eight frames may be quick a frame and still give the
first of them late. Decoding is not counted: a frame is there when its time has come.
"""

import statistics
import time
from itertools import islice

from vodkit.detect.base import Detector
from vodkit.infer.flow import frames_for
from vodkit.infer.run import NO_TRACKER, JobSettings, tracker_words
from vodkit.track.table import make_tracker
from vodkit.video.reader import open_video

WARM_UP = 3
"""frames in front that are not counted: buffers are made, caches filled"""


def measure_latency(
    source: str, detector: Detector, wanted: JobSettings, *, num_frames: int = 40
) -> float | None:
    """Median seconds of detecting and tracking over up to ``num_frames`` first frames.

    None where the video has no frame behind the warm-up. Raises VideoError for a source that
    cannot be read.
    """
    tracker = None
    if wanted.tracker != NO_TRACKER:
        tracker = make_tracker(wanted.tracker, tracker_words(wanted))
    seconds = []
    with open_video(source, strict=wanted.flow.strict) as video:
        for frame in islice(frames_for(video, detector, wanted.flow), WARM_UP + num_frames):
            started = time.perf_counter()
            (found,) = detector.detect([frame])
            if tracker is not None:
                tracker.step(frame, found, embeddings=found.embeddings)
            seconds.append(time.perf_counter() - started)
    counted = seconds[WARM_UP:]
    return statistics.median(counted) if counted else None
