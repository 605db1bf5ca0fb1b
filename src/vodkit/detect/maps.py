"""A network's own feature maps as further outputs of its graph, by the names of its stages.

``WithMaps`` listens to the modules of a stage while the graph runs; nothing is computed twice, and
a graph without it is not touched. Works in torch, and in whatever traces torch (OpenVINO, ONNX).

Legend: B pictures, C channels, h w of a map.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor, nn

from vodkit.detect import networks
from vodkit.detect.base import ModelCard
from vodkit.ground.errors import SettingsError
from vodkit.ground.lookup import pick


class WithMaps(nn.Module):
    """A deployed graph whose outputs are followed by one map (B, C, h, w) a stage, float32.

    Of a stage that works at several sizes (a neck) it is the finest map, the last one made.
    """

    def __init__(self, graph: nn.Module, stages: Sequence[Sequence[nn.Module]]) -> None:
        """``graph`` is that of ``networks.deployed``; ``stages`` are modules inside of it."""
        super().__init__()
        self.deployed = graph  # a traced module has a `graph` of its own
        self._seen: list[list[Tensor]] = [[] for _ in stages]
        for seen, modules in zip(self._seen, stages, strict=True):
            for module in modules:
                module.register_forward_hook(_listener(seen))
        # A new module is in training mode, and an exporter gives all parts the mode of the whole.
        self.train(graph.training)

    def forward(self, pictures_BHW3: Tensor) -> tuple[Tensor, ...]:
        """The graph's outputs, then the maps."""
        for seen in self._seen:
            seen.clear()
        found = self.deployed(pictures_BHW3)
        outputs = (found,) if isinstance(found, Tensor) else tuple(found)
        maps = tuple(_finest(seen) for seen in self._seen)
        for seen in self._seen:
            seen.clear()
        return outputs + maps


def with_maps(graph: nn.Module, card: ModelCard, stages: Sequence[str]) -> WithMaps:
    """A graph of ``networks.deployed`` with the maps of these stages as further outputs.

    SettingsError for a stage that the family does not name, or that is empty in this network.
    """
    inner: Any = graph
    known = networks.stages(inner.inner.module, card)
    return WithMaps(graph, [_modules(known, name, card) for name in stages])


def _modules(
    known: Mapping[str, Sequence[nn.Module]], name: str, card: ModelCard
) -> Sequence[nn.Module]:
    modules = pick(known, name, f"stage of {card.name}")
    if not modules:
        there = ", ".join(stage for stage, parts in known.items() if parts)
        raise SettingsError(f"stage {name} of {card.name} has no modules; allowed: {there}")
    return modules


def _listener(seen: list[Tensor]) -> Any:
    def listen(_module: nn.Module, _inputs: Any, output: Any) -> None:
        parts = output.values() if isinstance(output, Mapping) else output
        parts = (parts,) if isinstance(parts, Tensor) else parts
        seen.extend(part for part in parts if isinstance(part, Tensor) and part.ndim == 4)

    return listen


def _finest(seen: Sequence[Tensor]) -> Tensor:
    """The last map of the largest size; a stage of the trunk counts by what it ends with."""
    finest = seen[-1]
    for one in seen[-2::-1]:
        if one.shape[3] > finest.shape[3]:
            finest = one
    return finest.float()
