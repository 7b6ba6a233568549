"""Copulas: against scipy's densities and slow loops, on worlds of known information, and laws."""

import math

import numpy as np
import pytest
from scipy import stats
from scipy.special import digamma

from goodviews.data import worlds
from goodviews.estimators.copula import DEGREES, SHIFTS, Folds, Option, gaussian, student
from goodviews.estimators.elliptical import Elliptical, scatter
from goodviews.estimators.reading import folds
from goodviews.estimators.variables import Variable, normal_scores
from goodviews.interfaces import UserError

BOTH = pytest.mark.parametrize("method", [gaussian, student])


def read(method, x: np.ndarray, y: np.ndarray, shuffles: int = 0, **settings: object):
    return method(Variable(x), Variable(y), seed=0, shuffles=shuffles, **settings)


def random_scatter(d: int, seed: int) -> np.ndarray:
    """A correlation matrix without structure."""
    a = np.random.default_rng(seed).normal(size=(d, 2 * d))
    r = a @ a.T
    return r / np.sqrt(np.outer(np.diag(r), np.diag(r)))


def student_rows(n: int, d: int, nu: float, seed: int = 0) -> np.ndarray:
    return stats.multivariate_t(shape=random_scatter(d, seed), df=nu, seed=seed).rvs(n)


def log_density(z: np.ndarray, r: np.ndarray, nu: float) -> np.ndarray:
    """Scipy's log density; its t with infinite df is its normal."""
    if math.isinf(nu):
        return np.atleast_1d(stats.multivariate_normal(cov=r).logpdf(z))
    return np.atleast_1d(stats.multivariate_t(shape=r, df=nu).logpdf(z))


# --- scatter --------------------------------------------------------------------------------------


def slow_scatter(z: np.ndarray, nu: float, rounds: int = 3000) -> np.ndarray:
    """The textbook's EM: R = mean_i w_i z_i z_i^T, w_i = (nu + d) / (nu + z_i^T R^-1 z_i)."""
    n, d = z.shape
    r = np.eye(d)
    for _ in range(rounds):
        inverse, new = np.linalg.inv(r), np.zeros((d, d))
        for q, row in zip(np.einsum("ni,ij,nj->n", z, inverse, z), z, strict=True):
            new += (nu + d) / (nu + q) * np.outer(row, row) / n
        if np.abs(new - r).max() < 1e-12:
            break
        r = new
    return r


