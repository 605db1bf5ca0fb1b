"""YOLOX (Ge et al., 2021, arXiv:2107.08430), whole, in one file: backbone, neck, head, decoding.

The state-dict names are those of the official checkpoints, so published weights load as they
are. ``build_yolox`` makes the six published sizes on CSPDarknet; ``build_yolox_timm`` puts the
same neck and head on any timm backbone that gives features at strides 8, 16 and 32.

``forward`` gives raw outputs, the same in training and inference; ``decode_outputs`` turns them
into boxes in pixels of the network's input and probabilities. The loss is in ``yolox_loss``.

Legend: B batch, H W picture, A = sum over the three strides of (H/stride)(W/stride) cells in
row-major order, finest stride first; C classes; K = 5 + C columns: x, y, w, h, objectness,
classes.
"""

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from vodkit.ground.errors import SettingsError
from vodkit.ground.lookup import pick, unknown

STRIDES = (8, 16, 32)
STAGES = ("stem", "stage1", "stage2", "stage3", "stage4", "neck", "head")
# name: (depth multiple, width multiple, depthwise)
SIZES = {
    "nano": (0.33, 0.25, True),
    "tiny": (0.33, 0.375, False),
    "s": (0.33, 0.50, False),
    "m": (0.67, 0.75, False),
    "l": (1.0, 1.0, False),
    "x": (1.33, 1.25, False),
}
# Official models are trained with these (exps/default, yolox/models/yolox.py init_yolo).
_BN_EPS, _BN_MOMENTUM = 1e-3, 0.03
_PRIOR = 0.01  # probability that every cell starts with (RetinaNet's initialisation)


class BaseConv(nn.Module):
    """Convolution, batch norm, SiLU; padding keeps the size at stride 1."""

    def __init__(
        self, in_channels: int, out_channels: int, kernel: int, *, stride: int = 1, groups: int = 1
    ) -> None:
        """A square kernel of odd side ``kernel``."""
        super().__init__()
        self.conv = nn.Conv2d(
            in_channels, out_channels, kernel, stride, (kernel - 1) // 2, groups=groups, bias=False
        )
        self.bn = nn.BatchNorm2d(out_channels, eps=_BN_EPS, momentum=_BN_MOMENTUM)
        self.act = nn.SiLU(inplace=True)

    def forward(self, x_BCHW: Tensor) -> Tensor:
        """(B, out_channels, H / stride, W / stride)."""
        out: Tensor = self.act(self.bn(self.conv(x_BCHW)))
        return out


class DWConv(nn.Module):
    """A depthwise convolution followed by a pointwise one, each with norm and activation."""

    def __init__(
        self, in_channels: int, out_channels: int, kernel: int, *, stride: int = 1
    ) -> None:
        """The depthwise part carries kernel and stride."""
        super().__init__()
        self.dconv = BaseConv(in_channels, in_channels, kernel, stride=stride, groups=in_channels)
        self.pconv = BaseConv(in_channels, out_channels, 1)

    def forward(self, x_BCHW: Tensor) -> Tensor:
        """(B, out_channels, H / stride, W / stride)."""
        out: Tensor = self.pconv(self.dconv(x_BCHW))
        return out


def _conv(depthwise: bool) -> type[BaseConv] | type[DWConv]:
    return DWConv if depthwise else BaseConv


class Bottleneck(nn.Module):
    """1x1 and 3x3 convolution with an optional sum around them."""

    def __init__(self, channels: int, *, shortcut: bool, depthwise: bool) -> None:
        """Input, hidden and output all have ``channels`` channels (expansion 1)."""
        super().__init__()
        self.conv1 = BaseConv(channels, channels, 1)
        self.conv2 = _conv(depthwise)(channels, channels, 3)
        self.use_add = shortcut

    def forward(self, x_BCHW: Tensor) -> Tensor:
        """(B, channels, H, W)."""
        y: Tensor = self.conv2(self.conv1(x_BCHW))
        return y + x_BCHW if self.use_add else y


