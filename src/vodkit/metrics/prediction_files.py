"""Prediction files of any tool in any of our formats, matched to the videos of a dataset.

A run folder, a folder of run folders, a JSON Lines file, a COCO result list, or anything that
``vodkit.formats`` reads (for example a MOTChallenge text file). The file's name decides which video
it belongs to; classes are matched by name. Only a COCO result list is matched by number: its image
and category ids are those of the truth's COCO file.

Of vodkit's own files, the rows count that ``vodkit track`` exports: a confirmed track counts from
its first box, a track that was never confirmed does not count.
"""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from vodkit.formats import coco_results
from vodkit.formats import predictions as jsonl
from vodkit.formats.base import Reading
from vodkit.formats.coco_results import CocoIds, Results
from vodkit.formats.table import read_dataset
from vodkit.ground.arrays import IntArray
from vodkit.ground.errors import FormatError, InputError, SettingsError
from vodkit.ground.records import Dataset, TrackTable
from vodkit.ground.runs import EVENTS, MANIFEST, PREDICTIONS, STILLS, parts_in, predictions_of
from vodkit.metrics.notes import Notes, dropped_lines
from vodkit.metrics.validate import require_one_split, require_valid
from vodkit.metrics.video_of_file import (
    Part,
    VideosByName,
    doubted,
    gaps,
    in_label_px,
    other_video,
    taken_for,
)


@dataclass(frozen=True, eq=False, kw_only=True)
class PredictionSet:
    """Predictions ready for ``evaluate``."""

    tables: Mapping[str, TrackTable]
    """by video source of the dataset, labels in its classes"""
    files: Mapping[str, str]
    """which file each came from"""
    about: Mapping[str, str]
    """detector, tracker and mode, where the files say so"""
    notes: tuple[str, ...]
    """what was left out, and which frames were not looked at"""
    latency_s: Mapping[str, float]
    """seconds a frame took, by video source, where the run's manifest says so"""


def read_predictions(
    paths: Sequence[str | Path],
    dataset: Dataset,
    *,
    format: str = "auto",  # noqa: A002
    class_map: Mapping[str, str] | None = None,
    elsewhere: Sequence[str] = (),
    ids: CocoIds | None = None,
) -> PredictionSet:
    """All predictions in ``paths``, matched to the videos of ``dataset``.

    ``class_map`` renames classes of the files to those of the dataset; boxes of classes that the
    dataset lacks are left out, with a note. ``elsewhere`` are sources that are labelled, but not
    to be measured on (other sides of the split): predictions for them are left out as well.
    ``ids``: what image and category ids of COCO result lists mean (``coco_results.ids_of`` the
    truth's file). Raises FormatError for files that cannot be read, InputError where no video or
    class fits, SettingsError where ``class_map`` leads to no class of the dataset.
    """
    require_measurable(dataset, class_map or {})
    which = VideosByName(dataset, elsewhere)
    tables: dict[str, TrackTable] = {}
    files: dict[str, str] = {}
    about: dict[str, set[str]] = {}
    notes = Notes()
    dropped: dict[Path, Counter[str]] = {}
    every = [
        part
        for path in paths
        for file in _files_in(Path(path))
        for part in _read(file, which, format, ids)
    ]
    for part in every:
        other = which.other_side(part)
        if other:
            notes.add("other side", part.file, f"is of {other}, which is on another side: left out")
            continue
        video = which.video_of(part)
        if video.source in tables:
            both = f"{files[video.source]} and {part.file}"
            raise InputError(f"two files are for {video.source}: {both}")
        table, left_out = _in_classes(part, dataset.classes, class_map or {})
        if left_out:
            dropped.setdefault(part.file, Counter()).update(left_out)
        table, scaled = in_label_px(part, video, table)
        tables[video.source], files[video.source] = table, str(part.file)
        for kind, text in {
            "only video": taken_for(part, video),
            "other size": scaled,
            "other rate": other_video(part, video),
            "gaps": gaps(part, video),
            "doubted": doubted(part),
            "lost": part.lost,
        }.items():
            notes.add(kind, part.file, text)
        for key, value in part.about.items():
            about.setdefault(key, set()).add(value)
    if not tables:
        why = f" ({notes.lines()[0]})" if notes.lines() else ""
        raise InputError(f"no predictions found in {', '.join(map(str, paths))}{why}")
    require_valid(dataset, tables, files=files)
    latency_s = {source: _latency(Path(file)) for source, file in files.items()}
    joined = {key: ", ".join(sorted(values - {""})) for key, values in about.items()}
    return PredictionSet(
        tables=tables,
        files=files,
        about=joined,
        notes=(*notes.lines(), *dropped_lines(dropped)),
        latency_s={source: one for source, one in latency_s.items() if one is not None},
    )


