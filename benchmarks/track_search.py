"""Choose parts of the default tracker with one domain left out at a time.

    python benchmarks/track_search.py [--frames 150]

Every combination of ``CHOICES`` is measured on every domain, on the first frames of each scene.
For each domain, the combination with the best mean HOTA over the *other* domains is chosen, and
its HOTA on the domain left out is printed: that is the honest figure. Beside it stand the defaults
and the best combination on that very domain, which nothing can choose without seeing it. Results
are kept in build/trackers, so a search can be stopped and resumed.
"""

import argparse
import json
from concurrent.futures import ProcessPoolExecutor
from itertools import product

import numpy as np

from all_trackers import run
from track_domains import DOMAINS

CHOICES: dict[str, tuple[str, ...]] = {"common_motion": ("true", "false")}
"""by setting; the first value is the default's. Few and coarse: a search over ten numbers found
nothing that carries over (docs/benchmarks/trackers.md)"""


def trials() -> list[list[str]]:
    """All combinations as words; the defaults first."""
    return [
        [f"{name}={value}" for name, value in zip(CHOICES, values, strict=True)]
        for values in product(*CHOICES.values())
    ]


def leave_one_out(hota: np.ndarray) -> np.ndarray:
    """For each domain (D,) the trial chosen on the others; ``hota`` is (trials, D)."""
    others = (hota.sum(axis=1, keepdims=True) - hota) / (hota.shape[1] - 1)
    return np.asarray(others.argmax(axis=0))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--frames", type=int, default=150, help="of each scene, at most")
    parser.add_argument("--jobs", type=int, default=2)
    given = parser.parse_args()
    tried, rows = trials(), []
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
