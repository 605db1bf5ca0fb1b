"""Embeddings of detected objects: vectors whose cosine is high for the same object.

Two ways to compute them:

    pooled   from the detector's own feature maps, which are there anyway; raw, or through a small
             head that ``vodkit train --appearance`` made for this very detector
    crops    a network of its own (OSNet) that embeds every box; slower, and it needs full frames

Either is described by a ``ModelCard`` beside its weights. Embeddings are float32 (N, D) of length
1 (or all 0, where a box has no pixels), carried in ``Detections.embeddings``.

Legend: N boxes, F pooled features, D numbers of an embedding.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np

from vodkit.detect.base import Around, Detector, ModelCard, Output, Preprocessing, read_card
from vodkit.detect.preprocess import Placement
from vodkit.detect.roi import roi_align
from vodkit.detect.runtimes.base import Runtime
from vodkit.detect.runtimes.choice import AUTO, choose
from vodkit.detect.runtimes.table import RUNTIMES, Runnable, way
from vodkit.detect.weights import check, digest, read_state
from vodkit.ground.arrays import ByteArray, FloatArray
from vodkit.ground.errors import SettingsError, WeightsError
from vodkit.ground.records import Detections, Frame

if TYPE_CHECKING:
    from torch import nn

ROI = "roi"
"""the name of the untrained way: the detector's own features as they are"""
HEAD_FAMILY, CROP_FAMILY = "appearance-head", "osnet"
STAGES = ("stage2",)
"""at stride 8 features know colour and texture, and not yet only the class"""
BINS = (4, 2)
"""rows and columns a box is cut into; people are recognised by what they wear where"""
_LENGTH_MIN = 1e-12


@dataclass(frozen=True, kw_only=True)
class PoolSettings:
    """Where features are taken from."""

    stages: tuple[str, ...] = STAGES
    """names of the family's stages: stem, stage1 to stage4, neck (its finest map)"""
    bins: tuple[int, ...] = BINS
    """rows and columns that a box is cut into"""

    def __post_init__(self) -> None:
        """Check counts."""
        if not self.stages or len(set(self.stages)) < len(self.stages):
            raise SettingsError(f"stages is {self.stages}; allowed: one or more, each once")
        if len(self.bins) != 2 or min(self.bins) < 1:
            raise SettingsError(f"bins is {self.bins}; allowed: two numbers above 0")


@dataclass(frozen=True, eq=False)
class Head:
    """What was learnt on top of pooled features: standardise, then one or more linear layers."""

    shift: FloatArray
    """(F,) float32, taken away from the features"""
    scale: FloatArray
    """(F,) float32, multiplied with after that"""
    layers: tuple[tuple[FloatArray, FloatArray], ...]
    """weights (out, in) and biases (out,), float32; ReLU between layers"""

    def __call__(self, features: FloatArray) -> FloatArray:
        """(F,) to (D,); one at a time, so that a row never depends on how many there are."""
        x = (features - self.shift) * self.scale
        for number, (weight, bias) in enumerate(self.layers):
            x = np.maximum(x, 0) if number else x
            x = weight @ x + bias
        return np.asarray(x)


def head_from(state: Mapping[str, FloatArray], *, where: str) -> Head:
    """The head in a checkpoint's tensors; WeightsError when some are missing or do not fit."""
    try:
        count = sum(name.endswith(".weight") for name in state)
        layers = tuple(
            (state[f"layers.{i}.weight"], state[f"layers.{i}.bias"]) for i in range(count)
        )
        head = Head(state["shift"], state["scale"], layers)
        head(np.zeros(len(head.shift), np.float32))
    except (KeyError, ValueError, IndexError) as error:
        raise WeightsError(f"{where}: no appearance head: {error}") from error
    if not layers:
        raise WeightsError(f"{where}: no appearance head: it has no layers")
    return head


