"""What happens around each step: learning rate and seed before it, measurements after it."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from typing import Any

import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback
from torch import Tensor

from goodviews.interfaces import UserError
from goodviews.training.journal import Journal
from goodviews.training.memory import memory_gb
from goodviews.training.optimizers import warmup_cosine, warmup_steps
from goodviews.training.settings import TrainSettings
from goodviews.training.stream import AnyBatch, Outputs, images_of


class Prepare(Callback):
    """Before each step: its learning rate, and torch's own generators seeded by (seed, step).

    Args:
        settings: the run's settings.
        journal: the run's journal.
        state: the checkpoint of a resumed run.

    So dropout and the like need no saved state: a resumed run draws what it would have drawn.
    """

    def __init__(
        self, settings: TrainSettings, journal: Journal, state: Mapping[str, Any] | None = None
    ) -> None:
        self.journal, self.state = journal, state
        self.settings, self.seed = settings, settings.seed
        warmup = settings.warmup_steps
        if warmup is None:
            warmup = round(settings.warmup_epochs * journal.per_epoch)
        self.warmup = min(warmup, journal.total // 2)

    def rate(self, step: int) -> float:
        """The rate of a step."""
        s = self.settings
        if s.schedule == "steps":
            places = [epoch * self.journal.per_epoch for epoch in s.milestones]
            return warmup_steps(step, places, self.warmup, s.lr, s.decay)
        return warmup_cosine(step, self.journal.total, self.warmup, s.lr, s.min_lr)

    def on_train_start(self, trainer: Trainer, method: LightningModule) -> None:
        """Give the optimiser its state back, in a resumed run."""
        if self.state is not None:
            trainer.optimizers[0].load_state_dict(self.state["optimizer"])
            trainer.precision_plugin.load_state_dict(self.state["scaler"])

    def on_train_batch_start(
        self, trainer: Trainer, method: LightningModule, batch: AnyBatch, index: int
    ) -> None:
        """Set the rate and the seed."""
        if len(images_of(batch)) < 2:
            raise UserError("--batch-size: 1 image in a batch. A contrastive step needs 2 or more.")
        self._seed_step(method, trainer.global_rank)
        rate = self.rate(self.journal.step)
        for group in trainer.optimizers[0].param_groups:
            group["lr"] = rate

    def _seed_step(self, method: LightningModule, rank: int) -> None:
        seed = (self.seed * 1_000_003 + self.journal.step) * 64 + rank
        torch.default_generator.manual_seed(seed)  # torch.manual_seed costs 100 times as much
        if method.device.type == "cuda":
            torch.cuda.manual_seed(seed)


class Measure(Callback):
    """Adds each step to the journal, closes its epochs; stops on a loss that is not finite."""

    def __init__(self, journal: Journal) -> None:
        self.journal = journal
        self._check_every = 1
        self._mark = 0.0

    def on_train_start(self, trainer: Trainer, method: LightningModule) -> None:
        """On an accelerator, look at the loss every tenth step only: looking makes it wait."""
        self._check_every = 1 if method.device.type == "cpu" else 10

    def on_train_epoch_start(self, trainer: Trainer, method: LightningModule) -> None:
        """Start the clock."""
        self._mark = time.perf_counter()

    def on_train_batch_end(
        self,
        trainer: Trainer,
        method: LightningModule,
        outputs: Outputs,
        batch: AnyBatch,
        index: int,
    ) -> None:
        """Add the step; raise on a non-finite loss."""
        loss = outputs["loss"]
        values = {"loss": loss, **trainer.callback_metrics}  # "loss" as the method logs it, if so
        self.journal.add(values, len(images_of(batch)))
        if self.journal.step % self._check_every == 0:
            self.check(loss)
        now = time.perf_counter()
        self.journal.seconds += now - self._mark
        self._mark = now

    def on_train_epoch_end(self, trainer: Trainer, method: LightningModule) -> None:
        """Close the epoch: its row waits in the journal for the callbacks that follow."""
        self.check(self.journal.sums["loss"])
        rate = float(trainer.optimizers[0].param_groups[0]["lr"])
        self.journal.pending = self.journal.close_epoch(rate, memory_gb(method.device))

    def check(self, loss: Tensor) -> None:
        """Raise unless the loss is finite."""
        value = float(loss)
        if not math.isfinite(value):
            raise UserError(nonfinite(f"loss is {value}", self.journal.step))


def nonfinite(what: str, step: int) -> str:
    """The line for a number that is not finite."""
    return (
        f"{what} at step {step}: training has diverged. "
        "Lower --lr, or add --clip 1 or --precision 32. The last good checkpoint is kept."
    )
