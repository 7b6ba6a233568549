"""Train a method on one graph, on neighbour samples of a large one, or on many graphs."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback
from torch import Tensor
from torch_geometric.data import Data

from goodviews.interfaces import Interrupted, UserError
from goodviews.training.callbacks import Measure, Prepare
from goodviews.training.closing import Checkpoints, Evaluator, Pause
from goodviews.training.console import Console, Progress, Say, epoch_line
from goodviews.training.fit import _Run
from goodviews.training.graphs_batches import (
    GraphBatch,
    NeighbourSampler,
    SampledNodes,
    WholeGraph,
    loader_of,
)
from goodviews.training.journal import MetricRow
from goodviews.training.logs import CsvLog, Log
from goodviews.training.settings import TrainSettings

__all__ = ["GraphBatch", "GraphSettings", "NeighbourSampler", "fit_graphs", "loader_of"]


@dataclass(frozen=True)
class GraphSettings(TrainSettings):
    """What :func:`fit_graphs` needs; the defaults are those of the graph papers: Adam, no schedule.

    Example:
        >>> GraphSettings(epochs=200, lr=5e-4, weight_decay=1e-5).check().optimizer
        'adam'
    """

    epochs: int = 200
    """Passes over the graph, or over the graphs."""
    batch_size: int = 128
    """Graphs a step; with `fan_out`, nodes a step. One whole graph is one batch."""
    optimizer: Any = "adam"
    """Which optimiser: adamw, adam, lars or sgd."""
    weight_decay: float = 0.0
    """Decay of weights; biases and norms are left alone."""
    warmup_epochs: float = 0.0
    """Epochs of linear warm-up."""
    schedule: Any = "steps"
    """A constant rate, or steps down at the milestones; or cosine."""
    precision: str = "32"
    """32, bf16, 16, 64 or auto."""
    log: tuple[str, ...] = ("csv",)
    """Where numbers go: csv, tensorboard, wandb."""
    fan_out: tuple[int, ...] = ()
    """Neighbours sampled of a node, hop by hop; (): the whole graph at once."""
    patience: int = 0
    """Epochs without a lower loss after which training stops; 0: never. The weights of the lowest
    loss are kept (DGI: 20)."""

    def check(self) -> GraphSettings:
        """Return self, or raise `UserError` for the first value that makes no sense."""
        super().check()
        if self.patience < 0:
            raise UserError(f"--patience: {self.patience}. Use 0 or more epochs.")
        if any(k < 1 for k in self.fan_out):
            raise UserError(f"--fan-out: {list(self.fan_out)}. Use 1 or more, such as 10 10.")
        return self

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for a checkpoint or a JSON file."""
        return {**super().to_dict(), "fan_out": list(self.fan_out)}


def fit_graphs(
    method: LightningModule,
    graphs: Data | Sequence[Data],
    settings: GraphSettings | None = None,
    out: str | Path | None = None,
    *,
    nodes: Tensor | None = None,
    resume: bool = False,
    config: Mapping[str, Any] | None = None,
    quiet: bool | None = None,
    say: Say | None = None,
) -> list[MetricRow]:
    """Train ``method`` on a graph, or on many.

    The method's ``training_step`` takes a :class:`GraphBatch`, returns the loss and logs what it
    measured; ``method.prepare(graph)`` is called before there is an optimiser. What is drawn at
    random is a function of seed, epoch and step: a run that was killed or interrupted resumes to
    the same weights, on a CPU bit for bit.

    Args:
        method: changed in place, left on the CPU in eval mode.
        graphs: one graph (whole, or sampled with ``settings.fan_out``), or several.
        settings: the defaults if None.
        out: folder for checkpoints/last.ckpt and metrics.csv; None writes nothing.
        nodes: int64 (m,), the nodes of the one graph that are contrasted; None: all.
        resume: go on from ``out``/checkpoints/last.ckpt.
        config: more plain settings to compare when resuming.
        quiet: print nothing; the default is to be quiet when ``out`` is None.
        say: takes the printed lines; standard output if None.

    Returns:
        One row an epoch, as in metrics.csv: epoch, step, loss, lr, nats_train, ceiling, seconds ...

    Raises:
        UserError: settings, graphs, disk or a checkpoint that cannot be; a loss or weight that is
            not finite.
        Interrupted: at Ctrl-C or SIGTERM, where ``out`` is given: what there was is saved.

    Example:
        >>> from goodviews.methods.graphs import dgi
        >>> graph = Data(x=torch.eye(4), edge_index=torch.tensor([[0, 1, 2, 3], [1, 0, 3, 2]]))
        >>> method = dgi(None, "gcn", 4, dim=8)
        >>> [row["epoch"] for row in fit_graphs(method, graph, GraphSettings(epochs=2))]
        [1, 2]
    """
    settings = (settings or GraphSettings()).check()
    loader = loader_of(graphs, settings, nodes)
    if hasattr(method, "prepare") and isinstance(loader, WholeGraph | SampledNodes):
        method.prepare(loader.graph)  # type: ignore[operator]
    console = Console(out is None if quiet is None else quiet, say)
    run = _GraphRun(method, loader, settings, Path(out) if out else None, config or {}, console)
    state = run.open(resume)
    if run.journal.finished or run.patience.stopped:
        console.say(f"{out}: the run is finished ({run.journal.step} steps); nothing to do.")
        method.eval()
        return run.journal.rows
    result = run.train(state, (), ())
    if result.interrupted is not None:
        raise Interrupted(128 + result.interrupted, f"the same call with resume, in {out}")
    return result.history


