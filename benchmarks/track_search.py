"""Choose the default tracker's settings with one domain left out at a time.

    python benchmarks/track_search.py [--frames 250] [--trials 12]

Every trial (the defaults first, then settings drawn at random from ``SPACE``) is measured on every
domain, on the first frames of each scene. For each domain, the trial with the best mean HOTA over
the *other* domains is chosen, and its HOTA on the domain left out is printed: that is the honest
figure. Beside it stand the defaults and the best trial on that very domain, which nothing can
choose without seeing it. Trials are kept in build/trackers, so a search can be stopped and resumed.
"""

import argparse
import json
from concurrent.futures import ProcessPoolExecutor

import numpy as np

from all_trackers import run
from track_domains import DOMAINS

SPACE = {
    "high": (0.4, 0.65),
    "new": (0.5, 0.75),
    "low": (0.1, 0.3),
    "reach": (1.0, 2.5),
    "momentum": (0.0, 0.5),
    "weak_iou": (0.2, 0.5),
    "motion.acceleration": (0.3, 1.0),
    "quick.acceleration": (1.0, 4.0),
    "life.confirm_score_s": (0.03, 0.12),
    "life.lost_s": (1.5, 5.0),
}


def trials(count: int) -> list[list[str]]:
    """The defaults, then random settings; a longer list begins with the shorter one."""
    rng = np.random.default_rng(0)
    drawn = [{k: rng.uniform(*v) for k, v in SPACE.items()} for _ in range(count - 1)]
    return [[], *([f"{name}={value:.3g}" for name, value in one.items()] for one in drawn)]


def leave_one_out(hota: np.ndarray) -> np.ndarray:
    """For each domain (D,) the trial chosen on the others; ``hota`` is (trials, D)."""
    others = (hota.sum(axis=1, keepdims=True) - hota) / (hota.shape[1] - 1)
    return np.asarray(others.argmax(axis=0))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--frames", type=int, default=250, help="of each scene, at most")
    parser.add_argument("--trials", type=int, default=12)
    parser.add_argument("--jobs", type=int, default=2)
    given = parser.parse_args()
    tried, rows = trials(given.trials), []
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
        print(f"| {name} | " + " | ".join(f"{v:.2f}" for v in figures) + f" | trial {chosen[at]} |")
    mean = np.mean([hota[trial, at] for at, trial in enumerate(chosen)])
    print(f"| mean | {mean:.2f} | {hota[0].mean():.2f} | {hota.max(axis=0).mean():.2f} | |")


if __name__ == "__main__":
    main()
