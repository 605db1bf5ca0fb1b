"""A student that begins where its teacher is: neck and head taken over, features fitted.

The neck reads backbone features by 1x1 convolutions only. A linear map from the student's
features to the teacher's, fitted in closed form (ridge regression), therefore disappears into
these convolutions, and the student works before its first training step.

Legend: B pictures, S and T channels of student and teacher, R = all pixels of all pictures.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from vodkit.detect import networks, yolox
from vodkit.detect.base import ModelCard
from vodkit.ground.arrays import ByteArray
from vodkit.ground.errors import SettingsError
from vodkit.train.teacher import Answers, Teacher

_RIDGE = 1e-4  # directions in which the features vary less than this are hardly used
# Convolutions of the neck that read the backbone: name, level of the features, channels before.
_READERS = (
    ("lateral_conv0", 2, False),
    ("C3_p4.conv1", 1, True),
    ("C3_p4.conv2", 1, True),
    ("C3_p3.conv1", 0, True),
    ("C3_p3.conv2", 0, True),
)


@dataclass(frozen=True, eq=False)
class LinearMap:
    """teacher features ~ ``weight`` x student features + ``bias``."""

    weight: Tensor
    """(T, S)"""
    bias: Tensor
    """(T,)"""
    explained: float
    """share of the variance of the teacher's features, at most 1"""


def stitch(
    student: yolox.YOLOX, card: ModelCard, teacher: Teacher, batches: Sequence[ByteArray]
) -> list[LinearMap]:
    """Put the teacher's neck and head onto the student's backbone; the three maps, stride 8 first.

    ``batches`` are pictures (B, H, W, 3) to fit the maps on. The necks must have one width.
    """
    student.eval()
    maps = fit_maps(student, card, teacher, batches)
    own, theirs = student.state_dict(), teacher.module.state_dict()
    state = {key: value for key, value in own.items() if key.startswith("backbone.backbone.")}
    for key, value in own.items():
        if key in state or key not in theirs:
            continue
        rows = key.startswith("head.cls_preds.")
        state[key] = theirs[key][teacher.rows].clone() if rows else theirs[key].clone()
        if state[key].shape != value.shape and not _reads_backbone(key):
            seen = f"{tuple(state[key].shape)} in the teacher, {tuple(value.shape)} in the student"
            raise SettingsError(f"cannot stitch: {key} is {seen}; use one neck width and depth")
    for reader, level, mixed in _READERS:
        state |= _through_map(f"backbone.{reader}", theirs, maps[level], mixed=mixed)
    networks.load_state(student, state, where="the stitched student")
    return maps


def network_input(pictures_BHW3: ByteArray, card: ModelCard) -> Tensor:
    """Normalised (B, 3, H, W) in channels-last memory, as the card wants it."""
    pictures = torch.from_numpy(pictures_BHW3).permute(0, 3, 1, 2)
    return networks.normalise(pictures, card).contiguous(memory_format=torch.channels_last)


def answer(teacher: Teacher, pictures_BHW3: ByteArray) -> Answers:
    """The teacher's outputs for (B, H, W, 3) uint8 RGB."""
    return teacher.look(network_input(pictures_BHW3, teacher.card))


def _reads_backbone(key: str) -> bool:
    return any(key.startswith(f"backbone.{reader}.conv.") for reader, _, _ in _READERS)


def _through_map(
    name: str, theirs: Mapping[str, Tensor], fitted: LinearMap, *, mixed: bool
) -> dict[str, Tensor]:
    """The convolution and norm ``name`` for the student's features instead of the teacher's.

    ``mixed``: the features come after channels of the neck itself, which stay as they are.
    """
    weight = theirs[f"{name}.conv.weight"][:, :, 0, 0]
    before = weight.shape[1] - len(fitted.bias) if mixed else 0
    of_features = weight[:, before:]
    scale = theirs[f"{name}.bn.weight"] / (theirs[f"{name}.bn.running_var"] + _eps()).sqrt()
    folded = torch.cat([weight[:, :before], of_features @ fitted.weight], dim=1)
    return {
        f"{name}.conv.weight": folded[:, :, None, None].contiguous(),
        f"{name}.bn.bias": theirs[f"{name}.bn.bias"] + scale * (of_features @ fitted.bias),
    }


def _eps() -> float:
    return float(yolox.BaseConv(1, 1, 1).bn.eps)


