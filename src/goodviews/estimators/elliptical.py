"""The elliptical model: Student's t with one scatter matrix, in canonical coordinates."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from scipy import linalg, special, stats


class Canonical(NamedTuple):
    """Rows in canonical coordinates: x and y are white, and only a_k and b_k are correlated."""

    a: np.ndarray
    """Shape (n, r), r = min(dx, dy)."""
    b: np.ndarray
    """Shape (n, r)."""
    qx: np.ndarray
    """x^T Rx^-1 x, shape (n,)."""
    qy: np.ndarray
    """y^T Ry^-1 y, shape (n,)."""

    def shifted(self, by: int) -> Canonical:
        """The same x with y rolled by some rows: pairs of the product distribution."""
        return Canonical(self.a, np.roll(self.b, by, 0), self.qx, np.roll(self.qy, by))

    def shuffled(self, order: np.ndarray) -> Canonical:
        """The same x with y in another order."""
        return Canonical(self.a, self.b[order], self.qx, self.qy[order])


@dataclass(frozen=True)
class Elliptical:
    r"""A fitted t-copula with nu degrees of freedom and canonical correlations s_k.

    log r(x, y) = log t_{d}([x, y]) - log t_{dx}(x) - log t_{dy}(y), all with scatter blocks of one
    R and the same nu; at nu = infinity the Gaussian copula.
    """

    to_a: np.ndarray
    to_b: np.ndarray
    whiten_x: np.ndarray
    whiten_y: np.ndarray
    correlations: np.ndarray
    nu: float
    r: np.ndarray
    """The scatter matrix."""

    @classmethod
    def fit(
        cls, zx: np.ndarray, zy: np.ndarray, nu: float, start: Elliptical | None = None
    ) -> Elliptical:
        """Scatter by EM (:func:`scatter`), then canonical correlations of its blocks."""
        guess = None if start is None else start.r
        return cls.of_scatter(scatter(np.hstack([zx, zy]), nu, guess), zx.shape[1], nu)

    @classmethod
    def of_scatter(cls, r: np.ndarray, dx: int, nu: float) -> Elliptical:
        """Canonical form of a scatter matrix whose first ``dx`` columns are x."""
        wx, wy = (whitening(block) for block in (r[:dx, :dx], r[dx:, dx:]))
        u, s, v = linalg.svd(wx.T @ r[:dx, dx:] @ wy, full_matrices=False)
        return cls(wx @ u, wy @ v.T, wx, wy, s.clip(0, 1 - 1e-9), nu, r)

    def canonical(self, zx: np.ndarray, zy: np.ndarray) -> Canonical:
        """Rows of scores in canonical coordinates."""
        norms = (np.square(z @ w).sum(1) for z, w in ((zx, self.whiten_x), (zy, self.whiten_y)))
        return Canonical(zx @ self.to_a, zy @ self.to_b, *norms)

    def log_ratio(self, rows: Canonical, s: np.ndarray) -> np.ndarray:
        """Log p(x,y)/(p(x)p(y)), shape (n,), with (shrunk) canonical correlations ``s`` (r,)."""
        keep = s > 0
        t = s[keep]
        a, b = rows.a[:, keep], rows.b[:, keep]
        joint = rows.qx + rows.qy
        joint = joint + (((a * a + b * b) * t - 2 * a * b) * (t / (1 - t * t))).sum(1)
        if math.isinf(self.nu):
            return self.constant(s) + 0.5 * (rows.qx + rows.qy - joint)
        dx, dy = self.widths
        logs = [
            (self.nu + d) / 2 * np.log1p(q / self.nu)
            for d, q in ((dx, rows.qx), (dy, rows.qy), (dx + dy, joint))
        ]
        return self.constant(s) + logs[0] + logs[1] - logs[2]

    def constant(self, s: np.ndarray) -> float:
        """The part of the log-ratio that no row changes."""
        gaussian = -0.5 * float(np.log1p(-s * s).sum())
        if math.isinf(self.nu):
            return gaussian
        dx, dy = self.widths
        joint, x, y, none = (special.gammaln((self.nu + d) / 2) for d in (dx + dy, dx, dy, 0))
        return gaussian + float(joint + none - x - y)

    @property
    def widths(self) -> tuple[int, int]:
        """Dimensions of x and y."""
        return len(self.whiten_x), len(self.whiten_y)


def whitening(block: np.ndarray) -> np.ndarray:
    """W with W^T block W = 1; directions without spread are dropped to a floor."""
    values, vectors = linalg.eigh(block)
    return vectors / np.sqrt(values.clip(values[-1] * 1e-10))


def scatter(
    z: np.ndarray,
    nu: float,
    start: np.ndarray | None = None,
    steps: int = 100,
    tolerance: float = 1e-5,
) -> np.ndarray:
    r"""Scatter R of a centred multivariate t by EM: weights (nu + d)/(nu + z^T R^-1 z).

    Args:
        z: rows, shape (n, d).
        nu: degrees of freedom; infinity gives z^T z / n.
        start: first guess; None: z^T z / n.
        steps: at most so many rounds.
        tolerance: stops when no entry moves by more.

    Example:
        >>> z = np.random.default_rng(0).normal(size=(1000, 2))
        >>> bool(np.allclose(scatter(z, math.inf), z.T @ z / 1000))
        True
    """
    n, d = z.shape
    r = z.T @ z / n if start is None or math.isinf(nu) else start
    if math.isinf(nu):
        return r
    for _ in range(steps):
        q = np.square(z @ whitening(r)).sum(1)
        weights = (nu + d) / (nu + q)
        new = (z * weights[:, None]).T @ z / weights.sum()  # PX-EM: same limit, fewer rounds
        moved = np.abs(new - r).max() / np.abs(r).max()
        r = new
        if moved < tolerance:
            break
    return r


def quantiles(u: np.ndarray, nu: float) -> np.ndarray:
    """Uniform scores to quantiles of Student's t; of the normal at nu = infinity."""
    return stats.norm.ppf(u) if math.isinf(nu) else stats.t.ppf(u, nu)
