"""What ran in a run folder, and how it ended: ``manifest.json`` as a frozen record."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from enum import StrEnum
from pathlib import Path
from typing import Any, Self

from vodkit.detect.base import Detector
from vodkit.detect.defaults import NETWORK
from vodkit.detect.input_size import label as input_label
from vodkit.ground import runs
from vodkit.ground.errors import FormatError
from vodkit.ground.text import redacted
from vodkit.infer.handover import tracker_in
from vodkit.infer.settings import InferSettings
from vodkit.video.fingerprint import digest, version_of


class Ended(StrEnum):
    """How a run ended."""

    RUNNING = "running"
    """it did not: it is at work, or was killed"""
    COMPLETE = "complete"
    PARTIAL = "partial"
    """at the end of the video, but some frames could not be decoded"""
    BROKEN = "broken"
    """before the end: by the video, or a disk that is full"""
    STOPPED = "stopped"
    """by the user; live sources only"""


_MADE_FROM = ("source_sha256", "model", "appearance", "temporal", "after_sha256")
_ALWAYS = ("source_sha256", "num_frames")


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """The content of ``manifest.json``; what does not apply to a run is None or empty."""

    source: str
    """as the user named it"""
    source_sha256: str | None = None
    source_version: str = ""
    """size and checksum or time of the file, known without reading it (``video.fingerprint``)"""
    model: Mapping[str, Any] = field(default_factory=dict)
    """name, licence, sha256, classes; input_size, where it was asked for"""
    appearance: Mapping[str, Any] | None = None
    """name and sha256 of what makes embeddings"""
    temporal: Mapping[str, Any] | None = None
    """name and sha256 of the temporal head"""
    after_sha256: str | None = None
    """of the tracker's state that this run continued"""
    runtime: str = ""
    versions: Mapping[str, str] = field(default_factory=dict)
    began: str = ""
    """UTC, ISO 8601; live sources only"""
    num_frames: int | None = None
    summary: Mapping[str, Any] | None = None
    """see ``infer.summary.Summary``"""
    notes: Sequence[str] = ()
    """what was changed or assumed of the source's times, sizes and values (``Video.notes``)"""
    num_cuts: int | None = None
    """shot changes; None: they were not detected"""
    sparse: Mapping[str, Any] | None = None
    """see ``SparseReport``"""
    live: Mapping[str, Any] | None = None
    """frames received and dropped, reconnections, latency, files"""
    sessions: Sequence[Mapping[str, Any]] = ()
    """of earlier sessions in the folder of a live source"""
    latency_s: float | None = None
    """time from a decoded frame to its tracks, one frame at a time, where it was measured"""
    ended: Ended = Ended.RUNNING
    reason: str = ""
    """why the run ended before its time, in words"""

    def to_json(self) -> dict[str, Any]:
        """As a JSON object, without what does not apply."""
        content = asdict(self)
        return {name: v for name, v in content.items() if v or v == 0 or name in _ALWAYS}

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Self:
        """The record of a JSON object; ``ended`` may be a sentence, as old versions wrote it.

        Raises:
            TypeError, ValueError: a field is missing, or ``ended`` has no known first word.
        """
        known = {spec.name for spec in fields(cls)}
        given = {name: value for name, value in content.items() if name in known}
        word, _, words = str(given.get("ended", Ended.RUNNING)).partition(" ")
        given["ended"] = Ended(word.rstrip(":"))
        given["reason"] = given.get("reason") or words.partition(": ")[2] or words
        return cls(**given)

    def difference(self, other: "Manifest") -> str:
        """In which video or weights ``other`` is another run than this one; empty: in none."""
        for name in _MADE_FROM:
            there, now = getattr(self, name), getattr(other, name)
            if there != now:
                return f"{name} is {there} there and {now} now"
        there, now = self.source_version, other.source_version
        if self.source_sha256 is None and there and now and there != now:
            return f"source_version is {there} there and {now} now"
        return ""


def read_manifest(folder: Path) -> Manifest | None:
    """The manifest of the run in a folder; None where there is none.

    Raises:
        FormatError: it is damaged, or another command's.
    """
    path = folder / runs.MANIFEST
    try:
        return Manifest.from_json(json.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise FormatError(f"not the manifest of a run: {error}", path=path) from error


def describe(source: str, detector: Detector, settings: InferSettings) -> Manifest:
    """What is known of a run before it begins: source, weights, licences, versions."""
    card = detector.card
    return Manifest(
        source=redacted(source),
        source_sha256=digest(Path(source)),
        source_version=version_of(source),
        model={
            "name": card.name,
            "licence": card.licence,
            "sha256": card.sha256 or None,
            "classes": list(detector.classes),
            **({} if settings.size == NETWORK else {"input_size": input_label(card)}),
        },
        appearance=_weights(settings.appearance) if settings.appearance else None,
        temporal=_weights(settings.temporal) if settings.has_head else None,
        after_sha256=digest(tracker_in(Path(settings.after))) if settings.after else None,
        runtime=str(detector.runs_on),
        versions=runs.stack(),
    )


def _weights(name: str) -> dict[str, Any]:
    """What a setting names, and its digest where that is a file."""
    path = Path(name)
    return {"name": name, "sha256": runs.sha256(path) if path.is_file() else None}
