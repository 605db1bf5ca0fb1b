"""RunFolder: the folder of one run: claim it, check it, start it, resume it, read it."""

import json
import re
import tomllib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import cached_property
from itertools import count
from pathlib import Path
from typing import Any

from vodkit.detect.base import Detector
from vodkit.detect.models import model_name
from vodkit.detect.open_models import open_name
from vodkit.formats.predictions import Predictions, read_predictions
from vodkit.ground import ledger, runs, settings
from vodkit.ground.errors import FormatError, InputError, OutputError, SettingsError
from vodkit.ground.paths import folder_name, is_taken
from vodkit.ground.text import redacted
from vodkit.infer.follow import tracker_words
from vodkit.infer.manifest import Ended, Manifest, read_manifest
from vodkit.infer.settings import AUTO, InferSettings, differences
from vodkit.track.table import full_settings

ANEW = "--overwrite starts over, as does deleting the folder"
_SAME_RESULT = ("ahead", "pictures")
"""settings that change no result, or not in a folder of one kind"""

_RESULTS = (
    runs.SETTINGS, runs.PREDICTIONS, *runs.RECORDED, runs.TRACKER, runs.MEMORY, runs.EVENTS,
    runs.OBJECTS, runs.PICTURES, runs.STILLS, runs.MANIFEST,
)  # fmt: skip


