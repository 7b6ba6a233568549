"""Exact information of tables and Gaussians, and the log K ceiling.

Everything is in nats. A table holds probabilities; a joint table has shape (x, y). Imports nothing
of ours but the error it raises.

Reference: T. Cover, J. Thomas, Elements of Information Theory, chapters 2 and 8.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike

from goodviews.interfaces import UserError

BITS = 1.0 / math.log(2.0)
"""Multiply nats by this to get bits."""


def distribution(p: ArrayLike, name: str = "p", axes: int | None = None) -> np.ndarray:
    """The table as float64, once it is known to hold probabilities.

    Args:
        p: any shape.
        name: what to call it in an error.
        axes: how many variables it must have; None: any.

    Raises:
        UserError: a negative number, a sum other than 1, another number of axes.

    Example:
        >>> distribution([0.5, 0.6], "--p")  # doctest: +ELLIPSIS
        Traceback (most recent call last):
        goodviews.interfaces.UserError: --p: probabilities must be >= 0 and sum to 1, not 1.1. ...
    """
    table = np.asarray(p, dtype=np.float64)
    if axes is not None and table.ndim != axes:
        raise UserError(f"{name}: shape {table.shape} has not {axes} axes. Give one a variable.")
    if (table < 0).any():
        raise UserError(
            f"{name}: {table.min():g} is negative; probabilities must be >= 0 and sum to 1. "
            "Remove the sign."
        )
    total = float(table.sum())
    if not math.isclose(total, 1.0, abs_tol=1e-9):
        raise UserError(
            f"{name}: probabilities must be >= 0 and sum to 1, not {total:.6g}. "
            "Divide them by their sum."
        )
    return table


def _pair(p: ArrayLike, q: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    p, q = distribution(p), distribution(q, "q")
    if p.shape != q.shape:
        raise UserError(f"q: shape {q.shape} differs from p's {p.shape}. Give as many outcomes.")
    return p, q


# --- one distribution, or two -------------------------------------------------------------------


def surprisal(p: float) -> float:
    """Information of an outcome of probability p: h = -log p, in nats; infinite for p = 0.

    Raises:
        UserError: p is not in [0, 1].

    Example:
        >>> [round(surprisal(p) * BITS, 4) for p in (1 / 2, 1 / 8, 1 / 6, 1 / 10)]
        [1.0, 3.0, 2.585, 3.3219]
        >>> round(surprisal(1 / 2), 4), round(surprisal(1 / 10), 4)
        (0.6931, 2.3026)
    """
    if not 0.0 <= p <= 1.0:
        raise UserError(f"p: {p:g} is no probability. Use a number from 0 to 1.")
    return -math.log(p) + 0.0 if p else math.inf  # + 0.0: no -0.0 for p = 1


def entropy(p: ArrayLike) -> float:
    """Entropy of a table: H = -sum p log p, in nats; the mean surprisal.

    Raises:
        UserError: p is not a distribution.

    Example:
        >>> [round(entropy(p) * BITS, 4) for p in ([0.5, 0.25, 0.25], [1 / 3] * 3, [1.0, 0, 0])]
        [1.5, 1.585, 0.0]
    """
    table = distribution(p)
    table = table[table > 0]
    return max(0.0, float(-(table * np.log(table)).sum()))


def cross_entropy(p: ArrayLike, q: ArrayLike) -> float:
    """Cross entropy H(p, q) = -sum p log q, in nats; infinite where q misses mass of p.

    Raises:
        UserError: p or q is not a distribution, or their shapes differ.

    Example:
        >>> round(cross_entropy([0.5, 0.25, 0.25], [1 / 3] * 3) * BITS, 4)
        1.585
        >>> round(cross_entropy([1, 0, 0], [0.7, 0.2, 0.1]), 4)  # -log 0.7: a classifier's loss
        0.3567
    """
    p, q = _pair(p, q)
    with np.errstate(divide="ignore"):
        return max(0.0, float(-(p[p > 0] * np.log(q[p > 0])).sum()))


def kl_divergence(p: ArrayLike, q: ArrayLike) -> float:
    """KL(p || q) = sum p log(p / q) = H(p, q) - H(p) >= 0, in nats; not symmetric.

    Raises:
        UserError: p or q is not a distribution, or their shapes differ.

    Example:
        >>> p, q = [0.5, 0.25, 0.25], [1 / 3] * 3
        >>> round(kl_divergence(p, q) * BITS, 5), round(kl_divergence(q, p) * BITS, 5)
        (0.08496, 0.0817)
    """
    p, q = _pair(p, q)
    seen = p > 0
    with np.errstate(divide="ignore"):
        return max(0.0, float((p[seen] * np.log(p[seen] / q[seen])).sum()))


def label_entropy(labels: ArrayLike) -> float:
    """H(y) of observed labels (the plug-in estimate), in nats: the most any view can say of y.

    Example:
        >>> round(label_entropy(["cat", "dog", "cat", "dog"]), 4)
        0.6931
    """
    _, counts = np.unique(np.asarray(labels), return_counts=True)
    return entropy(counts / counts.sum())


# --- what two variables share -------------------------------------------------------------------


def pointwise_information(joint: ArrayLike) -> np.ndarray:
    """The table log p(x,y) / (p(x) p(y)), in nats: the best critic; -inf where p(x,y) = 0.

    Its mean over the joint is the mutual information. Cells of a row or column without mass are 0.

    Example:
        >>> pointwise_information([[0.4, 0.1], [0.1, 0.4]]).round(4).tolist()
        [[0.47, -0.9163], [-0.9163, 0.47]]
    """
    table = distribution(joint, "joint", 2)
    product = table.sum(1, keepdims=True) * table.sum(0)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(product > 0, np.log(table / product), 0.0)


def mutual_information(joint: ArrayLike) -> float:
    """I(X;Y) = KL(p(x,y) || p(x) p(y)) = H(X) + H(Y) - H(X,Y), in nats.

    Args:
        joint: table of shape (x, y).

    Raises:
        UserError: joint is not a distribution over two variables.

    Example:
        >>> joint = [[0.4, 0.1], [0.1, 0.4]]
        >>> round(mutual_information(joint), 5), round(mutual_information(joint) * BITS, 5)
        (0.19274, 0.27807)
    """
    table = distribution(joint, "joint", 2)
    return kl_divergence(table, table.sum(1, keepdims=True) * table.sum(0))


def conditional_entropy(joint: ArrayLike) -> float:
    """H(X|Y) = H(X,Y) - H(Y), in nats: what is left of X once Y is known.

    Args:
        joint: table of shape (x, y).

    Example:
        >>> joint = [[0.4, 0.1], [0.1, 0.4]]
        >>> round(entropy(joint) * BITS, 5), round(conditional_entropy(joint) * BITS, 5)
        (1.72193, 0.72193)
    """
    table = distribution(joint, "joint", 2)
    return max(0.0, entropy(table) - entropy(table.sum(0)))


def conditional_mutual_information(joint: ArrayLike) -> float:
    """I(X;Y|Z) = sum_z p(z) I(X;Y|Z=z), in nats.

    With it the chain rule reads I(X;Y,Z) = I(X;Z) + I(X;Y|Z).

    Args:
        joint: table of shape (x, y, z).

    Example:
        >>> xor = np.zeros((2, 2, 2))  # z = x xor y: x and y share nothing until z is known
        >>> xor[0, 0, 0] = xor[0, 1, 1] = xor[1, 0, 1] = xor[1, 1, 0] = 0.25
        >>> round(mutual_information(xor.sum(2)), 4), round(conditional_mutual_information(xor), 4)
        (0.0, 0.6931)
    """
    table = distribution(joint, "joint", 3)
    mass = table.sum((0, 1))
    return sum(
        float(weight) * mutual_information(table[:, :, z] / weight)
        for z, weight in enumerate(mass)
        if weight > 0
    )


# --- Gaussians and Student's t ------------------------------------------------------------------


def gaussian_information(rho: float) -> float:
    """I(X;Y) = -0.5 log(1 - rho^2) of a bivariate Gaussian with correlation ``rho``, in nats.

    Raises:
        UserError: |rho| is 1 or more.

    Example:
        >>> [round(gaussian_information(rho), 5) for rho in (0.2, 0.5, 0.9)]
        [0.02041, 0.14384, 0.83037]
    """
    if not abs(rho) < 1:
        raise UserError(f"rho: {rho:g} is no correlation below 1. Use a number between -1 and 1.")
    return -0.5 * math.log1p(-(rho**2))


def gaussian_kl(
    mean_p: ArrayLike, covariance_p: ArrayLike, mean_q: ArrayLike, covariance_q: ArrayLike
) -> float:
    """KL(N(m, S) || N(n, T)) = 0.5 (tr T^-1 S + (n-m)' T^-1 (n-m) - d + log |T| / |S|), in nats.

    Args:
        mean_p: m, a number or shape (d,).
        covariance_p: S, a number (the variance) or shape (d, d).
        mean_q: n, as ``mean_p``.
        covariance_q: T, as ``covariance_p``.

    Raises:
        UserError: a covariance is not positive definite.

    Example:
        >>> gaussian_kl(0, 1, 1, 1)
        0.5
    """
    shift = np.atleast_1d(np.asarray(mean_q, float) - np.asarray(mean_p, float))
    s, t = np.atleast_2d(np.asarray(covariance_p, float)), np.atleast_2d(covariance_q)
    quadratic = shift @ np.linalg.solve(t, shift)
    trace = np.trace(np.linalg.solve(t, s))
    return 0.5 * float(trace + quadratic - len(shift) + _log_det(t) - _log_det(s))


def _log_det(covariance: np.ndarray) -> float:
    sign, value = np.linalg.slogdet(covariance)
    if sign <= 0 or (np.linalg.eigvalsh(covariance) <= 0).any():
        raise UserError("covariance: not positive definite. Drop a column that others determine.")
    return float(value)


def multivariate_gaussian_information(covariance: ArrayLike, dim_x: int) -> float:
    """I(X;Y) = 0.5 log(|S_x| |S_y| / |S|) of jointly Gaussian vectors, in nats.

    Args:
        covariance: S of (X, Y), shape (d, d): X's ``dim_x`` columns first. A correlation matrix
            gives the same number.
        dim_x: width of X, from 1 to d - 1.

    Raises:
        UserError: the matrix is not square and positive definite, or leaves no column for Y.

    Example:
        >>> round(multivariate_gaussian_information([[1.0, 0.9], [0.9, 1.0]], 1), 5)
        0.83037
    """
    s = np.asarray(covariance, dtype=np.float64)
    if s.ndim != 2 or s.shape[0] != s.shape[1] or not 0 < dim_x < len(s):
        raise UserError(
            f"covariance: shape {s.shape} is not (d, d) with dim_x = {dim_x} from 1 to d - 1. "
            "Give the covariance of both vectors side by side."
        )
    blocks = _log_det(s[:dim_x, :dim_x]) + _log_det(s[dim_x:, dim_x:])
    return max(0.0, 0.5 * (blocks - _log_det(s)))


def student_information(dispersion: ArrayLike, dim_x: int, freedom: float) -> float:
    """I(X;Y) of a multivariate Student t, in nats: the Gaussian's, and what the tails share.

    I = I_gauss(dispersion) + c(dim_x) + c(dim_y) - c(dim_x + dim_y), where, with nu degrees of
    freedom, c(d) = (nu + d)/2 psi((nu + d)/2) - log Gamma((nu + d)/2), less what does not depend
    on d (P. Czyz et al., Beyond Normal, NeurIPS 2023, appendix). Not zero for the identity: one
    radius scales all columns.

    Args:
        dispersion: shape (d, d), X's ``dim_x`` columns first.
        dim_x: width of X.
        freedom: nu > 0.

    Raises:
        UserError: as :func:`multivariate_gaussian_information`, or ``freedom`` is not positive.

    Example:
        >>> round(student_information(np.eye(2), 1, freedom=1), 4)
        0.2242
    """
    if not freedom > 0:
        raise UserError(f"freedom: {freedom:g} is not positive. Use for example 3.")
    shared = multivariate_gaussian_information(dispersion, dim_x)
    dim = len(np.asarray(dispersion))

    def c(d: int) -> float:
        half, base = (freedom + d) / 2, freedom / 2
        slope = half * (_digamma(half) - _digamma(base))
        return slope - math.lgamma(half) + math.lgamma(base)

    return shared + c(dim_x) + c(dim - dim_x) - c(dim)


def _digamma(x: float) -> float:
    """The derivative of log Gamma, by its recurrence and asymptotic series; error below 1e-12."""
    shift = 0.0
    while x < 10.0:
        shift, x = shift - 1.0 / x, x + 1.0
    y = 1.0 / (x * x)
    series = y * (1 / 12 - y * (1 / 120 - y * (1 / 252 - y * (1 / 240 - y * (1 / 132)))))
    return shift + math.log(x) - 0.5 / x - series


# --- the ceiling ----------------------------------------------------------------------------------


def ceiling(candidates: int) -> float:
    """The most I_NCE can show with K candidates (1 positive, K - 1 negatives): log K nats.

    Example:
        >>> [round(ceiling(k), 3) for k in (128, 4097, 16385, 65537)]
        [4.852, 8.318, 9.704, 11.09]
    """
    if candidates < 2:
        raise UserError(f"candidates: {candidates} leaves no negative. Use at least 2.")
    return math.log(candidates)
