"""Reasons to distrust an estimate, each one plain line: of the data, and of the number read."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from goodviews.estimators.inputs import Column, distinct_rows
from goodviews.estimators.variables import Variable
from goodviews.information import label_entropy
from goodviews.interfaces import Estimate

ROWS_PER_COLUMN = 20
"""Fewer rows a column than this are called few."""
ROWS_PER_LABEL = 5
"""Labels with fewer rows than this are called rare."""
NEAR = 0.8
"""Of its ceiling: from here on a bound is called near it."""


# --- of the data ----------------------------------------------------------------------------------


def of_data(x: Column, y: Column, *others: Column, scale_free: bool = True) -> list[str]:
    """What in the data makes any estimate doubtful, one line each.

    Args:
        x: the first variable.
        y: the second, with as many rows.
        others: what the information is conditioned on.
        scale_free: whether the method does without the scale of columns.

    Example:
        >>> from goodviews.estimators.inputs import read
        >>> rng = np.random.default_rng(0)
        >>> x = read(rng.normal(size=(50, 4)), "x")
        >>> of_data(x, read(rng.normal(size=50), "y"))
        ['few rows: 50 for 5 columns. Give 100 or more, or fewer columns']
    """
    columns = (x, y, *others)
    found = [note for column in columns for note in column.notes]
    copies = repeated_rows(x, y)
    found += related(x, y) + copies
    for column in columns:
        found += rare_labels(column) + ([] if copies else ties(column))
        found += [] if scale_free else scales(column)
    return found + few_rows(*columns) + ordered_rows(x, y)


def few_rows(*columns: Column) -> list[str]:
    """Fewer than 20 rows a column."""
    n, width = len(columns[0]), sum(column.variable.width for column in columns)
    if n >= ROWS_PER_COLUMN * width:
        return []
    return [
        f"few rows: {n} for {width} columns. Give {ROWS_PER_COLUMN * width} or more, "
        "or fewer columns"
    ]


def rare_labels(column: Column) -> list[str]:
    """Labels with fewer than 5 rows that make up a twentieth of the rows or more."""
    if not column.variable.discrete:
        return []
    counts = np.bincount(column.variable.codes)
    rare = counts[counts < ROWS_PER_LABEL]
    if rare.sum() < len(column) / 20:
        return []
    return [
        f"{column.name}: {len(rare)} of {len(counts)} labels have fewer than {ROWS_PER_LABEL} "
        "rows. Join labels or add rows"
    ]


def ties(column: Column) -> list[str]:
    """Columns of numbers in which more than a tenth of the rows share their value."""
    if column.variable.discrete:
        return []
    places = _some(column.variable.width)
    values = column.variable.values[:, places]
    shares = np.array([_tied(v) for v in values.T])
    worst = int(shares.argmax())
    if shares[worst] <= 0.1:
        return []
    levels = len(np.unique(values[:, worst]))
    few = levels <= max(10, len(values) / 50)
    where = f"column {column.columns[places[worst]]}" if len(shares) > 1 else "it"
    what = f"has only {levels} different values" if few else "repeats its values"
    hint = ". If these are labels, say so (discrete_x, discrete_y; --labels)" if few else ""
    many = int((shares > 0.1).sum())
    more = f"; so do {many - 1} more columns" if many > 1 else ""
    return [
        f"{column.name}: read as numbers, but {where} {what} "
        f"({shares[worst]:.0%} of rows tie{more}){hint}"
    ]


def _some(width: int) -> np.ndarray:
    """At most 64 columns, evenly spread: wide data are looked at in passing."""
    return np.unique(np.linspace(0, width - 1, min(width, 64)).astype(int))


def _tied(values: np.ndarray) -> float:
    """Share of rows whose value another row has too."""
    _, counts = np.unique(values, return_counts=True)
    return float(counts[counts > 1].sum() / len(values))


def scales(column: Column) -> list[str]:
    """Columns whose standard deviations differ by a factor of a million."""
    if column.variable.discrete or column.variable.width < 2:
        return []
    spread = column.variable.values.std(axis=0)
    small, large = int(spread.argmin()), int(spread.argmax())
    if spread[large] < 1e6 * spread[small]:
        return []
    return [
        f"{column.name}: column {column.columns[large]} has {spread[large] / spread[small]:.0e} "
        f"times the spread of column {column.columns[small]}. Bring columns to like units"
    ]


def repeated_rows(x: Column, y: Column) -> list[str]:
    """More than one row in twenty is a copy of another, and no column ties for other reasons."""
    blocks = [c.variable.values[:, _some(c.variable.width)] for c in (x, y)]
    pairs = zip((x, y), blocks, strict=True)
    columns = [v for c, block in pairs if not c.variable.discrete for v in block.T]
    rows = np.hstack(blocks)
    distinct = len(distinct_rows(rows)[0])
    if not columns or len(rows) - distinct <= len(rows) / 20:
        return []
    if max(len(np.unique(values)) for values in columns) < 0.99 * distinct:
        return []
    return [
        f"{len(rows) - distinct} of {len(rows)} rows (x, y) are copies of others, as after drawing "
        "with replacement: nearness misleads and the interval is too narrow. Keep each row once"
    ]


def ordered_rows(x: Column, y: Column) -> list[str]:
    """Neighbouring rows are alike in both variables: a time series."""
    alike = [_autocorrelation(column.variable) for column in (x, y)]
    if min(alike) < 0.5:
        return []
    return [
        f"neighbouring rows are alike in both variables (lag-1 correlation {alike[0]:.2f} and "
        f"{alike[1]:.2f}): in a time series the rows are not independent, and interval and p are "
        "too confident. Harmless if the rows are only sorted"
    ]


def _autocorrelation(variable: Variable) -> float:
    """Correlation of the column with the next row's, at its median over columns; labels: kappa."""
    if variable.discrete:
        codes = variable.codes
        chance = float(np.square(np.bincount(codes) / len(codes)).sum())
        same = float((codes[1:] == codes[:-1]).mean())
        return (same - chance) / (1 - chance)
    v = variable.values[:, _some(variable.width)]
    v = v - v.mean(axis=0)
    return float(np.median((v[1:] * v[:-1]).mean(axis=0) / np.square(v).mean(axis=0)))


