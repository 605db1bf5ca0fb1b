"""What a picture shows, as training needs it: boxes in pixels of the network's input."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from vodkit.ground.errors import InputError


@dataclass(frozen=True, eq=False)
class Target:
    """The truth of one picture; empty is legal and says that nothing is there."""

    boxes_xyxy: Tensor
    """(M, 4) float, pixels of the network's input"""
    labels: Tensor
    """(M,) int64, 0-based; of ignored boxes any value"""
    ignore: Tensor | None = None
    """(M,) bool: regions that are neither right nor wrong to find; None: nowhere"""

    def __post_init__(self) -> None:
        """Check that the columns have equal length and boxes four numbers."""
        rows = len(self.labels)
        if self.ignore is None:
            nowhere = torch.zeros(rows, dtype=torch.bool, device=self.labels.device)
            object.__setattr__(self, "ignore", nowhere)
        assert self.ignore is not None
        seen = tuple(tuple(x.shape) for x in (self.boxes_xyxy, self.labels, self.ignore))
        if seen != ((rows, 4), (rows,), (rows,)):
            raise InputError(
                f"Target: boxes, labels, ignore are {seen}; allowed: (M, 4), (M,), (M,)"
            )

    def kept(self) -> tuple[Tensor, Tensor]:
        """Boxes (N, 4) and labels (N,) that are to be found."""
        assert self.ignore is not None
        return self.boxes_xyxy[~self.ignore], self.labels[~self.ignore]

    def regions(self) -> Tensor:
        """Boxes (R, 4) of the ignored regions."""
        return self.boxes_xyxy[self.ignore]


def flatten(parts: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
    """All rows of all pictures (G, ...) and the picture (G,) each row belongs to."""
    counts = torch.tensor([len(part) for part in parts], device=parts[0].device)
    pictures = torch.arange(len(parts), device=counts.device).repeat_interleave(counts)
    return torch.cat(list(parts)), pictures
