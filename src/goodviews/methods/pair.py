"""Two encoders and a critic, for several seeds at once: what Tschannen et al. 2019 train."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.func import vmap

from goodviews.layers import Stacked


class Summary(nn.Module):
    """An encoder that returns its summary alone, float32 (n, d).

    Arguments:
        encoder: views (n, c, h, w) -> :class:`goodviews.interfaces.Features`.

    Example:
        >>> from goodviews.encoders import build
        >>> Summary(build("mlp", 1, (4, 4)))(torch.zeros(2, 1, 4, 4)).ndim
        2
    """

    def __init__(self, encoder: nn.Module) -> None:
        super().__init__()
        self.encoder = encoder

    def forward(self, view: Tensor) -> Tensor:
        """The summary of views (n, c, h, w)."""
        return self.encoder(view).summary.float()


class StackedPair(nn.Module):
    r"""Creates E triples of encoders g1, g2 and a critic f, run as one batched network.

    ``scores[e, i, j] = f_e(g1_e(x1[e, i]), g2_e(x2[e, j]))``, one e a seed
    (Tschannen et al. 2019, equation 4).

    Arguments:
        first: E encoders g1, views -> :class:`goodviews.interfaces.Features`.
        second: E encoders g2; None: g2 is g1.
        critics: E critics.

    Example:
        >>> from goodviews import critics, encoders
        >>> make = lambda: encoders.build("mlp", 1, (2, 4))
        >>> g1, g2 = [make() for _ in range(3)], [make() for _ in range(3)]
        >>> pair = StackedPair(g1, g2, [critics.Bilinear(g1[0].dim) for _ in range(3)])
        >>> x = torch.rand(3, 5, 1, 2, 4)
        >>> pair.scores(*pair.encode(x, x)).shape
        torch.Size([3, 5, 5])
    """

    def __init__(
        self,
        first: Sequence[nn.Module],
        second: Sequence[nn.Module] | None,
        critics: Sequence[nn.Module],
    ) -> None:
        super().__init__()
        self.shared = second is None
        self.g1 = Stacked([Summary(g) for g in first])
        self.g2 = self.g1 if second is None else Stacked([Summary(g) for g in second])
        self.critic = Stacked(critics)

    @property
    def count(self) -> int:
        """E."""
        return self.g1.count

    def encode(self, x1: Tensor, x2: Tensor) -> tuple[Tensor, Tensor]:
        """Representations z1, z2 of shape (E, n, d) of views (E, n, c, h, w)."""
        if self.shared and x1.shape[2:] == x2.shape[2:]:
            z1, z2 = self.g1(torch.cat([x1, x2], 1)).split([x1.shape[1], x2.shape[1]], 1)
            return z1, z2
        return self.g1(x1), self.g2(x2)

    def scores(self, z1: Tensor, z2: Tensor) -> Tensor:
        """Scores (E, n, m) of all pairs of z1 (E, n, d) and z2 (E, m, d)."""
        return self.critic(z1, z2)


def bound_losses(
    bound: Callable[[Tensor], Tensor], target: float | None = None
) -> Callable[[StackedPair, Tensor, Tensor], Tensor]:
    r"""What E pairs minimise: -I(S), or the distance |I(S) - t| from a target t in nats.

    Args:
        bound: scores (n, n) -> nats.
        target: t (Tschannen et al. 2019, section 3.3); None: the bound is maximised.

    Returns:
        A function of the pair and z1, z2 of shape (E, n, d) that returns losses (E,).
    """

    def losses(pair: StackedPair, z1: Tensor, z2: Tensor) -> Tensor:
        nats = vmap(bound)(pair.scores(z1, z2))
        return -nats if target is None else (nats - target).abs()

    return losses
