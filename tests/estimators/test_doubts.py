"""Each doubt fires where it must, and stays silent where it must."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from goodviews.estimators import doubts
from goodviews.estimators.inputs import Column, read
from goodviews.interfaces import Estimate

N = 400


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def noise(*shape: int, seed: int = 0) -> np.ndarray:
    return rng(seed).normal(size=shape or (N,))


def x(values: Any, discrete: bool | None = None) -> Column:
    return read(values, "x", discrete)


def y(values: Any, discrete: bool | None = None) -> Column:
    return read(values, "y", discrete)


PLAIN = x(noise())
OTHER = y(noise(seed=1))

Doubt = Callable[..., list[str]]


def of_data(name: str, *columns: Column) -> list[str]:
    """What one doubt says of the data."""
    function: Doubt = getattr(doubts, name)
    return function(*columns)


DATA: dict[str, tuple[str, list[Column], str]] = {
    "few rows": (
        "few_rows",
        [x(noise(50, 4)), y(noise(50))],
        "few rows: 50 for 5 columns. Give 100",
    ),
    "few rows with a given": (
        "few_rows",
        [x(noise(50)), y(noise(50)), read(noise(50), "given")],
        "50 for 3 columns",
    ),
    "rare labels": (
        "rare_labels",
        [x(rng().integers(0, 100, N), True)],
        "labels have fewer than 5 rows",
    ),
    "rounded": ("ties", [x(noise().round(1))], "repeats its values"),
    "zeros": ("ties", [x(noise().clip(0))], "of rows tie"),
    "codes as floats": (
        "ties",
        [x(rng().integers(0, 10, N).astype(float))],
        "only 10 different values (100% of rows tie). If these are labels, say so",
    ),
    "one column of three": (
        "ties",
        [x(np.column_stack([noise(), noise().clip(0), noise(seed=2)]))],
        "column 1 repeats its values",
    ),
    "scales": (
        "scales",
        [x(noise(N, 2) * [1, 2e6])],
        "x: column 1 has 2e+06 times the spread of column 0",
    ),
    "drawn with replacement": (
        "repeated_rows",
        [x(noise()[rng(5).integers(0, N, N)]), y(noise(seed=1)[rng(5).integers(0, N, N)])],
        "are copies of others",
    ),
    "time series": (
        "ordered_rows",
        [x(noise().cumsum()), y(noise(seed=1).cumsum())],
        "neighbouring rows are alike",
    ),
    "slow labels": (
        "ordered_rows",
        [x(noise().cumsum()), y(np.arange(N) // 20 % 3)],
        "neighbouring rows are alike",
    ),
    "identical": ("related", [PLAIN, y(noise())], "x and y are identical: the true value is inf"),
    "a shared column": (
        "related",
        [x(noise(N, 3)), y(np.column_stack([noise(seed=2), noise(N, 3)[:, 1]]))],
        "linear function of x",
    ),
    "other units": ("related", [PLAIN, y(3 - 7 * noise())], "linear function of x"),
    "a smooth function": ("related", [PLAIN, y(np.sin(3 * noise()))], "without noise"),
    "the other way": ("related", [x(np.sin(3 * noise())), y(noise())], "without noise"),
    "the same labels": (
        "related",
        [x(np.arange(N) % 4), y(np.arange(N) % 4)],
        f"identical: the value is the entropy, {math.log(4):.3f} nats",
    ),
    "coarser labels": (
        "related",
        [x(np.arange(N) % 4), y(np.arange(N) % 4 // 2)],
        f"y is a function of x in these rows: the value is the entropy of y, {math.log(2):.3f}",
    ),
    "finer labels": ("related", [x(np.arange(N) % 2), y(np.arange(N) % 4)], "x is a function of y"),
}


@pytest.mark.parametrize("case", DATA)
def test_data_that_are_doubtful(case: str) -> None:
    """One line, which of_data gives too."""
    name, columns, words = DATA[case]
    (line,) = of_data(name, *columns)
    assert words in line
    assert "\n" not in line
    if len(columns) > 1:
        assert line in doubts.of_data(*columns, scale_free=False)


SILENT: dict[str, tuple[str, list[Column]]] = {
    "rows enough": ("few_rows", [x(noise(100, 4)), y(noise(100))]),
    "labels with rows enough": ("rare_labels", [x(np.arange(N) % 20)]),
    "one rare label among many rows": ("rare_labels", [x(np.minimum(np.arange(N), 1))]),
    "numbers have no labels": ("rare_labels", [PLAIN]),
    "no ties": ("ties", [PLAIN]),
    "a few ties": ("ties", [x(np.where(np.arange(N) < 20, 0.0, noise()))]),
    "labels may tie": ("ties", [x(np.arange(N) % 4)]),
    "like scales": ("scales", [x(noise(N, 2) * [1, 1e5])]),
    "one column has no scale": ("scales", [x(noise() * 1e9)]),
    "rows once each": ("repeated_rows", [PLAIN, OTHER]),
    "both are rounded": ("repeated_rows", [x(noise().round(1)), y(noise(seed=1).round())]),
    "labels repeat": ("repeated_rows", [x(np.arange(N) % 4), y(np.arange(N) % 4)]),
    "only x is a series": ("ordered_rows", [x(noise().cumsum()), OTHER]),
    "rows in no order": ("ordered_rows", [PLAIN, OTHER]),
    "independent": ("related", [PLAIN, OTHER]),
    "0.83 nats": ("related", [PLAIN, y(0.9 * noise() + 0.44 * noise(seed=1))]),
    "4 nats": ("related", [PLAIN, y(noise() + 0.018 * noise(seed=1))]),
    "a sum": ("related", [x(noise(N, 2)), y(noise(N, 2).sum(1) + 0.1 * noise(seed=3))]),
    "heavy tails": (
        "related",
        [x(np.exp(6 * noise())), y(np.exp(6 * noise()) + 0.1 * noise(seed=1))],
    ),
    "more columns than rows": ("related", [x(noise(50, 60)), y(noise(50, seed=3))]),
    "labels and numbers": ("related", [x(np.arange(N) % 4), y(np.arange(N) % 4 + 0.1 * noise())]),
    "noisy labels": ("related", [x(np.arange(N) % 4), y(rng().integers(0, 4, N))]),
}


@pytest.mark.parametrize("case", SILENT)
def test_data_that_are_not(case: str) -> None:
    """No word."""
    name, columns = SILENT[case]
    assert of_data(name, *columns) == []


def test_scales_matter_only_to_methods_that_see_them() -> None:
    """Ranks have no units."""
    wide = x(noise(N, 2) * [1, 1e7])
    assert doubts.of_data(wide, OTHER) == []
    assert len(doubts.of_data(wide, OTHER, scale_free=False)) == 1


def test_copies_of_rows_are_no_ties() -> None:
    """Rows drawn with replacement are told once, as copies; rounded columns as ties."""
    drawn = rng(5).integers(0, N, N)
    (line,) = doubts.of_data(x(noise()[drawn]), y(noise(seed=1)[drawn]))
    assert "copies of others" in line
    first, second = doubts.of_data(x(noise().round(1)), y(noise(seed=1).round()))
    assert "repeats its values" in first
    assert "different values" in second


def test_notes_of_the_reading_come_first() -> None:
    """Columns left out are told."""
    constant = x(np.column_stack([noise(), np.ones(N)]))
    assert doubts.of_data(constant, OTHER) == ["x: left out 1 of 2 columns that are constant (1)"]


# --- the number -----------------------------------------------------------------------------------


def found(nats: float = 0.5, stderr: float = 0.01, **more: Any) -> Estimate:
    return Estimate(nats, stderr, **{"rows": N, **more})


NUMBERS: dict[str, tuple[Estimate, str]] = {
    "negative": (found(-0.2), "negative: read it as none; it is not clipped"),
    "includes zero": (found(0.01), "the 95 % interval includes 0"),
    "shuffled reach it": (
        found(0.05, null=0.04, p_value=0.2, details={"shuffles": 99}),
        "shuffled pairs read as much (p = 0.2)",
    ),
    "at log K": (found(4.8, ceiling=math.log(128), candidates=128), "log K = 4.85 nats (K = 128)"),
    "near log K": (found(3.9, ceiling=math.log(128), candidates=128), "needs K >= 131"),
    "near another ceiling": (found(4.0, ceiling=4.5), "near its ceiling of 4.50 nats"),
    "more than log n": (found(8.0), "more than log n = 5.99 nats: 400 rows cannot show this"),
    "far more than log n": (found(80.0), "about e^80.0 = 6e+34 rows"),
    "crossed bounds": (found(0.5, lower=0.9, upper=0.3), "bounds disagree: the lower, 0.900"),
    "above its bound": (found(0.5, upper=0.3), "above its own upper bound of 0.300 nats"),
    "below its bound": (found(0.5, lower=0.9), "below its own lower bound of 0.900 nats"),
    "shuffled read much": (found(0.5, null=0.2), "shuffled pairs read 0.200 nats"),
}


@pytest.mark.parametrize("case", NUMBERS)
def test_numbers_that_are_doubtful(case: str) -> None:
    """Exactly one line says so."""
    estimate, words = NUMBERS[case]
    (line,) = doubts.of_estimate(estimate, PLAIN, OTHER)
    assert words in line


SOUND = [
    found(),
    found(0.5, null=0.04, p_value=0.01),
    found(0.5, null=-0.9),  # a trained critic on shuffled pairs
    found(0.5, p_value=0.1, details={"shuffles": 9}),  # nine shuffles cannot say less
    found(3.8, ceiling=math.log(128), candidates=128),
    found(0.5, lower=0.45, upper=0.6),
    found(0.5, lower=0.515, upper=0.51),  # within the error
    found(5.9),
]


@pytest.mark.parametrize("estimate", SOUND, ids=range(len(SOUND)))
def test_numbers_that_are_not(estimate: Estimate) -> None:
    """No word."""
    assert doubts.of_estimate(estimate, PLAIN, OTHER) == []


def test_the_k_that_is_needed() -> None:
    """With that K, the same value is at 80 % of the ceiling, and not above."""
    (line,) = doubts.near_ceiling(found(3.9, ceiling=math.log(128), candidates=128))
    k = int(line.rsplit(" ", 1)[1].replace(",", ""))
    assert 0.8 * math.log(k) >= 3.9 > 0.8 * math.log(k - 1)


def test_entropy_of_labels() -> None:
    """No more than H(y) can be shared with y."""
    labels = y(np.arange(N) % 4)
    (line,) = doubts.of_estimate(found(1.6), PLAIN, labels)
    assert "entropy of y: 1.386 nats" in line
    assert doubts.of_estimate(found(1.39), PLAIN, labels) == []


def test_methods_that_disagree() -> None:
    """Points far apart, and a lower bound above an upper one; else silence."""
    points = {"a": found(0.2), "b": found(0.9)}
    (line,) = doubts.disagreement(points)
    assert "a reads 0.200, b 0.900" in line
    bounds = {"low": found(0.9, kind="lower"), "high": found(0.3, kind="upper")}
    (line,) = doubts.disagreement(bounds)
    assert "the lower bound low reads 0.900" in line
    agreeing = [
        {"a": found(0.2), "b": found(0.25)},
        {"a": found(0.2, 0.3), "b": found(0.9, 0.3)},  # within their errors
        {"a": found(0.2, kind="lower"), "b": found(0.9)},  # a bound may be loose
        {"a": found(0.2, kind="lower"), "b": found(0.9, kind="upper")},
        {"a": found(0.2)},
        {},
    ]
    for estimates in agreeing:
        assert doubts.disagreement(estimates) == []
