"""HOTA, MOTA and IDF1 of every tracker on six MOT15 sequences with their public detections.

Measured by TrackEval with its MOT15 rules (only truth with conf != 0, no classes), combined over
the sequences. One set of defaults for all of them; the sequences are test data.

    python benchmarks/mot15_trackers.py [NAME ...] [--set life.lost_s=2 ...]

    python benchmarks/mot15_trackers.py roboflow --set kind=botsort --set lost_s=1   # the peers

    python benchmarks/mot15_trackers.py vodkit --bound   # if the truth told whose each piece is
"""

import argparse
import contextlib
import io
import json
import tempfile
import warnings
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

from vodkit.ground.boxes import iou
from vodkit.ground.records import Detections, Frame, State, Tracks, TrackTable
from vodkit.track.lifecycle import backfill
from vodkit.track.refine import RefineSettings, refine
from vodkit.track.table import TRACKERS, make_tracker
from vodkit.track.tracklet_linking import StitchSettings

DATA = Path(__file__).parent.parent.parent / "shared" / "data" / "sequences" / "mot15"


class Sequence:
    """One sequence: its frames without pixels, and what the public detector found in them."""

    def __init__(self, folder: Path) -> None:
        """Read one sequence's folder."""
        info = dict(
            line.split("=", 1)
            for line in (folder / "seqinfo.ini").read_text().splitlines()
            if "=" in line
        )
        self.name = folder.name
        self.folder = folder
        self.rate = float(info["frameRate"])
        self.num_frames = int(info["seqLength"])
        self.size_px = int(info["imWidth"]), int(info["imHeight"])
        self.found = np.loadtxt(folder / "det" / "det.txt", delimiter=",", ndmin=2)
        self.truth = np.loadtxt(folder / "gt" / "gt.txt", delimiter=",", ndmin=2)

    def steps(self) -> Iterator[tuple[Frame, Detections]]:
        """Every frame with its detections."""
        width, height = self.size_px
        for index in range(self.num_frames):
            rows = self.found[self.found[:, 0] == index + 1]
            boxes = np.concatenate([rows[:, 2:4], rows[:, 2:4] + rows[:, 4:6]], axis=1)
            scores = np.clip(rows[:, 6], 0, 1)
            frame = Frame.unseen(index, index / self.rate, width_px=width, height_px=height)
            yield frame, Detections(boxes, scores, np.zeros(len(rows), int))


def sequences() -> list[Sequence]:
    return [Sequence(folder) for folder in sorted(DATA.iterdir()) if folder.is_dir()]


def follow(sequence: Sequence, tracker) -> list[tuple[Frame, Detections, Tracks]]:
    """All steps of one sequence, with first detections back-filled as files have them."""
    steps = ((f, d, tracker.step(f, d)) for f, d in sequence.steps())
    return list(backfill(steps))


def table_of(steps: list[tuple[Frame, Detections, Tracks]]) -> TrackTable:
    return TrackTable.from_frames(
        [(frame.index, frame.time_s, tracks) for frame, _, tracks in steps]
    )


def mot_rows(table: TrackTable) -> np.ndarray:
    """Lines of a MOTChallenge file."""
    box = table.boxes_xyxy
    ones = np.full((len(table), 3), -1.0)
    return np.column_stack(
        [table.frames + 1, table.ids, box[:, :2], box[:, 2:] - box[:, :2], table.scores, ones]
    )


def score(results: dict[str, np.ndarray]) -> dict[str, float]:
    """Combined HOTA, MOTA, IDF1, ... of MOT rows by sequence, by TrackEval."""
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        import trackeval

        with tempfile.TemporaryDirectory() as folder:
            out = Path(folder) / "ours" / "data"
            out.mkdir(parents=True)
            for name, rows in results.items():
                np.savetxt(out / f"{name}.txt", rows, delimiter=",", fmt="%.6g")
            dataset = trackeval.datasets.MotChallenge2DBox(
                {
                    "GT_FOLDER": str(DATA),
                    "TRACKERS_FOLDER": folder,
                    "BENCHMARK": "MOT15",
                    "SPLIT_TO_EVAL": "train",
                    "TRACKERS_TO_EVAL": ["ours"],
                    "SKIP_SPLIT_FOL": True,
                    "SEQ_INFO": {s.name: s.num_frames for s in sequences() if s.name in results},
                    "GT_LOC_FORMAT": "{gt_folder}/{seq}/gt/gt.txt",
                    "PRINT_CONFIG": False,
                }
            )
            metrics = [
                trackeval.metrics.HOTA(),
                trackeval.metrics.CLEAR({"PRINT_CONFIG": False}),
                trackeval.metrics.Identity({"PRINT_CONFIG": False}),
            ]
            evaluator = trackeval.Evaluator(
                {
                    "PRINT_CONFIG": False,
                    "PRINT_RESULTS": False,
                    "OUTPUT_SUMMARY": False,
                    "OUTPUT_DETAILED": False,
                    "PLOT_CURVES": False,
                    "TIME_PROGRESS": False,
                    "OUTPUT_EMPTY_CLASSES": False,
                    "LOG_ON_ERROR": None,
                    "BREAK_ON_ERROR": True,
                }
            )
            found = evaluator.evaluate([dataset], metrics)[0]["MotChallenge2DBox"]["ours"]
    return _numbers(found)


