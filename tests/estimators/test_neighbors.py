"""Nearest neighbours: against the formulas row by row, against peers' numbers, against truths."""

import math

import numpy as np
import pytest
from scipy.special import digamma
from sklearn.feature_selection import mutual_info_classif, mutual_info_regression

from goodviews.estimators.distances import count_within, jittered, standard_scores
from goodviews.estimators.neighbors import gao_values, ksg, ksg_values, mixed, ross_values
from goodviews.estimators.variables import Variable, normal_scores
from goodviews.interfaces import UserError


def gaussian(n: int, rho: float, d: int = 1, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, d))
    return x, rho * x + math.sqrt(1 - rho**2) * rng.normal(size=(n, d))


def read(x: np.ndarray, y: np.ndarray, shuffles: int = 0, **settings: object):
    return ksg(Variable(x), Variable(y), seed=0, shuffles=shuffles, **settings)


def slow_ksg(x: np.ndarray, y: np.ndarray, k: int, variant: int, order: float) -> float:
    """Kraskov's eqs. 8 and 9 row by row."""
    n, total = len(x), 0.0
    for i in range(n):
        dx = [np.linalg.norm(x[i] - x[j], order) for j in range(n)]
        dy = [np.linalg.norm(y[i] - y[j], order) for j in range(n)]
        others = sorted((max(dx[j], dy[j]), j) for j in range(n) if j != i)[:k]
        if variant == 1:
            reach = others[-1][0]
            near_x = sum(dx[j] < reach for j in range(n) if j != i)
            near_y = sum(dy[j] < reach for j in range(n) if j != i)
            total += digamma(near_x + 1) + digamma(near_y + 1)
        else:
            reach_x, reach_y = (max(d[j] for _, j in others) for d in (dx, dy))
            near_x = sum(dx[j] <= reach_x for j in range(n) if j != i)
            near_y = sum(dy[j] <= reach_y for j in range(n) if j != i)
            total += digamma(near_x) + digamma(near_y) + 1 / k
    return digamma(k) + digamma(n) - total / n


@pytest.mark.parametrize("variant", [1, 2])
@pytest.mark.parametrize("norm", ["max", "euclidean"])
@pytest.mark.parametrize("widths", [(1, 1), (2, 1), (2, 3), (9, 1)])
def test_values_are_kraskovs_formula(variant, norm, widths):
    rng = np.random.default_rng(3)
    x = rng.normal(size=(60, widths[0]))
    y = 0.7 * x[:, :1] + rng.normal(size=(60, widths[1]))
    slow = slow_ksg(x, y, 4, variant, {"max": np.inf, "euclidean": 2}[norm])
    assert ksg_values(x, y, 4, variant, norm).mean() == pytest.approx(slow, abs=1e-12)


def test_tiles_and_trees_agree(monkeypatch):
    x, y = gaussian(300, 0.8, d=2)
    trees = [ksg_values(x, y, 3, variant) for variant in (1, 2)]
    monkeypatch.setattr("goodviews.estimators.distances._TREE_WIDTH", 0)
    monkeypatch.setattr("goodviews.estimators.distances._TILE", 7 * 300)
    tiles = [ksg_values(x, y, 3, variant) for variant in (1, 2)]
    np.testing.assert_array_equal(trees, tiles)


@pytest.mark.parametrize(
    ("widths", "n", "neighbors", "nats"),
    [
        ((1, 1), 400, 3, 0.13040480613029182),
        ((2, 3), 400, 3, 0.3509810665924842),
        ((4, 4), 300, 5, 0.34775949256861605),
    ],
)
def test_equals_benchmark_mi(widths, n, neighbors, nats):
    """Constants of benchmark-mi 0.1.3, KSGEnsembleFirstEstimator(neighborhoods=(neighbors,))."""
    rng = np.random.default_rng(7)
    for dx, dy, rows in [(1, 1, 400), (2, 3, 400), (4, 4, 300)]:
        x = rng.normal(size=(rows, dx))
        y = 0.7 * x[:, :1] + rng.normal(size=(rows, dy))
        if (dx, dy) == widths:
            break
    reading = read(x, y, neighbors=neighbors, norm="euclidean", scores=False)
    assert len(reading.values) == n
    assert reading.nats == pytest.approx(nats, abs=1e-9)


