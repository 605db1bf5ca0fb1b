"""From the name of a model or a file to a detector, or to a network to train."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from vodkit.detect import hf_cards, hub
from vodkit.detect.base import ModelCard, read_card
from vodkit.detect.defaults import MAX_DETECTIONS, NETWORK, SCORE_THRESHOLD
from vodkit.detect.detector import GraphDetector, stages_of
from vodkit.detect.embed import load_pooled
from vodkit.detect.foreign import DETECTORS
from vodkit.detect.imagenet import LITE
from vodkit.detect.input_size import card_at
from vodkit.detect.open_models import OPEN
from vodkit.detect.published import MODELS, PACKAGED, packaged_card
from vodkit.detect.runtimes.choice import AUTO, choose
from vodkit.detect.runtimes.table import GRAPH_SUFFIXES, RUNTIMES, Runnable, way
from vodkit.detect.temporal_head import Keys, load_head
from vodkit.detect.weights import check, digest, fetch, parts, weights_path
from vodkit.ground.errors import SettingsError, WeightsError
from vodkit.ground.lookup import full_name, pick, unknown

if TYPE_CHECKING:
    from torch import nn

IMAGENET = "imagenet"
"""in place of a weight file: of the backbone alone"""
WEIGHT_SUFFIXES = (".pth", ".pt")
CHECKPOINT_SUFFIX = ".safetensors"


@dataclass(frozen=True, kw_only=True)
class Listed:
    """A line of ``vodkit models``."""

    card: ModelCard
    path: Path
    """where its weights lie or would lie"""
    here: bool


def listed() -> list[Listed]:
    """Every model of the table, and whether its weights are on this machine.

    A packaged model that the installation lacks (a copy without its data files) is left out.
    """
    names = [name for name in MODELS if name not in PACKAGED or packaged_card(name).is_file()]
    cards = [MODELS[name]() for name in names]
    paths = [weights_path(card) for card in cards]
    return [
        Listed(card=card, path=path, here=path.is_file())
        for card, path in zip(cards, paths, strict=True)
    ]


def model_name(name_or_path: str | Path) -> str:
    """The full name of a model that is given by a short form; a path of a file or folder as it is.

    Raises:
        SettingsError: neither a path nor one model's name; the nearest names are given.
    """
    path, text = Path(name_or_path), str(name_or_path)
    if hub.is_hub(text):
        return text
    is_file = path.suffix in (CHECKPOINT_SUFFIX, *GRAPH_SUFFIXES, *WEIGHT_SUFFIXES)
    is_path = bool(text) and (is_file or path.is_dir())
    known = text in MODELS or text in DETECTORS or is_path
    if not known and text in OPEN:
        raise SettingsError(f"{text} detects what words describe; give --prompt 'a red cup=cup'")
    return text if known else full_name(text, MODELS, "model")


def find_card(name_or_path: str | Path) -> tuple[ModelCard, Path | None]:
    """The card of a model name, checkpoint, weight file, hub folder or graph; and the file, if one.

    Names may be short where they fit one model only (``ssdlite``), see ``model_name``.

    A weight file (``.pth``) is known by its name, e.g. ``yolox_s.pth``; a checkpoint
    (``.safetensors``) and a graph (``.onnx``, ``.xml``, ``.pb``) by the card beside it:
    ``name.card.json`` or ``name.card.toml``, or with the ending, as in ``name.onnx.card.json``.
    """
    name, path = model_name(name_or_path), Path(name_or_path)
    if hub.is_hub(name):
        return find_card(hub.fetched(name))
    if name in MODELS:
        return MODELS[name](), None
    if name in DETECTORS:
        raise SettingsError(f"{name}: a detector of an installed package can be run, no more")
    if path.is_dir():
        return hf_cards.card_of_folder(path), hf_cards.weights_in(path)
    if not path.is_file():
        raise WeightsError(f"{path} is missing")
    if path.suffix in WEIGHT_SUFFIXES:
        cards = [make() for name, make in MODELS.items() if name not in PACKAGED]
        by_file = {Path(card.url).name: card for card in cards if card.url}
        return replace(pick(by_file, path.name, "published weight file"), sha256="", url=""), path
    card = _card_beside(path)
    if card is not None:
        return card, path
    wanted = f"{path.name.removesuffix(path.suffix)}.card.toml"
    raise WeightsError(f"{path} has no card; put {wanted} beside it (docs/reference/graphs.md)")


def _card_beside(path: Path) -> ModelCard | None:
    for stem in (path.name, path.name.removesuffix(path.suffix)):
        for beside in (path.with_name(f"{stem}.card.json"), path.with_name(f"{stem}.card.toml")):
            if beside.is_file():
                return read_card(beside)
    return None


def build_network(
    name_or_path: str | Path,
    *,
    classes: Sequence[str] | None = None,
    weights: str | Path = "default",
    size: str = NETWORK,
) -> "tuple[nn.Module, ModelCard]":
    """A network to train or to look into, and its card.

    Args:
        name_or_path: a name in MODELS, or a checkpoint or weight file.
        classes: other classes than the card's; heads are taken over by class name.
        weights: ``default`` (published, or in the file), ``imagenet`` (of the backbone alone),
            ``random``, or a weight file. Of models without published weights the default is
            ``imagenet``.
        size: of the input, see ``input_size.card_at``.
    """
    from vodkit.detect import networks

    card, path = find_card(name_or_path)
    if card.family == "graph":
        raise WeightsError(f"{name_or_path}: a foreign graph can be run, not trained")
    card = card_at(card, size)
    if weights == "default" and path is None and card.name in LITE:
        weights = IMAGENET
    if weights == "random" and card.architecture.get("frozen_norm"):
        # Statistics that nobody has learnt must not be frozen: deep networks would not train.
        card = replace(card, architecture={**card.architecture, "frozen_norm": False})
    fresh = weights in ("random", IMAGENET)
    if fresh and classes is not None:
        card = networks.card_for_classes(card, classes)
    module = networks.build(card)
    if weights == IMAGENET:
        begun = f"{networks.load_imagenet(module, card)}; neck and head random"
        return module, replace(card, source=begun, trained=(), expected=(), sha256="", url="")
    if weights == "random":
        if classes is not None:
            return module, card
        card = _as_loaded(card, None, weights)
    else:
        source = _weight_file(card, path, weights)
        networks.load_file(module, card, source)
        card = _as_loaded(card, source, weights)
    if classes is not None and tuple(classes) != card.classes:
        module, card = networks.for_classes(module, card, classes)
    return module, card


def _weight_file(card: ModelCard, path: Path | None, weights: str | Path) -> Path:
    if weights != "default":
        chosen = Path(weights)
        if chosen.is_dir():
            return hf_cards.weights_in(chosen)
        _refuse_other_classes(chosen, card)
        return chosen
    if path is None and card.name in LITE:
        what = f"{card.name} has no weights but ImageNet's of its backbone"
        raise WeightsError(f"{what}; train it first: vodkit train --model {card.name}")
    if path is None:
        return fetch(card)
    if not path.is_file():
        raise WeightsError(f"{path} is missing")
    check(path, card)
    return path


def _refuse_other_classes(weights: Path, card: ModelCard) -> None:
    """WeightsError where a card beside the file tells of others: as many would load, mixed up."""
    told = _card_beside(weights)
    if told is None or told.classes == card.classes or len(told.classes) != len(card.classes):
        return  # of more or fewer classes, the tensors differ in shape
    pairs = enumerate(zip(told.classes, card.classes, strict=True))
    number, (there, here) = next((i, pair) for i, pair in pairs if pair[0] != pair[1])
    seen = f"class {number} of {told.name} is {there!r}, of {card.name} {here!r}"
    raise WeightsError(f"{weights}: {seen}; allowed: the same classes, or the file as the model")


def _as_loaded(card: ModelCard, source: Path | None, weights: str | Path) -> ModelCard:
    """The card of what is really loaded: other weights keep no promise of the published ones."""
    seen = replace(
        card,
        sha256="" if source is None else digest(source),
        size_bytes=0 if source is None else source.stat().st_size,
    )
    if weights == "default":
        return seen
    what = "random weights" if source is None else f"weights of {source.name}"
    return replace(seen, source=f"{what}; {card.source}", expected=(), url="")


def load_detector(
    name_or_path: str | Path,
    *,
    runtime: str = "auto",
    score_threshold: float = SCORE_THRESHOLD,
    device: str = "auto",
    classes: Sequence[str] | None = None,
    weights: str | Path = "default",
    max_detections: int | None = MAX_DETECTIONS,
    appearance: str | Path = "",
    temporal: str | Path | Keys = "",
    size: str = NETWORK,
) -> GraphDetector:
    """A detector, ready to run.

    Args:
        name_or_path: a name in MODELS, a checkpoint (``.safetensors``), a published weight file
            (``.pth``), or a graph (``.onnx``, ``.xml``, ``.pb``, ``.pt2``) with its card beside.
        runtime: a name in RUNTIMES, or ``auto``: what was fastest here when it was first asked
            (``detector.choice`` reports what and why).
        score_threshold: detections below are not kept.
        device: ``auto``, ``cpu``, ``cuda``, ``cuda:1``, ...
        classes: keep only these, numbered in this order.
        weights: ``default``, ``random`` (to measure speed), or a weight file.
        max_detections: keep so many of a frame, the best; a frame with more is marked
            (``Detections.truncated``). None keeps all.
        appearance: ``roi``, or a head for this detector (``vodkit train --appearance``): detections
            then carry embeddings made from the network's own feature maps.
        temporal: a temporal head for this detector (``vodkit train --temporal``), or keys:
            detections then carry features for temporal memory (``Detections.features``).
        size: of the network's input: ``network`` (its own), ``640``, ``640x384``.

    Raises:
        WeightsError: missing, corrupt, or not fitting weights.
        SettingsError: an unknown name or a runtime that cannot run this.
    """
    if runtime != AUTO and runtime not in RUNTIMES:
        raise unknown(runtime, (AUTO, *RUNTIMES), "runtime")
    card, path = find_card(name_or_path)
    card = card_at(card, size, path)
    wanted = _runnable_file(card, path, device) if card.family == "graph" else None
    wanted = wanted or _runnable_network(card, path, device, weights)
    chosen = None
    if runtime == AUTO:
        chosen = choose(wanted)
        runtime, wanted = way(chosen.runtime, wanted)
    pooled = load_pooled(appearance, wanted.card) if appearance else None
    keys = temporal if isinstance(temporal, Keys) else None
    if temporal and keys is None:
        keys = load_head(Path(str(temporal)), wanted.card).keys
    stages = stages_of(pooled, keys)
    return GraphDetector(
        wanted.card,
        RUNTIMES[runtime](_with_maps(wanted, stages) if stages else wanted),
        score_threshold=score_threshold,
        max_detections=max_detections,
        classes=classes,
        choice=chosen,
        pooled=pooled,
        keys=keys,
    )


def _with_maps(wanted: Runnable, stages: Sequence[str]) -> Runnable:
    """The same network, whose graph gives the maps of some stages as well, and its other name."""
    there = wanted.card.output.maps
    if set(stages) <= set(there):
        return wanted
    if wanted.graph is None:
        seen = f"{wanted.card.name}: a graph file with maps of stages: {', '.join(there) or 'none'}"
        raise SettingsError(f"{seen}; wanted: {', '.join(stages)} (vodkit export --temporal)")
    plain = wanted.graph

    def graph() -> "nn.Module":
        from vodkit.detect.maps import with_maps

        return with_maps(plain(), wanted.card, stages)

    architecture = {**wanted.card.architecture, "maps": list(stages)}
    return replace(wanted, card=replace(wanted.card, architecture=architecture), graph=graph)


def _runnable_file(card: ModelCard, path: Path | None, device: str) -> Runnable:
    """A foreign or exported graph; its card is given the digest if it has none."""
    assert path is not None
    own = card.preprocessing
    if own.motion_lags_s and (own.layout, own.dtype, own.channels) != ("nhwc", "uint8", "rgb"):
        seen = f"motion_lags_s with {own.channels}, {own.layout}, {own.dtype}"
        raise WeightsError(f"{path}: {seen}; allowed of a graph: rgb, nhwc, uint8 (vodkit export)")
    if card.sha256:
        check(path, card)
    else:
        size_bytes = sum(part.stat().st_size for part in parts(path))
        card = replace(card, sha256=digest(path), size_bytes=size_bytes)
    return Runnable(card=card, device=device, file=path)


def _runnable_network(
    card: ModelCard, path: Path | None, device: str, weights: str | Path
) -> Runnable:
    """A network of our own. The torch graph is only built where it is needed."""
    source = None if weights == "random" else _weight_file(card, path, weights)
    card = _as_loaded(card, source, weights)

    def graph() -> "nn.Module":
        from vodkit.detect import networks

        module = networks.build(card)
        if source is not None:
            networks.load_file(module, card, source)
        return networks.deployed(module, card)

    return Runnable(card=card, device=device, graph=graph, kept=source is not None)
