"""The Detector protocol, and the model card: what must travel with a weight file.

A card is JSON beside our own checkpoints and TOML beside a foreign graph; both hold the same
fields. Nothing here imports torch, so listing models is instant.
"""

import json
import math
from abc import abstractmethod
from collections.abc import Generator, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple, Protocol, runtime_checkable

from vodkit.detect.defaults import BATCH_SIZE
from vodkit.ground import settings
from vodkit.ground.errors import FormatError, SettingsError, WeightsError
from vodkit.ground.records import Detections, Frame
from vodkit.ground.runs import write_json

RESIZES = ("letterbox", "stretch", "fit")
CHANNELS = ("rgb", "bgr")
LAYOUTS = ("nchw", "nhwc")
DTYPES = ("float32", "uint8")
_MOST_INPUT_AREA = 2**24  # 4096 x 4096: 200 MB as float32
_MOST_CLASSES = 100_000
_MOST_LAG_S = 60
_MOST_NAME_BYTES = 150  # digests and endings are added in file names
_MOST_CARD_BYTES = 2**24
BUSY = 0.75
"""running processes a core, above which times measured here are those of other work"""


class RunsOn(NamedTuple):
    """What runs a network, and where."""

    runtime: str
    """a name in ``RUNTIMES``; python: a detector that is not a network of ours"""
    device: str
    """cpu, cuda:0, ..."""

    def __str__(self) -> str:
        """As reports have it.

        >>> str(RunsOn("openvino", "cpu"))
        'openvino on cpu'
        """
        return f"{self.runtime} on {self.device}"


@dataclass(frozen=True, kw_only=True)
class Trial:
    """What one runtime did when it was tried."""

    runtime: str
    """a name in RUNTIMES; where a GPU and the CPU compete, with the device: ``torch on cuda:0``"""
    one_ms: float = 0.0
    """a picture alone, the best of some"""
    batch_ms: float = 0.0
    """a picture of a batch of four"""
    max_box_px: float = 0.0
    """difference to the reference"""
    max_score: float = 0.0
    refused: str = ""
    """why it was not to be chosen; empty: it was"""
    is_short: bool = False
    """whether the machine lacked threads or memory for it, which it may have another time"""


@dataclass(frozen=True, kw_only=True)
class Choice:
    """Which runtime ``auto`` means here, and how that was found out."""

    runtime: str
    """a name in RUNTIMES; where a GPU and the CPU compete, with the device: ``torch on cuda:0``"""
    trials: tuple[Trial, ...] = ()
    """empty: there was nothing to choose between, or nothing was measured"""
    why: str = ""
    """where there are no trials"""
    load: float = 0.0
    """running processes for each core when it was measured"""
    gpu_fault: str = ""
    """why a GPU that is installed was not tried; empty: it was, or none is installed"""

    @property
    def on_busy_machine(self) -> bool:
        """Whether other work may have decided."""
        return self.load > BUSY

    def line(self) -> str:
        """One line for people.

        >>> Choice(runtime="torch", why="on a GPU").line()
        'runtime: torch (on a GPU)'
        """
        told = "; ".join(
            f"{trial.runtime} {trial.refused}"
            if trial.refused
            else f"{trial.runtime} {trial.one_ms:.1f} ms, {trial.batch_ms:.1f} in a batch"
            for trial in self.trials
        )
        busy = ", while the machine was busy" if self.on_busy_machine else ""
        why = f"measured here{busy}: {told}" if told else self.why
        gpu = f"; the GPU cannot be used: {self.gpu_fault}" if self.gpu_fault else ""
        return f"runtime: {self.runtime} ({why}){gpu}"


