"""Nearest neighbours: KSG for numbers, Ross for numbers and labels, Gao for numbers that tie."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import numpy as np
from scipy.spatial import cKDTree
from scipy.spatial.distance import cdist
from scipy.special import digamma

from goodviews.estimators.reading import Reading
from goodviews.estimators.variables import Variable, normal_scores
from goodviews.interfaces import UserError, check_name

Norm = Literal["max", "euclidean"]

_TREE_WIDTH = 8
"""KD-trees visit nearly every point above this width: distances are then computed in tiles."""
_TILE = 4_000_000
"""Distances held at once by the tiled path."""
_JITTER = 1e-10
"""Of a column's standard deviation, to part equal values."""
_METRICS = {"max": "chebyshev", "euclidean": "euclidean"}


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
    check_name("norm", norm, _METRICS)
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
    if norm == "euclidean" or max(x.shape[1], y.shape[1]) > _TREE_WIDTH:
        near_x, near_y = _tiled_counts(x, y, neighbors, variant, norm)
    else:
        near_x, near_y = _tree_counts(x, y, neighbors, variant)
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


def count_within(block: np.ndarray, radius: np.ndarray, *, closed: bool = False) -> np.ndarray:
    """For each row the others nearer than ``radius`` in max-norm, int64 (n,).

    Args:
        block: shape (n, d).
        radius: shape (n,).
        closed: count those at the radius too. In one dimension, distances that differ by a few
            rounding errors count as equal.

    Example:
        >>> line = np.array([[0.0], [1.0], [3.0]])
        >>> count_within(line, np.ones(3)).tolist(), count_within(line, np.ones(3), closed=True)
        ([0, 0, 0], array([1, 1, 0]))
    """
    if block.shape[1] > 1:
        reach = np.maximum(radius if closed else np.nextafter(radius, -1.0), 0.0)
        counts = cKDTree(block).query_ball_point(block, reach, p=np.inf, return_length=True)
        return np.where((radius > 0) | closed, counts - 1, 0)
    values = block[:, 0]
    slack = 4 * np.spacing(np.abs(values).max() + radius)
    radius = radius + slack if closed else radius - slack
    ordered = np.sort(values)
    upper = np.searchsorted(ordered, values + radius, "right")
    return np.maximum(upper - np.searchsorted(ordered, values - radius, "left") - 1, 0)


def _tree_counts(
    x: np.ndarray, y: np.ndarray, k: int, variant: int
) -> tuple[np.ndarray, np.ndarray]:
    joint = np.hstack([x, y])
    distance, index = cKDTree(joint).query(joint, k + 1, p=np.inf)
    if variant == 1:
        return count_within(x, distance[:, -1]), count_within(y, distance[:, -1])
    reach = (np.abs(v[index] - v[:, None]).max((1, 2)) for v in (x, y))
    near_x, near_y = (count_within(v, r, closed=True) for v, r in zip((x, y), reach, strict=True))
    return near_x, near_y


def _tiled_counts(
    x: np.ndarray, y: np.ndarray, k: int, variant: int, norm: Norm
) -> tuple[np.ndarray, np.ndarray]:
    n = len(x)
    near = np.empty((2, n), np.int64)
    tile = max(1, _TILE // n)
    for start in range(0, n, tile):
        rows = slice(start, min(start + tile, n))
        parts = [cdist(v[rows], v, _METRICS[norm]) for v in (x, y)]
        joint = np.maximum(*parts)
        own = np.arange(rows.stop - rows.start)
        joint[own, own + start] = np.inf
        nearest = np.argpartition(joint, k - 1, axis=1)[:, :k]
        if variant == 1:
            reach = np.take_along_axis(joint, nearest, 1).max(1, keepdims=True)
            near[:, rows] = [(part < reach).sum(1) - 1 for part in parts]
        else:
            reaches = [np.take_along_axis(p, nearest, 1).max(1, keepdims=True) for p in parts]
            near[:, rows] = [(p <= r).sum(1) - 1 for p, r in zip(parts, reaches, strict=True)]
    return near[0], near[1]


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
    values = statistic(x, y)
    details: dict[str, float] = {"neighbors": neighbors}
    if shuffles and len(x) > null_rows:
        rows = rng.choice(len(x), null_rows, replace=False)
        x, y = x[rows], y[rows]
        details |= {"null_rows": null_rows, "null_rows_nats": float(statistic(x, y).mean())}
    shuffled = [float(statistic(x, rng.permutation(y)).mean()) for _ in range(shuffles)]
    return Reading(
        values, np.array(shuffled), ceiling=ceiling, split="all", details=details, warnings=warnings
    )


def jittered(values: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The columns that have ties, plus uniform noise of 1e-10 of their standard deviation.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> values = jittered(np.array([[0.0, 1.0], [0.0, 2.0], [3.0, 3.0]]), rng)
        >>> bool(values[0, 0] == values[1, 0]), values[:, 1].tolist()
        (False, [1.0, 2.0, 3.0])
    """
    tied = np.array([len(np.unique(column)) < len(values) for column in values.T])
    if not tied.any():
        return values
    spread = values.std(0)
    noise = rng.uniform(-1.0, 1.0, values.shape) * np.where(spread > 0, spread, 1.0) * _JITTER
    centred = values - np.median(values, axis=0)  # else the noise is lost beside a large mean
    return np.where(tied, centred + noise, values)


def standard_scores(values: np.ndarray) -> np.ndarray:
    """Columns of mean 0 and variance 1; constant columns become 0. Shape (n, d).

    Example:
        >>> standard_scores(np.array([[0.0, 5.0], [2.0, 5.0]])).tolist()
        [[-1.0, 0.0], [1.0, 0.0]]
    """
    spread = values.std(0)
    return (values - values.mean(0)) / np.where(spread > 0, spread, 1.0)


def neighbor_scores(variable: Variable, scores: bool) -> np.ndarray:
    """What distances are taken of: normal scores, or standard scores; labels' codes as they are."""
    if variable.discrete:
        return variable.values
    return normal_scores(variable.values) if scores else standard_scores(variable.values)


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