class RunFolder:
    """A run on disk; see ``vodkit.ground.runs`` for the names of its files."""

    def __init__(self, path: str | Path) -> None:
        """Name the folder; it need not exist yet."""
        self.path = Path(path)

    def __truediv__(self, name: str) -> Path:
        """The path of a file in it."""
        return self.path / name

    @contextmanager
    def claim(self) -> Iterator[None]:
        """Work in the folder, alone. OutputError where another process does."""
        with runs.only_one(runs.make_folder(self.path)):
            yield

    def manifest(self) -> Manifest | None:
        """The manifest; None where there is none. FormatError: it is damaged or another's."""
        return read_manifest(self.path)

    @cached_property
    def settings(self) -> InferSettings:
        """The settings that ran: runtime, device, input size and all tracker settings resolved."""
        return _read_settings(self / runs.SETTINGS)

    @cached_property
    def predictions(self) -> Predictions:
        """The final rows of ``predictions.jsonl``."""
        return read_predictions(runs.predictions_of(self.path))

    @cached_property
    def metrics(self) -> dict[str, Any] | None:
        """The content of ``metrics.json``; None where the run was not evaluated.

        Raises:
            FormatError: it is damaged.
        """
        path = self / runs.METRICS
        try:
            return json.loads(path.read_text(encoding="utf-8")) if path.exists() else None
        except (OSError, ValueError) as error:
            raise FormatError(f"cannot be read: {error}", path=path) from error

    def made(self) -> list[Path]:
        """What runs, and commands that read them, left in the folder: settings apart.

        Also numbered parts of live runs, and what a kill left half written. The manifest is last:
        while it exists, it is known of which video the rest is.
        """
        names = [runs.PREDICTIONS, *runs.RECORDED, runs.TRACKER, runs.MEMORY, runs.REFINED]
        names += [runs.METRICS, runs.REPORT, *runs.EXPORTS.values()]
        names += [runs.EVENTS, runs.OBJECTS, runs.DELIVERED, runs.PICTURES, runs.STILLS]
        names.append(runs.MANIFEST)
        found = []
        for name in map(Path, names):
            numbered = rf"{re.escape(name.stem)}(-\d{{4,}})?{re.escape(name.suffix)}"
            form = re.compile(rf"{numbered}|\.{numbered}\.(part|\w{{8}})")
            paths = self.path.iterdir() if self.path.is_dir() else ()
            found += [path for path in paths if form.fullmatch(path.name) and path.is_file()]
        beside = (path.with_name(path.name + runs.TABLE_METADATA) for path in found)
        found = [*(path for path in beside if path.is_file()), *found]
        return [path for path in found if path.name.startswith(".") or ledger.is_ours(path)]

    def require_free(self) -> None:
        """OutputError where a file of the user has a name that a run writes."""
        for name in [*_RESULTS, *runs.EXPORTS.values()]:
            ledger.require_ours(self / name)
        ledger.require_ours(self / (runs.EXPORTS["csv"] + runs.TABLE_METADATA))

    def _adopt(self) -> None:
        """Count results beside the settings or the manifest of a run as vodkit's own.

        The folder may have been copied without its list, or be of a version that kept none.
        """
        is_run = {"source", "ended"} <= runs.manifest_in(self.path).keys()
        if not is_run and not ledger.is_ours(self / runs.SETTINGS):
            return
        found = [name for name in _RESULTS if (self / name).exists()]
        unknown = [name for name in found if not ledger.is_ours(self / name)]
        if unknown:
            ledger.record(self.path, *unknown)

    def discard(self, *, but: Sequence[str] = ()) -> None:
        """Delete all that ``made`` finds, ``but`` these."""
        for path in self.made():
            if path.name in but:
                continue
            try:
                path.unlink(missing_ok=True)
            except OSError as error:
                raise OutputError(f"cannot be deleted: {error.strerror}", path=path) from error
        ledger.remove_tree(self / runs.SHOWN)

    def check(
        self, wanted: InferSettings, *, resume: bool = False, overwrite: bool = False
    ) -> bool:
        """Whether there is a run to resume; nothing is changed, but that the folder is made.

        Raises:
            OutputError: another process works here, results exist and neither is asked for, or
                they are not of a run.
            SettingsError: the tracker or its settings do not exist, or the settings differ from
                those of the run to resume.
        """
        canonical(wanted)
        with self.claim():  # no other process works here
            self._adopt()
            self.require_free()
        if all(path.name.startswith(".") for path in self.made()):
            return False
        if overwrite:
            there = runs.manifest_in(self.path)
            if there and "source" not in there:
                message = "holds results of another command (its manifest names no video)"
                raise OutputError(f"{message}; choose another folder", path=self.path)
            return False
        if not resume:
            message = "holds results of a run; --resume continues it, --overwrite starts over"
            raise OutputError(message, path=self.path)
        if not (self / runs.SETTINGS).exists():
            message = f"holds results of a run, but no {runs.SETTINGS} that states how"
            raise OutputError(f"{message}; {ANEW}", path=self.path)
        require_same_settings(wanted, self.settings, where=self / runs.SETTINGS)
        return True

    def prepare(
        self, wanted: InferSettings, *, resume: bool = False, overwrite: bool = False
    ) -> None:
        """``check``, then discard what is here but the settings, unless it is to be resumed."""
        if not self.check(wanted, resume=resume, overwrite=overwrite):
            with self.claim():
                self.discard()
                runs.write_atomic(self / runs.SETTINGS, settings.to_toml(canonical(wanted)))

    def write_settings(self, wanted: InferSettings, detector: Detector) -> None:
        """Record what runs: the settings with every choice resolved."""
        ran = replace(
            canonical(wanted),
            runtime=detector.runs_on.runtime,
            device=detector.runs_on.device,
            batch_size=wanted.batch_size or detector.batch_size,
        )
        runs.write_atomic(self / runs.SETTINGS, settings.to_toml(ran))

    def is_complete(self) -> bool:
        """Whether the run here ended with everything done, and all of its lines exist."""
        try:
            manifest = self.manifest()
        except FormatError:
            return False
        path = self / runs.PREDICTIONS
        if manifest is None or manifest.ended != Ended.COMPLETE or not path.exists():
            return False
        with path.open("rb") as file:
            return sum(1 for _ in file) - 1 == manifest.num_frames

    def other_run(self, wanted: Manifest) -> str:
        """In which video or weights the run here differs; empty where it does not, or is none."""
        try:
            there = self.manifest()
        except FormatError:
            return "its manifest is damaged"
        return "" if there is None else there.difference(wanted)

    def refuse_other_run(self, wanted: Manifest) -> None:
        """OutputError where a resumed run would mix the results of two videos or weights."""
        seen = self.other_run(wanted)
        if seen:
            raise OutputError(f"is of another run: {seen}; {ANEW}", path=self / runs.MANIFEST)


