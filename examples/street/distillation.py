"""Distillation: a small student learns to answer as its teacher does, without any labels.

"A good teacher is patient and consistent" (Beyer et al., 2022, arXiv:2106.05237): teacher and
student see the very same picture, any picture, and the student learns the teacher's dense
answers, cell by cell. Both are YOLOX networks with the same neck and head; only the backbone
differs. That allows a start that is nearly there: ``stitch`` takes neck and head over from the
teacher and fits, in closed form, linear maps from the student's backbone features to the
teacher's; since the layers that read them are 1x1 convolutions, the maps vanish into these.

Batch norms keep their statistics throughout, so that nothing depends on the batch; at the end
``settle_norms`` gives them true ones without changing what the network computes, so that it can
be fine-tuned like any other.

The run folder holds the checkpoint ``student.safetensors`` with its card, ``log.csv``,
``settings.toml``, ``manifest.json`` and ``state.pt`` to resume from.

Legend: B pictures, A cells, K = 5 + C columns, H W picture; see ``detect/yolox.py``.
"""

from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from collage import Collages, CollageSettings, Cutout, Scene
from head_transfer import answer, network_input, settle_norms, stitch
from scenes import Reading, files_of, read_material
from vodkit.detect import networks, yolox
from vodkit.detect.base import ModelCard, Output, Preprocessing
from vodkit.detect.checkpoint import halved, save_checkpoint
from vodkit.detect.imagenet import load_backbone, packaged_lite
from vodkit.detect.models import build_network, load_detector
from vodkit.detect.weights import read_state
from vodkit.ground.arrays import ByteArray
from vodkit.ground.errors import InputError, SettingsError
from vodkit.ground.records import Detections, Frame
from vodkit.ground.runs import (
    MANIFEST,
    SETTINGS,
    make_folder,
    sha256,
    stack,
    write_atomic,
    write_json,
)
from vodkit.ground.settings import to_toml
from vodkit.train import resume
from vodkit.train.ema import Ema
from vodkit.train.freeze import FREEZES, freeze
from vodkit.train.gradients import take_step
from vodkit.train.log import Meter, as_csv, flat
from vodkit.train.optim import lr_factor, make_optimizer, set_rates
from vodkit.train.resume import digest_of_start
from vodkit.train.teacher import Answers, distill_losses, load_teacher
from vodkit.video.prefetch import ahead

STUDENT, LOG = "student.safetensors", "log.csv"
_LOG_EVERY = 25
_LOOK_SCORE = 0.35  # boxes of the teacher worth looking at
_BEFORE = 1_000_000  # pictures for stitching have steps below 0
_LITE_MEAN, _LITE_STD = 127.0, 128.0  # of the packaged ImageNet weights


