"""A network cut behind its frozen part: features in place of pictures.

With a frozen backbone, a picture's features are the same in every epoch. ``cut_points`` finds the
outermost frozen modules that pictures go through first; ``record`` runs just those; ``replaying``
puts stored outputs in their place, so the family's own losses and graph run on from there.

Legend: B pictures, H W of the network's input.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor, nn

Tree = Any  # a tensor, or a list, tuple or dict of trees: what a module gives


class Replay(nn.Module):
    """Gives what it was told to, whatever comes in."""

    def __init__(self, output: Tree) -> None:
        """``output`` may be any tree of tensors."""
        super().__init__()
        self.output = output

    def forward(self, *_: object) -> Tree:
        """The stored output."""
        return self.output


def cut_points(module: nn.Module, run: Callable[[], object], *, until: str = "") -> tuple[str, ...]:
    """Names of the outermost frozen modules that ``run`` calls, in the order of the data.

    Each takes just the output of the one before. Empty where there is no such chain: nothing is
    frozen, or the frozen part is not the first. ``until`` names the last module that may be cut,
    as something is added to its output.
    """
    calls: list[tuple[str, object, object]] = []
    with ExitStack() as stack:
        for name in _outermost_frozen(module, until):
            part = module.get_submodule(name)
            stack.callback(part.register_forward_hook(_noting(name, calls)).remove)
        run()
    called = {name for name, _, _ in calls}
    chain: list[str] = []
    last: object = None
    for name, given, output in calls:
        if any(name.startswith(f"{outer}.") for outer in called):
            continue
        if name in chain or given is None or (chain and given is not last):
            return ()
        chain.append(name)
        last = output
        if name == until:
            break
    return tuple(chain) if not until or chain[-1:] == [until] else ()


def record(module: nn.Module, cuts: Sequence[str], x_B3HW: Tensor) -> list[Tree]:
    """What each of ``cuts`` gives for normalised pictures, without gradients."""
    outputs: list[Tree] = []
    with torch.no_grad():
        given: Tree = x_B3HW
        for name in cuts:
            given = module.get_submodule(name)(given)
            outputs.append(given)
    return outputs


@contextmanager
def replaying(module: nn.Module, cuts: Sequence[str], outputs: Sequence[Tree]) -> Iterator[None]:
    """Within, the modules named ``cuts`` give ``outputs`` and compute nothing."""
    real = [module.get_submodule(name) for name in cuts]
    for name, part, output in zip(cuts, real, outputs, strict=True):
        replay = Replay(output)
        replay._forward_hooks = part._forward_hooks  # noqa: SLF001 - motion is added to outputs
        _put(module, name, replay)
    try:
        yield
    finally:
        for name, part in zip(cuts, real, strict=True):
            _put(module, name, part)


def leaves(tree: Tree) -> list[Tensor]:
    """All tensors of a tree, in order."""
    if isinstance(tree, Tensor):
        return [tree]
    parts = tree.values() if isinstance(tree, dict) else tree
    return [leaf for part in parts for leaf in leaves(part)]


def rebuilt(tree: Tree, new: Iterator[Tensor]) -> Tree:
    """A tree of the same form and types of numbers with other tensors."""
    if isinstance(tree, Tensor):
        return next(new).to(tree.dtype)
    if isinstance(tree, dict):
        return type(tree)((key, rebuilt(part, new)) for key, part in tree.items())
    return type(tree)(rebuilt(part, new) for part in tree)


def _noting(name: str, calls: list[tuple[str, object, object]]) -> Callable[..., None]:
    def note(_module: nn.Module, given: tuple[object, ...], output: object) -> None:
        calls.append((name, given[0] if given else None, output))  # None: all by name

    return note


def _outermost_frozen(module: nn.Module, until: str) -> list[str]:
    """Outermost modules all of whose parameters are frozen; of a list of blocks the blocks too.

    Some networks never call the list itself but walk along its blocks (SSDLite). A module around
    ``until`` does not count: what comes after ``until`` depends on more than pictures.
    """
    found: list[str] = []

    def descend(name: str, part: nn.Module) -> None:
        parameters = list(part.parameters())
        is_around = until.startswith(f"{name}.")
        if parameters and not is_around and not any(p.requires_grad for p in parameters):
            found.append(name)
            if not isinstance(part, nn.Sequential | nn.ModuleList):
                return
        for child_name, child in part.named_children():
            descend(f"{name}.{child_name}" if name else child_name, child)

    descend("", module)
    return [name for name in found if name]


def _put(module: nn.Module, name: str, part: nn.Module) -> None:
    parent, _, own = name.rpartition(".")
    setattr(module.get_submodule(parent), own, part)
