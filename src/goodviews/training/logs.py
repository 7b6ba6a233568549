"""Where an epoch's numbers go: metrics.csv, TensorBoard, Weights & Biases."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Protocol

from goodviews.interfaces import UserError
from goodviews.training.journal import Journal, MetricRow, write_rows


class Log(Protocol):
    """Takes the row of each epoch."""

    def write(self, row: MetricRow) -> None:
        """Take a row."""
        ...

    def close(self) -> None:
        """Nothing more will come."""
        ...


class CsvLog:
    """metrics.csv, written whole and atomically after each epoch."""

    def __init__(self, path: Path, journal: Journal) -> None:
        self.path, self.journal = path, journal

    def write(self, row: MetricRow) -> None:
        """Write all rows."""
        write_rows(self.journal.rows, self.path)

    def close(self) -> None:
        """Nothing is open."""


class TensorBoardLog:
    """Event files in ``folder``; a resumed run hides what it will do again."""

    def __init__(self, folder: Path, step: int) -> None:
        from torch.utils.tensorboard import SummaryWriter  # slow to import

        self.writer = SummaryWriter(str(folder), purge_step=step or None)

    def write(self, row: MetricRow) -> None:
        """Write the row's numbers against the step."""
        for name, value in row.items():
            if value is not None and name not in ("epoch", "step"):
                self.writer.add_scalar(name, value, row["step"])
        self.writer.flush()

    def close(self) -> None:
        """Close the event file."""
        self.writer.close()


class WandbLog:
    """Weights & Biases, offline unless WANDB_MODE says otherwise; files stay in ``folder``."""

    def __init__(self, folder: Path, config: dict[str, Any]) -> None:
        try:
            import wandb  # an optional extra
        except ImportError as error:
            line = '--log: wandb is not installed. pip install "goodviews[wandb]"'
            raise UserError(line) from error
        folder.mkdir(parents=True, exist_ok=True)
        mode = os.environ.get("WANDB_MODE", "offline")
        self.run = wandb.init(project="goodviews", dir=str(folder), config=config, mode=mode)

    def write(self, row: MetricRow) -> None:
        """Log the row's numbers against the step."""
        values = {name: value for name, value in row.items() if value is not None}
        self.run.log(values, step=int(values["step"]))

    def close(self) -> None:
        """Finish the run."""
        self.run.finish()


def open_logs(
    names: tuple[str, ...], out: Path, journal: Journal, config: dict[str, Any]
) -> list[Log]:
    """The logs ``names`` in the folder ``out``."""
    logs: list[Log] = []
    if "csv" in names:
        logs.append(CsvLog(out / "metrics.csv", journal))
    if "tensorboard" in names:
        logs.append(TensorBoardLog(out / "tensorboard", journal.step))
    if "wandb" in names:
        logs.append(WandbLog(out / "wandb", config))
    return logs