@dataclass(frozen=True, kw_only=True)
class DistillSettings:
    """One distillation; unknown names are refused."""

    sources: tuple[str, ...]
    """videos, and globs of pictures, relative to ``root``"""
    out: str
    """run folder"""
    root: str = "."
    name: str = "student"
    """of the model that comes out"""
    teacher: str = "yolox_nano"
    """a YOLOX model of ``vodkit models``, or a checkpoint"""
    teacher_weights: str = "default"
    """default, or a weight file, relative to ``root``"""
    backbone: str = "tf_efficientnet_lite0"
    """timm's name of the student's backbone"""
    backbone_weights: str = "package"
    """what the backbone begins with: package (the one that carries its ImageNet weights),
    random, or a state dict of timm's names"""
    start: str = ""
    """a model or checkpoint of the same backbone and classes to go on from; empty: begin with
    ``backbone_weights`` and stitching"""
    classes: tuple[str, ...] = ("person", "bicycle", "car", "motorcycle", "bus", "truck")
    """those of the teacher's that the student learns"""
    licence: str = "Apache-2.0"
    """SPDX identifier of the weights that come out"""
    source: str = "distilled with vodkit"
    """for the card: who made the weights, from what"""
    notes: str = ""
    """for the card: what else is worth knowing"""
    input_px: int = 416
    """side of the network's input that the card names"""
    every: int = 2
    """look at every n-th frame of videos"""
    most_frames: int = 130
    """of one source, evenly spread"""
    least_change: float = 1.2
    """mean grey levels by which a frame must differ from the last one taken"""
    most_side_px: int = 800
    """larger pictures are shrunk to this"""
    steps: int = 1400
    batch_size: int = 16
    side_px: int = 256
    """pictures to learn from are squares of this side"""
    late_side_px: int = 416
    """in the last part, with so many fewer of them that a step costs the same"""
    late_share: float = 0.2
    """of the steps"""
    stitch_batches: int = 24
    """to fit the first maps, and to settle the norms at the end; 0: no maps, fresh weights"""
    freeze: str = "stage1"
    """up to where the backbone stays as it is: none, stem, stage1, ..., backbone"""
    lr: float = 1e-3
    weight_decay: float = 0.01
    stage_lr_ratio: float = 0.85
    warmup_share: float = 0.03
    final_lr_ratio: float = 0.02
    clip_norm: float = 10.0
    """largest gradient norm; 0: any"""
    ema_decay: float = 0.995
    neck_weight: float = 3.0
    """of the loss between the necks' features"""
    save_every: int = 100
    """steps between two states to resume from"""
    threads: int = 0
    """torch's; 0: as many as it likes"""
    seed: int = 0
    collage: CollageSettings = field(default_factory=CollageSettings)

    def __post_init__(self) -> None:
        """Check words and ranges."""
        if self.freeze not in FREEZES:
            raise SettingsError(f"freeze is {self.freeze!r}; allowed: {', '.join(FREEZES)}")
        for name in ("every", "most_frames", "steps", "batch_size", "save_every"):
            if getattr(self, name) < 1:
                raise SettingsError(f"{name} is {getattr(self, name)}; allowed: 1 or more")
        for name in ("side_px", "late_side_px", "input_px"):
            if getattr(self, name) < 32 or getattr(self, name) % 32:
                raise SettingsError(f"{name} is {getattr(self, name)}; allowed: multiples of 32")
        if not self.clip_norm >= 0:  # not a number is not, either
            raise SettingsError(f"clip_norm is {self.clip_norm}; allowed: 0 or more")
        for name in ("late_share", "warmup_share", "final_lr_ratio", "ema_decay"):
            if not 0 <= getattr(self, name) <= 1:
                raise SettingsError(f"{name} is {getattr(self, name)}; allowed: 0 to 1")

    def size_at(self, step: int) -> tuple[int, int]:
        """Pictures of a step and their side in pixels."""
        if step < self.steps * (1 - self.late_share):
            return self.batch_size, self.side_px
        fewer = self.batch_size * (self.side_px / self.late_side_px) ** 2
        return max(round(fewer), 1), self.late_side_px


@dataclass(frozen=True, kw_only=True)
class DistillProgress:
    """Where a distillation is, for whoever watches."""

    what: str
    """read, stitch, step or settle"""
    done: int
    total: int
    losses: dict[str, float] = field(default_factory=dict)


Watch = Callable[[DistillProgress], None]


def watch_nothing(_progress: DistillProgress) -> None:
    """For callers who only want the result."""


def distill(
    settings: DistillSettings, *, resume_run: bool = False, watch: Watch = watch_nothing
) -> Path:
    """Train a student as ``settings`` say; the path of its checkpoint.

    Args:
        settings: what to do; written to the run folder.
        resume_run: go on with the run in ``settings.out``; it ends as if it had never stopped.
        watch: called as the work goes on.

    Raises:
        InputError: no pictures, a loss or gradient that is not finite, or another run's state.
        VideoError: a source cannot be read.
    """
    if settings.threads:
        torch.set_num_threads(settings.threads)
    out = make_folder(Path(settings.out))
    run = _Run(settings, watch)
    if resume_run:
        run.restore()
    else:
        write_atomic(out / SETTINGS, to_toml(settings))
        run.begin()
    run.fit()
    return run.finish()


