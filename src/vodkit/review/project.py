"""What is under review: videos, their labels, the journal, and the dataset file that comes out."""

import hashlib
import json
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from vodkit.data.audit.video_scan import probe
from vodkit.data.export import export_dataset, holds_something
from vodkit.data.ingest import Ingest, ingest
from vodkit.formats.base import Reading, stem_of
from vodkit.formats.predictions import read_predictions
from vodkit.formats.table import FORMATS, write_dataset
from vodkit.ground.account import losses_in
from vodkit.ground.errors import FormatError, InputError
from vodkit.ground.lookup import pick
from vodkit.ground.paths import relative
from vodkit.ground.records import Dataset, LabelledVideo, TrackTable
from vodkit.ground.runs import predictions_of
from vodkit.review.appearance import Appearance
from vodkit.review.curve import REACH_S, Track, to_json
from vodkit.review.document import Document, Timing
from vodkit.review.exchange import Subject, label_tracks, model_tracks, to_dataset
from vodkit.review.findings import Place, read_findings
from vodkit.review.frames import Frames
from vodkit.review.journal import Journal, header_of, open_journal
from vodkit.track.refine import refine

IMPORT, MODEL = "import", "model"
"""names under which the journal holds what no person did"""
_SNAPSHOT_EVERY = 200


@dataclass(frozen=True, kw_only=True)
class ProjectSettings:
    """What to review."""

    videos: tuple[Path, ...] = ()
    labels: Path | None = None
    """a label file or folder, kept exactly"""
    format: str = "auto"
    run: Path | None = None
    """a run folder; its tracks are smoothed, so that they can be corrected with few actions"""
    classes: tuple[str, ...] = ()
    """class names; more can be added in the page"""
    out: Path = Path("review.json")
    """the dataset that comes out (CocoVID); the journal lies beside it"""
    findings: Path | None = None
    """what ``vodkit data audit --json`` printed: the first items of the queue"""


@dataclass
class Project:
    """An open review."""

    settings: ProjectSettings
    paths: list[Path]
    subjects: list[Subject]
    frames: list[Frames]
    journal: Journal
    notes: list[str] = field(default_factory=list)
    """what is worth knowing about the import"""
    detections: dict[int, TrackTable] = field(default_factory=dict)
    """what a detector found by itself, by video"""
    appearance: dict[int, Appearance] = field(default_factory=dict)
    """embeddings of detections by video, where they are known"""
    findings: list[Place] = field(default_factory=list)
    """what an audit found"""
    _snapshot_n: int = 0
    _saving: threading.Lock = field(default_factory=threading.Lock)

    def labels(self, video: int) -> dict[str, Any]:
        """All labels of a video as the page holds them, with the version of each part."""
        journal = self.journal
        return {
            "n": journal.n,
            "classes": journal.document.classes,
            "tracks": {str(n): to_json(t) for n, t in journal.document.tracks(video).items()},
            "versions": {
                str(part[2]): n
                for part, n in journal.versions.items()
                if part[0] == "track" and part[1] == video
            },
            "accepted": journal.document.accepted(video),
        }

    def dataset(self, *, only_accepted: bool = False) -> Dataset:
        """The labels as they are now."""
        return to_dataset(self.journal.document, self.subjects, only_accepted=only_accepted)

    def place_of(self, at: str) -> str:
        """What follows the address to open the page at ``120`` or ``a.mp4:120``.

        Raises:
            InputError: no such video or frame.
        """
        if not at:
            return ""
        name, _, number = at.rpartition(":")
        names = [subject.source for subject in self.subjects]
        same = [k for k, known in enumerate(names) if name in {"", known, Path(known).name}]
        if not same:
            raise InputError(f"--at {at}: no video {name!r}; allowed: {', '.join(names)}")
        count = self.journal.document.timings[same[0]].num_frames
        if not number.isdecimal() or int(number) >= count:
            raise InputError(f"--at {at}: frame {number!r}; allowed: 0 to {count - 1}")
        return f"&video={same[0]}&frame={int(number)}"

    def save(self) -> Path:
        """Write the dataset file, atomically."""
        with self._saving:
            self._snapshot_n = self.journal.n
            write_dataset(self.dataset(), self.settings.out)
        return self.settings.out

    def save_if_due(self) -> None:
        """Write the dataset after every 200 actions; the journal has each one at once."""
        if self.journal.n - self._snapshot_n >= _SNAPSHOT_EVERY:
            self.save()

    def export(self, format: str, *, only_accepted: bool = False) -> tuple[Path, list[str]]:  # noqa: A002
        """Write the labels beside the dataset in another form; where, and what it cannot hold."""
        pick(FORMATS, format, "label format")
        root, stem = self.settings.out.absolute().parent, self.settings.out.stem
        number, path = 1, root / f"{stem}-{format}"
        while holds_something(path):
            number, path = number + 1, root / f"{stem}-{format}-{number}"
        dataset = self.dataset(only_accepted=only_accepted)
        return path, export_dataset(dataset, path, format, root=root)


