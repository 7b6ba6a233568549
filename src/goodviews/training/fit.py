"""Train a method: the one place where Lightning's Trainer is set up."""

from __future__ import annotations

import logging
import math
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback
from torch.optim import Optimizer

from goodviews.interfaces import UserError
from goodviews.training.callbacks import Measure, Prepare
from goodviews.training.checkpoints import load_checkpoint, load_weights
from goodviews.training.closing import Checkpoints, Evaluation, Evaluator, Pause
from goodviews.training.collapse import CONSTANT, CollapseWatch
from goodviews.training.console import Console, Progress, Say, epoch_line
from goodviews.training.journal import Journal, MetricRow, read_rows
from goodviews.training.logs import Log, open_logs
from goodviews.training.optimizers import build_optimizer
from goodviews.training.precision import channels_last, resolve_accelerator, resolve_precision
from goodviews.training.settings import TrainSettings, differences
from goodviews.training.signals import Interrupted, QuitNow, Signals
from goodviews.training.stream import Stream, count_batches


@dataclass(frozen=True)
class FitResult:
    """What a call of `fit` did."""

    steps: int
    """Steps of the run so far, earlier sessions included."""
    epochs: int
    """Whole epochs so far."""
    seconds: float
    """Wall time of this call."""
    images_per_second: float
    """Training only, over the epochs of this call."""
    history: list[MetricRow] = field(default_factory=list)
    """One row an epoch, as in metrics.csv."""
    interrupted: int | None = None
    """The signal that ended the run early (2: Ctrl-C, 15: SIGTERM); exit with 128 + this."""
    already_finished: bool = False
    """Nothing was left to do."""
    last: Path | None = None
    best: Path | None = None


def fit(
    method: LightningModule,
    loader: Any,
    settings: TrainSettings | None = None,
    out: str | Path | None = None,
    *,
    resume: bool = False,
    evaluators: Sequence[Evaluator] = (),
    callbacks: Sequence[Callback] = (),
    config: Mapping[str, Any] | None = None,
    quiet: bool | None = None,
    say: Say | None = None,
) -> FitResult:
    """Train ``method`` on the batches of ``loader``.

    The method's ``training_step(batch, i)`` returns the loss and logs "loss", "nats" and
    "ceiling"; what it draws at random is a function of its seed and ``global_step`` (torch's own
    generators are seeded by (seed, step) before each step, so dropout is too). A run that was
    killed or interrupted resumes, in mid-epoch as well, to the same weights bit for bit on a CPU.

    Args:
        method: what to train; changed in place, put in train mode (a part that must not be
            overrides ``train``), left on the CPU in eval mode.
        loader: batches of one epoch; ``loader.batch_sampler`` with ``epoch`` and ``start`` places
            it, any other loader is read from the beginning on resumption.
        settings: `TrainSettings`; the defaults if None.
        out: the run's folder for checkpoints/, metrics.csv, tensorboard/; None writes nothing.
        resume: go on from ``out``/checkpoints/last.ckpt.
        evaluators: evaluator(method, epoch) -> numbers that join the epoch's row, for example
            nats (held-out I_NCE), knn, linear, rankme.
        callbacks: more Lightning callbacks.
        config: more plain settings to compare when resuming (views, encoder ...).
        quiet: print nothing; the default is to be quiet when ``out`` is None.
        say: takes the printed lines; standard output if None.

    Raises:
        UserError: settings, data, disk or a checkpoint that cannot be; a loss or weight that is
            not finite; constant embeddings at the end.
        KeyboardInterrupt: at a second Ctrl-C; at the first where ``out`` is None.
    """
    settings = (settings or TrainSettings()).check()
    console = Console(out is None if quiet is None else quiet, say)
    run = _Run(method, loader, settings, Path(out) if out else None, config or {}, console)
    state = run.open(resume)
    if run.journal.finished:
        console.say(f"{out}: the run is finished ({run.journal.step} steps); nothing to do.")
        return run.result(0.0, None, already_finished=True)
    return run.train(state, evaluators, callbacks)


