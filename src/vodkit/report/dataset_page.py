"""What is in a dataset, as one HTML file: numbers, plots, and a contact sheet of each video."""

from collections.abc import Sequence
from pathlib import Path

from vodkit.data.preview import labelled_pictures
from vodkit.data.stats import ClassStats, DatasetStats, VideoStats, measure
from vodkit.ground.errors import VideoError
from vodkit.ground.records import Dataset, LabelledVideo
from vodkit.ground.runs import write_atomic
from vodkit.report.charts import Axes, Line, bar_chart
from vodkit.report.contact_sheet import as_url, contact_sheet
from vodkit.report.page import render
from vodkit.report.sections import UNDEFINED, Table

MAX_CLASSES, MAX_NOTES = 20, 5


def write_dataset_page(
    path: Path, dataset: Dataset, root: Path, *, title: str = "Dataset", frames_shown: int = 8
) -> None:
    """Write the page of ``dataset``, whose sources are relative to ``root``.

    Videos without a labelled frame have no contact sheet; those that are not there, or cannot be
    decoded, have a note instead. Raises OutputError where the page cannot be written.
    """
    stats = measure(dataset)
    sheets, notes = [], []
    for video in dataset.videos if frames_shown else ():
        try:
            sheets.append((video.source, _sheet(video, dataset, root, frames_shown)))
        except VideoError as error:
            notes.append(f"no pictures: {error}")
    content = {
        "title": title,
        "facts": _facts(stats),
        "charts": _charts(stats),
        "tables": [_classes(stats.classes), _videos(stats.videos)],
        "notes": notes[:MAX_NOTES]
        + [f"and {len(notes) - MAX_NOTES} more"] * (len(notes) > MAX_NOTES),
        "sheets_title": "Labels on their frames",
        "sheets": [(source, url) for source, url in sheets if url],
    }
    write_atomic(path, render("overview.html.j2", content))


def _facts(stats: DatasetStats) -> list[tuple[str, str]]:
    videos = stats.videos
    splits = ", ".join(f"{name or 'none'}: {count}" for name, count in stats.splits.items())
    # one that is cut over several sides stands there once for each
    lengths_s = {video.source: video.duration_s for video in videos}
    total_s = sum(length or 0 for length in lengths_s.values())
    known = "in all" if None not in lengths_s.values() else "where known"
    facts = {
        "videos": f"{len(lengths_s)} ({total_s:.0f} s {known})",
        "splits": splits,
        "labelled frames": f"{sum(v.num_labelled for v in videos)}, "
        f"of which {sum(v.num_empty for v in videos)} without an object",
        "boxes": str(sum(v.num_boxes for v in videos)),
        "tracks": str(sum(v.num_tracks for v in videos)),
        "ignore regions": str(sum(v.num_ignore for v in videos)),
    }
    return list(facts.items())


def _charts(stats: DatasetStats) -> list[tuple[str, str]]:
    """(title, SVG): how classes are spread over boxes, sizes and speeds; boxes over time."""
    classes = sorted(stats.classes, key=lambda one: -one.num_boxes)[:MAX_CLASSES]
    names = [one.name for one in classes]
    many = range(len(names))
    sizes = {
        "small": [one.num_small for one in classes],
        "medium": [one.num_medium for one in classes],
        "large": [one.num_large for one in classes],
    }
    speeds = {
        "slow": [one.num_slow for one in classes],
        "medium": [one.num_medium_speed for one in classes],
        "fast": [one.num_fast for one in classes],
    }
    tenths = [f"{10 * k} %" for k in range(10)]
    density = [sum(video.density[k] for video in stats.videos if video.density) for k in range(10)]
    made = []
    for title, parts in (("Boxes by size", sizes), ("Boxes by speed", speeds)):
        groups = [Line(name=name, x=many, y=counts) for name, counts in parts.items()]
        axes = Axes(title=title, x="", y="boxes", x_max=None, y_max=None)
        made.append((title, bar_chart(names, groups, axes)))
    title = "Boxes over the length of the videos"
    axes = Axes(title=title, x="", y="boxes", x_max=None, y_max=None)
    line = Line(name="boxes", x=range(10), y=density)
    return [*made, (title, bar_chart(tenths, [line], axes))]


def _classes(classes: Sequence[ClassStats]) -> Table:
    rows = [
        (
            one.name,
            str(one.num_boxes),
            str(one.num_tracks),
            _middle(one.size_px),
            _middle(one.track_s),
            UNDEFINED if one.half_hidden is None else f"{100 * one.half_hidden:.0f}",
        )
        for one in classes
    ]
    columns = ("class", "boxes", "tracks", "size px", "track s", "half hidden %")
    explained = "Size is the square root of the area; median, with the smallest and largest behind."
    return Table(title="Classes", columns=columns, rows=tuple(rows), explained=explained)


def _videos(videos: Sequence[VideoStats]) -> Table:
    rows = [
        (
            one.source,
            one.split or UNDEFINED,
            f"{one.width_px} x {one.height_px}",
            one.rate,
            UNDEFINED if one.num_frames is None else str(one.num_frames),
            str(one.num_labelled),
            str(one.num_boxes),
            str(one.num_tracks),
        )
        for one in videos
    ]
    columns = ("video", "split", "size", "frames/s", "frames", "labelled", "boxes", "tracks")
    return Table(title="Videos", columns=columns, rows=tuple(rows))


def _middle(values: Sequence[float]) -> str:
    if not values:
        return UNDEFINED
    return f"{values[2]:.1f} ({values[0]:.1f} to {values[4]:.1f})"


def _sheet(video: LabelledVideo, dataset: Dataset, root: Path, frames_shown: int) -> str:
    """A ``data:`` URL of the video's contact sheet; empty where no frame is labelled."""
    shown = list(labelled_pictures(video, root, num_shown=frames_shown))
    if not shown:
        return ""
    return as_url(contact_sheet(shown, dataset.classes, columns=4, width_px=280))
