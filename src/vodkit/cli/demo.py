"""``vodkit demo``: the whole life cycle on two clips that come with the package."""

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from vodkit.cli import options

if TYPE_CHECKING:
    from vodkit.demo import DemoResult

_SHOWN = ("ap", "ap50", "frame_accuracy", "hota", "mota", "idf1", "identities_kept")


def demo(
    out: Path = typer.Option(Path("runs/demo"), "--out", "-o", help="Folder of the results."),
    settings: list[str] = typer.Option(
        [], "--set", help="A setting, e.g. epochs=20; 'help' lists all."
    ),
    as_json: bool = options.JSON,
) -> None:
    """Check, track, fine-tune, track again and compare on sample clips. About two minutes.

    Example: vodkit demo
    """
    from vodkit.demo import DemoSettings, run_demo
    from vodkit.ground import process
    from vodkit.ground.settings import load

    process.settle()
    wanted = load(DemoSettings, words=settings)
    result = run_demo(out, settings=wanted, tell=lambda words: print(words, file=sys.stderr))
    if as_json:
        print(json.dumps(_as_json(result)))
    else:
        _show(result)


def _rows(result: "DemoResult") -> list[tuple[str, float | None, float | None]]:
    pairs = zip(result.before.headline, result.after.headline, strict=True)
    rows = [(a.name, a.value, b.value) for a, b in pairs if a.name in _SHOWN]
    return [("detections_ap50", *result.detections_ap50), *rows]


def _as_json(result: "DemoResult") -> dict[str, object]:
    return {
        "numbers": {name: {"before": a, "after": b} for name, a, b in _rows(result)},
        "verdict": result.verdict,
        "report": str(result.report),
        "video": str(result.video),
        "sheet": str(result.sheet),
    }


def _show(result: "DemoResult") -> None:
    from vodkit.demo import ONE_SCENE
    from vodkit.metrics.headline import DEFINITIONS

    print(f"\n{'clip B':28}{'before':>8}{'after':>8}")
    for name, before, after in _rows(result):
        title = "AP50 of the detector alone" if name not in DEFINITIONS else DEFINITIONS[name].title
        cells = ["undefined" if x is None else f"{100 * x:.1f}" for x in (before, after)]
        print(f"{title:28}{cells[0]:>8}{cells[1]:>8}")
    print(f"\n{result.verdict}")
    print(f"{ONE_SCENE}\n")
    print(f"Findings of the audit (that both clips are of one scene is one): {result.num_findings}")
    print(f"report         {result.report}")
    print(f"video          {result.video}")
    print(f"contact sheet  {result.sheet}")
    print(f"detector       {result.training.checkpoint}")
    print("\nNext: vodkit track YOUR_VIDEO --video")
