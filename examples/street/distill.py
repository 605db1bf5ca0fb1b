"""Makes vodkit-street from unlabelled video: ``python examples/street/distill.py --data FOLDER``.

``name=value`` words change settings of the recipe, e.g. ``steps=100``.
"""

import argparse
from pathlib import Path

from distillation import DistillProgress, DistillSettings, distill
from vodkit.ground import settings


def show(progress: DistillProgress) -> None:
    """One line for each thing that is done, and for every 25th step."""
    if progress.what == "step" and progress.done % 25:
        return
    losses = "  ".join(f"{name} {value:.3f}" for name, value in progress.losses.items())
    print(f"{progress.what} {progress.done}/{progress.total}  {losses}", flush=True)


def main() -> None:
    """Read the recipe, train, print where the checkpoint is."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", required=True, help="folder that the recipe's paths are under")
    parser.add_argument("--out", default="runs/street", help="run folder")
    parser.add_argument("--resume", action="store_true", help="go on with a run that was stopped")
    parser.add_argument("words", nargs="*", help="settings as name=value")
    given = parser.parse_args()
    words = [f"root={given.data}", f"out={given.out}", *given.words]
    recipe = settings.load(
        DistillSettings, toml=Path(__file__).with_name("street.toml"), words=words
    )
    print(distill(recipe, resume_run=given.resume, watch=show))


if __name__ == "__main__":
    main()