def _numbers(found) -> dict[str, float]:
    total = found["COMBINED_SEQ"]["pedestrian"]
    numbers = {name: 100 * float(total["HOTA"][name].mean()) for name in ("HOTA", "DetA", "AssA")}
    numbers |= {"MOTA": 100 * float(total["CLEAR"]["MOTA"])}
    numbers |= {"IDF1": 100 * float(total["Identity"]["IDF1"])}
    numbers |= {"IDSW": float(total["CLEAR"]["IDSW"]), "FP": float(total["CLEAR"]["CLR_FP"])}
    for name in sorted(found):
        if name != "COMBINED_SEQ":
            hota = found[name]["pedestrian"]["HOTA"]["HOTA"].mean()
            numbers[f"HOTA {name}"] = 100 * float(hota)
    return {name: round(value, 2) for name, value in numbers.items()}


def measure(name: str, words: list[str]) -> dict[str, dict[str, float]]:
    """A tracker's scores: online without and with its predicted boxes, and refined offline."""
    online = {s.name: table_of(follow(s, make_tracker(name, words))) for s in sequences()}
    unmoved = RefineSettings(smooth=0)
    kinds = {
        "observed": {seq: table[table.states == State.OBSERVED] for seq, table in online.items()},
        "with predicted": online,
        "refined": {seq: refine(table) for seq, table in online.items()},
        "refined, boxes unmoved": {seq: refine(table, unmoved) for seq, table in online.items()},
    }
    return {
        kind: score({seq: mot_rows(table) for seq, table in tables.items()})
        for kind, tables in kinds.items()
    }


def told_by_truth(sequence: Sequence, table: TrackTable) -> TrackTable:
    """Observed rows with one id for all pieces that follow the same person of the truth most.

    The best that stitching can do which moves no box: what misses then is not its fault.
    """
    seen = table[table.states == State.OBSERVED]
    votes: dict[int, Counter] = defaultdict(Counter)
    truth = sequence.truth[sequence.truth[:, 6] != 0]
    for frame in np.unique(seen.frames):
        own, there = seen[seen.frames == frame], truth[truth[:, 0] == frame + 1]
        if len(there):
            boxes = np.hstack([there[:, 2:4], there[:, 2:4] + there[:, 4:6]])
            overlap = iou(own.boxes_xyxy, boxes)
            for row, track_id in enumerate(own.ids.tolist()):
                best = int(overlap[row].argmax())
                person = int(there[best, 1]) if overlap[row, best] >= 0.4 else -1
                votes[track_id][person] += 1
    whose = {track_id: count.most_common(1)[0][0] for track_id, count in votes.items()}
    ids = np.array([10_000 + p if (p := whose.get(i, -1)) > 0 else i for i in seen.ids.tolist()])
    _, once = np.unique(np.stack([seen.frames, ids]), axis=1, return_index=True)
    once.sort()  # two pieces of one person at once: the first stays
    return replace(seen[once], ids=ids[once])


def bound(name: str, words: list[str]) -> dict[str, float]:
    """Scores of perfectly stitched pieces, filled and cleaned as ``refine`` does."""
    online = {s.name: table_of(follow(s, make_tracker(name, words))) for s in sequences()}
    no_stitching = RefineSettings(stitch=StitchSettings(gap_s=0))
    told = {s.name: told_by_truth(s, online[s.name]) for s in sequences()}
    return score({seq: mot_rows(refine(table, no_stitching)) for seq, table in told.items()})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", default=[])
    parser.add_argument("--set", action="append", default=[], dest="words")
    parser.add_argument("--bound", action="store_true")
    options = parser.parse_args()
    for name in options.names or TRACKERS:
        if options.bound:
            told = bound(name, options.words)
            print(json.dumps({"tracker": name, "boxes": "stitched by the truth", **told}))
            continue
        for kind, numbers in measure(name, options.words).items():
            print(json.dumps({"tracker": name, "boxes": kind, **numbers}))


if __name__ == "__main__":
    main()