def test_equals_scikit_learn():
    x, y = gaussian(1000, 0.6)
    y = 1000 * y  # both scale columns
    theirs = mutual_info_regression(x, y[:, 0], n_neighbors=3, random_state=0)[0]
    assert read(x, y, scores=False).nats == pytest.approx(theirs, abs=1e-9)
    labels = (y[:, 0] > 0).astype(int) + (y[:, 0] > 800)
    theirs = mutual_info_classif(x, labels, n_neighbors=3, random_state=0)[0]
    ours = mixed(Variable(x), Variable(labels[:, None] * 1.0, 3), seed=0, shuffles=0, scores=False)
    assert ours.nats == pytest.approx(theirs, abs=1e-9)


# --- truths ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("variant", [1, 2])
@pytest.mark.parametrize("rho", [0.0, 0.6, 0.99])
def test_gaussian(rho, variant):
    x, y = gaussian(4000, rho)
    truth = -0.5 * math.log(1 - rho**2)
    assert read(x, y, variant=variant).nats == pytest.approx(truth, abs=0.05)


@pytest.mark.parametrize(("noise", "truth"), [(0.1, 1.7094), (0.75, 1 / 3)])
def test_uniform_additive(noise, truth):
    """Y = x + uniform noise (Czyz et al. 2023)."""
    rng = np.random.default_rng(0)
    x = rng.uniform(size=(5000, 1))
    y = x + rng.uniform(-noise, noise, size=(5000, 1))
    assert read(x, y).nats == pytest.approx(truth, abs=0.05)


def test_two_dimensions():
    x, y = gaussian(4000, 0.8, d=2)
    assert read(x, y).nats == pytest.approx(-math.log(1 - 0.64), abs=0.06)


def test_labels_and_numbers():
    """Two unit Gaussians, 2 apart: I = h(x) - h(x|label), by quadrature."""
    grid = np.linspace(-12, 12, 20001)
    density = (np.exp(-((grid - 1) ** 2) / 2) + np.exp(-((grid + 1) ** 2) / 2)) / 2
    density /= math.sqrt(2 * math.pi)
    truth = -np.trapezoid(density * np.log(density), grid) - 0.5 * math.log(2 * math.pi * math.e)
    rng = np.random.default_rng(0)
    labels = rng.integers(2, size=(4000, 1)).astype(float)
    x = Variable(rng.normal(size=(4000, 1)) + 2 * labels)
    y = Variable(labels, levels=2)
    assert mixed(x, y, seed=0, shuffles=0).nats == pytest.approx(truth, abs=0.03)
    ours, swapped = (ksg(*pair, seed=0, shuffles=5) for pair in ((x, y), (y, x)))
    np.testing.assert_array_equal(ours.values, swapped.values)
    np.testing.assert_array_equal(ours.values, mixed(x, y, seed=0, shuffles=0).values)
    assert abs(swapped.shuffled).max() < 0.05


def test_ross_row_by_row():
    rng = np.random.default_rng(1)
    labels = rng.integers(3, size=40)
    labels[:2] = 3, 4  # come once
    x = rng.normal(size=(40, 2)) + labels[:, None]
    kept = [i for i in range(40) if i > 1]
    terms = []
    for i in kept:
        distance = np.abs(x - x[i]).max(1)
        own = sorted(distance[j] for j in kept if labels[j] == labels[i] and j != i)
        k = min(3, len(own))
        near = sum(distance[j] < own[k - 1] for j in kept if j != i)
        terms.append(digamma(38) + digamma(k) - digamma(len(own) + 1) - digamma(near + 1))
    values = ross_values(x, labels, 3)
    np.testing.assert_allclose(values[2:], terms, atol=1e-12)
    np.testing.assert_allclose(values[:2], np.mean(terms), atol=1e-12)


def test_gao_row_by_row():
    rng = np.random.default_rng(1)
    x = rng.integers(3, size=(80, 1)).astype(float)
    x[:40] += rng.normal(size=(40, 1))
    y = np.where(rng.uniform(size=(80, 2)) < 0.7, x, rng.normal(size=(80, 2)))
    terms = []
    for i in range(80):
        dx, dy = (np.abs(v - v[i]).max(1) for v in (x, y))
        joint = np.maximum(dx, dy)
        reach = np.sort(joint)[3]  # the row itself comes first
        if reach == 0:
            counts = [(d == 0).sum() for d in (joint, dx, dy)]
        else:
            counts = [3] + [(d < reach).sum() for d in (dx, dy)]
        terms.append(digamma(80) + digamma(counts[0]) - digamma(counts[1]) - digamma(counts[2]))
    np.testing.assert_allclose(gao_values(x, y, 3), terms, atol=1e-12)