class _GraphRun(_Run):
    """A run of `fit` without what only images have, with patience."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.patience = Patience(getattr(self.settings, "patience", 0))
        if self.checkpoints is not None:
            self.checkpoints = _PatientCheckpoints(self.checkpoints, self.patience)

    def open(self, resume: bool) -> dict[str, Any] | None:
        """Restore weights, journal and patience of the run in ``out``."""
        state = super().open(resume)
        if state is not None:
            self.patience.restore(state["patience"])
        return state

    def _announce(self) -> None:
        s, journal = self.settings, self.journal
        self.console.say(
            f"training: {journal.epochs} epochs x {journal.per_epoch} steps on {self.loader}, "
            f"{s.optimizer} lr {s.lr:g}, seed {s.seed}, {self.precision} on {self.accelerator}"
        )
        if journal.step:
            self.console.say(f"resumed: epoch {journal.epoch + 1}, step {journal.step}")

    def _callbacks(
        self,
        state: Mapping[str, Any] | None,
        evaluators: Sequence[Evaluator],
        logs: Sequence[Log],
    ) -> list[Callback]:
        progress = Progress(self.journal, self.console)
        return [
            Prepare(self.settings, self.journal, state),
            Measure(self.journal),
            progress,
            _Close(self, logs, progress),
            Pause(self.journal, self.settings.save_every, self.checkpoints, self.signals),
        ]


class Patience:
    """Stops after so many epochs without a lower loss, and keeps the weights of the lowest.

    Args:
        epochs: how many; 0: never, and nothing is kept.

    Example:
        >>> patience, layer = Patience(2), torch.nn.Linear(1, 1)
        >>> [patience.update(loss, layer) for loss in (3.0, 2.0, 2.5, 2.0)]
        [False, False, False, True]
    """

    SAVED = ("least", "waited", "stopped", "weights")

    def __init__(self, epochs: int) -> None:
        self.epochs = epochs
        self.least, self.waited, self.stopped = math.inf, 0, False
        self.weights: dict[str, Tensor] = {}

    def update(self, loss: float, module: torch.nn.Module) -> bool:
        """Take an epoch's loss; whether to stop."""
        if not self.epochs:
            return False
        if loss < self.least:
            self.least, self.waited = loss, 0
            self.weights = {k: v.detach().clone() for k, v in module.state_dict().items()}
        else:
            self.waited += 1
        self.stopped = self.waited >= self.epochs
        return self.stopped

    def give_back(self, module: torch.nn.Module) -> None:
        """Put the kept weights into ``module``."""
        if self.weights:
            module.load_state_dict(self.weights)

    def to_dict(self) -> dict[str, Any]:
        """What a checkpoint keeps."""
        return {name: getattr(self, name) for name in self.SAVED}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take up where the checkpoint stood."""
        for name in self.SAVED:
            setattr(self, name, state[name])


class _PatientCheckpoints(Checkpoints):
    """Checkpoints that know of the patience, with metrics.csv written beside each."""

    def __init__(self, plain: Checkpoints, patience: Patience) -> None:
        super().__init__(plain.folder, plain.journal, plain.settings, plain.config)
        self.patience = patience

    def state(self, trainer: Trainer, method: LightningModule) -> dict[str, Any]:
        """All that a resumed run needs."""
        return {**super().state(trainer, method), "patience": self.patience.to_dict()}

    def save(self, trainer: Trainer, method: LightningModule, best: bool = False) -> None:
        """Write metrics.csv, then last.ckpt."""
        CsvLog(self.folder.parent / "metrics.csv", self.journal).write({})
        super().save(trainer, method)


class _Close(Callback):
    """Closes each epoch: its row, patience, a checkpoint now and then, a line."""

    EVERY = 30.0
    """Seconds between checkpoints at the ends of epochs."""

    def __init__(self, run: _GraphRun, logs: Sequence[Log], progress: Progress) -> None:
        self.run, self.progress = run, progress
        self.logs = [log for log in logs if not isinstance(log, CsvLog)]
        self._saved = time.perf_counter()

    def on_train_epoch_end(self, trainer: Trainer, method: LightningModule) -> None:
        """Take the row that `Measure` has closed."""
        run, journal = self.run, self.run.journal
        row, journal.pending = journal.pending, None
        assert row is not None
        row["items_per_second"] = row.pop("images_per_second")
        row["images_per_second"] = None
        journal.rows.append(row)
        for log in self.logs:
            log.write(row)
        last = run.patience.update(float(row["loss"] or 0.0), method) or journal.finished
        if last or journal.epoch % max(1, journal.epochs // 10) == 0:
            run.console.say(epoch_line(row, journal.epochs, self.progress.eta))
        if last:
            trainer.should_stop = True
            return
        stopped = run.signals.received is not None
        if stopped or time.perf_counter() - self._saved > self.EVERY:
            self._save(trainer, method)
        run.signals.check()

    def on_train_end(self, trainer: Trainer, method: LightningModule) -> None:
        """Give the weights of the lowest loss back, and save them."""
        self.run.patience.give_back(method)
        self._save(trainer, method)

    def _save(self, trainer: Trainer, method: LightningModule) -> None:
        if self.run.checkpoints is not None:
            self.run.checkpoints.save(trainer, method)
        self._saved = time.perf_counter()
