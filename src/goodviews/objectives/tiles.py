"""The noise-contrastive loss a tile at a time: value and gradients in one pass over the scores.

A tile holds complete rows, some antecedents against every consequent, so the softmax of a row, its
loss and the gradient of its scores are all known while the tile is at hand. The gradients of
antecedents and consequents are summed at once and kept; nothing is computed twice.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional

Weights = Tensor | Callable[[Tensor], Tensor]
"""(B, a, L), or a function from log posteriors (b, a, L) of some images to their weights."""

CACHE = 2**18
"""Scores whose softmax is taken at once on a CPU, so that they stay in its cache."""


def scores_a_tile(device: torch.device) -> int:
    """How many scores are held at once: 16 MiB of float32 on a CPU, 256 MiB on a GPU.

    Example:
        >>> scores_a_tile(torch.device("cpu")) == 2**22
        True
    """
    return 2**26 if device.type == "cuda" else 2**22


class Terms(NamedTuple):
    """What the loss is made of, beside antecedents, consequents and weights."""

    penalty: float
    clip: float | None
    scale: float
    first: int
    """The place of the first antecedent's image among the images of the consequents."""
    images: int
    """Images a tile."""
    wanted: tuple[bool, bool]
    """Whether antecedents and consequents need gradients."""

    @property
    def unit(self) -> float:
        """The scores are held as s / unit: 2 s / clip with a clip, s without."""
        return 1.0 if self.clip is None else 0.5 * self.clip


