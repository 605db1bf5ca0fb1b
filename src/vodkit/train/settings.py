"""Settings of a training, with defaults for a small set of labelled video."""

import math
import re
from dataclasses import dataclass, field
from typing import Literal

from vodkit.data.transforms import Augment
from vodkit.ground.errors import SettingsError
from vodkit.ground.lookup import pick
from vodkit.ground.settings import bounded, check_ranges
from vodkit.train.freeze import FREEZES
from vodkit.train.loggers import JOURNALS
from vodkit.train.optim import OPTIMIZERS
from vodkit.video.motion import LAGS_S

PRECISIONS: dict[str, Literal["32-true", "bf16-mixed", "16-mixed"]] = {
    "32": "32-true",
    "bf16": "bf16-mixed",
    "16": "16-mixed",
}
CACHES = ("auto", "on", "off")
_FEW_STEPS = 400
LAST_SEED = 2**32 - 1  # of NumPy's old generators, which a search draws from


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
    """what to start from: default (of the model), imagenet (of its backbone), random, or a file"""
    root: str = ""
    """folder that the videos' paths are relative to; empty: the dataset file's"""
    data_licence: str = ""
    """of pictures and labels (SPDX, or words); written to the checkpoint's card"""
    train_split: str = "train"
    val_split: str = "val"
    """split that the best checkpoint is chosen on; empty: no validation, the last is kept"""
    width_px: int = bounded(0, low=0)
    """of the network's input; 0: the model's own"""
    height_px: int = bounded(0, low=0)
    motion: bool = False
    """also give the network differences to earlier frames: for small or camouflaged objects"""
    motion_lags_s: tuple[float, ...] = LAGS_S
    """lags, in seconds, of these frames; a model that was trained with motion keeps its own"""
    motion_withheld: float = bounded(0.2, low=0, high=1)
    """share of training pictures whose motion is withheld, so that objects at rest are learnt"""
    every: int = bounded(1, low=1)
    """use every n-th labelled frame, for training and validation"""
    still_iou: float = bounded(0.98, low=0)
    """skip frames whose boxes all overlap those of the last kept frame by at least this IoU"""
    rare_share: float = bounded(0.0, low=0, high=1)
    """classes in a smaller share of frames than this are sampled more often; 0: uniform sampling"""
    epochs: int = bounded(0, low=0)
    """number of epochs; 0: enough for about 400 steps, 10 to 60"""
    batch_size: int = bounded(8, low=1)
    """pictures in a step, over all processes"""
    accumulate: int = bounded(1, low=1)
    """parts that the pictures of a step are processed in, one after the other, to save memory;
    parts that do not fit are halved"""
    proposals: int = bounded(0, low=0)
    """boxes of a picture that train the second stage of Faster R-CNN; 0: 512, as published"""
    optimizer: str = "adamw"
    lr: float = bounded(2e-3, above=0, below=math.inf)
    """peak learning rate of neck and head"""
    weight_decay: float = bounded(0.02, low=0)
    stage_lr_ratio: float = bounded(0.3, low=0, high=1)
    """learning rate of each backbone stage, as a share of the next stage's"""
    warmup_share: float = bounded(0.05, low=0, high=1)
    """share of all steps in which the learning rate rises"""
    final_lr_ratio: float = bounded(0.02, low=0, high=1)
    clip_norm: float = bounded(10.0, low=0)
    """largest gradient norm; 0: no clipping"""
    freeze: str = "backbone"
    """last frozen part: none, stem, stage1 .. stage3, backbone, head-only"""
    thaw_every: int = bounded(0, low=0)
    """unfreeze one more stage after this many epochs, the last first; 0: never"""
    fixed_norms: bool = False
    """keep the batch statistics of the pre-trained model in all stages"""
    ema_decay: float = bounded(0.998, low=0, high=1)
    """largest decay of the averaged weights (short runs use less); 0: no averaging"""
    cache: str = "auto"
    """store features of the frozen part on disk: auto (where possible), on, off"""
    cache_views: int = bounded(0, low=0)
    """stored views of each picture; the first is not augmented, for the plain epochs; 0: one for
    every four epochs, at least four"""
    cache_gib: float = bounded(2.0, above=0, below=math.inf)
    """largest disk space for features; fewer views are stored if it does not suffice"""
    augment: Augment = field(default_factory=Augment)
    plain_epochs: int = bounded(2, low=0)
    """number of last epochs without augmentation"""
    val_every: int = bounded(0, low=0)
    """epochs between validations; 0: about ten in all"""
    patience: int = bounded(0, low=0)
    """stop after this many validations without a better AP; 0: never"""
    precision: str = "32"
    """32, bf16 or 16 (the latter two mixed with 32; 16 only on a GPU)"""
    device: str = "auto"
    """auto (a GPU if it works, else the CPU), cpu, cuda, cuda:1, ...; mps only when named"""
    workers: int = bounded(0, low=0)
    """processes that decode and augment while the network is trained"""
    save_every_s: float = bounded(60.0, low=0)
    """shortest time between two saved states"""
    journals: tuple[str, ...] = ()
    """loggers besides log.csv: tensorboard, mlflow, wandb, comet"""
    num_pictures: int = bounded(4, low=0)
    """validation frames that are shown with their detections, at every validation"""
    skip_broken: bool = False
    """skip videos with unreadable labelled frames (all are decoded once before training); the
    manifest lists them"""
    seed: int = bounded(0, low=0, high=LAST_SEED)
    teacher: str = ""
    """YOLOX model or checkpoint whose outputs on the training pictures are learnt, too, against
    forgetting; empty: labels alone"""
    teacher_weight: float = bounded(1.0, above=0, below=math.inf)
    """weight of the teacher's losses, relative to those of the labels"""
    name: str = ""
    """name of the trained model, for its card; empty: that of the run folder"""
    source: str = ""
    """source of the weights, for the card; empty: that of the initial weights"""
    notes: str = ""
    """notes for the card"""
    half: bool = False
    """write checkpoints in half precision: half the size, matching boxes"""

    def __post_init__(self) -> None:
        """Check words and ranges, and what contradicts."""
        pick(FREEZES, self.freeze, "freeze")
        pick(PRECISIONS, self.precision, "precision")
        pick(dict.fromkeys(OPTIMIZERS, 0), self.optimizer, "optimizer")
        pick(dict.fromkeys(CACHES, 0), self.cache, "cache")
        for name in self.journals:
            pick(JOURNALS, name, "journal")
        check_ranges(self)
        self._check_device()
        if self.batch_size % self.accumulate:
            seen = f"batch_size is {self.batch_size}, accumulate {self.accumulate}"
            raise SettingsError(f"{seen}; allowed: a batch_size that accumulate divides")
        if self.cache == "on":
            self._check_cache()

    def _check_device(self) -> None:
        # Only words are checked: the device is asked for when the training starts.
        if not re.fullmatch(r"auto|cpu|mps|cuda(:\d+)?", self.device):
            raise SettingsError(f"device is {self.device}; allowed: auto, cpu, cuda, cuda:1, mps")
        if self.precision == "16" and self.device == "cpu":
            raise SettingsError("precision is 16, on cpu; allowed there: bf16, 32")

    def _check_cache(self) -> None:
        if self.freeze not in {"backbone", "head-only"} or self.thaw_every:
            seen = f"cache is on, freeze {self.freeze}, thaw_every {self.thaw_every}"
            raise SettingsError(f"{seen}; allowed: freeze backbone or head-only, thaw_every 0")
        if self.augment.mixes:
            raise SettingsError("cache is on; allowed: augment.mosaic, mixup and copy_paste 0")
        if self.teacher:
            raise SettingsError("cache is on; allowed: no teacher, which has to see the pictures")

    @property
    def may_cache(self) -> bool:
        """Whether features could be kept at all."""
        frozen = self.freeze in {"backbone", "head-only"} and not self.thaw_every
        wants_pictures = self.augment.mixes or bool(self.teacher)
        return self.cache != "off" and frozen and not wants_pictures

    def num_views(self, epochs: int) -> int:
        """Views of each picture to store for this many epochs.

        A view costs about a tenth of an epoch from pictures. With four views, a small set overfits
        over many epochs: mean AP 0.64 against 0.73 with 15 or 16 views (flies, 30 pictures, 60
        epochs, four and nine seeds).
        """
        return min(self.cache_views or max(4, epochs // 4), epochs)

    def num_epochs(self, steps_per_epoch: int) -> int:
        """Number of epochs; from the size of the data if none is set."""
        return self.epochs or min(max(-(-_FEW_STEPS // steps_per_epoch), 10), 60)
