"""Learning without forgetting: a teacher's outputs on the training pictures are learnt as well.

Labels of a few videos adapt a network to those videos. Losses against the dense outputs of a
teacher on every training picture (augmented, mosaics included) keep what the labels do not cover
(Li and Hoiem, 2016, arXiv:1606.09282). The teacher may be a larger network, the one that made the
labels, or the initial network itself.

Only for YOLOX networks, whose outputs correspond cell by cell. Classes are matched by name.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from vodkit.detect import networks, yolox
from vodkit.detect.base import ModelCard
from vodkit.ground.errors import SettingsError
from vodkit.train.teacher import Answers, Teacher, distill_losses, load_teacher

_LEAST_SPREAD = 1e-3
_NECK_WEIGHT = 3.0  # as in examples/street


class Keeper:
    """Losses between the outputs of a network in training and those of its teacher."""

    def __init__(
        self,
        module: nn.Module,
        card: ModelCard,
        teacher: str,
        *,
        weight: float,
        device: torch.device,
    ) -> None:
        """``teacher`` is a YOLOX model's name or file; ``weight`` multiplies its losses."""
        if not isinstance(module, yolox.YOLOX):
            seen = f"teacher is {teacher}, and {card.name} is of the family {card.family}"
            raise SettingsError(f"{seen}; allowed: only with networks of the yolox family")
        self._teacher, self._columns = _matched(teacher, card)
        self._teacher.module.to(device)
        self._weight = weight
        self._module = module

    def losses(self, images_B3HW: Tensor, given: Answers) -> dict[str, Tensor]:
        """Weighted losses ``kept_...`` of the network's outputs on these pictures."""
        x_B3HW = networks.normalise(images_B3HW, self._teacher.card)
        wanted = self._teacher.look(x_B3HW.contiguous(memory_format=torch.channels_last))
        necks = zip(given.neck, wanted.neck, strict=True)
        alike = all(one.shape == other.shape for one, other in necks)
        spread = [
            other.var((0, 2, 3)).clamp(min=_LEAST_SPREAD)[None, :, None, None]
            for other in wanted.neck
        ]
        found = distill_losses(
            Answers(given.raw[..., self._columns].float(), given.neck if alike else wanted.neck),
            wanted,
            spread,
            size_px=(images_B3HW.shape[2], images_B3HW.shape[3]),
            neck_weight=_NECK_WEIGHT,
        )
        return {f"kept_{name}": self._weight * value for name, value in found.items()}

    @contextmanager
    def listening(self) -> "Iterator[_Heard]":
        """Record the network's outputs within, without a second forward pass."""
        heard = _Heard()
        hooks = [
            self._module.backbone.register_forward_hook(heard.take_neck),
            self._module.head.register_forward_hook(heard.take_raw),
        ]
        try:
            yield heard
        finally:
            for hook in hooks:
                hook.remove()


class _Heard:
    """The last outputs of a network."""

    def __init__(self) -> None:
        self._neck: list[Tensor] = []
        self._raw = torch.empty(0)

    def take_neck(self, _module: nn.Module, _given: Any, out: list[Tensor]) -> None:
        self._neck = list(out)

    def take_raw(self, _module: nn.Module, _given: Any, out: Tensor) -> None:
        self._raw = out

    @property
    def answers(self) -> Answers:
        """With all columns."""
        return Answers(self._raw, self._neck)


def _matched(teacher: str, card: ModelCard) -> tuple[Teacher, list[int]]:
    """The teacher of the classes that both know, and the network's columns for them."""
    from vodkit.detect.models import find_card

    known = find_card(teacher)[0].classes
    shared = [name for name in card.classes if name in known]
    if not shared:
        seen = f"teacher {teacher} knows none of {', '.join(card.classes)}"
        raise SettingsError(f"{seen}; allowed: one that shares a class by name")
    columns = [*range(5), *(5 + card.classes.index(name) for name in shared)]
    return load_teacher(teacher, weights="default", classes=shared), columns
