"""I(x;y|z): against the formulas row by row, against closed forms, chains, colliders and XOR."""

import math

import numpy as np
import pytest
from scipy.special import digamma

from goodviews.estimators.conditional import (
    chain_rule,
    conditional,
    conditional_discrete,
    conditional_gaussian,
    conditional_ksg,
    conditional_values,
    joined,
    order_within,
)
from goodviews.estimators.discrete import counted_values, discrete
from goodviews.estimators.neighbors import gao_values, ksg
from goodviews.estimators.reading import Reading
from goodviews.estimators.variables import Variable, normal_scores
from goodviews.interfaces import UserError


def chain(n: int, seed: int = 0, noise: float = 1.0) -> list[Variable]:
    """X -> z -> y: I(x;y|z) = 0."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, 1))
    z = x + noise * rng.normal(size=(n, 1))
    return [Variable(v) for v in (x, z + noise * rng.normal(size=(n, 1)), z)]


def collider(n: int, seed: int = 0) -> tuple[list[Variable], float]:
    """X -> z <- y with unit noise, and I(x;y|z) by the partial correlation: I(x;y) = 0."""
    rng = np.random.default_rng(seed)
    x, y = rng.normal(size=(2, n, 1))
    s = np.array([[1, 0, 1], [0, 1, 1], [1, 1, 3.0]])
    partial = s[:2, :2] - np.outer(s[:2, 2], s[:2, 2]) / 3
    rho = partial[0, 1] / partial[0, 0]
    z = x + y + rng.normal(size=(n, 1))
    return [Variable(v) for v in (x, y, z)], -0.5 * math.log(1 - rho**2)


def labels(*codes: np.ndarray) -> list[Variable]:
    return [Variable(c.reshape(-1, 1).astype(float), int(c.max()) + 1) for c in codes]


# --- neighbours -----------------------------------------------------------------------------------


def test_neighbour_values_row_by_row():
    rng = np.random.default_rng(0)
    x, y, z = rng.normal(size=(50, 2)), rng.normal(size=(50, 1)), rng.normal(size=(50, 1))
    x[:20], y[:20], z[:20] = x[0], np.arange(20)[:, None] % 2, 0.0  # ten copies of two rows
    terms = []
    for i in range(50):
        dx, dy, dz = (np.abs(v - v[i]).max(1) for v in (x, y, z))
        dxz, dyz = np.maximum(dx, dz), np.maximum(dy, dz)
        joint = np.maximum(dxz, dy)
        reach = np.sort(joint)[4]
        if reach == 0:
            k, *near = ((d == 0).sum() for d in (joint, dxz, dyz, dz))
        else:
            k, *near = 4, *((d < reach).sum() for d in (dxz, dyz, dz))
        terms.append(digamma(k) - digamma(near[0]) - digamma(near[1]) + digamma(near[2]))
    np.testing.assert_allclose(conditional_values(x, y, z, 4), terms, atol=1e-12)


def test_nothing_given_is_the_unconditional():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(200, 1))
    y = x + rng.normal(size=(200, 1))
    given = conditional_values(x, y, np.zeros((200, 1)))
    np.testing.assert_allclose(given, gao_values(x, y), atol=1e-12)


def test_ksg_on_a_chain_and_a_collider():
    reading = conditional_ksg(*chain(4000), seed=0, shuffles=0)
    assert abs(reading.nats) < 0.02
    assert ksg(*chain(4000)[:2], seed=0, shuffles=0).nats > 0.15
    variables, truth = collider(4000)
    assert conditional_ksg(*variables, seed=0, shuffles=0).nats == pytest.approx(truth, abs=0.03)


def test_numbers_and_labels_mix():
    """Given a fair label, x and y correlate by +-0.8; without it, only their sizes do."""
    rng = np.random.default_rng(0)
    sign = rng.integers(2, size=(4000, 1))
    x = rng.normal(size=(4000, 1))
    y = 0.8 * x * (2 * sign - 1) + 0.6 * rng.normal(size=(4000, 1))
    z = labels(sign)[0]
    truth = -0.5 * math.log(1 - 0.64)
    reading = conditional(Variable(x), Variable(y), z, seed=0, shuffles=5)
    assert reading.nats == pytest.approx(truth, abs=0.04)
    assert abs(reading.shuffled).max() < 0.06
    # I(x;y|sign) = I(x;(y,sign)) as x tells nothing of the sign, so I(x;sign|y) is that - I(x;y)
    swapped = conditional(Variable(x), z, Variable(y), seed=0, shuffles=0)
    sizes = ksg(Variable(x), Variable(y), seed=0, shuffles=0)
    assert swapped.nats == pytest.approx(truth - sizes.nats, abs=0.04)


def test_monotone_maps_change_nothing():
    x, y, z = chain(300)
    mapped = [Variable(np.exp(x.values)), Variable(y.values**3), Variable(np.tanh(z.values))]
    for method in (conditional_ksg, conditional_gaussian):
        there, here = (method(*v, seed=0, shuffles=2) for v in ((x, y, z), mapped))
        np.testing.assert_allclose(there.values, here.values, atol=1e-12)
        np.testing.assert_allclose(there.shuffled, here.shuffled, atol=1e-12)


# --- Gaussian -------------------------------------------------------------------------------------


def test_gaussian_is_the_determinants_of_all_three():
    """0.5 log(|R_xz| |R_yz| / (|R_z| |R_xyz|)) of the normal scores, less the exact bias."""
    rng = np.random.default_rng(0)
    n, (dx, dy, dz) = 200, (2, 3, 2)
    parts = [rng.normal(size=(n, d)) @ rng.normal(size=(d, d)) for d in (dx, dy, dz)]
    parts[1] += parts[0][:, :1] + parts[2][:, :1]
    x, y, z = (normal_scores(v) for v in parts)

    def log_det(*blocks: np.ndarray) -> float:
        return np.linalg.slogdet(np.cov(np.hstack(blocks).T))[1]

    def wishart(d: int) -> float:
        return sum(digamma((n - i) / 2) for i in range(1, d + 1))

    plain = 0.5 * (log_det(x, z) + log_det(y, z) - log_det(z) - log_det(x, y, z))
    bias = 0.5 * (wishart(dx + dz) + wishart(dy + dz) - wishart(dz) - wishart(dx + dy + dz))
    reading = conditional_gaussian(*map(Variable, parts), seed=0, shuffles=0)
    assert reading.nats == pytest.approx(plain - bias, abs=1e-10)


def test_gaussian_truths_and_its_standard_error():
    variables, truth = collider(20_000)
    assert conditional_gaussian(*variables, seed=0, shuffles=0).nats == pytest.approx(
        truth, abs=0.01
    )
    readings = [conditional_gaussian(*collider(300, s)[0], seed=0, shuffles=0) for s in range(200)]
    found = np.array([r.nats for r in readings])
    assert abs(found.mean() - truth) < 0.01
    claimed = np.mean([r.values.std() / math.sqrt(300) for r in readings])
    assert claimed == pytest.approx(found.std(), rel=0.25)


def test_gaussian_null_of_wide_variables_has_no_bias():
    rng = np.random.default_rng(0)
    found = []
    for _ in range(20):
        z = rng.normal(size=(300, 8))
        x, y = (z @ rng.normal(size=(8, 5)) + rng.normal(size=(300, 5)) for _ in range(2))
        found.append(conditional_gaussian(*map(Variable, (x, y, z)), seed=0, shuffles=0).nats)
    assert abs(np.mean(found)) < 0.01  # 0.04 without the correction


# --- labels ---------------------------------------------------------------------------------------


def test_counting_is_the_average_over_z():
    rng = np.random.default_rng(0)
    x, z = rng.integers(3, size=(2, 500))
    y = np.where(rng.uniform(size=500) < 0.5, x, rng.integers(3, size=500)) * (z > 0)
    reading = conditional_discrete(*labels(x, y, z), seed=0, shuffles=0)
    expected = np.empty(500)
    for value in range(3):
        rows = z == value
        codes = (np.unique(v[rows], return_inverse=True)[1] for v in (x, y))
        expected[rows] = counted_values(*codes)
    assert reading.nats == pytest.approx(expected.mean(), abs=1e-12)


def test_xor():
    rng = np.random.default_rng(0)
    x, y = rng.integers(2, size=(2, 4000))
    bits = labels(x, y, x ^ y)
    for method in (conditional_discrete, conditional_ksg, conditional):
        reading = method(*bits, seed=0, shuffles=9)
        assert reading.nats == pytest.approx(math.log(2), abs=0.005)
        assert abs(reading.shuffled).max() < 0.01
    assert abs(discrete(*bits[:2], seed=0, shuffles=0).nats) < 0.002


def test_counting_on_a_chain():
    rng = np.random.default_rng(0)
    x = rng.integers(2, size=5000)
    z = np.where(rng.uniform(size=5000) < 0.1, 1 - x, x)
    y = np.where(rng.uniform(size=5000) < 0.1, 1 - z, z)
    assert abs(conditional_discrete(*labels(x, y, z), seed=0, shuffles=0).nats) < 0.002
    assert discrete(*labels(x, y), seed=0, shuffles=0).nats > 0.2


# --- the null -------------------------------------------------------------------------------------


def test_order_within_labels_and_near_numbers():
    rng = np.random.default_rng(0)
    z = labels(rng.integers(4, size=300))[0]
    order = order_within(z, rng)
    assert sorted(order) == list(range(300))
    np.testing.assert_array_equal(z.values[order], z.values)
    assert (order != np.arange(300)).mean() > 0.9
    z = Variable(rng.uniform(size=(2000, 2)))
    order = order_within(z, rng)
    assert sorted(order) == list(range(2000))
    assert 0 < np.abs(z.values[order] - z.values).mean() < 0.05
    repeated = Variable(np.repeat([[0.0], [1.0]], 500, axis=0))
    order = order_within(repeated, rng)
    assert np.mean(repeated.values[order] == repeated.values) > 0.98


@pytest.mark.parametrize("method", [conditional_ksg, conditional_gaussian], ids=["ksg", "gaussian"])
def test_a_chain_is_not_rejected_too_often(method):
    rejected = 0
    for seed in range(25):
        reading = method(*chain(200, seed), seed=seed, shuffles=19)
        rejected += bool((reading.shuffled < reading.nats).all())
    assert rejected <= 4  # 1.25 expected at 5 %


def test_a_collider_is_found():
    for method in (conditional_ksg, conditional_gaussian, conditional):
        reading = method(*collider(600)[0], seed=0, shuffles=19)
        assert (reading.shuffled < reading.nats).all()


def test_shuffles_of_many_rows_are_of_fewer():
    reading = conditional_ksg(*collider(600)[0], seed=0, shuffles=3, null_rows=200)
    assert reading.details["null_rows"] == 200 and len(reading.values) == 600


# --- the chain rule -------------------------------------------------------------------------------


def test_chain_rule_of_counts_is_counting():
    rng = np.random.default_rng(0)
    codes = rng.integers(3, size=(2, 400))
    x, y = codes
    z = (x + y) % 3
    variables = labels(x, y, z)
    whole = conditional_discrete(*variables, seed=0, shuffles=0)
    parts = chain_rule(discrete, *variables, seed=0, shuffles=2)
    np.testing.assert_allclose(parts.values, whole.values, atol=1e-12)
    assert parts.details["x;z"] == discrete(variables[0], variables[2], seed=0, shuffles=0).nats
    assert abs(parts.shuffled).max() < 0.05 < parts.nats


def test_chain_rule_of_neighbours():
    variables, truth = collider(3000)
    reading = chain_rule(ksg, *variables, seed=0, shuffles=0, neighbors=5)
    assert reading.nats == pytest.approx(truth, abs=0.05)
    assert abs(chain_rule(ksg, *chain(3000), seed=0, shuffles=0).nats) < 0.05


def test_chain_rule_needs_the_same_rows_and_kinds():
    def half(x: Variable, y: Variable, **_: object) -> Reading:
        return Reading(np.zeros(len(x) // y.width), np.zeros(0))

    with pytest.raises(UserError, match="read 10 rows of x;.y,z. and 20 of x;z"):
        chain_rule(half, *chain(20), seed=0, shuffles=0)
    number, label = Variable(np.zeros((4, 1))), Variable(np.zeros((4, 1)), levels=1)
    with pytest.raises(UserError, match="y and z are numbers and labels"):
        joined(number, label)


# --- refusals -------------------------------------------------------------------------------------


def test_auto_takes_the_method_that_fits():
    rng = np.random.default_rng(0)
    wide = [Variable(rng.normal(size=(100, 2))) for _ in range(3)]
    chosen = conditional(*wide, seed=0, shuffles=1)
    np.testing.assert_array_equal(
        chosen.values, conditional_gaussian(*wide, seed=0, shuffles=0).values
    )
    narrow = chain(100)
    chosen = conditional(*narrow, seed=0, shuffles=1)
    np.testing.assert_array_equal(
        chosen.values, conditional_ksg(*narrow, seed=0, shuffles=0).values
    )


def test_what_cannot_be_read_is_refused():
    rng = np.random.default_rng(0)
    x, y, z = chain(30)
    wide = Variable(rng.normal(size=(30, 9)))
    with pytest.raises(UserError, match=r"1 \+ 1 \+ 9 dimensions.*Use --method gaussian"):
        conditional_ksg(x, y, wide, seed=0, shuffles=0)
    label = Variable(np.zeros((30, 1)), levels=1)
    with pytest.raises(UserError, match="reads numbers, not labels"):
        conditional_gaussian(x, y, label, seed=0, shuffles=0)
    with pytest.raises(UserError, match="z is numbers"):
        conditional_discrete(label, label, z, seed=0, shuffles=0)
    with pytest.raises(UserError, match="12 rows. So many columns need 13"):
        conditional_gaussian(*(v.take(np.arange(12)) for v in (x, y, wide)), seed=0, shuffles=0)
    with pytest.raises(UserError, match="linear function of the others"):
        conditional_gaussian(x, x, z, seed=0, shuffles=0)
