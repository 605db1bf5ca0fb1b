"""InferSettings: the one source of defaults for library, command line, live, bench and tune.

A field is a setting: its name is the option, the key in ``settings.toml`` and the attribute. Help,
range and default stand in the field and nowhere else; ``cli/options.py`` makes the options of them.
Nothing here imports numpy, so ``--help`` does not wait.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

from vodkit.detect.defaults import (
    CANDIDATE_SCORE,
    HEAD_SUFFIXES,
    MAX_DETECTIONS,
    NETWORK,
    PROMPT_MODEL,
    SCORE_THRESHOLD,
    check_grid,
    check_size,
    prompt_threshold,
)
from vodkit.ground.errors import SettingsError
from vodkit.ground.settings import check_ranges, setting

NO_TRACKER = "none"
COLOUR = "colour"
AUTO = "auto"
FULL = "full"
FILM, STILLS = "film", "stills"
OFF, LINKS, LINKS_BOTH = "off", "links", "links-both"


@dataclass(frozen=True, kw_only=True)
class InferSettings:
    """Everything that can change the result of a run; saved as ``settings.toml``."""

    model: str = setting(
        "vodkit-street",
        "Model: a name (`vodkit models`) or its unambiguous start, a checkpoint, or a graph file.",
        flags=("--model", "-m"),
    )
    tracker: str = setting(
        "vodkit", "Name of a tracker; none: detections only.", flags=("--tracker", "-t")
    )
    tracker_settings: tuple[str, ...] = setting(
        (), "Tracker setting, name=value (repeatable); `help` lists them.", flags=("--set",)
    )
    score_threshold: float = setting(
        SCORE_THRESHOLD, "Drop detections with a lower score.", low=0, below=1
    )
    max_detections: int = setting(
        MAX_DETECTIONS, "Detections kept in a frame, best first; the rest is counted.", low=1
    )
    classes: tuple[str, ...] = setting(
        (), "Detect only these classes, comma separated.", commas=True
    )
    prompts: tuple[str, ...] = setting(
        (), "Detect what words describe: 'a red cup', or 'a red cup=cup' to name its class "
        "(repeatable; models: owlv2-base, grounding-dino-tiny, ...).", flags=("--prompt",),
    )  # fmt: skip
    every: int | str = setting(
        1,
        "Detect in every n-th frame; auto: in key frames chosen by motion, filled between.",
        low=1,
    )
    batch_size: int = setting(
        0, "Frames given to the detector at once; 0: what the detector prefers.", low=0
    )
    runtime: str = setting(
        AUTO,
        "What runs the network: openvino, onnx, torch, ...; auto: fastest with matching outputs.",
    )
    device: str = setting(AUTO, "auto, cpu, cuda, cuda:1, ...")
    size: str = setting(
        NETWORK,
        "Input size of the network: pixels as 640, or 640x384; auto: by objects on sample frames.",
    )
    decode: str = setting(
        NETWORK,
        "Picture size that frames are decoded to: network (fast) or full (tiles, crops: always).",
        choices=(NETWORK, FULL),
    )
    temporal: str = setting(
        OFF,
        "Use the frames of some seconds: links (frames before), links-both (and after: files "
        "only, 2.4 s late), a head of `vodkit train --temporal`, off.",
    )
    tiles: str = setting("", "Tiles for small objects: auto, or columns x rows as 3x2.")
    appearance: str = setting(
        "",
        "Embeddings of detections: colour, roi, a trained head, or an OSNet file.",
    )
    cuts: bool = setting(True, "Detect shot changes; no track continues across one.")
    lenient: bool = setting(False, "Skip and count frames that cannot be decoded.")
    picture_rate: str = setting(
        "",
        "Pictures a second in a folder, as 10 or 30000/1001; default: seqinfo.ini, else 25.",
    )
    pictures: str = setting(
        AUTO,
        "What the pictures of a folder are: a film, stills (each for itself); auto: by their "
        "names, sizes and likeness.",
        choices=(AUTO, FILM, STILLS),
    )
    after: str = setting("", "Run folder of the file before this one; its tracks continue.")
    lines: tuple[str, ...] = setting(
        (), "Report crossings of a line: [[source/]name=]x1,y1,x2,y2 (repeatable).",
        flags=("--line",),
    )  # fmt: skip
    zones: tuple[str, ...] = setting(
        (), "Report visits to a zone: [[source/]name=]x1,y1,x2,y2,x3,y3,... (repeatable).",
        flags=("--zone",),
    )  # fmt: skip
    events: tuple[str, ...] = setting(
        (), "Setting of events, name=value (repeatable); `vodkit events --set help` lists them.",
        flags=("--event",),
    )  # fmt: skip
    ahead: int | None = setting(
        None,
        "Frames decoded before they are asked for; 0: none, in one thread.",
        low=0,
        hidden=True,
    )

    def __post_init__(self) -> None:
        """Check ranges, and combinations that contradict each other."""
        check_ranges(self)
        if self.prompts:
            self._settle_prompts()
        every = self.every
        if isinstance(every, str) and every != AUTO:
            if not every.isdecimal():
                raise SettingsError(f"every is {every!r}; allowed: auto, or a whole number from 1")
            object.__setattr__(self, "every", int(every))
            check_ranges(self)
        check_size(self.size)
        if self.tiles:
            check_grid(self.tiles)
        if self.temporal != OFF and self.tiles:
            raise SettingsError(f"temporal is {self.temporal} with tiles; allowed: one of the two")
        if not self.has_head and self.temporal not in (OFF, LINKS, LINKS_BOTH):
            allowed = f"{OFF}, {LINKS}, {LINKS_BOTH}, or a file: {', '.join(HEAD_SUFFIXES)}"
            raise SettingsError(f"temporal is {self.temporal!r}; allowed: {allowed}")
        if self.is_sparse and self.is_delayed:
            seen = f"temporal is {self.temporal}, which uses later frames, every is auto"
            raise SettingsError(f"{seen}; allowed: {LINKS}, or a causal head")
        assert self.rate is None or self.rate > 0
        if self.picture_rate and self.pictures == STILLS:
            raise SettingsError(f"pictures are {STILLS}, picture_rate is given; stills have none")
        if self.lines or self.zones or self.events:
            self._check_events()
        if self.tracker == NO_TRACKER:
            self._check_without_tracker()

    def _settle_prompts(self) -> None:
        """Where prompts are given: a model that takes them, and its own threshold."""
        if self.model == type(self).model:
            object.__setattr__(self, "model", PROMPT_MODEL)
        if self.score_threshold == SCORE_THRESHOLD:
            object.__setattr__(self, "score_threshold", prompt_threshold(self.model))
        if self.temporal.endswith(".safetensors"):
            raise SettingsError(f"temporal is {self.temporal} with prompts; allowed: links, off")

    def _check_without_tracker(self) -> None:
        if self.is_sparse:
            raise SettingsError("every is auto, tracker is none; auto fills frames from tracks")
        if self.after:
            raise SettingsError(f"after is {self.after}, tracker is none; no tracks to continue")
        if self.tracker_settings:
            raise SettingsError(f"tracker is none, but has settings {self.tracker_settings}")

    def _check_events(self) -> None:
        """Refuse what no video could have; whether it is in the picture is known later."""
        from vodkit.infer.event_settings import check_words  # imports numpy

        if not self.tracks:
            raise SettingsError("tracker is none; lines, zones and events need tracks")
        check_words(self.lines, self.zones, self.events)

    def require_sources(self, names: Sequence[str]) -> None:
        """SettingsError where a line or zone is of a source that is none of these run folders."""
        for word in (*self.lines, *self.zones):
            source, _ = _of_source(word)
            if source and source not in names:
                message = f"{word.partition('=')[0]}: {source} is no source of this command"
                raise SettingsError(f"{message}; allowed: {', '.join(names)}")

    @property
    def names_sources(self) -> bool:
        """Whether a line or zone is of one source only."""
        return any(_of_source(word)[0] for word in (*self.lines, *self.zones))

    def for_source(self, name: str) -> "InferSettings":
        """The settings of one run: lines and zones of other sources are left out.

        >>> wanted = InferSettings(lines=("mid=0,0,9,9", "yard/gate=1,1,5,5"))
        >>> wanted.for_source("yard").lines, wanted.for_source("door").lines
        (('mid=0,0,9,9', 'gate=1,1,5,5'), ('mid=0,0,9,9',))
        """
        lines, zones = (
            tuple(word for source, word in map(_of_source, words) if source in ("", name))
            for words in (self.lines, self.zones)
        )
        same = (lines, zones) == (self.lines, self.zones)
        return self if same else replace(self, lines=lines, zones=zones)

    @property
    def rate(self) -> Fraction | None:
        """``picture_rate`` as a number; None: not given."""
        if not self.picture_rate:
            return None
        from vodkit.formats.base import rate_from  # imports numpy

        try:
            return rate_from(self.picture_rate)
        except ValueError as error:
            raise SettingsError(f"picture_rate: {error}") from error

    @property
    def is_sparse(self) -> bool:
        """Whether key frames only are detected, and the frames between filled."""
        return self.every == AUTO

    @property
    def stride(self) -> int:
        """Frames from one that is worked on to the next."""
        return self.every if isinstance(self.every, int) else 1

    @property
    def candidate_score(self) -> float:
        """Score below which the detector drops boxes: lower where frames are averaged."""
        return (
            self.score_threshold
            if self.temporal == OFF
            else min(CANDIDATE_SCORE, self.score_threshold)
        )

    @property
    def has_head(self) -> bool:
        """Whether ``temporal`` names the file of a head."""
        return self.temporal.endswith(HEAD_SUFFIXES)

    @property
    def is_delayed(self) -> bool:
        """Whether a frame's result needs frames after it."""
        if not self.has_head:
            return self.temporal == LINKS_BOTH
        from vodkit.detect.temporal_head import uses_later_frames  # imports numpy

        return uses_later_frames(Path(self.temporal))

    @property
    def tracks(self) -> bool:
        """Whether objects get ids."""
        return self.tracker != NO_TRACKER


