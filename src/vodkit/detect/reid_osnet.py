"""OSNet (Zhou et al. 2019, "Omni-Scale Feature Learning", arXiv:1905.00953), whole, in one file.

A small network that turns a crop of an object into an embedding, after which objects can be told
apart. State-dict names are those of the published checkpoints, so their weights load as they are;
the classifier that only their training needs is left out.

Legend: B crops, C channels, H W of a crop (256 x 128 as published).
"""

from collections.abc import Mapping, Sequence

from torch import Tensor, nn

from vodkit.ground.errors import WeightsError
from vodkit.ground.lookup import pick

# width: channels of the stem and the three stages
WIDTHS = {
    "x1_0": (64, 256, 384, 512),
    "x0_75": (48, 192, 288, 384),
    "x0_5": (32, 128, 192, 256),
    "x0_25": (16, 64, 96, 128),
}
EMBEDDING = 512
_BLOCKS, _SHRINK, _GATE = 2, 4, 16
UNUSED = ("classifier.",)
"""beginnings of names in published checkpoints that inference has no use for"""


class Conv(nn.Module):
    """Convolution without bias, batch norm, and ReLU unless ``linear``."""

    def __init__(
        self, in_channels: int, out_channels: int, kernel: int, *, stride: int = 1,
        linear: bool = False,
    ) -> None:  # fmt: skip
        """A square kernel of odd side."""
        super().__init__()
        self.conv = nn.Conv2d(
            in_channels, out_channels, kernel, stride, (kernel - 1) // 2, bias=False
        )
        self.bn = nn.BatchNorm2d(out_channels)
        self.relu = nn.Identity() if linear else nn.ReLU()

    def forward(self, x_BCHW: Tensor) -> Tensor:
        """(B, out_channels, H / stride, W / stride)."""
        out: Tensor = self.relu(self.bn(self.conv(x_BCHW)))
        return out


class LightConv(nn.Module):
    """A 1x1 convolution, then a depthwise 3x3 (the paper's Lite 3x3), norm and ReLU."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        """Keeps the size."""
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, out_channels, 1, bias=False)
        self.conv2 = nn.Conv2d(
            out_channels, out_channels, 3, padding=1, groups=out_channels, bias=False
        )
        self.bn = nn.BatchNorm2d(out_channels)
        self.relu = nn.ReLU()

    def forward(self, x_BCHW: Tensor) -> Tensor:
        """(B, out_channels, H, W)."""
        out: Tensor = self.relu(self.bn(self.conv2(self.conv1(x_BCHW))))
        return out


class Gate(nn.Module):
    """The aggregation gate: a weight for each channel, from the mean of all places (section 3.2).

    One gate serves all streams of a block.
    """

    def __init__(self, channels: int) -> None:
        """Sixteen times fewer channels inside."""
        super().__init__()
        self.fc1 = nn.Conv2d(channels, max(channels // _GATE, 1), 1)
        self.relu = nn.ReLU()
        self.fc2 = nn.Conv2d(max(channels // _GATE, 1), channels, 1)

    def forward(self, x_BCHW: Tensor) -> Tensor:
        """The input, weighed."""
        mean = x_BCHW.mean(dim=(2, 3), keepdim=True)
        return x_BCHW * self.fc2(self.relu(self.fc1(mean))).sigmoid()


class OmniScaleBlock(nn.Module):
    """A residual bottleneck of four streams that see 3, 5, 7 and 9 pixels (figure 4)."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        """A quarter of ``out_channels`` inside."""
        super().__init__()
        inner = out_channels // _SHRINK
        self.conv1 = Conv(in_channels, inner, 1)
        self.conv2a = LightConv(inner, inner)
        self.conv2b = _stream(inner, 2)
        self.conv2c = _stream(inner, 3)
        self.conv2d = _stream(inner, 4)
        self.gate = Gate(inner)
        self.conv3 = Conv(inner, out_channels, 1, linear=True)
        self.downsample: nn.Module = nn.Identity()
        if in_channels != out_channels:
            self.downsample = Conv(in_channels, out_channels, 1, linear=True)
        self.relu = nn.ReLU()

    def forward(self, x_BCHW: Tensor) -> Tensor:
        """(B, out_channels, H, W)."""
        inner = self.conv1(x_BCHW)
        streams = (self.conv2a, self.conv2b, self.conv2c, self.conv2d)
        fused = sum(
            (self.gate(stream(inner)) for stream in streams[1:]), self.gate(streams[0](inner))
        )
        out: Tensor = self.relu(self.conv3(fused) + self.downsample(x_BCHW))
        return out


class OSNet(nn.Module):
    """Crops in, embeddings out."""

    def __init__(self, channels: Sequence[int]) -> None:
        """``channels`` of the stem and the three stages, see WIDTHS."""
        super().__init__()
        stem, first, second, third = channels
        self.conv1 = Conv(3, stem, 7, stride=2)
        self.maxpool = nn.MaxPool2d(3, stride=2, padding=1)
        self.conv2 = _stage(stem, first, halve=True)
        self.conv3 = _stage(first, second, halve=True)
        self.conv4 = _stage(second, third, halve=False)
        self.conv5 = Conv(third, third, 1)
        self.fc = nn.Sequential(
            nn.Linear(third, EMBEDDING), nn.BatchNorm1d(EMBEDDING), nn.ReLU()
        )  # fmt: skip

    def forward(self, x_BCHW: Tensor) -> Tensor:
        """Embeddings (B, 512), none below 0."""
        x_BCHW = self.maxpool(self.conv1(x_BCHW))
        x_BCHW = self.conv5(self.conv4(self.conv3(self.conv2(x_BCHW))))
        out: Tensor = self.fc(x_BCHW.mean(dim=(2, 3)))
        return out


def _stream(channels: int, depth: int) -> nn.Sequential:
    return nn.Sequential(*(LightConv(channels, channels) for _ in range(depth)))


def _stage(in_channels: int, out_channels: int, *, halve: bool) -> nn.Sequential:
    blocks: list[nn.Module] = [
        OmniScaleBlock(in_channels if first else out_channels, out_channels)
        for first in (True, *[False] * (_BLOCKS - 1))
    ]
    if halve:
        blocks.append(nn.Sequential(Conv(out_channels, out_channels, 1), nn.AvgPool2d(2, 2)))
    return nn.Sequential(*blocks)


def build(width: str) -> OSNet:
    """One of the published widths (``WIDTHS``), with fresh weights, in training mode."""
    return OSNet(pick(WIDTHS, width, "OSNet width"))


def own_tensors(state: Mapping[str, Tensor], *, where: str) -> dict[str, Tensor]:
    """The tensors of a checkpoint that belong to the network; WeightsError if there are none."""
    kept = {name.removeprefix("module."): value for name, value in state.items()}
    kept = {name: value for name, value in kept.items() if not name.startswith(UNUSED)}
    if "conv1.conv.weight" not in kept:
        raise WeightsError(f"{where}: no OSNet: begins with {list(state)[:3]}")
    return kept
