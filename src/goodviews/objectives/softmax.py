"""The softmax of a tile of scores: loss and log posteriors, and the gradient of the scores."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from goodviews.objectives import fused
from goodviews.objectives.products import Products

Weights = Tensor | float | Callable[[Tensor], Tensor]
"""(B, a, L), or one for all, or a function from the log posteriors (b, a, L) of some images."""

CACHE = 2**19
"""Scores whose softmax is taken at once on a CPU, so that they stay in its cache."""


def scores_a_tile(device: torch.device) -> int:
    """How many scores are held at once.

    On a CPU 28 MiB of float32: what is below 32 MiB the C library hands out again without asking
    the system for fresh pages, which would cost more than the arithmetic on them.

    Example:
        >>> scores_a_tile(torch.device("cpu")) * 4 / 2**20
        28.0
    """
    return 2**26 if device.type == "cuda" else 7 * 2**20


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


class Softmax:
    """Turns tiles of scores into their gradients, and gathers loss and log posteriors.

    Scores are held as s / unit, and their gradients in units of the penalty's ``slope``, in which
    the penalty's own share of the gradient is s / unit as well.

    Args:
        products: whose tile of scores is read and whose gradient is written.
        locations: L, consequents of an image.
        terms: of the loss.
    """

    def __init__(self, products: Products, locations: int, terms: Terms) -> None:
        (b, a, _), columns = products.antecedents.shape, len(products.right)
        self.terms, self.locations, self.count = terms, locations, b * a * columns
        self.slope = 2 * terms.penalty * terms.unit / self.count or 1 / self.count
        self.gradient = products.gradient
        self.log_posterior = products.tile.new_empty(b, a, locations)
        exact = torch.float32 if products.tile.device.type == "mps" else torch.float64
        self.loss = self.square = products.tile.new_zeros((), dtype=exact)
        self.size = self._size(a * columns)

    def _size(self, row: int) -> int:
        """Images a part, of ``row`` scores each; makes room for the parts."""
        size, a = self.terms.images, self.log_posterior.shape[1]
        if self.log_posterior.device.type == "cpu":
            size = min(size, max(1, CACHE // row))
        self.scratch = self.log_posterior.new_empty(2, size, a, row // a)
        return size

    def result(self) -> tuple[Tensor, Tensor, Tensor]:
        """Loss, log posteriors, mean square of the scores."""
        square = self.square * (self.terms.unit**2 / self.count)
        loss = self.loss + self.terms.penalty * square
        dtype = self.log_posterior.dtype
        return loss.to(dtype), self.log_posterior, square.to(dtype)

    def __call__(self, scores: Tensor, weights: Weights, start: int) -> None:
        """Read a tile's scores / unit, (images, a, N), of images from ``start`` on, in parts."""
        out = self.gradient[: scores.shape[0] * scores.shape[1]].view(scores.shape)
        for part, gradient in zip(scores.split(self.size), out.split(self.size), strict=True):
            images = slice(start, start + len(part))
            rounded = None if gradient.dtype == part.dtype else gradient
            own = weights[images] if isinstance(weights, Tensor) else weights
            self._part(part, rounded, own, images)
            start = images.stop

    def _part(self, scores: Tensor, out: Tensor | None, weights: Weights, images: slice) -> None:
        first = self.terms.first + images.start
        own = self._own(scores, first).clone()
        positives = fused.squash(own, self.terms.clip)
        odds = self._log_noise(scores, first) - positives
        logs = self.log_posterior[images] = functional.logsigmoid(-odds)
        weights = weights(logs) if callable(weights) else weights
        weights = weights.to(logs.dtype) if isinstance(weights, Tensor) else weights
        self.loss = self.loss - (weights * logs).sum()
        if any(self.terms.wanted):
            pull = weights * odds.sigmoid() / self.slope
            self._descend(scores, out, pull.sum(-1, keepdim=True), first)
            pull = pull * fused.slope_of(positives, self.terms.clip)
            gradient = self._own(scores if out is None else out, first)
            gradient.copy_(own - pull if self.terms.penalty else -pull)

    def _log_noise(self, scores: Tensor, first: int) -> Tensor:
        """The log of the sum of exp over negatives, (b, a, 1)."""
        squashed, noise = self.scratch[:, : len(scores)]
        clip, flat = self.terms.clip, scores.view(-1)
        self.square = self.square + torch.dot(flat, flat)
        if clip is None:
            squashed.copy_(scores)
        else:
            torch.sigmoid(scores, out=squashed).mul_(2 * clip)
        self._own(squashed, first).fill_(-math.inf)
        torch.softmax(squashed, -1, out=noise)
        return squashed.amax(-1, keepdim=True) - noise.amax(-1, keepdim=True).log()

    def _descend(self, scores: Tensor, out: Tensor | None, push: Tensor, first: int) -> None:
        """Put the gradient of negatives in place of the scores, or rounded into ``out``."""
        squashed, noise = self.scratch[:, : len(scores)]
        clip = self.terms.clip
        if clip is not None:
            noise.mul_(squashed.addcmul_(squashed, squashed, value=-0.5 / clip))
            push = push * (2 / clip)
        if self.terms.penalty:
            scores.addcmul_(noise, push)
        else:
            torch.mul(noise, push, out=scores)
        if out is not None:
            out.copy_(scores)

    def _own(self, scores: Tensor, first: int) -> Tensor:
        """The scores (b, a, L) of the antecedents with the locations of their own image."""
        images = scores.unflatten(-1, (-1, self.locations))
        return images.diagonal(first, 0, 2).permute(2, 0, 1)


class FusedSoftmax(Softmax):
    """The same with the functions of :mod:`goodviews.objectives.fused`, a whole tile at once."""

    compile = staticmethod(fused.compiled)

    def _size(self, row: int) -> int:
        return self.terms.images

    def _log_noise(self, scores: Tensor, first: int) -> Tensor:
        self.place = torch.full((), first, device=scores.device)
        self.log_sum, square = self.compile(fused.log_noise)(
            scores, self.place, self.locations, self.terms.clip
        )
        self.square = self.square + square
        return self.log_sum

    def _descend(self, scores: Tensor, out: Tensor | None, push: Tensor, first: int) -> None:
        clip, penalty = self.terms.clip, bool(self.terms.penalty)
        self.compile(fused.descend)(
            scores, out, self.log_sum, push, self.place, self.locations, clip, penalty
        )
