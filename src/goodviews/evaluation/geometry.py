"""What can be seen of a representation without labels: rank, alignment, uniformity, collapse."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional

COLLAPSED_STD = 0.02
"""Below this :func:`embedding_std` all directions coincide within about a degree."""


def rankme(z: Tensor, *, epsilon: float = 1e-7) -> float:
    """Effective rank of representations z, shape (n, d): between 1 and min(n, d), no unit.

    ``exp(-sum_k p_k log p_k)`` with ``p_k = sigma_k / sum(sigma) + epsilon`` over the singular
    values of z, not centred (RankMe, Garrido et al. 2023, equations 1-2).

    Example:
        >>> round(rankme(torch.eye(8)), 3)
        8.0
    """
    x = z.detach().to("cpu", torch.float64).flatten(1)
    gram = x.T @ x if x.shape[0] > x.shape[1] else x @ x.T
    sigma = torch.linalg.eigvalsh(gram).clamp_min(0).sqrt()
    total = sigma.sum()
    if total <= 0:
        return 1.0
    p = sigma / total + epsilon
    return float(torch.exp(-(p * p.log()).sum()))


def alignment(z1: Tensor, z2: Tensor) -> float:
    """Mean squared distance of positive pairs on the unit sphere: 0 (same) to 4 (opposite).

    ``mean_i ||z1_i / |z1_i| - z2_i / |z2_i|||^2`` for z1, z2 of shape (n, d)
    (Wang & Isola 2020, section 4).

    Example:
        >>> alignment(torch.eye(3), 5 * torch.eye(3))
        0.0
    """
    a, b = _normalised(z1), _normalised(z2)
    return float((a - b).square().sum(1).mean())


def uniformity(z: Tensor, *, t: float = 2.0, chunk: int = 2048) -> float:
    """How evenly z, shape (n, d), fills the unit sphere: 0 (one point) down to about -2 t.

    ``log mean_{i<j} exp(-t ||z_i - z_j||^2)`` over all pairs of normalised rows
    (Wang & Isola 2020, section 4), exact, computed in chunks of rows; less is more even.

    Raises:
        ValueError: Fewer than two rows.

    Example:
        >>> round(uniformity(torch.eye(4)), 4)
        -4.0
    """
    x = _normalised(z)
    n = len(x)
    if n < 2:
        raise ValueError(f"uniformity: {n} row. Two rows or more make a pair.")
    total = 0.0
    for start in range(0, n, chunk):
        rows = x[start : start + chunk]
        kernel = torch.exp(2 * t * (rows @ x.T - 1)).double()
        own = kernel[torch.arange(len(rows)), torch.arange(start, start + len(rows))]
        total += float(kernel.sum() - own.sum())
    return math.log(max(total / (n * (n - 1)), math.exp(-4 * t)))


def embedding_std(z: Tensor) -> float:
    """Spread of normalised z, shape (n, d): 1 = isotropic, 0 = every image at one point.

    ``sqrt(d) * mean_k std_i(z_ik / |z_i|)`` (SimSiam, Chen & He 2021, section 4.1).

    Example:
        >>> embedding_std(torch.ones(10, 4))
        0.0
    """
    x = _normalised(z)
    return float(x.std(0, correction=0).mean()) * math.sqrt(x.shape[1])


def collapsed(z: Tensor) -> bool:
    """Whether all rows of z, shape (n, d), point the same way, are zero or are not finite.

    Example:
        >>> collapsed(torch.ones(10, 4)), collapsed(torch.eye(4))
        (True, False)
    """
    if not bool(torch.isfinite(z).all()):
        return True
    return embedding_std(z) < COLLAPSED_STD


def _normalised(z: Tensor) -> Tensor:
    return functional.normalize(z.detach().float().flatten(1), dim=1)
