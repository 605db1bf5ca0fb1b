"""A tree: the run folders of many videos in one place, and what is known of all of them.

fleet.json            settings, sources and exports of every worker
progress.json         counts of the videos: done, failed, claimed, missing, ...
NAME/                 a run folder (``ground.runs``); manifest.json is written last
failures/NAME.json    why a video has no complete result; all of them: failed.jsonl
claims/NAME.json      which worker has a video at present
"""

import json
import tomllib
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from vodkit.fleet.claims import Claims
from vodkit.fleet.failures import Failure, Failures
from vodkit.fleet.place import Place
from vodkit.fleet.sources import Item
from vodkit.ground import runs, settings
from vodkit.ground.errors import FormatError, SettingsError
from vodkit.infer.folder import canonical, require_same_settings
from vodkit.infer.manifest import Ended
from vodkit.infer.settings import InferSettings

RECORD = "fleet.json"
_FORMAT = "vodkit fleet 1"


@dataclass(frozen=True, kw_only=True)
class Record:
    """What all workers of a tree have in common."""

    settings: InferSettings
    """``runtime`` is what the first worker chose, so that no two results differ by rounding"""
    sources: tuple[str, ...]
    """words of the command line"""
    folder: str = ""
    """that these are relative to, where the first worker ran; empty: none is relative"""
    exports: tuple[str, ...] = ()
    include_predicted: bool = False

    def to_json(self) -> bytes:
        """As ``fleet.json``."""
        content = {"format": _FORMAT, **asdict(self)}
        content["settings"] = settings.to_toml(self.settings)
        return (json.dumps(content, indent=2, ensure_ascii=False) + "\n").encode()

    @classmethod
    def from_json(cls, text: bytes, *, path: str) -> "Record":
        """Read ``fleet.json``. FormatError: it is damaged, or of another version."""
        try:
            content = json.loads(text)
            values = tomllib.loads(content["settings"])
            if content["format"] == _FORMAT:
                return cls(
                    settings=settings.build(InferSettings, values),
                    sources=tuple(content["sources"]),
                    folder=str(content["folder"]),
                    exports=tuple(content["exports"]),
                    include_predicted=bool(content["include_predicted"]),
                )
        except (ValueError, KeyError, TypeError, AttributeError, SettingsError) as error:
            raise FormatError(f"not the record of a tree: {error}", path=path) from error
        seen = f"its format is {content['format']!r}"
        raise FormatError(f"{seen}; this version of vodkit reads {_FORMAT!r}", path=path)


@dataclass(frozen=True, kw_only=True)
class Status:
    """What became of the videos of a tree, by the names of their run folders."""

    done: frozenset[str] = frozenset()
    failed: dict[str, Failure] = field(default_factory=dict)
    """also those of which a part is done"""
    partial: frozenset[str] = frozenset()
    """failed, but the frames before the damage have results"""
    claimed: frozenset[str] = frozenset()
    unfinished: frozenset[str] = frozenset()
    """begun, and nobody is known to work on it"""
    missing: frozenset[str] = frozenset()

    @property
    def finished(self) -> frozenset[str]:
        """Videos that no command works on without being asked to try again."""
        failed = {name for name, one in self.failed.items() if one.kind == "permanent"}
        return self.done | failed

    @property
    def left(self) -> int:
        """Videos that `vodkit runs resume` works on."""
        passing = sum(one.kind == "transient" for one in self.failed.values())
        return passing + len(self.unfinished) + len(self.missing)


class Tree:
    """The root of many runs, here or in a bucket."""

    def __init__(self, url: str) -> None:
        """Name it; it need not exist yet."""
        self.place = Place(url)
        self.failures = Failures(self.place)

    def record(self) -> Record | None:
        """What its workers have in common; None: no worker has begun."""
        text = self.place.read(RECORD)
        return None if text is None else Record.from_json(text, path=f"{self.place}/{RECORD}")

    def join(self, mine: Record) -> Record:
        """Begin the tree, or take part in it; what is recorded then.

        Raises:
            SettingsError: other workers have other settings or exports.
        """
        mine = replace(mine, settings=canonical(mine.settings))
        there = self.record()
        if there is None:
            content = mine.to_json()
            if not self.place.creates:
                self.place.write(RECORD, content)
            elif not self.place.create(RECORD, content):
                return self.join(mine)
            there = self.record() or mine
        self._require_same(mine, there)
        added = tuple(word for word in mine.sources if word not in there.sources)
        if added:
            there = replace(there, sources=(*there.sources, *added))
            self.place.write(RECORD, there.to_json())
        return there

    def _require_same(self, mine: Record, there: Record) -> None:
        where = f"{self.place}/{RECORD}"
        try:
            require_same_settings(mine.settings, there.settings, where=where)
        except SettingsError as error:
            words = str(error).replace(", or --overwrite", ", or another --out")
            raise SettingsError(words) from error
        for name in ("exports", "include_predicted"):
            one, other = getattr(there, name), getattr(mine, name)
            if one != other:
                seen = f"{name} = {one!r}, requested: {other!r}"
                raise SettingsError(
                    f"{where}: the tree has {seen}; give the same, or another --out"
                )

    def manifest(self, name: str) -> dict[str, Any]:
        """The manifest of one run folder; empty where there is none, or a damaged one."""
        return _object(self.place.read(f"{name}/{runs.MANIFEST}") or b"{}")

    def manifests(self) -> dict[str, dict[str, Any]]:
        """The manifests of all run folders, by name; damaged ones are empty."""
        found = self.place.read_all(self.place.names(f"*/{runs.MANIFEST}"))
        return {path.partition("/")[0]: _object(text) for path, text in found.items()}

    def has_exports(self, name: str, exports: Sequence[str]) -> bool:
        """Whether a run folder has these exports; a worker may have been killed before them."""
        wanted = {f"{name}/{runs.EXPORTS[one]}" for one in exports}
        return not wanted or wanted <= {*self.place.names(f"{name}/*")}

    def _exported(self) -> list[set[str]]:
        """For each export of the tree, the run folders that have it."""
        record = self.record()
        files = [] if record is None else [runs.EXPORTS[name] for name in record.exports]
        return [{path.partition("/")[0] for path in self.place.names(f"*/{f}")} for f in files]

    def status(self, items: Iterable[Item], *, claims: Claims | None = None) -> Status:
        """What became of these videos."""
        manifests, failed = self.manifests(), self.failures.all()
        claims = claims or Claims(self.place)
        exported = self._exported()
        kept: dict[str, set[str]] = {
            name: set() for name in ("done", "partial", "claimed", "unfinished", "missing")
        }
        seen: dict[str, Failure] = {}
        held = claims.held()
        for item in items:
            name, manifest = item.name, manifests.get(item.name, {})
            failure = failed.get(name)
            if is_done(item, manifest) and all(name in names for names in exported):
                kept["done"].add(name)
            elif name in held:
                kept["claimed"].add(name)
            elif failure is not None and failure.version == item.version:
                seen[name] = failure
                if manifest.get("num_frames"):
                    kept["partial"].add(name)
            else:
                kept["unfinished" if manifest else "missing"].add(name)
        return Status(failed=seen, **{name: frozenset(names) for name, names in kept.items()})


def is_done(item: Item, manifest: dict[str, Any]) -> bool:
    """Whether a manifest is of a complete run of this video, as it is now."""
    if manifest.get("ended") != Ended.COMPLETE:
        return False
    there = manifest.get("source_version", "")
    return not item.version or not there or item.version == there


def _object(text: bytes) -> dict[str, Any]:
    try:
        found = json.loads(text)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}
