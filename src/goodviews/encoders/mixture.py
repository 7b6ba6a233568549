"""Mixture features: k versions of one summary, each free to explain other parts of the image."""

from __future__ import annotations

from typing import Literal, get_args

import torch
from torch import Tensor, nn

from goodviews.interfaces import UserError, check_name
from goodviews.layers import MLP

Sharing = Literal["hidden", "none"]
"""What the k networks have in common."""


class MixtureHeads(nn.Module):
    r"""The mixture network m_k: f_1 -> {f_1^1, ..., f_1^k} (Bachman et al. 2019, eq. 6).

    f_1^j = f_1 + W_j ReLU(V f_1): fully connected, one hidden ReLU layer, a residual connection
    from f_1 to each output. The paper does not say whether the outputs share the hidden layer, and
    its code for mixtures was never released, so ``sharing`` is a parameter. At the start the
    outputs are near f_1 and differ: heads that are equal have equal gradients and stay equal.

    Arguments:
        dim: width D of f_1 and of each f_1^j.
        k: number of mixture features; 1 is one residual layer on f_1.
        hidden: width of the hidden layer; None means D.
        sharing: "hidden", one V for all outputs (the literal reading: one network with k outputs),
            or "none", a V_j for each.
        spread: standard deviation of f_1^j - f_1 at the start, for f_1 of unit variance.

    Raises:
        UserError: k is below 1, or the sharing is unknown.

    Example:
        >>> MixtureHeads(8, k=3)(torch.zeros(2, 8)).shape
        torch.Size([2, 3, 8])
        >>> sum(p.numel() for p in MixtureHeads(8, k=3, sharing="none").parameters())
        432
    """

    def __init__(
        self,
        dim: int,
        k: int,
        hidden: int | None = None,
        sharing: Sharing = "hidden",
        spread: float = 0.1,
    ) -> None:
        super().__init__()
        if k < 1:
            raise UserError(f"k: {k} mixture features. Use 1 or more, for example 3.")
        check_name("sharing", sharing, get_args(Sharing))
        self.dim, self.k, hidden = dim, k, dim if hidden is None else hidden
        widths = [k * dim] if sharing == "hidden" else [dim] * k
        self.networks = nn.ModuleList(_residual(dim, hidden, width, spread) for width in widths)

    def forward(self, summary: Tensor) -> Tensor:
        """Mixture features (n, k, D) of summaries (n, D)."""
        residuals = torch.cat([network(summary) for network in self.networks], 1)
        return summary[:, None] + residuals.view(-1, self.k, self.dim)


def _residual(dim: int, hidden: int, width: int, spread: float) -> MLP:
    """W ReLU(V f) + b whose outputs have standard deviation ``spread`` for f of unit variance."""
    network = MLP([dim, hidden, width])
    first, _, last = network
    nn.init.normal_(first.weight, std=(2 / dim) ** 0.5)  # type: ignore[arg-type]
    nn.init.normal_(last.weight, std=spread / hidden**0.5)  # type: ignore[arg-type]
    for layer in (first, last):
        nn.init.zeros_(layer.bias)  # type: ignore[arg-type]
    return network
