"""Many videos, each into a run folder of its own, with the guarantees of the command line.

::

    batch = Batch(["a.mp4", "b.mp4"], InferSettings(tracker="sort"), out="runs", exports=["csv"])
    for outcome in batch.run():
        print(outcome.source, outcome.summary, outcome.files, outcome.errors)

All that can be known is checked before anything is deleted, and a source that fails stops no other.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from vodkit.detect.base import Detector, RunsOn
from vodkit.formats.table import read_dataset, write_dataset
from vodkit.ground import runs
from vodkit.ground.errors import PartialError, SettingsError, VodkitError
from vodkit.ground.lookup import pick
from vodkit.infer.exports import export
from vodkit.infer.filming import Film, OnePass
from vodkit.infer.flow import make_detector, with_size
from vodkit.infer.folder import RunFolder, canonical, folder_names
from vodkit.infer.manifest import Manifest, describe
from vodkit.infer.run import (
    Record,
    Step,
    check_after,
    check_sources,
    is_done,
    require_frames,
    require_video,
    run_source,
)
from vodkit.infer.settings import AUTO, InferSettings
from vodkit.infer.stills import (
    pictures_of,
    require_stills_only,
    run_stills,
    settings_of_stills,
    stills_among,
)
from vodkit.infer.summary import Summary

Watch = Callable[[Iterable[Step], str], Iterable[Step]]
"""passes the steps of a source on, as a progress bar does"""


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What became of one source."""

    source: str
    folder: RunFolder
    files: tuple[Path, ...] = ()
    """results, the predictions first; empty: it failed"""
    errors: tuple[VodkitError, ...] = ()
    """PartialError: there is a result, but something is missing in it"""
    notes: tuple[str, ...] = ()
    manifest: Manifest | None = None
    """with the counts of the run (``summary``); None: it failed before it began"""
    is_new: bool = True
    """False: the run was complete before"""

    @property
    def summary(self) -> Summary | None:
        """What the run found; None: it failed."""
        counts = None if self.manifest is None else self.manifest.summary
        return None if counts is None else Summary(**counts)


