"""``vodkit demo``: the whole life cycle on two clips that come with the package."""

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from vodkit.cli import options
from vodkit.cli.terminal import say, say_json, say_next, say_table

if TYPE_CHECKING:
    from vodkit.demo import DemoResult

_SHOWN = ("ap", "ap50", "frame_accuracy", "hota", "mota", "idf1", "identities_kept")


def demo(
    out: Path = typer.Option(Path("runs/demo"), "--out", "-o", help="Folder of the results."),
    settings: list[str] = typer.Option(
        [], "--set", help="A setting, e.g. epochs=20; 'help' lists all."
    ),
    clips: Path = typer.Option(
        None, "--clips", help="Copy the sample clips and their labels into this folder, and stop."
    ),
    as_json: bool = options.JSON,
) -> None:
    """Check, track, fine-tune, track again and compare on sample clips. About two minutes.

    Example: vodkit demo
    """
    if clips is not None:
        _copy(clips, as_json=as_json)
        return
    from vodkit.demo import DemoSettings, run_demo
    from vodkit.ground import process
    from vodkit.ground.settings import load

    process.settle()
    wanted = load(DemoSettings, words=settings)
    result = run_demo(out, settings=wanted, tell=partial(say, error=True))
    if as_json:
        say_json(_as_json(result))
    else:
        _show(result)


def _copy(folder: Path, *, as_json: bool) -> None:
    from vodkit.samples.samples import CLIP_B, copy_samples

    files = [str(path) for path in copy_samples(folder)]
    if as_json:
        say_json({"files": files})
        return
    say(*files)
    say_next("vodkit", "track", str(folder / CLIP_B.name), "--video")


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

    rows = [
        [
            "AP50 of the detector alone" if name not in DEFINITIONS else DEFINITIONS[name].title,
            *("undefined" if x is None else f"{100 * x:.1f}" for x in values),
        ]
        for name, *values in _rows(result)
    ]
    say("")
    say_table(["clip B", "before", "after"], rows)
    say("", result.verdict, ONE_SCENE, "", hang=0)
    found = f"Findings of the audit (one is that both clips show one scene): {result.num_findings}"
    say(found)
    files = {"report": result.report, "video": result.video, "contact sheet": result.sheet}
    files["detector"] = result.training.checkpoint
    say_table(["file", "path"], [[what, str(path)] for what, path in files.items()])
    say("")
    say_next("vodkit", "track", "YOUR_VIDEO", "--video")
