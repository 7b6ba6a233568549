r"""Copula models: what elliptical dependence carries, once the margins are taken out.

Every column is replaced by its ranks, so no strictly increasing map of a column changes a result.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from scipy import special, stats

from goodviews.estimators.elliptical import Canonical, Elliptical, quantiles, whitening
from goodviews.estimators.reading import Reading, folds
from goodviews.estimators.variables import Variable, normal_scores
from goodviews.interfaces import UserError

DEGREES = (1.0, 1.5, 2.0, 3.0, 4.0, 6.0, 10.0, 20.0, 60.0, math.inf)
"""Degrees of freedom that :func:`student` tries; infinity is the Gaussian copula."""

SHRINKAGE = (1.0, 0.95, 0.9, 0.8)
"""Factors on the canonical correlations that :func:`student` tries."""

SHIFTS = 8
"""Product pairs are (x_i, y_{i+s}) for s = 1..SHIFTS within held-out rows: no pair is its own."""


def student(
    x: Variable,
    y: Variable,
    *,
    seed: int,
    shuffles: int,
    device: str = "cpu",
    parts: int = 5,
    degrees: tuple[float, ...] = DEGREES,
) -> Reading:
    r"""Cross-fitted t-copula: I = mean log c(u_x, u_y) / (c(u_x) c(u_y)) on rows it did not see.

    The degrees of freedom, the number of canonical pairs and their shrinkage are those with the
    best guarded score, mean f - max(0, log mean e^f over shifted pairs), on the other folds; f = 0
    takes part, so that heavy tails alone are not taken for dependence.

    Args:
        x: real vectors, n rows.
        y: real vectors, n rows.
        seed: of the folds and shuffles.
        shuffles: how many values of the null to return.
        device: not used; this runs in NumPy.
        parts: number of folds.
        degrees: degrees of freedom to choose among.

    Raises:
        UserError: for labels.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> x = rng.normal(size=(2000, 1))
        >>> y = 0.75 * x + math.sqrt(1 - 0.75**2) * rng.normal(size=(2000, 1))  # 0.413 nats
        >>> reading = student(Variable(x), Variable(np.exp(y)), seed=0, shuffles=0)
        >>> abs(reading.nats - 0.413) < 0.03
        True
    """
    _need_numbers("student", x, y)
    if len(x) < 2 * parts:
        raise UserError(f"student: {len(x)} rows are too few for {parts} folds. Use more rows.")
    number = folds(len(x), parts, seed)
    held = [np.flatnonzero(number == i) for i in range(parts)]
    seen = [np.flatnonzero(number != i) for i in range(parts)]
    fits = Folds.fit(x.values, y.values, seen, held, degrees)
    rng = np.random.default_rng(seed)
    values = np.zeros(len(x))
    shuffled = np.zeros((parts, shuffles))
    normalisers = []
    optimism = []
    chosen = []
    for fold, rows in enumerate(fits.rows):
        option = fits.best_without(fold)
        chosen.append(option)
        values[rows] = fits.read(fold, option)
        normalisers.append(fits.log_normaliser(fold, option))
        optimism.append(fits.read_seen(fold, option) - values[rows].mean())
        for i in range(shuffles):
            shuffled[fold, i] = fits.read(fold, option, rng.permutation(len(rows))).mean()
    weights = np.array([len(rows) for rows in fits.rows]) / len(x)
    log_means, carried = zip(*normalisers, strict=True)
    guard = max(0.0, float(weights @ log_means))
    return Reading(
        values,
        weights @ shuffled,
        noise=math.hypot(fitting_noise(x, y), max(0.0, weights @ optimism / 2)),
        lower=values.mean() - guard if min(carried) >= 100 else None,
        details={
            "nu": [o.nu for o in chosen],
            "pairs": [o.pairs for o in chosen],
            "shrinkage": [o.shrinkage for o in chosen],
        },
    )


class Option(NamedTuple):
    """What a fold may choose: degrees of freedom, canonical pairs kept, factor on them."""

    nu: float
    pairs: int
    shrinkage: float

    def shrink(self, correlations: np.ndarray) -> np.ndarray:
        """The canonical correlations that this option reads."""
        return np.where(np.arange(len(correlations)) < self.pairs, self.shrinkage * correlations, 0)


@dataclass(frozen=True)
class Folds:
    """Elliptical copulas of every fold and every nu, read on the rows they did not see."""

    u: tuple[np.ndarray, np.ndarray]
    """Uniform scores of all rows of x and y."""
    seen: list[np.ndarray]
    rows: list[np.ndarray]
    fits: dict[tuple[int, float], tuple[Elliptical, Canonical]]
    scores: dict[Option, np.ndarray]
    """Guarded score of each option, shape (parts,)."""

    @classmethod
    def fit(
        cls,
        x: np.ndarray,
        y: np.ndarray,
        seen: Sequence[np.ndarray],
        held: Sequence[np.ndarray],
        degrees: Sequence[float],
    ) -> Folds:
        """Fit on the rows ``seen`` of each fold, and score every option on its ``held`` rows.

        From the Gaussian to heavier tails, until three in a row score no better.
        """
        ux, uy = (stats.rankdata(v, axis=0) / (len(v) + 1) for v in (x, y))
        out = cls((ux, uy), list(seen), list(held), {}, {})
        models: dict[int, Elliptical] = {}
        best, worse = -math.inf, 0
        for nu in sorted(degrees, reverse=True):
            zx, zy = quantiles(ux, nu), quantiles(uy, nu)
            for i, rows in enumerate(seen):
                models[i] = Elliptical.fit(zx[rows], zy[rows], nu, models.get(i))
                out.fits[i, nu] = models[i], models[i].canonical(zx[held[i]], zy[held[i]])
            for option in _options(nu, len(models[0].correlations)):
                out.scores[option] = np.array([out.guarded(i, option) for i in range(len(held))])
            now = max(v.mean() for option, v in out.scores.items() if option.nu == nu)
            best, worse = (now, 0) if now > best else (best, worse + 1)
            if worse == 3:
                break
        return out

    def read(self, fold: int, option: Option, order: np.ndarray | None = None) -> np.ndarray:
        """Log r of the fold's rows, or with y in another order."""
        model, rows = self.fits[fold, option.nu]
        s = option.shrink(model.correlations)
        if not option.pairs and math.isinf(option.nu):
            return np.zeros(len(rows.a))
        return model.log_ratio(rows if order is None else rows.shuffled(order), s)

    def read_seen(self, fold: int, option: Option) -> float:
        """Mean log r of the rows that the fold's model was fitted to: too high."""
        model, _ = self.fits[fold, option.nu]
        zx, zy = (quantiles(u[self.seen[fold]], option.nu) for u in self.u)
        return float(
            model.log_ratio(model.canonical(zx, zy), option.shrink(model.correlations)).mean()
        )

    def log_normaliser(self, fold: int, option: Option) -> tuple[float, float]:
        """Log mean e^f over pairs (x_i, y_(i+s)), and how many of them carry it."""
        n = len(self.rows[fold])
        shifts = range(1, min(SHIFTS, n - 1) + 1)
        f = np.concatenate([self.read(fold, option, np.roll(np.arange(n), s)) for s in shifts])
        total = special.logsumexp(f)
        carry = math.exp(2 * total - special.logsumexp(2 * f))
        return float(total - math.log(len(f))), carry

    def guarded(self, fold: int, option: Option) -> float:
        """Mean f - max(0, log mean e^f over shifted pairs)."""
        guard, _ = self.log_normaliser(fold, option)
        return float(self.read(fold, option).mean()) - max(0.0, guard)

    def best_without(self, fold: int) -> Option:
        """The option with the best mean score on the other folds."""
        return max(self.scores, key=lambda o: np.delete(self.scores[o], fold).mean())


