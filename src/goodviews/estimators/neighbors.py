"""Nearest neighbours: KSG for numbers, Ross for numbers and labels, Gao for numbers that tie."""

from __future__ import annotations

import contextlib
from collections.abc import Callable

import numpy as np
from scipy.spatial import cKDTree
from scipy.special import digamma

from goodviews.estimators.distances import (
    METRICS,
    Norm,
    count_within,
    jittered,
    near_counts,
    neighbor_scores,
)
from goodviews.estimators.reading import Reading
from goodviews.estimators.variables import Variable
from goodviews.interfaces import UserError, check_name


def ksg(
    x: Variable,
    y: Variable,
    *,
    seed: int,
    shuffles: int,
    device: str = "cpu",
    neighbors: int = 3,
    variant: int = 1,
    scores: bool = True,
    norm: Norm = "max",
    max_dims: int = 10,
    null_rows: int = 2000,
) -> Reading:
    r"""I(x;y) by k nearest neighbours (Kraskov, Stoegbauer and Grassberger 2004), in nats.

    Variant 1, eq. 8: ``psi(k) + psi(n) - mean_i[psi(n_x + 1) + psi(n_y + 1)]``, where n_x and n_y
    count the rows strictly nearer in x, in y, than the k-th neighbour in the larger of the two
    distances. Variant 2, eq. 9: ``psi(k) - 1/k + psi(n) - mean_i[psi(n_x) + psi(n_y)]`` with the
    neighbours' own reach in x and in y, borders included. Neither a lower nor an upper bound: low
    where the information is high for the number of rows, and from about 3 + 3 dimensions on.
    Where one side is labels, :func:`mixed` answers. Equal values are parted by a seeded jitter.

    Args:
        x: numbers, shape (n, dx).
        y: numbers, shape (n, dy).
        seed: of the jitter, the shuffles and the rows they are made of.
        shuffles: how many shuffles of y to read, for the null.
        device: not used; neighbours are searched on the CPU.
        neighbors: k: more gives less spread and more bias.
        variant: 1 or 2.
        scores: read rank-Gaussianised columns, so that monotone maps of a column change nothing;
            else columns are scaled to variance 1.
        norm: distance inside x and inside y: "max", or "euclidean" (in tiles, n^2 time).
        max_dims: dx + dy above this is refused.
        null_rows: shuffles are of at most this many random rows. Their spread is that of so many
            rows: wider than the estimate's own, so a p-value errs on the safe side.

    Returns:
        A Reading of all rows (nothing is fitted), its ceiling psi(n) - psi(k).

    Raises:
        UserError: two label variables, too many dimensions or neighbours, an unknown setting.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> x = rng.normal(size=(2000, 1))
        >>> y = 0.8 * x + 0.6 * rng.normal(size=(2000, 1))  # the truth is 0.511 nats
        >>> round(ksg(Variable(x), Variable(y), seed=0, shuffles=0).nats, 2)
        0.5
    """
    if x.discrete and y.discrete:
        raise UserError("ksg: x and y are both labels. Use --method discrete.")
    if x.discrete or y.discrete:
        return mixed(
            x,
            y,
            seed=seed,
            shuffles=shuffles,
            neighbors=neighbors,
            scores=scores,
            max_dims=max_dims,
            null_rows=null_rows,
        )
    check_name("norm", norm, METRICS)
    if variant not in (1, 2):
        raise UserError(f"variant: {variant} is not 1 or 2 (Kraskov et al. 2004, eqs. 8 and 9).")
    check_neighbors("ksg", neighbors, len(x))
    warnings = _check_pair("ksg", x, y, max_dims)
    warnings += _tie_warnings(x.values, y.values)
    rng = np.random.default_rng(seed)
    xs, ys = (jittered(neighbor_scores(v, scores), rng) for v in (x, y))

    def statistic(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        return ksg_values(a, b, neighbors, variant, norm)

    ceiling = float(digamma(len(x)) - digamma(neighbors) - (variant - 1) / neighbors)
    return read_neighbors(statistic, xs, ys, rng, shuffles, null_rows, ceiling, warnings, neighbors)


def mixed(
    x: Variable,
    y: Variable,
    *,
    seed: int,
    shuffles: int,
    device: str = "cpu",
    neighbors: int = 3,
    scores: bool = True,
    max_dims: int = 10,
    null_rows: int = 2000,
) -> Reading:
    r"""I(x;y) by nearest neighbours where values repeat or one side is labels, in nats.

    Labels and numbers (Ross 2014, eq. 2): ``psi(n) + psi(k) - mean_i[psi(n_label) + psi(m)]``,
    with m the rows up to the k-th neighbour of the same label. A label that comes once tells
    nothing and is left out. Numbers that may repeat (Gao et al. 2017, algorithm 1):
    ``psi(k_i) + psi(n) - mean_i[psi(n_x) + psi(n_y)]``, where a row that is repeated at least k
    times counts its repeats, and every other row is read as by :func:`ksg`. No jitter is added.

    Args:
        x: numbers, shape (n, dx), or labels.
        y: numbers, shape (n, dy), or labels; not both labels.
        seed: of the shuffles and the rows they are made of.
        shuffles: how many shuffles of y to read, for the null.
        device: not used.
        neighbors: k.
        scores: read rank-Gaussianised columns; else columns are scaled to variance 1.
        max_dims: dx + dy above this is refused; labels count as one.
        null_rows: shuffles are of at most this many random rows.

    Raises:
        UserError: two label variables, too many dimensions, or every label comes once.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> labels = rng.integers(2, size=(2000, 1))
        >>> x = Variable(rng.normal(size=(2000, 1)) + 10 * labels)  # far apart: log 2 = 0.693
        >>> round(mixed(x, Variable(labels, levels=2), seed=0, shuffles=0).nats, 3)
        0.692
    """
    if x.discrete and y.discrete:
        raise UserError("mixed: x and y are both labels. Use --method discrete.")
    check_neighbors("mixed", neighbors, len(x))
    warnings = _check_pair("mixed", x, y, max_dims)
    rng = np.random.default_rng(seed)
    xs, ys = neighbor_scores(x, scores), neighbor_scores(y, scores)
    single = sum(int((np.bincount(v.codes) == 1).sum()) for v in (x, y) if v.discrete)
    if single:
        warnings += (f"labels that come once tell nothing and are left out: {single}",)

    def statistic(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        if x.discrete:
            return ross_values(b, a[:, 0].astype(np.int64), neighbors)
        if y.discrete:
            return ross_values(a, b[:, 0].astype(np.int64), neighbors)
        return gao_values(a, b, neighbors)

    ceiling = float(digamma(len(x)) - digamma(neighbors))
    return read_neighbors(statistic, xs, ys, rng, shuffles, null_rows, ceiling, warnings, neighbors)


# --- one value a row ------------------------------------------------------------------------------


def ksg_values(
    x: np.ndarray, y: np.ndarray, neighbors: int = 3, variant: int = 1, norm: Norm = "max"
) -> np.ndarray:
    """The n terms whose mean is :func:`ksg`, float64 (n,), for x (n, dx) and y (n, dy) as given.

    Example:
        >>> x = np.arange(8.0)[:, None] ** 2
        >>> values = ksg_values(x, x, neighbors=1)  # psi(8) - psi(1)
        >>> round(float(values.mean()), 4) == round(float(digamma(8) - digamma(1)), 4)
        True
    """
    n = len(x)
    near_x, near_y = near_counts(x, y, neighbors, variant, norm)
    if variant == 2:
        return digamma(neighbors) - 1 / neighbors + digamma(n) - digamma(near_x) - digamma(near_y)
    return digamma(neighbors) + digamma(n) - digamma(near_x + 1) - digamma(near_y + 1)


def gao_values(x: np.ndarray, y: np.ndarray, neighbors: int = 3) -> np.ndarray:
    """The n terms of Gao's estimate of numbers that may repeat, float64 (n,).

    Example:
        >>> x = np.repeat([[0.0], [1.0]], 500, axis=0)  # two values, known from each other
        >>> round(float(gao_values(x, x).mean()), 3)
        0.694
    """
    joint = np.hstack([x, y])
    tree = cKDTree(joint)
    reach = tree.query(joint, neighbors + 1, p=np.inf)[0][:, -1]
    repeats = tree.query_ball_point(joint, 0.0, p=np.inf, return_length=True)
    k = np.where(reach > 0, neighbors, repeats)
    near_x, near_y = (
        np.where(reach > 0, count_within(v, reach), count_within(v, reach, closed=True))
        for v in (x, y)
    )
    return digamma(k) + digamma(len(x)) - digamma(near_x + 1) - digamma(near_y + 1)


def ross_values(x: np.ndarray, labels: np.ndarray, neighbors: int = 3) -> np.ndarray:
    """The n terms of Ross's estimate for numbers x (n, d) and labels int64 (n,), float64 (n,).

    Rows whose label comes once get the mean of the others.

    Raises:
        UserError: every label comes once.
    """
    sizes = np.bincount(labels)[labels]
    kept = sizes > 1
    if not kept.any():
        raise UserError("labels: each comes once. Give at least two rows a label, or numbers.")
    rows, groups = x[kept], labels[kept]
    reach = np.empty(len(rows))
    for label in np.unique(groups):
        own = groups == label
        k = min(neighbors, int(own.sum()) - 1)
        reach[own] = cKDTree(rows[own]).query(rows[own], [k + 1], p=np.inf)[0][:, 0]
    k = np.minimum(neighbors, sizes[kept] - 1)
    near = count_within(rows, reach) + 1
    values = np.empty(len(x))
    values[kept] = digamma(len(rows)) + digamma(k) - digamma(sizes[kept]) - digamma(near)
    values[~kept] = values[kept].mean()
    return values


# --- what every neighbour method shares -----------------------------------------------------------


def read_neighbors(
    statistic: Callable[[np.ndarray, np.ndarray], np.ndarray],
    x: np.ndarray,
    y: np.ndarray,
    rng: np.random.Generator,
    shuffles: int,
    null_rows: int,
    ceiling: float,
    warnings: tuple[str, ...],
    neighbors: int,
) -> Reading:
    """A Reading of ``statistic`` on all rows and on shuffles of y within ``null_rows`` of them."""
    values = stretched(statistic, (x, y), neighbors, rng)
    details: dict[str, float] = {"neighbors": neighbors}
    if shuffles and len(x) > null_rows:
        rows = rng.choice(len(x), null_rows, replace=False)
        x, y = x[rows], y[rows]
        details |= {"null_rows": null_rows, "null_rows_nats": float(statistic(x, y).mean())}
    shuffled = [float(statistic(x, rng.permutation(y)).mean()) for _ in range(shuffles)]
    return Reading(
        values, np.array(shuffled), ceiling=ceiling, split="all", details=details, warnings=warnings
    )


def stretched(
    statistic: Callable[..., np.ndarray],
    blocks: tuple[np.ndarray, ...],
    neighbors: int,
    rng: np.random.Generator,
) -> np.ndarray:
    """``statistic(*blocks)``, stretched about its mean until the spread tells the standard error.

    Rows share neighbours, so the mean of the terms varies more than independent terms would: 1.2
    to 1.5 times, and more for many neighbours. How much is read off disjoint subsamples of m rows,
    whose values have m / n of the precision (Holmes and Nemenman 2019).

    Args:
        statistic: blocks of rows -> one term a row.
        blocks: arrays of n rows.
        neighbors: k; subsamples have 200 rows, 10 k, or n / 50.
        rng: of the subsamples.
    """
    values = statistic(*blocks)
    n = len(values)
    m = min(max(200, 10 * neighbors, n // 50), n // 2)
    if m <= 2 * neighbors or not values.std() > 0:
        return values
    variances = []
    for _ in range(-(-40 // (n // m))):
        order = rng.permutation(n)
        parts = (order[start : start + m] for start in range(0, n - m + 1, m))
        with contextlib.suppress(UserError):  # so few rows that each label comes once
            means = [statistic(*(block[rows] for block in blocks)).mean() for rows in parts]
            variances.append(np.var(means, ddof=1))
    if not variances:
        return values
    stretch = max(1.0, np.sqrt(m * np.mean(variances)) / values.std())
    return values.mean() + stretch * (values - values.mean())


def check_neighbors(method: str, neighbors: int, n: int) -> None:
    """Raise a UserError unless 1 <= neighbors < n."""
    if not 1 <= neighbors < n:
        raise UserError(
            f"neighbors: {neighbors} with {n} rows. {method} needs at least 1, and fewer than rows."
        )


def check_dims(method: str, *widths: int, max_dims: int, remedy: str) -> tuple[str, ...]:
    """Warnings for variables of these widths together.

    Raises:
        UserError: more than max_dims.
    """
    what = f"{' + '.join(map(str, widths))} dimensions"
    if sum(widths) > max_dims:
        raise UserError(
            f"{method}: x and y have {what}; nearest neighbours fail above {max_dims} together "
            f"(at 5 + 5 they read 1 nat as 0.7). Use --method {remedy}."
        )
    if sum(widths) <= 4:
        return ()
    return (f"{method}: low in {what}, where neighbours are far (5 + 5: 1 nat reads 0.7)",)


def _check_pair(method: str, x: Variable, y: Variable, max_dims: int) -> tuple[str, ...]:
    return check_dims(method, x.width, y.width, max_dims=max_dims, remedy="student or auto")


def _tie_warnings(*values: np.ndarray) -> tuple[str, ...]:
    if all(len(np.unique(column)) > 0.9 * len(v) for v in values for column in v.T):
        return ()
    return (
        "ksg: equal values are parted by a jitter of 1e-10 of the spread; --method mixed reads "
        "them as they are",
    )