@runtime_checkable
class Detector(Protocol):
    """Finds objects in frames; frames of one call are independent of each other.

    A detector that inherits from this class only has to give ``card``, ``classes`` and ``detect``.
    """

    card: "ModelCard"
    """where the weights come from and what may be expected of them"""
    classes: tuple[str, ...]
    """names of the labels that ``detect`` gives, by position"""
    runs_on: RunsOn = RunsOn("python", "cpu")
    """what runs the network"""
    choice: Choice | None = None
    """how the runtime was chosen; None: it was named"""
    batch_size: int = BATCH_SIZE
    """frames it prefers to be given at once"""

    def decode_px(self, width_px: int, height_px: int) -> tuple[int, int] | None:
        """Width and height that frames of this size are best decoded to; None: their own."""
        return self.card.preprocessing.resized_px(width_px, height_px)

    @abstractmethod
    def detect(self, frames: Sequence[Frame]) -> list[Detections]:
        """One Detections a frame, in SOURCE pixels, best score first; empty is legal."""
        ...

    def stream(
        self, frames: Iterable[Frame | None], batch_size: int
    ) -> Iterator[tuple[Frame, Detections]]:
        """Each frame, in order, with what ``detect`` finds in it; some frames are taken ahead.

        ``batch_size``: frames to detect in together, where that is how it works. None among the
        frames: the next one depends on what is found in those before, so at least one of these is
        yielded first.
        """
        yield from by_batches(self, frames, batch_size)


class Around(Detector):
    """A detector around another one, which shares everything with it but what it changes."""

    def __init__(self, detector: Detector) -> None:
        """Take over what is known of ``detector``."""
        self.detector = detector
        self.card, self.classes = detector.card, detector.classes
        self.runs_on, self.choice = detector.runs_on, detector.choice
        self.batch_size = detector.batch_size

    def decode_px(self, width_px: int, height_px: int) -> tuple[int, int] | None:
        """See Detector."""
        return self.detector.decode_px(width_px, height_px)

    def detect(self, frames: Sequence[Frame]) -> list[Detections]:
        """See Detector."""
        found = self.detector.detect(frames)
        return [self.changed(frame, one) for frame, one in zip(frames, found, strict=True)]

    def stream(
        self, frames: Iterable[Frame | None], batch_size: int
    ) -> Iterator[tuple[Frame, Detections]]:
        """See Detector."""
        for frame, found in in_stream(self.detector, frames, batch_size):
            yield frame, self.changed(frame, found)

    @abstractmethod
    def changed(self, frame: Frame, found: Detections) -> Detections:
        """What the inner detector found in a frame, as this one reports it."""
        ...


def in_stream(
    detector: Detector, frames: Iterable[Frame | None], batch_size: int
) -> Generator[tuple[Frame, Detections]]:
    """Each frame with what is in it: without a break where the detector can, or by batches.

    With ``batch_size`` 1 no frame waits for another one. For None see ``Detector.stream``.
    """
    if batch_size > 1:
        yield from detector.stream(frames, batch_size)
    else:
        yield from by_batches(detector, frames, 1)


def by_batches(
    detector: Detector, frames: Iterable[Frame | None], batch_size: int
) -> Iterator[tuple[Frame, Detections]]:
    """Each frame with what ``detect`` finds; None among the frames ends a batch early."""
    batch: list[Frame] = []
    for frame in chain(frames, [None]):
        if frame is not None:
            batch.append(frame)
        if batch and (frame is None or len(batch) == batch_size):
            yield from zip(batch, detector.detect(batch), strict=True)
            batch = []


def _choice(name: str, value: str, allowed: Sequence[str]) -> None:
    if value not in allowed:
        raise SettingsError(f"{name} is {value!r}; allowed: {', '.join(allowed)}")


