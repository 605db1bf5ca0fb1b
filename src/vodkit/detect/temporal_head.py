"""The file of a temporal head (``vodkit train --temporal``), and the features that it needs.

A head belongs to one detector, named by the digest of its weights, and is refused for any other:
its numbers are of that detector's scores and feature maps. A detector with a head reports
candidates from a low score on, each of the best with a key: pooled features of its box, projected
by the head. What is done with them is ``temporal/recall.py``.

Legend: N candidates, F pooled features, D numbers of a key.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from vodkit.detect.base import ModelCard, read_card
from vodkit.detect.embed import Pooled, PoolSettings, unit
from vodkit.detect.preprocess import Placement
from vodkit.detect.temporal_graph import read_graph, view_names
from vodkit.detect.weights import check, read_state
from vodkit.ground.arrays import FloatArray, IntArray
from vodkit.ground.errors import SettingsError, WeightsError
from vodkit.temporal.recall import Network, Views, first_weights, network_of

HEAD_FAMILY = "temporal-head"
CHECKPOINT_SUFFIX = ".safetensors"
Project = Callable[[FloatArray], FloatArray]
"""makes keys (n, D) float32 of length 1 of pooled features (n, F)"""
KEY_NAMES = ("keys.shift", "keys.scale", "keys.weight")


class Keys:
    """What the best candidates of a frame look like: pooled features, or keys made from them."""

    def __init__(
        self,
        settings: PoolSettings,
        most: int,
        project: Project | None = None,
        classes: Sequence[str] | None = None,
    ) -> None:
        """What is needed of which candidates.

        Args:
            settings: where features are taken from.
            most: candidates of a frame that have keys.
            project: makes keys of features, see ``projection``; None: features as they are.
            classes: that the head has learnt; None: all.
        """
        self.settings, self._most = settings, most
        self._pooled = Pooled("temporal memory", settings)
        self._project, self._classes = project, classes

    def rows(self, labels: IntArray, classes: Sequence[str]) -> IntArray:
        """The candidates that have keys, of labels (N,) best first and named by ``classes``."""
        learnt = learnt_labels(classes, self._classes)
        return np.flatnonzero(np.isin(labels, learnt))[: self._most]

    def embed(
        self,
        maps: Sequence[FloatArray],
        boxes_xyxy: FloatArray,
        placement: Placement,
        size_px: tuple[int, int],
    ) -> FloatArray:
        """(N, D) float32 of length 1 of at most ``most`` boxes. See ``Pooled``."""
        features = self._pooled.features(maps, boxes_xyxy, placement, size_px)
        return features if self._project is None else self.projected(features)

    def projected(self, features: FloatArray) -> FloatArray:
        """Keys (n, D) of features (n, F), always made in the same shapes.

        So numbers do not depend on how many there are.
        """
        assert self._project is not None
        padded = np.zeros((self._most, features.shape[1]), np.float32)
        padded[: len(features)] = features
        return self._project(padded)[: len(features)]


def projection(weights: Mapping[str, FloatArray]) -> Project:
    """What makes keys (n, D) of features (n, F), of shift (F,), scale (F,), weight (D, F)."""
    shift, scale, weight = (weights[name] for name in KEY_NAMES)

    def project(features: FloatArray) -> FloatArray:
        if features.shape[1] != len(shift):
            seen = f"the detector gives {features.shape[1]} features, the head takes {len(shift)}"
            raise WeightsError(f"temporal head: {seen}")
        return unit(((features - shift) * scale) @ weight.T)

    return project


def learnt_labels(classes: Sequence[str], learnt: Sequence[str] | None) -> list[int]:
    """Positions of those classes that a head has learnt; None: all of them.

    >>> learnt_labels(("car", "person"), ("person", "dog"))
    [1]
    """
    return [i for i, name in enumerate(classes) if learnt is None or name in learnt]


@dataclass(frozen=True, kw_only=True, eq=False)
class TemporalHead:
    """A head as it was read."""

    card: ModelCard
    network: Network
    """see ``temporal.recall``"""
    weights: Mapping[str, FloatArray]
    """of ``temporal.recall``, keys' included; empty: an exported head"""
    keys: Keys | None
    """None: a head without features, as for foreign graphs"""
    lags_s: tuple[float, ...]
    most: int
    remembered: int
    both: bool


