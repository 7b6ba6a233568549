r"""What to read off a critic that aims at the log-ratio itself, log r = log p(x,y)/(p(x)p(y)).

Critics trained with :func:`~goodviews.bounds.scores.jensen_shannon` or
:func:`~goodviews.bounds.scores.anchor` do; one trained with InfoNCE does not (its scale c(x) is
free), nor one trained with NWJ (it aims at 1 + log r).
"""

from __future__ import annotations

from torch import Tensor

from goodviews.bounds.pairs import Pairs, as_pairs, log_mean_exp
from goodviews.bounds.scores import tuba


def plug_in(scores: Tensor | Pairs) -> Tensor:
    r"""The mean of the critic over positives: I itself where the critic is log r.

    No bound and no guard: report :func:`log_normaliser` with it.

    Args:
        scores: shape (n, n), positives on the diagonal; or Pairs.

    Returns:
        Nats, a scalar.

    Example:
        >>> import torch
        >>> plug_in(torch.eye(3)).item()
        1.0
    """
    return as_pairs(scores).positives.mean()


def nwj_of_log_ratio(scores: Tensor | Pairs) -> Tensor:
    r"""1 + P - <e^s>: the NWJ bound of a critic that aims at log r, that is ``nwj(scores + 1)``.

    ``nwj(scores)`` would read such a critic low by 1/e = 0.368 nats, since NWJ's own optimum is
    1 + log r.

    Args:
        scores: shape (n, n), positives on the diagonal; or Pairs.

    Returns:
        Nats, a scalar: a lower bound in expectation.

    Example:
        >>> import torch
        >>> nwj_of_log_ratio(torch.zeros(3, 3)).item()
        0.0
    """
    return tuba(scores, 0.0)


def log_normaliser(scores: Tensor | Pairs) -> Tensor:
    r"""Log of the mean of e^s over negatives: 0 where the critic is log r, as E_q[r] = 1.

    Args:
        scores: shape (n, n), positives on the diagonal; or Pairs.

    Returns:
        Nats, a scalar.

    Example:
        >>> import torch
        >>> log_normaliser(torch.full((3, 3), 2.0)).item()
        2.0
    """
    return log_mean_exp(as_pairs(scores).negatives)


def effective_sample_size(scores: Tensor | Pairs) -> Tensor:
    r"""(sum w)^2 / sum w^2 of the weights w = e^s over negatives.

    How many negatives carry the mean of e^s that NWJ and I_DV rest on; below about 100 they cannot
    be trusted.

    Args:
        scores: shape (n, n), positives on the diagonal; or Pairs.

    Returns:
        A scalar between 1 and the number of negatives.

    Example:
        >>> import torch
        >>> round(effective_sample_size(torch.zeros(3, 3)).item(), 4)
        6.0
    """
    weights = as_pairs(scores).negatives.flatten()
    return (2 * weights.logsumexp(0) - (2 * weights).logsumexp(0)).exp()