@dataclass(frozen=True, kw_only=True)
class Preprocessing:
    """How a picture becomes the network's input."""

    width_px: int
    """of the input; with ``fit`` the most the longer side may have"""
    height_px: int
    """of the input; with ``fit`` the length of the shorter side"""
    resize: str = "letterbox"
    """letterbox: keep the aspect, put at the top left, fill the rest; stretch: both sides freely;
    fit: keep the aspect, no more filling than up to the next multiple of 32"""
    fill: tuple[int, ...] = (114, 114, 114)
    """RGB of what lies beyond the picture"""
    channels: str = "rgb"
    """order in which the network wants them: rgb or bgr"""
    scale: float = 1.0
    """input = (value * scale - mean) / std, value in 0..255; mean and std in the order
    of ``channels``"""
    mean: tuple[float, ...] = (0.0, 0.0, 0.0)
    std: tuple[float, ...] = (1.0, 1.0, 1.0)
    layout: str = "nchw"
    """of the network's own input: nchw or nhwc"""
    dtype: str = "float32"
    """of the network's own input: float32 or uint8"""
    motion_lags_s: tuple[float, ...] = ()
    """lags, in seconds, of the earlier frames whose differences follow the three colours as planes
    of their own (``video.motion``); empty: colours alone"""

    def __post_init__(self) -> None:
        """Check the words and the sizes."""
        lags_s = self.motion_lags_s
        if not all(0 < lag_s < _MOST_LAG_S for lag_s in lags_s) or [*lags_s] != sorted(set(lags_s)):
            allowed = f"above 0, below {_MOST_LAG_S}, ascending"
            raise SettingsError(f"preprocessing.motion_lags_s is {lags_s}; allowed: {allowed}")
        _choice("preprocessing.resize", self.resize, RESIZES)
        _choice("preprocessing.channels", self.channels, CHANNELS)
        _choice("preprocessing.layout", self.layout, LAYOUTS)
        _choice("preprocessing.dtype", self.dtype, DTYPES)
        area = self.width_px * self.height_px
        if min(self.width_px, self.height_px) < 1 or area > _MOST_INPUT_AREA:
            seen = f"{self.width_px}x{self.height_px}"
            allowed = f"above 0, up to {_MOST_INPUT_AREA} pixels in all"
            raise SettingsError(f"preprocessing.width_px, height_px are {seen}; allowed: {allowed}")
        lengths = (len(self.fill), len(self.mean), len(self.std))
        if lengths != (3, 3, 3) or 0 in self.std:
            raise SettingsError("preprocessing.fill, mean, std need three numbers each, std not 0")
        if not all(map(math.isfinite, (self.scale, *self.mean, *self.std))):
            raise SettingsError("preprocessing.scale, mean, std; allowed: finite numbers")

    def resized_px(self, width_px: int, height_px: int) -> tuple[int, int]:
        """Width and height of a picture of this size in the network's input, without filling.

        A reader that decodes to this size saves the resizing.

        >>> Preprocessing(width_px=416, height_px=416).resized_px(768, 576)
        (416, 312)
        """
        if self.resize == "stretch":
            return self.width_px, self.height_px
        if self.resize == "letterbox":
            ratio = min(self.width_px / width_px, self.height_px / height_px)
        else:
            short, long = sorted((width_px, height_px))
            ratio = min(self.height_px / short, self.width_px / long)
        return max(int(width_px * ratio + 1e-6), 1), max(int(height_px * ratio + 1e-6), 1)

    @property
    def num_planes(self) -> int:
        """Numbers of a pixel of the input: colours, and differences to earlier frames."""
        return 3 + len(self.motion_lags_s)

    @property
    def any_size(self) -> bool:
        """Whether the size of the input follows the picture's."""
        return self.resize == "fit"


def without_normalisation(wanted: Preprocessing) -> Preprocessing:
    """The same input for a graph that has the normalisation inside: (B, H, W, planes) uint8."""
    return Preprocessing(
        width_px=wanted.width_px,
        height_px=wanted.height_px,
        resize=wanted.resize,
        fill=wanted.fill,
        layout="nhwc",
        dtype="uint8",
        motion_lags_s=wanted.motion_lags_s,
    )


@dataclass(frozen=True, kw_only=True)
class Output:
    """How a graph's outputs become boxes."""

    decoding: str
    """a name in ``decode.DECODINGS``"""
    names: tuple[str, ...] = ()
    """the graph's outputs in the order the decoding wants them; empty: the graph's own order"""
    first_label: int = 0
    """the number the graph gives to the first of ``classes``"""
    nms_iou: float = 0.65
    """boxes of one class that overlap a better one more than this are dropped; 1: the graph has
    done it already"""
    maps: tuple[str, ...] = ()
    """stages of the network whose feature maps (1, C, h, w) follow these outputs, in this order;
    see ``vodkit export --temporal``"""

    def __post_init__(self) -> None:
        """Check the range of the overlap."""
        if not 0 < self.nms_iou <= 1:
            raise SettingsError(f"output.nms_iou is {self.nms_iou}; allowed: above 0, up to 1")


