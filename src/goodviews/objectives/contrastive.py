"""Contrastive objectives on the projections of two views."""

from __future__ import annotations

import math
from collections.abc import Callable

from torch import Tensor, nn
from torch.nn import functional

from goodviews.bounds import infonce
from goodviews.critics import Cosine, SoftClip
from goodviews.objectives.processes import world_size
from goodviews.objectives.streaming import infonce_loss, ntxent_loss


class BoundObjective(nn.Module):
    r"""Maximises a bound on I(z1;z2) under a critic: loss = -(B(S) + B(S^T)) / 2.

    With the cosine critic and InfoNCE it is InfoMin's loss (section 2.1) read in both directions.

    Arguments:
        critic: module (z1, z2) -> scores (n, n).
        bound: scores (n, n) -> nats, see :mod:`goodviews.bounds`.

    Example:
        >>> import torch
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


class InfoNCE(BoundObjective):
    r"""InfoNCE of cosines in both directions: minus I_NCE, without the matrix of scores.

    loss = -(I_NCE(S) + I_NCE(S^T)) / 2 with S the cosine over temperature: what
    :class:`BoundObjective` finds with the cosine critic and :func:`goodviews.bounds.infonce`. The
    scores are never held at once, and the negatives come from all processes.

    Arguments:
        temperature: of the cosine.
        clip: c of a soft clip c tanh(s / c) of the scores (AMDIM), None for none.

    Raises:
        UserError: for fewer than 2 items in all.

    Example:
        >>> import torch
        >>> z = torch.eye(8)
        >>> objective = InfoNCE(0.1)
        >>> loss, nats = objective(z, z)
        >>> bool(nats <= math.log(objective.candidates(8))) and loss.item() == -nats.item()
        True
    """

    def __init__(self, temperature: float = 0.2, clip: float | None = None) -> None:
        cosine = Cosine(temperature)
        super().__init__(cosine if clip is None else SoftClip(cosine, clip), infonce)
        self.scale, self.clip = 1 / cosine.temperature, clip

    def candidates(self, n: int) -> int:
        """K of a batch of n images a process."""
        return n * world_size()

    def forward(self, z1: Tensor, z2: Tensor) -> tuple[Tensor, Tensor]:
        """Loss and nats of projections z1, z2 of shape (n, d)."""
        unit1, unit2 = (functional.normalize(z.float(), dim=1) for z in (z1, z2))
        losses = [
            infonce_loss(*pair, scale=self.scale, clip=self.clip)
            for pair in ((unit1, unit2), (unit2, unit1))
        ]
        nats = math.log(self.candidates(len(z1))) - 0.5 * (losses[0] + losses[1])
        return -nats, nats.detach()


class NTXent(nn.Module):
    r"""NT-Xent, SimCLR's loss (Chen et al. 2020, eq. 1): 2n anchors, 2n - 1 candidates each.

    loss = mean over all 2n anchors of -log[ e^{s(i, i+)} / sum_{j != i} e^{s(i, j)} ] with s the
    cosine over temperature; nats = log(2n - 1) - loss. The scores are never held at once, and the
    negatives come from all processes: n is then the images of all.

    Arguments:
        temperature: of the cosine.

    Raises:
        UserError: for fewer than 2 items in all.

    Example:
        >>> import torch
        >>> loss, nats = NTXent(0.5)(torch.ones(4, 8), torch.ones(4, 8))
        >>> round(loss.item(), 5) == round(math.log(7), 5)
        True
    """

    def __init__(self, temperature: float = 0.2) -> None:
        super().__init__()
        self.critic = Cosine(temperature)

    def candidates(self, n: int) -> int:
        """Candidates of an anchor in a batch of n images a process."""
        return 2 * n * world_size() - 1

    def forward(self, z1: Tensor, z2: Tensor) -> tuple[Tensor, Tensor]:
        """Loss and nats of projections z1, z2 of shape (n, d)."""
        unit1, unit2 = (functional.normalize(z.float(), dim=1) for z in (z1, z2))
        loss = ntxent_loss(unit1, unit2, scale=1 / self.critic.temperature)
        return loss, math.log(self.candidates(len(z1))) - loss.detach()
