"""AMDIM's transductive refresh of batch norm: running statistics of the test images."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from goodviews.evaluation.features import device_of
from goodviews.evaluation.fitting import seeded
from goodviews.interfaces import ImageSource, UserError
from goodviews.layers import evaluating


@contextmanager
def bn_refreshed(
    module: nn.Module,
    source: ImageSource,
    *,
    batches: int = 50,
    batch_size: int = 480,
    seed: int = 0,
) -> Iterator[None]:
    """Within: batch norm's running statistics of ``module`` have seen images of ``source``.

    ``batches`` batches, in as many shuffled passes as they need (incomplete ones are left out), go
    through ``module`` in train mode, without gradients; then it is in eval mode. AMDIM's released
    code does so with test images before it tests (Bachman et al. 2019, code), which makes its
    accuracy mildly transductive: report it apart. Afterwards statistics and modes are what they
    were, bit for bit.

    Args:
        module: maps uint8 images (n, c, h, w) to anything.
        source: the images; their labels are not read.
        batches: how many batches.
        batch_size: images a batch, at most as many as there are.
        seed: of the shuffles (and of dropout, where there is any).

    Raises:
        UserError: no batch norm with running statistics is passed through.

    Example:
        >>> from types import SimpleNamespace
        >>> images = torch.randint(255, (8, 3, 4, 4), dtype=torch.uint8).float()
        >>> class Toy:
        ...     def __len__(self): return 8
        ...     def images(self, index): return images[index]
        >>> net = nn.BatchNorm2d(3).eval()
        >>> with bn_refreshed(net, Toy()):
        ...     bool(net.running_mean.abs().min() > 1)
        True
        >>> net.running_mean
        tensor([0., 0., 0.])
    """
    norms = [m for m in module.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
    kept = [(buffer, buffer.clone()) for norm in norms for buffer in norm.buffers()]
    try:
        with evaluating(module):
            module.train()
            with seeded(seed, device_of(module)), torch.no_grad():
                for index in _batches(len(source), batches, batch_size, seed):
                    module(source.images(index).to(device_of(module)))
            if all(torch.equal(buffer, before) for buffer, before in kept):
                raise UserError(
                    "--bn-refresh: this encoder has no batch norm with running statistics, so "
                    "there is nothing to refresh. Leave --bn-refresh out."
                )
            module.eval()
            yield
    finally:
        for buffer, before in kept:
            buffer.copy_(before)


def _batches(count: int, batches: int, batch_size: int, seed: int) -> Iterator[Tensor]:
    """So many full batches of places, in shuffled passes."""
    generator = torch.Generator().manual_seed(seed)
    size = min(batch_size, count)
    waiting: list[Tensor] = []
    for _ in range(batches):
        if not waiting:
            order = torch.randperm(count, generator=generator)
            waiting = list(order[: count // size * size].split(size))
        yield waiting.pop()
