"""Where a run stands and what it has measured: the record that all callbacks share."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import Tensor

from goodviews.files import write_text
from goodviews.interfaces import UserError

COLUMNS = (
    "epoch", "step", "loss", "lr", "nats", "ceiling", "nats_train", "knn", "linear", "rankme",
    "alignment", "uniformity", "std", "images_per_second", "data_wait", "memory_gb", "seconds",
)  # fmt: skip
"""The columns of metrics.csv; numbers with other names follow in alphabetical order."""

MONITORS = ("linear", "knn", "nats")
"""What makes a checkpoint the best: the first of these that is measured, else the least loss."""

Value = float | int | None
MetricRow = dict[str, Value]


@dataclass
class Journal:
    """Position, sums of the epoch under way, finished rows and the best of them."""

    epochs: int
    """Epochs of the whole run."""
    per_epoch: int
    """Steps an epoch."""
    total: int
    """Steps of the whole run."""
    epoch: int = 0
    batch: int = 0
    """Steps done in this epoch."""
    step: int = 0
    """Steps done in all."""
    images: int = 0
    """Images seen in this epoch."""
    seconds: float = 0.0
    """Seconds of this epoch's steps."""
    waited: float = 0.0
    """Seconds of this epoch spent waiting for data."""
    sums: dict[str, Tensor] = field(default_factory=dict)
    """Sums over this epoch's steps of what the method logs (float64)."""
    rows: list[MetricRow] = field(default_factory=list)
    pending: MetricRow | None = None
    """A finished epoch's row whose evaluation is still to come."""
    best: dict[str, Any] | None = None
    """Metric, value and epoch of the best checkpoint."""

    SAVED = (
        "epochs", "per_epoch", "total", "epoch", "batch", "step", "images", "seconds", "waited",
        "sums", "pending", "best",
    )  # fmt: skip

    @property
    def finished(self) -> bool:
        """Whether all steps are done and all epochs evaluated."""
        return self.step >= self.total and self.pending is None

    def to_dict(self) -> dict[str, Any]:
        """What a checkpoint keeps (the rows are in metrics.csv)."""
        return {name: getattr(self, name) for name in self.SAVED}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take up where the checkpoint's journal stood."""
        for name in self.SAVED:
            setattr(self, name, state[name])

    def add(self, values: Mapping[str, Tensor], images: int) -> None:
        """Count one step and what the method logged in it."""
        self.step += 1
        self.batch += 1
        self.images += images
        for name, value in values.items():
            value = value.detach().double()
            self.sums[name] = value if name not in self.sums else self.sums[name] + value

    def close_epoch(self, lr: float, memory_gb: float) -> MetricRow:
        """Turn the sums into the epoch's row and move on to the next epoch."""
        means = {name: float(total) / self.batch for name, total in self.sums.items()}
        row: MetricRow = dict.fromkeys(COLUMNS)
        row.update(means)
        row["nats_train"], row["nats"] = means.get("nats"), None
        row.update(epoch=self.epoch + 1, step=self.step, lr=lr, memory_gb=memory_gb)
        row.update(
            seconds=self.seconds,
            images_per_second=self.images / max(self.seconds, 1e-9),
            data_wait=min(1.0, self.waited / max(self.seconds, 1e-9)),
        )
        self.epoch, self.batch, self.images = self.epoch + 1, 0, 0
        self.seconds, self.waited, self.sums = 0.0, 0.0, {}
        return row

    def improves(self, row: MetricRow) -> bool:
        """Whether ``row`` is the best so far; remembers it if so."""
        names = [name for name in MONITORS if row.get(name) is not None]
        metric = names[0] if names else "loss"
        value = row.get(metric)
        if value is None or (self.best is not None and self.best["metric"] != metric != "loss"):
            better = value is not None
        elif self.best is None:
            better = True
        elif self.best["metric"] != metric:
            better = False
        else:
            sign = -1 if metric == "loss" else 1
            better = sign * value > sign * self.best["value"]
        if better:
            self.best = {"metric": metric, "value": value, "epoch": row["epoch"]}
        return better


def write_rows(rows: list[MetricRow], path: Path) -> None:
    """Write metrics.csv whole, by way of a temporary file."""
    extra = sorted({name for row in rows for name in row} - set(COLUMNS))
    text = io.StringIO()
    writer = csv.DictWriter(text, [*COLUMNS, *extra], lineterminator="\n", restval="")
    writer.writeheader()
    writer.writerows(rows)
    try:
        write_text(path, text.getvalue())
    except OSError as error:
        raise UserError(
            f"{path}: could not be written ({error.strerror}). Free some space."
        ) from error


def read_rows(path: Path, epochs: int) -> list[MetricRow]:
    """The first ``epochs`` rows of a metrics.csv; none if it is not there."""
    if not path.is_file():
        return []
    with open(path, newline="") as file:
        rows = [{k: _number(v) for k, v in row.items()} for row in csv.DictReader(file)]
    return [row for row in rows if (row["epoch"] or 0) <= epochs]


def _number(text: str) -> Value:
    if text == "":
        return None
    return int(text) if text.lstrip("-").isdigit() else float(text)
