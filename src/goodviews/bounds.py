r"""Bounds turn scores into nats. Pure functions; imports nothing of ours.

``scores`` has shape (n, n): row i scores the i-th first view against every second view, the
positive pairs stand on the diagonal. Half-precision scores are computed in float32.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional


def _checked(scores: Tensor) -> Tensor:
    if scores.ndim != 2 or scores.shape[0] != scores.shape[1] or scores.shape[0] < 2:
        raise ValueError(
            f"scores: shape {tuple(scores.shape)} is not (n, n) with n >= 2 "
            "(positives on the diagonal)."
        )
    return scores.float() if scores.dtype in (torch.float16, torch.bfloat16) else scores


def _log_mean_exp_negatives(scores: Tensor) -> Tensor:
    """Log of the mean of exp(s_ij) over the n (n - 1) pairs off the diagonal."""
    n = scores.shape[0]
    masked = scores.masked_fill(torch.eye(n, dtype=torch.bool, device=scores.device), -math.inf)
    return torch.logsumexp(masked.flatten(), 0) - math.log(n * (n - 1))


def infonce(scores: Tensor) -> Tensor:
    r"""I_NCE = log n + mean_i( s_ii - logsumexp_j s_ij ) (paper C, section 2.2; InfoMin, eq. 1).

    A lower bound on I(v1;v2) in expectation, never above log n; the optimal critic is
    log p(y|x)/p(y) + c(x).

    Args:
        scores: shape (n, n), positives on the diagonal.

    Returns:
        Nats, a scalar.

    Example:
        >>> s = torch.zeros(4, 4).fill_diagonal_(2.0)
        >>> round(infonce(s).item(), 5)
        1.04554
    """
    scores = _checked(scores)
    return math.log(scores.shape[0]) + (scores.diagonal() - scores.logsumexp(1)).mean()


def tuba(scores: Tensor, log_baseline: Tensor | float = 1.0) -> Tensor:
    r"""I_TUBA = 1 + E_p[s - b] - E_q[exp(s - b)] with log-baseline b (Poole et al. 2019, eq. 10).

    A lower bound for every b; with b = 1 it is NWJ. No ceiling, high variance. The optimal critic
    is b + log p(x,y)/(p(x)p(y)).

    Args:
        scores: shape (n, n), positives on the diagonal.
        log_baseline: b(y), a number or shape (n, 1): one a row.

    Returns:
        Nats, a scalar.

    Example:
        >>> round(tuba(torch.ones(3, 3)).item(), 6)
        0.0
    """
    scores = _checked(scores) - log_baseline
    return 1.0 + scores.diagonal().mean() - _log_mean_exp_negatives(scores).exp()


def nwj(scores: Tensor) -> Tensor:
    r"""I_NWJ = mean_i s_ii - e^{-1} mean_{i != j} e^{s_ij} (paper C, section 2.2).

    A lower bound without the log n ceiling, with high variance; the optimal critic is
    1 + log p(x,y)/(p(x)p(y)).

    Args:
        scores: shape (n, n), positives on the diagonal.

    Returns:
        Nats, a scalar.

    Example:
        >>> round(nwj(torch.ones(3, 3)).item(), 6)
        0.0
    """
    return tuba(scores, 1.0)


def donsker_varadhan(scores: Tensor) -> Tensor:
    r"""I_DV = E_p[s] - log E_q[e^s] (MINE; Belghazi et al. 2018).

    With a mean over a batch inside the logarithm it is neither a lower nor an upper bound in
    expectation; the optimal critic is log p(x,y)/(p(x)p(y)) + constant.

    Args:
        scores: shape (n, n), positives on the diagonal.

    Returns:
        Nats, a scalar.

    Example:
        >>> donsker_varadhan(torch.full((3, 3), 7.0)).item()
        0.0
    """
    scores = _checked(scores)
    return scores.diagonal().mean() - _log_mean_exp_negatives(scores)


def smile(scores: Tensor, clip: float = 5.0) -> Tensor:
    r"""SMILE: E_p[s] - log E_q[exp(clamp(s, -clip, clip))] (Song and Ermon 2020).

    Clipping trades the variance of I_DV for bias: neither a lower nor an upper bound.

    Args:
        scores: shape (n, n), positives on the diagonal.
        clip: tau, in nats.

    Returns:
        Nats, a scalar.

    Example:
        >>> smile(torch.zeros(3, 3)).item()
        0.0
    """
    scores = _checked(scores)
    return scores.diagonal().mean() - _log_mean_exp_negatives(scores.clamp(-clip, clip))


def jensen_shannon(scores: Tensor) -> Tensor:
    r"""JSD objective: log 4 + E_p[-softplus(-s)] - E_q[softplus(s)] (Deep InfoMax, eq. 4).

    A lower bound on twice the Jensen-Shannon divergence of the joint and the product, at most
    log 4; not a bound on I. The optimal critic is log p(x,y)/(p(x)p(y)).

    Args:
        scores: shape (n, n), positives on the diagonal.

    Returns:
        Nats, a scalar.

    Example:
        >>> abs(round(jensen_shannon(torch.zeros(3, 3)).item(), 6))
        0.0
    """
    scores = _checked(scores)
    n = scores.shape[0]
    positives = scores.diagonal()
    negatives = (functional.softplus(scores).sum() - functional.softplus(positives).sum()) / (
        n * (n - 1)
    )
    return math.log(4.0) - functional.softplus(-positives).mean() - negatives


@dataclass(frozen=True)
class BoundInfo:
    """A bound and what it promises."""

    function: Callable[[Tensor], Tensor]
    kind: Literal["lower", "upper", "neither"]
    """Of I(v1;v2), in expectation."""
    ceiling: Callable[[int], float]
    """The largest value with n candidates, in nats."""
    optimal_critic: str


BOUNDS: dict[str, BoundInfo] = {
    "infonce": BoundInfo(infonce, "lower", math.log, "log p(y|x)/p(y) + c(x)"),
    "nwj": BoundInfo(nwj, "lower", lambda n: math.inf, "1 + log p(x,y)/(p(x)p(y))"),
    "tuba": BoundInfo(tuba, "lower", lambda n: math.inf, "b + log p(x,y)/(p(x)p(y)), b = 1 here"),
    "donsker-varadhan": BoundInfo(
        donsker_varadhan, "neither", lambda n: math.inf, "log p(x,y)/(p(x)p(y)) + constant"
    ),
    "smile": BoundInfo(smile, "neither", lambda n: math.inf, "log p(x,y)/(p(x)p(y)) + constant"),
    "jensen-shannon": BoundInfo(
        jensen_shannon, "neither", lambda n: math.log(4.0), "log p(x,y)/(p(x)p(y))"
    ),
}
