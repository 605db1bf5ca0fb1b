"""Fine-tuning, from top to bottom: data, network, epochs of steps, the best checkpoint.

What the run folder holds: see ``train/folder.py``.
"""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from lightning_fabric import Fabric

from vodkit.data.sampling import repeat_factors, whole_batches
from vodkit.detect.base import Metric
from vodkit.detect.checkpoint import halved, save_checkpoint
from vodkit.detect.devices import missing_on_mps
from vodkit.detect.memory import is_out_of_memory
from vodkit.ground.arrays import IntArray
from vodkit.ground.errors import InputError, SettingsError, TrainingError, VideoError
from vodkit.ground.process import threads_asked
from vodkit.ground.runs import (
    write_atomic,
)
from vodkit.metrics.detection.ap import CocoScores
from vodkit.train import freeze, resume
from vodkit.train.batches import Batch, Share, cached_batches, pixel_batches
from vodkit.train.folder import BEST, LAST, LOG, begin_anew, claim_folder
from vodkit.train.log import Meter, as_csv, flat
from vodkit.train.loggers import Journal, open_journals
from vodkit.train.processes import (
    agreed,
    launched,
    noticing_lost_processes,
    require_shared,
    restart_notes,
    was_restarted,
)
from vodkit.train.progress import Progress, watch_nothing
from vodkit.train.settings import TrainSettings
from vodkit.train.setup import Material, delete_features, prepare, with_features
from vodkit.train.step import Learner
from vodkit.train.validate import Validated, validate


@dataclass(frozen=True, kw_only=True)
class TrainResult:
    """How a training ended."""

    checkpoint: Path
    """the best, or where there was no validation, the last"""
    ap: float | None
    """validation AP of it; None without validation"""
    ap50: float | None
    measured_on: str
    """what the scores are of, as ``41 frames, 120 boxes``; empty without validation"""
    epochs: int
    """that were trained, fewer than wanted where patience ended"""
    seconds: float
    """of this process, preparation included"""
    cached: bool
    """whether features of the frozen part were kept"""
    left_out: tuple[str, ...]
    """videos that could not be read"""
    per_class: Mapping[str, CocoScores]
    """numbers of the last validation, with the weights of then"""


def train(
    settings: TrainSettings,
    *,
    resume_run: bool = False,
    overwrite: bool = False,
    watch: Callable[[Progress], None] = watch_nothing,
) -> TrainResult:
    """Fine-tune a model on a dataset's training split; see ``TrainSettings``.

    Args:
        settings: what to do; written to the run folder.
        resume_run: resume the run in ``settings.out``; on a CPU the result is bit for bit that of
            an uninterrupted run, unless ``OMP_NUM_THREADS`` asks for another number of threads;
            without a run, one starts. Processes that torchrun started again always resume.
        overwrite: discard the training in ``settings.out``.
        watch: called after every step and epoch, by the first process.

    Raises:
        OutputError: the folder has a training and neither of the two is set, or it is running.
        InputError: no labelled frames, or, when resuming, a changed dataset or setting (the
            difference is named).
        TrainingError: a non-finite loss (the sample is named), or out of memory.
        ToldElsewhereError: in all but one of several processes, if none can start.
        VideoError: a video cannot be read (see ``skip_broken``).
    """
    started = time.monotonic()
    if was_restarted():  # what the first start was asked for is done
        resume_run, overwrite = True, False
    fabric = launched(settings)
    if not fabric.is_global_zero:
        watch = watch_nothing
    told = (_purpose(settings), *restart_notes())
    watch(Progress(what="material", done=0, total=0, told=told))
    begins = partial(claim_folder, settings, resume_run=resume_run, overwrite=overwrite)
    with _saying_what_helps(settings), noticing_lost_processes(), ExitStack() as held:
        require_shared(fabric, Path(settings.out))
        hold = held.enter_context if fabric.is_global_zero else None
        goes_on = agreed(
            fabric, lambda: begins(hold)
        )  # every process checks before anything changes
        run = agreed(fabric, lambda: _begun(settings, fabric, watch, goes_on=goes_on))
        try:
            run.fit()
        finally:
            run.material.close()
        delete_features(Path(settings.out))
    return TrainResult(
        checkpoint=Path(settings.out) / (LAST if run.best is None else BEST),
        ap=None if run.best is None else run.best.ap,
        ap50=None if run.best is None else run.best.ap50,
        measured_on=run.measured_on,
        epochs=run.epoch,
        seconds=time.monotonic() - started,
        cached=run.cached,
        left_out=run.material.left_out,
        per_class=run.per_class,
    )


