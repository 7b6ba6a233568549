"""Objectives with a state or a network of their own: MINE and FLO. The loss is not the value."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from goodviews.bounds import donsker_varadhan, flo, mine, moving_log_average
from goodviews.layers import MLP


class MINE(nn.Module):
    r"""Climbs I_DV with MINE's corrected gradient (Belghazi et al. 2018, section 3.2).

    loss = -(P - <e^s> / average), where the running mean of e^s is a buffer, moved in training
    mode only; nats = I_DV of the batch. The loss is not minus the nats.

    Arguments:
        critic: module (z1, z2) -> scores (n, n).
        rate: weight of a new batch in the running mean, in (0, 1].

    Example:
        >>> from goodviews.critics import InnerProduct
        >>> loss, nats = MINE(InnerProduct())(torch.zeros(4, 2), torch.zeros(4, 2))
        >>> loss.item(), nats.item()
        (1.0, 0.0)
    """

    log_average: Tensor

    def __init__(self, critic: nn.Module, rate: float = 0.01) -> None:
        super().__init__()
        if not 0 < rate <= 1:
            raise ValueError(f"rate: {rate} is not in (0, 1]. Use for example 0.01.")
        self.critic, self.rate = critic, rate
        self.register_buffer("log_average", torch.tensor(torch.nan))

    def forward(self, z1: Tensor, z2: Tensor) -> tuple[Tensor, Tensor]:
        """Loss and nats of projections z1, z2 of shape (n, d)."""
        scores = self.critic(z1, z2)
        first = bool(self.log_average.isnan())
        average = moving_log_average(None if first else self.log_average, scores, self.rate)
        if self.training:
            self.log_average.copy_(average)
        return -mine(scores, average), donsker_varadhan(scores).detach()


class FLO(nn.Module):
    r"""Climbs the Fenchel-Legendre bound with a second network u(x, y) (Guo et al. 2022).

    loss = -I_FLO, nats = I_FLO; u is an MLP of [x, y] on aligned pairs.

    Arguments:
        critic: module (z1, z2) -> scores (n, n).
        dim: width d of both inputs, or (width of x, width of y).
        hidden: width of the hidden layer of u.

    Example:
        >>> from goodviews.critics import InnerProduct
        >>> loss, nats = FLO(InnerProduct(), dim=2)(torch.zeros(4, 2), torch.zeros(4, 2))
        >>> loss.item() == -nats.item()
        True
    """

    def __init__(self, critic: nn.Module, dim: int | tuple[int, int], hidden: int = 128) -> None:
        super().__init__()
        self.critic = critic
        self.u = MLP([2 * dim if isinstance(dim, int) else sum(dim), hidden, 1])

    def forward(self, z1: Tensor, z2: Tensor) -> tuple[Tensor, Tensor]:
        """Loss and nats of projections z1, z2 of shape (n, d)."""
        with torch.autocast(z1.device.type, enabled=False):
            u = self.u(torch.cat([z1.float(), z2.float()], dim=1)).squeeze(1)
        nats = flo(self.critic(z1, z2), u)
        return -nats, nats.detach()
