"""RoIAlign of torchvision's Faster R-CNN as matrix products, for training on a CPU.

A bin is a mean of bilinear samples, and bilinear weights are a product of one weight down and one
across. So a box reads a map as ``rows @ map @ columns``, and the backward pass is two products
more. torchvision's own kernel scatters gradients number by number: on small maps that was half of
a training step. The numbers are the same but for rounding.

Legend: N boxes, C channels, H W of a map, P bins a side, S samples a bin.
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor
from torchvision.ops import MultiScaleRoIAlign
from torchvision.ops.poolers import initLevelMapper

_MOST_CELLS = 4096  # of a map: products cost in proportion, scattering does not


class ProductRoIAlign(MultiScaleRoIAlign):  # type: ignore[misc]
    """torchvision's, but for training on small maps on a CPU."""

    def forward(
        self, x: dict[str, Tensor], boxes: list[Tensor], image_shapes: list[tuple[int, int]]
    ) -> Tensor:
        """(N, C, P, P) of the boxes of all pictures."""
        maps = [one for name, one in x.items() if name in self.featmap_names]
        small = all(one.is_cpu and one.shape[2] * one.shape[3] <= _MOST_CELLS for one in maps)
        if not (self.training and small):
            found: Tensor = super().forward(x, boxes, image_shapes)
            return found
        height_px = max(shape[0] for shape in image_shapes)
        exponents = [round(math.log2(height_px / one.shape[2])) for one in maps]
        mapper = initLevelMapper(
            exponents[0], exponents[-1], self.canonical_scale, self.canonical_level
        )
        return self._pooled(maps, boxes, mapper(boxes), [2.0**-e for e in exponents])

    def _pooled(
        self, maps: Sequence[Tensor], boxes: list[Tensor], level_N: Tensor, scales: list[float]
    ) -> Tensor:
        bins, samples = self.output_size[0], self.sampling_ratio
        parts, order = [], []
        start = 0
        for picture, of_picture in enumerate(boxes):
            level = level_N[start : start + len(of_picture)]
            for number, one in enumerate(maps):
                # Maps without a box take part, too: their gradient is 0, not missing.
                rows = (level == number).nonzero()[:, 0]
                scaled = of_picture[rows] * scales[number]
                parts.append(align(one[picture], scaled, bins=bins, samples=samples))
                order.append(rows + start)
            start += len(of_picture)
        return torch.cat(parts)[torch.cat(order).argsort()]


def align(map_CHW: Tensor, boxes_N4: Tensor, *, bins: int, samples: int) -> Tensor:
    """(N, C, P, P) of boxes in cells of the map; as ``torchvision.ops.roi_align`` unaligned."""
    count, (channels, height, width) = len(boxes_N4), map_CHW.shape
    rows_NPH = _weights(boxes_N4[:, 1], boxes_N4[:, 3], height, bins, samples).to(map_CHW.dtype)
    columns_NPW = _weights(boxes_N4[:, 0], boxes_N4[:, 2], width, bins, samples).to(map_CHW.dtype)
    flat_HWC = map_CHW.permute(1, 2, 0).reshape(height, width * channels)
    down = (rows_NPH.reshape(count * bins, height) @ flat_HWC).reshape(count, bins, width, channels)
    return (columns_NPW[:, None] @ down).permute(0, 3, 1, 2)


def _weights(low_N: Tensor, high_N: Tensor, size: int, bins: int, samples: int) -> Tensor:
    """How much each cell of an axis counts in each bin (N, P, cells)."""
    count = bins * samples
    step_N = (high_N - low_N).clamp(min=1) / count
    at = low_N[:, None] + (torch.arange(count, device=low_N.device) + 0.5) * step_N[:, None]
    inside = (at >= -1) & (at <= size)
    cells = torch.arange(size, device=low_N.device)
    near = (1 - (at.clamp(0, size - 1)[..., None] - cells).abs()).clamp(min=0) * inside[..., None]
    return near.reshape(len(low_N), bins, samples, size).mean(dim=2)
