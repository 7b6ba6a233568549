"""Rows of all processes, for losses whose negatives come from the whole batch."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, distributed
from torch.autograd.function import once_differentiable


def world_size() -> int:
    """The number of processes, 1 where torch.distributed is not initialised.

    Example:
        >>> world_size()
        1
    """
    if distributed.is_available() and distributed.is_initialized():
        return distributed.get_world_size()
    return 1


class _Gather(torch.autograd.Function):
    """The rows of all processes in order; backward sums their gradients over processes."""

    @staticmethod
    def forward(ctx: Any, rows: Tensor) -> Tensor:
        everyone = rows.new_empty(world_size() * len(rows), *rows.shape[1:])
        distributed.all_gather(list(everyone.chunk(world_size())), rows.contiguous())
        return everyone

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        grad = grad.clone(memory_format=torch.contiguous_format)
        distributed.all_reduce(grad)
        return grad.chunk(world_size())[distributed.get_rank()]


def gather(rows: Tensor) -> tuple[Tensor, int]:
    """The rows of all processes, and where this process's begin among them.

    Gradients flow back to the process a row came from, summed over processes. DDP then takes the
    mean over processes, which is the gradient of the mean of their losses: what one process would
    find on the whole batch.

    Args:
        rows: (n, ...), as many in every process.

    Returns:
        Rows (N, ...) and a place in them: ``rows`` itself and 0 where there is one process.

    Example:
        >>> gather(torch.ones(2))
        (tensor([1., 1.]), 0)
    """
    if world_size() == 1:
        return rows, 0
    return _Gather.apply(rows), distributed.get_rank() * len(rows)
