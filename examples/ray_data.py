"""Tracking as a stage of a Ray Data pipeline; needs ``ray[data]``.

    python examples/ray_data.py runs clips/*.mp4

For a pipeline that exists already. For videos alone ``vodkit track --on ray`` does the same, with
retries and a list of failures. Rows are paths and results, never frames: a video is read where it
is tracked. The number of actors is fixed, since one that grows starts them one after the other.
"""

import sys
from pathlib import Path
from typing import Any

import ray

from vodkit.infer.batch import Batch
from vodkit.infer.settings import InferSettings


class TrackVideo:
    """An actor with a loaded detector; one video at a time."""

    def __init__(self, out: str) -> None:
        """``out``: a folder that all machines share."""
        self.out, self.settings = out, InferSettings(runtime="openvino")
        self.detector: Any = None

    def __call__(self, row: dict[str, Any]) -> dict[str, Any]:
        """Track ``row["item"]``; add where the result is, and what is wrong with it."""
        how = {"out": self.out, "detector": self.detector, "resume": True}
        batch = Batch([row["item"]], self.settings, **how)
        self.detector = batch.detector
        (outcome,) = batch.run()
        found = outcome.summary
        return row | {
            "folder": str(outcome.folder.path),
            "tracks": 0 if found is None else sum(found.tracks_by_class.values()),
            "error": "; ".join(map(str, outcome.errors)),
        }


def main(out: str, *videos: str) -> None:
    """Track all videos, two at a time; print a line for each."""
    Path(out).mkdir(exist_ok=True)
    actors = ray.data.ActorPoolStrategy(size=2)
    stage = {"fn_constructor_args": (str(Path(out).absolute()),), "compute": actors}
    paths = ray.data.from_items([str(Path(video).absolute()) for video in videos])
    for row in paths.map(TrackVideo, **stage).iter_rows():
        print(row["item"], row["tracks"], row["folder"], row["error"])


if __name__ == "__main__":
    main(*sys.argv[1:])
