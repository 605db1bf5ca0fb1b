"""How often an identity survives an occlusion of 0.2, 0.5, 1, 2, 4 seconds, for every tracker.

The truth of PETS09-S2L1 and TUD-Campus, and a made-up street (``walkers``), serve as detections
with a little jitter. Each person is then hidden once, in the middle of its way, for the given time;
an identity survives when the person has the same id before and after.

    python benchmarks/occlusion_curve.py [NAME ...]
    python benchmarks/occlusion_curve.py vodkit --video vtest.avi [--appearance colour] [--seeds 3]

The second form asks how much looks help: PETS09-S2L1 alone, whose pictures say what everybody looks
like, with everybody hidden at ``seeds`` other times as well.
"""

import argparse
import json
from pathlib import Path

import numpy as np

from mot15_trackers import sequences
from vodkit.detect.embed import load_crops
from vodkit.ground.boxes import iou
from vodkit.ground.errors import InputError
from vodkit.ground.records import Detections, Frame, State, TrackTable
from vodkit.track.appearance import colour_embeddings
from vodkit.track.lifecycle import backfill
from vodkit.track.table import TRACKERS, make_tracker
from vodkit.video.reader import open_video
from walkers import World, walk

GAPS_S = (0.2, 0.5, 1.0, 2.0, 4.0)
MARGIN_S = 0.7
"""a person has to be there for this long before and after"""
PEERS = {
    f"roboflow {kind}": ["roboflow", f"kind={kind}"] for kind in ("bytetrack", "ocsort", "botsort")
}


def scenes() -> dict[str, TrackTable]:
    """The truth tables."""
    found = {}
    for sequence in sequences():
        if sequence.name in {"PETS09-S2L1", "TUD-Campus"}:
            rows = sequence.truth[sequence.truth[:, 6] != 0]
            found[sequence.name] = TrackTable(
                frames=rows[:, 0] - 1,
                times_s=(rows[:, 0] - 1) / sequence.rate,
                ids=rows[:, 1],
                boxes_xyxy=np.hstack([rows[:, 2:4], rows[:, 2:4] + rows[:, 4:6]]),
                labels=np.zeros(len(rows)),
            )
    found["made up"] = walk(World(seed=11, num_people=10, seconds=40))[0]
    return found


def hide(truth: TrackTable, gap_s: float, seed: int = 0) -> tuple[np.ndarray, dict[int, tuple]]:
    """Which rows stay visible, and when each person vanishes and comes back."""
    rng = np.random.default_rng(seed)
    visible, gaps = np.ones(len(truth), bool), {}
    for person in np.unique(truth.ids):
        own = np.flatnonzero(truth.ids == person)
        times = truth.times_s[own]
        room = times[-1] - times[0] - gap_s - 2 * MARGIN_S
        if room < 0:
            continue
        start = times[0] + MARGIN_S + room * rng.uniform(0.2, 0.8)
        hidden = own[(times >= start) & (times < start + gap_s)]
        visible[hidden] = False
        gaps[int(person)] = (start, start + gap_s)
    return visible, gaps


def trembling(truth: TrackTable) -> np.ndarray:
    """The boxes (R, 4) of the truth with a little jitter."""
    rng = np.random.default_rng(1)
    size = np.sqrt((truth.boxes_xyxy[:, 2:] - truth.boxes_xyxy[:, :2]).prod(axis=1))[:, None]
    boxes = truth.boxes_xyxy + 0.02 * size * rng.normal(0, 1, (len(truth), 4))
    boxes[:, 2:] = np.maximum(boxes[:, 2:], boxes[:, :2])
    return boxes


def looks_in(video: str, truth: TrackTable, appearance: str) -> np.ndarray:
    """What each row's box (R, D) looks like in the pictures."""
    look = colour_embeddings if appearance == "colour" else load_crops(Path(appearance))
    boxes, rows = trembling(truth), []
    with open_video(video) as opened:
        for frame in opened.frames():
            own = boxes[truth.frames == frame.index]
            found = Detections(own, np.full(len(own), 0.9), np.zeros(len(own), int))
            rows.append(look(frame, found))
    return np.concatenate(rows)


