"""The training loss of YOLOX: SimOTA assignment, then IoU, objectness and class losses.

After YOLOX 0.3.0 (yolox/models/yolo_head.py; Ge et al., 2021, section 2.2). SimOTA lets a box be
learnt only by cells whose centre is within 1.5 strides of its own: the 3 x 3 cells around it at
each stride. Costs are therefore computed for those 27 cells of each box and for no others, over
all pictures of the batch at once, where the original makes a table of boxes x cells a picture.

Legend: B pictures, A cells, K = 5 + C columns, G true boxes of the whole batch, N = 27 candidate
cells of a box, P matched cells of the whole batch.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from vodkit.detect.targets import Target, flatten
from vodkit.detect.yolox import STRIDES, decode_boxes, grid

_MAX_CELLS = 10  # a box is learnt by at most so many cells
_IOU_WEIGHT = 5.0
_IOU_COST = 3.0
_TINY = 1e-8


@dataclass(frozen=True, eq=False)
class Matches:
    """Which cells learn which boxes."""

    pictures: Tensor
    """(P,) int64"""
    cells: Tensor
    """(P,) int64, 0..A-1; a cell of a picture stands here at most once"""
    boxes: Tensor
    """(P,) int64, 0..G-1"""
    ious: Tensor
    """(P,) float: how well the cell's box fits now"""


def yolox_losses(
    raw_BAK: Tensor,
    targets: Sequence[Target],
    *,
    height_px: int,
    width_px: int,
) -> dict[str, Tensor]:
    """Weighted losses ``iou``, ``objectness`` and ``class``; their sum is what to minimise.

    The published recipe adds an L1 loss on raw boxes in its last epochs:
    docs/benchmarks/training.md has figures with and without it.

    Args:
        raw_BAK: what ``YOLOX.forward`` gave for pictures of ``height_px`` x ``width_px``.
        targets: one for each picture, boxes in pixels of the network's input.
        height_px: of the network's input.
        width_px: of the network's input.
    """
    raw_BAK = raw_BAK.float()
    boxes_BA4 = _corners(decode_boxes(raw_BAK, height_px=height_px, width_px=width_px))
    truth_G4, owners = flatten([target.kept()[0].to(raw_BAK) for target in targets])
    labels, _ = flatten([target.kept()[1] for target in targets])
    with torch.no_grad():
        matches = assign(
            raw_BAK, boxes_BA4, truth_G4, labels, owners, height_px=height_px, width_px=width_px
        )
    where = (matches.pictures, matches.cells)
    count = max(len(matches.cells), 1)
    wanted_P4 = truth_G4[matches.boxes]
    overlap = iou_pairs(boxes_BA4[where], wanted_P4)
    soft = functional.one_hot(labels[matches.boxes], raw_BAK.shape[2] - 5)
    return {
        "iou": _IOU_WEIGHT * (1 - overlap**2).sum() / count,
        "objectness": _objectness(raw_BAK, targets, where, height_px, width_px) / count,
        "class": functional.binary_cross_entropy_with_logits(
            raw_BAK[where][:, 5:], soft * matches.ious[:, None], reduction="sum"
        )
        / count,
    }


def assign(
    raw_BAK: Tensor,
    boxes_BA4: Tensor,
    truth_G4: Tensor,
    labels_G: Tensor,
    owners_G: Tensor,
    *,
    height_px: int,
    width_px: int,
) -> Matches:
    """SimOTA: each box takes the k cheapest of its cells, k = the sum of its ten best IoUs.

    ``boxes_BA4`` and ``truth_G4`` are x1, y1, x2, y2 in input pixels; ``owners_G`` says in which
    picture a true box is. A cell that several boxes want goes to the one it costs least.
    """
    cells_GN, inside_GN = candidates(truth_G4, height_px=height_px, width_px=width_px)
    pictures_GN = owners_G[:, None].expand_as(cells_GN)
    logits = raw_BAK[pictures_GN, cells_GN]  # (G, N, K)
    ious_GN = iou_pairs(boxes_BA4[pictures_GN, cells_GN], truth_G4[:, None]) * inside_GN
    cost_GN = _class_cost(logits, labels_G) - _IOU_COST * (ious_GN + _TINY).log()
    cost_GN = cost_GN.masked_fill(~inside_GN, torch.inf)
    best = ious_GN.topk(_MAX_CELLS, dim=1).values.sum(dim=1).int().clamp(min=1)
    cheapest = cost_GN.topk(_MAX_CELLS, dim=1, largest=False)
    ranks = torch.arange(_MAX_CELLS, device=raw_BAK.device)
    chosen = (ranks < best[:, None]) & cheapest.values.isfinite()
    boxes, rank = chosen.nonzero(as_tuple=True)
    column = cheapest.indices[boxes, rank]
    keep = _cheapest_of_cell(
        owners_G[boxes] * raw_BAK.shape[1] + cells_GN[boxes, column], cost_GN[boxes, column]
    )
    boxes, column = boxes[keep], column[keep]
    return Matches(owners_G[boxes], cells_GN[boxes, column], boxes, ious_GN[boxes, column])