# --- y a function of x ----------------------------------------------------------------------------


def related(x: Column, y: Column) -> list[str]:
    """One variable is a function of the other, as far as these rows show."""
    if x.variable.discrete and y.variable.discrete:
        return _function_of_labels(x, y)
    if x.variable.discrete or y.variable.discrete:
        return []
    a, b = x.variable.values, y.variable.values
    what = "the true value is infinite, and what is read only grows with the rows"
    if a.shape == b.shape and (a == b).all():
        return [f"x and y are identical: {what}"]
    if _linear(a, b):
        return [f"a column of y is a linear function of x, or of x of y: {what}"]
    if a.shape[1] == b.shape[1] == 1 and (_smooth(a, b) or _smooth(b, a)):
        return [
            f"y looks like a function of x, or x of y, without noise at the resolution of {len(a)} "
            "rows: the true value may be infinite, and what is read grows with the rows"
        ]
    return []


def _function_of_labels(x: Column, y: Column) -> list[str]:
    """Each label of one goes with a single label of the other."""
    a, b = x.variable.codes, y.variable.codes
    pairs = len(np.unique(np.stack([a, b]), axis=1).T)
    if (a == b).all() and x.variable.levels == y.variable.levels:
        return [f"x and y are identical: the value is the entropy, {label_entropy(a):.3f} nats"]
    for this, other, one, codes in ((x, y, "y", b), (y, x, "x", a)):
        if pairs == this.variable.levels and pairs <= len(x) / ROWS_PER_LABEL:
            return [
                f"{other.name} is a function of {this.name} in these rows: the value is the "
                f"entropy of {one}, {label_entropy(codes):.3f} nats"
            ]
    return []