def survival(
    truth: TrackTable,
    words: list[str],
    gap_s: float,
    *,
    seed: int = 0,
    looks: np.ndarray | None = None,
) -> tuple[int, int]:
    """How many identities survive, of how many."""
    visible, gaps = hide(truth, gap_s, seed)
    if not gaps:
        return 0, 0
    boxes = trembling(truth)
    width, height = truth.boxes_xyxy[:, 2:].max(axis=0).astype(int).tolist()
    tracker = make_tracker(words[0], words[1:])
    steps = []
    frames, first = np.unique(truth.frames, return_index=True)
    for frame, time_s in zip(frames.tolist(), truth.times_s[first].tolist(), strict=True):
        rows = np.flatnonzero((truth.frames == frame) & visible)
        found = Detections(boxes[rows], np.full(len(rows), 0.9), np.zeros(len(rows), int))
        moment = Frame.unseen(frame, time_s, width_px=width, height_px=height)
        seen = None if looks is None else looks[rows]
        steps.append((moment, found, tracker.step(moment, found, embeddings=seen)))
    table = TrackTable.from_frames([(f.index, f.time_s, t) for f, _, t in backfill(steps)])
    table = table[table.states == State.OBSERVED]
    kept = sum(_id_around(truth, table, person, *gap) for person, gap in gaps.items())
    return kept, len(gaps)


def _id_around(
    truth: TrackTable, table: TrackTable, person: int, from_s: float, to_s: float
) -> bool:
    before = _ids(truth, table, person, from_s - MARGIN_S / 2, from_s)
    after = _ids(truth, table, person, to_s + MARGIN_S / 4, to_s + MARGIN_S)
    return bool(before and after and before[-1] == after[0])


def _ids(truth: TrackTable, table: TrackTable, person: int, from_s: float, to_s: float) -> list:
    ids = []
    for row in np.flatnonzero(
        (truth.ids == person) & (truth.times_s >= from_s) & (truth.times_s <= to_s)
    ):
        there = table[table.frames == truth.frames[row]]
        if len(there):
            overlap = iou(truth.boxes_xyxy[row : row + 1], there.boxes_xyxy)[0]
            if overlap.max() > 0.5:
                ids.append(int(there.ids[overlap.argmax()]))
    return ids


def with_looks(words: list[str], video: str, appearance: str, seeds: int) -> dict[str, str]:
    """Identities kept on PETS09-S2L1, with what its pictures say of looks, by seconds hidden."""
    truth = scenes()["PETS09-S2L1"]
    looks = looks_in(video, truth, appearance) if appearance else None
    shares = {}
    for gap_s in GAPS_S:
        counts = [survival(truth, words, gap_s, seed=seed, looks=looks) for seed in range(seeds)]
        kept, count = np.sum(counts, axis=0).tolist()
        shares[str(gap_s)] = f"{kept}/{count}"
    return shares


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*")
    parser.add_argument("--video")
    parser.add_argument("--appearance", default="", help="colour, or an OSNet file")
    parser.add_argument("--seeds", type=int, default=3)
    given = parser.parse_args()
    everybody = {name: [name] for name in TRACKERS if name != "roboflow"} | PEERS
    for name in given.names or everybody:
        if given.video:
            shares = with_looks(everybody[name], given.video, given.appearance, given.seeds)
            line = {"tracker": name, "appearance": given.appearance, "survived": shares}
            print(json.dumps(line), flush=True)
            continue
        for scene, truth in scenes().items():
            try:
                counts = [survival(truth, everybody[name], gap_s) for gap_s in GAPS_S]
            except InputError as error:
                print(json.dumps({"tracker": name, "skipped": str(error)}))
                break
            shares = {str(g): f"{k}/{n}" for g, (k, n) in zip(GAPS_S, counts, strict=True)}
            print(json.dumps({"tracker": name, "scene": scene, "survived": shares}), flush=True)


if __name__ == "__main__":
    main()
