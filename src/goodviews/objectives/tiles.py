"""The noise-contrastive loss a tile at a time: value and gradients in one pass over the scores.

A tile holds complete rows, some antecedents against every consequent, so the softmax of a row, its
loss and the gradient of its scores are all known while the tile is at hand. The gradients of
antecedents and consequents are summed at once and kept; nothing is computed twice.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from goodviews.objectives.fused import fuses
from goodviews.objectives.products import Products
from goodviews.objectives.softmax import FusedSoftmax, Softmax, Terms, Weights


class TiledNCE(torch.autograd.Function):
    """Loss, log posteriors (B, a, L) and mean square of the scores.

    Of antecedents (B, a, D), consequents (images, L, D), weights and :class:`Terms`.
    """

    @staticmethod
    def forward(
        ctx: Any, antecedents: Tensor, consequents: Tensor, weights: Weights, terms: Terms
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Go through the tiles."""
        with torch.autocast(antecedents.device.type, enabled=False):
            loss, log_posterior, square, grads = _stream(antecedents, consequents, weights, terms)
        ctx.save_for_backward(*grads, log_posterior)
        ctx.mark_non_differentiable(log_posterior, square)
        return loss, log_posterior, square

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor, *_: Any) -> tuple[Tensor | None, ...]:
        """Scale what the forward pass kept."""
        left, right, log_posterior = ctx.saved_tensors
        weights = -grad * log_posterior if ctx.needs_input_grad[2] else None
        return _scaled(left, grad), _scaled(right, grad), weights, None


def _scaled(kept: Tensor | None, grad: Tensor) -> Tensor | None:
    """``kept * grad``, without a copy where grad is 1 (which would cost a GPU a wait to know)."""
    if kept is None or (not grad.is_cuda and grad.item() == 1):
        return kept
    return kept * grad.to(kept.dtype)


def _stream(
    antecedents: Tensor, consequents: Tensor, weights: Weights, terms: Terms
) -> tuple[Tensor, Tensor, Tensor, list[Tensor | None]]:
    """Loss, log posteriors, mean square, and the gradients that are wanted."""
    products = Products(antecedents, consequents, terms.images, terms.wanted)
    kind = FusedSoftmax if fuses(antecedents.device) else Softmax
    softmax = kind(products, consequents.shape[1], terms)
    for start in range(0, len(antecedents), terms.images):
        tile = slice(start, start + terms.images)
        softmax(products.scores(tile, terms.scale / terms.unit), weights, start)
        products.descend(tile, softmax.slope * terms.scale)
    return *softmax.result(), products.gradients()