def open_run(path: str | Path) -> RunFolder:
    """A finished or stopped run: its ``predictions``, ``settings``, ``metrics``, ``manifest()``.

    Args:
        path: the run folder.

    Raises:
        InputError: the folder holds no predictions, or those of a live run in several files.
    """
    folder = RunFolder(path)
    if not folder.path.is_dir():
        raise InputError(f"{path}: no such folder")
    runs.predictions_of(folder.path)
    return folder


def require_same_settings(wanted: InferSettings, there: InferSettings, *, where: object) -> None:
    """SettingsError where a run would be resumed with settings that may change its result.

    Args:
        wanted: what is asked for; choices left to vodkit (``auto``) fit any that it made.
        there: what the run began with.
        where: names its settings in the error.
    """
    now, there = canonical(wanted), canonical(there)
    resolved = ((AUTO, "runtime"), (AUTO, "device"), (0, "batch_size"), (AUTO, "size"))
    free = {name for value, name in resolved if value in (getattr(now, name), getattr(there, name))}
    differ = [d for d in differences(there, now) if d[0] not in free.union(_SAME_RESULT)]
    if differ:
        seen = "; ".join(f"{name} = {a!r}, requested: {b!r}" for name, a, b in map(_short, differ))
        message = f"{where}: the run to resume has {seen}"
        raise SettingsError(f"{message}; give the same settings, or --overwrite")


def canonical(wanted: InferSettings) -> InferSettings:
    """With the model's full name, and every setting of the tracker, given or not."""
    name = open_name(wanted.model) if wanted.prompts else model_name(wanted.model)
    wanted = replace(wanted, model=name)
    if not wanted.tracks:
        return wanted
    full = full_settings(wanted.tracker, tracker_words(wanted))
    return replace(wanted, tracker_settings=settings.words_of(full))


def _short(difference: tuple[str, Any, Any]) -> tuple[str, Any, Any]:
    """Without the words that two tuples share."""
    name, a, b = difference
    if isinstance(a, tuple):
        return name, [one for one in a if one not in b], [one for one in b if one not in a]
    return difference


def _read_settings(path: Path) -> InferSettings:
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
        return settings.build(InferSettings, values)
    except (OSError, ValueError, SettingsError) as error:
        message = f"{path}: not settings that this version of vodkit writes: {error}"
        raise SettingsError(f"{message}; {ANEW}") from error


def folder_names(sources: Sequence[str]) -> list[str]:
    """A folder name for each source: its stem, numbered where two are alike.

    >>> folder_names(["a/x.mp4", "b/x.mp4", "rtsp://10.0.0.1/cam?user=1"])
    ['x', 'x-2', 'cam']
    >>> folder_names(["rtsp://ann:secret@10.0.0.1"])
    ['10.0.0']
    >>> folder_names(["clip-2.mp4", "clip.mp4", "old/clip.mp4"])
    ['clip-2', 'clip', 'clip-3']
    >>> folder_names([".", "..", ".hidden.mp4"])
    ['source', 'source-2', 'hidden']
    >>> folder_names(["A/Clip.mp4", "b/clip.mp4", "nul.mp4"])
    ['Clip', 'clip-2', '_nul']
    """
    names: list[str] = []
    for source in map(redacted, sources):
        place = source.replace("***@", "").split("?")[0]
        last = place.rstrip("/").replace("\\", "/").split("/")[-1]
        stem = last.rsplit(".", 1)[0] if "." in last[1:] else last
        safe = folder_name(stem)
        number = next(n for n in count(1) if not is_taken(_numbered(safe, n), names))
        names.append(_numbered(safe, number))
    return names


def _numbered(name: str, number: int) -> str:
    return name if number == 1 else f"{name}-{number}"