def temporal_card(path: Path) -> ModelCard:
    """The card of a head.

    Raises:
        WeightsError: the head or its card is missing.
        SettingsError: the card is of something else.
    """
    beside = path.with_name(path.name.removesuffix(path.suffix) + ".card.json")
    for needed in (path, beside):
        if not needed.is_file():
            raise WeightsError(f"{needed} is missing; a temporal head is {path} and {beside.name}")
    card = read_card(beside)
    if card.family != HEAD_FAMILY:
        seen = f"{path} is of family {card.family!r}"
        raise SettingsError(f"{seen}; allowed: {HEAD_FAMILY} (vodkit train --temporal)")
    return card


def uses_later_frames(path: Path) -> bool:
    """Whether a head was trained to use frames after a frame as well as those before it."""
    return temporal_card(path).architecture.get("mode") == "both"


def keys_file(path: Path) -> Path:
    """The file beside an exported head's that makes its keys.

    >>> keys_file(Path("street.temporal.onnx")).name
    'street.temporal.keys.onnx'
    """
    return path.with_name(f"{path.name.removesuffix(path.suffix)}.keys{path.suffix}")


def _exported(path: Path, card: ModelCard) -> tuple[Network, Project | None]:
    """The network of an exported head, and what makes its keys."""
    names = view_names(uses_features=bool(card.architecture["stages"]))
    run = read_graph(path)

    def network(seen: Views) -> tuple[FloatArray, FloatArray]:
        logits, moved = run([getattr(seen, name) for name in names])
        return logits, moved

    if not card.architecture["stages"]:
        return network, None
    beside = keys_file(path)
    if beside.is_file():
        check(beside, replace(card, sha256=str(card.architecture["keys_sha256"])))
    make = read_graph(beside)
    return network, lambda features: make([features])[0]


def _refuse_other_shapes(path: Path, weights: Mapping[str, FloatArray]) -> None:
    """WeightsError for a head whose network is not the one that runs here."""
    for name, first in first_weights().items():
        seen = weights[name].shape
        if seen != first.shape:
            raise WeightsError(
                f"{path}: {name} has shape {seen}, allowed: {first.shape}; the head is of another"
                " version of vodkit, train it again: vodkit train --temporal"
            )


def load_head(path: Path, detector: ModelCard | None = None) -> TemporalHead:
    """A head, checked against its card and, where given, the detector that it is to be used with.

    Raises:
        WeightsError: missing, corrupt, or made for another detector.
        SettingsError: the file is of something else.
    """
    card = temporal_card(path)
    about = card.architecture
    if detector is not None and about.get("detector_sha256") != detector.sha256:
        made_for = f"{about.get('detector')} ({str(about.get('detector_sha256'))[:12]})"
        raise WeightsError(
            f"{path} was made for {made_for}, not for {detector.name}"
            f" ({detector.sha256[:12] or 'random weights'}); train one: vodkit train --temporal"
        )
    if detector is not None and card.preprocessing != detector.preprocessing:
        sides = [
            f"{one.preprocessing.width_px}x{one.preprocessing.height_px}"
            for one in (card, detector)
        ]
        seen = f"{path} was trained on an input of {sides[0]} px, the detector has {sides[1]}"
        raise SettingsError(f"{seen}, or prepares pictures otherwise; allowed: the same (--size)")
    check(path, card)
    try:
        stages, bins = tuple(about["stages"]), tuple(about["bins"])
        most = int(about["most"])
        weights: dict[str, FloatArray] = {}
        if path.suffix == CHECKPOINT_SUFFIX:
            weights = {name: value.numpy() for name, value in read_state(path).items()}
            _refuse_other_shapes(path, weights)
            network = network_of(weights)
            project = projection(weights) if stages else None
        else:
            network, project = _exported(path, card)
        keys = (
            Keys(PoolSettings(stages=stages, bins=bins), most, project, card.classes)
            if stages
            else None
        )
        return TemporalHead(
            card=card,
            network=network,
            weights=weights,
            keys=keys,
            lags_s=tuple(about["lags_s"]),
            most=most,
            remembered=int(about["remembered"]),
            both=about["mode"] == "both",
        )
    except (KeyError, TypeError, ValueError) as error:
        raise WeightsError(f"{path}: no temporal head: {error!r}") from error
