"""NCE and InfoNCE in exact numbers: posteriors, the loss of one row, the bound of a joint table.

Everything is in nats; no sampling anywhere.

References: M. Gutmann, A. Hyvarinen 2010 (NCE); A. van den Oord, Y. Li, O. Vinyals 2018 (InfoNCE);
X. Nguyen, M. Wainwright, M. Jordan 2010 (NWJ).
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike

from goodviews.information import ceiling, distribution, mutual_information
from goodviews.interfaces import UserError


def nce_posterior(model: float, noise: float, negatives: int) -> float:
    """P(D=1|u) = p_m(u) / (p_m(u) + k p_n(u)): how surely u is data, not one of k noise samples.

    Its logit is log p_m(u)/p_n(u) - log k (Gutmann and Hyvarinen 2010, eq. 4).

    Args:
        model: p_m(u), the probability (or density) of u under the model.
        noise: p_n(u), under the noise.
        negatives: k, noise samples for each sample of data.

    Example:
        >>> round(nce_posterior(0.6, 0.1, negatives=5), 4)
        0.5455
    """
    if min(model, noise) < 0 or not model + noise > 0 or negatives < 1:
        raise UserError(
            f"model, noise, negatives: {model:g}, {noise:g}, {negatives} cannot be compared. "
            "Use numbers >= 0, not both 0, and at least 1 negative."
        )
    return model / (model + negatives * noise)


def infonce_loss(scores: ArrayLike, temperature: float = 1.0) -> float:
    """L_NCE of one row: -log( e^{s_1/T} / sum_j e^{s_j/T} ), in nats.

    I_NCE = log K - L_NCE (van den Oord et al. 2018, eq. 4).

    Args:
        scores: shape (K,), the positive first.
        temperature: T > 0.

    Raises:
        UserError: fewer than two scores, or a temperature that is not positive.

    Example:
        >>> loss = infonce_loss([2, 0, 0, 0])
        >>> round(loss, 5), round(ceiling(4), 5), round(ceiling(4) - loss, 5)
        (0.34075, 1.38629, 1.04554)
        >>> cosines = [0.9, 0.1, 0.2, 0.0]
        >>> round(infonce_loss(cosines, 0.07), 6), round(infonce_loss(cosines, 0.5), 4)
        (5.9e-05, 0.4786)
    """
    row = np.asarray(scores, dtype=np.float64)
    if row.ndim != 1 or len(row) < 2 or not np.isfinite(row).all():
        raise UserError("scores: need a positive and at least one negative, all finite.")
    if not temperature > 0:
        raise UserError(f"temperature: {temperature:g} is not positive. Use for example 0.1.")
    rest = (row[1:] - row[0]) / temperature
    top = max(0.0, float(rest.max()))
    tail = float(np.exp(rest - top).sum())
    return math.log1p(tail) if top == 0 else top + math.log(math.exp(-top) + tail)


def expected_infonce(joint: ArrayLike, candidates: int) -> float:
    """E[I_NCE] of a joint table with the optimal critic and K candidates, exactly, in nats.

    With r(x,y) = p(x,y)/(p(x)p(y)) it is I(X;Y) - E log mean_j r(x,y_j), where (x,y_1) is drawn
    from the joint, y_2 .. y_K from p(y). The mean of that logarithm over all draws is one integral,
    log s = int (e^-t - e^-ts) / t dt, since E e^-ts factorises over independent draws. So any
    number of values and of candidates costs the same, and nothing is sampled.

    Args:
        joint: table of shape (x, y).
        candidates: K >= 2.

    Returns:
        Nats: at most min(I(X;Y), log K), rising with K.

    Raises:
        UserError: joint is not a distribution over two variables, or K is below 2.

    Example:
        >>> joint = [[0.4, 0.1], [0.1, 0.4]]
        >>> [round(expected_infonce(joint, k), 4) for k in (2, 4, 8, 16, 64, 256, 1024)]
        [0.0964, 0.1458, 0.1697, 0.1814, 0.1899, 0.192, 0.1926]
    """
    ceiling(candidates)
    table = distribution(joint, "joint", 2)
    table = table[table.sum(1) > 0][:, table.sum(0) > 0]
    marginal = table.sum(0)
    masses: dict[tuple[bytes, bytes], float] = {}  # rows that look alike are integrated once
    for row in table:
        ratio = row / (row.sum() * marginal)
        values, place = np.unique(ratio, return_inverse=True)
        weight = np.bincount(place, marginal)  # p(y) of each value of r
        profile = values.tobytes(), weight.tobytes()
        masses[profile] = masses.get(profile, 0.0) + float(row.sum())
    log_mean = sum(
        mass * _log_mean(np.frombuffer(values), np.frombuffer(weight), candidates)
        for (values, weight), mass in masses.items()
    )
    return mutual_information(table) - log_mean


def _log_mean(values: np.ndarray, weight: np.ndarray, candidates: int) -> float:
    """E log mean_j r_j: r_1 drawn with probability weight * values, the others with weight."""
    lowest = min(1.0, float(values[values > 0].min())) / candidates
    t = np.exp(np.arange(-40.0, math.log(50.0 / lowest), 0.1))  # evenly in log t: dt/t = d log t
    decay = np.exp(-np.outer(values / candidates, t))
    expected = (weight * values) @ decay * (weight @ decay) ** (candidates - 1)
    return 0.1 * float((np.exp(-t) - expected).sum())


def expected_nwj(joint: ArrayLike, critic: ArrayLike) -> float:
    """I_NWJ = E_p(x,y)[f] - e^-1 E_p(x)p(y)[e^f] of a joint table and a critic table, in nats.

    At most I(X;Y), which f = 1 + log p(x,y)/(p(x)p(y)) attains; no ceiling.

    Args:
        joint: table of shape (x, y).
        critic: f, same shape.

    Example:
        >>> joint = [[0.4, 0.1], [0.1, 0.4]]
        >>> from goodviews.information import pointwise_information
        >>> round(expected_nwj(joint, 1 + pointwise_information(joint)), 5)
        0.19274
        >>> round(expected_nwj(joint, pointwise_information(joint)), 5)  # too low by 1/e
        -0.17513
    """
    table, scores = distribution(joint, "joint", 2), np.asarray(critic, dtype=np.float64)
    if scores.shape != table.shape:
        raise UserError(f"critic: shape {scores.shape} is not joint's {table.shape}. Make it so.")
    product = table.sum(1, keepdims=True) * table.sum(0)
    seen = table > 0
    return float((table[seen] * scores[seen]).sum() - (product * np.exp(scores - 1.0)).sum())