@pytest.mark.parametrize(("d", "nu"), [(2, 1.0), (3, 4.0), (5, 1.5)])
def test_scatter_is_the_fixed_point_of_em(d, nu):
    z = student_rows(150, d, nu)
    fast = scatter(z, nu, steps=2000, tolerance=1e-13)
    np.testing.assert_allclose(fast, slow_scatter(z, nu), rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("nu", [1.0, 3.0, 20.0])
def test_default_tolerance_is_near_the_fixed_point(nu):
    z = student_rows(400, 4, 2.0, seed=1)
    exact = scatter(z, nu, steps=5000, tolerance=1e-14)
    np.testing.assert_allclose(scatter(z, nu), exact, atol=3e-4 * np.abs(exact).max())


@pytest.mark.parametrize("nu", [1.0, 4.0])
def test_no_scatter_nearby_is_likelier(nu):
    z = student_rows(300, 3, nu)
    found, rng = scatter(z, nu), np.random.default_rng(0)
    best = log_density(z, found, nu).sum()
    for size in (0.02, 0.1, 0.3):
        for _ in range(20):
            step = rng.normal(size=(3, 3))
            other = found + size * (step + step.T) / 2
            if np.linalg.eigvalsh(other)[0] > 0:
                assert log_density(z, other, nu).sum() < best


# --- the log-ratio --------------------------------------------------------------------------------


@pytest.mark.parametrize("nu", [1.0, 2.5, 6.0, math.inf])
@pytest.mark.parametrize(("dx", "dy"), [(1, 1), (2, 3), (4, 1), (3, 3)])
def test_log_ratio_is_joint_less_margins(nu, dx, dy):
    r = random_scatter(dx + dy, seed=dx + 10 * dy)
    z = np.random.default_rng(1).standard_t(2, size=(60, dx + dy))
    model = Elliptical.of_scatter(r, dx, nu)
    rows = model.canonical(z[:, :dx], z[:, dx:])
    margins = log_density(z[:, :dx], r[:dx, :dx], nu) + log_density(z[:, dx:], r[dx:, dx:], nu)
    exact = log_density(z, r, nu) - margins
    np.testing.assert_allclose(model.log_ratio(rows, model.correlations), exact, atol=1e-9)


@pytest.mark.parametrize("nu", [2.0, math.inf])
@pytest.mark.parametrize("factors", [[0.8, 0.8], [0.9, 0.0], [0.0, 0.0]])
def test_shrunk_log_ratio_is_that_of_the_shrunk_scatter(nu, factors):
    dx, dy = 2, 4
    r = random_scatter(dx + dy, seed=3)
    z = np.random.default_rng(2).normal(size=(50, dx + dy))
    model = Elliptical.of_scatter(r, dx, nu)
    s = model.correlations * factors
    shrunk = r.copy()
    shrunk[:dx, dx:] = r[:dx, :dx] @ model.to_a * s @ model.to_b.T @ r[dx:, dx:]
    shrunk[dx:, :dx] = shrunk[:dx, dx:].T
    exact = log_density(z, shrunk, nu)
    exact -= log_density(z[:, :dx], r[:dx, :dx], nu) + log_density(z[:, dx:], r[dx:, dx:], nu)
    found = model.log_ratio(model.canonical(z[:, :dx], z[:, dx:]), s)
    np.testing.assert_allclose(found, exact, atol=1e-9)


def test_canonical_coordinates_are_white_and_correlated_in_pairs_only():
    r = random_scatter(7, seed=5)
    model = Elliptical.of_scatter(r, 3, 4.0)
    np.testing.assert_allclose(model.to_a.T @ r[:3, :3] @ model.to_a, np.eye(3), atol=1e-10)
    np.testing.assert_allclose(model.to_b.T @ r[3:, 3:] @ model.to_b, np.eye(3), atol=1e-10)
    crossed = model.to_a.T @ r[:3, 3:] @ model.to_b
    np.testing.assert_allclose(crossed, np.diag(model.correlations), atol=1e-10)


def test_shifted_and_shuffled_rows_read_other_pairs():
    z = np.random.default_rng(0).normal(size=(9, 5))
    model = Elliptical.fit(z, z[:, :2] + z[:, 2:4], 3.0)
    x, y = z, z[:, :2] + z[:, 2:4]
    order = np.random.default_rng(1).permutation(9)
    for rows, other in (
        (model.canonical(x, y).shifted(2), np.roll(y, 2, 0)),
        (model.canonical(x, y).shuffled(order), y[order]),
    ):
        s = model.correlations.clip(0, 0.9)
        exact = model.log_ratio(model.canonical(x, other), s)
        np.testing.assert_allclose(model.log_ratio(rows, s), exact, atol=1e-9)


# --- gaussian -------------------------------------------------------------------------------------


def slow_gaussian(zx: np.ndarray, zy: np.ndarray) -> float:
    """Half the log determinants, and the bias of each written out."""
    n = len(zx)

    def half_log_det(z: np.ndarray) -> float:
        covariance = sum(np.outer(row, row) for row in z) / n
        return 0.5 * math.log(np.linalg.det(covariance))

    def bias(k: int) -> float:
        return 0.5 * sum(digamma((n - i) / 2) for i in range(1, k + 1))

    both, dx, dy = np.hstack([zx, zy]), zx.shape[1], zy.shape[1]
    raw = half_log_det(zx) + half_log_det(zy) - half_log_det(both)
    return raw - (bias(dx) + bias(dy) - bias(dx + dy))


@pytest.mark.parametrize(("dx", "dy", "n"), [(1, 1, 30), (2, 4, 50), (5, 1, 40)])
@pytest.mark.parametrize("ranks", [True, False])
def test_gaussian_is_the_determinant_formula(dx, dy, n, ranks):
    x, y = np.split(student_rows(n, dx + dy, 5.0, seed=n), [dx], axis=1)
    zx, zy = (normal_scores(v) if ranks else v - v.mean(0) for v in (x, y))
    reading = read(gaussian, x, y, ranks=ranks)
    assert reading.nats == pytest.approx(slow_gaussian(zx, zy), abs=1e-10)
    assert reading.values.shape == (n,)


@pytest.mark.parametrize("ranks", [True, False])
def test_gaussian_is_unbiased_for_independent_columns(ranks):
    rng = np.random.default_rng(0)
    found = [read(gaussian, *rng.normal(size=(2, 100, 5)), ranks=ranks).nats for _ in range(400)]
    error = np.std(found) / math.sqrt(len(found))
    assert abs(np.mean(found)) < 4 * error < 0.01  # uncorrected: 0.14


def test_gaussian_null_measures_every_shuffle_anew():
    x, y = worlds.sparse(3).sample(60, seed=1)
    null = read(gaussian, x, y, shuffles=4).shuffled
    rng = np.random.default_rng(0)
    anew = [read(gaussian, x, y[rng.permutation(60)]).nats for _ in range(4)]
    np.testing.assert_allclose(null, anew, atol=1e-10)


def test_gaussian_p_values_are_uniform():
    rng = np.random.default_rng(3)
    p = []
    for _ in range(200):
        reading = read(gaussian, *rng.normal(size=(2, 40, 2)), shuffles=19)
        p.append((1 + (reading.shuffled >= reading.nats).sum()) / 20)
    counts = np.bincount(np.round(20 * np.array(p)).astype(int), minlength=21)[1:]
    assert stats.chisquare(counts).pvalue > 1e-3


def test_gaussian_needs_more_rows_than_dimensions():
    x, y = np.random.default_rng(0).normal(size=(2, 9, 4))
    with pytest.raises(UserError, match=r"9 rows are too few for 4 \+ 4 .* more than 9 .*student"):
        read(gaussian, x, y)
    x, y = np.random.default_rng(0).normal(size=(2, 10, 4))
    assert math.isfinite(read(gaussian, x, y).nats)


# --- student --------------------------------------------------------------------------------------


@pytest.mark.parametrize("nu", [1.0, 2.0, 4.0, math.inf])
def test_student_finds_the_degrees_of_freedom(nu):
    world = worlds.sparse(2, 1) if math.isinf(nu) else worlds.student(2, 2, nu)
    x, y = world.sample(2000, seed=2)
    reading = read(student, x, y)
    off = [abs(DEGREES.index(found) - DEGREES.index(nu)) for found in reading.details["nu"]]
    assert max(off) <= 1
    assert reading.nats == pytest.approx(float(world.log_ratio(x, y).mean()), abs=0.02)


@pytest.mark.parametrize(("dim", "nu", "seed"), [(2, 1.0, 0), (3, 2.0, 1), (5, 2.0, 2)])
def test_heavy_tails_alone_are_no_dependence(dim, nu, seed):
    """Each side is heavy-tailed inside: the likelier joint model is far below the truth, 0."""
    x, y = worlds.student(dim, dim, nu).sample(1500, seed)
    y = y[np.random.default_rng(seed + 100).permutation(len(y))]
    assert abs(read(student, x, y).nats) < 0.03
    assert read(student, x, y, degrees=(nu,)).nats < -0.05  # what the choice saves it from


@pytest.mark.parametrize("dim", [5, 20])
def test_six_nats_are_read(dim):
    """Held out, dim^2 correlations fitted on m rows cost dim^2 / 2m nats."""
    world = worlds.gaussian(dim, 6.0)
    x, y = world.sample(2000, seed=4)
    exact = float(world.log_ratio(x, y).mean())
    assert read(gaussian, x, y).nats == pytest.approx(exact, abs=0.1)
    heldout = read(student, x, y, degrees=(10.0, math.inf)).nats
    assert heldout == pytest.approx(exact - dim**2 / (2 * 1600), abs=0.06)


@pytest.mark.parametrize("world", [worlds.dense(4), worlds.sparse(6), worlds.autoregression()])
@BOTH
def test_gaussian_worlds_are_read(method, world):
    x, y = world.sample(1500, seed=5)
    reading = read(method, x, y)
    error = reading.values.std(ddof=1) / math.sqrt(len(x))
    assert abs(reading.nats - world.nats) < 4 * error < 0.12


@BOTH
def test_increasing_maps_change_nothing(method):
    x, y = worlds.student(2, 3, 3.0).sample(300, seed=6)
    base = read(method, x, y, shuffles=3)
    bent_x = np.stack([np.arctan(x[:, 0]), x[:, 1] ** 3], 1)
    bent_y = np.stack([np.exp(y[:, 0] / 10), 7 - 5 * np.exp(-y[:, 1] / 10), np.cbrt(y[:, 2])], 1)
    bent = read(method, bent_x, bent_y, shuffles=3)
    assert bent.nats == pytest.approx(base.nats, abs=1e-6)
    np.testing.assert_allclose(bent.shuffled, base.shuffled, atol=1e-6)


@BOTH
def test_x_and_y_play_the_same_part(method):
    x, y = worlds.sparse(3).sample(300, seed=7)
    swapped = read(method, y[:, :2], x).nats  # student's product pairs are others then
    assert read(method, x, y[:, :2]).nats == pytest.approx(swapped, abs=0.02)


@BOTH
def test_copies_and_sums_of_columns_add_nothing(method):
    x, y = worlds.sparse(3).sample(400, seed=8)
    base = read(method, x, y).nats
    copied = np.hstack([x, x[:, :2]])
    summed = np.hstack([x, x[:, :1] + x[:, 1:2]])
    assert read(method, copied, y).nats == pytest.approx(base, abs=0.02)
    assert read(method, summed, y).nats == pytest.approx(base, abs=0.02)


@BOTH
def test_a_constant_column_adds_nothing(method):
    x, y = worlds.sparse(3).sample(400, seed=8)
    flat = np.hstack([x, np.ones((400, 1))])
    assert read(method, flat, y).nats == pytest.approx(read(method, x, y).nats, abs=0.02)


@BOTH
def test_single_precision_is_read(method):
    x, y = (v.astype(np.float32) for v in worlds.sparse(2).sample(200, seed=9))
    double = read(method, x.astype(np.float64), y.astype(np.float64))
    assert read(method, x, y).nats == pytest.approx(double.nats, abs=1e-6)


@BOTH
def test_ties_are_read(method):
    x, y = worlds.sparse(2).sample(500, seed=10)
    assert abs(read(method, x.round(1), y).nats - read(method, x, y).nats) < 0.05


@BOTH
def test_labels_are_refused(method):
    labels = Variable(np.tile([[0.0], [1.0]], (20, 1)), levels=2)
    numbers = Variable(np.random.default_rng(0).normal(size=(40, 1)))
    for pair in ((labels, numbers), (numbers, labels)):
        with pytest.raises(UserError, match=f"--method {method.__name__}: reads numbers.*ksg"):
            method(*pair, seed=0, shuffles=0)


@pytest.mark.parametrize("n", [10, 13, 20, 50])
@pytest.mark.parametrize("dim", [1, 3])
def test_student_reads_few_rows(n, dim):
    x, y = worlds.gaussian(dim, 1.0).sample(n, seed=11)
    reading = read(student, x, y, shuffles=2)
    assert np.isfinite(reading.values).all() and np.isfinite(reading.shuffled).all()


@pytest.mark.parametrize(("n", "dim"), [(20, 15), (29, 15), (31, 15), (60, 35)])
def test_student_sees_nothing_in_wide_independent_data(n, dim):
    x, y = np.random.default_rng(12).normal(size=(2, n, dim))
    assert abs(read(student, x, y).nats) < 0.03


# --- folds and options ----------------------------------------------------------------------------


def fitted(x: np.ndarray, y: np.ndarray, degrees=(2.0, math.inf), parts: int = 3) -> Folds:
    number = folds(len(x), parts, seed=0)
    seen = [np.flatnonzero(number != i) for i in range(parts)]
    return Folds.fit(x, y, seen, [np.flatnonzero(number == i) for i in range(parts)], degrees)


def test_options_shrink_and_drop_pairs():
    s = np.array([0.9, 0.5, 0.1])
    np.testing.assert_allclose(Option(2.0, 2, 0.8).shrink(s), [0.72, 0.4, 0.0])
    np.testing.assert_allclose(Option(2.0, 0, 1.0).shrink(s), 0.0)


def test_no_pairs_read_the_radius_only_and_nothing_without_tails():
    x, y = worlds.student(2, 2, 2.0).sample(300, seed=13)
    fits = fitted(x, y)
    np.testing.assert_array_equal(fits.read(0, Option(math.inf, 0, 1.0)), 0.0)
    radial = fits.read(0, Option(2.0, 0, 1.0))
    model, rows = fits.fits[0, 2.0]
    common = model.constant(np.zeros(2)) + 2 * (np.log1p(rows.qx / 2) + np.log1p(rows.qy / 2))
    np.testing.assert_allclose(radial, common - 3 * np.log1p((rows.qx + rows.qy) / 2), atol=1e-10)


def test_guarded_score_by_loops():
    x, y = worlds.sparse(2).sample(90, seed=14)
    fits = fitted(x, y)
    option = Option(2.0, 2, 0.9)
    f = fits.read(1, option)
    n, total = len(f), 0.0
    for shift in range(1, SHIFTS + 1):
        total += np.exp(fits.read(1, option, np.roll(np.arange(n), shift))).sum()
    exact = f.mean() - max(0.0, math.log(total / (SHIFTS * n)))
    assert fits.guarded(1, option) == pytest.approx(exact, abs=1e-10)
    assert fits.scores[option][1] == pytest.approx(exact, abs=1e-10)


def test_a_fold_does_not_choose_its_own_option():
    x, y = worlds.sparse(2).sample(90, seed=15)
    fits = fitted(x, y)
    before = fits.best_without(1)
    worst = min(fits.scores, key=lambda option: fits.scores[option].mean())
    fits.scores[worst][1] = 1e9
    assert fits.best_without(1) == before != worst
    assert fits.best_without(0) == worst


def test_models_do_not_see_the_rows_they_read():
    """Shuffling y within a fold leaves that fold's models as they are, and changes the others."""
    x, y = worlds.sparse(2).sample(90, seed=16)
    rows = np.flatnonzero(folds(90, 3, seed=0) == 1)
    other = y.copy()
    other[rows] = y[np.random.default_rng(0).permutation(rows)]
    before, after = fitted(x, y), fitted(x, other)
    same = [
        np.array_equal(before.fits[i, 2.0][0].correlations, after.fits[i, 2.0][0].correlations)
        for i in range(3)
    ]
    assert same == [False, True, False]


@BOTH
def test_a_seed_gives_one_number(method):
    x, y = worlds.sparse(2).sample(200, seed=17)
    first, second = (read(method, x, y, shuffles=3) for _ in range(2))
    np.testing.assert_array_equal(first.values, second.values)
    np.testing.assert_array_equal(first.shuffled, second.shuffled)
