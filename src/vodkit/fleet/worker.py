"""One process at work on a tree: the next video, its run folder, its upload.

Results in a bucket are made in a folder of this machine and uploaded at the end of each video (and
from time to time during long ones), ``manifest.json`` last: what has a manifest that says complete
is complete. A run that another worker left unfinished is resumed from what it uploaded.
"""

import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Literal

from vodkit.detect.base import Detector
from vodkit.fleet.failures import MOST_DEATHS, Failure, failure_of, fatal_failure
from vodkit.fleet.pieces import detect_in_pieces
from vodkit.fleet.place import Place
from vodkit.fleet.settings import FleetSettings
from vodkit.fleet.sources import Item
from vodkit.fleet.tree import Record, Tree
from vodkit.ground import runs
from vodkit.ground.errors import BusyError, InputError, OutputError, StorageError, VideoError
from vodkit.infer.batch import Batch, Outcome, Watch
from vodkit.infer.filming import Film
from vodkit.infer.flow import make_detector
from vodkit.infer.folder import RunFolder
from vodkit.infer.manifest import describe
from vodkit.infer.run import Step

State = Literal["done", "partial", "failed", "busy"]
_MADE = (
    runs.MANIFEST, runs.SETTINGS, *runs.RECORDED, runs.CAMERA_MOTION, runs.TRACKER, runs.MEMORY,
    runs.PREDICTIONS, runs.EVENTS, runs.OBJECTS, runs.REFINED, *runs.EXPORTS.values(),
    runs.METRICS, runs.REPORT, runs.EXPORTS["csv"] + runs.TABLE_METADATA,
)  # fmt: skip
"""what a run and its readers leave in a folder; the manifest is deleted first"""
_RESUMED = (
    runs.SETTINGS, *runs.RECORDED, runs.PREDICTIONS, runs.MANIFEST,
)  # fmt: skip
"""what a run is resumed from; the rest is made anew"""
_UPLOAD_TRIES = 4


class LostClaimError(BusyError):
    """Another worker took this video over, since this one was silent for too long."""


@dataclass(frozen=True, kw_only=True)
class Result:
    """What became of one video."""

    uri: str
    name: str
    """of its run folder in the tree"""
    state: State
    """busy: another worker has it"""
    failure: Failure | None = None
    notes: tuple[str, ...] = ()
    num_frames: int = 0


