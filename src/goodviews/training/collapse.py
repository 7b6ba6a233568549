"""Collapse of the representation: every image on one point, or on one line."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback
from torch import Tensor

from goodviews.interfaces import UserError
from goodviews.layers import evaluating
from goodviews.training.journal import Journal
from goodviews.training.stream import AnyBatch, Outputs, images_of

CONSTANT = 1e-4
"""Below this spread (`CollapseWatch`) the embeddings are one point: no run ends well with it."""


PIXELS = 1 << 20
"""About so many are looked at: an epoch of few steps on photographs should not pay for it."""


class CollapseWatch(Callback):
    """Looks at the representation of the epoch's last images for collapse to a point or a line.

    With u the representations of at most 256 images (of large ones: 32), divided
    by their norms, shape (n, d):
    ``std`` is the mean over dimensions of the standard deviation of u, times sqrt d (1 for a
    uniform sphere, 0 for a point); ``rankme`` is the effective rank of u (`effective_rank`), also
    judged after taking the mean away.

    Args:
        journal: the run's journal.
        on_collapse: "warn" or "stop".
        say: where warnings go.
    """

    LEAST_STD = 0.02
    LEAST_RANK = 1.5

    def __init__(self, journal: Journal, on_collapse: str, say: Callable[[str], None]) -> None:
        self.journal, self.on_collapse, self.say = journal, on_collapse, say
        self.images: Tensor | None = None

    def on_train_batch_end(
        self,
        trainer: Trainer,
        method: LightningModule,
        outputs: Outputs,
        batch: AnyBatch,
        index: int,
    ) -> None:
        """Keep the latest images."""
        self.images = images_of(batch)

    def on_train_epoch_end(self, trainer: Trainer, method: LightningModule) -> None:
        """Measure, and warn or stop."""
        if self.images is None:
            return
        few = max(32, min(256, PIXELS // self.images[0, 0].numel()))
        std, rank, centred = self.measure(method, self.images[:few])
        row = self.journal.pending
        if row is not None:
            row.update(std=std, rankme=rank)
        if std < self.LEAST_STD or centred < self.LEAST_RANK:
            self._tell(std, centred)

    @staticmethod
    def measure(method: LightningModule, images: Tensor) -> tuple[float, float, float]:
        """Standard deviation, effective rank, and effective rank about the mean."""
        with at_rest(method), torch.no_grad():
            u = torch.nn.functional.normalize(method(images).float(), dim=1)
        std = float(u.std(0, correction=0).mean()) * math.sqrt(u.shape[1])
        return std, effective_rank(u), effective_rank(u - u.mean(0))

    def _tell(self, std: float, rank: float) -> None:
        line = (
            f"embeddings collapse: std {std:.4f} (1 is spread out), effective rank {rank:.1f} at "
            f"epoch {self.journal.epoch}. Likely cause: views that share too little, or a "
            "learning rate too high."
        )
        if self.on_collapse == "stop":
            raise UserError(f"{line} Try weaker views or a lower --lr, or --on-collapse warn.")
        self.say(f"warning: {line} Try weaker views or a lower --lr.")


def effective_rank(rows: Tensor) -> float:
    """The exponential of the entropy of the singular values (RankMe, arXiv:2210.02885, eq. 1).

    Args:
        rows: shape (n, d).

    Example:
        >>> round(effective_rank(torch.eye(4)), 3)
        4.0
    """
    values = torch.linalg.svdvals(rows.double())
    p = values / values.sum().clamp_min(1e-300) + 1e-12
    return float(torch.exp(-(p * p.log()).sum()))


@contextmanager
def at_rest(method: LightningModule) -> Iterator[None]:
    """Eval mode and a fixed seed within; modes and random state as before after it."""
    with evaluating(method), torch.random.fork_rng():
        torch.manual_seed(0)
        yield
