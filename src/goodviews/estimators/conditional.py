"""What x and y share beyond z: by neighbours, by a Gaussian copula, by counting, by the chain rule.

Shuffles for the null move y among rows with nearly the same z, so that y keeps what it has of z.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from scipy.spatial import cKDTree
from scipy.special import digamma

from goodviews.estimators.discrete import check_labels, few_warnings, label_codes
from goodviews.estimators.distances import count_within, neighbor_scores
from goodviews.estimators.neighbors import check_dims, check_neighbors, stretched
from goodviews.estimators.reading import Method, Reading
from goodviews.estimators.variables import Variable, normal_scores
from goodviews.interfaces import UserError


def conditional(
    x: Variable, y: Variable, z: Variable, *, seed: int, shuffles: int, device: str = "cpu"
) -> Reading:
    """I(x;y|z) by the method that fits the variables, in nats.

    ``I(x;y|z) = E log(p(x,y|z) / (p(x|z) p(y|z)))``. Three label variables are counted
    (:func:`conditional_discrete`); up to 4 dimensions together are read by neighbours
    (:func:`conditional_ksg`); wider numbers by :func:`conditional_gaussian`, which sees only
    dependence that is linear between ranks.

    Args:
        x: numbers or labels, n rows.
        y: numbers or labels.
        z: what is given: numbers or labels.
        seed: of the shuffles.
        shuffles: how many shuffles of y among rows of like z to read.
        device: not used.

    Raises:
        UserError: labels beside more numbers than neighbours can read.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> x, y = rng.integers(2, size=(2, 4000, 1))
        >>> coins = (Variable(v.astype(float), levels=2) for v in (x, y, x ^ y))
        >>> round(conditional(*coins, seed=0, shuffles=0).nats, 3)  # log 2, though I(x;y) = 0
        0.693
    """
    labels = [v.discrete for v in (x, y, z)]
    if all(labels):
        method, chosen, why = conditional_discrete, "discrete", "all are labels"
    elif any(labels) or x.width + y.width + z.width <= 4:
        method, chosen, why = conditional_ksg, "ksg", "labels, or few dimensions"
    else:
        method, chosen, why = conditional_gaussian, "gaussian", "many dimensions"
    found = method(x, y, z, seed=seed, shuffles=shuffles)
    return replace(found, details={"chosen": chosen, "why": why, **found.details})


def conditional_ksg(
    x: Variable,
    y: Variable,
    z: Variable,
    *,
    seed: int,
    shuffles: int,
    device: str = "cpu",
    neighbors: int = 3,
    scores: bool = True,
    max_dims: int = 10,
    null_rows: int = 2000,
) -> Reading:
    r"""I(x;y|z) by k nearest neighbours, in nats.

    ``mean_i[psi(k) - psi(n_xz + 1) - psi(n_yz + 1) + psi(n_z + 1)]``, with the rows strictly nearer
    in (x,z), (y,z) and z than the k-th neighbour in (x,y,z), all in max-norm (Frenzel and Pompe
    2007). A row that is repeated at least k times counts its repeats, and labels are at
    distance 0 or far apart (Mesner and Shalizi 2021), so numbers and labels mix. Low where the
    dependence on z is strong for the number of rows.

    Args:
        x: numbers or labels, n rows.
        y: numbers or labels.
        z: what is given: numbers or labels.
        seed: of the shuffles and the rows they are made of.
        shuffles: how many shuffles of y among rows of like z to read.
        device: not used.
        neighbors: k.
        scores: read rank-Gaussianised columns; else columns are scaled to variance 1.
        max_dims: dx + dy + dz above this is refused.
        null_rows: shuffles are of at most this many random rows.

    Raises:
        UserError: too many dimensions or neighbours.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> z = rng.normal(size=(2000, 1))
        >>> x, y = (Variable(z + rng.normal(size=(2000, 1))) for _ in range(2))
        >>> abs(conditional_ksg(x, y, Variable(z), seed=0, shuffles=0).nats) < 0.03  # x <- z -> y
        True
    """
    check_neighbors("conditional ksg", neighbors, len(x))
    warnings = check_dims(
        "conditional ksg", x.width, y.width, z.width, max_dims=max_dims, remedy="gaussian"
    )
    rng = np.random.default_rng(seed)
    a, b, c = (_embedded(v, scores) for v in (x, y, z))

    def statistic(a: np.ndarray, b: np.ndarray, c: np.ndarray) -> np.ndarray:
        return conditional_values(a, b, c, neighbors)

    values = stretched(statistic, (a, b, c), neighbors, rng)
    details: dict[str, float] = {"neighbors": neighbors}
    if shuffles and len(x) > null_rows:
        rows = rng.choice(len(x), null_rows, replace=False)
        a, b, c, z = a[rows], b[rows], c[rows], z.take(rows)
        details["null_rows"] = null_rows
    shuffled = [float(statistic(a, b[order_within(z, rng)], c).mean()) for _ in range(shuffles)]
    return Reading(values, np.array(shuffled), split="all", details=details, warnings=warnings)


def conditional_values(
    x: np.ndarray, y: np.ndarray, z: np.ndarray, neighbors: int = 3
) -> np.ndarray:
    """The n terms whose mean is :func:`conditional_ksg`, float64 (n,), for blocks (n, d) as given.

    Example:
        >>> x = np.repeat([[0.0], [1.0]], 500, axis=0)
        >>> round(float(conditional_values(x, x, 0 * x).mean()), 2)  # a constant tells nothing
        0.69
    """
    joint = np.hstack([x, y, z])
    tree = cKDTree(joint)
    reach = tree.query(joint, neighbors + 1, p=np.inf)[0][:, -1]
    repeats = tree.query_ball_point(joint, 0.0, p=np.inf, return_length=True)
    near = [
        np.where(reach > 0, count_within(v, reach), count_within(v, reach, closed=True)) + 1
        for v in (np.hstack([x, z]), np.hstack([y, z]), z)
    ]
    k = np.where(reach > 0, neighbors, repeats)
    return digamma(k) - digamma(near[0]) - digamma(near[1]) + digamma(near[2])


def conditional_gaussian(
    x: Variable, y: Variable, z: Variable, *, seed: int, shuffles: int, device: str = "cpu"
) -> Reading:
    r"""I(x;y|z) of the Gaussian copula in closed form, in nats.

    ``0.5 log(|S_x| |S_y| / |S_xy|)`` with S the covariances of what is left of the normal scores
    of x and y after regression on those of z: partial correlations. What finitely many rows add,
    ``0.5 [s(dx) + s(dy) - s(dx + dy)]`` with ``s(d) = sum_{i<=d} psi((n - dz - i) / 2)``, is taken
    off (exact for Gaussian data). Sees only dependence that is linear between normal scores.
    Shuffles permute what is left of y.

    Args:
        x: numbers, shape (n, dx).
        y: numbers, shape (n, dy).
        z: what is given: numbers, shape (n, dz).
        seed: of the shuffles.
        shuffles: how many shuffles to read.
        device: not used.

    Raises:
        UserError: labels, too few rows, or x and y that determine each other given z.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> z = rng.normal(size=(2000, 1))
        >>> x, y = (Variable(z + rng.normal(size=(2000, 1))) for _ in range(2))
        >>> abs(conditional_gaussian(x, y, Variable(z), seed=0, shuffles=0).nats) < 0.01
        True
    """
    if any(v.discrete for v in (x, y, z)):
        raise UserError("conditional gaussian: reads numbers, not labels. Use --method ksg.")
    need = x.width + y.width + z.width + 2
    if len(x) < need:
        raise UserError(f"conditional gaussian: {len(x)} rows. So many columns need {need}.")
    a, b, c = (normal_scores(v.values) for v in (x, y, z))
    given = np.linalg.qr(np.hstack([np.ones((len(c), 1)), c]))[0]
    a, b = (v - given @ (given.T @ v) for v in (a, b))
    rng = np.random.default_rng(seed)
    shuffled = [
        float(_gaussian_values(a, rng.permutation(b), z.width).mean()) for _ in range(shuffles)
    ]
    return Reading(_gaussian_values(a, b, z.width), np.array(shuffled), split="all")


def conditional_discrete(
    x: Variable, y: Variable, z: Variable, *, seed: int, shuffles: int, device: str = "cpu"
) -> Reading:
    r"""I(x;y|z) of three label variables, counted, in nats.

    ``mean_i log(c(x,y,z) c(z) / (c(x,z) c(y,z))) - (K_xyz - K_xz - K_yz + K_z) / (2 n)``, with
    counts c and numbers K of the combinations that occur (Miller 1955). Shuffles permute y among
    rows of the same z: an exact test.

    Args:
        x: labels, n of them.
        y: labels.
        z: labels: what is given.
        seed: of the shuffles.
        shuffles: how many shuffles to read.
        device: not used.

    Raises:
        UserError: one of them is numbers.

    Example:
        >>> coin = Variable(np.array([[0.0], [1.0]] * 50), levels=2)
        >>> conditional_discrete(coin, coin, coin, seed=0, shuffles=0).nats
        0.0
    """
    for name, variable in (("x", x), ("y", y), ("z", z)):
        check_labels("conditional discrete", name, variable)
    a, b, c = (label_codes(v) for v in (x, y, z))
    values = _counted_values(a, b, c)
    rng = np.random.default_rng(seed)
    shuffled = np.array(
        [_counted_values(a, b[order_within(z, rng)], c).mean() for _ in range(shuffles)]
    )
    warnings = few_warnings(len(x), *(int(codes.max()) + 1 for codes in (a, b, c)))
    return Reading(values, shuffled, split="all", warnings=warnings)


def chain_rule(
    method: Method,
    x: Variable,
    y: Variable,
    z: Variable,
    *,
    seed: int,
    shuffles: int,
    device: str = "cpu",
    **settings: Any,
) -> Reading:
    r"""I(x;y|z) = I(x;(y,z)) - I(x;z) by any method that reads two variables, in nats.

    Influence values are subtracted row by row, so the standard error is that of the difference.
    The biases of the two terms need not cancel: neighbours read I(x;(y,z)) lower than I(x;z).

    Args:
        method: for example :func:`goodviews.estimators.copula.student`.
        x: n rows.
        y: numbers, or labels if z is labels.
        z: what is given.
        seed: of the method and the shuffles.
        shuffles: how many times to read again with y shuffled among rows of like z; each is one
            whole run of the method.
        device: passed on.
        settings: passed on.

    Raises:
        UserError: y and z are numbers and labels, or the method did not read the same rows twice.

    Example:
        >>> from goodviews.estimators.discrete import discrete
        >>> rng = np.random.default_rng(0)
        >>> x, y = rng.integers(2, size=(2, 4000, 1))
        >>> coins = (Variable(v.astype(float), levels=2) for v in (x, y, x ^ y))
        >>> round(chain_rule(discrete, *coins, seed=0, shuffles=0).nats, 3)
        0.693
    """
    given = method(x, z, seed=seed, shuffles=0, device=device, **settings)

    def whole(other: Variable) -> Reading:
        return method(x, joined(other, z), seed=seed, shuffles=0, device=device, **settings)

    both = whole(y)
    if len(both.values) != len(given.values):
        raise UserError(
            f"chain rule: the method read {len(both.values)} rows of x;(y,z) and "
            f"{len(given.values)} of x;z. Use one that reads all rows."
        )
    rng = np.random.default_rng(seed)
    shuffled = [whole(y.take(order_within(z, rng))).nats - given.nats for _ in range(shuffles)]
    return Reading(
        both.values - given.values,
        np.array(shuffled),
        split=both.split,
        details={"x;(y,z)": both.nats, "x;z": given.nats},
        warnings=tuple(dict.fromkeys(both.warnings + given.warnings)),
    )


def joined(y: Variable, z: Variable) -> Variable:
    """(y, z) as one variable: columns side by side, or one label for each pair of labels.

    Raises:
        UserError: one is numbers, the other labels.

    Example:
        >>> coin = Variable(np.array([[0.0], [1.0]]), levels=2)
        >>> joined(coin, coin).codes.tolist()
        [0, 3]
    """
    if y.discrete != z.discrete:
        raise UserError(
            "chain rule: y and z are numbers and labels. Use --method ksg, which mixes them."
        )
    if not y.discrete:
        return Variable(np.hstack([y.values, z.values]))
    return Variable(y.values * z.levels + z.values, levels=y.levels * z.levels)


def order_within(z: Variable, rng: np.random.Generator, size: int = 10) -> np.ndarray:
    """A random permutation, int64 (n,), that moves rows only among rows with nearly the same z.

    Labels: among rows of the same label. Numbers: rows are split in two along the widest column,
    near its median, until at most ``size`` are left (Runge 2018 draws from nearest neighbours).

    Example:
        >>> z = Variable(np.array([[0.0], [1.0], [0.0], [1.0]]), levels=2)
        >>> order = order_within(z, np.random.default_rng(0))
        >>> (z.values[order] == z.values).all()
        np.True_
    """
    order = np.empty(len(z), np.int64)
    if z.discrete:
        order[np.argsort(z.codes, kind="stable")] = np.lexsort((rng.random(len(z)), z.codes))
        return order
    scores = normal_scores(z.values)
    waiting = [np.arange(len(z))]
    while waiting:
        rows = waiting.pop()
        spread = np.ptp(scores[rows], axis=0)
        if len(rows) <= size or spread.max() == 0:
            order[rows] = rng.permutation(rows)
            continue
        column = scores[rows, int(spread.argmax())]
        cut = int(len(rows) * rng.uniform(0.4, 0.6))
        ranked = rows[np.argsort(column, kind="stable")]
        waiting += [ranked[:cut], ranked[cut:]]
    return order


def _embedded(variable: Variable, scores: bool) -> np.ndarray:
    """Scores, or labels further apart than any two scores."""
    return neighbor_scores(variable, scores) * (1e6 if variable.discrete else 1.0)


def _gaussian_values(x: np.ndarray, y: np.ndarray, given: int) -> np.ndarray:
    """Log ratios of centred Gaussian rows, less what n rows add after regression on ``given``."""
    n, (dx, dy) = len(x), (x.shape[1], y.shape[1])
    logs, forms = [], []
    for block in (x, y, np.hstack([x, y])):
        spread, axes = np.linalg.eigh(block.T @ block / n)
        if spread[0] < 1e-12:
            raise UserError(
                "conditional gaussian: a column is a linear function of the others, so the "
                "information is infinite or the column adds nothing. Drop it."
            )
        logs.append(np.log(spread).sum())
        forms.append(np.square(block @ (axes / np.sqrt(spread))).sum(1))

    def added(d: int) -> float:
        return sum(float(digamma((n - given - i) / 2)) for i in range(1, d + 1))

    plain = 0.5 * (logs[0] + logs[1] - logs[2]) + 0.5 * (forms[0] + forms[1] - forms[2])
    return plain - 0.5 * (added(dx) + added(dy) - added(dx + dy))


def _counted_values(x: np.ndarray, y: np.ndarray, z: np.ndarray) -> np.ndarray:
    """Log ratios of counts, row by row, corrected."""
    width = int(y.max()) + 1, int(z.max()) + 1
    codes = ((x * width[0] + y) * width[1] + z, x * width[1] + z, y * width[1] + z, z)
    counts, seen = [], []
    for code in codes:
        _, place, count = np.unique(code, return_inverse=True, return_counts=True)
        counts.append(np.log(count[place]))
        seen.append(len(count))
    correction = (seen[0] - seen[1] - seen[2] + seen[3]) / (2 * len(x))
    return counts[0] + counts[3] - counts[1] - counts[2] - correction
