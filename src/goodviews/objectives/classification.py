"""AMDIM's classifier loss: cross-entropy of clipped logits."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional


def clipped(logits: Tensor, clip: float | None = 10.0) -> Tensor:
    """``c tanh(logits / c)``, of the same shape; the logits themselves where ``clip`` is None."""
    return logits if clip is None else clip * torch.tanh(logits / clip)


def clipped_cross_entropy(
    logits: Tensor, labels: Tensor, clip: float | None = 10.0, penalty: float = 1e-3
) -> Tensor:
    """AMDIM's classifier loss, a scalar in nats, of logits (n, c) and labels (n,).

    ``mean(-log softmax(c tanh(logits / c))[label]) + penalty * mean(logits^2)``; with ``clip`` None
    it is plain cross-entropy. Rows labelled -1 are left out; 0 where nothing is labelled
    (Bachman et al. 2019, code).

    Example:
        >>> round(float(clipped_cross_entropy(torch.zeros(3, 4), torch.tensor([0, 1, -1]))), 4)
        1.3863
    """
    known = labels >= 0
    count = known.sum().clamp(min=1)
    ready = clipped(logits, clip)
    loss = functional.cross_entropy(ready, labels, ignore_index=-1, reduction="sum") / count
    if clip is None:
        return loss
    return loss + penalty * (logits.square().mean(1) * known).sum() / count
