"""Choose settings of the default tracker with one domain left out at a time.

    python benchmarks/track_search.py [--frames 150]
    python benchmarks/track_search.py --base "surprise=4" "max_buffer=0.3" "low=0.1"

The defaults and every change of ``CHANGES`` are measured on every domain. For each domain, what
has the best mean HOTA over the *other* domains is chosen, and its HOTA on the domain left out is
printed: that is the honest figure. Beside it stand the defaults and the best trial on that very
domain, which nothing can choose without seeing it. Results are kept in build/trackers, so a search
can be stopped and resumed.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor

import numpy as np

from all_trackers import run
from track_domains import DOMAINS

CHANGES = (
    "common_motion=false", "momentum=0", "momentum=0.5", "momentum_s=0.15", "momentum_s=0.6",
    "reach=1.2", "reach=2.4", "max_buffer=0.3", "max_buffer=0.6", "min_gain=0.1", "min_gain=0.25",
    "min_height=0.2", "min_height=0.5", "high=0.6 new=0.65", "high=0.4", "new=0.5", "new=0.7",
    "low=0.1", "low=0.3", "weak_iou=0.2", "weak_iou=0.45", "surprise=0", "surprise=2", "surprise=4",
    "duplicate_iou=0.5", "duplicate_iou=0.75", "life.lost_s=2", "life.lost_s=8",
    "life.confirm_s=0.08", "life.confirm_score_s=0.16", "motion.acceleration=0.2",
    "motion.acceleration=0.8", "quick.acceleration=1", "quick.acceleration=4",
    "quick.centre_noise=0.04", "quick.centre_noise=0.09",
)  # fmt: skip
"""one step up and one down of each number that matters; a search over ten numbers at once found
nothing that carries over (docs/benchmarks/trackers.md)"""


def trials(base: str, changes: Sequence[str]) -> list[list[str]]:
    """The words of each trial; the defaults first, then the base alone."""
    several = ("", *changes) if base else changes
    return [[], *(f"{base} {change}".split() for change in several)]


def leave_one_out(hota: np.ndarray) -> np.ndarray:
    """For each domain (D,) the trial chosen on the others; ``hota`` is (trials, D)."""
    others = (hota.sum(axis=1, keepdims=True) - hota) / (hota.shape[1] - 1)
    return np.asarray(others.argmax(axis=0))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--frames", type=int, default=sys.maxsize, help="of each scene, at most")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--base", default="", help="words of every trial but the first")
    parser.add_argument("changes", nargs="*", default=CHANGES, help="words of a trial each")
    given = parser.parse_args()
    tried, rows = trials(given.base, given.changes), []
    with ProcessPoolExecutor(given.jobs) as pool:
        for words in tried:
            found = run(
                ["vodkit", *words], list(DOMAINS), motion=False, pool=pool, most=given.frames
            )["online"]
            rows.append([one["HOTA"] for one in found.values()])
            print(json.dumps({"settings": words, "HOTA": dict(zip(found, rows[-1], strict=True))}),
                  flush=True)  # fmt: skip
    hota, names = np.array(rows), list(found)
    chosen = leave_one_out(hota)
    print("| domain | left out | defaults (seen) | best trial (seen) | chosen without it |")
    print("|---|---|---|---|---|")
    for at, name in enumerate(names):
        figures = hota[chosen[at], at], hota[0, at], hota[:, at].max()
        print(
            f"| {name} | "
            + " | ".join(f"{v:.2f}" for v in figures)
            + f" | {' '.join(tried[chosen[at]])} |"
        )
    mean = np.mean([hota[trial, at] for at, trial in enumerate(chosen)])
    print(f"| mean | {mean:.2f} | {hota[0].mean():.2f} | {hota.max(axis=0).mean():.2f} | |")


if __name__ == "__main__":
    main()
