"""Heavy tails and mixtures: dependence that no correlation shows."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.random import Generator
from scipy.linalg import solve_triangular
from scipy.special import digamma, gammaln, logsumexp

from goodviews.data.worlds.gaussians import from_covariance
from goodviews.data.worlds.world import World, monte_carlo
from goodviews.interfaces import UserError

Density = Callable[[np.ndarray], np.ndarray]


def student(
    dim_x: int = 2, dim_y: int = 2, dof: float = 2.0, dispersion: np.ndarray | None = None
) -> World:
    r"""Multivariate Student's t: dependent even where nothing is correlated.

    I = I_Gauss(S) + c(nu) + c(nu + d_x + d_y) - c(nu + d_x) - c(nu + d_y), with
    c(t) = log Gamma(t/2) - (t/2) psi(t/2) (Arellano-Valle et al. 2013; Czyz et al.
    2023): what the Gaussian of dispersion S would have, and what the common scale of x and y adds.

    Args:
        dim_x: width of x.
        dim_y: width of y.
        dof: degrees of freedom nu > 0; 1 is Cauchy.
        dispersion: S, shape (dim_x + dim_y,) * 2; None is the identity.

    Raises:
        UserError: dof is not positive, or S is not a covariance of that size.

    Example:
        >>> round(student(1, 1, dof=1).nats, 4), round(student(5, 5, dof=2).nats, 4)
        (0.2242, 0.4482)
    """
    width = dim_x + dim_y
    scale = np.eye(width) if dispersion is None else np.asarray(dispersion, dtype=np.float64)
    if dof <= 0 or scale.shape != (width, width):
        raise UserError(f"student: dof {dof}, S {scale.shape}. Use dof > 0, S ({width}, {width}).")
    base = from_covariance(scale, dim_x)
    joint, left, right = (
        _student_density(block, dof)
        for block in (scale, scale[:dim_x, :dim_x], scale[dim_x:, dim_x:])
    )

    def draw(n: int, rng: Generator) -> tuple[np.ndarray, np.ndarray]:
        x, y = base.draw(n, rng)
        common = np.sqrt(dof / rng.chisquare(dof, (n, 1)))
        return common * x, common * y

    nats = base.nats + _c(dof) + _c(dof + width) - _c(dof + dim_x) - _c(dof + dim_y)
    name = f"student-{dim_x}-{dim_y}-{dof:g}"
    return World(name, dim_x, dim_y, nats, draw, _ratio(joint, left, right))


def mixture(
    weights: np.ndarray,
    means: np.ndarray,
    covariances: np.ndarray,
    dim_x: int,
    name: str = "mixture",
    draws: int = 400_000,
) -> World:
    """A mixture of Gaussians: the log-ratio is exact, I its Monte Carlo mean.

    Args:
        weights: shape (k,), summing to 1.
        means: shape (k, d).
        covariances: shape (k, d, d).
        dim_x: the first so many coordinates are x.
        name: of the world.
        draws: of the Monte Carlo mean; see ``World.nats_stderr``.

    Raises:
        UserError: the weights do not sum to 1.

    Example:
        >>> from goodviews.data.worlds import gaussian
        >>> one = mixture(np.ones(1), np.zeros((1, 2)), np.array([[[1, 0.5], [0.5, 1]]]), 1)
        >>> abs(one.nats - 0.14384) < 4 * one.nats_stderr < 0.01
        True
    """
    weights, means = np.asarray(weights, np.float64), np.asarray(means, np.float64)
    if not np.isclose(weights.sum(), 1.0) or (weights < 0).any():
        raise UserError(f"weights: {weights.tolist()} are not probabilities. Make them sum to 1.")
    roots = np.linalg.cholesky(covariances)

    def draw(n: int, rng: Generator) -> tuple[np.ndarray, np.ndarray]:
        part = rng.choice(len(weights), n, p=weights)
        steps = rng.standard_normal((n, means.shape[1]))
        z = means[part]
        for k, root in enumerate(roots):
            z[part == k] += steps[part == k] @ root.T
        return z[:, :dim_x], z[:, dim_x:]

    sides = slice(None), slice(dim_x), slice(dim_x, None)
    densities = [
        _mixture_density(weights, means[:, side], covariances[:, side, side]) for side in sides
    ]
    exact = World(name, dim_x, means.shape[1] - dim_x, 0.0, draw, _ratio(*densities))
    return monte_carlo(exact, draws)


def cross(rho: float = 0.9) -> World:
    """Half of the pairs have correlation rho, half -rho: uncorrelated, not independent.

    Example:
        >>> round(cross(0.9).nats, 1)
        0.4
    """
    arms = np.array([[[1.0, sign * rho], [sign * rho, 1.0]] for sign in (1, -1)])
    return mixture(np.array([0.5, 0.5]), np.zeros((2, 2)), arms, 1, "cross")


def inliers(share: float = 0.8, rho: float = 0.9) -> World:
    """A share of the pairs is correlated, the others are independent and spread wider.

    Example:
        >>> round(inliers().nats, 1)
        0.6
    """
    covariances = np.array([[[1.0, rho], [rho, 1.0]], [[9.0, 0.0], [0.0, 9.0]]])
    weights = np.array([share, 1.0 - share])
    return mixture(weights, np.zeros((2, 2)), covariances, 1, "inliers")


def clusters(count: int = 4, gap: float = 6.0, dim: int = 2) -> World:
    """Both sides show the same one of ``count`` clusters and nothing else: I is nearly log count.

    The centres lie on a line in each side, ``gap`` standard deviations apart; y has them in
    another order.

    Example:
        >>> round(clusters(4, gap=8.0).nats, 2), round(float(np.log(4)), 2)
        (1.39, 1.39)
    """
    means = np.zeros((count, 2 * dim))
    means[:, 0] = gap * np.arange(count)
    means[:, dim] = gap * np.r_[0:count:2, 1:count:2]
    covariances = np.tile(np.eye(2 * dim), (count, 1, 1))
    return mixture(np.full(count, 1 / count), means, covariances, dim, "clusters")


def _c(t: float) -> float:
    return float(gammaln(t / 2) - t / 2 * digamma(t / 2))


def _ratio(joint: Density, left: Density, right: Density) -> Callable[..., np.ndarray]:
    """Log density of (x, y), less those of x and of y."""
    return lambda x, y: joint(np.concatenate([x, y], axis=1)) - left(x) - right(y)


def _student_density(scale: np.ndarray, dof: float) -> Density:
    """The log density of t, but for the terms in pi and nu that cancel in the ratio."""
    root, width = np.linalg.cholesky(scale), len(scale)
    constant = gammaln((dof + width) / 2) - gammaln(dof / 2) - np.log(np.diag(root)).sum()

    def density(z: np.ndarray) -> np.ndarray:
        squares = np.square(solve_triangular(root, z.T, lower=True)).sum(0)
        return constant - (dof + width) / 2 * np.log1p(squares / dof)

    return density


def _mixture_density(weights: np.ndarray, means: np.ndarray, covariances: np.ndarray) -> Density:
    """The log density of a mixture, but for the power of 2 pi that cancels in the ratio."""
    roots = np.linalg.cholesky(covariances)

    def density(z: np.ndarray) -> np.ndarray:
        parts = [
            -0.5 * np.square(solve_triangular(root, (z - mean).T, lower=True)).sum(0)
            - np.log(np.diag(root)).sum()
            for mean, root in zip(means, roots, strict=True)
        ]
        return logsumexp(np.stack(parts, axis=1), axis=1, b=weights)

    return density
