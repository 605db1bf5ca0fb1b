"""Freezing, exactly: frozen stages keep their weights and their BatchNorm statistics, bit by bit.

A family names its stages by depth (``networks.stages``); ``freeze`` is a depth: everything below
and including it stays as it is. A frozen stage is out of the optimizer and in evaluation mode, so
that neither gradients nor running statistics nor dropout touch it.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from vodkit.detect import networks
from vodkit.detect.base import ModelCard
from vodkit.ground.errors import SettingsError
from vodkit.ground.lookup import pick

STAGES = ("stem", "stage1", "stage2", "stage3", "stage4", "neck", "head")
# word: how many of STAGES stay as they are
FREEZES = {
    "none": 0,
    "stem": 1,
    "stage1": 2,
    "stage2": 3,
    "stage3": 4,
    "backbone": 5,
    "head-only": 6,
}


@dataclass(frozen=True, kw_only=True)
class StageRow:
    """A line of the table of parameters."""

    stage: str
    parameters: int
    trainable: int


def depth_at(freeze: str, *, epoch: int, thaw_every: int) -> int:
    """How many stages are frozen in an epoch; gradual thawing frees the last one first.

    >>> [depth_at("stage2", epoch=e, thaw_every=2) for e in range(5)]
    [3, 3, 2, 2, 1]
    """
    depth = pick(FREEZES, freeze, "freeze")
    return depth if thaw_every == 0 else max(depth - epoch // thaw_every, 0)


def freeze(module: nn.Module, card: ModelCard, depth: int) -> None:
    """Freeze the first ``depth`` of STAGES and thaw the others; in training mode afterwards."""
    module.train()
    stages = _stages(module, card)
    for parameter in module.parameters():
        parameter.requires_grad_(True)  # noqa: FBT003 - torch's signature
    for name in STAGES[:depth]:
        for part in stages[name]:
            part.eval()
            part.requires_grad_(False)  # noqa: FBT003


def refuse_missing_stage(module: nn.Module, card: ModelCard, word: str) -> None:
    """SettingsError where a network has nothing at the stage up to which it is to be frozen.

    Some begin with stride 4, or are one piece to us: a stage of theirs that is "frozen" would learn
    on in the next one. Of a backbone that ends earlier, ``backbone`` is what there is.
    """
    stages, depth = _stages(module, card), FREEZES[word]
    asked = [word] if word in STAGES else list(STAGES[:depth])
    if depth and not any(stages[name] for name in asked):
        has = ", ".join(name for name in STAGES if stages[name])
        also = ", ".join(name for name in FREEZES if name not in STAGES)
        allowed = f"its stages ({has}) as far as stage3, or {also}"
        raise SettingsError(f"freeze is {word}, which this network lacks; allowed: {allowed}")


def fix_statistics(module: nn.Module) -> None:
    """Every BatchNorm normalises with the statistics it has; for batches too small to have any."""
    for part in module.modules():
        if isinstance(part, _BatchNorm):
            part.eval()


def parameters_by_stage(
    module: nn.Module, card: ModelCard
) -> dict[str, list[tuple[str, nn.Parameter]]]:
    """All named parameters, each once; what a family puts in no stage counts as head."""
    stage_of = dict(_stage_of_parameters(_stages(module, card)))
    found: dict[str, list[tuple[str, nn.Parameter]]] = {name: [] for name in STAGES}
    for name, parameter in module.named_parameters():
        found[stage_of.get(id(parameter), "head")].append((name, parameter))
    return found


def table(module: nn.Module, card: ModelCard) -> list[StageRow]:
    """Parameters and trainable parameters of each stage, as ``vodkit train`` prints them."""
    return [
        StageRow(
            stage=stage,
            parameters=sum(p.numel() for _, p in pairs),
            trainable=sum(p.numel() for _, p in pairs if p.requires_grad),
        )
        for stage, pairs in parameters_by_stage(module, card).items()
    ]


def _stages(module: nn.Module, card: ModelCard) -> dict[str, list[nn.Module]]:
    """All of STAGES; those that a family does not speak of are empty."""
    told = networks.stages(module, card)
    return {name: told.get(name, []) for name in STAGES}


def _stage_of_parameters(
    stages: dict[str, list[nn.Module]],
) -> Iterator[tuple[int, str]]:
    for name in STAGES:
        parts: Sequence[nn.Module] = stages[name]
        for part in parts:
            for parameter in part.parameters():
                yield id(parameter), name
