r"""Bounds that read a conditional density instead of a critic. In nats.

``log_conditional`` is (n, n): row i, column j holds log q(y_j | x_i), so aligned pairs stand on the
diagonal. :class:`~goodviews.critics.ConditionalGaussian` makes such a matrix. The upper bounds are
bounds only where q is the exact p(y|x): with a fitted q they can fall below I.
"""

from __future__ import annotations

import math

from torch import Tensor

from goodviews.bounds.pairs import as_pairs


def club(log_conditional: Tensor) -> Tensor:
    r"""CLUB: mean_i log q(y_i|x_i) - mean_{i != j} log q(y_j|x_i) (Cheng et al. 2020, section 3.1).

    With the exact p(y|x) its expectation is I + L, where L = KL(p(x)p(y) || p(x,y)) is the lautum
    information: an upper bound, and a loose one, not an estimate of I. For d independent Gaussian
    pairs it is d (e^{2I/d} - 1): 34.4 nats at d = 20, I = 10. With any other q (vCLUB) it is
    neither an upper nor a lower bound. The paper also counts i = j among the negatives, which
    scales the value by (n - 1) / n.

    Args:
        log_conditional: log q(y_j|x_i), shape (n, n).

    Returns:
        Nats, a scalar.

    Example:
        >>> import torch
        >>> club(torch.eye(3)).item()
        1.0
    """
    positives, negatives = as_pairs(log_conditional)
    return positives.mean() - negatives.mean()


def leave_one_out(log_conditional: Tensor) -> Tensor:
    r"""L1Out: mean_i[ log q(y_i|x_i) - log 1/(n-1) sum_{j != i} q(y_i|x_j) ] (Poole et al. 2019).

    The marginal p(y_i) is a mixture over the other x of the batch (section 2.1). With the exact
    p(y|x) an upper bound in expectation, tighter as n grows; with any other q no bound. The pair's
    own x_i is left out exactly.

    Args:
        log_conditional: log q(y_j|x_i), shape (n, n).

    Returns:
        Nats, a scalar.

    Example:
        >>> import torch
        >>> leave_one_out(torch.zeros(3, 3)).item()
        0.0
    """
    positives, negatives = as_pairs(log_conditional.T)
    return (positives - negatives.logsumexp(1)).mean() + math.log(negatives.shape[1])


def variational_upper(log_conditional: Tensor, log_marginal: Tensor) -> Tensor:
    r"""VUB: mean_i[ log p(y_i|x_i) - log q(y_i) ] (Poole et al. 2019, section 2.1).

    An upper bound for every density q(y), above I by KL(p(y) || q(y)), where p(y|x) is exact: the
    rate of a variational auto-encoder.

    Args:
        log_conditional: log p(y_i|x_i) of aligned pairs, shape (n,).
        log_marginal: log q(y_i), shape (n,).

    Returns:
        Nats, a scalar.

    Example:
        >>> import torch
        >>> variational_upper(torch.zeros(5), torch.full((5,), -2.0)).item()
        2.0
    """
    return (_aligned(log_conditional, "log_conditional") - log_marginal).mean()


def barber_agakov(log_conditional: Tensor, entropy: float) -> Tensor:
    r"""BA: h(y) + mean_i log q(y_i|x_i) (Barber and Agakov 2003; Poole et al. 2019, section 2.1).

    A lower bound for every q, below I by the mean of KL(p(y|x) || q(y|x)); it needs the entropy of
    y, which labels have and densities rarely.

    Args:
        log_conditional: log q(y_i|x_i) of aligned pairs, shape (n,).
        entropy: h(y), nats.

    Returns:
        Nats, a scalar.

    Example:
        >>> import torch
        >>> round(barber_agakov(torch.zeros(5), math.log(10)).item(), 4)
        2.3026
    """
    return entropy + _aligned(log_conditional, "log_conditional").mean()


def _aligned(values: Tensor, name: str) -> Tensor:
    if values.ndim != 1:
        raise ValueError(f"{name}: shape {tuple(values.shape)} is not (n,). Pass the diagonal.")
    return values
