"""HOTA, MOTA and IDF1 of every tracker, ours and Roboflow's, on one detector's boxes of one video.

    python benchmarks/video_trackers.py --video vtest.avi --truth gt.txt
    python benchmarks/video_trackers.py --video two_flies.mp4 --truth two_flies_gt.txt \
        --model runs/flies/best.safetensors --classes fly

    python benchmarks/video_trackers.py --video vtest.avi --truth gt.txt --appearance colour

The video is looked at once; all trackers get the same boxes and the same pictures, each with its
own defaults, and with --appearance (colour, roi, an OSNet file) the same embeddings. Measured are
observed boxes, with first detections filled back in. A line a tracker.
"""

import argparse
import json
from dataclasses import replace
from pathlib import Path

import numpy as np

from vodkit.data.ingest import ingest
from vodkit.formats.base import Reading
from vodkit.ground.records import Dataset, Detections, Frame, State, TrackTable
from vodkit.infer.flow import detect_video, make_detector
from vodkit.infer.settings import InferSettings
from vodkit.metrics.bootstrap import BootstrapSettings
from vodkit.metrics.evaluation import EvalSettings, evaluate
from vodkit.track.lifecycle import backfill
from vodkit.track.refine import refine
from vodkit.track.table import TRACKERS, make_tracker

PEERS = [["roboflow", f"kind={kind}"] for kind in ("sort", "bytetrack", "ocsort", "botsort")]


def scores(dataset: Dataset, table: TrackTable) -> dict[str, float]:
    none = EvalSettings(bootstrap=BootstrapSettings(resamples=0))
    found = evaluate(dataset, {dataset.videos[0].source: table}, settings=none)
    wanted = ("hota", "mota", "idf1")
    return {one.name: round(100 * one.value, 1) for one in found.headline if one.name in wanted}


def only(found: Detections, kept: list[int]) -> Detections:
    """The detections of some classes, as the classes of the truth."""
    mine = found[np.isin(found.labels, kept)]
    return replace(mine, labels=np.searchsorted(kept, mine.labels))


def looks_of(table: TrackTable, looked: list[tuple[Frame, Detections]]) -> np.ndarray:
    """The embedding of each row of a table; zeros for rows that are nobody's detection."""
    known = {
        (frame.index, box.tobytes()): row
        for frame, found in looked
        for box, row in zip(found.boxes_xyxy, found.embeddings, strict=True)
    }
    nothing = np.zeros_like(next(iter(known.values())))
    boxes = table.boxes_xyxy.astype(np.float32)
    return np.array(
        [
            known.get((f, b.tobytes()), nothing)
            for f, b in zip(table.frames.tolist(), boxes, strict=True)
        ]
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--video", type=Path, required=True)
    parser.add_argument("--truth", type=Path, required=True)
    parser.add_argument("--model", default="vodkit-street")
    parser.add_argument("--classes", default="person")
    parser.add_argument("--appearance", default="")
    given = parser.parse_args()
    told = Reading(source=str(given.video), classes=tuple(given.classes.split(",")))
    dataset = ingest(given.truth, reading=told).dataset
    wanted = InferSettings(model=given.model, appearance=given.appearance, size="full")
    detector = make_detector(wanted)
    kept = [detector.classes.index(name) for name in told.classes]
    found_in = detect_video(given.video, detector, settings=wanted)
    looked = [(frame, only(found, kept)) for frame, found in found_in]
    ours = [[name] for name in TRACKERS if name != "roboflow"] + [["vodkit", "colours=false"]]
    for name, *words in ours + PEERS:
        tracker = make_tracker(name, words)
        steps = backfill(
            (frame, found, tracker.step(frame, found, embeddings=found.embeddings))
            for frame, found in looked
        )
        table = TrackTable.from_frames([(f.index, f.time_s, tracks) for f, _, tracks in steps])
        looks = looks_of(table, looked) if given.appearance else None
        seen = table[table.states == State.OBSERVED]
        kinds = {
            "online": scores(dataset, seen),
            "refined": scores(dataset, refine(table, looks=looks)),
        }
        print(json.dumps({"tracker": " ".join([name, *words]), **kinds}), flush=True)


if __name__ == "__main__":
    main()
