"""``--size``: a network at another input size than that of its card.

The card of the other size is another card, so everything that is made from cards is made anew:
converted graphs, the choice of the runtime, certificates. At its own size a network keeps its card.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from vodkit.detect.base import ModelCard, Preprocessing
from vodkit.detect.defaults import AUTO, NETWORK, check_size
from vodkit.ground.errors import SettingsError

MULTIPLE = 32
"""the coarsest stride of the networks: sides of a fixed input are multiples of it"""
_LEAST_PX = 64


def card_at(card: ModelCard, size: str, path: Path | None = None) -> ModelCard:
    """The card of the same network at another input size.

    Args:
        card: of the network or graph.
        size: ``network`` (its own), ``640``, or ``640x384`` (width x height). Where the input
            follows the shape of the picture (``fit``), one number is the length of the shorter
            side, and the bound of the longer one grows in proportion.
        path: the graph file, if it is one.

    Raises:
        SettingsError: the network does not take this size.
    """
    own = card.preprocessing
    check_size(size)
    if size == NETWORK:
        return card
    if size == AUTO:
        raise SettingsError(f"size is auto, which needs videos; allowed here: {NETWORK}, or pixels")
    width_px, height_px = _sides(own, size)
    if (width_px, height_px) == (own.width_px, own.height_px):
        return card
    if reason := why_fixed(card, path):
        seen = f"size is {size}, but {card.name} {reason}"
        raise SettingsError(f"{seen}; allowed: {label(card)}, or no size")
    wrong = not own.any_size and (width_px % MULTIPLE or height_px % MULTIPLE)
    if wrong or min(width_px, height_px) < _LEAST_PX:
        near = [_near(side) for side in (width_px, height_px)]
        words = "" if own.any_size else f"multiples of {MULTIPLE} "
        allowed = f"{words}from {_LEAST_PX}, as {'x'.join(map(str, dict.fromkeys(near)))}"
        raise SettingsError(f"size is {size}; allowed for {card.name}: {allowed}")
    try:
        resized = replace(own, width_px=width_px, height_px=height_px)
    except SettingsError as error:
        raise SettingsError(f"size is {size}: {error}") from error
    return replace(card, preprocessing=resized, architecture=_architecture(card))


def label(card: ModelCard) -> str:
    """The input size of a card as ``--size`` has it: ``640``, or ``640x384``."""
    size = card.preprocessing
    if size.any_size:
        return f"{size.width_px}x{size.height_px}"
    square = size.width_px == size.height_px
    return str(size.width_px) if square else f"{size.width_px}x{size.height_px}"


def scaled(card: ModelCard, factor: float) -> str:
    """The input size that is about ``factor`` times the card's own, as ``--size`` has it."""
    size = card.preprocessing
    sides = [round(side * factor) for side in (size.width_px, size.height_px)]
    if not size.any_size:
        sides = [_near(side) for side in sides]
        return "x".join(map(str, sides if sides[0] != sides[1] else sides[:1]))
    return "x".join(map(str, sides))


def why_fixed(card: ModelCard, path: Path | None = None) -> str:
    """Why a network runs at its own input size only; empty: it takes others, too."""
    if card.family == "graph":
        free = card.preprocessing.any_size or (path is not None and _has_free_sides(card, path))
        return "" if free else "is a graph of a fixed input size (export the model with --size)"
    if card.architecture.get("builder") == "ssd300_vgg16":
        return "has default boxes that are laid out for 300 px"
    return ""


def _sides(own: Preprocessing, size: str) -> tuple[int, int]:
    """Width and height in the sense of ``own``."""
    first, _, second = size.partition("x")
    if second:
        return int(first), int(second)
    side = int(first)
    if own.any_size:
        return round(side * own.width_px / own.height_px), side
    return side, side


def _near(side: int) -> int:
    return max(round(side / MULTIPLE) * MULTIPLE, _LEAST_PX)


def _architecture(card: ModelCard) -> dict[str, Any]:
    """What makes a network of the card right at another size than its own."""
    architecture, own = dict(card.architecture), card.preprocessing
    if card.family == "torchvision" and card.output.decoding == "class_scores":
        # Default boxes are shares of the input: they keep the pixels that they were learnt with.
        architecture.setdefault("anchor_px", [own.width_px, own.height_px])
    config = architecture.get("config", {})
    fixed = {"eval_size", "anchor_image_size"} & set(config)
    if fixed:  # tables that RT-DETR keeps for one size, and makes anew for others
        architecture["config"] = {**config, **dict.fromkeys(fixed)}
    return architecture


def _has_free_sides(card: ModelCard, path: Path) -> bool:
    """Whether height and width of a graph file's input are open; False for what is not known."""
    reader = _READERS.get(path.suffix)
    return reader is not None and reader(path, card.preprocessing.layout)


def _free_in_openvino(path: Path, layout: str) -> bool:
    from vodkit.detect.runtimes.openvino_graph import read_model

    inputs = read_model(path).inputs
    if len(inputs) != 1 or inputs[0].partial_shape.rank.is_dynamic:
        return False
    shape = inputs[0].partial_shape
    sides = (1, 2) if layout == "nhwc" else (2, 3)
    return len(shape) == 4 and all(shape[side].is_dynamic for side in sides)


_READERS: dict[str, Callable[[Path, str], bool]] = dict.fromkeys(
    (".onnx", ".xml", ".pb"), _free_in_openvino
)


@dataclass(frozen=True, kw_only=True)
class SizeTrial:
    """What an input size finds on sample frames."""

    size: str
    score: float
    """mean score of the objects that any size found, 0 for those that this one missed"""
    object_px: float
    """median size (root of the area) of these objects in pixels of the input"""


def best_size(trials: Sequence[SizeTrial], *, tolerance: float = 0.03) -> SizeTrial:
    """The smallest size (the first) within ``tolerance`` of the best mean score.

    >>> one, two = (SizeTrial(size=s, score=p, object_px=0) for s, p in (("416", .5), ("832", .7)))
    >>> best_size([one, two]).size
    '832'
    """
    best = max(trial.score for trial in trials)
    return next(trial for trial in trials if trial.score >= best * (1 - tolerance))
