"""Which images to take: a part of a set that keeps the balance of the classes."""

from __future__ import annotations

import torch
from torch import Generator, Tensor


def stratified(labels: Tensor | None, total: int, take: int, seed: int) -> Tensor:
    """Draw ``take`` of ``total`` images so that each class keeps its share.

    Args:
        labels: int64, shape (total,); None draws from all alike. -1 counts as a class.
        total: Number of images.
        take: Number to draw.
        seed: The draw is a function of it.

    Returns:
        int64, shape (take,), ascending.

    Example:
        >>> stratified(torch.tensor([0, 0, 0, 0, 1, 1]), 6, 3, seed=0).shape
        torch.Size([3])
    """
    generator = Generator().manual_seed(seed)
    shuffled = torch.randperm(total, generator=generator)
    if labels is None:
        return shuffled[:take].sort().values
    _, group, sizes = torch.unique(labels[shuffled], return_inverse=True, return_counts=True)
    by_class = torch.argsort(group, stable=True)
    first = sizes.cumsum(0) - sizes
    rank = torch.empty(total, dtype=torch.float64)
    rank[by_class] = (torch.arange(total) - first[group[by_class]]).double()
    offset = torch.rand(len(sizes), dtype=torch.float64, generator=generator)
    share = (rank + offset[group]) / sizes[group]
    return shuffled[torch.argsort(share, stable=True)[:take]].sort().values


def split(labels: Tensor | None, total: int, fraction: float, seed: int) -> tuple[Tensor, Tensor]:
    """Split ``total`` images into train and test; each has at least one image.

    Returns:
        Two ascending int64 tensors that share nothing.

    Example:
        >>> train, test = split(None, 10, 0.2, seed=0)
        >>> len(train), len(test)
        (8, 2)
    """
    take = min(max(round(total * fraction), 1), total - 1)
    test = stratified(labels, total, take, seed)
    rest = torch.ones(total, dtype=torch.bool)
    rest[test] = False
    return rest.nonzero()[:, 0], test