@contextmanager
def _saying_what_helps(settings: TrainSettings) -> Iterator[None]:
    """Within, errors name the setting that helps: broken videos, too little memory, MPS."""
    try:
        yield
    except NotImplementedError as error:
        if settings.device != "mps":
            raise
        raise SettingsError(missing_on_mps(error)) from error
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        seen = (
            "out of memory outside of the steps (to store features, to measure norms, to validate)"
        )
        raise TrainingError(f"{seen}; lower width_px, height_px, or batch_size") from error
    except VideoError as error:
        if settings.skip_broken:
            raise
        message = f"{error.message}; skip_broken=true leaves such videos out"
        raise VideoError(message, path=error.path, time_s=error.time_s) from error


def _begun(
    settings: TrainSettings,
    fabric: Fabric,
    watch: Callable[[Progress], None],
    *,
    goes_on: bool,
) -> "_Run":
    """A training ready for its next step; an earlier one is discarded or resumed."""
    share = Share(
        rank=fabric.global_rank,
        world=fabric.world_size,
        batch_size=settings.batch_size,
        accumulate=settings.accumulate,
    )
    material = prepare(settings, fabric.device, watch)
    _refuse_nothing_to_find(settings, material)
    run = _Run(settings, fabric, material, share, watch)
    if goes_on:
        run.restore()
        done = f"{run.epoch} epochs and {run.batch} steps are done"
        seen = f"{'has ended' if run.ended else 'resumed'}: {done}"
        watch(Progress(what="material", done=0, total=0, told=(seen,)))
    if not run.ended:  # what has ended needs none
        run.keep_features()
    if not goes_on and fabric.is_global_zero:  # all is well: what was there may go
        begin_anew(settings, run.material)
    return run


