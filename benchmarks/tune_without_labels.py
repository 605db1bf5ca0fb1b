"""What the label-free score of ``vodkit tune`` is worth: whether it ranks settings as HOTA does.

    python benchmarks/tune_without_labels.py [--settings 30] [--frames 300]

For each MOT15 sequence with its public detections: the rank correlation (Spearman) of the two
scores over random settings, and HOTA of the defaults, of the settings the score likes best, and of
the best ones there were.
"""

import argparse
import json

import numpy as np
from scipy.stats import spearmanr

from mot15_trackers import sequences
from vodkit.ground.records import State, TrackTable
from vodkit.infer.tune import NEED_LABELS, SPACES, consistency, replay
from vodkit.metrics.tracking.hota import hota_counts, hota_scores
from vodkit.metrics.tracking.sequence import pair_up


def random_settings(count: int) -> list[list[str]]:
    """The defaults, then random ones from where ``vodkit tune`` searches without labels."""
    rng = np.random.default_rng(0)
    ranges = {k: v for k, v in SPACES["vodkit"].items() if k not in NEED_LABELS}
    return [[]] + [[f"{k}={rng.uniform(*v):.3g}" for k, v in ranges.items()] for _ in range(count)]


def hota_of_seen(truth: TrackTable, found: TrackTable) -> float:
    """HOTA of the observed boxes."""
    seen = found[found.states == State.OBSERVED]
    frames = np.union1d(truth.frames, seen.frames)
    return hota_scores(hota_counts(pair_up(truth, seen, frames))).hota or 0.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--settings", type=int, default=30)
    parser.add_argument("--frames", type=int, default=300)
    given = parser.parse_args()
    for sequence in sequences():
        steps = list(sequence.steps())[: given.frames]
        rows = sequence.truth[(sequence.truth[:, 6] != 0) & (sequence.truth[:, 0] <= len(steps))]
        truth = TrackTable(
            frames=rows[:, 0] - 1,
            times_s=(rows[:, 0] - 1) / sequence.rate,
            ids=rows[:, 1],
            boxes_xyxy=np.hstack([rows[:, 2:4], rows[:, 2:4] + rows[:, 4:6]]),
            labels=np.zeros(len(rows)),
        )
        tried = random_settings(given.settings)
        hota = [hota_of_seen(truth, replay(steps, "vodkit", words)) for words in tried]
        score = [consistency(steps, "vodkit", words) for words in tried]
        line = {
            "sequence": sequence.name,
            "frames": len(steps),
            "rank_correlation": round(float(spearmanr(hota, score)[0]), 2),
            "hota_of_defaults": round(hota[0], 3),
            "hota_of_the_chosen": round(hota[int(np.argmax(score))], 3),
            "hota_of_the_best": round(max(hota), 3),
            "hota_on_average": round(float(np.mean(hota)), 3),
        }
        print(json.dumps(line), flush=True)


if __name__ == "__main__":
    main()
