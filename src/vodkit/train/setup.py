"""Data, network and features that a training needs before its first step."""

import os
from collections import defaultdict
from collections.abc import Callable, Iterator
from copy import deepcopy
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from vodkit.data.loader import FrameDataset, TrainingViews
from vodkit.data.sampling import labelled_keys
from vodkit.detect import networks
from vodkit.detect.base import ModelCard, Training
from vodkit.detect.memory import is_out_of_memory
from vodkit.detect.models import build_network, find_card
from vodkit.detect.preprocess import input_px
from vodkit.formats.base import are_stills
from vodkit.formats.table import read_dataset
from vodkit.ground import ledger
from vodkit.ground.account import losses_in
from vodkit.ground.errors import InputError, SettingsError, VideoError
from vodkit.ground.label_size import Sized, scaling_of
from vodkit.ground.records import NO_ID, Dataset, LabelledVideo
from vodkit.ground.runs import stack
from vodkit.train import freeze
from vodkit.train.batch_norms import learning_norms
from vodkit.train.batches import CachedViews, plan_cache
from vodkit.train.log import flat
from vodkit.train.progress import Progress
from vodkit.train.resume import described, digest, digest_of_start, digest_of_weights, footage
from vodkit.train.settings import TrainSettings
from vodkit.train.validate import Validation
from vodkit.video.reader import open_video

Watch = Callable[[Progress], None]
_FEW_FRAMES, _FEW_OBJECTS, _FEW_TO_VALIDATE = 100, 10, 30
_FEWEST_TO_VALIDATE = 2
FEATURES = "cache"
"""folder in the run's, while a training needs it"""


@dataclass(frozen=True, kw_only=True)
class Material:
    """Everything a training is made from."""

    module: nn.Module
    card: ModelCard
    training: TrainingViews
    validation: Validation | None
    about: dict[str, str]
    """of the data, and of weights that come from outside, for comparison when resuming"""
    left_out: tuple[str, ...]
    """videos that could not be read"""
    fresh_classes: tuple[str, ...]
    """that the model did not know"""
    cached: CachedViews | None = None
    why_not_cached: str = ""
    """empty where features are cached"""

    def close(self) -> None:
        """Let go of the files with features, so that they can be deleted."""
        kept = None if self.validation is None else self.validation.cached
        for cached in (self.cached, kept):
            if cached is not None:
                cached.close()


def delete_features(out: Path) -> None:
    """Free the disk space of what is stored in a run folder."""
    ledger.remove_tree(out / FEATURES)


def prepare(settings: TrainSettings, device: torch.device, watch: Watch) -> Material:
    """Read the dataset, and build the network for its classes; features come later."""
    whole = read_dataset(settings.data)
    root = root_of(settings)
    train_part, left_out, scaled = _readable(whole.only(settings.train_split), root, settings)
    torch.manual_seed(settings.seed)  # the fresh parts of the head
    module, card = _network(settings, whole.classes)
    training = _views(train_part, root, card, settings, still_iou=settings.still_iou)
    card = replace(card, trained=(*card.trained, _training(settings, training.frames)))
    _refuse_size(module, card, training.canvas_px)
    about = weights_of(settings) | described(train_part) | footage(train_part, root)
    validation = None
    if settings.val_split:
        val_part, lost, notes = _readable(whole.only(settings.val_split), root, settings)
        left_out, scaled = left_out + lost, (*scaled, *notes)
        validation = Validation(views=_views(val_part, root, card, settings, still_iou=2.0))
        _refuse_one_frame(validation, settings)
        about |= described(val_part) | footage(val_part, root)
    told = (
        *losses_in(whole.accounts),
        *_told(settings, training, validation),
        *dict.fromkeys(scaled),
    )
    watch(Progress(what="material", done=0, total=0, told=told))
    freeze.refuse_missing_stage(module, card, settings.freeze)
    freeze.freeze(module, card, freeze.FREEZES[settings.freeze])
    _refuse_lone_values(settings, module, card, training)
    return Material(
        # On a CPU this layout makes a step up to 1.8 times as fast (depthwise convolutions most).
        module=module.to(device).to(memory_format=torch.channels_last),
        card=card,
        training=training,
        validation=validation,
        about=about,
        left_out=left_out,
        fresh_classes=_fresh(settings, card.classes),
    )


def _refuse_one_frame(validation: Validation, settings: TrainSettings) -> None:
    """InputError where a validation would be of a single frame: its AP says nothing."""
    if len(validation.frames) < _FEWEST_TO_VALIDATE:
        seen = f"split {settings.val_split!r} has {len(validation.frames)} labelled frame"
        every = f" at every={settings.every}" if settings.every > 1 else ""
        raise InputError(
            f"{settings.data}: {seen}{every}; allowed: 2 or more (30 for a meaningful figure), "
            "another split (vodkit data split), or val_split= for no validation"
        )


