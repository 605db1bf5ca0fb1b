"""The file of a temporal head (``vodkit train --temporal``), and the features that it needs.

A head belongs to one detector, named by the digest of its weights, and is refused for any other:
its numbers are of that detector's scores and feature maps. A detector with a head reports
candidates from a low score on, each of the best with a key: pooled features of its box, projected
by the head. What is done with them is ``temporal/recall.py``.

Legend: N candidates, F pooled features, D numbers of a key.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from vodkit.detect.base import ModelCard, read_card
from vodkit.detect.embed import Pooled, PoolSettings, unit
from vodkit.detect.preprocess import Placement
from vodkit.detect.weights import check, read_state
from vodkit.ground.arrays import FloatArray, IntArray
from vodkit.ground.errors import SettingsError, WeightsError

HEAD_FAMILY = "temporal-head"
KEY_NAMES = ("keys.shift", "keys.scale", "keys.weight")


class Keys:
    """What the best candidates of a frame look like: pooled features, or keys made from them."""

    def __init__(
        self,
        settings: PoolSettings,
        most: int,
        weights: Mapping[str, FloatArray] | None = None,
        classes: Sequence[str] | None = None,
    ) -> None:
        """What is needed of which candidates.

        Args:
            settings: where features are taken from.
            most: candidates of a frame that have keys.
            weights: shift (F,), scale (F,), weight (D, F); None: features as they are.
            classes: that the head has learnt; None: all.
        """
        self.settings, self._most = settings, most
        self._pooled = Pooled("temporal memory", settings)
        self._weights, self._classes = weights, classes

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
        return features if self._weights is None else self.projected(features)

    def projected(self, features: FloatArray) -> FloatArray:
        """Keys (n, D) of features (n, F), always made in the same shapes.

        So numbers do not depend on how many there are.
        """
        assert self._weights is not None
        shift, scale, weight = (self._weights[name] for name in KEY_NAMES)
        if features.shape[1] != len(shift):
            seen = f"the detector gives {features.shape[1]} features, the head takes {len(shift)}"
            raise WeightsError(f"temporal head: {seen}")
        padded = np.zeros((self._most, len(shift)), np.float32)
        padded[: len(features)] = (features - shift) * scale
        return unit((padded @ weight.T)[: len(features)])


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
    weights: Mapping[str, FloatArray]
    """of ``temporal.recall``"""
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
    state = {name: value.numpy() for name, value in read_state(path).items()}
    try:
        stages, bins = tuple(about["stages"]), tuple(about["bins"])
        most = int(about["most"])
        keys = (
            Keys(
                PoolSettings(stages=stages, bins=bins),
                most,
                {name: state.pop(name) for name in KEY_NAMES},
                card.classes,
            )
            if stages
            else None
        )
        return TemporalHead(
            card=card,
            weights=state,
            keys=keys,
            lags_s=tuple(about["lags_s"]),
            most=most,
            remembered=int(about["remembered"]),
            both=about["mode"] == "both",
        )
    except (KeyError, TypeError, ValueError) as error:
        raise WeightsError(f"{path}: no temporal head: {error!r}") from error
