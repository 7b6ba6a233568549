"""Scores of positive pairs, apart from scores of negative pairs."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional


class Pairs(NamedTuple):
    """Scores without a square matrix: every bound takes these in place of ``scores`` (n, n).

    Example:
        >>> Pairs(torch.ones(4), torch.zeros(4, 9)).negatives.shape
        torch.Size([4, 9])
    """

    positives: Tensor
    """Scores of n pairs of the joint distribution, shape (n,)."""
    negatives: Tensor
    """Scores of pairs of the product of the margins: shape (n, m), row i for the i-th positive's x;
    where a bound compares nothing within a row, any shape."""


def as_pairs(scores: Tensor | Pairs) -> Pairs:
    """Split scores (n, n) into their diagonal (n,) and the rest (n, n - 1); float32 at least.

    The diagonal never counts as a negative: it is left out, not masked by a number.

    Raises:
        ValueError: the scores are not square with n >= 2, or the pairs are empty.

    Example:
        >>> as_pairs(torch.arange(9.0).reshape(3, 3)).negatives.tolist()
        [[1.0, 2.0], [3.0, 5.0], [6.0, 7.0]]
    """
    if not isinstance(scores, Pairs):
        scores = Pairs(_square(scores).diagonal(), off_diagonal(scores))
    positives, negatives = (_single(part) for part in scores)
    if positives.ndim != 1 or 0 in (positives.numel(), negatives.numel()):
        raise ValueError(
            f"pairs: shapes {tuple(positives.shape)} and {tuple(negatives.shape)} are not (n,) "
            "positives and some negatives."
        )
    return Pairs(positives, negatives)


def as_rows(scores: Tensor | Pairs) -> Pairs:
    """As :func:`as_pairs`, for bounds that compare a positive with the negatives of its row.

    Raises:
        ValueError: also when the negatives are not (n, m), m >= 1.
    """
    pairs = as_pairs(scores)
    if pairs.negatives.ndim != 2 or len(pairs.negatives) != len(pairs.positives):
        raise ValueError(
            f"negatives: shape {tuple(pairs.negatives.shape)} is not (n, m) for "
            f"n = {len(pairs.positives)} positives. Give each positive a row of negatives."
        )
    return pairs


def off_diagonal(scores: Tensor) -> Tensor:
    """The (n, n - 1) entries of a square matrix off its diagonal, row by row."""
    n = len(_square(scores))
    return scores.flatten()[1:].view(n - 1, n + 1)[:, :-1].reshape(n, n - 1)


def log_mean_exp(values: Tensor) -> Tensor:
    """Log of the mean of exp over all entries, a scalar; no overflow.

    Example:
        >>> log_mean_exp(torch.full((2, 2), 1e4)).item()
        10000.0
    """
    return values.flatten().logsumexp(0) - math.log(values.numel())


def log_sum_without_one(positives: Tensor, negatives: Tensor) -> Tensor:
    """``log(e^{p_i} + sum_{k != j} e^{s_ik})``, shape (n, m): the row of i without negative j.

    Only the largest negative can be more than half of its row's sum: for that one the rest is
    summed anew, from all others their share is taken off without loss.

    Example:
        >>> log_sum_without_one(torch.zeros(1), torch.tensor([[0.0, 90.0]])).tolist()
        [[90.0, 0.6931471824645996]]
    """
    top, place = negatives.max(1, keepdim=True)
    largest = functional.one_hot(place[:, 0], negatives.shape[1]).bool()
    others = negatives.masked_fill(largest, -math.inf).logsumexp(1)
    rest = torch.logaddexp(positives, others)[:, None]
    total = torch.logaddexp(rest, top)
    share = (negatives - total).exp().masked_fill(largest, 0.0)
    return torch.where(largest, rest, total + torch.log1p(-share))


def _square(scores: Tensor) -> Tensor:
    if scores.ndim != 2 or scores.shape[0] != scores.shape[1] or scores.shape[0] < 2:
        raise ValueError(
            f"scores: shape {tuple(scores.shape)} is not (n, n) with n >= 2 "
            "(positives on the diagonal)."
        )
    return scores


def _single(scores: Tensor) -> Tensor:
    return scores.float() if scores.dtype in (torch.float16, torch.bfloat16) else scores