class CSPLayer(nn.Module):
    """Cross-stage partial block: one half through bottlenecks, the other straight."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        *,
        depth: int = 1,
        shortcut: bool = True,
        depthwise: bool = False,
    ) -> None:
        """``depth`` bottlenecks on half of ``out_channels``."""
        super().__init__()
        hidden = int(out_channels * 0.5)
        self.conv1 = BaseConv(in_channels, hidden, 1)
        self.conv2 = BaseConv(in_channels, hidden, 1)
        self.conv3 = BaseConv(2 * hidden, out_channels, 1)
        blocks = [Bottleneck(hidden, shortcut=shortcut, depthwise=depthwise) for _ in range(depth)]
        self.m = nn.Sequential(*blocks)

    def forward(self, x_BCHW: Tensor) -> Tensor:
        """(B, out_channels, H, W)."""
        halves = (self.m(self.conv1(x_BCHW)), self.conv2(x_BCHW))
        out: Tensor = self.conv3(torch.cat(halves, dim=1))
        return out


class SPPBottleneck(nn.Module):
    """Spatial pyramid pooling: max pools of 5, 9 and 13 px side by side."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        """Pools work on half of ``in_channels``."""
        super().__init__()
        hidden = in_channels // 2
        self.conv1 = BaseConv(in_channels, hidden, 1)
        self.m = nn.ModuleList(nn.MaxPool2d(k, stride=1, padding=k // 2) for k in (5, 9, 13))
        self.conv2 = BaseConv(hidden * 4, out_channels, 1)

    def forward(self, x_BCHW: Tensor) -> Tensor:
        """(B, out_channels, H, W)."""
        x_BCHW = self.conv1(x_BCHW)
        out: Tensor = self.conv2(torch.cat([x_BCHW, *(pool(x_BCHW) for pool in self.m)], dim=1))
        return out


class Focus(nn.Module):
    """The four pixels of every 2x2 square as channels, then a convolution."""

    def __init__(self, in_channels: int, out_channels: int, kernel: int) -> None:
        """``kernel`` is that of the convolution after the shuffle."""
        super().__init__()
        self.conv = BaseConv(in_channels * 4, out_channels, kernel)

    def forward(self, x_BCHW: Tensor) -> Tensor:
        """(B, out_channels, H / 2, W / 2); left corners before right ones, top before bottom."""
        even, odd = x_BCHW[..., ::2], x_BCHW[..., 1::2]
        corners = (even[..., ::2, :], even[..., 1::2, :], odd[..., ::2, :], odd[..., 1::2, :])
        out: Tensor = self.conv(torch.cat(corners, dim=1))
        return out


class CSPDarknet(nn.Module):
    """The backbone of the published models; features at strides 8, 16, 32."""

    def __init__(self, depth: float, width: float, *, depthwise: bool) -> None:
        """``depth`` and ``width`` multiply the counts of YOLOX-l."""
        super().__init__()
        conv, base, n = _conv(depthwise), int(width * 64), max(round(depth * 3), 1)
        self.channels = (base * 4, base * 8, base * 16)
        self.stem = Focus(3, base, 3)
        self.dark2 = nn.Sequential(
            conv(base, base * 2, 3, stride=2),
            CSPLayer(base * 2, base * 2, depth=n, depthwise=depthwise),
        )
        self.dark3 = nn.Sequential(
            conv(base * 2, base * 4, 3, stride=2),
            CSPLayer(base * 4, base * 4, depth=n * 3, depthwise=depthwise),
        )
        self.dark4 = nn.Sequential(
            conv(base * 4, base * 8, 3, stride=2),
            CSPLayer(base * 8, base * 8, depth=n * 3, depthwise=depthwise),
        )
        self.dark5 = nn.Sequential(
            conv(base * 8, base * 16, 3, stride=2),
            SPPBottleneck(base * 16, base * 16),
            CSPLayer(base * 16, base * 16, depth=n, shortcut=False, depthwise=depthwise),
        )

    def forward(self, x_BCHW: Tensor) -> list[Tensor]:
        """Three feature maps, finest first."""
        stride8 = self.dark3(self.dark2(self.stem(x_BCHW)))
        stride16 = self.dark4(stride8)
        return [stride8, stride16, self.dark5(stride16)]


class PAFPN(nn.Module):
    """A backbone and the path aggregation neck around it (the official name space holds both)."""

    def __init__(
        self,
        backbone: nn.Module,
        in_channels: Sequence[int],
        *,
        depth: float,
        width: float,
        depthwise: bool,
    ) -> None:
        """``in_channels`` of the backbone's three maps; the neck gives 256, 512, 1024 x width."""
        super().__init__()
        conv, n = _conv(depthwise), max(round(3 * depth), 1)
        f3, f4, f5 = in_channels
        c3, c4, c5 = self.channels = (int(256 * width), int(512 * width), int(1024 * width))

        def csp(in_channels: int, out_channels: int) -> CSPLayer:
            return CSPLayer(in_channels, out_channels, depth=n, shortcut=False, depthwise=depthwise)

        self.backbone = backbone
        self.lateral_conv0 = BaseConv(f5, c4, 1)
        self.C3_p4 = csp(c4 + f4, c4)
        self.reduce_conv1 = BaseConv(c4, c3, 1)
        self.C3_p3 = csp(c3 + f3, c3)
        self.bu_conv2 = conv(c3, c3, 3, stride=2)
        self.C3_n3 = csp(2 * c3, c4)
        self.bu_conv1 = conv(c4, c4, 3, stride=2)
        self.C3_n4 = csp(2 * c4, c5)

    def forward(self, x_BCHW: Tensor) -> list[Tensor]:
        """Three maps at strides 8, 16, 32."""
        return self.neck(self.backbone(x_BCHW))

    def neck(self, features: Sequence[Tensor]) -> list[Tensor]:
        """The same three maps after information went up and down between them."""
        f3, f4, f5 = features
        top = self.lateral_conv0(f5)
        middle = self.C3_p4(torch.cat([_double(top), f4], dim=1))
        middle_thin = self.reduce_conv1(middle)
        out8 = self.C3_p3(torch.cat([_double(middle_thin), f3], dim=1))
        out16 = self.C3_n3(torch.cat([self.bu_conv2(out8), middle_thin], dim=1))
        out32 = self.C3_n4(torch.cat([self.bu_conv1(out16), top], dim=1))
        return [out8, out16, out32]


