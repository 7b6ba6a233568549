"""What a run says: a forecast, one line an epoch, a live line on a terminal."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback

from goodviews.training.journal import Journal, MetricRow
from goodviews.training.memory import memory_gb
from goodviews.training.stream import AnyBatch, Outputs

Say = Callable[[str], None]


class Console:
    """Writes lines to standard output, and a line that moves to a terminal's standard error.

    Args:
        quiet: say nothing.
        say: where lines go instead of standard output.
    """

    def __init__(self, quiet: bool = False, say: Say | None = None) -> None:
        self.quiet = quiet
        self._say = say or (lambda line: print(line, flush=True))
        self.terminal = not quiet and sys.stderr.isatty()
        self.color = self.terminal and "NO_COLOR" not in os.environ

    def say(self, line: str) -> None:
        """One line."""
        if not self.quiet:
            self.live("")
            self._say(line)

    def live(self, line: str) -> None:
        """Replace the moving line."""
        if self.terminal:
            text = f"\033[2m{line}\033[0m" if self.color and line else line
            sys.stderr.write(f"\r\033[K{text}")
            sys.stderr.flush()


def duration(seconds: float) -> str:
    """Seconds as a person says them.

    Example:
        >>> duration(42), duration(250), duration(9000)
        ('42 s', '4 min', '2.5 h')
    """
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 5400:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"


def epoch_line(row: MetricRow, epochs: int, eta: float | None = None) -> str:
    """The line of a finished epoch; what was not measured is left out.

    Example:
        >>> epoch_line({"epoch": 3, "loss": 4.2, "knn": 0.61, "images_per_second": 1234.0}, 10)
        'epoch 3/10  loss 4.200  kNN 61.0 %  1,234 images/s'
    """
    value = {name: number for name, number in row.items() if number is not None}
    parts = [f"epoch {row['epoch']}/{epochs}"]
    nats, where = value.get("nats"), "held out"
    if nats is None:
        nats, where = value.get("nats_train"), "train"
    if "loss" in value:
        parts.append(f"loss {value['loss']:.3f}")
    if nats is not None:
        ceiling = f"/{value['ceiling']:.2f}" if "ceiling" in value else ""
        parts.append(f"I_NCE {nats:.2f}{ceiling} nats ({where})")
    formats = (
        ("lr", "lr {:.2e}"),
        ("knn", "kNN {:.1%}"),
        ("linear", "linear {:.1%}"),
        ("rankme", "RankMe {:.1f}"),
        ("images_per_second", "{:,.0f} images/s"),
        ("data_wait", "data wait {:.0%}"),
        ("memory_gb", "{:.1f} GB"),
    )
    parts += [
        text.format(value[name]).replace("%", " %") for name, text in formats if name in value
    ]
    if eta is not None:
        parts.append(f"{duration(eta)} left")
    return "  ".join(parts)


class Progress(Callback):
    """The live line on a terminal, and the forecast after five steps.

    Args:
        journal: the run's journal.
        console: where to say it.
    """

    FORECAST_AFTER = 5

    def __init__(self, journal: Journal, console: Console) -> None:
        self.journal, self.console = journal, console
        self._first_step, self._steps, self._start = journal.step, 0, 0.0
        self._trained, self._shown = 0.0, 0.0

    @property
    def eta(self) -> float:
        """Seconds left, from this session's pace (evaluation included)."""
        done = self.journal.step - self._first_step
        pace = (time.perf_counter() - self._start) / max(done, 1)
        return pace * (self.journal.total - self.journal.step)

    def on_train_start(self, trainer: Trainer, method: LightningModule) -> None:
        """Start the clock."""
        self._start = time.perf_counter()

    def on_train_batch_end(
        self,
        trainer: Trainer,
        method: LightningModule,
        outputs: Outputs,
        batch: AnyBatch,
        index: int,
    ) -> None:
        """Forecast once; move the live line at most five times a second."""
        self._steps += 1
        if self._steps == 1:
            self._trained = time.perf_counter()  # the first step warms up: leave it out
        if self._steps == self.FORECAST_AFTER:
            self._forecast(method)
        if self.console.terminal and time.perf_counter() - self._shown > 0.2:
            self._shown = time.perf_counter()
            self.console.live(self._line(outputs))

    def _forecast(self, method: LightningModule) -> None:
        pace = (time.perf_counter() - self._trained) / (self.FORECAST_AFTER - 1)
        left = pace * (self.journal.total - self.journal.step)
        memory = memory_gb(method.device)
        self.console.say(f"forecast: about {duration(left)} of training, {memory:.1f} GB")

    def _line(self, outputs: Outputs) -> str:
        journal = self.journal
        pace = journal.images / max(journal.seconds, 1e-9)
        return (
            f"epoch {journal.epoch + 1}/{journal.epochs}  step {journal.batch}/{journal.per_epoch}"
            f"  loss {float(outputs['loss']):.3f}  {pace:,.0f} images/s  {duration(self.eta)} left"
        )
