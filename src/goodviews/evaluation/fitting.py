"""A small training loop for heads and whole networks that a probe trains."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn import functional


@contextmanager
def seeded(seed: int, device: torch.device) -> Iterator[None]:
    """Seed torch's global generators (initial weights, dropout) and put them back afterwards."""
    devices = [device] if device.type == "cuda" else []
    with torch.random.fork_rng(devices):
        torch.manual_seed(seed)
        yield


def train_epochs(
    net: nn.Module,
    rows: Callable[[Tensor], tuple[Tensor, Tensor]],
    count: int,
    epochs: int,
    batch_size: int,
    lr: float,
    weight_decay: float,
) -> int:
    """Train ``net`` in place with AdamW, a one-cycle rate and cross-entropy; returns the steps.

    ``rows(index)`` gives the inputs and labels of a batch; ``count`` rows are shuffled each epoch.
    A last batch of one row is left out (batch norm cannot read it).
    """
    batches = [b for b in torch.arange(count).split(batch_size) if len(b) > 1]
    steps = epochs * len(batches)
    if steps == 0:
        return 0
    optimizer = torch.optim.AdamW(net.parameters(), lr=lr, weight_decay=weight_decay)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, lr, total_steps=steps + 1)
    net.train()
    for _ in range(epochs):
        order = torch.randperm(count)
        for batch in batches:
            inputs, labels = rows(order[batch])
            optimizer.zero_grad(set_to_none=True)
            functional.cross_entropy(net(inputs), labels).backward()
            optimizer.step()
            schedule.step()
    return steps