def _double(x_BCHW: Tensor) -> Tensor:
    return functional.interpolate(x_BCHW, scale_factor=2.0, mode="nearest")


class Head(nn.Module):
    """The decoupled head: separate branches for class, and for box and objectness."""

    def __init__(
        self, num_classes: int, in_channels: Sequence[int], *, width: float, depthwise: bool
    ) -> None:
        """Branches have 256 x ``width`` channels."""
        super().__init__()
        conv, hidden = _conv(depthwise), int(256 * width)
        self.num_classes = num_classes

        def branch() -> nn.Sequential:
            return nn.Sequential(conv(hidden, hidden, 3), conv(hidden, hidden, 3))

        self.stems = nn.ModuleList(BaseConv(c, hidden, 1) for c in in_channels)
        self.cls_convs = nn.ModuleList(branch() for _ in in_channels)
        self.reg_convs = nn.ModuleList(branch() for _ in in_channels)
        self.cls_preds = nn.ModuleList(nn.Conv2d(hidden, num_classes, 1) for _ in in_channels)
        self.reg_preds = nn.ModuleList(nn.Conv2d(hidden, 4, 1) for _ in in_channels)
        self.obj_preds = nn.ModuleList(nn.Conv2d(hidden, 1, 1) for _ in in_channels)
        for layer in [*self.cls_preds, *self.obj_preds]:
            nn.init.constant_(layer.bias, -math.log((1 - _PRIOR) / _PRIOR))

    def forward(self, features: Sequence[Tensor]) -> Tensor:
        """Raw outputs (B, A, K): box offsets, objectness and class logits."""
        return torch.cat([self._level(i, x) for i, x in enumerate(features)], dim=1)

    def _level(self, i: int, x_BCHW: Tensor) -> Tensor:
        x_BCHW = self.stems[i](x_BCHW)
        of_class, of_box = self.cls_convs[i](x_BCHW), self.reg_convs[i](x_BCHW)
        parts = (self.reg_preds[i](of_box), self.obj_preds[i](of_box), self.cls_preds[i](of_class))
        return torch.cat(parts, dim=1).flatten(2).transpose(1, 2)


class YOLOX(nn.Module):
    """A detector: ``backbone`` (with the neck) and ``head``, as official checkpoints name them."""

    def __init__(self, backbone: PAFPN, head: Head) -> None:
        """See ``build_yolox`` and ``build_yolox_timm``."""
        super().__init__()
        self.backbone = backbone
        self.head = head

    def forward(self, x_BCHW: Tensor) -> Tensor:
        """Raw outputs (B, A, K) of pictures whose sides are multiples of 32 px.

        Columns: x and y offsets in strides, log w and log h in strides, objectness logit, class
        logits. Official models take BGR 0-255; a timm backbone RGB normalised as its card says.
        """
        out: Tensor = self.head(self.backbone(x_BCHW))
        return out


def grid(
    height_px: int, width_px: int, device: torch.device | None = None
) -> tuple[Tensor, Tensor]:
    """Cell corners (A, 2) in strides and strides (A, 1) of an input of this size, float32.

    They are made on ``device``: a copy from the CPU could not be recorded in a CUDA graph.
    """
    corners, strides = [], []
    for stride in STRIDES:
        rows, columns = height_px // stride, width_px // stride
        along = (torch.arange(count, device=device) for count in (rows, columns))
        y, x = torch.meshgrid(*along, indexing="ij")
        corners.append(torch.stack([x, y], dim=2).reshape(-1, 2))
        strides.append(torch.full((rows * columns, 1), stride, device=device))
    return torch.cat(corners).float(), torch.cat(strides).float()


def decode_boxes(raw_BAK: Tensor, *, height_px: int, width_px: int) -> Tensor:
    """Boxes (B, A, 4) as centre x, centre y, width, height in input pixels (differentiable).

    Half precision is widened to float32 first: at 1280 px it would move centres by 4 px.
    """
    raw_BAK = raw_BAK.to(torch.promote_types(raw_BAK.dtype, torch.float32))
    corners_A2, strides_A1 = grid(height_px, width_px, raw_BAK.device)
    centres = (raw_BAK[..., :2] + corners_A2) * strides_A1
    return torch.cat([centres, raw_BAK[..., 2:4].exp() * strides_A1], dim=-1)


