"""What a training run is told: one frozen record, checked before the first step."""

from __future__ import annotations

import dataclasses
import importlib.util
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from goodviews.interfaces import UserError

FREE = frozenset({"workers", "save_every", "keep", "log", "on_collapse", "device", "devices"})
"""Settings that may change between a run and its resumption: they don't change the numbers."""


@dataclass(frozen=True)
class TrainSettings:
    """Everything `fit` needs beside the method and the data.

    Example:
        >>> TrainSettings(epochs=5, batch_size=128).check().lr
        0.001
    """

    epochs: int = 100
    """Passes over the data."""
    steps: int | None = None
    """Optimiser steps; when given it takes the place of `epochs`."""
    batch_size: int = 256
    """Images a step, over all devices together."""
    lr: float = 1e-3
    """Peak learning rate, used as given: never scaled by the batch size."""
    optimizer: Literal["adamw", "adam", "lars", "sgd"] = "adamw"
    """Which optimiser: adamw, adam (AMDIM's; decay as in the gradient), lars or sgd."""
    weight_decay: float = 1e-4
    """Decay of weights; biases and norms are left alone."""
    momentum: float = 0.9
    """Momentum of sgd and lars, first beta of adamw and adam."""
    warmup_epochs: float = 1.0
    """Epochs of linear warm-up (at most half the run)."""
    warmup_steps: int | None = None
    """The same in steps; when given it takes the place of `warmup_epochs`."""
    schedule: Literal["cosine", "steps"] = "cosine"
    """After the warm-up: half a cosine to `min_lr`, or steps down at the milestones."""
    milestones: tuple[int, ...] = ()
    """Epochs after which the rate of schedule "steps" is multiplied by `decay`."""
    decay: float = 0.2
    """Factor of each milestone."""
    min_lr: float = 0.0
    """Learning rate at the end of the cosine."""
    clip: float | None = None
    """Largest gradient norm; none: no clipping."""
    precision: str = "auto"
    """auto, 32, bf16, 16, 64, or Lightning's spelling (bf16-mixed ...)."""
    compile: bool = False
    """torch.compile the encoders (slow first step, faster afterwards)."""
    device: str = "auto"
    """auto, cpu, cuda (gpu) or mps."""
    devices: int = 1
    """How many devices; this version trains on one."""
    seed: int = 0
    """Seed of data order, views and weights."""
    workers: int = 0
    """Data loading processes (0: none; data in memory need none)."""
    save_every: int = 0
    """Steps between checkpoints in mid-epoch; 0: at the end of epochs only."""
    keep: int = 0
    """Epoch checkpoints kept beside last and best; -1: all."""
    log: tuple[str, ...] = ("csv", "tensorboard")
    """Where numbers go: csv, tensorboard, wandb."""
    on_collapse: Literal["warn", "stop"] = "warn"
    """What to do when embeddings collapse to a point or a line."""
    evaluate_every: int = 1
    """Epochs between online evaluations; 0: never."""

    def check(self) -> TrainSettings:
        """Return self, or raise `UserError` for the first value that makes no sense."""
        steps_too_few = self.steps is not None and self.steps < 1
        rules: tuple[tuple[bool, str, Any, str], ...] = (
            (self.steps is None and self.epochs < 1, "epochs", self.epochs, "Use 1 or more."),
            (steps_too_few, "steps", self.steps, "Use 1 or more."),
            (self.batch_size < 2, "batch-size", self.batch_size, _NEGATIVES),
            (not 0 < self.lr < float("inf"), "lr", self.lr, "Use for example 1e-3."),
            (self.min_lr < 0 or self.min_lr > self.lr, "min-lr", self.min_lr, "Use 0 ... lr."),
            (self.weight_decay < 0, "weight-decay", self.weight_decay, "Use 0 or more."),
            (not 0 <= self.momentum < 1, "momentum", self.momentum, "Use 0 <= momentum < 1."),
            (self.warmup_epochs < 0, "warmup-epochs", self.warmup_epochs, "Use 0 or more."),
            ((self.warmup_steps or 0) < 0, "warmup-steps", self.warmup_steps, "Use 0 or more."),
            (self.schedule not in ("cosine", "steps"), "schedule", self.schedule, _SCHEDULE),
            (not 0 < self.decay <= 1, "decay", self.decay, "Use for example 0.2."),
            (
                bool(self.milestones) and self.schedule == "cosine",
                "milestones",
                list(self.milestones),
                "A cosine has none. Add --schedule steps.",
            ),
            (self.clip is not None and self.clip <= 0, "clip", self.clip, "Use for example 1."),
            (
                self.devices != 1,
                "devices",
                self.devices,
                "This version trains on one device. Use 1.",
            ),
            (self.workers < 0, "workers", self.workers, "Use 0 or more."),
            (self.save_every < 0, "save-every", self.save_every, "Use 0 or more steps."),
            (self.evaluate_every < 0, "evaluate-every", self.evaluate_every, "Use 0 or more."),
            (self.on_collapse not in ("warn", "stop"), "on-collapse", self.on_collapse, _COLLAPSE),
        )
        for broken, name, value, remedy in rules:
            if broken:
                raise UserError(f"--{name}: {value}. {remedy}")
        self._check_log()
        return self

    def _check_log(self) -> None:
        for name in self.log:
            if name not in ("csv", "tensorboard", "wandb"):
                raise UserError(f"--log: {name!r}. Use csv, tensorboard or wandb.")
        if "wandb" in self.log and importlib.util.find_spec("wandb") is None:
            raise UserError('--log: wandb is not installed. pip install "goodviews[wandb]"')

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for a checkpoint or a JSON file."""
        lists = {"log": list(self.log), "milestones": list(self.milestones)}
        return {**dataclasses.asdict(self), **lists}


_NEGATIVES = "A contrastive step needs at least 2 images."
_COLLAPSE = "Use warn or stop."
_SCHEDULE = "Use cosine or steps."


def differences(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """Lines "name: old -> new" for the settings that differ and change the numbers.

    Example:
        >>> differences({"lr": 0.1, "workers": 2}, {"lr": 0.2, "workers": 4})
        ['lr: 0.1 -> 0.2']
    """
    names = [name for name in {**before, **now} if name not in FREE]
    return [
        f"{name}: {_short(before.get(name))} -> {_short(now.get(name))}"
        for name in names
        if before.get(name) != now.get(name)
    ]


def _short(value: object) -> str:
    """In a message, the weights of a learned view are not read letter by letter."""
    text = str(value)
    return text if len(text) <= 200 else f"{text[:100]} ... ({len(text)} characters)"
