"""The three matrix products of a tile: scores, and what their gradient gives to either side."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

BLOCK = 2**20
"""Numbers of bf16 consequents that are read as float32 at once."""


class Products:
    """Products of antecedents (b, a, D) with consequents (images, L, D), a tile at a time.

    Scores are float32 (float64 if an input is). For bf16 inputs the scores are still those of a
    float32 product, while the products of the backward pass read the gradient of the scores
    rounded to bf16, as a bf16 matrix product under autocast does.

    Args:
        antecedents: (b, a, D).
        consequents: (images, L, D).
        images: of a tile, a of whose antecedents are rows of scores.
        wanted: whether antecedents and consequents need gradients.
    """

    def __init__(
        self, antecedents: Tensor, consequents: Tensor, images: int, wanted: tuple[bool, bool]
    ) -> None:
        self.low = antecedents.dtype == consequents.dtype == torch.bfloat16
        double = torch.float64 in (antecedents.dtype, consequents.dtype)
        self.dtype = torch.float64 if double else torch.float32
        read = torch.bfloat16 if self.low else self.dtype
        self.antecedents, self.shape = antecedents, consequents.shape
        self.right = consequents.reshape(-1, consequents.shape[2]).to(read)
        self.left_grad = torch.empty_like(antecedents) if wanted[0] else None
        self.right_grad = torch.zeros_like(self.right) if wanted[1] else None
        rows = images * antecedents.shape[1], len(self.right)
        self.tile = self.right.new_empty(rows, dtype=self.dtype)
        self.gradient = torch.empty_like(self.tile, dtype=read) if self.low else self.tile

    def scores(self, images: slice, scale: float) -> Tensor:
        """Scaled inner products of some images' antecedents with all consequents, (b, a, N)."""
        left = self._left(images)
        scores = self.tile[: len(left)]
        if self.low and scores.is_cuda:
            torch.mm(left, self.right.T, out_dtype=self.dtype, out=scores).mul_(scale)
        elif self.low:
            _scores_of_bf16(left, self.right, scale, scores)
        else:
            torch.addmm(scores, left, self.right.T, beta=0, alpha=scale, out=scores)
        return scores.view(-1, self.antecedents.shape[1], len(self.right))

    def descend(self, images: slice, scale: float) -> None:
        """Give ``scale`` times the tile's ``gradient`` to both sides."""
        left = self._left(images)
        gradient = self.gradient[: len(left)]
        if self.left_grad is not None:
            found = self.left_grad[images]
            found.copy_((gradient @ self.right).mul_(scale).view_as(found))
        if self.right_grad is not None:
            self.right_grad.addmm_(gradient.T, left, alpha=scale)

    def gradients(self) -> list[Tensor | None]:
        """The gradients of antecedents and consequents, None where not wanted."""
        right = self.right_grad
        return [self.left_grad, None if right is None else right.view(self.shape)]

    def _left(self, images: slice) -> Tensor:
        return self.antecedents[images].reshape(-1, self.shape[2]).to(self.right.dtype)


def _scores_of_bf16(left: Tensor, right: Tensor, scale: float, out: Tensor) -> None:
    """Products of bf16 numbers in float32 on a CPU, which torch.mm would round to bf16."""
    left, width = left.float(), right.shape[1]
    block = max(1, BLOCK // width)
    room = right.new_empty(min(block, len(right)), width, dtype=torch.float32)
    with _bf16_factors():
        for start in range(0, len(right), block):
            some = right[start : start + block]
            factor = room[: len(some)].copy_(some)
            found = out[:, start : start + block]
            torch.addmm(found, left, factor.T, beta=0, alpha=scale, out=found)


@contextmanager
def _bf16_factors() -> Iterator[None]:
    """Let float32 products on a CPU read their factors as bf16: exact for factors that are."""
    matmul = torch.backends.mkldnn.matmul  # type: ignore[attr-defined]
    before = matmul.fp32_precision
    matmul.fp32_precision = "bf16"
    try:
        yield
    finally:
        matmul.fp32_precision = before