def with_features(
    settings: TrainSettings, material: Material, watch: Watch, *, name: str, epochs: int
) -> Material:
    """The material with features of the frozen part, where it pays to keep them for so many epochs.

    ``name`` tells the files of several processes apart.
    """
    module, card, validation = material.module, material.card, material.validation
    cached, why_not = _cached(
        settings, module, card, material.training, watch, name=f"train.{name}", epochs=epochs
    )
    if cached is not None and validation is not None:
        kept = _filled(settings, module, card, validation.views, watch, name=f"val.{name}", views=1)
        validation = replace(validation, cached=kept if isinstance(kept, CachedViews) else None)
    return replace(material, cached=cached, why_not_cached=why_not, validation=validation)


def _refuse_size(module: nn.Module, card: ModelCard, canvas_px: tuple[int, int]) -> None:
    """SettingsError if the network cannot process pictures of this size, as SSD300 below 300 px.

    One black picture is run on the CPU, where no fault of a GPU can be mistaken for one of the
    size. Running out of memory is not decided here.
    """
    width_px, height_px = canvas_px
    try:
        with torch.no_grad():
            networks.deployed(module, card)(_black(card, width_px, height_px))
    except RuntimeError as error:
        if is_out_of_memory(error):
            return
        reason = str(error).strip().partition("\n")[0][:150]
        raise SettingsError(
            f"the network cannot take pictures of {width_px}x{height_px} px ({reason}); allowed: "
            "larger width_px and height_px, at best the model's own (0)"
        ) from error