class _Run:
    """One call of `fit`: its journal, its folder, its trainer."""

    def __init__(
        self,
        method: LightningModule,
        loader: Any,
        settings: TrainSettings,
        out: Path | None,
        config: Mapping[str, Any],
        console: Console,
    ) -> None:
        self.method, self.loader, self.settings = method, loader, settings
        self.out, self.config, self.console = out, dict(config), console
        self.accelerator = resolve_accelerator(settings.device)
        self.precision = resolve_precision(settings.precision, self.accelerator)
        self.signals = Signals(polite=out is not None)
        self.journal = plan(loader, settings)
        self.checkpoints: Checkpoints | None = None
        if out is not None:
            folder = out / "checkpoints"
            self.checkpoints = Checkpoints(folder, self.journal, settings, self.config)

    def open(self, resume: bool) -> dict[str, Any] | None:
        """Restore weights and journal of the run in ``out``; refuse to write over one."""
        if self.checkpoints is None or self.out is None:
            if resume:
                raise UserError("--resume: there is no folder to resume from. Give --out.")
            return None
        path = self.checkpoints.last
        if not resume:
            if path.exists():
                raise UserError(f"{self.out}: holds a run. Add --resume, or choose another --out.")
            return None
        state = load_checkpoint(path)
        self._compare(state)
        load_weights(self.method, state["state_dict"], path)
        self.journal.restore(state["journal"])
        done = self.journal.epoch - (self.journal.pending is not None)
        self.journal.rows = read_rows(self.out / "metrics.csv", done)
        return state

    def _compare(self, state: Mapping[str, Any]) -> None:
        now = {**self.settings.to_dict(), **self.config}
        lines = differences({**state["settings"], **state["config"]}, now)
        place, here = state["journal"], self.journal
        if not lines and place["per_epoch"] != here.per_epoch:
            lines = [f"steps an epoch: {place['per_epoch']} -> {here.per_epoch} (other data)"]
        if lines:
            raise UserError(
                f"{self.out}: --resume with changed settings: {'; '.join(lines)}. "
                "Give the old values, or choose another --out."
            )

    def train(
        self,
        state: Mapping[str, Any] | None,
        evaluators: Sequence[Evaluator],
        callbacks: Sequence[Callback],
    ) -> FitResult:
        """Run the trainer from the journal's place to the end, or to a signal."""
        start, first = time.perf_counter(), len(self.journal.rows)
        self.method.train()  # Lightning would train it in eval mode, if it came so
        self._announce()
        self._lay_out()
        try:
            with ExitStack() as stack:
                stack.enter_context(torch.random.fork_rng())
                stack.enter_context(self.signals)
                stack.enter_context(_hushed())
                logs = self._open_logs(stack)
                stack.callback(self.console.live, "")
                stack.enter_context(_optimizer_of(self.method, self._build_optimizer))
                ours = self._callbacks(state, evaluators, logs)
                self._run(self._trainer([*ours[:-1], *callbacks, ours[-1]]))
        except QuitNow:  # wherever it came
            raise KeyboardInterrupt from None
        self.method.eval()
        if self.signals.received is None:
            self._refuse_constant()
        return self.result(time.perf_counter() - start, self.signals.received, first=first)

    def _run(self, trainer: Trainer) -> None:
        try:
            trainer.fit(self.method, Stream(self.loader, self.journal))
        except Interrupted:
            pass
        finally:
            self.method.trainer = None

    def _open_logs(self, stack: ExitStack) -> list[Log]:
        if self.out is None:
            return []
        values = {**self.settings.to_dict(), **self.config}
        logs = open_logs(self.settings.log, self.out, self.journal, values)
        for log in logs:
            stack.callback(log.close)
        return logs

    def _announce(self) -> None:
        s, journal = self.settings, self.journal
        size = sum(p.numel() for p in self.method.parameters()) / 1e6
        self.console.say(
            f"training: {journal.epochs} epochs x {journal.per_epoch} steps, batch {s.batch_size} "
            f"in all, {s.optimizer} lr {s.lr:g} (as given, not scaled), seed {s.seed}, "
            f"{self.precision} on {s.devices} {self.accelerator}, {size:.2f} M parameters"
        )
        if journal.step:
            self.console.say(f"resumed: epoch {journal.epoch + 1}, step {journal.step}")

    def _lay_out(self) -> None:
        channels_last(self.method)
        if self.settings.compile:
            for encoder in getattr(self.method, "encoders", [self.method]):
                encoder.compile()

    def _build_optimizer(self) -> Optimizer:
        s = self.settings
        fused = self.precision != "16-mixed"
        return build_optimizer(self.method, s.optimizer, s.lr, s.weight_decay, s.momentum, fused)

    def _callbacks(
        self,
        state: Mapping[str, Any] | None,
        evaluators: Sequence[Evaluator],
        logs: Sequence[Log],
    ) -> list[Callback]:
        s, journal = self.settings, self.journal
        progress = Progress(journal, self.console)

        def report(row: MetricRow) -> None:
            journal.rows.append(row)
            for log in logs:
                log.write(row)
            self.console.say(epoch_line(row, journal.epochs, progress.eta))

        return [
            Prepare(s, journal, state),
            Measure(journal),
            CollapseWatch(journal, s.on_collapse, self.console.say),
            progress,
            Evaluation(
                journal, evaluators, s.evaluate_every, self.checkpoints, self.signals, report
            ),
            Pause(journal, s.save_every, self.checkpoints, self.signals),
        ]

    def _trainer(self, callbacks: list[Callback]) -> Trainer:
        """Lightning's Trainer with all that it would do unasked turned off, at our place."""
        journal = self.journal
        over = journal.step >= journal.total  # only the last evaluation is left
        trainer = Trainer(
            accelerator=self.accelerator,
            devices=self.settings.devices,
            precision=self.precision,  # type: ignore[arg-type]
            max_epochs=journal.epochs + over,
            max_steps=-1 if over else journal.total,
            gradient_clip_val=self.settings.clip,
            callbacks=callbacks,
            default_root_dir=self.out,
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            limit_val_batches=0,
            num_sanity_val_steps=0,
            use_distributed_sampler=False,
        )
        epochs: Any = trainer.fit_loop.epoch_progress.current
        epochs.ready = epochs.started = epochs.processed = epochs.completed = journal.epoch
        steps = trainer.fit_loop.epoch_loop.automatic_optimization.optim_progress.optimizer.step
        steps.total.ready = steps.total.completed = journal.step
        return trainer

    def _refuse_constant(self) -> None:
        std = self.journal.rows[-1].get("std") if self.journal.rows else None
        if std is not None and std < CONSTANT:
            raise UserError(
                f"embeddings: constant (std {std:.1e}): the encoder says the same of every image. "
                "Try weaker views or a lower --lr."
            )

    def result(
        self,
        seconds: float,
        interrupted: int | None,
        already_finished: bool = False,
        first: int = 0,
    ) -> FitResult:
        """What there is to say of this call."""
        journal, checkpoints = self.journal, self.checkpoints
        rows = journal.rows[first:]
        spent = sum(row["seconds"] or 0.0 for row in rows)
        images = sum((row["seconds"] or 0.0) * (row["images_per_second"] or 0.0) for row in rows)
        last = checkpoints.last if checkpoints and checkpoints.last.exists() else None
        best = checkpoints.best if checkpoints and checkpoints.best.exists() else None
        return FitResult(
            steps=journal.step,
            epochs=journal.epoch,
            seconds=seconds,
            images_per_second=images / spent if spent else 0.0,
            history=list(journal.rows),
            interrupted=interrupted,
            already_finished=already_finished,
            last=last,
            best=best,
        )


