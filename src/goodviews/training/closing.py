"""What happens between steps and at the end of an epoch: checkpoints, evaluation, the report."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback

from goodviews.interfaces import UserError
from goodviews.training.callbacks import nonfinite
from goodviews.training.checkpoints import all_finite, save_checkpoint
from goodviews.training.collapse import at_rest
from goodviews.training.journal import Journal, MetricRow
from goodviews.training.settings import TrainSettings
from goodviews.training.signals import Interrupted, Signals
from goodviews.training.stream import AnyBatch, Outputs

Evaluator = Callable[[LightningModule, int], Mapping[str, float]]
"""evaluator(method, epoch) -> numbers by name; the method is in eval mode, on its device."""


class Checkpoints:
    """Writes last.ckpt, best.ckpt and, where asked, one an epoch.

    Args:
        folder: where to.
        journal: the run's journal.
        settings: every, keep and what a resumed run is compared with.
        config: more to compare a resumed run with.
    """

    def __init__(
        self, folder: Path, journal: Journal, settings: TrainSettings, config: Mapping[str, Any]
    ) -> None:
        self.folder, self.journal, self.settings = folder, journal, settings
        self.config = dict(config)
        self.last, self.best = folder / "last.ckpt", folder / "best.ckpt"

    def state(self, trainer: Trainer, method: LightningModule) -> dict[str, Any]:
        """All that a resumed run needs, as tensors and plain values."""
        return {
            "format": 1,
            "state_dict": trainer.strategy.lightning_module_state_dict(),
            "optimizer": trainer.strategy.optimizer_state(trainer.optimizers[0]),
            "scaler": trainer.precision_plugin.state_dict(),
            "journal": self.journal.to_dict(),
            "settings": self.settings.to_dict(),
            "config": self.config,
        }

    def save(self, trainer: Trainer, method: LightningModule, best: bool = False) -> None:
        """Write last.ckpt (and best.ckpt), unless a weight is not finite."""
        if not all_finite(method):
            raise UserError(nonfinite("a weight is not finite", self.journal.step))
        state = self.state(trainer, method)
        if not trainer.is_global_zero:
            return
        save_checkpoint(state, self.last)
        if best:
            copy_file(self.last, self.best)

    def save_epoch(self, epoch: int) -> None:
        """Keep the newest ``keep`` epoch checkpoints beside last and best."""
        keep = self.settings.keep
        if keep == 0:
            return
        copy_file(self.last, self.folder / f"epoch-{epoch:04d}.ckpt")
        older = sorted(self.folder.glob("epoch-*.ckpt"))
        for path in older[:-keep] if keep > 0 else []:
            path.unlink()


def copy_file(source: Path, target: Path) -> None:
    """Let ``target`` be ``source``: a hard link where the disk can, a copy otherwise; atomic."""
    part = target.with_name(target.name + ".part")
    part.unlink(missing_ok=True)
    try:
        os.link(source, part)
    except OSError:
        part.write_bytes(source.read_bytes())
    os.replace(part, target)


class Pause(Callback):
    """In mid-epoch: saves every so many steps, and saves and stops when a signal has come."""

    def __init__(
        self, journal: Journal, every: int, checkpoints: Checkpoints | None, signals: Signals
    ) -> None:
        self.journal, self.every = journal, every
        self.checkpoints, self.signals = checkpoints, signals

    def on_train_start(self, trainer: Trainer, method: LightningModule) -> None:
        """Take the signals back from Lightning."""
        self.signals.arm()

    def on_train_batch_end(
        self,
        trainer: Trainer,
        method: LightningModule,
        outputs: Outputs,
        batch: AnyBatch,
        index: int,
    ) -> None:
        """Save, and stop if asked to."""
        journal = self.journal
        if journal.batch >= journal.per_epoch or journal.step >= journal.total:
            return  # the epoch's end saves, and stops
        signum = self.signals.received
        due = self.every > 0 and journal.step % self.every == 0
        if self.checkpoints is not None and (due or signum is not None):
            self.checkpoints.save(trainer, method)
        if signum is not None:
            raise Interrupted(signum)


class Evaluation(Callback):
    """Closes each epoch: the row, the evaluators' numbers, the checkpoints, the report.

    A signal during the evaluators stops at once: the checkpoint written before them knows that
    this epoch's evaluation is still to come, and a resumed run begins with it.

    Args:
        journal: the run's journal.
        evaluators: what to measure at the end of an epoch.
        every: epochs between evaluations; 0: never. The last epoch is always evaluated.
        checkpoints: where to save, or None.
        signals: the run's signals.
        report: called with each finished row.
    """

    def __init__(
        self,
        journal: Journal,
        evaluators: Sequence[Evaluator],
        every: int,
        checkpoints: Checkpoints | None,
        signals: Signals,
        report: Callable[[MetricRow], None],
    ) -> None:
        self.journal, self.evaluators, self.every = journal, evaluators, every
        self.checkpoints, self.signals, self.report = checkpoints, signals, report

    def on_train_start(self, trainer: Trainer, method: LightningModule) -> None:
        """Do the evaluation that an interrupted run left undone."""
        if self.journal.pending is not None:
            self.finish(trainer, method)
            trainer.should_stop = self.journal.finished

    def on_train_epoch_end(self, trainer: Trainer, method: LightningModule) -> None:
        """Save, evaluate, save, report."""
        if self.checkpoints is not None and self._due():
            self.checkpoints.save(trainer, method)
        self.finish(trainer, method)

    def finish(self, trainer: Trainer, method: LightningModule) -> None:
        """Complete the pending row."""
        row = self.journal.pending
        if row is None:
            return
        if self._due():
            with at_rest(method):
                for evaluator in self.evaluators:
                    with self.signals.immediate():
                        row.update(evaluator(method, self.journal.epoch - 1))
        self.journal.pending = None
        best = self.journal.improves(row)
        self.report(row)
        if self.checkpoints is not None:
            self.checkpoints.save(trainer, method, best)
            self.checkpoints.save_epoch(self.journal.epoch)
        if not self.journal.finished:
            self.signals.check()

    def _due(self) -> bool:
        if not self.evaluators or not self.every:
            return False
        return self.journal.epoch % self.every == 0 or self.journal.step >= self.journal.total
