"""The branch through which differences to earlier frames enter a network, of whatever family.

A few convolutions take the planes (``video.motion``) to the last map of the network's trunk with a
stride of at most 8, and are added to it. Nothing in the branch is constant (no bias, no norm), so
empty planes add zero: a network that is given no motion is the still one, bit for bit, before and
after training. Its last layer begins as zero, so training begins with the still network.

The branch is one more child of the network, and a hook adds its output, so there is no code for
single families.

Legend: B pictures, L planes, C channels, h w of a map.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from vodkit.ground.errors import SettingsError
from vodkit.video.motion import NO_MOTION

CHILD = "motion"
"""name of the branch among a network's children"""
STRIDE = 8
"""of the map that motion is added to, at most"""
_WIDTHS = (16, 32, 32)  # channels after each halving
_SPREAD = 32.0  # a change by 64 grey levels is 1
_SLOPE = 0.1  # of activations below 0


class MotionBranch(nn.Module):
    """Planes in, an addition to one map of the trunk out."""

    def __init__(self, num_planes: int, channels: int, place: str) -> None:
        """``channels`` of the map that the network's module ``place`` gives."""
        super().__init__()
        self.place = place
        self.planes: Tensor | None = None
        """(B, L, H, W) of the pictures that the network is given; None: no motion is known"""
        halvings = pairwise((num_planes, *_WIDTHS))
        self.layers = nn.ModuleList(
            [nn.Conv2d(a, b, 3, stride=2, padding=1, bias=False) for a, b in halvings]
        )
        self.layers.append(nn.Conv2d(_WIDTHS[-1], _WIDTHS[-1], 3, padding=1, bias=False))
        self.out = nn.Conv2d(_WIDTHS[-1], channels, 1, bias=False)
        nn.init.zeros_(self.out.weight)

    def forward(self, planes_BLHW: Tensor, size: tuple[int, int]) -> Tensor:
        """(B, C, h, w); ``size`` is h, w of the map."""
        x = (planes_BLHW.float() - NO_MOTION) / _SPREAD
        for layer in self.layers:
            x = functional.leaky_relu(layer(x), _SLOPE)
        if tuple(x.shape[2:]) != size:  # a map at stride 4, or sides that do not divide
            x = functional.interpolate(x, size=size, mode="nearest")
        out: Tensor = self.out(x)
        return out

    def added(self, _module: nn.Module, _inputs: object, output: Tensor) -> Tensor | None:
        """The map of ``place`` with what the planes add; a hook of that module."""
        if self.planes is None:
            return None
        size = (int(output.shape[2]), int(output.shape[3]))
        return output + self(self.planes, size).to(output.dtype)


def attach(
    module: nn.Module,
    num_planes: int,
    trunk: Sequence[Sequence[nn.Module]],
    run: Callable[[], object],
    side_px: int,
) -> None:
    """Give a network a fresh branch.

    Args:
        module: the network.
        num_planes: L.
        trunk: its stages by depth, see ``networks.stages``.
        run: runs the network on a picture.
        side_px: width of that picture.

    Raises:
        SettingsError: no stage of the trunk gives a map with a stride of at most ``STRIDE``.
    """
    place, channels = _place(module, trunk, run, side_px)
    branch = MotionBranch(num_planes, channels, place)
    first = next(module.parameters())
    module.add_module(CHILD, branch.to(first.device))
    module.get_submodule(place).register_forward_hook(branch.added)


def branch_of(module: nn.Module) -> MotionBranch | None:
    """The branch of a network; None: it takes colours alone."""
    branch = getattr(module, CHILD, None)
    return branch if isinstance(branch, MotionBranch) else None


@contextmanager
def moving(module: nn.Module, planes_BLHW: Tensor) -> Iterator[None]:
    """Within, the network is given pictures with these planes; none of them: L is 0."""
    branch = branch_of(module)
    if branch is None or not planes_BLHW.shape[1]:
        yield
        return
    branch.planes = planes_BLHW
    try:
        yield
    finally:
        branch.planes = None


def _place(
    module: nn.Module,
    trunk: Sequence[Sequence[nn.Module]],
    run: Callable[[], object],
    side_px: int,
) -> tuple[str, int]:
    """Name and channels of the last module of a stage whose map is fine enough."""
    name_of = {part: name for name, part in module.named_modules()}
    seen: list[list[tuple[str, Tensor]]] = [[] for _ in trunk]

    def note(calls: list[tuple[str, Tensor]], part: nn.Module, _given: Any, output: Any) -> None:
        if isinstance(output, Tensor) and output.ndim == 4:
            calls.append((name_of[part], output))

    hooks = [
        part.register_forward_hook(partial(note, calls))
        for calls, parts in zip(seen, trunk, strict=True)
        for part in parts
    ]
    try:
        with torch.no_grad():
            run()
    finally:
        for hook in hooks:
            hook.remove()
    ends = [calls[-1] for calls in seen if calls]
    fine = [(name, map_) for name, map_ in ends if map_.shape[3] * STRIDE >= side_px]
    if not fine:
        raise SettingsError(
            f"motion: no stage of this network gives a map at a stride of {STRIDE} or less; "
            "allowed: another model, or no motion"
        )
    name, last = fine[-1]
    return name, int(last.shape[1])
