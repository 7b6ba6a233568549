"""Labels: information and entropy by counting, corrected for what counting adds."""

from __future__ import annotations

import numpy as np
from scipy.special import xlogy

from goodviews.estimators.reading import Reading
from goodviews.estimators.variables import Variable
from goodviews.interfaces import UserError


def discrete(x: Variable, y: Variable, *, seed: int, shuffles: int, device: str = "cpu") -> Reading:
    r"""I(x;y) of two label variables, counted, with the Miller-Madow correction, in nats.

    ``mean_i log(p(x_i,y_i) / (p(x_i) p(y_i))) - (K_xy - K_x - K_y + 1) / (2 n)`` with p the shares
    in the sample and K the numbers of labels, and of pairs, that occur (Miller 1955). The terms of
    the mean are the influence values of the delta method. Neither a lower nor an upper bound: what
    bias is left falls as 1/n^2 once every pair that can occur has been seen often.

    Args:
        x: labels, n of them.
        y: labels, n of them.
        seed: of the shuffles.
        shuffles: how many permutations of y to read.
        device: not used.

    Returns:
        A Reading of all rows; its details are the corrected entropies of x and y, in nats.

    Raises:
        UserError: x or y is numbers.

    Example:
        >>> coin = Variable(np.array([[0.0], [1.0]] * 50), levels=2)
        >>> round(discrete(coin, coin, seed=0, shuffles=0).nats, 3)  # log 2 + 1 / 200
        0.698
    """
    for name, variable in (("x", x), ("y", y)):
        check_labels("discrete", name, variable)
    first, second = label_codes(x), label_codes(y)
    values = counted_values(first, second)
    draws = np.random.default_rng(seed)
    rows, columns = np.bincount(first), np.bincount(second)
    shuffled = np.array(
        [
            _information(pair_counts(first, draws.permutation(second)), rows, columns)
            for _ in range(shuffles)
        ]
    )
    equal = np.isclose(shuffled, values.mean(), rtol=0, atol=1e-12)  # not a rounding error apart
    return Reading(
        values,
        np.where(equal, values.mean(), shuffled),
        split="all",
        details={"entropy_x": entropy(rows), "entropy_y": entropy(columns)},
        warnings=few_warnings(len(x), len(rows), len(columns)),
    )


def counted_values(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """The n terms whose mean is the corrected information of codes x and y, float64 (n,), nats.

    Example:
        >>> counted_values(np.array([0, 1, 0, 1]), np.array([0, 0, 1, 1])).tolist()
        [-0.125, -0.125, -0.125, -0.125]
    """
    n, rows, columns = len(x), np.bincount(x), np.bincount(y)
    _, place, pairs = np.unique(x * len(columns) + y, return_inverse=True, return_counts=True)
    ratios = np.log(pairs[place] * n / (rows[x] * columns[y]))
    return ratios - _miller_madow(pairs, rows, columns)


def entropy(counts: np.ndarray) -> float:
    """The entropy of counts (K,) with the Miller-Madow correction, in nats.

    ``-sum p log p + (K - 1) / (2 n)`` with K the number of labels that occur (Miller 1955).

    Example:
        >>> round(entropy(np.array([50, 50])), 4)  # log 2 + 1 / 200
        0.6981
    """
    shares = counts / counts.sum()
    return float(-xlogy(shares, shares).sum() + (np.count_nonzero(counts) - 1) / (2 * counts.sum()))


def label_codes(labels: Variable) -> np.ndarray:
    """Codes 0, 1, ... without gaps, int64 (n,).

    Example:
        >>> label_codes(Variable(np.array([[0.0], [5.0], [5.0]]), levels=6)).tolist()
        [0, 1, 1]
    """
    return np.unique(labels.codes, return_inverse=True)[1]


def pair_counts(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """How often each pair of codes occurs; where few can occur, with zeros for those that do not.

    Example:
        >>> pair_counts(np.array([0, 0, 1]), np.array([0, 0, 1])).tolist()
        [2, 0, 0, 1]
    """
    cell = x * (y.max() + 1) + y
    if (x.max() + 1) * (y.max() + 1) <= 10 * len(x):
        return np.bincount(cell, minlength=(x.max() + 1) * (y.max() + 1))
    return np.unique(cell, return_counts=True)[1]


def check_labels(method: str, name: str, variable: Variable) -> None:
    """Raise a UserError unless ``variable`` is labels."""
    if not variable.discrete:
        raise UserError(f"{method}: {name} is numbers. Give labels, or use --method ksg or auto.")


def few_warnings(n: int, *levels: int) -> tuple[str, ...]:
    """A warning where n rows are fewer than 5 for each combination of ``levels`` labels."""
    cells = int(np.prod([float(k) for k in levels]))
    if n >= 5 * cells:
        return ()
    return (
        f"few: {n} rows for {' x '.join(map(str, levels))} labels, fewer than 5 for each of "
        f"{cells} cells; counting then reads too much (see the null). Merge rare labels",
    )


def _miller_madow(pairs: np.ndarray, rows: np.ndarray, columns: np.ndarray) -> float:
    seen = [np.count_nonzero(counts) for counts in (pairs, rows, columns)]
    return (seen[0] - seen[1] - seen[2] + 1) / (2 * int(pairs.sum()))


def _information(pairs: np.ndarray, rows: np.ndarray, columns: np.ndarray) -> float:
    """Log n + (sum c log c over pairs - over rows - over columns) / n - correction."""
    n = int(rows.sum())
    sums = [float(xlogy(counts, counts).sum()) for counts in (pairs, rows, columns)]
    plain = np.log(n) + (sums[0] - sums[1] - sums[2]) / n
    return float(plain) - _miller_madow(pairs, rows, columns)
