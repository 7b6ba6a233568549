"""Batches of dependent pairs: the law of each pair is known, together they are not i.i.d."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.random import Generator

from goodviews.data.worlds.gaussians import from_covariance
from goodviews.data.worlds.world import World
from goodviews.interfaces import UserError


@dataclass(frozen=True)
class DependentBatches:
    """Batches of pairs (x_i, y_i) = Z + e_i that share one Z, or the same pairs drawn one by one.

    Example:
        >>> batches = dependent_gaussian()
        >>> x, y = batches.draw(128, np.random.default_rng(0), shared=True)
        >>> x.shape, round(batches.pair.nats, 4), round(batches.given.nats, 4)
        ((128, 1), 0.0204, 0.8304)
    """

    pair: World
    """The law of a single pair, whichever way its batch is drawn; ``pair.nats`` is I(x;y)."""
    given: World
    """The law of e = (x, y) - Z: of a pair once Z is known; ``given.nats`` is I(x;y|Z)."""
    centre: World
    """The law of Z."""

    def draw(self, n: int, rng: Generator, shared: bool) -> tuple[np.ndarray, np.ndarray]:
        """One batch of n pairs, float64 (n, d_x) and (n, d_y): with one Z, or each with its own.

        Raises:
            UserError: n is not positive.
        """
        if n < 1:
            raise UserError(f"n: {n} pairs. Draw at least 1.")
        if not shared:
            return self.pair.draw(n, rng)
        (zx, zy), (x, y) = self.centre.draw(1, rng), self.given.draw(n, rng)
        return zx + x, zy + y


def dependent_gaussian(
    between: Sequence[Sequence[float]] = ((1.0, -0.5), (-0.5, 1.0)),
    within: Sequence[Sequence[float]] = ((1.0, 0.9), (0.9, 1.0)),
    dim_x: int = 1,
) -> DependentBatches:
    r"""Z ~ N(0, B) once a batch, e_i ~ N(0, W) independent, (x_i, y_i) = Z + e_i ~ N(0, B + W).

    I(x;y) = (log|S_x| + log|S_y| - log|S|) / 2 with S = B + W, and I(x;y|Z) is the same of W. By
    default those of Tschannen et al. 2019, section 3.4: correlation 0.2 of a pair, 0.9 given Z.

    Args:
        between: B, shape (d, d), positive definite.
        within: W, the same.
        dim_x: the first so many coordinates are x.

    Raises:
        UserError: B or W is no covariance, their sizes differ, or one side is left empty.

    Example:
        >>> still = dependent_gaussian(within=((1.0, 0.5), (0.5, 1.0)))
        >>> still.pair.nats, round(still.given.nats, 4)
        (0.0, 0.1438)
    """
    b, w = np.asarray(between, dtype=np.float64), np.asarray(within, dtype=np.float64)
    if b.shape != w.shape:
        raise UserError(f"within: shape {w.shape} differs from between's {b.shape}. Use one size.")
    return DependentBatches(
        from_covariance(b + w, dim_x, "dependent-gaussian"),
        from_covariance(w, dim_x, "dependent-gaussian, Z known"),
        from_covariance(b, dim_x, "dependent-gaussian, Z"),
    )
