"""Labels: against the formula pair by pair, scikit-learn, a known channel, exact permutations."""

import itertools
import math

import numpy as np
import pytest
from sklearn.metrics import mutual_info_score

from goodviews.estimators.discrete import (
    counted_values,
    discrete,
    entropy,
    few_warnings,
    label_codes,
    pair_counts,
)
from goodviews.estimators.variables import Variable
from goodviews.information import mutual_information
from goodviews.interfaces import UserError


def labels(codes: np.ndarray) -> Variable:
    return Variable(np.asarray(codes, float)[:, None], levels=int(np.max(codes)) + 1)


def channel(n: int, seed: int, levels: int = 4, flip: float = 0.3) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    x = rng.integers(levels, size=n)
    return x, np.where(rng.uniform(size=n) < flip, rng.integers(levels, size=n), x)


def channel_table(levels: int = 4, flip: float = 0.3) -> np.ndarray:
    return (np.eye(levels) * (1 - flip) + flip / levels) / levels


def test_is_the_formula_pair_by_pair():
    x, y = channel(60, 0)
    n = len(x)
    terms = []
    for a, b in zip(x, y, strict=True):
        p, px, py = (np.mean(e) for e in ((x == a) & (y == b), x == a, y == b))
        terms.append(math.log(p / (px * py)))
    pairs = len(set(zip(x.tolist(), y.tolist(), strict=True)))
    correction = (pairs - len(set(x)) - len(set(y)) + 1) / (2 * n)
    reading = discrete(labels(x), labels(y), seed=0, shuffles=0)
    np.testing.assert_allclose(reading.values, np.array(terms) - correction, atol=1e-12)


def test_without_correction_it_is_scikit_learns():
    x, y = channel(200, 1)
    reading = discrete(labels(x), labels(y), seed=0, shuffles=0)
    correction = (16 - 4 - 4 + 1) / 400
    assert len(set(zip(x.tolist(), y.tolist(), strict=True))) == 16
    assert reading.nats + correction == pytest.approx(mutual_info_score(x, y), abs=1e-12)


def test_bias_is_gone_and_the_standard_error_is_right():
    truth = mutual_information(channel_table(4, 0.7))
    readings = [
        discrete(*map(labels, channel(400, seed, 4, 0.7)), seed=0, shuffles=0)
        for seed in range(300)
    ]
    found = np.array([r.nats for r in readings])
    noise = found.std(ddof=1) / math.sqrt(300)
    assert abs(found.mean() - truth) < 3 * noise + 5e-4
    assert found.mean() + 9 / 800 - truth > 5 * noise  # the bias that the correction removes
    claimed = np.mean([r.values.std(ddof=1) / 20 for r in readings])
    assert claimed == pytest.approx(found.std(ddof=1), rel=0.15)


def test_entropies():
    x, y = channel(500, 2)
    details = discrete(labels(x), labels(y), seed=0, shuffles=0).details
    shares = np.bincount(x) / 500
    plain = -(shares * np.log(shares)).sum()
    assert details["entropy_x"] == pytest.approx(plain + 3 / 1000)
    assert details["entropy_y"] == entropy(np.bincount(y))


def test_shuffles_are_permutations_of_y():
    """The share of each value of the statistic among shuffles is its share among permutations."""
    x, y = np.array([0, 0, 0, 1, 1, 1, 1]), np.array([0, 0, 0, 0, 1, 1, 1])
    orders = itertools.permutations(range(7))
    every = np.array([counted_values(x, y[list(order)]).mean() for order in orders]).round(9)
    reading = discrete(labels(x), labels(y), seed=0, shuffles=20_000)
    assert set(reading.shuffled.round(9)) == set(every)
    exact = np.mean(every >= round(reading.nats, 9))
    assert np.mean(reading.shuffled >= reading.nats) == pytest.approx(exact, abs=0.015)


def test_many_labels_are_counted_as_few_are():
    rng = np.random.default_rng(0)
    x, y = rng.integers(100, size=(2, 300))
    reading = discrete(labels(x), labels(y), seed=0, shuffles=2)
    draws = np.random.default_rng(0)
    for shuffled in reading.shuffled:
        code = label_codes(labels(y))
        expected = counted_values(label_codes(labels(x)), draws.permutation(code)).mean()
        assert shuffled == pytest.approx(expected, abs=1e-12)
    assert len(pair_counts(x, y)) < 300 < len(pair_counts(x % 20, y % 20))


def test_p_values_of_independent_labels_are_uniform():
    p = []
    for seed in range(300):
        rng = np.random.default_rng(seed)
        x, y = rng.integers(5, size=(2, 200))
        reading = discrete(labels(x), labels(y), seed=seed, shuffles=99)
        p.append((1 + (reading.shuffled >= reading.nats).sum()) / 100)
    assert np.mean(np.array(p) <= 0.05) < 0.05 + 3 * math.sqrt(0.05 * 0.95 / 300)
    assert np.mean(p) == pytest.approx(0.5, abs=0.06)


def test_shuffles_of_dependent_labels_are_near_zero():
    x, y = channel(1000, 3)
    reading = discrete(labels(x), labels(y), seed=0, shuffles=50)
    assert abs(reading.shuffled.mean()) < 0.002
    assert reading.shuffled.max() < reading.nats
    again = discrete(labels(x), labels(y), seed=0, shuffles=50)
    np.testing.assert_array_equal(reading.shuffled, again.shuffled)


def test_renaming_labels_and_swapping_sides_change_nothing():
    x, y = channel(300, 4)
    there = discrete(labels(x), labels(y), seed=0, shuffles=0)
    renamed = discrete(labels(7 - 2 * x), labels(y), seed=0, shuffles=0)
    swapped = discrete(labels(y), labels(x), seed=0, shuffles=0)
    np.testing.assert_allclose(there.values, renamed.values, atol=1e-12)
    np.testing.assert_allclose(there.values, swapped.values, atol=1e-12)


def test_few_rows_a_cell_warn():
    assert "79 rows for 4 x 4 labels" in few_warnings(79, 4, 4)[0]
    x, y = channel(79, 5)
    reading = discrete(labels(x), labels(y), seed=0, shuffles=0)
    assert reading.warnings == few_warnings(79, 4, 4)
    assert few_warnings(80, 4, 4) == ()


def test_one_label_tells_nothing():
    x, _ = channel(50, 6)
    reading = discrete(labels(x), labels(np.zeros(50)), seed=0, shuffles=3)
    np.testing.assert_allclose(reading.values, 0.0, atol=1e-12)
    np.testing.assert_allclose(reading.shuffled, 0.0, atol=1e-12)


def test_numbers_are_refused():
    numbers = Variable(np.random.default_rng(0).normal(size=(10, 1)))
    with pytest.raises(UserError, match="discrete: y is numbers. Give labels, or use --method ksg"):
        discrete(labels(np.arange(10)), numbers, seed=0, shuffles=0)
