"""Torchvision's way to fine-tune, on the pictures of ``finetune_sets.py``, to compare with ours.

    python benchmarks/finetune_reference.py raccoon ../shared/data --epochs 15

Torchvision's Faster R-CNN with a feature pyramid, on EfficientNet-Lite0 with ImageNet's weights
(the same start as ``finetune_sets.py --start imagenet``), trained with the recipe of its
``references/detection``: SGD with momentum 0.9 and decay 1e-4, a rate of 0.02 for 16 pictures a
step, a warm-up of an epoch (at most 1000 steps), a tenth of the rate after 16/26 and after 22/26
of the epochs, flips, and the deepest three fifths of the backbone thawed with fixed statistics in
all norms; ``--frozen`` thaws none of it. Held-out pictures are measured by the same AP as ours.
Prints one JSON line.
"""

import argparse
import json
import time
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import timm
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader
from torchvision.models.detection import FasterRCNN
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.ops import FeaturePyramidNetwork, FrozenBatchNorm2d, MultiScaleRoIAlign
from torchvision.ops.feature_pyramid_network import LastLevelMaxPool

from finetune_sets import SETS
from vodkit.detect.imagenet import packaged_lite
from vodkit.ground import process
from vodkit.ground.records import Dataset, Detections, LabelledVideo, TrackTable
from vodkit.ground.runs import stack
from vodkit.metrics.detection.ap import CocoScores, table_average_precision
from vodkit.video.reader import open_video

NAME, SIDE = "tf_efficientnet_lite0", 416
_THAWED = ("blocks_3", "blocks_4", "blocks_5", "blocks_6", "conv_head", "bn2")

Sample = tuple[Tensor, dict[str, Tensor]]


class Pyramid(nn.Module):
    """The backbone's maps at strides 8, 16, 32 with a feature pyramid of 256 channels."""

    def __init__(self, thawed: tuple[str, ...]) -> None:
        """ImageNet's weights; norms with fixed statistics; blocks named in ``thawed`` learn."""
        super().__init__()
        body: Any = timm.create_model(NAME, features_only=True, out_indices=(2, 3, 4))
        learnt = packaged_lite(NAME)
        body.load_state_dict({key: learnt.get(key, v) for key, v in body.state_dict().items()})
        fix_norms(body)
        for name, parameter in body.named_parameters():
            block = name.replace("blocks.", "blocks_").split(".")[0]
            parameter.requires_grad_(block in thawed)
        self.body = body
        self.fpn = FeaturePyramidNetwork(
            body.feature_info.channels(), 256, extra_blocks=LastLevelMaxPool()
        )
        self.out_channels = 256

    def forward(self, x_B3HW: Tensor) -> OrderedDict[str, Tensor]:
        """Four maps by name."""
        maps = self.body(x_B3HW)
        found: OrderedDict[str, Tensor] = self.fpn(
            OrderedDict((str(level), one) for level, one in enumerate(maps))
        )
        return found


def fix_norms(module: nn.Module) -> None:
    """Torchvision's norms with fixed statistics in place of timm's, activation and all."""
    for name, child in module.named_children():
        if isinstance(child, nn.BatchNorm2d):
            fixed = FrozenBatchNorm2d(child.num_features, child.eps)
            fixed.load_state_dict(child.state_dict())
            rest = [getattr(child, part) for part in ("drop", "act") if hasattr(child, part)]
            setattr(module, name, nn.Sequential(fixed, *rest))
        else:
            fix_norms(child)


def detector(num_classes: int, rois: int, thawed: tuple[str, ...] = _THAWED) -> FasterRCNN:
    """As torchvision builds its own, with a level less below."""
    anchors = AnchorGenerator(((32,), (64,), (128,), (256,)), ((0.5, 1.0, 2.0),) * 4)
    pool = MultiScaleRoIAlign(["0", "1", "2"], output_size=7, sampling_ratio=2)
    return FasterRCNN(
        Pyramid(thawed),
        num_classes + 1,
        min_size=SIDE,
        max_size=SIDE,
        image_mean=[127 / 255] * 3,
        image_std=[128 / 255] * 3,
        rpn_anchor_generator=anchors,
        box_roi_pool=pool,
        box_batch_size_per_image=rois,
        box_score_thresh=0.01,
    )


def samples(part: Dataset, root: Path) -> list[Sample]:
    """All labelled pictures with their boxes, in memory."""
    found = []
    for video in part.videos:
        tracks = video.tracks
        with open_video(root / video.source) as opened:
            for frame in opened.frames():
                rows = np.zeros(0, int) if tracks is None else tracks.frames == frame.index
                boxes = np.zeros((0, 4)) if tracks is None else tracks.boxes_xyxy[rows]
                labels = np.zeros(0, int) if tracks is None else tracks.labels[rows] + 1
                real = (boxes[:, 2:] > boxes[:, :2]).all(axis=1)  # as torchvision's own recipe does
                boxes, labels = boxes[real], labels[real]
                truth = {"boxes": torch.tensor(boxes).float(), "labels": torch.tensor(labels)}
                image = torch.from_numpy(frame.image.copy()).permute(2, 0, 1) / 255
                found.append((image, truth))
    return found