@torch.no_grad()
def fit_maps(
    student: yolox.YOLOX, card: ModelCard, teacher: Teacher, batches: Sequence[ByteArray]
) -> list[LinearMap]:
    """Ridge regressions from the student's backbone features to the teacher's, one a stride."""
    sums: list[tuple[Tensor, Tensor, Tensor]] = []
    for pictures in batches:
        pairs = zip(
            student.backbone.backbone(network_input(pictures, card)),
            teacher.module.backbone.backbone(network_input(pictures, teacher.card)),
            strict=True,
        )
        new = [_products(*pair) for pair in pairs]
        sums = [
            (a + x, b + y, c + z)
            for (a, b, c), (x, y, z) in zip(sums or _zeros(new), new, strict=True)
        ]
    return [_solved(*products) for products in sums]


def _zeros(like: list[tuple[Tensor, Tensor, Tensor]]) -> list[tuple[Tensor, Tensor, Tensor]]:
    return [(torch.zeros_like(a), torch.zeros_like(b), torch.zeros_like(c)) for a, b, c in like]


def _products(student_BSHW: Tensor, teacher_BTHW: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Sums over pixels in float64: x x' (S+1, S+1), x y' (S+1, T), y and y^2 (2, T); x has a 1."""
    x_RS = student_BSHW.permute(0, 2, 3, 1).flatten(0, 2).double()
    y_RT = teacher_BTHW.permute(0, 2, 3, 1).flatten(0, 2).double()
    x_RS = torch.cat([x_RS, x_RS.new_ones(len(x_RS), 1)], dim=1)
    return x_RS.T @ x_RS, x_RS.T @ y_RT, torch.stack([y_RT.sum(0), y_RT.square().sum(0)])


def _solved(xx: Tensor, xy: Tensor, y_sums: Tensor) -> LinearMap:
    count = xx[-1, -1]
    ridge = _RIDGE * count * torch.eye(len(xx), dtype=xx.dtype)
    solution = torch.linalg.solve(xx + ridge, xy)  # (S+1, T)
    left = y_sums[1] - 2 * (solution * xy).sum(0) + (solution * (xx @ solution)).sum(0)
    variance = y_sums[1] - y_sums[0].square() / count
    explained = float(1 - left.sum() / variance.sum().clamp(min=1e-12))
    return LinearMap(solution[:-1].T.float().contiguous(), solution[-1].float(), explained)


@torch.no_grad()
def settle_norms(module: yolox.YOLOX, card: ModelCard, batches: Sequence[ByteArray]) -> None:
    """Give the norms of neck and head the statistics of their inputs; outputs stay the same.

    Networks whose norms were folded away have statistics 0 and 1, and a scale and shift that
    only fit these. Trained further with statistics of each batch, they would compute something
    else from the first step on. Here scale and shift move along with the statistics.
    """
    parts = [module.backbone.get_submodule(n) for n, _ in module.backbone.named_children()]
    norms = [
        norm
        for part in (*parts, module.head)
        if part is not module.backbone.backbone
        for norm in part.modules()
        if isinstance(norm, _BatchNorm)
    ]
    sums = _input_sums(module, card, norms, batches)
    for norm, (count, total, squares) in zip(norms, sums, strict=True):
        _move(norm, total / count, squares / count - (total / count).square())


def _input_sums(
    module: yolox.YOLOX, card: ModelCard, norms: Sequence[nn.Module], batches: Sequence[ByteArray]
) -> list[tuple[float, Tensor, Tensor]]:
    """Number, sum and sum of squares (float64) of what goes into each norm, by channel."""
    found: dict[int, tuple[float, Tensor, Tensor]] = {}

    def note(norm: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        x = inputs[0].double()
        old = found.get(id(norm), (0.0, torch.zeros(()), torch.zeros(())))
        new = (x.numel() / x.shape[1], x.sum((0, 2, 3)), x.square().sum((0, 2, 3)))
        found[id(norm)] = (old[0] + new[0], old[1] + new[1], old[2] + new[2])

    hooks = [norm.register_forward_pre_hook(note) for norm in norms]
    module.eval()
    for pictures in batches:
        module(network_input(pictures, card))
    for hook in hooks:
        hook.remove()
    return [found[id(norm)] for norm in norms]


def _move(norm: _BatchNorm, mean: Tensor, variance: Tensor) -> None:
    """New statistics; scale and shift such that the norm maps every value as before."""
    assert norm.running_mean is not None and norm.running_var is not None  # noqa: PT018
    old_mean, old_var = norm.running_mean.double(), norm.running_var.double()
    slope = norm.weight.double() / (old_var + norm.eps).sqrt()
    shift = norm.bias.double() - slope * old_mean
    norm.running_mean.copy_(mean)
    norm.running_var.copy_(variance.clamp(min=0))
    norm.weight.copy_(slope * (variance.clamp(min=0) + norm.eps).sqrt())
    norm.bias.copy_(shift + slope * mean)