class Batch:
    """A detector, and sources that wait for it."""

    def __init__(
        self,
        sources: Sequence[str],
        settings: InferSettings | None = None,
        *,
        out: str | Path = "runs",
        exports: Sequence[str] = (),
        film: Film | None = None,
        include_predicted: bool = False,
        segments: bool = False,
        continues: bool = False,
        resume: bool = False,
        overwrite: bool = False,
        notify: Callable[[str], None] = lambda _note: None,
        detector: Detector | None = None,
        names: Sequence[str] = (),
        record: Record | None = None,
    ) -> None:
        """Check everything, load the detector, and make the run folders ready.

        Args:
            sources: files, or folders of pictures: films, or still pictures, not both.
            settings: of all runs; of still pictures without what needs a clock.
            out: where the run folders are to be.
            exports: other forms of the result: csv, mot, coco, video.
            film: what draws video, as ``report.annotate.film``.
            include_predicted: exports contain boxes of hidden objects, too.
            segments: the sources are one recording, in this order: ids continue.
            continues: the recording continues in a file of a later batch (``settings.after``):
                no object ends with the last file.
            resume: continue runs that exist.
            overwrite: discard runs that exist.
            notify: called with what the user should know.
            detector: one that is loaded already; default: the one that ``settings`` ask for.
            names: of the run folders; default: made of the sources.
            record: see ``run_source``.

        Raises:
            InputError: a source, a setting or a folder that cannot be used; nothing was changed.
        """
        if resume and overwrite:
            raise SettingsError("--resume continues, --overwrite starts over; give one of the two")
        for name in exports:
            pick(runs.EXPORTS, name, "export")
        settings = settings or InferSettings()
        self.sources = list(sources)
        check_sources(self.sources)
        canonical(settings)
        if len(self.sources) == 1:  # of several, one that fails stops no other
            require_video(self.sources[0])
        stills = stills_among(self.sources, settings, notify=notify)
        self.of_stills = bool(stills)
        if stills:
            refused = [f"--{name}" for name in exports if name != "coco"]
            refused += ["--segments"] * segments + ["--after"] * bool(settings.after)
            refused += ["--continues"] * continues
            has_events = settings.lines or settings.zones or settings.events
            refused += ["--line, --zone, --event"] * bool(has_events)
            require_stills_only(stills, self.sources, refused)
            settings = settings_of_stills(settings)
        names = names or folder_names(self.sources)
        self.folders = [RunFolder(Path(out) / name) for name in names]
        self._exports, self._film = exports, film
        self._include_predicted, self._resume, self._notify = include_predicted, resume, notify
        paths = [folder.path for folder in self.folders]
        check_after(settings, paths)
        settings.require_sources([path.name for path in paths])
        self._settings = [settings.for_source(path.name) for path in paths]
        self._continues = [continues] * len(paths)
        if segments:
            self._continues[:-1] = [True] * (len(paths) - 1)
            before = zip(self._settings[1:], paths[:-1], strict=True)
            self._settings[1:] = [replace(one, after=str(path)) for one, path in before]
        how = {"resume": resume, "overwrite": overwrite}
        pairs = list(zip(self.folders, self._settings, strict=True))
        begun = [folder for folder, one in pairs if folder.check(one, **how)]
        settings = self._with_size(settings, begun)
        self._settings = [replace(one, size=settings.size) for one in self._settings]
        pairs = list(zip(self.folders, self._settings, strict=True))
        self._record = record
        self.detector: Detector = detector or make_detector(
            settings, runs_on=_began_on(settings, begun)
        )
        for source, folder in zip(self.sources, self.folders, strict=True):
            if overwrite and (folder / runs.PREDICTIONS).exists() and not stills:
                require_frames(source, settings)
        for folder, one in pairs:
            folder.prepare(one, **how)

    def _with_size(self, settings: InferSettings, begun: Sequence[RunFolder]) -> InferSettings:
        """With the input size that runs to resume had chosen, or that is chosen now."""
        seen = sorted({folder.settings.size for folder in begun} - {AUTO})
        if settings.size != AUTO or not seen:
            sources = pictures_of(self.sources) if self.of_stills else self.sources
            return with_size(settings, sources, notify=self._notify)
        if len(seen) > 1:
            message = f"size is auto, but the runs to resume have {', '.join(seen)}"
            raise SettingsError(f"{message}; resume them one at a time")
        return replace(settings, size=seen[0])

    def run(self, watch: Watch = lambda steps, _source: steps) -> Iterator[Outcome]:
        """Run one source after the other, and report what became of each.

        Args:
            watch: is given the steps of each source, and yields them, as a progress bar does.
        """
        for source, folder, one in zip(self.sources, self.folders, self._settings, strict=True):
            yield self._run_one(source, folder, one, watch)

    def _run_one(
        self, source: str, folder: RunFolder, settings: InferSettings, watch: Watch
    ) -> Outcome:
        """Exports of an unfinished run are of a part of the video: they are made anew."""
        about: dict[str, Any] = {"source": source, "folder": folder}
        wanted, is_new = set(self._exports), True
        errors: list[VodkitError] = []
        film: OnePass | None = None
        steps: Iterator[Step] = iter(())
        try:
            if self.of_stills:  # a run that was complete is read again: they are on record
                steps = run_stills(source, folder, self.detector, settings)
            elif self._resume and is_done(
                source, folder, self.detector, settings, notify=self._notify
            ):
                is_new = False
            else:
                wanted |= {n for n, file in runs.EXPORTS.items() if (folder / file).exists()}
                if self._film is not None and "video" in wanted:
                    film = OnePass(self._film, folder / runs.EXPORTS["video"], source)
                steps = run_source(
                    source,
                    folder,
                    self.detector,
                    settings,
                    record=self._record,
                    film=film,
                    continues=self._continues[self.folders.index(folder)],
                )
            for _ in watch(steps, source) if is_new else ():
                pass
        except PartialError as error:
            errors = [error]
        except VodkitError as error:
            return Outcome(**about, errors=(error,))
        result = folder / (runs.STILLS if self.of_stills else runs.PREDICTIONS)
        files = {name: folder / file for name, file in runs.EXPORTS.items() if name in wanted}
        if self.of_stills:
            written, failed, notes = [*files.values()], list[VodkitError](), list[str]()
            for path in written:  # coco is all that still pictures can have
                write_dataset(read_dataset(result), path, "coco")
        else:
            written, failed, notes = self._export(source, result, files, film)
        manifest = folder.manifest()
        done = Outcome(
            **about,
            files=(result, *written),
            errors=(*errors, *failed),
            notes=(*(() if manifest is None else manifest.notes), *notes),
            manifest=manifest,
            is_new=is_new,
        )
        return replace(done, notes=(*_truncated(done, settings), *done.notes))

    def _export(
        self, source: str, predictions: Path, files: dict[str, Path], film: OnePass | None
    ) -> tuple[list[Path], list[VodkitError], list[str]]:
        """Write what the run itself has not; see ``exports.export``."""
        drawn = film if film is not None and film.is_over else None
        left = {name: path for name, path in files.items() if drawn is None or name != "video"}
        written: list[Path] = []
        failed: list[VodkitError] = []
        notes: list[str] = []
        if left:
            try:
                written, failed, notes = export(
                    predictions,
                    left,
                    film=self._film,
                    source=source,
                    include_predicted=self._include_predicted,
                )
            except VodkitError as error:
                failed = [error]
        if drawn is not None:
            notes += drawn.notes
            failed += [] if drawn.error is None else [drawn.error]
            written += [files["video"]] if isinstance(drawn.error, PartialError | None) else []
        return written, failed, notes


def _truncated(done: Outcome, settings: InferSettings) -> Iterator[str]:
    """A note where frames have more detections than are kept."""
    count = 0 if done.summary is None else done.summary.num_truncated
    if count:
        kept = f"the best {settings.max_detections} are kept (--max-detections)"
        yield f"{done.source}: {count} frames have more detections; {kept}"


def _began_on(settings: InferSettings, begun: Sequence[RunFolder]) -> RunsOn | None:
    """The runtime and device that unfinished runs to resume had chosen, if they were to choose.

    Raises:
        SettingsError: they chose different ones.
    """
    if settings.runtime != AUTO:
        return None
    ran = [folder.settings for folder in begun if not folder.is_complete()]
    seen = sorted({RunsOn(one.runtime, one.device) for one in ran if one.runtime != AUTO})
    if len(seen) > 1:
        names = ", ".join(map(str, seen))
        message = f"runtime is auto, but the runs to resume began with {names}"
        raise SettingsError(f"{message}; resume them one at a time")
    return seen[0] if seen else None


def holds_other_runs(out: Path, sources: Sequence[str], settings: InferSettings) -> bool:
    """Whether any run folder of these sources is of another video or other weights."""
    if not out.exists():
        return False
    detector = make_detector(with_size(settings, sources))
    pairs = zip(folder_names(sources), sources, strict=True)
    return any(
        RunFolder(out / name).other_run(describe(one, detector, settings)) for name, one in pairs
    )
