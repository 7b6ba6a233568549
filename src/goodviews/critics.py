"""Critics score every pair of a batch: rows are the first view's items, columns the second's.

``critic(z1, z2)`` with z1 (n, d) and z2 (m, d) returns scores (n, m) in float32; positives stand on
the diagonal when the rows of z1 and z2 belong together. The catalogue :data:`CRITICS` maps a name
to a factory ``width d -> critic``.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional

from goodviews.layers import MLP


class InnerProduct(nn.Module):
    """Scores f(x, y) = x^T y (paper C, section 3.1; no parameters).

    Example:
        >>> InnerProduct()(torch.eye(2), torch.eye(2)).diagonal().tolist()
        [1.0, 1.0]
    """

    def forward(self, z1: Tensor, z2: Tensor) -> Tensor:
        """Scores (n, m) of z1 (n, d) and z2 (m, d)."""
        with torch.autocast(z1.device.type, enabled=False):
            return z1.float() @ z2.float().T


class Cosine(nn.Module):
    r"""Scores f(x, y) = cos(x, y) / temperature (SimCLR, InfoMin: h in section 2.1).

    Arguments:
        temperature: divides the cosines; the scores lie in [-1/temperature, 1/temperature], so
            I_NCE with K candidates cannot exceed log K - log(1 + (K-1) exp(-2/temperature)).

    Example:
        >>> z = torch.tensor([[3.0, 0.0], [0.0, 2.0]])
        >>> Cosine(temperature=0.5)(z, z)
        tensor([[2., 0.],
                [0., 2.]])
    """

    def __init__(self, temperature: float = 0.2) -> None:
        super().__init__()
        if temperature <= 0:
            raise ValueError(f"temperature: {temperature} must be > 0.")
        self.temperature = temperature

    def forward(self, z1: Tensor, z2: Tensor) -> Tensor:
        """Scores (n, m) of z1 (n, d) and z2 (m, d)."""
        with torch.autocast(z1.device.type, enabled=False):
            unit1, unit2 = (functional.normalize(z.float(), dim=1) for z in (z1, z2))
            return unit1 @ unit2.T / self.temperature


class Bilinear(nn.Module):
    r"""Scores f(x, y) = x^T W y (CPC; paper C, section 3.1), W Glorot-uniform, no bias.

    Arguments:
        dim: width d of both inputs.

    Example:
        >>> sum(p.numel() for p in Bilinear(100).parameters())
        10000
    """

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(dim, dim))
        nn.init.xavier_uniform_(self.weight)

    def forward(self, z1: Tensor, z2: Tensor) -> Tensor:
        """Scores (n, m) of z1 (n, d) and z2 (m, d)."""
        with torch.autocast(z1.device.type, enabled=False):
            return z1.float() @ self.weight @ z2.float().T


class Separable(nn.Module):
    r"""Scores f(x, y) = phi1(x)^T phi2(y) with two MLPs (paper C, section 3.1).

    Arguments:
        dim: width of the inputs, and of both outputs.
        hidden: width of the hidden layers.

    Example:
        >>> sum(p.numel() for p in Separable(100, 100).parameters())
        40400
    """

    def __init__(self, dim: int, hidden: int = 128) -> None:
        super().__init__()
        self.phi1, self.phi2 = MLP([dim, hidden, dim]), MLP([dim, hidden, dim])

    def forward(self, z1: Tensor, z2: Tensor) -> Tensor:
        """Scores (n, m) of z1 (n, d) and z2 (m, d)."""
        with torch.autocast(z1.device.type, enabled=False):
            return self.phi1(z1.float()) @ self.phi2(z2.float()).T


class Concat(nn.Module):
    r"""Scores f(x, y) = MLP([x, y]), evaluated on all pairs (MINE; paper C's "MLP" critic).

    The first layer is linear, so W[x, y] = W1 x + W2 y is computed once an item, not once a pair.

    Arguments:
        dim: width d of each input.
        hidden: width of the hidden layer.
        depth: number of hidden layers.

    Example:
        >>> sum(p.numel() for p in Concat(100, 200).parameters())
        40401
    """

    def __init__(self, dim: int, hidden: int = 128, depth: int = 1) -> None:
        super().__init__()
        self.dim = dim
        self.first = nn.Linear(2 * dim, hidden)
        self.rest = nn.Sequential(nn.ReLU(), MLP([hidden] * depth + [1]))

    def forward(self, z1: Tensor, z2: Tensor) -> Tensor:
        """Scores (n, m) of z1 (n, d) and z2 (m, d)."""
        with torch.autocast(z1.device.type, enabled=False):
            w1, w2 = self.first.weight.split(self.dim, dim=1)
            rows = functional.linear(z1.float(), w1, self.first.bias)
            columns = functional.linear(z2.float(), w2)
            return self.rest(rows[:, None] + columns[None]).squeeze(-1)


class SoftClip(nn.Module):
    r"""Wraps a critic: s' = c tanh(s / c) limits scores to (-c, c) (AMDIM, section 3.2).

    Arguments:
        critic: whose scores are clipped.
        clip: c, AMDIM's 20.

    Example:
        >>> SoftClip(InnerProduct(), clip=20.0)(torch.tensor([[1e3]]), torch.tensor([[1.0]])).item()
        20.0
    """

    def __init__(self, critic: nn.Module, clip: float = 20.0) -> None:
        super().__init__()
        self.critic, self.clip = critic, clip

    def forward(self, z1: Tensor, z2: Tensor) -> Tensor:
        """Clipped scores (n, m)."""
        return self.clip * torch.tanh(self.critic(z1, z2) / self.clip)


class Scaled(nn.Module):
    r"""Wraps a critic: scores are multiplied by a number, AMDIM's 1/sqrt(d) by default.

    Arguments:
        critic: whose scores are scaled.
        scale: the factor; None means 1/sqrt(d).

    Example:
        >>> Scaled(InnerProduct())(torch.ones(1, 4), torch.ones(1, 4)).item()
        2.0
    """

    def __init__(self, critic: nn.Module, scale: float | None = None) -> None:
        super().__init__()
        self.critic, self.scale = critic, scale

    def forward(self, z1: Tensor, z2: Tensor) -> Tensor:
        """Scaled scores (n, m)."""
        scale = z1.shape[1] ** -0.5 if self.scale is None else self.scale
        return self.critic(z1, z2) * scale


CRITICS: dict[str, Callable[[int], nn.Module]] = {
    "inner-product": lambda dim: Scaled(InnerProduct()),
    "cosine": lambda dim: Cosine(),
    "bilinear": Bilinear,
    "separable": Separable,
    "concat": Concat,
}
