"""HOTA, MOTA and IDF1 of every tracker, ours and Roboflow's, on one detector's boxes of one video.

    python benchmarks/video_trackers.py --video vtest.avi --truth gt.txt
    python benchmarks/video_trackers.py --video two_flies.mp4 --truth two_flies_gt.txt \
        --model runs/flies/best.safetensors --classes fly

The video is looked at once; all trackers get the same boxes and the same pictures, each with its
own defaults. Measured are observed boxes, with first detections filled back in. A line a tracker.
"""

import argparse
import json
from pathlib import Path

from vodkit.data.ingest import ingest
from vodkit.detect.models import load_detector
from vodkit.formats.base import Reading
from vodkit.metrics.bootstrap import BootstrapSettings
from vodkit.metrics.evaluation import EvalSettings, evaluate
from vodkit.pipeline import detect_video
from vodkit.records import Dataset, State, TrackTable
from vodkit.track.life import backfill
from vodkit.track.refine import refine
from vodkit.track.table import TRACKERS, make_tracker

PEERS = [["roboflow", f"kind={kind}"] for kind in ("sort", "bytetrack", "ocsort", "botsort")]


def scores(dataset: Dataset, table: TrackTable) -> dict[str, float]:
    none = EvalSettings(bootstrap=BootstrapSettings(resamples=0))
    found = evaluate(dataset, {dataset.videos[0].source: table}, settings=none)
    wanted = ("hota", "mota", "idf1")
    return {one.name: round(100 * one.value, 1) for one in found.headline if one.name in wanted}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--video", type=Path, required=True)
    parser.add_argument("--truth", type=Path, required=True)
    parser.add_argument("--model", default="vodkit-street")
    parser.add_argument("--classes", default="person")
    given = parser.parse_args()
    told = Reading(source=str(given.video), classes=tuple(given.classes.split(",")))
    dataset = ingest(given.truth, reading=told).dataset
    detector = load_detector(given.model, score_threshold=0.05, classes=list(told.classes))
    looked = list(detect_video(given.video, detector))
    ours = [[name] for name in TRACKERS if name != "roboflow"]
    for name, *words in ours + PEERS:
        tracker = make_tracker(name, words)
        steps = backfill((frame, found, tracker.step(frame, found)) for frame, found in looked)
        table = TrackTable.from_frames([(f.index, f.time_s, tracks) for f, _, tracks in steps])
        seen = table[table.states == State.OBSERVED]
        kinds = {"online": scores(dataset, seen), "refined": scores(dataset, refine(table))}
        print(json.dumps({"tracker": " ".join([name, *words]), **kinds}), flush=True)


if __name__ == "__main__":
    main()
