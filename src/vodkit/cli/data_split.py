"""``vodkit data split``: training, validation and test sides without leaks."""

from pathlib import Path
from typing import TYPE_CHECKING

from vodkit.cli import data_options as options
from vodkit.cli.options import with_settings
from vodkit.cli.terminal import say, say_json, say_next, say_table
from vodkit.data.settings import SplitSettings

if TYPE_CHECKING:
    from vodkit.data.stats import DatasetStats
    from vodkit.ground.arrays import IntArray
    from vodkit.ground.records import Dataset


@with_settings()
def split(
    dataset: Path = options.DATASET,
    out: Path = options.OUT,
    *,
    wanted: SplitSettings,
    strict: bool = options.STRICT,  # noqa: ARG001 - its callback sets it
    as_json: bool = options.JSON,
) -> None:
    """Divide by video, scene or group, never by frame. Alike in classes, sizes and lengths.

    A video cut over several sides stands in the file once for each.

    Example: vodkit data split dataset.json -o split.json --val 0.2
    """
    from vodkit.data.ingest import moved
    from vodkit.data.split import merge, split_dataset
    from vodkit.formats.table import write_dataset
    from vodkit.ground.runs import make_folder

    options.require_other(out, dataset)
    whole, root = options.load(dataset)
    make_folder(out.parent)
    whole = moved(whole, root, out.parent)
    sides = split_dataset(
        whole, wanted, cuts=_cuts(whole, out.parent) if wanted.by == "scene" else None
    )
    write_dataset(merge(sides), out)
    _say(whole, sides, out, as_json=as_json)


def _cuts(dataset: "Dataset", root: Path) -> "dict[str, IntArray]":
    from vodkit.data.audit.video_scan import look

    return {video.source: look(root / video.source).cuts for video in dataset.videos}


def _say(whole: "Dataset", sides: "dict[str, Dataset]", out: Path, *, as_json: bool) -> None:
    from vodkit.data.stats import measure
    from vodkit.formats.base import are_stills, split_warnings

    numbers = {side: measure(data) for side, data in sides.items()}
    counts = {
        side: {
            "videos": len(one.videos),
            "frames": sum(video.num_labelled for video in one.videos),
            "boxes": {each.name: each.num_boxes for each in one.classes},
        }
        for side, one in numbers.items()
    }
    warnings = sorted({line for data in sides.values() for line in split_warnings(data)})
    notes = _notes(measure(whole), list(numbers.values()))
    if as_json:
        told = {"file": str(out), "sides": counts, "warnings": warnings, "notes": notes}
        say_json(told)
        return
    rows = [
        [side, str(len(one.videos)), str(counts[side]["frames"]), _by_class(one)]
        for side, one in numbers.items()
    ]
    what = ["images", "labelled"] if are_stills(whole) else ["videos", "frames"]
    say_table(["side", *what, "boxes"], rows)
    for line in [*(f"warning: {warning}" for warning in warnings), *notes, str(out)]:
        say(line)
    if "val" in sides:
        say_next("vodkit", "train", "--data", str(out))


def _by_class(side: "DatasetStats") -> str:
    return ", ".join(f"{each.name} {each.num_boxes}" for each in side.classes)


def _notes(whole: "DatasetStats", sides: "list[DatasetStats]") -> list[str]:
    """What of the dataset is on no side, and which split it had before."""
    videos = [video for side in sides for video in side.videos]
    frames, boxes = (
        sum(getattr(one, name) for one in whole.videos) - sum(getattr(one, name) for one in videos)
        for name in ("num_labelled", "num_boxes")
    )
    unused = f"{frames} labelled frames with {boxes} boxes are on no side: they lie in the gaps"
    before = ", ".join(f"{side} {count}" for side, count in whole.splits.items() if side)
    replaced = f"the split that was there is replaced (videos: {before})"
    return [unused] * bool(frames) + [replaced] * bool(before)
