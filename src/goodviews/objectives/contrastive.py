"""Contrastive objectives on the projections of two views."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional

from goodviews.critics import Cosine


class BoundObjective(nn.Module):
    r"""Maximises a bound on I(z1;z2) under a critic: loss = -(B(S) + B(S^T)) / 2.

    With the cosine critic and InfoNCE it is InfoMin's loss (section 2.1) read in both directions.

    Arguments:
        critic: module (z1, z2) -> scores (n, n).
        bound: scores (n, n) -> nats, see :mod:`goodviews.bounds`.

    Example:
        >>> from goodviews import bounds, critics
        >>> z = torch.eye(8)
        >>> loss, nats = BoundObjective(critics.Cosine(0.1), bounds.infonce)(z, z)
        >>> bool(nats <= math.log(8)) and loss.item() == -nats.item()
        True
    """

    def __init__(self, critic: nn.Module, bound: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.critic, self.bound = critic, bound

    def forward(self, z1: Tensor, z2: Tensor) -> tuple[Tensor, Tensor]:
        """Loss and nats of projections z1, z2 of shape (n, d)."""
        scores = self.critic(z1, z2)
        nats = 0.5 * (self.bound(scores) + self.bound(scores.T))
        return -nats, nats.detach()


class NTXent(nn.Module):
    r"""NT-Xent, SimCLR's loss (Chen et al. 2020, eq. 1): 2n anchors, 2n - 1 candidates each.

    loss = mean over all 2n anchors of -log[ e^{s(i, i+)} / sum_{j != i} e^{s(i, j)} ] with s the
    cosine over temperature; nats = log(2n - 1) - loss.

    Arguments:
        temperature: of the cosine.

    Example:
        >>> loss, nats = NTXent(0.5)(torch.ones(4, 8), torch.ones(4, 8))
        >>> round(loss.item(), 5) == round(math.log(7), 5)
        True
    """

    def __init__(self, temperature: float = 0.2) -> None:
        super().__init__()
        self.critic = Cosine(temperature)

    def forward(self, z1: Tensor, z2: Tensor) -> tuple[Tensor, Tensor]:
        """Loss and nats of projections z1, z2 of shape (n, d), n >= 2."""
        n = z1.shape[0]
        if n < 2:
            raise ValueError(f"z1: {n} item leaves no negative. Use a batch of at least 2 images.")
        z = torch.cat([z1, z2])
        scores = self.critic(z, z).fill_diagonal_(-math.inf)
        positives = torch.arange(2 * n, device=z.device).roll(n)
        loss = functional.cross_entropy(scores, positives)
        return loss, math.log(2 * n - 1) - loss.detach()
