r"""Bounds that read a critic's scores, and the objectives that train a critic. In nats.

``scores`` is (n, n) or :class:`~goodviews.bounds.pairs.Pairs`; P is the mean over positives s_ii,
<.> the mean over negatives (i != j), r = p(x,y)/(p(x)p(y)).
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional

from goodviews.bounds.pairs import Pairs, as_pairs, as_rows, log_mean_exp, log_sum_without_one


def infonce(scores: Tensor | Pairs) -> Tensor:
    r"""I_NCE = log n + mean_i( s_ii - logsumexp_j s_ij ) (paper C, section 2.2; InfoMin, eq. 1).

    A lower bound on I(v1;v2) in expectation, never above log n; the optimal critic is
    log p(y|x)/p(y) + c(x). With m negatives a row, n is m + 1.

    Args:
        scores: shape (n, n), positives on the diagonal; or Pairs with negatives (n, m).

    Returns:
        Nats, a scalar.

    Example:
        >>> s = torch.zeros(4, 4).fill_diagonal_(2.0)
        >>> round(infonce(s).item(), 5)
        1.04554
    """
    positives, negatives = as_rows(scores)
    sums = torch.logaddexp(positives, negatives.logsumexp(1))
    return math.log(negatives.shape[1] + 1) + (positives - sums).mean()


def tuba(scores: Tensor | Pairs, log_baseline: Tensor | float = 1.0) -> Tensor:
    r"""I_TUBA = 1 + E_p[s - b] - E_q[exp(s - b)] with log-baseline b (Poole et al. 2019, eq. 10).

    A lower bound for every b; with b = 1 it is NWJ. No ceiling, high variance. The optimal critic
    is b + log p(x,y)/(p(x)p(y)).

    Args:
        scores: shape (n, n), positives on the diagonal; or Pairs.
        log_baseline: b(x), a number, or one a row: shape (n,) or (n, 1).

    Returns:
        Nats, a scalar.

    Example:
        >>> round(tuba(torch.ones(3, 3)).item(), 6)
        0.0
    """
    positives, negatives = as_pairs(scores)
    baseline = _column(log_baseline, positives)
    joint = (positives - baseline[:, 0]).mean()
    return 1.0 + joint - log_mean_exp(negatives - baseline).exp()


def nwj(scores: Tensor | Pairs) -> Tensor:
    r"""I_NWJ = mean_i s_ii - e^{-1} mean_{i != j} e^{s_ij} (paper C, section 2.2).

    A lower bound without the log n ceiling, with high variance; the optimal critic is
    1 + log p(x,y)/(p(x)p(y)). Scores of a critic that aims at log r itself are read by
    :func:`~goodviews.bounds.readouts.nwj_of_log_ratio` instead.

    Args:
        scores: shape (n, n), positives on the diagonal; or Pairs.

    Returns:
        Nats, a scalar.

    Example:
        >>> round(nwj(torch.ones(3, 3)).item(), 6)
        0.0
    """
    return tuba(scores, 1.0)


def donsker_varadhan(scores: Tensor | Pairs) -> Tensor:
    r"""I_DV = E_p[s] - log E_q[e^s] (MINE; Belghazi et al. 2018).

    With a mean over a batch inside the logarithm it is neither a lower nor an upper bound in
    expectation; the optimal critic is log p(x,y)/(p(x)p(y)) + constant.

    Args:
        scores: shape (n, n), positives on the diagonal; or Pairs.

    Returns:
        Nats, a scalar.

    Example:
        >>> donsker_varadhan(torch.full((3, 3), 7.0)).item()
        0.0
    """
    positives, negatives = as_pairs(scores)
    return positives.mean() - log_mean_exp(negatives)


def smile(scores: Tensor | Pairs, clip: float = 5.0) -> Tensor:
    r"""SMILE: E_p[s] - log E_q[exp(clamp(s, -clip, clip))] (Song and Ermon 2020).

    Clipping trades the variance of I_DV for bias: neither a lower nor an upper bound.

    Args:
        scores: shape (n, n), positives on the diagonal; or Pairs.
        clip: tau, in nats.

    Returns:
        Nats, a scalar.

    Example:
        >>> smile(torch.zeros(3, 3)).item()
        0.0
    """
    positives, negatives = as_pairs(scores)
    return positives.mean() - log_mean_exp(negatives.clamp(-clip, clip))


def jensen_shannon(scores: Tensor | Pairs) -> Tensor:
    r"""JSD objective: log 4 + E_p[-softplus(-s)] - E_q[softplus(s)] (Deep InfoMax, eq. 4).

    The GAN member of f-DIME. In expectation at most twice the Jensen-Shannon divergence of joint
    and product, which is at most min(I, log 4): 2 JSD <= KL(joint || product), since the mixture is
    the closest distribution to both. A loose bound, a good trainer: the optimal critic is
    log p(x,y)/(p(x)p(y)) itself, to be read by :func:`~goodviews.bounds.readouts.plug_in`.

    Args:
        scores: shape (n, n), positives on the diagonal; or Pairs.

    Returns:
        Nats, a scalar.

    Example:
        >>> abs(round(jensen_shannon(torch.zeros(3, 3)).item(), 6))
        0.0
    """
    positives, negatives = as_pairs(scores)
    right = functional.logsigmoid(positives).mean() + functional.logsigmoid(-negatives).mean()
    return math.log(4.0) + right


def interpolated(
    scores: Tensor | Pairs, alpha: float = 0.01, log_baseline: Tensor | float = 0.0
) -> Tensor:
    r"""I_alpha = 1 + E_p[s - log a] - E_q[e^s / a], a = alpha m(x) + (1 - alpha) e^b.

    m(x) is the mean of e^s over K candidates of a row (Poole et al. 2019, section 2.4). A lower
    bound for every alpha, b and critic: alpha = 0 is TUBA, alpha = 1 is InfoNCE. Both terms need
    the same K, and a row has n - 1 negatives, so K = n - 1: the product term takes them all, the
    joint term the positive and all negatives but one, averaged over the one left out. Never above
    1 + log(K / alpha), and log K at alpha = 1.

    Args:
        scores: shape (n, n), positives on the diagonal; or Pairs with negatives (n, m).
        alpha: in [0, 1]; small has low bias and high variance.
        log_baseline: b(x), a number, or one a row: shape (n,) or (n, 1).

    Returns:
        Nats, a scalar. The optimal critic is b + log p(x,y)/(p(x)p(y)).

    Raises:
        ValueError: alpha is not in [0, 1].

    Example:
        >>> s = torch.zeros(4, 4).fill_diagonal_(2.0)
        >>> round(interpolated(s, alpha=0.0).item(), 4) == round(tuba(s, 0.0).item(), 4)
        True
    """
    if not 0.0 <= alpha <= 1.0:
        raise ValueError(f"alpha: {alpha} is not in [0, 1]. Use for example 0.01.")
    positives, negatives = as_rows(scores)
    rest = _log(1.0 - alpha) + _column(log_baseline, positives)
    weight = _log(alpha) - math.log(negatives.shape[1])
    joint = positives[:, None] - torch.logaddexp(
        weight + log_sum_without_one(positives, negatives), rest
    )
    product = negatives - torch.logaddexp(weight + negatives.logsumexp(1, keepdim=True), rest)
    return 1.0 + joint.mean() - log_mean_exp(product).exp()


def anchor(scores: Tensor | Pairs, nu: float = 1.0) -> Tensor:
    r"""InfoNCE-anchor: which of K candidates is the positive, or is there none? (arXiv 2510.25983).

    log(K + nu) - nu log(nu) / (K + nu)
    + ( K E[s_1 - log(nu + sum_k e^{s_k})] + nu E[log nu - log(nu + sum_k e^{s'_k})] ) / (K + nu)

    with a positive first and K - 1 negatives in s, K negatives in s'; the first line makes chance
    0. K = n - 1, the negatives of a row (as in :func:`interpolated`). Unlike InfoNCE's critic this
    one is not free up to c(x): the optimum is log p(x,y)/(p(x)p(y)) itself, so read it by
    :func:`~goodviews.bounds.readouts.plug_in`. As a number it is what a tuple tells of the class,
    at most K / (K + nu) I(v1;v2) in expectation: a lower bound, below its ceiling log(K + nu) for
    nu = 1.

    Args:
        scores: shape (n, n), positives on the diagonal; or Pairs with negatives (n, m).
        nu: weight of the class without a positive.

    Returns:
        Nats, a scalar.

    Raises:
        ValueError: nu is not positive.

    Example:
        >>> abs(round(anchor(torch.zeros(4, 4)).item(), 6))
        0.0
    """
    if nu <= 0:
        raise ValueError(f"nu: {nu} is not positive. Use for example 1.")
    positives, negatives = as_rows(scores)
    k, log_nu = negatives.shape[1], positives.new_tensor(math.log(nu))
    present = positives[:, None] - torch.logaddexp(
        log_sum_without_one(positives, negatives), log_nu
    )
    absent = log_nu - torch.logaddexp(negatives.logsumexp(1), log_nu)
    right = (k * present.mean() + nu * absent.mean()) / (k + nu)
    return math.log(k + nu) - nu * math.log(nu) / (k + nu) + right


def flo(scores: Tensor | Pairs, u: Tensor) -> Tensor:
    r"""I_FLO = 1 - mean_i[ u_i + e^{-u_i} mean_{j != i} e^{s_ij - s_ii} ] (Guo et al. 2022).

    The Fenchel-Legendre form of InfoNCE: a lower bound without its ceiling for every critic and
    every function u(x, y). At the optimum s = log p(y|x)/p(y) + c(x) and u = -log p(y|x)/p(y).

    Args:
        scores: shape (n, n), positives on the diagonal; or Pairs with negatives (n, m).
        u: u(x_i, y_i), shape (n,).

    Returns:
        Nats, a scalar.

    Example:
        >>> flo(torch.zeros(3, 3), torch.zeros(3)).item()
        0.0
    """
    positives, negatives = as_rows(scores)
    if u.shape != positives.shape:
        raise ValueError(f"u: shape {tuple(u.shape)} is not (n,), n = {len(positives)}.")
    means = negatives.logsumexp(1) - math.log(negatives.shape[1])
    return 1.0 - (u + (means - positives - u).exp()).mean()


def mine(scores: Tensor | Pairs, log_average: Tensor | float) -> Tensor:
    r"""MINE's objective with the corrected gradient: P - <e^s> / average (Belghazi et al. 2018).

    Its gradient is E_p[ds] - E_q[e^s ds] / average, that of I_DV with the batch's own mean of e^s
    replaced by a running one (section 3.2). **Not a number of nats**: it is only to be climbed;
    the value is :func:`donsker_varadhan`.

    Args:
        scores: shape (n, n), positives on the diagonal; or Pairs.
        log_average: log of the running mean, from :func:`moving_log_average`.

    Returns:
        The objective, a scalar, to be maximised.

    Example:
        >>> scores = torch.zeros(3, 3)
        >>> mine(scores, moving_log_average(None, scores)).item()
        -1.0
    """
    positives, negatives = as_pairs(scores)
    return positives.mean() - (log_mean_exp(negatives) - log_average).exp()


def moving_log_average(
    log_average: Tensor | None, scores: Tensor | Pairs, rate: float = 0.01
) -> Tensor:
    r"""Log of (1 - rate) average + rate <e^s>, without gradient: the state of :func:`mine`.

    Args:
        log_average: the last one; None before the first batch.
        scores: of the new batch.
        rate: weight of the new batch, in (0, 1].

    Returns:
        Nats, a scalar.

    Example:
        >>> state = moving_log_average(None, torch.zeros(3, 3))
        >>> round(moving_log_average(state, torch.ones(3, 3), rate=0.5).exp().item(), 4)
        1.8591
    """
    new = log_mean_exp(as_pairs(scores).negatives).detach()
    if log_average is None:
        return new
    return torch.logaddexp(_log(1.0 - rate) + log_average, _log(rate) + new)


def _column(log_baseline: Tensor | float, like: Tensor) -> Tensor:
    """A baseline as a column (n, 1), or (1, 1) for a number."""
    return torch.as_tensor(log_baseline, dtype=like.dtype, device=like.device).reshape(-1, 1)


def _log(weight: float) -> float:
    return math.log(weight) if weight > 0 else -math.inf
