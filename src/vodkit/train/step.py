"""One step of training: gradients of a batch, in parts that fit into memory, and the update.

A batch that does not fit is halved until it does, and stays so. What is wrong with a loss or a
gradient is traced to the samples.
"""

import math
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from vodkit.detect import networks
from vodkit.detect.base import ModelCard
from vodkit.detect.memory import free_gpu_memory, is_out_of_memory
from vodkit.ground.errors import TrainingError
from vodkit.train import freeze
from vodkit.train.batch_norms import learning_norms, measure_norms, plain_batches
from vodkit.train.batches import Batch
from vodkit.train.ema import Ema, fitting_decay
from vodkit.train.frozen_features import replaying
from vodkit.train.gradients import scaler_of, take_step
from vodkit.train.half_precision import fast_convolutions
from vodkit.train.optim import lr_factor, make_optimizer, set_rates
from vodkit.train.rehearsal import Keeper
from vodkit.train.settings import TrainSettings
from vodkit.train.setup import Material


class Losses(nn.Module):
    """The network with its family's losses, as one module: what several processes share."""

    def __init__(self, module: nn.Module, card: ModelCard, keeper: Keeper | None = None) -> None:
        """Shares the network's weights."""
        super().__init__()
        self.module = module
        self.card = card
        self.keeper = keeper

    def forward(self, given: Callable[[], Batch], cuts: tuple[str, ...]) -> dict[str, Tensor]:
        """Weighted losses by name.

        The batch comes as a function: Fabric would rebuild (and cannot) a frozen record to
        convert the tensors in it, which are on their device and in their type already.
        """
        with fast_convolutions():
            return self._of(given(), cuts)

    def _of(self, batch: Batch, cuts: tuple[str, ...]) -> dict[str, Tensor]:
        if batch.features is None:
            if self.keeper is None:
                return networks.losses(self.module, self.card, batch.images, batch.targets)
            with self.keeper.listening() as heard:
                losses = networks.losses(self.module, self.card, batch.images, batch.targets)
            return losses | self.keeper.losses(batch.images[:, :3], heard.answers)
        with replaying(self.module, cuts, batch.features):
            # The pictures are not used: normalising black ones would cost a tenth of a step.
            return networks.losses_of_normalised(
                self.module, self.card, batch.images, batch.targets
            )


