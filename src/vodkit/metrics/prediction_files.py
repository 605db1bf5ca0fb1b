"""Prediction files of any tool in any of our formats, matched to the videos of a dataset.

A run folder, a folder of run folders, a JSON Lines file, or anything that ``vodkit.formats``
reads (for example a MOTChallenge text file). Which video a file is about is told by its name;
classes are matched by name, never by number.

Of our own files, what ``vodkit track`` writes out counts: a track that was confirmed at some time
counts from its first box on, one that never was does not.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

import numpy as np

from vodkit.formats import predictions as jsonl
from vodkit.formats.base import TIMES, Reading
from vodkit.formats.table import read_dataset
from vodkit.ground.errors import FormatError, InputError, SettingsError
from vodkit.ground.lookup import nearest
from vodkit.ground.records import Dataset, LabelledVideo, TrackTable, VideoInfo
from vodkit.ground.runs import MANIFEST, PREDICTIONS, predictions_of
from vodkit.metrics.validate import require_one_split

_GENERIC = frozenset({"img1", "images", "frames", "gt", "det", "predictions", "data", "."})


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


@dataclass(frozen=True, eq=False, kw_only=True)
class _Part:
    """The predictions of one video in one file."""

    file: Path
    source: str
    classes: tuple[str, ...]
    table: TrackTable
    about: Mapping[str, str]
    frames: frozenset[int] | None
    """frames that were looked at; None: not told"""
    never_confirmed: int = 0
    """boxes left out because their track was never confirmed"""
    info: VideoInfo | None = None
    """the video that was looked at, where the file says"""


def read_predictions(
    paths: Sequence[Path],
    dataset: Dataset,
    *,
    format: str = "auto",  # noqa: A002
    class_map: Mapping[str, str] | None = None,
    elsewhere: Sequence[str] = (),
) -> PredictionSet:
    """All predictions in ``paths``, matched to the videos of ``dataset``.

    ``class_map`` renames classes of the files to those of the dataset; boxes of classes that the
    dataset has not are left out, with a note. ``elsewhere`` are sources that are labelled, but not
    to be measured on (other sides of the split): what is about them is left out, too. Raises
    FormatError for files that cannot be read, InputError where the video or no class fits,
    SettingsError where ``class_map`` leads to no class of the dataset.
    """
    require_measurable(dataset, class_map or {})
    tables: dict[str, TrackTable] = {}
    files: dict[str, str] = {}
    about: dict[str, set[str]] = {}
    notes: list[str] = []
    for path in paths:
        for file in _files_in(path):
            for part in _read(file, dataset, format):
                other = _other_side(part, dataset, elsewhere)
                if other:
                    notes.append(f"{file}: is about {other}, which is on another side: left out")
                    continue
                video = _video_of(part, dataset)
                if video.source in tables:
                    both = f"{files[video.source]} and {file}"
                    raise InputError(f"two files are about {video.source}: {both}")
                table, dropped = _in_classes(part, dataset.classes, class_map or {})
                tables[video.source], files[video.source] = table, str(file)
                notes += _taken_for(part, video) + _other_video(part, video)
                notes += dropped + _gaps(part, video) + _doubted(part)
                for key, value in part.about.items():
                    about.setdefault(key, set()).add(value)
    if not tables:
        why = f" ({notes[0]})" if notes else ""
        raise InputError(f"no predictions found in {', '.join(map(str, paths))}{why}")
    latency_s = {source: _latency(Path(file)) for source, file in files.items()}
    joined = {key: ", ".join(sorted(values - {""})) for key, values in about.items()}
    return PredictionSet(
        tables=tables,
        files=files,
        about=joined,
        notes=tuple(notes),
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
        raise FormatError("there is no such file or folder", path=path)
    if path.is_file():
        return [path]
    found = sorted(predictions_of(one.parent) for one in path.rglob(PREDICTIONS))
    texts = sorted(path.glob("*.jsonl")) + sorted(path.glob("*.txt"))
    return found or texts or [path]


def _read(file: Path, dataset: Dataset, format: str) -> list[_Part]:  # noqa: A002
    if format in {"auto", "predictions"} and jsonl.sniff(file):
        header, table, never = _confirmed(file)
        about = {"detector": header.detector, "tracker": header.tracker, "mode": header.mode}
        looked = frozenset(jsonl.predicted_frames(file))
        one = _Part(
            file=file,
            source=header.source,
            classes=header.classes,
            table=table,
            about=about,
            frames=looked,
            never_confirmed=never,
            info=header.info,
        )
        return [one]
    read = read_dataset(file, format, reading=_reading(file, dataset))
    return [
        _Part(
            file=file,
            source=video.source,
            classes=read.classes,
            table=_without_regions(video.tracks),
            about={},
            frames=None,
        )
        for video in read.videos
        if video.tracks is not None
    ]


def _confirmed(file: Path) -> tuple[jsonl.Header, TrackTable, int]:
    """Header, the boxes that count, and how many do not (their track was never confirmed)."""
    header, every = jsonl.read_predictions(file)
    if not header.tracker:
        return header, every, 0
    _, sure = jsonl.read_predictions(file, include_tentative=False)
    counts = np.isin(every.ids, np.unique(sure.ids))
    return header, every[counts], int((~counts).sum())


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
    regions = np.asarray(table.ignore)
    scores = np.where(regions, 0.0, np.asarray(table.scores))
    labels = np.where(regions & (table.labels < 0), 0, table.labels)
    return replace(table, scores=scores, labels=labels, ignore=np.zeros(len(table), bool))


def _reading(file: Path, dataset: Dataset) -> Reading:
    """What plain text files do not say, taken from the truth: classes by number, size, rate."""
    if not dataset.videos:
        return Reading()
    info = dataset.videos[0].info
    return Reading(
        classes=dataset.classes if file.suffix.lower() == ".txt" else (),
        rate=info.rate,
        size_px=(info.width_px, info.height_px),
    )


def _video_of(part: _Part, dataset: Dataset) -> LabelledVideo:
    """The video that a file is about: the same source, else the same name."""
    for video in dataset.videos:
        if video.source == part.source:
            return video
    wanted = _names(part.source) | _names(part.file.as_posix())
    fitting = [video for video in dataset.videos if _names(video.source) & wanted]
    exact = [v for v in fitting if _names(v.source) & _names(part.source)]
    fitting = exact or fitting
    if len(fitting) == 1:
        return fitting[0]
    if len(dataset.videos) == 1:
        return dataset.videos[0]
    there = [video.source for video in dataset.videos]
    if fitting:
        which = " or ".join(video.source for video in fitting[:3])
        raise InputError(f"{part.file}: is about {part.source!r}, which could be {which}")
    hint = " or ".join(nearest(part.source, there) or sorted(there)[:3])
    message = f"is about {part.source!r}, which is not in the truth; it has {hint}"
    raise InputError(f"{part.file}: {message}")


def _other_side(part: _Part, dataset: Dataset, elsewhere: Sequence[str]) -> str:
    """The source on another side that a file is about; empty where it is about none.

    Its own name decides, not that of a folder, which videos of both sides may lie in.
    """
    here = {video.source for video in dataset.videos}
    name = _own_name(part.source)
    if part.source in here or name in {_own_name(source) for source in here}:
        return ""
    fitting = [source for source in elsewhere if name and _own_name(source) == name]
    return fitting[0] if fitting else ""


def _own_name(source: str) -> str:
    """The last part of a path that is not a general one, without its ending."""
    stems = [PurePosixPath(part).stem for part in PurePosixPath(source.replace("\\", "/")).parts]
    return next((stem for stem in reversed(stems) if stem.lower() not in _GENERIC), "")


def _taken_for(part: _Part, video: LabelledVideo) -> list[str]:
    """A warning where nothing but the lack of other videos says what a file is about."""
    wanted = _names(part.source) | _names(part.file.as_posix())
    if part.source == video.source or wanted & _names(video.source):
        return []
    return [f"{part.file}: is about {part.source!r}; taken for {video.source!r}, the only video"]


def _other_video(part: _Part, video: LabelledVideo) -> list[str]:
    """A warning where what was looked at cannot be what was labelled: a copy, scaled or cut."""
    if part.info is None:
        return []
    seen, labelled = part.info, video.info
    differ = []
    if (seen.width_px, seen.height_px) != (labelled.width_px, labelled.height_px):
        differ.append("{0.width_px}x{0.height_px} px")
    if TIMES not in video.tags and seen.rate != labelled.rate:
        differ.append("{0.rate} frames/s")
    if not differ:
        return []
    told = ", ".join(differ)
    there = f"is of a video with {told.format(seen)}, the labels are for {told.format(labelled)}"
    return [f"{part.file}: {there}: boxes or frames may not be the same"]


def _doubted(part: _Part) -> list[str]:
    """What was left out because a tracker never believed in it."""
    if not part.never_confirmed:
        return []
    return [f"{part.file}: {part.never_confirmed} boxes of tracks never confirmed are left out"]


def _names(source: str) -> set[str]:
    """What a video may be called: its parts without endings, general ones left out."""
    parts = PurePosixPath(source.replace("\\", "/")).parts[-3:]
    stems = {PurePosixPath(part).stem for part in parts}
    return {stem for stem in stems if stem.lower() not in _GENERIC and stem != "/"}


def _in_classes(
    part: _Part, classes: tuple[str, ...], class_map: Mapping[str, str]
) -> tuple[TrackTable, list[str]]:
    """The table with labels of the dataset; boxes of classes that it has not are left out."""
    names = [class_map.get(name, name) for name in part.classes]
    if not set(names) & set(classes):
        message = f"classes {', '.join(part.classes[:5])} are none of {', '.join(classes[:5])}"
        hint = f"--class-map {part.classes[0]}={classes[0]}" if part.classes and classes else ""
        raise InputError(f"{part.file}: {message}; rename them with {hint}")
    new = np.array([classes.index(name) if name in classes else -1 for name in names])
    labels = new[part.table.labels] if len(part.table) else part.table.labels
    known = labels >= 0
    table = replace(part.table[known], labels=labels[known])
    others = sorted({names[k] for k in np.unique(part.table.labels[~known])})
    if not others:
        return table, []
    left_out = f"{int((~known).sum())} boxes of classes that the truth has not"
    return table, [f"{part.file}: {left_out} are left out: {', '.join(others[:5])}"]


def _gaps(part: _Part, video: LabelledVideo) -> list[str]:
    """A warning where labelled frames were not looked at: they count as nothing found."""
    if part.frames is None:
        return []
    if video.labelled_frames is not None:
        labelled = set(video.labelled_frames.tolist())
    else:
        labelled = set(range(video.info.num_frames or 0))
    unseen = len(labelled - part.frames)
    if not unseen:
        return []
    message = f"{unseen} of {len(labelled)} labelled frames have no line: counted as nothing found"
    return [f"{part.file}: {message}"]