def candidates(truth_G4: Tensor, *, height_px: int, width_px: int) -> tuple[Tensor, Tensor]:
    """Cells (G, 27) around the centre of each box, and whether they are in the picture (G, 27)."""
    centres = (truth_G4[:, :2] + truth_G4[:, 2:]) / 2
    around = torch.arange(-1, 2, device=truth_G4.device)
    cells, inside, first = [], [], 0
    for stride in STRIDES:
        rows, columns = height_px // stride, width_px // stride
        home = (centres / stride).floor().long()
        x = home[:, 0, None, None] + around[None, None, :]
        y = home[:, 1, None, None] + around[None, :, None]
        in_picture = (x >= 0) & (x < columns) & (y >= 0) & (y < rows)
        index = first + y.clamp(0, rows - 1) * columns + x.clamp(0, columns - 1)
        cells.append(index.flatten(1))
        inside.append(in_picture.flatten(1))
        first += rows * columns
    return torch.cat(cells, dim=1), torch.cat(inside, dim=1)


def iou_pairs(a_xyxy: Tensor, b_xyxy: Tensor) -> Tensor:
    """IoU of boxes that stand at the same place (..., 4), differentiable; 0 for empty ones."""
    low = torch.maximum(a_xyxy[..., :2], b_xyxy[..., :2])
    high = torch.minimum(a_xyxy[..., 2:], b_xyxy[..., 2:])
    shared = (high - low).clamp(min=0).prod(dim=-1)
    areas = [(box[..., 2:] - box[..., :2]).prod(dim=-1) for box in (a_xyxy, b_xyxy)]
    return shared / (areas[0] + areas[1] - shared + 1e-16)


def _class_cost(logits_GNK: Tensor, labels_G: Tensor) -> Tensor:
    """Binary cross entropy (G, N) of sqrt(objectness x class) against the one true class."""
    log_p = (
        functional.logsigmoid(logits_GNK[..., 5:]) + functional.logsigmoid(logits_GNK[..., 4:5])
    ) / 2
    log_not = torch.log1p(-log_p.exp().clamp(max=1 - 1e-7))
    own = labels_G[:, None, None].expand(-1, logits_GNK.shape[1], 1)
    of_own = (log_p - log_not).gather(2, own)[..., 0]
    return -(log_not.sum(dim=2) + of_own)


def _cheapest_of_cell(keys_P: Tensor, cost_P: Tensor) -> Tensor:
    """Positions of the cheapest row of every key."""
    by_cost = cost_P.argsort(stable=True)
    order = by_cost[keys_P[by_cost].argsort(stable=True)]
    ordered = keys_P[order]
    first = torch.ones_like(ordered, dtype=torch.bool)
    first[1:] = ordered[1:] != ordered[:-1]
    return order[first]


def _objectness(
    raw_BAK: Tensor,
    targets: Sequence[Target],
    where: tuple[Tensor, Tensor],
    height_px: int,
    width_px: int,
) -> Tensor:
    """Summed cross entropy of objectness; unmatched cells in ignored regions do not count."""
    wanted_BA = torch.zeros_like(raw_BAK[..., 4])
    wanted_BA[where] = 1
    weight_BA = torch.ones_like(wanted_BA)
    regions_R4, owners = flatten([target.regions().to(raw_BAK) for target in targets])
    if len(regions_R4):
        corners, strides = grid(height_px, width_px, raw_BAK.device)
        centres = ((corners + 0.5) * strides)[None]
        in_region = (centres > regions_R4[:, None, :2]) & (centres < regions_R4[:, None, 2:])
        region, cell = in_region.all(dim=2).nonzero(as_tuple=True)
        weight_BA[owners[region], cell] = 0
        weight_BA[where] = 1
    return functional.binary_cross_entropy_with_logits(
        raw_BAK[..., 4], wanted_BA, weight_BA, reduction="sum"
    )


def _corners(boxes_cxcywh: Tensor) -> Tensor:
    half = boxes_cxcywh[..., 2:] / 2
    return torch.cat([boxes_cxcywh[..., :2] - half, boxes_cxcywh[..., :2] + half], dim=-1)