class Learner:
    """The network that learns: its averaged weights, its optimizer, and the size of parts."""

    def __init__(
        self, settings: TrainSettings, fabric: Fabric, material: Material, *, num_steps: int
    ) -> None:
        """``num_steps``: of the whole training."""
        self.settings, self.fabric, self.material = settings, fabric, material
        self.module, self.card = material.module, material.card
        self.num_steps = num_steps
        decay = fitting_decay(settings.ema_decay, num_steps)
        self.ema = Ema(self.module, decay=decay, ramp=max(num_steps / 50, 1.0))
        self.optimizer: Any = fabric.setup_optimizers(
            make_optimizer(
                self.module,
                self.card,
                name=settings.optimizer,
                lr=settings.lr,
                weight_decay=settings.weight_decay,
                stage_lr_ratio=settings.stage_lr_ratio,
            )
        )
        self._keeper = (
            Keeper(
                self.module,
                self.card,
                settings.teacher,
                weight=settings.teacher_weight,
                device=fabric.device,
            )
            if settings.teacher
            else None
        )
        self._scaler = scaler_of(fabric)
        self.halvings = self.skipped_steps = 0
        self.depth = -1
        """how much is frozen, see ``freeze``; -1: nothing was decided yet"""
        self._where = ""

    @property
    def _cuts(self) -> tuple[str, ...]:
        return () if self.material.cached is None else self.material.cached.cuts

    def freeze(self, epoch: int) -> bool:
        """Freeze what is frozen in this epoch, and set the rest to training; whether it differs."""
        settings = self.settings
        depth = freeze.depth_at(settings.freeze, epoch=epoch, thaw_every=settings.thaw_every)
        freeze.freeze(self.module, self.card, depth)
        if settings.fixed_norms:
            freeze.fix_statistics(self.module)
        if depth == self.depth:
            return False
        # Processes agree on what they exchange when they are set up.
        self._wrapped = self.fabric.setup_module(Losses(self.module, self.card, self._keeper))
        self.depth = depth
        return True

    def step(self, parts: list[Batch], step: int, *, where: str) -> tuple[dict[str, float], float]:
        """Take one optimizer step.

        Args:
            parts: of the batch.
            step: number of the step, from 0.
            where: the same in words, for errors.

        Returns:
            The mean losses of the parts, and the learning rate.

        Raises:
            TrainingError: a loss or a gradient is not finite, or memory does not suffice.
        """
        settings, self._where = self.settings, where
        factor = lr_factor(
            step,
            num_steps=self.num_steps,
            warmup_steps=round(self.num_steps * settings.warmup_share),
            final_ratio=settings.final_lr_ratio,
        )
        rate = set_rates(self.optimizer, factor)
        shown = self._over_processes(self._gradients(parts))
        try:
            is_taken = take_step(self.optimizer, self._scaler, clip_norm=settings.clip_norm)
        except FloatingPointError as error:
            raise TrainingError(self._without_gradient(str(error), parts)) from error
        if is_taken:
            self.ema.update(self.module)
        else:
            self.skipped_steps += 1
        return shown, rate

    def measure_norms(self, size: int) -> None:
        """Give the averaged weights the statistics that they have on the training pictures.

        ``size``: pictures of a part, before it is halved.
        """
        names, material = learning_norms(self.module), self.material
        while names:
            most = max(size >> self.halvings, 1)  # as parts are that are learnt from
            batches = plain_batches(
                material.training, material.cached, size=most, device=self.fabric.device
            )
            try:
                measure_norms(self.ema.module, self.card, names, batches, self._cuts)
                break
            except (RuntimeError, MemoryError) as error:
                if most == 1 or not is_out_of_memory(error) or self.fabric.world_size > 1:
                    raise
            free_gpu_memory()
            self.halvings += 1

    def _over_processes(self, shown: dict[str, float]) -> dict[str, float]:
        """The losses of the whole batch, of which each process has seen its share."""
        if self.fabric.world_size == 1:
            return shown
        seen = torch.tensor(list(shown.values()), dtype=torch.float64, device=self.fabric.device)
        whole = self.fabric.all_reduce(seen, reduce_op="mean")
        assert isinstance(whole, Tensor)
        return dict(zip(shown, whole.tolist(), strict=True))

    def _without_gradient(self, seen: str, parts: list[Batch]) -> str:
        frames = self.material.training.frames
        names = [frames.name(index) for part in parts for index in part.indices]
        helps = "lower lr" if self._scaler is None else "lower lr, or precision=bf16 or 32"
        return f"{seen} in {self._where}; its samples: {'; '.join(names[:4])}; {helps}?"

    def _gradients(self, parts: list[Batch]) -> dict[str, float]:
        """Gradients of all parts, halved until they fit into memory; the mean losses."""
        while True:
            smaller = [piece for part in parts for piece in part.pieces(2**self.halvings)]
            self.optimizer.zero_grad()
            try:
                return self._all_parts(smaller)
            except (RuntimeError, MemoryError) as error:
                if not is_out_of_memory(error):
                    raise
                most = max(len(part.indices) for part in smaller)
                if most == 1 or self.fabric.world_size > 1:  # the others would not know
                    raise TrainingError(self._too_large(smaller[0])) from error
                self.optimizer.zero_grad()
            except ValueError as error:  # torch's word for a norm that sees one number a channel
                if not self.halvings or "more than 1 value per channel" not in str(error):
                    raise
                larger = parts[0].pieces(2 ** (self.halvings - 1))[0]
                raise TrainingError(self._too_small(larger)) from error
            free_gpu_memory()  # outside of the handler, which keeps the tensors of the failed part
            self.halvings += 1

    def _all_parts(self, parts: list[Batch]) -> dict[str, float]:
        """Gradients of parts one after the other; the mean losses."""
        whole = sum(len(part.indices) for part in parts)
        shown: dict[str, float] = {}
        for number, part in enumerate(parts, start=1):
            share = len(part.indices) / whole
            # Processes exchange gradients once a step, with the last part.
            with self.fabric.no_backward_sync(self._wrapped, enabled=number < len(parts)):
                for name, value in self._backward(part, share).items():
                    shown[name] = shown.get(name, 0.0) + value * share
        return shown

    def _backward(self, part: Batch, share: float) -> dict[str, float]:
        losses = self._wrapped(lambda: part, self._cuts)
        each = torch.stack(list(losses.values()))
        shown = each.detach().tolist()  # read together: each read waits for the device
        if not math.isfinite(sum(shown)):
            raise TrainingError(self._culprit(part, sum(shown)))
        self.fabric.backward(each.sum() * share)
        return dict(zip(losses, shown, strict=True))

    def _too_large(self, part: Batch) -> str:
        height, width = part.images.shape[2:]
        settings = self.settings
        seen = f"{len(part.indices)} pictures of {width}x{height} px at once"
        parts = f"raise accumulate (now {settings.accumulate}), or lower batch_size, width_px"
        allowed = "lower width_px, height_px" if len(part.indices) == 1 else parts
        return f"out of memory with {seen}; {allowed}"

    def _too_small(self, larger: Batch) -> str:
        """Where parts larger than this have no room, and in smaller ones nothing can be learnt."""
        height, width = larger.images.shape[2:]
        seen = f"{len(larger.indices)} pictures of {width}x{height} px at once"
        why = "in smaller parts a norm sees one number"
        return f"out of memory with {seen}, and {why}; set fixed_norms=true, or lower width_px"

    def _culprit(self, part: Batch, total: float) -> str:
        """Which sample makes the loss what it should not be."""
        frames = self.material.training.frames
        names = []
        with torch.no_grad(), self.fabric.autocast():
            for row, index in enumerate(part.indices):
                # Not as several processes share it: the others would not answer. Each sample
                # twice: batch norms of small maps need more than one number.
                losses = self._wrapped.module(partial(part.rows, [row, row]), self._cuts)
                if not bool(torch.isfinite(torch.stack(list(losses.values())).sum())):
                    names.append(frames.name(index))
        blamed = names or [frames.name(index) for index in part.indices]
        alone = "its samples" if names else "none of its samples alone; the batch is"
        return f"the loss is {total} in {self._where}; {alone}: {'; '.join(blamed[:4])}; lower lr?"

    def state(self) -> dict[str, Any]:
        """All that changes from step to step."""
        return {
            "module": self.module.state_dict(),
            "ema": self.ema.module.state_dict(),
            "updates": self.ema.updates,
            "optimizer": self.optimizer.state_dict(),
            "scaler": {} if self._scaler is None else self._scaler.state_dict(),
            "halvings": self.halvings,
            "skipped_steps": self.skipped_steps,
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Continue from a ``state``."""
        self.module.load_state_dict(state["module"])
        self.ema.module.load_state_dict(state["ema"])
        self.ema.updates = state["updates"]
        self.optimizer.load_state_dict(state["optimizer"])
        if self._scaler is not None:
            self._scaler.load_state_dict(state["scaler"])
        self.halvings, self.skipped_steps = state["halvings"], state["skipped_steps"]
