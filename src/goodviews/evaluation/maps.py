"""Where images lie in a representation: a flat map and nearest neighbours, for the pages."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional


def pca_2d(z: Tensor) -> Tensor:
    """The first two principal components of z, shape (n, d) -> (n, 2); the same on every run.

    An axis is turned so that its largest loading (in absolute value) is positive; axes that do
    not exist (one feature, one image) are zero.

    Example:
        >>> pca_2d(torch.tensor([[0.0, 0.0], [2.0, 0.0], [4.0, 0.0]])).tolist()
        [[-2.0, 0.0], [0.0, 0.0], [2.0, 0.0]]
    """
    x = z.detach().to("cpu", torch.float64).flatten(1)
    x = x - x.mean(0)
    axes = torch.linalg.svd(x, full_matrices=False).Vh[:2]
    largest = axes.gather(1, axes.abs().argmax(1, keepdim=True))
    flat = x @ (axes * torch.where(largest < 0, -1.0, 1.0)).T
    return functional.pad(flat, (0, 2 - flat.shape[1])).float()


def neighbours(z_query: Tensor, z_bank: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """Places in ``z_bank`` (m, d) of the k nearest to each of ``z_query`` (n, d), and cosines.

    Both have shape (n, min(k, m)), nearest first. Querying a bank with itself gives each image
    itself first.

    Example:
        >>> neighbours(torch.eye(2), torch.eye(2), 1)[0].tolist()
        [[0], [1]]
    """
    bank = functional.normalize(z_bank.detach().float(), dim=1)
    k = min(k, len(bank))
    pieces = [
        (functional.normalize(rows, dim=1) @ bank.T).topk(k, dim=1)
        for rows in z_query.detach().float().split(1024)
    ]
    return torch.cat([p.indices for p in pieces]), torch.cat([p.values for p in pieces])
