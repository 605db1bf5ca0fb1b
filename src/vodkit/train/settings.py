"""What can be set for a training, with defaults that suit a small set of labelled video."""

import math
from dataclasses import dataclass, field
from typing import Literal

import torch

from vodkit.data.transforms import Augment
from vodkit.ground.errors import SettingsError
from vodkit.ground.lookup import pick
from vodkit.train.freeze import FREEZES
from vodkit.train.loggers import JOURNALS
from vodkit.train.optim import OPTIMIZERS

PRECISIONS: dict[str, Literal["32-true", "bf16-mixed", "16-mixed"]] = {
    "32": "32-true",
    "bf16": "bf16-mixed",
    "16": "16-mixed",
}
CACHES = ("auto", "on", "off")
_FEW_STEPS = 400
LAST_SEED = 2**32 - 1  # of NumPy's old generators, which a search draws from


def devices_here() -> tuple[str, ...]:
    """What this machine can train on."""
    others = {"cuda": torch.cuda, "mps": torch.backends.mps}
    return ("cpu", *(name for name, other in others.items() if other.is_available()))


@dataclass(frozen=True, kw_only=True)
class TrainSettings:
    """One training run; unknown names are refused."""

    data: str
    """dataset file or folder, in any known format"""
    out: str = "runs/train"
    """run folder: checkpoints, log, settings, manifest"""
    model: str = "vodkit-street"
    """a name in ``vodkit models``, or a checkpoint"""
    weights: str = "default"
    """what to start from: default (of the model), random, or a weight file"""
    root: str = ""
    """folder that the videos' paths are relative to; empty: the dataset file's"""
    data_licence: str = ""
    """of pictures and labels (SPDX, or words); the checkpoint's card tells it"""
    train_split: str = "train"
    val_split: str = "val"
    """what the best checkpoint is chosen on; empty: validate on nothing, keep the last"""
    width_px: int = 0
    """of the network's input; 0: the model's own"""
    height_px: int = 0
    every: int = 1
    """take every n-th labelled frame, to learn from and to validate on"""
    still_iou: float = 0.98
    """leave out frames whose boxes all overlap the last kept frame's at least that much"""
    rare_share: float = 0.0
    """classes in a smaller share of frames than this come more often; 0: all frames alike"""
    epochs: int = 0
    """0: as many as make about 400 steps, 10 to 60"""
    batch_size: int = 8
    """pictures a step, over all processes"""
    accumulate: int = 1
    """parts that a step's pictures are worked on one after the other, to save memory; where it
    does not suffice, parts are halved until it does"""
    proposals: int = 0
    """boxes of a picture that the second stage of Faster R-CNN learns from; 0: 512, as published"""
    optimizer: str = "adamw"
    lr: float = 2e-3
    """of neck and head, at its highest"""
    weight_decay: float = 0.02
    stage_lr_ratio: float = 0.3
    """each backbone stage learns at this share of the rate of the one above it"""
    warmup_share: float = 0.05
    """of all steps, with the rate rising"""
    final_lr_ratio: float = 0.02
    clip_norm: float = 10.0
    """largest gradient norm; 0: any"""
    freeze: str = "backbone"
    """up to where the network stays as it is: none, stem, stage1 .. stage3, backbone, head-only"""
    thaw_every: int = 0
    """free one more stage every so many epochs, the last first; 0: never"""
    fixed_norms: bool = False
    """normalise with the statistics the model came with, in all stages"""
    ema_decay: float = 0.998
    """of the average of the weights that is saved, at most (short runs take less); 0: none"""
    cache: str = "auto"
    """keep the frozen part's features on disk: auto (where it can), on, off"""
    cache_views: int = 0
    """fixed views of each picture that are kept; the first is the picture as it is, for the plain
    epochs; 0: one for every four epochs, but four at least"""
    cache_gib: float = 2.0
    """most disk space for features; fewer views are kept where it is not enough"""
    augment: Augment = field(default_factory=Augment)
    plain_epochs: int = 2
    """last epochs, without augmentation"""
    val_every: int = 0
    """epochs between validations; 0: about ten in all"""
    patience: int = 0
    """stop after so many validations without a better AP; 0: never"""
    precision: str = "32"
    """32, bf16 or 16 (the latter two mixed with 32; 16 not on a CPU)"""
    device: str = "auto"
    """auto, cpu, cuda or mps"""
    workers: int = 0
    """processes that decode and augment beside the training"""
    save_every_s: float = 60.0
    """least time between two states to resume from"""
    journals: tuple[str, ...] = ()
    """where the numbers go besides log.csv: tensorboard, mlflow"""
    num_pictures: int = 4
    """validation frames that are shown with what was found, at every validation"""
    skip_broken: bool = False
    """leave out videos that cannot be read, or not at a labelled frame (all are decoded once before
    the training, to know); the manifest names them"""
    seed: int = 0
    teacher: str = ""
    """a YOLOX model or checkpoint whose answers on the training pictures are learnt, too, so that
    what it knows is not forgotten; empty: labels alone"""
    teacher_weight: float = 1.0
    """of its losses, beside those of the labels"""
    name: str = ""
    """of the model that comes out, for its card; empty: the run folder's"""
    source: str = ""
    """for the card: who made the weights, from what; empty: from what the training began with"""
    notes: str = ""
    """for the card: what else is worth knowing"""
    half: bool = False
    """write checkpoints in half precision: half the size, the same boxes"""

    def __post_init__(self) -> None:
        """Check words and ranges, and what contradicts."""
        pick(FREEZES, self.freeze, "freeze")
        pick(PRECISIONS, self.precision, "precision")
        pick(dict.fromkeys(OPTIMIZERS, 0), self.optimizer, "optimizer")
        pick(dict.fromkeys(CACHES, 0), self.cache, "cache")
        for name in self.journals:
            pick(JOURNALS, name, "journal")
        self._check_ranges()
        self._check_device()
        if self.batch_size % self.accumulate:
            seen = f"batch_size is {self.batch_size}, accumulate {self.accumulate}"
            raise SettingsError(f"{seen}; allowed: a batch_size that accumulate divides")
        if self.cache == "on":
            self._check_cache()

    def _check_ranges(self) -> None:
        for name in ("every", "batch_size", "accumulate"):
            self._within(name, 1)
        for name in ("epochs", "thaw_every", "plain_epochs", "val_every", "patience", "workers"):
            self._within(name, 0)
        for name in ("num_pictures", "proposals", "cache_views", "width_px", "height_px"):
            self._within(name, 0)
        for name in ("still_iou", "clip_norm", "weight_decay", "save_every_s"):
            self._within(name, 0)
        for name in ("ema_decay", "warmup_share", "final_lr_ratio", "stage_lr_ratio", "rare_share"):
            self._within(name, 0, 1)
        self._within("seed", 0, LAST_SEED)
        for name in ("lr", "cache_gib", "teacher_weight"):
            if not 0 < getattr(self, name) < math.inf:
                raise SettingsError(f"{name} is {getattr(self, name)}; allowed: above 0, finite")

    def _check_device(self) -> None:
        # Asked only where it matters: to look for a GPU takes a moment.
        if self.device not in {"auto", "cpu"} and self.device not in devices_here():
            allowed = ", ".join(("auto", *devices_here()))
            raise SettingsError(f"device is {self.device}; allowed on this machine: {allowed}")
        if self.precision == "16" and (self.device == "cpu" or devices_here() == ("cpu",)):
            # Fabric would take bf16 in its place, which the run folder would not tell.
            raise SettingsError("precision is 16, on a CPU; allowed there: bf16, 32")

    def _check_cache(self) -> None:
        if self.freeze not in {"backbone", "head-only"} or self.thaw_every:
            seen = f"cache is on, freeze {self.freeze}, thaw_every {self.thaw_every}"
            raise SettingsError(f"{seen}; allowed: freeze backbone or head-only, thaw_every 0")
        if self.augment.mixes:
            raise SettingsError("cache is on; allowed: augment.mosaic, mixup and copy_paste 0")
        if self.teacher:
            raise SettingsError("cache is on; allowed: no teacher, which has to see the pictures")

    def _within(self, name: str, least: int, most: float = math.inf) -> None:
        if not least <= getattr(self, name) <= most:  # not a number is not, either
            allowed = f"{least} or more" if most == math.inf else f"{least} to {most}"
            raise SettingsError(f"{name} is {getattr(self, name)}; allowed: {allowed}")

    @property
    def may_cache(self) -> bool:
        """Whether features could be kept at all."""
        frozen = self.freeze in {"backbone", "head-only"} and not self.thaw_every
        wants_pictures = self.augment.mixes or bool(self.teacher)
        return self.cache != "off" and frozen and not wants_pictures

    def num_views(self, epochs: int) -> int:
        """Views of each picture to keep for so many epochs.

        To make a view costs about a tenth of an epoch from pictures. A set so small that it comes
        dozens of times is learnt by heart from four views: AP 0.64 on average where 15 or 16 gave
        0.73 (flies, 30 pictures, 60 epochs, four and nine seeds, which differ by as much).
        """
        return min(self.cache_views or max(4, epochs // 4), epochs)

    def num_epochs(self, steps_per_epoch: int) -> int:
        """The epochs to train, by the size of the data where none are given."""
        return self.epochs or min(max(-(-_FEW_STEPS // steps_per_epoch), 10), 60)