@contextmanager
def open_project(
    settings: ProjectSettings, seen: Callable[[list[Frames]], None] | None = None
) -> Iterator[Project]:
    """Open videos, labels and journal; on leaving, the dataset is written if anything changed.

    Args:
        settings: what to review.
        seen: called with the given videos once they are open, before their labels are read.

    Raises:
        InputError: no video, two videos of one name, or labels that do not fit.
        VideoError: a video cannot be opened.
        FormatError: labels or journal are damaged, or belong to other videos.
        OutputError: the journal cannot be written, or another review has it open.
    """
    with ExitStack() as stack:
        frames = _opened(settings.videos, stack)
        if frames and seen is not None:
            seen(frames)
        imported = _imported(settings)
        paths = list(settings.videos) or [path for path, _ in imported.found]
        frames = frames or _opened(paths, stack)
        journal_path = journal_of(settings.out)
        stored = header_of(journal_path) or {}
        reach_s = float(stored.get("reach_s", REACH_S))
        timings = tuple(Timing(one.times_s(), reach_s) for one in frames)
        root = settings.out.absolute().parent
        names = [relative(path.absolute(), root) for path in paths]
        header = _header(names, frames, timings, imported.digest)
        begun = tuple(stored.get("classes", ())) or _classes(settings, imported)
        header["classes"] = list(begun)
        found = {path.absolute(): video for path, video in imported.found}
        subjects = [
            _subject(name, one, found.get(path.absolute()))
            for name, one, path in zip(names, frames, paths, strict=True)
        ]
        document = Document.new(begun, timings)
        journal = stack.enter_context(open_journal(journal_path, header, document))
        project = Project(settings, paths, subjects, frames, journal, imported.notes)
        if settings.run is not None:
            appearance = Appearance.of_run(predictions_of(settings.run).parent)
            project.appearance |= {} if appearance is None else {0: appearance}
        if settings.findings is not None:
            counts = [timing.num_frames for timing in timings]
            project.findings, note = read_findings(settings.findings, names, counts)
            project.notes += [note] if note else []
        if journal.n == 0:
            _put_imported(project, imported, found)
        before = project._snapshot_n = journal.n  # noqa: SLF001
        try:
            yield project
        finally:
            if journal.n > before or (journal.n and not settings.out.exists()):
                project.save()


def journal_of(out: Path) -> Path:
    """The journal beside a dataset file.

    >>> journal_of(Path("a/review.json")).as_posix()
    'a/review.vodkit.jsonl'
    """
    return out.with_name(f"{out.stem}.vodkit.jsonl")


@dataclass
class _Imported:
    """Labels that the review begins with."""

    classes: tuple[str, ...] = ()
    found: list[tuple[Path, LabelledVideo]] = field(default_factory=list)
    digest: str | None = None
    is_model: bool = False
    notes: list[str] = field(default_factory=list)


def _imported(settings: ProjectSettings) -> _Imported:
    if settings.run is not None and settings.labels is not None:
        raise InputError("--labels and --run; allowed: one of them")
    if settings.run is not None:
        return _of_run(settings.run, settings.videos)
    if settings.labels is None:
        if not settings.videos:
            raise InputError("no video; give video files, --labels, --run or --data")
        return _Imported()
    path = settings.labels
    reading = Reading(
        classes=settings.classes,
        probe=probe,
        source=settings.videos[0].as_posix() if len(settings.videos) == 1 else "",
    )
    home = settings.videos[0].parent if settings.videos else None
    with suppress(FormatError):  # formats that name their videos refuse to be given one
        brought = ingest(path, settings.format, reading=reading, videos=home)
        return _placed(settings, brought.dataset, _told(brought))
    brought = ingest(path, settings.format, videos=home)
    return _placed(settings, brought.dataset, _told(brought))


def _told(brought: Ingest) -> list[str]:
    """What the import skipped, converted and noted."""
    return [*losses_in(brought.dataset.accounts), *brought.notes]