def parse_class_map(words: Sequence[str]) -> dict[str, str]:
    """``theirs=ours`` words as a mapping.

    >>> parse_class_map(["person=pedestrian"])
    {'person': 'pedestrian'}
    """
    for word in words:
        if not all(word.partition("=")):
            raise SettingsError(f"class_map {word!r} is not of the form theirs=ours")
    return {theirs: ours for theirs, _, ours in (word.partition("=") for word in words)}


def require_measurable(dataset: Dataset, class_map: Mapping[str, str]) -> None:
    """What can be refused before there are predictions; see ``read_predictions``."""
    require_one_split(dataset)
    for theirs, ours in class_map.items():
        if ours not in dataset.classes:
            message = f"the truth has no class {ours!r}; it has: {', '.join(dataset.classes)}"
            raise SettingsError(f"class_map {theirs}={ours}: {message}")


def _files_in(path: Path) -> list[Path]:
    if not path.exists():
        raise FormatError("no such file or folder", path=path)
    if path.is_file():
        return [path]
    found = sorted(predictions_of(one.parent) for one in path.rglob(PREDICTIONS))
    found = found or sorted(path.rglob(STILLS))
    events = set(parts_in(path, EVENTS))
    texts = sorted({*path.glob("*.jsonl")} - events) + sorted(path.glob("*.txt"))
    return found or texts or [path]


def _is_empty_text(file: Path) -> bool:
    return file.suffix.lower() == ".txt" and file.is_file() and not file.read_bytes().strip()


def _read(file: Path, which: "VideosByName", format: str, ids: CocoIds | None) -> list[Part]:  # noqa: A002
    dataset = which.dataset
    if format in {"auto", "coco"} and coco_results.sniff(file):
        return _parts_of_results(coco_results.read_results(file), which, ids)
    if format in {"auto", "predictions"} and file.suffix.lower() == ".jsonl":
        given = jsonl.read_predictions(file)
        header = given.header
        about = {"detector": header.detector, "tracker": header.tracker, "mode": header.mode}
        one = Part(
            file=file,
            source=header.source,
            classes=header.classes,
            table=given.table,
            about=about,
            frames=frozenset(given.clock),
            never_confirmed=given.num_unconfirmed,
            info=header.info,
        )
        return [one]
    if format in {"auto", "mot"} and _is_empty_text(file):
        # A tracker that found nothing writes an empty file.
        one = Part(
            file=file,
            source=file.stem,
            classes=(),
            table=TrackTable.empty(),
        )
        return [one]
    read = read_dataset(file, format, reading=_reading(file, dataset))
    return [
        Part(
            file=file,
            source=video.source,
            classes=read.classes,
            table=_without_regions(video.tracks),
            lost=", ".join(account.losses for account in read.accounts),
        )
        for video in read.videos
        if video.tracks is not None
    ]


def _latency(file: Path) -> float | None:
    """What the manifest beside a run's predictions says of the time that a frame took."""
    manifest = file.with_name(MANIFEST)
    if file.name != PREDICTIONS or not manifest.exists():
        return None
    try:
        told = json.loads(manifest.read_text(encoding="utf-8")).get("latency_s")
    except (ValueError, AttributeError) as error:
        raise FormatError(f"not a manifest: {error}", path=manifest) from error
    return float(told) if isinstance(told, int | float) and told > 0 else None


def _without_regions(table: TrackTable) -> TrackTable:
    """Predictions have no ignore regions: a row with confidence 0 is a box with score 0."""
    regions = table.ignore
    scores = np.where(regions, 0.0, table.scores)
    labels = np.where(regions & (table.labels < 0), 0, table.labels)
    return replace(table, scores=scores, labels=labels, ignore=np.zeros(len(table), bool))