class Pooled:
    """Embeddings from the detector's own feature maps."""

    def __init__(
        self, name: str, settings: PoolSettings | None = None, head: Head | None = None
    ) -> None:
        """Without ``head`` the features themselves, each stage scaled to length 1."""
        self.name = name
        self.settings = settings or PoolSettings()
        self.head = head

    def embed(
        self,
        maps: Sequence[FloatArray],
        boxes_xyxy: FloatArray,
        placement: Placement,
        size_px: tuple[int, int],
    ) -> FloatArray:
        """Unit embeddings (N, D) float32 of boxes in source pixels.

        ``maps`` (C, h, w) of a picture of ``size_px`` (width, height), one for each stage.
        """
        features = self.features(maps, boxes_xyxy, placement, size_px)
        if self.head is None:
            return unit(features)
        width = len(self.head.shift)
        if features.shape[1] != width:
            seen = f"the detector gives {features.shape[1]} features, the head takes {width}"
            raise WeightsError(f"{self.name}: {seen}")
        size = len(self.head.layers[-1][1])
        rows = [self.head(row) for row in features]
        return unit(np.array(rows, np.float32).reshape(-1, size))

    def features(
        self,
        maps: Sequence[FloatArray],
        boxes_xyxy: FloatArray,
        placement: Placement,
        size_px: tuple[int, int],
    ) -> FloatArray:
        """Pooled features (N, F) float32, before the head."""
        scale = np.array([placement.scale_x, placement.scale_y] * 2)
        boxes = boxes_xyxy.astype(np.float64) / scale
        parts = []
        for one in maps:
            cells = (one.shape[2] / size_px[0], one.shape[1] / size_px[1])
            down, across = self.settings.bins
            pooled = roi_align(one, boxes, scale=cells, bins=(down, across))
            parts.append(unit(pooled.reshape(len(boxes), one.shape[0] * down * across)))
        return np.concatenate(parts, axis=1)


class Crops:
    """Embeddings from a network that embeds every box."""

    def __init__(self, card: ModelCard, runtime: Runtime) -> None:
        """``runtime`` gives one output (D,) a picture."""
        self.name = card.name
        self.card = card
        self._runtime = runtime
        self._size = 0

    def __call__(self, frame: Frame, detections: Detections) -> FloatArray:
        """Unit embeddings (N, D) float32; zeros for a box without pixels."""
        wanted = self.card.preprocessing
        crops = [_crop(frame, box, wanted) for box in detections.boxes_xyxy.tolist()]
        there = [crop for crop in crops if crop is not None]
        if not self._size:
            nothing = np.zeros((wanted.height_px, wanted.width_px, 3), np.uint8)
            self._size = len(self._runtime.run([nothing])[0][0])
        found = np.zeros((len(crops), self._size), np.float32)
        if there:
            rows = [row for row, crop in enumerate(crops) if crop is not None]
            found[rows] = [outputs[0] for outputs in self._runtime.run(there)]
        return unit(found)


class WithLooks(Around):
    """A detector whose detections carry embeddings that are made from the frame's pixels."""

    def __init__(self, detector: Detector, look: Callable[[Frame, Detections], FloatArray]) -> None:
        """``look`` gives an embedding (D,) for each detection."""
        super().__init__(detector)
        self._look = look

    def decode_px(self, width_px: int, height_px: int) -> tuple[int, int] | None:
        """See Detector: crops are cut from full-size pictures, colours taken from small ones."""
        crops = isinstance(self._look, Crops)
        return None if crops else self.detector.decode_px(width_px, height_px)

    def changed(self, frame: Frame, found: Detections) -> Detections:
        """The same boxes, with embeddings."""
        return replace(found, embeddings=unit(self._look(frame, found)))


def unit(rows: FloatArray) -> FloatArray:
    """Rows (N, D) as float32 of length 1; rows of zeros stay.

    >>> unit(np.array([[3.0, 4.0], [0.0, 0.0]])).tolist()
    [[0.6000000238418579, 0.800000011920929], [0.0, 0.0]]
    """
    length = np.sqrt(np.square(rows, dtype=np.float64).sum(axis=1, keepdims=True))
    return (rows / np.maximum(length, _LENGTH_MIN)).astype(np.float32)


def _crop(frame: Frame, box: Sequence[float], wanted: Preprocessing) -> ByteArray | None:
    """The pixels of a box (source pixels) at the size wanted; None where it has none."""
    height, width = frame.image.shape[:2]
    across, down = width / frame.width_px, height / frame.height_px
    x1, x2 = (round(min(max(x * across, 0), width)) for x in box[0::2])
    y1, y2 = (round(min(max(y * down, 0), height)) for y in box[1::2])
    if x2 <= x1 or y2 <= y1:
        return None
    shrinks = (x2 - x1) * (y2 - y1) > wanted.width_px * wanted.height_px
    how = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    size = (wanted.width_px, wanted.height_px)
    return np.asarray(cv2.resize(frame.image[y1:y2, x1:x2], size, interpolation=how))


