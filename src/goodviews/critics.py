"""Critics score every pair of a batch: rows are the first view's items, columns the second's.

``critic(z1, z2)`` with z1 (n, d) and z2 (m, d) returns scores (n, m) in float32; positives stand on
the diagonal when the rows of z1 and z2 belong together. Where ``dim`` may be a pair, the two sides
have widths of their own. The catalogue :data:`CRITICS` maps a name to a factory
``width d -> critic``.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

from goodviews.layers import MLP

BLOCK = 2**22
"""Numbers a layer may hold at once when all pairs are scored: 16 MiB in float32."""


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
        dim: width d of both inputs, or (width of x, width of y).

    Example:
        >>> sum(p.numel() for p in Bilinear(100).parameters())
        10000
        >>> Bilinear((3, 5))(torch.ones(2, 3), torch.ones(4, 5)).shape
        torch.Size([2, 4])
    """

    def __init__(self, dim: int | tuple[int, int]) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(_widths(dim)))
        nn.init.xavier_uniform_(self.weight)

    def forward(self, z1: Tensor, z2: Tensor) -> Tensor:
        """Scores (n, m) of z1 (n, d) and z2 (m, d)."""
        with torch.autocast(z1.device.type, enabled=False):
            return z1.to(self.weight.dtype) @ self.weight @ z2.to(self.weight.dtype).T


class Separable(nn.Module):
    r"""Scores f(x, y) = phi1(x)^T phi2(y) with two MLPs (paper C, section 3.1).

    With ``marginals``, f(x, y) = phi1(x)^T phi2(y) + a(x) + b(y): the critic need not spend inner
    products on what depends on one side only.

    Arguments:
        dim: width of the inputs, or (width of x, width of y).
        hidden: width of the hidden layers.
        depth: number of hidden layers.
        embed: width of phi1 and phi2; None means the width of x.
        marginals: whether to add a(x) + b(y), one more output of each MLP.
        activation: makes the non-linearity of each hidden layer.

    Example:
        >>> sum(p.numel() for p in Separable(100, 100).parameters())
        40400
        >>> critic = Separable((3, 5), embed=8, depth=2, marginals=True)
        >>> critic(torch.ones(2, 3), torch.ones(4, 5)).shape
        torch.Size([2, 4])
    """

    def __init__(
        self,
        dim: int | tuple[int, int],
        hidden: int = 128,
        depth: int = 1,
        embed: int | None = None,
        marginals: bool = False,
        activation: Callable[[], nn.Module] = nn.ReLU,
    ) -> None:
        super().__init__()
        widths = _widths(dim)
        self.embed = widths[0] if embed is None else embed
        outputs = self.embed + marginals
        self.phi1, self.phi2 = (
            MLP([width, *[hidden] * depth, outputs], activation=activation) for width in widths
        )

    def forward(self, z1: Tensor, z2: Tensor) -> Tensor:
        """Scores (n, m) of z1 (n, d) and z2 (m, d)."""
        with torch.autocast(z1.device.type, enabled=False):
            left, right = self.phi1(_as(z1, self)), self.phi2(_as(z2, self))
            scores = left[:, : self.embed] @ right[:, : self.embed].T
            if left.shape[1] > self.embed:
                scores = scores + left[:, self.embed :] + right[:, self.embed :].T
            return scores


class Concat(nn.Module):
    r"""Scores f(x, y) = MLP([x, y]), evaluated on all pairs (MINE; paper C's "MLP" critic).

    The first layer is linear, so W[x, y] = W1 x + W2 y is computed once an item, not once a pair.
    The other layers read n m pairs: above :data:`BLOCK` numbers a layer they do so a block of rows
    at a time, and each block is computed again in the backward pass instead of being kept.

    Arguments:
        dim: width d of each input, or (width of x, width of y).
        hidden: width of the hidden layers.
        depth: number of hidden layers.
        tile: rows a block; None chooses.

    Example:
        >>> sum(p.numel() for p in Concat(100, 200).parameters())
        40401
        >>> Concat((3, 5), tile=1)(torch.ones(2, 3), torch.ones(4, 5)).shape
        torch.Size([2, 4])
    """

    def __init__(
        self,
        dim: int | tuple[int, int],
        hidden: int = 128,
        depth: int = 1,
        tile: int | None = None,
    ) -> None:
        super().__init__()
        self.widths, self.tile = _widths(dim), tile
        self.first = nn.Linear(sum(self.widths), hidden)
        self.rest = nn.Sequential(nn.ReLU(), MLP([hidden] * depth + [1]))
        self.depth = depth

    def forward(self, z1: Tensor, z2: Tensor) -> Tensor:
        """Scores (n, m) of z1 (n, d) and z2 (m, d)."""
        with torch.autocast(z1.device.type, enabled=False):
            w1, w2 = self.first.weight.split(self.widths, dim=1)
            rows = functional.linear(_as(z1, self), w1, self.first.bias)
            columns = functional.linear(_as(z2, self), w2)
            if self.depth == 1 and rows.device.type == "cpu":
                last: nn.Linear = self.rest[1][0]  # type: ignore[index]
                return _ReLUPairs.apply(rows, columns, last.weight[0]) + last.bias
            return _in_tiles(self._block, rows, columns, self.tile)

    def _block(self, rows: Tensor, columns: Tensor) -> Tensor:
        return self.rest(rows[:, None] + columns[None]).squeeze(-1)


