"""``vodkit train --curve``: AP against the number of labels."""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from vodkit.cli.terminal import say, say_json, say_table
from vodkit.ground.errors import SettingsError

if TYPE_CHECKING:
    from vodkit.train.settings import TrainSettings


def refuse(given: Sequence[tuple[str, object]]) -> None:
    """SettingsError for options of ``vodkit train`` that a curve does not have."""
    wrong = [name for name, value in given if value]
    if wrong:
        raise SettingsError(f"--curve does not go with {', '.join(wrong)}")


def train_curve(wanted: "TrainSettings", *, seeds: int, overwrite: bool, as_json: bool) -> None:
    """Train on parts of the training split, and print and keep the curve."""
    from vodkit.cli.training_progress import say_to_file
    from vodkit.report.curve_page import write_curve_page
    from vodkit.train.curve import CURVE, learning_curve

    def tell(line: str) -> None:
        if not as_json:
            say_to_file(line)

    curve = learning_curve(wanted, seeds=seeds, overwrite=overwrite, tell=tell)
    folder = Path(wanted.out) / "curve"
    page = folder / "report.html"
    write_curve_page(page, curve, title=f"Learning curve of {wanted.data}")
    if as_json:
        say_json({**asdict(curve), "file": str(folder / CURVE), "report": str(page)})
        return
    rows = [[str(n), f"{mean:.3f}", f"{a:.3f} to {b:.3f}"] for n, mean, a, b in curve.rows()]
    say_table(["boxes", "AP", f"of {seeds} seeds"], rows)
    say(curve.prediction.line(), f"chart: {page}")