def _options(nu: float, most: int) -> list[Option]:
    """All options of one nu; no pairs at nu = infinity is f = 0, the one that sees nothing."""
    counts = sorted({k for k in (1, 2, 3, 4, 6, 8, 12, 16, 24, 32) if k < most} | {most})
    return [Option(nu, 0, 1.0)] + [Option(nu, k, c) for k in counts for c in SHRINKAGE]


def _need_numbers(method: str, *variables: Variable) -> None:
    if any(v.discrete for v in variables):
        raise UserError(
            f"--method {method}: reads numbers, not labels. Use --method ksg, discrete or auto."
        )


def gaussian(
    x: Variable,
    y: Variable,
    *,
    seed: int,
    shuffles: int,
    device: str = "cpu",
    ranks: bool = True,
) -> Reading:
    r"""Gaussian copula with the exact correction for the number of dimensions.

    I = 1/2 (log|Rx| + log|Ry| - log|R|) - 1/2 (s(dx) + s(dy) - s(dx + dy)),
    s(k) = sum_{i=1..k} psi((n - i) / 2), unbiased for Gaussian data; without the second part it is
    high by about dx dy / 2n. The null is exact: every shuffle is measured anew.

    Args:
        x: real vectors, n rows.
        y: real vectors, n rows.
        seed: of the shuffles.
        shuffles: how many values of the null to return.
        device: not used.
        ranks: read normal scores; False reads the columns as they are (canonical correlations).

    Raises:
        UserError: for labels, or n <= dx + dy + 1.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> x, y = rng.normal(size=(2, 500, 10))  # independent; uncorrected 0.1 nats
        >>> abs(gaussian(Variable(x), Variable(y), seed=0, shuffles=0).nats) < 0.03
        True
    """
    _need_numbers("gaussian", x, y)
    n, d = len(x), x.width + y.width
    if n <= d + 1:
        raise UserError(
            f"gaussian: {n} rows are too few for {x.width} + {y.width} dimensions, more than "
            f"{d + 1} are needed. Use --method student, which shrinks, or reduce the dimensions."
        )
    zx, zy = (normal_scores(v.values) if ranks else v.values - v.values.mean(0) for v in (x, y))
    zx, zy = (z @ whitening(z.T @ z / n) for z in (zx, zy))

    def value(order: np.ndarray) -> float:
        s = np.linalg.svd(zx.T @ zy[order] / n, compute_uv=False).clip(0, 1 - 1e-12)
        return -0.5 * float(np.log1p(-s * s).sum())

    model = Elliptical.of_scatter(np.cov(np.hstack([zx, zy]).T, bias=True), x.width, math.inf)
    values = model.log_ratio(model.canonical(zx, zy), model.correlations)
    bias = -0.5 * (_digammas(n, d) - _digammas(n, x.width) - _digammas(n, y.width))
    rng = np.random.default_rng(seed)
    null = np.array([value(rng.permutation(n)) - bias for _ in range(shuffles)])
    return Reading(
        values - values.mean() + value(np.arange(n)) - bias,
        null,
        noise=fitting_noise(x, y),
        split="all",
        details={"canonical_correlations": model.correlations[:10].round(4).tolist()},
    )


def fitting_noise(x: Variable, y: Variable) -> float:
    """Standard deviation of a fitted copula's information at independence: sqrt(dx dy / 2) / n.

    There 2 n I is a chi-square with dx dy degrees of freedom, and rows' values hardly vary.
    """
    return math.sqrt(x.width * y.width / 2) / len(x)


def _digammas(n: int, k: int) -> float:
    """s(k) = sum_{i=1..k} psi((n - i) / 2)."""
    return float(special.digamma((n - np.arange(1, k + 1)) / 2).sum())