def test_gao_zero_inflated_pairs():
    """X is 0 or uniform, y = x or an independent copy; half of the pairs are the same.

    With a noisy channel on an atom: x in {0, 1} fair, y = x flipped with probability 0.1.
    """
    rng = np.random.default_rng(0)
    x = rng.integers(2, size=(4000, 1)).astype(float)
    y = np.where(rng.uniform(size=(4000, 1)) < 0.1, 1 - x, x)
    truth = math.log(2) + 0.1 * math.log(0.1) + 0.9 * math.log(0.9)
    reading = mixed(Variable(x), Variable(y), seed=0, shuffles=10)
    assert reading.nats == pytest.approx(truth, abs=0.03)
    assert abs(reading.shuffled).max() < 0.01


def test_gao_without_ties_is_ksg():
    x, y = gaussian(200, 0.7, d=2)
    np.testing.assert_allclose(gao_values(x, y), ksg_values(x, y), atol=1e-12)


# --- laws -----------------------------------------------------------------------------------------


def test_monotone_maps_change_nothing():
    x, y = gaussian(500, 0.7, d=2)
    there = read(x, y, shuffles=2)
    mapped = read(np.exp(3 * x), y**3, shuffles=2)
    np.testing.assert_array_equal(there.values, mapped.values)
    np.testing.assert_array_equal(there.shuffled, mapped.shuffled)


def test_scale_and_place_change_nothing():
    x, y = gaussian(500, 0.7)
    there, scaled = read(x, y, scores=False).nats, read(1e4 * x + 7, y / 50, scores=False).nats
    assert scaled == pytest.approx(there, abs=1e-6)


def test_same_seed_same_numbers():
    x, y = gaussian(300, 0.5)
    x = x.round(1)
    first, second = (read(x, y, shuffles=3) for _ in range(2))
    np.testing.assert_array_equal(first.values, second.values)
    np.testing.assert_array_equal(first.shuffled, second.shuffled)


@pytest.mark.parametrize(("d", "neighbors"), [(1, 3), (1, 10), (2, 3)])
def test_standard_error_is_the_spread_over_samples(d, neighbors):
    readings = [read(*gaussian(300, 0.7, d, s), neighbors=neighbors) for s in range(60)]
    claimed = np.mean([r.values.std(ddof=1) / math.sqrt(300) for r in readings])
    found = np.std([r.nats for r in readings], ddof=1)
    assert 0.75 < claimed / found < 1.35


def test_stretching_keeps_the_mean():
    x, y = gaussian(500, 0.7)
    values, plain = read(x, y, scores=False).values, ksg_values(*map(standard_scores, (x, y)))
    assert values.mean() == pytest.approx(plain.mean(), abs=1e-12)
    assert 1.05 < values.std() / plain.std() < 1.8
    assert np.corrcoef(values, plain)[0, 1] == pytest.approx(1.0)


def test_shuffles_of_many_rows_are_of_fewer_and_on_the_safe_side():
    rejected = 0
    for seed in range(60):
        x, y = gaussian(600, 0.0, seed=seed)
        reading = ksg(Variable(x), Variable(y), seed=seed, shuffles=19, null_rows=200)
        assert reading.details["null_rows"] == 200
        rejected += bool((reading.shuffled < reading.nats).all())
    assert rejected <= 6  # 3 expected of an exact test at 5 %
    dependent = read(*gaussian(600, 0.6), shuffles=19, null_rows=200)
    assert (dependent.shuffled < dependent.nats).all()
    assert (dependent.shuffled < dependent.details["null_rows_nats"]).all()


def test_one_more_than_rows_of_the_null_is_all_rows():
    reading = read(*gaussian(200, 0.6), shuffles=3, null_rows=200)
    assert "null_rows" not in reading.details
    assert reading.split == "all" and reading.kind == "neither"


# --- ties, copies, refusals -----------------------------------------------------------------------


def test_rounded_numbers_are_jittered_and_reported():
    x, y = gaussian(3000, 0.8)
    plain, rounded = read(x, y), read(x.round(1), y.round(1))
    assert rounded.nats == pytest.approx(plain.nats, abs=0.06)
    assert not plain.warnings
    assert len(rounded.warnings) == 1 and "parted by a jitter" in rounded.warnings[0]