def _linear(a: np.ndarray, b: np.ndarray) -> bool:
    """Whether some column of one is a linear function of the other.

    1 - R^2 < 1e-9, and not for the sake of a few far rows: the median residual is small too.
    """
    n = len(a)
    for inputs, outputs in ((a, b), (b, a)):
        if n < 2 * inputs.shape[1] or inputs.shape[1] > 300:
            continue
        x, y = (v - v.mean(axis=0) for v in (inputs, outputs))
        x, y = x / x.std(axis=0), y / y.std(axis=0)
        residual = y - x @ np.linalg.lstsq(x, y, rcond=None)[0]
        close = np.square(residual).mean(axis=0) < 1e-9
        middle = [np.median(np.abs(v - np.median(v, axis=0)), axis=0) for v in (residual, y)]
        if (close & (middle[0] < 1e-4 * middle[1])).any():
            return True
    return False


def _smooth(x: np.ndarray, y: np.ndarray) -> bool:
    """Whether y moves in proportion to x among nearest rows: noise would not shrink with them.

    Sorted by x, ``|y_i - y_(i+8)|`` is 8 times ``|y_i - y_(i+1)|`` in the median for a smooth
    function, and the same for noise.
    """
    order = np.argsort(x[:, 0], kind="stable")
    x, y = x[order, 0], y[order, 0]
    if len(x) < 50 or _tied(x) > 0.1 or _tied(y) > 0.1:
        return False
    near, far = (float(np.median(np.abs(y[s:] - y[:-s]))) for s in (1, 8))
    return far > 6 * near


# --- of the number --------------------------------------------------------------------------------


def of_estimate(found: Estimate, x: Column, y: Column) -> list[str]:
    """What in the number itself is doubtful, one line each.

    Args:
        found: the estimate, its own warnings aside.
        x: the first variable.
        y: the second.

    Example:
        >>> from goodviews.estimators.inputs import read
        >>> rng = np.random.default_rng(0)
        >>> x, y = (read(rng.normal(size=100), name) for name in "xy")
        >>> of_estimate(Estimate(nats=-0.1, stderr=0.1, rows=100), x, y)
        ['negative: read it as none; it is not clipped']
    """
    return [
        *sign(found),
        *near_ceiling(found),
        *beyond_rows(found),
        *beyond_entropy(found, x, y),
        *disagreeing_bounds(found),
        *shifted_null(found),
    ]


def sign(found: Estimate) -> list[str]:
    """Negative, or an interval that includes 0, or shuffled pairs that reach as much."""
    if found.nats < 0:
        return ["negative: read it as none; it is not clipped"]
    if found.interval[0] <= 0:
        return ["the 95 % interval includes 0: these rows show no information"]
    p, shuffles = found.p_value, found.details.get("shuffles", 0)
    if p is not None and p >= 0.05 and p > 1.5 / (1 + shuffles):
        return [f"shuffled pairs read as much (p = {p:.2g}): no information is shown"]
    return []


def near_ceiling(found: Estimate) -> list[str]:
    """A value from 80 % of its ceiling on."""
    if not found.nats >= NEAR * found.ceiling:
        return []
    if found.candidates is None:
        rows = math.exp(min(found.nats / NEAR, 700)) / math.exp(found.ceiling) * (found.rows or 1)
        return [
            f"sits near its ceiling of {found.ceiling:.2f} nats: the truth may be far above; "
            f"needs about {_count(rows)} rows"
        ]
    k = found.candidates
    return [
        f"sits near its ceiling log K = {found.ceiling:.2f} nats (K = {k}): the truth may be far "
        f"above; needs K >= {_count(math.exp(min(found.nats / NEAR, 700)))}"
    ]


def beyond_rows(found: Estimate) -> list[str]:
    """More than log n nats (McAllester and Stratos 2020)."""
    n = found.rows or 0
    if n < 2 or found.nats <= math.log(n):
        return []
    return [
        f"more than log n = {math.log(n):.2f} nats: {n} rows cannot show this without trusting the "
        f"model (McAllester and Stratos 2020); that takes about e^{found.nats:.1f} = "
        f"{_count(math.exp(min(found.nats, 700)))} rows"
    ]