def osnet_card(width: str, path: Path) -> ModelCard:
    """The card of a published OSNet weight file, which comes without one."""
    return ModelCard(
        name=path.name.removesuffix(path.suffix),
        family=CROP_FAMILY,
        classes=("person",),
        licence="unknown",
        source=f"OSNet {width}, as published by its authors ({path.name})",
        preprocessing=Preprocessing(
            width_px=128,
            height_px=256,
            resize="stretch",
            scale=1 / 255,
            mean=(0.485, 0.456, 0.406),
            std=(0.229, 0.224, 0.225),
        ),
        output=Output(decoding="embedding"),
        architecture={"width": width},
        sha256=digest(path),
        size_bytes=path.stat().st_size,
        notes="The weights' own terms apply; most published ones were trained on data that allows"
        " research only.",
    )


def is_pooled(name_or_path: str | Path) -> bool:
    """Whether embeddings come from the detector's own maps; else they come from crops."""
    if str(name_or_path) == ROI:
        return True
    return appearance_card(Path(name_or_path)).family == HEAD_FAMILY


def threshold_of(name_or_path: str | Path) -> float | None:
    """The cosine above which two embeddings are most likely of one object, where that is known."""
    if str(name_or_path) == ROI:
        return None
    known = appearance_card(Path(name_or_path)).architecture.get("threshold")
    return None if known is None else float(known)


def load_pooled(name_or_path: str | Path, detector: ModelCard) -> Pooled:
    """The pooled embedding of this name or checkpoint.

    WeightsError for a head that was made for another detector, SettingsError for something else.
    """
    if str(name_or_path) == ROI:
        if detector.family == "graph":
            raise SettingsError(f"appearance {ROI} needs a network of ours, not a foreign graph")
        return Pooled(ROI)
    path = Path(name_or_path)
    card = appearance_card(path)
    if card.family != HEAD_FAMILY:
        raise SettingsError(f"{path} embeds crops, not feature maps of {detector.name}")
    made_for = str(card.architecture.get("detector_sha256"))
    if made_for != detector.sha256:
        name = card.architecture.get("detector")
        raise WeightsError(
            f"{path} was made for {name} ({made_for[:12]}), not for {detector.name}"
            f" ({detector.sha256[:12] or 'random weights'}); train one: vodkit train --appearance"
        )
    check(path, card)
    settings = PoolSettings(
        stages=tuple(card.architecture["stages"]), bins=tuple(card.architecture["bins"])
    )
    state = {name: value.numpy() for name, value in read_state(path).items()}
    return Pooled(card.name, settings, head_from(state, where=str(path)))


def load_crops(path: Path, *, runtime: str = "auto", device: str = "auto") -> Crops:
    """A network that embeds crops, ready to run; errors are those of ``load_detector``."""
    card = appearance_card(path)
    if card.family != CROP_FAMILY:
        raise SettingsError(f"{path} is of family {card.family!r}; allowed: {CROP_FAMILY}")
    check(path, card)

    def graph() -> "nn.Module":
        from vodkit.detect import reid_osnet
        from vodkit.detect.networks import Graph, load_state

        module = reid_osnet.build(str(card.architecture.get("width")))
        state = reid_osnet.own_tensors(read_state(path), where=str(path))
        load_state(module, state, where=str(path))
        return Graph(module.eval(), card).eval()

    wanted = Runnable(card=card, device=device, graph=graph)
    name, wanted = way(choose(wanted).runtime, wanted) if runtime == AUTO else (runtime, wanted)
    return Crops(card, RUNTIMES[name](wanted))


def appearance_card(path: Path) -> ModelCard:
    """The card beside a file of appearance weights, or that of a published file known by name.

    WeightsError when the file is missing, or nothing says what it is.
    """
    if path.suffix not in (".safetensors", ".pth", ".pt"):
        allowed = f"{ROI}, colour, or a .safetensors or .pth file"
        raise SettingsError(f"appearance is {str(path)!r}; allowed: {allowed}")
    if not path.is_file():
        raise WeightsError(f"{path} is missing")
    beside = path.with_name(path.name.removesuffix(path.suffix) + ".card.json")
    if beside.is_file():
        card = read_card(beside)
        if card.family not in (HEAD_FAMILY, CROP_FAMILY):
            raise SettingsError(f"{path} is of family {card.family!r}, which gives no embeddings")
        return card
    name = path.name.lower()
    for width in ("x1_0", "x0_75", "x0_5", "x0_25"):
        if name.startswith(f"osnet_{width}"):
            return osnet_card(width, path)
    raise WeightsError(f"{path} has no card; put {beside.name} beside it (docs/guides/track.md)")