def test_jitter_is_relative_to_the_spread_not_the_mean():
    """Far from 0 a jitter relative to the mean would bury the signal, a plain sum would be lost."""
    x, y = gaussian(1000, 0.9)
    near = read(x.round(2), y, scores=False).nats
    far = read(x.round(2) + 1e6, y, scores=False).nats
    assert far == pytest.approx(near, abs=0.02)
    column = np.array([[1e9], [1e9], [1e9 + 1]])
    values = jittered(column, np.random.default_rng(0))
    assert len(np.unique(values)) == 3


def test_a_variable_with_itself_reads_the_ceiling():
    x = gaussian(500, 0.0)[0]
    reading = read(x, x)
    assert reading.nats == pytest.approx(digamma(500) - digamma(3))
    assert reading.nats == pytest.approx(reading.ceiling)
    second = read(x, x, variant=2)
    assert second.nats == pytest.approx(second.ceiling)


def test_constant_column_tells_nothing():
    x = gaussian(500, 0.0)[0]
    assert abs(read(x, np.ones((500, 1))).nats) < 0.1


def test_width_is_refused_or_warned():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(100, 16))
    with pytest.raises(UserError, match=r"ksg: x and y have 16 \+ 16 dimensions.*student or auto"):
        read(x, x)
    assert "low in 3 + 2 dimensions" in read(x[:, :3], x[:, 4:6]).warnings[0]
    assert not read(x[:, :2], x[:, 4:6]).warnings
    assert read(x, x[:, :1], max_dims=17).nats > 0
    with pytest.raises(UserError, match="mixed: x and y have 16"):
        mixed(Variable(x), Variable(np.zeros((100, 1)), 1), seed=0, shuffles=0)


def test_settings_are_checked():
    x, y = gaussian(20, 0.5)
    with pytest.raises(UserError, match="neighbors: 20 with 20 rows"):
        read(x, y, neighbors=20)
    with pytest.raises(UserError, match="variant: 3"):
        read(x, y, variant=3)
    with pytest.raises(UserError, match="norm: unknown 'euclid'. Did you mean 'euclidean'"):
        read(x, y, norm="euclid")
    labels = Variable(np.arange(20.0)[:, None] % 2, levels=2)
    with pytest.raises(UserError, match="ksg: x and y are both labels. Use --method discrete."):
        ksg(labels, labels, seed=0, shuffles=0)
    with pytest.raises(UserError, match="mixed: x and y are both labels"):
        mixed(labels, labels, seed=0, shuffles=0)
    once = Variable(np.arange(20.0)[:, None], levels=20)
    with pytest.raises(UserError, match="labels: each comes once"):
        mixed(Variable(x), once, seed=0, shuffles=0)


def test_labels_that_come_once_are_left_out():
    x, _ = gaussian(50, 0.0)
    codes = np.arange(50.0) % 2
    codes[0] = 2
    reading = ksg(Variable(x), Variable(codes[:, None], 3), seed=0, shuffles=0)
    assert reading.warnings == ("labels that come once tell nothing and are left out: 1",)
    scores = normal_scores(x)
    expected = ross_values(scores[1:], codes[1:].astype(int)).mean()
    assert reading.nats == pytest.approx(expected)


def test_counts_at_the_radius():
    lattice = np.arange(10.0)[:, None] * 0.1  # 0.1 * 3 is not 0.3
    radius = np.full(10, 0.1)
    assert count_within(lattice, radius).max() == 0
    assert count_within(lattice, radius, closed=True).tolist() == [1] + [2] * 8 + [1]
    assert count_within(np.zeros((5, 2)), np.zeros(5)).max() == 0
    assert count_within(np.zeros((5, 2)), np.zeros(5), closed=True).min() == 4


def test_a_hundred_thousand_rows_fit():
    x, y = gaussian(100_000, 0.8)
    assert read(x, y, shuffles=2).nats == pytest.approx(0.5108, abs=0.015)


def test_standard_scores_of_a_constant():
    assert standard_scores(np.ones((3, 1))).tolist() == [[0.0]] * 3


def test_gao_on_a_mixture_of_atoms_and_numbers():
    """Half of the rows share one of two atoms, the others are independent uniforms.

    Both sides know whether it is an atom, s: I = H(s) + P(s) H(atom) = log 2 + log(2) / 2.
    """
    rng = np.random.default_rng(0)
    atom = rng.uniform(size=(4000, 1)) < 0.5
    values = rng.integers(2, size=(4000, 1)) + 5.0
    x, y = (np.where(atom, values, rng.uniform(size=(4000, 1))) for _ in range(2))
    reading = mixed(Variable(x), Variable(y), seed=0, shuffles=0)
    assert reading.nats == pytest.approx(1.5 * math.log(2), abs=0.05)