class _Run:
    """A distillation under way."""

    def __init__(self, settings: DistillSettings, watch: Watch) -> None:
        self.settings, self.watch, self.out = settings, watch, Path(settings.out)
        self.pixels = _pixels(settings)
        self.about = weights_of(settings) | {
            f"pixels of {name}": seen[:16] for name, seen in self.pixels.items()
        }
        self.teacher = load_teacher(
            settings.teacher, weights=teacher_weights(settings), classes=settings.classes
        )
        self.collages = Collages(*gather(settings, watch), settings.collage)
        self.module, self.card = fresh_student(settings)
        freeze(self.module, self.card, FREEZES[settings.freeze])
        self.module.eval()  # batch norms keep their statistics; frozen parts have no gradients
        self.spread = [torch.ones(1) for _ in yolox.STRIDES]
        self.step = 0
        self.rows: list[dict[str, float]] = []
        self.ema = Ema(self.module, decay=settings.ema_decay, ramp=max(settings.steps / 10, 1.0))
        self.optimizer = make_optimizer(
            self.module,
            self.card,
            name="adamw",
            lr=settings.lr,
            weight_decay=settings.weight_decay,
            stage_lr_ratio=settings.stage_lr_ratio,
        )

    def begin(self) -> None:
        """Stitch, and measure how far the teacher's features spread, to weigh them alike."""
        settings = self.settings
        batches = [self.pictures(-1 - i) for i in range(max(settings.stitch_batches, 1))]
        if settings.stitch_batches and not settings.start:
            stitch(self.module, self.card, self.teacher, batches)
            self.ema.module.load_state_dict(self.module.state_dict())
        self.watch(DistillProgress(what="stitch", done=len(batches), total=len(batches)))
        levels = zip(*(answer(self.teacher, batch).neck for batch in batches[:4]), strict=True)
        self.spread = [
            torch.cat(maps).var((0, 2, 3)).clamp(min=1e-3)[None, :, None, None] for maps in levels
        ]
        self._write_manifest()

    def pictures(self, step: int) -> ByteArray:
        """The batch of a step (B, H, W, 3), the same whenever it is asked for."""
        count, side = self.settings.size_at(step)
        rng = np.random.default_rng((self.settings.seed, step + _BEFORE))
        made = [self.collages.make(rng, height_px=side, width_px=side) for _ in range(count)]
        return np.stack(made)

    def fit(self) -> None:
        """Step after step."""
        meter = Meter()
        total = self.settings.steps
        for pictures in ahead((self.pictures(step) for step in range(self.step, total)), 1):
            losses = self._learn(pictures, answer(self.teacher, pictures))
            self.step += 1
            meter.add(losses)
            if self.step % _LOG_EVERY == 0 or self.step == total:
                self.rows.append({"step": self.step, **meter.means()})
                meter = Meter()
            if self.step % self.settings.save_every == 0 or self.step == total:
                self.save()
            self.watch(DistillProgress(what="step", done=self.step, total=total, losses=losses))

    def _learn(self, pictures: ByteArray, wanted: Answers) -> dict[str, float]:
        """One optimizer step; its losses by name."""
        settings = self.settings
        factor = lr_factor(
            self.step,
            num_steps=settings.steps,
            warmup_steps=round(settings.steps * settings.warmup_share),
            final_ratio=settings.final_lr_ratio,
        )
        set_rates(self.optimizer, factor)
        neck = self.module.backbone.neck(
            self.module.backbone.backbone(network_input(pictures, self.card))
        )
        given = Answers(self.module.head(neck), neck)
        losses = distill_losses(
            given,
            wanted,
            self.spread,
            size_px=(pictures.shape[1], pictures.shape[2]),
            neck_weight=settings.neck_weight,
        )
        total = torch.stack(list(losses.values())).sum()
        if not bool(torch.isfinite(total)):
            raise InputError(f"the loss is {float(total)} in step {self.step}; lower lr?")
        self.optimizer.zero_grad()
        total.backward()  # type: ignore[no-untyped-call]
        try:
            take_step(self.optimizer, None, clip_norm=settings.clip_norm)
        except FloatingPointError as error:
            raise InputError(f"{error} in step {self.step}; lower lr?") from error
        self.ema.update(self.module)
        return {name: float(value.detach()) for name, value in losses.items()}

    def finish(self) -> Path:
        """Settle the norms and write the checkpoint, half precision."""
        module = self.ema.module
        assert isinstance(module, yolox.YOLOX)
        count = max(self.settings.stitch_batches, 1)
        settle_norms(module, self.card, [self.pictures(-1 - i) for i in range(count)])
        save_checkpoint(halved(module.state_dict()), self.card, self.out / STUDENT)
        self.watch(DistillProgress(what="settle", done=count, total=count))
        return self.out / STUDENT

    def save(self) -> None:
        """Everything that resuming needs, in one step."""
        resume.save_state(self.out / resume.STATE, self._state())
        write_atomic(self.out / LOG, as_csv(self.rows))

    def _state(self) -> dict[str, Any]:
        return {
            "about": self.about,
            "settings": flat(self.settings),
            "module": self.module.state_dict(),
            "ema": self.ema.module.state_dict(),
            "updates": self.ema.updates,
            "optimizer": self.optimizer.state_dict(),
            "spread": self.spread,
            "step": self.step,
            "rows": self.rows,
        }

    def restore(self) -> None:
        """Go back to the saved state; InputError when it is of other settings or files."""
        path = self.out / resume.STATE
        state = resume.load_state(path, parts=self._state())
        resume.refuse_changes(state["about"], self.about, where=str(path))
        resume.refuse_changes(state["settings"], flat(self.settings), where=str(path))
        self.module.load_state_dict(state["module"])
        self.ema.module.load_state_dict(state["ema"])
        self.ema.updates = state["updates"]
        self.optimizer.load_state_dict(state["optimizer"])
        self.spread, self.step, self.rows = state["spread"], state["step"], state["rows"]

    def _write_manifest(self) -> None:
        manifest = {
            "stack": stack(),
            "teacher": asdict(self.teacher.card),
            "sources": self.pixels,
        }
        write_json(self.out / MANIFEST, manifest)