def beyond_entropy(found: Estimate, x: Column, y: Column) -> list[str]:
    """More than the entropy of the labels."""
    lines = []
    for column in (x, y):
        if not column.variable.discrete:
            continue
        entropy = label_entropy(column.variable.codes)
        if found.nats > entropy + 2 * found.stderr + column.variable.levels / len(column):
            lines.append(
                f"more than the labels hold (entropy of {column.name}: {entropy:.3f} nats): "
                "impossible, do not use this method here"
            )
    return lines


def disagreeing_bounds(found: Estimate) -> list[str]:
    """A lower bound above the upper one, or a value outside its bounds, by more than the error."""
    room = 2 * found.stderr + 1e-9
    low = -math.inf if found.lower is None else found.lower
    high = math.inf if found.upper is None else found.upper
    if low > high + room:
        return [
            f"bounds disagree: the lower, {low:.3f}, is above the upper, {high:.3f} nats. "
            "The model does not fit; trust neither"
        ]
    if found.nats > high + room:
        return [f"above its own upper bound of {high:.3f} nats: the model does not fit"]
    if found.nats < low - room:
        return [f"below its own lower bound of {low:.3f} nats: the model does not fit"]
    return []


def shifted_null(found: Estimate) -> list[str]:
    """Shuffled pairs read clearly above 0: the method is biased upwards on such data."""
    if found.null is None or found.null <= max(0.05, 0.1 * abs(found.nats)):
        return []
    return [
        f"shuffled pairs read {found.null:.3f} nats where there are none: the value is about that "
        "much too high"
    ]


def disagreement(estimates: Mapping[str, Estimate]) -> list[str]:
    """Lower bounds above upper ones, and values that differ by more than errors and 0.1 nats.

    Example:
        >>> found = {"a": Estimate(0.2, 0.01), "b": Estimate(0.9, 0.01), "c": Estimate(0.85, 0.01)}
        >>> disagreement(found)
        ['methods disagree: a reads 0.200, b 0.900 nats. Trust the one whose assumptions hold']
    """
    lines = []
    lower = _extreme(estimates, "lower", 1)
    upper = _extreme(estimates, "upper", -1)
    if lower and upper and _apart(estimates, upper, lower) > 0:
        lines.append(
            f"bounds disagree: the lower bound {lower} reads {estimates[lower].nats:.3f}, "
            f"the upper bound {upper} {estimates[upper].nats:.3f} nats. "
            "One of them does not fit these data"
        )
    low, high = _extreme(estimates, "neither", -1), _extreme(estimates, "neither", 1)
    if low and high and _apart(estimates, low, high) > 0.1:
        lines.append(
            f"methods disagree: {low} reads {estimates[low].nats:.3f}, {high} "
            f"{estimates[high].nats:.3f} nats. Trust the one whose assumptions hold"
        )
    return lines


def _extreme(estimates: Mapping[str, Estimate], kind: str, sign: int) -> str:
    """The method of that kind with the largest (sign 1) or smallest (-1) value, or ""."""
    names = [name for name, found in estimates.items() if found.kind == kind]
    return max(names, key=lambda name: sign * estimates[name].nats, default="")


def _apart(estimates: Mapping[str, Estimate], low: str, high: str) -> float:
    """How far the second is above the first, when that is more than three standard errors."""
    a, b = estimates[low], estimates[high]
    gap = b.nats - a.nats
    return gap if gap > 3 * math.hypot(a.stderr, b.stderr) else 0.0


def _count(number: float) -> str:
    """A large number for people.

    Example:
        >>> _count(1234.5), _count(3.2e9)
        ('1,235', '3e+09')
    """
    return f"{math.ceil(number):,}" if number < 1e7 else f"{number:.0e}"