def _placed(settings: ProjectSettings, dataset: Dataset, notes: list[str]) -> _Imported:
    """Labels with the videos that they belong to: by name, or the only one."""
    assert settings.labels is not None
    path = settings.labels
    root = path if path.is_dir() else path.parent
    out = _Imported(classes=dataset.classes, digest=_digest(path), notes=notes)
    by_name = {stem_of(video.name): video for video in settings.videos}
    for video in dataset.videos:
        place = root / video.source
        if settings.videos:
            only = len(settings.videos) == len(dataset.videos) == 1
            chosen = settings.videos[0] if only else by_name.get(stem_of(Path(video.source).name))
            if chosen is None:
                out.notes.append(f"{video.source}: labelled, but not under review")
                continue
            place = chosen
        out.found.append((place, video))
    if not out.found:
        raise InputError(f"{path}: has labels for none of these videos")
    return out


def _of_run(run: Path, videos: Sequence[Path]) -> _Imported:
    path = predictions_of(run)
    predicted = read_predictions(path)
    header = predicted.header
    source = Path(header.info.path)
    place = videos[0] if len(videos) == 1 else source
    if not place.exists():
        raise InputError(f"{path}: its video {source} does not exist here; name the video, too")
    table = predicted.table
    tracks = table if header.mode == "refined" else refine(table)
    video = LabelledVideo(source=place.name, info=header.info, tracks=tracks)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    return _Imported(header.classes, [(place, video)], digest, is_model=True)


def _digest(path: Path) -> str:
    files = sorted(path.rglob("*")) if path.is_dir() else [path]
    texts = [one for one in files if one.is_file() and one.suffix in (".json", ".txt", ".xml")]
    total = hashlib.sha256()
    for one in texts or files[:1]:
        total.update(one.read_bytes())
    return total.hexdigest()


def _opened(paths: Sequence[Path], stack: ExitStack) -> list[Frames]:
    """The videos, open until the stack is left."""
    _require_distinct(paths)
    frames = []
    for path in paths:
        frames.append(Frames(path))
        stack.callback(frames[-1].close)
    return frames


def _require_distinct(paths: Sequence[Path]) -> None:
    seen = [path.resolve() for path in paths]
    twice = [path for path in seen if seen.count(path) > 1]
    if twice:
        raise InputError(f"{twice[0]}: given twice; allowed: each video once")


def _header(
    names: list[str], frames: list[Frames], timings: tuple[Timing, ...], digest: str | None
) -> dict[str, Any]:
    videos = [
        {
            "source": name,
            "frames": timing.num_frames,
            "size_px": [one.info.width_px, one.info.height_px],
        }
        for name, one, timing in zip(names, frames, timings, strict=True)
    ]
    labels = {} if digest is None else {"labels": digest}
    return {"videos": videos, "reach_s": timings[0].reach_s, **labels}


def _classes(settings: ProjectSettings, imported: _Imported) -> tuple[str, ...]:
    both = dict.fromkeys([*imported.classes, *settings.classes])
    return tuple(both)


def _subject(name: str, frames: Frames, labelled: LabelledVideo | None) -> Subject:
    seen = None if labelled is None or labelled.labelled_frames is None else (
        tuple(labelled.labelled_frames.tolist())
    )  # fmt: skip
    return Subject(
        source=name,
        info=frames.info,
        split="" if labelled is None else labelled.split,
        tags={} if labelled is None else labelled.tags,
        labelled=seen,
    )


def _put_imported(project: Project, imported: _Imported, found: dict[Path, LabelledVideo]) -> None:
    for number, path in enumerate(project.paths):
        video = found.get(path.absolute())
        if video is None or video.tracks is None:
            continue
        timing = project.journal.document.timings[number]
        table = _within(video.tracks, timing.num_frames, path, project.notes)
        if imported.is_model:
            tracks = dict(enumerate(model_tracks(table, timing.times_s), 1))
        else:
            tracks, single = label_tracks(table, timing.times_s)
            if single:
                project.notes.append(
                    f"{path.name}: {single} boxes have no track id; each is a track of its own"
                )
        put(project.journal, number, tracks, who=MODEL if imported.is_model else IMPORT)


def put(journal: Journal, video: int, tracks: dict[int, Track], *, who: str) -> None:
    """Tracks of a model or a label file into the document."""
    given = {str(number): to_json(track) for number, track in tracks.items()}
    action = {"do": "put", "video": video, "tracks": given}
    # Through JSON, so that the document equals the one that a replay gives.
    journal.commit(json.loads(json.dumps(action)), id=f"{who}-{journal.n + 1}", who=who)


def _within(table: TrackTable, num_frames: int, path: Path, notes: list[str]) -> TrackTable:
    beyond = int(np.count_nonzero(table.frames >= num_frames))
    if beyond:
        notes.append(f"{path.name}: {beyond} boxes beyond its last frame {num_frames - 1} left out")
    return table[table.frames < num_frames]