def decode_outputs(raw_BAK: Tensor, *, height_px: int, width_px: int) -> Tensor:
    """(B, A, K) with boxes cx, cy, w, h in input pixels and sigmoid objectness and classes."""
    boxes = decode_boxes(raw_BAK, height_px=height_px, width_px=width_px)
    return torch.cat([boxes, raw_BAK[..., 4:].sigmoid()], dim=-1)


def build_yolox(size: str, num_classes: int) -> YOLOX:
    """One of the published sizes (``SIZES``), with fresh weights; input BGR 0-255."""
    depth, width, depthwise = pick(SIZES, size, "YOLOX size")
    backbone = CSPDarknet(depth, width, depthwise=depthwise)
    neck = PAFPN(backbone, backbone.channels, depth=depth, width=width, depthwise=depthwise)
    return YOLOX(neck, Head(num_classes, neck.channels, width=width, depthwise=depthwise))


def build_yolox_timm(
    backbone_name: str,
    num_classes: int,
    *,
    width: float = 0.25,
    depth: float = 0.33,
    depthwise: bool = True,
) -> YOLOX:
    """The YOLOX neck and head on a timm backbone with fresh weights (nothing is downloaded).

    ``width`` and ``depth`` are those of neck and head. Raises SettingsError when timm does not
    know the backbone or it has no features at strides 8, 16 and 32.
    """
    backbone, channels = timm_backbone(backbone_name)
    neck = PAFPN(backbone, channels, depth=depth, width=width, depthwise=depthwise)
    return YOLOX(neck, Head(num_classes, neck.channels, width=width, depthwise=depthwise))


def timm_backbone(name: str) -> tuple[nn.Module, list[int]]:
    """A backbone with fresh weights that gives maps at strides 8, 16 and 32, and their channels.

    Raises:
        SettingsError: timm has no such backbone, or it has no features at these strides.
    """
    import timm

    if not timm.is_model(name):
        raise unknown(name, timm.list_models(), "timm backbone")
    whole: Any = timm.create_model(name, features_only=True, pretrained=False)
    reductions = whole.feature_info.reduction()
    if not set(STRIDES) <= set(reductions):
        seen = f"backbone {name!r} has features at strides {reductions}"
        raise SettingsError(f"{seen}; allowed: with {list(STRIDES)}")
    indices = tuple(reductions.index(stride) for stride in STRIDES)
    model: Any = timm.create_model(name, features_only=True, pretrained=False, out_indices=indices)
    return model, list(model.feature_info.channels())


def stages(model: YOLOX) -> dict[str, list[nn.Module]]:
    """The model's modules by depth, each in one stage of ``STAGES``, in the order of the data.

    ``stem`` is at stride 2 (nothing at all for backbones that begin with stride 4), ``stage1`` to
    ``stage4`` are at strides 4 to 32, then ``neck`` and ``head``. Freezing "up to stage3" means
    freezing the first four.
    """
    pafpn = model.backbone
    backbone = pafpn.backbone
    if isinstance(backbone, CSPDarknet):
        depths = [
            [getattr(backbone, name)] for name in ("stem", "dark2", "dark3", "dark4", "dark5")
        ]
    else:
        depths = timm_depths(backbone)
    neck = [module for name, module in pafpn.named_children() if name != "backbone"]
    return dict(zip(STAGES, [*depths, neck, [model.head]], strict=True))


def timm_depths(backbone: Any) -> list[list[nn.Module]]:
    """The backbone's modules grouped by the stride at which they end: 2, 4, 8, 16, 32."""
    ends: dict[str, int] = {}
    for info in backbone.feature_info.info:
        ends[str(info["module"]).replace(".", "_")] = int(info["reduction"])
    depths: list[list[nn.Module]] = [[], [], [], [], []]
    waiting: list[nn.Module] = []
    for name, module in _timm_pieces(backbone):
        waiting.append(module)
        if name in ends:
            depths[int(math.log2(ends[name])) - 1] += waiting
            waiting = []
    depths[-1] += waiting
    return depths


def _timm_pieces(backbone: nn.Module) -> list[tuple[str, nn.Module]]:
    """Children in order, sequences of blocks taken apart; named as timm's feature_info does."""
    pieces: list[tuple[str, nn.Module]] = []
    for name, child in backbone.named_children():
        if name in {"blocks", "stages"}:
            pieces += [(f"{name}_{i}", block) for i, block in child.named_children()]
        else:
            pieces.append((name, child))
    return pieces