class _ReLUPairs(torch.autograd.Function):
    """scores_ij = sum_k w_k max(0, r_ik + c_jk) of rows r (n, k), columns c (m, k), w (k,).

    A few rows at a time, so that the n m k numbers in between stay in the processor's cache; they
    are computed again in the backward pass. Seven times as fast as all at once at n = m = 128,
    k = 200. Under vmap members are taken one after another.
    """

    @staticmethod
    def forward(rows: Tensor, columns: Tensor, weight: Tensor) -> Tensor:
        scores = rows.new_empty(*rows.shape[:-1], columns.shape[-2])
        for one, r, c, w in _members(scores, rows, columns, weight):
            for part, hidden in zip(one.split(_ROWS), _hidden(r, c), strict=True):
                torch.matmul(hidden, w, out=part)
        return scores

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        ctx.save_for_backward(*inputs)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, slope: Tensor) -> tuple[Tensor, ...]:
        inputs = ctx.saved_tensors
        found = tuple(torch.zeros_like(x) for x in inputs)
        for s, r, c, w, dr, dc, dw in _members(slope.contiguous(), *inputs, *found):
            pieces = zip(s.split(_ROWS), dr.split(_ROWS), _hidden(r, c), strict=True)
            for part, d_rows, hidden in pieces:
                dw += hidden.flatten(0, 1).T @ part.flatten()
                on = hidden.sign_()  # 1 where the unit is on, else 0
                d_rows.copy_(torch.bmm(part[:, None], on)[:, 0] * w)
                dc += torch.einsum("ij,ijk->jk", part, on)
            dc *= w
        return found

    @staticmethod
    def vmap(info: Any, in_dims: tuple[int | None, ...], *inputs: Tensor) -> tuple[Tensor, int]:
        size = info.batch_size
        batched = [
            x.expand(size, *x.shape) if dim is None else x.movedim(dim, 0)
            for x, dim in zip(inputs, in_dims, strict=True)
        ]
        return _ReLUPairs.apply(*batched), 0


_ROWS = 16
"""Rows whose hidden units are held at once."""


def _members(*tensors: Tensor) -> Iterator[tuple[Tensor, ...]]:
    """The members of tensors with a leading dimension, or the one there is without."""
    if tensors[1].ndim == 2:
        return iter([tensors])
    return zip(*tensors, strict=True)


def _hidden(rows: Tensor, columns: Tensor) -> Iterator[Tensor]:
    """Hidden units (16, m, k) of each block of rows."""
    for block in rows.split(_ROWS):
        yield (block[:, None] + columns).relu_()


class ConditionalGaussian(nn.Module):
    r"""Scores log q(y|x) with q(y|x) = N(mu(x), diag sigma^2(x)), mu and log sigma^2 an MLP of x.

    The matrix that :data:`goodviews.bounds.UPPER_BOUNDS` reads: row i, column j is log q(y_j|x_i).
    Fit q by maximising the mean of :meth:`log_density`. log sigma^2 stays in (-20, 20).

    Arguments:
        dim: width d of each input, or (width of x, width of y).
        hidden: width of the hidden layers.
        depth: number of hidden layers; 0 makes both linear in x.
        tile: rows a block, as in :class:`Concat`; None chooses.

    Example:
        >>> q = ConditionalGaussian((3, 2))
        >>> x, y = torch.ones(4, 3), torch.ones(4, 2)
        >>> q(x, y).shape, torch.allclose(q(x, y).diagonal(), q.log_density(x, y))
        (torch.Size([4, 4]), True)
    """

    def __init__(
        self,
        dim: int | tuple[int, int],
        hidden: int = 128,
        depth: int = 1,
        tile: int | None = None,
    ) -> None:
        super().__init__()
        (width, out), self.tile = _widths(dim), tile
        self.net = MLP([width, *[hidden] * depth, 2 * out])

    def forward(self, z1: Tensor, z2: Tensor) -> Tensor:
        """The densities log q(z2_j | z1_i), shape (n, m), of z1 (n, d_x) and z2 (m, d_y)."""
        with torch.autocast(z1.device.type, enabled=False):
            return _in_tiles(_log_normal, self._moments(z1)[:, None], _as(z2, self), self.tile)

    def log_density(self, x: Tensor, y: Tensor) -> Tensor:
        """The densities log q(y_i | x_i) of aligned pairs, shape (n,)."""
        with torch.autocast(x.device.type, enabled=False):
            return _log_normal(self._moments(x), _as(y, self))

    def _moments(self, x: Tensor) -> Tensor:
        """Mean and log variance, shape (n, 2 d_y)."""
        mean, log_variance = self.net(_as(x, self)).chunk(2, dim=1)
        return torch.cat([mean, 20.0 * torch.tanh(log_variance / 20.0)], dim=1)


def _log_normal(moments: Tensor, y: Tensor) -> Tensor:
    """Log densities (...,) of y (..., d) under moments (..., 2 d)."""
    mean, log_variance = moments.chunk(2, dim=-1)
    squares = (y - mean).square() * (-log_variance).exp()
    return -0.5 * (squares + log_variance + math.log(2 * math.pi)).sum(-1)


def _in_tiles(
    score: Callable[[Tensor, Tensor], Tensor], rows: Tensor, columns: Tensor, tile: int | None
) -> Tensor:
    """``score(rows, columns)``, a block of rows at a time, recomputed in the backward pass."""
    tile = tile or max(1, BLOCK // columns.numel())
    if tile >= len(rows):
        return score(rows, columns)
    blocks = [
        checkpoint(score, part, columns, use_reentrant=False, preserve_rng_state=False)
        for part in rows.split(tile)
    ]
    return torch.cat(blocks)


def _widths(dim: int | tuple[int, int]) -> tuple[int, int]:
    return (dim, dim) if isinstance(dim, int) else dim


def _as(z: Tensor, module: nn.Module) -> Tensor:
    """Inputs in the precision of the weights."""
    return z.to(next(module.parameters()).dtype)


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