@dataclass(frozen=True, kw_only=True)
class Metric:
    """A number that the weights reach, and on what."""

    name: str
    """AP (over IoU 0.50 to 0.95), AP50, ..."""
    value: float
    data: str


@dataclass(frozen=True, kw_only=True)
class Training:
    """A training that weights went through: from what, on what, how."""

    began_with: str
    """name of the model, and which of its weights"""
    sha256: str
    """of the weight file it began with; empty where there was none, or none is known"""
    licence: str
    """of that file"""
    notes: str
    """of its card: recipe, limits"""
    data: str
    """what was learnt from: file, split, counts, digest of the labels"""
    data_licence: str
    """as its user stated; empty: not stated"""
    settings: dict[str, Any]
    """that were not the defaults"""
    stack: dict[str, Any]
    """versions of what it ran on"""


@dataclass(frozen=True, kw_only=True)
class ModelCard:
    """Everything that must be known of weights to use them rightly."""

    name: str
    family: str
    """a name in ``families.FAMILIES``; ``graph`` for a foreign graph"""
    classes: tuple[str, ...]
    licence: str
    """SPDX identifier of the weights"""
    source: str
    """who made them, from what"""
    preprocessing: Preprocessing
    output: Output
    architecture: dict[str, Any] = field(default_factory=dict)
    """arguments of the family's constructor"""
    expected: tuple[Metric, ...] = ()
    typical_scores: dict[str, float] = field(default_factory=dict)
    """how high the scores of a class are on validation frames (``track.score_scale``), for the
    thresholds of the default tracker; without them a video's own scores say it"""
    sha256: str = ""
    """of the weight file; empty: its publisher gives none"""
    size_bytes: int = 0
    """of the weight file; 0: not known"""
    url: str = ""
    """where the weight file is published; empty: it comes with the package, or was made here"""
    notes: str = ""
    """recipe, limits, what else is worth knowing"""
    trained: tuple[Training, ...] = ()
    """trainings of one's own, the last at the end: the chain of data and licences"""

    def __post_init__(self) -> None:
        """A card without classes, or with one twice, is useless."""
        if not is_plain_name(self.name):
            raise WeightsError(f"card: name is {self.name[:60]!r}; allowed: a name, and no path")
        if len(self.classes) > _MOST_CLASSES:
            seen = f"{len(self.classes)} classes"
            raise WeightsError(f"card of {self.name}: {seen}; allowed: up to {_MOST_CLASSES}")
        if not self.classes or len(set(self.classes)) < len(self.classes):
            raise WeightsError(f"card of {self.name}: classes are {self.classes}; allowed: unique")


def is_plain_name(name: str) -> bool:
    r"""Whether files may be named after it: no folders, no control characters, not hidden.

    >>> is_plain_name("yolox_nano"), is_plain_name("../x"), is_plain_name("a\\nb")
    (True, False, False)
    """
    plain = name.isprintable() and not set("/\\:") & set(name)
    return plain and 0 < len(name.encode()) <= _MOST_NAME_BYTES and not name.startswith(".")


def read_card(path: Path) -> ModelCard:
    """The card in a ``.json`` or ``.toml`` file; unknown fields and types are refused by name."""
    if path.suffix == ".toml":
        return settings.load(ModelCard, toml=path)
    try:
        if path.stat().st_size > _MOST_CARD_BYTES:
            raise FormatError(f"is larger than {_MOST_CARD_BYTES} bytes; no card is", path=path)
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise FormatError(f"cannot read the card: {error}", path=path) from error
    if not isinstance(content, dict):
        raise FormatError("a card is a JSON object", path=path)
    try:
        return settings.build(ModelCard, content)
    except SettingsError as error:
        raise FormatError(str(error), path=path) from error


def write_card(card: ModelCard, path: Path) -> None:
    """Write the card as JSON, atomically; ``read_card`` gives an equal one back."""
    write_json(path, asdict(card))
