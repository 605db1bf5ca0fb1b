"""Processor seconds of one training step from ImageNet's weights: ours, and torchvision's recipe.

    python benchmarks/train_step.py

Four random pictures of 416 px with one box each on EfficientNet-Lite0, the stages below stride 16
frozen in both: YOLOX's neck and head in float32 and bfloat16, and the Faster R-CNN of
``finetune_reference.py`` with 128 boxes a picture. They take turns; the first turn is left out.
Prints one JSON line with the median of each.
"""

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch

from finetune_reference import SIDE, detector
from finetune_sets import on_backbone
from vodkit.detect import networks
from vodkit.detect.checkpoint import load_checkpoint
from vodkit.detect.targets import Target
from vodkit.ground import process
from vodkit.ground.runs import stack
from vodkit.train import freeze
from vodkit.train.batches import Batch
from vodkit.train.optim import make_optimizer
from vodkit.train.step import Losses

_PICTURES = 4
_BOX = [100.0, 100.0, 300.0, 300.0]


def ours(precision: torch.dtype) -> Callable[[], None]:
    """A step of ``vodkit train`` with ``freeze=stage2``."""
    with tempfile.TemporaryDirectory() as folder:
        path = on_backbone(Path(folder), "tf_efficientnet_lite0", weights="package")
        state, card = load_checkpoint(path)
    module = networks.build(card).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    networks.load_state(module, state, where="ImageNet")
    freeze.freeze(module, card, freeze.FREEZES["stage2"])
    optimizer = make_optimizer(
        module, card, name="adamw", lr=1e-4, weight_decay=0.02, stage_lr_ratio=0.3
    )
    one = Target(torch.tensor([_BOX]), torch.tensor([0]), torch.tensor([False]))
    images = torch.randint(256, (_PICTURES, 3, SIDE, SIDE), dtype=torch.uint8)
    batch = Batch(images, [one] * _PICTURES, list(range(_PICTURES)))
    losses = Losses(module, card)

    def step() -> None:
        with torch.autocast("cpu", precision, enabled=precision != torch.float32):
            total = torch.stack(list(losses(lambda: batch, ()).values())).sum()
        optimizer.zero_grad()
        total.backward()
        optimizer.step()

    return step


def torchvisions() -> Callable[[], None]:
    """A step of torchvision's recipe."""
    model = detector(1, 128).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    model.train()
    learning = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.SGD(learning, lr=1e-4, momentum=0.9)
    pictures = [torch.rand(3, SIDE, SIDE) for _ in range(_PICTURES)]
    truth = {"boxes": torch.tensor([_BOX]), "labels": torch.tensor([1])}

    def step() -> None:
        total = torch.stack(list(model(pictures, [truth] * _PICTURES).values())).sum()
        optimizer.zero_grad()
        total.backward()
        optimizer.step()

    return step


def main() -> None:
    """Measure, print."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--turns", type=int, default=4)
    given = arguments.parse_args()
    process.settle()
    torch.set_num_threads(1)
    steps = {
        "ours, float32": ours(torch.float32),
        "ours, bfloat16": ours(torch.bfloat16),
        "torchvision": torchvisions(),
    }
    spent: dict[str, list[float]] = {name: [] for name in steps}
    for _ in range(given.turns):
        for name, step in steps.items():
            started = time.process_time()
            step()
            spent[name].append(time.process_time() - started)
    medians = {name: round(statistics.median(times[1:]), 2) for name, times in spent.items()}
    print(json.dumps({"processor_s": medians, "stack": stack()}))


if __name__ == "__main__":
    main()