class _Run:
    """A running training: all that changes from step to step."""

    def __init__(
        self,
        settings: TrainSettings,
        fabric: Fabric,
        material: Material,
        share: Share,
        watch: Callable[[Progress], None],
    ) -> None:
        self.settings, self.fabric, self.material, self.watch = settings, fabric, material, watch
        self.module, self.card = material.module, material.card
        self.out = Path(settings.out)
        self.share = share
        self.steps_per_epoch = -(-len(self._order(0)) // settings.batch_size)
        self.num_epochs = settings.num_epochs(self.steps_per_epoch)
        self.num_steps = self.steps_per_epoch * self.num_epochs
        self.learner = Learner(settings, fabric, material, num_steps=self.num_steps)
        self.ema = self.learner.ema
        self.epoch = self.batch = 0
        self.meter = Meter()
        self.best: CocoScores | None = None
        self.worse = 0
        self.rows: list[dict[str, float]] = []
        self.validated: Validated | None = None
        self.per_class: Mapping[str, CocoScores] = {}
        self.journals: dict[str, Journal] = {}
        self.marks: dict[str, str] = {}
        self.saved_at = time.monotonic()
        self.cached = self.ended = False
        validation = material.validation
        self.measured_on = "" if validation is None else validation.size

    def keep_features(self) -> None:
        """Of the frozen part, where it pays."""
        name = str(self.fabric.global_rank)
        self.material = with_features(
            self.settings, self.material, self.watch, name=name, epochs=self.num_epochs
        )
        self.learner.material = self.material
        self.cached = self.material.cached is not None

    def fit(self) -> None:
        """Epoch after epoch."""
        with ExitStack() as opened:
            if self.fabric.is_global_zero and not self._has_ended():
                self._open_journals(opened)
            self._epochs()
        self._checkpoint(LAST, None)
        self.ended = True
        self._save()  # so that --resume finds a finished training

    def _open_journals(self, opened: ExitStack) -> None:
        settings = self.settings
        self.journals = open_journals(
            settings.journals, self.out, flat(settings), marks=self.marks, epochs=self.epoch
        )
        for name, journal in self.journals.items():
            opened.push(partial(_close, journal))
            for row in () if name in self.marks else self.rows:  # asked for after a stop
                journal.write(*_for_journals(row))
        self.marks = {name: journal.mark for name, journal in self.journals.items()}

    def _epochs(self) -> None:
        while not self._has_ended():
            self._set_mode(self.epoch)
            row = self._epoch()
            self.epoch, self.batch, self.meter = self.epoch + 1, 0, Meter()
            # Whether the epoch that just ended is; the last one always
            every = self.settings.val_every or -(-self.num_epochs // 10)
            last = self.epoch == self.num_epochs
            if self.material.validation is not None and (last or self.epoch % every == 0):
                self.learner.measure_norms(self.share.size)
                row |= self._validate()
            self._log(row)
            self._save_if_due()
        if self.learner.depth < 0:  # resumed at its end: the last epoch decides what learns
            self._set_mode(self.epoch - 1)
        if self.material.validation is None and not self.ended:
            self.learner.measure_norms(self.share.size)

    def _has_ended(self) -> bool:
        patience = self.settings.patience
        return self.epoch >= self.num_epochs or bool(patience and self.worse >= patience)

    def _set_mode(self, epoch: int) -> None:
        """What is frozen in this epoch is, and the rest is in training mode."""
        if self.learner.freeze(epoch):
            rows = tuple(freeze.table(self.module, self.card))
            self.watch(
                Progress(
                    what="parameters",
                    done=self.batch,
                    total=self.steps_per_epoch,
                    epoch=epoch,
                    num_epochs=self.num_epochs,
                    parameters=rows,
                )
            )

    def _epoch(self) -> dict[str, float]:
        """All steps that the epoch still has; the means of losses, and the time spent waiting."""
        meter = self.meter
        meter.begin()
        source = self._batches()
        for _ in range(self.batch, self.steps_per_epoch):
            with meter.waiting():
                parts = [next(source) for _ in range(self.settings.accumulate)]
            step = self.epoch * self.steps_per_epoch + self.batch
            where = f"epoch {self.epoch + 1}, step {self.batch + 1}"
            losses, rate = self.learner.step(parts, step, where=where)
            self.batch += 1
            meter.add(losses)
            self._tell("step", losses, lr=rate, wait=meter.wait_share)
            self._save_if_due()
        return meter.means()

    def _batches(self) -> Iterator[Batch]:
        settings, material = self.settings, self.material
        plain = self.epoch >= self.num_epochs - settings.plain_epochs
        order = whole_batches(
            self._order(self.epoch), batch_size=settings.batch_size, count=self.steps_per_epoch
        )
        if material.cached is not None:
            return cached_batches(
                material.cached,
                order,
                self.share,
                skip=self.batch,
                seed=settings.seed,
                epoch=self.epoch,
                plain=plain,
                device=self.fabric.device,
            )
        return pixel_batches(
            material.training.plain() if plain else material.training,
            order,
            self.share,
            epoch=self.epoch,
            skip=self.batch,
            workers=settings.workers,
            device=self.fabric.device,
        )

    def _order(self, epoch: int) -> IntArray:
        frames, settings = self.material.training.frames, self.settings
        repeats = None
        if settings.rare_share:
            labels = [frames.labels(i) for i in range(len(frames))]
            repeats = repeat_factors(labels, len(self.card.classes), settings.rare_share)
        return frames.order(seed=settings.seed, epoch=epoch, repeats=repeats)

    def _validate(self) -> dict[str, float]:
        """The averaged weights on the validation frames; the best so far are written."""
        assert self.material.validation is not None
        validated = validate(
            self.ema.module,
            self.card,
            self.material.validation,
            num_shown=self.settings.num_pictures,
        )
        scores, self.validated = validated.result.overall, validated
        self.per_class = validated.result.per_class
        known = 0.0 if self.best is None else self.best.ap or 0.0
        # The first process decides: where memory is short, others may differ in the last digit.
        is_better = self.fabric.broadcast(self.best is None or (scores.ap or 0.0) > known)
        self.worse = 0 if is_better else self.worse + 1
        if is_better or known == 0:  # of networks that find nothing the last has learnt most
            self.best = scores
            self._checkpoint(BEST, scores)
        pairs = {"ap": scores.ap, "ap50": scores.ap50}
        return {name: value for name, value in pairs.items() if value is not None}

    def _checkpoint(self, name: str, scores: CocoScores | None) -> None:
        if not self.fabric.is_global_zero:
            return
        part = f"one labelled frame in {every} of " if (every := self.settings.every) > 1 else ""
        data = f"{Path(self.settings.data).name}, {part}split {self.settings.val_split}"
        pairs = {} if scores is None else {"AP": scores.ap, "AP50": scores.ap50}
        expected = tuple(
            Metric(name=key, value=round(value, 4), data=data)
            for key, value in pairs.items()
            if value is not None
        )
        state = self.ema.module.state_dict()
        if self.settings.half:
            state = halved(state)
        typical = {} if scores is None or self.validated is None else self.validated.typical
        card = replace(self.card, expected=expected, typical_scores=typical)
        save_checkpoint(state, card, self.out / name)

    def _log(self, row: dict[str, float]) -> None:
        """A line for the epoch, and the file of all of them."""
        learner = self.learner
        counts = {"halvings": learner.halvings, "skipped_steps": learner.skipped_steps}
        seen = {name: float(count) for name, count in counts.items() if count}
        self.rows.append({"epoch": self.epoch, **row, **seen})
        others = {"ap", "ap50", "wait", "seconds"}
        losses = {key: value for key, value in row.items() if key not in others}
        self._tell("epoch", losses, wait=row["wait"])
        self.validated = None
        if self.fabric.is_global_zero:
            write_atomic(self.out / LOG, as_csv(self.rows))
        for journal in self.journals.values():
            journal.write(*_for_journals(self.rows[-1]))

    def _tell(
        self, what: str, losses: dict[str, float], *, lr: float = 0.0, wait: float = 0.0
    ) -> None:
        row = self.rows[-1] if self.rows else {}
        steps = what == "step"
        seen = None if steps else self.validated
        self.watch(
            Progress(
                what=what,
                done=self.batch if steps else self.epoch,
                total=self.steps_per_epoch if steps else self.num_epochs,
                epoch=self.epoch,
                num_epochs=self.num_epochs,
                losses=losses,
                lr=lr,
                wait_share=wait,
                ap=row.get("ap"),
                ap50=row.get("ap50"),
                measured_on="" if seen is None else self.measured_on,
                shown=() if seen is None else seen.shown,
                per_class={} if seen is None else seen.result.per_class,
            )
        )

    def _save_if_due(self) -> None:
        if time.monotonic() - self.saved_at > self.settings.save_every_s:
            self._save()

    def _save(self) -> None:
        """The whole state, so that a kill after this loses nothing before it."""
        self.saved_at = time.monotonic()
        if not self.fabric.is_global_zero:
            return
        resume.save_state(self.out / resume.STATE, self._state())

    def _state(self) -> dict[str, Any]:
        """All that changes from step to step, and what it depends on."""
        return {
            "about": self.material.about,
            "settings": flat(self.settings),
            **self.learner.state(),
            "random": torch.get_rng_state(),
            "random of the device": resume.random_of(self.fabric.device),
            "threads": torch.get_num_threads(),  # another number of them sums in another order
            "at": {"epoch": self.epoch, "batch": self.batch, "worse": self.worse},
            "meter": self.meter.so_far,
            "best": None if self.best is None else asdict(self.best),
            "per_class": {name: asdict(one) for name, one in self.per_class.items()},
            "rows": self.rows,
            "journals": self.marks,
            "cached": self.cached,
            "ended": self.ended,
        }

    def restore(self) -> None:
        """Go back to the saved state; InputError when it is of other data or settings."""
        path = self.out / resume.STATE
        state = resume.load_state(path, parts=self._state())
        resume.refuse_changes(state["about"], self.material.about, where=str(path))
        resume.refuse_changes(state["settings"], flat(self.settings), where=str(path))
        self.learner.restore(state)
        torch.set_rng_state(state["random"])
        resume.set_random_of(self.fabric.device, state["random of the device"])
        if not threads_asked():
            torch.set_num_threads(state["threads"])
        self.meter = Meter(**state["meter"])
        self.epoch, self.batch = state["at"]["epoch"], state["at"]["batch"]
        self.worse, self.rows = state["at"]["worse"], state["rows"]
        self.marks = state["journals"]
        self.best = None if state["best"] is None else CocoScores(**state["best"])
        if self.best is not None and not (self.out / BEST).is_file():
            raise InputError(
                f"{self.out / BEST} is gone, with the best so far; --overwrite starts over"
            )
        self.per_class = {name: CocoScores(**one) for name, one in state["per_class"].items()}
        self.cached, self.ended = state["cached"], state["ended"]


def _close(journal: Journal, kind: type[BaseException] | None, *_: object) -> None:
    journal.close(failed=kind is not None)


def _for_journals(row: Mapping[str, float]) -> tuple[dict[str, float], int]:
    """The numbers of a row of the log, and its epoch."""
    return {name: value for name, value in row.items() if name != "epoch"}, int(row["epoch"])


def _refuse_nothing_to_find(settings: TrainSettings, material: Material) -> None:
    """InputError for a validation split without boxes, which measures nothing."""
    if material.validation is None:
        return
    frames = material.validation.frames
    if not any(len(frames.labels(index)) for index in range(len(frames))):
        seen = f"none of the {len(frames)} frames of split {settings.val_split!r} has a box"
        raise InputError(f"{seen}; allowed: a split with boxes, or val_split = '' for none")


def _purpose(settings: TrainSettings) -> str:
    return f"training {settings.model} on {settings.data}, into {settings.out}"
