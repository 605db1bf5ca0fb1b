"""``vodkit data stats``: what is in a dataset, in numbers."""

from collections.abc import Sequence
from pathlib import Path

import typer

from vodkit.cli import data_options as options
from vodkit.cli.terminal import UNDEFINED, say, say_json, say_table


def stats(
    dataset: Path = options.DATASET,
    format: str = options.FORMAT,  # noqa: A002
    page: Path = typer.Option(None, "--page", help="Also write an HTML page with pictures here."),
    strict: bool = options.STRICT,  # noqa: ARG001 - its callback sets it
    as_json: bool = options.JSON,
) -> None:
    """Count classes, sizes, speeds, occlusion, track lengths. And how the labels lie in time.

    Example: vodkit data stats dataset.json --page stats.html
    """
    from vodkit.data.stats import measure

    labels, root = options.load(dataset, format)
    if page is not None:
        from vodkit.report.dataset_page import write_dataset_page

        write_dataset_page(page, labels, root, title=dataset.name)
    numbers = measure(labels)
    if as_json:
        say_json(numbers.as_json())
        return
    rows = [
        [
            one.name, str(one.num_boxes), str(one.num_tracks),
            f"{one.num_small}/{one.num_medium}/{one.num_large}",
            f"{one.num_slow}/{one.num_medium_speed}/{one.num_fast}",
            _middle(one.size_px, "px"), _middle(one.track_s, "s"),
            UNDEFINED if one.half_hidden is None else f"{one.half_hidden:.0%}",
        ]
        for one in numbers.classes
    ]  # fmt: skip
    titles = ["class", "boxes", "tracks", "small/medium/large", "slow/medium/fast", "size", "track",
              "half hidden"]  # fmt: skip
    say_table(titles, rows)
    say("")
    rows = [
        [
            one.source, one.split or UNDEFINED,
            f"{one.width_px}x{one.height_px}", one.rate,
            str(one.num_frames or UNDEFINED), str(one.num_labelled),
            str(one.num_empty), str(one.num_boxes), " ".join(map(str, one.density)),
        ]
        for one in numbers.videos
    ]  # fmt: skip
    titles = ["video", "split", "size", "rate", "frames", "labelled", "empty", "boxes", "over time"]
    say_table(titles, rows)
    if page is not None:
        say(f"page: {page}")


def _middle(values: Sequence[float], unit: str) -> str:
    """The median with the range around it."""
    return f"{values[2]:.1f} ({values[0]:.1f} to {values[4]:.1f}) {unit}" if values else UNDEFINED