class Worker:
    """A loaded detector and the tree that it works on."""

    def __init__(
        self,
        tree: Tree,
        mine: Record,
        fleet: FleetSettings,
        *,
        film: Film | None = None,
        notify: Callable[[str], None] = lambda _note: None,
    ) -> None:
        """Begin the tree, or take part in it, and load its detector.

        Args:
            tree: where results go.
            mine: what this worker was asked for.
            fleet: how videos are shared.
            film: what writes videos with boxes.
            notify: called with what the user should know.
        """
        self._tree, self._fleet, self._film, self._notify = tree, fleet, film, notify
        self.detector, self.record = _joined(tree, mine)

    def work(self, item: Item, *, tries: int = 1, watch: Watch = lambda s, _: s) -> Result:
        """One video, into its run folder; what failed is recorded in the tree.

        Args:
            item: the video.
            tries: how often it was tried, this time included.
            watch: see ``Batch.run``.

        Raises:
            SettingsError, WeightsError, OutputError: nothing that is the video's fault.
        """
        try:
            with self._folder(item) as folder:
                outcome = self._run(item, folder, watch)
                _raise_ours(outcome)
                if self._tree.place.is_remote and outcome.files:
                    self._upload(folder, patiently=True)
        except BusyError:
            return Result(uri=item.uri, name=item.name, state="busy")
        except (VideoError, StorageError) as error:
            return self._failed(item, error, tries)
        except InputError:
            raise
        except Exception as error:  # noqa: BLE001 - one video stops no other
            return self._failed(item, error, tries)
        if outcome.errors:
            state: State = "partial" if outcome.files else "failed"
            return self._failed(item, outcome.errors[0], tries, state=state, notes=outcome.notes)
        self._tree.failures.forget(item.name)
        frames = 0 if outcome.manifest is None else outcome.manifest.num_frames or 0
        return Result(
            uri=item.uri, name=item.name, state="done", notes=outcome.notes, num_frames=frames
        )

    def given_up(self, item: Item) -> Result:
        """Record a video that ended its process each time."""
        return self._recorded(item, fatal_failure(item, tries=MOST_DEATHS))

    def _failed(
        self,
        item: Item,
        error: Exception,
        tries: int,
        *,
        state: State = "failed",
        notes: Sequence[str] = (),
    ) -> Result:
        failure = failure_of(item, error, tries=tries)
        return replace(self._recorded(item, failure), state=state, notes=tuple(notes))

    def _recorded(self, item: Item, failure: Failure) -> Result:
        self._tree.failures.record(failure)
        return Result(uri=item.uri, name=item.name, state="failed", failure=failure)

    @contextmanager
    def _folder(self, item: Item) -> Iterator[Path]:
        """The run folder: in a local tree itself, else a temporary one with what was uploaded."""
        place = self._tree.place
        if not place.is_remote:
            yield Path(place.url) / item.name
            return
        with tempfile.TemporaryDirectory(prefix="vodkit-") as scratch:
            folder = Path(scratch) / item.name
            folder.mkdir()
            place.download(item.name, folder, _RESUMED)
            yield folder

    def _run(self, item: Item, folder: Path, watch: Watch) -> Outcome:
        replaced = self._is_replaced(item, folder)
        if replaced:
            self._notify(f"{item.uri}: the file was replaced since its run; run again")
            if self._tree.place.is_remote:
                self._tree.place.delete(*(f"{item.name}/{name}" for name in _MADE))
        pieces = self._fleet.pieces
        batch = Batch(
            [item.uri],
            self.record.settings,
            out=folder.parent,
            names=[folder.name],
            exports=self.record.exports,
            film=self._film,
            include_predicted=self.record.include_predicted,
            resume=not replaced,
            overwrite=replaced,
            notify=self._notify,
            detector=self.detector,
            record=partial(detect_in_pieces, count=pieces) if pieces > 1 else None,
        )
        (outcome,) = batch.run(lambda steps, source: self._kept(watch(steps, source), folder))
        return outcome

    def _is_replaced(self, item: Item, folder: Path) -> bool:
        """Whether a run here is of another file at the same place; its version is kept current."""
        run = RunFolder(folder)
        there = run.manifest()
        if there is None or there.source_version == item.version:
            return False
        now = describe(item.uri, self.detector, self.record.settings)
        same = replace(now, source_sha256=there.source_sha256, source_version=there.source_version)
        if there.difference(now):
            return not there.difference(same)
        current = replace(there, source_version=now.source_version)
        runs.write_json(folder / runs.MANIFEST, current.to_json())
        return False

    def _kept(self, steps: Iterable[Step], folder: Path) -> Iterator[Step]:
        """The steps of a run; what is done of a long one is uploaded from time to time."""
        every_s = self._fleet.upload_s
        before_s = time.monotonic()
        for step in steps:
            yield step
            if self._tree.place.is_remote and time.monotonic() - before_s > every_s:
                self._upload(folder)
                before_s = time.monotonic()

    def _upload(self, folder: Path, *, patiently: bool = False) -> None:
        """Copy the run into the tree; a store that does not answer is asked again."""
        for attempt in range(1, _UPLOAD_TRIES + 1):
            try:
                self._tree.place.upload(folder, folder.name, last=runs.MANIFEST)
            except StorageError as error:
                if not patiently:
                    self._notify(f"{error}; the next upload may succeed")
                elif attempt == _UPLOAD_TRIES or not error.is_transient:
                    raise
                else:
                    time.sleep(self._fleet.pause_s * 2 ** (attempt - 1))
                    continue
            return


def _raise_ours(outcome: Outcome) -> None:
    """Raise what is no fault of the video, as a full disk."""
    for error in outcome.errors:
        if isinstance(error, OutputError):
            raise error


def _joined(tree: Tree, mine: Record) -> tuple[Detector, Record]:
    """The detector, with the runtime that the first worker of the tree chose, and the record."""
    there = tree.record()
    if there is not None:
        there = tree.join(mine)
        return make_detector(there.settings), there
    detector = make_detector(mine.settings)
    chosen = replace(mine.settings, runtime=detector.runs_on.runtime)
    record = tree.join(replace(mine, settings=chosen))
    if record.settings.runtime != chosen.runtime:  # another worker was first
        return make_detector(record.settings), record
    return detector, record


def place_of(tree: Tree, name: str) -> str:
    """Path or URL of a run folder, for messages."""
    place: Place = tree.place
    return f"{place.url}/{name}" if place.is_remote else str(Path(place.url) / name)