class TiledNCE(torch.autograd.Function):
    """Loss, log posteriors (B, a, L) and mean square of the scores.

    Of antecedents (B, a, D), consequents (images, L, D), weights and :class:`Terms`.
    """

    @staticmethod
    def forward(
        ctx: Any, antecedents: Tensor, consequents: Tensor, weights: Weights, terms: Terms
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Go through the tiles."""
        low = antecedents.dtype == consequents.dtype == torch.bfloat16
        with torch.autocast(antecedents.device.type, enabled=False), _bf16_products(low):
            loss, log_posterior, square, grads = _stream(antecedents, consequents, weights, terms)
        ctx.save_for_backward(*grads, log_posterior)
        ctx.mark_non_differentiable(log_posterior, square)
        return loss, log_posterior, square

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor, *_: Any) -> tuple[Tensor | None, ...]:
        """Scale what the forward pass kept."""
        left, right, log_posterior = ctx.saved_tensors
        return (
            None if left is None else left * grad.to(left.dtype),
            None if right is None else right * grad.to(right.dtype),
            -grad * log_posterior if ctx.needs_input_grad[2] else None,
            None,
        )


@contextmanager
def _bf16_products(wanted: bool) -> Iterator[None]:
    """Let float32 products on a CPU read their factors as bf16: exact for factors that are bf16."""
    matmul = torch.backends.mkldnn.matmul  # type: ignore[attr-defined]
    before = matmul.fp32_precision
    if wanted:
        matmul.fp32_precision = "bf16"
    try:
        yield
    finally:
        matmul.fp32_precision = before


def _stream(
    antecedents: Tensor, consequents: Tensor, weights: Weights, terms: Terms
) -> tuple[Tensor, Tensor, Tensor, list[Tensor | None]]:
    """Loss, log posteriors, mean square, and the gradients that are wanted."""
    (b, a, width), locations = antecedents.shape, consequents.shape[1]
    double = torch.float64 in (antecedents.dtype, consequents.dtype)
    right = consequents.reshape(-1, width).to(torch.float64 if double else torch.float32)
    softmax = _Softmax(terms, right, b, a, locations)
    left_grad = torch.empty_like(antecedents) if terms.wanted[0] else None
    right_grad = torch.zeros_like(right) if terms.wanted[1] else None
    buffer = right.new_empty(terms.images * a, len(right))
    for start in range(0, b, terms.images):
        tile = slice(start, start + terms.images)
        left = antecedents[tile].reshape(-1, width).to(right.dtype)
        scores = buffer[: len(left)]
        torch.addmm(scores, left, right.T, beta=0, alpha=terms.scale / terms.unit, out=scores)
        softmax(scores.view(-1, a, len(right)), weights, start)
        if left_grad is not None:
            product = (scores @ right).mul_(softmax.slope * terms.scale)
            left_grad[tile] = product.view(-1, a, width)
        if right_grad is not None:
            right_grad.addmm_(scores.T, left, alpha=softmax.slope * terms.scale)
    if right_grad is not None:
        right_grad = right_grad.view(consequents.shape).to(consequents.dtype)
    return *softmax.result(), [left_grad, right_grad]


class _Softmax:
    """Turns tiles of scores into their gradients, and gathers loss and log posteriors."""

    def __init__(self, terms: Terms, right: Tensor, b: int, a: int, locations: int) -> None:
        self.terms, self.locations, self.count = terms, locations, b * a * len(right)
        # gradients of scores are held in units of the penalty's slope, where its share is s / unit
        self.slope = 2 * terms.penalty * terms.unit / self.count or 1 / self.count
        self.size = terms.images if right.is_cuda else max(1, CACHE // (a * len(right)))
        self.log_posterior = right.new_empty(b, a, locations)
        self.loss = self.square = torch.zeros((), dtype=torch.float64, device=right.device)
        self.scratch = right.new_empty(2, min(self.size, terms.images), a, len(right))

    def result(self) -> tuple[Tensor, Tensor, Tensor]:
        """Loss, log posteriors, mean square of the scores."""
        square = self.square * (self.terms.unit**2 / self.count)
        loss = self.loss + self.terms.penalty * square
        dtype = self.log_posterior.dtype
        return loss.to(dtype), self.log_posterior, square.to(dtype)

    def __call__(self, scores: Tensor, weights: Weights, start: int) -> None:
        """Read scores / unit, (images, a, N), of images from ``start`` on, a part at a time."""
        for part in scores.split(self.size):
            found = slice(start, start + len(part))
            self._part(part, weights if callable(weights) else weights[found], found)
            start = found.stop

    def _part(self, scores: Tensor, weights: Weights, found: slice) -> None:
        squashed, noise = self.scratch[:, : len(scores)]
        flat = scores.view(-1)
        self.square = self.square + torch.dot(flat, flat)
        clip = self.terms.clip
        if clip is None:
            squashed.copy_(scores)
        else:  # clip tanh(s / clip) + clip: a softmax does not see the constant
            torch.sigmoid(scores, out=squashed).mul_(2 * clip)
        own = self._own(squashed, found.start)
        positives = own.clone()
        own.fill_(-math.inf)
        torch.softmax(squashed, -1, out=noise)
        log_noise = squashed.amax(-1, keepdim=True) - noise.amax(-1, keepdim=True).log()
        odds = log_noise - positives
        logs = self.log_posterior[found] = functional.logsigmoid(-odds)
        weights = (weights(logs) if callable(weights) else weights).to(logs.dtype)
        self.loss = self.loss - (weights * logs).sum()
        if any(self.terms.wanted):
            pull = weights * odds.sigmoid() / self.slope
            self._gradient(scores, squashed, noise, pull, positives, found.start)

    def _gradient(
        self,
        scores: Tensor,
        squashed: Tensor,
        noise: Tensor,
        pull: Tensor,
        positives: Tensor,
        start: int,
    ) -> None:
        """Replace the scores by the loss's gradient with respect to them, divided by the slope."""
        own, push = self._own(scores, start), pull.sum(-1, keepdim=True)
        clip = self.terms.clip
        if clip is not None:  # 1 - tanh^2 = 4 sigmoid (1 - sigmoid)
            noise.mul_(squashed.addcmul_(squashed, squashed, value=-0.5 / clip))
            push = push * (2 / clip)
            pull = pull * (positives * (1 - positives * (0.5 / clip))) * (2 / clip)
        if self.terms.penalty:
            pulled = own - pull
            scores.addcmul_(noise, push)
        else:
            pulled = -pull
            torch.mul(noise, push, out=scores)
        own.copy_(pulled)

    def _own(self, scores: Tensor, start: int) -> Tensor:
        """The scores (b, a, L) of the antecedents with the locations of their own image."""
        images = scores.unflatten(-1, (-1, self.locations))
        return images.diagonal(self.terms.first + start, 0, 2).permute(2, 0, 1)