def _refuse_lone_values(
    settings: TrainSettings, module: nn.Module, card: ModelCard, training: TrainingViews
) -> None:
    """SettingsError where a norm that learns would see one number a channel, as SSDLite's last.

    That is so where one picture goes through at a time, and its map has become a single pixel.
    """
    world = int(os.environ.get("WORLD_SIZE", "1"))
    if settings.fixed_norms or settings.batch_size // world // settings.accumulate != 1:
        return
    copied = deepcopy(module)  # so that evaluation mode leaves no trace in the network
    epochs = settings.num_epochs(-(-len(training.frames) // settings.batch_size))
    depth = freeze.depth_at(settings.freeze, epoch=epochs - 1, thaw_every=settings.thaw_every)
    freeze.freeze(copied, card, depth)  # by then most norms learn
    lone: list[str] = []

    def look(name: str, _norm: nn.Module, given: tuple[Tensor, ...]) -> None:
        if given[0].numel() == given[0].shape[1]:
            lone.append(name)

    for name in learning_norms(copied):
        copied.get_submodule(name).register_forward_pre_hook(partial(look, name))
    width_px, height_px = training.canvas_px
    with torch.no_grad():
        networks.deployed(copied, card)(_black(card, width_px, height_px))
    if lone:
        seen = f"batch_size is {settings.batch_size}, accumulate {settings.accumulate}"
        raise SettingsError(
            f"{seen}: of one picture of {width_px}x{height_px} px at a time, {len(lone)} norms "
            f"({lone[0]}) see a single pixel; allowed: fixed_norms=true, or a batch_size of "
            f"{2 * world * settings.accumulate} or more"
        )


def _black(card: ModelCard, width_px: int, height_px: int) -> Tensor:
    return torch.zeros((1, height_px, width_px, card.preprocessing.num_planes), dtype=torch.uint8)


def _told(
    settings: TrainSettings, training: TrainingViews, validation: Validation | None
) -> tuple[str, ...]:
    """What is learnt from what, for people, before anything takes long."""
    width_px, height_px = training.canvas_px
    classes = training.frames.dataset.classes
    fresh = _fresh(settings, classes)
    anew = f" (new to {settings.model}: {', '.join(fresh)})" if fresh else ""
    others = "nothing" if validation is None else _counted(validation.frames)
    if settings.val_split == settings.train_split:
        others += ", which are learnt from"
    lines = (
        f"to learn from: {_counted(training.frames)}",
        f"to validate on: {others}",
        f"classes: {', '.join(classes)}{anew}; pictures of {width_px}x{height_px} px",
    )
    return (*lines, *_what_helps(training.frames, validation))


def _what_helps(frames: FrameDataset, validation: Validation | None) -> Iterator[str]:
    """What labels are too few of, and what more of them would bring; nothing where there are many.

    The limits are rules of thumb: a class needs different objects more than further frames of the
    same ones, and the error of an AP falls with the number of objects it is measured on.
    """
    table = _labels(frames)
    objects = len(np.unique(table[["video", "id"]]))
    if len(frames) < _FEW_FRAMES or objects < _FEW_OBJECTS:
        what = "other objects and places" if objects < _FEW_OBJECTS else "other scenes"
        yield (
            f"few labels ({len(frames)} frames, {objects} objects): expect a detector for this "
            f"scene, not for others; labels of {what} help most (`vodkit data sample`)"
        )
    if validation is not None and len(validation.frames) < _FEW_TO_VALIDATE:
        yield (
            f"validation on {len(validation.frames)} frames with {validation.num_boxes} boxes: "
            "differences of a few points of AP are noise"
        )


def _labels(frames: FrameDataset) -> np.ndarray:
    """(boxes,) of the frames: number of the video, and id; each box without one is an object."""
    rows: list[tuple[int, int]] = []
    for number, video in enumerate(frames.dataset.videos):
        if video.tracks is None:
            continue
        chosen = np.isin(video.tracks.frames, [k.frame for k in frames.keys if k.video == number])
        ids = video.tracks.ids[chosen]
        lone = -1 - np.arange(len(ids))
        rows += [(number, int(one)) for one in np.where(ids == NO_ID, lone, ids)]
    return np.array(rows, dtype=[("video", np.int64), ("id", np.int64)])


def _counted(frames: FrameDataset) -> str:
    every = len(labelled_keys(frames.dataset, still_iou=2.0))
    chosen = f"{len(frames)} frames" if len(frames) == every else f"{len(frames)} of {every} frames"
    boxes = f"{len(_labels(frames))} boxes"
    if are_stills(frames.dataset):
        return f"{chosen.replace('frames', 'pictures')} with {boxes}"
    return f"{chosen} with {boxes} of {_num_videos(frames)} videos"


def _num_videos(frames: FrameDataset) -> int:
    """Those that frames are taken of; of some none may be labelled."""
    return len({key.video for key in frames.keys})


def _fresh(settings: TrainSettings, classes: tuple[str, ...]) -> tuple[str, ...]:
    known = () if settings.weights == "random" else find_card(settings.model)[0].classes
    return tuple(name for name in classes if name not in known)


def root_of(settings: TrainSettings) -> Path:
    """The folder that the videos' paths are relative to."""
    data = Path(settings.data)
    return Path(settings.root) if settings.root else data if data.is_dir() else data.parent


def _network(settings: TrainSettings, classes: tuple[str, ...]) -> tuple[nn.Module, ModelCard]:
    module, card = build_network(settings.model, classes=classes, weights=settings.weights)
    count = settings.proposals
    if count and not networks.limit_proposals(module, card, count):
        seen = f"proposals is {count}, but {settings.model} has no second stage"
        raise SettingsError(f"{seen}; allowed: 0, or a Faster R-CNN")
    if settings.motion:
        module, card = networks.with_motion(module, card, settings.motion_lags_s)
    wanted = replace(
        card.preprocessing,
        width_px=settings.width_px or card.preprocessing.width_px,
        height_px=settings.height_px or card.preprocessing.height_px,
    )
    told = replace(
        card,
        name=settings.name or Path(settings.out).resolve().name,
        source=settings.source or card.source,
        notes=settings.notes,  # those of the base are told in what this training began with
    )
    return module, replace(told, preprocessing=wanted)


def _training(settings: TrainSettings, frames: FrameDataset) -> Training:
    """What the card will say of this training."""
    base, random = find_card(settings.model)[0], settings.weights == "random"
    others = f", weights of {Path(settings.weights).name}"
    own = {"default": "", "random": ", random weights"}.get(settings.weights, others)
    defaults = flat(TrainSettings(data="", out=""))
    told = {"data", "model", "weights", "root", "data_licence"}
    given = {
        key: value
        for key, value in flat(settings).items()
        if value != defaults.get(key) and key not in told
    }
    counts = f"{_num_videos(frames)} videos, {len(frames)} frames"
    where = f"{Path(settings.data).name}, split {settings.train_split}"
    return Training(
        began_with=base.name + own,
        sha256=digest_of_start(settings.model, settings.weights),
        licence="" if random else base.licence,
        notes="" if random else base.notes,
        data=f"{where}: {counts}, labels {digest(described(frames.dataset))}",
        data_licence=settings.data_licence,
        settings=given,
        stack=stack(),
    )


def weights_of(settings: TrainSettings) -> dict[str, str]:
    """Digests of the weights that the training begins with, and of its teacher's."""
    found = {"weights of the model": digest_of_start(settings.model, settings.weights)}
    if settings.teacher:
        found["weights of the teacher"] = digest_of_start(settings.teacher)
    return {name: seen[:16] for name, seen in found.items() if seen}


def _views(
    part: Dataset, root: Path, card: ModelCard, settings: TrainSettings, *, still_iou: float
) -> TrainingViews:
    """Pictures as at inference, on a canvas that the largest of them fits."""
    wanted = card.preprocessing
    frames = FrameDataset(
        part,
        root,
        size_for=wanted.resized_px,
        every=settings.every,
        still_iou=still_iou,
        motion_lags_s=wanted.motion_lags_s,
    )
    infos = [part.videos[key.video].info for key in frames.keys]
    sizes = {input_px(info.width_px, info.height_px, card.preprocessing) for info in infos}
    canvas = (max(width for width, _ in sizes), max(height for _, height in sizes))
    return TrainingViews(
        frames,
        canvas,
        augment=settings.augment,
        seed=settings.seed,
        fill=card.preprocessing.fill,
        still=settings.motion_withheld,
    )


def _readable(
    part: Dataset, root: Path, settings: TrainSettings
) -> tuple[Dataset, tuple[str, ...], tuple[str, ...]]:
    """The videos that can be opened and decoded at their last labelled frame; the names of others.

    Also notes on labels that are scaled to their pictures. Raises InputError for those that cannot
    be of their pictures' size, and VideoError at the first broken video unless ``skip_broken``.
    With it, every labelled frame is decoded, so that what is left out is known before the first
    step.
    """
    good: list[LabelledVideo] = []
    bad: list[str] = []
    wanted: dict[int, list[int]] = defaultdict(list)
    for key in labelled_keys(part, every=settings.every):
        wanted[key.video].append(key.frame)
    sizes: list[Sized] = []
    for number, video in enumerate(part.videos):
        frames = wanted[number]
        try:
            with open_video(root / video.source) as opened:
                sizes.append(Sized(video, (opened.info.width_px, opened.info.height_px)))
                for frame in frames if settings.skip_broken else frames[-1:]:
                    opened.frame_at(frame)
        except VideoError:
            if not settings.skip_broken:
                raise
            bad.append(video.source)
        else:
            good.append(video)
    if not good:
        raise InputError(f"{settings.data}: none of the videos can be read: {', '.join(bad[:3])}")
    notes = scaling_of(sizes)
    return Dataset(classes=part.classes, videos=tuple(good)), tuple(bad), notes


def _cached(
    settings: TrainSettings,
    module: nn.Module,
    card: ModelCard,
    training: TrainingViews,
    watch: Watch,
    *,
    name: str,
    epochs: int,
) -> tuple[CachedViews | None, str]:
    """The filled cache, or why there is none; where one was asked for, an error says why not."""
    if not settings.may_cache:
        return None, "the settings do not allow it"
    # A view more than there are epochs would cost what it is to save; of one epoch, all would.
    if epochs == 1 and settings.cache == "auto":
        return None, "with one epoch, nothing would be reused"
    views = settings.num_views(epochs)
    kept = _filled(settings, module, card, training, watch, name=name, views=views)
    if isinstance(kept, CachedViews):
        return kept, ""
    if settings.cache == "on":
        raise InputError(f"cache is on, but there can be none: {kept}; allowed: auto, off")
    return None, kept


def _filled(
    settings: TrainSettings,
    module: nn.Module,
    card: ModelCard,
    source: TrainingViews,
    watch: Watch,
    *,
    name: str,
    views: int,
) -> CachedViews | str:
    """A filled cache of so many views of each picture, or why there can be none."""
    device = next(module.parameters()).device
    cached = plan_cache(
        module,
        card,
        source,
        Path(settings.out) / FEATURES / f"{name}.f16",
        views=views,
        most_bytes=int(settings.cache_gib * 2**30),
        device=device,
    )
    if isinstance(cached, str):
        return cached
    what = f"features of {name.partition('.')[0]}"
    made_from: dict[str, Any] = {
        "data": described(source.frames.dataset),
        "footage": footage(source.frames.dataset, source.frames.reader.root),
        "keys": [list(key) for key in source.frames.keys],
        "canvas_px": list(source.canvas_px),
        "preprocessing": repr(card.preprocessing),
        "views": cached.views,
        "seed": settings.seed,
        "augment": repr((settings.augment, settings.motion_withheld)),
        "weights": digest_of_weights(module, cached.cuts),
    }
    cached.fill(
        module,
        card,
        source,
        device=device,
        watch=lambda done, total: watch(Progress(what=what, done=done, total=total)),
        made_from=made_from,
    )
    return cached