def _pixels(settings: DistillSettings) -> dict[str, str]:
    """The digest of every file of the sources."""
    root = Path(settings.root)
    files = [path for source in settings.sources for path in files_of(root, source)]
    return {str(path.relative_to(root)): sha256(path) for path in files}


def weights_of(settings: DistillSettings) -> dict[str, str]:
    """Digests of the weights of the teacher, and of those that the student begins with."""
    found = {"the teacher": digest_of_start(settings.teacher, teacher_weights(settings))}
    if settings.start:
        found["the start"] = digest_of_start(settings.start)
    elif (given := Path(settings.backbone_weights)).is_file():
        found["the backbone"] = sha256(given)
    return {f"weights of {name}": seen[:16] for name, seen in found.items() if seen}


def gather(settings: DistillSettings, watch: Watch) -> tuple[list[Scene], list[Cutout]]:
    """All scenes and cut-outs of the sources, looked over by the teacher."""
    reading = Reading(
        every=settings.every,
        most_frames=settings.most_frames,
        least_change=settings.least_change,
        most_side_px=settings.most_side_px,
    )
    detector = load_detector(
        settings.teacher,
        weights=teacher_weights(settings),
        score_threshold=_LOOK_SCORE,
        classes=settings.classes,
        runtime="torch",  # converting a graph takes longer than some hundred looks
    )

    def look(frame: Frame) -> Detections:
        return detector.detect([frame])[0]

    person = settings.classes.index("person") if "person" in settings.classes else 0
    scenes: list[Scene] = []
    cutouts: list[Cutout] = []
    for number, source in enumerate(settings.sources, start=1):
        found = read_material(Path(settings.root), source, reading, look, person=person)
        scenes += found[0]
        cutouts += found[1]
        watch(DistillProgress(what="read", done=number, total=len(settings.sources)))
    return scenes, cutouts


def teacher_weights(settings: DistillSettings) -> str:
    """What ``build_network`` takes: default, or the path of a file."""
    given = settings.teacher_weights
    return given if given == "default" else str(Path(settings.root) / given)


def fresh_student(settings: DistillSettings) -> tuple[yolox.YOLOX, ModelCard]:
    """The student with its backbone's weights, and the card it will have."""
    card = ModelCard(
        name=settings.name,
        family="yolox",
        classes=settings.classes,
        licence=settings.licence,
        source=settings.source,
        notes=settings.notes,
        preprocessing=Preprocessing(
            width_px=settings.input_px,
            height_px=settings.input_px,
            mean=(_LITE_MEAN,) * 3,
            std=(_LITE_STD,) * 3,
        ),
        output=Output(decoding="scored_boxes", nms_iou=0.65),
        architecture={"backbone": settings.backbone},
    )
    with torch.random.fork_rng():
        torch.manual_seed(settings.seed)
        module = networks.build(card)
    assert isinstance(module, yolox.YOLOX)
    if settings.start:
        _go_on_from(settings.start, module, card)
    else:
        _load_backbone(module.backbone.backbone, settings)
    return module.to(memory_format=torch.channels_last), card


def _load_backbone(backbone: torch.nn.Module, settings: DistillSettings) -> None:
    wanted = settings.backbone_weights
    if wanted == "random":
        return
    state = packaged_lite(settings.backbone) if wanted == "package" else read_state(Path(wanted))
    load_backbone(backbone, state, where=f"{wanted} weights of {settings.backbone}")


def _go_on_from(start: str, module: yolox.YOLOX, card: ModelCard) -> None:
    given, known = build_network(start)
    if known.classes != card.classes:
        seen = f"start is {start}, which knows {', '.join(known.classes)}"
        raise SettingsError(f"{seen}; allowed: a model of the classes {', '.join(card.classes)}")
    networks.load_state(module, given.state_dict(), where=f"start {start}")
