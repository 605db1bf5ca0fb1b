"""Why an object is missed in a frame though it was found just before and after.

python benchmarks/temporal_candidates.py ../shared/data --out candidates
python benchmarks/temporal_flicker.py ../shared/data candidates [--video pets]

At the score where recall is 0.8, every such miss (the ``flicker`` of ``vodkit eval``) has one of
four causes. ``score``: a box overlaps the object by half, with too low a score: what memory can
change. ``place``: a box is there with a sufficient score and overlaps by 0.3 to 0.5. ``taken``: the
box that overlaps by half was matched to a neighbour. ``nothing``: no such box at all.
"""

import argparse
import json
from collections import Counter
from pathlib import Path

import numpy as np

from temporal_links import TRUTH, Recorded, linked, score_at_recall, still
from vodkit.ground.boxes import iou
from vodkit.ground.records import NO_ID, Detections, TrackTable
from vodkit.metrics.detection.flicker import GAP_S
from vodkit.metrics.detection.frames import FrameMatches, candidates, match_at
from vodkit.metrics.detection.match import UNMATCHED
from vodkit.temporal.links import LinkSettings


def flickers(matches: FrameMatches) -> np.ndarray:
    """Rows of the truth that are missed between two finds near to each other."""
    truth, hit = matches.clip.truth, matches.found_of_truth != UNMATCHED
    rows = []
    for one in np.unique(truth.ids[truth.ids != NO_ID]):
        mine = np.flatnonzero(truth.ids == one)
        mine = mine[np.argsort(truth.times_s[mine], kind="stable")]
        times_s, found = truth.times_s[mine], hit[mine]
        for row, time_s in zip(mine[~found], times_s[~found], strict=True):
            before, after = times_s[found & (times_s < time_s)], times_s[found & (times_s > time_s)]
            if len(before) and len(after) and after.min() - before.max() <= GAP_S + 1e-6:
                rows.append(row)
    return np.array(rows, int)


def cause(truth: TrackTable, row: int, found: Detections, least: float) -> str:
    """Of one miss."""
    overlap = iou(truth.boxes_xyxy[row][None], found.boxes_xyxy)[0]
    near, shown = overlap >= 0.5, found.scores >= least
    if not near.any():
        return "place" if ((overlap > 0.3) & shown).any() else "nothing"
    return "taken" if (near & shown).any() else "score"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("candidates", type=Path)
    parser.add_argument("--name", default="street")
    parser.add_argument("--video", default="pets")
    options = parser.parse_args()
    methods = {
        "still": still,
        "links": linked(LinkSettings(), both=False),
        "links-both": linked(LinkSettings(), both=True),
    }
    for kind in ("clean", "bad"):
        place = options.candidates / f"{options.name}-{options.video}-{kind}.npz"
        video = Recorded(place, options.data / TRUTH[options.video])
        for name, method in methods.items():
            found = method(video.frames)
            clip = video.clip(found)
            ready = candidates(clip)
            least = score_at_recall(ready)
            rows = flickers(match_at(ready, min_score=least))
            frames = clip.truth.frames[rows]
            causes = Counter(
                cause(clip.truth, row, found[frame], least)
                for row, frame in zip(rows, frames, strict=True)
            )
            line = {"video": video.name, "method": name, "missed": len(rows), **causes}
            print(json.dumps(line), flush=True)


if __name__ == "__main__":
    main()