def flipped(sample: Sample) -> Sample:
    """Left and right exchanged, every other time."""
    image, truth = sample
    if torch.rand(()) < 0.5:
        return sample
    boxes = truth["boxes"].clone()
    boxes[:, [0, 2]] = image.shape[2] - boxes[:, [2, 0]]
    return image.flip(2), {**truth, "boxes": boxes}


def fit(model: FasterRCNN, pictures: list[Sample], epochs: int, batch_size: int) -> list[float]:
    """The recipe; the mean loss of each epoch."""
    loader: Any = DataLoader(
        pictures,  # type: ignore[arg-type]
        batch_size=batch_size,
        shuffle=True,
        collate_fn=lambda batch: [flipped(sample) for sample in batch],
    )
    learning = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.SGD(
        learning, lr=0.02 * batch_size / 16, momentum=0.9, weight_decay=1e-4
    )
    milestones = [round(epochs * 16 / 26), round(epochs * 22 / 26)]
    steps = torch.optim.lr_scheduler.MultiStepLR(optimizer, milestones, gamma=0.1)
    warm: Any = None
    means = []
    for epoch in range(epochs):
        model.train()
        if epoch == 0:
            count = min(1000, len(loader) - 1)
            warm = torch.optim.lr_scheduler.LinearLR(optimizer, 1 / 1000, total_iters=count)
        seen = []
        for batch in loader:
            losses = model([image for image, _ in batch], [dict(truth) for _, truth in batch])
            total = torch.stack(list(losses.values())).sum()
            optimizer.zero_grad()
            total.backward()
            optimizer.step()
            if epoch == 0:
                warm.step()
            seen.append(total.item())
        steps.step()
        means.append(sum(seen) / len(seen))
        print(f"epoch {epoch + 1}: loss {means[-1]:.3f}", flush=True)
    return means


@torch.inference_mode()
def measured(model: FasterRCNN, part: Dataset, root: Path) -> CocoScores:
    """COCO's numbers on the held-out pictures, as for ours."""
    model.eval()
    found = {}
    for video in part.videos:
        found[video.source] = TrackTable.from_frames(list(_read(model, video, root)))
    return table_average_precision(part, found).overall


def _read(model: FasterRCNN, video: LabelledVideo, root: Path) -> Any:
    with open_video(root / video.source) as opened:
        for frame in opened.frames():
            image = torch.from_numpy(frame.image.copy()).permute(2, 0, 1) / 255
            out = model([image])[0]
            boxes = Detections(
                boxes_xyxy=out["boxes"].numpy(),
                scores=out["scores"].numpy(),
                labels=out["labels"].numpy() - 1,
            )
            yield frame.index, frame.time_s, boxes


def main() -> None:
    """Train, measure, print."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("name", choices=SETS)
    arguments.add_argument("data", type=Path, help="the shared data folder")
    arguments.add_argument("--epochs", type=int, default=15)
    arguments.add_argument("--batch-size", type=int, default=4)
    arguments.add_argument("--rois", type=int, default=512, help="learnt from, a picture")
    arguments.add_argument("--seed", type=int, default=0)
    arguments.add_argument("--frozen", action="store_true", help="the backbone does not learn")
    given = arguments.parse_args()
    process.settle()
    dataset, root = SETS[given.name](given.data)
    torch.manual_seed(given.seed)
    thawed = () if given.frozen else _THAWED
    model = detector(len(dataset.classes), given.rois, thawed)
    model = model.to(memory_format=torch.channels_last)
    pictures = samples(dataset.only("train"), root)
    started, spent = time.monotonic(), time.process_time()
    means = fit(model, pictures, given.epochs, given.batch_size)
    seconds, spent = time.monotonic() - started, time.process_time() - spent
    scores = measured(model, dataset.only("test"), root)
    line = {
        "set": given.name,
        "recipe": "torchvision",
        "frozen": given.frozen,
        "seed": given.seed,
        "epochs": given.epochs,
        "rois": given.rois,
        "held_out": {"test": {"ap": scores.ap, "ap50": scores.ap50}},
        "loss": [round(mean, 3) for mean in means],
        "seconds": round(seconds, 1),
        "processor_s": round(spent, 1),
        "stack": stack(),
    }
    print(json.dumps(line))


if __name__ == "__main__":
    main()