def plan(loader: Any, settings: TrainSettings) -> Journal:
    """How many steps a run takes.

    Raises:
        UserError: the loader has no batch.

    Example:
        >>> plan([0, 1, 2], TrainSettings(steps=7)).epochs
        3
    """
    per_epoch = count_batches(loader)
    if per_epoch == 0:
        raise UserError(
            f"--batch-size: {settings.batch_size} is more than there are images: 0 batches. "
            "Use a smaller one."
        )
    total = settings.steps or settings.epochs * per_epoch
    return Journal(epochs=math.ceil(total / per_epoch), per_epoch=per_epoch, total=total)


@contextmanager
def _optimizer_of(method: LightningModule, build: Callable[[], Optimizer]) -> Iterator[None]:
    """Within: the method's optimiser is ours, whatever it would take in another Trainer."""
    before = method.__dict__.get("configure_optimizers")
    method.configure_optimizers = build  # type: ignore[method-assign]
    try:
        yield
    finally:
        del method.configure_optimizers
        if before is not None:
            method.configure_optimizers = before  # type: ignore[method-assign]


@contextmanager
def _hushed() -> Iterator[None]:
    """Within: Lightning logs errors only, and keeps the warnings that don't concern us."""
    loggers = [logging.getLogger(name) for name in ("lightning.pytorch", "lightning.fabric")]
    levels = [logger.level for logger in loggers]
    with warnings.catch_warnings():
        for message in HARMLESS:
            warnings.filterwarnings("ignore", message=message)
        for logger in loggers:
            logger.setLevel(logging.ERROR)
        try:
            yield
        finally:
            for logger, level in zip(loggers, levels, strict=True):
                logger.setLevel(level)


HARMLESS = (
    r".*LeafSpec.* is deprecated",  # Lightning 2.6 on torch 2.14
    r"Found \d+ module\(s\) in eval mode",  # frozen parts are meant to be
    r"You called `self.log\(.*\)` in your `training_step` but .* no logger configured",
    r"GPU available but not used",
    r"MPS available but not used",
)
"""Lightning's warnings that say nothing about a run of ours (regular expressions)."""
