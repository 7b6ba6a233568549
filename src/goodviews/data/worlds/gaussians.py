"""Gaussian worlds: vectors, sequences and noisy images whose information is a determinant."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
from numpy.random import Generator
from scipy.linalg import solve_triangular

from goodviews.data.worlds.world import World
from goodviews.interfaces import UserError


def from_covariance(covariance: np.ndarray, dim_x: int, name: str = "gaussian") -> World:
    r"""Zero-mean Gaussian (x, y) of any covariance S.

    I = (log|S_x| + log|S_y| - log|S|) / 2; the log-ratio adds
    (x^T S_x^-1 x + y^T S_y^-1 y - z^T S^-1 z) / 2 with z = (x, y).

    Args:
        covariance: S, shape (d, d), positive definite.
        dim_x: the first so many coordinates are x.
        name: of the world.

    Raises:
        UserError: S is not symmetric and positive definite, or leaves no x or no y.

    Example:
        >>> world = from_covariance(np.array([[2.0, 1.0], [1.0, 2.0]]), 1)
        >>> round(world.nats, 5), round(-0.5 * math.log(1 - 0.5**2), 5)
        (0.14384, 0.14384)
    """
    width = len(covariance)
    if not 0 < dim_x < width:
        raise UserError(f"dim_x: {dim_x} of {width} coordinates. Leave at least one to each side.")
    blocks = covariance, covariance[:dim_x, :dim_x], covariance[dim_x:, dim_x:]
    joint, left, right = (_cholesky(block) for block in blocks)
    halves = [float(np.log(np.diag(root)).sum()) for root in (left, right, joint)]
    nats = halves[0] + halves[1] - halves[2]

    def draw(n: int, rng: Generator) -> tuple[np.ndarray, np.ndarray]:
        z = rng.standard_normal((n, width)) @ joint.T
        return z[:, :dim_x], z[:, dim_x:]

    def log_ratio(x: np.ndarray, y: np.ndarray) -> np.ndarray:
        z = np.concatenate([x, y], axis=1)
        return nats + (_squares(left, x) + _squares(right, y) - _squares(joint, z)) / 2

    return World(name, dim_x, width - dim_x, nats, draw, log_ratio)


def gaussian(dim: int = 20, nats: float = 6.0) -> World:
    r"""``dim`` independent pairs of correlation rho, rho^2 = 1 - exp(-2 I / dim), I in all.

    The staircase of Poole et al. (2019, section 3) and Song and Ermon (2020) at dim = 20.

    Args:
        dim: width of x and of y.
        nats: I, 0 or more; up to 10 is usual.

    Raises:
        UserError: dim < 1 or nats < 0.

    Example:
        >>> gaussian(dim=3, nats=0.0).nats, round(gaussian(20, 10.0).nats, 9)
        (0.0, 10.0)
    """
    if dim < 1 or nats < 0:
        raise UserError(f"gaussian: dim {dim} and nats {nats}. Use dim >= 1 and nats >= 0.")
    rho = math.sqrt(-math.expm1(-2 * nats / dim))
    world = from_covariance(_paired(dim, dim, rho), dim, f"gaussian-{dim}-{nats:g}")
    return dataclasses.replace(world, nats=float(nats))


def sparse(dim: int = 5, pairs: int = 2, rho: float = 0.8) -> World:
    r"""Only the first ``pairs`` coordinates are correlated: I = -pairs log(1 - rho^2) / 2.

    Example:
        >>> round(sparse().nats, 4)
        1.0217
    """
    _correlation(rho)
    if not 0 <= pairs <= dim:
        raise UserError(f"pairs: {pairs} of {dim} coordinates. Use 0 to {dim}.")
    return from_covariance(_paired(dim, pairs, rho), dim, f"sparse-{dim}-{pairs}")


def dense(dim: int = 5, rho: float = 0.5) -> World:
    """All 2 ``dim`` coordinates have correlation ``rho`` >= 0 with each other.

    Example:
        >>> round(dense(5, 0.5).nats, 4)
        0.5928
    """
    _correlation(rho)
    covariance = np.full((2 * dim, 2 * dim), rho)
    np.fill_diagonal(covariance, 1.0)
    return from_covariance(covariance, dim, f"dense-{dim}")


def autoregression(phi: float = 0.9, past: int = 5, future: int = 5) -> World:
    r"""Past and future of z_t = phi z_{t-1} + noise: I = -log(1 - phi^2) / 2, whatever the lengths.

    Only the last value of the past tells of the future (Markov).

    Example:
        >>> round(autoregression(0.9, past=8).nats, 5), round(autoregression(0.9, 1, 1).nats, 5)
        (0.83037, 0.83037)
    """
    _correlation(phi)
    return from_covariance(_decaying(past + future, phi), past, f"autoregression-{past}-{future}")


def noisy_images(
    side: int = 8, correlation: float = 0.9, noise: float = 0.5, rows: int | None = None
) -> World:
    """Two noisy looks at one image, the second at its top rows only: I grows with the rows.

    The image is a Gaussian field of unit variance whose neighbours have ``correlation``; each look
    adds noise of its own. For the self-consistency tests of Song and Ermon (2020), with
    a known truth.

    Args:
        side: of the square image.
        correlation: of neighbouring pixels, in (-1, 1).
        noise: standard deviation of the noise of each look.
        rows: how many rows the second look shows; None is all.

    Example:
        >>> [round(noisy_images(rows=rows).nats, 2) for rows in (1, 4, 8)]
        [2.56, 6.41, 10.95]
    """
    _correlation(correlation)
    rows = side if rows is None else rows
    if not 1 <= rows <= side or noise <= 0:
        raise UserError(f"noisy_images: rows {rows}, noise {noise}. Use 1 to {side}, noise > 0.")
    line = _decaying(side, correlation)
    field = np.kron(line, line)
    seen = np.r_[: side * side, : rows * side]
    covariance = field[np.ix_(seen, seen)] + noise**2 * np.eye(len(seen))
    return from_covariance(covariance, side * side, f"noisy-images-{side}-{rows}")


def _paired(dim: int, pairs: int, rho: float) -> np.ndarray:
    """Unit variances; the first ``pairs`` coordinates of x and y have correlation rho."""
    covariance = np.eye(2 * dim)
    first = np.arange(pairs)
    covariance[first, dim + first] = covariance[dim + first, first] = rho
    return covariance


def _decaying(length: int, rho: float) -> np.ndarray:
    """Correlation rho^|i - j|."""
    place = np.arange(length)
    return rho ** np.abs(place[:, None] - place)


def _cholesky(covariance: np.ndarray) -> np.ndarray:
    try:
        if not np.allclose(covariance, covariance.T):
            raise np.linalg.LinAlgError
        return np.linalg.cholesky(covariance)
    except np.linalg.LinAlgError:
        raise UserError(
            "covariance: not symmetric and positive definite. Lower the correlations."
        ) from None


def _squares(root: np.ndarray, values: np.ndarray) -> np.ndarray:
    """v^T S^-1 v row by row, S = L L^T."""
    return np.square(solve_triangular(root, values.T, lower=True)).sum(0)


def _correlation(rho: float) -> None:
    if not -1 < rho < 1:
        raise UserError(f"correlation: {rho} is not in (-1, 1). Use for example 0.8.")