def _reading(file: Path, dataset: Dataset) -> Reading:
    """What plain text files do not say, taken from the truth: classes by number, size, rate."""
    if not dataset.videos:
        return Reading(labelled="all")
    info = dataset.videos[0].info
    return Reading(
        labelled="all",
        classes=dataset.classes if file.suffix.lower() == ".txt" else (),
        rate=info.rate,
        size_px=(info.width_px, info.height_px),
    )


def _parts_of_results(results: Results, which: "VideosByName", ids: CocoIds | None) -> list[Part]:
    """A COCO result list as the predictions of each picture, or of the frames of one video."""
    if results.frames is not None:
        return [_one_video(results, which.dataset, results.frames, results.names)]
    if ids is None or results.path.with_name(PREDICTIONS).exists():
        beside = results.path.with_name(PREDICTIONS)
        own = jsonl.read_header(beside).classes if beside.exists() else which.dataset.classes
        names = dict(enumerate(own, 1)) | dict(results.names)
        return [_one_video(results, which.dataset, results.images - 1, names)]
    known = which.known_sources()
    where: dict[str, list[int]] = {source: [] for source, _ in ids.pictures.values()}
    frames = np.zeros(len(results.images), np.int64)
    for row, image in enumerate(results.images.tolist()):
        if image not in ids.pictures:
            span = f"{min(ids.pictures)} to {max(ids.pictures)}" if ids.pictures else "none"
            message = f"[{row}].image_id: {image} is not in {ids.path}; it has ids {span}"
            raise InputError(f"{results.path}: {message}")
        source, frames[row] = ids.pictures[image]
        where[source].append(row)
    return [
        _results_part(results, source, np.array(rows, np.int64), frames, ids.categories)
        for source, rows in where.items()
        if source in known
    ]


def _one_video(
    results: Results, dataset: Dataset, frames: IntArray, names: Mapping[int, str]
) -> Part:
    """A list whose frames are those of one video: named by a file beside it, or by its folder."""
    beside = results.path.with_name(PREDICTIONS)
    source = results.path.parent.name or results.path.stem
    if jsonl.sniff(beside):
        source = jsonl.read_header(beside).source
    first = int(frames.min(initial=0))
    if first < 0:
        message = f"image_id {first + 1} in a list whose ids are frame + 1; allowed: 1 or more"
        raise InputError(f"{results.path}: {message}")
    every = np.arange(len(frames))
    source = dataset.videos[0].source if len(dataset.videos) == 1 else source
    return _results_part(results, source, every, frames, names)


def _results_part(
    results: Results, source: str, rows: IntArray, frames: IntArray, names: Mapping[int, str]
) -> Part:
    """The rows of one video; categories without a name are named by their number."""
    numbers, labels = np.unique(results.categories[rows], return_inverse=True)
    known = [number for number in names if number not in numbers]
    classes = [names.get(number, f"category {number}") for number in (*numbers.tolist(), *known)]
    try:
        table = TrackTable(
            frames=frames[rows],
            times_s=frames[rows].astype(np.float64),
            ids=results.ids[rows],
            boxes_xyxy=results.boxes_xyxy[rows],
            labels=labels,
            scores=results.scores[rows],
        )
    except InputError as error:
        raise InputError(f"{results.path}: {source}: {error}") from error
    return Part(
        file=results.path,
        source=source,
        classes=tuple(classes),
        table=table,
    )


def _in_classes(
    part: Part, classes: tuple[str, ...], class_map: Mapping[str, str]
) -> tuple[TrackTable, Counter[str]]:
    """The table with labels of the dataset; boxes of classes that it lacks are counted."""
    names = require_class(str(part.file), part.classes, classes, class_map)
    new = np.array([classes.index(name) if name in classes else -1 for name in names])
    labels = new[part.table.labels] if len(part.table) else part.table.labels
    known = labels >= 0
    table = replace(part.table[known], labels=labels[known])
    return table, Counter(names[k] for k in part.table.labels[~known].tolist())


def require_class(
    where: str, theirs: Sequence[str], classes: Sequence[str], class_map: Mapping[str, str]
) -> list[str]:
    """The names of ``theirs`` after ``class_map``; InputError where the truth has none of them."""
    names = [class_map.get(name, name) for name in theirs]
    if names and not set(names) & set(classes):
        message = f"classes {', '.join(theirs[:5])} are none of {', '.join(classes[:5])}"
        hint = f"--class-map {theirs[0]}={classes[0]}" if classes else "--class-map"
        raise InputError(f"{where}: {message}; rename them with {hint}")
    return names