@dataclass(frozen=True, kw_only=True)
class RollSettings:
    """When a file of predictions is closed and the next one begun."""

    roll_s: float = setting(
        0.0, "Live sources: seconds in one file of predictions; 0: one file.", low=0
    )
    keep: int = setting(0, "With --roll-s: files to keep, older ones are deleted; 0: all.", low=0)

    def __post_init__(self) -> None:
        """Check ranges."""
        check_ranges(self)
        if self.keep and not self.roll_s:
            raise SettingsError(f"keep is {self.keep} without roll_s; there is one file only")


@dataclass(frozen=True, kw_only=True)
class OutputSettings:
    """Where results go, in which forms, and what becomes of those that exist."""

    out: str = setting(
        "runs",
        "Folder or URL (s3://...); each source gets its own in it.",
        flags=("--out", "-o"),
    )
    video: bool = setting(False, "Also write annotated.mp4.")
    csv: bool = setting(False, "Also write predictions.csv.")
    mot: bool = setting(False, "Also write MOTChallenge lines.")
    coco: bool = setting(False, "Also write COCO results.")
    include_predicted: bool = setting(
        False, "Export boxes of hidden objects, too (csv, mot, coco)."
    )
    segments: bool = setting(False, "The sources are one recording, in this order: ids continue.")
    continues: bool = setting(
        False,
        "The recording continues in a file of a later command (--after): no object ends here.",
    )
    resume: bool = setting(False, "Continue a run that was stopped.")
    overwrite: bool = setting(False, "Discard the results of an earlier run.")

    @property
    def exports(self) -> list[str]:
        """Other forms of the result, by the names of ``infer.exports``."""
        forms = {"csv": self.csv, "mot": self.mot, "coco": self.coco, "video": self.video}
        return [name for name, is_wanted in forms.items() if is_wanted]


def _of_source(word: str) -> tuple[str, str]:
    """The source that a line or zone names, or empty, and the line or zone without it.

    >>> _of_source("yard/gate=1,1,5,5"), _of_source("1,1,5,5")
    (('yard', 'gate=1,1,5,5'), ('', '1,1,5,5'))
    """
    name, equals, numbers = word.rpartition("=")
    source, _, name = name.rpartition("/")
    return source, f"{name}{equals}{numbers}"


def differences(one: InferSettings, other: InferSettings) -> list[tuple[str, Any, Any]]:
    """Name and both values of every field in which two settings differ."""
    pairs = [(f.name, getattr(one, f.name), getattr(other, f.name)) for f in fields(one)]
    return [(name, a, b) for name, a, b in pairs if a != b]
